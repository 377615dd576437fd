"""Pre-training: one loop for both arms. The baseline has one objective and a fixed director."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from birdiedna import coverage, journal, model, runs, training
from birdiedna import genome as genomes
from birdiedna.batch import Batch
from birdiedna.director import Director
from birdiedna.journal import Steps
from birdiedna.mixture import Corpus, Mixture, check_ratios, held_out, mix, sample
from birdiedna.model import ModelConfig, Transformer
from birdiedna.objective import Objective
from birdiedna.objectives import BIRDIE_DNA, NTP


@dataclass(frozen=True)
class PretrainConfig:
    """One arm. The defaults are the paper's settings; `validation` names contigs by chromosome.

    `evaluations` are the steps after which every objective is measured and the director asked;
    `bidirectional=False` hides later prefix tokens from earlier ones ("Birdie - Causal").
    """

    director: Director
    objectives: tuple[tuple[str, Objective], ...]
    evaluations: tuple[int, ...]
    validation: tuple[str, ...]
    train: tuple[str, ...] = ()
    held_out: tuple[str, ...] = genomes.HELD_OUT
    model: ModelConfig = ModelConfig()
    optimizer: training.OptimizerConfig = training.OptimizerConfig()
    slots: int = 1024
    rows: int = 128
    steps: int = 16_384
    chunk_steps: int = 16
    evaluation_rows: int = 256
    reverse_complement: bool = False
    bidirectional: bool = True

    def __post_init__(self) -> None:
        if min(self.slots, self.rows, self.chunk_steps, self.evaluation_rows) < 1:
            raise ValueError("slots, rows, chunk_steps and evaluation_rows must be at least 1")
        stops = (0, *self.evaluations)
        if self.evaluations[-1:] != (self.steps,) or any(np.diff(stops) <= 0):
            raise ValueError(f"evaluations {self.evaluations} must rise and end at {self.steps}")
        if any(stop % self.chunk_steps for stop in stops):
            raise ValueError(
                f"evaluations {self.evaluations} must be multiples of {self.chunk_steps}, the chunk"
            )
        if self.evaluation_rows % self.rows and self.rows % self.evaluation_rows:
            raise ValueError(
                f"evaluation_rows {self.evaluation_rows} must divide by rows {self.rows}"
            )

    def mixture(self) -> Mixture:
        """The objectives, fitted to the row."""
        return mix(dict(self.objectives), self.slots)

    def monitored(self) -> Mixture:
        """What evaluations measure, in both arms: all known objectives and the arm's own."""
        return mix({**BIRDIE_DNA, **NTP, **dict(self.objectives)}, self.slots)


