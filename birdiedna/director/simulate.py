"""Simulated worlds: losses that follow a known law of the ratios, with a known best mixture.

A director sees only vectors, so it can be tested here in seconds, without genome and model. The law
is ours and resembles pre-training on nucleotides: whatever is trained, every loss falls from
ln(vocabulary) within some dozen steps; the rest falls with the effort spent on it.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from birdiedna.director.director import Director, evaluations
from birdiedna.director.reward_model import class_weights

#: Diminishing returns of effort: strong if small; nearly exponential decay if large.
POWER = 4.0
#: Nats that fall whatever is trained, and the time constant of their fall in steps.
SHARED, SHARED_STEPS = 4.56, 40.0
#: Relative noise of a measured loss.
NOISE = 0.002


class World(NamedTuple):
    """A law of n losses, as float32 arrays, so that one compilation serves all worlds.

    loss_i = SHARED exp(-step / SHARED_STEPS) + floor_i + own_i (1 + e_i / (POWER slow_i))^-POWER
    with effort e_i = sum over rounds of steps * sum_j ratio_j transfer_ji.
    """

    weights: Array  # (n,) class weights, sum 1
    transfer: Array  # (n, n); the worth of a step on objective j (row) for i (column)
    floor: Array  # (n,) nats that no training removes
    own: Array  # (n,) nats that effort removes
    slow: Array  # (n,) steps of effort after which about 0.4 of `own` remains


def world(
    classes: Sequence[int],
    transfer: ArrayLike,
    slow: ArrayLike,
    floor: ArrayLike = 0.02,
    own: ArrayLike = 1.366,
) -> World:
    """A world of objectives with these classes; a single number stands for n equal ones.

    Raises:
      ValueError: a field does not have one number per class.
    """
    n = len(classes)
    fields: list[Any] = [class_weights(tuple(classes)) / len(set(classes))]
    try:
        for numbers, shape in ((transfer, (n, n)), (floor, n), (own, n), (slow, n)):
            fields.append(np.broadcast_to(np.asarray(numbers, np.float32), shape))
    except ValueError as error:
        raise ValueError(f"{n} classes, but a field has other entries: {error}") from error
    return World(*fields)


def one_useful(classes: Sequence[int]) -> World:
    """Only training on class 4 lowers losses, and it lowers all: that class alone is best."""
    return world(classes, np.repeat(np.equal(classes, 4)[:, None], len(classes), axis=1), 3000.0)


def independent(classes: Sequence[int]) -> World:
    """Each objective lowers only its own loss, all equally: it is best to train everything.

    Not quite evenly, since objectives that share a class count less.
    """
    return world(classes, np.eye(len(classes)), 1200.0)


def helpful(classes: Sequence[int]) -> World:
    """BirdieDNA's seven in two groups, language- and copy-like; in each, one helps the rest."""
    transfer = np.eye(7) * 0.3
    transfer[2, [0, 1, 2]] = 1.0  # prefix LM helps infilling
    transfer[5, [3, 4, 5, 6]] = 1.0  # copying helps deshuffling, autoencoding, selective copying
    return world(classes, transfer, 1500.0)


def nucleotide(classes: Sequence[int]) -> World:
    """Most like DNA: BirdieDNA's language-like losses stop near 1.3 nats, copy-like ones fall."""
    floor = np.array([1.30, 1.28, 1.30, 0.35, 0.40, 0.01, 0.02])
    slow = (2500.0, 2500.0, 2500.0, 1500.0, 1500.0, 300.0, 1000.0)
    return world(classes, np.where(np.eye(7), 1.0, 0.1), slow, floor, 1.386 - floor)


def nucleotide_with_room(classes: Sequence[int]) -> World:
    """Like `nucleotide`, but a mixture can gain: infilling 50/3 helps all that do not copy."""
    floor = np.array([1.10, 1.08, 1.10, 0.35, 0.40, 0.01, 0.02])
    slow = (3000.0, 3000.0, 3000.0, 4000.0, 4000.0, 300.0, 1000.0)
    transfer = np.where(np.eye(7), 0.3, 0.1)
    transfer[0, :5] = 1.0
    return world(classes, transfer, slow, floor, 1.386 - floor)


