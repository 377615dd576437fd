"""Comparisons over pre-training seeds are exact, paired, and limited to common runs."""

import numpy as np
import polars as pl
import pytest
from made_runs import every

from birdiedna.evaluation import seeds, statistics

PAIR = (("birdie", "ntp"),)


def scores(gaps: np.ndarray, share: float = 1.0) -> pl.DataFrame:
    """Scores of two arms with these gaps (seeds, tasks), for two fine-tuning seeds."""
    level = np.random.default_rng(0).normal(0.5, 0.1, gaps.shape)
    names = [f"task {task}" for task in range(gaps.shape[1])]
    rows = every(seed=range(len(gaps)), task=names, arm=PAIR[0], finetune_seed=(0, 1))
    lead = (pl.col("arm") == "birdie") * pl.Series(gaps.repeat(4))
    return rows.with_columns(share=share, value=lead + pl.Series(level.repeat(4)))


@pytest.mark.parametrize(
    ("values", "p"),
    [([1.0], 1.0), ([1, 1, 1], 0.25), ([1, 2, 3, 4, 5, 6], 1 / 32), ([1, -1, 2, -2], 1.0)],
)
def test_sign_flip_test_counts_sign_patterns(values, p):
    assert statistics.sign_flip_p(values) == pytest.approx(p)


@pytest.mark.parametrize(("seeds_each", "tests"), [(8, 1000), (20, 100)])
def test_sign_flip_test_has_its_level_under_the_null(seeds_each, tests):
    rng = np.random.default_rng(0)
    found = np.array([statistics.sign_flip_p(rng.normal(size=seeds_each)) for _ in range(tests)])
    assert abs((found < 0.05).mean() - 0.05) < 3 * (0.05 * 0.95 / tests) ** 0.5


def test_more_seeds_than_patterns_can_be_counted_of_have_a_verdict_too():
    row = seeds.compared(scores(np.full((30, 14), 0.05)), PAIR).row(0, named=True)
    assert (row["seeds"], row["won"], row["consistently"]) == (30, 14, "supported")


def test_gain_on_every_task_and_seed_is_supported():
    gaps = 0.05 + np.random.default_rng(1).normal(0, 0.01, (10, 14))
    row = seeds.compared(scores(gaps), PAIR).row(0, named=True)
    counts = ("tasks", "seeds", "ahead", "won", "lost")
    assert [row[name] for name in counts] == [14, 10, 14, 14, 0]
    assert row["gap"] == pytest.approx(gaps.mean()) and row["low"] < 0.05 < row["high"]
    assert (row["on average"], row["consistently"]) == ("supported", "supported")
    gaps[:, 0] *= -1
    gaps[:, 1] -= 0.05
    mixed = seeds.compared(scores(gaps), PAIR).row(0, named=True)
    assert (mixed["won"], mixed["lost"]) == (12, 1)
    assert mixed["chance"] == pytest.approx((gaps > 0).mean())
    gaps[:, 0] = 5  # one large win
    middle = np.sort(gaps.ravel())[35:-35].mean()
    assert seeds.compared(scores(gaps), PAIR)["middle"].to_list() == pytest.approx([middle])
    assert seeds.compared(scores(np.zeros((3, 2))), PAIR)["chance"].to_list() == [0.5]


def test_finetunings_of_a_single_checkpoint_are_one_seed():
    gaps = np.full((1, 14), 0.05)
    one = scores(gaps).with_columns(seed=7)
    row = seeds.compared(one, PAIR).row(0, named=True)
    assert (row["seeds"], row["won"], row["on average"]) == (1, 0, "inconclusive")
    assert seeds.by_task(one, PAIR)["seed"].to_list() == [7] * 14
    assert seeds.compared(one, [("absent", "ntp")]).is_empty()


def test_seeds_that_one_arm_lacks_are_dropped_and_other_arms_ignored():
    whole = scores(np.zeros((4, 2)))
    cut = whole.filter(~((pl.col("arm") == "ntp") & (pl.col("seed") == 3)))
    stranger = whole.filter(pl.col("arm") == "ntp", pl.col("seed") == 0)
    both = pl.concat([cut, stranger.with_columns(arm=pl.lit("mlm"))])
    assert seeds.compared(both, PAIR)["seeds"].to_list() == [3]
    unequal = cut.with_columns(value=pl.when(arm="birdie", seed=3).then(1.0).otherwise("value"))
    assert statistics.ahead(unequal, *PAIR[0]) == "0 of 2"  # NTP has no seed 3
    later = seeds.by_task(both.filter(pl.col("seed") > 0), PAIR)
    assert later["seed"].to_list() == [1, 2, 1, 2]  # not 0 and 1
    assert seeds.compared(both, [("birdie", "absent")]).is_empty()
    assert seeds.by_task(both, [("birdie", "absent")]).is_empty()


def test_text_of_a_gap_has_its_interval_if_there_is_one():
    several = seeds.compared(scores(np.array([[0.1], [0.3]])), PAIR)
    one = several.with_columns(seeds=1, gap=0.1, low=float("nan"), high=float("nan"))
    text = lambda table, *more: seeds.gap_texts(table, PAIR, *more)[PAIR[0]]
    assert text(several) == "+0.200 (-1.071 to +1.471 over 2 seeds, 1 task)"
    assert text(one) == "+0.100 (1 seed, 1 task)" and text(one.clear()) == "not measured"
    assert text(several, (2, 1)) == "+0.200 (-1.071 to +1.471)"


def test_a_pair_is_sure_if_its_interval_excludes_0():
    edges = [(0.1, 0.2), (-0.2, -0.1), (-0.1, 0.2), (float("nan"), float("nan"))]
    table = pl.DataFrame(edges, ["low", "high"], orient="row")
    assert seeds.sure(table) == "2 of 4" and seeds.sure(table.clear()) == "0 of 0"


def test_by_task_has_a_row_per_seed_and_holm_over_tasks():
    gaps = np.array([[0.1, 0.0], [0.2, 0.01], [0.3, -0.01]])
    found = seeds.by_task(scores(gaps), PAIR)
    assert found.height == 6 and found["value"].to_list() == pytest.approx([*gaps.T.ravel()])
    assert found.filter(task="task 0")["holm"].unique().to_list() == [0.5]


def test_shares_of_train_rows_are_compared_separately():
    few, all_rows = scores(np.full((3, 2), 0.2), 0.01), scores(np.full((3, 2), 0.1))
    found = seeds.by_share(pl.concat([all_rows, few]), PAIR)
    assert found["share"].to_list() == [0.01, 1.0]
    assert found["gap"].to_list() == pytest.approx([0.2, 0.1])


def test_seed_or_task_with_the_most_missing_runs_is_dropped():
    def compared(lost: set[tuple[int, int]]) -> tuple[int, int]:
        whole = scores(np.zeros((3, 6))).with_columns(number=pl.col("task").str.extract(r"(\d+)"))
        place = zip(whole["seed"], whole["number"].cast(int), whole["arm"], strict=True)
        kept = [arm != "ntp" or (seed, task) not in lost for seed, task, arm in place]
        row = seeds.compared(whole.filter(kept), PAIR).row(0, named=True)
        return row["seeds"], row["tasks"]

    assert compared({(2, 3)}) == (3, 5)
    assert compared({(0, 5), (2, 3), (2, 4), (2, 5)}) == (2, 5)
