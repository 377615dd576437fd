"""Files of others are data: they run nothing, name no path, add no tag; and we tell no secrets."""

import ast
import json
import os
import pickle
import platform
import re

import numpy as np
import pytest
import small_plan
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import Bomb

from birdiedna import tasks
from birdiedna.data import genome
from birdiedna.evaluation import frames
from birdiedna.experiments.runs import open_runs
from birdiedna.experiments.sources import Sources
from birdiedna.training import run_folder
from birdiedna.training.run_folder import repository

FOLDERS = [repository() / "birdiedna", repository() / "book" / "_ext"]
PACKAGE = sorted(file for folder in FOLDERS for file in folder.rglob("*.py"))
CHAPTERS = sorted((repository() / "book").glob("*.ipynb"))


def sources():
    """Every module of the package and every code cell of the book, by file name."""
    yield from ((file.name, file.read_text()) for file in PACKAGE)
    for chapter in CHAPTERS:
        cells = json.loads(chapter.read_text())["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        yield chapter.name, re.sub(r"^( *)%.*$", r"\1pass", "\n".join(code), flags=re.MULTILINE)


FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
RUNS_CODE = {"eval", "exec", "yaml.load", "yaml.unsafe_load", "os.system", "os.popen"}


def faults(source):
    """Whatever could run code that stands in a file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            yield from (name for name in names if name.split(".")[0] in FORBIDDEN)
        if isinstance(node, ast.Call):
            called, told = ast.unparse(node.func), {k.arg: k.value for k in node.keywords}
            if called in RUNS_CODE:
                yield called
            if called == "np.load" and ast.unparse(told.get("allow_pickle", node)) != "False":
                yield "np.load with pickles"
            if ast.unparse(told.get("shell", ast.Constant(False))) != "False":
                yield "a shell"


@pytest.mark.promise("Security: no file is unpickled or run as code")
def test_nothing_in_package_or_book_unpickles_or_evaluates():
    assert {name: found for name, text in sources() if (found := list(faults(text)))} == {}


@pytest.mark.parametrize(
    "bad",
    [
        *("import pickle", "from joblib import load", "eval(x)", "yaml.load(x)", "np.load(x)"),
        *("np.load(x, allow_pickle=True)", "subprocess.run(x, shell=True)"),
    ],
)
def test_what_would_be_found_is_found(bad):
    assert list(faults(bad))


def test_the_bomb_is_live(tmp_path):
    pickle.loads(pickle.dumps(Bomb(tmp_path / "harm")))
    assert (tmp_path / "harm").exists()


@pytest.mark.promise("Security: no file is unpickled or run as code")
def test_pickles_in_arrays_are_refused_and_run_nothing(tmp_path):
    bomb = np.array([Bomb(tmp_path / "harm")], object)
    np.savez(tmp_path / "genome.npz", bases=bomb, known=bomb, about=bomb)
    with pytest.raises(ValueError, match="not a readable genome .*allow_pickle"):
        genome.load(tmp_path / "genome.npz")
    np.savez(tmp_path / "predictions.npz", steps=bomb, validation_logits=bomb)
    with pytest.raises(ValueError, match="allow_pickle"):
        frames.chosen(tmp_path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.promise("Security: no file is unpickled or run as code")
@pytest.mark.parametrize("name", ["x.pkl", "x.npy", "x.csv", "x.fa", "x.fna", "x.parquet", "x.zip"])
def test_a_pickle_under_any_name_is_refused_in_one_line(tmp_path, refused, name):
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(tmp_path / "harm")))
    assert name in refused("data", "check", tmp_path / name)
    assert not (tmp_path / "harm").exists()


HOSTILE = ["../x", "..", ".", "/etc/x", "a/b", "a\\b", "a\0b", "a\nb", "x" * 300, "", "-rf", "~"]
HOSTILE += ["<script>", ".hidden", "a b"]


@pytest.mark.promise("Security: names from files never lead out of a folder")
@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_no_hostile_name_becomes_a_folder(name):
    for profile, run in (("quick", name), (name, "run")):
        with pytest.raises(ValueError, match="cannot name a folder; use up to 200 letters"):
            run_folder.place(profile, run, 0)


@pytest.mark.promise("Security: names from files never lead out of a folder")
@settings(max_examples=200)
@given(st.text(max_size=250))
def test_whatever_the_name_a_run_is_in_its_profile_or_nowhere(name):
    try:
        place = run_folder.place("quick", name, 0)
    except ValueError:
        return
    assert place.resolve().parent == (run_folder.root() / "quick").resolve()
    assert len(place.name.encode()) < 255 and place.name.startswith(name)


def test_usual_names_pass():
    for name in ("finetune-EMP_H3-birdie-seed0.1", "splice_sites_donors", "tf+0", "gène"):
        assert run_folder.plain(name) == name


TAG = "</script><script>x</script><img/src=x/onerror=x>"
TRAINED = "../../../trained-on"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A run on a genome and a task whose names are attacks, and all that was written for it."""
    home = tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(0)
    letters = lambda n: "".join(rng.choice(list("ACGT"), n))
    (home / "in").mkdir()
    names = (TAG, TRAINED, "/etc/held-out")
    contigs = "".join(f">{name}\n{letters(900)}\n" for name in names)
    (home / "in" / "my.fa").write_text(contigs)
    rows = [f"{letters(60)},{i % 2},{task}\n" for task in (TAG, "../up") for i in range(60)]
    for part in ("train", "test"):
        (home / "in" / f"{part}.csv").write_text("sequence,label,task\n" + "".join(rows))
    with pytest.MonkeyPatch.context() as patch:
        small_plan.settings(patch, home / "out")
        patch.setenv("HUB_TOKEN", "hunter2-hunter2")
        patch.setattr(platform, "node", lambda: "host-of-the-builder")
        there = Sources(str(home / "in" / "my.fa"), str(home / "in"), "/etc/held-out")
        task = tasks.names(home / "in")[0]
        run = open_runs("tiny", there).finetuned("ntp", task)
    return home, run


@pytest.mark.promise("Security: names from files never lead out of a folder")
def test_a_run_on_hostile_names_writes_into_its_own_folders_only(hostile):
    home, run = hostile
    listed = lambda folder: sorted(path.name for path in folder.iterdir())
    assert (listed(home), listed(home / "out")) == (["in", "out"], ["cache", "results", "runs"])
    assert listed(home / "in") == ["my.fa", "test.csv", "train.csv"]
    assert listed(home / "out" / "results") == []
    folders = listed(run.parent)
    assert len(folders) == 2 and run.parent == home / "out" / "runs" / "tiny"
    assert run_folder.read(run.parent / folders[1], "config")["validation"] == ["/etc/held-out"]


@pytest.mark.promise("Security: what is published names no folder and no host of the machine")
def test_a_run_folder_names_no_path_host_user_or_secret_of_the_machine(hostile):
    home, run = hostile
    files = [path for path in run.parent.rglob("*") if path.is_file()]
    assert len(files) > 12
    secrets = ["host-of-the-builder", "hunter2"]
    secrets += [str(home), str(repository()), os.path.expanduser("~/")]
    for file in files:
        content = file.read_bytes()
        assert not [word for word in secrets if word.encode() in content], file.name
