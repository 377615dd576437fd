"""The driver notebook for Colab: what it refuses and keeps. The replica runs all of it."""

import ast
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

NOTEBOOK = json.loads((Path(__file__).parents[2] / "book" / "colab.ipynb").read_text())
CODE = ["".join(c["source"]) for c in NOTEBOOK["cells"] if c["cell_type"] == "code"]
PARAMETERS, CHECKS, INSTALL, RUN = CODE


def defined(*cells):
    """The imports, values and functions that cells define."""
    kept = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AnnAssign)
    body = [node for cell in cells for node in ast.parse(cell).body if isinstance(node, kept)]
    names: dict = {}
    exec(compile(ast.Module(body, []), "colab.ipynb", "exec"), names)
    return SimpleNamespace(**names), names


def test_jax_is_never_imported_in_the_kernel_of_the_notebook():
    for cell in CODE:
        imported = [
            n for n in ast.walk(ast.parse(cell)) if isinstance(n, ast.Import | ast.ImportFrom)
        ]
        words = {alias.name for node in imported for alias in node.names}
        words |= {node.module for node in imported if isinstance(node, ast.ImportFrom)}
        assert not any(word.split(".")[0] in ("jax", "birdiedna", "flax") for word in words)


@pytest.mark.parametrize("name", "profile genome tasks labels validation changes".split())
def test_what_names_data_or_settings_in_chapters_can_be_set_here_and_is_handed_on(name):
    words = {node.value for node in ast.walk(ast.parse(RUN)) if isinstance(node, ast.Constant)}
    assert name in defined(PARAMETERS)[1] and name in words


FAULTS = [
    ({"version_info": (3, 10, 1)}, {}, "Python is"),
    ({"modules": {"jax": 1}}, {}, "occupies the device: choose Runtime > Restart session"),
    ({}, {"installed": lambda name: (0, 6, 0) if name == "jax" else ()}, "older than 0.7.2"),
    ({}, {"device": lambda: "TPU", "installed": lambda name: ()}, "no libtpu"),
    ({}, {"device": lambda: "CPU", "profile": "paper"}, "weeks on this CPU"),
]


@pytest.mark.parametrize(("system", "changed", "said"), FAULTS)
def test_an_unfit_machine_is_refused_with_a_reason(system, changed, said):
    notebook, names = defined(PARAMETERS, CHECKS)
    fit = {"version_info": (3, 13, 1), "version": "3.10.1 of", "modules": {}}
    fine = {"installed": lambda name: (0, 7, 2), "device": lambda: "CPU"}
    names |= {"sys": SimpleNamespace(**fit)} | fine
    assert list(notebook.problems()) == []
    names |= {"sys": SimpleNamespace(**fit | system)} | changed
    (sentence,) = notebook.problems()
    assert said in sentence and sentence.endswith(".")


def test_versions_are_numbers_and_what_is_frozen_is_what_is_installed():
    notebook, _ = defined(PARAMETERS, CHECKS, INSTALL)
    assert notebook.installed("no-such-package") == ()
    jax = importlib.metadata.version("jax")  # may have four parts
    assert notebook.installed("jax") == tuple(map(int, jax.split(".")[:3]))
    assert f"jax=={jax}" in notebook.frozen() and "polars" not in " ".join(notebook.frozen())


def test_a_program_that_fails_is_an_error_and_its_messages_are_shown(capsys):
    notebook, _ = defined(CHECKS, INSTALL)
    notebook.run(sys.executable, "-c", "print('first'); print('second')")
    assert capsys.readouterr().out == "first\nsecond\n"
    with pytest.raises(RuntimeError, match="ended with 3; its messages are above"):
        notebook.run(sys.executable, "-c", "raise SystemExit(3)")


def test_an_interrupted_program_is_waited_for_and_its_last_words_are_shown(capsys):
    notebook, _ = defined(CHECKS, INSTALL)
    slow = "import time; print('first', flush=True); time.sleep(1); print('saved')"
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        notebook.run(sys.executable, "-c", slow)
    assert capsys.readouterr().out == "first\nsaved\n"


