"""Results on disk: one JSON file a machine, each part with its own date, and a table beside it.

A part that is measured again replaces its former rows; other parts stay. Figures of different
machines never meet in one file.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.table import ROOT, Part, Row, markdown

FOLDER = ROOT / "benchmarks" / "results"
_SAME = ("device", "processor", "cores")


def read(file: Path) -> dict[str, Part]:
    """The parts in a file of results, in its order."""
    stored = json.loads(file.read_text("utf-8"))
    return {
        name: Part(part["made"], [Row(**row) for row in part["rows"]])
        for name, part in stored["parts"].items()
    }


def write(parts: Mapping[str, Part], order: list[str], folder: Path = FOLDER) -> Path:
    """Put parts, all of one machine, into that machine's file and table; returns the file.

    Args:
      parts: new parts by name.
      order: names of all parts, as the file is to hold them.
      folder: where the files are.
    """
    made = next(iter(parts.values())).made
    file = place(made, folder)
    known = {**(read(file) if file.exists() else {}), **parts}
    every = {name: known[name] for name in order if name in known}
    stored = {
        name: {"made": part.made, "rows": [row._asdict() for row in part.rows]}
        for name, part in every.items()
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"kind": file.stem, "parts": stored}, indent=1, ensure_ascii=False)
    file.write_text(text + "\n", "utf-8")
    file.with_suffix(".md").write_text(markdown(every), "utf-8")
    return file


def place(made: Mapping[str, object], folder: Path = FOLDER) -> Path:
    """The machine's file: `<device>.json`, or `<device>-2.json` if that is another machine's."""
    number = 1
    while True:
        file = folder / f"{made['device']}{f'-{number}' * (number > 1)}.json"
        if not file.exists() or _machine(next(iter(read(file).values())).made) == _machine(made):
            return file
        number += 1


def _machine(made: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(made[name] for name in _SAME)
