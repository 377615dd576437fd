"""Where the rows of each task lie: the folders and files in which tasks are shared.

    <task>/{train,test}.fna                Nucleotide Transformer; or .csv, .tsv, .parquet
    <set>/{train,dev,test}.csv             GUE; also one folder deeper, as EMP/H3
    train.parquet test.parquet             one table for many tasks, with a column `task`
    <set>.{train,dev,test}[.any].csv.gz    the same parts as flat files
    <set>/{train,test}/<class>/*.txt       Genomic Benchmarks, the official archives
    <set>/{train,test}/<class>.csv.gz      their intervals, which want a reference genome
    <task>.csv                             one table, to be divided

Nothing but names, folders and header lines is read here, and the column `task` of a combined table.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from birdiedna import vocab
from birdiedna.data import fasta
from birdiedna.data.genome import HELD_OUT, Genome
from birdiedna.data.labelled import Labelled
from birdiedna.tasks import genomic_benchmarks, labelled, tables
from birdiedna.tasks.labelled import Read, is_labelled
from birdiedna.tasks.splits import boundary, carve, chromosomes, held_out
from birdiedna.tasks.tables import Columns

_FNA = (".fna", ".fna.gz")
_TABLES = (".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz")
SUFFIXES = (*_FNA, *_TABLES)
#: What the parts of a task are called; the first is our own name.
_SPLITS = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
_SPLIT_OF = {word: split for split, words in _SPLITS.items() for word in words}
_FLAT = re.compile(rf"(?P<set>.+?)\.(?P<split>{'|'.join(_SPLIT_OF)})(?P<rest>[._].+)?")
_INTERVAL_FILES = ("*.csv*", "train/*.csv*", "*/train/*.csv*")
#: Layouts in words.
_PARTS, _TABLE, _COMBINED = "a file for each part", "one table", "a table of several tasks"
TEXTS, INTERVALS = "a folder of texts for each class", "intervals of each class"


class Source(NamedTuple):
    """Where the rows of a task lie.

    layout: in words. files: split -> file, or class name -> folder of texts or interval table; the
    split "rows" is one that is still to be divided. task: which rows of a combined table.
    """

    layout: str
    files: Mapping[str, Path | Mapping[str, Path]]
    task: str | None = None


def find(path: Path) -> dict[str, Source]:
    """The tasks of a folder or file by name, {} if there are none.

    Raises:
      FileNotFoundError: there is no such file or folder.
      ValueError: two files that hold the same part, or two tasks of one name.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; give a folder of tasks or a file")
    if path.is_file():
        return _once(path, _flat([path] if path.name.lower().endswith(SUFFIXES) else []))
    found = [*_interval_sets(path), *_folders(path)]
    taken = {file for _, source in found for file in _files(source)}
    loose = [file for file in sorted(path.iterdir()) if _is_rows(file) and file not in taken]
    return _once(path, [*found, *_flat(loose)])


def incomplete(path: Path) -> list[str]:
    """Folders with a train or a test file and no other part, so that they are no task."""
    return [f"{folder.name}/" for folder in _within(path) if len(_parts(folder)) == 1]


def _once(path: Path, found: Iterable[tuple[str, Source]]) -> dict[str, Source]:
    """The tasks by a name that may stand in a file name."""
    named: dict[str, Source] = {}
    for name, source in found:
        name = re.sub(r"[^\w.+-]+", "_", name)
        if name in named:
            files = [
                str(file.relative_to(path)) for s in (named[name], source) for file in _files(s)
            ]
            raise ValueError(f"{path}: two tasks {name!r} ({', '.join(files)}); rename one of them")
        named[name] = source
    return named


def _files(source: Source) -> list[Path]:
    """All files or class folders of a task."""
    parts = source.files.values()
    return [
        file for part in parts for file in ([part] if isinstance(part, Path) else part.values())
    ]


def _within(folder: Path) -> list[Path]:
    return sorted(sub for sub in folder.iterdir() if sub.is_dir() and sub.name[0] not in "._")