def test_another_version_is_fetched_when_the_cells_run_again(tmp_path, monkeypatch):
    origin, asked = tmp_path / "origin", []
    git = ["git", "-C", str(origin), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "--quiet", str(origin)], check=True)
    for version in ("v1", "v2"):
        (origin / "_toc.yml").write_text(version)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "--quiet", "-m", version], check=True)
        subprocess.run([*git, "tag", version], check=True)
    monkeypatch.chdir(tmp_path)
    program = INSTALL.replace("run(*pip", "asked.append((*pip").replace('[run]")', '[run]"))')
    for version in ("v1", "v2"):
        names = {**defined(CHECKS)[1], "source": str(origin), "version": version, "asked": asked}
        exec(program, names)
        assert (tmp_path / "birdiedna-book" / "_toc.yml").read_text() == version
    assert len(asked) == 2


def test_runs_are_kept_and_brought_back_without_touching_what_is_here(tmp_path):
    notebook, _ = defined(PARAMETERS, CHECKS, RUN)
    runs, kept = tmp_path / "runs", tmp_path / "kept"
    partial = runs / "quick" / "ntp.partial"
    for step in (20, 40):
        (partial / "checkpoints" / str(step)).mkdir(parents=True)
        (partial / "checkpoints" / str(step) / "state").write_text(str(step))
    (runs / "quick" / "ntp.lock").touch()
    kept.mkdir()
    notebook.back_up(runs, kept)
    assert not list(kept.rglob("*.lock"))
    (partial / "checkpoints" / "20" / "state").unlink()
    (partial / "checkpoints" / "20").rmdir()
    notebook.back_up(runs, kept)
    names = [path.name for path in sorted(kept.rglob("checkpoints/*"))]
    assert names == ["40"]  # a checkpoint that is gone takes no room

    fresh = tmp_path / "fresh"
    (fresh / "quick" / "birdie").mkdir(parents=True)
    assert notebook.restore(kept, fresh) == 1
    assert (fresh / "quick" / "ntp.partial" / "checkpoints" / "40" / "state").read_text() == "40"
    partial.rename(runs / "quick" / "ntp")
    notebook.back_up(runs, kept)
    assert sorted(path.name for path in (kept / "quick").iterdir()) == ["ntp"]
    notebook.back_up(fresh, kept)
    assert (kept / "quick" / "ntp").exists()  # another machine's finished run stays


def test_a_drive_that_fails_once_is_named_and_copied_to_again(capsys):
    notebook, names = defined(PARAMETERS, RUN)
    copied = Mock(side_effect=[OSError(107, "Transport endpoint is not connected"), None])
    done = Mock(wait=Mock(side_effect=[False, False, True]))
    names |= {"back_up": copied, "done": done, "runs": None, "kept": None}
    notebook.keep_copying()
    assert copied.call_count == 2
    said = "not kept for now: [Errno 107] Transport endpoint is not connected\n"
    assert capsys.readouterr().out == said


def test_without_a_drive_the_notebook_asks_for_a_path(monkeypatch):
    notebook, names = defined(PARAMETERS, CHECKS, RUN)
    with pytest.raises(RuntimeError, match="this is not Colab: give a path"):
        notebook.kept_folder()
    names["keep"] = ""
    assert notebook.kept_folder() is None
    names["keep"] = "/kaggle/working/kept"
    assert notebook.kept_folder() == Path("/kaggle/working/kept")


def test_a_chapter_that_does_not_exist_is_named_before_any_runs(tmp_path):
    notebook, names = defined(PARAMETERS, CHECKS, RUN)
    names["home"] = tmp_path
    (tmp_path / "book").mkdir()
    for name in ("02_objectives", "04_pretraining", "colab"):
        (tmp_path / "book" / f"{name}.ipynb").touch()
    names["chapters"] = "04_pretraining 02_objectives"
    assert [file.stem for file in notebook.notebooks()] == names["chapters"].split()
    names["chapters"] = "04_pretraining 02_objective"
    with pytest.raises(RuntimeError, match="'02_objective': choose from 02_objectives, 04_pretr"):
        notebook.notebooks()
