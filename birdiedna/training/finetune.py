"""Fine-tuning: read a sequence, predict its class token after `<start>`.

Runs of one task and protocol are trained together: one program, mapped over models, orders of rows
and masks. On a CPU, where that saves nothing, it is given one run at a time.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from birdiedna import vocab
from birdiedna.data import labelled
from birdiedna.data.labelled import Labelled
from birdiedna.model import attention, transformer
from birdiedna.model.transformer import Linear, ModelConfig, Transformer
from birdiedna.training import checkpoint, run_folder, stop
from birdiedna.training import optimizer as optimizers
from birdiedna.training.metrics import best_evaluation

HEADS = ("label", "pooled")
#: What `predictions.npz` has for every evaluation; the last two with `both_strands` only.
PREDICTED = ("validation_logits", "test_logits", "validation_opposite", "test_opposite")
#: Rows are padded at the end to a multiple of so many slots; cuDNN's kernels take no others.
SLOTS = attention.MULTIPLES["cudnn"]
#: Rows x slots x width x blocks of the paper's pre-training.
TOGETHER = 128 * 1024 * 512 * 4
#: Batches of an evaluation between two questions whether to stop.
ASKED_EVERY = 16


@dataclass(frozen=True)
class FinetuneConfig:
    """The paper's protocol: 8,192 steps of 32 rows, learning rate 5e-5 throughout, no decay.

    `head`: "label" takes the softmax over the task's class tokens at `<start>`; "pooled" puts a
    linear layer on the mean of the sequence. `bidirectional`: whether bases see later bases, as
    in the arm's pre-training. `patience_evaluations`: stop early after this many evaluations in a
    row without a better validation MCC; 0 never does. `reverse_complement`: train rows are
    read from a random strand. `both_strands`: logits of validation and test are the mean of those
    of a row and of its reverse complement, which are saved beside.
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
    reverse_complement: bool = False
    both_strands: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.classes <= vocab.CLASSES:
            raise ValueError(f"classes {self.classes} must be 2 to {vocab.CLASSES}")
        if min(self.steps, self.rows, self.evaluate_every) < 1:
            raise ValueError("steps, rows and evaluate_every must be at least 1")
        if self.steps >= 2**31:
            raise ValueError(f"steps {self.steps:,} are more than {2**31 - 1:,}")
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


def opposite(rows: Data) -> Data:
    """The reverse complement of every row, on the host."""
    tokens = labelled.opposite(np.asarray(rows.tokens), np.asarray(rows.lengths))
    return rows._replace(tokens=tokens)  # type: ignore[arg-type]


