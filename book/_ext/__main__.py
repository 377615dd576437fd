"""The command `birdiedna book`: run what is not fresh, render, say where the page is."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from birdiedna.book import layout, render, run
from birdiedna.runs import stops


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `birdiedna book`."""
    add = parser.add_argument
    add("--profile", default="quick", help="quick: the embedded sample, minutes; paper: hours; or "
        "a name of results/: nothing is trained")  # fmt: skip
    add("--genome", help="a FASTA file, or a name of `birdiedna data list`; default: the sample")
    add("--tasks", help="a folder of tasks, a file of rows, or a name of `birdiedna data list`; "
        "default: the sample")  # fmt: skip
    add("--validation", metavar="CONTIGS",
        help="contigs for held-out loss, such as chr8 or chr8,chr9; default: the sample's own, or "
        "chr8")  # fmt: skip
    add("--seed", help="the seed of runs and figures")
    add("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), dest="given",
        help="set another parameter that a chapter declares; may be repeated")  # fmt: skip
    add("--only", nargs="+", default=[], metavar="CHAPTER", help="such as 02_objectives")
    add("--force", action="store_true", help="run chapters even if they are fresh")
    add("--keep-going", action="store_true", help="run the other chapters after one that fails")
    add("--dry-run", action="store_true", help="say what would run and why, and run nothing")
    add("--at-once", type=int, default=0, metavar="N", help="chapters that run side by side; "
        "default: one a core, but not more than four")  # fmt: skip
    add("--no-pages", action="store_true", help="run chapters, but do not render the pages")


def run_command(arguments: argparse.Namespace) -> int:
    """Run `birdiedna book`; returns the exit status: 0, 1 after a failure, 130 or 143 by signal."""
    try:
        return _book(_order(arguments), pages=not arguments.no_pages)
    except (ValueError, OSError, ArithmeticError) as error:
        print(f"birdiedna book: {error}", file=sys.stderr)
        return 1
    except stops.Stopped as stopped:  # while a run was made, which is saved
        print(f"birdiedna book: {stopped}; a second call goes on from here", file=sys.stderr)
        return stopped.status
    except KeyboardInterrupt:
        print("birdiedna book: stopped; a second call goes on from here", file=sys.stderr)
        return 130


def prepare(
    profile: str,
    genome: str = "sample",
    tasks: str = "sample",
    seed: int = 0,
    validation: str = "",
) -> Sequence[Path]:
    """Make the run folders that chapters read; imports the training code only now."""
    from birdiedna import experiments

    return experiments.prepare(profile, genome, tasks, seed, validation=validation)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run `birdiedna book`."""
    parser = argparse.ArgumentParser("birdiedna book", description=__doc__)
    add_arguments(parser)
    return run_command(parser.parse_args(argv))


def _order(arguments: argparse.Namespace) -> run.Order:
    given = dict(arguments.given)
    for name in ("genome", "tasks", "validation", "seed"):
        if (value := getattr(arguments, name)) is not None:
            given[name] = _absolute(value) if name in ("genome", "tasks") else value
    return run.Order(
        arguments.profile,
        given,
        only=tuple(Path(name).stem for name in arguments.only),
        force=arguments.force,
        keep_going=arguments.keep_going,
        dry_run=arguments.dry_run,
        at_once=arguments.at_once,
    )


def _absolute(value: str) -> str:
    """A path as seen from here, since chapters run elsewhere; any other value as it is."""
    path = Path(value).expanduser()
    return str(path.resolve()) if value != "sample" and path.exists() else value


def _book(order: run.Order, pages: bool) -> int:
    book = layout.here()
    start = time.monotonic()
    outcomes = run.run_book(order, book, prepare)
    print(run.report(outcomes), flush=True)
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    for outcome in failed:
        copy = layout.executed(book, order.profile, Path(f"{outcome.chapter}.ipynb"))
        print(f"FAILED {outcome.chapter}: {outcome.why}\n  see {copy}", file=sys.stderr)
    if pages and not failed and not order.dry_run:
        print(f"  {_pages(order, book)}, {time.monotonic() - start:.1f} s in all")
    return 1 if failed else 0


def _pages(order: run.Order, book: layout.Layout) -> str:
    """Render the pages if all chapters are fresh; says what was done."""
    every = replace(order, only=(), force=False)
    due = [job.chapter.stem for job in run.plan(every, book) if job.why]
    if due:
        return f"pages not rendered, since these chapters have still to run: {', '.join(due)}"
    built = render.render(every, book)
    return f"pages {'rendered' if built else 'were up to date'}: {layout.page(book)}"
