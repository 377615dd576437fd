"""What an executed chapter depends on: its code, parameters, imported files, data and runs."""

import ast
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from birdiedna.data import files

INJECTED = "injected-parameters"
_MAGIC = re.compile(r"^(\s*)[%!].*$", flags=re.MULTILINE)


def code_cells(notebook: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The code cells of the source, without the one that papermill injects."""
    return [
        cell
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and INJECTED not in tags(cell)
    ]


def tags(cell: Mapping[str, Any]) -> list[str]:
    """The tags of a cell."""
    return cell.get("metadata", {}).get("tags", [])


def source(cell: Mapping[str, Any]) -> str:
    """The text of a cell; notebooks store it as a string or as a list of lines."""
    return "".join(cell["source"])


def inputs(notebook: Mapping[str, Any]) -> dict[str, list[str]]:
    """The inputs of a chapter: kinds of run folders (needs) and patterns of files (reads)."""
    stated = notebook.get("metadata", {}).get("birdiedna", {})
    return {name: stated.get(name, []) for name in ("needs", "reads")}


def dependencies(notebook: Mapping[str, Any], package: Path) -> dict[str, str]:
    """Digests of the package files that a chapter imports, directly or not, and of files it reads.

    A chapter that needs runs also depends on `experiments.runs`, which makes them. Paths are
    relative to the package, those of other files to the checkout.
    """
    texts = [source(cell) for cell in code_cells(notebook)]
    if inputs(notebook)["needs"]:
        texts.append(f"import {package.name}.experiments.runs")
    hashes = {str(file.relative_to(package)): digest(file) for file in modules(texts, package)}
    sample = files.visible(package / "data" / "sample")
    data = [f for f in sample if f.suffix not in (".py", ".pyc")]
    if data:
        text = "\n".join(f"{f.relative_to(package)} {digest(f)}" for f in data)
        hashes["data/sample/"] = hashlib.sha256(text.encode()).hexdigest()[:16]
    patterns = inputs(notebook)["reads"]
    other = sorted(file for pattern in patterns for file in package.parent.glob(pattern))
    return hashes | {str(file.relative_to(package.parent)): digest(file) for file in other}


def modules(texts: Iterable[str], package: Path) -> list[Path]:
    """All files of the package that are imported by texts of cells, directly or not."""
    found: set[Path] = set()
    known: set[str] = set()
    plain = [_MAGIC.sub(r"\1pass", text) for text in texts]
    waiting = {name for text in plain for name in _imports(text, "", package.name)}
    inside = lambda file: ".".join(file.relative_to(package.parent).with_suffix("").parts)
    while waiting:
        known |= waiting
        new = {file for name in waiting for file in _files(name, package)} - found
        found |= new
        read = [(file.read_text("utf-8"), inside(file)) for file in new]
        waiting = {name for one in read for name in _imports(*one, package.name)} - known
    return sorted(found)


def parts(
    notebook: Mapping[str, Any],
    parameters: Mapping[str, Any],
    package: Path,
    artefacts: Mapping[str, str],
) -> dict[str, Any]:
    """Everything that the outputs of a chapter depend on; if it is unchanged, they are fresh."""
    code = json.dumps([source(cell) for cell in code_cells(notebook)])
    return {
        "code": hashlib.sha256(code.encode()).hexdigest(),
        "parameters": dict(sorted(parameters.items())),
        "package": dependencies(notebook, package),
        "data": {name: stamp(value) for name, value in sorted(parameters.items()) if stamp(value)},
        "artefacts": dict(sorted(artefacts.items())),
    }


def stamp(value: Any) -> str:
    """A hash of names, sizes and times of the files at or below a path; "" for other values."""
    name = os.path.expanduser(value) if isinstance(value, str) else ""
    if not os.path.exists(name):  # `Path.exists` may raise for text that is no path
        return ""
    path = Path(name)
    found = files.visible(path) if path.is_dir() else [path]
    listed = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in found]
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]


def difference(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """How a record differs from what is wanted, in words; "" if it does not."""
    labels = {"data": "data files", "artefacts": "runs"}
    for key, after in wanted.items():
        before, label = recorded.get(key), labels.get(key, key)
        if before != after:
            names = []
            if isinstance(before, Mapping):
                both = sorted(before.keys() | after.keys())
                names = [name for name in both if before.get(name) != after.get(name)]
            listed = f": {', '.join(names[:3])}" if names else ""
            return f"{label} changed{listed}{', ...' if len(names) > 3 else ''}"
    return ""


def manifests(runs: Path, names: Iterable[str]) -> dict[str, str]:
    """Digests of the manifests of run folders, given relative to `runs`; "" if absent."""
    paths = {name: runs / name / "manifest.json" for name in names}
    return {name: digest(path) if path.exists() else "" for name, path in paths.items()}


def digest(file: Path) -> str:
    """The first 16 letters of a file's sha256."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


@cache
def _imports(text: str, inside: str, package: str) -> tuple[str, ...]:
    """Dotted names under `package` that a text imports; `inside` is the dotted name of its file.

    Cached, since most chapters import the same files.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return ()
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names: Sequence[str] = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = inside.split(".")[: -node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        found += (name for name in names if name.split(".")[0] == package)
    return tuple(found)


def _files(name: str, package: Path) -> Iterator[Path]:
    """The files of a dotted name: the module and all packages above it."""
    path = package
    for part in ["", *name.split(".")[1:]]:
        path = path / part
        yield from (f for f in (path / "__init__.py", path.with_suffix(".py")) if f.is_file())
