"""Output of chapters is escaped, byte-stable, themed, and has its provenance."""

import html
import json
import re
import shlex

import altair as alt
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from birdiedna.cli.parser import parser
from birdiedna.experiments.sources import Sources
from birdiedna.figures import show
from birdiedna.tasks import labelled_as
from birdiedna.training import environment

HOSTILE = "</script><script>x</script><img src=x onerror=x>"
MANIFEST = {
    "name": "birdie-01234567",
    "profile": "quick",
    "seed": 0,
    "data": {"genome": "f" * 64},
    "device": "CPU",
    "git_commit": "a" * 40,
    "git_dirty": True,
    "command": "birdiedna book --profile quick",
}


@pytest.fixture
def shown(monkeypatch):
    """The displayed outputs, as (data, metadata)."""
    outputs = []
    keep = lambda data, metadata=None, raw=False: outputs.append((data, metadata))  # noqa: E731
    monkeypatch.setattr(show, "display", keep)
    monkeypatch.delenv("BIRDIEDNA_FIGURES", raising=False)
    return outputs


def chart(**names):
    frame = pl.DataFrame({"step": [0, 1], "loss": [2.0, 1.0], **names})
    return alt.Chart(frame).mark_line().encode(x="step:Q", y="loss:Q")


def tags(data):
    return re.findall(r"<(/?\w+)", data["text/html"])


@pytest.mark.promise("Security: names from files are text in the book, never markup")
def test_hostile_name_adds_no_tag_to_a_figure_or_a_table(shown):
    for label in ("plain", HOSTILE):
        entry = {**MANIFEST, "name": label, "arm": label, "data": {label: label}, "command": label}
        titled = chart(**{label: [label, label]}).properties(title=label)
        show.figure("fig-a", titled, entry, show.escaped(label))
        show.table("tab-a", pl.DataFrame({label: [label]}), show.escaped(label), entry)
    plain, hostile = shown[:3], shown[3:]
    assert [tags(data) for data, _ in plain] == [tags(data) for data, _ in hostile]
    assert "<" not in hostile[1][0]["text/markdown"]


@pytest.mark.promise("Security: names from files are text in the book, never markup")
def test_history_of_results_is_plain_text_and_an_empty_one_is_not_shown(shown):
    show.history(f"# One run\n{HOSTILE} **bold**")
    show.history(" ")
    ((data, _),) = shown
    fold = ["details", "summary", "/summary", "div", "/div", "/details"]
    assert tags(data) == fold and "<summary>One run</summary>" in data["text/html"]
    assert f">{HOSTILE} **bold**<" in html.unescape(data["text/html"])


def test_equal_charts_give_equal_bytes(shown):
    for _ in range(2):
        show.figure("fig-a", chart(), MANIFEST)
    assert shown[0] == shown[1]


def test_settings_of_a_chart_override_the_theme():
    plain, bare = (show.themed(c)["config"] for c in (chart(), chart().configure_axis(grid=False)))
    assert plain["axis"]["labelColor"] == bare["axis"]["labelColor"] == "currentColor"
    assert "grid" not in plain["axis"] and bare["axis"]["grid"] is False
    red = show.themed(chart().configure_axis(labelColor="red"))["config"]["axis"]
    assert red["labelColor"] == "red"


def test_caption_is_stored_as_metadata_for_the_page(shown):
    show.figure("fig-a", chart(), MANIFEST, "It $x$ falls.")
    assert shown[0][1] == {"birdiedna": {"figure": {"name": "fig-a", "caption": "It $x$ falls."}}}


@pytest.mark.promise("Security: names from files never lead out of a folder")
@pytest.mark.parametrize("name", ["", "Fig-a", "fig a", "../fig", "fig_a", "fig-"])
def test_invalid_label_is_refused(name, shown):
    with pytest.raises(ValueError, match="is no label"):
        show.figure(name, chart(), MANIFEST)


def test_missing_provenance_and_formats_of_absent_columns_are_refused(shown):
    with pytest.raises(ValueError, match="fig-a needs provenance"):
        show.figure("fig-a", chart(), [])
    with pytest.raises(ValueError, match="no column 'los'"):
        show.table("tab-a", pl.DataFrame({"loss": [1.0]}), "", MANIFEST, formats={"los": ".3f"})


