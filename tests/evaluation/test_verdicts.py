"""Verdicts in simulated worlds: false claims are rarely supported, true ones often."""

import numpy as np
import polars as pl
import pytest

from birdiedna.evaluation import learning_speed, simulation, verdicts
from birdiedna.evaluation.simulation import CLAIMS, PAPER, STEPS, Truth, uniform
from birdiedna.evaluation.verdicts import CONTRADICTED, INCONCLUSIVE, NOT_TESTED, SUPPORTED

WORLDS = 10_000
TASKS = len(simulation.TASKS)


@pytest.fixture(scope="module")
def table():
    return simulation.claims_table(WORLDS, (3, 5))


def most(share: float, worlds: int) -> float:
    """An upper bound of the observed share in `worlds` draws with probability `share`."""
    return share + 3 * (share * (1 - share) / worlds) ** 0.5


@pytest.mark.parametrize("claim", CLAIMS)
def test_false_claims_are_supported_in_at_most_one_of_forty_worlds(table, claim):
    false = table.filter(pl.col("the claim is") == "false", claim=claim)
    more = simulation.EXACT if CLAIMS[claim].exact else 1
    worlds = round(WORLDS * CLAIMS[claim].share * more)
    shares = false.select("3 seeds", "5 seeds").to_numpy()
    assert shares.size and shares.max() <= most(0.025, worlds)


@pytest.mark.parametrize(("gain", "noise"), [(0.1, 0.2), (0.03, 3.0)])
def test_a_higher_arm_of_equal_speed_is_not_faster_whatever_the_noise(gain, noise, monkeypatch):
    monkeypatch.setattr(simulation, "_EVALUATION", noise * simulation._EVALUATION)
    found = verdicts.faster(*simulation.speeds(uniform(gain), np.random.default_rng(0), 200, 10))
    assert (found == SUPPORTED).mean() <= 0.025 and (found == CONTRADICTED).mean() <= 0.025


def test_equal_arms_and_true_claims_are_contradicted_in_at_most_one_of_forty_worlds(table):
    draw = pl.col("truth").is_in(["no difference", "+0.03, same speed", "+0.03 at every size"])
    assert table.filter(draw)["contradicted"].max() <= most(0.025, WORLDS)
    assert table.filter(pl.col("the claim is") == "true")["contradicted"].max() <= 0.005


@pytest.mark.parametrize(
    ("claim", "truth", "power"),
    [
        ("consistently better", "+0.010 on every task", 0.70),
        ("better on average", "+0.010 on every task", 0.80),
        ("better than every fixed mixture", "+0.020 on every task", 0.95),
        ("faster", "1.2 times as fast", 0.90),
        ("more when data are scarce", "+0.005 per tenfold", 0.95),
    ],
)
def test_true_claims_are_supported_with_the_stated_power_at_five_seeds(table, claim, truth, power):
    assert table.filter(claim=claim, truth=truth)["5 seeds"].item() >= power


def test_intervals_cover_the_truth_in_93_to_97_of_100_worlds():
    error = 3 * (0.95 * 0.05 / 1_000) ** 0.5
    for name, unit, covers in simulation.coverage_table(WORLDS, (3, 5)).iter_rows():
        assert 0.93 - error <= covers <= 0.97 + error, (name, unit)


def test_worlds_too_few_for_the_costly_claims_are_refused():
    with pytest.raises(ValueError, match="worlds 39 are too few; give 40 or more"):
        simulation.claims_table(39)


def test_percentile_bootstrap_of_few_values_covers_too_rarely():
    covers = simulation.small_bootstraps(10_000)["covers"].to_list()
    assert covers == pytest.approx([0.746, 0.834, 0.90, 0.915], abs=0.015)


@pytest.mark.parametrize("seeds", [3, 10, 100])
def test_pattern_of_the_papers_table_is_never_consistently_better(seeds):
    found = simulation.gaps(PAPER, np.random.default_rng(0), 200, seeds)
    assert (verdicts.consistency(found).verdict == SUPPORTED).mean() <= 0.005
    exact = np.broadcast_to(PAPER.gains, (seeds, TASKS))
    assert verdicts.consistency(exact).verdict == CONTRADICTED  # eight of 14, without noise


