"""What this software promises: sentences that stand on its tests, read there without running one.

A test that holds a promise carries the mark `@pytest.mark.promise("Topic: sentence")`; where all
tests of a file hold it, the file says `pytestmark = pytest.mark.promise(...)`.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

#: What promises are about, in the order of the page.
TOPICS = (
    *("Runs", "Damage", "Same bits", "Replay", "Numbers", "Devices", "Settings", "Bad input"),
    "Security",
)
_TESTS = "https://github.com/birdiedna/birdiedna/blob/main/tests/"


class Test(NamedTuple):
    """A test function: its file in the folder, the line where it begins, its name."""

    file: str
    line: int
    name: str


def held(folder: Path) -> dict[str, tuple[Test, ...]]:
    """Every promise and the tests that hold it, by topic, else as they come in the files.

    Args:
      folder: holds the files `test_*.py`, in folders or not.

    Raises:
      FileNotFoundError: it holds none.
      ValueError: a mark is not one text of the form "Topic: sentence" with a topic of `TOPICS`.
    """
    files = sorted(folder.rglob("test_*.py"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no tests; the promises stand in a checkout")
    found: dict[str, list[Test]] = {}
    for file in files:
        for promise, test in _of_file(file):
            place = file.relative_to(folder).as_posix()
            found.setdefault(promise, []).append(test._replace(file=place))
    ordered = sorted(found, key=lambda promise: TOPICS.index(promise.partition(": ")[0]))
    return {promise: tuple(found[promise]) for promise in ordered}


def link(test: Test) -> str:
    """A Markdown link to a test; its text is the test's name, read as a sentence."""
    words = test.name.removeprefix("test_").replace("_", " ")
    return f"[{words}]({_TESTS}{test.file}#L{test.line})"


def _of_file(file: Path) -> Iterator[tuple[str, Test]]:
    tree = ast.parse(file.read_text("utf-8"))
    everywhere = [
        promise
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
        for promise in _promises(file, node.value)
    ]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            own = [promise for mark in node.decorator_list for promise in _promises(file, mark)]
            for promise in (*everywhere, *own):
                yield promise, Test(file.name, node.lineno, node.name)


def _promises(file: Path, marks: ast.expr) -> Iterator[str]:
    """The promises among one mark or a list of marks."""
    for mark in marks.elts if isinstance(marks, ast.List | ast.Tuple) else [marks]:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.promise":
            yield _promise(file, mark)


def _promise(file: Path, mark: ast.Call) -> str:
    said = mark.args[0] if len(mark.args) == 1 and not mark.keywords else None
    text = said.value if isinstance(said, ast.Constant) and isinstance(said.value, str) else ""
    topic, _, sentence = text.partition(": ")
    if topic not in TOPICS or not sentence:
        raise ValueError(
            f"{file.name}, line {mark.lineno}: a promise is one text, 'Topic: sentence', with a "
            f"topic out of {', '.join(TOPICS)}"
        )
    return text
