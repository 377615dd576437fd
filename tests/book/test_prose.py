"""The prose linter finds faults of sentences and ignores the rest."""

import json
import re

import pytest

from birdiedna.training.run_folder import repository
from book._ext import keys, prose

pytest.importorskip("proselint")


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("A 95 % interval.", "without a blank"),
        ("It falls by -0.2 nats.", "true minus"),
        ("Wait...", "one sign"),
        ("The run is gone on with.", "plainly"),
        ("A word , alone.", "no blank before"),
        ("It is the the same.", "repeated"),
        (" ".join(["word"] * 26) + ".", "26 words"),
    ],
)
def test_a_fault_is_found_once_with_its_remedy(text, remedy):
    assert sum(remedy in fault for fault in prose.faults(text)) == 1


NO_PROSE = """
```bash
run --by -1 at 95 % ...
```

$$
x = -1
$$

:::{figure} a -1
:name: fig-a-1
:::

| a | -1 |

Chapters 8-9 of `a -1 b` say {glue:text}`one -1`, $x = -1$ and [this](http://a.b/-1).
"""


def test_code_formulas_tables_and_links_are_no_prose(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(NO_PROSE)
    assert [*prose.faults(prose.prose(page))] == []


def test_a_page_with_a_fault_fails_the_check_with_its_words(tmp_path, capsys):
    good, bad = tmp_path / "good.md", tmp_path / "bad.md"
    good.write_text("A row has slots.\n")
    bad.write_text("It is a very unique row.\n")
    assert prose.main([str(good)]) == 0
    assert "1 pages: no fault" in capsys.readouterr().out
    assert prose.main([str(good), str(bad)]) == 1
    told = capsys.readouterr().out
    assert f"{bad}: " in told and "very unique" in told


def test_of_a_notebook_the_markdown_cells_are_read(tmp_path):
    cells = [
        {"cell_type": kind, "metadata": {}, "source": [f"# title\n\n{kind} cell."]}
        for kind in ("markdown", "code")
    ]
    page = tmp_path / "page.ipynb"
    page.write_text(json.dumps({"cells": cells}))
    assert prose.prose(page).split() == ["markdown", "cell."]


BOOK = repository() / "book"
CHAPTERS = sorted([*BOOK.glob("[01]*.ipynb"), BOOK / "10_machines.md"])


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda page: page.stem)
def test_a_chapter_opens_with_a_short_answer_and_leads_on(chapter):
    text = chapter.read_text("utf-8")
    if chapter.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join(map(keys.source, cells))
    opening = re.match(r"# .*\n\n:::\{admonition\} .*\n:class: tip\n((?:.*\n)*?):::\n", text)
    answer = re.sub(r"(?m)^\|.*", "", opening[1])  # beside a table
    assert len(re.sub(r"\{\w+\}`[^`]*`", "number", answer).split()) <= 60
    assert "\n**Next:** " in text
