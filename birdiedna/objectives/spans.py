"""Exact corruption: how many bases in how many spans, and where a key puts them."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from birdiedna import vocab


def compose(key: jax.Array, total: int, parts: int) -> jax.Array:
    """A uniformly random composition of `total` into `parts` positive integers, int32 (parts,)."""
    cuts = jax.lax.top_k(jax.random.uniform(key, (total - 1,)), parts - 1)[1] + 1
    edges = jnp.concatenate([jnp.array([0]), jnp.sort(cuts), jnp.array([total])])
    return jnp.diff(edges).astype(jnp.int32)


def cycle(key: jax.Array, items: int, moved: int) -> jax.Array:
    """A permutation of `items` that moves a random subset of size `moved` in one cycle, int32."""
    chosen = jax.lax.top_k(jax.random.uniform(key, (items,)), moved)[1]
    return jnp.arange(items).at[chosen].set(jnp.roll(chosen, 1))


class Spans(NamedTuple):
    """Alternating gaps and spans of a window: gap 0, span 0, gap 1, ..., span k-1, gap k.

    span_starts, span_lengths: int32 (k,). gap_starts, gap_lengths: int32 (k+1,).
    Inner gaps hold at least one base, the outer two may be empty.
    """

    span_starts: jax.Array
    span_lengths: jax.Array
    gap_starts: jax.Array
    gap_lengths: jax.Array


def place(gaps: jax.Array, spans: jax.Array) -> Spans:
    """Lay gaps (k+1,) and spans (k,) out in turn from the left end of the window."""
    blocks = jnp.cumsum(gaps[:-1] + spans)
    gap_starts = jnp.concatenate([jnp.zeros(1, jnp.int32), blocks])
    return Spans(gap_starts[:-1] + gaps[:-1], spans, gap_starts, gaps)


def layout(key: jax.Array, window: int, noise: int, spans: int) -> Spans:
    """Random spans that hold exactly `noise` of the `window` bases in exactly `spans` pieces."""
    key_spans, key_gaps = jax.random.split(key)
    gaps = compose(key_gaps, window - noise + 2, spans + 1)
    gaps = gaps.at[0].add(-1).at[-1].add(-1)
    return place(gaps, compose(key_spans, noise, spans))


def count_spans(window: int, rate: float, mean_span: float) -> tuple[int, int]:
    """How many bases are corrupted, and in how many spans (rounded half up).

    Raises:
      ValueError: the rate or span is impossible, or the spans would touch.
    """
    if not (0 < rate <= 1 and mean_span >= 1):
        raise ValueError(f"rate {rate} must be in (0, 1] and mean span {mean_span} at least 1")
    noise = max(1, math.floor(rate * window + 0.5))
    spans = min(max(1, math.floor(noise / mean_span + 0.5)), noise)
    if spans > window - noise + 1:
        raise ValueError(
            f"{spans} spans over {noise} of {window} bases would touch; lower the rate ({rate}) "
            f"or lengthen the mean span ({mean_span})"
        )
    return noise, spans


def vary_spans(noise: int, mean_span: float) -> tuple[int, float]:
    """How many spans at the most, and the probability of one fewer, for a mean span that holds.

    The number is fixed where rounding keeps the mean within 1 % of what was asked; else it is
    drawn, so that `noise` over the expected number is exactly `mean_span` (a single span at the
    least: shorter noise than `mean_span` is one shorter span).
    """
    exact = min(max(1.0, noise / mean_span), noise)
    nearest = math.floor(exact + 0.5)
    if abs(noise / nearest / mean_span - 1) <= 0.01 or exact == nearest:
        return nearest, 0.0
    return math.ceil(exact), math.ceil(exact) - exact


def interleave(*columns: jax.Array) -> jax.Array:
    """The first of every column, then the second of every column, ...: int32 (k * columns,)."""
    return jnp.stack([jnp.asarray(column, jnp.int32) for column in columns], axis=1).reshape(-1)


def rolling_code(window: jax.Array, bases: int) -> jax.Array:
    """A number for every run of `bases` bases (at most 15), equal only for equal runs, int32."""
    letters = window.astype(jnp.int32) - vocab.A
    runs = window.shape[0] - bases + 1
    return sum(letters[i : i + runs] * 4**i for i in range(bases))