def gaps(values, seeds=5, wobble=0.002):
    """Gaps (seeds, tasks) with these task means, and a wobble over seeds that sums to 0."""
    return np.array(values) + wobble * (np.arange(seeds) - (seeds - 1) / 2)[:, None]


@pytest.mark.parametrize("seeds", [3, 5, 50])
def test_thirteen_losses_and_one_large_win_are_not_a_gain(seeds):
    one_task = gaps([0.2] + [-0.005] * 13, seeds)
    assert verdicts.consistency(one_task).verdict != SUPPORTED
    assert verdicts.on_average(one_task) == INCONCLUSIVE  # one task carries the mean


@pytest.mark.parametrize(
    ("values", "seeds", "verdict"),
    [
        ([0.01] * 14, 5, SUPPORTED),
        ([0.01] * 14, 2, INCONCLUSIVE),  # too few seeds for any verdict
        ([0.01] * 12 + [-0.001] * 2, 5, SUPPORTED),
        ([0.01] * 11 + [-0.001] * 3, 5, INCONCLUSIVE),  # a sign test needs 12 of 14
        ([-0.01] * 14, 5, CONTRADICTED),
        ([0.03] * 10 + [-0.03] * 4, 5, CONTRADICTED),  # four significant losses
        ([0.01] * 5, 5, INCONCLUSIVE),  # no sign test of five tasks can pass
    ],
)
def test_consistency_counts_tasks(values, seeds, verdict):
    assert verdicts.consistency(gaps(values, seeds)).verdict == verdict


def test_better_than_all_takes_the_least_favourable_verdict():
    given = lambda *words: verdicts.least([np.array(word) for word in words])
    assert given(SUPPORTED, SUPPORTED) == SUPPORTED
    assert given(SUPPORTED, INCONCLUSIVE) == INCONCLUSIVE
    assert given(SUPPORTED, INCONCLUSIVE, CONTRADICTED) == CONTRADICTED
    assert given(SUPPORTED, NOT_TESTED) == INCONCLUSIVE
    assert given(CONTRADICTED, NOT_TESTED) == CONTRADICTED
    assert given(NOT_TESTED, NOT_TESTED) == NOT_TESTED


def test_scattered_seeds_are_inconclusive():
    found = gaps([0.01] * 14, wobble=0.02)
    assert verdicts.consistency(found).verdict == verdicts.on_average(found) == INCONCLUSIVE


@pytest.mark.parametrize(
    ("birdie", "ntp", "verdict"),
    [
        ((0.60, 700), (0.60, 1000), SUPPORTED),
        ((0.60, 1400), (0.60, 1000), CONTRADICTED),
        ((0.70, 1000), (0.60, 1000), INCONCLUSIVE),  # higher, not faster
        ((0.64, 1100), (0.60, 1000), INCONCLUSIVE),  # slower but higher
        ((0.55, 700), (0.60, 1000), INCONCLUSIVE),  # faster to its end, which NTP reaches sooner
        ((0.60, 1000), (0.60, 1000), INCONCLUSIVE),
    ],
)
def test_faster_depends_on_speed_not_on_level(birdie, ntp, verdict):
    """Curves are of 14 tasks, by level and pace."""
    rng = np.random.default_rng(0)
    curve = lambda level, pace: level * (1 - np.exp(-STEPS / pace))
    noise = lambda: rng.normal(0, 0.002, (TASKS, 5, 2, len(STEPS)))
    needed = learning_speed.restricted_means(curve(*birdie) + noise(), curve(*ntp) + noise(), STEPS)
    assert verdicts.faster(*learning_speed.log_speed_up(needed).mean(-1)) == verdict


def test_simulated_worlds_have_the_given_truth():
    rng = np.random.default_rng(0)
    assert simulation.gaps(uniform(0.02), rng, 50, 50).mean() == pytest.approx(0.02, abs=1e-3)
    grown = simulation.slopes(Truth(scarce=0.01), rng, 50, 50)
    assert grown.mean() == pytest.approx(0.01, abs=1e-3)
    own, common = simulation.speeds(Truth(speed_up=1.5), rng, 10, 10)
    assert np.exp(own.mean()) == pytest.approx(1.5, abs=0.1)
    assert np.exp(common.mean()) == pytest.approx(1.5, abs=0.1)