def row_slots(bases: int) -> int:
    """Slots of a row of `bases` and `<start>`, rounded up, so that few programs are compiled."""
    return -(-(bases + 1) // SLOTS) * SLOTS


def prompt(tokens: jax.Array, lengths: jax.Array) -> jax.Array:
    """Rows of bases, `<start>` and pads, int32 (B, slots), of sequences (B, L) of `lengths` (B,).

    Rows are padded at the end to `row_slots`, since kernels refuse other lengths; nothing before
    the pads sees them.
    """
    slots = row_slots(tokens.shape[1])
    width = (0, slots - tokens.shape[1])
    bases = jnp.pad(tokens.astype(jnp.int32), ((0, 0), width), constant_values=vocab.PAD)
    return jnp.where(jnp.arange(slots)[None, :] == lengths[:, None], vocab.START, bases)


def mean_feature(features: jax.Array, lengths: jax.Array) -> jax.Array:
    """The mean (B, width), float32, of the features (B, slots, width) of the bases of a prompt."""
    inside = jnp.arange(features.shape[1])[None, :, None] < lengths[:, None, None]
    wide = features.astype(jnp.float32)
    return jnp.where(inside, wide, 0).sum(axis=1) / lengths[:, None]


def start_feature(features: jax.Array, lengths: jax.Array) -> jax.Array:
    """The feature (B, width) at the `<start>` of a prompt, from features (B, slots, width)."""
    return jnp.take_along_axis(features, lengths[:, None, None], axis=1)[:, 0]


class Classifier(nnx.Module):
    """A Transformer and the head that reads a class from it."""

    def __init__(self, net: Transformer, config: FinetuneConfig, rngs: nnx.Rngs):
        self.net = net
        self.config = config
        if config.head == "pooled":
            self.pooled = Linear(config.model.width, config.classes, config.model, rngs)

    def __call__(
        self, tokens: jax.Array, lengths: jax.Array, bidirectional: jax.Array | None = None
    ) -> jax.Array:
        """Class logits, float32 (B, classes), for padded sequences (B, L) of `lengths` (B,).

        `bidirectional`, bool (), replaces the config's where one program serves both masks.
        """
        seen = lengths if self.config.bidirectional else None
        if bidirectional is not None:
            seen = jnp.where(bidirectional, lengths, 0)
        features = self.net.features(prompt(tokens, lengths), seen)
        if self.config.head == "pooled":
            return self.pooled(mean_feature(features, lengths)).astype(jnp.float32)
        logits = self.net.head(start_feature(features, lengths)).astype(jnp.float32)
        return logits[:, vocab.FIRST_CLASS : vocab.FIRST_CLASS + self.config.classes]


class Start(NamedTuple):
    """Where a run starts: a model, which is not modified, a seed, a mask and its run folder.

    seed: of the order of rows and of the weights of a pooled head. bidirectional: as in
    `FinetuneConfig`.
    """

    net: Transformer
    seed: int
    folder: Path
    bidirectional: bool = True


def train(
    config: FinetuneConfig,
    net: Transformer,
    splits: tuple[Labelled, Labelled, Labelled],
    seed: int,
    folder: Path,
    ask: stop.Ask = stop.never,
    save_s: float = 600.0,
) -> Iterator[Mapping[str, Any]]:
    """One run: `train_together` of a single start, with the mask of the config."""
    start = Start(net, seed, folder, config.bidirectional)
    return train_together(config, [start], splits, ask, save_s)


def train_together(
    config: FinetuneConfig,
    starts: Sequence[Start],
    splits: tuple[Labelled, Labelled, Labelled],
    ask: stop.Ask = stop.never,
    save_s: float = 600.0,
) -> Iterator[Mapping[str, Any]]:
    """Fine-tune on one task, writing log, predictions and a model into each start's folder.

    Predictions on validation and test are saved at every evaluation, so that a step is chosen
    later, from files, on validation alone; the model that is kept is that of this step. If the
    folders contain checkpoints, the runs are resumed, bit for bit.

    Args:
      config: the protocol; its mask is that of each start.
      starts: models, computed as `config.model` says; with checkpoints of one step, or none.
      splits: train, validation and test rows.
      ask: asked after every evaluation, and within it, whether to stop.
      save_s: seconds between checkpoints; 0 saves at every evaluation.

    Yields:
      every event that is logged, of one start after the other.

    Raises:
      ValueError: a model is of other sizes than `config.model`, a split is empty or has a label
        outside the classes, or a folder's checkpoint is that of another run or another step.
      stop.Stopped, ArithmeticError, OSError: as `pretrain.train`; of several runs all end.
    """
    rows, *others = (checked(split, config.classes) for split in splits)
    data = Data(*map(jnp.asarray, rows))
    held_out = [in_batches(rows, config.rows) for rows in others]
    validation, test = (np.asarray(split.labels) for split in splits[1:])
    labels = {"validation_labels": validation, "test_labels": test}
    schedule = optimizers.learning_rate(config.optimizer, config.steps)
    shared = replace(config, bidirectional=True)  # one program for both masks
    masks = jnp.array([start.bidirectional for start in starts])

    data_mark, n = _fingerprint(splits), len(data.labels)
    if config.reverse_complement:
        data = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), data, opposite(rows))
    if config.both_strands:
        held_out += [in_batches(opposite(rows), config.rows) for rows in others]
    facts = [
        {
            "config": run_folder.fingerprint(replace(config, bidirectional=start.bidirectional)),
            "data": data_mark,
            "seed": start.seed,
        }
        for start in starts
    ]
    begun = [_begin(shared, *both) for both in zip(starts, facts, strict=True)]
    if len({int(state.step) for state, _ in begun}) > 1:
        raise ValueError("runs that are trained together need checkpoints of one step")
    states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(state for state, _ in begun))
    found = [predictions for _, predictions in begun]
    best: dict[int, tuple[int, Classifier]] = {}  # step and model, until they are written
    one = lambda i: jax.tree.map(lambda leaf: leaf[i], states)

    def evaluate(i: int, logits: Sequence[np.ndarray]) -> Mapping[str, Any]:
        found[i] = _add(found[i], int(states.step[i]), _averaged([part[i] for part in logits]))
        last = len(found[i]["steps"]) - 1
        if best_evaluation(validation, found[i]["validation_logits"]) == last:
            best[i] = int(states.step[i]), one(i).model
        return run_folder.append(starts[i].folder, _evaluation(found[i], validation))

    def keep(i: int) -> None:
        if i in best:
            step, model = best.pop(i)
            checkpoint.save(starts[i].folder / "model", step, model, {}, facts[i], keep=1)

    def save(which: Sequence[int]) -> None:
        for i in which:
            step, folder = int(states.step[i]), starts[i].folder
            keep(i)
            checkpoint.save_progress(folder, step, one(i), found[i], facts[i])

    ended = lambda i: _ended(found[i], validation, config)
    offer, first = checkpoint.saver(ask, save_s), int(states.step[0])
    while going := [i for i in range(len(starts)) if not (found[i] and ended(i))]:
        done = int(states.step[0])
        if due := [i for i in going if not found[i] or found[i]["steps"][-1] < done]:
            # what this process did not train it measures to the end, so that every process gets on
            stop_here = partial(offer, partial(save, going), timed=False)
            pause = stop_here if done > first else stop.never
            logits = _predictions(states.model, masks, held_out, splits, pause)
            for i in due:
                yield evaluate(i, logits)
                if ended(i):
                    kept, folder = found[i] | labels, starts[i].folder
                    np.savez_compressed(folder / "predictions.npz", **kept)
                    keep(i)
            if left := [i for i in going if not ended(i)]:
                offer(partial(save, left))
            continue
        order = partial(rows_read, config, n)
        index = np.stack([order(start.seed, done, config.evaluate_every) for start in starts])
        batches = Data(*(column[index] for column in data))
        states, trace = advance_together(states, batches, masks, shared)
        losses, norms, skipped = map(np.asarray, trace)
        done += config.evaluate_every
        for i in going:
            event = {
                "event": "train",
                "step": done,
                "loss": optimizers.finite_mean(losses[i]),
                "grad_norm": optimizers.finite_mean(norms[i]),
                "skipped": int((skipped[i] > 0).sum()),
                "learning_rate": float(schedule(done - 1)),
            }
            yield run_folder.append(starts[i].folder, event)
            if skipped[i].max() >= optimizers.PATIENCE:
                step = checkpoint.first_failed_step(done, skipped[i])
                host = {"rows": order(starts[i].seed, step, 1)[0], "loss": losses[i]}
                host |= {"grad_norm": norms[i], "skipped": skipped[i]}
                model = one(i).model
                raise checkpoint.dump_failure(starts[i].folder, model, step, host, facts[i])


