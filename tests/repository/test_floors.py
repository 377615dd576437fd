"""Claims about the shape of the package: floors, a bare core, a quick import."""

import subprocess
import sys
from pathlib import Path

from birdiedna.runs import origin

ROOT = Path(__file__).parents[1]
HEAVY = {"polars", "altair", "pyfaidx", "sklearn", "scipy.stats", "torch", "tqdm"}


def test_imports_keep_to_the_floors():
    found = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout


def test_the_training_core_imports_no_reader_and_no_chart():
    core = " ".join(origin.CORE)
    program = (
        f"import sys\nfor name in '{core} explain world runs'.split():\n"
        "    __import__('birdiedna.' + name.replace('/', '.'))\nprint(*sys.modules)"
    )
    ask = [sys.executable, "-c", program]
    loaded = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)
