"""Batches of mixed objectives, made on the device: batch = f(key, genome, ratios).

Ratios are an array argument, so new ones compile nothing. Every row draws its own window and
objective; the objective's program is drawn in a switch and expanded once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from birdiedna.data import genome
from birdiedna.data.genome import Packed
from birdiedna.objectives.program import (
    Batch,
    Objective,
    Program,
    align,
    expand,
    pad,
    shift,
    window_bases,
)


class Corpus(NamedTuple):
    """The sequence on the device and the positions where windows may start.

    tokens: uint8 (G,), or packed with two bits per base. windows: starts of N-free windows.
    """

    tokens: jax.Array | np.ndarray | Packed
    windows: genome.Windows


@dataclass(frozen=True)
class Mixture:
    """Objectives that share rows of `slots` tokens.

    bases: the window of each, solved to fit. in_place: whether each predicts its label in place.
    segments: those of the longest program.
    """

    objectives: tuple[Objective, ...]
    names: tuple[str, ...]
    slots: int
    bases: tuple[int, ...]
    in_place: tuple[bool, ...]
    segments: int

    def has_prefixes(self) -> bool:
        """Whether any row has a prefix in which a token could see a later one."""
        return any(o.sizes(b).prefix > 1 for o, b in zip(self.objectives, self.bases, strict=True))

    def unfilled(self) -> list[str]:
        """Lines on objectives of which over a tenth of each row is pads: spans have limits."""
        used = [o.sizes(b).slots() for o, b in zip(self.objectives, self.bases, strict=True)]
        return [
            f"{name} fills {slots:,} of {self.slots:,} slots of a row, as more spans would touch "
            "or lack sentinels; a longer mean_span fills more"
            for name, slots in zip(self.names, used, strict=True)
            if slots < 0.9 * self.slots
        ]


def mix(objectives: Mapping[str, Objective], slots: int) -> Mixture:
    """Fit the window of every objective to rows of `slots` tokens.

    Raises:
      ValueError: there is no objective, or one does not fit the row.
    """
    if not objectives:
        raise ValueError("a mixture needs at least one objective")
    every = tuple(objectives.values())
    bases = tuple(window_bases(o, slots) for o in every)
    windows = [jax.ShapeDtypeStruct((b,), jnp.uint8) for b in bases]
    programs = [
        jax.eval_shape(o, jax.random.key(0), w) for o, w in zip(every, windows, strict=True)
    ]
    segments = max(p.starts.shape[0] for p in programs)
    in_place = tuple(o.sizes(b).in_place for o, b in zip(every, bases, strict=True))
    return Mixture(every, tuple(objectives), slots, bases, in_place, segments)


def row(mixture: Mixture, key: jax.Array, objective: jax.Array, window: jax.Array) -> Batch:
    """One row (no leading axis) of the objective with this index () on a window, uint8 (slots,).

    Rows with labels in place are bidirectional throughout, `<start>` included.
    """

    def draw(of: Objective, bases: int) -> Callable[[jax.Array, jax.Array], Program]:
        return lambda key, window: pad(of(key, window[:bases]), mixture.segments)

    programs = list(map(draw, mixture.objectives, mixture.bases))
    program = jax.lax.switch(objective, programs, key, window)
    prefix, slots = program.prefix, mixture.slots
    if not any(mixture.in_place):
        return Batch(*shift(expand(window, program, slots + 1), prefix), prefix, objective)
    written = expand(window, program, 2 * slots)
    shifted = Batch(*shift(written[: slots + 1], prefix), prefix, objective)
    aligned = Batch(*align(written, prefix), prefix + 1, objective)
    chosen = partial(jnp.where, jnp.array(mixture.in_place)[objective])
    return jax.tree.map(chosen, aligned, shifted)


def sample(
    mixture: Mixture,
    key: jax.Array,
    corpus: Corpus,
    ratios: ArrayLike,
    rows: int,
    reverse_complement: bool = False,
) -> tuple[Batch, jax.Array]:
    """Draw a batch: windows uniformly over the corpus, the objective of each row by the ratios.

    The batch is a pure function of the arguments. `ratios` are float32 (n,), non-negative, of any
    sum; 0 is never drawn. With `reverse_complement`, windows are read from a random strand.

    Returns:
      The batch of B `rows`, and the start of every row's bases in the corpus, uint32 (B,).

    Raises:
      ValueError: there are not as many ratios as objectives.
    """
    ratios = jnp.asarray(ratios)
    if ratios.shape != (len(mixture.names),):
        raise ValueError(f"ratios {ratios.shape} of {len(mixture.names)} objectives; give one each")

    def one(key: jax.Array) -> tuple[Batch, jax.Array]:
        key_window, key_objective, key_program, key_strand = jax.random.split(key, 4)
        start = genome.draw(key_window, corpus.windows)
        window = genome.cut(corpus.tokens, start, mixture.slots)
        objective = jax.random.categorical(key_objective, jnp.log(ratios)).astype(jnp.int32)
        if reverse_complement:  # a flipped row reads the right end of the window
            flip = jax.random.bernoulli(key_strand)
            window = jnp.where(flip, genome.reverse_complement(window), window)
            bases = jnp.array(mixture.bases, jnp.uint32)[objective]
            start = start + jnp.where(flip, mixture.slots - bases, jnp.uint32(0))
        return row(mixture, key_program, objective, window), start

    return each(one, jax.random.split(key, rows))


def each(one: Callable, keys: Any) -> Any:
    """`one` of every key, stacked; `map` and `vmap` give the same numbers.

    On a CPU key by key, so that a row computes only its own objective; on accelerators at once,
    where a switch computes every objective for every row, but wide operations are faster.
    """
    return jax.lax.map(one, keys) if jax.default_backend() == "cpu" else jax.vmap(one)(keys)


@partial(jax.jit, static_argnums=0)
def held_out(
    mixture: Mixture, key: jax.Array, tokens: jax.Array | Packed, starts: jax.Array
) -> Batch:
    """Fixed windows as rows of every objective, so that losses compare across steps and runs.

    Returns:
      A batch with leading axes (n, R): every objective on the same windows, which start at
      `starts`, uint32 (R,), with the same keys.
    """
    windows = jax.vmap(lambda start: genome.cut(tokens, start, mixture.slots))(starts)
    keys = jax.random.split(key, starts.shape[0])

    def rows_of(objective: jax.Array) -> Batch:
        return each(lambda drawn: row(mixture, drawn[0], objective, drawn[1]), (keys, windows))

    return jax.lax.map(rows_of, jnp.arange(len(mixture.names), dtype=jnp.int32))


def check_ratios(ratios: np.ndarray, objectives: int) -> np.ndarray:
    """Ratios as float32 (n,) with sum 1.

    Raises:
      ValueError: wrong number, negative, not finite or all zero; categorical draws would silently
        return the first objective.
    """
    ratios = np.asarray(ratios, np.float32)
    if ratios.shape != (objectives,):
        size = ratios.size if ratios.ndim == 1 else ratios.shape
        raise ValueError(f"{size} ratios for {objectives} objectives; give one for each")
    if not np.isfinite(ratios).all() or ratios.min() < 0 or ratios.sum() <= 0:
        raise ValueError(f"ratios {ratios.tolist()} must be finite, at least 0 and not all 0")
    total = ratios.sum()  # normalised ratios are not changed, for a replay
    return ratios if abs(total - 1) < 1e-6 else ratios / total
