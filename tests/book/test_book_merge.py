"""A page takes its prose from the source and its outputs from the executed copy."""

import copy
import json
import re
from typing import NamedTuple

import pytest
import small_book
from docutils import nodes
from sphinx import addnodes

from birdiedna.figures import show
from book._ext import assets, pages


def source(*cells, title="# A chapter"):
    return json.loads(small_book.chapter(*cells, title=title))


def executed(notebook, outputs=(), injected="profile = 'paper'"):
    """The notebook after papermill: outputs in its last cell, a cell injected."""
    done = copy.deepcopy(notebook)
    for number, cell in enumerate(c for c in done["cells"] if c["cell_type"] == "code"):
        cell["execution_count"] = number
    done["cells"][-1]["outputs"] = list(outputs)
    tags = {"tags": ["injected-parameters"]}
    cell = {"cell_type": "code", "metadata": tags, "source": injected, "outputs": []}
    done["cells"].insert(2, {**cell, "execution_count": 1})
    return done


def html_output(text, **metadata):
    return {"output_type": "display_data", "data": {"text/html": text}, "metadata": metadata}


def published(*outputs, **more):
    """The page of a chapter of one cell with these outputs."""
    return pages.merged(source("1"), executed(source("1"), outputs, **more))


def texts(page):
    return ["".join(cell["source"]) for cell in page["cells"]]


def test_prose_and_order_are_the_sources_and_outputs_the_copys():
    before = source("a = 1", "a")
    edited = source("a = 1", "a", title="# Edited")
    page = pages.merged(edited, executed(before, [html_output("1")]))
    assert texts(page)[0] == "# Edited"
    assert page["cells"][-1]["outputs"][0]["data"]["text/html"] == "1"
    assert page["metadata"]["mystnb"] == {"execution_mode": "off"}


def test_injected_parameters_are_folded_behind_their_cell_without_paths():
    text = 'genome = "/home/someone/data/hg38.fa"\nprofile = "paper"'
    cell = published(injected=text)["cells"][2]
    assert cell["source"] == 'genome = "hg38.fa"\nprofile = "paper"'
    assert cell["metadata"]["tags"] == ["hide-input"]


def test_code_is_folded_unless_it_teaches():
    page = source("a = 1", "b = 2")
    page["cells"][-1]["metadata"]["tags"] = ["teaches"]
    tags = [cell["metadata"].get("tags") for cell in pages.merged(page, None)["cells"][2:]]
    assert tags == [["hide-input", "parameters"], ["hide-input"], ["teaches"]]


def test_minutes_count_the_prose_of_a_notebook_and_every_word_of_a_page():
    assert pages.minutes(json.dumps(source("x " * 2000, title="word " * 600))) == 3
    assert pages.minutes("word " * 1000) == 5 and pages.minutes("") == 1


@pytest.mark.parametrize(
    ("code", "ran", "why", "said"),
    [("a = 2", True, "", "code changed"), ("a = 1", False, "", "not run before")]
    + [("a = 1", True, "package changed", "package changed")],
)
def test_an_outdated_page_says_so_and_keeps_outputs_of_the_same_code_only(code, ran, why, said):
    done = executed(source("a = 1", "a"), [html_output("1")]) if ran else None
    page = pages.merged(source(code, "a"), done, why)
    assert f"out of date ({said})" in texts(page)[1]
    assert any(cell.get("outputs") for cell in page["cells"]) == bool(why)


def test_what_only_notebooks_need_is_left_out_of_pages():
    text = show.chart_html("fig-a", {"mark": "point"})
    shown = published(html_output(text))["cells"][-1]["outputs"][0]["data"]["text/html"]
    assert "cdn" in text and "cdn" not in shown and "chart-fig-a" in shown
    number, glued = html_output("".join(show.NOTEBOOK_ONLY)), {f"{show.GLUE_PREFIX}text/plain": "1"}
    number["data"] |= glued
    (shown,) = published(number)["cells"][-1]["outputs"]
    assert shown["data"] == glued


def test_two_numbered_figures_in_one_cell_are_refused():
    figure = lambda name: html_output("x", birdiedna={"figure": {"name": name, "caption": "x"}})
    with pytest.raises(ValueError, match=r"one cell shows 2 figures \(fig-a, fig-b\)"):
        published(figure("fig-a"), figure("fig-b"))


