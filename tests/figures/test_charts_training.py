"""Charts of pre-training draw, stay light, and show what they say."""

import json

import polars as pl
import pytest
import vl_convert

from birdiedna.figures import pretraining, reward, show
from birdiedna.objectives.definitions import BIRDIE_DNA, NTP

STEPS = (0, 40, 80)
NAMES = tuple(BIRDIE_DNA)


def losses() -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"run": arm, "arm": arm, "seed": 0, "step": step, "objective": name}
            | {"loss": 6.0 / (1 + step)}
            for arm in ("birdie", "ntp")
            for step in STEPS
            for name in (*NAMES, *NTP)
        ]
    )


def ratios() -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"step": step, "objective": name, "ratio": 1 / len(NAMES), "predicted": 0.1}
            for step in STEPS[:-1]
            for name in NAMES
        ]
    )


def rewards() -> pl.DataFrame:
    share = 1 / len(NAMES)
    return pl.DataFrame(
        [
            {"step": step, "objective": name, "reward": (-1) ** i * 10.0 ** -(i + 1)}
            | {"rows_share": share, "loss_tokens_share": share}
            for step in STEPS[1:]
            for i, name in enumerate(NAMES)
        ]
    )


def rounds() -> tuple[pl.DataFrame, pl.DataFrame]:
    decisions = {"step": [0, 40], "predicted_reward": [0.5, 1.0], "explored": [False, True]}
    totals = {"step": [40, 80], "reward": [2.0, 0.1], "fit_loss": [0.1, 0.1]}
    return pl.DataFrame(decisions), pl.DataFrame(totals)


def steps() -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"arm": arm, "step": step, "learning_rate": 1e-3, "grad_norm": 1.0, "loss": 2.0}
            for arm in ("birdie", "ntp")
            for step in STEPS
        ]
    )


CHARTS = {
    "loop": reward.diagram,
    "held out": lambda: pretraining.held_out(losses(), 1.38),
    "mixture": lambda: pretraining.mixture(ratios(), rewards(), rounds()[0]),
    "reward sizes": lambda: pretraining.reward_sizes(rewards(), 4.4e-4),
    "foresight": lambda: pretraining.foresight(*rounds()),
    "optimiser": lambda: pretraining.optimiser(steps()),
}


@pytest.mark.parametrize("name", CHARTS)
def test_chart_draws_something(name):
    picture = vl_convert.vegalite_to_svg(show.themed(CHARTS[name]()))
    assert picture.count("<path") > 5 and "NaN" not in picture


@pytest.mark.parametrize("name", CHARTS)
def test_chart_sets_no_colour_of_text(name):
    text = json.dumps(CHARTS[name]().to_dict())
    assert "labelColor" not in text and "titleColor" not in text


def rows(chart) -> list[dict]:
    """Every row of a chart's own data."""
    return [row for table in chart.to_dict()["datasets"].values() for row in table]


def test_held_out_hides_what_an_arm_never_trained_on_until_asked():
    spec = pretraining.held_out(losses(), 1.38).to_dict()
    assert [p["value"] for p in spec["params"] if p["name"] == "untrained"] == [False]
    assert "datum.trained || untrained" in json.dumps(spec)
    told = {(row["arm"], row["objective"]): row["trained"] for row in rows_of(spec)}
    assert told["Birdie mixture", "Copying"] and not told["Birdie mixture", "Next token"]
    assert not told["next token (NTP)", "Copying"] and told["next token (NTP)", "Next token"]


def rows_of(spec: dict) -> list[dict]:
    return [row for table in spec["datasets"].values() for row in table if "arm" in row]


def test_mixture_strips_are_full_at_every_step_and_reach_the_end():
    frame = pretraining.shares(ratios(), rewards())
    tops = frame.group_by("strip", "start").agg(pl.col("high").max(), pl.col("low").min())
    assert tops["high"].to_list() == pytest.approx([1.0] * tops.height)
    assert tops["low"].to_list() == pytest.approx([0.0] * tops.height)
    assert (frame["start"].min(), frame["stop"].max()) == (0, STEPS[-1])
    assert set(frame["strip"]) == set(pretraining.SHARES.values())


def test_mixture_marks_the_rounds_that_were_explored():
    decisions, _ = rounds()
    places = rows(pretraining.mixture(ratios(), rewards(), decisions))
    assert [row["x"] for row in places if "x" in row] == [60.0]


def test_reward_sizes_tell_improvement_from_loss():
    found = [row for row in rows(pretraining.reward_sizes(rewards(), 1e-4)) if "better" in row]
    assert all(row["size"] > 0 for row in found)
    assert {row["better"] for row in found} == {True, False}
