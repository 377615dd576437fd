"""Charts of the data draw, stay light, and show what was counted."""

import json

import polars as pl
import pytest
import vl_convert
from made_rows import different, labelled

from birdiedna import tasks
from birdiedna.data import genome, sample
from birdiedna.evaluation import audit, baselines
from birdiedna.figures import data, show
from birdiedna.figures.evaluation import MOST_ROWS
from birdiedna.tasks import Task

INTERVALS = [
    {"set": name, "class": label, "train": 40, "test": 20}
    | {"overlapping": 10, "covered": 5, "copies": 1}
    | {"conflicting_labels": 0, "repeats_train": 0, "repeats_test": 0}
    for name in ("one", "other")
    for label in ("all", "negative", "positive")
]
TASKS = ("promoter_tata", "splice_sites_acceptors")


@pytest.fixture(scope="module")
def loaded():
    return {name: tasks.read(tasks.find(sample.TASKS, name)) for name in TASKS}


@pytest.fixture(scope="module")
def found(human, loaded):
    """What every chart is drawn from."""
    split = genome.split(human, sample.VALIDATION)
    return {
        "map": data.places(human, split, loaded),
        "gc": data.gc_shares(loaded),
        "baselines": audit.long(
            [audit.of_task(name, rows) for name, rows in loaded.items()], "baselines"
        ),
        "overlap": pl.DataFrame(INTERVALS),
    }


CHARTS = {
    "map": data.map_of,
    "gc": data.gc_by_class,
    "baselines": data.baseline_scores,
    "overlap": data.overlap,
}


@pytest.mark.parametrize("name", CHARTS)
def test_chart_draws_something_and_sets_no_colour_of_text(found, name):
    chart = CHARTS[name](found[name])
    picture = vl_convert.vegalite_to_svg(show.themed(chart))
    assert picture.count("<path") > 5 and "NaN" not in picture
    text = json.dumps(chart.to_dict())
    assert "labelColor" not in text and "titleColor" not in text


def test_every_row_with_coordinates_is_on_the_map(found, loaded):
    counts = dict(found["map"].group_by("what").agg(pl.col("rows").sum()).iter_rows())
    for part in ("train", "test"):
        rows = [getattr(task, part) for task in loaded.values()]
        assert counts[f"{part} rows"] == sum(len(each.labels) for each in rows)
    lanes = found["map"].filter(pl.col("what") == "pre-training")
    assert lanes["chromosome"].to_list() == ["chrX"] * 6
    assert (lanes["start"][0], lanes["end"][0]) == (2.4, 2.8)


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
        row
        for table in data.baseline_scores(found["baselines"]).to_dict()["datasets"].values()
        for row in table
        if "method" in row
    ]
    assert len(rows) == len(TASKS) * len(audit.METHODS)
    assert {row["method"] for row in rows} == {*audit.METHODS.values()}


def whole_benchmark() -> dict[str, Task]:
    """Eighteen tasks of three classes that lie on all chromosomes of a genome."""
    names = [f"chr{1 + i % 22}:{i * 10**6}-{i * 10**6 + 50}|0" for i in range(240)]
    rows = labelled(different(0, 240, 50), [i % 3 for i in range(240)], names)
    return {f"t{i}": Task(rows, rows, rows, ("0", "1", "2"), {}) for i in range(18)}


def test_a_whole_benchmark_stays_light():
    loaded = whole_benchmark()
    sequences = {f"chr{i}": "ACGT" for i in range(1, 23)} | {
        f"scaffold_{i}": "AC" for i in range(99)
    }
    made = genome.from_sequences(sequences)
    found = data.places(made, genome.split(made, ("chr8",)), loaded)
    assert found.height <= MOST_ROWS and found["chromosome"].n_unique() <= 30
    assert found["rows"].sum() == 3 * 18 * 240
    assert data.gc_shares(loaded).height <= MOST_ROWS


def test_rows_without_coordinates_leave_the_contigs_on_the_map(human):
    bare = labelled(different(0, 4, 40))
    found = data.places(
        human, genome.split(human, sample.VALIDATION), {"t": Task(bare, None, bare, ("0", "1"), {})}
    )
    assert {*found["what"]} == {"pre-training", "held-out loss"}
    assert "NaN" not in vl_convert.vegalite_to_svg(show.themed(data.map_of(found)))


def test_the_test_rows_of_the_sample_lie_where_nothing_is_read(found):
    read = found["map"].filter(pl.col("what").is_in(["pre-training", "held-out loss"]))
    scored = found["map"].filter(pl.col("what") == "test rows")
    assert not {*read["chromosome"]} & {*scored["chromosome"]}
