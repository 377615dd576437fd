"""`make bench`: measure all parts, print them, store them in `benchmarks/results`.

About half an hour on two cores. Each part runs in a process of its own, one after the other. A part
that fails is named at the end and keeps its former results. A missed target is no failure.
"""

import argparse
import importlib
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks import results
from benchmarks.results import ROOT, Part

#: All parts, in the order of the files, and the function that measures each.
PARTS = {
    "train_step": "train_step.rows",
    "mixture": "batches.mixture",
    "director": "training.director",
    "finetuning": "training.finetuning",
    "memory": "training.memory",
    "tpu": "tpu.rows",
    "scale": "batches.scale",
    "start_up": "processes.start_up",
    "tokenise": "processes.tokenise",
    "accelerator": "accelerator.rows",
    "quick": "processes.book",
}
#: Parts that need programs of others.
OTHERS = ("train_step", "tpu")
PEERS = ROOT / ".venv-peers" / ".installed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status, 1 if a part failed."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--only", nargs="+", default=[], choices=PARTS, metavar="PART", help=", ".join(PARTS))
    add("--quick", action="store_true", help="few repetitions; nothing is stored")
    given = parser.parse_args(arguments)
    names = chosen(given.only)
    if len(names) == 1:
        measure(names[0], given.quick)
        return 0
    command = [sys.executable, "-m", "benchmarks", *["--quick"] * given.quick, "--only"]
    failed = [name for name in names if subprocess.run([*command, name], cwd=ROOT).returncode]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def chosen(only: Sequence[str]) -> list[str]:
    """The parts to measure; says so if those that need other programs are left out."""
    if only:
        return [name for name in PARTS if name in only]
    if PEERS.exists():
        return list(PARTS)
    print(f"{', '.join(OTHERS)}: left out, need other programs; `make bench-peers` installs them")
    return [name for name in PARTS if name not in OTHERS]


def measure(name: str, quick: bool) -> None:
    """Measure one part in this process, print its rows, and store them unless `quick`."""
    load, begin = results.load(), time.monotonic()
    module, function = PARTS[name].split(".")
    rows = getattr(importlib.import_module(f"benchmarks.{module}"), function)(quick)
    seconds = round(time.monotonic() - begin, 1)
    print(
        "\n".join([f"{name} ({seconds:.0f} s)", *(f"  {row.text()}" for row in rows)]), flush=True
    )
    if rows and not quick:
        made = results.surroundings() | {"load": load, "seconds": seconds}
        print(f"stored in {results.write({name: Part(made, rows)}, PARTS)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
