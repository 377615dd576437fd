"""The real book, end to end: chapters run, pages render without warnings and work in a browser.

What `make book` made is looked at if its runs are fresh. Else a book is made of runs with the
settings of `quick` but smaller batches, which stay with the executed copies for the next time.
"""

import os
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import browser as pages
import pytest
import small_book

from book._ext import __main__, build, layout

pytestmark = pytest.mark.slow
HERE = layout.here()
NAMES = [path.stem for path in sorted((HERE.root / "book").glob("[01]*.ipynb"))]
SMALLER = (
    "pretrain.rows=4 pretrain.evaluation_rows=8 pretrain.steps=60 pretrain.model.blocks=1 "
    "pretrain.director.fit.iterations=5 pretrain.director.candidates=128 "
    "pretrain.director.model.blocks=1 finetune.steps=4 finetune.evaluate_every=2 "
    "finetune_seeds=0,1 tasks=promoter_tata,splice_sites_donors probe.subsets=2 simulated_seeds=2"
)
OWN = replace(HERE, runs=HERE.root / ".pytest_cache" / "runs")
GIVEN = {"changes": SMALLER, "rows_drawn": 50, "worlds": 1_000, "pairs": 20}

SAME = ("03_reward_model", "12_use")


def run_book(order, book):
    """Outcomes by chapter, from a process of its own; fresh copies are reused."""
    with pytest.MonkeyPatch.context() as patch, ProcessPoolExecutor(1, get_context("spawn")) as one:
        patch.setenv("BIRDIEDNA_RUNS", str(book.runs))
        outcomes = one.submit(build.run_book, order, book, build.prepare).result()
    return {outcome.chapter: outcome for outcome in outcomes}


@pytest.fixture(scope="session")
def asked():
    """Order and book: those of `make book` if its runs are fresh, else smaller ones."""
    made = not any(job.why for job in build.plan(build.Order(), HERE) if job.needs)
    return (build.Order(), HERE) if made else (build.Order(given=GIVEN), OWN)


@pytest.fixture(scope="session")
def outcomes(asked):
    return run_book(*asked)


@pytest.fixture(scope="session")
def site(asked, outcomes, tmp_path_factory):
    """The rendered pages, by name; a warning fails the build.

    `BIRDIEDNA_SITE` names a folder of pages that something else has rendered: `make sphinx`.
    """
    if other := os.environ.get("BIRDIEDNA_SITE"):
        rendered = Path(other)
    else:
        output = HERE.root if asked[1] is HERE else tmp_path_factory.mktemp("site")
        __main__.render(*asked, output)
        rendered = output / "_build" / "html"
    every = [*rendered.glob("book/*.html"), rendered / "CONTRIBUTING.html"]
    return {page.stem: page for page in every}


@pytest.mark.parametrize("name", NAMES)
def test_chapter_runs(outcomes, name):
    assert outcomes[name].state in ("ran", "fresh"), outcomes[name].why


def test_nothing_is_left_to_run(asked, outcomes):
    assert [job.chapter.stem for job in build.plan(*asked) if job.why] == []


@pytest.mark.parametrize("name", NAMES)
def test_page_has_figures_or_tables_each_with_its_provenance(site, name):
    text = site[name].read_text()
    shown = len(re.findall(r'class="birdie-chart"|<table[^>]* id="tab-', text))
    assert shown >= 1
    assert text.count('<details class="provenance">') >= shown
    assert "out of date" not in text


@pytest.mark.promise("Security: what is published names no folder and no host of the machine")
@pytest.mark.parametrize("name", NAMES)
def test_page_names_no_folder_of_this_machine(site, name):
    assert str(HERE.root) not in site[name].read_text()


@pytest.mark.parametrize(
    "name", [*NAMES, "index", "glossary", "references", "10_machines", "api", "CONTRIBUTING"]
)
def test_page_is_whole_without_network_and_has_no_serious_fault_for_readers_with_a_disability(
    browser, site, axe, name, times
):
    pages.opened(browser, site[name])
    assert pages.requests(browser) == []
    assert pages.errors(browser) == []
    assert pages.count(browser, ".birdie-chart-error") == 0
    assert pages.idle_controls(browser) == []
    for theme in ("light", "dark"):
        pages.theme(browser, theme)
        assert pages.faint_text(browser) == [], theme
    if name != "api":  # axe takes minutes there
        assert pages.faults(browser, axe, marks=times > 1) == []
    for width in (308, 390, 600):  # 320 pixels with a scroll bar; twice as large as on a desktop
        pages.opened(browser, site[name], width)
        assert pages.overflow(browser) == 0
        assert pages.cut(browser) == []
        pages.unfold(browser)
        assert pages.overflow(browser) == 0


def test_the_book_has_controls_to_play_with(site):
    """Above and in `test_explorables.py`, each must change its picture."""
    pages_text = [page.read_text() for page in site.values()]
    boxes = {kind for text in pages_text for kind in re.findall(r'data-explore="(\w+)"', text)}
    assert boxes == {*pages.KINDS}
    assert any('"bind":' in text for text in pages_text)  # of a chart


def test_chapters_that_read_runs_run_on_stored_results(times, tmp_path, monkeypatch, capsys):
    """Chapters in `SAME` hardly depend on the runs: they run in `make stress`."""
    (stored,) = build.prepare(build.Wanted("eighth"))  # nothing is trained
    assert {build._kind(folder) for folder in stored} == {"pretrain", "finetune"}
    monkeypatch.setenv("BIRDIEDNA_FIGURES", str(tmp_path))
    readers = [job.chapter.stem for job in build.plan(build.Order("eighth"), OWN) if job.needs]
    for name in readers:
        if times > 1 or name not in SAME:
            small_book.executed(name, {"profile": "eighth"})
    shown = capsys.readouterr().out
    assert "Six tasks lack a probe" in shown and "NVIDIA H100" in shown
