"""Chapter sources are stored without outputs, in one form, with typed parameters."""

import json
import re

import pytest
import small_book
import yaml

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
    assert first["id"] == "own" and len({first["id"], prose["id"], last["id"]}) == 3


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


@every_chapter
def test_chapter_is_stripped(chapter):
    assert strip.main([str(chapter), "--check"]) == 0


@every_chapter
def test_a_cell_shows_one_figure_or_table(chapter):
    """Pages give both the name of the cell's first, and a name that is given twice ends a build."""
    for cell in json.loads(chapter.read_text())["cells"]:
        shown = re.findall(r"^show\.(?:figure|table)\(", "".join(cell["source"]), re.M)
        assert len(shown) <= 1, cell["id"]


@every_chapter
def test_chapter_declares_its_profile_and_documents_every_parameter(chapter):
    found = build.declared(chapter)
    assert found["profile"].choices == tuple(profiles.PROFILES)
    assert found["profile"].default == "quick"
    assert set(found) <= {
        "profile",
        "genome",
        "tasks",
        "validation",
        "seed",
        "changes",
        "rows_drawn",
        "worlds",
        "pairs",
        "labelled",
    }


@every_chapter
def test_chapter_has_one_parameters_cell_and_an_install_cell_behind_it(chapter):
    cells = json.loads(chapter.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    tags = [cell["metadata"].get("tags", []) for cell in code]
    assert [number for number, t in enumerate(tags) if "parameters" in t] == [0]
    assert "remove-cell" in tags[1] and "import birdiedna" in "".join(code[1]["source"])


def test_colons_fence_every_table_with_roles():
    for chapter in CHAPTERS:
        assert "```{table}" not in chapter.read_text(), chapter.name


def test_the_configuration_excludes_hidden_folders_at_every_depth():
    patterns = yaml.safe_load((ROOT / "_config.yml").read_text())["exclude_patterns"]
    assert {".*", "**/.*"} <= set(patterns)


def test_the_contigs_for_held_out_loss_reach_every_chapter_that_reads_runs():
    asked = __main__.parsed(["--validation", "chr8"])[0].given
    accepted = build.accepted(CHAPTERS, asked)
    reading = {c for c in accepted if keys.inputs(json.loads(c.read_text()))["needs"]}
    assert reading <= {c for c, given in accepted.items() if given == {"validation": "chr8"}}


def test_changed_settings_and_a_profile_file_reach_every_chapter_that_reads_runs(tmp_path):
    (tmp_path / "mine.json").write_text('{"base": "quick"}')
    words = ["--set", "pretrain.steps=200", "--set", "tasks=a, b"]
    order = __main__.parsed(["--profile", str(tmp_path / "mine.json"), *words])[0]
    assert order.folder == "mine" and order.profile == str(tmp_path / "mine.json")
    accepted = build.accepted(CHAPTERS, order.given, [order.profile])
    reading = {c for c in accepted if keys.inputs(json.loads(c.read_text()))["needs"]}
    assert {accepted[chapter]["changes"] for chapter in reading} == {"pretrain.steps=200 tasks=a,b"}
    for job in build.plan(order, layout.here()):
        assert job.given["profile"] == order.profile
        assert job.copy.parent.parent.name == "mine"


@pytest.mark.parametrize("words", [["--set", "pretrain.stesp=2"], ["--profile", "none.json"]])
def test_settings_are_checked_before_a_chapter_begins(words, monkeypatch, capsys):
    monkeypatch.setattr(build, "run_book", lambda *_: pytest.fail("began"))
    assert __main__.main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "did you mean 'pretrain.steps'?" in line or "there is no such file" in line


@every_chapter
def test_code_that_teaches_fits_its_column_in_twelve_lines(chapter):
    for cell in json.loads(chapter.read_text())["cells"]:
        if "teaches" in cell["metadata"].get("tags", []):
            lines = "".join(cell["source"]).splitlines()
            assert len(lines) <= 12 and max(map(len, lines)) <= 80, cell["id"]


@pytest.mark.parametrize("number", ["02", "03", "04", "05"])
def test_chapters_of_the_method_and_its_runs_have_two_cells_that_teach(number):
    (chapter,) = (path for path in CHAPTERS if path.stem.startswith(number))
    cells = json.loads(chapter.read_text())["cells"]
    assert sum("teaches" in cell["metadata"].get("tags", []) for cell in cells) >= 2
