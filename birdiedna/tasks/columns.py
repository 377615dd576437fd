"""Which columns of a table hold what, and which classes its labels stand for."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from birdiedna import vocab

#: What a column of chromosomes may be called.
_CHROMOSOME = ("chrom", "chromosome", "chr")


@dataclass(frozen=True)
class Columns:
    """How a table of one's own is to be read.

    sequence, label, name: names of columns; "" takes `sequence` or `seq`, `label`, and `name` if
    there is one. labels: (word, class) pairs for labels that are not the numbers 0, 1, ...; several
    words may share a class.

    Raises:
      ValueError: a word twice, or classes other than 0, 1, ... without a gap.
    """

    sequence: str = ""
    label: str = ""
    name: str = ""
    labels: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        words = [word for word, _ in self.labels]
        if twice := [word for i, word in enumerate(words) if word in words[:i]]:
            raise ValueError(f"label map: {twice[0]!r} occurs twice; give each word one class")
        classes = sorted({number for _, number in self.labels})
        if self.labels and (classes != [*range(len(classes))] or len(classes) < 2):
            raise ValueError(
                f"label map: the classes are {classes}; number them 0, 1, ... without a gap"
            )
        if len(classes) > vocab.CLASSES:
            raise ValueError(f"label map: {len(classes)} classes; at most {vocab.CLASSES} fit")

    def class_names(self) -> tuple[str, ...]:
        """The words of each class, several joined by `+`; () without a label map."""
        count = len({number for _, number in self.labels})
        return tuple("+".join(w for w, n in self.labels if n == number) for number in range(count))


def label_map(text: str) -> tuple[tuple[str, int], ...]:
    """The pairs in `no=0,yes=1`, as a command line gives them.

    Raises:
      ValueError: a part is no `word=number`.
    """
    pairs = [part.rpartition("=") for part in text.split(",")]
    for word, _, number in pairs:
        if not word or not (number.isascii() and number.isdigit()):
            part = f"{word}={number}" if word else number
            raise ValueError(f"label map: {part!r} is no word=number; write it as no=0,yes=1")
    return tuple((word, int(number)) for word, _, number in pairs)


def is_parquet(path: Path) -> bool:
    """Whether a file is parquet, by its name."""
    return path.name.lower().endswith(".parquet")


def separator(path: Path) -> str:
    """What separates the fields of a text table, by its name."""
    return "\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else ","


def picked(path: Path, names: Sequence[str], columns: Columns) -> dict[str, str]:
    """Which column of a table plays which role: sequence, label, name, chromosome, task.

    Raises:
      ValueError: sequence or label is missing, or two columns may be the sequence.
    """
    for given in filter(None, (columns.sequence, columns.label, columns.name)):
        if given not in names:
            raise ValueError(f"{path}: no column {given!r}; {hint(given, names)}")
    if not columns.sequence and {"sequence", "seq"} <= {*names}:
        raise ValueError(
            f"{path}: columns 'sequence' and 'seq' may both hold the rows; delete one of them, or "
            "say which with --sequence-column"
        )
    choices = {
        "sequence": (columns.sequence,) if columns.sequence else ("sequence", "seq"),
        "label": (columns.label or "label",),
        "name": (columns.name or "name",),
        "chromosome": _CHROMOSOME,
        "task": ("task",),
    }
    found = {
        role: next(name for name in known if name in names)
        for role, known in choices.items()
        if {*known} & {*names}
    }
    if not {"sequence", "label"} <= {*found}:
        raise ValueError(_no_header(path, names))
    return found


def _no_header(path: Path, names: Sequence[str]) -> str:
    """What stands where a header with the two columns should stand, and what may be wrong."""
    place = f"the header (line 1, separated by {separator(path)!r}) has the columns"
    if is_parquet(path):
        place = "the columns are"
    remedy = "or name others with --sequence-column and --label-column"
    for other, suffix in ((";", ".csv with commas"), ("\t", ".tsv"), (",", ".csv")):
        if len(names) == 1 and other in names[0]:
            remedy = f"it looks separated by {other!r}: save it as {suffix}"
    line = ", ".join(name[:40] for name in names[:6])
    return f"{path}: {place} {line!r}; it needs `sequence` and `label`, {remedy}"


def hint(given: str, names: Sequence[str]) -> str:
    """The closest name, and all of them."""
    close = difflib.get_close_matches(given, names, 1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}there are: {', '.join(name[:40] for name in names[:30])}"
