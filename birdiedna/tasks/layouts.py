"""Find the rows of each task: the folder and file layouts in which tasks are shared.

    <task>/{train,test}.fna                Nucleotide Transformer; or .csv, .tsv, .parquet
    <set>/{train,dev,test}.csv             GUE; also one folder deeper, as EMP/H3
    train.parquet test.parquet             one table for many tasks, with a column `task`
    <set>.{train,dev,test}[.any].csv.gz    the same splits as flat files; also <set>_train.csv
    <set>/{train,test}/<class>/*.txt       Genomic Benchmarks, the official archives
    <set>/{train,test}/<class>.csv.gz      their intervals, which need a reference genome
    <set>.{train,test}.<class>.csv.gz      the same as flat files
    <task>.csv                             one table: split by its column `split`, or by us

Names of splits may be capital, and those in `tables.SPLITS`. Only file names, header lines and the
column `task` of a combined table are read here; hidden files are not.
"""

import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from birdiedna.data.files import special
from birdiedna.data.names import listed, meant
from birdiedna.tasks import tables
from birdiedna.tasks.benchmark_rules import TASKS

_LOG = logging.getLogger(__name__)
#: Suffixes of files of labelled rows.
SUFFIXES = (*tables.FASTA_SUFFIXES, *tables.TABLE_SUFFIXES)
#: The splits of a task, as notes name them.
PARTS = tuple(tables.SPLITS)
_PART_OF = tables.PART_OF
_WORD = rf"(?P<word>{'|'.join(_PART_OF)})"
_FLAT = re.compile(rf"((?P<set>.+?)(?P<mark>[._-]))?{_WORD}([._-](?P<rest>.+))?", re.I)
_SUFFIX = "|".join(map(re.escape, SUFFIXES))
_SPLIT = re.compile(rf"{_WORD}({_SUFFIX}|-\d{{5}}-of-(?P<pieces>\d{{5}}).*\.parquet)", re.I)
_INTERVAL_SET = re.compile(r"(.+)\.(train|test)\.(.+)")
#: Layouts in words.
_FILES, _TABLE, _COMBINED = "a file for each part", "one table", "a table of several tasks"
TEXTS, INTERVALS = "a folder of texts for each class", "intervals of each class"


class TaskFiles(NamedTuple):
    """The files of one task.

    layout: in words. files: split -> class name -> folder of texts or interval table, or "" -> a
    file of all classes; the split "rows" is one table still to be split. task: selects rows of a
    combined table. name: of the task. folder: where `files` were found.
    """

    layout: str
    files: Mapping[str, Mapping[str, Path]]
    task: str | None = None
    name: str = ""
    folder: Path = Path()

    def all_files(self) -> list[Path]:
        """Return all files or class folders."""
        return [file for part in self.files.values() for file in part.values()]

    def described(self) -> str:
        """Return the task as told apart: its value in a column, or its files."""
        files = (str(file.relative_to(self.folder)) for file in self.all_files())
        return repr(self.task) if self.task else ", ".join(files)


def names(path: Path | str) -> list[str]:
    """Return the tasks of a folder or file, in the benchmark's order, then by name.

    Raises FileNotFoundError if there is no such path; ValueError if it contains no task, two files
    of the same split, or two tasks of one name.
    """
    return list(find_all(Path(path)))


def find(path: Path | str, name: str) -> TaskFiles:
    """Return the files of one task; errors as in `names`, or no such task."""
    known = find_all(Path(path))
    if name not in known:
        hint = f"{meant(name, known)}choose one of {listed([*known], 30)}"
        raise ValueError(f"no task {name!r} in {path}; {hint}")
    return known[name]


def find_all(path: Path) -> dict[str, TaskFiles]:
    """Return all tasks by name, made safe for file names; order and errors as in `names`."""
    if not (path.is_file() or path.is_dir()):
        raise FileNotFoundError(
            f"{path}: no such file or folder{special(path)}; give a folder of tasks or a file"
        )
    return _found(path, _state(path))


def _state(path: Path, deep: int = 4) -> tuple[object, ...]:
    """Return what tells whether files of rows, or folders, at a path or below have changed."""
    below: list[object] = []
    try:
        stat = path.stat()
        for entry in os.scandir(path) if deep and path.is_dir() else ():
            if entry.name[0] != "." and (entry.is_dir() or entry.name.lower().endswith(SUFFIXES)):
                below.append((entry.name, _state(Path(entry.path), deep - 1)))
    except OSError:  # no link to a file, or not readable: noticed when it is read
        return ()
    return (stat.st_size, stat.st_mtime_ns, *below)


