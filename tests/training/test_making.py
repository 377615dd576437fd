"""Claims about the making of a run folder: one writer, whole or absent, gone on with."""

import os
import platform
import subprocess
import sys

import pytest

from birdiedna.training import run_folder, run_writer


def begun(place, config=None, facts=None, **options):
    """Begin a run and leave it as a kill would, with a checkpoint."""
    with (
        pytest.raises(KeyboardInterrupt),
        run_writer.writing(place, config or {}, facts or {}) as part,
    ):
        run_folder.append(part, {"event": "train", "step": 1})
        checkpoint = part / "checkpoints" / "1"
        checkpoint.mkdir(parents=True, exist_ok=True)
        (checkpoint / "SHA256SUMS").write_text("")
        raise KeyboardInterrupt


@pytest.mark.promise("Runs: a run folder is whole, or it is not there")
def test_what_has_a_checkpoint_is_gone_on_with_and_what_has_none_is_removed(tmp_path):
    place = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), run_writer.writing(place, {}, {}) as part:
        run_folder.append(part, {"event": "train", "step": 1})
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    begun(place)
    with run_writer.writing(place, {}, {"name": "run"}) as part:
        assert [event["step"] for event in run_folder.events(part)] == [1]
    manifest = run_folder.read(place, "manifest")
    assert manifest["sessions"] == 2 and not manifest["other_code_before"]
    assert os.listdir(tmp_path) == ["run"] and "checkpoints" not in os.listdir(place)


@pytest.mark.promise("Damage: a run goes on only with its own config, data, seed and format")
def test_a_run_begun_with_another_config_is_refused_field_by_field(tmp_path):
    begun(tmp_path / "run", {"model": {"width": 8}, "steps": 4})
    message = "model.width: stored 8, now 16; rows: stored None, now 2"
    with pytest.raises(ValueError, match=message):
        with run_writer.writing(
            tmp_path / "run", {"model": {"width": 16}, "steps": 4, "rows": 2}, {}
        ):
            pass


@pytest.mark.parametrize("anew", [True, False])
def test_a_run_begun_by_other_code_begins_again_or_says_so(tmp_path, monkeypatch, caplog, anew):
    begun(tmp_path / "run")
    monkeypatch.setattr(run_writer, "code_fingerprint", lambda: "other")
    with run_writer.writing(tmp_path / "run", {}, {}, anew) as part:
        assert (part / "events.jsonl").exists() is not anew
    manifest = run_folder.read(tmp_path / "run", "manifest")
    assert manifest["other_code_before"] is not anew and manifest["code"] == "other"
    assert "was begun by other code" in caplog.text


@pytest.mark.promise("Runs: a run folder is whole, or it is not there")
def test_an_older_run_stays_until_the_new_one_is_whole(tmp_path):
    place = tmp_path / "run"
    with run_writer.writing(place, {"a": 1}, {"name": "first"}):
        pass
    begun(place)
    assert run_folder.read(place, "manifest")["name"] == "first"
    with run_writer.writing(place, {}, {"name": "second"}):
        pass
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


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of `run`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run.lock")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


@pytest.mark.promise("Runs: one process writes a run; another is refused with process and host")
def test_a_run_in_use_is_refused_with_process_and_host_and_a_dead_one_is_taken_over(
    tmp_path, holder, caplog
):
    owner = f"process {holder.pid} on {platform.node()}"
    with pytest.raises(ValueError, match=f"run is being made by {owner}; wait for it, or stop it"):
        with run_writer.writing(tmp_path / "run", {}, {}):
            pass
    holder.kill()
    holder.wait()
    with run_writer.writing(tmp_path / "run", {}, {}):
        pass
    assert f"{owner} left run without finishing" in caplog.text
    assert os.listdir(tmp_path) == ["run"]


@pytest.mark.promise("Runs: a full disk is told in bytes and harms nothing that was saved")
def test_the_log_of_a_full_disk_holds_whole_lines(tmp_path, monkeypatch):
    run_folder.append(tmp_path, {"event": "train", "step": 1})
    before = run_folder.log_so_far(tmp_path)["log_bytes"]
    write = os.write
    monkeypatch.setattr(run_folder.os, "write", lambda handle, line: write(handle, line[:9]))
    with pytest.raises(OSError, match=f"disk is full; the log keeps its {before} bytes of whole"):
        run_folder.append(tmp_path, {"event": "train", "step": 2})
    assert [event["step"] for event in run_folder.events(tmp_path)] == [1]


def test_a_log_is_cut_back_and_says_whether_it_was_altered(tmp_path):
    for step in (1, 2):
        run_folder.append(tmp_path, {"event": "train", "step": step})
    once = run_folder.log_so_far(tmp_path)
    run_folder.append(tmp_path, {"event": "train", "step": 3})
    assert run_folder.holds(tmp_path, once)
    run_folder.rewind(tmp_path, once["log_bytes"])
    assert [event["step"] for event in run_folder.events(tmp_path)] == [1, 2]
    run_folder.rewind(tmp_path, once["log_bytes"] // 2)
    assert [event["step"] for event in run_folder.events(tmp_path)] == [1]
    assert not run_folder.holds(tmp_path, once) and not run_folder.holds(tmp_path / "none", once)


def damage(path, text):
    path.write_bytes(text)
    return path


@pytest.mark.promise("Damage: a file of a run that cannot be read is named, with its line")
@pytest.mark.parametrize("line", [b'{"event": "tra', b"\xff\xfe", b'{"step": 3}', b"null"])
def test_a_damaged_line_of_a_log_is_named(tmp_path, line):
    run_folder.append(tmp_path, {"event": "train", "step": 1})
    with (tmp_path / "events.jsonl").open("ab") as log:
        log.write(line + b"\n")
    with pytest.raises(ValueError, match=r"events.jsonl, line 2 is damaged: .*make the run again"):
        run_folder.events(tmp_path)


@pytest.mark.promise("Damage: a file of a run that cannot be read is named, with its line")
@pytest.mark.parametrize("text", [b"", b"{", b"{}", b"\xff"])
def test_a_damaged_manifest_is_named(tmp_path, text):
    damage(tmp_path / "manifest.json", text)
    with pytest.raises(ValueError, match=r"manifest.json is damaged.*make the run again"):
        run_folder.read(tmp_path, "manifest")


@pytest.mark.promise("Runs: a full disk is told in bytes and harms nothing that was saved")
def test_a_json_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "sessions.json"
    run_folder.write_json(path, [1, 2])

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_folder.os, "fsync", full)
    with pytest.raises(OSError, match=r"sessions.json: No space left.* 7 bytes are needed, .*free"):
        run_folder.write_json(path, [3])
    assert run_folder.parsed(path) == [1, 2] and os.listdir(tmp_path) == ["sessions.json"]


@pytest.mark.promise("Runs: killed at any moment, a run goes on and ends the same, bit for bit")
@pytest.mark.parametrize("name", ["config.json", "sessions.json"])
def test_what_a_start_left_half_written_does_not_stop_the_next(tmp_path, caplog, name):
    with pytest.raises(KeyError), run_writer.writing(tmp_path / "run", {"a": 1}, {}) as partial:
        (partial / "checkpoints" / "4").mkdir(parents=True)
        (partial / "checkpoints" / "4" / "SHA256SUMS").touch()
        raise KeyError
    damage(partial / name, b"")
    with run_writer.writing(tmp_path / "run", {"a": 1}, {}):
        pass
    assert f"{name} cannot be read: it is written anew" in caplog.text
    assert run_folder.read(tmp_path / "run", "config") == {"a": 1}
