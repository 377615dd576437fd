"""The recount of the paper's Table 1, tests and intervals, and gaps between our own arms."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import comparison, every
from scipy import stats

from birdiedna.evaluation import frames, metrics, paper_table, statistics

TASKS = ("promoter_all", "splice_sites_donors")


@pytest.mark.parametrize(
    ("metric", "without", "wins", "mean", "half", "median", "sign", "wilcoxon"),
    [
        ("accuracy", (), 8, 0.20, 0.95, 0.08, 0.79, 0.91),
        ("f1", (), 6, 0.23, 0.92, -0.06, 0.79, 0.63),
        ("accuracy", ("promoter_tata",), 7, -0.22, 0.36, 0.08, 1.00, 0.55),
        ("f1", ("promoter_tata",), 5, -0.11, 0.61, -0.07, 0.58, 0.31),
        ("accuracy", ("promoter_tata", "promoter_all"), 6, -0.25, 0.38, 0.00, 1.00, 0.43),
        ("f1", ("promoter_tata", "promoter_all"), 5, -0.12, 0.67, -0.23, 0.77, 0.34),
    ],
)
def test_recount_of_table_1_equals_an_independent_check(
    metric, without, wins, mean, half, median, sign, wilcoxon
):
    rows = [row for row in paper_table.TABLE_1 if row.task not in without]
    found = statistics.recount(*zip(*(getattr(row, metric) for row in rows), strict=True))
    assert found["wins"] == f"{wins} of {len(rows)}"
    assert (found["mean"], found["median"]) == pytest.approx((mean, median), abs=0.0061)
    p = found["sign test p"], found["Wilcoxon p"]
    assert p == pytest.approx((sign, wilcoxon), abs=0.0051)
    edges = (mean - half, mean + half)
    assert (found["low"], found["high"]) == pytest.approx(edges, abs=0.011)


def test_signed_rank_p_equals_scipy_without_ties():
    gaps = np.random.default_rng(0).normal(0.3, 1, 12)
    assert statistics.signed_rank_p(gaps) == pytest.approx(stats.wilcoxon(gaps).pvalue)
    assert statistics.signed_rank_p(np.zeros(3)) == 1


def test_equal_arms_have_no_winner():
    found = statistics.recount([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert [*found.values()] == ["0 of 3", 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]


@settings(max_examples=15)
@given(st.lists(st.floats(-50, 50), min_size=2, max_size=20))
def test_swapping_the_arms_flips_every_sign(gaps):
    zeros = [0.0] * len(gaps)
    one, other = statistics.recount(gaps, zeros), statistics.recount(zeros, gaps)
    assert one["mean"] == pytest.approx(-other["mean"], abs=1e-9)
    assert one["sign test p"] == pytest.approx(other["sign test p"])


@pytest.mark.parametrize("second", [[1.0], [1.0, 2.0, 3.0], [1.0, float("nan")]])
def test_unpaired_scores_are_refused(second):
    with pytest.raises(ValueError, match=r"give one per task|not finite"):
        statistics.recount([1.0, 2.0], second)


def test_t_interval_equals_scipy_and_is_nan_for_one_value():
    values = [0.1, 0.3, 0.2]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert statistics.t_interval(values) == pytest.approx(tuple(expected))
    assert np.isnan(statistics.t_interval([0.4])).all()


def test_the_text_of_an_interval_shows_the_side_of_0_and_an_unknown_one_has_none():
    assert statistics.interval_text(0.1, 0.25) == "0.100 to 0.250"
    assert statistics.interval_text(-0.1, 0.25, "+") == "-0.100 to +0.250"
    assert statistics.interval_text(-0.01, -0.0004, "+") == "-0.010 to -0.0004"
    assert statistics.interval_text(0.0, 0.0003, "+") == "+0.000 to +0.0003"
    assert statistics.interval_text(float("nan"), 0.2) is None


def test_joined_p_values_are_valid_for_copies_of_one_test():
    rng = np.random.default_rng(0)
    first = rng.binomial(40, 0.5, 4000)
    joined = [statistics.joined_p(np.array([[a, 40 - a]] * 3)) for a in first]
    assert np.mean(np.array(joined) <= 0.05) < 0.05
    exact = stats.binomtest(12, 40).pvalue
    assert statistics.joined_p(np.array([[12, 28]])) == pytest.approx(exact)  # nothing to join


def test_contradictory_seeds_have_no_joined_p_value():
    apart = np.array([[100, 20], [100, 20], [20, 100]])
    assert statistics.joined_p(apart) is None
    assert statistics.joined_p(apart[:2]) < 1e-10
    assert statistics.joined_p(np.array([[5, 5], [9, 1]])) == pytest.approx(1)  # a tie is no sign


def test_interval_over_seeds_and_rows_is_wider_than_over_either():
    rng = np.random.default_rng(0)
    rows = rng.normal(0, 0.01, 1000)  # the same effect of resampled rows on all seeds
    values = np.array([0.01, 0.03, 0.02, 0.04])
    low, high = statistics.hierarchical(values, values[:, None] + rows)
    over_seeds = statistics.t_interval(values)
    assert low < over_seeds[0] and high > over_seeds[1] and low + high == pytest.approx(0.05)
    assert low < 0.025 - 0.0196 and high > 0.025 + 0.0196
    alike = statistics.hierarchical(np.full(4, 0.02), np.tile(0.02 + rows, (4, 1)))
    assert alike == pytest.approx((0.02 - 0.0196, 0.02 + 0.0196), abs=0.002)
    assert np.isnan(statistics.hierarchical(values[:1], values[:1, None] + rows)).all()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Runs with Birdie far ahead of the two other arms, which are alike."""
    errors = {"birdie": 0.02, "ntp": 0.3, "random": 0.3}
    return comparison(tmp_path_factory.mktemp("runs"), TASKS, errors)


