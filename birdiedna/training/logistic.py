"""Logistic regression with an L2 penalty, for several penalties at once.

In JAX rather than scikit-learn, because accelerator machines install the training core only.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from birdiedna.objectives.mixture import each

#: L-BFGS stops after this many iterations, or when the squared gradient has fallen by this factor.
_ITERATIONS = 200
_FALL = 1e-10
#: Rows are padded to this number or the next power of two, so that subsets share a program.
_FEWEST_ROWS = 64


def fit(
    x: np.ndarray, labels: np.ndarray, costs: tuple[float, ...], classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a regression to features (n, D) and labels (n,) for each of P inverse penalties `costs`.

    Equals scikit-learn's `StandardScaler` and `LogisticRegression(C=cost)`: features are
    standardised on these rows, and the bias is not penalised.

    Returns:
      Kernels (P, D, classes) and biases (P, classes); logits are `x @ kernel + bias`.
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
        return each(partial(_minimise, x, wanted), costs)


def _minimise(x: jax.Array, wanted: jax.Array, cost: jax.Array) -> jax.Array:
    """Weights (D + 1, classes) that minimise cost * nats + |kernel|^2 / 2.

    Padding rows are zero, also in `wanted`. Two classes share one column of weights, as in
    scikit-learn. The search is preconditioned by an upper bound of the curvature (Boehning, 1992),
    so that a few steps suffice.
    """
    classes, width = wanted.shape[1], x.shape[1]
    columns = jnp.eye(classes)[1:] if classes == 2 else jnp.eye(classes)
    penalised = jnp.ones((width, 1)).at[-1].set(0)
    curvature = cost * (x.T @ x) / (4 if classes == 2 else 2)
    ridge = 1 + 1e-6 * jnp.trace(curvature)  # keeps it positive definite in float32
    factor = jnp.linalg.cholesky(curvature + ridge * jnp.eye(width))
    back = jax.scipy.linalg.solve_triangular(factor, jnp.eye(width), lower=True, trans="T")
    turned = x @ back

    def loss(point: jax.Array) -> jax.Array:
        logits = turned @ point @ columns
        nats = wanted.sum(axis=1) * jax.nn.logsumexp(logits, axis=1) - (wanted * logits).sum(axis=1)
        return cost * nats.sum() + (penalised * (back @ point) ** 2).sum() / 2

    solver, slope = optax.lbfgs(), optax.value_and_grad_from_state(loss)

    def step(at: tuple[jax.Array, Any, jax.Array]) -> tuple[jax.Array, Any, jax.Array]:
        point, state, number = at
        value, gradient = slope(point, state=state)
        move, state = solver.update(
            gradient, state, point, value=value, grad=gradient, value_fn=loss
        )
        return optax.apply_updates(point, move), state, number + 1

    begin = jnp.zeros((width, len(columns)))
    enough = _FALL * (jax.grad(loss)(begin) ** 2).sum()

    def left(at: tuple[jax.Array, Any, jax.Array]) -> jax.Array:
        steep = (optax.tree.get(at[1], "grad") ** 2).sum() > enough
        return (at[2] == 0) | ((at[2] < _ITERATIONS) & steep)

    found = jax.lax.while_loop(left, step, (begin, solver.init(begin), jnp.int32(0)))
    return back @ found[0] @ columns
