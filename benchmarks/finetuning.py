"""Fine-tuning: what is compiled for tasks of different shape, and rows per second."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks.clock import timed
from benchmarks.table import Row
from birdiedna.experiments import profiles
from birdiedna.model import transformer
from birdiedna.training import finetune, optimizer
from birdiedna.training.finetune import Classifier, Data, FinetuneConfig

#: Bases and classes of the tasks whose programs are counted.
SHAPES = ((64, 2), (64, 3), (96, 2))
BASES, STEPS = 300, 2
SMALL, FULL = (profiles.PROFILES[name].finetune for name in ("quick", "paper"))


def rows(quick: bool = False) -> list[Row]:
    """Programs per shape of task at the quick size, speed at the paper's size."""
    return [*compiled(), *speed(FULL, 1 if quick else 3)]


def compiled() -> list[Row]:
    """How many programs two tasks of each shape need."""
    before = finetune.advance._cache_size(), finetune._logits._cache_size()
    for bases, classes in SHAPES:
        config = replace(SMALL, classes=classes)
        for seed, sequences in ((0, 50), (1, 70)):  # of different size
            state = _state(config, seed)
            state, _ = finetune.advance(state, _batches(config, bases, 2, seed), config)
            rows = finetune.in_batches(_data(bases, classes, (sequences,), seed), config.rows)
            finetune.predict(state.model, rows, sequences)
    after = finetune.advance._cache_size(), finetune._logits._cache_size()
    note = f"two tasks of each (length, classes) in {', '.join(map(str, SHAPES))}"
    verbs = ("train", "evaluate")
    return [
        Row(
            "finetuning",
            f"programs to {verb}, per shape",
            (a - b) / len(SHAPES),
            "",
            1,
            "less",
            note,
        )
        for verb, a, b in zip(verbs, after, before, strict=True)
    ]


def speed(config: FinetuneConfig, repeats: int) -> list[Row]:
    """Sequences per second, steps scanned in one call and rows evaluated in batches."""
    kept = [_state(config, 0)]
    batches = _batches(config, BASES, STEPS, 0)

    def train(i: int) -> jax.Array:
        state, (losses, _, _) = finetune.advance(kept.pop(), batches, config)
        kept.append(state)
        return losses

    data = _data(BASES, config.classes, (config.rows,), 1)
    learned = timed(train, repeats)
    read = timed(lambda i: finetune.predict(kept[0].model, [data], config.rows), repeats)
    size = f"{config.rows} rows of {BASES} bases, {config.model.compute} compute"
    return [
        Row("finetuning", "train, paper's size", STEPS * config.rows / learned.median(), "rows/s",
            None, "more", f"{STEPS} scanned steps of {size}, {learned.spread()}"),
        Row("finetuning", "evaluate, paper's size", config.rows / read.median(), "rows/s",
            None, "more", f"{size}, {read.spread()}"),
    ]  # fmt: skip


def _state(config: FinetuneConfig, seed: int) -> optimizer.State:
    net = Classifier(transformer.init(config.model, seed), config, nnx.Rngs(seed))
    return optimizer.start(net, optimizer.optimizer(config.optimizer, config.steps))


def _batches(config: FinetuneConfig, bases: int, steps: int, seed: int) -> Data:
    return _data(bases, config.classes, (steps, config.rows), seed)


def _data(bases: int, classes: int, shape: tuple[int, ...], seed: int) -> Data:
    """Random rows; lengths below the longest too, so that padding is there."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(8, 12, (*shape, bases)).astype(np.uint8)
    lengths = rng.integers(bases // 2, bases + 1, shape).astype(np.int32)
    labels = rng.integers(0, classes, shape).astype(np.int32)
    return Data(*map(jnp.asarray, (tokens, lengths, labels)))
