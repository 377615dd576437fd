"""Charts of the tasks draw, stay light, and keep every seed."""

import json

import polars as pl
import pytest
import vl_convert
from made_runs import comparison

from birdiedna.evaluation import frames, paper_claims, paper_table, scores, statistics
from birdiedna.experiments import profiles
from birdiedna.figures import evaluation, show

TASKS = ("promoter_all", "splice_sites_donors", "a_task_of_my_own")
ERRORS = {"birdie": 0.1, "ntp": 0.2, "random": 0.3}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every chart of the module on small runs."""
    folders = comparison(tmp_path_factory.mktemp("runs"), TASKS, ERRORS)
    results, curves = frames.results(folders), frames.curves(folders)
    bars = pl.DataFrame(
        [{"task": t, "who": scores.FAIR, "metric": "mcc", "value": 0.4} for t in TASKS]
    )
    return {
        "paper": evaluation.paper_gaps(paper_table.TABLE_1),
        "curves": evaluation.learning_curves(curves),
        "scores": evaluation.scores(results, bars),
        "gaps": evaluation.paired_gaps(statistics.table(folders)),
        "selection": evaluation.selection(scores.selection(curves)),
    }


NAMES = ("paper", "curves", "scores", "gaps", "selection")


def rows(chart) -> list[dict]:
    """Every row of a chart's own data."""
    return [row for table in chart.to_dict()["datasets"].values() for row in table]


@pytest.mark.parametrize("name", NAMES)
def test_chart_draws_something(made, name):
    picture = vl_convert.vegalite_to_svg(show.themed(made[name]))
    assert picture.count("<path") > 5 and "NaN" not in picture


@pytest.mark.parametrize("name", NAMES)
def test_chart_sets_no_colour_of_text(made, name):
    text = json.dumps(made[name].to_dict())
    assert "labelColor" not in text and "titleColor" not in text


@pytest.mark.parametrize("name", ["curves", "scores", "selection"])
def test_every_seed_of_every_arm_is_drawn(made, name):
    column = "who" if name == "scores" else "arm"
    found = {(row["task"], row[column]) for row in rows(made[name]) if row.get("value") is not None}
    expected = {
        (task, arm)
        for task in ("Promoter All", "Splice Sites Donors", "a_task_of_my_own")
        for arm in (paper_table.ARM_TITLES[name] for name in profiles.ARMS)
    }
    assert expected <= found
    counts = pl.DataFrame([row for row in rows(made[name]) if row.get("value") is not None])
    per_arm = counts.group_by("task", column).len()["len"]
    assert set(per_arm) == {3 if name == "scores" else 9}


def test_papers_gaps_hold_all_tasks_and_the_recounted_mean(made):
    found = [row for row in rows(made["paper"]) if "metric" in row]
    accuracy = [row for row in found if row["metric"] == "accuracy"]
    assert len(accuracy) == 15
    whole = paper_claims.recounted()["mean"][0]
    assert [r["gap"] for r in accuracy if r["kind"] == "mean"] == pytest.approx([whole])


def test_a_run_of_the_whole_benchmark_stays_below_the_limit():
    curves = pl.DataFrame(
        [
            {"task": f"t{task}", "arm": arm, "seed": 0, "finetune_seed": seed, "step": step}
            | {"split": "validation", "metric": "mcc", "value": 0.1}
            for task in range(18)
            for arm in profiles.ARMS
            for seed in range(3)
            for step in range(0, 8193, 256)
        ]
    )
    drawn = rows(evaluation.learning_curves(curves))
    assert len(drawn) <= evaluation.MOST_ROWS
    assert {0, 8192} <= {row["step"] for row in drawn}
