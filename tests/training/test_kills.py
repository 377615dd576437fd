"""Runs killed or signalled at random moments end bit for bit as if they had not been."""

import functools
import os
import random
import shutil
import signal
import time
from pathlib import Path

import killable
import pytest

from birdiedna.training import run_folder

#: Number of kills; `make stress` asks for more. Pre-training starts slower and gets fewer.
KILLS = int(os.environ.get("BIRDIEDNA_KILLS", "6"))
SHARES = {"pretrain": 0.4, "finetune": 0.6}


@pytest.fixture(scope="module")
def started(forks):
    """A function that starts a process to make a run; all modules are already imported."""

    def start(folder, kind, cache):
        folder.mkdir(exist_ok=True)
        (folder / "seen").unlink(missing_ok=True)
        process = forks.Process(target=killable.make, args=(folder / "run", kind, cache))
        process.start()
        return process

    return start


@pytest.fixture(scope="module")
def uninterrupted(started, tmp_path_factory):
    """The result of an uninterrupted run of a kind, and a copy of the compilation cache."""

    @functools.cache
    def of(kind):
        folder, cache = tmp_path_factory.mktemp(kind), Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
        process = started(folder, kind, cache)
        process.join()
        assert process.exitcode == 0
        own = shutil.copytree(cache, folder / "compiled", copy_function=os.symlink)
        return killable.result(folder / "run"), own  # a kill may harm what it adds, not the shared

    return of


def wait_for(process, folder, events):
    """Wait until the process has logged this many events or has ended."""
    seen = folder / "seen"
    while process.is_alive() and not (seen.exists() and seen.stat().st_size >= events):
        time.sleep(0.004)


def killed(started, folder, kind, cache, moments):
    """Kill a run at these moments until it ends; its result, and kills in total and in a save."""
    kills = in_a_save = 0
    while not run_folder.complete(folder / "run"):
        begun, process = time.time(), started(folder, kind, cache)
        events, seconds = next(moments, (1_000_000, None))
        wait_for(process, folder, events)
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
            process.join()
            kills += 1
            unfinished = folder.glob("run.partial/checkpoints/*.tmp")
            in_a_save += any(path.stat().st_mtime > begun for path in unfinished)
        else:
            assert process.exitcode == 0
    return killable.result(folder / "run"), kills, in_a_save


def moment(rng):
    """Events and seconds before a kill: mostly within the first chunks, some before any."""
    if rng.random() < 0.2:
        return 0, rng.uniform(0, 3)
    return rng.randint(1, 4), rng.uniform(0, 0.08)


@pytest.mark.promise("Runs: killed at any moment, a run resumes and ends the same, bit for bit")
@pytest.mark.slow
@pytest.mark.parametrize("kind", SHARES)
def test_a_run_killed_at_random_moments_ends_bit_for_bit(
    started, uninterrupted, tmp_path, tally, kind
):
    whole, cache = uninterrupted(kind)

    rng, left, ended = random.Random(0), round(SHARES[kind] * KILLS), []
    while left > 0:
        folder = tmp_path / str(len(ended))
        moments = (moment(rng) for _ in range(left))
        found, kills, in_a_save = killed(started, folder, kind, cache, moments)
        ended.append((found == whole, kills, in_a_save))
        left -= kills
    for same, kills, in_a_save in ended:
        for feat, times in (("kills survived", kills), ("kills in a save survived", in_a_save)):
            for _ in range(times):
                tally(feat, same)
    assert all(same for same, *_ in ended)


@pytest.mark.promise("Runs: a signal saves and ends a run; the same command resumes it")
@pytest.mark.slow
def test_a_signal_saves_a_run_and_the_next_process_resumes_it(started, uninterrupted, tmp_path):
    whole, cache = uninterrupted("finetune")
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = started(tmp_path, "finetune", cache)
        wait_for(process, tmp_path, 3)
        os.kill(process.pid, number)
        process.join()
        assert process.exitcode == status
        assert list(tmp_path.glob("run.partial/checkpoints/*/SHA256SUMS"))
    process = started(tmp_path, "finetune", cache)
    process.join()
    assert process.exitcode == 0 and killable.result(tmp_path / "run") == whole
