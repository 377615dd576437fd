"""Work off a plan, on a machine that has the training core and numpy and nothing else.

    python -m birdiedna.plan.work FOLDER --budget-minutes 9

The same command goes on where the last one stopped, to the same bits. It ends with status 0 when
nothing is left that could be done, and with 75 when the time was over.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from birdiedna import compiled, devices, finetune, model, pretrain, runs
from birdiedna.batch import Labelled
from birdiedna.genome import Genome
from birdiedna.plan import arrays, cost, listing, status
from birdiedna.plan.listing import Plan, Run
from birdiedna.runs import making, stops


def work(
    folder: Path, ask: stops.Ask = stops.never, only: Sequence[str] = (), device: str = ""
) -> None:
    """Make every run of a plan that is not finished, in order.

    A run that training gives up is noted in `failures.json`, with those that would start from it,
    and the others go on.

    Args:
      folder: of the plan.
      ask: asked within runs and between them whether to stop.
      only: parts or patterns of names of runs; what these start from is made too.
      device: what runs need, as in `devices.require`; "" takes the plan's.

    Raises:
      ValueError: no plan, no such run, no such device, or data that are not those of the plan.
      stops.Stopped: `ask` said so; a checkpoint was saved.
    """
    plan = listing.read(folder)
    wanted = listing.chosen(plan, only)
    devices.require(device or plan.device)
    compiled.keep(plan.folder)  # for the next slice
    top = None
    for run in wanted:
        if listing.standing(plan, run, listing.failures(plan)).startswith(("fin", "fail", "can")):
            continue
        if stopped := ask():
            raise stopped
        top = top or cost.ceiling()
        print(f"{run.name}: {listing.standing(plan, run, {})}", flush=True)
        try:
            _make(plan, run, ask, top)
        except ArithmeticError as error:
            failed = listing.failures(plan) | {run.name: str(error)}
            runs.write_json(plan.folder / "failures.json", failed)
            print(f"{run.name}: {error}", file=sys.stderr, flush=True)


def _make(plan: Plan, run: Run, ask: stops.Ask, top: float | None) -> None:
    """Make or go on with one run."""
    place, facts = plan.place(run.name), dict(run.facts)
    with making.writing(place, run.record, facts) as partial:
        for _ in _events(plan, run, partial, ask):
            pass
        facts |= {"ceiling_flops": top, "peak_memory_bytes": cost.peak_memory_bytes()}
    if run.facts["kind"] == "finetune":  # nothing reads the weights again
        shutil.rmtree(place / "model")


def _events(plan: Plan, run: Run, partial: Path, ask: stops.Ask) -> Iterator[dict[str, Any]]:
    config, seed = run.config(), run.facts["seed"]
    if run.facts["kind"] == "pretrain":
        return pretrain.train(config, _genome(_checked(plan, "genome.npz")), seed, partial, ask)
    rows = _rows(_checked(plan, f"tasks/{run.facts['task']}.npz"))
    start = run.start()
    net = pretrain.load(plan.place(start))[0] if start else model.init(config.model, seed)
    return finetune.train(config, net, rows, run.facts["finetune_seed"], partial, ask)


def _checked(plan: Plan, name: str) -> Path:
    """A data file of the plan, if it is as it was written."""
    path = plan.folder / name
    if not path.is_file() or arrays.digest(path) != plan.sums[name]:
        raise ValueError(f"{path} is not the file that was prepared; copy it again")
    return path


@lru_cache(maxsize=1)
def _genome(path: Path) -> Genome:
    return arrays.read_genome(path)


@lru_cache(maxsize=1)
def _rows(path: Path) -> tuple[Labelled, Labelled, Labelled]:
    return arrays.read_rows(path)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser("python -m birdiedna.plan.work", description=__doc__)
    add = parser.add_argument
    add("folder", type=Path, help="of a plan, from `birdiedna plan prepare`")
    add("--budget-minutes", type=float, metavar="N", help="stop in time, with a checkpoint")
    add("--only", nargs="+", default=[], metavar="NAME", help="parts of names, such as pretrain")
    add("--device", default="", choices=["", *devices.KINDS], metavar="KIND",
        help=f"{', '.join(devices.KINDS)}; default: what the plan says")  # fmt: skip
    given = parser.parse_args(argv)
    try:
        with stops.watch(given.budget_minutes) as ask:
            work(given.folder, ask, given.only, given.device)
        ended = 0
    except stops.Stopped as stopped:
        print(f"{stopped}; the same command goes on from here", flush=True)
        ended = stopped.status
    except (ValueError, OSError) as error:
        print(f"birdiedna.plan.work: {error}", file=sys.stderr)
        return 1
    print(status.text(listing.read(given.folder), each=False))
    return ended


if __name__ == "__main__":
    sys.exit(main())
