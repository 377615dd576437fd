"""`make` prepares .venv from the chosen Python alone, and first checks its needs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_scripts import program

ROOT = Path(__file__).parents[2]
#: A stand-in for Python that records the environment of an installation.
STUB = 'case "$*" in *install*) env > seen;; esac; exit 0'


@pytest.fixture
def checkout(tmp_path):
    """Makefile and setup in a folder with a stub for .venv: nothing is installed."""
    root = tmp_path / "a checkout"
    (root / ".venv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    for name in (".ci", "constraints"):
        shutil.copytree(ROOT / name, root / name)
    program(root / ".venv" / "bin" / "python", STUB)
    return root


def made(root, python="", **variables):
    command = ["make", f"PYTHON={python}", ".venv/.installed"]
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


@pytest.mark.promise("Settings: the caller's Python and conda do not reach the environment")
def test_nothing_of_the_caller_s_python_reaches_the_installation(checkout):
    leaks = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PIP_TARGET", "PIP_PREFIX")
    leaks += ("PYTHONOPTIMIZE",)  # without docstrings there are no charts
    asked = dict.fromkeys(leaks, "/other")
    done = made(checkout, sys.executable, **asked, PIP_USER="1")
    assert done.returncode == 0, done.stderr
    seen = dict(line.partition("=")[::2] for line in (checkout / "seen").read_text().splitlines())
    assert not {*leaks} & {*seen} and seen["PIP_USER"] == "0"


@pytest.mark.parametrize("variables", [{"PYTHONPATH": "/other"}, {"PYTHONHOME": "/other"}])
def test_a_script_called_without_make_drops_them_too(checkout, variables):
    environment = {**os.environ, "PYTHON": sys.executable, **variables}
    subprocess.run(["sh", ".ci/setup"], cwd=checkout, env=environment, check=True)
    assert "/other" not in (checkout / "seen").read_text()


def test_a_python_whose_path_has_blanks_is_one_word(checkout):
    stub = f'case "$*" in *venv*) exit 3;; esac\nexec "{sys.executable}" "$@"'
    python = program(checkout / "with two  blanks" / "python3", stub)
    done = made(checkout, checkout / "none here")
    assert f"PYTHON={checkout / 'none here'} is not a Python 3.11" in done.stderr
    assert made(checkout, python).returncode == 0


@pytest.mark.promise("Settings: disk space and permissions are checked before anything runs")
def test_a_full_disk_is_reported_before_anything_is_installed(checkout):
    program(checkout / "bin" / "df", "echo head\necho disk 9 9 2000 9 /")
    done = made(checkout, sys.executable, PATH=f"{checkout / 'bin'}:{os.environ['PATH']}")
    assert done.returncode and ".venv needs 2500000 kB, 2000 are free; make room" in done.stderr
    assert not (checkout / "seen").exists()


def test_a_machine_without_jax_is_named_before_anything_is_installed(checkout):
    program(checkout / "bin" / "uname", "echo Darwin x86_64")
    done = made(checkout, sys.executable, PATH=f"{checkout / 'bin'}:{os.environ['PATH']}")
    assert done.returncode and "jax has no package for a Mac with an Intel" in done.stderr
    assert not (checkout / "seen").exists()
