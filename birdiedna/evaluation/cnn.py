"""A small CNN trained from scratch, the baseline without pre-training.

Convolution, max pooling, convolution, global max pooling, and a linear layer. Our choice: sizes
that train in seconds on a CPU, the same for all tasks; the step is chosen on validation.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from birdiedna import vocab
from birdiedna.data.labelled import Labelled
from birdiedna.training import finetune
from birdiedna.training.metrics import best_evaluation

FILTERS, WIDTH, POOL = 24, 9, 4
STEPS, ROWS, EVALUATE_EVERY, PEAK = 300, 64, 50, 3e-3
SEEDS = (0, 1, 2)
_OPTIMIZER = optax.adam(optax.cosine_decay_schedule(PEAK, STEPS))


class Weights(NamedTuple):
    """Weights and biases of the two convolutions and the linear layer."""

    first: jax.Array
    first_bias: jax.Array
    second: jax.Array
    second_bias: jax.Array
    last: jax.Array
    last_bias: jax.Array


def init(key: jax.Array, classes: int) -> Weights:
    """Random weights (He initialisation)."""
    shapes = (WIDTH * 4, FILTERS), (WIDTH * FILTERS, FILTERS), (FILTERS, classes)
    weights: list[jax.Array] = []
    for one, shape in zip(jax.random.split(key, len(shapes)), shapes, strict=True):
        weights += [jax.random.normal(one, shape) * (2 / shape[0]) ** 0.5, jnp.zeros(shape[1])]
    return Weights(*weights)


def logits(net: Weights, tokens: jax.Array) -> jax.Array:
    """Class logits (B, classes) of base ids (B, L); L is a multiple of `POOL`, N and PAD are 0."""
    bases = jax.nn.one_hot(tokens.astype(jnp.int32) - vocab.A, 4)
    found = jax.nn.relu(_windows(bases) @ net.first + net.first_bias[None, None])
    rows, length, filters = found.shape
    pooled = found.reshape(rows, length // POOL, POOL, filters).max(2)
    found = jax.nn.relu(_windows(pooled) @ net.second + net.second_bias[None, None])
    return found.max(1) @ net.last + net.last_bias[None]


def _windows(x: jax.Array) -> jax.Array:
    """(B, L, C) -> (B, L, WIDTH C): the input of a filter at each position, padded with zeros."""
    before = WIDTH // 2
    padded = jnp.pad(x, ((0, 0), (before, WIDTH - 1 - before), (0, 0)))
    return jnp.concatenate([padded[:, i : i + x.shape[1]] for i in range(WIDTH)], axis=-1)


_State = tuple[Weights, optax.OptState]


@partial(jax.jit, donate_argnums=0)
def _advance(state: _State, tokens: jax.Array, labels: jax.Array) -> _State:
    """Train on batches (steps, B, L) with labels (steps, B)."""

    def step(state: _State, batch: tuple[jax.Array, jax.Array]) -> tuple[_State, None]:
        net, moments = state

        def loss(net: Weights) -> jax.Array:
            found = logits(net, batch[0])
            return optax.softmax_cross_entropy_with_integer_labels(found, batch[1]).mean()

        updates, moments = _OPTIMIZER.update(jax.grad(loss)(net), moments)
        return (optax.apply_updates(net, updates), moments), None  # type: ignore[return-value]

    return jax.lax.scan(step, state, (tokens, labels))[0]


def predict(splits: tuple[Labelled, Labelled, Labelled], seed: int) -> np.ndarray:
    """Class logits (n, classes) of the test rows, at the best step on validation.

    `splits` are train, validation and test rows; `seed` sets the weights and the order of rows.
    """
    train, validation, test = (_padded(part) for part in splits)
    labels = np.asarray(splits[0].labels, np.int32)
    classes = int(max(part.labels.max() for part in splits)) + 1
    net = init(jax.random.key(seed), classes)
    state: _State = net, _OPTIMIZER.init(net)  # type: ignore[arg-type]
    found = []
    for begin in range(0, STEPS, EVALUATE_EVERY):
        index = finetune.epoch_rows(len(labels), ROWS, seed, begin, EVALUATE_EVERY)
        state = _advance(state, jnp.asarray(train[index]), jnp.asarray(labels[index]))
        found.append((_all(state[0], validation), _all(state[0], test)))
    answers = np.stack([one for one, _ in found])
    return found[best_evaluation(np.asarray(splits[1].labels), answers)][1]


def _padded(part: Labelled) -> np.ndarray:
    """The rows, right-padded to a multiple of `POOL`."""
    more = -part.tokens.shape[1] % POOL
    return np.pad(part.tokens, ((0, 0), (0, more)), constant_values=vocab.PAD)


_logits = jax.jit(logits)


def _all(net: Weights, tokens: np.ndarray, rows: int = 512) -> np.ndarray:
    """Logits of all rows, in batches of one shape."""
    parts: Sequence[np.ndarray] = [tokens[i : i + rows] for i in range(0, len(tokens), rows)]
    fill = lambda part: np.pad(part, ((0, rows - len(part)), (0, 0)))
    found = [np.asarray(_logits(net, fill(part)))[: len(part)] for part in parts]
    return np.concatenate(found)
