"""Processes of the book end with it, however it ends."""

import os
import signal
import subprocess
import sys
import time

import pytest
from waiting import until

from birdiedna.training.stop import Stopped
from book._ext import lifetime

#: Starts a renderer that starts another program; both record their process ids.
RENDER = """
import os, sys
from pathlib import Path
from book._ext import lifetime
command = ["sh", "-c", "sleep 60 & echo $$ $! > pids.tmp; mv pids.tmp pids; wait"]
lifetime.run(command, Path(sys.argv[1]), os.environ)
"""
#: Prints its process id and ends with its parent.
CHILD = """
import os, sys, time
from book._ext import lifetime
lifetime.end_with_parent()
assert lifetime.PARENT not in os.environ
print(os.getpid(), flush=True)
time.sleep(60)
"""


def ended(pid):
    """Whether a process has ended or is a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.promise("Runs: a signal ends the book with all that it started")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_pages_are_rendered_ends_the_renderer_and_its_children(tmp_path, number):
    parent = subprocess.Popen([sys.executable, "-c", RENDER, tmp_path], stderr=subprocess.DEVNULL)
    until((tmp_path / "pids").exists)
    parent.send_signal(number)
    assert parent.wait(20) != 0
    for pid in (tmp_path / "pids").read_text().split():
        until(lambda pid=pid: ended(pid))


@pytest.mark.promise("Runs: a signal ends the book with all that it started")
def test_a_process_ends_with_the_parent_that_is_killed():
    child = f"import os, sys\nos.environ['{lifetime.PARENT}'] = str(os.getppid())\n" + CHILD
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        pid = int(process.stdout.readline())
        assert not ended(pid)
        process.kill()
        until(lambda: ended(pid))


def test_sigterm_is_an_exception_in_the_block_and_usual_after_it():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match="SIGTERM was received") as caught:
        with lifetime.stopped_by_sigterm():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
    assert caught.value.status == 143 and signal.getsignal(signal.SIGTERM) is before


def test_what_a_command_printed_comes_back_with_its_status(tmp_path):
    command = ["sh", "-c", "echo out; echo err >&2; pwd; exit 3"]
    assert lifetime.run(command, tmp_path, os.environ) == (3, f"out\nerr\n{tmp_path}\n")


#: Works in another process, as chapter 9 does, and is killed meanwhile.
KERNEL = f"""
import sys
sys.path[:0] = {sys.path}
import test_lifetime
from birdiedna.experiments import smoke_run
smoke_run._alone = test_lifetime.working
smoke_run.in_process(sys.argv[1])
"""


def working(place, *_):
    with open(f"{place}.tmp", "w") as file:
        file.write(str(os.getpid()))
    os.rename(f"{place}.tmp", place)
    time.sleep(1)


@pytest.mark.promise("Runs: a signal ends the book with all that it started")
def test_a_worker_of_a_chapter_whose_kernel_is_killed_ends_after_its_work(tmp_path):
    words = [sys.executable, "-c", KERNEL, tmp_path / "pid"]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as kernel:
        until((tmp_path / "pid").exists)
        kernel.kill()
    until(lambda: ended((tmp_path / "pid").read_text()))
