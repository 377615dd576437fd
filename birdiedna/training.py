"""What both pre-training and fine-tuning need: optimizer, update, loss, checkpoints."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with warm-up and a cosine, or constant when `peak` equals `final` and warm-up is 0.

    `warmup` is a share of the run (our choice: 10 %, from the official NTP code; the paper names
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
        if not 0 < self.final <= self.peak:
            raise ValueError(f"learning rates need 0 < final ({self.final}) <= peak ({self.peak})")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup {self.warmup} is a share of the run: 0 <= warmup < 1")


class State(NamedTuple):
    """All that training changes: the model, the optimizer's moments, steps done, int32 ()."""

    model: Any
    optimizer: optax.OptState
    step: jax.Array


def learning_rate(config: OptimizerConfig, steps: int) -> optax.Schedule:
    """The learning rate at every step of a run of `steps`: linear warm-up, then a cosine.

    The first step has the first rung of the warm-up, the last one exactly the final rate.
    """
    top = max(0, round(config.warmup * steps) - 1)
    end = config.final / config.peak
    cosine = optax.cosine_decay_schedule(config.peak, max(1, steps - 1 - top), end)
    if not top:
        return cosine
    rising = optax.linear_schedule(config.peak / (top + 1), config.peak, top)
    return optax.join_schedules([rising, cosine], [top])


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
    return State(model, tx.init(model), jnp.int32(0))


def update(
    state: State, tx: optax.GradientTransformation, loss: Callable[[Any], tuple[jax.Array, Any]]
) -> tuple[State, jax.Array, Any, jax.Array]:
    """One optimizer step on `loss(model) -> (scalar, extras)`.

    Returns:
      The new state, the loss, the extras and the gradient's global norm before clipping.
    """
    (value, extras), gradient = jax.value_and_grad(loss, has_aux=True)(state.model)
    updates, moments = tx.update(gradient, state.optimizer, state.model)
    model = optax.apply_updates(state.model, updates)
    return State(model, moments, state.step + 1), value, extras, optax.tree.norm(gradient)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Nats per token, float32, for logits (..., V) and ids (...)."""
    return optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), labels)


def _flat(tree: Any) -> dict[str, jax.Array]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def save(folder: Path, tree: Any) -> None:
    """Write a pytree of arrays as an Orbax checkpoint at `folder`, which must not exist yet."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(Path(folder).absolute(), _flat(tree))


def load(folder: Path, like: Any) -> Any:
    """Read a checkpoint into the structure of `like` (arrays or shapes).

    Raises:
      ValueError: there is no checkpoint, or its names, shapes or types differ from `like`'s.
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise ValueError(f"{folder} holds no checkpoint; pre-train first")
    wanted = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in _flat(like).items()}
    with ocp.StandardCheckpointer() as checkpointer:
        stored = _stored(checkpointer.metadata(folder))
        _same(folder, stored, wanted)
        flat = checkpointer.restore(folder, wanted)
    leaves = [jnp.asarray(flat[name]) for name in wanted]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _stored(metadata: Any) -> dict[str, Any]:
    tree = getattr(metadata, "item_metadata", metadata)
    return dict(getattr(tree, "tree", tree))


def _same(folder: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse a checkpoint that Orbax would cast or fill silently."""
    have = {name: (tuple(x.shape), np.dtype(x.dtype).name) for name, x in stored.items()}
    want = {name: (tuple(x.shape), np.dtype(x.dtype).name) for name, x in wanted.items()}
    wrong = [name for name in want | have if want.get(name) != have.get(name)]
    if wrong:
        name = wrong[0]
        raise ValueError(
            f"{folder} does not fit the model: {len(wrong)} arrays differ, first {name}: "
            f"stored {have.get(name)}, wanted {want.get(name)}; use the run's own config"
        )
