"""Normalise chapter sources: no outputs or counts, stable cell ids, one kernelspec.

The cell that installs the package, as on Colab, installs the chapter's own version.

`python -m book._ext.strip book/*.ipynb` rewrites them; `--check` only reports.
"""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from birdiedna.data import stored
from book._ext import keys, layout

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
_KEPT = ("tags", "mystnb")
_INSTALLED = re.compile(r"(?<=%pip install --quiet )git\+\S+")


def stripped(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """The notebook with only sources, tags, captions, inputs and cell ids."""
    metadata: dict[str, Any] = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    if kept := {name: values for name, values in keys.inputs(notebook).items() if values}:
        metadata["birdiedna"] = kept
    names = _ids(notebook["cells"])
    cells = [_cell(name, cell) for name, cell in zip(names, notebook["cells"], strict=True)]
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def text(notebook: Mapping[str, Any]) -> str:
    """The stripped notebook as the text of its file."""
    return json.dumps(stripped(notebook), indent=1, ensure_ascii=False) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Rewrite or check notebooks; returns 1 if `--check` finds one to rewrite."""
    parser = argparse.ArgumentParser("python -m book._ext.strip", description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if needed")
    arguments = parser.parse_args(argv)
    different = False
    for path in arguments.notebooks:
        before = path.read_text("utf-8")
        if (wanted := text(stored.parse(before.encode(), path, {"cells": [{}]}))) != before:
            different = True
            print(f"{path}: {'not stripped' if arguments.check else 'stripped'}")
            if not arguments.check:
                path.write_text(wanted, "utf-8")
    return int(different and arguments.check)


def _ids(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """The ids of cells; a missing or repeated one becomes a hash of place and text."""
    names: list[str] = []
    for number, cell in enumerate(cells):
        name = cell.get("id")
        if name is None or name in names:
            place = f"{number} {keys.source(cell)}"
            name = hashlib.sha256(place.encode()).hexdigest()[:8]
        names.append(name)
    return names


def _cell(name: str, cell: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: cell["metadata"][key] for key in _KEPT if key in cell["metadata"]}
    ours = f"git+{layout.address()}@{layout.release()}"
    lines = _INSTALLED.sub(ours, keys.source(cell)).rstrip().splitlines(keepends=True)
    kept = {"cell_type": cell["cell_type"], "id": name, "metadata": metadata, "source": lines}
    if cell["cell_type"] == "code":
        kept |= {"execution_count": None, "outputs": []}
    return dict(sorted(kept.items()))


if __name__ == "__main__":
    sys.exit(main())