def losses_at(world: World, step: Array | float, effort: Array) -> Array:
    """Exact losses (n,) in nats after `step` steps and an `effort` (n,) in steps."""
    left = world.own * (1 + effort / (POWER * world.slow)) ** -POWER
    return SHARED * jnp.exp(-step / SHARED_STEPS) + world.floor + left


def mean_loss(world: World, ratios: Array, steps: Array | float) -> Array:
    """Class-weighted mean loss in nats after `steps` of constant `ratios` (n,); convex in them."""
    return world.weights @ losses_at(world, steps, steps * (ratios @ world.transfer))


@jax.jit
def best_mixture(world: World, steps: Array | float = 16_384.0) -> Array:
    """The constant ratios (n,) with the lowest mean loss after `steps`.

    The loss is convex in the ratios, so exponentiated gradient descent finds the global optimum,
    with equal ratios for exchangeable objectives.
    """

    def descend(ratios: Array, rate: Array) -> tuple[Array, None]:
        gradient = jax.grad(mean_loss, argnums=1)(world, ratios, steps)
        ratios = ratios * jnp.exp(-rate * gradient / (jnp.abs(gradient).max() + 1e-12))
        return ratios / ratios.sum(), None

    n = len(world.weights)
    start = jnp.full(n, 1 / n, jnp.float32)
    return jax.lax.scan(descend, start, jnp.geomspace(0.3, 1e-4, 3000))[0]


class Trajectory(NamedTuple):
    """Simulated pre-training runs of R rounds, one for each of S keys."""

    steps: Array  # (S, R + 1) evaluation steps, 0 first
    losses: Array  # (S, R + 1, n) measured losses in nats
    ratios: Array  # (S, R, n)
    explored: Array  # (S, R) bool
    rewards: Array  # (S, R, n) realised
    total: Array  # (S, R) realised, class-scaled
    predicted: Array  # (S, R) total predicted before the round; NaN for a fixed director
    final: Array  # (S,) class-weighted mean of the last losses, free of noise


@partial(jax.jit, static_argnums=(0, 3))
def simulate(director: Director, world: World, keys: Array, steps: int = 16_384) -> Trajectory:
    """Simulate pre-training with a director in a world, once for each of the keys (S,).

    Args:
      director: any but `Recorded`, with as many objectives as the world.
      keys: seeds of director and noise; two directors with one key get the same noise.
      steps: of the simulated pre-training; losses are measured after `director.evaluations`.
    """
    # in turn, because on a CPU that is ten times as fast as vmap (measured with 4 seeds)
    return jax.lax.map(lambda key: _simulate(director, world, key, steps), keys)


def _simulate(director: Director, world: World, key: Array, steps: int) -> Trajectory:
    times = jnp.asarray([0, *evaluations(steps)])

    def measure(step: Array, effort: Array) -> Array:
        noise = jax.random.normal(jax.random.fold_in(key, step), effort.shape)
        return losses_at(world, step, effort) * (1 + NOISE * noise)

    def round_(carry: tuple, span: tuple[Array, Array]) -> tuple[tuple, tuple]:
        state, effort, before = carry
        choice = director.propose(state, span[0], steps)
        effort = effort + (span[1] - span[0]) * (choice.ratios @ world.transfer)
        after = measure(span[1], effort)
        state, report = director.observe(state, choice.ratios, before, after)
        return (state, effort, after), (after, choice, report)

    no_effort = jnp.zeros(len(world.weights))
    start = measure(times[0], no_effort)
    state = director.init(jax.random.fold_in(key, steps + 1), start)
    carry, rounds = jax.lax.scan(round_, (state, no_effort, start), (times[:-1], times[1:]))
    after, choice, report = rounds
    return Trajectory(
        steps=times,
        losses=jnp.concatenate([start[None], after]),
        ratios=choice.ratios,
        explored=choice.explored,
        rewards=report.rewards,
        total=report.total,
        predicted=choice.total,
        final=world.weights @ losses_at(world, float(steps), carry[1]),
    )
