"""`birdiedna data`: list, fetch, check, audit and build genomes and tasks."""

import argparse
import json
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

from birdiedna import tasks
from birdiedna.data import cache, catalog, fasta, files, genome
from birdiedna.data.catalog import Entry
from birdiedna.data.chromosomes import chromosome
from birdiedna.data.genome import HELD_OUT, Genome
from birdiedna.data.labelled import LONGEST_BASES
from birdiedna.data.names import listed, option, quantity, shell
from birdiedna.evaluation import audit as task_audit
from birdiedna.evaluation import interval_audit
from birdiedna.experiments import profiles
from birdiedna.experiments.sources import Sources, described_genome, read_genome, read_whole
from birdiedna.tasks import Columns, Reading, build, elements, tables
from birdiedna.tasks.elements import Elements

_HELD_OUT = ", ".join(HELD_OUT)
#: Maximum number of contigs listed one by one.
_LISTED = 30


def list_entries(given: argparse.Namespace) -> int:
    """`birdiedna data list`."""
    for name in given.name:
        _print_entry(catalog.named(name))
    if not given.name:
        columns = "{:34s}{:8s}{:10s}{:15s}{:10s}{}".format
        print(columns("name", "kind", "content", "size", "fetched", "licence"))
        for entry in catalog.ENTRIES:
            content, size, state = _content(entry), _size(entry), _state(entry)
            print(columns(entry.name, entry.kind, content, size, state, entry.licence))
        print(f"cache: {files.default_cache()}; more: birdiedna data list NAME")
    return 0


def _content(entry: Entry) -> str:
    """Return the size of a genome in billions of bases, or the number of tasks."""
    if entry.kind == "weights":
        return "a model"
    if entry.contigs:
        return f"{sum(length for _, length in entry.contigs) / 1e9:.2f} Gb"
    return quantity(len(entry.tasks), "tasks")


def _state(entry: Entry) -> str:
    fetched, total = cache.fetched(entry), len(entry.files)
    return "no" if not fetched else "yes" if fetched == total else f"{fetched} of {total}"


def _size(entry: Entry) -> str:
    sizes = [file.bytes for file in entry.files if file.bytes is not None]
    return entry.size if len(sizes) < len(entry.files) else f"{sum(sizes):,}"


def _print_entry(entry: Entry) -> None:
    print(f"{entry.name}: {entry.title}")
    print(f"  size: {_size(entry)}; fetched: {_state(entry)}")
    print(f"  licence: {entry.licence}\n  cite: {entry.citation}")
    held = ", ".join(entry.held_out) or "nothing; splits are not by chromosome"
    if entry.kind != "weights":
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
        checksum = cache.pin(file).replace(":", " ")
        unknown = "checksum unknown: the sha256 is recorded at the first fetch"
        print(f"  file: {file.path}, {checksum or unknown}")
        for url in file.urls:
            print(f"    {url}")


def _rows(rows: catalog.Rows | None) -> str:
    if rows is None:
        return "rows unknown"
    length = f"{rows.length:,} bases" if rows.length else "lengths differ"
    card = f" (its card: {rows.card:,})" if rows.card else ""
    return f"{rows.train:>8,} train{card}, {rows.test:>7,} test, {length}"


def fetch(given: argparse.Namespace) -> int:
    """`birdiedna data fetch`."""
    contigs = tuple(filter(None, given.contigs.split(",")))
    path = cache.fetch(given.what, from_file=given.from_file, contigs=contigs)
    named = shell(f"{given.what}:{','.join(contigs)}" if contigs else given.what)
    print(f"{given.what}: {path}")
    if path.is_dir() or tables.is_labelled(path):
        print(f"  use it: birdiedna finetune --tasks {named}" + " --task ..." * path.is_dir())
        print(f"  look at it: birdiedna data check {named}")
    elif path.suffix == ".safetensors":
        print(f"  use it wherever a model is named: birdiedna export {named} FOLDER")
    else:
        print(f"  use it: birdiedna pretrain --genome {named}")
        print(f"  contigs of {_HELD_OUT} are never trained on")
    return 0


