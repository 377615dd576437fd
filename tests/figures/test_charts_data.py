"""Charts of the data show all counts."""

import drawing
import numpy as np
import polars as pl
import pytest
from made_rows import different, labelled

from birdiedna import tasks
from birdiedna.data import genome, sample
from birdiedna.evaluation import audit, variant_sets
from birdiedna.figures import data
from birdiedna.figures.style import MOST_ROWS
from birdiedna.tasks import Task

TASKS = ("promoter_tata", "splice_sites_acceptors")
CHARTS = {"map": data.map_of, "baselines": data.baseline_scores, "logos": data.logos}


@pytest.fixture(scope="module")
def loaded():
    return {name: tasks.read(tasks.find(sample.TASKS, name)) for name in TASKS}


@pytest.fixture(scope="module")
def found(human, loaded):
    """The data of each chart."""
    site = variant_sets.sites(loaded["splice_sites_acceptors"].train, "acceptor")
    cards = [audit.of_task(name, rows) for name, rows in loaded.items()]
    return {
        "map": data.places(human, genome.split(human, sample.VALIDATION), loaded),
        "baselines": audit.long(cards, "baselines"),
        "logos": variant_sets.logo(site.windows, site.first, (3, 6)).with_columns(rows=pl.lit("a")),
    }


@pytest.mark.parametrize("name", CHARTS)
def test_chart_draws(found, name):
    drawing.check(CHARTS[name](found[name]))


def test_map_shows_all_rows_with_coordinates(found, loaded):
    counts = dict(found["map"].group_by("what").agg(pl.col("rows").sum()).iter_rows())
    for part in ("train", "test"):
        rows = [getattr(task, part) for task in loaded.values()]
        assert counts[f"{part} rows"] == sum(len(each.labels) for each in rows)
    lanes = found["map"].filter(what="pre-training")
    assert lanes["chromosome"].to_list() == ["chrX"] * 6
    assert (lanes["start"][0], lanes["end"][0]) == (2.4, 2.8)


def test_map_without_coordinates_shows_only_contigs(human):
    bare = labelled(different(0, 4, 40))
    split, task = genome.split(human, sample.VALIDATION), Task(bare, None, bare, ("0", "1"), {})
    found = data.places(human, split, {"t": task})
    assert {*found["what"]} == {"pre-training", "held-out loss"}
    drawing.check(data.map_of(found))


def test_all_methods_of_all_tasks_are_drawn(found):
    drawn = drawing.drawn(data.baseline_scores(found["baselines"])).rows
    methods = [row["method"] for row in drawn if "method" in row]
    assert len(methods) == len(TASKS) * len(audit.METHODS)
    assert {*methods} == {*audit.METHODS.values()}


def test_map_of_a_whole_benchmark_stays_small():
    names = [f"chr{1 + i % 22}:{i * 10**6}-{i * 10**6 + 50}|0" for i in range(240)]
    rows = labelled(different(0, 240, 50), [i % 3 for i in range(240)], names)
    loaded = {f"t{i}": Task(rows, rows, rows, ("0", "1", "2"), {}) for i in range(18)}
    contigs = {f"chr{i}": "ACGT" for i in range(1, 23)} | {f"s_{i}": "AC" for i in range(99)}
    made = genome.from_sequences(contigs)
    found = data.places(made, genome.split(made, ("chr8",)), loaded)
    assert found.height <= MOST_ROWS and found["chromosome"].n_unique() <= 30
    assert found["rows"].sum() == 3 * 18 * 240


def test_map_of_thousands_of_contigs_stays_small_and_keeps_their_ends():
    made = genome.from_sequences({f"chr1:{1 + 9 * i}-{8 + 9 * i}": "ACGTACGT" for i in range(6000)})
    split = genome.split(made, [made.contigs[-1].name])
    found = data.places(made, split, {})
    drawing.check(data.map_of(found))
    read = found.filter(what="pre-training")
    assert (read["start"].min(), read["end"].max()) == (0, (8 + 9 * 5998) / 1e6)


def test_logo_is_2_bits_for_a_constant_base_and_empty_for_equal_shares():
    windows = np.array([[8, 8], [8, 9], [8, 10], [8, 11]], np.uint8)
    found = variant_sets.logo(windows, 0, (0, 2))
    assert found.rows() == [(0, "A", pytest.approx(0.0), pytest.approx(2.0))]
