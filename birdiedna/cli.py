"""The command line: `birdiedna pretrain | finetune | book | data`, each with `--help`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from birdiedna import experiments, fasta, frames, genome, metrics, paper, runs, sample, tasks
from birdiedna.book import command as book

_EXAMPLES = """examples:
  birdiedna pretrain --arm birdie                      both arms are one loop; see also --arm ntp
  birdiedna pretrain --genome my.fa --validation chr8  your own genome
  birdiedna finetune --arm birdie --task promoter_all  pre-trains first if that is missing
  birdiedna data check my.fa                           is the file fit for use?
  birdiedna book                                       every figure and table
"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
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
    add("--seed", type=int, default=0, help="of weights and batches (default: 0)")


def _pretrain(part: argparse.ArgumentParser) -> None:
    part.description = "Pre-train one arm and print its run folder; a finished run is not repeated."
    _shared(part, paper.PRETRAINED)
    part.set_defaults(act=run_pretrain)


def _finetune(part: argparse.ArgumentParser) -> None:
    part.description = "Fine-tune an arm on a task; print the test scores and the run folder."
    _shared(part, paper.ARMS)
    part.add_argument("--task", required=True, help="such as promoter_all; see `birdiedna data`")
    part.add_argument("--tasks", default="sample", help="folder of tasks; default: the sample")
    part.add_argument("--finetune-seed", type=int, default=0, help="of the order of the rows")
    part.set_defaults(act=run_finetune)


def _data(part: argparse.ArgumentParser) -> None:
    part.description = (
        "Say what a FASTA file or a folder of tasks holds, and whether it can be used."
    )
    part.add_argument("action", choices=["sample", "check"], help="the embedded sample, or a path")
    part.add_argument("path", nargs="*", type=Path, help="FASTA files and folders of tasks")
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
    """`birdiedna data`."""
    if given.action == "check" and not given.path:
        raise ValueError("`birdiedna data check` needs a FASTA file or a folder of tasks")
    paths = [sample.GENOME, sample.TASKS] if given.action == "sample" else given.path
    for path in paths:
        _describe_tasks(path) if path.is_dir() else _describe_genome(path)
    return 0


def _describe_genome(path: Path) -> None:
    found = fasta.read(path)
    print(f"{path.name}: {len(found.tokens):,} bases, fingerprint {found.fingerprint[:12]}")
    for contig in found.contigs[:30]:
        held = "  held out" if genome.chromosome(contig.name) in genome.HELD_OUT else ""
        print(f"  {contig.name:32s}{contig.length:>14,} bases{held}")
    if len(found.contigs) > 30:
        print(f"  and {len(found.contigs) - 30:,} more contigs")
    print("  " + ", ".join(f"{name} {count:,}" for name, count in found.notes.items()))


def _describe_tasks(path: Path) -> None:
    present = tasks.names(path)
    print(f"{path.name}: {len(present)} tasks")
    for name in present:
        for split, rows in zip(("train", "test"), tasks.load(path, name), strict=True):
            counts = " ".join(str(n) for n in np.bincount(rows.labels))
            length = f"{rows.lengths.min()}-{rows.lengths.max()}"
            print(f"  {name:28s}{split:6s}{len(rows.labels):>7,} rows of {length} bases; {counts}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status. An error is one line, without a traceback."""
    given = parser().parse_args(argv)
    try:
        return given.act(given)
    except (ValueError, OSError) as error:
        print(f"birdiedna {given.verb}: {error}", file=sys.stderr)
        return 1
