"""Rewards, and the gated-SSM reward model that predicts them from losses and sampling ratios.

Marks in docstrings: [B] the Birdie paper (EMNLP 2024), [C24] its official code of November 2024.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.typing import ArrayLike

from birdiedna.model.fields import check_ranges, check_types


@dataclass(frozen=True)
class Reward:
    """The rule that turns the change of a loss into a reward ([B]; improvement is positive).

    `power` and `sensitivity` shape the cubic rule; `slope` > 0 selects tanh(slope * delta) instead.
    """

    power: float = 3.0
    sensitivity: float = math.e
    slope: float = 0.0

    def __post_init__(self) -> None:
        check_types(self)
        if self.power <= 0 or self.sensitivity <= 0 or self.slope < 0:
            raise ValueError(f"{self} is impossible; power, sensitivity > 0 and slope >= 0")


CUBIC = Reward()
#: Our choice: between 1.0 and 1.386 nats, as on DNA, the cubic rule gives almost nothing.
DNA_LINEAR = Reward(slope=20.0)


def reward(before: ArrayLike, after: ArrayLike, rule: Reward = CUBIC) -> Array:
    """The reward of a change of losses from `before` to `after`: positive if they fell.

    clip(100 s tanh(s Q d abs(d)^(p-1)), -1, 1): d relative fall, Q geometric mean, s = e, p = 3.
    Losses are in nats, of any equal shape; rewards are in [-1, 1], 0 where a loss is NaN.
    """
    before, after = jnp.asarray(before, jnp.float32), jnp.asarray(after, jnp.float32)
    fall = (before - after) / (before + 1e-8)
    if rule.slope:
        value = jnp.tanh(rule.slope * fall)
    else:
        shaped = jnp.sqrt(before * after) * jnp.sign(fall) * jnp.abs(fall) ** rule.power
        value = 100 * rule.sensitivity * jnp.tanh(rule.sensitivity * shaped)
    return jnp.where(jnp.isnan(value), 0.0, jnp.clip(value, -1.0, 1.0))


def class_weights(classes: tuple[int, ...]) -> np.ndarray:
    """Weight of each objective, 1 / (objectives in its class), shape (n,) float32 [C24]."""
    _, index, counts = np.unique(classes, return_inverse=True, return_counts=True)
    return (1.0 / counts[index]).astype(np.float32)


def uniform(classes: tuple[int, ...]) -> tuple[float, ...]:
    """The initial action: uniform over classes, then within each class; `n` ratios."""
    weights = class_weights(classes).astype(np.float64)
    return tuple((weights / weights.sum()).tolist())


class Block(NamedTuple):
    """Parameters of the gated-SSM blocks, stacked along the first axis."""

    gain: Array  # (blocks, width)
    forget: Array  # (blocks, width, state)
    bias: Array  # (blocks, state)
    write: Array  # (blocks, width, state)
    value: Array  # (blocks, width, state)
    gate: Array  # (blocks, width, state)
    back: Array  # (blocks, state, width)


class Parameters(NamedTuple):
    """Parameters of the reward model."""

    loss_gain: Array  # (n,)
    ratio_gain: Array  # (n,)
    inward: Array  # (2n, width)
    blocks: Block
    last_gain: Array  # (width,)
    outward: Array  # (width, n)


#: Larger sizes must be a mistake and would never finish.
_LARGEST = 2**14


@dataclass(frozen=True)
class RewardModel:
    """Sizes of the gated-SSM reward model: 2.63 M parameters for 7 objectives ([B], 4 layers)."""

    width: int = 256
    state: int = 512
    blocks: int = 4

    def __post_init__(self) -> None:
        check_types(self)
        check_ranges(self, **dict.fromkeys(("width", "state", "blocks"), (1, _LARGEST)))


def init_parameters(key: Array, size: RewardModel, n: int) -> Parameters:
    """Fresh parameters: normal with deviation 1/sqrt(fan-in), gains 1, forget bias 2."""
    keys = iter(jax.random.split(key, 7))

    def dense(*shape: int) -> Array:
        return jax.random.normal(next(keys), shape) / math.sqrt(shape[-2])

    k, d, s = size.blocks, size.width, size.state
    blocks = Block(
        gain=jnp.ones((k, d)),
        forget=dense(k, d, s),
        bias=jnp.full((k, s), 2.0, jnp.float32),
        write=dense(k, d, s),
        value=dense(k, d, s),
        gate=dense(k, d, s),
        back=dense(k, s, d),
    )
    ends = dense(2 * n, d), dense(d, n)
    return Parameters(jnp.ones(n), jnp.ones(n), ends[0], blocks, jnp.ones(d), ends[1])


def _norm(x: Array, gain: Array) -> Array:
    return gain * x * jax.lax.rsqrt(jnp.mean(x * x) + 1e-6)


def _enter(p: Parameters, row: Array) -> Array:
    losses, ratios = jnp.split(row, 2)
    return jnp.concatenate([_norm(losses, p.loss_gain), _norm(ratios, p.ratio_gain)]) @ p.inward


def _leave(p: Parameters, x: Array) -> Array:
    return jnp.tanh(_norm(x, p.last_gain) @ p.outward)


def _gates(block: Block, x: Array) -> tuple[Array, Array, Array]:
    """Kept fraction, addition to the state and output gate; each (state,)."""
    u = _norm(x, block.gain)
    keep = jax.nn.sigmoid(u @ block.forget + block.bias)
    add = (1 - keep) * jax.nn.sigmoid(u @ block.write) * (u @ block.value)
    return keep, add, jax.nn.gelu(u @ block.gate)


def predict_step(p: Parameters, states: Array, row: Array) -> tuple[Array, Array]:
    """One step of the reward model, to score candidates.

    Maps the states (blocks, state) after the previous rows, zeros before the first, and a row (2n,)
    of losses in nats and ratios to the new states and predicted rewards (n,).
    """

    def layer(x: Array, block_state: tuple[Block, Array]) -> tuple[Array, Array]:
        block, state = block_state
        keep, add, gate = _gates(block, x)
        state = keep * state + add
        return x + (gate * state) @ block.back, state

    x, states = jax.lax.scan(layer, _enter(p, row), (p.blocks, states))
    return states, _leave(p, x)


def predict(p: Parameters, rows: Array) -> tuple[Array, Array]:
    """The whole history at once, by layer-wise matmuls and a parallel scan over time.

    Maps rows (T, 2n) to states (blocks, T, state) and predicted rewards (T, n), as `predict_step`
    does row by row.
    """

    def layer(x: Array, block: Block) -> tuple[Array, Array]:
        keep, add, gate = jax.vmap(partial(_gates, block))(x)
        state = _accumulate(keep, add)
        return x + (gate * state) @ block.back, state

    x, states = jax.lax.scan(layer, jax.vmap(partial(_enter, p))(rows), p.blocks)
    return states, jax.vmap(partial(_leave, p))(x)


def _accumulate(keep: Array, add: Array) -> Array:
    """state[t] = keep[t] * state[t - 1] + add[t], with state[-1] = 0, for arrays (T, ...).

    Each pass joins twice as many rows as the last: log2(T) wide operations (Hillis and Steele,
    1986), where `jax.lax.associative_scan` takes a GPU many small kernels.
    """
    reach = 1
    while reach < len(keep):
        earlier = jnp.zeros_like(add[:reach])
        add = add + keep * jnp.concatenate([earlier, add[:-reach]])
        keep = keep * jnp.concatenate([earlier, keep[:-reach]])
        reach *= 2
    return add


@dataclass(frozen=True)
class Fit:
    """The fit of the reward model after every evaluation ([B], [C24]).

    The latest `rows` of history are fitted by `iterations` AdamW updates with gradients clipped at
    `clip`. The learning rate rises from `low` to `peak` and falls back. Every iteration multiplies
    inputs and targets by U(1 - noise, 1 + noise).
    """

    rows: int = 64
    iterations: int = 200
    low: float = 5e-7
    peak: float = 5e-4
    weight_decay: float = 0.1
    clip: float = 1.0
    noise: float = 0.02

    def __post_init__(self) -> None:
        check_types(self)
        check_ranges(self, rows=(1, _LARGEST), iterations=(1, _LARGEST))
        if not 0 <= self.low <= self.peak < np.inf or not 0 < self.clip < np.inf:
            raise ValueError(f"{self} is impossible; give 0 <= low <= peak, and a positive clip")
        if not (0 <= self.noise < 1 and 0 <= self.weight_decay < np.inf):
            raise ValueError(f"{self} is impossible; give noise below 1 and no negative decay")


def optimizer(fit: Fit) -> optax.GradientTransformation:
    """AdamW with clipping and a triangular learning rate that restarts with every fit."""

    def triangle(count: Array) -> Array:
        phase = (count % fit.iterations) / fit.iterations
        return fit.low + (fit.peak - fit.low) * (1 - jnp.abs(2 * phase - 1))

    steps = optax.adamw(triangle, weight_decay=fit.weight_decay)
    return optax.chain(optax.clip_by_global_norm(fit.clip), steps)


class History(NamedTuple):
    """The latest rounds, up to `T`, followed by zeros."""

    rows: Array  # (T, 2n) losses before the round in nats, then its ratios
    rewards: Array  # (T, n)
    count: Array  # type: ignore[assignment]  # () int32 rounds observed, may exceed T


def append(history: History, row: Array, rewards: Array) -> History:
    """The history with one more round; a full one drops its oldest."""
    last = len(history.rows) - 1
    full = history.count > last

    def put(buffer: Array, new: Array) -> Array:
        buffer = jnp.where(full, jnp.roll(buffer, -1, axis=0), buffer)
        return buffer.at[jnp.minimum(history.count, last)].set(new)

    return History(put(history.rows, row), put(history.rewards, rewards), history.count + 1)


def _jitter(key: Array, x: Array, noise: float) -> Array:
    return x * jax.random.uniform(key, x.shape, minval=1 - noise, maxval=1 + noise)


def fit_history(
    key: Array, p: Parameters, opt_state: optax.OptState, history: History, fit: Fit
) -> tuple[Parameters, optax.OptState, Array]:
    """Fit the reward model to the history by mean squared error; also returns the last loss."""
    real = (jnp.arange(fit.rows) < history.count)[:, None]
    data = history.rows, history.rewards
    update = optimizer(fit).update

    def loss(p: Parameters, rows: Array, rewards: Array) -> Array:
        error = jnp.where(real, predict(p, rows)[1] - rewards, 0.0)
        return jnp.sum(error**2) / (jnp.maximum(real.sum(), 1) * rewards.shape[1])

    def iterate(carry: tuple, key: Array) -> tuple[tuple, Array]:
        p, opt_state = carry
        noisy = [_jitter(k, x, fit.noise) for k, x in zip(jax.random.split(key), data, strict=True)]
        value, gradient = jax.value_and_grad(loss)(p, *noisy)
        updates, opt_state = update(gradient, opt_state, p)
        return (optax.apply_updates(p, updates), opt_state), value

    keys = jax.random.split(key, fit.iterations)
    (p, opt_state), losses = jax.lax.scan(iterate, (p, opt_state), keys)
    return p, opt_state, losses[-1]
