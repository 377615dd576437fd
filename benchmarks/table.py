"""What a benchmark measures, as rows of one table, with the machine it was measured on."""

import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.worker import machine_seconds

ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("birdiedna", "jax", "jaxlib", "flax", "optax", "numpy", "polars")


class Row(NamedTuple):
    """One measured figure: `bar` is what it must reach, None where nothing is asked.

    `best` says which way is better, "more" or "less"; `note` how it was measured. `at` names what
    was varied, such as `{"rows": 128, "slots": 1024}`, for rows that form a curve.
    """

    part: str
    what: str
    value: float
    unit: str
    bar: float | None
    best: str
    note: str
    at: dict[str, float] | None = None

    def met(self) -> bool | None:
        """Whether the bar is reached; None where there is none."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.best == "more" else self.value <= self.bar


class Part(NamedTuple):
    """The rows of one part, with the machine, versions, date and load of their measurement."""

    made: dict[str, Any]
    rows: list[Row]


def apart(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Any:
    """What `python -m benchmarks.<module> arguments` prints as JSON in its last line.

    A process of its own, so that time to import, compile caches and peak memory are its own.

    Raises:
      RuntimeError: the process failed; the message holds the end of its errors.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    given = {**os.environ, **(environment or {})}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=given)
    try:
        done.check_returncode()
        return json.loads(done.stdout.splitlines()[-1])
    except (subprocess.CalledProcessError, IndexError, json.JSONDecodeError):
        raise RuntimeError(f"benchmarks.{module} failed:\n{done.stderr[-2000:]}") from None


def surroundings() -> dict[str, Any]:
    """Machine, versions, date and load; no host name and no path."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": _cores(),
        "load": _load(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    """Of the packages that are installed: a borrowed machine has few."""
    found = {}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _load(seconds: float = 2.0) -> float | None:
    """How many processors other programs keep busy now, on average; None where nobody can tell."""
    before, begin = machine_seconds(), time.monotonic()
    time.sleep(seconds)
    busy = (machine_seconds() - before) / (time.monotonic() - begin)
    return None if math.isnan(busy) else round(busy, 2)


def _cores() -> int:
    """Those this process may use."""
    asked = getattr(os, "sched_getaffinity", None)
    return len(asked(0)) if asked else os.cpu_count() or 1


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def markdown(parts: Mapping[str, Part]) -> str:
    """The rows of all parts as one table, under a line for each machine that measured them."""
    machines = dict.fromkeys(_machine(part.made) for part in parts.values())
    lines = [
        *(f"{machine}." for machine in machines),
        "",
        "| part | what | measured | bar | met | how | date, load before |",
        "|---|---|---|---|---|---|---|",
    ]
    for part in parts.values():
        load = part.made["load"]
        when = f"{part.made['date']}, {'unknown' if load is None else f'{load:g}'}"
        lines += [f"| {' | '.join(_cells(row))} | {when} |" for row in part.rows]
    return "\n".join(lines) + "\n"


def _machine(made: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    device = "" if made["device"] == "cpu" else f"{made['device']}, "
    return (
        f"{device}{made['processor']}, {made['cores']} cores, Python {made['python']}; {versions}"
    )


def _cells(row: Row) -> list[str]:
    sign = {"more": "≥", "less": "≤"}[row.best]
    bar = "" if row.bar is None else f"{sign} {row.bar:,.4g}"
    met = {True: "yes", False: "**no**", None: ""}[row.met()]
    cells = [row.part, row.what, f"{row.value:,.4g} {row.unit}".strip(), bar, met, row.note]
    return [" ".join(cell.split()).replace("|", "\\|") for cell in cells]
