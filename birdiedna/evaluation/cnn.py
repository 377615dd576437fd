"""A small CNN trained from scratch, the baseline without pre-training.

Convolution, max pooling, convolution, global max pooling, and a linear layer. Our choice: sizes
that train in seconds on a CPU, the same for all tasks; the step is chosen on validation.
"""

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
        """Class logits (B, classes) of base ids (B, L); N and PAD are 0."""
        whole = jnp.pad(tokens, ((0, 0), (0, -tokens.shape[1] % POOL)), constant_values=vocab.PAD)
        bases = jax.nn.one_hot(whole.astype(jnp.int32) - vocab.A, 4)
        found = jax.nn.relu(self.first(_windows(bases)))
        pooled = found.reshape(len(tokens), -1, POOL, FILTERS).max(2)
        return self.last(jax.nn.relu(self.second(_windows(pooled))).max(1))


def _windows(x: jax.Array) -> jax.Array:
    """(B, L, C) -> (B, L, WIDTH C): the input of a filter at each position, padded with zeros."""
    before = WIDTH // 2
    padded = jnp.pad(x, ((0, 0), (before, WIDTH - 1 - before), (0, 0)))
    return jnp.concatenate([padded[:, i : i + x.shape[1]] for i in range(WIDTH)], axis=-1)


@jax.jit
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
    train, labels = jnp.asarray(splits[0].tokens), jnp.asarray(splits[0].labels)
    classes = int(max(part.labels.max() for part in splits)) + 1
    state = start(Cnn(classes, nnx.Rngs(seed)), _OPTIMIZER)
    models, answers = [], []
    for begin in range(0, STEPS, EVALUATE_EVERY):
        index = finetune.epoch_rows(len(labels), ROWS, seed, begin, EVALUATE_EVERY)
        state = _advance(state, train[index], labels[index])
        models.append(state.model)
        answers.append(_all(state.model, splits[1].tokens))
    best = best_evaluation(splits[1].labels, np.stack(answers))
    return _all(models[best], splits[2].tokens)


def _all(net: Cnn, tokens: np.ndarray, together: int = 32) -> np.ndarray:
    """Logits of all rows, in batches of one size, which are compiled once for all tasks.

    With larger ones the system spends longer on clearing memory than the CNN on computing.
    """
    whole = np.pad(tokens, ((0, -len(tokens) % together), (0, 0)))
    batches = np.split(whole, len(whole) // together)
    return np.concatenate([_logits(net, batch) for batch in batches])[: len(tokens)]


@jax.jit
def _logits(net: Cnn, tokens: jax.Array) -> jax.Array:
    return net(tokens)
