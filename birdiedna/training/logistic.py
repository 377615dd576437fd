"""Logistic regression with an L2 penalty, for several penalties at once.

JAX rather than scikit-learn, because a machine with an accelerator has the training core only.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

#: Conjugate gradients end here at the latest, or when the squared gradient has fallen so far.
_ITERATIONS = 200
_FALL = 1e-10
_SEARCHES = 6
#: Fewer rows are padded to this number, more to the next power of two: subsets share a program.
_FEWEST_ROWS = 64


def fit(
    x: np.ndarray, labels: np.ndarray, costs: tuple[float, ...], classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fit one regression to features (n, D) and labels (n,) for each of P inverse penalties C.

    Each is scikit-learn's `LogisticRegression(C=cost)` behind its `StandardScaler`: features are
    standardised by these rows, and the bias is not penalised.

    Returns:
      Kernels (P, D, classes) and biases (P, classes), for features as given: the logits are
      `x @ kernel + bias`.
    """
    n, width = x.shape
    rows = max(_FEWEST_ROWS, 1 << (n - 1).bit_length())
    mean, spread = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    spread = np.where(spread > 1e-6, spread, 1)
    padded = np.zeros((rows, width + 1), np.float32)
    padded[:n] = np.column_stack([(x - mean) / spread, np.ones(n)])
    wanted = np.zeros((rows, classes), np.float32)
    wanted[np.arange(n), labels] = 1
    found = np.asarray(_fit(padded, wanted, np.asarray(costs, np.float32)), np.float64)
    kernels = found[:, :-1] / spread[:, None]
    return kernels, found[:, -1] - mean @ kernels


@jax.jit
def _fit(x: jax.Array, wanted: jax.Array, costs: jax.Array) -> jax.Array:
    """Weights (P, D + 1, classes) for rows (n, D + 1) that end in 1, with one-hot classes."""
    with jax.default_matmul_precision("highest"):
        return jax.vmap(partial(_minimise, x, wanted))(costs)


class _Step(NamedTuple):
    """A point of the search: weights, logits, gradient (raw, preconditioned), next direction."""

    weights: jax.Array
    logits: jax.Array
    gradient: jax.Array
    turned: jax.Array
    direction: jax.Array
    number: jax.Array


def _minimise(x: jax.Array, wanted: jax.Array, cost: jax.Array) -> jax.Array:
    """The minimum of cost * nats + |kernel|^2 / 2, by preconditioned conjugate gradients.

    Pads are rows of zeros, in `wanted` too. Two classes have one column of weights, as in
    scikit-learn. The preconditioner is the inverse of the curvature's upper bound (Boehning,
    1992). Logits are linear in the weights, so a line search reads no features.
    """
    classes = wanted.shape[1]
    real = wanted.sum(axis=1, keepdims=True)
    columns = jnp.eye(classes)[1:] if classes == 2 else jnp.eye(classes)
    penalised = jnp.ones((x.shape[1], 1)).at[-1].set(0)
    curvature = cost * (x.T @ x) / (4 if classes == 2 else 2)
    ridge = 1 + 1e-6 * jnp.trace(curvature)  # keeps it positive definite in float32
    factor = jnp.linalg.cholesky(curvature + ridge * jnp.eye(x.shape[1]))
    inverse = jax.scipy.linalg.cho_solve((factor, True), jnp.eye(x.shape[1]))

    def slope(weights: jax.Array, logits: jax.Array) -> jax.Array:
        excess = real * jax.nn.softmax(logits) - wanted
        return cost * (x.T @ (excess @ columns.T)) + penalised * weights

    def step(at: _Step) -> _Step:
        move = x @ at.direction @ columns
        inner = penalised * at.direction
        t = _line_search(
            at.logits, move, wanted, cost, (inner * at.weights).sum(), (inner**2).sum()
        )
        weights, logits = at.weights + t * at.direction, at.logits + t * move
        gradient = slope(weights, logits)
        turned = inverse @ gradient
        ratio = (turned * (gradient - at.gradient)).sum() / (at.turned * at.gradient).sum()
        direction = jnp.maximum(ratio, 0) * at.direction - turned
        direction = jnp.where((direction * gradient).sum() < 0, direction, -turned)
        return _Step(weights, logits, gradient, turned, direction, at.number + 1)

    weights, logits = jnp.zeros((x.shape[1], len(columns))), jnp.zeros_like(wanted)
    gradient = slope(weights, logits)
    turned = inverse @ gradient
    enough = _FALL * (turned * gradient).sum()
    left = lambda at: (at.number < _ITERATIONS) & ((at.turned * at.gradient).sum() > enough)
    start = _Step(weights, logits, gradient, turned, -turned, jnp.int32(0))
    return jax.lax.while_loop(left, step, start).weights @ columns


def _line_search(
    logits: jax.Array,
    move: jax.Array,
    wanted: jax.Array,
    cost: jax.Array,
    first: jax.Array,
    second: jax.Array,
) -> jax.Array:
    """How far to go: Newton's method on the derivative, kept inside a bracket of the minimum.

    `first` and `second` are the derivatives of the penalty at 0.
    """
    real = wanted.sum(axis=1, keepdims=True)

    def search(_: int, at: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        t, low, high = at
        chance = real * jax.nn.softmax(logits + t * move)
        mean = (chance * move).sum(axis=1)
        rising = cost * ((chance - wanted) * move).sum() + first + t * second
        bend = cost * ((chance * move**2).sum() - (mean**2).sum()) + second
        low, high = jnp.where(rising < 0, t, low), jnp.where(rising < 0, high, t)
        newton, middle = t - rising / bend, jnp.where(jnp.isinf(high), 2 * t, (low + high) / 2)
        inside = (newton > low) & (newton < high)
        return jnp.where(inside, newton, middle), low, high

    begin = (jnp.float32(0), jnp.float32(0), jnp.float32(jnp.inf))
    return jax.lax.fori_loop(0, _SEARCHES, search, begin)[0]