@lru_cache(maxsize=8)
def _found(path: Path, state: object) -> dict[str, TaskFiles]:
    """Return all tasks; cached, since those of a folder are looked for one by one."""
    folder = path if path.is_dir() else path.parent
    if path.is_file():
        found = list(_flat([path])) if path.name.lower().endswith(SUFFIXES) else []
    else:
        found = [*_interval_tasks(path), *_folders(path)]
        taken = {file for _, task in found for file in task.all_files()}
        found += _flat(file for file in _files(path) if file not in taken and _is_loose(file))
    named: dict[str, TaskFiles] = {}
    for name, task in found:
        name = re.sub(r"[^\w.+-]+", "_", unicodedata.normalize("NFC", name))  # a Mac writes NFD
        task = task._replace(name=name, folder=folder)
        if name in named:
            both = f"{named[name].described()}, {task.described()}"
            raise ValueError(f"{path}: two tasks {name!r} ({both}); rename one of them")
        named[name] = task
    if not named:
        raise ValueError(_nothing(path))
    order = {task.name: i for i, task in enumerate(TASKS)}
    return {n: named[n] for n in sorted(named, key=lambda n: (order.get(n, len(order)), n))}


def _is_loose(path: Path) -> bool:
    """Return whether a file is a task, or part of one, by itself; warn of one that is damaged."""
    try:
        return tables.is_labelled(path)
    except ValueError as error:
        _LOG.warning("%s; it is skipped", error)
        return False


def _nothing(path: Path) -> str:
    """Return what a folder or file without tasks needs."""
    suffixes = ", ".join(SUFFIXES)
    if path.is_file():
        return f"{path} is not a file of labelled rows; its name must end in one of {suffixes}"
    half = [f"{folder.name}/" for folder in _subfolders(path) if len(_parts(folder)) == 1]
    found = f" ({', '.join(half)} contains only one of the two)" if half else ""
    return (
        f"{path} contains no <task>/train and <task>/test{found}, and no table of rows; give a "
        f"folder with such files, each ending in one of {suffixes}"
    )


def _files(folder: Path) -> list[Path]:
    """Return the visible files, sorted; FileNotFoundError for rows whose link leads nowhere."""
    visible = sorted(path for path in folder.iterdir() if path.name[0] != ".")
    for path in visible:
        if path.name.lower().endswith(SUFFIXES) and path.is_symlink() and not path.exists():
            raise FileNotFoundError(f"{path}: the link leads to no file; restore it, or delete it")
    return [path for path in visible if path.is_file()]


def _subfolders(folder: Path) -> list[Path]:
    return sorted(sub for sub in folder.iterdir() if sub.is_dir() and sub.name[0] not in "._")


def _folders(root: Path) -> Iterator[tuple[str, TaskFiles]]:
    """Yield tasks that are folders: the root itself, else its folders, else those one deeper."""
    parts = _parts(root)
    if len(parts) > 1:
        yield from _by_task(root.resolve().name, parts)
    elif task := _folder(root):
        yield root.resolve().name, task
    else:
        for group in _subfolders(root):
            if task := _folder(group):
                yield group.name, task
                continue
            for folder in (group, *_subfolders(group)):
                if folder != group and (task := _folder(folder)):
                    yield f"{group.name}_{folder.name}", task
                elif len(_parts(folder)) == 1:
                    _LOG.warning("%s: only one of train and test, so it is no task", folder)


def _folder(folder: Path) -> TaskFiles | None:
    """Return the task in a folder, if any."""
    parts = _parts(folder)
    if len(parts) > 1:
        combined = any("task" in tables.header(file) for file in parts.values())
        return _of_files(_FILES, parts, folder.name if combined else None)
    classes = {
        _PART_OF[part.name.lower()]: {sub.name: sub for sub in _subfolders(part)}
        for part in _subfolders(folder)
        if part.name.lower() in _PART_OF and any(part.glob(f"[!._]*/{tables.TEXTS}"))
    }
    return TaskFiles(TEXTS, classes) if len(classes) > 1 else None


def _parts(folder: Path) -> dict[str, Path]:
    """Return the train, validation and test file of a folder; ValueError if a split has two."""
    found: dict[str, Path] = {}
    for file in _files(folder):
        if not (match := _SPLIT.fullmatch(file.name)):
            continue
        word, part = match["word"], _PART_OF[match["word"].lower()]
        if match["pieces"] not in (None, "00001"):
            raise ValueError(
                f"{file}: the {word} rows are in several files; join them into one, {word}.parquet"
            )
        if part in found:
            raise ValueError(
                f"{file}: {found[part].name} also contains {part} rows; delete or rename one"
            )
        found[part] = file
    return {part: found[part] for part in PARTS if part in found}


