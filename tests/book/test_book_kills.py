"""After `make book` is killed at any moment, a second call gives the same files."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
import small_book

#: Number of kills, each followed by a whole call, in `make stress`.
KILLS = int(os.environ.get("BIRDIEDNA_KILLS", "0")) // 5
#: The small book's runs are made by the tiny profile of the tests.
TINY = f"""

import sys
sys.path.insert(0, {str(small_book.ROOT / "tests")!r})
import tiny
PROFILES["quick"] = tiny.PROFILE
"""
READS = """
from birdiedna.evaluation import frames
from birdiedna.experiments.runs import open_runs
from birdiedna.figures import show
losses = frames.losses([open_runs(profile, seed=seed).pretrained("ntp")])
show.number("loss", losses["loss"][-1], ".4f")
"""
OPENING = "# Losses\n\nThe last loss is {glue:text}`loss:s` nats."


def call(checkout: Path, mark: str) -> subprocess.Popen:
    """`make book` in the copy, with a mark in the environment of all processes."""
    ready = checkout / "ready"
    ready.touch()
    command = ["make", "book", f"READY={ready}", f"BIN={Path(sys.executable).parent}"]
    clean = {name: value for name, value in os.environ.items() if "BIRDIEDNA" not in name}
    return subprocess.Popen(
        command,
        cwd=checkout,
        env={**clean, "BIRDIEDNA_CACHE": str(checkout / "cache"), "KILL_MARK": mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finished(checkout: Path, mark: str = "") -> tuple[dict[str, str], set[str]]:
    """The pages, and the names of all files, after a whole call."""
    process = call(checkout, mark)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    pages = {
        str(p.relative_to(checkout)): p.read_text() for p in (checkout / "_build").rglob("*.html")
    }
    kept = ("book", "runs", "_build")
    files = {str(p.relative_to(checkout)) for name in kept for p in (checkout / name).rglob("*")}
    cached = {str(p.relative_to(checkout)) for p in (checkout / "cache").glob("*")}
    return pages, {name for name in files | cached if "__pycache__" not in name}


def marked(mark: str) -> list[int]:
    """The running processes with a mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (path / "environ").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout with a book of two chapters and the tiny profile."""
    root = tmp_path_factory.mktemp("checkout")
    chapters = {
        "01_alone": small_book.chapter("print(profile)"),
        "02_reads": small_book.chapter(READS, title=OPENING, needs=["pretrain"]),
    }
    small_book.make(root, chapters)
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("birdiedna", "book/_ext"):
        shutil.copytree(small_book.ROOT / name, root / name, ignore=ignored)
    for name in ("Makefile", "pyproject.toml", "constraints"):
        copy = shutil.copytree if (small_book.ROOT / name).is_dir() else shutil.copy
        copy(small_book.ROOT / name, root / name)
    config = root / "_config.yml"
    config.write_text(config.read_text().replace(str(small_book.ROOT), str(root)))
    with (root / "birdiedna" / "experiments" / "profiles.py").open("a") as file:
        file.write(TINY)
    return root


@pytest.mark.slow
@pytest.mark.skipif(not KILLS, reason="takes minutes: make stress")
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks at processes in /proc")
@pytest.mark.promise("Runs: the book killed at any moment is whole after a second call")
def test_the_book_killed_at_random_moments_is_whole_after_a_second_call(checkout, tally):
    rng, begun = random.Random(0), time.monotonic()
    pages, files = finished(checkout)
    seconds = time.monotonic() - begun
    for number in range(KILLS):
        shutil.rmtree(checkout / "_build"), shutil.rmtree(checkout / "runs")
        mark = uuid.uuid4().hex
        process = call(checkout, mark)
        time.sleep(rng.uniform(0.3, seconds))
        some = rng.choice(marked(mark) or [process.pid])  # make, the book, a kernel, the renderer
        os.kill(process.pid if number % 2 == 0 else some, signal.SIGKILL)
        process.communicate(timeout=60)
        end = time.monotonic() + 10
        while marked(mark) and time.monotonic() < end:
            time.sleep(0.05)
        left, (same_pages, same_files) = marked(mark), finished(checkout)
        tally("kills survived", not left and (same_pages, same_files) == (pages, files))
        assert not left
        assert same_files == files
        assert same_pages == pages
