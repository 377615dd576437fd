"""From text to numbers: every label and every letter of a file's rows is checked and encoded.

No row is dropped: what is in doubt is an error that names the rows, what is changed is counted.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from birdiedna import vocab
from birdiedna.data.labelled import Labelled
from birdiedna.tasks import tables
from birdiedna.tasks.tables import Columns, listed

#: Up to this many different words are proposed as a label map.
_WORDS = 8


def read(
    path: Path, columns: Columns = Columns(), task: str | None = None, classes: int | None = None
) -> tuple[Labelled, dict[str, int]]:
    """The rows of one file, and what `encode` counted; arguments as in `tables.read`, `encode`."""
    return encode(path, tables.read(path, columns, task), dict(columns.labels), classes)


def encode(
    path: Path, frame: pl.DataFrame, numbers: Mapping[str, int], classes: int | None = None
) -> tuple[Labelled, dict[str, int]]:
    """Check and encode rows of text.

    Args:
      path: for messages.
      frame: as `tables.read` gives it.
      numbers: the class of each word, if labels are words; else {}, they are whole numbers.
      classes: how many, if labels are numbers; None takes the largest label and one.

    Returns:
      the rows, and counts of bases and rows that were changed or are unusual, without zeros.

    Raises:
      ValueError: no rows; a label without a class, a sequence that is missing or not IUPAC, each
        with the first five rows; a class without rows.
    """
    if not frame.height:
        raise ValueError(f"{path}: a header and no rows; did the download fail? Get it again")
    labels = _labels(path, frame, numbers, len({*numbers.values()}) or classes)
    if empty := frame.filter(pl.col("sequence") == "")["place"].to_list():
        some = f" in {len(empty):,} rows; delete them" if len(empty) > 1 else "; delete the row"
        raise ValueError(f"{path}, {listed(empty)}: the sequence is missing{some}")
    sequences = frame["sequence"].to_list()
    letters = "".join(sequences).encode("latin-1", "replace")
    try:
        flat = vocab.encode(letters)
    except ValueError:
        raise ValueError(_wrong_letters(path, frame)) from None
    lengths = np.array([len(sequence) for sequence in sequences], np.int32)
    tokens = np.full((len(lengths), lengths.max()), vocab.PAD, np.uint8)
    tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = flat
    unknown = (tokens == vocab.N).sum(1)
    codes = np.frombuffer(letters, np.uint8)
    capital = codes & ~np.uint8(32)
    counts = {
        "bases in lower case": int((codes != capital).sum()),
        "letters read as N": int(unknown.sum() - (capital == ord("N")).sum()),
        "rows with N": int((unknown > 0).sum()),
        "rows of N only, kept": int((unknown == lengths).sum()),
    }
    rows = Labelled(tokens, lengths, labels, tuple(frame["name"]))
    return rows, {what: count for what, count in counts.items() if count}


def _labels(
    path: Path, frame: pl.DataFrame, numbers: Mapping[str, int], classes: int | None
) -> np.ndarray:
    """Labels (n,) int32, all of 0..classes-1, each class with at least one row."""
    limit, words = classes or vocab.CLASSES, frame["label"].to_list()
    known = numbers or {
        word: int(word)
        for word in {*words}
        if word and re.fullmatch(r"[0-9]{1,9}", word) and int(word) < limit
    }
    wrong = [
        f"{place}: label " + ("is missing" if word is None else f"is {word[:40]!r}")
        for word, place in zip(words, frame["place"].to_list(), strict=True)
        if word not in known
    ]
    if wrong:
        raise ValueError(f"{path}, {listed(wrong)}; {_remedy(words, numbers, limit)}")
    labels = np.array([known[word] for word in words], np.int32)
    counts = np.bincount(labels, minlength=max(classes or 0, 2))
    if not counts.all():
        found = ", ".join(f"{label}: {count}" for label, count in enumerate(counts))
        raise ValueError(f"{path}: a class has no rows ({found}); each class needs some")
    return labels


def _remedy(labels: Sequence[str | None], numbers: Mapping[str, int], limit: int) -> str:
    """How to give each label a class."""
    if numbers:
        return f"the label map has {', '.join(numbers)}; add the others"
    words = sorted({label for label in labels if label})
    number = f"use a whole number 0..{limit - 1}"
    if len(words) > _WORDS or all(re.fullmatch(r"-?[0-9]+", word) for word in words):
        return number
    return f"{number}, or a label map: --labels {','.join(f'{w}={i}' for i, w in enumerate(words))}"


def _wrong_letters(path: Path, frame: pl.DataFrame) -> str:
    """The first letter that is no nucleotide code, and the rows that hold any."""
    found: dict[str, str] = {}
    for sequence, place in zip(frame["sequence"], frame["place"], strict=True):
        try:
            vocab.encode(sequence)
        except ValueError as error:
            found[place] = str(error)
    place, wrong = next(iter(found.items()))
    more = f"; {len(found):,} rows: {listed([*found])}" if len(found) > 1 else ""
    return f"{path}, {place}: {wrong}{more}"