def _flat(paths: Iterable[Path]) -> Iterator[tuple[str, TaskFiles]]:
    """Yield tasks that are files in one folder: `<set>.<split>[.any].<suffix>`, or one table.

    Without the dot (`<set>_train`, `train_<set>`) there must be a train file and another.
    """
    named = {path: _set_and_split(path) for path in paths}
    present = {(name, part) for _, name, part, _ in named.values() if part != "rows"}
    count = Counter(name for name, _ in present)
    groups: dict[str, dict[str, Path]] = {}
    for path, (stem, name, part, dotted) in named.items():
        if not dotted and (count[name] == 1 or (name, "train") not in present):
            name, part = stem, "rows"
        group = groups.setdefault(name, {})
        if group and (part in group or "rows" in (part, *group)):
            other = next(iter(group.values()))
            raise ValueError(
                f"{path} may contain the same rows as {other.name}; name the splits of a task "
                f"{name}.train.csv and {name}.test.csv, each once"
            )
        group[part] = path
    for name, group in groups.items():
        yield from _by_task(name, {part: group[part] for part in ("rows", *PARTS) if part in group})


def _set_and_split(path: Path) -> tuple[str, str, str, bool]:
    """Return the stem, set and split of a file, and whether a dot is before the split."""
    stem = re.sub(rf"({_SUFFIX})$", "", path.name, flags=re.I)
    match = _FLAT.fullmatch(stem)
    if not match:
        return stem, stem, "rows", True
    name = ".".join(filter(None, (match["set"], match["rest"]))) or stem
    return stem, name, _PART_OF[match["word"].lower()], match["mark"] == "."


def _by_task(name: str, files: Mapping[str, Path]) -> Iterator[tuple[str, TaskFiles]]:
    """Yield one task, or those named in the column `task` of the files."""
    known = {part: tables.tasks(file) for part, file in files.items()}
    without = [file for file in files.values() if "task" not in tables.header(file)]
    if without and any(known.values()):
        raise ValueError(f"{without[0]}: other files of its task have a column 'task'; add it")
    for task in sorted({task for tasks in known.values() for task in tasks}):
        yield task, _of_files(_COMBINED, {p: f for p, f in files.items() if task in known[p]}, task)
    if not any(known.values()):
        yield name, _of_files(_TABLE if len(files) == 1 else _FILES, files)


def _of_files(layout: str, files: Mapping[str, Path], task: str | None = None) -> TaskFiles:
    return TaskFiles(layout, {part: {"": file} for part, file in files.items()}, task)


def _interval_tasks(root: Path) -> Iterator[tuple[str, TaskFiles]]:
    """Yield sets of interval tables, recognised by one header: reading names a damaged table."""
    for name, parts in interval_sets(root).items():
        if any(_is_interval(file) for classes in parts.values() for file in classes.values()):
            yield name, TaskFiles(INTERVALS, {part: parts[part] for part in sorted(parts)[::-1]})


def _is_interval(path: Path) -> bool:
    return {"region", "start", "end", "strand"} <= {*tables.header(path)}


def interval_sets(folder: Path) -> dict[str, dict[str, dict[str, Path]]]:
    """Return interval tables of Genomic Benchmarks: set -> split -> class -> path, sorted.

    Their names are `<set>.<split>.<class>.csv.gz` or, officially, `<set>/<split>/<class>.csv.gz`.
    The folder contains sets or, in the official layout, is one. ValueError if a class occurs twice.
    """
    found: dict[str, dict[str, dict[str, Path]]] = {}
    files = (path for depth in ("", "*/", "*/*/") for path in folder.glob(f"{depth}[!.]*"))
    for path in sorted(path for path in files if path.name.endswith((".csv.gz", ".csv"))):
        stem = path.name.removesuffix(".gz").removesuffix(".csv")
        parents = path.relative_to(folder).parts[:-1]
        if not parents and (flat := _INTERVAL_SET.fullmatch(stem)):
            name, part, label = flat.groups()
        elif len(parents) in (1, 2) and parents[-1] in ("train", "test"):
            name = parents[0] if len(parents) == 2 else folder.resolve().name
            part, label = parents[-1], stem
        else:
            continue
        classes = found.setdefault(name, {}).setdefault(part, {})
        if label in classes and _is_interval(path):
            raise ValueError(f"{path}: {classes[label]} contains the same rows; delete one")
        classes[label] = path
    return found
