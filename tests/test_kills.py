"""Runs in processes of their own, killed and told to stop at random moments, end bit for bit."""

import functools
import itertools
import multiprocessing
import os
import random
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import killable
import pytest

from birdiedna import runs

#: So many kills of each kind of run; `make stress` asks for more.
KILLS = int(os.environ.get("BIRDIEDNA_KILLS", "20")) // 2


@pytest.fixture(scope="module")
def started():
    """Starts a process at work on a run, and waits until it logs its first event."""
    context = multiprocessing.get_context("forkserver")  # forks have everything imported
    context.set_forkserver_preload(["killable"])

    def start(folder, kind, cache):
        folder.mkdir(exist_ok=True)
        (folder / "running").unlink(missing_ok=True)
        process = context.Process(target=killable.make, args=(folder / "run", kind, cache))
        process.start()
        while process.is_alive() and not (folder / "running").exists():
            time.sleep(0.005)
        return process

    return start


class Undisturbed(NamedTuple):
    """What a run came to that nobody disturbs, how long it logged, and what was compiled for it."""

    story: dict
    seconds: float
    cache: Path


@pytest.fixture(scope="module")
def undisturbed(started, tmp_path_factory):
    """A kind's runs that nobody disturbs: two, and both tell the same story."""

    @functools.cache
    def of(kind):
        folder, cache = tmp_path_factory.mktemp(kind), Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
        for name in ("first", "second"):  # the first compiles what is not compiled yet
            process = started(folder / name, kind, cache)
            begun = time.monotonic()
            process.join()
            assert process.exitcode == 0
        seconds = time.monotonic() - begun
        first, second = (killable.story(folder / name / "run") for name in ("first", "second"))
        assert first == second
        own = shutil.copytree(cache, folder / "compiled")  # a kill may harm a cache, not the shared
        return Undisturbed(first, seconds, own)

    return of


def killed(started, folder, kind, cache, moments):
    """A run killed at these moments until it ends: its story, kills, and how many in a save."""
    kills = in_a_save = 0
    while not runs.complete(folder / "run"):
        process = started(folder, kind, cache)
        process.join(next(moments, None))
        if process.exitcode is None:
            process.kill()
            process.join()
            kills += 1
            in_a_save += bool(list(folder.glob("run.partial/checkpoints/*.passing")))
        else:
            assert process.exitcode == 0
    return killable.story(folder / "run"), kills, in_a_save


@pytest.mark.promise("Same bits: one seed trains one model, in every process of a machine")
@pytest.mark.promise("Runs: killed at any moment, a run goes on and ends the same, bit for bit")
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pretrain", "finetune"])
def test_a_run_killed_at_random_moments_ends_bit_for_bit_as_if_never_killed(
    started, undisturbed, tmp_path, tally, kind
):
    whole = undisturbed(kind)

    def one_after_the_other(seed):
        rng, left = random.Random(seed), KILLS // 2
        for number in itertools.count():
            folder = tmp_path / f"{seed}-{number}"
            moments = (rng.uniform(0, 0.4 * whole.seconds) for _ in range(left))
            story, kills, in_a_save = killed(started, folder, kind, whole.cache, moments)
            yield story == whole.story, kills, in_a_save
            left -= kills
            if left <= 0:
                return

    with ThreadPoolExecutor(2) as pool:
        ended = pool.map(lambda seed: list(one_after_the_other(seed)), range(2))
        ended = [run for runs_of_one in ended for run in runs_of_one]
    for same, kills, in_a_save in ended:
        for feat, times in (("kills survived", kills), ("kills in a save survived", in_a_save)):
            for _ in range(times):
                tally(feat, same)
    assert all(same for same, *_ in ended)


@pytest.mark.promise("Runs: a signal ends a run in good order; the same command goes on")
@pytest.mark.slow
def test_signals_end_a_run_in_good_order_and_it_can_be_gone_on_with(started, undisturbed, tmp_path):
    whole = undisturbed("pretrain")
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = started(tmp_path, "pretrain", whole.cache)
        os.kill(process.pid, number)
        process.join()
        assert process.exitcode == status
        assert list(tmp_path.glob("run.partial/checkpoints/*/SHA256SUMS"))
    process = started(tmp_path, "pretrain", whole.cache)
    process.join()
    assert process.exitcode == 0 and killable.story(tmp_path / "run") == whole.story
