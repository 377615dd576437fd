"""A run folder has one writer, is complete or absent, can be resumed, and records its origin."""

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import memory
import numpy as np
import pytest

from birdiedna.data import files, stored
from birdiedna.experiments import config_json, cost
from birdiedna.training import checkpoint, environment, run_folder, run_writer


def interrupted(place, config=None, checkpoint=True):
    """Start a run and leave it as a kill would; returns the partial folder."""
    with pytest.raises(KeyboardInterrupt), run_writer.writing(place, config or {}, {}) as partial:
        run_folder.append(partial, {"event": "train", "step": 1})
        if checkpoint:
            (partial / "checkpoints" / "1").mkdir(parents=True, exist_ok=True)
            (partial / "checkpoints" / "1" / "SHA256SUMS").touch()
        raise KeyboardInterrupt
    return partial


def make(place, config=None, facts=None):
    """Make or finish a run."""
    with run_writer.writing(place, config or {}, facts or {}):
        pass


@pytest.mark.promise("Runs: a run folder is complete or absent")
def test_a_run_with_a_checkpoint_is_resumed_and_one_without_is_removed(tmp_path):
    place = tmp_path / "quick" / "run"
    interrupted(place, checkpoint=False)
    assert not list(place.parent.iterdir())
    interrupted(place)
    assert not place.exists()
    with run_writer.writing(place, {}, {"name": "run"}) as partial:
        assert [event["step"] for event in run_folder.events(partial)] == [1]
    assert run_folder.complete(place)
    manifest = run_folder.read(place, "manifest")
    assert manifest["sessions"] == 2 and not manifest["other_code_before"]
    assert os.listdir(place.parent) == ["run"] and "checkpoints" not in os.listdir(place)


@pytest.mark.promise("Runs: an unfinished run with anything to save is not removed")
@pytest.mark.parametrize("kept", ["checkpoints", "failure"])
def test_a_damaged_checkpoint_is_not_removed_with_its_run(tmp_path, kept):
    partial = interrupted(tmp_path / "run")
    (partial / "checkpoints" / "1" / "SHA256SUMS").unlink()
    (partial / "checkpoints").rename(partial / kept)
    with pytest.raises(ValueError, match="steps 1"):
        with run_writer.writing(tmp_path / "run", {}, {}):
            raise ValueError("every checkpoint is damaged (steps 1); put an intact copy there")
    assert (partial / kept / "1").is_dir() and (partial / "events.jsonl").exists()


@pytest.mark.promise("Runs: an unfinished run with anything to save is not removed")
def test_a_disk_error_keeps_the_log_of_a_run(tmp_path):
    with pytest.raises(OSError), run_writer.writing(tmp_path / "run", {}, {}) as partial:
        run_folder.append(partial, {"event": "train", "step": 1})
        raise OSError(28, "the log keeps its whole lines; make room")
    assert [event["step"] for event in run_folder.events(partial)] == [1]
    make(tmp_path / "run")
    assert os.listdir(tmp_path) == ["run"]


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_whatever_is_at_the_path_of_a_run_is_replaced_without_leftovers(tmp_path, kind):
    place = tmp_path / "runs" / "run"
    place.parent.mkdir()
    for path in (place, place.with_name("run.older")):
        if kind == "link":
            path.symlink_to(tmp_path / "nowhere")
        else:
            path.mkdir() if kind == "folder" else path.write_text("x")
    make(place)
    assert run_folder.complete(place) and os.listdir(place.parent) == ["run"]


@pytest.mark.promise("Damage: a run resumes only with its own config, data, seed and format")
def test_a_run_started_with_another_config_is_refused_field_by_field_without_long_values(tmp_path):
    interrupted(tmp_path / "run", {"model": {"width": 8}, "steps": 4, "arm": {"a" * 200: 1}})
    other = {"model": {"width": 16}, "steps": 4, "rows": 2}
    message = "model.width: stored 8, now 16; arm: stored {'a{98}..., now None; "
    message += "rows: stored None, now 2"
    message += "; give its settings, or start again: rm -r "
    with pytest.raises(ValueError, match=message):
        make(tmp_path / "run", other)


