"""`birdiedna data`: what there is to fetch, fetching it, and what files and tasks hold."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from birdiedna import audit, catalogue, downloads, fasta, sample
from birdiedna.catalogue import Entry, File
from birdiedna.data import describe
from birdiedna.elements import command as building

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
    building.add_arguments(
        action("build", "make a task of one's own from a genome and coordinates", building.EXAMPLES)
    )
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
        _print_entry(catalogue.named(name), given.cache)
    if not given.name:
        print(_line("name", "kind", "holds", "size", "fetched", "licence"))
        for entry in catalogue.ENTRIES:
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
    count = len(catalogue.tasks_of(entry))
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
    for task in catalogue.tasks_of(entry):
        print(f"    {task:34s}{_rows(known.get(task))}")
    for name, length in entry.contigs:
        print(f"    {name:16s}{length:>14,} bases")
    _print_files(entry)


def _rows(rows: catalogue.Rows | None) -> str:
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
      ValueError, FileNotFoundError, ConnectionError, OSError: as `downloads.fetch`.
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
        print(f"  contigs of {', '.join(catalogue.HELD_OUT)} are never trained on")
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
    how = describe.reading(given)
    for text in given.path:
        path = downloads.located(text)
        entry = next((e for e in catalogue.ENTRIES if e.name == text.partition(":")[0]), None)
        if entry and entry.kind == "genome" and path != Path(text):
            describe.check_lengths(path, entry)
        describe.path(path, how)
    return 0


def run_sample(_: argparse.Namespace) -> int:
    """`birdiedna data sample`."""
    describe.path(sample.GENOME)
    describe.path(sample.TASKS)
    return 0


def run_audit(given: argparse.Namespace) -> int:
    """`birdiedna data audit`.

    Raises:
      ValueError, FileNotFoundError: as `tasks.load`, `fasta.read` and `downloads.located`.
    """
    path = sample.TASKS if given.tasks == "sample" else downloads.located(given.tasks)
    if audit.has_intervals(path):
        found = audit.of_intervals(path)
    else:
        where = sample.GENOME if given.genome == "sample" else given.genome
        genome = fasta.read(downloads.located(str(where))) if where else None
        found = audit.of_folder(path, genome, baselines=not given.no_baselines)
    print(audit.report(found))
    if given.out:
        found.write_csv(given.out)
        print(f"\n{found.height} rows of {found.width} columns: {given.out}")
    return 0
