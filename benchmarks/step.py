"""Where the time of a train step goes on this machine.

The paper's model and a small batch. `train_step` compares the whole step with peers; this needs
none.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.results import Row, timed
from birdiedna import vocab
from birdiedna.model import attention, transformer
from birdiedna.model.transformer import ModelConfig, Transformer
from birdiedna.training import optimizer as optimizers

ROWS = 4
CASES = (("float32", 512), ("float32", 1024), ("bfloat16", 512), ("bfloat16", 1024))
SIZES = ModelConfig()
#: Ids and labels, int32 (ROWS, slots).
Batch = tuple[jax.Array, jax.Array]


def rows(quick: bool = False) -> list[Row]:
    """Seconds of the step and its pieces, for each type and length."""
    found = []
    for compute, slots in CASES[:1] if quick else CASES:
        at = {"slots": slots, "bits": 8 * jnp.dtype(compute).itemsize}
        for what, call in pieces(replace(SIZES, compute=compute), batch(slots)).items():
            taken = timed(call, 1 if quick else 7)
            note = f"{ROWS} x {slots}, {compute}, causal, {taken.spread()}"
            found.append(Row("step", what, taken.median(), "s", note=note, at=at))
    return found


def batch(slots: int) -> Batch:
    """Random bases and what follows each."""
    ids = np.random.default_rng(0).integers(vocab.A, vocab.N, (ROWS, slots + 1))
    return jnp.asarray(ids[:, :-1], jnp.int32), jnp.asarray(ids[:, 1:], jnp.int32)


def pieces(config: ModelConfig, batch: Batch) -> dict[str, Callable]:
    """Calls that run the whole step, and parts of it: by direction, and by what they compute."""
    net = transformer.init(config, 0)
    tx = optimizers.optimizer(optimizers.OptimizerConfig(), 1_000_000)
    start = lambda: optimizers.start(jax.tree.map(jnp.copy, net), tx)  # a step donates its state
    whole, alone = [start()], [start()]
    update = jax.jit(lambda state: optimizers.update(state, tx, loss, batch)[:2], donate_argnums=0)
    adam = jax.jit(lambda state, g: optimizers.descend(state, tx, 0.0, g)[0], donate_argnums=0)

    def step(i: int) -> jax.Array:
        whole[0], value = update(whole[0])
        return value

    def optimizer(i: int) -> jax.Array:
        alone[0] = adam(alone[0], gradient())
        return alone[0].step

    forward = jax.jit(lambda net: loss(net, batch)[0])
    both = jax.jit(jax.grad(lambda net: loss(net, batch)[0]))
    gradient = cache(lambda: both(net))
    return {
        "whole step": step,
        "forward": lambda i: forward(net),
        "forward and backward": lambda i: both(net),
        "attention, both directions": _attention(config, batch[0].shape),
        "feed-forward, both directions": _feed_forward(net, batch[0].shape),
        "optimizer": optimizer,
    }


def loss(net: Transformer, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Mean cross-entropy of all slots of causal rows, and the logits."""
    ids, labels = batch
    logits = net(ids, jnp.zeros(len(ids), jnp.int32))
    return optimizers.cross_entropy(logits, labels).mean(), logits


def _attention(config: ModelConfig, shape: tuple[int, ...]) -> Callable:
    """Scores, softmax and weighted sum of every block, without projections."""
    keys = jax.random.split(jax.random.key(0), 3)
    heads = (*shape, config.heads, config.head_width)
    qkv = [jax.random.normal(key, heads, jnp.dtype(config.compute)) for key in keys]
    prefix = jnp.zeros(shape[0], jnp.int32)

    def total(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        for _ in range(config.blocks):
            q = attention.attend(q, k, v, prefix, config.attention)
        return q.astype(jnp.float32).sum()

    gradient = jax.jit(jax.grad(total, argnums=(0, 1, 2)))
    return lambda i: gradient(*qkv)


def _feed_forward(net: Transformer, shape: tuple[int, ...]) -> Callable:
    """The three matrices and the gate of every block."""
    size = (*shape, net.config.width)
    x = jax.random.normal(jax.random.key(0), size, jnp.dtype(net.config.compute))

    def total(blocks: Any, x: jax.Array) -> jax.Array:
        for block in blocks:
            x = block.down(transformer.gated(block.gate(x), block.up(x)))
        return x.astype(jnp.float32).sum()

    gradient = jax.jit(jax.grad(total, argnums=(0, 1)))
    return lambda i: gradient(net.blocks, x)
