"""Directors choose the sampling ratios of the next round of training.

A director is a hashable config with the methods `init`, `propose` and `observe`. It sees only
vectors (losses and ratios of `n` objectives). Its state is a pytree of arrays, which can be saved,
scanned or mapped; methods but those of `Recorded` are jitted, with the director as the only static
argument.
Marks in docstrings: [B] the Birdie paper (EMNLP 2024); [C24], [C26] its official code by year.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from birdiedna.director.reward_model import (
    CUBIC,
    Fit,
    History,
    Parameters,
    Reward,
    RewardModel,
    append,
    class_weights,
    fit_history,
    init_parameters,
    optimizer,
    predict,
    predict_step,
    reward,
    uniform,
)
from birdiedna.model.fields import check_ranges, check_types


class Decision(NamedTuple):
    """The ratios of the next round, and what the director predicts; NaN if it predicts nothing."""

    ratios: Array  # (n,) >= 0, sum 1: probability that a row has each objective
    explored: Array  # () bool: drawn at random
    rewards: Array  # (n,) predicted rewards of these ratios
    total: Array  # () predicted class-scaled total
    spread: Array  # () standard deviation of the candidates' predicted totals


class Report(NamedTuple):
    """What a director learned from a round."""

    rewards: Array  # (n,) in [-1, 1]; 0 where a loss was NaN
    total: Array  # () class-scaled total
    fit_loss: Array  # () mean squared error of the fitted reward model; NaN without one


class Director(Protocol):
    """Anything that chooses ratios: `init` once, then `propose` and `observe` in turn."""

    def init(self, key: Array, losses: Array) -> Any:
        """The state before training, from the losses (n,) in nats of evaluation 0.

        Here and in `observe`, ours raise ValueError for another number of losses or ratios.
        """

    def propose(self, state: Any, step: Array | int, steps: Array | int) -> Decision:
        """Ratios for the round after `step` of `steps`; the same for the same state."""

    def observe(self, state: Any, ratios: Array, before: Array, after: Array) -> tuple[Any, Report]:
        """Learn that training with `ratios` changed the losses (n,) from `before` to `after`."""


def _vector(values: Array, n: int) -> Array:
    vector = jnp.asarray(values, jnp.float32)
    if vector.shape != (n,):
        raise ValueError(
            f"losses or ratios have shape {vector.shape}; this director has {n} objectives"
        )
    return vector


def _finite(losses: Array, fallback: Array | float) -> Array:
    return jnp.where(jnp.isfinite(losses), losses, fallback)


def evaluations(steps: int, every: int = 512) -> list[int]:
    """Steps after which losses are measured: 16, 64, 256, 512, 1024, ..., `steps` (35 of 16,384).

    Our choice: [B] used 10, 50, 250, 500, 1000, ... of 32,000 steps.
    """
    due = {16, 64, 256, *range(every, steps, every)}
    return [*sorted(step for step in due if step < steps), steps]


@dataclass(frozen=True)
class Fixed:
    """The same ratios in every round; rewards are only computed for the log.

    Attributes:
      ratios: one per objective, >= 0, sum 1.
      classes: class of each objective, for the total; () gives each its own.
      reward: the reward rule.
    """

    ratios: tuple[float, ...]
    classes: tuple[int, ...] = ()
    reward: Reward = CUBIC

    def __post_init__(self) -> None:
        check_types(self)
        if not (self.ratios and min(self.ratios) >= 0 and abs(sum(self.ratios) - 1) <= 1e-6):
            raise ValueError(f"ratios {self.ratios} must be >= 0 and sum to 1")
        if self.classes and len(self.classes) != len(self.ratios):
            raise ValueError(f"{len(self.ratios)} ratios need as many classes, got {self.classes}")

    def init(self, key: Array, losses: Array) -> Array:
        """The state is the losses."""
        return _vector(losses, len(self.ratios))

    @partial(jax.jit, static_argnums=0)
    def propose(self, state: Array, step: Array | int, steps: Array | int) -> Decision:
        """The fixed ratios."""
        return _unpredicted(self.ratios)

    @partial(jax.jit, static_argnums=0)
    def observe(
        self, state: Array, ratios: Array, before: Array, after: Array
    ) -> tuple[Array, Report]:
        """The rewards of the round."""
        _, before, after = (_vector(each, len(self.ratios)) for each in (ratios, before, after))
        rewards = reward(before, after, self.reward)
        total = rewards @ class_weights(self.classes or tuple(range(len(self.ratios))))
        return after, Report(rewards, total, jnp.float32(jnp.nan))


def _unpredicted(ratios: tuple[float, ...]) -> Decision:
    unknown = jnp.float32(jnp.nan)
    vector = jnp.asarray(ratios, jnp.float32)
    return Decision(vector, jnp.bool_(False), vector * unknown, unknown, unknown)


@dataclass(frozen=True)
class Recorded:
    """Recorded decisions, replayed.

    Attributes:
      steps: the step of each decision, rising from 0.
      ratios: the ratios of each decision, one per objective.
      classes, reward: as in `Fixed`.
    """

    steps: tuple[int, ...]
    ratios: tuple[tuple[float, ...], ...]
    classes: tuple[int, ...] = ()
    reward: Reward = CUBIC

    def __post_init__(self) -> None:
        check_types(self)
        if not self.steps or len(self.steps) != len(self.ratios):
            raise ValueError(f"{len(self.steps)} steps and {len(self.ratios)} decisions recorded")
        if len(sizes := {len(ratios) for ratios in self.ratios}) > 1:
            raise ValueError(f"recorded decisions have {sorted(sizes)} ratios; give equally many")
        if self.steps[0] or any(np.diff(self.steps) <= 0):
            raise ValueError(f"recorded steps {self.steps} must ascend from 0")

    def init(self, key: Array, losses: Array) -> Array:
        """The state is the losses."""
        return _vector(losses, len(self.ratios[0]))

    def propose(self, state: Array, step: int, steps: int) -> Decision:
        """The ratios recorded at this step; ValueError if there are none."""
        if step not in self.steps:
            raise ValueError(f"no ratios were recorded at step {step}; there are {self.steps}")
        return _unpredicted(self.ratios[self.steps.index(step)])

    def observe(
        self, state: Array, ratios: Array, before: Array, after: Array
    ) -> tuple[Array, Report]:
        """The rewards of the round."""
        n = len(self.ratios[0])
        same = Fixed((1.0 / n,) * n, self.classes, self.reward)
        return same.observe(state, ratios, before, after)


def random_actions(key: Array, count: int, n: int) -> Array:
    """Candidate ratios (count, n): half normalised uniform, half Dirichlet(1/2).

    [B] has uniform ones only; [C24] and later code sharpen theirs in other ways.
    """
    keys, half = jax.random.split(key), count // 2
    dense = jax.random.uniform(keys[0], (count - half, n), minval=1e-6)
    sparse = jax.random.normal(keys[1], (half, n)) ** 2 + 1e-12  # gamma(1/2)
    draws = jnp.concatenate([dense, sparse])
    return draws / draws.sum(axis=1, keepdims=True)


def explore(key: Array, classes: tuple[int, ...]) -> Array:
    """A random action (n,): one or two classes, split at random; 0.5% for all others ([C26])."""
    count, pick, between, within = jax.random.split(key, 4)
    index = np.unique(classes, return_inverse=True)[1]
    member = jnp.asarray(index == np.arange(index.max() + 1)[:, None])  # (classes, n)
    rank = jnp.argsort(jax.random.uniform(pick, member.shape[:1]))
    chosen = rank < 1 + jax.random.bernoulli(count)
    share = jax.random.uniform(between, rank.shape, minval=0.01) * chosen
    split = jax.random.uniform(within, member.shape, minval=0.01) * member
    ratios = share / share.sum() @ (split / split.sum(axis=1, keepdims=True))
    rest = ratios == 0
    ratios = 0.995 * ratios + 0.005 * rest / jnp.maximum(rest.sum(), 1)
    return ratios / ratios.sum()


def exploration(
    step: Array | int, steps: Array | int, warmup_steps: int, bounds: tuple[float, float]
) -> Array:
    """Probability of a random action: a cosine between `bounds`, constant after half of `steps`."""
    length = jnp.maximum(jnp.asarray(steps) / 2 - warmup_steps, 1)
    done = jnp.clip((jnp.asarray(step) - warmup_steps) / length, 0, 1)
    return bounds[1] + (bounds[0] - bounds[1]) * (1 + jnp.cos(jnp.pi * done)) / 2


class BirdieState(NamedTuple):
    """The state of a `Birdie` director."""

    key: Array  # raw uint32 key; every draw is fold_in(key, rounds observed)
    losses: Array  # (n,) the latest finite ones
    history: History
    parameters: Parameters
    optimizer: optax.OptState


def _round_key(state: BirdieState, purpose: int) -> Array:
    return jax.random.fold_in(jax.random.fold_in(state.key, purpose), state.history.count)


def recall(state: BirdieState) -> Array:
    """States (blocks, state) of the reward model after the history; zeros before round 1."""
    history = state.history
    states = predict(state.parameters, history.rows)[0]
    last = jnp.clip(history.count, 1, len(history.rows)) - 1
    return jnp.where(history.count > 0, states[:, last], 0.0)


def score(state: BirdieState, recalled: Array, action: Array) -> Array:
    """Predicted rewards (n,) of ratios `action` (n,) in the next round, from `recall`."""
    row = jnp.concatenate([state.losses, action])
    return predict_step(state.parameters, recalled, row)[1]


@dataclass(frozen=True)
class Birdie:
    """The learned director of [B]: predict the rewards of many random actions, take the best.

    Attributes:
      classes: class of each objective; total reward and initial action weigh classes equally.
      reward: the reward rule.
      model, fit: sizes and fit of the reward model.
      candidates, best: the mean of the `best` of these random actions is taken. Half are uniform
        ([B]), half Dirichlet (our choice: means of uniform draws hardly differ from 1/n).
      floor: share of the action spread evenly, so that no objective starves (our choice).
      warmup_steps: before this step the initial action is used.
      explore: probability of a random action at the end of the warm-up and from half of the steps
        on, a cosine in between ([C24], [C26]; [B] has none: (0.0, 0.0)).
    """

    classes: tuple[int, ...]
    reward: Reward = CUBIC
    model: RewardModel = RewardModel()
    fit: Fit = Fit()
    candidates: int = 2048
    best: int = 8
    floor: float = 0.02
    warmup_steps: int = 256
    explore: tuple[float, float] = (0.5, 0.2)

    def __post_init__(self) -> None:
        check_types(self)
        if not self.classes:
            raise ValueError("classes is empty; give one per objective, such as (0, 0, 1)")
        if not 1 <= self.best <= self.candidates <= 2**20:
            raise ValueError(
                f"best {self.best}, candidates {self.candidates:,}: give 1 <= best <= candidates, "
                "and at most 2^20 candidates"
            )
        chances = self.floor, *self.explore
        if not all(0 <= p <= 1 for p in chances):
            raise ValueError(
                f"floor {self.floor} and explore {self.explore} are probabilities, one and two"
            )
        check_ranges(self, warmup_steps=(0, 2**31 - 1))

    @partial(jax.jit, static_argnums=0)
    def init(self, key: Array, losses: Array) -> BirdieState:
        """An empty history and a fresh reward model; `key` is typed or raw."""
        n, rows = len(self.classes), self.fit.rows
        key = jax.random.key_data(key)
        parameters = init_parameters(jax.random.fold_in(key, 0), self.model, n)
        history = History(jnp.zeros((rows, 2 * n)), jnp.zeros((rows, n)), jnp.int32(0))
        losses = _finite(_vector(losses, n), 0.0)
        return BirdieState(key, losses, history, parameters, optimizer(self.fit).init(parameters))

    @partial(jax.jit, static_argnums=0)
    def propose(self, state: BirdieState, step: Array | int, steps: Array | int) -> Decision:
        """The initial action during warm-up, then a random or the best predicted action."""
        draws, coin, random = jax.random.split(_round_key(state, 1), 3)
        candidates = random_actions(draws, self.candidates, len(self.classes))
        predicted = partial(score, state, recall(state))
        totals = jax.vmap(predicted)(candidates) @ class_weights(self.classes)
        leaders = candidates[jax.lax.top_k(totals, self.best)[1]].mean(axis=0)
        ratios = (1 - self.floor) * leaders + self.floor / len(self.classes)
        probability = exploration(step, steps, self.warmup_steps, self.explore)
        warm = jnp.asarray(step) < self.warmup_steps
        explored = ~warm & jax.random.bernoulli(coin, probability)
        ratios = jnp.where(explored, explore(random, self.classes), ratios)
        ratios = jnp.where(warm, jnp.asarray(uniform(self.classes), jnp.float32), ratios)
        rewards = predicted(ratios)
        total = rewards @ class_weights(self.classes)
        return Decision(ratios, explored, rewards, total, totals.std())

    @partial(jax.jit, static_argnums=0)
    def observe(
        self, state: BirdieState, ratios: Array, before: Array, after: Array
    ) -> tuple[BirdieState, Report]:
        """Reward the round, append it to the history, and fit the reward model to the history."""
        n = len(self.classes)
        ratios, before, after = (_vector(values, n) for values in (ratios, before, after))
        rewards = reward(before, after, self.reward)
        row = jnp.concatenate([_finite(before, state.losses), ratios])
        history = append(state.history, row, rewards)
        parameters, opt_state, loss = fit_history(
            _round_key(state, 2), state.parameters, state.optimizer, history, self.fit
        )
        losses = _finite(after, state.losses)
        state = BirdieState(state.key, losses, history, parameters, opt_state)
        return state, Report(rewards, rewards @ class_weights(self.classes), loss)


def wander(classes: tuple[int, ...]) -> Birdie:
    """Random actions only, after the warm-up: the control for what learning adds."""
    size, fit = RewardModel(1, 1, 1), Fit(rows=1, iterations=1)
    return Birdie(classes, model=size, fit=fit, candidates=8, explore=(1.0, 1.0))


def even(classes: tuple[int, ...]) -> Fixed:
    """The initial action in every round: uniform over classes, then within each class."""
    return Fixed(uniform(classes), classes)


def ul2r(classes: tuple[int, ...]) -> Fixed:
    """A mixture like UL2R's over BirdieDNA's seven objectives.

    UL2R (Tay et al. 2022, U-PaLM): half prefix LM, a quarter each regular and extreme infilling
    (recalled, not checked). Our choice: infilling 50%/3 in place of the regular 15%/3.
    """
    return Fixed((0.25, 0.25, 0.5, 0.0, 0.0, 0.0, 0.0), classes)