@pytest.fixture(scope="module")
def table(folders):
    return statistics.table(folders)


def test_all_pairs_are_compared_on_all_tasks_and_a_much_better_arm_wins(table):
    found = set(table.select("task", "first", "second").iter_rows())
    assert found == {(task, *pair) for task in TASKS for pair in statistics.PAIRS}
    birdie, others = (table.filter((pl.col("first") == "birdie") == is_) for is_ in (True, False))
    assert set(birdie["outcome"]) == {"win"} and "win" not in set(others["outcome"])
    assert (birdie["low_rows"] > 0).all() and (birdie["p_holm"] < 1e-6).all()


def test_runs_on_other_test_rows_are_not_compared(tmp_path):
    folders = comparison(tmp_path, TASKS[:1], {"birdie": 0.1, "ntp": 0.1})
    path = folders[-1] / "predictions.npz"
    found = dict(np.load(path))
    np.savez(path, **found | {"test_labels": 1 - found["test_labels"]})
    with pytest.raises(ValueError, match="its test labels differ from other runs of promoter_all"):
        statistics.table(folders)


def test_p_values_are_corrected_over_the_tasks_of_a_pair(table):
    agreed = table.filter(pl.col("p").is_not_null())
    assert (agreed["p_holm"] >= agreed["p_bh"]).all() and (agreed["p_bh"] >= agreed["p"]).all()
    for pair in table.filter(first="birdie").partition_by("second"):
        assert pair["p_holm"].to_list() == statistics.holm(pair["p"]).tolist()


def test_overall_gap_is_the_mean_over_tasks(folders, table):
    mcc = frames.results(folders).filter(metric="mcc")
    for pair in statistics.PAIRS:
        rows = table.filter((pl.col("first") == pair[0]) & (pl.col("second") == pair[1]))
        assert statistics.gaps(mcc, *pair).values.mean() == pytest.approx(rows["gap"].mean())


def test_rows_only_one_arm_gets_right_add_up_to_the_accuracy_gap(folders, table):
    found = frames.results(folders).filter(metric="accuracy")
    gaps = statistics.paired(found, "birdie", "ntp", "task", "rows").sort("task", "finetune_seed")
    rows = table.filter(first="birdie", second="ntp").sort("task")
    rows = rows.explode("only_first", "only_second")
    expected = gaps["gap"] * gaps["rows"]
    assert (rows["only_first"] - rows["only_second"]).to_list() == pytest.approx([*expected])
    assert (rows["only_first"] > 0).all() and (rows["only_second"] >= 0).all()


