"""Every change that was kept for speed on CPUs, taken back: a train step without it and with it.

What `tried.json` says was measured once, when a change was made; this part measures again, on the
code and machine of today. Both forms live in one process and are timed in turns, A B A B.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple
from unittest import mock

import jax

from benchmarks import mixture, step
from benchmarks.table import Row
from birdiedna import attention, model
from birdiedna import mixture as batches
from birdiedna.objectives import BIRDIE_DNA

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


STEPS = (
    Change(
        *("attention by blocks", attention, "attend_blocks", attention.attend_einsum),
        *(("float32",), (*WHOLE, ATTENTION)),
    ),
    Change(
        *("attention by blocks", attention, "attend_blocks", attention.attend_einsum),
        *(("bfloat16",), WHOLE),  # XLA does not compile the former attention alone
    ),
    Change(
        *("keys turned once", attention, "_turned", lambda x: x.swapaxes(2, 3)),
        *(("float32",), (*BACKWARDS, ATTENTION)),  # XLA has no such product of bfloat16
    ),
    Change(
        *("sums in float32", model, "product_cpu", lambda x, kernel: x @ kernel.astype(x.dtype)),
        *(("bfloat16",), (*WHOLE, FEED_FORWARD)),
    ),
    Change(
        *("gate computed again", model, "gated", model.gated.__wrapped__),
        *(("float32", "bfloat16"), (*BACKWARDS, FEED_FORWARD)),
    ),
)
ROWS = Change("batch row by row", batches, "_each", lambda one, keys: jax.vmap(one)(keys))


def rows(quick: bool = False) -> list[Row]:
    """How many times as fast every change makes what it is about; nothing off a CPU."""
    if jax.default_backend() != "cpu":
        return []
    pairs = 1 if quick else 7
    found = [
        _row(change, f"{piece}, {compute}", (step.ROWS, SLOTS), _step(piece, compute), pairs)
        for change in STEPS
        for compute in change.computes
        for piece in change.pieces
    ]
    data = mixture.corpus()
    make = lambda: mixture.drawn(mixture.maker(BIRDIE_DNA, data), len(BIRDIE_DNA))
    return [*found, _row(ROWS, "mixed batch", (mixture.ROWS, mixture.SLOTS), make, pairs)]


def _step(piece: str, compute: str) -> Callable[[], Callable]:
    """Makes the piece of a step, anew at every call."""
    config = replace(step.SIZES, compute=compute)
    return lambda: step.pieces(config, step.batch(SLOTS))[piece]


def _row(
    change: Change, what: str, size: tuple[int, int], make: Callable[[], Callable], pairs: int
) -> Row:
    before, after = change.before(make), make()
    jax.block_until_ready(after(0))
    taken: dict[Callable, list[float]] = {before: [], after: []}
    for number in range(pairs):
        for call, seconds in taken.items():
            begin = time.perf_counter()
            jax.block_until_ready(call(number))
            seconds.append(time.perf_counter() - begin)
    slow, fast = (statistics.median(seconds) for seconds in taken.values())
    note = f"{size[0]} x {size[1]}, {pairs} pairs, {slow:.3g} s without and {fast:.3g} s with it"
    at = {"before": slow, "after": fast}
    return Row("changes", f"{change.what}: {what}", slow / fast, "x", None, "more", note, at)
