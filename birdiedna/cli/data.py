"""`birdiedna data`: list, fetch, check, audit and build genomes and tasks.

What a path holds decides how it is described; what is unfit for use is refused.
"""

import argparse
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from birdiedna import tasks
from birdiedna.data import cache as downloads
from birdiedna.data import catalog, fasta, genome, sample
from birdiedna.data.catalog import Entry, File
from birdiedna.data.chromosomes import chromosome, is_chromosome
from birdiedna.data.genome import HELD_OUT, Genome
from birdiedna.evaluation import audit_report
from birdiedna.experiments import profiles
from birdiedna.tasks import build, elements, labelled, tables
from birdiedna.tasks.build import Plan
from birdiedna.tasks.elements import ANCHORS, SITES, Elements
from birdiedna.tasks.labelled import Read
from birdiedna.tasks.tables import Columns, label_map

_LIST = """examples:
  birdiedna data list                what can be fetched, and what is in the cache
  birdiedna data list chm13v2.0_noY  all that is known of one entry, traps too
"""
_FETCH = """examples:
  birdiedna data fetch chm13v2.0_noY
  birdiedna data fetch GRCh38 --contigs chr20,chrX
  birdiedna data fetch nt_revised --contigs promoter_all,enhancers
  birdiedna data fetch https://example.org/my.fa.gz
  birdiedna data fetch chm13v2.0 --from-file /media/stick/chm13v2.0.fa.gz    without network

A transfer that was cut goes on when the command is given again. What is in the cache is used
without network: --genome chm13v2.0_noY, --genome GRCh38:chr20,chrX, --tasks nt_revised.
"""
_CHECK = """examples:
  birdiedna data check my.fa              is the genome fit for use?
  birdiedna data check my_tasks/ my.csv   tasks in any known layout, or a table of rows
  birdiedna data check nt_revised         an entry of the catalogue; it is fetched if need be
"""
_AUDIT = """examples:
  birdiedna data audit                                     the sample
  birdiedna data audit --tasks my_tasks/ --genome my.fa    also: what was read in pre-training
  birdiedna data audit --tasks nt_revised --out audit.csv
  birdiedna data audit --tasks intervals/                  interval files of Genomic Benchmarks
"""


def add_arguments(
    part: argparse.ArgumentParser, reading: Callable[[argparse._ArgumentGroup], None]
) -> None:
    """The actions of `birdiedna data`; `reading` adds the options of how rows are read."""
    part.description = "Genomes and tasks: list what can be fetched, fetch, check, audit, build."
    actions = part.add_subparsers(dest="action", required=True)

    def action(name: str, said: str, examples: str = "") -> argparse.ArgumentParser:
        raw = argparse.RawDescriptionHelpFormatter
        return actions.add_parser(
            name, help=said, description=said, epilog=examples, formatter_class=raw
        )

    one = action("list", "say what can be fetched, and what is known of it", _LIST)
    one.add_argument("name", nargs="*", help="entries to describe in full")
    one.set_defaults(act=run_list)
    _fetch(action("fetch", "bring a genome or tasks into the cache, checked", _FETCH))
    one = action("check", "say what files hold, and whether they can be used", _CHECK)
    one.add_argument("path", nargs="*", help="FASTA files, tables, folders of tasks, entries")
    reading(one.add_argument_group("how rows are read"))
    one.set_defaults(act=run_check)
    action("sample", "say what the embedded sample holds").set_defaults(act=run_sample)
    _audit(
        action("audit", "say what tasks share between their splits, and how easy they are", _AUDIT)
    )
    add_build(action("build", "make a task of one's own from a genome and coordinates", _BUILD))
    for name in ("list", "fetch"):
        actions.choices[name].add_argument(
            "--cache",
            type=Path,
            metavar="DIR",
            help="default: $BIRDIEDNA_CACHE, or the user's cache",
        )


def _fetch(part: argparse.ArgumentParser) -> None:
    add = part.add_argument
    add("what", help="an entry of `birdiedna data list`, or an https address")
    add("--from-file", nargs="+", type=Path, metavar="F", help="take these instead of the network")
    add("--contigs", default="", metavar="A,B", help="contigs of a genome, or names of tasks")
    part.set_defaults(act=run_fetch)


