"""Labelled rows as arrays: what tasks give and fine-tuning reads."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from birdiedna import vocab

#: A row of pre-training in the paper's profile; longer rows are read only if a length is given.
LONGEST_BASES = 1024


class Labelled(NamedTuple):
    """Labelled sequences on the host, in file order.

    tokens: uint8 (n, L), vocabulary ids padded with `<pad>` on the right. lengths: int32 (n,).
    labels: int32 (n,), 0..classes-1. names: where each row comes from; never shown to a model.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]


def fit(tokens: np.ndarray, lengths: np.ndarray, labels: np.ndarray) -> bool:
    """Whether arrays from a file are rows, of the types, shapes and values that `Labelled` has."""
    types = (np.uint8, np.int32, np.int32)
    if tokens.ndim != 2 or lengths.shape != tokens.shape[:1] or not tokens.size:
        return False
    if labels.shape != lengths.shape or (tokens.dtype, lengths.dtype, labels.dtype) != types:
        return False
    sound = lengths.min() > 0 <= labels.min() and tokens.max() <= vocab.N
    return bool(sound and lengths.max() <= tokens.shape[1] and labels.max() < vocab.CLASSES)


def padded(
    sequences: Sequence[Sequence[int] | np.ndarray], width: int = 0, kind: type = np.uint8
) -> tuple[np.ndarray, np.ndarray]:
    """Ids as rows (n, L) of a type, padded on the right to a width; and lengths, int32 (n,)."""
    lengths = np.array([len(ids) for ids in sequences], np.int32)
    tokens = np.full((len(lengths), width or lengths.max(initial=0)), vocab.PAD, kind)
    for row, ids in zip(tokens, sequences, strict=True):
        row[: len(ids)] = ids
    return tokens, lengths


def take(labelled: Labelled, rows: np.ndarray) -> Labelled:
    """The rows picked by indices or by a boolean mask (n,)."""
    index = np.arange(len(labelled.labels))[rows]
    names = tuple(labelled.names[i] for i in index)
    return Labelled._make([*(array[index] for array in labelled[:3]), names])


def subset(labels: np.ndarray, share: float, number: int) -> np.ndarray:
    """Rows, in order, of a stratified share of the rows with labels (n,); all of them for 1.

    A subset has this share of every class, rounded, and at least one row of it. Which ones depends
    on the labels and the number alone, so all models read the same; subsets of one number are
    nested.
    """
    if share == 1:
        return np.arange(len(labels))
    order = np.random.default_rng(number).permutation(len(labels))
    of_class = [order[labels[order] == label] for label in np.unique(labels)]
    kept = [rows[: max(1, round(share * len(rows)))] for rows in of_class]
    return np.sort(np.concatenate(kept))


def crop(labelled: Labelled, start: int, stop: int) -> Labelled:
    """Positions start..stop-1 of every row; a ValueError for rows without a base there."""
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
    """What to say of rows (n,) of which some are longer than `LONGEST_BASES`."""
    most = LONGEST_BASES
    over, longest = int((lengths > most).sum()), int(lengths.max())
    return (
        f"{over:,} of {len(lengths):,} rows have more than the {most:,} bases of pre-training, up "
        f"to {longest:,}; read the first bases of each with --length {most}, or all of them with "
        f"--length {longest}"
    )


def sequences(rows: Labelled, reverse_complement: bool = False) -> list[bytes]:
    """The base ids of each row, or of its reverse complement, without its pads."""
    tokens = opposite(rows.tokens, rows.lengths) if reverse_complement else rows.tokens
    return [row[:length].tobytes() for row, length in zip(tokens, rows.lengths, strict=True)]


def either_strand(rows: Labelled) -> list[bytes]:
    """One key for a sequence and its reverse complement: the smaller of the two."""
    both = zip(sequences(rows), sequences(rows, reverse_complement=True), strict=True)
    return [min(pair) for pair in both]


def opposite(tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The reverse complement of every row, uint8 (n, L), of `lengths` (n,); pads stay behind it."""
    from_end = lengths[:, None] - 1 - np.arange(tokens.shape[1])
    turned = np.take_along_axis(tokens, np.maximum(from_end, 0), axis=1)
    return np.where(from_end >= 0, vocab.complement(turned), vocab.PAD).astype(np.uint8)


def fingerprint(labelled: Labelled) -> str:
    """sha256 (hex) of tokens, lengths, labels and names."""
    digest = hashlib.sha256(f"{labelled.tokens.shape}\n".encode())
    for array in labelled[:3]:
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update("\n".join(labelled.names).encode())
    return digest.hexdigest()
