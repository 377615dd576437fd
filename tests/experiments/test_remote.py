"""One command for a borrowed machine measures, works and packs; another machine resumes."""

import gzip
import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
import pytest
import small_plan

from benchmarks import accelerator, results
from birdiedna.cli import main
from birdiedna.data import files
from birdiedna.experiments import collect, config_json, cost, make, prepare, remote
from birdiedna.experiments import plan as plans
from birdiedna.experiments.runs import open_runs
from birdiedna.training import checkpoint, run_folder, stop

ROOT = results.ROOT
#: Makes readers and charts impossible to import, also in child processes.
BARE = """
import os
import sys

if os.environ.get("BIRDIEDNA_BARE"):
    exec(os.environ["BIRDIEDNA_BARE"])
"""


@pytest.fixture(scope="module")
def bare(folder):
    """The environment of processes in which only the training core can be imported."""
    site = folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(BARE)
    path = os.pathsep.join([str(site), str(ROOT)])
    return os.environ | {"PYTHONPATH": path, "BIRDIEDNA_BARE": small_plan.BARE}


@pytest.fixture(scope="module")
def plan(folder):
    wanted = small_plan.wanted(folder, names=("one",), arms=("birdie", "ntp"))
    return prepare.prepare(folder / "plan", **wanted)


