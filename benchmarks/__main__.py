"""`make bench`: measure all parts, keep the figures in `benchmarks/results`, print the table.

About half an hour on two cores. Each part runs in a process of its own, one after the other. A part
that fails is named at the end and keeps its former figures. Bars that are not met are shown; they
do not fail the command.
"""

import argparse
import sys
import time
from collections.abc import Sequence

from benchmarks import results
from benchmarks.part import PARTS
from benchmarks.table import ROOT, Part, Row, apart, markdown

PEERS = ROOT / ".venv-peers" / ".installed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status, 1 if a part failed."""
    given = _parser().parse_args(arguments)
    parts: dict[str, Part] = {}
    failed = []
    for name in chosen(given.only):
        begin = time.monotonic()
        try:
            parts[name] = measured(name, given.quick)
            if parts[name].rows and not given.quick:
                file = results.write({name: parts[name]}, PARTS)
            print(f"{name}: {time.monotonic() - begin:.0f} s", flush=True)
        except RuntimeError as error:
            failed.append(name)
            print(f"{name}: failed\n{error}", file=sys.stderr, flush=True)
    parts = {name: part for name, part in parts.items() if part.rows}
    if parts:
        print("\n" + markdown(parts))
        if not given.quick:
            print(f"kept in {file.relative_to(ROOT)} and {file.with_suffix('.md').name}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def chosen(only: Sequence[str]) -> list[str]:
    """The parts to measure; says if the comparison is left out."""
    if only:
        return [name for name in PARTS if name in only]
    if PEERS.exists():
        return list(PARTS)
    print("train_step: left out, needs its peers; `make bench-peers` installs them")
    return [name for name in PARTS if name != "train_step"]


def measured(name: str, quick: bool) -> Part:
    """One part, measured in a process of its own.

    Raises:
      RuntimeError: it failed.
    """
    found = apart("part", name, *["--quick"] * quick)
    return Part(found["made"], [Row(**row) for row in found["rows"]])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--only", nargs="+", default=[], choices=PARTS, metavar="PART", help=", ".join(PARTS))
    add("--quick", action="store_true", help="few repetitions, and nothing is kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())
