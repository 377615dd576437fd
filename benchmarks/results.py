"""Measured values, the machine they were measured on, and the JSON files that keep them.

One file per machine. A part that is measured again replaces its former rows.
"""

import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import jax

from birdiedna.data.stored import read_json, sealed
from birdiedna.training import environment

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks" / "results"


class Row(NamedTuple):
    """One measured value."""

    part: str
    what: str
    value: float
    unit: str = ""
    bar: float | None = None  # the target, if there is one
    best: str = "less"  # or "more": which direction is better
    note: str = ""  # how it was measured
    at: dict[str, float] | None = None  # a point of a curve, as {"rows": 128}

    def text(self) -> str:
        """The row in a line: what was measured, the target if there is one, and how."""
        sign = "at least" if self.best == "more" else "at most"
        target = "" if self.bar is None else f"; target: {sign} {self.bar:,.4g}"
        how = f" ({self.note})" if self.note else ""
        return f"{self.what}: {f'{self.value:,.4g} {self.unit}'.strip()}{target}{how}"


class Part(NamedTuple):
    """The rows of one part, and the machine, versions, date and load of their measurement."""

    made: dict[str, Any]
    rows: list[Row]


class Timed(NamedTuple):
    """Seconds of every repetition, and CPU seconds of all threads per repetition."""

    wall: list[float]
    cpu: float

    def median(self) -> float:
        """Median seconds."""
        return statistics.median(self.wall)

    def spread(self) -> str:
        """The number of repetitions and their quartiles, in words."""
        if len(self.wall) == 1:
            return "one measurement"
        low, _, high = statistics.quantiles(self.wall, n=4, method="inclusive")
        edges = (f"{edge / self.median() - 1:+.0%}" for edge in (low, high))
        return f"median of {len(self.wall)}, half of them {' to '.join(edges)}"


def timed(call: Callable[[int], Any], repeats: int, untimed: int = 1) -> Timed:
    """Time `call(0)`, `call(1)`, ... until their arrays are ready, after `untimed` calls."""
    for _ in range(untimed):
        jax.block_until_ready(call(0))
    wall, cpu = [], time.process_time()
    for number in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(call(number))
        wall.append(time.perf_counter() - begin)
    return Timed(wall, (time.process_time() - cpu) / repeats)


def from_process(command: list[str], environment: Mapping[str, str] | None = None) -> Any:
    """The JSON in the last line that a new Python process prints.

    Raises:
      RuntimeError: the process failed; the message ends with its errors.
    """
    env = {**os.environ, **(environment or {})}
    command = [sys.executable, *command]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env)
    try:
        done.check_returncode()
        return json.loads(done.stdout.splitlines()[-1])
    except (subprocess.CalledProcessError, IndexError, json.JSONDecodeError):
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}") from None


def read(file: Path) -> dict[str, Part]:
    """The parts in a file of results, in its order."""
    stored = read_json(file, {"parts": {...: {}}}, "remove it and measure again")["parts"]
    return {
        name: Part(part["made"], [Row(**row) for row in part["rows"]])
        for name, part in stored.items()
    }


def write(parts: Mapping[str, Part], order: Iterable[str], folder: Path = FOLDER) -> Path:
    """Write parts, all of one machine, into the file of that machine; returns the file.

    `order` names all parts, in the order of the file.
    """
    file = _place(next(iter(parts.values())).made, folder)
    known = {**(read(file) if file.exists() else {}), **parts}
    every = {
        name: {"made": known[name].made, "rows": [row._asdict() for row in known[name].rows]}
        for name in (*order, *known)
        if name in known
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(sealed({"kind": file.stem, "parts": every}), indent=1, ensure_ascii=False)
    file.write_text(text + "\n", "utf-8")
    return file


def _place(made: Mapping[str, Any], folder: Path) -> Path:
    """The file of a machine: `<device>.json`, or `<device>-2.json` if another machine has that."""
    machine = lambda made: [made[name] for name in ("device", "processor", "cores")]
    number, file = 1, folder / f"{made['device']}.json"
    while file.exists() and machine(next(iter(read(file).values())).made) != machine(made):
        number += 1
        file = folder / f"{made['device']}-{number}.json"
    return file


def surroundings() -> dict[str, Any]:
    """Machine, device, versions, code and date; no host name and no path.

    It opens the device, so call it after all processes of the part have ended.
    """
    found = environment.surroundings()
    versions = {name: version for name, version in found["versions"].items() if version}
    kind = jax.devices()[0].device_kind.lower()
    allowed = getattr(os, "sched_getaffinity", None)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": len(allowed(0)) if allowed else os.cpu_count() or 1,
        "system": platform.system(),
        "python": versions.pop("python"),
        "versions": versions,
        "device": re.sub(r"[^a-z0-9]+", "-", kind).strip("-"),
        **{name: found[name] for name in ("git_commit", "git_dirty")},
        "code": environment.code_fingerprint(),
    }


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", facts.read_text()) if facts.exists() else None
    return found[1] if found else platform.machine()


def load(seconds: float = 2.0) -> float | None:
    """How many processors other programs keep busy now, on average; None if unknown."""
    before, begin = machine_seconds(), time.monotonic()
    time.sleep(seconds)
    busy = (machine_seconds() - before) / (time.monotonic() - begin)
    return None if math.isnan(busy) else round(busy, 2)


def machine_seconds() -> float:
    """CPU seconds since start-up outside the idle states; NaN if unknown."""
    if not os.path.exists("/proc/stat"):
        return math.nan
    fields = Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    user, nice, system, _, _, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
