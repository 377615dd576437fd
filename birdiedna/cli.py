"""The command line: `birdiedna pretrain | finetune | book | data`, each with `--help`."""

import argparse
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

from birdiedna import (
    experiments,
    fasta,
    frames,
    genome,
    labelled,
    metrics,
    paper,
    runs,
    sample,
    tasks,
)
from birdiedna.batch import Labelled
from birdiedna.book import command as book

#: So many contigs are listed one by one.
_LISTED = 30
_MIXTURES = tuple(paper.PROFILES["quick"].pretrain)

_EXAMPLES = """examples:
  birdiedna pretrain --arm birdie                      both arms are one loop; see also --arm ntp
  birdiedna pretrain --genome my.fa --validation chr8  your own genome
  birdiedna finetune --arm birdie --task promoter_all  pre-trains first if that is missing
  birdiedna data check my.fa                           is the file fit for use?
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
    part = verbs.add_parser("book", help="run the chapters that are not fresh, render the pages")
    book.add_arguments(part)
    part.set_defaults(act=book.run_command)
    _data(verbs.add_parser("data", help="say what is in the sample, or in files of your own"))
    return top


def _shared(part: argparse.ArgumentParser, arms: Sequence[str]) -> None:
    add = part.add_argument
    add("--profile", default="quick", help="quick: minutes on two cores; paper: the paper's sizes")
    add("--arm", default="birdie", help=f"one of {', '.join(arms)} (default: birdie)")
    add("--genome", default="sample", help="FASTA to pre-train on; default: the embedded sample")
    add("--validation", default="", help="contigs for held-out loss, such as chr8 or chr8,chr9")
    add("--seed", type=seed, default=0, help="of weights and batches (default: 0)")


def _pretrain(part: argparse.ArgumentParser) -> None:
    part.description = "Pre-train one arm and print its run folder; a finished run is not repeated."
    _shared(part, _MIXTURES)
    part.set_defaults(act=run_pretrain)


def _finetune(part: argparse.ArgumentParser) -> None:
    part.description = "Fine-tune an arm on a task; print the test scores and the run folder."
    _shared(part, (*_MIXTURES, "random"))
    part.add_argument("--task", required=True, help="such as promoter_all; see `birdiedna data`")
    part.add_argument("--tasks", default="sample", help="folder of tasks; default: the sample")
    part.add_argument("--finetune-seed", type=seed, default=0, help="of the order of the rows")
    part.set_defaults(act=run_finetune)


def _data(part: argparse.ArgumentParser) -> None:
    part.description = (
        "Say what a FASTA file, a file of labelled rows or a folder of tasks holds, and whether it "
        "can be used."
    )
    part.add_argument("action", choices=["sample", "check"], help="the embedded sample, or a path")
    part.add_argument("path", nargs="*", type=Path, help="files and folders of tasks")
    part.set_defaults(act=run_data)


def _sources(given: argparse.Namespace) -> experiments.Sources:
    return experiments.Sources(given.genome, getattr(given, "tasks", "sample"), given.validation)


def run_pretrain(given: argparse.Namespace) -> int:
    """`birdiedna pretrain`."""
    folder = experiments.pretrained(given.profile, given.arm, _sources(given), given.seed)
    last = runs.events(folder, "evaluation")[-1]
    print(f"held-out loss after {last['step']:,} steps, nats per label token:")
    for name, loss in last["losses"].items():
        print(f"  {name:24s}{loss:8.3f}")
    print(f"run: {folder}")
    return 0


def run_finetune(given: argparse.Namespace) -> int:
    """`birdiedna finetune`."""
    sources, seeds = _sources(given), (given.seed, given.finetune_seed)
    folder = experiments.finetuned(given.profile, given.arm, given.task, sources, *seeds)
    labels, logits, step = frames.chosen(folder)
    print(f"{len(labels):,} test rows at step {step}, chosen on validation (95 % over rows):")
    for name, value in metrics.scores(labels, logits).items():
        low, high = metrics.interval(labels, logits, name, seed=0)
        print(f"  {name:10s}{value:7.3f}  [{low:.3f}, {high:.3f}]")
    print(f"run: {folder}")
    return 0


def run_data(given: argparse.Namespace) -> int:
    """`birdiedna data`; what a path holds decides how it is described.

    Raises:
      FileNotFoundError: there is no such file or folder.
      ValueError: no path, or a file or folder that cannot be used.
    """
    if given.action == "check" and not given.path:
        raise ValueError("`birdiedna data check` needs a FASTA file or a folder of tasks")
    paths = [sample.GENOME, sample.TASKS] if given.action == "sample" else given.path
    for path in paths:
        if path.is_dir():
            _describe_tasks(path)
        elif not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder; give one that exists")
        elif labelled.is_labelled(path):
            _describe_rows(path)
        else:
            _describe_genome(path)
    return 0


def _describe_genome(path: Path) -> None:
    found = fasta.read(path)
    print(f"{path.name}: {len(found.tokens):,} bases, fingerprint {found.fingerprint[:12]}")
    print("  " + ", ".join(f"{name} {count:,}" for name, count in found.notes.items()))
    held = {c.name for c in found.contigs if genome.chromosome(c.name) in genome.HELD_OUT}
    longest = {}
    print(f"  {'contig':32s}{'bases':>14s}{'N':>14s}{'longest without N':>19s}")
    for number, contig in enumerate(found.contigs):
        ends = genome.stretches(found, contig)
        sizes = ends[:, 1] - ends[:, 0]
        longest[contig.name] = int(sizes.max(initial=0))
        if number < _LISTED:
            counts = f"{contig.length:>14,}{contig.length - sizes.sum():>14,}"
            end = "  held out" if contig.name in held else ""
            print(f"  {contig.name:32s}{counts}{longest[contig.name]:>19,}{end}")
    if len(found.contigs) > _LISTED:
        print(f"  and {len(found.contigs) - _LISTED:,} more contigs")
    _describe_parts([*longest], held)
    _describe_use(path, {name: size for name, size in longest.items() if name not in held})


def _describe_use(path: Path, longest: Mapping[str, int]) -> None:
    """How many contigs that are not held out have room for a row of each profile."""
    slots = {name: profile.pretrain["ntp"].slots for name, profile in paper.PROFILES.items()}
    for name, length in slots.items():
        fit = sum(size >= length for size in longest.values())
        print(f"  rows of {length:,} bases ({name}) fit into {fit:,} of {len(longest):,} contigs")
        if fit == 1:
            print("    pre-training needs two: one to train on, one for --validation")
    if max(longest.values(), default=0) < min(slots.values()):
        raise ValueError(
            f"{path}: no contig outside {', '.join(genome.HELD_OUT)} has {min(slots.values())} "
            "bases without N; give longer contigs"
        )


def _describe_parts(names: Sequence[str], held: Collection[str]) -> None:
    """Which contigs are never trained on, and which cannot be told to be so."""
    if held:
        print(f"  held out, never trained on: {_some(sorted(held))}")
    else:
        print(f"  held out: none; no contig is named as {', '.join(genome.HELD_OUT)}")
    if unknown := [name for name in names if not genome.is_chromosome(name)]:
        print(f"  of unknown chromosome, so trained on: {_some(unknown)}")
        print(f"    should one belong to {', '.join(genome.HELD_OUT)}, rename it so")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8:,} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more


def _describe_rows(path: Path) -> None:
    fna = path.name.lower().removesuffix(".gz").endswith(".fna")
    rows = labelled.read_fna(path) if fna else labelled.read_table(path)
    print(f"{path.name}: labelled rows\n  {_counted(rows)}")


def _describe_tasks(path: Path) -> None:
    present = tasks.names(path)
    print(f"{path.name}: {len(present)} tasks")
    for name in present:
        for split, rows in zip(("train", "test"), tasks.load(path, name), strict=True):
            print(f"  {name:28s}{split:6s}{_counted(rows)}")


def _counted(rows: Labelled) -> str:
    classes = ", ".join(f"{label}: {n:,}" for label, n in enumerate(np.bincount(rows.labels)))
    length = f"{rows.lengths.min():,}-{rows.lengths.max():,}"
    return f"{len(rows.labels):>7,} rows of {length} bases; rows by class {classes}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status. An error is one line, without a traceback."""
    given = parser().parse_args(argv)
    try:
        return given.act(given)
    except (ValueError, OSError) as error:
        print(f"birdiedna {given.verb}: {error}", file=sys.stderr)
        return 1
