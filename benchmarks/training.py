"""Training: times of the director, speed of fine-tunings made together, memory of a step."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.results import Row, timed
from birdiedna.data.genome import Windows
from birdiedna.director.director import Birdie, BirdieState
from birdiedna.director.reward_model import append
from birdiedna.experiments import profiles
from birdiedna.model import transformer
from birdiedna.objectives.definitions import CLASSES
from birdiedna.objectives.mixture import Corpus
from birdiedna.training import devices, finetune, optimizer
from birdiedna.training.finetune import Classifier, Data
from birdiedna.training.pretrain import PretrainConfig, planned_bytes

DIRECTOR = Birdie(CLASSES)
#: Rounds in the history; the paper's run has 34 before its last decision.
ROUNDS = (1, 8, 34)
DIRECTOR_STEPS = 16_384


def director(quick: bool = False) -> list[Row]:
    """Seconds of a fit of the reward model and of a search, after histories of several lengths."""
    states, few, most = {rounds: after(rounds) for rounds in ROUNDS}, min(ROUNDS), max(ROUNDS)
    vectors = [jnp.full(len(CLASSES), x, jnp.float32) for x in (1 / len(CLASSES), 1.30, 1.29)]
    fit = lambda n: lambda _: DIRECTOR.observe(states[n], *vectors)
    search = lambda n: lambda _: DIRECTOR.propose(states[n], DIRECTOR_STEPS // 2, DIRECTOR_STEPS)
    fits = {n: timed(fit(n), 1 if quick else 3) for n in (few, most)}
    searches = {n: timed(search(n), 2 if quick else 7) for n in ROUNDS}
    row, found = partial(Row, "director"), []
    for what, bar, times in (
        (f"fit of {DIRECTOR.fit.iterations} steps", 5, fits),
        (f"search of {DIRECTOR.candidates:,} candidates", 0.3, searches),
    ):
        for n, one in times.items():
            named, at = f"{what} after {n} round{'s' * (n > 1)}", {"rounds": n}
            found.append(row(named, one.median(), "s", bar, note=one.spread(), at=at))
    growth = searches[most].median() / searches[few].median()
    what, note = "search after most rounds over after fewest", f"{most} rounds over {few}"
    return [*found, row(what, growth, "x", note=note)]


def after(rounds: int) -> BirdieState:
    """A director with a history of random rounds; fits change no shape and are left out."""
    rng, n = np.random.default_rng(rounds), len(DIRECTOR.classes)
    state = DIRECTOR.init(jax.random.key(0), jnp.full(n, 1.3))
    for _ in range(rounds):
        losses, ratios = rng.uniform(1, 1.4, n), rng.dirichlet(np.ones(n))
        row = jnp.asarray(np.concatenate([losses, ratios]), jnp.float32)
        rewards = jnp.asarray(rng.uniform(-0.1, 0.1, n), jnp.float32)
        state = state._replace(history=append(state.history, row, rewards))
    return state


SMALL = profiles.PROFILES["quick"].finetune
#: Models that are fine-tuned one by one and together; steps of a call; bases of a row.
MODELS, STEPS, BASES = 9, 4, 300


def finetuning(quick: bool = False) -> list[Row]:
    """Rows a second of several fine-tunings, one by one and together.

    On a CPU "together" is the same program, one model after the other.
    """
    models, speeds = 2 if quick else MODELS, {}
    tx = optimizer.optimizer(SMALL.optimizer, SMALL.steps)
    for together in (1, models):
        nets = [
            Classifier(transformer.init(SMALL.model, seed), SMALL, nnx.Rngs(seed))
            for seed in range(together)
        ]
        started = (optimizer.start(net, tx) for net in nets)
        states = [jax.tree.map(lambda *leaves: jnp.stack(leaves), *started)]
        masks, batches = jnp.arange(together) % 3 > 0, _rows((together, STEPS, SMALL.rows))

        def call(_: int, states=states, masks=masks, batches=batches, together=together) -> Any:
            for _ in range(models // together):
                states[0], trace = finetune.advance_together(states[0], batches, masks, SMALL)
            return trace[0]

        speeds[together] = models * STEPS * SMALL.rows / timed(call, 3).median()
    note = f"{models} models of the quick profile, {BASES} bases, {SMALL.rows} rows a step"
    row = partial(Row, "finetuning", best="more", note=note)
    return [
        row("one by one", speeds[1], "rows/s"),
        row("together", speeds[models], "rows/s"),
        row("together over one by one", speeds[models] / speeds[1], "x"),
    ]


def _rows(shape: tuple[int, ...]) -> Data:
    """Random rows, some of them padded."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(8, 12, (*shape, BASES)).astype(np.uint8)
    lengths = rng.integers(BASES // 2, BASES + 1, shape).astype(np.int32)
    return Data(*map(jnp.asarray, (tokens, lengths, rng.integers(0, 2, shape).astype(np.int32))))


GENOME_BASES = 3_117_292_070  # T2T-CHM13
STRETCHES = 1_000
SETTINGS = profiles.PROFILES["paper"].pretrain["birdie"]
GRID = tuple((rows, slots) for slots in (512, 1024, 2048) for rows in (32, 128))
#: The paper's setting is also planned in this many microbatches.
MICROBATCHES = (4, 16)
GIB = 2**30


def memory(quick: bool = False) -> list[Row]:
    """GiB of the paper's step: over a grid of batch and length, and in microbatches.

    Nothing is run: XLA plans every buffer when it compiles, for this backend.
    """
    usual = (SETTINGS.rows, SETTINGS.slots)
    sizes = [(*at, 1) for at in ((usual,) if quick else GRID)]
    sizes += [(*usual, parts) for parts in MICROBATCHES[quick:]]
    row, found = partial(Row, "memory", unit="GiB"), []
    for rows, slots, parts in sizes:
        config = replace(SETTINGS, rows=rows, slots=slots, microbatches=parts)
        size = planned_bytes(*abstract(config), config, devices.mesh()) / GIB
        what = f"{rows} x {slots}" + f" in {parts} microbatches" * (parts > 1)
        at = {"rows": rows, "slots": slots, "microbatches": parts}
        found.append(
            row(what, size, note=f"planned by the {jax.default_backend()} compiler", at=at)
        )
    state, _, corpus, _ = abstract(SETTINGS)
    kept = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves((state, corpus)))
    held = f"weights, Adam's moments and {GENOME_BASES:,} bases at 8 bits"
    return [*found, row("of which kept between steps", kept / GIB, note=held)]


def abstract(config: PretrainConfig) -> tuple:
    """Shapes of state, key, corpus and ratios; no array is made."""
    tx = optimizer.optimizer(config.optimizer, config.steps)
    state = jax.eval_shape(lambda: optimizer.start(transformer.init(config.model, 0), tx))
    shape = jax.ShapeDtypeStruct
    windows = Windows(*[shape((STRETCHES,), jnp.uint32)] * 2)
    corpus = Corpus(shape((GENOME_BASES,), jnp.uint8), windows)
    return state, shape((2,), jnp.uint32), corpus, shape((len(config.objectives),), jnp.float32)
