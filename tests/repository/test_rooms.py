"""Claims about the shape of the package: rooms, a bare core, a short front door."""

import subprocess
import sys
from pathlib import Path

from birdiedna.training import environment

ROOT = Path(__file__).parents[2]
HEAVY = {"polars", "altair", "pyfaidx", "sklearn", "scipy.stats", "torch", "tqdm"}


def test_imports_go_down_the_rooms_only():
    words = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_the_training_core_imports_no_reader_and_no_chart_and_runs_none_that_takes_a_second():
    names = [file.relative_to(ROOT).with_suffix("") for file in environment.core_files()]
    modules = [".".join(name.parts).removesuffix(".__init__") for name in names]
    program = f"import sys\nfor name in {modules}: __import__(name)\nprint(*sys.modules)\n"
    program += "import birdiedna.experiments.runs\nprint(*sys.modules)"
    ask = [sys.executable, "-c", program]
    loaded = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    core, runs = (set(line.split()) for line in loaded.splitlines())
    assert not HEAVY & core
    slow = {"altair", "sklearn", "scipy.stats", "huggingface_hub"}  # the last warns in notebooks
    assert not slow & runs  # `import scipy` imports parts when used


def test_the_package_opens_on_at_most_twelve_entries():
    entries = {path.name for path in (ROOT / "birdiedna").iterdir()}
    assert len(entries - {"__init__.py", "__main__.py", "__pycache__", "py.typed"}) <= 12, entries


def test_the_model_has_no_branch_on_the_device():
    text = (ROOT / "birdiedna/model/transformer.py").read_text()
    assert not [word for word in ("default_backend", "platform", "devices(") if word in text]
