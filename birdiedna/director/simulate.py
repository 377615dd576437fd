"""Simulated worlds: losses that answer to ratios by a known law, with a known best mixture.

A director sees only vectors, so it can be watched here in seconds, away from genome and model.
The law is ours, made to look like pretraining on nucleotides: every loss falls from ln(vocabulary)
within some dozen steps whatever is trained, then each keeps what only its own effort removes.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from birdiedna.director.director import Director, evaluations
from birdiedna.director.reward_model import class_weights

#: Classes of BirdieDNA's seven configs, in the order of their ids.
CLASSES = (0, 0, 1, 2, 3, 4, 5)


@dataclass(frozen=True)
class World:
    """A law of losses.

    loss_i = shared exp(-step / shared_steps) + floor_i + own_i (1 + e_i / (power slow_i))^-power
    with effort e_i = sum over rounds of steps * sum_j ratio_j transfer_ji.

    Attributes:
      classes: class of each objective, as for the directors.
      transfer: (n, n); what a step on objective j (row) is worth for objective i (column).
      floor: nats that no training removes.
      own: nats that effort removes.
      slow: steps of effort after which about 0.4 of `own` is left; larger is harder.
      power: diminishing returns: small is strong, large is nearly exponential decay.
      shared, shared_steps: nats that every step removes, and how fast.
      noise: relative deviation of a measured loss.
    """

    classes: tuple[int, ...]
    transfer: tuple[tuple[float, ...], ...]
    floor: tuple[float, ...]
    own: tuple[float, ...]
    slow: tuple[float, ...]
    power: float = 4.0
    shared: float = 4.56
    shared_steps: float = 40.0
    noise: float = 0.002

    def __post_init__(self) -> None:
        n = len(self.classes)
        sizes = {len(v) for v in (self.transfer, *self.transfer, self.floor, self.own, self.slow)}
        if sizes != {n}:
            raise ValueError(f"{n} classes, but other fields have {sorted(sizes)} entries")


def one_useful(useful: int = 4, slow: float = 3000.0) -> World:
    """Training on one class lowers every loss, the others do nothing: best is that class alone."""
    n = len(CLASSES)
    transfer = tuple((float(CLASSES[j] == useful),) * n for j in range(n))
    return World(CLASSES, transfer, (0.02,) * n, (1.366,) * n, (slow,) * n)


def independent(slow: float = 1200.0) -> World:
    """Each objective lowers only its own loss, all equally: best is to train everything.

    Not quite evenly: the infilling pair shares one class, so that each of the two counts half.
    """
    n = len(CLASSES)
    return World(CLASSES, _identity(n), (0.02,) * n, (1.366,) * n, (slow,) * n)


def helpful() -> World:
    """Two groups, language-like and copy-like; in each, one source objective helps the others."""
    transfer = np.eye(7) * 0.3
    transfer[2, [0, 1, 2]] = 1.0  # prefix LM helps infilling
    transfer[5, [3, 4, 5, 6]] = 1.0  # copying helps deshuffling, autoencoding, selective copying
    rows = tuple(tuple(row) for row in transfer.tolist())
    return World(CLASSES, rows, (0.02,) * 7, (1.366,) * 7, (1500.0,) * 7)


def nucleotide() -> World:
    """Nearest to DNA: language-like losses stop near 1.3 nats, only copy-like ones fall far."""
    floor = (1.30, 1.28, 1.30, 0.35, 0.40, 0.01, 0.02)
    own = tuple(1.386 - f for f in floor)
    slow = (2500.0, 2500.0, 2500.0, 1500.0, 1500.0, 300.0, 1000.0)
    return World(CLASSES, _identity(7, 0.1), floor, own, slow)


def _identity(n: int, others: float = 0.0) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(1.0 if i == j else others for i in range(n)) for j in range(n))


class Law(NamedTuple):
    """The numbers of a world as arrays, so that one compilation serves all worlds."""

    weights: Array  # (n,) class weights, sum 1
    transfer: Array  # (n, n)
    floor: Array  # (n,)
    own: Array  # (n,)
    slow: Array  # (n,)
    power: Array  # ()
    shared: Array  # ()
    shared_steps: Array  # ()
    noise: Array  # ()


def law(world: World) -> Law:
    """The world as arrays, float32."""
    weights = class_weights(world.classes) / len(set(world.classes))
    fields = (getattr(world, name) for name in Law._fields[1:])
    return Law(*(jnp.asarray(value, jnp.float32) for value in (weights, *fields)))


def losses_at(law: Law, step: Array | float, effort: Array) -> Array:
    """Exact losses (n,) in nats after `step` steps in all and `effort` (n,) steps of own worth."""
    left = law.own * (1 + effort / (law.power * law.slow)) ** -law.power
    return law.shared * jnp.exp(-step / law.shared_steps) + law.floor + left


def mean_loss(law: Law, ratios: Array, steps: Array | float) -> Array:
    """Class-weighted mean loss in nats after `steps` of constant `ratios` (n,); convex in them."""
    return law.weights @ losses_at(law, steps, steps * (ratios @ law.transfer))


@jax.jit
def best_mixture(law: Law, steps: Array | float = 16_384.0) -> Array:
    """The constant ratios (n,) with the lowest mean loss after `steps`.

    The loss is convex in the ratios, so exponentiated gradient descent finds the global optimum,
    the even split where objectives are exchangeable.
    """

    def descend(ratios: Array, rate: Array) -> tuple[Array, None]:
        gradient = jax.grad(mean_loss, argnums=1)(law, ratios, steps)
        ratios = ratios * jnp.exp(-rate * gradient / (jnp.abs(gradient).max() + 1e-12))
        return ratios / ratios.sum(), None

    n = len(law.weights)
    start = jnp.full(n, 1 / n, jnp.float32)
    return jax.lax.scan(descend, start, jnp.geomspace(0.3, 1e-4, 3000))[0]


class Trajectory(NamedTuple):
    """A simulated pretraining of R rounds; with a leading axis of seeds under vmap."""

    steps: Array  # (R + 1,) evaluation steps, 0 first
    losses: Array  # (R + 1, n) measured losses in nats
    ratios: Array  # (R, n)
    explored: Array  # (R,) bool
    rewards: Array  # (R, n) realised
    total: Array  # (R,) realised, class-scaled
    predicted: Array  # (R,) total predicted before the round; NaN for a fixed director
    spread: Array  # (R,) deviation of the candidates' predicted totals
    fit_loss: Array  # (R,)
    final: Array  # () class-weighted mean of the last losses, free of noise


@partial(jax.jit, static_argnums=(0, 3, 4))
def simulate(
    director: Director, law: Law, key: Array, steps: int = 16_384, every: int = 512
) -> Trajectory:
    """Let a director steer a world: one jitted scan over rounds, pure in `key`.

    Args:
      director: any director with as many objectives as the world.
      law: the world, as `law(world)`.
      key: seeds the director and the noise; two directors with one key meet the same noise.
      steps, every: length and cadence of the simulated pretraining, as in `director.evaluations`.
    """
    times = jnp.asarray([0, *evaluations(steps, every)])

    def measure(step: Array, effort: Array) -> Array:
        noise = jax.random.normal(jax.random.fold_in(key, step), effort.shape)
        return losses_at(law, step, effort) * (1 + law.noise * noise)

    def round_(carry: tuple, span: tuple[Array, Array]) -> tuple[tuple, tuple]:
        state, effort, before = carry
        choice = director.propose(state, span[0], steps)
        effort = effort + (span[1] - span[0]) * (choice.ratios @ law.transfer)
        after = measure(span[1], effort)
        state, report = director.observe(state, choice.ratios, before, after)
        return (state, effort, after), (after, choice, report)

    nothing = jnp.zeros(len(law.weights))
    start = measure(times[0], nothing)
    state = director.init(jax.random.fold_in(key, steps + 1), start)
    (_, effort, _), rounds = jax.lax.scan(round_, (state, nothing, start), (times[:-1], times[1:]))
    after, choice, report = rounds
    return Trajectory(
        steps=times,
        losses=jnp.concatenate([start[None], after]),
        ratios=choice.ratios,
        explored=choice.explored,
        rewards=report.rewards,
        total=report.total,
        predicted=choice.total,
        spread=choice.spread,
        fit_loss=report.fit_loss,
        final=law.weights @ losses_at(law, float(steps), effort),
    )


@partial(jax.jit, static_argnums=(0, 3, 4))
def simulations(
    director: Director, law: Law, keys: Array, steps: int = 16_384, every: int = 512
) -> Trajectory:
    """`simulate` for each of several keys in turn: a leading axis of seeds.

    A loop, because on a CPU it is ten times as fast as vmap (measured with 4 seeds).
    """
    return jax.lax.map(lambda key: simulate(director, law, key, steps, every), keys)
