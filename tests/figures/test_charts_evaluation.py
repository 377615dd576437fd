"""Charts of scores show all seeds, tasks and arms."""

import altair as alt
import drawing
import polars as pl
import pytest
from made_runs import comparison, every

from birdiedna.evaluation import (
    audit,
    frames,
    learning_speed,
    paper_table,
    printed_digits,
    scores,
    seeds,
    statistics,
)
from birdiedna.experiments import profiles
from birdiedna.figures import data, evaluation, evidence, style, table_1, use

TASKS = ("promoter_all", "splice_sites_donors", "a_task_of_my_own")
ERRORS = {"birdie": 0.1, "ntp": 0.2, "random": 0.3}
#: Evaluations of arms of which one stopped early.
LENGTHS = {"birdie": 100, "ntp": 5}
NAMES = ("curves", "scores", "gaps", "splits", "waiting")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """All charts of the module, on small runs."""
    folders = comparison(tmp_path_factory.mktemp("runs"), TASKS, ERRORS)
    results, curves = frames.results(folders), frames.curves(folders)
    bars = [{"task": t, "who": scores.FAIR, "metric": "mcc", "value": 0.4} for t in TASKS]
    return {
        "curves": evaluation.learning_curves(curves),
        "scores": evaluation.scores(results, pl.DataFrame(bars)),
        "gaps": evaluation.paired_gaps(statistics.table(folders)),
        "splits": evaluation.splits(statistics.table(folders)),
        "waiting": evaluation.waiting(learning_speed.waiting(curves, "birdie", "ntp")),
    }


@pytest.mark.parametrize("name", NAMES)
def test_chart_draws(made, name):
    drawing.check(made[name])


@pytest.mark.parametrize("name", ["curves", "scores"])
def test_all_seeds_of_all_arms_are_drawn(made, name):
    arms = [paper_table.ARM_TITLES[arm] for arm in profiles.ARMS]
    rows = [row for row in drawing.drawn(made[name]).rows if row.get("value") is not None]
    counts = pl.DataFrame(row for row in rows if row["arm"] in arms).group_by("task", "arm").len()
    for task in ("Promoter All", "Splice Sites Donors", "a_task_of_my_own"):
        assert {*arms} == {*counts.filter(task=task)["arm"]}
    assert {*counts["len"]} == {3 if name == "scores" else 9}


def test_curves_of_the_whole_benchmark_stay_small_and_keep_both_ends():
    tasks = [f"t{task}" for task in range(18)]
    runs = every(task=tasks, arm=profiles.ARMS, seed=[0], finetune_seed=range(3))
    points = every(step=range(0, 8193, 256), validation=[0.1])
    curves = runs.join(points, how="cross")
    drawn = drawing.check(evaluation.learning_curves(curves))
    assert {0, 8192} <= {row["step"] for row in drawn.rows}


@pytest.mark.parametrize("tasks, pretrained, tuned", [(22, 3, 10), (60, 30, 10)])
def test_charts_of_thousands_of_runs_stay_small_say_what_is_drawn_and_keep_the_means(
    tasks, pretrained, tuned
):
    names, seeds, runs = [f"t{n}" for n in range(tasks)], range(pretrained), range(tuned)
    of = every(task=names, arm=profiles.ARMS, seed=seeds, finetune_seed=runs)
    of = of.with_columns(value=pl.col("seed") / 100 + pl.col("finetune_seed") / 1000)
    curves = of.rename({"value": "validation"}).join(every(step=range(0, 90, 10)), how="cross")
    drawn = drawing.check(evaluation.learning_curves(curves))
    assert f" of {pretrained * tuned} runs of an arm on a task" in drawn.text
    found = [row["mean"] for row in drawn.rows if row.get("mean") is not None]
    assert len(found) >= tasks * 3 * 5 and found == pytest.approx([of["value"].mean()] * len(found))
    edges = of.with_columns(metric=pl.lit("mcc"), low=pl.col("value"), high=pl.col("value"))
    bars = every(task=names, who=[scores.FAIR], metric=["mcc"]).with_columns(value=0.1)
    drawing.check(evaluation.scores(edges, bars))
    counts = [pl.lit([1] * pretrained * tuned).alias(f"only_{one}") for one in ("first", "second")]
    gaps = every(task=names, first=["birdie"], second=["ntp", "random"]).with_columns(*counts)
    drawing.check(evaluation.splits(gaps))
    falls = every(arm=["birdie", "ntp"], step=range(tasks * pretrained * tuned))
    drawn = drawing.check(evaluation.waiting(falls.with_columns(waiting=1 / (1 + pl.col("step")))))
    assert ("Drawn: " in drawn.text) == (falls.height > style.DATA_ROWS)


def test_baselines_are_shown_as_codes(made):
    found = [row for row in drawing.drawn(made["scores"]).rows if "who" in row]
    assert {(row["who"], row["code"]) for row in found} == {(scores.FAIR, "5")}


def test_gaps_are_shown_with_their_outcome(made):
    words = {row["outcome"] for row in drawing.drawn(made["gaps"]).rows if "outcome" in row}
    assert words and words <= {"win", "loss", "equivalent", "inconclusive"}


def test_labels_at_line_ends_do_not_overlap():
    lines = {"who": [*"aabbcc"], "x": [0, 1, 0, 2, 0, 1], "y": [0.0, 0.5, 0.0, 0.51, 0.0, 1.0]}
    colour = alt.Color("who:N")
    found = drawing.drawn(style.end_labels(pl.DataFrame(lines), "x", "y", "who", colour)).rows
    assert [(row["who"], row["y"]) for row in found] == [("a", 0.5), ("b", 0.51), ("c", 1.0)]
    assert found[1]["place"] - found[0]["place"] == pytest.approx(0.1)
    assert {row["x"] for row in found} == {2}  # none on a longer line
    assert found[0]["place"] < 0.5 < 0.51 < found[1]["place"]


