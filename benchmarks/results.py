"""Rows of measured values, the machine they were measured on, and the files that keep them.

One JSON file per machine, with a Markdown table beside it. A part that is measured again replaces
its former rows. Results of different machines are never in one file.
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
    bar: float | None = None  # the target; None where nothing is required
    best: str = "less"  # or "more": which direction is better
    note: str = ""  # how it was measured
    at: dict[str, float] | None = None  # what was varied, as {"rows": 128}, in rows of a curve

    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.best == "more" else self.value <= self.bar


class Part(NamedTuple):
    """The rows of one part, with the machine, versions, date and load of their measurement."""

    made: dict[str, Any]
    rows: list[Row]

    def stored(self) -> dict[str, Any]:
        """The part as JSON; `loaded` reads it."""
        return {"made": self.made, "rows": [row._asdict() for row in self.rows]}


def loaded(stored: Mapping[str, Any]) -> Part:
    """A part as `Part.stored` wrote it."""
    return Part(stored["made"], [Row(**row) for row in stored["rows"]])


class Timed(NamedTuple):
    """Seconds of every repetition, and CPU seconds of all threads per repetition."""

    wall: list[float]
    cpu: float

    def median(self) -> float:
        """Median seconds."""
        return statistics.median(self.wall)

    def spread(self) -> str:
        """The number of measurements and their quartiles, in words."""
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
    """The JSON in the last line that a Python process prints.

    A separate process has its own import time, compile caches and peak memory.

    Raises:
      RuntimeError: the process failed; the message holds the end of its errors.
    """
    env = {**os.environ, **(environment or {})}
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=ROOT, env=env
    )
    try:
        done.check_returncode()
        return json.loads(done.stdout.splitlines()[-1])
    except (subprocess.CalledProcessError, IndexError, json.JSONDecodeError):
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}") from None


def read(file: Path) -> dict[str, Part]:
    """The parts in a file of results, in its order."""
    stored = read_json(file, {"parts": {...: {}}}, "remove it and measure again")["parts"]
    return {name: loaded(part) for name, part in stored.items()}


def write(parts: Mapping[str, Part], order: Iterable[str], folder: Path = FOLDER) -> Path:
    """Put parts, all of one machine, into that machine's file and table; returns the file.

    `order` names all parts, in the order of the file.
    """
    file = _place(next(iter(parts.values())).made, folder)
    known = {**(read(file) if file.exists() else {}), **parts}
    every = {name: known[name] for name in (*order, *known) if name in known}
    stored = {name: part.stored() for name, part in every.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(sealed({"kind": file.stem, "parts": stored}), indent=1, ensure_ascii=False)
    file.write_text(text + "\n", "utf-8")
    file.with_suffix(".md").write_text(markdown(every), "utf-8")
    return file


def _place(made: Mapping[str, Any], folder: Path) -> Path:
    """The machine's file: `<device>.json`, or `<device>-2.json` if that is another machine's."""
    machine = lambda made: [made[name] for name in ("device", "processor", "cores")]
    number, file = 1, folder / f"{made['device']}.json"
    while file.exists() and machine(next(iter(read(file).values())).made) != machine(made):
        number += 1
        file = folder / f"{made['device']}-{number}.json"
    return file


def markdown(parts: Mapping[str, Part]) -> str:
    """The rows of all parts as one table, under a line for each machine that measured them."""
    lines = [
        *dict.fromkeys(_machine(part.made) for part in parts.values()),
        "",
        "| part | what | measured | target | met | how | date, load before |",
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
    machine = f"{device}{made['processor']}, {made['cores']} cores"
    return f"{machine}, Python {made['python']}; {versions}."


def _cells(row: Row) -> list[str]:
    bar = "" if row.bar is None else f"{'≥' if row.best == 'more' else '≤'} {row.bar:,.4g}"
    met = {True: "yes", False: "**no**", None: ""}[row.met()]
    cells = [row.part, row.what, f"{row.value:,.4g} {row.unit}".strip(), bar, met, row.note]
    return [" ".join(cell.split()).replace("|", "\\|") for cell in cells]


def surroundings() -> dict[str, Any]:
    """Machine, device, versions, code and date; no host name and no path.

    It takes the device, which processes of a part may need: asked after the part is measured.
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
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def load(seconds: float = 2.0) -> float | None:
    """How many processors other programs keep busy now, on average; None where it is unknown."""
    before, begin = machine_seconds(), time.monotonic()
    time.sleep(seconds)
    busy = (machine_seconds() - before) / (time.monotonic() - begin)
    return None if math.isnan(busy) else round(busy, 2)


def machine_seconds() -> float:
    """CPU seconds since start-up outside the idle states; NaN where the system does not say."""
    if not os.path.exists("/proc/stat"):
        return math.nan
    fields = Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    user, nice, system, _, _, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
