"""Labelled rows as a model reads them: the bases of a sequence, `<start>`, and pads."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from birdiedna import vocab
from birdiedna.data import labelled
from birdiedna.data.labelled import Labelled
from birdiedna.model import attention

#: Rows are padded at the end to a multiple of so many slots; cuDNN's kernels take no others.
SLOTS = attention.MULTIPLES["cudnn"]


class Data(NamedTuple):
    """Labelled rows: tokens uint8 (n, L), lengths and labels int32 (n,)."""

    tokens: jax.Array
    lengths: jax.Array
    labels: jax.Array


def opposite(rows: Data) -> Data:
    """The reverse complement of every row, on the host."""
    tokens = labelled.opposite(np.asarray(rows.tokens), np.asarray(rows.lengths))
    return rows._replace(tokens=tokens)  # type: ignore[arg-type]


def row_slots(bases: int) -> int:
    """Slots of a row of `bases` and `<start>`, rounded up, so that few programs are compiled."""
    return -(-(bases + 1) // SLOTS) * SLOTS


def prompt(tokens: jax.Array, lengths: jax.Array) -> jax.Array:
    """Rows of bases, `<start>` and pads, int32 (B, slots), of sequences (B, L) of `lengths` (B,).

    Rows are padded at the end to `row_slots`, since kernels refuse other lengths; nothing before
    the pads sees them.
    """
    slots = row_slots(tokens.shape[1])
    width = (0, slots - tokens.shape[1])
    bases = jnp.pad(tokens.astype(jnp.int32), ((0, 0), width), constant_values=vocab.PAD)
    return jnp.where(jnp.arange(slots)[None, :] == lengths[:, None], vocab.START, bases)


def mean_feature(features: jax.Array, lengths: jax.Array) -> jax.Array:
    """The mean (B, width), float32, of the features (B, slots, width) of the bases of a prompt."""
    inside = jnp.arange(features.shape[1])[None, :, None] < lengths[:, None, None]
    wide = features.astype(jnp.float32)
    return jnp.where(inside, wide, 0).sum(axis=1) / lengths[:, None]


def start_feature(features: jax.Array, lengths: jax.Array) -> jax.Array:
    """The feature (B, width) at the `<start>` of a prompt, from features (B, slots, width)."""
    return jnp.take_along_axis(features, lengths[:, None, None], axis=1)[:, 0]


def checked(split: Labelled, classes: int) -> Data:
    """The rows as numpy arrays, padded as `Classifier` reads them.

    Raises:
      ValueError: no rows, or a label outside the classes.
    """
    labels = np.asarray(split.labels)
    if not len(labels):
        raise ValueError(
            "a split contains no rows; fine-tuning needs train, validation and test rows"
        )
    if labels.min() < 0 or labels.max() >= classes:
        worst = int(labels.max() if labels.max() >= classes else labels.min())
        raise ValueError(
            f"label {worst} is outside 0..{classes - 1}; correct the table or `classes`"
        )
    bases = split.tokens.shape[1]
    width = (0, row_slots(bases) - 1 - bases)  # tasks of similar length share a program
    tokens = np.pad(split.tokens, ((0, 0), width), constant_values=vocab.PAD)
    columns: Any = tokens, split.lengths.astype(np.int32), labels.astype(np.int32)
    return Data(*columns)


def in_batches(data: Data, rows: int) -> tuple[Data, ...]:
    """Batches of equal size for one compiled program; repeats of the last row fill the last one."""
    n = len(data.labels)
    index = np.minimum(np.arange(-(-n // rows) * rows), n - 1).reshape(-1, rows)
    return tuple(Data(*(jnp.asarray(column[i]) for column in data)) for i in index)
