"""What a FASTA file, a table of rows or a folder of tasks holds, printed; what is unfit is refused.

What a path holds decides how it is described.
"""

import argparse
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from birdiedna import catalogue, fasta, genome, paper, tasks
from birdiedna.catalogue import Entry
from birdiedna.chromosomes import chromosome, is_chromosome
from birdiedna.genome import Genome
from birdiedna.tasks import labelled, tables
from birdiedna.tasks.columns import Columns, label_map
from birdiedna.tasks.rows import Read

#: So many contigs are listed one by one.
_LISTED = 30


class Reading(NamedTuple):
    """How rows are read, as `tasks.load` takes it."""

    columns: Columns = Columns()
    length: int = 0
    reference: str = ""
    skip_missing: bool = False


def reading(given: argparse.Namespace) -> Reading:
    """How rows are read, from the options of the command line."""
    labels = label_map(given.labels) if given.labels else ()
    columns = Columns(given.sequence_column, given.label_column, given.name_column, labels)
    return Reading(columns, given.length, given.reference, given.skip_missing_contigs)


def path(place: Path, how: Reading = Reading()) -> None:
    """Describe a file or folder, whatever it holds.

    Raises:
      FileNotFoundError: there is no such file or folder.
      ValueError: it cannot be used.
    """
    if place.is_dir():
        _tasks(place, how)
    elif not place.exists():
        raise FileNotFoundError(f"{place}: no such file or folder; give one that exists")
    elif labelled.is_labelled(place):
        _rows(place, how)
    else:
        _genome(place)


def check_lengths(place: Path, entry: Entry) -> None:
    """Say that the contigs of a file have the lengths of the entry it was fetched for.

    Raises:
      ValueError: they have not.
    """
    found = _lengths(fasta.read(place))
    if differ := catalogue.other_lengths(entry, found):
        raise ValueError(
            f"{place}: not {entry.name}: {'; '.join(differ[:5])}; remove the file and fetch again"
        )
    print(f"{entry.name}: {len(found)} contigs, all of the lengths they should have")


def _lengths(found: Genome) -> list[tuple[str, int]]:
    return [(contig.name, contig.length) for contig in found.contigs]


def _genome(place: Path) -> None:
    found = fasta.read(place)
    print(f"{place.name}: {len(found.tokens):,} bases, fingerprint {found.fingerprint[:12]}")
    print("  " + ", ".join(f"{name} {count:,}" for name, count in found.notes.items()))
    held = {c.name for c in found.contigs if chromosome(c.name) in genome.HELD_OUT}
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
    if known := catalogue.assemblies(_lengths(found)):
        print(f"  contigs of known names have the lengths of {' and '.join(known)}")
    _parts([*longest], held)
    _use(place, {name: size for name, size in longest.items() if name not in held})


def _use(place: Path, longest: Mapping[str, int]) -> None:
    """How many contigs that are not held out have room for a row of each profile."""
    slots: dict[int, list[str]] = {}
    for name, profile in paper.PROFILES.items():
        slots.setdefault(profile.pretrain["ntp"].slots, []).append(name)
    for length, names in slots.items():
        fit = sum(size >= length for size in longest.values())
        of = ", ".join(names)
        print(f"  rows of {length:,} bases ({of}) fit into {fit:,} of {len(longest):,} contigs")
        if fit == 1:
            print("    pre-training needs two: one to train on, one for --validation")
    if max(longest.values(), default=0) < min(slots):
        raise ValueError(
            f"{place}: no contig outside {', '.join(genome.HELD_OUT)} has {min(slots)} "
            "bases without N; give longer contigs"
        )


def _parts(names: Sequence[str], held: Collection[str]) -> None:
    """Which contigs are never trained on, and which cannot be told to be so."""
    if held:
        print(f"  held out, never trained on: {_some(sorted(held))}")
    else:
        print(f"  held out: none; no contig is named as {', '.join(genome.HELD_OUT)}")
    if unknown := [name for name in names if not is_chromosome(name)]:
        print(f"  of unknown chromosome, so trained on: {_some(unknown)}")
        print(f"    should one belong to {', '.join(genome.HELD_OUT)}, rename it so")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8:,} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more


def _rows(place: Path, how: Reading) -> None:
    """A file of rows, by tasks if a column names them."""
    for task in tables.tasks(place) or [None]:
        read = labelled.read(place, task=task, columns=how.columns)
        print(f"{place.name}{f', task {task}' if task else ''}: labelled rows")
        for line in _counted(read):
            print(f"  {line}")


def _counted(read: Read) -> list[str]:
    """Rows, lengths and classes, and what reading changed or met."""
    rows = read.rows
    classes = ", ".join(f"{label}: {n:,}" for label, n in enumerate(np.bincount(rows.labels)))
    length = f"{rows.lengths.min():,}-{rows.lengths.max():,}"
    first = f"{len(rows.labels):,} rows of {length} bases; rows by class {classes}"
    return [first, *(f"{count:,} {what}" for what, count in read.notes.items())]


def _tasks(folder: Path, how: Reading) -> None:
    """Each task of a folder: its layout, its rows, and what reading it changed or met."""
    present = tasks.names(folder)
    print(f"{folder.name}: {len(present)} tasks")
    for name in present:
        first, *others = tasks.report(tasks.load(folder, name, *how).notes)
        print(f"  {name}: {first}")
        for line in others:
            print(f"    {line}")
