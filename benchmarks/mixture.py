"""Mixed batches: how fast they are made, what padding they hold, and whether new ratios compile."""

import statistics
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.clock import timed
from benchmarks.table import Row
from birdiedna import vocab
from birdiedna.data import fasta, genome
from birdiedna.data.sample import GENOME, TRAIN
from birdiedna.objectives.definitions import BIRDIE_DNA
from birdiedna.objectives.mixture import Corpus, mix
from birdiedna.objectives.mixture import sample as draw
from birdiedna.objectives.program import Batch, Objective

SLOTS, ROWS = 1024, 128
NEW_RATIOS = 10
INFILLING = "infill_50_3"
#: The official per-sample pipeline (Birdie, EMNLP 2024) on one core of an AMD EPYC (Zen 4), queues
#: left out, Mtok/s: measured before this benchmark was written, and not by it.
OFFICIAL_MIXED, OFFICIAL_INFILLING = 0.6, 0.27


def rows(quick: bool = False) -> list[Row]:
    """Speed, padding and compilations of batches of all seven objectives."""
    repeats = 3 if quick else 20
    data, tokens = corpus(), ROWS * SLOTS / 1e6
    every, alone = (maker(x, data) for x in (BIRDIE_DNA, {INFILLING: BIRDIE_DNA[INFILLING]}))
    mixed = timed(drawn(every, len(BIRDIE_DNA)), repeats)
    infilling = timed(drawn(alone, 1), repeats)
    shares = pads(every)
    compiled = recompiled(every)
    worst = max(shares, key=shares.get)
    size = f"{ROWS} x {SLOTS} tokens, {len(BIRDIE_DNA)} objectives, {mixed.spread()}"
    return [
        Row("mixture", "mixed batches", tokens / mixed.median(), "Mtok/s", 5, "more", size),
        Row("mixture", "infilling 50/3 only", tokens / infilling.median(), "Mtok/s", None, "more",
            infilling.spread()),
        *_against("mixed batches", tokens / mixed.cpu, OFFICIAL_MIXED),
        *_against("infilling 50/3 only", tokens / infilling.cpu, OFFICIAL_INFILLING),
        Row("mixture", "padding", 100 * statistics.mean(shares.values()), "%", 0.5, "less",
            f"of all slots, uniform mixture; most in {worst}: {shares[worst]:.2%}"),
        Row("mixture", "programs compiled", compiled, "", 1, "less",
            f"for the first ratios and {NEW_RATIOS} new ones"),
    ]  # fmt: skip


def corpus() -> Corpus:
    """The embedded sample, on the device."""
    human = fasta.read(GENOME)
    windows = genome.windows(human, TRAIN, SLOTS)
    return Corpus(jnp.asarray(human.tokens), jax.tree.map(jnp.asarray, windows))


def maker(
    objectives: Mapping[str, Objective], data: Corpus, rows: int = ROWS, slots: int = SLOTS
) -> Callable[..., Batch]:
    """A jitted function of a key and ratios that draws a batch."""
    mixture = mix(objectives, slots)
    return jax.jit(lambda key, ratios: draw(mixture, key, data, ratios, rows)[0])


def pads(make: Callable[..., Batch]) -> dict[str, float]:
    """The share of pad tokens in rows of every objective."""
    batches = (make(jax.random.key(1), ratios) for ratios in jnp.eye(len(BIRDIE_DNA)))
    shares = [float((batch.tokens == vocab.PAD).mean()) for batch in batches]
    return dict(zip(BIRDIE_DNA, shares, strict=True))


def recompiled(make: Callable[..., Batch]) -> int:
    """How many programs there are after so many new ratios."""
    for ratios in np.random.default_rng(0).dirichlet(np.ones(len(BIRDIE_DNA)), NEW_RATIOS):
        make(jax.random.key(0), jnp.asarray(ratios, jnp.float32))
    return make._cache_size()


def drawn(make: Callable[..., Batch], n: int) -> Callable[[int], Batch]:
    """Calls that draw one batch after the other, of n objectives equally often."""
    key, even = jax.random.key(0), jnp.full(n, 1 / n, jnp.float32)
    return lambda i: make(jax.random.fold_in(key, i), even)


def _against(what: str, ours: float, theirs: float) -> list[Row]:
    """How many times the published pipeline's rate, core by core (Mtok per CPU second)."""
    if jax.default_backend() != "cpu":
        return []
    note = f"{ours:.3g} Mtok per CPU second; theirs {theirs} on an AMD EPYC core, another day"
    what = f"{what}, times the published pipeline"
    return [Row("mixture", what, ours / theirs, "x", 20, "more", note)]