def check(given: argparse.Namespace) -> int:
    """`birdiedna data check`: describe every path by its content.

    ValueError if one cannot be used; of several, after all are checked.
    """
    if not given.path:
        raise ValueError("`birdiedna data check` needs a FASTA file or a folder of tasks")
    how, rows, wrong = reading(given), False, []
    for text in given.path:
        try:
            rows |= _check(text, how)
        except (ValueError, OSError) as error:
            if len(given.path) == 1:
                raise
            wrong.append(text)
            print(f"not usable: {error}")
    if wrong:
        raise ValueError(f"{len(wrong)} of {len(given.path)} cannot be used: {listed(wrong, 30)}")
    if how != Reading() and not rows:
        raise ValueError("no labelled rows are given; leave out the options on how rows are read")
    return 0


def _check(text: str, how: Reading) -> bool:
    """Describe a path, and return whether it contains labelled rows.

    Contig lengths of a fetched genome must be those of its catalogue entry.
    """
    path = cache.located(text)
    entry = next((e for e in catalog.ENTRIES if e.name == text.partition(":")[0]), None)
    if entry and entry.kind == "genome" and path != Path(text):
        found = [(contig.name, contig.length) for contig in fasta.read(path).contigs]
        if differ := catalog.other_lengths(entry, found):
            raise ValueError(
                f"{path}: not {entry.name}: {'; '.join(differ[:5])}; remove the file and fetch "
                "again"
            )
        print(f"{entry.name}: {quantity(len(found), 'contigs')}, lengths as expected")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; give one that exists")
    if rows := path.is_dir() or tables.is_labelled(path):
        _describe_tasks(path, text, how)
    else:
        _describe_genome(path, text)
    return rows


def reading(given: argparse.Namespace) -> Reading:
    """Return how rows are read, from the options that all commands on tasks share."""
    labels = tables.label_map(given.labels)
    columns = Columns(given.sequence_column, given.label_column, given.name_column, labels)
    return Reading(columns, given.length, given.reference, given.skip_missing)


def _describe_tasks(place: Path, named: str, how: Reading) -> None:
    """Describe each task: layout, rows as fine-tuning reads them, and what reading changed.

    `named` is the place on the command line.
    ValueError, after all are described, if a task cannot be fine-tuned on.
    """
    present, wrong = tasks.names(place), []
    print(f"{place.name}: {quantity(len(present), 'tasks')}")
    for name in present:
        try:
            first, *others = tasks.report(read_whole(place, name, how).notes)
            print(f"  {name}: {first}")
            for line in others:
                print(f"    {line}")
        except ValueError as error:
            wrong.append(str(error))
            if len(present) > 1:
                print(f"  {name}: not usable: {error}")
    if wrong:
        more = f"; {len(wrong):,} of {len(present):,} tasks cannot be used" * (len(present) > 1)
        raise ValueError(wrong[0] + more)
    chosen = " --task NAME" * (len(present) > 1)
    options = Sources(reading=replace(how, reference="")).options()
    if how.reference:
        options += f" --reference {shell(how.reference)}"
    print(f"  usable: birdiedna finetune --tasks {shell(named)}{chosen}{options}")