def row_losses(net: Transformer, batch: Batch, bidirectional: bool) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy in nats summed over the label tokens of every row, and their number, (B,)."""
    visible = batch.prefix if bidirectional else jnp.zeros_like(batch.prefix)
    nats = training.cross_entropy(net(batch.tokens, visible), batch.labels) * batch.weights
    return nats.sum(axis=1), batch.weights.sum(axis=1)


@partial(jax.jit, static_argnames="config", donate_argnums=0)
def advance(
    state: training.State, key: jax.Array, corpus: Corpus, ratios: jax.Array, config: PretrainConfig
) -> tuple[training.State, Steps]:
    """Train for `chunk_steps` steps; the batch of a step is a function of (key, step, ratios).

    Ratios are an argument, so a new mixture compiles nothing.
    """
    mixture = config.mixture()
    tx = training.optimizer(config.optimizer, config.steps)

    def step(state: training.State, _: None) -> tuple[training.State, Steps]:
        draw = jax.random.fold_in(key, state.step)
        batch, starts = sample(
            mixture, draw, corpus, ratios, config.rows, config.reverse_complement
        )

        def loss(net: Transformer) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            nats, tokens = row_losses(net, batch, config.bidirectional)
            return nats.sum() / tokens.sum(), (nats, tokens)

        state, value, (nats, tokens), norm = training.update(state, tx, loss)
        of = jax.nn.one_hot(batch.objective, len(mixture.names))
        sums = (nats @ of, tokens @ of, of.sum(axis=0))
        return state, Steps(value, norm, *sums, starts, batch.objective)

    return jax.lax.scan(step, state, length=config.chunk_steps)


@partial(jax.jit, static_argnames="config")
def evaluate(net: Transformer, batch: Batch, config: PretrainConfig) -> jax.Array:
    """Mean nats per label token of every monitored objective, float32 (n,), in one compilation.

    Args:
      net: the model.
      batch: held-out rows with leading axes (n, R).
      config: gives the rows that are computed at once.
    """
    at_once = min(config.rows, config.evaluation_rows)
    parts = jax.tree.map(lambda x: x.reshape(-1, at_once, *x.shape[2:]), batch)
    nats, tokens = jax.lax.map(lambda part: row_losses(net, part, config.bidirectional), parts)
    shape = (batch.tokens.shape[0], -1)
    return nats.reshape(shape).sum(axis=1) / tokens.reshape(shape).sum(axis=1)


def train(
    config: PretrainConfig, genome: genomes.Genome, seed: int, folder: Path
) -> Iterator[dict[str, Any]]:
    """Pre-train one arm, writing log and checkpoint into `folder`; yields every event it logs.

    Args:
      config: the arm.
      genome: where windows come from; `config` names the contigs of its split.
      seed: initial weights, batches and the director's draws are functions of it.
      folder: an existing run folder (`runs.writing`).

    Raises:
      ValueError: a contig is unknown, no window fits, or an objective does not fit the row.
    """
    for event in _train(config, genome, seed, folder):
        runs.append(folder, event)
        yield event


def _train(
    config: PretrainConfig, genome: genomes.Genome, seed: int, folder: Path
) -> Iterator[dict[str, Any]]:
    mixture, monitored = config.mixture(), config.monitored()
    own = np.array([monitored.names.index(name) for name in mixture.names])
    corpus, fixed = _data(config, genome, monitored)
    key_batch, key_director = _stream(seed, "batches"), _stream(seed, "director")
    schedule = training.learning_rate(config.optimizer, config.steps)
    tx = training.optimizer(config.optimizer, config.steps)
    state = training.start(model.init(config.model, seed), tx)
    seen = coverage.Coverage()

    losses = np.asarray(evaluate(state.model, fixed, config))
    yield journal.evaluation(0, monitored, losses, seen)
    mind = config.director.init(key_director, losses[own])
    done = 0
    for stop in config.evaluations:
        decision = config.director.propose(mind, done, config.steps)
        ratios = check_ratios(np.asarray(decision.ratios), len(mixture.names))
        yield journal.decision(done, mixture, ratios, decision)
        share = np.zeros((2, len(mixture.names)))
        for _ in range(done, stop, config.chunk_steps):
            clock = time.monotonic()
            state, steps = advance(state, key_batch, corpus, jnp.asarray(ratios), config)
            steps = jax.tree.map(np.asarray, steps)
            seen = journal.covered(seen, steps, mixture)
            share += [steps.rows.sum(axis=0), steps.label_tokens.sum(axis=0)]
            done += config.chunk_steps
            rate = float(schedule(done - 1))
            yield journal.chunk(done, rate, mixture, steps, seen, time.monotonic() - clock)
        after = np.asarray(evaluate(state.model, fixed, config))
        yield journal.evaluation(stop, monitored, after, seen)
        mind, report = config.director.observe(mind, ratios, losses[own], after[own])
        yield journal.reward(stop, mixture, report, share)
        losses = after
    training.save(folder / "checkpoint" / "model", state.model)
    training.save(folder / "checkpoint" / "training", (state.optimizer, state.step, mind))


def _stream(seed: int, purpose: str) -> jax.Array:
    """A key for one purpose, apart from those of other purposes and of the model's weights."""
    tag = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4])
    return jax.random.fold_in(jax.random.key(seed), tag)


def _data(
    config: PretrainConfig, genome: genomes.Genome, monitored: Mixture
) -> tuple[Corpus, Batch]:
    """The training corpus on the device, and the held-out rows of every monitored objective."""
    split = genomes.split(genome, config.validation, config.held_out, config.train)
    tokens = jnp.asarray(genome.tokens)
    windows = genomes.windows(genome, split.train, config.slots)
    apart = genomes.windows(genome, split.validation, config.slots)
    starts = genomes.fixed_starts(apart, config.evaluation_rows, genome.source)
    fixed = held_out(monitored, _stream(0, "held-out rows"), tokens, jnp.asarray(starts))
    return Corpus(tokens, jax.tree.map(jnp.asarray, windows)), fixed


def load(folder: Path) -> tuple[Transformer, Mapping[str, Any]]:
    """The pre-trained model of a run, and the run's config.

    Raises:
      ValueError: the run or its checkpoint is missing, or does not fit its config.
    """
    config = runs.read(folder, "config")
    sizes = {name: value for name, value in config["model"].items() if name != "type"}
    like = jax.eval_shape(lambda: model.init(ModelConfig(**sizes), 0))
    return training.load(Path(folder) / "checkpoint" / "model", like), config
