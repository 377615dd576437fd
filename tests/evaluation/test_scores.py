"""Tables of scores: means over seeds, selection of steps, baselines, Table 1."""

import math

import numpy as np
import polars as pl
import pytest
from made_rows import different, labelled
from made_runs import comparison, finetuned

from birdiedna.evaluation import cnn, frames, metrics, paper_claims, paper_table, scores, statistics
from birdiedna.experiments import profiles
from birdiedna.training.metrics import METRICS

BASELINES = {"task": pl.String, "who": pl.String, "metric": pl.String, "value": pl.Float64}
ERRORS = {"birdie": 0.1, "ntp": 0.2, "random": 0.3}
TASKS = ("promoter_all", "splice_sites_donors_decoy")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return comparison(tmp_path_factory.mktemp("runs"), TASKS, ERRORS)


@pytest.fixture(scope="module")
def results(folders):
    return frames.results(folders)


def test_means_are_over_seeds_and_inside_their_interval(results):
    table = scores.arms(results)
    assert table.height == len(TASKS) * len(ERRORS) * len(METRICS)
    assert set(table["seeds"]) == {3}
    assert ((table["low"] <= table["mean"]) & (table["mean"] <= table["high"])).all()


def test_result_table_keeps_the_order_of_runs_and_shows_titles(results):
    table = scores.result_table(results)
    assert table["task"].to_list()[:3] == ["Promoter All"] * 3
    assert table["arm"].to_list()[:3] == [paper_table.ARM_TITLES[arm] for arm in profiles.ARMS]
    assert table["MCC"].is_between(0, 1).all()


def test_collapsed_runs_are_counted(tmp_path):
    folder = finetuned(tmp_path, "promoter_all", "ntp", 0, (1.0, 1.0, 1.0))
    with np.load(folder / "predictions.npz") as stored:
        found = dict(stored)
    found["test_logits"][:] = (1.0, 0.0)
    np.savez(folder / "predictions.npz", **found)
    steps = {"arm": "ntp", "objective": "copying", "step": [0], "loss": [1.0], "per_base": [1.0]}
    steps |= {"trained": False}
    rounds = pl.DataFrame({"end": [0, 1], "reward": [0.1, 0.1]})
    runs = frames.results([folder]), frames.curves([folder])
    table = paper_claims.failures(pl.DataFrame(steps), rounds, *runs)
    assert table["this run"].to_list() == ["0%", "1.00", "1 of 1", "+0.000", "+0.000"]


def test_interval_of_a_single_seed_is_null(tmp_path):
    folder = finetuned(tmp_path, "promoter_all", "ntp", 0, (0.5, 0.3, 0.1))
    assert scores.result_table(frames.results([folder]))["over seeds"].to_list() == [None]


def test_the_last_step_and_the_best_on_test_rows_are_compared_with_the_chosen_one(folders, results):
    curves = frames.curves(folders)
    best = curves.group_by("run").agg(best=pl.col("test").max(), last=pl.col("test").last())
    used = results.filter(metric="mcc").join(best, on="run")
    added = used["best"] - used["value"]
    assert used.height == len(folders) and (added >= 0).all() and added.max() > 0
    last = (used["last"] - used["value"]).mean()
    assert last != 0 and scores.step_choices(curves) == pytest.approx((last, added.mean()))


def test_scores_stand_beside_those_without_leaked_rows(folders):
    leaked = {TASKS[0]: [0, 1, 5], TASKS[1]: [], "another": [3]}
    found = frames.beside_leaks(folders, leaked)
    keys = [(TASKS[0], arm, "finetune", 3) for arm in ERRORS]
    assert found.select("task", "arm", "kind", "leaked").rows() == keys
    of_task = [one for one in folders if TASKS[0] in one.name and "ntp" in one.name]
    parts = (lambda n: [*range(n)], lambda n: [2, 3, 4, *range(6, n)], lambda n: [0, 1, 5])
    for column, part in zip(("all", "clean", "leaks"), parts, strict=True):
        mcc = []
        for folder in of_task:
            labels, logits, _ = frames.chosen(folder)
            rows = part(len(labels))
            mcc.append(metrics.scores(labels[rows], logits[rows])["mcc"])
        assert found.filter(arm="ntp")[column].item() == pytest.approx(np.mean(mcc))
    assert frames.beside_leaks(folders, {}).columns == found.columns
    every = frames.beside_leaks(folders, {TASKS[0]: [*range(len(labels))]})
    assert every["clean"].null_count() == every.height  # no row is left


def test_table_1_keeps_its_14_rows_and_explains_empty_ones(results):
    table = scores.table_1(results, ["promoter_all", "promoter_tata"])
    assert table.height == 14
    found = {task: (theirs, ours) for task, theirs, ours, *_ in table.iter_rows()}
    theirs, ours = found["Promoter All"]
    assert theirs == "83.93 / 83.79"
    assert all(50 < float(value) < 100 for value in ours.split(" / "))
    assert found["Promoter TATA"][1] == "not compared here"
    assert found["Enhancers"][1] == "no data here"


def test_two_letter_rule_is_scored_on_splice_windows_only(monkeypatch):
    plain = different(0, 40, 600)
    planted = [each[:301] + "GT" + each[303:] if i % 2 else each for i, each in enumerate(plain)]
    given = lambda rows: ((rows, rows), (rows, rows, rows))
    donors, short = map(given, map(labelled, (planted, [p[:300] for p in plain])))
    monkeypatch.setattr(cnn, "predict", lambda seen, seed: np.eye(2)[seen[2].labels])
    found = scores.baseline_scores("splice_sites_donors", *donors)
    assert found.filter(who="two letters", metric="mcc")["value"].item() > 0.6
    assert found.filter(who=scores.CNN)["value"].to_list() == [1] * len(METRICS)
    for name, rows in (("mine", donors), ("splice_sites_donors_short", short)):
        assert "two letters" not in set(scores.baseline_scores(name, *rows)["who"])


def test_baselines_beat_the_arms_where_they_exceed_every_mean(results):
    words = [
        {"task": task, "who": scores.FAIR, "metric": "mcc", "value": value}
        for task, value in zip(TASKS, (0.99, 0.0), strict=True)
    ]
    text = lambda who: scores.beaten_text(results, pl.DataFrame(words), who)
    assert text(scores.FAIR).startswith("On 1 of 2 tasks “5-mers")
    assert text(scores.CNN).startswith("No task was run with every arm and “small CNN”")


def test_frames_without_runs_keep_columns_and_types(folders, results):
    curves = frames.curves(folders)
    no_results, no_curves = frames.results([]), frames.curves([])
    pairs = [(results, no_results), (curves, no_curves)]
    pairs += [(f(results), f(no_results)) for f in (scores.arms, scores.result_table)]
    pairs += [(statistics.table(folders), statistics.table([]))]
    pairs += [(statistics.shown(statistics.table(folders)), statistics.shown(statistics.table([])))]
    for some, none in pairs:
        assert none.height == 0 and none.schema == some.schema
    assert scores.table_1(no_results, [])["F1, ours"].to_list() == ["no data here"] * 14
    none = scores.beaten_text(no_results, pl.DataFrame([], BASELINES), scores.FAIR)
    assert none.startswith("No task was run")
    assert not statistics.gaps(no_results, "birdie", "ntp").tasks
    assert all(map(math.isnan, scores.step_choices(no_curves)))
