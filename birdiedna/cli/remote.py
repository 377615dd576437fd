"""The command `birdiedna plan prepare | run | status | collect`."""

import argparse
from collections.abc import Callable
from pathlib import Path

from birdiedna.experiments import collect, plan, remote, remote_prepare
from birdiedna.training import stop

_TOLD = """Prepare on any machine, work on the accelerator's in slices, collect:

  birdiedna plan prepare --out build/plan --genome my.fa.gz --validation chr8 --tasks my_tasks
  python -m birdiedna.experiments.remote build/plan --budget-minutes 9     until it ends with 0
  birdiedna plan collect build/plan --name my-results
  make book PROFILE=my-results

`plan run` prepares and works on one machine. `scripts/borrowed_card.py` of the checkout measures a
borrowed card, works and collects in one command.
"""


def add_arguments(
    parser: argparse.ArgumentParser,
    seed: Callable[[str], int],
    session: Callable[[argparse._ArgumentGroup], None],
) -> None:
    """Declare the options.

    Args:
      seed: reads a seed.
      session: declares the options of how runs are made.
    """
    parser.formatter_class, parser.description = argparse.RawDescriptionHelpFormatter, _TOLD
    verbs = parser.add_subparsers(dest="action", required=True)
    part = verbs.add_parser("prepare", help="write every run and all data into a folder")
    part.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="a new folder")
    _wanted(part, seed)
    part.set_defaults(act=run_prepare)
    part = verbs.add_parser("run", help="prepare, if that is to be done, and work")
    part.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="of the plan")
    part.add_argument("--only", nargs="+", default=[], metavar="NAME", help="such as pretrain-ntp")
    _wanted(part, seed)
    session(part.add_argument_group("how runs are made"))
    part.set_defaults(act=run_work)
    part = verbs.add_parser("status", help="what is done, what is left, minutes so far")
    part.add_argument("folder", type=Path)
    part.set_defaults(act=run_status)
    part = verbs.add_parser("collect", help="write finished runs into results/")
    part.add_argument("folder", type=Path)
    part.add_argument("--name", required=True, help="of the results")
    part.set_defaults(act=run_collect)


def _wanted(part: argparse.ArgumentParser, seed: Callable[[str], int]) -> None:
    add, usual = part.add_argument, remote_prepare.Wanted()
    add("--profile", default=usual.profile, help=f"default: {usual.profile}")
    add("--genome", default=usual.genome, help="FASTA to pre-train on; default: the sample")
    add("--validation", default="", help="contigs for held-out loss, such as chr3,chr4,chr5")
    add("--tasks", nargs="+", default=usual.tasks, metavar="FOLDER[:TASK,...]",
        help="folders of tasks; names behind a colon choose some")  # fmt: skip
    add("--arms", nargs="+", default=usual.arms, metavar="ARM",
        help=f"default: {' '.join(usual.arms)}; random weights are fine-tuned, too")  # fmt: skip
    add("--seed", type=seed, default=0, help="of weights and batches (default: 0)")
    add("--finetune-seeds", type=seed, nargs="+", default=(), metavar="SEED",
        help="default: the profile's")  # fmt: skip
    add("--patience", type=int, default=0, metavar="N",
        help="end a fine-tuning after N evaluations in a row without a better validation accuracy; "
        "default: 0, never")  # fmt: skip


def _asked(given: argparse.Namespace) -> remote_prepare.Wanted:
    return remote_prepare.Wanted(
        given.profile,
        given.genome,
        given.validation,
        tuple(given.tasks),
        tuple(given.arms),
        given.seed,
        tuple(given.finetune_seeds),
        given.patience,
    )


def run_prepare(given: argparse.Namespace) -> int:
    """`birdiedna plan prepare`."""
    plan = remote_prepare.prepare(given.out, _asked(given))
    size = sum((plan.folder / name).stat().st_size for name in plan.sums)
    print(f"{plan.folder}: {len(plan.runs)} runs, {size / 1e6:.1f} MB of data")
    return 0


def run_work(given: argparse.Namespace) -> int:
    """`birdiedna plan run`; a plan that is there is worked on as it is."""
    if not (given.out / "plan.json").exists():
        run_prepare(given)
    with stop.watch(given.budget_minutes) as ask:
        try:
            remote.work(given.out, ask, given.only, given.device)
        finally:
            print(plan.text(plan.read(given.out), each=False))
    return 0


def run_status(given: argparse.Namespace) -> int:
    """`birdiedna plan status`."""
    print(plan.text(plan.read(given.folder)))
    return 0


def run_collect(given: argparse.Namespace) -> int:
    """`birdiedna plan collect`."""
    print(collect.said(collect.collect(given.folder, given.name)))
    return 0
