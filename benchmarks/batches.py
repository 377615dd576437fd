"""Batches: how fast they are drawn, how many slots are padding, how genome size matters."""

import statistics
from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp

from benchmarks.results import Row, timed
from birdiedna import vocab
from birdiedna.data import fasta, genome, sample
from birdiedna.data.genome import Packed, Windows
from birdiedna.objectives.definitions import BIRDIE_DNA
from birdiedna.objectives.mixture import Corpus, mix
from birdiedna.objectives.mixture import sample as draw
from birdiedna.objectives.program import Batch, Objective

SLOTS, ROWS = 1024, 128
INFILLING = "infill_50_3"
#: The official per-sample pipeline (Birdie, EMNLP 2024) on one core of an AMD EPYC (Zen 4), without
#: queues, Mtok/s: measured on another day, and not by this benchmark.
OFFICIAL = {"mixed batches": 0.6, "infilling 50/3 only": 0.27}


def mixture(quick: bool = False) -> list[Row]:
    """Speed and padding of batches of all seven objectives."""
    repeats, data, tokens = 3 if quick else 20, corpus(), ROWS * SLOTS / 1e6
    every, alone = (maker(x, data) for x in (BIRDIE_DNA, {INFILLING: BIRDIE_DNA[INFILLING]}))
    mixed, infilling = (
        timed(drawn(every, len(BIRDIE_DNA)), repeats),
        timed(drawn(alone, 1), repeats),
    )
    shares = pads(every)
    worst = max(shares, key=shares.__getitem__)
    size = f"{ROWS} x {SLOTS} tokens, {len(BIRDIE_DNA)} objectives, {mixed.spread()}"
    most = f"of all slots, uniform mixture; most in {worst}: {shares[worst]:.2%}"
    row, speed = partial(Row, "mixture"), {"unit": "Mtok/s", "best": "more"}
    found = [
        row("mixed batches", tokens / mixed.median(), bar=5, note=size, **speed),
        row("infilling 50/3 only", tokens / infilling.median(), note=infilling.spread(), **speed),
        row("padding", 100 * statistics.mean(shares.values()), "%", 0.5, note=most),
    ]
    if jax.default_backend() == "cpu":
        for (what, theirs), one in zip(OFFICIAL.items(), (mixed, infilling), strict=True):
            ours = tokens / one.cpu
            note = f"{ours:.3g} Mtok per CPU second; theirs {theirs} on an AMD EPYC core"
            what = f"{what}, times the published pipeline"
            found.append(row(what, ours / theirs, "x", 20, "more", f"{note}, another day"))
    return found


def corpus() -> Corpus:
    """The embedded sample, on the device."""
    human = fasta.read(sample.GENOME)
    windows = genome.windows(human, sample.TRAIN, SLOTS)
    return Corpus(jnp.asarray(human.tokens), jax.tree.map(jnp.asarray, windows))


def maker(objectives: Mapping[str, Objective], data: Corpus) -> Callable[..., Batch]:
    """A jitted function of a key and ratios that draws a batch."""
    mixed = mix(objectives, SLOTS)
    return jax.jit(lambda key, ratios: draw(mixed, key, data, ratios, ROWS)[0])


def drawn(make: Callable[..., Batch], n: int) -> Callable[[int], Batch]:
    """Calls that draw one batch each, of n objectives at even ratios."""
    key, even = jax.random.key(0), jnp.full(n, 1 / n, jnp.float32)
    return lambda i: make(jax.random.fold_in(key, i), even)


def pads(make: Callable[..., Batch]) -> dict[str, float]:
    """The share of pad tokens in rows of every objective."""
    batches = (make(jax.random.key(1), ratios) for ratios in jnp.eye(len(BIRDIE_DNA)))
    shares = [float((batch.tokens == vocab.PAD).mean()) for batch in batches]
    return dict(zip(BIRDIE_DNA, shares, strict=True))


BASES = {"1 Mb": 2**20, "64 Mb": 2**26, "1 Gb": 2**30}
FORMS: dict[str, Callable[[int], jax.Array | Packed]] = {
    "8 bits a base": lambda n: (jnp.arange(n, dtype=jnp.uint32) % 4 + vocab.A).astype(jnp.uint8),
    "2 bits a base": lambda n: Packed(jnp.arange(n // 4 + 1, dtype=jnp.uint32).astype(jnp.uint8)),
}


def scale(quick: bool = False) -> list[Row]:
    """Milliseconds per batch of windows by genome size, at 8 bits a base and at 2."""
    row, found, note = partial(Row, "scale"), [], "the small one fits into the processor's cache"
    keys = [jax.random.key(i) for i in range(20 if quick else 200)]

    @jax.jit
    def batch(key: jax.Array, tokens: jax.Array | Packed, windows: Windows) -> jax.Array:
        starts = jax.vmap(lambda one: genome.draw(one, windows))(jax.random.split(key, ROWS))
        return jax.vmap(lambda start: genome.cut(tokens, start, SLOTS))(starts)

    for form, make in FORMS.items():
        times = {}
        for name, bases in BASES.items():
            windows = Windows(jnp.zeros(1, jnp.uint32), jnp.array([bases - SLOTS + 1], jnp.uint32))
            call = partial(batch, tokens=make(bases), windows=windows)
            taken = timed(lambda i, call=call: call(keys[i]), len(keys))
            times[name] = 1e3 * taken.median()
            what, size = f"windows from {name}, {form}", f"{ROWS} x {SLOTS}, {taken.spread()}"
            found.append(row(what, times[name], "ms", note=size, at={"bases": bases}))
        first, *_, last = times
        ratio = times[last] / times[first]
        found.append(row(f"{last} over {first}, {form}", ratio, "x", note=note))
    return found
