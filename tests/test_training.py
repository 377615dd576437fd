"""Claims about the optimizer, the update and checkpoints."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from birdiedna import model, training
from birdiedna.model import ModelConfig
from birdiedna.training import OptimizerConfig

TINY = ModelConfig(vocabulary=32, width=16, blocks=1, heads=2, head_width=8, mlp_width=16)


def test_the_learning_rate_warms_up_and_falls_to_its_end():
    rate = training.learning_rate(OptimizerConfig(), 16_384)
    top = round(0.1 * 16_384) - 1
    assert float(rate(0)) == pytest.approx(1e-3 / (top + 1), rel=1e-3)
    assert float(rate(top)) == pytest.approx(1e-3)
    assert float(rate(top + (16_383 - top) // 2)) == pytest.approx((1e-3 + 1e-5) / 2, rel=1e-3)
    assert float(rate(16_383)) == pytest.approx(1e-5, rel=1e-3)


def test_equal_ends_without_warm_up_are_a_constant_rate():
    rate = training.learning_rate(OptimizerConfig(peak=5e-5, final=5e-5, warmup=0.0), 100)
    assert [float(rate(step)) for step in (0, 50, 99)] == pytest.approx([5e-5] * 3)


def test_one_step_is_adamw_by_hand():
    weights = {"matrix": jnp.full((2, 2), 0.5), "gain": jnp.full(2, 0.5)}
    gradient = {"matrix": jnp.full((2, 2), 0.01), "gain": jnp.full(2, 0.01)}
    tx = training.optimizer(OptimizerConfig(peak=0.1, final=0.1, warmup=0.0), 10)
    updates, _ = tx.update(gradient, tx.init(weights), weights)
    after = optax.apply_updates(weights, updates)
    np.testing.assert_allclose(after["gain"], 0.5 - 0.1, atol=1e-5)  # no decay on vectors
    np.testing.assert_allclose(after["matrix"], 0.5 - 0.1 * (1 + 0.1 * 0.5), atol=1e-5)


def test_large_gradients_are_clipped_to_norm_one():
    weights = jnp.zeros((3, 3))
    tx = training.optimizer(OptimizerConfig(), 10)
    clipped, _ = optax.clip_by_global_norm(1.0).update(jnp.full((3, 3), 100.0), optax.EmptyState())
    assert float(optax.tree.norm(clipped)) == pytest.approx(1.0)
    huge, small = (tx.update(jnp.full((3, 3), g), tx.init(weights), weights)[0] for g in (1e6, 1e3))
    np.testing.assert_allclose(huge, small)


def batch_loss(tokens):
    def loss(net):
        logits = net(tokens, jnp.zeros(len(tokens), jnp.int32))
        return training.cross_entropy(logits[:, :-1], tokens[:, 1:]).mean(), None

    return loss


def test_one_batch_is_learnt_by_heart():
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, 32, (2, 8)))
    tx = training.optimizer(OptimizerConfig(peak=1e-2, final=1e-2, warmup=0.0), 150)
    state = training.start(model.init(TINY, 0), tx)
    step = jax.jit(lambda state: training.update(state, tx, batch_loss(tokens))[:2])
    losses = []
    for _ in range(150):
        state, value = step(state)
        losses.append(float(value))
    assert losses[-1] < 0.05 < 3 < losses[0]
    assert int(state.step) == 150


def test_a_checkpoint_restores_every_bit(tmp_path):
    state = training.start(model.init(TINY, 0), training.optimizer(OptimizerConfig(), 10))
    training.save(tmp_path / "at", state)
    restored = training.load(tmp_path / "at", jax.eval_shape(lambda: state))
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, restored, state))


def test_a_checkpoint_of_other_shape_or_type_is_refused_with_both(tmp_path):
    training.save(tmp_path / "at", {"a": jnp.ones(3), "b": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"stored \(\(3,\), 'float32'\), wanted \(\(4,\)"):
        training.load(tmp_path / "at", {"a": jnp.ones(4), "b": jnp.ones(2)})
    with pytest.raises(ValueError, match="bfloat16"):
        training.load(tmp_path / "at", {"a": jnp.ones(3, jnp.bfloat16), "b": jnp.ones(2)})
    with pytest.raises(ValueError, match="2 arrays differ|1 arrays differ"):
        training.load(tmp_path / "at", {"a": jnp.ones(3)})


def test_a_missing_checkpoint_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint; pre-train first"):
        training.load(tmp_path / "none", {"a": jnp.ones(3)})


@pytest.mark.parametrize("wrong", [{"peak": 1e-6}, {"final": 0.0}, {"warmup": 1.0}])
def test_impossible_schedules_are_refused(wrong):
    with pytest.raises(ValueError):
        OptimizerConfig(**wrong)
