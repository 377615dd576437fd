"""The command line: `birdiedna pretrain | finetune | book | data | plan | checkpoint`."""

import argparse
import importlib
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import jax

from birdiedna import tasks
from birdiedna.cli import data
from birdiedna.cli import remote as plan
from birdiedna.evaluation import frames, metrics
from birdiedna.experiments import make, profiles
from birdiedna.experiments.sources import Sources, chosen_task, read_task
from birdiedna.tasks.tables import Columns, label_map
from birdiedna.training import checkpoint as checkpoints
from birdiedna.training import devices, run_folder, stop

_MIXTURES = tuple(profiles.PROFILES["quick"].pretrain)

_EXAMPLES = """examples:
  birdiedna pretrain --arm birdie                      both arms are one loop; see also --arm ntp
  birdiedna pretrain --genome my.fa --validation chr8  your own genome
  birdiedna finetune --arm birdie --task promoter_all  pre-trains first if that is missing
  birdiedna data list                                  genomes and tasks that can be fetched
  birdiedna data check my.fa                           is the file fit for use?
  birdiedna plan prepare --out build/plan              the paper's scale on an accelerator
  birdiedna book                                       every figure and table
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage that `--help` gives."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def seed(text: str) -> int:
    """A seed as it is given on the command line: 0 to 2^32 - 1, all that random keys tell apart.

    Raises:
      argparse.ArgumentTypeError: it is something else.
    """
    if not re.fullmatch(r"\d{1,10}", text) or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no seed; give a whole number from 0 to {2**32 - 1}"
        )
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = _Parser(
        "birdiedna",
        description="Pre-train, fine-tune and compare BirdieDNA and next-token prediction.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(dest="verb", required=True)
    _pretrain(verbs.add_parser("pretrain", help="pre-train one arm on a genome"))
    _finetune(verbs.add_parser("finetune", help="fine-tune an arm on a task, and score it"))
    verbs.add_parser("book", help="run the chapters that are not fresh, render the pages")
    part = verbs.add_parser("data", help="list, fetch, check and audit genomes and tasks")
    data.add_arguments(part, _reading)
    part = verbs.add_parser("plan", help="many runs on a borrowed accelerator, as results")
    plan.add_arguments(part, seed, add_session)
    part = verbs.add_parser("checkpoint", help="say whether a run's checkpoints are undamaged")
    part.description = "Compare every file of a run's checkpoints with the checksum saved with it."
    part.add_argument("action", choices=["verify"])
    part.add_argument("run", nargs="+", type=Path, help="run folders, or single checkpoints")
    part.set_defaults(act=run_checkpoint)
    return top


def _shared(part: argparse.ArgumentParser, arms: Sequence[str]) -> None:
    add = part.add_argument
    add("--profile", default="quick", help="quick: minutes on two cores; paper: the paper's sizes; "
        "or a name of results/")  # fmt: skip
    add("--arm", default="birdie", help=f"one of {', '.join(arms)} (default: birdie)")
    add("--genome", default="sample", help="FASTA to pre-train on; default: the embedded sample")
    add("--validation", default="", help="contigs for held-out loss, such as chr8 or chr8,chr9")
    add("--seed", type=seed, default=0, help="of weights and batches (default: 0)")
    making = part.add_argument_group("how the run is made")
    add_session(making)


def add_session(group: argparse._ArgumentGroup) -> None:
    """The options of a session: what it may use, and for how long."""
    add = group.add_argument
    add("--device", default="", choices=["", *devices.KINDS], metavar="KIND",
        help=f"{', '.join(devices.KINDS)}; default: any (quick), accelerator (paper)")  # fmt: skip
    add("--budget-minutes", type=minutes, metavar="N",
        help="stop in time, with a checkpoint; the same command goes on from there")  # fmt: skip


def minutes(text: str) -> float:
    """A time as it is given on the command line.

    Raises:
      argparse.ArgumentTypeError: it is no positive number.
    """
    if not re.fullmatch(r"\d+(\.\d+)?", text) or not float(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no time; give minutes, such as 9 or 0.5")
    return float(text)


def _pretrain(part: argparse.ArgumentParser) -> None:
    part.description = "Pre-train one arm and print its run folder; a finished run is not repeated."
    _shared(part, _MIXTURES)
    part.add_argument("--replay", default="", metavar="RUN",
        help="command the ratios of this run again, without its reward model")  # fmt: skip
    part.add_argument("--hosts", default="", metavar="HOSTS",
        help="of several processes: auto (pod, Slurm), or host:port,processes,number")  # fmt: skip
    part.set_defaults(act=run_pretrain)


def _finetune(part: argparse.ArgumentParser) -> None:
    part.description = "Fine-tune an arm on a task; print the test scores and the run folder."
    _shared(part, (*_MIXTURES, "random"))
    add = part.add_argument
    add("--tasks", default="sample", help="folder of tasks, or a file of rows; default: the sample")
    add("--task", default="", help="such as promoter_all; may be left out if there is one only")
    add("--finetune-seed", type=seed, default=0, help="of the order of the rows")
    _reading(part.add_argument_group("how rows are read"))
    part.set_defaults(act=run_finetune)


def _reading(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--sequence-column", default="", metavar="NAME", help="default: sequence, or seq")
    add("--label-column", default="", metavar="NAME", help="default: label")
    add("--name-column", default="", metavar="NAME", help="default: name, if there is one")
    add("--labels", default="", metavar="WORD=0,...", help="classes of labels that are words")
    add("--length", type=int, default=0, metavar="BASES", help="read the first bases of each row")
    add("--reference", default="", metavar="FASTA", help="for intervals: the genome they lie in")
    add("--skip-missing-contigs", action="store_true", help="leave out intervals it does not hold")


def _sources(given: argparse.Namespace) -> Sources:
    if given.verb == "pretrain":
        return Sources(given.genome, validation=given.validation)
    labels = label_map(given.labels) if given.labels else ()
    return Sources(
        given.genome,
        given.tasks,
        given.validation,
        Columns(given.sequence_column, given.label_column, given.name_column, labels),
        given.length,
        given.reference,
        given.skip_missing_contigs,
    )


@contextmanager
def _session(given: argparse.Namespace) -> Iterator[make.Session]:
    """The session that the options describe; it ends with the time given."""
    devices.backend()
    with stop.watch(given.budget_minutes) as ask:
        yield make.Session(ask, given.device, getattr(given, "replay", ""))


def run_pretrain(given: argparse.Namespace) -> int:
    """`birdiedna pretrain`."""
    if given.hosts:
        devices.join(given.hosts)
    with _session(given) as session:
        folder = make.pretrained(given.profile, given.arm, _sources(given), given.seed, session)
    if jax.process_index():
        return 0  # the first process keeps the run
    last = run_folder.events(folder, "evaluation")[-1]
    print(f"held-out loss after {last['step']:,} steps, nats per label token:")
    for name, loss in last["losses"].items():
        print(f"  {name:24s}{loss:8.3f}")
    print(f"run: {folder}")
    return 0


def run_finetune(given: argparse.Namespace) -> int:
    """`birdiedna finetune`; says first what the rows are and what was done to them."""
    sources, seeds = _sources(given), (given.seed, given.finetune_seed)
    task = chosen_task(sources, given.task)
    rows = read_task(profiles.profile(given.profile), sources, task)
    print(f"{task}, " + "\n  ".join(tasks.report(rows.notes)))
    if rows.part:
        first, last = rows.part[0], rows.part[1] - 1
        print(f"  of each row, bases {first} to {last} are read ({given.profile} profile)")
    with _session(given) as session:
        folder = make.finetuned(given.profile, given.arm, task, sources, *seeds, session)
    labels, logits, step = frames.chosen(folder)
    print(f"{len(labels):,} test rows at step {step}, chosen on validation (95 % over rows):")
    for name, value in metrics.scores(labels, logits).items():
        low, high = metrics.interval(labels, logits, name, seed=0)
        print(f"  {name:10s}{value:7.3f}  [{low:.3f}, {high:.3f}]")
    print(f"run: {folder}")
    return 0


def run_checkpoint(given: argparse.Namespace) -> int:
    """`birdiedna checkpoint verify`; 1 if a file is damaged or there is no checkpoint at all."""
    worst = 0
    for run in given.run:
        found = sorted({p.parent for p in run.rglob("facts.json")} | {*run.glob("*/[0-9]*/")})
        for checkpoint in found:
            faults = checkpoints.problems(checkpoint)
            worst = max(worst, bool(faults))
            print(f"{checkpoint}: {'; '.join(faults) or 'every file is as it was saved'}")
        if not found:
            print(f"{run}: no checkpoint", file=sys.stderr)
            worst = 1
    return int(worst)


def run_book(argv: Sequence[str]) -> int:
    """`birdiedna book`; the builder is no part of the package, it lies in a checkout."""
    root = run_folder.repository()
    if not (root / "book" / "_ext" / "__main__.py").exists():
        print(
            "birdiedna book: the book needs a checkout installed with `pip install -e .`",
            file=sys.stderr,
        )
        return 1
    sys.path.insert(0, str(root))
    return importlib.import_module("book._ext.__main__").main(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status. An error is one line, without a traceback."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] == "book":
        return run_book(argv[1:])
    given = parser().parse_args(argv)
    try:
        return given.act(given)
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except stop.Stopped as stopped:
        print(
            f"birdiedna {given.verb}: {stopped}; the run is saved, and the same command goes on "
            "with it",
            file=sys.stderr,
        )
        return stopped.status
    except KeyboardInterrupt:
        print(f"birdiedna {given.verb}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except (ValueError, OSError, ArithmeticError) as error:
        print(f"birdiedna {given.verb}: {error}", file=sys.stderr, flush=True)
        if jax.distributed.is_initialized():
            os._exit(1)  # an orderly exit waits for the other processes, and they for this one
        return 1
