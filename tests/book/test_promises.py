"""The page of promises says what the tests say, and every promise is held."""

import ast
import json
from types import SimpleNamespace

import conftest
import counting
import hypothesis
import pytest
from hypothesis import strategies as st

from birdiedna.figures import show
from birdiedna.training.run_folder import repository
from book._ext import keys, promises

TESTS = repository() / "tests"
CHAPTER = repository() / "book" / "09_promises.ipynb"


def functions(file):
    """The tests of a file, as Python reads it."""
    body = ast.parse((TESTS / file).read_text()).body
    return {n.name for n in body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")}


def test_the_listing_is_what_pytest_collects(request):
    listed = {}
    for promise, tests in promises.held(TESTS).items():
        for test in tests:
            listed.setdefault((test.file, test.name), set()).add(promise)
    collected = request.config.stash[counting.COLLECTED]
    files = {file for file, _ in collected}
    whole = {file for file in files if functions(file) <= {n for f, n in collected if f == file}}
    if not whole:
        pytest.skip("tests named one by one cannot tell; run a whole file, or all of them")
    found = {place: set(names) for place, names in collected.items() if names}
    for kept in (listed, found):
        for place in [place for place in kept if place[0] not in whole]:
            del kept[place]
    assert listed == found


def test_every_topic_has_promises_and_every_promise_is_one_sentence_held_by_a_test():
    held = promises.held(TESTS)
    assert {promise.partition(": ")[0] for promise in held} == set(promises.TOPICS)
    assert all(held.values()) and len(held) > 40
    for sentence in (promise.partition(": ")[2] for promise in held):
        assert "\n" not in sentence and not sentence.endswith(".") and len(sentence) > 20


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
    (tmp_path / "test_a.py").write_text(MARKS)
    (tmp_path / "test_b.py").write_text("def test_without(): ...")
    first = promises.Test("test_a.py", 7, "test_first_thing")
    assert promises.held(tmp_path) == {
        "Runs: all of them": (first, promises.Test("test_a.py", 9, "test_second")),
        "Damage: one": (first,),
    }
    assert promises.link(first).startswith("[first thing](https://github.com/")
    assert promises.link(first).endswith("/tests/test_a.py#L7)")


@pytest.mark.parametrize(
    "text", ['"Luck: x"', '"Runs:"', '"no topic"', "SAID", '"Runs: a", "b"', "text='Runs: a'", ""]
)
def test_a_mark_that_is_no_promise_is_refused_with_its_line(tmp_path, text):
    mark = f"import pytest\n@pytest.mark.promise({text})\ndef test_a(): ..."
    (tmp_path / "test_a.py").write_text(mark)
    with pytest.raises(ValueError, match="test_a.py, line 2: a promise is one text, 'Topic: sen"):
        promises.held(tmp_path)


def test_without_tests_there_are_no_promises(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no tests; the promises stand in a checkout"):
        promises.held(tmp_path)


def test_the_page_shows_every_promise_and_links_every_test_that_holds_it(monkeypatch):
    shown = {}
    monkeypatch.setattr(show, "table", lambda name, frame, *_, **__: shown.update({name: frame}))
    monkeypatch.setattr(show, "number", lambda *_: None)
    cells = keys.code_cells(json.loads(CHAPTER.read_text()))
    space = {}
    for cell in cells:
        if "remove-cell" not in keys.tags(cell) and "tab-promises" not in shown:
            exec(keys.source(cell), space)
    rows = {f"{about}: {promise}": by for about, promise, by in shown["tab-promises"].iter_rows()}
    held = promises.held(TESTS)
    assert list(rows) == list(held)
    for promise, tests in held.items():
        assert rows[promise].split("; ") == [promises.link(test) for test in tests]


def report(name, outcome, *properties, when="call"):
    place = (name, 1, name)
    return pytest.TestReport(name, place, {}, outcome, None, when, user_properties=[*properties])


DAMAGE, INPUT, RUN = (("promise", f"{topic}: x") for topic in ("Damage", "Bad input", "Runs"))
KILL = [("tally", ("kills survived", good)) for good in (True, True, False)]
REPORTS = [
    report("a", "passed", DAMAGE),
    report("b", "failed", DAMAGE, INPUT),
    report("c", "failed", RUN, *KILL),
    report("d", "skipped", RUN, when="setup"),
    report("e", "passed", INPUT),
    report("e", "failed", INPUT, when="teardown"),
    report("f", "failed", RUN, when="setup"),
    report("g", "passed"),
]


def test_the_tally_counts_promises_tries_and_failures_of_any_phase():
    held, feats = counting.promises_and_feats(REPORTS)
    assert held == {"Damage: x": (1, 2), "Bad input: x": (0, 2), "Runs: x": (0, 2)}
    assert feats == {
        "kills survived": (2, 3),
        "kills in a save survived": (0, 0),
        "damages detected": (1, 2),
        "bad inputs answered": (0, 2),
    }


@pytest.mark.parametrize("wished", [True, False])
def test_the_tally_is_printed_only_when_asked_for(wished):
    said = []
    conftest.pytest_terminal_summary(
        SimpleNamespace(
            config=SimpleNamespace(getoption=lambda _: wished),
            stats={"": REPORTS[:3], "deselected": [object()]},
            section=said.append,
            write_line=said.append,
        )
    )
    assert bool(said) is wished
    assert not wished or "kills survived:            2 of 3" in said


def test_more_examples_are_tried_when_wished(monkeypatch):
    tried = []

    @hypothesis.settings(max_examples=5, database=None)
    @hypothesis.given(st.integers())
    def law(x):
        tried.append(x)

    item = SimpleNamespace(
        function=law, iter_markers=lambda _: [], user_properties=[], path=TESTS / "test_x.py"
    )
    law()
    assert len(tried) == 5
    monkeypatch.setenv("BIRDIEDNA_EXAMPLES", "10")
    conftest.pytest_collection_modifyitems(SimpleNamespace(stash={}), [item, item])
    tried.clear()
    law()
    assert len(tried) == 50
