"""Simulated worlds, and what the director achieves in one of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from birdiedna.director import director, simulate
from birdiedna.director.director import Birdie, Fixed
from birdiedna.director.reward_model import Fit, RewardModel
from birdiedna.objectives.definitions import CLASSES

SEEDS = 8
KEYS = jax.vmap(jax.random.key)(jnp.arange(SEEDS))
UNIFORM, UL2R = director.even(CLASSES), director.ul2r(CLASSES)
FIT = Fit(rows=16, iterations=50, peak=1e-3)
BIRDIE = Birdie(CLASSES, model=RewardModel(32, 64, 2), fit=FIT, candidates=512)
WORLDS = {
    name: getattr(simulate, name)(CLASSES)
    for name in ("one_useful", "independent", "helpful", "nucleotide")
}
ONE_USEFUL = WORLDS["one_useful"]
COPYING = 5

every_world = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)


@pytest.fixture(scope="module")
def uniform():
    return simulate.simulate(UNIFORM, ONE_USEFUL, KEYS)


def simulated(director, level):
    """Trajectories in the world with one useful class, compiled at an optimisation level."""
    lowered = simulate.simulate.lower(director, ONE_USEFUL, KEYS)
    return lowered.compile({"xla_backend_optimization_level": level})(ONE_USEFUL, KEYS)


@pytest.fixture(scope="module")
def birdie():
    return simulated(BIRDIE, 1)  # runs for seconds


@pytest.fixture(scope="module")
def wandering():
    return simulated(director.wander(CLASSES), 0)


def certainly_positive(differences):
    """Whether the 95% t interval of a mean of paired differences is above 0."""
    differences = np.asarray(differences)
    error = stats.sem(differences) * stats.t.ppf(0.975, len(differences) - 1)
    return differences.mean() - error > 0


def test_where_one_class_helps_the_director_earns_more_and_ends_lower_than_uniform(birdie, uniform):
    assert certainly_positive(birdie.total.sum(axis=1) - uniform.total.sum(axis=1))
    assert certainly_positive(uniform.final - birdie.final)


def test_where_one_class_helps_learning_ends_lower_than_random_actions(birdie, wandering):
    assert certainly_positive(wandering.final - birdie.final)


def test_where_one_class_helps_its_probability_rises(birdie):
    useful = birdie.ratios[:, :, COPYING]
    late = useful[:, -useful.shape[1] // 2 :].mean(axis=1)
    assert certainly_positive(late - useful[:, 0])


def test_random_actions_alone_earn_more_than_uniform(wandering, uniform):
    """The cubic reward pays for concentration: beating uniform does not prove learning."""
    assert certainly_positive(wandering.total.sum(axis=1) - uniform.total.sum(axis=1))


def test_predicted_and_realised_rewards_agree_better_than_chance(birdie):
    predicted, realised = birdie.predicted[:, 3:].ravel(), birdie.total[:, 3:].ravel()
    assert stats.spearmanr(predicted, realised).statistic > 0.2


def test_a_trajectory_is_complete_and_finite(birdie):
    n, steps = len(CLASSES), director.evaluations(16_384)
    assert birdie.losses.shape == (SEEDS, len(steps) + 1, n)
    assert birdie.ratios.shape == birdie.rewards.shape == (SEEDS, len(steps), n)
    assert all(jnp.isfinite(leaf).all() for leaf in birdie)
    np.testing.assert_allclose(birdie.ratios.sum(axis=-1), 1, atol=1e-5)
    assert birdie.steps[0].tolist() == [0, *steps]


def test_a_run_depends_on_its_own_key_alone(uniform):
    alone = simulate.simulate(UNIFORM, ONE_USEFUL, KEYS[2:3])
    np.testing.assert_allclose(alone.losses[0], uniform.losses[2], rtol=1e-6)


def test_two_directors_with_one_key_meet_the_same_noise(birdie, uniform):
    np.testing.assert_allclose(birdie.losses[:, :4], uniform.losses[:, :4], rtol=1e-5)


@every_world
def test_losses_start_at_chance_and_the_first_round_earns_every_reward(world):
    run = simulate.simulate(UNIFORM, world, KEYS[:1])
    np.testing.assert_allclose(run.losses[0, 0], np.log(384), rtol=0.02)
    np.testing.assert_allclose(run.rewards[0, 0], 1)


@every_world
def test_no_neighbour_and_no_preset_is_better_than_the_best_mixture(world):
    best = simulate.best_mixture(world)
    assert float(best.min()) >= 0
    assert float(best.sum()) == pytest.approx(1, abs=1e-5)
    others = [0.95 * best + 0.05 * corner for corner in jnp.eye(len(CLASSES))]
    others += [jnp.asarray(preset.ratios) for preset in (UNIFORM, UL2R)]
    loss = lambda ratios: simulate.mean_loss(world, ratios, 16_384.0)
    assert all(loss(best) <= loss(other) + 1e-4 for other in others)


def test_best_mixtures_known_in_advance_are_found():
    assert float(simulate.best_mixture(ONE_USEFUL)[COPYING]) > 0.99
    shared = simulate.best_mixture(WORLDS["independent"])
    np.testing.assert_allclose(shared[:2], shared[0], atol=1e-4)
    np.testing.assert_allclose(shared[2:], shared[2], atol=1e-4)


def test_a_simulated_run_ends_where_the_law_says(uniform):
    expected = simulate.mean_loss(ONE_USEFUL, jnp.asarray(UNIFORM.ratios), 16_384.0)
    np.testing.assert_allclose(uniform.final, expected, rtol=1e-4)


def test_one_compilation_serves_every_world():
    before = simulate.simulate._cache_size()
    for world in WORLDS.values():
        simulate.simulate(Fixed((1 / 7,) * 7), world, KEYS[:1], 512)
    assert simulate.simulate._cache_size() == before + 1


@pytest.mark.parametrize("wrong", [{"floor": (0.1, 0.2)}, {"transfer": np.eye(3)}])
def test_a_world_with_fields_of_different_lengths_is_refused(wrong):
    with pytest.raises(ValueError, match="7 classes"):
        simulate.world(CLASSES, **({"transfer": np.eye(7), "slow": 1.0} | wrong))
