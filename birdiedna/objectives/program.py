"""From an objective to a row: a program of segments, its row, and the loss weights.

A row is `prefix ++ <start> ++ label`. The input is the row without the last slot, the target the
row without the first; only label tokens have a loss. A label in place is not part of the input: it
has a token for every slot up to `<start>`, `<pad>` where nothing is predicted.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from birdiedna import vocab


class Program(NamedTuple):
    """A row as a list of segments; shapes are static, only starts and lengths are drawn.

    starts: int32 (K,). Position of the segment in the window, or `special(id)` for one special id.
    lengths: int32 (K,). Tokens in the segment; may be 0.
    prefix: int32 (). Tokens before `<start>`, which are bidirectional and have no loss.
    """

    starts: jax.Array
    lengths: jax.Array
    prefix: jax.Array


#: Starts and lengths of some segments, scalars or vectors.
Segments: TypeAlias = tuple[jax.Array | int, jax.Array | int]


class Batch(NamedTuple):
    """B rows of L slots.

    tokens, labels: int32 (B, L). weights: float32 (B, L), 1 where a label token is predicted.
    prefix: int32 (B,), slots of the bidirectional part. objective: int32 (B,), its index in the
    mixture.
    """

    tokens: jax.Array
    labels: jax.Array
    weights: jax.Array
    prefix: jax.Array
    objective: jax.Array


class Sizes(NamedTuple):
    """The number of tokens before `<start>` (prefix) and of those predicted (label).

    in_place: labels are predicted at slots of the prefix, not after `<start>`.
    """

    prefix: int
    label: int
    in_place: bool = False

    def slots(self) -> int:
        """Slots of the row's input, which does not include the last label token."""
        return self.prefix + (1 if self.in_place else self.label)


class Objective(Protocol):
    """Turns a window into a row, and a row back into its window."""

    @property
    def token(self) -> int | None:
        """The special id that opens the row, or None."""
        ...

    def sizes(self, window: int) -> Sizes:
        """The sizes of a row for `window` bases.

        Raises:
          ValueError: the settings are impossible, or do not fit the window.
        """
        ...

    def __call__(self, key: jax.Array, window: jax.Array) -> Program:
        """Draw a program for the window, uint8 (W,)."""
        ...

    def restore(self, prefix: np.ndarray, label: np.ndarray) -> np.ndarray:
        """The window, uint8 (W,), from the row's prefix and label; labels in place have pads."""
        ...


def special(token: int) -> int:
    """The segment start that encodes a special id instead of a window position."""
    return -1 - token


def interleave(*columns: jax.Array | int) -> jax.Array:
    """The first entries of all columns (k,), then the second, ...: int32 (k * columns,).

    An int stands for a constant column.
    """
    arrays = jnp.broadcast_arrays(*(jnp.asarray(column, jnp.int32) for column in columns))
    return jnp.stack(arrays, axis=1).reshape(-1)


def between(gaps: tuple[jax.Array, jax.Array], spans: Segments) -> list[Segments]:
    """Segments of gaps (k+1,) with spans (k,) between them, from starts and lengths of both."""
    starts, lengths = gaps
    inner = interleave(starts[:-1], spans[0]), interleave(lengths[:-1], spans[1])
    return [inner, (starts[-1], lengths[-1])]


def build(
    prefix: Sequence[Segments], label: Sequence[Segments], token: int | None = None
) -> Program:
    """The program of the row `prefix ++ <start> ++ label`, opened by the objective's `token`."""
    prefix = prefix if token is None else [(special(token), 1), *prefix]
    parts = [*prefix, (special(vocab.START), 1), *label]
    starts = [jnp.atleast_1d(jnp.asarray(start, jnp.int32)) for start, _ in parts]
    lengths = [
        jnp.broadcast_to(jnp.asarray(length, jnp.int32), start.shape)
        for start, (_, length) in zip(starts, parts, strict=True)
    ]
    before = sum((jnp.sum(part, dtype=jnp.int32) for part in lengths[: len(prefix)]), jnp.int32(0))
    return Program(jnp.concatenate(starts), jnp.concatenate(lengths), before)


def pad(program: Program, segments: int) -> Program:
    """The program with empty segments at the end, so that programs can be stacked."""
    missing = segments - program.starts.shape[0]
    return program._replace(
        starts=jnp.pad(program.starts, (0, missing)), lengths=jnp.pad(program.lengths, (0, missing))
    )


def expand(window: jax.Array | np.ndarray, program: Program, slots: int) -> jax.Array:
    """The row of a program and its window, uint8 (W,): int32 (slots,), padded with `<pad>`."""
    ends = jnp.cumsum(program.lengths)
    slot = jnp.arange(slots, dtype=jnp.int32)
    segment = jnp.searchsorted(ends, slot, side="right").astype(jnp.int32)
    segment = jnp.minimum(segment, ends.shape[0] - 1)
    start = program.starts[segment]
    position = start + slot - (ends - program.lengths)[segment]
    bases = jnp.asarray(window)[jnp.clip(position, 0, window.shape[0] - 1)].astype(jnp.int32)
    row = jnp.where(start < 0, -1 - start, bases)
    return jnp.where(slot < ends[-1], row, vocab.PAD)


def shift(row: jax.Array, prefix: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Input and target, int32 (L,), and loss weights, float32 (L,), of a row, int32 (L+1,).

    Slot `prefix` is `<start>`, which predicts the first label token; pads have weight 0.
    """
    labels = row[1:]
    slot = jnp.arange(labels.shape[0])
    weights = (slot >= prefix) & (labels != vocab.PAD)
    return row[:-1], labels, weights.astype(jnp.float32)


def align(row: jax.Array, prefix: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """As `shift` for a label in place, from a row, int32 (2L,).

    `<start>`, at slot `prefix`, is the last token of the input.
    """
    slots = row.shape[0] // 2
    tokens = jnp.where(jnp.arange(slots) <= prefix, row[:slots], vocab.PAD)
    labels = jax.lax.dynamic_slice(row, (prefix + 1,), (slots,))
    return tokens, labels, (labels != vocab.PAD).astype(jnp.float32)


def window_bases(objective: Objective, slots: int) -> int:
    """The largest window whose row fits `slots`.

    Raises:
      ValueError: not even the smallest window fits the row, or the settings are impossible.
    """
    for window in range(slots, 0, -1):
        try:
            if objective.sizes(window).slots() <= slots:
                return window
        except ValueError:
            continue
    raise ValueError(
        f"{objective} does not fit a row of {slots} slots; use a longer row or a lower rate"
    )
