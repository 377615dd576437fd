"""Measured in fresh processes: start-up, reading a genome, the quick book from nothing."""

import json
import resource
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.results import ROOT, Row, from_process

_IMPORT = """
import time
begin = time.perf_counter()
import birdiedna.training.pretrain, birdiedna.training.finetune
print(time.perf_counter() - begin)
"""


def start_up(quick: bool = False) -> list[Row]:
    """Seconds to import both training loops."""
    found = [from_process(["-c", _IMPORT]) for _ in range(1 if quick else 9)]
    note = f"training.pretrain, training.finetune; median of {len(found)} fresh processes"
    what, seconds = "import of the training core", statistics.median(found)
    return [Row("start_up", what, seconds, "s", 1.5, note=note)]


#: A real chromosome next to the repository; if missing, the embedded sample is read.
SHARED = ROOT.parent / "shared" / "data" / "genomes" / "human.GRCh37.chr20.fa.gz"
CHM13_BASES = 3_117_292_070


def tokenise(quick: bool = False) -> list[Row]:
    """Seconds and peak memory to read a bgzip genome.

    A human genome (T2T-CHM13, 3.1 Gb) is extrapolated by bases from the largest real data at hand.
    """
    from birdiedna.data import sample

    path, repeats = SHARED if SHARED.exists() else sample.GENOME, 1 if quick else 3
    command = ["-m", "benchmarks.processes", "read", str(path)]
    runs = [from_process(command) for _ in range(repeats)]
    bases, seconds = runs[0]["bases"], statistics.median(run["seconds"] for run in runs)
    above = max(run["peak_bytes"] - run["bytes_before"] for run in runs) / bases
    note = f"{bases:,} real bases, median of {repeats}, scaled to {CHM13_BASES:,}"
    peak = (runs[0]["bytes_before"] + CHM13_BASES * above) / 1e9
    row = partial(Row, "tokenise")
    return [
        row("bgzip, this file", seconds, "s", note=f"{bases:,} bases"),
        row("bgzip, 3.1 Gb", seconds * CHM13_BASES / bases, "s", 60, note=note),
        row("bgzip, 3.1 Gb, memory", peak, "GB", 8, note=note),
    ]


def _read(path: str) -> dict[str, float]:
    """Bases, seconds and peak memory of reading one file without its cache."""
    from birdiedna.data import fasta

    before = _peak_bytes()
    with tempfile.TemporaryDirectory() as cache:
        begin = time.perf_counter()
        found = fasta.read(path, Path(cache))
        seconds = time.perf_counter() - begin
    facts = {"bases": len(found.tokens), "seconds": seconds}
    return facts | {"bytes_before": before, "peak_bytes": _peak_bytes()}


def _peak_bytes() -> int:
    """Peak memory of this program; `ru_maxrss` would include its parent's before the fork."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def book(quick: bool = False) -> list[Row]:
    """Seconds of `make book` after installation: cold, then with the caches kept."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        cache = str(Path(folder, "cache"))
        env = {"BIRDIEDNA_CACHE": cache, "JAX_COMPILATION_CACHE_DIR": f"{cache}/compiled"}
        for state, bar in (("cold", 180), ("caches kept", 120)):
            own = env | {"BIRDIEDNA_RUNS": str(Path(folder, state))}
            stages = from_process(["-m", "benchmarks.processes", "book", folder], own)
            whole, note = sum(stages.values()), "one measurement"
            rows.append(Row("quick", f"book, {state}", whole, "s", bar, note=note))
            rows += [Row("quick", f"of which {n}, {state}", s, "s") for n, s in stages.items()]
    return rows


def _book(folder: str) -> dict[str, float]:
    """Seconds to make the runs and run the chapters, and to render the pages."""
    begin = time.monotonic()
    from book._ext import __main__, build, layout

    book, order = layout.here(), build.Order()
    outcomes = build.run_book(order, book, build.prepare)
    if failed := [outcome for outcome in outcomes if outcome.state == "failed"]:
        raise RuntimeError(f"{failed[0].chapter}: {failed[0].why}")
    chapters = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder) as output:
        __main__.render(order, book, Path(output))
    return {"runs and chapters": chapters - begin, "pages": time.monotonic() - chapters}


if __name__ == "__main__":
    print(json.dumps({"read": _read, "book": _book}[sys.argv[1]](sys.argv[2])))
