"""`--track tensorboard` copies the log of a run and changes nothing else."""

import json
import sys
from collections import defaultdict
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import small_plan  # noqa: F401  # the tiny profile

from birdiedna.experiments import progress
from birdiedna.experiments.runs import open_runs
from birdiedna.training import run_folder


@pytest.fixture
def writers(monkeypatch):
    """Stand-ins for the writers of tensorboardX, by folder."""
    made = defaultdict(Mock)
    package = SimpleNamespace(SummaryWriter=made.__getitem__)
    monkeypatch.setitem(sys.modules, "tensorboardX", package)
    return made


def written(writer):
    """Tags, numbers and steps."""
    return [call.args for call in writer.add_scalar.call_args_list]


EVENT = {"event": "train", "step": 4, "loss": 1.5, "rows": {"a": 3, "b": None}, "split": "test"}


def test_scalars_are_the_numbers_of_an_event_without_its_step():
    assert progress.scalars(EVENT) == {"train/loss": 1.5, "train/rows/a": 3.0}


def test_logs_of_runs_made_together_are_copied_each_to_its_own_folder_as_they_grow(
    writers, tmp_path
):
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        (folder / "tensorboard").mkdir(parents=True)

    def events():
        for step, folder in [(1, folders[0]), (1, folders[1]), (2, folders[0])]:
            yield run_folder.append(folder, EVENT | {"step": step})

    passed = progress.tensorboard(folders, events())
    assert next(passed)["step"] == 1
    one, two = (writers[str(folder / "tensorboard")] for folder in folders)
    assert [len(written(one)), len(written(two))] == [2, 0]
    assert [event["step"] for event in passed] == [1, 2]
    assert written(one) == [(*n, s) for s in (1, 2) for n in progress.scalars(EVENT).items()]
    assert len(written(two)) == 2 and one.close.called and two.close.called


def test_a_tracked_run_logs_what_it_logs_without(writers):
    made = open_runs("tiny", stored=False, tracker="tensorboard").pretrained("ntp")
    (writer,) = writers.values()
    events = run_folder.events(made)
    losses = [(s["step"], s["loss"]) for s in events if s["event"] == "train"]
    assert [(step, n) for tag, n, step in written(writer) if tag == "train/loss"] == losses
    assert not any("tensorboard" in name for name in run_folder.read(made, "manifest")["sha256"])


def test_without_its_package_the_command_says_how_to_get_it_before_it_trains(
    monkeypatch, refused, tmp_path
):
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda name: None)
    plan = tmp_path / "plan"
    for words in (["pretrain"], ["plan", "run", "--out", plan]):
        said = refused(*words, "--track", "tensorboard")
        assert "needs the package tensorboardX; install it with" in said
    assert "JAX found only cpu" in refused("plan", "run", "--out", plan, "--device", "gpu")
    assert not plan.exists(), "it is not prepared first"


def test_tensorboard_reads_what_the_real_package_writes(tmp_path):
    pytest.importorskip("tensorboardX")
    folder = tmp_path / "run"
    folder.mkdir()
    list(progress.tensorboard([folder], iter([run_folder.append(folder, EVENT)])))
    (file,) = (folder / "tensorboard").iterdir()
    assert b"train/loss" in file.read_bytes() and np.float32(1.5).tobytes() in file.read_bytes()
    assert json.loads((folder / "events.jsonl").read_text())["loss"] == 1.5
