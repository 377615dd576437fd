"""Tokenising a genome: time and peak memory for its bgzip, gzip and plain forms.

A human genome (T2T-CHM13, 3.1 Gb) is extrapolated by bases from the largest real data at hand.
"""

import gzip
import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.table import ROOT, Row, apart
from birdiedna.data import fasta, sample

#: Real chromosomes beside the repository, if they are there; else the small embedded sample.
SHARED = ROOT.parent / "shared" / "data" / "genomes" / "human.GRCh37.chr20.fa.gz"
CHM13_BASES = 3_117_292_070


def rows(quick: bool = False) -> list[Row]:
    """Seconds and peak memory, each form read some times in processes of their own."""
    repeats = 1 if quick else 3
    given = SHARED if SHARED.exists() else sample.GENOME
    with tempfile.TemporaryDirectory() as folder:
        text = gzip.decompress(given.read_bytes())
        plain, packed = Path(folder, "plain.fa"), Path(folder, "gzip.fa.gz")
        plain.write_bytes(text)
        packed.write_bytes(gzip.compress(text, 6))
        forms = {"bgzip": given, "gzip": packed, "plain": plain}
        return [row for name, path in forms.items() for row in _form(name, path, repeats)]


def _form(name: str, path: Path, repeats: int) -> list[Row]:
    runs = [apart("tokenise", str(path)) for _ in range(repeats)]
    bases, seconds = runs[0]["bases"], statistics.median(run["seconds"] for run in runs)
    above = max(run["peak_bytes"] - run["bytes_before"] for run in runs) / bases
    note = f"{bases:,} real bases, median of {repeats}, scaled to {CHM13_BASES:,}"
    scale = CHM13_BASES / bases
    peak = (runs[0]["bytes_before"] + CHM13_BASES * above) / 1e9
    return [
        Row("tokenise", f"{name}, this file", seconds, "s", None, "less", f"{bases:,} bases"),
        Row("tokenise", f"{name}, 3.1 Gb", seconds * scale, "s", 60, "less", note),
        Row("tokenise", f"{name}, 3.1 Gb, memory", peak, "GB", 8, "less", note),
    ]


def main() -> None:
    """Read one file without its cache and print bases, seconds and peak memory."""
    before = _peak_bytes()
    with tempfile.TemporaryDirectory() as cache:
        clock = time.perf_counter()
        found = fasta.read(sys.argv[1], Path(cache))
        seconds = time.perf_counter() - clock
    facts = {"bases": len(found.tokens), "seconds": seconds}
    print(json.dumps(facts | {"bytes_before": before, "peak_bytes": _peak_bytes()}))


def _peak_bytes() -> int:
    """Most memory this program has held; `ru_maxrss` would count its parent's before the fork."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