def test_what_an_explorable_looks_up_is_data_of_the_scripts_and_no_output():
    output = html_output("x")
    output["data"] = {show.EXPLORABLE: {"kind": "loop", "data": {"rounds": []}}}
    assert published(output)["cells"][-1]["outputs"] == []
    found = assets.lookups([executed(source("1"), [output])])
    assert found["loop"] == {"rounds": []} and found["table1"]


def test_the_script_of_charts_is_made_if_the_cache_is_damaged_or_unwritable(tmp_path, monkeypatch):
    monkeypatch.setenv("BIRDIEDNA_CACHE", str(tmp_path))
    monkeypatch.setattr(assets.vl_convert, "javascript_bundle", lambda vl_version: "made")
    for damaged in ("", '{"code": "altered", "seal": ""}'):
        made = assets.vega_bundle.__wrapped__()
        assert made == assets.vega_bundle.__wrapped__() and "made" in made
        (kept,) = tmp_path.glob("vega-*.json")
        kept.write_text(damaged)
    assert "made" in assets.vega_bundle.__wrapped__()
    monkeypatch.setenv("BIRDIEDNA_CACHE", str(kept / "cache"))  # below a file
    assert "made" in assets.vega_bundle.__wrapped__()


def test_the_notebook_to_download_has_its_outputs_and_no_folder():
    ran = executed(source("1"), [html_output("x")], injected='genome = "/home/me/hg38.fa"')
    text = json.dumps(pages.executed_notebook(ran))
    assert "/home" not in text and "hg38.fa" in text and "text/html" in text


@pytest.mark.parametrize("formula", [r"\ln 4 = 1.386", r"\binom{m}{k}", r"{\hat r}_k", "a < b"])
def test_formulas_are_mathml(formula):
    made = pages.mathml(formula, block=False)
    assert made.startswith("<math") and made.endswith("</math>") and "\\" not in made


def test_a_named_function_stands_apart_from_the_letters_beside_it():
    made = re.sub(r"\s", "", pages.mathml(r"e \tanh x \ln y", block=False))
    space, name = '<mspacewidth="0.1667em"></mspace>', "<mo>&ApplyFunction;</mo>"
    assert f"{space}<mi>tanh</mi>{name}" in made and f"{space}<mi>ln</mi>{name}{space}" in made


@pytest.mark.parametrize("formula", [r"\hat{R}_i", r"\hat R_i", r"{\hat R}_i"])
def test_an_index_is_beside_its_letter_and_outside_of_the_hat(formula):
    """In the hat, Firefox takes the dot off an i."""
    made = re.sub(r"\s", "", pages.mathml(formula, block=False))
    hat = '<mover><mi>R</mi><mostretchy="false">ˆ</mo></mover>'
    assert made.partition(">")[2] == f"{hat}<msub><mrow></mrow><mi>i</mi></msub></math>"


def test_a_formula_that_cannot_be_converted_is_named():
    with pytest.raises(ValueError, match="formula .*nosuchcommand"):
        pages.mathml(r"\nosuchcommand{x}", block=True)


def described(*texts):
    content = addnodes.desc_content("", *(nodes.paragraph(text, text) for text in texts))
    return addnodes.desc("", addnodes.desc_signature(), content), content


def test_descriptions_are_folded_behind_their_first_sentence():
    (long, content), (short, alone) = described("It adds.", "Raises."), described("It adds.")
    member, inner = described("A field.", "In bases.")
    content += member
    pages.fold_descriptions(nodes.section("", long, short))
    assert [part.astext() for part in content][:3] == [
        '<details class="birdie-more"><summary>', "It adds.", "</summary>"
    ]  # fmt: skip
    assert content[-1].astext() == "</details>" and member in content.children
    assert len(alone) == 1 and len(inner) == 2


def test_a_page_loads_only_scripts_that_it_uses():
    class Script(NamedTuple):
        filename: str
        attributes: dict = {}

    names = [assets.VEGA, assets.DATA, "explore_power.js", "book.js"]
    twice = Script(None, {"body": "var a"})
    used = lambda body: [
        script.filename for script in assets.needed([*map(Script, names), twice, twice], body)
    ]
    assert used("words") == ["book.js", None]
    assert used("vegaEmbed") == [assets.VEGA, "book.js", None]
    assert used('<div data-explore="power">') == [*names[1:], None]