@pytest.fixture(scope="module")
def worked(plan, bare):
    """The output of the command after it was killed twice with all its processes."""
    words = [sys.executable, "-m", "birdiedna", "remote", "work", str(plan.folder), "--out"]
    words += [str(plan.folder.parent / "packed"), "--budget-minutes", "9"]
    for more, workers in ((1, "2"), (3, "1")):
        command = [*words, "--work-only", "--workers", workers]
        process = subprocess.Popen(command, env=bare, start_new_session=True)
        while process.poll() is None and len(list(plan.folder.glob("runs/*/manifest.json"))) < more:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run([*words, "--tiny"], env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_workers_know_their_parent_and_one_that_is_killed_gives_its_signal(
    plan, tmp_path, monkeypatch, capsys
):
    worker = tmp_path / "python"
    worker.write_text(f'#!/bin/sh\necho "$BIRDIEDNA_PARENT $*" > "{tmp_path}/given"\nkill -9 $$\n')
    worker.chmod(0o755)
    monkeypatch.setattr(remote.sys, "executable", str(worker))
    words = ["remote", "work", str(plan.folder), "--budget-minutes", "1", "--work-only"]
    assert main.main([*words, "--only", "none"]) == 1 and not (tmp_path / "given").exists()
    assert main.main(words) == 128 + signal.SIGKILL
    assert "ended by SIGKILL" in capsys.readouterr().out
    assert remote.work(plan.folder, 2.5, 1, ["finetune", "probe"], "cpu") == 128 + signal.SIGKILL
    asked = f"{plan.folder} --budget-minutes 2.500 --only finetune probe --device cpu"
    given = f"{os.getpid()} -m birdiedna plan work {asked}\n"
    assert (tmp_path / "given").read_text() == given
    main.main([*words[:4], "0.2", "--work-only"])  # less than packing takes
    assert "--budget-minutes 0.001" in (tmp_path / "given").read_text()


WORKER = """
import os, signal, sys, time
signal.signal({number}, lambda *_: sys.exit(9 - (os.getpgrp() == os.getpid())))
for _ in range(100):  # the first may come before the parent knows this process
    os.kill(os.getppid(), {number})
    time.sleep(0.2)
"""


@pytest.mark.promise("Runs: a signal saves and ends a run; the same command resumes it")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_workers_get_a_signal_from_their_parent_and_not_also_from_the_terminal(
    plan, tmp_path, monkeypatch, number
):
    worker, program = tmp_path / "python", tmp_path / "worker.py"
    program.write_text(WORKER.format(number=int(number)))
    worker.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{program}'\n")
    worker.chmod(0o755)
    monkeypatch.setattr(remote.sys, "executable", str(worker))
    usual = signal.signal(number, lambda *_: None)
    try:
        assert remote.work(plan.folder, 1) == 8
    finally:
        signal.signal(number, usual)


def test_a_signal_counts_even_if_a_process_overhears_it():
    deaf = [sys.executable, "-c", "import os, signal; signal.signal(2, signal.SIG_IGN); "]
    deaf[2] += "os.kill(os.getppid(), 2)"
    assert remote.together([deaf]) == [128 + signal.SIGINT]


def test_every_process_that_is_started_knows_its_parent():
    words = [sys.executable, "-c", "from birdiedna.training import stop; exit(3 + stop.orphaned())"]
    code = "from birdiedna.experiments import remote; remote.together([{}]) == [3] or exit(5)"
    assert remote.together([words, words]) == [3, 3]
    assert remote.together([[sys.executable, "-c", code.format(words)]]) == [0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_the_device_is_measured_ends_the_measurement_and_begins_no_work(
    plan, monkeypatch, capsys, number
):
    monkeypatch.setattr(remote, "together", lambda *_, **__: [128 + number])
    monkeypatch.setattr(remote, "work", lambda *_: pytest.fail("it began to work"))
    words = ["remote", "work", str(plan.folder), "--budget-minutes", "1"]
    assert main.main(words) == 128 + number
    assert f"measurement ended by {number.name}" in capsys.readouterr().out


def stopped_at(number):
    """Asks to stop at the call of this number, counted from 0."""
    asked = itertools.count()
    return lambda: stop.Stopped("enough", stop.OUT_OF_TIME) if next(asked) == number else None


@pytest.fixture
def elsewhere(plan, worked, tmp_path):
    """The plan on another machine, without runs and genome."""
    ignore = shutil.ignore_patterns("runs", "genome.npz", "tiny", "compiled", "failures.json")
    return shutil.copytree(plan.folder, tmp_path / "plan", ignore=ignore)


def test_killed_twice_the_command_finishes_measures_and_packs(plan, worked):
    assert "measured" in worked and "no run is left to do" in worked
    assert "failed" not in worked
    assert all(row["standing"] == "finished" for row in plans.table(plan))
    parts = list((plan.folder.parent / "packed").glob("part-*.tar"))
    assert parts and all(part.stat().st_size <= remote.LARGEST for part in parts)


def test_numbers_have_the_format_of_the_benchmark(plan, worked):
    assert accelerator.rows() == []  # on a CPU, without `--tiny`
    part = results.read(plan.folder / "tiny" / "cpu.json")["accelerator"]
    assert part.made["noted"] == {}
    value = {row.what: row.value for row in part.rows}
    errors = [row for row in part.rows if row.what.startswith("attention ")]
    assert {row.what.split()[1].strip(",") for row in errors} == {"auto", "chunks", "xla", "einsum"}
    assert all(0 < row.value <= row.bar for row in errors)
    for arm in ("birdie", "ntp"):
        assert value[f"step, {arm}"] > 0 and value[f"MFU, {arm}"] > 0
        flop = value[f"speed, {arm}"] * cost.flop_per_token(accelerator._TINY_MODEL, 128)
        assert value[f"achieved, {arm}"] == pytest.approx(flop / 1e6)
        kernels = [row.value for row in part.rows if row.what.startswith("kernel ")
                   and row.what.endswith(arm)]  # fmt: skip
        assert len(kernels) == 10 and kernels == sorted(kernels, reverse=True)
        assert value[f"all kernels, {arm}"] >= sum(kernels)


def test_packed_runs_resume_a_plan_elsewhere_without_its_genome(plan, elsewhere, monkeypatch):
    packed, there = plan.folder.parent / "packed", plans.read(elsewhere)
    assert len(remote.unpack(elsewhere, packed)) == len(plan.runs)
    assert remote.unpack(elsewhere, packed) == []  # what is there stays
    redone = next(run for run in plan.runs if run.kind == "finetune" and run.arm == "birdie")
    shutil.rmtree(there.place(redone.name))
    with pytest.raises(stop.Stopped):
        plans.work(elsewhere, stopped_at(4))
    remote.pack(elsewhere, elsewhere.parent / "begun", [redone.name], ("finetune",))
    shutil.rmtree(there.log(redone.name))
    assert remote.unpack(elsewhere, elsewhere.parent / "begun") == [redone.name]
    plans.work(elsewhere)
    assert run_folder.read(there.place(redone.name), "manifest")["sessions"] == 2
    one, other = (run_folder.predictions(p.place(redone.name)) for p in (plan, there))
    difference = np.abs(one["test_logits"] - other["test_logits"]).max()
    assert 0 < difference < 0.05  # it started from weights in bfloat16
    collect.collect(elsewhere, "moved")
    assert open_runs("moved").pretrained("ntp").is_dir()
    assert len(open_runs("moved").comparison()) > 0


def test_runs_are_locked_in_turn_as_they_are_unpacked(plan, worked, elsewhere, monkeypatch):
    held, most, sole = [], [], remote.run_writer.sole_writer

    @contextmanager
    def counted(lock):
        with sole(lock):
            held.append(lock)
            most.append(len(held))
            yield
            held.remove(lock)

    monkeypatch.setattr(remote.run_writer, "sole_writer", counted)
    assert len(remote.unpack(elsewhere, plan.folder.parent / "packed")) == len(plan.runs)
    assert most == [1] * len(plan.runs)


def test_two_processes_do_not_pack_or_unpack_into_one_folder(plan, elsewhere, tmp_path):
    packed = plan.folder.parent / "packed"
    with (
        files.sole(tmp_path / "packed" / "packing.tmp", tmp_path),
        files.sole(elsewhere / "unpacked.tmp", elsewhere),
    ):
        for act in (
            lambda: remote.pack(plan.folder, tmp_path / "packed"),
            lambda: remote.unpack(elsewhere, packed),
        ):
            with pytest.raises(ValueError, match="another process is writing it"):
                act()


@pytest.mark.promise("Runs: a full disk is reported in bytes and harms nothing that was saved")
def test_a_full_disk_names_the_folder_that_is_written(plan, elsewhere, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, os.strerror(28))

    remote.pack(plan.folder, tmp_path / "packed")
    before = files.sums(tmp_path / "packed")
    for name in ("add", "extractall"):
        monkeypatch.setattr(remote.tarfile.TarFile, name, full)
    for act, place in (
        (lambda: remote.pack(plan.folder, tmp_path / "packed"), tmp_path / "packed"),
        (lambda: remote.unpack(elsewhere, plan.folder.parent / "packed"), elsewhere),
    ):
        with pytest.raises(OSError, match="No space left") as caught:
            act()
        assert caught.value.filename == str(place)
    assert not (elsewhere / "unpacked.tmp").exists()
    assert files.sums(tmp_path / "packed") == before


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../x", tarfile.REGTYPE),
        ("/x", tarfile.REGTYPE),
        ("x", tarfile.SYMTYPE),
        ("x", tarfile.LNKTYPE),
        ("x", tarfile.FIFOTYPE),
    ],
)
def test_a_part_with_anything_but_files_inside_is_refused(elsewhere, tmp_path, refused, name, kind):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "part-000.tar", "w") as tar:
        tar.addfile(member)
    sums = hashlib.sha256((tmp_path / "part-000.tar").read_bytes()).hexdigest()
    (tmp_path / "SHA256SUMS").write_text(f"{sums}  part-000.tar\n")
    assert "is not a file or folder in it" in refused("remote", "unpack", elsewhere, tmp_path)
    assert not (elsewhere / "unpacked.tmp").exists()


