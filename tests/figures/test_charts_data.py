"""Charts of the data show what was counted."""

import json

import drawing
import polars as pl
import pytest
from made_rows import different, labelled

from birdiedna import tasks
from birdiedna.data import genome, sample
from birdiedna.evaluation import audit, baselines
from birdiedna.figures import data
from birdiedna.figures.style import MOST_ROWS
from birdiedna.tasks import Task

TASKS = ("promoter_tata", "splice_sites_acceptors")
INTERVALS = [
    {"set": name, "class": label, "test": 20, "overlapping": 10, "covered": 5, "copies": 1}
    for name in ("one", "other")
    for label in ("all", "negative", "positive")
]
CHARTS = {
    "map": data.map_of,
    "gc": data.gc_by_class,
    "baselines": data.baseline_scores,
    "overlap": data.overlap,
}


@pytest.fixture(scope="module")
def loaded():
    return {name: tasks.read(tasks.find(sample.TASKS, name)) for name in TASKS}


@pytest.fixture(scope="module")
def found(human, loaded):
    """What every chart is drawn from."""
    cards = [audit.of_task(name, rows) for name, rows in loaded.items()]
    return {
        "map": data.places(human, genome.split(human, sample.VALIDATION), loaded),
        "gc": data.gc_shares(loaded),
        "baselines": audit.long(cards, "baselines"),
        "overlap": pl.DataFrame(INTERVALS),
    }


@pytest.mark.parametrize("name", CHARTS)
def test_chart_draws(found, name):
    drawing.check(CHARTS[name](found[name]))


def test_every_row_with_coordinates_is_on_the_map(found, loaded):
    counts = dict(found["map"].group_by("what").agg(pl.col("rows").sum()).iter_rows())
    for part in ("train", "test"):
        rows = [getattr(task, part) for task in loaded.values()]
        assert counts[f"{part} rows"] == sum(len(each.labels) for each in rows)
    lanes = found["map"].filter(pl.col("what") == "pre-training")
    assert lanes["chromosome"].to_list() == ["chrX"] * 6
    assert (lanes["start"][0], lanes["end"][0]) == (2.4, 2.8)


def test_without_coordinates_only_contigs_are_on_the_map(human):
    bare = labelled(different(0, 4, 40))
    split, task = genome.split(human, sample.VALIDATION), Task(bare, None, bare, ("0", "1"), {})
    found = data.places(human, split, {"t": task})
    assert {*found["what"]} == {"pre-training", "held-out loss"}
    drawing.check(data.map_of(found))


def test_the_shares_of_a_class_sum_to_one_and_have_its_mean(found, loaded):
    keys = ["task", "split", "class"]
    sums = found["gc"].group_by(keys).agg(pl.col("share").sum(), pl.col("mean").first())
    assert sums["share"].to_list() == pytest.approx([1.0] * 8)
    train = loaded["promoter_tata"].train
    mean = baselines.gc_share(train)[train.labels == 1].mean()
    where = {"task": "promoter_tata", "split": "train", "class": "class 1"}
    assert sums.filter(**where)["mean"][0] == pytest.approx(mean)


def test_the_menu_offers_every_task_and_is_left_out_for_one(found):
    text = json.dumps(data.gc_by_class(found["gc"]).to_dict())
    assert '"options": ["Promoter TATA", "Splice Sites Acceptors"]' in text
    one = found["gc"].filter(pl.col("task") == "promoter_tata")
    assert "options" not in json.dumps(data.gc_by_class(one).to_dict())


def test_every_method_of_every_task_is_drawn(found):
    rows = [
        row for row in drawing.rows(data.baseline_scores(found["baselines"])) if "method" in row
    ]
    assert len(rows) == len(TASKS) * len(audit.METHODS)
    assert {row["method"] for row in rows} == {*audit.METHODS.values()}


def test_a_whole_benchmark_stays_light():
    names = [f"chr{1 + i % 22}:{i * 10**6}-{i * 10**6 + 50}|0" for i in range(240)]
    rows = labelled(different(0, 240, 50), [i % 3 for i in range(240)], names)
    loaded = {f"t{i}": Task(rows, rows, rows, ("0", "1", "2"), {}) for i in range(18)}
    contigs = {f"chr{i}": "ACGT" for i in range(1, 23)} | {f"s_{i}": "AC" for i in range(99)}
    made = genome.from_sequences(contigs)
    found = data.places(made, genome.split(made, ("chr8",)), loaded)
    assert found.height <= MOST_ROWS and found["chromosome"].n_unique() <= 30
    assert found["rows"].sum() == 3 * 18 * 240
    assert data.gc_shares(loaded).height <= MOST_ROWS
