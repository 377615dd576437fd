"""What made a run: versions, device, commit and the code of the training core."""

import ast
import hashlib
import os
import platform
import re
import subprocess
import threading
import tokenize
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]
#: Rooms and files whose code determines what a run computes.
_CORE = (
    *("vocab.py", "model", "director", "objectives", "training"),
    *("data/genome.py", "data/labelled.py", "data/chromosomes.py"),
)
#: Python 3.11 fails if two threads parse at once.
_PARSING = threading.Lock()
_STATUS = "status --porcelain=2 --branch -uno -- :/ :(top,exclude)benchmarks/results".split()


def core_files() -> list[Path]:
    """Files of the training core, in the same order everywhere."""
    given = [_PACKAGE / name for name in _CORE]
    files = [file for path in given for file in ([path] if path.suffix else path.rglob("[!.]*.py"))]
    return sorted(files, key=lambda file: file.relative_to(_PACKAGE).parts)


@cache
def code_fingerprint() -> str:
    """sha256 of the training core without comments and docstrings, so that prose may change."""
    with _PARSING:
        sources = "\n".join(_bare(file.read_text("utf-8")) for file in core_files())
    return hashlib.sha256(sources.encode()).hexdigest()


def _bare(source: str) -> str:
    """The source without comments, docstrings and blank lines, the same in every Python."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(iter(source.splitlines(keepends=True)).__next__):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            first, last = node.body[0].lineno - 1, node.body[0].end_lineno or 0
            lines[first:last] = [""] * (last - first)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def git_commit() -> tuple[str | None, bool]:
    """The checkout's commit and whether tracked files were changed; (None, False) outside of one.

    Changes of stored benchmark results do not count, since every benchmark writes its own.
    """
    if not (_PACKAGE.parent / "_toc.yml").exists():
        return None, False
    git = ["git", "-C", str(_PACKAGE), *_STATUS]
    try:
        status = subprocess.run(git, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None, False
    commit = re.search("^# branch.oid ([0-9a-f]+)$", status, re.M)
    return (commit[1] if commit else None), bool(re.search("^[^#]", status, re.M))


def surroundings() -> dict[str, Any]:
    """Versions, device and commit for a manifest; no path and no host name."""
    import jax  # takes a second, which pages do not need

    names = ("birdiedna", "jax", "jaxlib", "flax", "optax", "numpy")
    commit, dirty = git_commit()
    return {
        "versions": {"python": platform.python_version()} | {n: _version(n) for n in names},
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "backend": jax.default_backend(),
        "cores": os.cpu_count(),
        "git_commit": commit,
        "git_dirty": dirty,
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
