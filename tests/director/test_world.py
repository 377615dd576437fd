"""Claims about the simulated worlds, and the claim about the director made in one of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from birdiedna.director import director, simulate
from birdiedna.director.director import Birdie
from birdiedna.director.reward_model import Fit, RewardModel
from birdiedna.director.simulate import CLASSES

SEEDS = 8
KEYS = jax.vmap(jax.random.key)(jnp.arange(SEEDS))
UNIFORM = director.even(CLASSES)
BIRDIE = Birdie(CLASSES, model=RewardModel(32, 64, 2), fit=Fit(rows=16, iterations=50, peak=1e-3))
ONE_USEFUL = simulate.law(simulate.one_useful())
LAWS = [
    ONE_USEFUL,
    *map(simulate.law, (simulate.independent(), simulate.helpful(), simulate.nucleotide())),
]
COPYING = 5


@pytest.fixture(scope="module")
def uniform():
    return simulate.simulations(UNIFORM, ONE_USEFUL, KEYS)


@pytest.fixture(scope="module")
def birdie():
    return simulate.simulations(BIRDIE, ONE_USEFUL, KEYS)


@pytest.fixture(scope="module")
def wandering():
    return simulate.simulations(director.wander(CLASSES), ONE_USEFUL, KEYS)


def lower_end(differences):
    """Lower end of the 95 % t interval of a mean of paired differences."""
    mean, error = np.mean(differences), stats.sem(differences)
    return mean - stats.t.ppf(0.975, len(differences) - 1) * error


def test_where_one_class_helps_the_director_earns_more_than_uniform(birdie, uniform):
    gain = np.asarray(birdie.total.sum(axis=1) - uniform.total.sum(axis=1))
    assert lower_end(gain) > 0, f"gain in cumulative reward per seed: {gain}"


def test_where_one_class_helps_learning_ends_lower_than_random_actions(birdie, wandering):
    assert lower_end(np.asarray(wandering.final - birdie.final)) > 0


def test_where_one_class_helps_its_probability_rises(birdie):
    useful = np.asarray(birdie.ratios[:, :, COPYING])
    late = useful[:, -len(useful[0]) // 2 :].mean(axis=1)
    assert lower_end(late - useful[:, 0]) > 0, f"late share of the useful class: {late}"


def test_where_one_class_helps_the_final_loss_is_lower_too(birdie, uniform):
    assert lower_end(np.asarray(uniform.final - birdie.final)) > 0


def test_random_actions_alone_earn_more_than_uniform(wandering, uniform):
    """The cubic reward pays for concentration: beating uniform does not prove learning."""
    assert lower_end(np.asarray(wandering.total.sum(axis=1) - uniform.total.sum(axis=1))) > 0


def test_rewards_predicted_and_realised_agree_better_than_chance(birdie):
    predicted, realised = birdie.predicted[:, 3:].ravel(), birdie.total[:, 3:].ravel()
    assert stats.spearmanr(predicted, realised).statistic > 0.2


def test_a_trajectory_is_complete_and_sound(birdie):
    n, rounds = len(CLASSES), len(director.evaluations(16_384))
    assert birdie.losses.shape == (SEEDS, rounds + 1, n)
    assert birdie.ratios.shape == birdie.rewards.shape == (SEEDS, rounds, n)
    assert all(jnp.isfinite(leaf).all() for leaf in birdie)
    np.testing.assert_allclose(birdie.ratios.sum(axis=-1), 1, atol=1e-5)
    assert birdie.steps[0].tolist() == [0, *director.evaluations(16_384)]


def test_one_key_alone_gives_the_same_run(uniform):
    alone = simulate.simulate(UNIFORM, ONE_USEFUL, KEYS[2])
    np.testing.assert_allclose(alone.losses, uniform.losses[2], rtol=1e-6)


def test_two_directors_with_one_key_meet_the_same_noise(birdie, uniform):
    np.testing.assert_allclose(birdie.losses[:, :4], uniform.losses[:, :4], rtol=1e-5)


@pytest.mark.parametrize("law", LAWS)
def test_losses_start_near_the_vocabulary_and_the_first_round_earns_everything(law):
    run = simulate.simulate(UNIFORM, law, KEYS[0])
    np.testing.assert_allclose(run.losses[0], np.log(384), rtol=0.02)
    np.testing.assert_allclose(run.rewards[0], 1)


@pytest.mark.parametrize("law", LAWS)
def test_no_neighbour_of_the_best_mixture_is_better(law):
    best = simulate.best_mixture(law)
    assert float(best.min()) >= 0
    assert float(best.sum()) == pytest.approx(1, abs=1e-5)
    for corner in jnp.eye(len(CLASSES)):
        near = simulate.mean_loss(law, 0.95 * best + 0.05 * corner, 16_384.0)
        assert simulate.mean_loss(law, best, 16_384.0) <= near + 1e-4


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("preset", [UNIFORM, director.ul2r()])
def test_the_best_mixture_beats_every_preset(law, preset):
    best = simulate.mean_loss(law, simulate.best_mixture(law), 16_384.0)
    assert best <= simulate.mean_loss(law, jnp.asarray(preset.ratios), 16_384.0) + 1e-4


def test_the_best_mixtures_known_beforehand_are_found():
    useful = simulate.best_mixture(simulate.law(simulate.one_useful(useful=4)))
    assert float(useful[COPYING]) > 0.99
    shared = simulate.best_mixture(LAWS[1])
    np.testing.assert_allclose(shared[:2], shared[0], atol=1e-4)
    np.testing.assert_allclose(shared[2:], shared[2], atol=1e-4)


def test_a_simulated_run_ends_where_the_law_says(uniform):
    expected = simulate.mean_loss(ONE_USEFUL, jnp.asarray(UNIFORM.ratios), 16_384.0)
    np.testing.assert_allclose(uniform.final, expected, rtol=1e-4)


def test_one_compilation_serves_every_world():
    simulate.simulate(UNIFORM, LAWS[0], KEYS[0])
    size = simulate.simulate._cache_size()
    simulate.simulate(UNIFORM, LAWS[3], KEYS[1])
    assert simulate.simulate._cache_size() == size


def test_a_world_with_fields_of_different_lengths_is_refused():
    with pytest.raises(ValueError, match="7 classes"):
        dataclasses.replace(simulate.one_useful(), floor=(0.1, 0.2))
