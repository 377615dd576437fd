"""Batches: how fast they are drawn, their padding, what is compiled, and the size of the genome."""

import statistics
from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.results import Row, Timed, timed
from birdiedna import vocab
from birdiedna.data import fasta, genome, sample
from birdiedna.data.genome import Packed, Windows
from birdiedna.experiments import profiles
from birdiedna.model import transformer
from birdiedna.objectives.definitions import BIRDIE_DNA
from birdiedna.objectives.mixture import Corpus, held_out, mix
from birdiedna.objectives.mixture import sample as draw
from birdiedna.objectives.program import Batch, Objective
from birdiedna.training import devices, pretrain

SLOTS, ROWS = 1024, 128
NEW_RATIOS = 10
INFILLING = "infill_50_3"
#: The official per-sample pipeline (Birdie, EMNLP 2024) on one core of an AMD EPYC (Zen 4), queues
#: left out, Mtok/s: measured before this benchmark was written, and not by it.
OFFICIAL = {"mixed batches": 0.6, "infilling 50/3 only": 0.27}


def mixture(quick: bool = False) -> list[Row]:
    """Speed, padding and compilations of batches of all seven objectives."""
    repeats, data, tokens = 3 if quick else 20, corpus(), ROWS * SLOTS / 1e6
    every, alone = (maker(x, data) for x in (BIRDIE_DNA, {INFILLING: BIRDIE_DNA[INFILLING]}))
    mixed = timed(drawn(every, len(BIRDIE_DNA)), repeats)
    infilling = timed(drawn(alone, 1), repeats)
    shares = pads(every)
    for ratios in np.random.default_rng(0).dirichlet(np.ones(len(BIRDIE_DNA)), NEW_RATIOS):
        every(jax.random.key(0), jnp.asarray(ratios, jnp.float32))
    worst = max(shares, key=shares.__getitem__)
    size = f"{ROWS} x {SLOTS} tokens, {len(BIRDIE_DNA)} objectives, {mixed.spread()}"
    most = f"of all slots, uniform mixture; most in {worst}: {shares[worst]:.2%}"
    row = partial(Row, "mixture")
    return [
        row("mixed batches", tokens / mixed.median(), "Mtok/s", 5, "more", size),
        row("infilling 50/3 only", tokens / infilling.median(), "Mtok/s", None, "more",
            infilling.spread()),
        *(_against(what, tokens / one.cpu) for what, one in zip(OFFICIAL, (mixed, infilling))
          if jax.default_backend() == "cpu"),
        row("padding", 100 * statistics.mean(shares.values()), "%", 0.5, note=most),
        row("programs compiled", every._cache_size(), bar=1,
            note=f"for the first ratios and {NEW_RATIOS} new ones"),
    ]  # fmt: skip


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
    """Calls that draw one batch after the other, of n objectives equally often."""
    key, even = jax.random.key(0), jnp.full(n, 1 / n, jnp.float32)
    return lambda i: make(jax.random.fold_in(key, i), even)


def pads(make: Callable[..., Batch]) -> dict[str, float]:
    """The share of pad tokens in rows of every objective."""
    batches = (make(jax.random.key(1), ratios) for ratios in jnp.eye(len(BIRDIE_DNA)))
    shares = [float((batch.tokens == vocab.PAD).mean()) for batch in batches]
    return dict(zip(BIRDIE_DNA, shares, strict=True))


def _against(what: str, ours: float) -> Row:
    """The published pipeline's rate, core by core (Mtok per CPU second)."""
    theirs = OFFICIAL[what]
    note = f"{ours:.3g} Mtok per CPU second; theirs {theirs} on an AMD EPYC core, another day"
    what = f"{what}, times the published pipeline"
    return Row("mixture", what, ours / theirs, "x", 20, "more", note)


ARM = profiles.PROFILES["quick"].pretrain["birdie"]


def evaluation(quick: bool = False) -> list[Row]:
    """Functions compiled to measure the losses of all objectives."""
    monitored, human = ARM.monitored(), fasta.read(sample.GENOME)
    windows = genome.windows(human, sample.VALIDATION, ARM.slots)
    starts = jnp.asarray(genome.fixed_starts(windows, ARM.evaluation_rows))
    batch = held_out(monitored, jax.random.key(0), jnp.asarray(human.tokens), starts)
    over = devices.mesh()
    batch, before = devices.replicate(batch, over), pretrain.evaluate._cache_size()
    for seed in (0, 1):
        net = devices.replicate(transformer.init(ARM.model, seed), over)
        pretrain.evaluate(net, batch, ARM, over)
    compiled = pretrain.evaluate._cache_size() - before
    names = f"for {len(monitored.names)} objectives and two models of one arm"
    return [Row("evaluation", "functions compiled", compiled, bar=1, note=names)]


BASES = {"1 Mb": 2**20, "64 Mb": 2**26, "1 Gb": 2**30}
FORMS: dict[str, Callable[[int], jax.Array | Packed]] = {
    "8 bits a base": lambda n: (jnp.arange(n, dtype=jnp.uint32) % 4 + vocab.A).astype(jnp.uint8),
    "2 bits a base": lambda n: Packed(jnp.arange(n // 4 + 1, dtype=jnp.uint32).astype(jnp.uint8)),
}


def scale(quick: bool = False) -> list[Row]:
    """Milliseconds per batch of windows by genome size, at 8 bits a base and at 2."""
    row, found = partial(Row, "scale"), []
    for form, make in FORMS.items():
        times = {}
        for name, bases in BASES.items():
            taken = _windows(make(bases), bases, 20 if quick else 200)
            times[name] = 1e3 * taken.median()
            what, size = f"windows from {name}, {form}", f"{ROWS} x {SLOTS}, {taken.spread()}"
            found.append(row(what, times[name], "ms", note=size, at={"bases": bases}))
        first, *_, last = times
        note = "the small one fits into the processor's cache"
        found.append(
            row(f"{last} over {first}, {form}", times[last] / times[first], "x", note=note)
        )
    return found


def _windows(tokens: jax.Array | Packed, bases: int, repeats: int) -> Timed:
    windows = Windows(jnp.zeros(1, jnp.uint32), jnp.array([bases - SLOTS + 1], jnp.uint32))

    @jax.jit
    def batch(key: jax.Array, tokens: jax.Array | Packed) -> jax.Array:
        starts = jax.vmap(lambda one: genome.draw(one, windows))(jax.random.split(key, ROWS))
        return jax.vmap(lambda start: genome.cut(tokens, start, SLOTS))(starts)

    keys = [jax.random.key(i) for i in range(repeats)]
    return timed(lambda i: batch(keys[i], tokens), repeats)
