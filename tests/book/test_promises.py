"""The page of promises lists the marks of tests."""

import json
import re
from types import SimpleNamespace

import hypothesis
import pytest
from hypothesis import strategies as st

from birdiedna.figures import show
from birdiedna.training.run_folder import repository
from book._ext import keys, layout, promises

TESTS = repository() / "tests"
CHAPTER = repository() / "book" / "09_promises.ipynb"


def test_the_listing_is_what_pytest_collects(request):
    listed = {}
    for promise, tests in promises.read(TESTS).items():
        for test in tests:
            listed.setdefault((test.file, test.name), set()).add(promise)
    found = {}
    for item in request.session.items:
        place = item.path.relative_to(TESTS).as_posix(), item.function.__name__
        found[place] = {mark.args[0] for mark in item.iter_markers("promise")}
    assert {place: listed.get(place, set()) for place in found} == found
    option = request.config.option
    if not (option.keyword or option.markexpr or any("::" in a for a in request.config.args)):
        files = {file for file, _ in found}
        assert {place for place in listed if place[0] in files} <= set(found)


def test_every_topic_has_promises_and_every_promise_is_one_sentence_held_by_a_test():
    held = promises.read(TESTS)
    assert {promise.partition(": ")[0] for promise in held} == set(promises.TOPICS)
    assert all(held.values()) and len(held) > 40
    for sentence in (promise.partition(": ")[2] for promise in held):
        assert "\n" not in sentence and not sentence.endswith(".") and len(sentence) > 20


def test_the_page_says_how_often_each_is_tried():
    def of(file, pattern):
        return map(int, re.search(pattern, (TESTS / file).read_text()).groups())

    (kills,) = of("training/test_kills.py", r'KILLS", "(\d+)"')
    (files,) = of("tasks/test_fuzz.py", r"FILES = (\d+)")
    few, many = of("experiments/test_damage.py", r"TRIES = (\d+) if .* else ([\d_]+)")
    more, times = of("../Makefile", r"KILLS=(\d+) BIRDIEDNA_EXAMPLES=(\d+)")
    (share,) = of("book/test_book_kills.py", r'KILLS", "0"\)\) // (\d+)')
    page = " ".join(keys.source(cell) for cell in json.loads(CHAPTER.read_text())["cells"])
    for said in (
        f"kills runs {kills} times at random moments, changes {few} bytes",
        f"reads {files:,} made-up tables",
        f"kills runs {more} times and the book {more // share} times, changes {many:,} bytes",
        f"reads {files * times:,} tables",
    ):
        assert said in page


MARKS = """
import pytest
pytestmark = [pytest.mark.slow, pytest.mark.promise("Runs: all of them")]

@pytest.mark.promise("Damage: one")
@pytest.mark.parametrize("x", [1])
def test_first_thing(x): ...

def test_second(): ...

def helper(): ...
"""


def test_marks_of_functions_and_of_files_are_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="contains no tests"):
        promises.read(tmp_path)
    (tmp_path / "test_a.py").write_text(MARKS)
    (tmp_path / "test_b.py").write_text("def test_without(): ...")
    first = promises.Test("test_a.py", 7, "test_first_thing")
    assert promises.read(tmp_path) == {
        "Runs: all of them": [first, promises.Test("test_a.py", 9, "test_second")],
        "Damage: one": [first],
    }
    assert promises.link(first).startswith(f"[first thing]({layout.address()}/")
    assert promises.link(first).endswith("/tests/test_a.py#L7)")


@pytest.mark.parametrize(
    "text",
    ['"Luck: x"', '"Runs: "', '"no topic"', "SAID", '"Runs: a", "b"', '"Runs: a", why=1', ""],
)
def test_a_mark_that_is_no_promise_is_refused_with_its_line(tmp_path, text):
    mark = f"import pytest\n@pytest.mark.promise({text})\ndef test_a(): ..."
    (tmp_path / "test_a.py").write_text(mark)
    with pytest.raises(ValueError, match="test_a.py, line 2: a promise is one text, 'Topic: sen"):
        promises.read(tmp_path)


def test_the_page_shows_every_promise_and_links_every_test_that_holds_it(monkeypatch):
    shown = {}
    monkeypatch.setattr(show, "table", lambda name, frame, *_, **__: shown.update({name: frame}))
    monkeypatch.setattr(show, "number", lambda *_: None)
    space = {}
    for cell in keys.code_cells(json.loads(CHAPTER.read_text())):
        if "parameters" in keys.tags(cell) or "held" in keys.source(cell):  # others make runs
            exec(keys.source(cell), space)
    rows = {f"{about}: {promise}": by for about, promise, by in shown["tab-promises"].iter_rows()}
    held = promises.read(TESTS)
    assert list(rows) == list(held)
    for promise, tests in held.items():
        assert rows[promise].split("; ") == [promises.link(test) for test in tests]


@pytest.fixture
def plugin(request):
    """The conftest of all tests; every folder may have one of the same module name."""
    return request.config.pluginmanager.get_plugin(str(TESTS / "conftest.py"))


def report(name, outcome, *properties, when="call"):
    place = (name, 1, name)
    return pytest.TestReport(name, place, {}, outcome, None, when, user_properties=[*properties])


DAMAGE, INPUT, RUN = (("promise", f"{topic}: x") for topic in ("Damage", "Bad input", "Runs"))
REPORTS = [
    report("a", "passed", DAMAGE),
    report("b", "failed", DAMAGE, INPUT),
    report("c", "failed", RUN, *[("tally", ("kills survived", g)) for g in (True, True, False)]),
    report("d", "skipped", RUN, when="setup"),
    report("e", "passed", INPUT),
    report("e", "failed", INPUT, when="teardown"),
    report("f", "failed", RUN, when="setup"),
    report("g", "passed"),
]
TALLY = """kills survived:            2 of 3
kills in a save survived:  0 of 0
damages detected:          1 of 2
bad inputs answered:       0 of 2
made-up tables:            0 of 0
made-up FASTA files:       0 of 0

tests passed, by promise:
     0 of 2    Bad input: x
     1 of 2    Damage: x
     0 of 2    Runs: x"""


@pytest.mark.parametrize("option", [True, False])
def test_the_tally_counts_promises_tries_and_failures_of_any_phase_when_asked_for(plugin, option):
    said = []
    plugin.pytest_terminal_summary(
        SimpleNamespace(
            config=SimpleNamespace(getoption=lambda _: option),
            stats={"": REPORTS, "deselected": [object()]},
            section=lambda _: None,
            write_line=said.append,
        )
    )
    assert said == (TALLY.splitlines() if option else [])


def test_more_examples_are_tried_when_asked_for(plugin, monkeypatch):
    tried = []

    @hypothesis.settings(max_examples=5, database=None)
    @hypothesis.given(st.integers())
    def law(x):
        tried.append(x)

    item = SimpleNamespace(function=law, iter_markers=lambda _: [], user_properties=[], path="")
    law()
    assert len(tried) == 5
    monkeypatch.setenv("BIRDIEDNA_EXAMPLES", "10")
    plugin.pytest_collection_modifyitems([item, item])
    tried.clear()
    law()
    assert len(tried) == 50
