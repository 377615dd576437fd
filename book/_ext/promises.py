"""The promises of this software, read from the marks of its tests.

A test has the mark `@pytest.mark.promise("Topic: sentence")`, or its file has
`pytestmark = pytest.mark.promise(...)`.
"""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from book._ext import layout

#: In the order of the page.
TOPICS = ["Runs", "Damage", "Same bits", "Replay", "Numbers", "Devices", "Settings", "Bad input"]
TOPICS += ["Security"]


class Test(NamedTuple):
    """A test function: its file, first line and name."""

    file: str
    line: int
    name: str


def read(folder: Path) -> dict[str, list[Test]]:
    """Every promise and its tests, by topic, then in the order of files.

    Raises:
      FileNotFoundError: the folder contains no `test_*.py`.
      ValueError: a mark is not "Topic: sentence" with a topic of `TOPICS`.
    """
    files = sorted(folder.rglob("test_*.py"))
    if not files:
        raise FileNotFoundError(f"{folder} contains no tests; the promises are in a checkout")
    found: dict[str, list[Test]] = {}
    for file in files:
        body = ast.parse(file.read_text("utf-8")).body
        shared = [node.value for node in body if isinstance(node, ast.Assign)]
        for node in body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                test = Test(file.relative_to(folder).as_posix(), node.lineno, node.name)
                for promise in _promises(file, [*shared, *node.decorator_list]):
                    found.setdefault(promise, []).append(test)
    return dict(sorted(found.items(), key=lambda one: TOPICS.index(one[0].partition(": ")[0])))


def link(test: Test) -> str:
    """A Markdown link to a test, whose text is its name as a sentence."""
    words = test.name.removeprefix("test_").replace("_", " ")
    tests = f"{layout.address()}/blob/{layout.release()}/tests"
    return f"[{words}]({tests}/{test.file}#L{test.line})"


def _promises(file: Path, marks: Iterable[ast.expr]) -> list[str]:
    """The promises in marks and lists of marks."""
    calls = [node for mark in marks for node in ast.walk(mark) if isinstance(node, ast.Call)]
    calls = [node for node in calls if ast.unparse(node.func) == "pytest.mark.promise"]
    for call in calls:
        text = call.args[0] if len(call.args) == 1 and not call.keywords else None
        topic, _, sentence = str(getattr(text, "value", "")).partition(": ")
        if topic not in TOPICS or not sentence:
            raise ValueError(
                f"{file.name}, line {call.lineno}: a promise is one text, 'Topic: sentence', with "
                f"a topic out of {', '.join(TOPICS)}"
            )
    return [call.args[0].value for call in calls]
