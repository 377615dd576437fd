"""Fine-tuning: read a sequence, answer with a class token after `<start>`."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from birdiedna import runs, training, vocab
from birdiedna.batch import Labelled
from birdiedna.model import ModelConfig, Transformer, linear

HEADS = ("label", "pooled")


@dataclass(frozen=True)
class FinetuneConfig:
    """The paper's protocol: 8,192 steps of 32 rows, learning rate 5e-5 throughout, no decay.

    `head`: "label" takes the softmax over the task's class tokens at `<start>`; "pooled" puts a
    linear layer on the mean of the sequence. `bidirectional`: whether bases see later bases, as
    the arm did in pre-training.
    """

    classes: int
    model: ModelConfig = ModelConfig()
    optimizer: training.OptimizerConfig = training.OptimizerConfig(
        peak=5e-5, final=5e-5, warmup=0.0, weight_decay=0.0
    )
    steps: int = 8192
    rows: int = 32
    evaluate_every: int = 256
    head: str = "label"
    bidirectional: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.classes <= vocab.CLASSES:
            raise ValueError(f"classes {self.classes} must be 2 to {vocab.CLASSES}")
        if self.steps % self.evaluate_every:
            raise ValueError(
                f"steps {self.steps} must divide by {self.evaluate_every}, the interval"
            )
        if self.head not in HEADS:
            raise ValueError(f"head {self.head!r} is not one of {', '.join(HEADS)}")


class Data(NamedTuple):
    """Labelled rows on the device: tokens uint8 (n, L), lengths and labels int32 (n,)."""

    tokens: jax.Array
    lengths: jax.Array
    labels: jax.Array


class Classifier(nnx.Module):
    """A Transformer and the head that reads a class from it."""

    def __init__(self, net: Transformer, config: FinetuneConfig, rngs: nnx.Rngs):
        self.net = net
        self.config = config
        if config.head == "pooled":
            self.pooled = linear(config.model.width, config.classes, config.model, rngs)

    def __call__(self, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
        """Class logits, float32 (B, classes), for padded sequences (B, L) of `lengths` (B,)."""
        slot = jnp.arange(tokens.shape[1] + 1)[None, :]
        ends = lengths[:, None]
        bases = jnp.pad(tokens.astype(jnp.int32), ((0, 0), (0, 1)), constant_values=vocab.PAD)
        row = jnp.where(slot == ends, vocab.START, bases)
        seen = lengths if self.config.bidirectional else jnp.zeros_like(lengths)
        features = self.net.features(row, seen)
        if self.config.head == "pooled":
            inside = (slot < ends)[:, :, None]
            mean = jnp.where(inside, features, 0).sum(axis=1) / ends
            return self.pooled(mean).astype(jnp.float32)
        answer = jnp.take_along_axis(features, ends[:, :, None], axis=1)[:, 0]
        logits = self.net.head(answer).astype(jnp.float32)
        return logits[:, vocab.FIRST_CLASS : vocab.FIRST_CLASS + self.config.classes]


@partial(jax.jit, static_argnames="config", donate_argnums=0)
def advance(
    state: training.State, batches: Data, config: FinetuneConfig
) -> tuple[training.State, tuple[jax.Array, jax.Array]]:
    """Train on batches with leading axes (steps, B); returns losses and gradient norms (steps,)."""
    tx = training.optimizer(config.optimizer, config.steps)

    def step(state: training.State, rows: Data) -> tuple[training.State, tuple]:
        def loss(net: Classifier) -> tuple[jax.Array, None]:
            return training.cross_entropy(net(rows.tokens, rows.lengths), rows.labels).mean(), None

        state, value, _, norm = training.update(state, tx, loss)
        return state, (value, norm)

    return jax.lax.scan(step, state, batches)


def predict(net: Classifier, data: Data, at_once: int) -> np.ndarray:
    """Class logits of every row, float32 (n, classes), `at_once` rows at a time."""
    n = data.labels.shape[0]
    logits = []
    for first in range(0, n, at_once):
        rows = jnp.minimum(jnp.arange(first, first + at_once), n - 1)
        logits.append(_logits(net, data.tokens[rows], data.lengths[rows]))
    return np.concatenate(logits)[:n]


@jax.jit
def _logits(net: Classifier, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
    return net(tokens, lengths)


def epoch_rows(n: int, rows: int, seed: int, first: int, steps: int) -> np.ndarray:
    """Which rows the steps first..first+steps-1 read, int32 (steps, rows).

    Every epoch is a fresh permutation of the n rows; a function of (seed, step) alone.
    """
    begin, end = first * rows, (first + steps) * rows
    epochs = range(begin // n, -(-end // n))
    order = [np.random.default_rng((seed, epoch)).permutation(n) for epoch in epochs]
    offset = begin - epochs[0] * n
    return (
        np.concatenate(order)[offset : offset + steps * rows].reshape(steps, rows).astype(np.int32)
    )


def train(
    config: FinetuneConfig,
    net: Transformer,
    splits: tuple[Labelled, Labelled, Labelled],
    seed: int,
    folder: Path,
) -> Iterator[dict[str, Any]]:
    """Fine-tune on one task, writing log and predictions into `folder`; yields every event.

    Predictions on validation and test are saved at every evaluation, so that the choice of a step
    is made later, from files, on validation alone.

    Args:
      config: the protocol.
      net: a pre-trained or fresh model; left untouched.
      splits: train, validation and test rows.
      seed: order of the rows and weights of a pooled head.
      folder: an existing run folder.

    Raises:
      ValueError: a split is empty, or holds a label outside the classes.
    """
    data, validation, test = (_device(split, config.classes) for split in splits)
    classifier = Classifier(jax.tree.map(jnp.copy, net), config, nnx.Rngs(seed))
    tx = training.optimizer(config.optimizer, config.steps)
    state = training.start(classifier, tx)
    found: dict[str, list] = {"steps": [], "validation_logits": [], "test_logits": []}
    for first in range(0, config.steps + 1, config.evaluate_every):
        logits = [predict(state.model, x, config.rows) for x in (validation, test)]
        for name, value in zip(found, (first, *logits), strict=True):
            found[name].append(value)
        yield _log(folder, _evaluation(first, logits[0], validation))
        if first < config.steps:
            index = epoch_rows(len(data.labels), config.rows, seed, first, config.evaluate_every)
            batches = Data(*(column[index] for column in data))
            state, (losses, norms) = advance(state, batches, config)
            yield _log(folder, _chunk(first + config.evaluate_every, losses, norms, config))
    labels = {"validation_labels": splits[1].labels, "test_labels": splits[2].labels}
    arrays = {name: np.stack(values) for name, values in found.items()}
    np.savez_compressed(folder / "predictions.npz", **arrays, **labels)
    training.save(folder / "checkpoint" / "model", state.model)


def _log(folder: Path, event: dict[str, Any]) -> dict[str, Any]:
    runs.append(folder, event)
    return event


def _device(split: Labelled, classes: int) -> Data:
    labels = np.asarray(split.labels)
    if not len(labels):
        raise ValueError("a split holds no rows; fine-tuning needs train, validation and test rows")
    if labels.min() < 0 or labels.max() >= classes:
        worst = int(labels.max() if labels.max() >= classes else labels.min())
        raise ValueError(
            f"label {worst} is outside 0..{classes - 1}; correct the table or `classes`"
        )
    columns = (split.tokens, split.lengths.astype(np.int32), labels.astype(np.int32))
    return Data(*(jnp.asarray(column) for column in columns))


def _evaluation(step: int, logits: np.ndarray, data: Data) -> dict[str, Any]:
    labels = np.asarray(data.labels)
    loss = float(training.cross_entropy(jnp.asarray(logits), data.labels).mean())
    accuracy = float((logits.argmax(axis=1) == labels).mean())
    return {
        "event": "evaluation",
        "step": step,
        "split": "validation",
        "loss": loss,
        "accuracy": accuracy,
    }


def _chunk(
    step: int, losses: jax.Array, norms: jax.Array, config: FinetuneConfig
) -> dict[str, Any]:
    rate = training.learning_rate(config.optimizer, config.steps)(step - 1)
    return {
        "event": "train",
        "step": step,
        "loss": float(losses.mean()),
        "grad_norm": float(norms.mean()),
        "learning_rate": float(rate),
    }
