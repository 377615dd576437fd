"""Fine-tuning: read a sequence, predict its class token after `<start>`.

Runs of one task and protocol can be trained together: one program, mapped over models, row orders
and masks. On a CPU, where this saves nothing, runs are trained one at a time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from birdiedna import vocab
from birdiedna.data.labelled import Labelled, fingerprint, subset
from birdiedna.model import transformer
from birdiedna.model.fields import check_ranges, check_types
from birdiedna.model.transformer import Linear, ModelConfig, Transformer
from birdiedna.objectives.mixture import each
from birdiedna.training import checkpoint, devices, log, run_folder, stop
from birdiedna.training import optimizer as optimizers
from birdiedna.training.metrics import best_evaluation
from birdiedna.training.prompt import (
    Data,
    checked,
    computed,
    in_batches,
    in_parts,
    mean_feature,
    opposite,
    prompt,
    rows_at_once,
)

HEADS = ("label", "objective", "pooled")
#: The arrays of `predictions.npz` at every evaluation; the last two with `both_strands` only.
PREDICTED = ("validation_logits", "test_logits", "validation_opposite", "test_opposite")


@dataclass(frozen=True)
class FinetuneConfig:
    """The paper's protocol: 8,192 steps of 32 rows, constant learning rate 5e-5, no weight decay.

    `head`: "label" takes the softmax over the task's class tokens at `<start>`; "objective" does so
    for rows that begin with the token of prefix LM, as in pre-training; "pooled" puts a linear
    layer on the mean of the sequence. `head_rate`: learning rate of that layer, or of the
    output matrix, as a multiple of the others'. `bidirectional`: whether bases see later bases, as
    in the arm's pre-training. `patience_evaluations`: stop after this many evaluations in a row
    without a better validation MCC; 0 never stops early. `reverse_complement`: train rows are read
    from a random strand. `both_strands`: validation and test logits are means over a row and its
    reverse complement; those of the latter are also saved. `share`: stratified share of the train
    rows that is read, drawn by the run's seed.
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
    head_rate: float = 1.0
    bidirectional: bool = True
    patience_evaluations: int = 0
    reverse_complement: bool = False
    both_strands: bool = False
    share: float = 1.0

    def __post_init__(self) -> None:
        check_types(self)
        counts = 1, 2**31 - 1
        check_ranges(self, classes=(2, vocab.CLASSES), steps=counts, rows=(1, 2**20))
        check_ranges(self, evaluate_every=counts, patience_evaluations=(0, counts[1]))
        if self.steps % self.evaluate_every:
            raise ValueError(
                f"steps {self.steps} must divide by {self.evaluate_every}, the interval"
            )
        if not 0 < self.share <= 1:
            raise ValueError(f"share {self.share} of the train rows must be above 0, at most 1")
        if self.head not in HEADS:
            raise ValueError(f"head {self.head!r} is not one of {', '.join(HEADS)}")
        if not 0 < self.head_rate < np.inf:
            raise ValueError(f"head_rate {self.head_rate} must be above 0 and finite")


class Classifier(nnx.Module):
    """A Transformer with a head that predicts the class."""

    def __init__(self, net: Transformer, config: FinetuneConfig, rngs: nnx.Rngs):
        self.net = net
        self.config = config
        if config.head == "pooled":
            self.pooled = Linear(config.model.width, config.classes, config.model, rngs)

    def __call__(
        self, tokens: jax.Array, lengths: jax.Array, bidirectional: jax.Array | None = None
    ) -> jax.Array:
        """Class logits, float32 (B, classes), for padded sequences (B, L) of `lengths` (B,).

        `bidirectional`, bool (), overrides the config's, so that one program serves both masks.
        """
        if self.config.head == "objective":
            first = jnp.full((len(tokens), 1), vocab.objective_id("prefix_lm_75"), tokens.dtype)
            tokens, lengths = jnp.concatenate([first, tokens], axis=1), lengths + 1
        seen = lengths if self.config.bidirectional else None
        if bidirectional is not None:
            seen = jnp.where(bidirectional, lengths, 0)
        row = prompt(tokens, lengths)
        if self.config.head == "pooled":
            features = self.net.features(row, seen)
            return self.pooled(mean_feature(features, lengths)).astype(jnp.float32)
        start = self.net.features(row, seen, slot=lengths)[:, 0]
        logits = self.net.head(start).astype(jnp.float32)
        return logits[:, vocab.FIRST_CLASS : vocab.FIRST_CLASS + self.config.classes]