def test_mean_without_one_task_has_its_own_interval():
    values = np.array([[0.3, 0.01, 0.02], [0.2, 0.02, 0.03], [0.4, 0.03, 0.04]])
    found = statistics.Gaps(values, ("H2AFZ", "H3K9ac", "H3K4me1"), "seeds", (0, 1, 2))
    assert statistics.without_one(found) == "without H2AFZ +0.025 (+0.0002 to +0.050)"
    single = found._replace(values=values[:1], seeds=(0,))
    assert statistics.without_one(single) == "without H2AFZ +0.015"
    assert statistics.without_one(found._replace(values=values[:, :1], tasks=("H2AFZ",))) == ""
    tail = "; without H2AFZ +0.025 (+0.0002 to +0.050)"
    assert statistics.answer(found, "birdie", "ntp").endswith(tail)
    assert statistics.answer(single, "birdie", "ntp").endswith("MCC); without H2AFZ +0.015")


@pytest.mark.parametrize(
    ("values", "outcome", "text"),
    [
        ([0.20, 0.21, 0.22], "win", "did beat"),
        ([-0.20, -0.21, -0.22], "loss", "did worse"),
        ([0.0001, -0.0001, 0.0], "equivalent", "are within ±0.005 MCC"),
        ([0.3, -0.2, 0.1], "inconclusive", "did not beat"),
        ([0.1, 0.1, 0.1], "inconclusive", "Seeds with equal gaps cannot tell which of the Birdie"),
        ([0.0, 0.0], "equivalent", "are within ±0.005 MCC"),
        (
            [0.4],
            "inconclusive",
            "A single seed cannot tell which of the Birdie arm and random weights is better "
            "(mean gap over 3 tasks +0.400 MCC)",
        ),
        ([], "inconclusive", "Nothing compares the Birdie arm with random weights"),
    ],
)
def test_answer_follows_the_interval(values, outcome, text):
    assert statistics.interval(values)["outcome"] == outcome
    tasks = ("a", "b", "c") if values else ()
    found = statistics.Gaps(np.array([values] * 3).T, tasks, "fine-tuning seeds")
    assert text in statistics.answer(found, "birdie", "random")


def test_answer_says_that_one_task_carries_a_win():
    gaps = np.array([0.2, -0.02, -0.03]) + 0.001 * np.arange(3)[:, None]
    answer = lambda kept: statistics.answer(
        statistics.Gaps(gaps[:, kept], ("a", "b", "c")[kept], "seeds"), "birdie", "random"
    )
    assert "did beat random weights here, by one task alone (mean" in answer(slice(None))
    assert "did beat random weights here (mean" in answer(slice(1))
    even = statistics.Gaps(np.array([[-3e-4, 0], [-5e-4, 0], [-4e-4, 0]]), ("a", "b"), "seeds")
    assert "mean gap over 2 tasks -0.0002 MCC" in statistics.answer(even, "birdie", "ntp")


def scores(seeds):
    """Birdie leads by 0.1 with the first pre-training seed, 0.2 with the next, ...; NTP is at 0."""
    rows = every(task=TASKS, arm=("birdie", "ntp"), seed=range(seeds), finetune_seed=range(3))
    lead = 0.1 * (pl.col("seed") + 1) + 0.01 * pl.col("finetune_seed")
    return rows.with_columns(value=lead * (pl.col("arm") == "birdie"))


@pytest.mark.parametrize(
    ("seeds", "over", "means"),
    [(3, "pre-training seeds", [0.11, 0.21, 0.31]), (1, "fine-tuning seeds", [0.1, 0.11, 0.12])],
)
def test_gaps_are_paired_and_over_pretraining_seeds_if_there_are_several(seeds, over, means):
    found = statistics.gaps(scores(seeds), "birdie", "ntp")
    assert found.over == over and found.tasks == TASKS
    assert found.values == pytest.approx(np.array([[mean] * len(TASKS) for mean in means]))
    assert f"over {over}" in statistics.answer(found, "birdie", "ntp")
    shuffled = scores(seeds).sample(fraction=1, shuffle=True, seed=0).sort("task")
    assert statistics.gaps(shuffled, "birdie", "ntp").values == pytest.approx(found.values)


def test_answer_counts_only_the_tasks_that_its_gap_is_of():
    part = scores(3).filter((pl.col("task") != TASKS[0]) | (pl.col("seed") > 1))
    found = statistics.gaps(part, "birdie", "ntp")
    assert "mean gap over 1 task +0.210" in statistics.answer(found, "birdie", "ntp")