def cells(markdown: str) -> list[list[str]]:
    """The rows of a MyST table, read by an independent Markdown parser."""
    body = "\n".join(line for line in markdown.splitlines() if line.startswith("|"))
    page = MarkdownIt("commonmark").enable("table").render(body)
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [[html.unescape(c) for c in re.findall(r"<t[dh][^>]*>(.*?)</t", r)] for r in rows]


@pytest.mark.promise("Security: names from files are text in the book, never markup")
@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1))
def test_any_text_in_a_table_is_read_back_unchanged(text):
    frame = pl.DataFrame({"value": [text]})
    markdown = show.table_markdown("tab-a", frame, [[text]], "Caption")
    assert cells(markdown) == [["value"], [text]]


def test_tables_show_short_numbers_and_dashes_for_null(shown):
    row = {"a": [1.23456], "b": [32768], "c": [None], "d": [float("nan")], "e": [True], "f": [0.5]}
    show.table("tab-a", pl.DataFrame(row), "Values", MANIFEST, formats={"f": ".3f"})
    text = cells(shown[0][0]["text/markdown"])[1]
    assert text == ["1.235", "32,768", "–", "–", "yes", "0.500"]


def test_notebooks_list_a_number_by_its_key_and_pages_do_not(shown):
    show.number("key", "a <b>")
    page = shown[0][0]["text/html"]
    assert "<code>key</code>: " in page and "<b>" not in page
    assert page.startswith(show.NOTEBOOK_ONLY[0]) and page.endswith(show.NOTEBOOK_ONLY[1])


@pytest.mark.parametrize(
    ("given", "text"),
    [
        *(([-1.5], "−1.5"), ([-3], "−3"), ([1e-9], "1e-09"), (["a -.5 gap"], "a −.5 gap")),
        (["a 95 % interval, 5 %x"], "a 95% interval, 5 %x"),
        (["-0.2 [-1, +.5], chr8-9"], "−0.2 [−1, +.5], chr8-9"),
        (["2026-11-26, 3-mers, --seed -p, 1e-5"], "2026-11-26, 3-mers, --seed -p, 1e-5"),
        ([1.5, ".3f"], "1.500"),
        *(([-0.00046, "+.3f"], "−0.0005"), ([0.02, "+.3f"], "+0.020")),
        *(([-0.00046, ".3f"], "−0.0005"), ([0.0, ".3f"], "0.000")),
    ],
)
def test_numbers_have_one_notation_and_names_keep_their_hyphens(shown, given, text):
    show.number("key", *given)
    ((data, metadata),) = shown
    assert data["application/papermill.record/text/plain"] == repr(text)
    assert f": {show.escaped(text)}<" in data["text/html"]
    assert metadata["scrapbook"]["name"] == "key"


def test_table_in_a_fold_is_an_admonition_with_a_title(shown):
    show.table("tab-a", pl.DataFrame({"loss": [1.0]}), "Loss", MANIFEST, behind="All losses")
    lines = shown[0][0]["text/markdown"].splitlines()
    assert lines[:4] == ["::::{admonition} All losses", ":class: dropdown", "", ":::{table} Loss"]
    assert lines[-1] == "::::"


def test_markdown_columns_are_not_escaped(shown):
    frame = pl.DataFrame({"where": ["[here](02_objectives.ipynb)"]})
    show.table("tab-a", frame, "Links", MANIFEST, markdown=["where"])
    assert "| [here](02_objectives.ipynb) |" in shown[0][0]["text/markdown"]


def test_fold_lists_shared_values_once_and_the_rest_per_run():
    fold = html.unescape(show.fold([MANIFEST, {**MANIFEST, "name": "ntp-89abcdef"}]))
    assert fold.count("birdiedna book --profile quick") == 1
    assert "<td>birdie-01234567</td>" in fold and "<td>ntp-89abcdef</td>" in fold
    assert "aaaaaaaaaaaa with local changes" in fold and "genome ffffffffffff" in fold
    assert "load not recorded" in show.fold([MANIFEST | {"data": {"load": None}}])


