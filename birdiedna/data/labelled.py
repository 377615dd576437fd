"""Labelled rows as arrays: what tasks give and fine-tuning reads."""

import hashlib
from typing import NamedTuple

import numpy as np


class Labelled(NamedTuple):
    """Labelled sequences on the host, in file order.

    tokens: uint8 (n, L), vocabulary ids padded with `<pad>` on the right. lengths: int32 (n,).
    labels: int32 (n,), 0..classes-1. names: where each row comes from; never shown to a model.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]


def take(labelled: Labelled, rows: np.ndarray) -> Labelled:
    """The rows picked by indices or by a boolean mask (n,)."""
    index = np.arange(len(labelled.labels))[rows]
    names = tuple(labelled.names[i] for i in index)
    return Labelled._make([*(array[index] for array in labelled[:3]), names])


def truncate(labelled: Labelled, length: int) -> Labelled:
    """The first `length` bases of every row; shorter rows are unchanged."""
    lengths = np.minimum(labelled.lengths, length)
    return labelled._replace(tokens=labelled.tokens[:, :length], lengths=lengths)


def crop(labelled: Labelled, start: int, stop: int) -> Labelled:
    """Positions start..stop-1 of every row.

    Raises:
      ValueError: positions outside the rows, or a row without a base there.
    """
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


def fingerprint(labelled: Labelled) -> str:
    """sha256 (hex) of tokens, lengths, labels and names."""
    digest = hashlib.sha256(f"{labelled.tokens.shape}\n".encode())
    for array in labelled[:3]:
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update("\n".join(labelled.names).encode())
    return digest.hexdigest()
