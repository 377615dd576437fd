"""Every change that was kept for speed on CPUs, taken back: a train step without it and with it.

What `tried.json` says was measured once, when a change was made; this part measures again, on the
code and machine of today. Both forms live in one process and are timed in turns, A B A B.
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

from benchmarks import mixture, step
from benchmarks.table import Row
from birdiedna.model import attention, cpu_kernels, transformer
from birdiedna.objectives import mixture as batches
from birdiedna.objectives.definitions import BIRDIE_DNA

ATTENTION, FEED_FORWARD = (f"{x}, both directions" for x in ("attention", "feed-forward"))
WHOLE = ("whole step", "forward", "forward and backward")
BACKWARDS = ("whole step", "forward and backward")
SLOTS = 1024


class Change(NamedTuple):
    """A change of a function: `module.name` was `former` before.

    `computes` are the types with which a step is measured, `pieces` what of it the change alters.
    """

    what: str
    module: Any
    name: str
    former: Callable
    computes: tuple[str, ...] = ()
    pieces: tuple[str, ...] = ()

    def before(self, make: Callable[[], Callable]) -> Callable:
        """What `make` makes, traced as it was before the change."""
        with mock.patch.object(self.module, self.name, self.former):
            call = make()
            jax.block_until_ready(call(0))
        return call


def _padded(whole: jax.Array, part: jax.Array, first: int) -> jax.Array:
    return whole + jnp.pad(part, [(0, 0)] * (whole.ndim - 1) + [(first, 0)])


_BLOCKS = partial(
    Change, "attention by blocks", attention, "attend_blocks", attention.attend_einsum
)
_PLACE = partial(Change, "slopes added in place", cpu_kernels, "_added", _padded)
_SUMS = partial(
    Change, "sums in float32", transformer, "matmul", lambda x, kernel: x @ kernel.astype(x.dtype)
)
_GATE = partial(Change, "gate computed again", transformer, "gated", transformer.gated.__wrapped__)
STEPS = (
    _BLOCKS(("float32",), (*WHOLE, ATTENTION)),
    _BLOCKS(("bfloat16",), WHOLE),  # XLA does not compile the former attention alone
    _PLACE(("float32", "bfloat16"), (*BACKWARDS, ATTENTION)),
    _SUMS(("bfloat16",), (*WHOLE, FEED_FORWARD)),
    _GATE(("float32", "bfloat16"), (*BACKWARDS, FEED_FORWARD)),
)
ROWS = Change("batch row by row", batches, "each", lambda one, keys: jax.vmap(one)(keys))


def rows(quick: bool = False) -> list[Row]:
    """How many times as fast every change makes what it is about; nothing off a CPU."""
    if jax.default_backend() != "cpu":
        return []
    pairs = 1 if quick else 7
    now = cache(_step)  # the pieces as they are serve all changes
    found = []
    for change in STEPS:
        for compute, piece in product(change.computes, change.pieces):
            calls = change.before(partial(_step, piece, compute)), now(piece, compute)
            size = f"{step.ROWS} x {SLOTS}"
            found.append(_row(f"{change.what}: {piece}, {compute}", size, calls, pairs))
    data = mixture.corpus()
    make = lambda: mixture.drawn(mixture.maker(BIRDIE_DNA, data), len(BIRDIE_DNA))
    size = f"{mixture.ROWS} x {mixture.SLOTS}"
    return [*found, _row(f"{ROWS.what}: mixed batch", size, (ROWS.before(make), make()), pairs)]


def _step(piece: str, compute: str) -> Callable:
    """The piece of a step, traced anew."""
    return step.pieces(replace(step.SIZES, compute=compute), step.batch(SLOTS))[piece]


def _row(what: str, size: str, calls: tuple[Callable, Callable], pairs: int) -> Row:
    """Times a call without a change and one with it, in turns."""
    jax.block_until_ready(calls[1](0))
    taken: tuple[list[float], list[float]] = [], []
    for number in range(pairs):
        for call, seconds in zip(calls, taken, strict=True):
            begin = time.perf_counter()
            jax.block_until_ready(call(number))
            seconds.append(time.perf_counter() - begin)
    slow, fast = (statistics.median(seconds) for seconds in taken)
    note = f"{size}, {pairs} pairs, {slow:.3g} s without and {fast:.3g} s with it"
    at = {"before": slow, "after": fast}
    return Row("changes", what, slow / fast, "x", None, "more", note, at)