def _audit(part: argparse.ArgumentParser) -> None:
    add = part.add_argument
    add("--tasks", default="sample", help="folder of tasks or intervals; default: the sample")
    add("--genome", default="", help="FASTA of pre-training, to count rows that were read in it")
    add("--no-baselines", action="store_true", help="leave out the methods without a model")
    add("--out", type=Path, metavar="FILE.csv", help="write all numbers into a table too")
    part.set_defaults(act=run_audit)


def run_list(given: argparse.Namespace) -> int:
    """`birdiedna data list`.

    Raises:
      ValueError: there is no such entry.
    """
    for name in given.name:
        _print_entry(catalog.named(name), given.cache)
    if not given.name:
        print(_line("name", "kind", "holds", "size", "fetched", "licence"))
        for entry in catalog.ENTRIES:
            size, state = _size(entry), _state(entry, given.cache)
            print(_line(entry.name, entry.kind, _holds(entry), size, state, entry.licence))
        print(f"cache: {given.cache or fasta.default_cache()}; more: birdiedna data list NAME")
    return 0


def _line(name: str, kind: str, holds: str, size: str, state: str, licence: str) -> str:
    return f"{name:34s}{kind:8s}{holds:10s}{size:15s}{state:10s}{licence}"


def _holds(entry: Entry) -> str:
    """Billions of bases of a genome, or how many tasks."""
    if entry.contigs:
        return f"{sum(length for _, length in entry.contigs) / 1e9:.2f} Gb"
    count = len(catalog.tasks_of(entry))
    return f"{count} task{'s' * (count != 1)}"


def _state(entry: Entry, cache: Path | None) -> str:
    have, of = downloads.fetched(entry, cache), len(entry.files)
    return "no" if not have else "yes" if have == of else f"{have} of {of}"


def _size(entry: Entry) -> str:
    sizes = [file.bytes for file in entry.files]
    return entry.size if None in sizes else f"{sum(sizes):,}"


def _print_entry(entry: Entry, cache: Path | None) -> None:
    """All that the catalogue says of an entry."""
    print(f"{entry.name}: {entry.title}")
    print(f"  size: {_size(entry)}; fetched: {_state(entry, cache)}")
    print(f"  licence: {entry.licence}\n  cite: {entry.citation}")
    held = ", ".join(entry.held_out) or "nothing; splits are not by chromosome"
    print(f"  held out: {held}")
    for note in entry.notes:
        print(f"  {note}")
    known = {rows.task: rows for rows in entry.rows}
    for task in catalog.tasks_of(entry):
        print(f"    {task:34s}{_rows(known.get(task))}")
    for name, length in entry.contigs:
        print(f"    {name:16s}{length:>14,} bases")
    _print_files(entry)


def _rows(rows: catalog.Rows | None) -> str:
    if rows is None:
        return "rows unknown"
    length = f"{rows.length:,} bases" if rows.length else "lengths differ"
    card = f" (its card: {rows.card:,})" if rows.card else ""
    return f"{rows.train:>8,} train{card}, {rows.test:>7,} test, {length}"


def _print_files(entry: Entry) -> None:
    if entry.hub:
        print(f"  from: huggingface.co/datasets/{entry.hub.repo} at {entry.hub.revision}")
        print(f"  files: {len(entry.files)}, {entry.files[0].path} and so on")
        return
    for file in entry.files:
        print(f"  file: {file.path}, {_pin(file)}")
        for url in file.urls:
            print(f"    {url}")


def _pin(file: File) -> str:
    pins = [("sha256", file.sha256), ("md5", file.md5)]
    known = next((f"{kind} {value}" for kind, value in pins if value), "")
    return known or "no sum known: the sha256 is recorded at the first fetch"


def run_fetch(given: argparse.Namespace) -> int:
    """`birdiedna data fetch`.

    Raises:
      ValueError, FileNotFoundError, ConnectionError, OSError: as `cache.fetch`.
    """
    contigs = tuple(filter(None, given.contigs.split(",")))
    path = downloads.fetch(
        given.what, cache=given.cache, from_file=given.from_file, contigs=contigs
    )
    print(f"{given.what}: {path}")
    if path.is_dir():
        print(f"  use it: birdiedna finetune --tasks {_named(given, contigs)} --task ...")
        print(f"  look at it: birdiedna data check {_named(given, contigs)}")
    else:
        print(f"  use it: birdiedna pretrain --genome {_named(given, contigs)}")
        print(f"  contigs of {', '.join(catalog.HELD_OUT)} are never trained on")
    if given.cache:
        print(f"  later commands find it with BIRDIEDNA_CACHE={given.cache}")
    return 0