class Start(NamedTuple):
    """The start of a run: a model, which is not modified, a seed, its run folder and its mask.

    seed: of the row order and the weights of a pooled head. folder: created if it is missing.
    bidirectional: as in `FinetuneConfig`.
    """

    net: Transformer
    seed: int
    folder: Path
    bidirectional: bool = True


def train(
    config: FinetuneConfig,
    starts: Sequence[Start],
    splits: tuple[Labelled, Labelled, Labelled],
    ask: stop.Ask = stop.never,
    save_s: float = 600.0,
) -> Iterator[Mapping[str, Any]]:
    """Fine-tune models on one task; write log, predictions and model into each start's folder.

    Every evaluation saves its predictions on validation and test, so that a step can be chosen
    later on validation alone; the model of that step is kept. Runs with checkpoints in their
    folders are resumed bit for bit.

    Args:
      config: the protocol; each start brings its own mask.
      starts: have checkpoints of one step, or none; models are computed as `config.model` says.
      splits: train, validation and test rows.
      ask: called after and during every evaluation: whether to stop. Time that is up does not stop
        the first evaluation of a process, so that each gets further.
      save_s: seconds between checkpoints; 0 saves at every evaluation.

    Yields:
      every logged event, start by start.

    Raises:
      ValueError: a model has other sizes than `config.model`, a split is empty, has a label outside
        the classes or arrays that contradict each other, a folder's checkpoint belongs to another
        run or another step, or JAX has other numbers, as in `pretrain.train`.
      stop.Stopped, ArithmeticError, OSError: as `pretrain.train`; they end all runs.
    """
    devices.refuse_other_numbers()
    starts = [start._replace(folder=run_folder.created(start.folder)) for start in starts]
    config = replace(config, bidirectional=True)  # one program for both masks
    data, held_out, labels = _rows(config, splits)
    order = partial(rows_read, config, np.asarray(splits[0].labels))
    masks = jnp.array([start.bidirectional for start in starts])
    schedule = optimizers.learning_rate(config.optimizer, config.steps)

    mark = run_folder.fingerprint([fingerprint(split) for split in splits])
    begun = [_begin(config, start, mark, labels) for start in starts]
    if len({int(state.step) for _, state in begun}) > 1:
        raise ValueError("runs trained together need checkpoints of the same step")
    runs = [run for run, _ in begun]
    checkpoint.check_room(starts[0].folder, [state for _, state in begun])
    states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(state for _, state in begun))
    del begun
    one = lambda i: jax.tree.map(lambda leaf: leaf[i], states)

    def save() -> None:
        for i in going:
            runs[i] = run = _with_best_written(runs[i])
            checkpoint.save_progress(run.folder, int(states.step[i]), one(i), run.found, run.facts)

    def obey_signals() -> None:
        stopped = devices.agree_to_stop(ask())
        if stopped and stopped.status != stop.OUT_OF_TIME:
            raise stopped

    offer, first, going = checkpoint.saver(ask, save_s), int(states.step[0]), [*range(len(runs))]
    for done in range(first, config.steps + 1, config.evaluate_every):
        if due := [i for i in going if done not in runs[i].found.get("steps", ())]:
            pause = partial(offer, save, timed=False) if done > first else obey_signals
            logits = _predictions(states.model, masks, held_out, labels, pause)
            for i in due:
                run = _measured(runs[i], done, [part[i] for part in logits])
                if not _since_best(run.found, labels[0]):
                    run = run._replace(best=(done, one(i).model))
                runs[i] = run
                yield run_folder.append(run.folder, _evaluation(run.found, labels[0]))
                if _ended(run.found, labels[0], config):
                    _finish(run, *labels)
                    going.remove(i)
            if not going:
                return
            offer(save)
        index = np.stack([order(start.seed, done, config.evaluate_every) for start in starts])
        batches = Data(*(column[index] for column in data))
        states, traces = advance_together(states, batches, masks, config)
        traces, after = jax.device_get(traces), done + config.evaluate_every
        for i in going:
            run, trace = runs[i], jax.tree.map(lambda each: each[i], traces)
            rate = float(schedule(after - 1))
            yield run_folder.append(run.folder, log.updates(after, rate, trace))
            if (step := checkpoint.failed_step(after, trace.skipped)) is not None:
                host = {"rows": order(starts[i].seed, step, 1)[0], **trace._asdict()}
                raise checkpoint.dump_failure(run.folder, one(i).model, step, host, run.facts)


