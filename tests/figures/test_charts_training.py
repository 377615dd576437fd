"""Charts of pre-training show what they say."""

import json

import drawing
import polars as pl
import pytest

from birdiedna.figures import pretraining
from birdiedna.objectives.definitions import BIRDIE_DNA, NTP

STEPS = (0, 40, 80)
NAMES = tuple(BIRDIE_DNA)
SHARE = {"rows_share": 1 / len(NAMES), "loss_tokens_share": 1 / len(NAMES)}
LOSSES = pl.DataFrame(
    [
        {"run": arm, "arm": arm, "step": step, "objective": name, "loss": 6.0 / (1 + step)}
        for arm in ("birdie", "ntp")
        for step in STEPS
        for name in (*NAMES, *NTP)
    ]
)
RATIOS = pl.DataFrame(
    [
        {"step": step, "objective": name, "ratio": 1 / len(NAMES), "predicted": 0.1}
        for step in STEPS[:-1]
        for name in NAMES
    ]
)
REWARDS = pl.DataFrame(
    [
        {"step": step, "objective": name, "reward": (-1) ** i * 10.0 ** -(i + 1), **SHARE}
        for step in STEPS[1:]
        for i, name in enumerate(NAMES)
    ]
)
DECISIONS = pl.DataFrame(
    {"step": [0, 40], "predicted_reward": [0.5, 1.0], "explored": [False, True]}
)
CHARTS = {
    "held out": lambda: pretraining.held_out(LOSSES, 1.38),
    "mixture": lambda: pretraining.mixture(RATIOS, REWARDS, DECISIONS),
}


@pytest.mark.parametrize("name", CHARTS)
def test_chart_draws(name):
    drawing.check(CHARTS[name]())


def test_held_out_hides_what_an_arm_never_trained_on_until_asked():
    chart = CHARTS["held out"]()
    spec = chart.to_dict()
    assert [p["value"] for p in spec["params"] if p["name"] == "untrained"] == [False]
    assert "datum.trained || untrained" in json.dumps(spec)
    found = {(r["arm"], r["objective"]): r["trained"] for r in drawing.rows(chart) if "arm" in r}
    assert found["Birdie mixture", "Copying"] and not found["Birdie mixture", "Next token"]
    assert not found["next token (NTP)", "Copying"] and found["next token (NTP)", "Next token"]


def test_mixture_strips_are_full_at_every_step_and_reach_the_end():
    frame = pretraining.shares(RATIOS, REWARDS)
    tops = frame.group_by("strip", "start").agg(pl.col("high").max(), pl.col("low").min())
    assert tops["high"].to_list() == pytest.approx([1.0] * tops.height)
    assert tops["low"].to_list() == pytest.approx([0.0] * tops.height)
    assert (frame["start"].min(), frame["stop"].max()) == (0, STEPS[-1])
    assert set(frame["strip"]) == set(pretraining.SHARES.values())


def test_mixture_marks_the_rounds_that_were_explored():
    found = drawing.rows(CHARTS["mixture"]())
    assert [row["x"] for row in found if "x" in row] == [60.0]
