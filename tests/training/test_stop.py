"""A signal, also under papermill, or a spent time budget stops a run with a checkpoint."""

import os
import signal
import subprocess
import sys
import threading
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path

import nbformat
import pytest
import small_plan
from hypothesis import given
from hypothesis import strategies as st
from waiting import until

from birdiedna import cli
from birdiedna.cli import data, main
from birdiedna.training import checkpoint, run_folder, stop

ASKED = (signal.SIGTERM, signal.SIGINT)
STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}


@pytest.mark.promise("Runs: a signal saves and ends a run; the same command resumes it")
@pytest.mark.parametrize("number", STATUS)
def test_the_first_signal_stops_the_run_and_handlers_are_restored(number):
    before = [signal.getsignal(known) for known in STATUS]
    with pytest.raises(stop.Stopped), stop.watch() as ask:
        assert ask() is None
        signal.raise_signal(number)
        stopped = ask()
        assert stopped.status == STATUS[number] and number.name in str(stopped)
        assert "the same command, or cell, resumes from what is saved" in str(stopped)
        signal.raise_signal(signal.SIGHUP)  # a closed terminal does not cut the saving short
        assert [signal.getsignal(known) for known in ASKED] == before[:2]
    assert [signal.getsignal(known) for known in STATUS] == before


@pytest.mark.promise("Runs: a signal saves and ends a run; the same command resumes it")
@pytest.mark.parametrize("number", STATUS)
def test_a_signal_after_the_last_check_still_stops_the_block(number, capfd):
    with pytest.raises(stop.Stopped, match=number.name) as caught, stop.watch():
        signal.raise_signal(number)
    assert caught.value.status == STATUS[number]
    assert (
        f"{number.name}: stopping, with what can be resumed saved; a second"
        in capfd.readouterr().err
    )
    with pytest.raises(KeyError), stop.watch():
        signal.raise_signal(number)
        raise KeyError


@pytest.mark.promise("Runs: a signal saves and ends a run; the same command resumes it")
@pytest.mark.parametrize("hung_up", [False, True])
@pytest.mark.parametrize("ends", [os.openpty, os.pipe], ids=["terminal", "pipe"])
def test_a_run_whose_terminal_or_pipe_is_closed_saves_and_stops_whether_signalled_or_not(
    ends, hung_up
):
    reader, writer = ends()
    os.close(reader)
    with os.fdopen(writer, "w") as out, pytest.raises(stop.Stopped), stop.watch() as ask:
        if hung_up:
            signal.raise_signal(signal.SIGHUP)
        for _ in range(2):
            print("step", file=main._Shown(out), flush=True)
        assert ask().status == STATUS[signal.SIGHUP if hung_up else signal.SIGTERM]


@pytest.mark.promise("Runs: a signal ends the book with all that it started")
def test_a_process_stops_when_the_parent_that_is_named_has_ended(monkeypatch):
    for named, status in (("", None), (str(os.getppid()), None), ("0", 143)):
        monkeypatch.setenv(stop.PARENT, named)
        with stop.watch() as ask:
            assert getattr(ask(), "status", None) == status


BUSY = """
import time
from birdiedna.training import stop
with stop.watch() as ask:
    print("begun", flush=True)
    while not ask():
        time.sleep(0.01)
    print("heard", flush=True)
    time.sleep(60)
"""


@pytest.mark.promise("Runs: a second signal ends the process at once")
@pytest.mark.parametrize("started", ["", "trap '' INT TERM; "], ids=["usually", "ignoring"])
@pytest.mark.parametrize("number", ASKED)
def test_a_second_signal_ends_the_process_by_its_default_action(number, started):
    """Even if signals were ignored at the start, as in background jobs of scripts."""
    command = ["sh", "-c", f'{started}exec "$0" -c "$1"', sys.executable, BUSY]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        for said in ("begun\n", "heard\n"):
            assert process.stdout.readline() == said
            process.send_signal(number)
        assert process.wait(20) == -number


def test_the_suite_does_not_ignore_signals_however_it_was_started():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_a_run_under_nohup_outlives_its_terminal():
    usual = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop.watch() as ask:
            signal.raise_signal(signal.SIGHUP)
            assert ask() is None
    finally:
        signal.signal(signal.SIGHUP, usual)


def test_outside_the_main_thread_signal_handlers_are_untouched():
    answers = []

    def run():
        with stop.watch(minutes=1e-9) as ask:
            answers.append(ask().status)
            answers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert answers == [stop.OUT_OF_TIME, signal.getsignal(signal.SIGTERM)]


@pytest.mark.promise("Runs: a time budget is kept; status 75 says that the run can be resumed")
@given(st.lists(st.floats(0.1, 40), min_size=1, max_size=60))
def test_a_run_stops_in_time_unless_a_pause_is_longer_than_those_lately(pauses):
    with pytest.MonkeyPatch.context() as patch:
        times = [0.0, *accumulate(pauses)]
        clock = iter(times)
        patch.setattr(stop.time, "monotonic", lambda: next(clock))
        ask = stop._asked([], 1.0, lambda: False)
        for number, (pause, now) in enumerate(zip(pauses, times[1:], strict=True)):
            lately = pauses[max(0, number - stop.RECENT + 1) : number + 1]
            stopped = ask()
            assert now <= 60 or stopped and pause == max(lately)
            assert bool(stopped) == (now + max(lately) > 60)
            if stopped:
                over = "are over" if now > 60 else "are left, less than"
                assert stopped.status == 75 and over in str(stopped)
                break


