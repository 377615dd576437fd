"""Steps to targets: exact on lines, censored at common steps, independent of early stopping."""

import numpy as np
import polars as pl
import pytest
from made_runs import every

from birdiedna.evaluation import learning_speed, simulation


def test_runs_that_one_arm_lacks_are_dropped():
    curves = simulation.frames(simulation.Truth(), np.random.default_rng(0), 3)[1]
    whole = learning_speed.speed(curves.filter(pl.col("seed") < 2), "birdie", "ntp")
    late = (pl.col("seed") == 2) & (pl.col("arm") == "ntp") & (pl.col("task") == "H2AFZ")
    cut = learning_speed.speed(curves.filter(~late), "birdie", "ntp")
    assert np.array_equal(cut.own, whole.own) and cut.own.shape[0] == 2
    none = learning_speed.speed(curves.filter(arm="ntp"), "birdie", "ntp")
    assert not none.own.size


def test_steps_to_a_target_interpolate_to_the_first_crossing():
    steps, values = np.array([0.0, 10.0, 20.0]), np.array([0.0, 1.0, 0.5])
    targets = np.array([0.25, 1.0, 1.1, 0.0, -1.0])
    found = learning_speed.steps_to(np.broadcast_to(values, (5, 3)), steps, targets)
    assert found.tolist() == [2.5, 10.0, np.inf, np.inf, np.inf]


@pytest.mark.parametrize(("evaluations", "window"), [(4, 1), (13, 1), (14, 3), (33, 5), (65, 9)])
def test_curves_are_smoothed_over_a_seventh_of_their_evaluations(evaluations, window):
    peak = np.eye(evaluations)[evaluations // 2]
    assert np.count_nonzero(learning_speed.smoothed(peak)) == window


def test_smoothing_keeps_straight_lines_and_short_curves():
    line = np.arange(33.0)
    assert learning_speed.smoothed(line)[2:-2] == pytest.approx(line[2:-2])
    assert learning_speed.smoothed(line[:9]).tolist() == line[:9].tolist()


def curves(birdie, ntp, stopped=None, seeds=3):
    """Validation curves of one task by level and pace; those of NTP end at the step `stopped`."""
    axes = {"task": "t", "arm": ("birdie", "ntp"), "seed": range(seeds), "finetune_seed": (0,)}
    rows, ours = every(**axes, step=range(0, 8193, 256)), pl.col("arm") == "birdie"
    level, pace = (pl.when(ours).then(a).otherwise(b) for a, b in zip(birdie, ntp, strict=True))
    value = level * (1 - (-pl.col("step") / pace).exp()) + 1e-4 * pl.col("seed")
    return rows.with_columns(validation=value).filter(ours | (pl.col("step") <= (stopped or 8192)))


@pytest.mark.parametrize("stopped", [None, 4096, 1024])
def test_early_stopping_of_a_run_does_not_affect_the_speed_of_others(stopped):
    found = learning_speed.speed(curves((0.6, 1000), (0.6, 1000), stopped), "birdie", "ntp")
    assert found.over == "pre-training seeds"
    assert found.own == pytest.approx(0) and found.common == pytest.approx(0)


def test_arms_are_compared_at_their_common_steps():
    table = curves((0.6, 1000), (0.6, 1000))
    sparse = table.filter((pl.col("arm") == "birdie") | (pl.col("step") % 512 == 0))
    found = learning_speed.speed(sparse, "birdie", "ntp")
    assert found.own.size and found.own == pytest.approx(0)
    apart = table.filter((pl.col("arm") == "birdie") == (pl.col("step") % 512 == 0))
    assert learning_speed.speed(apart, "birdie", "ntp").own.size == 0


def test_runs_that_never_reach_the_target_are_censored():
    slow = learning_speed.waiting(curves((0.6, 500), (0.6, 20_000)), "birdie", "ntp", 0.95)
    birdie, ntp = (slow.filter(arm=arm) for arm in ("birdie", "ntp"))
    assert birdie["waiting"][0] == 1 and birdie["waiting"][-1] == 0
    assert ntp["step"][-1] <= 8192
    none = learning_speed.waiting(curves((0.0, 500), (0.0, 500), seeds=1), "birdie", "ntp")
    assert set(none["waiting"]) == {1.0} and none["step"].max() == 8192
    assert not learning_speed.speed(curves((0.0, 1), (0.0, 1), seeds=1), "birdie", "ntp").reached


def test_areas_are_mean_heights_over_the_common_steps():
    level = lambda gap: curves((0.6, 500), (0.6, 500)).with_columns(
        validation=pl.col("validation") + gap * (pl.col("arm") == "birdie")
    )
    assert learning_speed.areas(level(0.2), "birdie", "ntp") == pytest.approx([0.2] * 3)
    assert learning_speed.areas(level(0.2), "ntp", "birdie") == pytest.approx([-0.2] * 3)
    faster = learning_speed.areas(curves((0.6, 500), (0.6, 1000)), "birdie", "ntp")
    assert faster == pytest.approx(0.6 * 500 / 8192, rel=0.05)  # between two exponentials
    assert not learning_speed.areas(level(0).clear(), "birdie", "ntp").size


def test_with_one_pretraining_seed_finetuning_seeds_are_the_unit():
    table = curves((0.6, 700), (0.6, 1000)).with_columns(seed=0, finetune_seed="seed")
    found = learning_speed.speed(table, "birdie", "ntp")
    assert found.over == "fine-tuning seeds" and found.own.shape == (3, 3)
    empty = learning_speed.speed(table.clear(), "birdie", "ntp")
    assert empty.own.shape == (0, 3)