def _begin(
    config: FinetuneConfig, start: Start, facts: Mapping[str, Any]
) -> tuple[optimizers.State, dict[str, Any]]:
    """State and predictions of the folder's checkpoint, or of the start, which has none yet."""
    net = transformer.recast(start.net, config.model)
    classifier = Classifier(jax.tree.map(jnp.copy, net), config, nnx.Rngs(start.seed))
    state = optimizers.start(classifier, optimizers.optimizer(config.optimizer, config.steps))
    if not (saved := checkpoint.resumable(start.folder)):
        run_folder.rewind(start.folder, 0)
        return state, {}
    checkpoint.expect(saved, facts)
    run_folder.rewind(start.folder, saved.facts["log_bytes"])
    found = checkpoint.host(saved.path, "steps", "validation_logits", "test_logits")
    return checkpoint.restore(saved.path, state), found


def at_once(config: FinetuneConfig, bases: int) -> int:
    """How many runs on rows of `bases` are trained together here: 1 on a CPU.

    On an accelerator as many as read about what a batch of the paper's pre-training does.
    """
    if jax.default_backend() == "cpu" or jax.process_count() > 1:
        return 1
    work = config.rows * row_slots(bases) * config.model.width * config.model.blocks
    return max(1, TOGETHER // work)


def _ended(found: Mapping[str, Any], labels: np.ndarray, config: FinetuneConfig) -> bool:
    """Whether the last step is done or patience is over, from the predictions so far."""
    if found["steps"][-1] >= config.steps or not config.patience_evaluations:
        return bool(found["steps"][-1] >= config.steps)
    best = best_evaluation(labels, found["validation_logits"])
    return len(found["steps"]) - 1 - best >= config.patience_evaluations


Trace = tuple[jax.Array, jax.Array, jax.Array]


@partial(jax.jit, static_argnames="config", donate_argnums=0)
def advance(
    state: optimizers.State, batches: Data, config: FinetuneConfig
) -> tuple[optimizers.State, Trace]:
    """Train one model on batches with leading axes (steps, B).

    Returns:
      The new state; losses, gradient norms and updates skipped in a row, each (steps,).
    """
    return _steps(state, batches, None, config)


@partial(jax.jit, static_argnames="config", donate_argnums=0)
def advance_together(
    states: optimizers.State, batches: Data, masks: jax.Array, config: FinetuneConfig
) -> tuple[optimizers.State, Trace]:
    """`advance` of M models, with M before every axis; `masks`, bool (M,), are bidirectional."""
    return _each_model(partial(_steps, config=config), states, batches, masks)


def _each_model(one: Callable, *stacked: Any) -> Any:
    """A function of M models, stacked: at once on accelerators, in turn on a CPU."""
    if jax.default_backend() == "cpu":
        return jax.lax.map(lambda each: one(*each), stacked)
    return jax.vmap(one)(*stacked)


def _steps(
    state: optimizers.State, batches: Data, mask: jax.Array | None, config: FinetuneConfig
) -> tuple[optimizers.State, Trace]:
    tx = optimizers.optimizer(config.optimizer, config.steps)

    def step(state: optimizers.State, rows: Data) -> tuple[optimizers.State, Trace]:
        def loss(net: Classifier, rows: Data) -> tuple[jax.Array, None]:
            logits = net(rows.tokens, rows.lengths, mask)
            return optimizers.cross_entropy(logits, rows.labels).mean(), None

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


@jax.jit
def _logits_together(nets: Classifier, masks: jax.Array, rows: Data) -> jax.Array:
    return _each_model(lambda net, mask: net(rows.tokens, rows.lengths, mask), nets, masks)


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


def rows_read(config: FinetuneConfig, n: int, seed: int, first: int, steps: int) -> np.ndarray:
    """`epoch_rows` of the config; with `reverse_complement`, i + n is the other strand of row i.

    The strand is a function of (seed, step) alone, too.
    """
    index = epoch_rows(n, config.rows, seed, first, steps)
    if not config.reverse_complement:
        return index
    draws = (np.random.default_rng((seed, step, 1)) for step in range(first, first + steps))
    return index + n * np.stack([draw.integers(0, 2, config.rows, np.int32) for draw in draws])


def _fingerprint(splits: tuple[Labelled, ...]) -> str:
    """sha256 of tokens, lengths and labels."""
    digest = hashlib.sha256()
    for split in splits:
        for array in split[:3]:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _predictions(
    nets: Classifier,
    masks: jax.Array,
    held_out: Sequence[Sequence[Data]],
    splits: tuple[Labelled, ...],
    pause: Callable[[], object],
) -> list[np.ndarray]:
    """Class logits (M, n, classes) of validation and of test rows, as often as they are there.

    `pause` is called before every `ASKED_EVERY` batches; it may raise.
    """
    found = []
    for batches, split in zip(held_out, cycle(splits[1:])):
        logits: list[np.ndarray] = []
        for first in range(0, len(batches), ASKED_EVERY):
            pause()
            some = batches[first : first + ASKED_EVERY]
            logits += jax.device_get([_logits_together(nets, masks, rows) for rows in some])
        found.append(np.concatenate(logits, axis=1)[:, : len(split.labels)])
    return found


def _averaged(logits: list[np.ndarray]) -> list[np.ndarray]:
    """As `PREDICTED`: means over strands, from logits of the rows and of their opposites."""
    if len(logits) < len(PREDICTED):
        return logits
    own, other = logits[:2], logits[2:]
    return [(a + b) / 2 for a, b in zip(own, other, strict=True)] + other


def _add(
    found: Mapping[str, Any], step: int, logits: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """The predictions so far and those of this step: steps (E,), logits (E, n, classes)."""
    names = ("steps", *PREDICTED)[: 1 + len(logits)]
    new = dict(zip(names, (np.asarray(step, np.int32), *logits), strict=True))
    return {
        name: np.concatenate([found[name], value[None]]) if found else value[None]
        for name, value in new.items()
    }


def checked(split: Labelled, classes: int) -> Data:
    """The rows as numpy arrays, padded as `Classifier` reads them.

    Raises:
      ValueError: no rows, or a label outside the classes.
    """
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