@pytest.fixture(scope="module")
def begun(plan, worked):
    """The plan with a pre-training half done."""
    ignore = shutil.ignore_patterns("runs", "tiny", "failures.json")
    folder = shutil.copytree(plan.folder, plan.folder.parent / "begun", ignore=ignore)
    with pytest.raises(stop.Stopped):
        plans.work(folder, stopped_at(2), only=["pretrain-birdie"])
    return folder


def test_an_unfinished_pretraining_is_resumed_elsewhere_bit_for_bit(
    plan, begun, elsewhere, said, refused, monkeypatch
):
    packed, name = elsewhere.parent / "packed", plan.runs[0].name
    assert "--unfinished" in refused("remote", "pack", begun, "--out", packed)
    monkeypatch.setattr(remote, "work", lambda *given: 0)
    words = "--budget-minutes", 1, "--work-only"
    assert f"1 part in {packed}" in said("remote", "work", begun, "--out", packed, *words)
    assert "1 new run in" in said("remote", "unpack", elsewhere, packed)
    assert plans.table(plans.read(elsewhere))[0]["standing"] == "begun, step 2 of 6"
    shutil.copy(plan.folder / "genome.npz", elsewhere)
    plans.work(elsewhere, only=[name])
    places = [folder.place(name) for folder in (plan, plans.read(elsewhere))]
    one, other = (jax.tree.leaves(config_json.pretrained(place).net) for place in places)
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    one, other = (run_folder.events(place, "evaluation") for place in places)
    assert one == other
    assert run_folder.read(places[1], "manifest")["sessions"] == 2
    assert remote.unpack(elsewhere, packed) == []  # what is finished there stays


