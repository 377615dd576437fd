"""The command `birdiedna data build`: a task of one's own from a genome and coordinates."""

import argparse
from pathlib import Path

from birdiedna import downloads, elements, fasta
from birdiedna.elements.building import Plan
from birdiedna.elements.kinds import ANCHORS, SITES, Elements
from birdiedna.genome import HELD_OUT

EXAMPLES = """examples:
  birdiedna data build --genome my.fa --peaks peaks.bed --task my_mark --out my_tasks --decoys
  birdiedna data build --genome my.fa --tss starts.bed --task my_promoters --out my_tasks
  birdiedna data build --genome my.fa --exons genes.gtf --sites all --task my_sites --out my_tasks
  birdiedna data build --genome my.fa --bed enhancers.bed --length 400 --task mine --out my_tasks
  birdiedna finetune --tasks my_tasks --task my_mark

Coordinates have to be of the genome's assembly. Rows are on the + strand always; as many negative
rows as positive ones are drawn on each contig; what is left out is counted and written down.
"""


def add_arguments(part: argparse.ArgumentParser) -> None:
    """Declare the options of `birdiedna data build`."""
    add = part.add_argument
    add("--genome", required=True, help="FASTA, or an entry of `birdiedna data list`")
    kind = part.add_mutually_exclusive_group(required=True)
    kind.add_argument("--peaks", type=Path, metavar="BED", help="peaks of a histone mark")
    kind.add_argument("--tss", type=Path, metavar="BED", help="transcription starts, with strands")
    kind.add_argument("--exons", type=Path, metavar="GTF", help="transcripts, for splice sites")
    kind.add_argument("--bed", type=Path, metavar="BED", help="other intervals; needs --length")
    add("--task", required=True, metavar="NAME", help="name of the task, and of its folder")
    add("--out", required=True, type=Path, metavar="DIR", help="folder of tasks to write it into")
    add("--decoys", action="store_true", help="also NAME_decoy, with harder negatives")
    add("--sites", choices=[*SITES], help="with --exons: which of them (default: donors)")
    add("--length", type=int, metavar="BASES", help="with --bed: bases of a window")
    add("--anchor", choices=ANCHORS, help="with --bed: where the window lies (default: centre)")
    add(
        "--held-out", default=",".join(HELD_OUT), metavar="A,B", help="chromosomes of the test rows"
    )
    add("--rows", type=int, default=0, metavar="N", help="at most so many in a file; default: all")
    add("--seed", type=int, default=0, help="of all draws (default: 0)")
    add("--skip-missing", action="store_true",
        help="leave out, and count, elements on contigs that the genome lacks")  # fmt: skip
    part.set_defaults(act=run)


def run(given: argparse.Namespace) -> int:
    """Build the task and say what it holds.

    Raises:
      ValueError, FileNotFoundError: as `elements.build`, or options that do not go together.
    """
    chosen = _elements(given)
    held_out = tuple(filter(None, given.held_out.split(",")))
    plan = Plan(held_out, given.seed, given.rows, given.skip_missing)
    genome = fasta.read(downloads.located(given.genome))
    records = elements.build(genome, chosen, given.task, given.out, plan, given.decoys)
    for name, record in records.items():
        print(f"{given.out / name}\n{elements.summary(record)}")
    print(f"use it: birdiedna finetune --tasks {given.out} --task {given.task}")
    return 0


def _elements(given: argparse.Namespace) -> Elements:
    """Read the one file of elements, by the options that belong to its kind."""
    owners = {"sites": "exons", "length": "bed", "anchor": "bed"}
    for option, owner in owners.items():
        if getattr(given, option) is not None and not getattr(given, owner):
            raise ValueError(f"--{option} goes with --{owner} only; leave it out")
    if given.peaks:
        return elements.peaks(given.peaks)
    if given.tss:
        return elements.starts(given.tss)
    if given.exons:
        return elements.exons(given.exons, given.sites or "donors")
    if given.length is None:
        raise ValueError("--bed needs --length, such as --length 400")
    return elements.stretches(given.bed, given.length, given.anchor or "centre")