class _Run(NamedTuple):
    """The host's part of one of the runs that are trained together.

    found: predictions of E evaluations so far: steps (E,), and `PREDICTED` (E, n, classes).
    best: step and model of the best evaluation, until written.
    """

    folder: Path
    facts: Mapping[str, Any]
    found: dict[str, np.ndarray]
    best: tuple[int, Classifier] | None = None


def _rows(
    config: FinetuneConfig, splits: tuple[Labelled, Labelled, Labelled]
) -> tuple[Data, list[tuple[Data, ...]], list[np.ndarray]]:
    """Train rows, on both strands if the config says so; held-out rows in batches; their labels."""
    train, *others = (checked(split, config.classes) for split in splits)
    held_out = [in_batches(part, config.rows) for part in others]
    if config.both_strands:
        held_out += [in_batches(opposite(part), config.rows) for part in others]
    data = Data(*map(jnp.asarray, train))
    if config.reverse_complement:
        data = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), data, opposite(train))
    return data, held_out, [np.asarray(part.labels) for part in others]


def _begin(
    config: FinetuneConfig, start: Start, mark: str, labels: Sequence[np.ndarray]
) -> tuple[_Run, optimizers.State]:
    """A run and its state, from the folder's checkpoint or fresh; `mark` is the rows' hash."""
    net = transformer.recast(start.net, config.model)
    classifier = Classifier(jax.tree.map(jnp.copy, net), config, nnx.Rngs(start.seed))
    state = optimizers.start(classifier, _optimizer(config))
    own = run_folder.fingerprint(replace(config, bidirectional=start.bidirectional))
    run = _Run(start.folder, {"config": own, "data": mark, "seed": start.seed}, {})
    if not (saved := checkpoint.resume(start.folder, run.facts)):
        return run, state
    names, (validation, test) = ("steps", "validation_logits", "test_logits"), labels
    known = {"validation_labels": validation, "test_labels": test}
    wrong = lambda found: run_folder.misshaped({**found, **known})
    found = checkpoint.host(saved.path, *names, wrong=wrong)
    return run._replace(found=found), checkpoint.restore(saved.path, state)


def _predictions(
    nets: Classifier,
    masks: jax.Array,
    held_out: Sequence[Sequence[Data]],
    labels: Sequence[np.ndarray],
    pause: Callable[[], object],
) -> list[np.ndarray]:
    """Class logits (M, n, classes) of each of the held-out sets: validation and test in turn.

    `pause` as in `computed`.
    """
    read = partial(_logits_together, nets, masks)
    logits = [computed(read, batches, pause) for batches in held_out]
    return [np.concatenate(a, axis=1)[:, : len(b)] for a, b in zip(logits, cycle(labels))]


@jax.jit
def _logits_together(nets: Classifier, masks: jax.Array, rows: Data) -> jax.Array:
    def one(model: tuple[Classifier, jax.Array]) -> jax.Array:
        read = partial(model[0], bidirectional=model[1])
        return in_parts(read, rows.tokens, rows.lengths)

    return each(one, (nets, masks))


def _measured(run: _Run, step: int, logits: Sequence[np.ndarray]) -> _Run:
    """The run with the logits (n, classes) of one more step.

    These are of validation and test rows and, if both strands are read, of the reverse complements
    of both; predictions are then means over strands.
    """
    if len(logits) == len(PREDICTED):
        means = [(a + b) / 2 for a, b in zip(logits[:2], logits[2:], strict=True)]
        logits = [*means, *logits[2:]]
    new = {"steps": np.asarray(step, np.int32), **dict(zip(PREDICTED, logits, strict=False))}
    had = run.found or {name: value[None][:0] for name, value in new.items()}
    found = {name: np.concatenate([had[name], value[None]]) for name, value in new.items()}
    return run._replace(found=found)


def _since_best(found: Mapping[str, np.ndarray], labels: np.ndarray) -> int:
    """Evaluations since the best one on the validation labels."""
    return len(found["steps"]) - 1 - best_evaluation(labels, found["validation_logits"])


def _evaluation(found: Mapping[str, Any], labels: np.ndarray) -> dict[str, Any]:
    """The event of the newest predictions on validation."""
    return {
        "event": "evaluation",
        "step": int(found["steps"][-1]),
        "split": "validation",
        **log.loss_and_accuracy(found["validation_logits"][-1], labels),
    }


def _ended(found: Mapping[str, np.ndarray], labels: np.ndarray, config: FinetuneConfig) -> bool:
    """Whether the last step is done or patience has run out."""
    last, patience = found["steps"][-1] >= config.steps, config.patience_evaluations
    return bool(last or (patience and _since_best(found, labels) >= patience))


