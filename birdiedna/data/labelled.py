"""Labelled rows as arrays, from tasks to fine-tuning."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from birdiedna import vocab
from birdiedna.data.names import quantity

#: Length of a pre-training row in the paper's profile; longer rows are read only with a length.
LONGEST_BASES = 1024


class Labelled(NamedTuple):
    """Labelled sequences on the host, in file order.

    tokens: uint8 (n, L), vocabulary ids padded with `<pad>` on the right. lengths: int32 (n,).
    labels: int32 (n,), 0..classes-1. names: origin of each row; no model sees them.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Labelled({len(self.labels):,} rows of up to {np.shape(self.tokens)[1]:,} bases)"


def fit(tokens: np.ndarray, lengths: np.ndarray, labels: np.ndarray) -> bool:
    """Return whether arrays from a file have the types, shapes and values of `Labelled`."""
    types = (np.uint8, np.int32, np.int32)
    if tokens.ndim != 2 or lengths.shape != tokens.shape[:1] or not tokens.size:
        return False
    if labels.shape != lengths.shape or (tokens.dtype, lengths.dtype, labels.dtype) != types:
        return False
    valid = lengths.min() > 0 <= labels.min() and tokens.max() <= vocab.N
    return bool(valid and lengths.max() <= tokens.shape[1] and labels.max() < vocab.CLASSES)


def padded(
    sequences: Sequence[Sequence[int] | np.ndarray], width: int = 0, kind: type = np.uint8
) -> tuple[np.ndarray, np.ndarray]:
    """Return ids as rows (n, L), padded on the right to `width`, and lengths, int32 (n,).

    ValueError for an id that `kind` cannot hold, or a sequence longer than `width`.
    """
    lengths = np.array([len(ids) for ids in sequences], np.int32)
    longest = int(lengths.max(initial=0))
    if longest > (width or longest):
        raise ValueError(f"a sequence of {longest:,} ids is longer than {width:,}; cut it")
    tokens: np.ndarray = np.full((len(lengths), width or longest), vocab.PAD, kind)
    for row, ids in zip(tokens, sequences, strict=True):
        row[: len(ids)] = ids
        if getattr(ids, "dtype", None) != kind and not np.array_equal(row[: len(ids)], ids):
            raise ValueError(
                f"ids {ids[:5]} are not all {kind.__name__}; give ids of the vocabulary"
            )
    return tokens, lengths


def take(labelled: Labelled, rows: np.ndarray) -> Labelled:
    """Return the rows selected by indices or a boolean mask (n,)."""
    index = np.arange(len(labelled.labels))[rows]
    names = tuple(labelled.names[i] for i in index)
    return Labelled._make([*(array[index] for array in labelled[:3]), names])


def subset(labels: np.ndarray, share: float, number: int) -> np.ndarray:
    """Return the sorted indices of a stratified subset of rows with labels (n,); all for share 1.

    The subset has this share of every class, rounded, but at least one row. It depends only on the
    labels and the number, so all models get the same rows; subsets of the same number are nested.
    ValueError for a share that is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share {share} is not above 0 and at most 1; give, say, 0.05")
    if share == 1:
        return np.arange(len(labels))
    order = np.random.default_rng(number).permutation(len(labels))
    by_class = [order[labels[order] == label] for label in np.unique(labels)]
    kept = [rows[: max(1, round(share * len(rows)))] for rows in by_class]
    return np.sort(np.concatenate(kept))


def crop(labelled: Labelled, start: int, stop: int) -> Labelled:
    """Crop every row to positions start..stop-1; ValueError if a row has no base there."""
    width = labelled.tokens.shape[1]
    if not 0 <= start < stop <= width:
        raise ValueError(f"crop {start}:{stop} is outside 0:{width}; choose a part of the rows")
    lengths = np.minimum(labelled.lengths, stop) - start
    if lengths.min() < 1:
        row = int(np.argmin(lengths))
        raise ValueError(
            f"{labelled.names[row]} has {labelled.lengths[row]} bases, none in {start}:{stop}; "
            "choose an earlier part"
        )
    return labelled._replace(tokens=labelled.tokens[:, start:stop], lengths=lengths)


def long_rows(lengths: np.ndarray) -> str:
    """Return the message about rows (n,) longer than `LONGEST_BASES`."""
    most = LONGEST_BASES
    over, longest = int((lengths > most).sum()), int(lengths.max())
    return (
        f"{quantity(over, f'of {len(lengths):,} rows have')} more than the {most:,} bases of "
        f"pre-training, up to {longest:,}; read the first bases of each with --length {most}, or "
        f"all of them with --length {longest}"
    )


def sequences(rows: Labelled, reverse_complement: bool = False) -> list[bytes]:
    """Return the base ids of each row, or of its reverse complement, without pads."""
    tokens = opposite(rows.tokens, rows.lengths) if reverse_complement else rows.tokens
    return [row[:length].tobytes() for row, length in zip(tokens, rows.lengths, strict=True)]


def either_strand(rows: Labelled) -> list[bytes]:
    """Return one key for a sequence and its reverse complement: the smaller of the two."""
    both = zip(sequences(rows), sequences(rows, reverse_complement=True), strict=True)
    return [min(pair) for pair in both]


def opposite(tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the reverse complement of rows, uint8 (n, L), of `lengths` (n,); pads stay last."""
    inside = np.arange(tokens.shape[1]) < lengths[:, None]
    turned = np.full(tokens.shape, vocab.PAD, np.uint8)
    turned[inside] = vocab.complement(tokens[:, ::-1][inside[:, ::-1]])
    return turned


def fingerprint(labelled: Labelled) -> str:
    """Return the sha256 (hex) of tokens, lengths, labels and names."""
    digest = hashlib.sha256(f"{labelled.tokens.shape}\n".encode())
    for array in labelled[:3]:
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update("\n".join(labelled.names).encode())
    return digest.hexdigest()
