"""The tasks of the benchmark, and the rows of any task that lies in a known layout.

`layouts` says which layouts are known. A task that has no test part is divided: rows on chromosomes
20 to 22 are for testing, or else a tenth is carved. Notes say what was done.
"""

import difflib
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from birdiedna.data.labelled import Labelled
from birdiedna.tasks import layouts
from birdiedna.tasks.labelled import Read, cut
from birdiedna.tasks.layouts import Source
from birdiedna.tasks.tables import Columns


class Loaded(NamedTuple):
    """Rows of a task, and in plain values what was read and changed.

    validation: None if the files have no such part; `splits.carve` makes one. notes:
      layout: in words. files: part -> file name.
      classes: their names, in the order of their numbers. numbering: where the numbers come from.
      remarks: sentences on what was done to divide, cut or leave out rows.
      read: part -> counts of what reading the file found.
      rows: part -> rows of each class.
      lengths: part -> [shortest, longest, rows] of up to eight ranges, in bases.
      repeats: counts of sequences that occur twice, with two labels, or in two parts.
    """

    train: Labelled
    validation: Labelled | None
    test: Labelled
    notes: dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One task: folder name, row title (the paper's Table 1, where it has the row), shape, kind.

    `length` in bases; `kind` is promoter, splice, enhancer or histone.
    """

    name: str
    title: str
    classes: int
    length: int
    kind: str


#: The 18 tasks of the revised benchmark, the 14 of Table 1 first and in its order, then our own
#: decoy variant of the donors, whose negatives also hold the two letters of a splice site.
TASKS = (
    Task("promoter_all", "Promoter All", 2, 300, "promoter"),
    Task("promoter_no_tata", "Promoter No TATA", 2, 300, "promoter"),
    Task("promoter_tata", "Promoter TATA", 2, 300, "promoter"),
    Task("splice_sites_donors", "Splice Sites Donors", 2, 600, "splice"),
    Task("enhancers", "Enhancers", 2, 400, "enhancer"),
    Task("H2AFZ", "H2AFZ", 2, 1000, "histone"),
    Task("H3K27ac", "H3K27ac", 2, 1000, "histone"),
    Task("H3K27me3", "H3K27me3", 2, 1000, "histone"),
    Task("H3K36me3", "H3K36me3", 2, 1000, "histone"),
    Task("H3K4me1", "H3K4me1", 2, 1000, "histone"),
    Task("H3K4me2", "H3K4me2", 2, 1000, "histone"),
    Task("H3K4me3", "H3K4me3", 2, 1000, "histone"),
    Task("H3K9ac", "H3K9ac", 2, 1000, "histone"),
    Task("H3K9me3", "H3K9me3", 2, 1000, "histone"),
    Task("H4K20me1", "H4K20me1", 2, 1000, "histone"),
    Task("enhancers_types", "Enhancers Types", 3, 400, "enhancer"),
    Task("splice_sites_acceptors", "Splice Sites Acceptors", 2, 600, "splice"),
    Task("splice_sites_all", "Splice Sites All", 3, 600, "splice"),
    Task("splice_sites_donors_decoy", "Splice Sites Donors, decoys", 2, 600, "splice"),
)

#: The parts of a task, as notes name them.
PARTS = ("train", "validation", "test")


def names(path: Path | str) -> list[str]:
    """The tasks of a folder or a file, in table order, then by name.

    Raises:
      FileNotFoundError: there is no such file or folder.
      ValueError: it holds no task; the message says how a task has to lie in it.
    """
    return list(_sources(Path(path)))


def _sources(path: Path) -> dict[str, Source]:
    """Where the tasks lie, in table order, then by name."""
    order = {task.name: i for i, task in enumerate(TASKS)}
    found = layouts.find(path)
    if not found:
        raise ValueError(_nothing(path))
    return {n: found[n] for n in sorted(found, key=lambda n: (order.get(n, len(order)), n))}


def _unknown(name: str, known: Collection[str], path: Path | str) -> str:
    """What a folder or file has in place of a task."""
    close = difflib.get_close_matches(name, known, 1, 0.4)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"no task {name!r} in {path}; {hint}there are: {', '.join(known)}"


def _nothing(path: Path) -> str:
    """What a folder or file without tasks would need."""
    suffixes = ", ".join(layouts.SUFFIXES)
    if path.is_file():
        return f"{path} is no file of labelled rows; its name has to end in one of {suffixes}"
    half = layouts.incomplete(path)
    found = f" ({', '.join(half)} has one of the two)" if half else ""
    return (
        f"{path} holds no <task>/train and <task>/test{found}, and no table of rows; give a folder "
        f"with such files, each ending in one of {suffixes}"
    )


def load(
    path: Path | str,
    name: str,
    columns: Columns = Columns(),
    length: int = 0,
    reference: str = "",
    skip_missing: bool = False,
) -> Loaded:
    """The rows of a task from a folder or a file, in any layout of `layouts`.

    Args:
      path: of a folder of tasks, or of a file.
      name: of a task in it.
      columns: names of columns, and the classes of labels that are no numbers.
      length: read the first so many bases of longer rows; 0 reads all.
      reference: FASTA that intervals are read from, or one a class, as `human=a.fa,worm=b.fa`.
      skip_missing: leave out, and count, intervals on contigs that the reference lacks.

    Raises:
      FileNotFoundError: there is no such file or folder.
      ValueError: there is no such task (the message lists them), a file fails the checks of
        `labelled.read`, its parts have other classes, or it cannot be divided.
    """
    known = _sources(Path(path))
    if name not in known:
        raise ValueError(_unknown(name, known, path))
    source = known[name]
    classes = next((task.classes for task in TASKS if task.name == name), None)
    found = layouts.read(source, columns, classes, reference, skip_missing)
    reads = {part: _cut(read, length) for part, read in found.reads.items()}
    try:
        assigned = layouts.assign(reads)
    except ValueError as error:
        raise ValueError(f"{path}, task {name}: {error}") from error
    rows = {part: rows for part, rows in zip(PARTS, assigned[:3], strict=True) if rows is not None}
    notes = {
        "layout": source.layout,
        "files": _file_names(source, Path(path)),
        "classes": list(found.classes),
        "numbering": found.numbering,
        "remarks": assigned.remarks,
        "read": {part: {"rows": len(r.rows.labels), **r.notes} for part, r in reads.items()},
        **described(rows),
    }
    return Loaded(*assigned[:3], notes)


def _cut(read: Read, length: int) -> Read:
    """The first `length` bases of longer rows, counted; all of them for 0."""
    over = np.maximum(read.rows.lengths - length, 0) if length else np.zeros(1, int)
    if not over.any():
        return read
    counts = {
        f"rows cut to {length} bases": int((over > 0).sum()),
        "bases cut off": int(over.sum()),
    }
    return read._replace(rows=cut(read.rows, length), notes=read.notes | counts)


def _file_names(source: Source, path: Path) -> dict[str, str]:
    """Part -> its file, or its folders or tables of classes, seen from the folder of tasks."""
    folder = path if path.is_dir() else path.parent
    return {
        part: str(files.relative_to(folder))
        if isinstance(files, Path)
        else ", ".join(str(file.relative_to(folder)) for file in files.values())
        for part, files in source.files.items()
    }


def described(rows: Mapping[str, Labelled]) -> dict[str, Any]:
    """The notes `rows`, `lengths` and `repeats` of these parts of a task."""
    classes = max(int(part.labels.max()) for part in rows.values()) + 1
    counts = {name: np.bincount(part.labels, minlength=classes) for name, part in rows.items()}
    return {
        "rows": {name: count.tolist() for name, count in counts.items()},
        "lengths": {name: _ranges(part.lengths) for name, part in rows.items()},
        "repeats": _repeats(rows),
    }


def _ranges(lengths: np.ndarray) -> list[list[int]]:
    """[shortest, longest, rows] of up to eight ranges of equal width that hold any row."""
    edges = np.unique(np.linspace(lengths.min(), lengths.max() + 1, 9).astype(int))
    counts, _ = np.histogram(lengths, edges)
    spans = zip(edges[:-1].tolist(), (edges[1:] - 1).tolist(), counts.tolist(), strict=True)
    return [list(span) for span in spans if span[2]]


def _repeats(rows: Mapping[str, Labelled]) -> dict[str, int]:
    """Counts of sequences that occur more than once; those of zero are left out."""
    keys = {name: _sequence_keys(part) for name, part in rows.items()}
    labels: dict[bytes, set[int]] = {}
    for name, part in rows.items():
        for key, label in zip(keys[name], part.labels.tolist(), strict=True):
            labels.setdefault(key, set()).add(label)
    counts = {f"{name} rows that repeat another": len(k) - len({*k}) for name, k in keys.items()}
    counts["sequences with two labels"] = sum(len(found) > 1 for found in labels.values())
    for name in (name for name in keys if name != "train"):
        seen = {*keys["train"]}
        counts[f"{name} rows whose sequence is in train"] = sum(key in seen for key in keys[name])
    return {name: count for name, count in counts.items() if count}


def _sequence_keys(rows: Labelled) -> list[bytes]:
    """A hash of each sequence (n,), equal for equal sequences whatever their padding."""
    return [
        hashlib.blake2b(row[:length], digest_size=16).digest()
        for row, length in zip(rows.tokens, rows.lengths, strict=True)
    ]


def report(notes: Mapping[str, Any]) -> list[str]:
    """The notes of a task as lines to print."""
    named = [f"{i} {name}".removesuffix(f" {i}") for i, name in enumerate(notes["classes"])]
    files = "; ".join(f"{part} {name}" for part, name in notes["files"].items())
    lines = [f"{notes['layout']}: {files}", f"classes: {', '.join(named)} ({notes['numbering']})"]
    for part, counts in notes["rows"].items():
        listed = ", ".join(f"{label}: {count:,}" for label, count in enumerate(counts))
        lines.append(f"{part}: {sum(counts):,} rows of {_lengths(notes, part)}; by class {listed}")
    lines += notes["remarks"]
    for part, counts in notes["read"].items():
        changed = [f"{n:,} {what}" for what, n in counts.items() if what != "rows"]
        lines += [f"{part} as read: {'; '.join(changed)}"] if changed else []
    return lines + [f"{count:,} {what}" for what, count in notes["repeats"].items()]


def _lengths(notes: Mapping[str, Any], part: str) -> str:
    spans = notes["lengths"][part]
    low, high = spans[0][0], spans[-1][1]
    if low == high:
        return f"{low:,} bases"
    return f"{low:,} to {high:,} bases ({', '.join(f'{a:,}-{b:,}: {n:,}' for a, b, n in spans)})"