def test_the_further_of_two_unfinished_runs_stays(plan, begun, elsewhere, said, caplog):
    packed, run = elsewhere.parent / "packed", plan.runs[0]
    said("remote", "pack", begun, "--out", packed, "--unfinished", "--only", "pretrain-birdie")
    busy = lambda folder: make.run_writer.sole_writer(folder / "runs" / f"{run.name}.lock")
    (elsewhere / "runs").mkdir()
    with busy(elsewhere), pytest.raises(ValueError, match="is being made by process"):
        remote.unpack(elsewhere, packed)
    assert remote.unpack(elsewhere, packed) == [run.name]
    assert remote.unpack(elsewhere, packed) == []  # as far
    place = plans.read(elsewhere).log(run.name)
    (place / "checkpoints" / "2" / "facts.json").write_text("{}")
    assert remote.unpack(elsewhere, packed) == [run.name]  # the damaged one cannot be resumed
    with busy(begun), pytest.raises(ValueError, match="nothing to pack; run `birdiedna plan"):
        remote.pack(begun, packed, unfinished=("pretrain",))
    assert f"{run.name} is not packed" in caplog.text


@pytest.mark.parametrize("harm", ["state.npz", "no model", "manifest.json", "predictions.npz"])
def test_a_damaged_run_is_left_out_of_the_pack_and_the_others_are_packed(
    plan, worked, elsewhere, tmp_path, caplog, harm
):
    shutil.copytree(plan.folder / "runs", elsewhere / "runs")
    there, kind = plans.read(elsewhere), "finetune" if harm == "predictions.npz" else "pretrain"
    name = next(run.name for run in plan.runs if run.kind == kind)
    if harm == "no model":
        shutil.rmtree(there.place(name) / "model")
    else:
        os.truncate(next(there.place(name).rglob(harm)), 100)
    remote.pack(elsewhere, tmp_path / "packed")
    assert f"{name} is not packed" in caplog.text
    shutil.rmtree(elsewhere / "runs")
    assert {*remote.unpack(elsewhere, tmp_path / "packed")} == {r.name for r in plan.runs} - {name}
    assert not [*elsewhere.rglob("*.safetensors")], "weights are stored once"


@pytest.mark.usefixtures("worked")
def test_work_packs_the_others_before_it_refuses_a_damaged_run(
    plan, elsewhere, monkeypatch, refused
):
    shutil.copytree(plan.folder / "runs", elsewhere / "runs")
    os.truncate(plans.read(elsewhere).place(plan.runs[0].name) / "manifest.json", 100)
    monkeypatch.setattr(remote, "work", lambda *_: 1)
    words = ["remote", "work", elsewhere, "--budget-minutes", 1, "--work-only"]
    packed = elsewhere.parent / "packed"
    assert "manifest.json is damaged" in refused(*words, "--only", "one", "--out", packed)
    shutil.rmtree(elsewhere / "runs")
    assert len(remote.unpack(elsewhere, packed)) == len(plan.runs) - 1


def test_a_full_disk_leaves_out_what_was_begun_and_packs_the_finished_runs(
    plan, begun, elsewhere, tmp_path, monkeypatch, caplog
):
    ignore = shutil.ignore_patterns(plan.runs[0].name)
    shutil.copytree(plan.folder / "runs", elsewhere / "runs", ignore=ignore)
    partial = plans.read(begun).log(plan.runs[0].name)
    shutil.copytree(partial, elsewhere / "runs" / partial.name)

    def full(path, *given):
        if path.suffix == ".lock":
            raise OSError(28, os.strerror(28))
        return write(path, *given)

    write = Path.write_text
    monkeypatch.setattr(Path, "write_text", full)
    remote.pack(elsewhere, tmp_path / "packed", unfinished=("pretrain",))
    assert f"{plan.runs[0].name} is not packed" in caplog.text
    monkeypatch.undo()
    shutil.rmtree(elsewhere / "runs")
    names = {run.name for run in plan.runs[1:]}
    assert {*remote.unpack(elsewhere, tmp_path / "packed")} == names


