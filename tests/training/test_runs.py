"""Claims about run folders: whole or absent, honest about where they came from."""

import json
import os
import subprocess

import pytest

from birdiedna.experiments import profiles
from birdiedna.training import environment, run_folder, run_writer


@pytest.mark.promise("Runs: a run folder is whole, or it is not there")
def test_a_run_is_moved_to_its_place_only_when_it_is_whole(tmp_path):
    place = tmp_path / "quick" / "run"
    with (
        pytest.raises(RuntimeError),
        run_writer.writing(place, {"a": 1}, {"name": "run"}) as partial,
    ):
        run_folder.append(partial, {"event": "train", "step": 1})
        raise RuntimeError("killed")
    assert not place.exists()
    with run_writer.writing(place, {"a": 1}, {"name": "run"}) as partial:
        run_folder.append(partial, {"event": "train", "step": 2})
    assert run_folder.complete(place)
    assert [e["step"] for e in run_folder.events(place)] == [2]
    assert os.listdir(place.parent) == ["run"]


@pytest.mark.promise("Security: what is published names no folder and no host of the machine")
def test_a_manifest_says_with_what_and_from_what_it_was_made(tmp_path):
    with run_writer.writing(tmp_path / "run", {}, {"data": {"genome": "ab12"}, "seed": 3}):
        pass
    manifest = run_folder.read(tmp_path / "run", "manifest")
    assert manifest["data"] == {"genome": "ab12"} and manifest["seed"] == 3
    assert manifest["versions"]["jax"] and manifest["device"] and manifest["code"]
    assert manifest["wall_s"] >= 0 and manifest["started"] <= manifest["finished"]
    assert str(tmp_path) not in json.dumps(manifest)


def test_configs_become_json_with_their_types():
    config = run_folder.to_json(profiles.PROFILES["paper"].pretrain["birdie"])
    assert config["type"] == "PretrainConfig" and config["director"]["type"] == "Birdie"
    assert config["objectives"][0][1] == {
        "type": "Infilling",
        "rate": 0.5,
        "mean_span": 3,
        "token": 17,
    }
    assert json.loads(json.dumps(config)) == config


def test_places_differ_by_config_seed_and_data():
    places = {
        run_folder.place("quick", "run", identity) for identity in (("a", 0), ("a", 1), ("b", 0))
    }
    assert len(places) == 3


def test_the_fingerprint_of_the_code_ignores_prose():
    code = 'def f(x):\n    """Say."""\n    return x  # why\n'
    assert environment._bare(code) == environment._bare("def f(x):\n    return x")
    assert environment._bare(code) != environment._bare("def f(x):\n    return -x")


def test_a_checkout_is_changed_by_code_not_by_kept_figures(tmp_path, monkeypatch):
    given = ("user.name=a", "user.email=a@b.example", "commit.gpgsign=false")
    git = ["git", "-C", str(tmp_path), *(word for one in given for word in ("-c", one))]
    files = [tmp_path / name for name in ("_toc.yml", "birdiedna/a.py", "benchmarks/results/a.md")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("before")
    monkeypatch.setattr(environment, "_PACKAGE", tmp_path / "birdiedna")
    for step in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *step], check=True)
    commit, changed = environment.git_commit()
    assert len(commit) == 40 and not changed
    files[2].write_text("after")
    assert environment.git_commit() == (commit, False)
    files[1].write_text("after")
    assert environment.git_commit() == (commit, True)


def test_numbers_that_are_not_finite_become_null(tmp_path):
    run_folder.append(
        tmp_path, {"event": "train", "loss": float("nan"), "losses": {"a": float("inf")}}
    )
    assert run_folder.events(tmp_path) == [{"event": "train", "loss": None, "losses": {"a": None}}]


def test_a_folder_without_a_run_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="holds no run; make it with"):
        run_folder.events(tmp_path)