def test_tasks_are_in_the_order_of_the_gaps_of_the_first_panel():
    arms = {"birdie": [0.1, 0.5, 0.3], "ntp": [0.0] * 3, "random": [0.4] * 3}
    rows = every(arm=arms, task=[*"abc"]).with_columns(seed=0, finetune_seed=0)
    scored = rows.with_columns(value=pl.Series(sum(arms.values(), [])))
    pairs = [("birdie", "ntp"), ("birdie", "random")]
    drawn = drawing.check(evidence.gaps(seeds.by_task(scored, pairs)))
    assert '"sort": ["b", "c", "a"]' in drawn.text


def test_charts_of_many_seeds_stay_small_and_say_what_is_drawn():
    names = [f"t{n}" for n in range(60)]
    rows = every(task=names, arm=profiles.ARMS, seed=range(50)).with_columns(finetune_seed=0)
    scored = rows.with_columns(value=pl.col("seed") / 100)
    pairs = [("birdie", "ntp"), ("birdie", "random")]
    for chart in (evidence.levels(scored), evidence.gaps(seeds.by_task(scored, pairs))):
        assert "of 50 seeds" in drawing.check(chart).text


def test_charts_of_thousands_of_tasks_say_which_are_drawn():
    names = [f"t{n}" for n in range(2000)]
    scored = every(task=names, arm=profiles.ARMS, seed=range(2)).with_columns(
        value=0.1, finetune_seed=0, share=1.0, n_train=9, metric=pl.lit("mcc"), low=0.0, high=0.2
    )
    points = scored.rename({"value": "validation"}).join(every(step=range(9)), how="cross")
    gaps = every(task=names, first=["birdie"], second=["ntp", "random", "mlm"]).with_columns(
        *(pl.lit(0.1).alias(name) for name in ("gap", "low", "high", "low_rows", "high_rows")),
        *(pl.lit([1, 1]).alias(f"only_{one}") for one in ("first", "second")),
        outcome=pl.lit("win"),
    )
    bars = every(task=names, who=[*audit.METHODS], metric=["mcc"])
    bars = bars.with_columns(value=0.1, mcc=0.1, low=0.0, high=0.2, rule=pl.lit(""))
    for chart in (
        *(evaluation.learning_curves(points), evaluation.scores(scored, bars)),
        *(evaluation.paired_gaps(gaps), evaluation.splits(gaps)),
        *(evidence.levels(scored), evidence.gaps(seeds.by_task(scored, [("birdie", "ntp")] * 3))),
        *(use.by_labels(scored), data.baseline_scores(bars)),
    ):
        drawn = drawing.drawn(chart)
        assert len(drawn.rows) <= style.MOST_ROWS and " of 2,000 tasks" in drawn.text


def test_an_arm_of_few_points_keeps_them_beside_one_of_many():
    steps = [*(("birdie", step) for step in range(9000)), *(("ntp", 1000 * n) for n in range(8))]
    found = pl.DataFrame(steps, ["arm", "step"], orient="row").with_columns(waiting=0.5)
    drawn, arm = drawing.drawn(evaluation.waiting(found)), paper_table.ARM_TITLES["ntp"]
    assert {1000 * n for n in range(8)} <= {row["step"] for row in drawn.rows if row["arm"] == arm}
    said = style.titled(found)["arm"][0]
    assert f" of 9,000 steps of {said}" in drawn.text and f"of {arm}" not in drawn.text


def test_an_arm_that_stopped_early_is_drawn_to_its_end():
    of = every(task=[f"t{n}" for n in range(60)], seed=[0], finetune_seed=[0], validation=[0.1])
    runs = [of.join(every(arm=[a], step=range(n)), how="cross") for a, n in LENGTHS.items()]
    drawn = drawing.check(evaluation.learning_curves(pl.concat(runs)))
    for arm, count in LENGTHS.items():
        rows = [r for r in drawn.rows if r.get("arm") == paper_table.ARM_TITLES[arm]]
        for kind in ("mean", "value"):
            assert max(r["step"] for r in rows if r.get(kind) is not None) == count - 1


def test_every_run_has_a_signed_split(made):
    found = [row for row in drawing.drawn(made["splits"]).rows if "only_first" in row]
    assert len(found) == 3 * 3 * len(TASKS)  # seeds, pairs
    assert {row["split"] > 0 for row in found} == {True, False}


def test_probes_of_many_seeds_are_one_line_per_arm():
    rows = every(task=["one"], arm=("birdie", "ntp"), seed=range(3), n_train=(10, 100))
    score = {"metric": pl.lit("mcc"), "value": 0.1 * pl.col("seed"), "low": 0.0, "high": 1.0}
    frame = use.by_labels(rows.with_columns(share=pl.col("n_train") / 100, **score)).data
    drawn = frame.filter(pl.col("mean").is_not_null())
    assert drawn.height == 4 and drawn["mean"].to_list() == pytest.approx([0.1] * 4)
    assert (drawn["least"].max(), drawn["greatest"].min()) == pytest.approx((0.0, 0.2))


def test_charts_of_printed_digits_draw():
    fits = printed_digits.fits()
    drawing.check(table_1.fits(fits))
    drawn = drawing.check(table_1.sequences(printed_digits.gaps(fits))).rows
    tata = [row["sequences"] for row in drawn if row.get("task") == "Promoter TATA"]
    assert sorted(round(gap) for gap in tata) == [6, 12]
