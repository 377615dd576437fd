"""Exact corruption: the number of bases and spans, and their random positions."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Spans(NamedTuple):
    """Alternating gaps and spans of a window: gap 0, span 0, gap 1, ..., span k-1, gap k.

    span_starts, span_lengths: int32 (k,). gap_starts, gap_lengths: int32 (k+1,).
    Inner gaps have at least one base; the outer two may be empty.
    """

    span_starts: jax.Array
    span_lengths: jax.Array
    gap_starts: jax.Array
    gap_lengths: jax.Array


def count_spans(window: int, rate: float, mean_span: float) -> tuple[int, int]:
    """The number of corrupted bases and of spans, rounded half up.

    Raises:
      ValueError: the spans would touch.
    """
    noise = max(1, math.floor(rate * window + 0.5))
    spans = max(1, math.floor(noise / mean_span + 0.5))
    if spans > window - noise + 1:
        raise ValueError(
            f"{spans} spans over {noise} of {window} bases would touch; lower the rate ({rate}) "
            f"or lengthen the mean span ({mean_span})"
        )
    return noise, spans


def layout(key: jax.Array, window: int, noise: int, spans: int) -> Spans:
    """Random positions of `spans` spans with `noise` bases in total in a window."""
    key_spans, key_gaps = jax.random.split(key)
    gaps = compose(key_gaps, window - noise + 2, spans + 1)
    gaps = gaps.at[0].add(-1).at[-1].add(-1)
    return place(gaps, compose(key_spans, noise, spans))


def scatter(key: jax.Array, window: int, noise: int, spans: int) -> Spans:
    """As `layout` for single bases, which may be neighbours: `noise` equals `spans`."""
    chosen = jnp.sort(jax.lax.top_k(jax.random.uniform(key, (window,)), noise)[1])
    edges = jnp.concatenate([jnp.array([-1]), chosen, jnp.array([window])])
    return place((jnp.diff(edges) - 1).astype(jnp.int32), jnp.ones(spans, jnp.int32))


def place(gaps: jax.Array, spans: jax.Array) -> Spans:
    """Arrange gaps (k+1,) and spans (k,) alternately from the left end of the window."""
    blocks = jnp.cumsum(gaps[:-1] + spans)
    gap_starts = jnp.concatenate([jnp.zeros(1, jnp.int32), blocks])
    return Spans(gap_starts[:-1] + gaps[:-1], spans, gap_starts, gaps)


def compose(key: jax.Array, total: int, parts: int) -> jax.Array:
    """A uniformly random composition of `total` into `parts` positive integers, int32 (parts,)."""
    cuts = jax.lax.top_k(jax.random.uniform(key, (total - 1,)), parts - 1)[1] + 1
    edges = jnp.concatenate([jnp.array([0]), jnp.sort(cuts), jnp.array([total])])
    return jnp.diff(edges).astype(jnp.int32)


def cycle(key: jax.Array, items: int, moved: int) -> jax.Array:
    """A permutation of `items`, int32, that moves a random subset of size `moved` in one cycle."""
    chosen = jax.lax.top_k(jax.random.uniform(key, (items,)), moved)[1]
    return jnp.arange(items).at[chosen].set(jnp.roll(chosen, 1))
