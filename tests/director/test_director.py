"""Rewards, the reward model and the directors."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdiedna.director import director, reward_model
from birdiedna.director.director import Birdie, Fixed
from birdiedna.director.reward_model import (
    CUBIC,
    DNA_LINEAR,
    Fit,
    History,
    Reward,
    RewardModel,
    uniform,
)
from birdiedna.objectives.definitions import CLASSES

N = len(CLASSES)
SMALL = RewardModel(width=16, state=32, blocks=2)
BIRDIE = Birdie(CLASSES, model=SMALL, fit=Fit(rows=8, iterations=20, peak=1e-3), candidates=256)
PRESETS = [Fixed((1.0,)), director.even(CLASSES), director.ul2r(CLASSES), Fixed((0.3, 0.7))]


def flat(value):
    """One loss for every objective."""
    return jnp.full(N, value, jnp.float32)


losses = st.floats(0, 20, width=32, allow_subnormal=False)
candidates = jax.jit(director.random_actions, static_argnums=(1, 2))
explore = jax.jit(director.explore, static_argnums=1)
recall, score, predict = map(jax.jit, (director.recall, director.score, reward_model.predict))


@pytest.fixture(scope="module")
def rounds():
    """Five rounds of the small director: (states, decisions, reports), losses falling."""
    state = BIRDIE.init(jax.random.key(0), flat(6.0))
    states, decisions, reports = [state], [], []
    for i in range(5):
        decision = BIRDIE.propose(state, 512 * i, 4096)
        before, after = 6.0 * 0.8**i, 6.0 * 0.8 ** (i + decision.ratios * N)
        state, report = BIRDIE.observe(state, decision.ratios, flat(before), after)
        states, decisions, reports = [*states, state], [*decisions, decision], [*reports, report]
    return states, decisions, reports


@pytest.mark.parametrize(
    ("rule", "before", "after", "expected", "within"),
    [
        (CUBIC, 4.5, 4.2, 0.95180, 6e-6),
        (CUBIC, 0.6, 0.5207, 0.95350, 6e-6),
        (CUBIC, 1.386, 1.30, 0.23695, 6e-6),
        (CUBIC, 1.386, 1.35, 0.01771, 6e-6),
        (CUBIC, 0.1, 0.05, 1.0, 6e-6),
        (CUBIC, 1.30, 1.29, 0.00044, 6e-6),
        (CUBIC, 1.30, 1.31, -0.00044, 6e-6),
        (CUBIC, 1.30, 1.25, 0.05359, 6e-6),
        (CUBIC, 1.30, 1.35, -0.05569, 6e-6),
        (CUBIC, 0.01, 0.005, 0.65310, 6e-6),
        (DNA_LINEAR, 1.30, 1.29, 0.153, 5e-4),
        (DNA_LINEAR, 1.386, 1.35, 0.477, 5e-4),
    ],
)
def test_reward_has_its_golden_values(rule, before, after, expected, within):
    value = reward_model.reward(before, after, rule)
    assert float(value) == pytest.approx(expected, abs=within)


@pytest.mark.promise("Numbers: laws hold for random input")
@given(before=losses, after=losses, power=st.sampled_from([1.0, 2.0, 3.0, 4.0]))
def test_reward_is_bounded_and_has_the_sign_of_the_improvement(before, after, power):
    value = float(reward_model.reward(before, after, Reward(power=power)))
    assert -1 <= value <= 1
    assert value * (before - after) >= 0


def test_classes_weigh_the_same_whatever_their_size(rounds):
    np.testing.assert_array_equal(reward_model.class_weights(CLASSES), [0.5, 0.5, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(uniform(CLASSES), [1 / 12] * 2 + [1 / 6] * 5)
    for one in (*rounds[1], *rounds[2]):
        total = 0.5 * one.rewards[:2].sum() + one.rewards[2:].sum()
        assert float(one.total) == pytest.approx(float(total), abs=1e-6)


def test_the_reward_model_of_the_paper_has_2_63_million_parameters():
    shapes = jax.eval_shape(
        lambda key: reward_model.init_parameters(key, RewardModel(), N), jax.random.key(0)
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 2_630_158


def test_a_candidate_scores_as_if_appended_to_the_history(rounds):
    assert not recall(rounds[0][0]).any()  # an empty history
    state = rounds[0][-1]
    action = jnp.asarray(uniform(CLASSES), jnp.float32)
    quick = score(state, recall(state), action)
    row = jnp.concatenate([state.losses, action])[None]
    rows = jnp.concatenate([state.history.rows[: int(state.history.count)], row])
    np.testing.assert_allclose(quick, predict(state.parameters, rows)[1][-1], atol=2e-6)


def test_rows_behind_the_history_change_nothing(rounds):
    state = rounds[0][2]
    rows = state.history.rows.at[2:].set(7.0)
    dirty = state._replace(history=state.history._replace(rows=rows))
    np.testing.assert_array_equal(recall(state), recall(dirty))
    ratios, after = rounds[1][2].ratios, flat(3.0)
    fitted = [BIRDIE.observe(s, ratios, state.losses, after)[1].fit_loss for s in (state, dirty)]
    assert fitted[0] == fitted[1]


def test_a_long_history_keeps_its_latest_rows():
    history = History(jnp.zeros((3, 2)), jnp.zeros((3, 1)), jnp.int32(0))
    for i in range(1, 6):
        history = reward_model.append(history, jnp.full(2, float(i)), jnp.full(1, float(i)))
    np.testing.assert_array_equal(history.rows[:, 0], [3, 4, 5])
    np.testing.assert_array_equal(history.rewards[:, 0], [3, 4, 5])
    assert int(history.count) == 5


def test_the_reward_model_learns_its_history():
    state = BIRDIE.init(jax.random.key(0), flat(1.0))
    fit_losses = []
    for i in range(16):
        ratios = jnp.zeros(N).at[i % 2].set(1.0)
        after = flat(1.0) - 0.2 * ratios
        state, report = BIRDIE.observe(state, ratios, flat(1.0), after)
        fit_losses.append(float(report.fit_loss))
    assert fit_losses[-1] < 0.02 < 0.1 < fit_losses[0]


@pytest.mark.promise("Numbers: laws hold for random input")
@settings(max_examples=20)
@given(seed=st.integers(0, 2**31 - 1), classes=st.sampled_from([CLASSES, (0,)]))
def test_random_actions_are_mixtures(seed, classes):
    key = jax.random.key(seed)
    for ratios in [candidates(key, 64, len(classes)), explore(key, classes)]:
        assert float(ratios.min()) >= 0
        np.testing.assert_allclose(ratios.sum(axis=-1), 1, atol=1e-6)


def test_exploration_gives_nearly_all_to_one_or_two_classes():
    keys = jax.random.split(jax.random.key(0), 200)
    actions = np.asarray(jax.vmap(lambda key: explore(key, CLASSES))(keys))
    shares = np.sort(np.stack([actions[:, :2].sum(1), *actions[:, 2:].T], axis=1), axis=1)
    large = (shares > 0.0045).sum(axis=1)
    assert set(large) == {1, 2}
    assert 0.35 < (large == 1).mean() < 0.65
    assert shares[:, -2:].sum(axis=1).min() > 0.995 - 1e-5


def test_exploration_never_rises_and_ends_at_its_minimum():
    chances = director.exploration(jnp.arange(16_385), 16_384, 256, (0.5, 0.2))
    assert float(chances[256]) == pytest.approx(0.5)
    assert (jnp.diff(chances) <= 1e-7).all()
    np.testing.assert_allclose(chances[8192:], 0.2, atol=1e-6)


def test_every_decision_is_a_mixture_with_no_objective_starved(rounds):
    assert float(rounds[1][-1].spread) > 0.01  # candidates have different scores
    for decision in rounds[1]:
        assert float(decision.ratios.min()) > 5e-4
        assert float(decision.ratios.sum()) == pytest.approx(1, abs=1e-6)


def test_a_decision_is_the_mean_of_the_best_candidates_and_the_floor(rounds):
    state = rounds[0][-1]
    drawn = candidates(jax.random.split(director._round_key(state, 1), 3)[0], 256, N)
    rewards = jax.jit(jax.vmap(partial(director.score, state, recall(state))))(drawn)
    best = np.argsort(-(0.5 * rewards[:, :2].sum(1) + rewards[:, 2:].sum(1)))[: BIRDIE.best]
    decision = BIRDIE.propose(state, 4095, 4096)
    assert not decision.explored
    np.testing.assert_allclose(decision.ratios, 0.98 * drawn[best].mean(0) + 0.02 / N, rtol=1e-5)


def test_the_rate_of_a_fit_rises_and_falls_and_gradients_are_clipped_and_weights_decay():
    fit = Fit(iterations=4, low=0.1, peak=0.5, weight_decay=0.0)

    def updates(fit, gradients, weight=0.0):
        tx, weight, found = reward_model.optimizer(fit), jnp.float32(weight), []
        state = tx.init(weight)
        for gradient in map(jnp.float32, gradients):
            update, state = tx.update(gradient, state, weight)
            found.append(float(update))
        return found

    assert updates(fit, [1.0] * 5) == pytest.approx([-0.1, -0.3, -0.5, -0.3, -0.1], rel=1e-4)
    assert updates(fit, [1.0, 100.0]) == pytest.approx([-0.1, -0.3], rel=1e-4)
    decayed = updates(replace(fit, weight_decay=0.2), [0.0], 2.0)
    assert decayed == pytest.approx([-0.1 * 0.2 * 2.0])


def test_the_initial_action_is_kept_before_the_warm_up_ends(rounds):
    state = rounds[0][-1]
    for step in (0, 16, 255):
        decision = BIRDIE.propose(state, step, 4096)
        np.testing.assert_allclose(decision.ratios, uniform(CLASSES), rtol=1e-6)
        assert not decision.explored
    assert not np.allclose(BIRDIE.propose(state, 256, 4096).ratios, uniform(CLASSES))


def test_same_seed_same_decisions_and_another_seed_others(rounds):
    def second(seed):
        state = BIRDIE.init(seed, flat(6.0))
        decision = BIRDIE.propose(state, 0, 4096)
        after = 6.0 * 0.8 ** (decision.ratios * N)
        state, _ = BIRDIE.observe(state, decision.ratios, flat(6.0), after)
        return BIRDIE.propose(state, 512, 4096)

    assert all(map(np.array_equal, second(jax.random.key(0)), rounds[1][1]))
    raw_key = jax.random.key_data(jax.random.key(0))
    assert all(map(np.array_equal, second(raw_key), rounds[1][1]))
    assert not np.array_equal(second(jax.random.key(1)).ratios, rounds[1][1].ratios)


@pytest.mark.promise("Numbers: losses that are not finite do not break the director")
@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
def test_a_loss_that_is_not_finite_does_not_break_the_director(rounds, value):
    state = rounds[0][-1]
    after = state.losses.at[3].set(value)
    broken, report = BIRDIE.observe(state, rounds[1][0].ratios, state.losses, after)
    assert float(report.rewards[3]) == (0 if jnp.isnan(value) else -1)
    broken, report = BIRDIE.observe(broken, rounds[1][0].ratios, after, state.losses * 0.9)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((broken, report)))
    assert float(report.rewards[3]) == 0
    assert float(BIRDIE.propose(broken, 512, 4096).ratios.sum()) == pytest.approx(1, abs=1e-6)


@pytest.mark.promise("Numbers: losses that are not finite do not break the director")
def test_a_director_may_start_from_unmeasured_losses():
    state = BIRDIE.init(jax.random.key(0), flat(jnp.nan))
    leaves = jax.tree.leaves((state, BIRDIE.propose(state, 512, 4096)))
    assert all(jnp.isfinite(leaf).all() for leaf in leaves)


def test_rounds_do_not_recompile(rounds):
    sizes = Birdie.propose._cache_size(), Birdie.observe._cache_size()
    state = BIRDIE.init(jax.random.key(3), flat(6.0))
    for i in range(10):
        decision = BIRDIE.propose(state, 200 * i, 4096)
        state, _ = BIRDIE.observe(state, decision.ratios, state.losses, state.losses * 0.9)
    assert (Birdie.propose._cache_size(), Birdie.observe._cache_size()) == sizes


@pytest.mark.parametrize("fixed", PRESETS)
def test_fixed_directors_always_propose_their_ratios(fixed):
    n = len(fixed.ratios)
    state = fixed.init(jax.random.key(0), jnp.ones(n))
    for step in (0, 300, 1000):
        decision = fixed.propose(state, step, 1000)
        np.testing.assert_allclose(decision.ratios, fixed.ratios)
        assert not decision.explored
        state, report = fixed.observe(state, decision.ratios, jnp.full(n, 4.5), jnp.full(n, 4.2))
        np.testing.assert_allclose(report.rewards, 0.9518, atol=1e-5)


def test_losses_are_measured_35_times_in_the_papers_16384_steps():
    steps = director.evaluations(16_384)
    assert len(steps) == 35
    assert steps[:5] == [16, 64, 256, 512, 1024]
    assert steps[-1] == 16_384
    assert director.evaluations(300, every=100) == [16, 64, 100, 200, 256, 300]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: Fixed((0.5, 0.6)), "sum to 1"),
        (lambda: Fixed((1.5, -0.5)), "must be >= 0"),
        (lambda: Fixed((float("nan"), 1.0)), "nan is not finite"),
        (lambda: Fixed(()), "sum to 1"),
        (lambda: Fixed((1.0,), (0, 1)), "1 ratios need as many classes"),
        (lambda: Birdie(()), "classes is empty"),
        (lambda: Birdie((0, 1), best=0), "give 1 <= best <= candidates"),
        (lambda: Birdie((0, 1), best=9, candidates=8), "give 1 <= best <= candidates"),
        (lambda: Birdie((0, 1), candidates=2**30), "at most 2.20 candidates"),
        (lambda: Birdie((0, 1), floor=2.0), "are probabilities, one and two"),
        (lambda: Birdie((0, 1), explore=(0.5,)), "explore .0.5,. must have 2 entries"),
        (lambda: Birdie((0, 1), warmup_steps=-1), "warmup_steps -1 must be at least 0"),
        (lambda: RewardModel(width=0), "width 0 must be at least 1"),
        (lambda: RewardModel(state=10**9), "state 1,000,000,000 are more than"),
        (lambda: Fit(rows=0), "rows 0 must be at least 1"),
        (lambda: Fit(rows=10**11), "rows 100,000,000,000 are more than"),
        (lambda: Fit(low=1.0), "low <= peak"),
        (lambda: Fit(clip=0.0), "a positive clip"),
        (lambda: Fit(noise=1.0), "noise below 1"),
        (lambda: Fit(weight_decay=-0.1), "no negative decay"),
        (lambda: Reward(power=0), "power, sensitivity > 0"),
        (lambda: Reward(sensitivity=0), "power, sensitivity > 0"),
        (lambda: Reward(slope=-1), "slope >= 0"),
        (lambda: BIRDIE.init(jax.random.key(0), jnp.ones(3)), "this director has 7 objectives"),
        (lambda: director.Recorded((0, 4), ((1.0,),)), "2 steps and 1 decisions"),
        (lambda: director.Recorded((0, 4, 4), ((1.0,),) * 3), "must ascend from 0"),
        (lambda: director.Recorded((1, 4), ((1.0,),) * 2), "must ascend from 0"),
    ],
)
def test_impossible_settings_are_refused(make, why):
    with pytest.raises(ValueError, match=why):
        make()


RECORDED = director.Recorded((0, 4), ((0.5, 0.5), (0.2, 0.8)))


@pytest.mark.parametrize("one", [Fixed((0.5, 0.5)), RECORDED, Birdie((0, 1), model=SMALL)])
def test_losses_may_be_lists_and_another_number_of_them_or_of_ratios_is_refused(one):
    state = one.init(jax.random.key(0), [1.0, 2.0])
    ratios = one.propose(state, 0, 8).ratios
    assert one.observe(state, ratios, [1.0, 2.0], [0.5, 2.0])[1].rewards[0] > 0
    two = [1.0, 2.0]
    for wrong in ((ratios, two[:1], two), (ratios, two, np.ones(3)), (ratios[:1], two, two)):
        with pytest.raises(ValueError, match="shape .*; this director has 2 objectives"):
            one.observe(state, *wrong)


def test_a_step_without_recorded_ratios_is_refused():
    with pytest.raises(ValueError, match=r"no ratios were recorded at step 3; there are \(0, 4\)"):
        RECORDED.propose(None, 3, 8)
    with pytest.raises(ValueError, match=r"decisions have \[1, 2\] ratios"):
        director.Recorded((0, 4), ((0.5, 0.5), (1.0,)))