@pytest.mark.parametrize("remake", [True, False])
def test_a_run_started_by_other_code_starts_again_or_warns(tmp_path, monkeypatch, caplog, remake):
    interrupted(tmp_path / "run")
    monkeypatch.setattr(run_writer, "code_fingerprint", lambda: "other")
    with run_writer.writing(tmp_path / "run", {}, {}, remake) as partial:
        assert (partial / "events.jsonl").exists() is not remake
    manifest = run_folder.read(tmp_path / "run", "manifest")
    assert manifest["other_code_before"] is not remake and manifest["code"] == "other"
    assert "was started by other code" in caplog.text


@pytest.mark.promise("Runs: a run folder is complete or absent")
def test_an_older_run_stays_until_the_new_one_is_complete(tmp_path):
    place = tmp_path / "run"
    make(place, {"a": 1}, {"name": "first"})
    interrupted(place)
    assert run_folder.read(place, "manifest")["name"] == "first"
    make(place, {}, {"name": "second"})
    assert run_folder.read(place, "manifest")["name"] == "second"
    assert os.listdir(tmp_path) == ["run"]


HOLD = """
import sys, time
from pathlib import Path
from birdiedna.training import run_writer
with run_writer.sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.promise("Runs: one process writes a run; another is refused with process and host")
def test_a_run_in_use_is_refused_with_process_and_host_and_a_dead_one_is_resumed(tmp_path, caplog):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            owner = f"process {holder.pid} on {platform.node()}"
            with pytest.raises(ValueError, match=f"run is being made by {owner}; wait for it"):
                make(tmp_path / "run")
            assert run_writer.is_busy(tmp_path / "run")
        finally:
            holder.kill()
    make(tmp_path / "run")
    assert f"{owner} left run unfinished" in caplog.text
    assert os.listdir(tmp_path) == ["run"]


def test_a_run_whose_maker_ends_while_it_is_looked_for_is_not_busy_and_gets_no_lock(tmp_path):
    with mock.patch.object(Path, "exists", return_value=True):
        assert not run_writer.is_busy(tmp_path / "run")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("where", ["on Windows", "on a network file system"])
def test_without_file_locks_a_run_is_made_with_a_warning(tmp_path, monkeypatch, caplog, where):
    flock = mock.Mock(side_effect=OSError(errno.ENOLCK, "No locks available"))
    locks = None if where == "on Windows" else mock.Mock(LOCK_EX=2, LOCK_NB=4, flock=flock)
    monkeypatch.setattr(files, "fcntl", locks)
    make(tmp_path / "run")
    assert "no file locks" in caplog.text and os.listdir(tmp_path) == ["run"]


@pytest.mark.promise("Runs: killed at any moment, a run resumes and ends the same, bit for bit")
@pytest.mark.parametrize(
    ("name", "text"),
    [("config.json", "")]
    + [("sessions.json", text) for text in ("", "[1]", '{"sessions": [{}]}', "[" * 100_000)],
)
def test_a_half_written_or_damaged_file_does_not_prevent_a_resume(tmp_path, caplog, name, text):
    (interrupted(tmp_path / "run", {"a": 1}) / name).write_text(text)
    make(tmp_path / "run", {"a": 1})
    assert f"{name} is damaged" in caplog.text and f"{name} is written again: " in caplog.text
    assert run_folder.read(tmp_path / "run", "config") == {"a": 1}
    assert run_folder.read(tmp_path / "run", "manifest")["sessions"] == 1 + (name == "config.json")


@pytest.mark.promise("Security: what is published names no folder and no host of the machine")
def test_a_manifest_records_versions_device_code_data_and_times(tmp_path):
    make(tmp_path / "run", {}, {"data": {"genome": "ab12"}, "seed": 3})
    manifest = run_folder.read(tmp_path / "run", "manifest")
    assert manifest["data"] == {"genome": "ab12"} and manifest["seed"] == 3
    assert manifest["versions"]["jax"] and manifest["device"] and manifest["code"]
    assert manifest["wall_s"] >= 0 and manifest["started"] <= manifest["finished"]
    assert str(tmp_path) not in json.dumps(manifest)


def test_the_wall_time_of_a_stopped_run_does_not_depend_on_the_dates_of_its_files(tmp_path):
    partial = interrupted(tmp_path / "run")
    os.utime(partial / "events.jsonl", (4e9, 4e9))  # as after a copy, or by another clock
    assert cost.seconds(partial) < 1e6
    make(tmp_path / "run")
    assert cost.seconds(tmp_path / "run") < 1e6


def test_a_run_in_one_session_records_the_energy_that_its_device_reports(tmp_path, monkeypatch):
    readings = iter((1_000.0, 8_200.0, 1.0, None, 0.0))
    monkeypatch.setattr(run_writer.devices, "joules", lambda: next(readings, 5.0))
    make(tmp_path / "run", {})
    assert run_folder.read(tmp_path / "run", "manifest")["joules"] == 7_200
    assert cost.kilowatt_hours(tmp_path / "run") == 0.002
    make(tmp_path / "lost", {})  # the device no longer reports it
    interrupted(tmp_path / "other", {})
    make(tmp_path / "other", {})  # the energy of its first session is not known
    assert all(cost.kilowatt_hours(tmp_path / name) is None for name in ("lost", "other"))


@pytest.mark.promise("Runs: a full disk is reported in bytes and harms nothing that was saved")
def test_the_log_of_a_full_disk_has_whole_lines_and_the_variable_that_moves_it_is_named(
    tmp_path, monkeypatch
):
    run_folder.append(tmp_path, {"event": "train", "step": 1})
    before = run_folder.log_facts(tmp_path)["log_bytes"]
    write = os.write
    monkeypatch.setattr(run_folder.os, "write", lambda handle, line: write(handle, line[:9]))
    for runs, remedy in ((tmp_path, "set BIRDIEDNA_RUNS to it, "), (tmp_path / "other", "")):
        monkeypatch.setenv("BIRDIEDNA_RUNS", str(runs))
        move = f"or move {runs} to another disk and {remedy}" if remedy else ""
        said = f"{before} bytes of whole lines; make room, {move}then start the same command again$"
        with pytest.raises(OSError, match=f"disk is full; .* log keeps its {said}"):
            run_folder.append(tmp_path, {"event": "train", "step": 2})
    assert [event["step"] for event in run_folder.events(tmp_path)] == [1]


@pytest.mark.promise("Runs: a full disk is reported in bytes and harms nothing that was saved")
def test_a_json_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "sessions.json"
    run_folder.write_json(path, [1, 2])

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_folder.os, "fsync", full)
    with pytest.raises(OSError, match=r"sessions.json: No space left.* 7 bytes are needed, .*free"):
        run_folder.write_json(path, [3])
    assert stored.read_json(path) == [1, 2] and os.listdir(tmp_path) == ["sessions.json"]


def test_a_log_is_truncated_and_an_altered_one_is_found(tmp_path):
    steps = lambda: [event["step"] for event in run_folder.events(tmp_path)]
    for step in (1, 2):
        run_folder.append(tmp_path, {"event": "train", "step": step})
    facts = run_folder.log_facts(tmp_path)
    run_folder.append(tmp_path, {"event": "train", "step": 3})
    assert run_folder.log_is_intact(tmp_path, facts, 2)
    assert not run_folder.log_is_intact(tmp_path, facts, 3)  # forged: its last line is of step 2
    for longer in (1, 10**9, -(10**9)):  # a truncation there would add zero bytes, or fail
        forged = run_folder.log_facts(tmp_path)
        forged["log_bytes"] += longer
        assert not run_folder.log_is_intact(tmp_path, forged, 3)
    none = {"log_bytes": 0, "log_sha256": hashlib.sha256().hexdigest()}
    assert not run_folder.log_is_intact(tmp_path, none, 2)
    run_folder.rewind(tmp_path, facts["log_bytes"])
    assert steps() == [1, 2]
    run_folder.rewind(tmp_path, facts["log_bytes"] // 2)
    assert steps() == [1]
    for folder in (tmp_path, tmp_path / "none"):
        assert not run_folder.log_is_intact(folder, facts, 2)


def test_numbers_that_are_not_finite_become_null(tmp_path):
    event = {"event": "train", "loss": float("nan"), "losses": {"a": float("inf")}}
    assert run_folder.append(tmp_path, event) is event
    assert run_folder.events(tmp_path) == [{"event": "train", "loss": None, "losses": {"a": None}}]


def test_the_speed_of_a_long_log_takes_little_more_memory_than_its_bytes(tmp_path):
    names = [f"objective_{number}" for number in range(30)]
    event = {"event": "train", "step": 16, "seconds": 1.6, "losses": dict.fromkeys(names, 1.25)}
    run_folder.append(tmp_path, event)
    (tmp_path / "config.json").write_text('{"chunk_steps": 16, "rows": 2, "slots": 50}')
    log = tmp_path / "events.jsonl"
    log.write_bytes(1000 * log.read_bytes())
    assert cost.speed(tmp_path) == pytest.approx({"step_ms": 100, "tokens_per_s": 1000})
    assert memory.peak(lambda: cost.speed(tmp_path)) < 1.5 * log.stat().st_size


def test_a_folder_without_a_run_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match="contains no run; make it with"):
        run_folder.events(tmp_path)


@pytest.mark.promise("Damage: a file of a run that cannot be read is named, with its line")
@pytest.mark.parametrize("line", [b'{"event": "tra', b"\xff\xfe", b'{"step": 3}', b"null"])
def test_a_damaged_line_of_a_log_is_named(tmp_path, line):
    run_folder.append(tmp_path, {"event": "train", "step": 1})
    with (tmp_path / "events.jsonl").open("ab") as log:
        log.write(line + b"\n")
    for kind in (None, "train"):
        with pytest.raises(ValueError, match=r"events.jsonl, line 2 is damaged: .*make the run ag"):
            run_folder.events(tmp_path, kind)


@pytest.mark.promise("Damage: a file of a run that cannot be read is named, with its line")
@pytest.mark.parametrize("text", [b"", b"{", b"{}", b"\xff"])
def test_a_damaged_manifest_is_named(tmp_path, text):
    (tmp_path / "manifest.json").write_bytes(text)
    with pytest.raises(ValueError, match=r"manifest.json is damaged.*make the run again"):
        run_folder.read(tmp_path, "manifest")


def test_places_differ_by_config_seed_and_data():
    identities = (("a", 0), ("a", 1), ("b", 0))
    assert len({run_folder.place("quick", "run", identity) for identity in identities}) == 3


def test_the_fingerprint_of_the_code_ignores_prose():
    code = 'def f(x):\n    """Say."""\n    return x  # why\n'
    assert environment._bare(code) == environment._bare("def f(x):\n    return x")
    assert environment._bare(code) != environment._bare("def f(x):\n    return -x")


def test_a_checkout_is_changed_by_code_not_by_stored_benchmark_results(tmp_path, monkeypatch):
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


def finished(place):
    """A finished run with all files that figures read."""
    with run_writer.writing(place, {"a": 1}, {"name": "run", "seed": 0}) as partial:
        run_folder.append(partial, {"event": "evaluation", "step": 0, "losses": {"a": 1.5}})
        np.savez(partial / "predictions.npz", **PREDICTIONS)
    return place


PREDICTIONS = {
    "steps": np.arange(3),
    **{f"{part}_labels": np.arange(8) % 2 for part in ("validation", "test")},
    **{f"{part}_logits": np.ones((3, 8, 2), np.float32) for part in ("validation", "test")},
}


@pytest.mark.promise("Damage: whatever is stored, a changed byte is found before it is shown")
@pytest.mark.parametrize(
    "name, old, new, read",
    [
        ("config.json", b"1", b"2", lambda run: run_folder.read(run, "config")),
        ("events.jsonl", b"1.5", b"2.5", run_folder.events),
        ("manifest.json", b'"seed": 0', b'"seed": 7', lambda run: run_folder.read(run, "manifest")),
        ("manifest.json", b'"seed": 0', b'"seed": 7', run_folder.events),
        ("predictions.npz", b"\0\0\x80?", b"\0\0\0@", run_folder.predictions),
    ],
)
def test_a_finished_run_is_read_as_it_was_written_or_not_at_all(tmp_path, name, old, new, read):
    run = finished(tmp_path / "run")
    read(run)
    text = (run / name).read_bytes()
    (run / name).write_bytes(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"{name} is damaged: .*checksum.*; get an"):
        read(run)
    assert len(run_folder.problems(run)) == 1


@pytest.mark.promise("Damage: whatever is stored, a changed byte is found before it is shown")
def test_weights_of_another_run_of_the_same_sizes_are_refused(tmp_path):
    like = {"w": np.zeros(2, np.float32)}
    for name in ("one", "two"):
        with run_writer.writing(tmp_path / name, {"a": 1}, {"name": name}) as partial:
            checkpoint.save_model(partial, 4, {"w": np.float32([len(name), ord(name[0])])}, {})
    assert checkpoint.load_model(tmp_path / "one", like)["w"].tolist() == [3, ord("o")]
    shutil.rmtree(tmp_path / "one" / "model")
    shutil.copytree(tmp_path / "two" / "model", tmp_path / "one" / "model")
    with pytest.raises(ValueError, match="one/model/4 is damaged: .* another run; get an intact"):
        checkpoint.load_model(tmp_path / "one", like)
    assert len(run_folder.problems(tmp_path / "one")) == 1


@pytest.mark.promise("Damage: whatever is stored, a changed byte is found before it is shown")
@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("objectives", 3, "'objectives' is not a list"),
        ("objectives", [["copying"]], "['copying'] is no objective"),
        ("validation", [None], "'validation'[0] is not text"),
        ("slots", {}, "'slots' is not a whole number"),
        ("model", "x", "'model' is not an object"),
        ("model", {"width": 1.5}, "model.width: 1.5 must be of type int"),
        ("model", {"width": True}, "model.width: True must be of type int"),
        ("model", {"depth": 2}, "model: ModelConfig has no field 'depth'"),
        ("model", {"rope_scaling": ["a"]}, "model.rope_scaling[0]: 'a' must be of type float"),
        ("model", {"blocks": 10**9}, "blocks 1,000,000,000 are more than 1,024"),
        ("model", None, "'model' is not an object"),
    ],
)
def test_a_config_of_another_shape_is_one_line_that_names_it(tmp_path, field, value, why):
    """Also where its checksum is right, as that of a run that somebody made by hand."""
    run_folder.write_json(tmp_path / "config.json", {"steps": 4, field: value})
    with pytest.raises(ValueError, match="config.json is damaged: .*" + re.escape(why)):
        config_json.pretrained(tmp_path)


def test_a_run_of_an_older_version_has_no_checksums_and_is_read(tmp_path):
    run = finished(tmp_path / "run")
    manifest = {
        k: v for k, v in run_folder.read(run, "manifest").items() if k not in ("seal", "sha256")
    }
    (run / "manifest.json").write_text(json.dumps(manifest))
    (run / "config.json").write_text('{"a": 2}')
    assert run_folder.read(run, "config") == {"a": 2} and run_folder.problems(run) == []


@pytest.mark.promise("Damage: a crafted file is refused in one line, whatever its checksums say")
@pytest.mark.parametrize(
    "changed",
    [
        {"steps": np.arange(2)},
        {"steps": np.zeros(0, int), "validation_logits": np.ones((0, 8, 2))},
        {"test_labels": np.arange(8)},
        {"test_labels": np.arange(8) - 1},
        {"test_labels": np.ones(8)},
        {"test_labels": np.zeros(7, int)},
        {"test_logits": np.full((3, 8, 2), np.nan)},
        {"test_logits": np.ones((3, 8))},
        {"test_logits": np.ones((3, 8, 2), int)},
        {"validation_labels": np.array(["a"] * 8)},
    ],
    ids=lambda changed: " ".join(f"{k}{v.shape}{v.dtype}" for k, v in changed.items()),
)
def test_predictions_that_contradict_each_other_are_refused(tmp_path, changed):
    np.savez(tmp_path / "predictions.npz", **PREDICTIONS | changed)
    with pytest.raises(ValueError, match="predictions.npz is damaged: [^\n]*make the run again"):
        run_folder.predictions(tmp_path)


def test_a_damaged_lock_file_is_quoted_in_one_line(tmp_path, caplog):
    (tmp_path / "run.lock").write_bytes(b"\xff\xfe\n\nx")
    make(tmp_path / "run")
    assert "process �� x left run unfinished" in caplog.text


def test_threads_parse_the_code_one_after_the_other(monkeypatch):
    now, most, lock = [], [], threading.Lock()

    def watched(source):
        with lock:
            now.append(source)
            most.append(len(now))
        time.sleep(0.001)
        with lock:
            now.remove(source)
        return source

    monkeypatch.setattr(environment, "_bare", watched)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(environment.code_fingerprint.__wrapped__) for _ in range(2)]
        assert len({one.result() for one in both}) == 1
    assert max(most) == 1
