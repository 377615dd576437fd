"""The same run gives the same bits; other machines differ little."""

import os
import shlex
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from birdiedna.data import sample
from birdiedna.director.director import Recorded
from birdiedna.experiments import smoke_run
from birdiedna.training import run_folder
from book._ext import build


@pytest.fixture(scope="module")
def live(human, tmp_path_factory):
    """The folder of a finished run of this process, and its outcome."""
    folder = tmp_path_factory.mktemp("smoke") / "live"
    return folder, smoke_run.make(folder, human)


def test_the_director_of_the_smoke_run_decides(live):
    decided = [event["exact"] for event in run_folder.events(live[0], "decision")]
    assert len(set(map(tuple, decided))) >= 4 and len(live[1].losses) > 20


@pytest.mark.promise("Same bits: one seed trains one model, in every process of a machine")
def test_another_process_trains_the_same_model_with_the_same_decisions(live, tmp_path, monkeypatch):
    started, start = [], BaseProcess.start
    monkeypatch.setattr(BaseProcess, "start", lambda process: started.append(start(process)))
    again = smoke_run.in_process(tmp_path / "again")
    assert again == live[1] and len(started) == 1
    chains = [
        run_folder.events(folder, "decision")[-1]["chain"]
        for folder in (live[0], tmp_path / "again")
    ]
    assert chains[0] == chains[1]


@pytest.mark.promise("Same bits: one seed trains one model, in every process of a machine")
@pytest.mark.skipif(bool(os.environ["XLA_FLAGS"]), reason="`make stress` compiles as users do")
def test_the_flags_of_the_book_train_the_same_model(live, tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", build.SAME_NUMBERS)
    assert smoke_run.in_process(tmp_path / "book") == live[1]


@pytest.mark.promise("Same bits: another number of cores moves no loss by 1e-4 in 20 steps")
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no process")
def test_a_replay_on_one_core_reads_the_same_rows_and_loses_the_same(live, tmp_path):
    folder, expected = live
    one = smoke_run.in_process(tmp_path / "one", folder, cores=1)
    assert max(abs(a - b) for a, b in zip(one.losses, expected.losses, strict=True)) <= 1e-4
    rows = [[e["rows"] for e in run_folder.events(f, "train")] for f in (folder, tmp_path / "one")]
    assert rows[0] == rows[1]


@pytest.mark.promise("Replay: a run's log trains the same model again, without a reward model")
def test_the_command_line_replays_a_run_from_its_folder(folder, said, refused):
    command, runs = ["pretrain", "--profile", "tiny"], folder / "runs" / "tiny"
    said(*command)
    (first,) = runs.iterdir()
    said(*command, "--replay", first)
    again = next(runs.glob("*-replay-*"))
    assert smoke_run.outcome(again) == smoke_run.outcome(first)
    assert run_folder.read(again, "config")["director"]["type"] == Recorded.__name__
    assert run_folder.read(again, "manifest")["command"].endswith(f"--replay {first.name}")
    for other, why in (
        (["--seed", "1"], "seed: stored 0, now 1"),
        (["--arm", "ntp"], "objectives: stored"),
        (["--validation", sample.TRAIN[0]], "validation: stored"),
    ):
        error = refused(*command, *other, "--replay", first)
        assert f"has other settings ({why}" in error


@pytest.mark.promise("Replay: a run's log trains the same model again, without a reward model")
def test_a_replay_takes_settings_arm_seed_and_contigs_from_the_runs_folder(folder, said, refused):
    own = ["--arm", "uniform", "--seed", "3", "--validation", sample.VALIDATION[0]]
    own += ["--set", "pretrain.rows=4"]
    said("pretrain", "--profile", "tiny", *own)
    (first,) = (folder / "runs" / "tiny").glob("*-uniform-seed3-*")
    said("pretrain", "--replay", first)
    (again,) = (folder / "runs" / "quick").glob("*-uniform-seed3-replay-*")
    assert smoke_run.outcome(again) == smoke_run.outcome(first)
    command = shlex.split(run_folder.read(again, "manifest")["command"])[1:-1]
    assert f"run: {again}" in said(*command, first)
    for other, why in (
        (["--seed", "1"], "has other settings (seed: stored 3, now 1)"),
        (["--validation", sample.TRAIN[0]], "has other settings (validation: stored"),
        (["--arm", "ntp"], "is of the arm uniform; leave out --arm ntp"),
    ):
        assert why in refused("pretrain", *other, "--replay", first)


def test_a_stored_run_of_older_code_is_replayed_on_its_own_genome_only(refused):
    (run,) = (Path(__file__).parents[2] / "results" / "eighth").glob("pretrain-birdie-seed0-*")
    assert "sentinel_first" not in (run / "config.json").read_text()
    assert "has other settings (genome: stored" in refused("pretrain", "--replay", run)
