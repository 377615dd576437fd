"""Start-up: importing the training core in a fresh process, and what that pulls in."""

import json
import statistics
import subprocess
import sys

from benchmarks.table import Row

UNWANTED = ("torch", "polars", "altair")
#: Only what the interpreter has loaded anyway is there before the clock starts.
_PROGRAM = """
import sys, time
begin = time.perf_counter()
import birdiedna.training.pretrain, birdiedna.training.finetune
seconds = time.perf_counter() - begin
import json
print(json.dumps({"seconds": seconds, "modules": sorted(sys.modules)}))
"""


def rows(quick: bool = False) -> list[Row]:
    """Seconds to import both training loops, and the number of unwanted packages among them."""
    found = [_imported() for _ in range(2 if quick else 9)]
    seconds = [one["seconds"] for one in found]
    loaded = sorted({name for one in found for name in one["modules"]} & {*UNWANTED})
    note = f"training.pretrain, training.finetune; median of {len(found)} fresh processes"
    return [
        Row("start_up", "import of the training core", statistics.median(seconds), "s", 1.5, "less",
            note),
        Row("start_up", "unwanted packages imported", len(loaded), "", 0, "less",
            f"of {', '.join(UNWANTED)}: {', '.join(loaded) or 'none'}"),
    ]  # fmt: skip


def _imported() -> dict:
    ask = [sys.executable, "-c", _PROGRAM]
    done = subprocess.run(ask, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
