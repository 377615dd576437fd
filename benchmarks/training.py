"""Training: times of the director, programs of fine-tuning, and memory of a step."""

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
from birdiedna.training.finetune import Classifier, Data, FinetuneConfig
from birdiedna.training.pretrain import PretrainConfig, planned_bytes

DIRECTOR = Birdie(CLASSES)
#: Rounds in the history; the paper's run has 34 before its last decision.
ROUNDS = (1, 8, 34)
DIRECTOR_STEPS = 16_384


def director(quick: bool = False) -> list[Row]:
    """Seconds of a fit of the reward model and of a search, after histories of different length."""
    states = {rounds: after(rounds) for rounds in ROUNDS}
    before = DIRECTOR.propose._cache_size()
    search = lambda n: lambda i: DIRECTOR.propose(states[n], DIRECTOR_STEPS // 2, DIRECTOR_STEPS)
    searches = {n: timed(search(n), 2 if quick else 7) for n in ROUNDS}
    compiled = DIRECTOR.propose._cache_size() - before
    vectors = [jnp.full(len(CLASSES), x, jnp.float32) for x in (1 / len(CLASSES), 1.30, 1.29)]
    fit = lambda n: lambda i: DIRECTOR.observe(states[n], *vectors)
    fewest, most = min(ROUNDS), max(ROUNDS)
    fits = {n: timed(fit(n), 1 if quick else 3) for n in (fewest, most)}
    row, found = partial(Row, "director"), []
    for what, bar, times in (
        (f"fit of {DIRECTOR.fit.iterations} steps", 5, fits),
        (f"search of {DIRECTOR.candidates:,} candidates", 0.3, searches),
    ):
        for n, one in times.items():
            named, at = f"{what} after {n} round{'s' * (n > 1)}", {"rounds": n}
            found.append(row(named, one.median(), "s", bar, note=one.spread(), at=at))
    growth = searches[most].median() / searches[fewest].median()
    histories = f"for histories of {', '.join(map(str, ROUNDS))} rounds"
    return [
        *found,
        row("search after most rounds over after fewest", growth, "x",
            note=f"{most} rounds over {fewest}"),
        row("searches compiled", compiled, bar=1, note=histories),
    ]  # fmt: skip


def after(rounds: int) -> BirdieState:
    """A director with a history of so many rounds; fits, which change no shape, are left out."""
    rng, n = np.random.default_rng(rounds), len(DIRECTOR.classes)
    state = DIRECTOR.init(jax.random.key(0), jnp.full(n, 1.3))
    for _ in range(rounds):
        losses, ratios = rng.uniform(1, 1.4, n), rng.dirichlet(np.ones(n))
        row = jnp.asarray(np.concatenate([losses, ratios]), jnp.float32)
        rewards = jnp.asarray(rng.uniform(-0.1, 0.1, n), jnp.float32)
        state = state._replace(history=append(state.history, row, rewards))
    return state


#: Bases and classes of the tasks whose programs are counted.
SHAPES = ((64, 2), (64, 3), (96, 2))
SMALL = profiles.PROFILES["quick"].finetune


#: Models that are trained one by one and together, and the bases of their rows.
MODELS, BASES = 9, 300


def finetuning(quick: bool = False) -> list[Row]:
    """Programs compiled per shape of task; rows a second of several runs, one by one and together.

    On a CPU "together" is the same program, one model after the other.
    """
    sizes = lambda: (finetune.advance_together._cache_size(),
                     finetune._logits_together._cache_size())  # fmt: skip
    before = sizes()
    for bases, classes in SHAPES:
        config = replace(SMALL, classes=classes)
        for seed, sequences in ((0, 50), (1, 70)):  # two tasks of different size
            for mask in (True, False):  # and both masks
                masks, batches = jnp.array([mask]), _data(bases, classes, (1, 2, config.rows), seed)
                states = _states(config, 1)
                states, _ = finetune.advance_together(states, batches, masks, config)
                read = finetune.in_batches(_data(bases, classes, (sequences,), seed), config.rows)
                finetune._logits_together(states.model, masks, read[0])
    shapes = f"two tasks of each (length, classes) in {', '.join(map(str, SHAPES))}, both masks"
    row = partial(Row, "finetuning", bar=1, note=shapes)
    programs = [
        row(f"programs to {verb}, per shape", (b - a) / len(SHAPES))
        for verb, a, b in zip(("train", "evaluate"), before, sizes(), strict=True)
    ]
    return programs + _speeds(2 if quick else 9)


def _speeds(models: int) -> list[Row]:
    """Rows a second of `models` fine-tunings: each of its own call, and all in one."""
    speeds = {}
    for together in (1, models):
        states, masks = [_states(SMALL, together)], jnp.arange(together) % 3 > 0
        batches = _data(BASES, 2, (together, 4, SMALL.rows), 0)

        def call(_: int, states=states, batches=batches, masks=masks, together=together) -> Any:
            for _ in range(models // together):
                states[0], trace = finetune.advance_together(states[0], batches, masks, SMALL)
            return trace[0]

        speeds[together] = models * 4 * SMALL.rows / timed(call, 3).median()
    note = f"{models} models of the quick profile, {BASES} bases, {SMALL.rows} rows a step"
    row = partial(Row, "finetuning", unit="rows/s", best="more")
    ratio = speeds[models] / speeds[1]
    return [
        row("one by one", speeds[1], note=note),
        row("together", speeds[models], note=note),
        Row("finetuning", "together over one by one", ratio, "x", None, "more", note),
    ]


def _states(config: FinetuneConfig, models: int) -> optimizer.State:
    tx = optimizer.optimizer(config.optimizer, config.steps)
    nets = [Classifier(transformer.init(config.model, seed), config, nnx.Rngs(seed))
            for seed in range(models)]  # fmt: skip
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *(optimizer.start(n, tx) for n in nets))


def _data(bases: int, classes: int, shape: tuple[int, ...], seed: int) -> Data:
    """Random rows; some shorter than the longest, so that there is padding."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(8, 12, (*shape, bases)).astype(np.uint8)
    lengths = rng.integers(bases // 2, bases + 1, shape).astype(np.int32)
    labels = rng.integers(0, classes, shape).astype(np.int32)
    return Data(*map(jnp.asarray, (tokens, lengths, labels)))


GENOME_BASES = 3_117_292_070  # T2T-CHM13
STRETCHES = 1_000
SETTINGS = profiles.PROFILES["paper"].pretrain["birdie"]
GRID = tuple((rows, slots) for slots in (512, 1024, 2048) for rows in (32, 128))
#: The paper's setting, also in this many microbatches.
MICROBATCHES = (4, 16)
CHIP_GIB = 32
_GIB = 2**30


def memory(quick: bool = False) -> list[Row]:
    """GiB of the paper's step: over a grid of batch and length, and in microbatches.

    Nothing is run: XLA plans every buffer when it compiles. The plan is that of this backend.
    """
    usual = (SETTINGS.rows, SETTINGS.slots)
    sizes = {(*at, 1): replace(SETTINGS, rows=at[0], slots=at[1])
             for at in ((usual,) if quick else GRID)}  # fmt: skip
    sizes |= {(*usual, n): replace(SETTINGS, microbatches=n) for n in MICROBATCHES[quick:]}
    plans = {at: planned(config) for at, config in sizes.items()}
    row, found = partial(Row, "memory"), []
    for (rows, slots, parts), size in plans.items():
        what = f"{rows} x {slots}" + f" in {parts} microbatches" * (parts > 1)
        at = {"rows": rows, "slots": slots, "microbatches": parts}
        note = f"planned by the {jax.default_backend()} compiler"
        found.append(row(what, size / _GIB, "GiB", note=note, at=at))
    by_parts = {n: size for (*at, n), size in plans.items() if tuple(at) == usual}
    fitting = [n for n, size in by_parts.items() if size <= CHIP_GIB * _GIB]
    parts = min(fitting) if fitting else min(by_parts, key=by_parts.__getitem__)
    fits = f"in {parts} microbatches" if parts > 1 else "in one piece"
    state, _, corpus, _ = _abstract(SETTINGS)
    kept = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves((state, corpus)))
    held = f"weights, Adam's moments and {GENOME_BASES:,} bases at 8 bits"
    return [
        *found,
        row("of which kept between steps", kept / _GIB, "GiB", note=held),
        row("paper's setting", by_parts[parts] / _GIB, "GiB", CHIP_GIB, note=fits),
    ]


def planned(config: PretrainConfig) -> int:
    """Bytes that one call of `pretrain.advance` holds at its highest, by the compiler's plan."""
    return planned_bytes(*_abstract(config), config, devices.mesh())


def _abstract(config: PretrainConfig) -> tuple:
    """Shapes of state, key, corpus and ratios; no array is made."""
    tx = optimizer.optimizer(config.optimizer, config.steps)
    state = jax.eval_shape(lambda: optimizer.start(transformer.init(config.model, 0), tx))
    shape = jax.ShapeDtypeStruct
    windows = Windows(*[shape((STRETCHES,), jnp.uint32)] * 2)
    corpus = Corpus(shape((GENOME_BASES,), jnp.uint8), windows)
    ratios = shape((len(config.objectives),), jnp.float32)
    return state, shape((2,), jnp.uint32), corpus, ratios
