"""The script for a borrowed card: it measures, runs a plan and collects."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import small_plan

from benchmarks import results
from birdiedna.experiments import prepare
from birdiedna.figures import performance

SCRIPT = Path(__file__).parents[2] / "scripts" / "borrowed_card.py"
#: Runs the script where readers and charts cannot be imported.
BARE = f"""{small_plan.BARE}
import runpy

sys.argv[0] = "borrowed_card"
runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
"""


@pytest.fixture(scope="module")
def plan(folder):
    wanted = small_plan.wanted(folder, names=("one",), arms=("ntp",))
    return prepare.prepare(folder / "plan", **wanted)


def _run(plan, minutes, *more):
    """Exit status and lines of the script, started outside the checkout."""
    out = plan.folder.parent / "out"
    options = [str(plan.folder), "--minutes", minutes, "--name", "tried", "--into", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", BARE, *options, "--tiny", *more],
        capture_output=True,
        text=True,
        cwd=plan.folder.parent,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def worked(plan):
    """The script without time, then with enough, and what benchmarks/results held before."""
    before = {path.name: path.read_bytes() for path in results.FOLDER.iterdir()}
    return _run(plan, "0.001"), _run(plan, "9"), before


def test_invalid_requests_are_refused_before_anything_is_measured(plan, capsys):
    main = runpy.run_path(str(SCRIPT))["main"]
    asked = [str(plan.folder), "--minutes", "9", "--into", str(plan.folder.parent / "none")]
    assert main([*asked, "--name", "no name"]) == 1
    assert main([*asked, "--name", "tried", "--only", "finetune-six"]) == 1
    assert main([str(plan.folder.parent), *asked[1:], "--name", "tried"]) == 1
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 3
    for text in ("cannot be called 'no name'", "no run is like", "contains no plan"):
        assert text in said.err
    assert not (plan.folder.parent / "none" / "benchmarks").exists()


def test_without_time_nothing_is_lost_and_the_status_is_75(worked):
    (status, said), _, _ = worked
    assert status == 75, said
    assert "nothing is measured" in said and "no run is finished yet" in said


def test_with_time_all_is_measured_made_and_collected_on_a_bare_machine(plan, worked):
    _, (status, said), _ = worked
    assert status == 0, said
    assert "failed" not in said
    stored = json.loads((plan.folder.parent / "out/results/tried/results.json").read_text())
    assert len(stored["runs"]) == len(plan.runs) == 3 and stored["left"] == []


def test_numbers_have_the_format_of_the_benchmark_and_do_not_change_it(plan, worked):
    out = plan.folder.parent / "out" / "benchmarks"
    part = results.read(out / "results" / "cpu.json")["accelerator"]
    assert part.made["noted"] == {}
    value = {row.what: row.value for row in part.rows}
    errors = [row for row in part.rows if row.what.startswith("attention ")]
    assert {(row.what.split()[1].strip(","), row.at["slots"]) for row in errors} >= {
        ("auto", 64),
        ("auto", 129),
        ("xla", 64),
        ("einsum", 129),
    }
    assert all(0 < row.value <= row.bar for row in errors)
    for arm in ("birdie", "ntp"):
        assert value[f"step, {arm}"] > 0 and value[f"MFU, {arm}"] > 0
    kernels = [row.value for row in part.rows if row.what.startswith("kernel ")]
    assert len(kernels) == 10 and kernels == sorted(kernels, reverse=True)
    assert value["all kernels, birdie"] >= sum(kernels)
    assert set(performance.read(out)["part"]) == {"accelerator"}
    assert {path.name: path.read_bytes() for path in results.FOLDER.iterdir()} == worked[2]


def test_a_plan_whose_runs_fail_is_collected(plan, worked, monkeypatch, capsys):
    script = runpy.run_path(str(SCRIPT))

    def broken(*_):
        raise RuntimeError("the card is gone")

    monkeypatch.setattr(script["plans"], "work", broken)
    again = ["--minutes", "9", "--name", "again", "--into", str(plan.folder.parent / "again")]
    assert script["main"]([str(plan.folder), *again, "--work-only"]) == 1
    said = capsys.readouterr().out
    assert "plan: failed: RuntimeError: the card is gone" in said and "collect: " in said
    assert (plan.folder.parent / "again/results/again/results.json").exists()
