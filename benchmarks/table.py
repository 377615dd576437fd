"""What a benchmark measures, as rows of one table, with the machine it was measured on."""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("birdiedna", "jax", "jaxlib", "flax", "optax", "numpy", "polars", "pyfaidx")


class Row(NamedTuple):
    """One measured figure: `bar` is what it must reach, None where nothing is asked.

    `best` says which way is better, "more" or "less"; `note` how it was measured.
    """

    part: str
    what: str
    value: float
    unit: str
    bar: float | None
    best: str
    note: str

    def met(self) -> bool | None:
        """Whether the bar is reached; None where there is none."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.best == "more" else self.value <= self.bar


def apart(module: str, *arguments: str) -> Any:
    """What `python -m benchmarks.<module> arguments` prints as JSON in its last line.

    A process of its own, so that time to import, compile caches and peak memory are its own.

    Raises:
      RuntimeError: the process failed; the message holds the end of its errors.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"benchmarks.{module} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def surroundings() -> dict[str, Any]:
    """Machine, versions and date; no host name and no path."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def markdown(rows: list[Row], machine: dict[str, Any]) -> str:
    """The rows as one table, under a line that names the machine."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}, "
        f"{machine['date']}; {versions}.",
        "",
        "| part | what | measured | bar | met | how |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        sign = {"more": "≥", "less": "≤"}[row.best]
        bar = "" if row.bar is None else f"{sign} {row.bar:,.4g}"
        met = {True: "yes", False: "**no**", None: ""}[row.met()]
        value = f"{row.value:,.4g} {row.unit}"
        lines.append(f"| {row.part} | {row.what} | {value} | {bar} | {met} | {row.note} |")
    return "\n".join(lines) + "\n"
