"""Charts of the benchmark show all measurements, of one machine or several."""

from itertools import groupby
from operator import attrgetter

import drawing
import polars as pl
import pytest

from benchmarks import results
from benchmarks.results import Part, Row
from birdiedna.figures import performance

MADE = {
    **{"date": "2026-11-23", "processor": "a processor", "cores": 2, "load": 0.1, "python": "3.11"},
    **{"versions": {"jax": "0.10.2"}, "device": "cpu"},
    **{"git_commit": "c0ffee", "git_dirty": False, "code": "abc"},
}


def row(part, what, value, unit="s", bar=None, best="less", **at):
    return Row(part, what, value, unit, bar, best, "how", at or None)


ROWS = [
    row("train_step", "PyTorch eager, 512", 1.1, "x", 1.0, "more"),
    row("train_step", "PyTorch compiled, 512", 0.9, "x", None, "more"),
    row("train_step", "ours, 512", 1.4),
    row("mixture", "mixed batches", 6.0, "Mtok/s", 5, "more"),
    row("mixture", "programs compiled", 1, "", 1),
    row("director", "search of 9 candidates, 1 rounds", 0.4, bar=0.3, rounds=1),
    row("director", "search of 9 candidates, 8 rounds", 0.6, bar=0.3, rounds=8),
    *(
        row("memory", "x", 10.0 * n * m, "GiB", rows=32 * n, slots=512 * m, microbatches=k)
        for n, m, k in ((1, 1, 1), (1, 2, 1), (4, 1, 1), (4, 2, 1), (4, 1, 4))
    ),
    row("scale", "windows from 1 Mb, 8 bits a base", 0.1, "ms", bases=10**6),
    row("scale", "windows from 64 Mb, 8 bits a base", 0.1, "ms", bases=64 * 10**6),
]
PARTS = {part: [*rows] for part, rows in groupby(ROWS, attrgetter("part"))}


def stored(folder, *machines):
    """Results of machines, of each all parts above."""
    for machine in machines:
        parts = {name: Part(MADE | machine, rows) for name, rows in PARTS.items()}
        results.write(parts, list(PARTS), folder / "results")
    return performance.read(folder)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return stored(tmp_path_factory.mktemp("one"), {})


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return stored(tmp_path_factory.mktemp("two"), {}, {"device": "nvidia-h200", "cores": 16})


CHARTS = {"bars": performance.targets, "peers": performance.peers, "memory": performance.memory}


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize("machines", ["one", "two"])
def test_chart_draws(request, name, machines):
    drawing.check(CHARTS[name](request.getfixturevalue(machines)))


def test_results_are_read_with_machine_and_target(one):
    assert one.height == sum(map(len, PARTS.values()))
    assert set(one["machine"]) == {"a processor, 2 cores"}
    assert performance.absent(one, "scale") == ""
    search = one.row(by_predicate=(pl.col("rounds") == 8), named=True)
    assert (search["met"], search["value"], search["bar"]) == (False, 0.6, 0.3)
    assert one.filter(pl.col("bar").is_null())["met"].null_count() == 2 + 5 + 2


def test_machines_are_shown_side_by_side(two):
    assert {*two["machine"]} == {"a processor, 2 cores", "NVIDIA H200, a processor, 16 cores"}
    assert "machine" in performance.table(two).columns


def test_missed_targets_are_below_1_and_counts_are_dropped(one):
    rows = drawing.drawn(performance.targets(one)).rows
    factors = {row["figure"]: row["factor"] for row in rows if "factor" in row}
    assert factors["mixture: mixed batches"] == pytest.approx(1.2)
    assert factors["director: search of 9 candidates, 8 rounds"] == pytest.approx(0.5)
    assert not any("compiled" in name for name in factors)


def test_ratios_to_peers_are_drawn_with_or_without_a_target(one):
    rows = drawing.drawn(performance.peers(one)).rows
    met = {row["what"]: row["met"] for row in rows if "what" in row}
    assert met == {"PyTorch eager, 512": "yes", "PyTorch compiled, 512": "no target"}


def test_provenance_has_machine_load_and_command_of_each_part(two):
    made = performance.made(two)
    assert len(made) == 2 * len(PARTS)
    assert made[0]["device"] == "a processor, 2 cores"
    assert made[0]["data"] == {"load before": 0.1}
    assert made[0]["command"] == "make bench OPTIONS='--only train_step'"
    assert made[0]["git_commit"] == "c0ffee"


def test_frames_without_results_are_empty(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "._cpu.json").write_bytes(b"\0\5\x16\7")  # of a Mac
    rows = performance.read(tmp_path)
    assert rows.height == performance.tried(tmp_path).height == 0
    assert performance.made(rows) == []
    assert "scale was not measured" in performance.absent(rows, "scale")


@pytest.mark.parametrize("text", ["[]", "{", '{"parts": {"a": {}}}'])
def test_damaged_results_file_is_named(tmp_path, text):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "cpu.json").write_text(text)
    with pytest.raises(ValueError, match="cpu.json is damaged: .*make bench"):
        performance.read(tmp_path)
