"""`make bench`: measure all parts, store the results in `benchmarks/results`, print the table.

About half an hour on two cores. Each part runs in a process of its own, one after the other. A part
that fails is named at the end and keeps its former results. Targets that are missed are shown; they
do not fail the command.
"""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Sequence

from benchmarks import results
from benchmarks.results import ROOT, Part

#: All parts, in the order of the table, and the function that measures each.
PARTS = {
    "train_step": "train_step.rows",
    "mixture": "batches.mixture",
    "evaluation": "batches.evaluation",
    "director": "training.director",
    "finetuning": "training.finetuning",
    "memory": "training.memory",
    "scale": "batches.scale",
    "start_up": "processes.start_up",
    "tokenise": "processes.tokenise",
    "accelerator": "accelerator.rows",
    "quick": "processes.book",
}
PEERS = ROOT / ".venv-peers" / ".installed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status, 1 if a part failed."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--only", nargs="+", default=[], choices=PARTS, metavar="PART", help=", ".join(PARTS))
    add("--quick", action="store_true", help="few repetitions; nothing is stored")
    add("--here", choices=PARTS, help=argparse.SUPPRESS)  # one part, in this process, as JSON
    given = parser.parse_args(arguments)
    if given.here:
        return _here(given.here, given.quick)
    parts: dict[str, Part] = {}
    failed = []
    for name in chosen(given.only):
        begin = time.monotonic()
        try:
            part = measured(name, given.quick)
        except RuntimeError as error:
            failed.append(name)
            print(f"{name}: failed\n{error}", file=sys.stderr, flush=True)
            continue
        print(f"{name}: {time.monotonic() - begin:.0f} s", flush=True)
        if part.rows:
            parts[name] = part
            if not given.quick:
                file = results.write({name: part}, PARTS)
    if parts:
        print("\n" + results.markdown(parts))
        if not given.quick:
            print(f"stored in {file.relative_to(ROOT)} and {file.with_suffix('.md').name}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def chosen(only: Sequence[str]) -> list[str]:
    """The parts to measure; reports if the comparison with peers is left out."""
    if only:
        return [name for name in PARTS if name in only]
    if PEERS.exists():
        return list(PARTS)
    print("train_step: left out, needs its peers; `make bench-peers` installs them")
    return [name for name in PARTS if name != "train_step"]


def measured(name: str, quick: bool) -> Part:
    """One part, measured in a process of its own; raises RuntimeError if it fails."""
    command = ["-m", "benchmarks", "--here", name, *["--quick"] * quick]
    return results.loaded(results.from_process(command))


def _here(name: str, quick: bool) -> int:
    load, begin = results.load(), time.monotonic()
    module, function = PARTS[name].split(".")
    rows = getattr(importlib.import_module(f"benchmarks.{module}"), function)(quick)
    seconds = round(time.monotonic() - begin, 1)
    made = results.surroundings() | {"load": load, "seconds": seconds}
    print(json.dumps(Part(made, rows).stored()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
