"""Chapter sources are stored without outputs, in one form, with typed parameters."""

import dis
import json
from types import CodeType

import pytest
import small_book

from birdiedna.experiments import profiles
from book._ext import __main__, build, keys, layout, strip

ROOT = small_book.ROOT
CHAPTERS = sorted((ROOT / "book").glob("[0-9]*.ipynb"))
every_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)


def used() -> dict:
    """A notebook as an editor saves it."""
    code = {"cell_type": "code", "execution_count": 7, "source": "1\n", "id": "own"}
    outputs = [{"output_type": "stream", "name": "stdout", "text": "1"}]
    metadata = {"tags": ["parameters"], "collapsed": True, "mystnb": {"figure": {"name": "a"}}}
    prose = {"cell_type": "markdown", "metadata": {"editable": True}, "source": ["# T\n", "x\n"]}
    cells = [{**code, "outputs": outputs, "metadata": metadata}, prose, {**code, "outputs": []}]
    cells[2]["metadata"] = {}
    needs = {"birdiedna": {"needs": ["pretrain"]}, "kernelspec": {"name": "my-env"}}
    return {"cells": cells, "metadata": needs, "nbformat": 4, "nbformat_minor": 4}


def test_stripping_keeps_source_tags_captions_and_needs_and_nothing_else():
    plain = strip.stripped(used())
    first, prose, last = plain["cells"]
    assert first["outputs"] == [] and first["execution_count"] is None
    assert first["metadata"] == {"tags": ["parameters"], "mystnb": {"figure": {"name": "a"}}}
    assert prose["metadata"] == {} and prose["source"] == ["# T\n", "x"]
    assert plain["metadata"]["birdiedna"] == {"needs": ["pretrain"]}
    assert plain["metadata"]["kernelspec"] == strip.KERNEL
    ids = [cell["id"] for cell in (first, prose, last)]
    assert ids[0] == "own" and len({*ids}) == 3 and all(ids)


def test_check_changes_nothing_and_exits_1(tmp_path, capsys):
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps(used()))
    before = path.read_text()
    assert strip.main([str(path), "--check"]) == 1
    assert path.read_text() == before and "not stripped" in capsys.readouterr().out
    assert strip.main([str(path)]) == 0
    assert strip.main([str(path), "--check"]) == 0


def test_the_table_of_contents_names_existing_pages_and_every_chapter():
    assert sorted(layout.chapters(layout.here())) == CHAPTERS


PARAMETERS = (
    "profile genome tasks labels validation seed changes rows_drawn worlds pairs labelled".split()
)


@every_chapter
def test_chapter_is_stripped_and_declares_known_parameters(chapter):
    assert strip.main([str(chapter), "--check"]) == 0
    found = build.declared(chapter)
    assert found["profile"].choices == tuple(profiles.PROFILES)
    assert found["profile"].default == "quick" and set(found) <= {*PARAMETERS}


@every_chapter
def test_cells_of_a_chapter_are_parameters_installation_and_one_figure_or_table_each(chapter):
    code = keys.code_cells(json.loads(chapter.read_text()))
    first, second, *others = map(keys.tags, code)
    assert "parameters" in first and not any("parameters" in tags for tags in (second, *others))
    assert "remove-cell" in second and "import birdiedna" in keys.source(code[1])
    for cell in code:  # a page gives each cell one name and number
        lines = keys.source(cell).splitlines()
        shown = [line for line in lines if line.startswith(("show.figure(", "show.table("))]
        assert len(shown) <= 1, cell["id"]
        if "teaches" in keys.tags(cell):
            assert len(lines) <= 12 and max(map(len, lines)) <= 80, cell["id"]


def test_settings_contigs_and_a_profile_file_reach_every_chapter_that_reads_runs(tmp_path):
    (tmp_path / "mine.json").write_text('{"base": "quick"}')
    words = ["--set", "pretrain.steps=200", "--set", "tasks=a, b", "--validation", "chr8"]
    words += ["--tasks", "my.csv", "--labels", "no=0,yes=1"]
    order, _ = __main__.parsed(["--profile", str(tmp_path / "mine.json"), *words])
    assert __main__.parsed(["-p", "profile", str(tmp_path / "mine.json"), *words])[0] == order
    assert order.folder == "mine" and order.profile == str(tmp_path / "mine.json")
    accepted = build.accepted(CHAPTERS, order.given, [order.profile])
    reading = {c for c in accepted if keys.inputs(json.loads(c.read_text()))["needs"]}
    asked = ("pretrain.steps=200 tasks=a,b", "chr8")
    assert {(accepted[c]["changes"], accepted[c]["validation"]) for c in reading} == {asked}
    assert {given["labels"] for given in accepted.values() if "tasks" in given} == {"no=0,yes=1"}
    for job in build.plan(order, layout.here()):
        assert job.given["profile"] == order.profile
        assert job.copy.parent.parent.name == "mine"


@pytest.mark.parametrize("words", [["--set", "pretrain.stesp=2"], ["--profile", "none.json"]])
def test_settings_are_checked_before_a_chapter_begins(words, monkeypatch, capsys):
    monkeypatch.setattr(build, "run_book", lambda *_: pytest.fail("began"))
    assert __main__.main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "did you mean 'pretrain.steps'?" in line or "there is no such file" in line


@pytest.mark.parametrize("number", ["02", "03", "04", "05"])
def test_chapters_of_the_method_and_its_runs_have_two_cells_that_teach(number):
    (chapter,) = (path for path in CHAPTERS if path.stem.startswith(number))
    cells = json.loads(chapter.read_text())["cells"]
    assert sum("teaches" in cell["metadata"].get("tags", []) for cell in cells) >= 2


def _names(code: CodeType, *operations: str) -> set[str]:
    """Names of the notebook that code, or a function in it, uses; those of a loop in [] are not."""
    own = {one.argval for one in dis.get_instructions(code) if one.opname in operations}
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    return own.union(*(_names(one, *operations) for one in inner))


@every_chapter
def test_a_cell_may_run_again_after_later_ones_since_none_binds_a_name_that_it_reads(chapter):
    cells = json.loads(chapter.read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    bound: list[set[str]] = []
    read: list[set[str]] = []
    for text in (text for text in code if "%pip" not in text):
        cell = compile(text, chapter.name, "exec")
        bound.append(_names(cell, "STORE_NAME"))
        read.append(_names(cell, "LOAD_NAME", "LOAD_GLOBAL") - bound[-1])
    for i, names in enumerate(read):
        before, after = set().union(*bound[:i]), set().union(*bound[i:])
        assert not names & before & after