def _is_rows(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith(SUFFIXES) and is_labelled(path)


def _folders(root: Path) -> Iterator[tuple[str, Source]]:
    """Tasks that are folders: the root itself, else those in it, else those one deeper."""
    if parts := _complete(root):
        yield from _by_task(root.resolve().name, parts)
    elif source := _folder(root):
        yield root.resolve().name, source
    else:
        for group in _within(root):
            if source := _folder(group):
                yield group.name, source
                continue
            for folder in _within(group):
                if source := _folder(folder):
                    yield f"{group.name}_{folder.name}", source


def _folder(folder: Path) -> Source | None:
    """The task that a folder holds, if it holds one."""
    if parts := _complete(folder):
        combined = any("task" in tables.header(file) for file in parts.values())
        return Source(_PARTS, parts, folder.name if combined else None)
    classes = {
        split: {sub.name: sub for sub in _within(folder / word) if any(sub.glob("*.txt"))}
        for word, split in _SPLIT_OF.items()
        if (folder / word).is_dir()
    }
    classes = {split: found for split, found in classes.items() if found}
    return Source(TEXTS, classes) if len(classes) > 1 else None


def _complete(folder: Path) -> dict[str, Path]:
    """The parts of a task, if there are two or more."""
    parts = _parts(folder)
    return parts if len(parts) > 1 else {}


def _parts(folder: Path) -> dict[str, Path]:
    """The train, validation and test file of a folder; .fna before others of the same part."""
    found = {}
    for word, split in _SPLIT_OF.items():
        names = [f"{word}{suffix}" for suffix in SUFFIXES]
        plain = [folder / name for name in names if (folder / name).is_file()]
        shards = sorted(folder.glob(f"{word}-00000-of-00001*.parquet"))
        if plain or shards:
            found.setdefault(split, [*plain, *shards][0])
    return {split: found[split] for split in _SPLITS if split in found}


def _flat(paths: Iterable[Path]) -> Iterator[tuple[str, Source]]:
    """Tasks that are files in one folder: `<set>.<split>[.any].<suffix>`, or one table each."""
    groups: dict[str, dict[str, Path]] = {}
    for path in paths:
        stem = next(path.name[: -len(s)] for s in SUFFIXES if path.name.lower().endswith(s))
        match = _FLAT.fullmatch(stem)
        name = f"{match['set']}.{(match['rest'] or '')[1:]}".rstrip(".") if match else stem
        split = _SPLIT_OF[match["split"]] if match else "rows"
        group = groups.setdefault(name, {})
        if split in group or "rows" in (*group, *([split] if group else [])):
            other = next(iter(group.values()))
            raise ValueError(
                f"{path}: it may hold the same rows as {other.name}; name the parts of a task as "
                f"{name}.train.csv and {name}.test.csv, each once"
            )
        group[split] = path
    for name, group in groups.items():
        yield from _by_task(name, {s: group[s] for s in ("rows", *_SPLITS) if s in group})


def _by_task(name: str, files: Mapping[str, Path]) -> Iterator[tuple[str, Source]]:
    """One task, or those that the column `task` of the files names."""
    held = {split: tables.tasks(file) for split, file in files.items()}
    for task in sorted({task for tasks in held.values() for task in tasks}):
        yield task, Source(_COMBINED, {s: f for s, f in files.items() if task in held[s]}, task)
    if not any(held.values()):
        yield name, Source(_TABLE if len(files) == 1 else _PARTS, files)


def _interval_sets(root: Path) -> Iterator[tuple[str, Source]]:
    """Sets of interval tables, told from tables of rows by their header."""
    if not any(_is_interval(file) for pattern in _INTERVAL_FILES for file in root.glob(pattern)):
        return
    for name, splits in genomic_benchmarks.sets(root).items():
        if all(_is_interval(file) for classes in splits.values() for file in classes.values()):
            yield name, Source(INTERVALS, {split: splits[split] for split in sorted(splits)[::-1]})


def _is_interval(path: Path) -> bool:
    return {"region", "start", "end", "strand"} <= {*tables.header(path)}


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
    if source.layout == INTERVALS:
        return _intervals(source, columns, reference, skip_missing)
    if reference:
        raise ValueError(f"--reference {reference} is for intervals; here is {source.layout}")
    if source.layout == TEXTS:
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
        rows, found = genomic_benchmarks.labelled(files, genomes, skip_missing)
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
