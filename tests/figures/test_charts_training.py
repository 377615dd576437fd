"""Charts of pre-training show all losses, ratios and rounds."""

import itertools
import json

import drawing
import polars as pl
import pytest
from made_runs import every

from birdiedna.figures import pretraining
from birdiedna.objectives.definitions import BIRDIE_DNA, NTP

STEPS = (0, 40, 80)
NAMES = tuple(BIRDIE_DNA)
SHARE = dict.fromkeys(pretraining.SHARES, 1 / len(NAMES))
LOSSES = every(arm=("birdie", "ntp"), step=STEPS, objective=(*NAMES, *NTP)).with_columns(
    run="arm",
    loss=6.0 / (1 + pl.col("step")),
    trained=(pl.col("objective") == "next_token") == (pl.col("arm") == "ntp"),
)
ROUNDS = pl.DataFrame(
    [
        {"start": start, "end": end, "explored": start > 0, "objective": name, **SHARE}
        for start, end in itertools.pairwise(STEPS)
        for name in NAMES
    ]
)
CHARTS = {
    "held out": lambda: pretraining.held_out(LOSSES, 1.38),
    "mixture": lambda: pretraining.mixture(ROUNDS),
}


@pytest.mark.parametrize("name", CHARTS)
def test_chart_draws(name):
    drawing.check(CHARTS[name]())


def test_charts_of_a_long_log_stay_small_keep_both_ends_and_say_what_is_drawn():
    steps = range(0, 500_000, 50)
    losses = every(arm=("birdie", "ntp"), step=steps, objective=(*NAMES, *NTP))
    losses = losses.with_columns(run="arm", loss=1.3, trained=True)
    rounds = every(start=steps, objective=NAMES).with_columns(end=pl.col("start") + 50)
    rounds = rounds.with_columns(explored=True, **{name: pl.lit(0.1) for name in SHARE})
    held, mixed = pretraining.held_out(losses, 1.38), pretraining.mixture(rounds)
    for chart, column, what in ((held, "step", "evaluations"), (mixed, "start", "rounds")):
        drawn = drawing.check(chart)
        assert f" of 10,000 {what}" in drawn.text
        assert {steps[0], steps[-1]} <= {row.get(column) for row in drawn.rows}


def test_losses_of_untrained_objectives_are_hidden_at_first():
    chart = CHARTS["held out"]()
    spec = chart.to_dict()
    assert [p["value"] for p in spec["params"] if p["name"] == "untrained"] == [False]
    assert "datum.trained || untrained" in json.dumps(spec)
    rows = [row for row in drawing.drawn(chart).rows if row.get("loss")]
    found = {(row["arm"], row["objective"]): row["trained"] for row in rows}
    assert found["Birdie mixture", "Copying"] and not found["Birdie mixture", "Next token"]
    assert not found["next token (NTP)", "Copying"] and found["next token (NTP)", "Next token"]


def test_arms_are_labelled_at_line_ends_in_the_last_panel_of_each_line():
    named = [row for row in drawing.drawn(CHARTS["held out"]()).rows if row.get("label")]
    last = 6.0 / (1 + STEPS[-1])
    assert [(row["objective"], row["label"]) for row in named] == [
        ("Deshuffling", "Birdie"),
        ("Next token", "NTP"),
    ]
    assert [row["place"] for row in named] == pytest.approx([last, last])


def test_mixture_shows_all_rounds_and_marks_exploration():
    found = drawing.drawn(CHARTS["mixture"]()).rows
    rounds = [(row["start"], row["end"], row["explored"]) for row in found]
    assert sorted({*rounds}) == [(0, 40, False), (40, 80, True)]
    assert len(rounds) == 2 * len(NAMES)
    assert {row["ratio"] for row in found} == {1 / len(NAMES)}
