"""Where the time of a train step goes: the paper's model, a small batch, each piece by itself.

`train_step` compares the whole step with its peers; this part needs no peer.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.clock import timed
from benchmarks.table import Row
from birdiedna import vocab
from birdiedna.model import attention, transformer
from birdiedna.model.transformer import ModelConfig, Transformer
from birdiedna.training import optimizer as optimizers

ROWS = 4
CASES = (("float32", 512), ("float32", 1024), ("bfloat16", 512), ("bfloat16", 1024))
SIZES = ModelConfig()


def rows(quick: bool = False) -> list[Row]:
    """Seconds of the step and its pieces, for each type and length."""
    cases = CASES[:1] if quick else CASES
    return [row for case in cases for row in _case(*case, repeats=1 if quick else 7)]


def _case(compute: str, slots: int, repeats: int) -> list[Row]:
    config = replace(SIZES, compute=compute)
    found = []
    for what, call in pieces(config, batch(slots)).items():
        time = timed(call, repeats)
        note = f"{ROWS} x {slots}, {compute}, causal, {time.spread()}"
        at = {"slots": slots, "bits": 8 * jnp.dtype(compute).itemsize}
        found.append(Row("step", what, time.median(), "s", None, "less", note, at))
    return found


def batch(slots: int) -> tuple[jax.Array, jax.Array]:
    """Random bases and what follows each, int32 (ROWS, slots)."""
    ids = np.random.default_rng(0).integers(vocab.A, vocab.N, (ROWS, slots + 1))
    return jnp.asarray(ids[:, :-1], jnp.int32), jnp.asarray(ids[:, 1:], jnp.int32)


def pieces(config: ModelConfig, batch: tuple[jax.Array, jax.Array]) -> dict[str, Callable]:
    """Calls that run the whole step, and parts of it: by direction, and by what they compute."""
    net = transformer.init(config, 0)
    tx = optimizers.optimizer(optimizers.OptimizerConfig(), 1_000_000)
    kept = [optimizers.start(jax.tree.map(jnp.copy, net), tx)]  # given away by every step
    update = jax.jit(lambda state: optimizers.update(state, tx, loss, batch)[:2], donate_argnums=0)

    def step(i: int) -> jax.Array:
        state, value = update(kept.pop())
        kept.append(state)
        return value

    def optimizer(i: int) -> jax.Array:
        other.append(adam(other.pop(), gradient()))
        return other[0].step

    forward = jax.jit(lambda net: loss(net, batch)[0])
    both = jax.jit(jax.grad(lambda net: loss(net, batch)[0]))
    other, gradient = [optimizers.start(jax.tree.map(jnp.copy, net), tx)], cache(lambda: both(net))
    adam = jax.jit(
        lambda state, slope: optimizers.descend(state, tx, 0.0, slope)[0], donate_argnums=0
    )
    return {
        "whole step": step,
        "forward": lambda i: forward(net),
        "forward and backward": lambda i: both(net),
        "attention, both directions": _attention(config, batch[0].shape),
        "feed-forward, both directions": _feed_forward(net, batch[0].shape),
        "optimizer": optimizer,
    }


def loss(net: Transformer, batch: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
    """Mean cross-entropy of causal rows."""
    ids, labels = batch
    logits = net(ids, jnp.zeros(len(ids), jnp.int32))
    return optimizers.cross_entropy(logits, labels).mean(), None


def _attention(config: ModelConfig, shape: tuple[int, int]) -> Callable:
    """Scores, softmax and weighted sum of every block, without projections."""
    keys = jax.random.split(jax.random.key(0), 3)
    heads = (*shape, config.heads, config.head_width)
    qkv = [jax.random.normal(key, heads, jnp.dtype(config.compute)) for key in keys]
    prefix = jnp.zeros(shape[0], jnp.int32)

    def total(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        for _ in range(config.blocks):
            q = attention.attend(q, k, v, prefix, config.attention)
        return q.astype(jnp.float32).sum()

    slope = jax.jit(jax.grad(total, argnums=(0, 1, 2)))
    return lambda i: slope(*qkv)


def _feed_forward(net: Transformer, shape: tuple[int, int]) -> Callable:
    """The three matrices and the gate of every block."""
    size = (*shape, net.config.width)
    x = jax.random.normal(jax.random.key(0), size, jnp.dtype(net.config.compute))

    def total(blocks: Any, x: jax.Array) -> jax.Array:
        for block in blocks:
            x = block.down(transformer.gated(block.gate(x), block.up(x)))
        return x.astype(jnp.float32).sum()

    slope = jax.jit(jax.grad(total, argnums=(0, 1)))
    return lambda i: slope(net.blocks, x)
