"""A chapter depends only on its code, parameters, imports and data."""

import json

import made_files
import pytest
import small_book

from book._ext import keys


@pytest.fixture
def package(tmp_path):
    files = {
        "__init__.py": "",
        "low.py": "X = 1",
        "middle.py": "from demo import low",
        "late.py": "def f():\n    from .deep import inside\n",
        "lonely.py": "",
        "deep/__init__.py": "",
        "deep/inside.py": "from .. import low\nfrom . import sibling",
        "deep/sibling.py": "import numpy",
        "data/sample/data.txt": "ACGT",
        "data/sample/build.py": "",
    }
    for name, text in files.items():
        made_files.written(tmp_path / "demo", text, name)
    return tmp_path / "demo"


def imported(package, *texts):
    return [str(file.relative_to(package)) for file in keys.modules(texts, package)]


DEEP = ["deep/__init__.py", "deep/inside.py", "deep/sibling.py"]


@pytest.mark.parametrize(
    "text, files",
    [
        ("import numpy", []),
        ("from demo import low", ["__init__.py", "low.py"]),
        ("import demo.middle as m", ["__init__.py", "low.py", "middle.py"]),
        ("from demo import late", ["__init__.py", *DEEP, "late.py", "low.py"]),
        ("%pip x\n!ls\nfrom demo.middle import low", ["__init__.py", "low.py", "middle.py"]),
        ("if True:\n    !ls\nfrom demo import lonely", ["__init__.py", "lonely.py"]),
        ("this is no Python", []),
    ],
)
def test_imports_are_followed_to_the_last_file(package, text, files):
    assert imported(package, text) == files


def notebook(*cells, **more):
    return json.loads(small_book.chapter(*cells, **more))


def test_only_imported_modules_and_the_sample_count(package):
    before = keys.dependencies(notebook("from demo import middle"), package)
    assert set(before) == {"__init__.py", "low.py", "middle.py", "data/sample/"}
    (package / "lonely.py").write_text("Y = 2")
    assert keys.dependencies(notebook("from demo import middle"), package) == before
    (package / "low.py").write_text("X = 2")
    (package / "data" / "sample" / "data.txt").write_text("ACGA")
    after = keys.dependencies(notebook("from demo import middle"), package)
    assert {name for name in after if after[name] != before[name]} == {"low.py", "data/sample/"}


def test_a_chapter_that_reads_runs_depends_on_what_makes_them(package):
    (package / "experiments.py").write_text("from demo import lonely")
    assert "lonely.py" in keys.dependencies(notebook("1", needs=["pretrain"]), package)
    assert "lonely.py" not in keys.dependencies(notebook("1"), package)


def test_data_files_that_change_are_named_whether_given_by_file_or_folder(package, tmp_path):
    own = made_files.written(tmp_path / "tasks", "AC,0", "own.csv")
    given = {"tasks": str(own.parent), "genome": str(own), "seed": 3, "validation": "chr8"}
    before, again = (keys.parts(notebook("1"), given, package, {}) for _ in range(2))
    assert [*before["data"]] == ["genome", "tasks"] and keys.difference(before, again) == ""
    own.write_text("ACGT,0")
    after = keys.parts(notebook("1"), given, package, {})
    assert keys.difference(before, after) == "data files changed: genome, tasks"
