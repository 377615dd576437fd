"""The quick profile from nothing: runs, chapters and pages, with empty and with kept caches."""

import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from benchmarks.table import Row, apart

STAGES = ("runs and chapters", "pages")


def rows(quick: bool = False) -> list[Row]:
    """Seconds of `make book` after installation: cold, then with what was compiled."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder, "cache")
        keep = {
            "BIRDIEDNA_CACHE": str(cache),
            "JAX_COMPILATION_CACHE_DIR": str(cache / "compiled"),
        }
        cold, warm = (
            apart("quick", folder, environment=keep | {"BIRDIEDNA_RUNS": str(Path(folder, name))})
            for name in ("cold", "warm")
        )
    return [*_rows("cold", cold, 180), *_rows("caches kept", warm, 120)]


def _rows(state: str, found: dict[str, float], bar: float) -> list[Row]:
    whole = Row("quick", f"book, {state}", sum(found.values()), "s", bar, "less", "one measurement")
    return [
        whole,
        *(
            Row("quick", f"of which {name}, {state}", found[name], "s", None, "less", "")
            for name in STAGES
        ),
    ]


def main() -> None:
    """Make the runs and run the chapters, then render the pages; print the seconds of each."""
    begin = time.monotonic()
    from book._ext import __main__, build, layout

    book, order = layout.here(), build.Order()
    outcomes = build.run_book(order, book, build.prepare)
    if failed := [outcome for outcome in outcomes if outcome.state == "failed"]:
        raise RuntimeError(f"{failed[0].chapter}: {failed[0].why}")
    chapters = time.monotonic()
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as output:
        __main__.render(order, book, Path(output))
    print(json.dumps(lengths(begin, chapters, time.monotonic())))


def lengths(*ends: float) -> dict[str, float]:
    """Seconds of every stage, from the time of the begin and of each stage's end."""
    return {name: end - begin for name, (begin, end) in zip(STAGES, pairwise(ends), strict=True)}


if __name__ == "__main__":
    main()