def _named(given: argparse.Namespace, contigs: Sequence[str]) -> str:
    return f"{given.what}:{','.join(contigs)}" if contigs else given.what


def run_check(given: argparse.Namespace) -> int:
    """`birdiedna data check`; what a path holds decides how it is described.

    Raises:
      FileNotFoundError: there is no such file or folder.
      ValueError: no path, or a file or folder that cannot be used.
    """
    if not given.path:
        raise ValueError("`birdiedna data check` needs a FASTA file or a folder of tasks")
    how = reading(given)
    for text in given.path:
        path = downloads.located(text)
        entry = next((e for e in catalog.ENTRIES if e.name == text.partition(":")[0]), None)
        if entry and entry.kind == "genome" and path != Path(text):
            check_lengths(path, entry)
        describe_path(path, how)
    return 0


def run_sample(_: argparse.Namespace) -> int:
    """`birdiedna data sample`."""
    describe_path(sample.GENOME)
    describe_path(sample.TASKS)
    return 0


def run_audit(given: argparse.Namespace) -> int:
    """`birdiedna data audit`.

    Raises:
      ValueError, FileNotFoundError: as `tasks.load`, `fasta.read` and `cache.located`.
    """
    path = sample.TASKS if given.tasks == "sample" else downloads.located(given.tasks)
    if audit_report.has_intervals(path):
        found = audit_report.of_intervals(path)
    else:
        where = sample.GENOME if given.genome == "sample" else given.genome
        genome = fasta.read(downloads.located(str(where))) if where else None
        found = audit_report.of_folder(path, genome, baselines=not given.no_baselines)
    print(audit_report.report(found))
    if given.out:
        found.write_csv(given.out)
        print(f"\n{found.height} rows of {found.width} columns: {given.out}")
    return 0


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


def describe_path(place: Path, how: Reading = Reading()) -> None:
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
        _print_rows(place, how)
    else:
        _genome(place)


def check_lengths(place: Path, entry: Entry) -> None:
    """Say that the contigs of a file have the lengths of the entry it was fetched for.

    Raises:
      ValueError: they have not.
    """
    found = _lengths(fasta.read(place))
    if differ := catalog.other_lengths(entry, found):
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
    if known := catalog.assemblies(_lengths(found)):
        print(f"  contigs of known names have the lengths of {' and '.join(known)}")
    _parts([*longest], held)
    _use(place, {name: size for name, size in longest.items() if name not in held})


def _use(place: Path, longest: Mapping[str, int]) -> None:
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


def _print_rows(place: Path, how: Reading) -> None:
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


_BUILD = """examples:
  birdiedna data build --genome my.fa --peaks peaks.bed --task my_mark --out my_tasks --decoys
  birdiedna data build --genome my.fa --tss starts.bed --task my_promoters --out my_tasks
  birdiedna data build --genome my.fa --exons genes.gtf --sites all --task my_sites --out my_tasks
  birdiedna data build --genome my.fa --bed enhancers.bed --length 400 --task mine --out my_tasks
  birdiedna finetune --tasks my_tasks --task my_mark

Coordinates have to be of the genome's assembly. Rows are on the + strand always; as many negative
rows as positive ones are drawn on each contig; what is left out is counted and written down.
"""


def add_build(part: argparse.ArgumentParser) -> None:
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
    part.set_defaults(act=run_build)


def run_build(given: argparse.Namespace) -> int:
    """Build the task and say what it holds.

    Raises:
      ValueError, FileNotFoundError: as `build.build`, or options that do not go together.
    """
    chosen = _elements(given)
    held_out = tuple(filter(None, given.held_out.split(",")))
    plan = Plan(held_out, given.seed, given.rows, given.skip_missing)
    genome = fasta.read(downloads.located(given.genome))
    records = build.build(genome, chosen, given.task, given.out, plan, given.decoys)
    for name, record in records.items():
        print(f"{given.out / name}\n{build.summary(record)}")
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
