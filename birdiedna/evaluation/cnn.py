"""A small CNN trained from scratch, the baseline without pre-training.

Convolution, max pooling, convolution, global max pooling, and a linear layer. Our choice: sizes
that train in seconds on a CPU, the same for all tasks; the step is chosen on validation.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from birdiedna import vocab
from birdiedna.data.labelled import Labelled
from birdiedna.training import finetune
from birdiedna.training.metrics import best_evaluation
from birdiedna.training.optimizer import State, start, update

FILTERS, WIDTH, POOL = 24, 9, 4
STEPS, ROWS, EVALUATE_EVERY, PEAK = 300, 64, 50, 3e-3
SEEDS = (0, 1, 2)
_OPTIMIZER = optax.adam(optax.cosine_decay_schedule(PEAK, STEPS))


class Cnn(nnx.Module):
    """Two convolutions, as linear layers on windows, and a linear layer on their maxima."""

    def __init__(self, classes: int, rngs: nnx.Rngs):
        linear = partial(nnx.Linear, kernel_init=nnx.initializers.he_normal(), rngs=rngs)
        self.first = linear(WIDTH * 4, FILTERS)
        self.second = linear(WIDTH * FILTERS, FILTERS)
        self.last = linear(FILTERS, classes)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Class logits (B, classes) of base ids (B, L), L a multiple of `POOL`; N and PAD are 0."""
        bases = jax.nn.one_hot(tokens.astype(jnp.int32) - vocab.A, 4)
        found = nnx.relu(self.first(_windows(bases)))
        pooled = found.reshape(len(tokens), -1, POOL, FILTERS).max(2)
        return self.last(nnx.relu(self.second(_windows(pooled))).max(1))


def _windows(x: jax.Array) -> jax.Array:
    """(B, L, C) -> (B, L, WIDTH C): the input of a filter at each position, padded with zeros."""
    before = WIDTH // 2
    padded = jnp.pad(x, ((0, 0), (before, WIDTH - 1 - before), (0, 0)))
    return jnp.concatenate([padded[:, i : i + x.shape[1]] for i in range(WIDTH)], axis=-1)


@partial(jax.jit, donate_argnums=0)
def _advance(state: State, tokens: jax.Array, labels: jax.Array) -> State:
    """Train on batches (steps, B, L) with labels (steps, B)."""

    def loss(net: Cnn, batch: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        found = optax.softmax_cross_entropy_with_integer_labels(net(batch[0]), batch[1])
        return found.mean(), None

    step = lambda state, batch: (update(state, _OPTIMIZER, loss, batch)[0], None)
    return jax.lax.scan(step, state, (tokens, labels))[0]


def predict(splits: tuple[Labelled, Labelled, Labelled], seed: int) -> np.ndarray:
    """Class logits (n, classes) of the test rows, at the best step on validation.

    `splits` are train, validation and test rows; `seed` sets the weights and the order of rows.
    """
    train, validation, test = (_padded(part) for part in splits)
    labels = np.asarray(splits[0].labels, np.int32)
    classes = int(max(part.labels.max() for part in splits)) + 1
    state = start(Cnn(classes, nnx.Rngs(seed)), _OPTIMIZER)
    found = []
    for begin in range(0, STEPS, EVALUATE_EVERY):
        index = finetune.epoch_rows(len(labels), ROWS, seed, begin, EVALUATE_EVERY)
        state = _advance(state, jnp.asarray(train[index]), jnp.asarray(labels[index]))
        found.append((_all(state.model, validation), _all(state.model, test)))
    answers = np.stack([one for one, _ in found])
    return found[best_evaluation(np.asarray(splits[1].labels), answers)][1]


def _padded(part: Labelled) -> np.ndarray:
    """The rows, right-padded to a multiple of `POOL`."""
    more = -part.tokens.shape[1] % POOL
    return np.pad(part.tokens, ((0, 0), (0, more)), constant_values=vocab.PAD)


_logits = jax.jit(Cnn.__call__)


def _all(net: Cnn, tokens: np.ndarray, rows: int = 512) -> np.ndarray:
    """Logits of all rows, in batches of one shape."""
    parts: Sequence[np.ndarray] = [tokens[i : i + rows] for i in range(0, len(tokens), rows)]
    fill = lambda part: np.pad(part, ((0, rows - len(part)), (0, 0)))
    found = [np.asarray(_logits(net, fill(part)))[: len(part)] for part in parts]
    return np.concatenate(found)