def _finish(run: _Run, validation: np.ndarray, test: np.ndarray) -> None:
    """Write the predictions with their labels, and the best model."""
    columns: dict[str, Any] = {**run.found, "validation_labels": validation, "test_labels": test}
    np.savez_compressed(run.folder / "predictions.npz", **columns)
    _with_best_written(run)


def _with_best_written(run: _Run) -> _Run:
    """Write the run's best model, unless that is done."""
    if run.best:
        checkpoint.save_model(run.folder, *run.best, run.facts)
    return run._replace(best=None)


class Trace(NamedTuple):
    """Loss, gradient norm and updates skipped in a row at every step: (steps,)."""

    loss: jax.Array
    grad_norm: jax.Array
    skipped: jax.Array


@partial(jax.jit, static_argnames="config", donate_argnums=0)
def advance(
    state: optimizers.State, batches: Data, config: FinetuneConfig, mask: jax.Array | None = None
) -> tuple[optimizers.State, Trace]:
    """Train one model on batches with leading axes (steps, B).

    `mask`, bool (), is `config.bidirectional` as data; None takes that of the config. The state is
    donated: neither it nor the model that it was made of can be used afterwards.
    """
    tx, (_, n, slots) = _optimizer(config), batches.tokens.shape
    parts = n // rows_at_once(n, slots)

    def step(state: optimizers.State, rows: Data) -> tuple[optimizers.State, Trace]:
        def loss(net: Classifier, rows: Data) -> tuple[jax.Array, None]:
            logits = net(rows.tokens, rows.lengths, mask)
            return optimizers.cross_entropy(logits, rows.labels).sum() / n, None

        state, value, _, norm = optimizers.update(state, tx, loss, rows, parts)
        return state, Trace(value, norm, state.skipped)

    return jax.lax.scan(step, state, batches)


@partial(jax.jit, static_argnames="config", donate_argnums=0)
def advance_together(
    states: optimizers.State, batches: Data, masks: jax.Array, config: FinetuneConfig
) -> tuple[optimizers.State, Trace]:
    """`advance` for M models, with a leading axis M; `masks`, bool (M,), are bidirectional."""
    one = lambda model: advance(model[0], model[1], config, model[2])
    return each(one, (states, batches, masks))


def _optimizer(config: FinetuneConfig) -> optax.GradientTransformation:
    """The optimizer; weights of the head have their own learning rate."""
    tx = optimizers.optimizer(config.optimizer, config.steps)
    if config.head_rate == 1:
        return tx
    named = lambda path: jax.tree_util.keystr(path, simple=True, separator=".")
    is_head = lambda path, _: named(path).startswith(("pooled.", "net.head."))
    heads = partial(jax.tree.map_with_path, is_head)
    return optax.chain(tx, optax.masked(optax.scale(config.head_rate), heads))


def predict(net: Classifier, batches: Sequence[Data], n: int) -> np.ndarray:
    """Class logits, float32 (n, classes), of n rows given by `in_batches`."""
    return np.concatenate([class_logits(net, rows.tokens, rows.lengths) for rows in batches])[:n]


@jax.jit
def class_logits(net: Classifier, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
    """The compiled classifier, with the mask of its config."""
    return in_parts(net, tokens, lengths)


def epoch_rows(n: int, rows: int, seed: int, first: int, steps: int) -> np.ndarray:
    """Indices of the rows read by steps first..first+steps-1, int32 (steps, rows).

    Every epoch is a fresh permutation of the n rows. Depends on (seed, step) only.
    """
    begin, end = first * rows, (first + steps) * rows
    epochs = range(begin // n, -(-end // n))
    order = [np.random.default_rng((seed, epoch)).permutation(n) for epoch in epochs]
    read = np.concatenate(order)[begin - epochs[0] * n :][: steps * rows]
    return read.reshape(steps, rows).astype(np.int32)


def rows_read(
    config: FinetuneConfig, labels: np.ndarray, seed: int, first: int, steps: int
) -> np.ndarray:
    """`epoch_rows` over the config's share of the n rows with these labels.

    With `reverse_complement`, i + n is the other strand of row i; the strand, too, depends on
    (seed, step) only.
    """
    n, chosen = len(labels), subset(labels, config.share, seed)
    index = chosen[epoch_rows(len(chosen), config.rows, seed, first, steps)].astype(np.int32)
    if not config.reverse_complement:
        return index
    draws = (np.random.default_rng((seed, step, 1)) for step in range(first, first + steps))
    return index + n * np.stack([draw.integers(0, 2, config.rows, np.int32) for draw in draws])
