"""The programs that a device runs, by the time they take, as `jax.profiler` sees them."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from jax.profiler import ProfileData

from benchmarks.table import Row

#: Operations that contain others.
_AROUND = ("while", "call", "cond")
#: Planes and lines of a trace that hold kernels, by backend: how their names begin.
_LINES = {
    "gpu": ("/device:GPU", "Stream"),
    "tpu": ("/device:TPU", "XLA Ops"),
    "cpu": ("/host:CPU", ""),
}


def rows(what: str, call: Callable[[int], Any], steps: int, most: int = 10) -> list[Row]:
    """Milliseconds a step of all kernels, and of the most expensive ones.

    Args:
      what: is traced, in words.
      call: runs so many `steps`; its first call, which may compile, is not traced.
      steps: in a call.
      most: how many kernels.

    Raises:
      ValueError: as `traced`.
    """
    jax.block_until_ready(call(0))
    times, counts = Counter(), Counter()
    for name, seconds in traced(call):
        times[name] += seconds
        counts[name] += 1
    scale = 1e3 / steps
    whole = sum(times.values()) * scale
    found = [
        Row("accelerator", f"all kernels, {what}", whole, "ms", None, "less",
            f"a step; {len(times)} kernels, {sum(counts.values()) / steps:g} calls")
    ]  # fmt: skip
    for rank, (name, seconds) in enumerate(times.most_common(most), start=1):
        each = counts[name] / steps
        at = {"rank": rank, "count": each}
        note = f"a step, {each:g} calls: {name[:90]}"
        what_ranked = f"kernel {rank}, {what}"
        found.append(Row("accelerator", what_ranked, seconds * scale, "ms", None, "less", note, at))
    return found


def traced(call: Callable[[int], Any]) -> list[tuple[str, float]]:
    """Name and seconds of every kernel of one call.

    Raises:
      ValueError: the trace holds none.
    """
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(call(0))
        files = [str(file) for file in Path(folder).rglob("*.xplane.pb")]
        lines = [
            (plane.name, line.name, list(_events(plane.name, line)))
            for file in files
            for plane in ProfileData.from_file(file).planes
            for line in plane.lines
        ]
    if not (found := [event for *_, events in lines for event in events]):
        seen = ", ".join(sorted({f"{plane} {line}" for plane, line, _ in lines}))
        raise ValueError(f"the profiler saw no kernel; it saw {seen or 'nothing'}")
    return found


def _events(plane: str, line: Any) -> Iterator[tuple[str, float]]:
    """On a GPU what its streams ran, elsewhere XLA's operations."""
    backend = jax.default_backend()
    names = _LINES[backend]
    if not (plane.startswith(names[0]) and line.name.startswith(names[1])):
        return
    for event in line.events:
        operation = backend != "cpu" or "hlo_op" in dict(event.stats)
        if operation and (backend == "gpu" or not event.name.startswith(_AROUND)):
            yield event.name, event.duration_ns / 1e9
