"""Labelled rows as model input: the bases of a sequence, `<start>`, and padding."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from birdiedna import vocab
from birdiedna.data import labelled
from birdiedna.data.labelled import Labelled
from birdiedna.model import attention

#: Rows are padded to a multiple of this many slots, as cuDNN's kernels require.
SLOTS = attention.MULTIPLES["cudnn"]
#: Slots of the rows that a CPU computes at once: what they need stays in its caches.
_AT_ONCE = 4096
#: Batches that are computed between two checks whether to stop.
ASKED_EVERY = 16


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
    """Slots of a row of `bases` and `<start>`, rounded up so that few programs are compiled."""
    return -(-(bases + 1) // SLOTS) * SLOTS


def prompt(tokens: jax.Array, lengths: jax.Array) -> jax.Array:
    """Sequences (B, L) of `lengths` (B,), `<start>` and padding as rows, int32 (B, slots).

    Rows are padded to `row_slots`; no token sees the padding after it.
    """
    slots = row_slots(tokens.shape[1])
    width = (0, slots - tokens.shape[1])
    bases = jnp.pad(tokens.astype(jnp.int32), ((0, 0), width), constant_values=vocab.PAD)
    return jnp.where(jnp.arange(slots)[None, :] == lengths[:, None], vocab.START, bases)


def rows_at_once(rows: int, slots: int) -> int:
    """How many of a batch's rows are computed at once: all; on a CPU a divisor with few slots.

    All at once, rows of 1,000 bases take more than twice as long to read there, and a quarter
    longer to learn from: the system has to clear most of a gigabyte for each batch.
    """
    if jax.default_backend() != "cpu":
        return rows
    return math.gcd(rows, 2 ** int(math.log2(max(1, _AT_ONCE // slots))))


def in_parts(read: Callable[..., jax.Array], tokens: jax.Array, *others: jax.Array) -> jax.Array:
    """`read` of tokens (B, L) and columns (B, ...), to be compiled, `rows_at_once`."""
    some = rows_at_once(*tokens.shape)
    if some == len(tokens):
        return read(tokens, *others)
    parts = tuple(column.reshape(-1, some, *column.shape[1:]) for column in (tokens, *others))
    found = jax.lax.map(lambda part: read(*part), parts)
    return found.reshape(-1, *found.shape[2:])


def computed(
    read: Callable[[Data], jax.Array], batches: Sequence[Data], pause: Callable[[], object]
) -> list[np.ndarray]:
    """`read` of every batch, on the host; `pause`, called every `ASKED_EVERY` ones, may raise."""
    found: list[np.ndarray] = []
    for first in range(0, len(batches), ASKED_EVERY):
        pause()
        found += jax.device_get([read(rows) for rows in batches[first : first + ASKED_EVERY]])
    return found


def mean_feature(features: jax.Array, lengths: jax.Array) -> jax.Array:
    """The mean, float32 (B, width), over a prompt's bases of features (B, slots, width)."""
    inside = jnp.arange(features.shape[1])[None, :, None] < lengths[:, None, None]
    wide = features.astype(jnp.float32)
    return jnp.where(inside, wide, 0).sum(axis=1) / lengths[:, None]


def checked(split: Labelled, classes: int) -> Data:
    """The rows as numpy arrays, padded for `Classifier`.

    ValueError if there are no rows, a label is outside the classes, or arrays are no rows.
    """
    tokens, lengths, labels = map(np.asarray, split[:3])
    if not len(labels):
        raise ValueError(
            "a split contains no rows; fine-tuning needs train, validation and test rows"
        )
    if labels.min() < 0 or labels.max() >= classes:
        worst = int(labels.max() if labels.max() >= classes else labels.min())
        raise ValueError(
            f"label {worst} is outside 0..{classes - 1}; correct the table or `classes`"
        )
    tokens, lengths, labels = (
        exact if np.array_equal(exact := array.astype(kind), array) else array
        for array, kind in zip((tokens, lengths, labels), (np.uint8, np.int32, np.int32))
    )
    if not labelled.fit(tokens, lengths, labels):
        raise ValueError(
            f"tokens {tokens.shape}, lengths {lengths.shape} and labels {labels.shape} are no "
            "rows; give ids of bases (n, L), lengths (n,) from 1 to L, and labels (n,)"
        )
    bases = tokens.shape[1]
    width = (0, row_slots(bases) - 1 - bases)  # tasks of similar length share a program
    columns: Any = np.pad(tokens, ((0, 0), width), constant_values=vocab.PAD), lengths, labels
    return Data(*columns)


def in_batches(data: Data, rows: int) -> tuple[Data, ...]:
    """Batches of equal size, for one program; the last is filled with copies of the last row."""
    n = len(data.labels)
    index = np.minimum(np.arange(-(-n // rows) * rows), n - 1).reshape(-1, rows)
    return tuple(Data(*(jnp.asarray(column[i]) for column in data)) for i in index)
