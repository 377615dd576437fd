"""From text to ids: check and encode every label and letter of a file's rows.

No row is dropped: doubtful rows raise an error that names them, changes are counted.
"""

import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from birdiedna import vocab
from birdiedna.data import labelled
from birdiedna.data.labelled import Labelled
from birdiedna.data.names import listed
from birdiedna.data.table import MISSING
from birdiedna.tasks.tables import Text

#: Maximum number of words for which a label map is suggested.
_WORDS = 8
#: Padded rows may need this many bytes, or `_PADDED` times the number of their letters.
_ROWS_BYTES, _PADDED = 1 << 28, 8


def classes(labels: Iterable[str | None], limit: int = vocab.CLASSES) -> tuple[dict[str, int], int]:
    """Return label -> class for labels that are whole numbers, and which is class 0: 0 or 1.

    `labels` are those of all splits. Labels that are not a class below `limit` are left out.
    """
    words = {word for word in labels if word and re.fullmatch(r"[0-9]{1,9}", word)}
    numbers = sorted({int(word) for word in words})
    first = int(len(numbers) > 1 and numbers == [*range(1, len(numbers) + 1)])
    return {word: int(word) - first for word in words if int(word) - first < limit}, first


def encode(
    path: Path,
    texts: Sequence[Text],
    numbers: Mapping[str, int],
    length: int = 0,
    limit: int = 0,
    every: Collection[str] = (),
) -> tuple[Labelled, dict[str, int]]:
    """Check and encode text rows of `path`; also return counts of changes and unusual rows.

    Only the first `length` bases of each row are kept, 0 for all. `numbers` gives the class of each
    label; `limit` is the maximum number of classes if labels are numbers, else 0. `every` contains
    the labels of all splits. ValueError for no rows; for labels without a class, and sequences that
    are missing or not IUPAC, each with the first five rows; for padded rows that need far more
    memory than their letters.
    """
    if not texts:
        raise ValueError(f"{path} contains no rows; did the download fail? Download it again")
    labels = _labels(path, texts, numbers, limit, every)
    if empty := [text.place for text in texts if not text.sequence]:
        some = f" in {len(empty):,} rows; delete them" if len(empty) > 1 else "; delete the row"
        raise ValueError(f"{path}, {listed(empty)}: the sequence is missing{some}")
    letters = "".join(text.sequence for text in texts).encode("latin-1", "replace")
    try:
        flat = vocab.encode(letters)
    except ValueError:
        raise ValueError(_wrong_letters(path, texts)) from None
    whole = np.array([len(text.sequence) for text in texts], np.int64)
    starts = np.cumsum(whole) - whole
    places = np.flatnonzero(flat == vocab.N)
    unknown = np.searchsorted(places, starts + whole) - np.searchsorted(places, starts)
    codes = np.frombuffer(letters, np.uint8)
    capital = codes & ~np.uint8(32)
    kept = np.minimum(whole, length) if length else whole
    counts = {
        "bases in lower case": int((codes != capital).sum()),
        "U read as T": int((capital == ord("U")).sum()),
        "letters read as N": int(unknown.sum() - (capital == ord("N")).sum()),
        "rows with N": int((unknown > 0).sum()),
        "rows of N only, kept": int((unknown == whole).sum()),
        f"rows cut to {length} bases": int((kept < whole).sum()),
        "bases cut off": int((whole - kept).sum()),
    }
    names = tuple(text.name for text in texts)
    rows = Labelled(*_padded(path, flat, starts, kept), labels, names)
    return rows, {what: count for what, count in counts.items() if count}


