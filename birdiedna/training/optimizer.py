"""Optimizer, update and loss, for pre-training and fine-tuning."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from birdiedna.model.fields import check_types

#: A run stops after this many updates in a row that are not finite.
PATIENCE = 3


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with warm-up and cosine decay; constant if `peak` equals `final` and warm-up is 0.

    `warmup` is a share of the run (our choice: 10%, from the official NTP code; the paper gives
    none). Weight decay applies to matrices only.
    """

    peak: float = 1e-3
    final: float = 1e-5
    warmup: float = 0.1
    b1: float = 0.9
    b2: float = 0.95
    weight_decay: float = 0.1
    clip: float = 1.0

    def __post_init__(self) -> None:
        check_types(self)
        if not 0 < self.final <= self.peak < np.inf:
            raise ValueError(f"learning rates need 0 < final ({self.final}) <= peak ({self.peak})")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup {self.warmup} is a share of the run: 0 <= warmup < 1")
        if not (0 <= self.b1 < 1 and 0 <= self.b2 < 1):
            raise ValueError(f"b1 {self.b1} and b2 {self.b2} are shares of the past: 0 <= b < 1")
        if not (0 < self.clip < np.inf and 0 <= self.weight_decay < np.inf):
            raise ValueError(
                f"clip {self.clip} must be positive and weight_decay {self.weight_decay} not "
                "negative, and both finite"
            )


class State(NamedTuple):
    """Model, optimizer moments, and two counts, int32 ().

    `step` counts steps done, `skipped` the updates just skipped in a row.
    """

    model: Any
    optimizer: optax.OptState
    step: jax.Array
    skipped: jax.Array


def learning_rate(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """Linear warm-up from above 0, then a cosine that reaches the final rate at the last step."""
    top = max(0, round(config.warmup * steps) - 1)
    first, last = config.peak / (top + 1), max(steps - 1, top + 1)
    return optax.warmup_cosine_decay_schedule(first, config.peak, top, last, config.final)


def optimizer(config: OptimizerConfig, steps: int) -> optax.GradientTransformation:
    """Gradient clipping and AdamW for a run of `steps`."""
    return optax.chain(
        optax.clip_by_global_norm(config.clip),
        optax.adamw(
            learning_rate(config, steps),
            config.b1,
            config.b2,
            weight_decay=config.weight_decay,
            mask=lambda weights: jax.tree.map(lambda x: x.ndim > 1, weights),
        ),
    )


def start(model: Any, tx: optax.GradientTransformation) -> State:
    """The state before the first step."""
    return State(model, tx.init(model), jnp.int32(0), jnp.int32(0))


def update(
    state: State,
    tx: optax.GradientTransformation,
    loss: Callable[[Any, Any], tuple[jax.Array, Any]],
    batch: Any,
    parts: int = 1,
) -> tuple[State, jax.Array, Any, jax.Array]:
    """One optimizer step on `loss(model, batch) -> (scalar, extras)`.

    If loss or gradient is not finite, model and optimizer stay as they are. After `PATIENCE` such
    updates in a row nothing changes any more, so that the failed step can be reproduced.

    Args:
      loss: extras have one entry per row. With several parts, the loss is a sum over rows.
      batch: pytree with the rows along the first axis.
      parts: number of microbatches, computed in turn to save memory; their losses are added.

    Returns:
      The new state, the loss, the extras and the gradient's global norm before clipping.
    """
    gradients = jax.value_and_grad(loss, has_aux=True)
    if parts == 1:
        (value, extras), gradient = gradients(state.model, batch)
    else:
        value, extras, gradient = _accumulate(gradients, state.model, batch, parts)
    updates, moments = tx.update(gradient, state.optimizer, state.model)
    model = optax.apply_updates(state.model, updates)
    norm = optax.tree.norm(gradient)
    finite = jnp.isfinite(value) & jnp.isfinite(norm) & (state.skipped < PATIENCE)
    model, moments = jax.tree.map(
        lambda new, old: jnp.where(finite, new, old),
        (model, moments),
        (state.model, state.optimizer),
    )
    skipped = jnp.where(finite, 0, state.skipped + 1)
    return State(model, moments, state.step + 1, skipped), value, extras, norm


def _accumulate(
    gradients: Callable, model: Any, batch: Any, parts: int
) -> tuple[jax.Array, Any, Any]:
    """Loss, extras and gradient of a batch, summed over its parts."""

    def add(total: Any, part: Any) -> tuple[Any, Any]:
        (value, extras), gradient = gradients(model, part)
        return jax.tree.map(jnp.add, total, (value, gradient)), extras

    # part i has the rows i, i + parts, ...: the same number from each device
    divided = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), batch)
    zeros = (jnp.float32(0), jax.tree.map(jnp.zeros_like, model))
    (value, gradient), extras = jax.lax.scan(add, zeros, divided)
    joined = jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), extras)
    return value, joined, gradient


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Nats per token, float32, for logits (..., V) and ids (...)."""
    return optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), labels)


def finite_mean(values: ArrayLike) -> float:
    """The mean of the finite values; NaN if there is none."""
    array = np.asarray(values)
    finite = array[np.isfinite(array)]
    return float(finite.mean()) if len(finite) else float("nan")
