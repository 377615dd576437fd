"""Known truths go through the chapters' own cells: their tables give the right verdicts."""

import json

import made_results
import polars as pl
import pytest

from birdiedna.evaluation import simulation
from birdiedna.evaluation.verdicts import CONTRADICTED, SUPPORTED
from birdiedna.experiments import results
from birdiedna.training import run_folder

CONSISTENT, SLIGHT, FASTER = range(3)  # rows of the table of claims


def shown(chapter, name, place, monkeypatch):
    """Run a chapter's cells on results; the folder with the tables that it shows."""
    monkeypatch.setenv("BIRDIEDNA_RESULTS", str(place))
    monkeypatch.setenv("BIRDIEDNA_FIGURES", str(place / "figures" / name))
    notebook = json.loads((run_folder.repository() / "book" / f"{chapter}.ipynb").read_text())
    scope = {"__name__": "chapter"}
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags", [])
        if cell["cell_type"] == "code" and "remove-cell" not in tags:
            exec("".join(cell["source"]), scope)
            if "parameters" in tags:
                scope["profile"] = name
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
    assert len(results.read(name)["runs"]) == 2 + 3 * 3 * 3 * 14