@pytest.fixture
def tiny_profile(tmp_path, monkeypatch, own_objectives):
    small_plan.settings(monkeypatch, tmp_path)
    return tmp_path / "runs" / "tiny"


@pytest.mark.promise("Runs: a time budget is kept; status 75 says that the run can be resumed")
def test_a_budget_ends_the_command_and_the_same_command_resumes(tiny_profile, capsys):
    command = ["pretrain", "--profile", "tiny", "--arm", "ntp"]
    for step in (0, 2, 4):
        assert main.main([*command, "--budget-minutes", "0.0001"]) == 75
        said = capsys.readouterr()
        assert "0.0001 minutes: the clock is read after each chunk of steps" in said.out
        assert "the 0.0001 minutes given are over, after 0." in said.err
        assert "the same command, or cell, resumes from what is saved" in said.err
        (partial,) = tiny_profile.glob("*.partial")
        assert next(checkpoint.intact(partial / "checkpoints"), None).step == step
    assert main.main(command) == 0
    (run,) = tiny_profile.iterdir()
    assert [event["step"] for event in run_folder.events(run, "train")] == [2, 4, 6]
    assert run_folder.read(run, "manifest")["sessions"] == 4


CELL = """
from dataclasses import replace
from pathlib import Path
from birdiedna.data import fasta, sample
from birdiedna.director.director import even
from birdiedna.experiments import smoke_run
from birdiedna.training import pretrain, run_writer, stop
pretrain.BIRDIE_DNA = pretrain.NTP = {{}}  # measure the arm's own objectives: less to compile
arm = replace(smoke_run.ARM, director=even((0,)), objectives=smoke_run.ARM.objectives[:1])
arm = replace(arm, steps=400_000, evaluations=(400_000,))
with stop.watch() as ask, run_writer.writing(Path({place!r}), arm, {{}}) as partial:
    for _ in pretrain.train(arm, fasta.read(sample.GENOME), [pretrain.Run(0, partial)], ask):
        pass
"""


def papermill(folder: Path) -> subprocess.Popen:
    """Papermill running a notebook that trains for a long time, in an empty folder."""
    folder.mkdir()
    cell = nbformat.v4.new_code_cell(CELL.format(place=str(folder / "run")))
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "in.ipynb")
    command = [sys.executable, "-m", "papermill", "-k", "python3", "in.ipynb", "out.ipynb"]
    environment = os.environ | {"BIRDIEDNA_CACHE": str(folder.parent / "cache")}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=folder, env=environment, **quiet)


@pytest.mark.slow
@pytest.mark.skipif(int(version("ipykernel").split(".")[0]) < 7, reason="it ends with papermill")
@pytest.mark.promise("Runs: under papermill, too, a signal saves the run and fails the command")
def test_under_papermill_a_signal_leaves_a_saved_run_and_a_failed_command(tmp_path):
    ends = {signal.SIGINT: 1, signal.SIGTERM: -signal.SIGTERM}  # papermill says when it is aborted
    for number in STATUS:
        place, process = tmp_path / number.name / "run.partial", papermill(tmp_path / number.name)
        log = place / "events.jsonl"
        try:
            until(lambda log=log: log.exists() and len(log.read_text().splitlines()) > 3)
            process.send_signal(number)
            assert number not in ends or process.wait(60) == ends[number]
        finally:
            process.kill()
            process.wait()
        until(lambda lock=place.with_name("run.lock"): not lock.exists())  # the kernel ended, too
        saved = next(checkpoint.intact(place / "checkpoints"), None)
        assert saved.step == run_folder.events(place, "train")[-1]["step"] > 0


@pytest.mark.promise("Runs: under papermill, too, a signal saves the run and fails the command")
def test_the_other_signal_that_papermill_sends_a_kernel_is_no_second_one(monkeypatch):
    monkeypatch.setattr(stop, "_kernel", object)
    usual = signal.signal(signal.SIGTERM, lambda *_: pytest.fail("ended at once"))
    try:
        with pytest.raises(KeyboardInterrupt), stop.watch() as ask:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.raise_signal(number)
                assert ask().status == 128 + signal.SIGINT
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, usual)


@pytest.mark.promise("Runs: a second signal ends the process at once")
def test_an_interrupt_is_one_line_and_the_usual_status(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["birdiedna", "data", "list"])
    monkeypatch.setattr(data, "list_entries", lambda _: signal.raise_signal(signal.SIGINT))
    assert cli.run() == 130
    assert capsys.readouterr().err == "birdiedna: interrupted\n"


IMPORTING = """
import signal, sys
from birdiedna import cli
sys.meta_path.insert(0, type("Slow", (), {"find_spec": lambda *_: signal.raise_signal(2)}))
cli.run()
"""


@pytest.mark.promise("Runs: a second signal ends the process at once")
def test_an_interrupt_while_modules_are_imported_is_one_line_too():
    ended = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (130, "birdiedna: interrupted\n")
