"""Rows of text and the checks that make labelled sequences of them.

Nothing is left out: what is in doubt is an error that names the rows, what is changed is counted.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from birdiedna import vocab
from birdiedna.batch import Labelled
from birdiedna.tasks.columns import Columns
from birdiedna.tasks.tables import listed

#: So many different words are proposed as a label map.
_WORDS = 8


class Read(NamedTuple):
    """Rows of a file, and what reading them found.

    chromosomes: of each row, where the file has such a column, else (). notes: counts of bases and
    rows that were changed or are out of the ordinary; those of zero are left out.
    """

    rows: Labelled
    chromosomes: tuple[str, ...]
    notes: dict[str, int]


class Rows(NamedTuple):
    """What a file holds before any check; `places` says for each row where it stands."""

    sequences: list[str]
    labels: list[str | None]
    names: list[str]
    places: list[str]


def checked(path: Path, rows: Rows, classes: int | None, columns: Columns) -> Read:
    """Check and encode the rows of a file.

    Args:
      path: for messages.
      rows: at least one of each class.
      classes: number of classes if known, else as the label map has, or the largest label and one.
      columns: its label map numbers the labels; without one they are whole numbers.

    Raises:
      ValueError: no rows; a label without a class, a sequence that is missing or not IUPAC, each
        with the first five rows; a class without rows.
    """
    if not rows.labels:
        raise ValueError(f"{path}: a header and no rows; did the download fail? Get it again")
    labels = _labels(path, rows, classes, columns)
    pairs = zip(rows.sequences, rows.places, strict=True)
    if empty := [place for sequence, place in pairs if not sequence]:
        some = f" in {len(empty):,} rows; delete them" if len(empty) > 1 else "; delete the row"
        raise ValueError(f"{path}, {listed(empty)}: the sequence is missing{some}")
    letters = "".join(rows.sequences).encode("latin-1", "replace")
    try:
        flat = vocab.encode(letters)
    except ValueError:
        raise ValueError(_wrong_letters(path, rows)) from None
    lengths = np.array([len(sequence) for sequence in rows.sequences], np.int32)
    tokens = np.full((len(lengths), lengths.max()), vocab.PAD, np.uint8)
    tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = flat
    found = Labelled(tokens, lengths, labels, tuple(rows.names))
    return Read(found, (), _notes(np.frombuffer(letters, np.uint8), found))


def _notes(letters: np.ndarray, found: Labelled) -> dict[str, int]:
    """What reading changed or met, by name."""
    unknown = (found.tokens == vocab.N).sum(1)
    capital = letters & ~np.uint8(32)
    counts = {
        "bases in lower case": int((letters != capital).sum()),
        "letters read as N": int(unknown.sum() - (capital == ord("N")).sum()),
        "rows with N": int((unknown > 0).sum()),
        "rows of N only, kept": int((unknown == found.lengths).sum()),
    }
    return {name: count for name, count in counts.items() if count}


def _labels(path: Path, rows: Rows, classes: int | None, columns: Columns) -> np.ndarray:
    """Labels (n,) int32, all of 0..classes-1, each class with at least one row."""
    numbers = dict(columns.labels)
    classes = len(columns.class_names()) or classes
    limit = classes or vocab.CLASSES
    if not numbers:
        numbers = {label: int(label) for label in {*rows.labels} if _is_class(label, limit)}
    wrong = [
        f"{place}: label " + ("is missing" if label is None else f"is {label[:40]!r}")
        for label, place in zip(rows.labels, rows.places, strict=True)
        if label not in numbers
    ]
    if wrong:
        raise ValueError(f"{path}, {listed(wrong)}; {_remedy(rows.labels, columns, limit)}")
    labels = np.array([numbers[label] for label in rows.labels], np.int32)
    counts = np.bincount(labels, minlength=max(classes or 0, 2))
    if not counts.all():
        found = ", ".join(f"{label}: {count}" for label, count in enumerate(counts))
        raise ValueError(f"{path}: a class has no rows ({found}); each class needs some")
    return labels


def _is_class(label: str | None, limit: int) -> bool:
    return bool(label and re.fullmatch(r"[0-9]{1,9}", label)) and int(label) < limit


def _remedy(labels: Sequence[str | None], columns: Columns, limit: int) -> str:
    """How to give each label a class."""
    if columns.labels:
        return f"the label map has {', '.join(word for word, _ in columns.labels)}; add the others"
    words = sorted({label for label in labels if label})
    number = f"use a whole number 0..{limit - 1}"
    if len(words) > _WORDS or all(re.fullmatch(r"-?[0-9]+", word) for word in words):
        return number
    return f"{number}, or a label map: --labels {','.join(f'{w}={i}' for i, w in enumerate(words))}"


def _wrong_letters(path: Path, rows: Rows) -> str:
    """The first letter that is no nucleotide code, and the rows that hold any."""
    found, message = [], ""
    for sequence, place in zip(rows.sequences, rows.places, strict=True):
        try:
            vocab.encode(sequence)
        except ValueError as error:
            message = message or f"{path}, {place}: {error}"
            found.append(place)
    return message + (f"; {len(found):,} rows: {listed(found)}" if len(found) > 1 else "")
