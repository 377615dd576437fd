"""Gaps between arms: paired, corrected, and put into words by their interval alone."""

import polars as pl
import pytest
from made_runs import comparison

from birdiedna.evaluation import frames, statistics

TASKS = ("promoter_all", "splice_sites_donors")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Birdie far ahead of the two others, which are alike."""
    errors = {"birdie": 0.02, "ntp": 0.3, "random": 0.3}
    return comparison(tmp_path_factory.mktemp("runs"), TASKS, errors)


@pytest.fixture(scope="module")
def table(folders):
    return statistics.table(folders)


def test_every_pair_is_compared_on_every_task(table):
    found = set(table.select("task", "first", "second").iter_rows())
    assert found == {(task, *pair) for task in TASKS for pair in statistics.PAIRS}


def test_a_much_better_arm_wins_every_task_and_the_others_do_not(table):
    birdie = pl.col("first") == "birdie"
    assert set(table.filter(birdie)["outcome"]) == {"win"}
    assert (table.filter(birdie)["low_rows"] > 0).all()
    assert (table.filter(birdie)["p_holm"] < 1e-6).all()
    assert "win" not in set(table.filter(~birdie)["outcome"])


def test_correction_for_several_tasks_never_lowers_a_p_value(table):
    assert (table["p_holm"] >= table["p"]).all() and (table["p_holm"] <= 1).all()


def test_gap_over_tasks_is_the_mean_of_the_tasks(folders, table):
    mcc = frames.results(folders).filter(pl.col("metric") == "mcc")
    for pair in statistics.PAIRS:
        rows = table.filter((pl.col("first") == pair[0]) & (pl.col("second") == pair[1]))
        assert statistics.overall(mcc, *pair)["gap"] == pytest.approx(rows["gap"].mean())


@pytest.mark.parametrize(
    ("values", "outcome", "word"),
    [
        ([0.20, 0.21, 0.22], "win", "did beat"),
        ([-0.20, -0.21, -0.22], "loss", "did worse"),
        ([0.0001, -0.0001, 0.0], "equivalent", "are within ±0.005 MCC"),
        ([0.3, -0.2, 0.1], "inconclusive", "did not beat"),
    ],
)
def test_words_follow_the_interval(values, outcome, word):
    found = statistics.interval(values)
    assert found["outcome"] == outcome
    assert word in statistics.answer(found, "birdie", "random", 3)


def scores(seeds, finetune_seeds=3):
    """Birdie ahead by 0.1 with one pre-training seed, 0.2 with the next ..., NTP at 0."""
    rows = [
        {"task": task, "arm": arm, "seed": seed, "finetune_seed": fine}
        | {"value": (arm == "birdie") * (0.1 * (seed + 1) + 0.01 * fine)}
        for task in TASKS
        for arm in ("birdie", "ntp")
        for seed in range(seeds)
        for fine in range(finetune_seeds)
    ]
    return pl.DataFrame(rows)


def test_with_several_pretraining_seeds_the_interval_is_over_their_means():
    found = statistics.overall(scores(3), "birdie", "ntp")
    alone = statistics.interval([0.11, 0.21, 0.31])
    assert (found["seeds"], found["over"]) == (3, "pre-training seeds")
    assert found["gap"] == pytest.approx(alone["gap"])
    assert (found["low"], found["high"]) == pytest.approx((alone["low"], alone["high"]))
    assert "over pre-training seeds" in statistics.answer(found, "birdie", "ntp", 2)


def test_with_one_pretraining_seed_the_interval_is_over_finetuning_seeds_and_says_so():
    found = statistics.overall(scores(1), "birdie", "ntp")
    assert (found["seeds"], found["over"]) == (3, "fine-tuning seeds")
    assert found["low"] == pytest.approx(statistics.interval([0.1, 0.11, 0.12])["low"])
    assert "over fine-tuning seeds" in statistics.answer(found, "birdie", "ntp", 2)


def test_tiny_p_values_are_shown_as_a_bound(table):
    shown = statistics.shown(table)
    assert "< 0.0001" in set(shown["McNemar p"])
    assert not shown["Holm p"].str.contains("e-").any()


def test_a_single_seed_decides_nothing():
    assert statistics.interval([0.4])["outcome"] == "inconclusive"


def test_a_reader_sees_names_not_codes(table):
    shown = statistics.shown(table)
    assert set(shown["pair"]) == {
        "Birdie minus NTP",
        "Birdie minus random",
        "NTP minus random",
    }


def test_of_a_single_seed_the_gap_is_said_and_no_answer_given():
    said = statistics.answer(statistics.interval([0.4]), "birdie", "ntp", 1)
    assert said == (
        "A single seed cannot tell whether the Birdie arm would beat the NTP arm again "
        "(mean gap over 1 task +0.400 MCC)"
    )
