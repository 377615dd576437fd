"""The recount of the paper's Table 1 and the statistics behind every comparison."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from birdiedna.evaluation import paper_claims, paper_table, statistics


def scores(metric: str) -> tuple[list[float], list[float]]:
    """Birdie's and NTP's column of Table 1."""
    arms = ("birdie", "ntp")
    return tuple([getattr(row, f"{metric}_{arm}") for row in paper_table.TABLE_1] for arm in arms)


@pytest.mark.parametrize(
    ("metric", "wins", "mean", "median", "sign", "wilcoxon", "low", "high"),
    [
        ("accuracy", 8, 0.20, 0.08, 0.79, 0.90, -0.44, 1.13),
        ("f1", 6, 0.23, -0.06, 0.79, 0.63, -0.47, 1.11),
    ],
)
def test_table_1_is_counted_as_published_elsewhere(
    metric, wins, mean, median, sign, wilcoxon, low, high
):
    found = statistics.recount(*scores(metric))
    assert (found.tasks, found.wins, found.ties) == (14, wins, 0)
    assert found.mean == pytest.approx(mean, abs=0.006)
    assert found.median == pytest.approx(median, abs=0.006)
    assert found.sign_p == pytest.approx(sign, abs=0.005)
    assert found.wilcoxon_p == pytest.approx(wilcoxon, abs=0.006)
    assert found.bootstrap_low == pytest.approx(low, abs=0.03)
    assert found.bootstrap_high == pytest.approx(high, abs=0.03)


def test_without_one_task_the_sign_of_the_mean_turns():
    table = paper_claims.recounted()
    assert table["wins"].to_list() == ["8 of 14", "6 of 14"]
    assert (table["mean"] > 0).all()
    assert table["without TATA"].to_list() == pytest.approx([-0.22, -0.11], abs=0.006)


def test_equal_arms_have_no_winner():
    found = statistics.recount([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (found.wins, found.ties, found.sign_p, found.wilcoxon_p) == (0, 3, 1.0, 1.0)
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.floats(-50, 50), min_size=2, max_size=20))
def test_swapping_the_arms_turns_every_sign(gaps):
    zeros = [0.0] * len(gaps)
    one, other = statistics.recount(gaps, zeros), statistics.recount(zeros, gaps)
    assert one.mean == pytest.approx(-other.mean, abs=1e-9)
    assert one.wins + other.wins + one.ties == one.tasks
    assert one.sign_p == pytest.approx(other.sign_p)


@pytest.mark.parametrize("second", [[1.0], [1.0, 2.0, 3.0], [1.0, float("nan")]])
def test_scores_that_do_not_pair_are_refused(second):
    with pytest.raises(ValueError, match=r"give one per task|not finite"):
        statistics.recount([1.0, 2.0], second)


def test_t_interval_is_that_of_scipy_and_unknown_for_one_value():
    values = [0.1, 0.3, 0.2]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert statistics.t_interval(values) == pytest.approx(tuple(expected))
    assert np.isnan(statistics.t_interval([0.4])).all()


def test_t_interval_of_three_seeds_covers_what_it_says():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(2000, 3))
    covered = [low <= 0 <= high for low, high in map(statistics.t_interval, draws)]
    assert 0.93 < np.mean(covered) < 0.97


def test_an_unknown_interval_has_no_text():
    assert statistics.interval_text(0.1, 0.25) == "0.100 to 0.250"
    assert statistics.interval_text(-0.1, 0.25, "+") == "-0.100 to +0.250"
    assert statistics.interval_text(float("nan"), 0.2) is None


def test_holm_is_the_textbook_step_down():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([]) == []


def test_joined_p_values_stay_valid_for_copies_of_one_test():
    rng = np.random.default_rng(0)
    joined = [statistics.median_p([p] * 3) for p in rng.uniform(size=4000)]
    assert np.mean(np.array(joined) <= 0.05) < 0.05


@given(st.integers(1, 3000), st.data())
def test_a_true_count_always_fits_and_prints_its_own_digits(rows, data):
    count = data.draw(st.integers(0, rows))
    assert statistics.fits_count(round(100 * count / rows, 2), rows)


def test_digits_of_table_1_fit_the_nominal_rows_in_four_tasks_only():
    table = paper_claims.digits()
    fits = table.filter(pl.col("Birdie fits") & pl.col("NTP fits"))["task"].to_list()
    assert fits == ["H2AFZ", "H3K27me3", "H3K36me3", "H3K4me1"]
    quarters = table.filter("quarters")["task"].to_list()
    assert quarters == ["H3K27ac", "H3K4me3", "H3K9ac", "H3K9me3"]


def test_paired_bootstrap_of_an_arm_against_itself_is_zero():
    rng = np.random.default_rng(1)
    labels, predicted = rng.integers(0, 2, 200), rng.integers(0, 2, (3, 200))
    assert statistics.paired_bootstrap(labels, predicted, predicted, 2) == (0.0, 0.0)


def test_paired_bootstrap_sees_a_clear_difference_and_brackets_it():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 400)
    good = np.where(rng.random((3, 400)) < 0.1, 1 - labels, labels)
    bad = np.where(rng.random((3, 400)) < 0.3, 1 - labels, labels)
    low, high = statistics.paired_bootstrap(labels, good, bad, 2)
    assert 0 < low < 0.4 < high < 0.6
    turned = statistics.paired_bootstrap(labels, bad, good, 2)
    assert turned == pytest.approx((-high, -low), abs=0.03)


def test_paired_bootstrap_refuses_rows_that_do_not_pair():
    with pytest.raises(ValueError, match="pair them"):
        statistics.paired_bootstrap(
            np.zeros(3, int), np.zeros((1, 3), int), np.zeros((1, 4), int), 2
        )
