"""Runs in processes of their own, killed and told to stop at random moments, end bit for bit."""

import multiprocessing
import os
import random
import signal
import time

import killable
import pytest

from birdiedna import runs

#: So many kills; `make stress` asks for more.
KILLS = int(os.environ.get("BIRDIEDNA_KILLS", "20"))


@pytest.fixture(scope="module")
def processes():
    """Processes that start with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killable"])
    return context


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def started(processes, place, kind, cache):
    """A process at work on the run, waited for until it logs its first event."""
    (place.parent / "running").unlink(missing_ok=True)
    process = processes.Process(target=killable.make, args=(place, kind, cache))
    process.start()
    while process.is_alive() and not (place.parent / "running").exists():
        time.sleep(0.005)
    return process


def finished(processes, folder, kind, cache):
    """The story of a run that nobody disturbs, and how long it logged."""
    folder.mkdir()
    process = started(processes, folder / "run", kind, cache)
    begun = time.monotonic()
    process.join()
    assert process.exitcode == 0
    return killable.story(folder / "run"), time.monotonic() - begun


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "share"), [("pretrain", 0.7), ("finetune", 0.3)])
def test_a_run_killed_at_random_moments_ends_bit_for_bit_as_if_never_killed(
    processes, cache, tmp_path, kind, share
):
    finished(processes, tmp_path / "warm", kind, cache)
    whole, seconds = finished(processes, tmp_path / "whole", kind, cache)
    rng, kills, in_a_save = random.Random(0), 0, 0
    for number in range(1_000):
        folder = tmp_path / str(number)
        folder.mkdir()
        while not runs.complete(folder / "run"):
            process = started(processes, folder / "run", kind, cache)
            process.join(rng.uniform(0, 1.1 * seconds) if kills < share * KILLS else None)
            if process.exitcode is None:
                process.kill()
                process.join()
                kills += 1
                in_a_save += bool(list(folder.glob("run.partial/checkpoints/*.passing")))
            else:
                assert process.exitcode == 0
        assert killable.story(folder / "run") == whole
        if kills >= share * KILLS:
            break
    print(f"{kind}: survived {kills} kills in {number + 1} runs, {in_a_save} of them in a save")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_a_run_in_good_order_and_it_can_be_gone_on_with(
    processes, cache, tmp_path, number, status
):
    whole, seconds = finished(processes, tmp_path / "whole", "pretrain", cache)
    place = tmp_path / "run"
    process = started(processes, place, "pretrain", cache)
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == status
    assert list(tmp_path.glob("run.partial/checkpoints/*/SHA256SUMS"))
    process = started(processes, place, "pretrain", cache)
    process.join()
    assert process.exitcode == 0 and killable.story(place) == whole