def _padded(
    path: Path, flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first bases of each row of a flat array, padded, and their lengths."""
    count, longest = len(lengths), int(lengths.max())
    usual = max(count * labelled.LONGEST_BASES, _PADDED * int(lengths.sum()), _ROWS_BYTES)
    if count * longest > usual:
        raise ValueError(
            f"{path}: padded to the longest of {count:,} rows, {longest:,} bases, the rows need "
            f"{count * longest / 1e9:.1f} GB; read only the first bases of each with --length "
            f"{labelled.LONGEST_BASES}, or delete the longest rows"
        )
    bases = zip(starts.tolist(), lengths.tolist(), strict=True)
    return labelled.padded([flat[start : start + size] for start, size in bases])


def _labels(
    path: Path,
    texts: Sequence[Text],
    numbers: Mapping[str, int],
    limit: int,
    every: Collection[str],
) -> np.ndarray:
    """Return the classes of the rows, int32 (n,)."""
    words = {text.label for text in texts if text.label}
    if limit and (found := len(words)) > limit:
        raise ValueError(
            f"{path}: {found:,} different labels; give at most {limit} classes, 0 to {limit - 1}"
        )
    wrong = [
        f"{place}: label " + ("is missing" if label is None else f"is {label[:40]!r}")
        for _, label, _, place, _ in texts
        if label not in numbers
    ]
    if wrong:
        lack = any(text.label is None for text in texts)
        remedy = "add it, or delete the rows" if lack else _remedy(words, numbers, limit, every)
        raise ValueError(f"{path}, {listed(wrong)}; {remedy}")
    return np.array([numbers[text.label or ""] for text in texts], np.int32)


def _remedy(words: set[str], numbers: Mapping[str, int], limit: int, every: Collection[str]) -> str:
    """Return how to give each label a class."""
    if not limit:
        return f"the label map contains only {', '.join(numbers)}; add the others"
    number = f"use a whole number 0..{limit - 1}"
    if nothing := [word for word in sorted(words) if word.upper() in MISSING]:
        return f"{number}, and delete rows whose label is {nothing[0]!r}, or map it with --labels"
    if others := sorted({*every} - words):
        return f"another file has labels such as {others[0][:40]!r}; use the same ones in all files"
    plain = all(word.isprintable() and "," not in word and len(word) <= 40 for word in words)
    if not 2 <= len(words) <= _WORDS or not plain:
        return number
    return f"{number}, or a label map: {label_option(words)}"


def label_option(words: Iterable[str]) -> str:
    """Return the shell-quoted option that numbers labels in sorted order, not minding case.

    A word that ends in another comes before it (`inactive`, `active`), and `-` before `+`.
    """
    is_number = re.compile(r"-?[0-9]{1,9}").fullmatch
    folded = {word: word.casefold().replace("+", "~") for word in words}

    def key(word: str) -> tuple[int, bool, str, str]:
        number = int(word) if is_number(word) else 10**9
        shorter = (one for one in folded.values() if one.isalpha() and one != folded[word])
        return number, not folded[word].endswith(tuple(shorter)), folded[word], word

    order = sorted(folded, key=key)
    classes = {word: number for number, word in enumerate(dict.fromkeys(map(str.casefold, order)))}
    pairs = shlex.quote(",".join(f"{word}={classes[word.casefold()]}" for word in order))
    return f"--labels={pairs}"


def _wrong_letters(path: Path, texts: Sequence[Text]) -> str:
    """Return a message with the first letter that is not a nucleotide code, and all such rows."""
    found: dict[str, str] = {}
    for sequence, _, _, place, _ in texts:
        try:
            vocab.encode(sequence)
        except ValueError as error:
            found[place] = kmers(sequence) or str(error)
    place, wrong = next(iter(found.items()))
    more = f"; {len(found):,} rows: {listed([*found])}" if len(found) > 1 else ""
    return f"{path}, {place}: {wrong}{more}"


def kmers(sequence: str) -> str:
    """Return how to fix a row of overlapping k-mers (DNABERT's format), "" for other rows."""
    words = sequence.split()
    size = len(words[0]) if words else 0
    if len(words) < 2 or size < 2 or any(a[1:] != b[:-1] for a, b in zip(words, words[1:])):
        return ""
    return (
        f"the row is a list of overlapping {size}-mers; join them: the first letter of every word, "
        "then the rest of the last one"
    )
