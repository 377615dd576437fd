"""The optimizer and its update."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from birdiedna.model import transformer
from birdiedna.model.transformer import ModelConfig
from birdiedna.training import optimizer
from birdiedna.training.optimizer import OptimizerConfig

TINY = ModelConfig(vocabulary=32, width=16, blocks=1, heads=2, head_width=8, mlp_width=16)


def test_the_learning_rate_warms_up_and_decays_to_its_end_or_is_constant():
    rate = optimizer.learning_rate(OptimizerConfig(), 16_384)
    top = round(0.1 * 16_384) - 1
    wanted = {0: 1e-3 / (top + 1), top: 1e-3, top + (16_383 - top) // 2: 5.05e-4, 16_383: 1e-5}
    for step, value in wanted.items():
        assert float(rate(step)) == pytest.approx(value, rel=3e-4)
    rate = optimizer.learning_rate(OptimizerConfig(peak=5e-5, final=5e-5, warmup=0.0), 100)
    assert [float(rate(step)) for step in (0, 50, 99)] == pytest.approx([5e-5] * 3)


def test_one_step_is_adamw_by_hand():
    weights = {"matrix": jnp.full((2, 2), 0.5), "gain": jnp.full(2, 0.5)}
    gradient = {"matrix": jnp.full((2, 2), 0.01), "gain": jnp.full(2, 0.01)}
    tx = optimizer.optimizer(OptimizerConfig(peak=0.1, final=0.1, warmup=0.0), 10)
    updates, _ = jax.jit(tx.update)(gradient, tx.init(weights), weights)
    after = optax.apply_updates(weights, updates)
    np.testing.assert_allclose(after["gain"], 0.5 - 0.1, atol=1e-5)  # no decay on vectors
    np.testing.assert_allclose(after["matrix"], 0.5 - 0.1 * (1 + 0.1 * 0.5), atol=1e-5)


def test_large_gradients_are_clipped_to_norm_one():
    weights, tx = jnp.zeros((3, 3)), optimizer.optimizer(OptimizerConfig(), 10)
    update = jax.jit(tx.update)

    def second_update(first):  # the first update of Adam is the same for any norm
        state = update(jnp.full((3, 3), first), tx.init(weights), weights)[1]
        return update(jnp.full((3, 3), -0.2), state, weights)[0]

    np.testing.assert_allclose(second_update(1e6), second_update(1 / 3), rtol=1e-5)


def mean_loss(net, tokens):
    logits = net(tokens, jnp.zeros(len(tokens), jnp.int32))
    return optimizer.cross_entropy(logits[:, :-1], tokens[:, 1:]).mean(), None


def test_one_batch_is_memorized():
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, 32, (2, 8)))
    tx = optimizer.optimizer(OptimizerConfig(peak=1e-2, final=1e-2, warmup=0.0), 150)
    state = optimizer.start(transformer.init(TINY, 0), tx)
    step = jax.jit(lambda state: optimizer.update(state, tx, mean_loss, tokens)[:2])
    losses = []
    for _ in range(150):
        state, value = step(state)
        losses.append(float(value))
    assert losses[-1] < 0.05 < 3 < losses[0]
    assert int(state.step) == 150


def shaky(net, batch):
    """A loss that is NaN, or whose gradient is, when the batch says so."""
    value = ((net["w"] - 1.0) ** 2).sum()
    steep = jnp.sqrt(jnp.where(batch == 2, net["w"] * 0, 1.0)).sum()
    return jnp.where(batch == 1, jnp.nan, value) + steep, None


def steps_over(batches):
    tx = optimizer.optimizer(OptimizerConfig(peak=0.1, final=0.1, warmup=0.0), 10)
    state, seen = optimizer.start({"w": jnp.zeros(3)}, tx), []
    step = jax.jit(lambda state, batch: optimizer.update(state, tx, shaky, batch)[0])
    for batch in batches:
        state = step(state, batch)
        seen.append((state.model["w"].tolist(), int(state.skipped)))
    return state, seen


@pytest.mark.promise("Numbers: an update that is not finite changes nothing and is counted")
@pytest.mark.parametrize("kind", [1, 2])
def test_an_update_that_is_not_finite_changes_nothing_and_is_counted(kind):
    state, seen = steps_over([0, kind, kind, 0])
    assert [skipped for _, skipped in seen] == [0, 1, 2, 0]
    assert seen[0][0] == seen[1][0] == seen[2][0] != seen[3][0]
    assert int(state.step) == 4
    without, _ = steps_over([0, 0])
    assert np.array_equal(state.model["w"], without.model["w"])


@pytest.mark.promise(
    "Numbers: three failed updates in a row end a run and save what repeats the step"
)
def test_after_three_in_a_row_nothing_changes_any_more():
    state, seen = steps_over([0, 1, 1, 1, 0, 0])
    assert [skipped for _, skipped in seen] == [0, 1, 2, 3, 4, 5]
    assert state.model["w"].tolist() == seen[0][0]


def summed_loss(net, tokens):
    logits = net(tokens, jnp.zeros(len(tokens), jnp.int32))
    nats = optimizer.cross_entropy(logits[:, :-1], tokens[:, 1:]).sum(axis=1)
    return nats.sum() / 100, nats


@pytest.mark.parametrize("parts", [2, 6])
def test_microbatches_make_the_same_step(parts):
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, 32, (6, 8)))
    tx = optimizer.optimizer(OptimizerConfig(), 10)
    state = optimizer.start(transformer.init(TINY, 0), tx)
    update = jax.jit(
        lambda state, parts: optimizer.update(state, tx, summed_loss, tokens, parts),
        static_argnums=1,
    )
    whole, apart = update(state, 1), update(state, parts)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(apart), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.promise("Settings: what is wrong in a config is refused by name before it runs")
@pytest.mark.parametrize(
    "wrong",
    [{"clip": x} for x in (0.0, -1.0, np.nan, np.inf)]
    + [{name: x} for name in ("b1", "b2", "warmup") for x in (-0.1, 1.0, np.nan)]
    + [{"weight_decay": x} for x in (-5.0, np.nan, np.inf)]
    + [{"peak": x} for x in (np.inf, np.nan, 0.0)],
)
def test_an_optimizer_that_cannot_learn_is_refused(wrong):
    assert OptimizerConfig(b1=0.0, b2=0.0, weight_decay=0.0, warmup=0.0), "plain descent can"
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OptimizerConfig(**wrong)
