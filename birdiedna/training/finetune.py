"""Fine-tuning: read a sequence, predict its class token after `<start>`."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from birdiedna import vocab
from birdiedna.data.labelled import Labelled
from birdiedna.model import attention, transformer
from birdiedna.model.transformer import Linear, ModelConfig, Transformer
from birdiedna.training import checkpoint, run_folder, stop
from birdiedna.training import optimizer as optimizers

HEADS = ("label", "pooled")
#: Rows are padded at the end to a multiple of so many slots; cuDNN's kernels take no others.
SLOTS = attention.MULTIPLES["cudnn"]


@dataclass(frozen=True)
class FinetuneConfig:
    """The paper's protocol: 8,192 steps of 32 rows, learning rate 5e-5 throughout, no decay.

    `head`: "label" takes the softmax over the task's class tokens at `<start>`; "pooled" puts a
    linear layer on the mean of the sequence. `bidirectional`: whether bases see later bases, as
    in the arm's pre-training. `patience_evaluations`: stop early after this many evaluations in a
    row without a better validation accuracy; 0 never does.
    """

    classes: int
    model: ModelConfig = ModelConfig()
    optimizer: optimizers.OptimizerConfig = optimizers.OptimizerConfig(
        peak=5e-5, final=5e-5, warmup=0.0, weight_decay=0.0
    )
    steps: int = 8192
    rows: int = 32
    evaluate_every: int = 256
    head: str = "label"
    bidirectional: bool = True
    patience_evaluations: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.classes <= vocab.CLASSES:
            raise ValueError(f"classes {self.classes} must be 2 to {vocab.CLASSES}")
        if min(self.steps, self.rows, self.evaluate_every) < 1:
            raise ValueError("steps, rows and evaluate_every must be at least 1")
        if self.steps % self.evaluate_every:
            raise ValueError(
                f"steps {self.steps} must divide by {self.evaluate_every}, the interval"
            )
        if self.patience_evaluations < 0:
            raise ValueError(
                f"patience_evaluations {self.patience_evaluations} is negative; 0 never ends early"
            )
        if self.head not in HEADS:
            raise ValueError(f"head {self.head!r} is not one of {', '.join(HEADS)}")


class Data(NamedTuple):
    """Labelled rows: tokens uint8 (n, L), lengths and labels int32 (n,)."""

    tokens: jax.Array
    lengths: jax.Array
    labels: jax.Array


def row_slots(bases: int) -> int:
    """Slots of a row of `bases` and `<start>`, rounded up, so that few programs are compiled."""
    return -(-(bases + 1) // SLOTS) * SLOTS


class Classifier(nnx.Module):
    """A Transformer and the head that reads a class from it."""

    def __init__(self, net: Transformer, config: FinetuneConfig, rngs: nnx.Rngs):
        self.net = net
        self.config = config
        if config.head == "pooled":
            self.pooled = Linear(config.model.width, config.classes, config.model, rngs)

    def __call__(self, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
        """Class logits, float32 (B, classes), for padded sequences (B, L) of `lengths` (B,).

        Rows are padded at the end to `row_slots`; nothing before the pads sees them.
        """
        slots = row_slots(tokens.shape[1])
        slot = jnp.arange(slots)[None, :]
        ends = lengths[:, None]
        width = (0, slots - tokens.shape[1])
        bases = jnp.pad(tokens.astype(jnp.int32), ((0, 0), width), constant_values=vocab.PAD)
        row = jnp.where(slot == ends, vocab.START, bases)
        seen = lengths if self.config.bidirectional else None
        features = self.net.features(row, seen)
        if self.config.head == "pooled":
            inside = (slot < ends)[:, :, None]
            mean = jnp.where(inside, features, 0).sum(axis=1) / ends
            return self.pooled(mean).astype(jnp.float32)
        answer = jnp.take_along_axis(features, ends[:, :, None], axis=1)[:, 0]
        logits = self.net.head(answer).astype(jnp.float32)
        return logits[:, vocab.FIRST_CLASS : vocab.FIRST_CLASS + self.config.classes]


def train(
    config: FinetuneConfig,
    net: Transformer,
    splits: tuple[Labelled, Labelled, Labelled],
    seed: int,
    folder: Path,
    ask: stop.Ask = stop.never,
    save_s: float = 600.0,
) -> Iterator[Mapping[str, Any]]:
    """Fine-tune on one task, writing log and predictions into `folder`; yields every event it logs.

    Predictions on validation and test are saved at every evaluation, so that a step is chosen
    later, from files, on validation alone. If the folder contains a checkpoint, the run is
    resumed, bit for bit.

    Args:
      config: the protocol.
      net: a pre-trained or fresh model, computed as `config.model` says; not modified.
      splits: train, validation and test rows.
      seed: order of the rows and weights of a pooled head.
      folder: an existing run folder.
      ask: asked after every evaluation whether to stop.
      save_s: seconds between checkpoints; 0 saves at every evaluation.

    Raises:
      ValueError: `net` is of other sizes than `config.model`, a split is empty or has a label
        outside the classes, or the folder's checkpoint is that of another run.
      stop.Stopped, ArithmeticError, OSError: as `pretrain.train`.
    """
    rows, *others = (_checked(split, config.classes) for split in splits)
    data = Data(*map(jnp.asarray, rows))
    held_out = [in_batches(rows, config.rows) for rows in others]
    validation, test = (np.asarray(split.labels) for split in splits[1:])
    net = transformer.recast(net, config.model)
    classifier = Classifier(jax.tree.map(jnp.copy, net), config, nnx.Rngs(seed))
    state = optimizers.start(classifier, optimizers.optimizer(config.optimizer, config.steps))
    schedule = optimizers.learning_rate(config.optimizer, config.steps)
    write = partial(run_folder.append, folder)
    facts = {"config": run_folder.fingerprint(config), "data": _fingerprint(splits), "seed": seed}

    if saved := checkpoint.resumable(folder):
        checkpoint.expect(saved, facts)
        state = checkpoint.restore(saved.path, state)
        found = checkpoint.host(saved.path, "steps", "validation_logits", "test_logits")
        run_folder.rewind(folder, saved.facts["log_bytes"])
    else:
        run_folder.rewind(folder, 0)
        found = _measure({}, state, held_out, splits)
        yield write(_evaluation(found, validation))

    save_or_stop = checkpoint.saver(folder, facts, ask, save_s)
    while not _ended(found, validation, config):
        done = int(state.step)
        index = epoch_rows(len(data.labels), config.rows, seed, done, config.evaluate_every)
        batches = Data(*(column[index] for column in data))
        state, trace = advance(state, batches, config)
        losses, norms, skipped = map(np.asarray, trace)
        done += config.evaluate_every
        event = {
            "event": "train",
            "step": done,
            "loss": optimizers.finite_mean(losses),
            "grad_norm": optimizers.finite_mean(norms),
            "skipped": int((skipped > 0).sum()),
            "learning_rate": float(schedule(done - 1)),
        }
        yield write(event)
        if skipped.max() >= optimizers.PATIENCE:
            step = checkpoint.first_failed_step(done, skipped)
            failed = epoch_rows(len(data.labels), config.rows, seed, step, 1)[0]
            host = {"rows": failed, "loss": losses, "grad_norm": norms, "skipped": skipped}
            raise checkpoint.dump_failure(folder, state.model, step, host, facts)
        found = _measure(found, state, held_out, splits)
        yield write(_evaluation(found, validation))
        if not _ended(found, validation, config):
            save_or_stop(done, state, found)
    labels: dict[str, Any] = {"validation_labels": validation, "test_labels": test}
    np.savez_compressed(folder / "predictions.npz", **found, **labels)
    checkpoint.save(folder / "model", int(state.step), state.model, {}, facts, keep=1)


def _ended(found: Mapping[str, Any], labels: np.ndarray, config: FinetuneConfig) -> bool:
    """Whether the last step is done or patience is over, from the predictions so far."""
    if found["steps"][-1] >= config.steps or not config.patience_evaluations:
        return bool(found["steps"][-1] >= config.steps)
    right = (found["validation_logits"].argmax(axis=2) == labels).mean(axis=1)
    return len(right) - 1 - int(right.argmax()) >= config.patience_evaluations


@partial(jax.jit, static_argnames="config", donate_argnums=0)
def advance(
    state: optimizers.State, batches: Data, config: FinetuneConfig
) -> tuple[optimizers.State, tuple[jax.Array, jax.Array, jax.Array]]:
    """Train on batches with leading axes (steps, B).

    Returns:
      The new state; losses, gradient norms and updates skipped in a row, each (steps,).
    """
    tx = optimizers.optimizer(config.optimizer, config.steps)

    def step(state: optimizers.State, rows: Data) -> tuple[optimizers.State, tuple]:
        def loss(net: Classifier, rows: Data) -> tuple[jax.Array, None]:
            return optimizers.cross_entropy(
                net(rows.tokens, rows.lengths), rows.labels
            ).mean(), None

        state, value, _, norm = optimizers.update(state, tx, loss, rows)
        return state, (value, norm, state.skipped)

    return jax.lax.scan(step, state, batches)


def in_batches(data: Data, rows: int) -> tuple[Data, ...]:
    """Batches of equal size for one compiled program; repeats of the last row fill the last one."""
    n = len(data.labels)
    index = np.minimum(np.arange(-(-n // rows) * rows), n - 1).reshape(-1, rows)
    return tuple(Data(*(jnp.asarray(column[i]) for column in data)) for i in index)


def predict(net: Classifier, batches: Sequence[Data], n: int) -> np.ndarray:
    """Class logits, float32 (n, classes), of the n rows that are `in_batches`."""
    return np.concatenate([_logits(net, rows.tokens, rows.lengths) for rows in batches])[:n]


@jax.jit
def _logits(net: Classifier, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
    return net(tokens, lengths)


def epoch_rows(n: int, rows: int, seed: int, first: int, steps: int) -> np.ndarray:
    """Indices of the rows that steps first..first+steps-1 read, int32 (steps, rows).

    Every epoch is a fresh permutation of the n rows; a function of (seed, step) alone.
    """
    begin, end = first * rows, (first + steps) * rows
    epochs = range(begin // n, -(-end // n))
    order = [np.random.default_rng((seed, epoch)).permutation(n) for epoch in epochs]
    offset = begin - epochs[0] * n
    return (
        np.concatenate(order)[offset : offset + steps * rows].reshape(steps, rows).astype(np.int32)
    )


def _fingerprint(splits: tuple[Labelled, ...]) -> str:
    """sha256 of tokens, lengths and labels."""
    digest = hashlib.sha256()
    for split in splits:
        for array in split[:3]:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _measure(
    found: Mapping[str, Any],
    state: optimizers.State,
    held_out: Sequence[Sequence[Data]],
    splits: tuple[Labelled, ...],
) -> dict[str, Any]:
    """The predictions so far and those of this step: steps (E,), logits (E, n, classes)."""
    logits = (
        predict(state.model, batches, len(split.labels))
        for batches, split in zip(held_out, splits[1:], strict=True)
    )
    names = ("steps", "validation_logits", "test_logits")
    new = dict(zip(names, (np.asarray(state.step), *logits), strict=True))
    return {
        name: np.concatenate([found[name], value[None]]) if found else value[None]
        for name, value in new.items()
    }


def _checked(split: Labelled, classes: int) -> Data:
    """The rows as numpy arrays, padded as `Classifier` reads them."""
    labels = np.asarray(split.labels)
    if not len(labels):
        raise ValueError(
            "a split contains no rows; fine-tuning needs train, validation and test rows"
        )
    if labels.min() < 0 or labels.max() >= classes:
        worst = int(labels.max() if labels.max() >= classes else labels.min())
        raise ValueError(
            f"label {worst} is outside 0..{classes - 1}; correct the table or `classes`"
        )
    bases = split.tokens.shape[1]
    width = (0, row_slots(bases) - 1 - bases)  # tasks of similar length share a program
    tokens = np.pad(split.tokens, ((0, 0), width), constant_values=vocab.PAD)
    columns: Any = tokens, split.lengths.astype(np.int32), labels.astype(np.int32)
    return Data(*columns)


def _evaluation(found: Mapping[str, Any], labels: np.ndarray) -> dict[str, Any]:
    """The newest predictions on validation, as an event."""
    logits = found["validation_logits"][-1]
    return {
        "event": "evaluation",
        "step": int(found["steps"][-1]),
        "split": "validation",
        "loss": float(optimizers.cross_entropy(jnp.asarray(logits), jnp.asarray(labels)).mean()),
        "accuracy": float((logits.argmax(axis=1) == labels).mean()),
    }
