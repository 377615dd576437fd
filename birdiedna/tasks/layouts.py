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
from pathlib import Path
from typing import NamedTuple

from birdiedna import intervals
from birdiedna.tasks import tables
from birdiedna.tasks.labelled import is_labelled

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
    for name, splits in intervals.sets(root).items():
        if all(_is_interval(file) for classes in splits.values() for file in classes.values()):
            yield name, Source(INTERVALS, {split: splits[split] for split in sorted(splits)[::-1]})


def _is_interval(path: Path) -> bool:
    return {"region", "start", "end", "strand"} <= {*tables.header(path)}