def test_fold_of_many_runs_counts_those_that_it_does_not_list():
    many = [{**MANIFEST, "name": f"ntp-{number:08d}"} for number in range(20_000)]
    fold = show.fold(many)
    assert fold.count("<td>ntp-") == show.MOST_RUNS and "and 19,500 more runs: see" in fold
    assert len(fold) < 200 * show.MOST_RUNS
    assert "more run" not in show.fold(many[: show.MOST_RUNS])


def test_fold_and_its_title_list_changed_settings():
    changed = MANIFEST | {"changes": ["finetune.head=pooled", "finetune.steps=90"]}
    text = "finetune.head=pooled, finetune.steps=90"
    fold = html.unescape(show.fold([changed]))
    assert f"<dd>{text}</dd>" in fold and f" with {text}, " in fold.partition("</summary>")[0]
    assert "<dt>changes</dt>" not in show.fold([MANIFEST])
    made = show.computed("/far/mine.json", changes="finetune.head=pooled finetune.steps=90")
    assert (made["profile"], made["changes"]) == ("mine", changed["changes"])
    assert made["command"].endswith("=mine.json SET='finetune.head=pooled finetune.steps=90'")


def test_the_command_of_what_a_chapter_computes_names_the_readers_seed_and_data():
    own = Sources("/far/my genome.fa", "my.csv", "8", labelled_as("no=0,heart muscle=1"))
    words = shlex.split(show.computed("quick", 1, None, "", own.options())["command"])
    named = dict(word.split("=", 1) for word in words[2:])
    assert (named["PROFILE"], named["SEED"]) == ("quick", "1")
    asked = parser().parse_args(["book", *shlex.split(named["OPTIONS"])])
    assert (asked.genome, asked.tasks, asked.validation) == ("my genome.fa", "my.csv", "8")
    assert asked.labels == "no=0,heart muscle=1"
    assert show.computed("quick", 0, None, "", Sources().options())["command"][-5:] == "quick"


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "1", True])
def test_a_chapter_takes_no_seed_that_is_none(seed):
    with pytest.raises(ValueError, match="seed .*give 0 "):
        show.computed("quick", seed)


def test_run_folder_is_read_as_its_manifest(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    assert show.manifests("fig-a", tmp_path) == [MANIFEST]
    assert show.manifests("fig-a", [tmp_path, MANIFEST]) == [MANIFEST, MANIFEST]


def test_figures_and_tables_are_written_to_a_given_folder(shown, tmp_path, monkeypatch):
    monkeypatch.setenv("BIRDIEDNA_FIGURES", str(tmp_path))
    show.figure("fig-a", chart(), MANIFEST)
    show.table("tab-a", pl.DataFrame({"loss": [1.0]}), "Loss", MANIFEST)
    stored = "fig-a.manifest.json fig-a.vl.json tab-a.csv tab-a.manifest.json"
    assert sorted(path.name for path in tmp_path.iterdir()) == stored.split()
    assert json.loads((tmp_path / "tab-a.manifest.json").read_text()) == [MANIFEST]


def test_fold_names_the_training_code_and_whether_it_differs():
    now = environment.code_fingerprint()
    same, other = ({"name": "run", "code": code} for code in (now, "f" * 64))
    assert f"<dd>{now[:12]}</dd>" in show.fold([same])
    assert "made by other code" not in show.fold([same])
    assert "ffffffffffff (made by other code)" in html.unescape(show.fold([other]))
    begun = show.fold([same | {"other_code_before": True}])
    assert f"{now[:12]} (begun by other code)" in html.unescape(begun)
    assert "<dt>code</dt>" not in show.fold([{"name": "computed here"}])


def test_lines_of_a_table_do_not_break_within_an_interval(shown):
    frame = pl.DataFrame({"gap": ["+0.009 to +0.024", "−0.1 to −0.05", "from 3 to a few"]})
    show.table("tab-a", frame, "Gaps", MANIFEST)
    page = html.unescape(shown[0][0]["text/markdown"])
    assert "+0.009\xa0to\xa0+0.024" in page and "\xa0to\xa0−0.05" in page and "3 to a few" in page
