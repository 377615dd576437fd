"""Tasks: from files of labelled rows to train, validation and test rows.

    files = find(path, name)          layouts: which files, in which layout
    task = read(files, reading)       tables: text; encode: ids; splits: train, test
    task = with_validation(task)      splits: from the train rows, unless there is a file

`build` makes new tasks from a genome and coordinates, by `benchmark_rules`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from birdiedna import vocab
from birdiedna.data import fasta, labelled
from birdiedna.data.files import expanded
from birdiedna.data.genome import Genome
from birdiedna.data.labelled import Labelled
from birdiedna.data.names import quantity
from birdiedna.model.fields import check_types
from birdiedna.tasks import encode, layouts, splits, tables
from birdiedna.tasks.benchmark_rules import TASKS
from birdiedna.tasks.layouts import PARTS, TaskFiles, find, names
from birdiedna.tasks.tables import Columns, Text

__all__ = ["PARTS", "TASKS", "Columns", "Reading", "Task", "TaskFiles", "find", "names", "read"]

#: Where class numbers come from, if not from the files.
_NUMBERING = {
    layouts.TEXTS: "class folders sorted by name",
    layouts.INTERVALS: "class tables sorted by name",
}
#: Said of a column of splits that does not divide the rows.
_UNUSED = "rows whose column of splits is ignored: it needs one table, and words such as train"


class Task(NamedTuple):
    """Rows of a task, and notes on what was read and changed.

    validation: None if the files have no validation split. classes: names by class number. crop:
    first and stop position of the sequences in the files, () for all. notes (plain values):

      layout: in words. files: split -> file name.
      classes: as above. numbering: where class numbers come from.
      remarks: sentences on how rows were split, cropped or skipped.
      read: split -> counts of what reading the file found.
      rows: split -> rows of each class.
      lengths: split -> [shortest, longest, rows] of up to eight ranges, in bases.
      repeats: counts of sequences that occur twice, with two labels, or in two splits.
    """

    train: Labelled
    validation: Labelled | None
    test: Labelled
    classes: tuple[str, ...]
    notes: dict[str, Any]
    crop: tuple[int, ...] = ()

    def parts(self) -> dict[str, Labelled]:
        """Return split -> rows, without missing splits."""
        return {name: rows for name, rows in zip(PARTS, self[:3]) if rows is not None}


@dataclass(frozen=True)
class Reading:
    """How the files of a task are read.

    columns: names of columns, and classes of labels that are words. length: read only the first
    `length` bases of each row; 0 reads all. reference: FASTA that intervals are read from, or one
    per class: `human=a.fa,worm=b.fa`. skip_missing: skip, and count, intervals on contigs missing
    from the reference.
    """

    columns: Columns = Columns()
    length: int = 0
    reference: str = ""
    skip_missing: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        if self.length < 0:
            raise ValueError(f"length {self.length} is negative; give bases, or 0 for whole rows")


def labelled_as(words: str) -> Reading:
    """Return how rows are read whose labels are words, `no=0,yes=1`; "" if they are numbers."""
    return Reading(Columns(labels=tables.label_map(words)))


def read(files: TaskFiles, reading: Reading = Reading()) -> Task:
    """Read the files of a task (from `find`), check every row, and split them.

    ValueError if a file fails the checks of `tables` or `encode`, a class has no train rows,
    intervals have no reference, or the rows cannot be split.
    """
    columns, words = reading.columns, _words(files)
    _refuse_unused(files.layout, reading)
    numbers = dict(columns.labels) or {word: i for i, word in enumerate(words)}
    texts, counts = _texts(files, reading, words, numbers)
    known = next((task.classes for task in TASKS if task.name == files.name), 0)
    limit = 0 if numbers else known or vocab.CLASSES
    labels = {text.label for found in texts.values() for text in found if text.label}
    numbering = (
        "label map" if columns.labels else _NUMBERING.get(files.layout, "numbers in the files")
    )
    first = 0
    if limit:
        numbers, first = encode.classes(labels, limit)
        if first:
            numbering += f"; labels 1 to {max(map(int, numbers))} are read as classes from 0"
    rows: dict[str, Labelled] = {}
    for part, found in texts.items():
        path = _place(files, part)
        rows[part], changed = encode.encode(path, found, numbers, reading.length, limit, labels)
        counts[part] = {"rows": len(found)} | counts[part] | changed
    count = known or max(2, *(int(part.labels.max()) + 1 for part in rows.values()))
    classes = columns.class_names() or words or tuple(map(str, range(first, first + count)))
    rows, divided = _divided(files, texts, rows)
    for part, found in texts.items():
        if not divided and (unused := sum(bool(text.part) for text in found)):
            counts[part][_UNUSED] = unused
    try:
        train, validation, test, remarks = splits.assign(rows)
        free = numbers if limit and not known else {}
        remarks = ["every row names its split"] * divided + remarks
        remarks += _check_classes(classes, free, train, validation, test)
    except ValueError as error:
        raise ValueError(f"{_place(files, [*texts][0])}, task {files.name}: {error}") from error
    notes = {
        "layout": files.layout,
        "files": {
            part: ", ".join(str(file.relative_to(files.folder)) for file in places.values())
            for part, places in files.files.items()
        },
        "classes": list(classes),
        "numbering": numbering,
        "remarks": remarks,
        "read": counts,
    }
    return _described(Task(train, validation, test, classes, notes))


def _refuse_unused(layout: str, reading: Reading) -> None:
    """Refuse an option that does not concern files of this layout."""
    columns = reading.columns
    kinds = {
        "intervals": {"reference": reading.reference, "skip-missing": reading.skip_missing},
        "tables": {f"{role}-column": vars(columns)[role] for role in ("sequence", "label", "name")},
    }
    for kind in {layouts.TEXTS: [*kinds], layouts.INTERVALS: ["tables"]}.get(layout, ["intervals"]):
        for name, value in kinds[kind].items():
            if value:
                given = f"--{name} {value}".removesuffix(" True")
                raise ValueError(f"{given} is for {kind}, but this task is {layout}; leave it out")


def _texts(
    files: TaskFiles, reading: Reading, words: tuple[str, ...], numbers: Mapping[str, int]
) -> tuple[dict[str, list[Text]], dict[str, dict[str, int]]]:
    """Read the files; returns split -> rows as text, and split -> counts of what was found."""
    texts: dict[str, list[Text]] = {}
    counts: dict[str, dict[str, int]] = {}
    intervals = files.layout == layouts.INTERVALS
    genomes = _genomes(files.folder, words, reading.reference) if intervals else {}
    for part, places in files.files.items():
        if files.layout == layouts.TEXTS:
            texts[part], counts[part] = tables.read_texts(places)
        elif intervals:
            skip = reading.skip_missing
            texts[part], counts[part] = tables.read_intervals(places, genomes, numbers, skip)
        else:
            texts[part], counts[part] = tables.read(places[""], reading.columns, files.task)
    return texts, counts


def _divided(
    files: TaskFiles, texts: Mapping[str, Sequence[Text]], rows: dict[str, Labelled]
) -> tuple[dict[str, Labelled], bool]:
    """Split the rows of a single file by their column of splits; returns whether it has one."""
    if len(rows) > 1:
        return rows, False
    ((part, whole),) = rows.items()
    found = tables.by_part(_place(files, part), texts[part])
    divided = {name: labelled.take(whole, np.array(at)) for name, at in found.items()}
    return divided or rows, bool(divided)


def _place(files: TaskFiles, part: str) -> Path:
    """Return the file of a split, or the folder of its class files."""
    places = files.files[part]
    return places[""] if "" in places else next(iter(places.values())).parent


def _words(files: TaskFiles) -> tuple[str, ...]:
    """Return the classes named by folders or tables, sorted."""
    if files.layout not in (layouts.TEXTS, layouts.INTERVALS):
        return ()
    words = tuple(sorted({word for places in files.files.values() for word in places}))
    if not 2 <= len(words) <= vocab.CLASSES:
        only = f"the only class is {words[0]}" if len(words) == 1 else f"{len(words)} classes"
        raise ValueError(f"{files.folder}: {only}; a task needs two or more, up to {vocab.CLASSES}")
    return words


def _check_classes(
    named: Sequence[str],
    numbers: Mapping[str, int],
    train: Labelled,
    validation: Labelled | None,
    test: Labelled,
) -> list[str]:
    """Return remarks on classes without validation or test rows; refuse one without train rows."""
    counts = np.bincount(train.labels, minlength=len(named)).tolist()
    if not all(counts):
        found = ", ".join(f"{name}: {count:,}" for name, count in zip(named, counts, strict=True))
        present = {label for rows in (train, validation, test) if rows for label in rows.labels}
        if len(present) == 1:
            only = named[present.pop()]
            raise ValueError(f"all rows are of class {only}; a task needs rows of two or more")
        used = [word for word, number in numbers.items() if number in present]
        gap = 1 < len(used) < len(named) and present == {*np.flatnonzero(counts).tolist()}
        remedy = f", or number only the classes in use: {encode.label_option(used)}" * gap
        raise ValueError(f"a class has no train rows ({found}); each class needs some{remedy}")
    return [
        f"no {part} row is of class {named[label]}; {part} scores are of the other classes"
        for part, rows in (("validation", validation), ("test", test))
        if rows is not None
        for label in sorted({*range(len(named))} - {*rows.labels.tolist()})
    ]


def with_validation(task: Task) -> Task:
    """Return the task with a validation split: a tenth of the train rows if it has none."""
    if task.validation is not None:
        return task
    train, validation, how = splits.carve(task.train)
    remark = f"{splits.share(validation, task.train)} train rows are for validation, {how}"
    notes = task.notes | {"remarks": [*task.notes["remarks"], remark]}
    return _described(task._replace(train=train, validation=validation, notes=notes))


def cropped(task: Task, start: int, stop: int) -> Task:
    """Return the task cropped to positions start..stop-1, with a remark; notes count whole rows."""
    cut = lambda rows: labelled.crop(rows, start, stop)
    whole = f"--length {int(task.train.lengths.max())} reads all"
    remark = f"of each row, bases {start} to {stop - 1} are read by this profile; {whole}"
    notes = task.notes | {"remarks": [*task.notes["remarks"], remark]}
    validation = cut(task.validation) if task.validation else None
    train, test = cut(task.train), cut(task.test)
    crop = (start, stop)
    return task._replace(train=train, validation=validation, test=test, notes=notes, crop=crop)


def _genomes(folder: Path, words: tuple[str, ...], reference: str) -> dict[str, Genome]:
    """Read the genome of each class of intervals."""
    if not reference:
        raise ValueError(
            f"{folder}: intervals contain no sequence; give their genome: --reference genome.fa"
        )
    if "=" not in reference:
        return dict.fromkeys(words, fasta.read(expanded(reference)))
    paths = dict(pair.split("=", 1) for pair in reference.split(",") if "=" in pair)
    if sorted(paths) != sorted(words):
        raise ValueError(
            f"--reference names {', '.join(paths)}, but the classes are {', '.join(words)}; give "
            f"each its genome: {words[0]}=a.fa,{words[1]}=b.fa"
        )
    return {word: fasta.read(expanded(path)) for word, path in paths.items()}


def _described(task: Task) -> Task:
    """Return the task with the notes `rows`, `lengths` and `repeats`."""
    parts = task.parts()
    notes = {
        "rows": {
            name: np.bincount(rows.labels, minlength=len(task.classes)).tolist()
            for name, rows in parts.items()
        },
        "lengths": {name: _ranges(rows.lengths) for name, rows in parts.items()},
        "repeats": _repeats(parts),
    }
    return task._replace(notes=task.notes | notes)


def _ranges(lengths: np.ndarray) -> list[list[int]]:
    """Return [shortest, longest, rows] of up to eight non-empty ranges of equal width."""
    edges = np.unique(np.linspace(lengths.min(), lengths.max() + 1, 9).astype(int))
    counts, _ = np.histogram(lengths, edges)
    spans = zip(edges[:-1].tolist(), (edges[1:] - 1).tolist(), counts.tolist(), strict=True)
    return [list(span) for span in spans if span[2]]


def _repeats(parts: Mapping[str, Labelled]) -> dict[str, int]:
    """Return non-zero counts of sequences that occur more than once, on either strand."""
    labels: dict[bytes, set[int]] = {}
    keys: dict[str, list[bytes]] = {}
    for name, rows in parts.items():
        bases = labelled.either_strand(rows)
        keys[name] = [hashlib.blake2b(row, digest_size=16).digest() for row in bases]
        for key, label in zip(keys[name], rows.labels.tolist(), strict=True):
            labels.setdefault(key, set()).add(label)
    counts = {f"{name} rows that repeat another": len(k) - len({*k}) for name, k in keys.items()}
    counts["sequences with two labels"] = sum(len(found) > 1 for found in labels.values())
    seen, earlier = {*keys["train"]}, ["train"]
    for name in [*keys][1:]:
        what = f"{name} rows whose sequence is in {' or '.join(earlier)}"
        counts[what] = sum(key in seen for key in keys[name])
        seen, earlier = seen | {*keys[name]}, [*earlier, name]
    return {f"{what}, on either strand": count for what, count in counts.items() if count}


def report(notes: Mapping[str, Any]) -> list[str]:
    """Return the notes of a task as lines to print."""
    classes = [f"{i} {name}".removesuffix(f" {i}") for i, name in enumerate(notes["classes"])]
    files = "; ".join(f"{part} {name}" for part, name in notes["files"].items())
    lines = [f"{notes['layout']}: {files}", f"classes: {', '.join(classes)} ({notes['numbering']})"]
    for part, counts in notes["rows"].items():
        spans = notes["lengths"][part]
        low, high = spans[0][0], spans[-1][1]
        length = f"{low:,} bases"
        if low < high:
            ranges = ", ".join(f"{first:,}-{last:,}: {n:,}" for first, last, n in spans)
            length = f"{low:,} to {high:,} bases ({ranges})"
        listed = ", ".join(f"{label}: {count:,}" for label, count in enumerate(counts))
        lines.append(f"{part}: {quantity(sum(counts), 'rows')} of {length}; by class {listed}")
    lines += notes["remarks"]
    for part, counts in notes["read"].items():
        changed = [quantity(n, what) for what, n in counts.items() if what != "rows"]
        lines += [f"{part} as read: {'; '.join(changed)}"] if changed else []
    return lines + [quantity(count, what) for what, count in notes["repeats"].items()]