def _describe_genome(place: Path, named: str) -> None:
    """Describe a genome: contigs, what reading changed, and how pre-training would split it.

    ValueError if no profile can pre-train on it.
    """
    source = Sources(str(place))
    found = read_genome(source)
    print(f"{place.name}: {len(found.tokens):,} bases, fingerprint {found.fingerprint[:12]}")
    held = {c.name for c in found.contigs if chromosome(c.name) in HELD_OUT}
    _print_contigs(found, held)
    if not held:
        print(f"  held out: none; no contig is named like {_HELD_OUT}")
    by_slots: dict[int, list[str]] = {}
    for name, profile in profiles.PROFILES.items():
        by_slots.setdefault(profile.pretrain["ntp"].slots, []).append(name)
    fit: list[str] = []
    shown: list[str] = []
    refused: list[ValueError] = []
    for slots, names in sorted(by_slots.items()):
        try:
            lines = described_genome(profiles.PROFILES[names[0]], source)
            rows = f"with rows of {slots:,} bases ({', '.join(names)}), " * bool(fit)
            print("".join(f"  {rows}{line}\n" for line in lines if line not in shown), end="")
            shown += lines
            fit += names
        except ValueError as error:
            refused.append(error)
            if fit:
                print(f"  not with rows of {slots:,} bases ({', '.join(names)}): {error}")
    if not fit:
        print("".join(f"  {line}\n" for line in fasta.changes(found.notes)), end="")
        if max(contig.length for contig in found.contigs) <= LONGEST_BASES:
            print("  if these are labelled rows: end every header in `|label`, as in `>row 1|0`")
        raise refused[0]
    print(f"  contigs are long enough (profile {', '.join(fit)})")
    print(f"  usable: birdiedna pretrain --genome {shell(named)}")


def _print_contigs(found: Genome, held: Container[str]) -> None:
    print(f"  {'contig':32s}{'bases':>14s}{'N':>14s}{'longest without N':>19s}")
    for contig in found.contigs[:_LISTED]:
        ends = genome.stretches(found, contig)
        sizes = ends[:, 1] - ends[:, 0]
        counts = f"{contig.length:>14,}{contig.length - sizes.sum():>14,}"
        end = "  held out" if contig.name in held else ""
        print(f"  {contig.name:32s}{counts}{int(sizes.max(initial=0)):>19,}{end}")
    if len(found.contigs) > _LISTED:
        print(f"  and {quantity(len(found.contigs) - _LISTED, 'more contigs')}")


def audit(given: argparse.Namespace) -> int:
    """`birdiedna data audit`."""
    path, how = Sources(tasks=given.tasks).tasks_path(), reading(given)
    rows = given.genome or how != Reading()  # which are read, and not only their coordinates
    if interval_audit.has_intervals(path) and not rows:
        print(interval_audit.report(interval_audit.of_folder(path)))
    else:
        read = read_genome(Sources(given.genome)) if given.genome else None
        cards = task_audit.of_folder(path, read, not given.no_baselines, how)
        print(task_audit.report(cards))
    return 0


def build_task(given: argparse.Namespace) -> int:
    """`birdiedna data build`: build a task and print its summary."""
    chosen = _elements(given)
    read = fasta.read(cache.located(given.genome, "genome"))
    held_out = genome.listed_contigs(given.held_out, read)
    plan = build.Plan(held_out, given.seed, given.rows, given.skip_missing)
    records = build.build(read, chosen, given.task, given.out, plan, given.decoys)
    for name, record in records.items():
        print(f"{given.out / name}\n{build.summary(record)}")
    place = option("tasks", str(given.out))
    print(f"use it: birdiedna finetune{place}{option('task', given.task)}")
    if plan.held_out != HELD_OUT:
        names = json.dumps(held_out) if "," in "".join(held_out) else ",".join(held_out)
        change = shell(f"pretrain.held_out={names}")
        print(f"to pre-train without the contigs of its test rows: --set {change}")
    return 0


def _elements(given: argparse.Namespace) -> Elements:
    """Read the file of elements, with the options of its kind."""
    for own, owner in {"sites": "exons", "length": "bed"}.items():
        if getattr(given, own) is not None and not getattr(given, owner):
            raise ValueError(f"--{own} needs --{owner}; leave it out")
    if given.peaks:
        return elements.peaks(given.peaks)
    if given.tss:
        return elements.starts(given.tss)
    if given.exons:
        return elements.exons(given.exons, given.sites or "donors")
    if given.length is None:
        raise ValueError("--bed needs --length, such as --length 400")
    return elements.stretches(given.bed, given.length)
