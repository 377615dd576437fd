"""Where the time of a train step goes on this machine, and what each change made for speed gains.

The paper's model and a small batch. `train_step` compares the whole step with peers; this needs
none.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from itertools import product
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import batches
from benchmarks.results import Row, timed
from birdiedna import vocab
from birdiedna.model import attention, cpu_kernels, transformer
from birdiedna.model.transformer import ModelConfig, Transformer
from birdiedna.objectives import mixture
from birdiedna.objectives.definitions import BIRDIE_DNA
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
        ATTENTION: _attention(config, batch[0].shape),
        FEED_FORWARD: _feed_forward(net, batch[0].shape),
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


class Change(NamedTuple):
    """A change that was kept for speed on CPUs: `module.name` was `former` before.

    `computes` are the types with which a step is measured, `pieces` what of it the change alters.
    """

    what: str
    module: Any
    name: str
    former: Callable
    computes: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()

    def undone(self, make: Callable[[], Callable]) -> Callable:
        """What `make` makes, traced as it was before the change."""
        with mock.patch.object(self.module, self.name, self.former):
            call = make()
            jax.block_until_ready(call(0))
        return call


def _padded(whole: jax.Array, part: jax.Array, first: int) -> jax.Array:
    return whole + jnp.pad(part, [(0, 0)] * (whole.ndim - 1) + [(first, 0)])


ATTENTION, FEED_FORWARD = (f"{x}, both directions" for x in ("attention", "feed-forward"))
WHOLE = ("whole step", "forward", "forward and backward")
BACKWARDS = ("whole step", "forward and backward")
CHANGE_SLOTS = 1024
_BLOCKS = partial(
    Change, "attention by blocks", attention, "attend_blocks", attention.attend_einsum
)
CHANGES = (
    _BLOCKS(("float32",), (*WHOLE, ATTENTION)),
    _BLOCKS(("bfloat16",), WHOLE),  # XLA does not compile its attention alone
    Change("gradients added in place", cpu_kernels, "_added", _padded,
        ("float32", "bfloat16"), (*BACKWARDS, ATTENTION)),
    Change("sums in float32", transformer, "matmul", lambda x, kernel: x @ kernel.astype(x.dtype),
        ("bfloat16",), (*WHOLE, FEED_FORWARD)),
    Change("gate computed again", transformer, "gated", transformer.gated.__wrapped__,
        ("float32", "bfloat16"), (*BACKWARDS, FEED_FORWARD)),
)  # fmt: skip
ROW_BY_ROW = Change("batch row by row", mixture, "each", lambda one, keys: jax.vmap(one)(keys))


def changes(quick: bool = False) -> list[Row]:
    """How many times as fast every change makes what it alters; nothing off a CPU.

    `tried.json` holds what was measured once, when a change was made. Here both forms live in one
    process and are timed in turns, A B A B.
    """
    if jax.default_backend() != "cpu":
        return []
    pairs = 1 if quick else 7

    def step(piece: str, compute: str) -> Callable:
        return pieces(replace(SIZES, compute=compute), batch(CHANGE_SLOTS))[piece]

    now, found = cache(step), []
    for change in CHANGES:
        for compute, piece in product(change.computes, change.pieces):
            calls = change.undone(partial(step, piece, compute)), now(piece, compute)
            what, size = f"{change.what}: {piece}, {compute}", f"{ROWS} x {CHANGE_SLOTS}"
            found.append(_change(what, size, calls, pairs))
    data = batches.corpus()
    make = lambda: batches.drawn(batches.maker(BIRDIE_DNA, data), len(BIRDIE_DNA))
    what, size = f"{ROW_BY_ROW.what}: mixed batch", f"{batches.ROWS} x {batches.SLOTS}"
    return [*found, _change(what, size, (ROW_BY_ROW.undone(make), make()), pairs)]


def _change(what: str, size: str, calls: tuple[Callable, Callable], pairs: int) -> Row:
    """Time a call without a change and one with it, in turns."""
    jax.block_until_ready(calls[1](0))
    taken: tuple[list[float], list[float]] = [], []
    for number in range(pairs):
        for call, seconds in zip(calls, taken, strict=True):
            begin = time.perf_counter()
            jax.block_until_ready(call(number))
            seconds.append(time.perf_counter() - begin)
    slow, fast = map(statistics.median, taken)
    note = f"{size}, {pairs} pairs, {slow:.3g} s without and {fast:.3g} s with it"
    at = {"before": slow, "after": fast}
    return Row("changes", what, slow / fast, "x", None, "more", note, at)
