"""`birdiedna data`: list, fetch, check, audit and build genomes and tasks.

What a path contains decides how it is described; what is unfit for use is refused.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from birdiedna import tasks
from birdiedna.data import cache, catalog, fasta, genome, sample
from birdiedna.data.catalog import Entry, File
from birdiedna.data.chromosomes import chromosome, is_chromosome
from birdiedna.data.genome import HELD_OUT, Genome
from birdiedna.data.labelled import Labelled
from birdiedna.evaluation import audit as task_audit
from birdiedna.evaluation import interval_audit
from birdiedna.experiments import profiles
from birdiedna.tasks import Columns, Reading, build, elements, encode, tables
from birdiedna.tasks.elements import Elements

_HELD_OUT = ", ".join(HELD_OUT)
#: Up to this many contigs are listed one by one.
_LISTED = 30


def list_entries(given: argparse.Namespace) -> int:
    """`birdiedna data list`."""
    for name in given.name:
        _print_entry(catalog.named(name), given.cache)
    if not given.name:
        columns = "{:34s}{:8s}{:10s}{:15s}{:10s}{}".format
        print(columns("name", "kind", "holds", "size", "fetched", "licence"))
        for entry in catalog.ENTRIES:
            held, size, state = _content(entry), _size(entry), _state(entry, given.cache)
            print(columns(entry.name, entry.kind, held, size, state, entry.licence))
        print(f"cache: {given.cache or fasta.default_cache()}; more: birdiedna data list NAME")
    return 0


def _content(entry: Entry) -> str:
    """Billions of bases of a genome, or the number of tasks."""
    if entry.contigs:
        return f"{sum(length for _, length in entry.contigs) / 1e9:.2f} Gb"
    count = len(entry.tasks)
    return f"{count} task{'s' * (count != 1)}"


def _state(entry: Entry, folder: Path | None) -> str:
    have, of = cache.fetched(entry, folder), len(entry.files)
    return "no" if not have else "yes" if have == of else f"{have} of {of}"


def _size(entry: Entry) -> str:
    sizes = [file.bytes for file in entry.files if file.bytes is not None]
    return entry.size if len(sizes) < len(entry.files) else f"{sum(sizes):,}"


def _print_entry(entry: Entry, folder: Path | None) -> None:
    print(f"{entry.name}: {entry.title}")
    print(f"  size: {_size(entry)}; fetched: {_state(entry, folder)}")
    print(f"  licence: {entry.licence}\n  cite: {entry.citation}")
    held = ", ".join(entry.held_out) or "nothing; splits are not by chromosome"
    print(f"  held out: {held}")
    for note in entry.notes:
        print(f"  {note}")
    known = {rows.task: rows for rows in entry.rows}
    for task in entry.tasks:
        print(f"    {task:34s}{_rows(known.get(task))}")
    for name, length in entry.contigs:
        print(f"    {name:16s}{length:>14,} bases")
    if entry.hub:
        print(f"  from: huggingface.co/datasets/{entry.hub.repo} at {entry.hub.revision}")
        print(f"  files: {len(entry.files)}, {entry.files[0].path} and so on")
        return
    for file in entry.files:
        print(f"  file: {file.path}, {_checksum(file)}")
        for url in file.urls:
            print(f"    {url}")


def _rows(rows: catalog.Rows | None) -> str:
    if rows is None:
        return "rows unknown"
    length = f"{rows.length:,} bases" if rows.length else "lengths differ"
    card = f" (its card: {rows.card:,})" if rows.card else ""
    return f"{rows.train:>8,} train{card}, {rows.test:>7,} test, {length}"


def _checksum(file: File) -> str:
    sums = [("sha256", file.sha256), ("md5", file.md5)]
    known = next((f"{kind} {value}" for kind, value in sums if value), "")
    return known or "no sum known: the sha256 is recorded at the first fetch"


def fetch(given: argparse.Namespace) -> int:
    """`birdiedna data fetch`."""
    contigs = tuple(filter(None, given.contigs.split(",")))
    path = cache.fetch(given.what, cache=given.cache, from_file=given.from_file, contigs=contigs)
    named = f"{given.what}:{','.join(contigs)}" if contigs else given.what
    print(f"{given.what}: {path}")
    if path.is_dir():
        print(f"  use it: birdiedna finetune --tasks {named} --task ...")
        print(f"  look at it: birdiedna data check {named}")
    else:
        print(f"  use it: birdiedna pretrain --genome {named}")
        print(f"  contigs of {_HELD_OUT} are never trained on")
    if given.cache:
        print(f"  later commands find it with BIRDIEDNA_CACHE={given.cache}")
    return 0


def check(given: argparse.Namespace) -> int:
    """`birdiedna data check`; what a path contains decides how it is described."""
    if not given.path:
        raise ValueError("`birdiedna data check` needs a FASTA file or a folder of tasks")
    how = reading(given)
    for text in given.path:
        path = cache.located(text)
        entry = next((e for e in catalog.ENTRIES if e.name == text.partition(":")[0]), None)
        if entry and entry.kind == "genome" and path != Path(text):
            _check_lengths(path, entry)
        _describe(path, how)
    return 0


def reading(given: argparse.Namespace) -> Reading:
    """How rows are read, by the options that `check` and `birdiedna finetune` share."""
    labels = tables.label_map(given.labels) if given.labels else ()
    columns = Columns(given.sequence_column, given.label_column, given.name_column, labels)
    return Reading(columns, given.length, given.reference, given.skip_missing_contigs)


def _check_lengths(place: Path, entry: Entry) -> None:
    """The contigs of a fetched file must have the lengths of its entry."""
    found = _lengths(fasta.read(place))
    if differ := catalog.other_lengths(entry, found):
        raise ValueError(
            f"{place}: not {entry.name}: {'; '.join(differ[:5])}; remove the file and fetch again"
        )
    print(f"{entry.name}: {len(found)} contigs, all of the lengths they should have")


def _describe(place: Path, how: Reading = Reading()) -> None:
    if place.is_dir():
        _describe_tasks(place, how)
    elif not place.exists():
        raise FileNotFoundError(f"{place}: no such file or folder; give one that exists")
    elif tables.is_labelled(place):
        names: list[str | None] = [*tables.tasks(place)]
        for task in names or [None]:
            print(f"{place.name}{f', task {task}' if task else ''}: labelled rows")
            _describe_rows(*encode.read(place, how.columns, task))
    else:
        _describe_genome(place)


def _describe_rows(rows: Labelled, counts: Mapping[str, int]) -> None:
    """Rows, lengths and classes, and what reading changed or met."""
    classes = ", ".join(f"{label}: {n:,}" for label, n in enumerate(np.bincount(rows.labels)))
    length = f"{rows.lengths.min():,}-{rows.lengths.max():,}"
    print(f"  {len(rows.labels):,} rows of {length} bases; rows by class {classes}")
    for what, count in counts.items():
        print(f"  {count:,} {what}")


def _describe_tasks(folder: Path, how: Reading) -> None:
    """Each task of a folder: its layout, its rows, and what reading it changed or met."""
    present = tasks.names(folder)
    print(f"{folder.name}: {len(present)} tasks")
    for name in present:
        first, *others = tasks.report(tasks.read(tasks.find(folder, name), how).notes)
        print(f"  {name}: {first}")
        for line in others:
            print(f"    {line}")


def _describe_genome(place: Path) -> None:
    found = fasta.read(place)
    print(f"{place.name}: {len(found.tokens):,} bases, fingerprint {found.fingerprint[:12]}")
    print("  " + ", ".join(f"{name} {count:,}" for name, count in found.notes.items()))
    held = {c.name for c in found.contigs if chromosome(c.name) in HELD_OUT}
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
    if known := catalog.assemblies(_lengths(found)):
        print(f"  contigs of known names have the lengths of {' and '.join(known)}")
    if held:
        print(f"  held out, never trained on: {_some(sorted(held))}")
    else:
        print(f"  held out: none; no contig is named as {_HELD_OUT}")
    if unknown := [name for name in longest if not is_chromosome(name)]:
        print(f"  of unknown chromosome, so trained on: {_some(unknown)}")
        print(f"    should one belong to {_HELD_OUT}, rename it so")
    _print_room(place, {name: size for name, size in longest.items() if name not in held})


def _lengths(found: Genome) -> list[tuple[str, int]]:
    return [(contig.name, contig.length) for contig in found.contigs]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 8:,} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more


def _print_room(place: Path, longest: Mapping[str, int]) -> None:
    """How many contigs that are not held out have room for a row of each profile."""
    slots: dict[int, list[str]] = {}
    for name, profile in profiles.PROFILES.items():
        slots.setdefault(profile.pretrain["ntp"].slots, []).append(name)
    for length, names in slots.items():
        fit = sum(size >= length for size in longest.values())
        of = ", ".join(names)
        print(f"  rows of {length:,} bases ({of}) fit into {fit:,} of {len(longest):,} contigs")
        if fit == 1:
            print("    pre-training needs two: one to train on, one for --validation")
    if max(longest.values(), default=0) < min(slots):
        raise ValueError(
            f"{place}: no contig outside {_HELD_OUT} has {min(slots)} bases without N; give longer "
            "contigs"
        )


def describe_sample(_: argparse.Namespace) -> int:
    """`birdiedna data sample`."""
    _describe(sample.GENOME)
    _describe(sample.TASKS)
    return 0


def audit(given: argparse.Namespace) -> int:
    """`birdiedna data audit`."""
    path = sample.TASKS if given.tasks == "sample" else cache.located(given.tasks)
    if interval_audit.has_intervals(path):
        found = interval_audit.of_folder(path)
        print(interval_audit.report(found))
    else:
        where = sample.GENOME if given.genome == "sample" else given.genome
        read = fasta.read(cache.located(str(where))) if where else None
        cards = task_audit.of_folder(path, read, baselines=not given.no_baselines)
        found = task_audit.frame(cards)
        print(task_audit.report(cards))
    if given.out:
        found.write_csv(given.out)
        print(f"\n{found.height} rows of {found.width} columns: {given.out}")
    return 0


def build_task(given: argparse.Namespace) -> int:
    """`birdiedna data build`: build a task and say what it contains."""
    chosen = _elements(given)
    held_out = tuple(filter(None, given.held_out.split(",")))
    plan = build.Plan(held_out, given.seed, given.rows, given.skip_missing)
    read = fasta.read(cache.located(given.genome))
    records = build.build(read, chosen, given.task, given.out, plan, given.decoys)
    for name, record in records.items():
        print(f"{given.out / name}\n{build.summary(record)}")
    print(f"use it: birdiedna finetune --tasks {given.out} --task {given.task}")
    return 0


def _elements(given: argparse.Namespace) -> Elements:
    """Read the one file of elements, by the options that belong to its kind."""
    for option, owner in {"sites": "exons", "length": "bed", "anchor": "bed"}.items():
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
