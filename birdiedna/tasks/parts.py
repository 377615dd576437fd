"""The parts of a task, train, validation and test, from files of any layout.

What the files call a part stays that part. Where one is missing, another stands in or is divided,
and a remark says so.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from birdiedna import fasta, intervals, vocab
from birdiedna.batch import Labelled
from birdiedna.genome import HELD_OUT, Genome
from birdiedna.tasks import labelled, layouts
from birdiedna.tasks.columns import Columns
from birdiedna.tasks.layouts import Source
from birdiedna.tasks.rows import Read
from birdiedna.tasks.splits import boundary, carve, chromosomes, held_out


class Parts(NamedTuple):
    """What the files of a task hold, as they call it.

    reads: part -> rows and counts, train first; "rows" is a table to be divided. classes: names in
    the order of their numbers. numbering: where the numbers come from.
    """

    reads: dict[str, Read]
    classes: tuple[str, ...]
    numbering: str


class Assigned(NamedTuple):
    """The parts that a model is trained, chosen and tested on; remarks say how they came about."""

    train: Labelled
    validation: Labelled | None
    test: Labelled
    remarks: list[str]


def read(
    source: Source,
    columns: Columns,
    classes: int | None = None,
    reference: str = "",
    skip_missing: bool = False,
) -> Parts:
    """Read all files of a task.

    Args:
      source: where they are.
      columns: names of columns, and the classes of labels that are no numbers.
      classes: number of classes if known.
      reference, skip_missing: for intervals, as in `tasks.load`.

    Raises:
      ValueError: a file fails its checks, parts have other classes, or intervals have no reference.
    """
    if source.layout == layouts.INTERVALS:
        return _intervals(source, columns, reference, skip_missing)
    if reference:
        raise ValueError(f"--reference {reference} is for intervals; here is {source.layout}")
    if source.layout == layouts.TEXTS:
        return _texts(source, columns)
    return _tables(source, columns, classes)


def _tables(source: Source, columns: Columns, classes: int | None) -> Parts:
    reads: dict[str, Read] = {}
    for part, path in source.files.items():
        reads[part] = labelled.read(path, classes, source.task, columns)
        classes = int(reads[part].rows.labels.max()) + 1
    named = columns.class_names()
    numbering = "label map" if named else "numbers in the files"
    return Parts(reads, named or tuple(map(str, range(classes or 0))), numbering)


def _texts(source: Source, columns: Columns) -> Parts:
    words = _class_names(source)
    if not columns.labels:
        columns = replace(columns, labels=tuple((word, i) for i, word in enumerate(words)))
        numbering = "class folders sorted by name"
    else:
        numbering = "label map"
    reads = {part: labelled.read_texts(files, columns) for part, files in source.files.items()}
    return Parts(reads, columns.class_names(), numbering)


def _intervals(source: Source, columns: Columns, reference: str, skip_missing: bool) -> Parts:
    words = _class_names(source)
    genomes = _references(words, reference)
    reads = {}
    for part, files in source.files.items():
        rows, found = intervals.labelled(files, genomes, skip_missing)
        unknown = (rows.tokens == vocab.N).sum(1)
        skipped = sum(found["skipped"].values())
        counts = {
            "intervals on contigs that the reference lacks, left out": skipped,
            "rows with N": int((unknown > 0).sum()),
            "rows of N only, kept": int((unknown == rows.lengths).sum()),
        }
        counts = {name: count for name, count in counts.items() if count}
        reads[part] = Read(_renumbered(rows, words, columns), (), counts)
    numbering = "label map" if columns.labels else "class tables sorted by name"
    return Parts(reads, columns.class_names() or words, numbering)


def _class_names(source: Source) -> tuple[str, ...]:
    """The classes of a task, sorted; each part has to have all of them."""
    held = {part: tuple(sorted(files)) for part, files in source.files.items()}
    first, words = next(iter(held.items()))
    for part, others in held.items():
        if others != words or len(words) < 2:
            raise ValueError(
                f"{first} has the classes {', '.join(words)}, {part} {', '.join(others)}; a task "
                "needs the same two or more in each part"
            )
    return words


def _references(words: tuple[str, ...], reference: str) -> Genome | Mapping[str, Genome]:
    """The genome that intervals are read from, or one for each class."""
    if not reference:
        raise ValueError(
            "intervals hold no sequence; give the genome they were made for: --reference genome.fa"
        )
    if "=" not in reference:
        return fasta.read(Path(reference).expanduser())
    paths = dict(pair.split("=", 1) for pair in reference.split(",") if "=" in pair)
    if sorted(paths) != sorted(words):
        raise ValueError(
            f"--reference names {', '.join(paths)}; the classes are {', '.join(words)}: give each "
            f"its genome, as {words[0]}=a.fa,{words[1]}=b.fa"
        )
    return {word: fasta.read(Path(path).expanduser()) for word, path in paths.items()}


def _renumbered(rows: Labelled, words: tuple[str, ...], columns: Columns) -> Labelled:
    """Rows with the classes of the label map, in labels and in names."""
    if not columns.labels:
        return rows
    numbers = dict(columns.labels)
    if missing := [word for word in words if word not in numbers]:
        raise ValueError(f"the label map lacks {', '.join(missing)}; add {missing[0]}=0, say")
    labels = np.array([numbers[word] for word in words], np.int32)[rows.labels]
    pairs = zip(rows.names, labels, strict=True)
    names = tuple(f"{name.rpartition('|')[0]}|{label}" for name, label in pairs)
    return rows._replace(labels=labels, names=names)


def assign(reads: Mapping[str, Read]) -> Assigned:
    """Which rows are for training, validation and test.

    A validation part stands in for a missing train or test part. A part that is alone is divided:
    rows on chromosomes 20 to 22 are the test part, or else a tenth is carved.

    Raises:
      ValueError: a part cannot be divided so that each side has all classes.
    """
    rows = {part: read.rows for part, read in reads.items()}
    if len(rows) == 1:
        return _divided(*reads.items())
    remarks = []
    for missing in {"train", "test"} - {*rows}:
        rows[missing] = rows.pop("validation")
        remarks.append(f"there is no {missing} file: {missing} rows come from the validation file")
    where = chromosomes(rows["train"].names)
    if count := int(held_out(where).sum()) if where else 0:
        remarks.append(
            f"{count:,} train rows lie on {', '.join(HELD_OUT)}, where other tasks are tested; "
            "they stay where the files put them"
        )
    return Assigned(rows["train"], rows.get("validation"), rows["test"], remarks)


def _divided(only: tuple[str, Read]) -> Assigned:
    """Train and test rows of a single part."""
    part, found = only
    source = "one table holds all rows" if part == "rows" else f"all rows come from the {part} file"
    where = found.chromosomes or chromosomes(found.rows.names)
    mask = held_out(where) if where else np.zeros(len(found.rows.labels), bool)
    if not mask.any():
        train, test = carve(found.rows)
        remark = f"a tenth is carved from it as test rows, {boundary(train, test)}"
        return Assigned(train, None, test, [f"{source}; {remark}"])
    train, test = labelled.take(found.rows, ~mask), labelled.take(found.rows, mask)
    if {*train.labels} != {*test.labels}:
        raise ValueError(
            f"{source}; {mask.sum():,} of {len(mask):,} rows lie on {', '.join(HELD_OUT)}: "
            "test rows, but a class is missing among them or the rest; give train and test files"
        )
    lie = ", ".join(sorted({name for name, held in zip(where, mask, strict=True) if held}))
    return Assigned(train, None, test, [f"{source}; test rows are those on {lie}"])