def edit(path, **fields):
    """Change fields of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def edit_checkpoint(run):
    saved = run / "checkpoints" / "2"
    edit(saved / "facts.json", config="0")
    (saved / "SHA256SUMS").write_text(checkpoint._listing(checkpoint._sums(saved)))


def finish(run, manifest):
    (run / "manifest.json").write_text(manifest)
    run.rename(run.with_suffix(""))


@pytest.mark.promise("Damage: a crafted file is refused in one line, whatever its checksums say")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run: edit(run / "config.json", steps=7), "another config: steps: stored 7, now 6"),
        (lambda run: run.rename(run.with_name("pretrain-mlm.partial")), "no run of"),
        (lambda run: shutil.rmtree(run / "checkpoints" / "2"), "no checkpoint of its config"),
        (edit_checkpoint, "no checkpoint of its config"),
        (lambda run: os.truncate(run / "checkpoints" / "2" / "host.npz", 1), "every checkpoint"),
        (lambda run: os.truncate(run / "events.jsonl", 100), "every checkpoint"),
        (lambda run: (run / "more.json").touch(), "more.json is missing or unexpected"),
        (lambda run: (run / "config.json").unlink(), "config.json is missing or unexpected"),
        (lambda run: run.rename(run.with_suffix("")), "it has no manifest.json"),
        (lambda run: finish(run, "[]"), "manifest.json is damaged: it is not an object"),
        (
            lambda run: (edit(run / "config.json", steps=7), finish(run, '{"name": "x"}')),
            "steps: stored 7, now 6",
        ),
    ],
)
def test_a_crafted_run_is_refused_in_one_line(
    plan, begun, elsewhere, tmp_path, refused, change, said
):
    remote.pack(begun, packed := tmp_path / "packed", unfinished=("pretrain",))
    shutil.unpack_archive(packed / "part-000.tar", tmp_path / "open")
    change(next((tmp_path / "open").iterdir()))
    (run,) = (tmp_path / "open").iterdir()
    with tarfile.open(packed / "part-000.tar", "w") as tar:
        tar.add(run, run.name)
    sums = hashlib.sha256((packed / "part-000.tar").read_bytes()).hexdigest()
    (packed / "SHA256SUMS").write_text(f"{sums}  part-000.tar\n")
    assert said in refused("remote", "unpack", elsewhere, packed)
    assert not list(elsewhere.glob("runs/*")) and not (elsewhere / "unpacked.tmp").exists()


def test_a_missing_damaged_or_foreign_part_is_refused_in_one_line(plan, elsewhere, refused):
    packed = shutil.copytree(plan.folder.parent / "packed", elsewhere.parent / "copy")
    part = packed / "part-000.tar"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    unpack = ["remote", "unpack", elsewhere]
    assert "part-000.tar is missing or damaged; copy it again" in refused(*unpack, packed)
    part.unlink()
    assert "part-000.tar is missing or damaged; copy it again" in refused(*unpack, packed)
    assert "SHA256SUMS" in refused(*unpack, elsewhere)
    plans.write(plans.read(elsewhere)._replace(runs=plan.runs[:1]))
    assert "no run of" in refused(*unpack, plan.folder.parent / "packed")
    assert not (elsewhere / "runs").exists()


@pytest.mark.promise("Damage: a crafted file is refused in one line, whatever its checksums say")
@pytest.mark.parametrize(
    "text", [b"no archive", gzip.compress(b"\0" * 10_000), b"x" * 600], ids=["text", "gzip", "long"]
)
def test_parts_that_are_no_archive_are_refused_in_one_line(plan, tmp_path, text):
    (tmp_path / "part-000.tar").write_bytes(text)
    sums = f"{hashlib.sha256(text).hexdigest()}  part-000.tar\n"
    (tmp_path / "SHA256SUMS").write_text(sums)
    with pytest.raises(ValueError, match=r"is damaged: [^\n]*pack the runs again"):
        remote.unpack(plan.folder, tmp_path)
    assert not (plan.folder / "unpacked.tmp").exists()


def test_processes_on_one_plan_make_different_runs(elsewhere, plan, monkeypatch):
    remote.unpack(elsewhere, plan.folder.parent / "packed")
    there = plans.read(elsewhere)
    tuned = [run for run in there.runs if run.kind == "finetune"]
    for run in tuned[:2]:
        shutil.rmtree(there.place(run.name))
    other = make.run_writer.sole_writer(elsewhere / "runs" / f"{tuned[0].name}.lock")
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        other.__exit__(None, None, None)  # the other process has ended

    monkeypatch.setattr(make.time, "sleep", sleep)
    other.__enter__()
    plans.work(elsewhere)
    assert naps == [make.POLL_S]
    assert all(row["standing"] == "finished" for row in plans.table(there))