@pytest.mark.parametrize(
    ("seeds", "said"),
    [(0, "is nothing"), (1, "is one pre-"), (2, "seeds: too few for"), (3, "interval over seeds")],
)
def test_the_unit_of_intervals_is_the_pretrained_model_and_two_are_too_few(seeds, said):
    text = statistics.unit_text(scores(seeds))
    assert said in text and text.endswith(said) == (seeds == 3)


def test_shown_table_has_labels_and_bounds_tiny_p_values(table):
    shown = statistics.shown(table)
    assert set(shown["pair"]) == {"Birdie minus NTP", "Birdie minus random", "NTP minus random"}
    assert "< 0.0001" in set(shown["McNemar p"])
    assert set(shown["seeds ahead"]) <= {f"{n} of 3" for n in range(4)}
    assert not shown["Holm p"].str.contains("e-").any()


def test_task_whose_seeds_disagree_has_no_p_value_and_is_named(table):
    row = table.filter(first="birdie", second="ntp").head(1)
    lists = {"only_first": [[9, 9, 1]], "only_second": [[1, 1, 9]]}
    apart = row.with_columns(*(pl.Series(k, v) for k, v in lists.items()), p=None, p_holm=None)
    shown = statistics.shown(apart)
    assert shown["seeds ahead"][0] == "2 of 3" and shown["McNemar p"][0] == "seeds disagree"
    text = statistics.disagreement(apart, "birdie", "ntp")
    assert "promoter_all (2 ahead, 1 behind)" in text and "No p-value" in text
    none = statistics.disagreement(table, "birdie", "ntp")
    assert none.startswith("On none of the tasks (2) do runs")
    one = table.with_columns(pl.col("only_first", "only_second").list.head(1))
    assert statistics.disagreement(one, "birdie", "ntp").startswith("There is one run of a task")
    assert "Nothing compares" in statistics.disagreement(table.clear(), "birdie", "ntp")


def test_holm_correction_equals_worked_examples():
    for p, corrected in (
        ([0.3], [0.3]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.2, 0.9, 0.9, 0.0, 1.0], [0.8, 1.0, 1.0, 0.0, 1.0]),
    ):
        assert statistics.holm(p) == pytest.approx(np.array(corrected), abs=1e-15)


def test_the_unit_of_differences_does_not_change_their_p():
    gaps = np.random.default_rng(0).normal(1, 1, 7)
    p = {statistics.sign_flip_p(unit * gaps) for unit in (1e-300, 1e-9, 1.0, 1e9, 1e300)}
    assert p == {statistics.sign_flip_p(np.round(gaps, 6))}


def test_a_missing_difference_has_no_p_and_lists_have_that_of_arrays():
    for test in (statistics.sign_flip_p, statistics.signed_rank_p):
        assert test([0.1, 0.2, -0.1, 0.0]) == test(np.array([0.1, 0.2, -0.1, 0.0])) < 1
        assert np.isnan(test([0.1, 0.2, np.nan]))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda: statistics.sign_p(6, 5), "wins 6 of 5; give 0 to as many"),
        (lambda: statistics.sign_p(np.array([1, -1]), 5), "wins .* of 5; give 0 to as many"),
        (lambda: statistics.sign_flip_p([[0.1, 0.2]]), r"differences of \(1, 2\); give one row"),
        (lambda: statistics.t_interval([0.1, 0.2], 95), "confidence 95 is not between 0 and 1"),
        (lambda: statistics.holm([0.1, -0.1]), "give a row of numbers from 0 to 1"),
        (lambda: statistics.holm([[0.1, 0.2]]), "give a row of numbers from 0 to 1"),
        (lambda: statistics.mcc([0, 1], [[0, 2]], 2), "predictions reach beyond the 2 classes"),
        (lambda: statistics.mcc([0.5, 1], [[0, 1]], 2), "labels are float64; give whole numbers"),
        (lambda: statistics.mcc(1, [[0, 1]], 2), r"labels \(\) do not fit predictions \(2,\)"),
        (lambda: statistics.resampled([0, 1], [[0, -1]], 2), "classes reach beyond the 2 classes"),
        (lambda: metrics.scores([0, 1], [["0", "1"], ["1", "0"]]), "probabilities are <U1; give"),
    ],
)
def test_numbers_that_cannot_be_are_refused_rather_than_scored(wrong, why):
    with pytest.raises(ValueError, match=why):
        wrong()
