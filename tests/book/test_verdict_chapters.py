"""For simulated truths, the tables of chapters show the right verdicts."""

from collections import Counter
from functools import partial
from pathlib import Path

import made_results
import polars as pl
import pytest
import small_book

from birdiedna.evaluation import metrics, simulation
from birdiedna.evaluation.verdicts import CONTRADICTED, SUPPORTED
from birdiedna.experiments import results
from birdiedna.figures import show

CONSISTENT, SLIGHT, FASTER = range(3)  # rows of the table of claims


def shown(chapter, name, place, monkeypatch):
    """Run a chapter on results, without cells that teach; returns the folder of its tables."""
    monkeypatch.setenv("BIRDIEDNA_RESULTS", str(place))
    monkeypatch.setenv("BIRDIEDNA_FIGURES", str(place / "figures" / name))
    few = partial(metrics.intervals, resamples=100)  # of every run
    monkeypatch.setattr(metrics, "intervals", few)
    small_book.executed(chapter, {"profile": name}, without=("remove-cell", "teaches"))
    return place / "figures" / name


TRUTHS = {
    "null": simulation.Truth(),
    "uniform": simulation.uniform(0.06),
    "one-task": simulation.TRUTHS["+0.20 on one task, -0.005 on 13"],
    "faster": simulation.Truth(speed_up=2.0),
    "worse": simulation.uniform(-0.06),
}
EXPECTED = {
    "null": {},
    "uniform": {CONSISTENT: SUPPORTED, SLIGHT: SUPPORTED},
    "one-task": {},
    "faster": {FASTER: SUPPORTED},
    "worse": {CONSISTENT: CONTRADICTED, SLIGHT: CONTRADICTED},
}


@pytest.mark.parametrize(
    "name",
    ["uniform", *(pytest.param(n, marks=pytest.mark.slow) for n in TRUTHS if n != "uniform")],
)
def test_chapter_1_pools_all_seeds_and_gives_the_verdict_of_the_truth(name, tmp_path, monkeypatch):
    made_results.write(tmp_path, name, TRUTHS[name])
    table = pl.read_csv(shown("01_paper", name, tmp_path, monkeypatch) / "tab-verdicts.csv")
    settled = {
        row: verdict
        for row, verdict in enumerate(table["verdict"][:4])
        if verdict in (SUPPORTED, CONTRADICTED)
    }
    assert settled == EXPECTED[name]
    assert "over 3 pre-training seeds" in table["measured here"][SLIGHT]
    assert len(results.read(name)["runs"]) == 2 + 4 * 3 * 3 * 14


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Results of 4 pre-training seeds on 3 tasks, with probes, a fixed mixture and Birdie ahead."""
    place = tmp_path_factory.mktemp("results")
    made_results.write(place, "several", simulation.uniform(0.1), 4, tasks=3, runs=1, probes=True)
    return place


@pytest.mark.parametrize("chapter", ["01_paper", "05_evaluation"])
def test_chapters_show_several_seeds_and_a_fixed_mixture(chapter, several, monkeypatch):
    read, manifests = Counter(), show.manifests

    def counted(name, sources):
        of = sources if isinstance(sources, list) else []
        read.update(one for one in of if isinstance(one, Path) and "finetune" in one.name)
        return manifests(name, sources)

    monkeypatch.setattr(show, "manifests", counted)
    place = shown(chapter, "several", several, monkeypatch)
    assert max(read.values(), default=0) <= 1  # of thousands of runs, not for each figure
    table = lambda name: pl.read_csv(place / f"{name}.csv")
    if chapter == "01_paper":
        measured = " ".join(table("tab-verdicts")["measured here"])
        assert "over 4 pre-training seeds" in measured and "over uniform mixture: " in measured
        assert "2 sizes; runs of kind probe" in measured
    else:
        assert {"Birdie minus NTP", "Birdie minus uniform"} <= {*table("tab-pairs")["pair"]}
        assert "uniform mixture" in {*table("tab-scores")["arm"]}
        assert table("tab-scores")["over seeds"].null_count() == 0
        assert "not measured" not in {*table("tab-failures")["this run"]}
        leaks = table("tab-leaks")
        assert {*leaks["task"]} == {"Promoter All"} and {*leaks["leaked rows"]} == {3}
