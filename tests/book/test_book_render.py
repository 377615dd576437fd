"""Pages follow the executed copies, even if only a number of another chapter changes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import small_book

from book._ext import __main__, layout, pages
from book._ext import build as run

GLUE = "from birdiedna.figures import show\nshow.number('loss', {value}, '.2f')"
READER = "# Reader\n\nThe loss is {glue:text}`01_maker.ipynb::loss:s` nats."
STRICT = ("-W", "-n", "--keep-going")


def build(root: Path, *options: str) -> subprocess.CompletedProcess:
    """`jupyter-book build .` as a reader calls it."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", ".", *options]
    clean = {name: value for name, value in os.environ.items() if "BIRDIEDNA" not in name}
    return subprocess.run(command, cwd=root, env=clean, capture_output=True, text=True)


def page(root: Path, name: str) -> str:
    return (root / "_build" / "html" / "book" / f"{name}.html").read_text()


def glued(root: Path) -> list[str]:
    return re.findall(r'class="pasted-text">([^<]*)<', page(root, "02_reader"))


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A book rendered by `jupyter-book build .` alone, on a folder where nothing has run: the book,
    the command's end, and what a page showed then.
    """
    root = tmp_path_factory.mktemp("book")
    chapters = {
        "01_maker": small_book.chapter(GLUE.format(value=1.5)),
        "02_reader": small_book.chapter("print('read')", title=READER),
        "03_other": small_book.chapter("print('other')"),
    }
    book, done = small_book.make(root, chapters), build(root, *STRICT)
    assert done.returncode == 0, done.stdout + done.stderr
    return book, done, (glued(root), page(root, "02_reader"))


@pytest.fixture(scope="module")
def edited(first):
    """What became of the pages when a sentence of one was edited, and then its title: which pages
    were written, the edited page, and all pages.
    """
    book = first[0]
    html = book.root / "_build" / "html"
    reader = book.root / "book" / "02_reader.ipynb"
    names = ("01_maker", "02_reader", "03_other")
    times = lambda: {name: (html / "book" / f"{name}.html").stat().st_mtime_ns for name in names}

    def edit(before, after):
        reader.write_text(reader.read_text().replace(before, after))
        (mark := html.parent / layout.RENDERED).touch()
        __main__.jupyter_book(run.Order(), book, None, edited=True)
        assert not mark.exists()  # `render` alone says when pages are up to date

    former = times()
    edit("The loss is", "An edited page: the loss is")
    written = {name for name, time in times().items() if time != former[name]}
    text = page(book.root, "02_reader")
    edit("# Reader", "# Another title")
    return written, text, [page(book.root, name) for name in names]


@pytest.fixture
def built(first, edited):
    """That book, as earlier tests left it."""
    return first[0]


def test_jupyter_book_alone_runs_the_chapters_and_builds_without_a_warning(first):
    _, done, (numbers, text) = first
    assert "3 of 3 chapters ran" in done.stdout
    assert numbers == ["1.50"] and "read" in text


def test_pages_are_rendered_again_only_after_a_change(built, monkeypatch, tmp_path):
    monkeypatch.delenv("BIRDIEDNA_RUNS", raising=False)
    book, order = built, run.Order()
    run.run_book(order, book)
    rendered, html = [], tmp_path / "_build" / "html"

    def jupyter_book(*given, edited):
        assert html.exists() == edited  # nothing of another build stays
        assert not (tmp_path / "_build" / layout.RENDERED).exists()  # in case it is interrupted
        rendered.append(edited)
        html.mkdir(parents=True, exist_ok=True)
        (html / "index.html").touch()

    monkeypatch.setattr(__main__, "jupyter_book", jupyter_book)
    assert __main__.render(order, book, tmp_path) is True
    assert __main__.render(order, book, tmp_path) is False
    for page, edited in (("index.md", True), ("loop.svg", False)):
        with (book.root / "book" / page).open("a") as file:
            file.write("\nA new sentence.\n")
        assert __main__.render(order, book, tmp_path) is True
        assert __main__.render(order, book, tmp_path) is False
        assert rendered[-1] is edited
    (tmp_path / "_build" / "rendered.txt").unlink()  # a build was stopped
    assert __main__.render(order, book, tmp_path) is True
    assert rendered == [False, True, False, False]


def test_an_edited_page_is_written_alone_unless_others_show_what_changed(edited):
    written, text, titled = edited
    assert written == {"02_reader"}
    assert "An edited page" in text and 'class="pasted-text">1.50<' in text
    assert all("Another title" in other for other in titled)  # in the contents


def test_an_unknown_way_to_run_is_refused(monkeypatch):
    monkeypatch.setenv("BIRDIEDNA_RUN", "sometimes")
    with pytest.raises(ValueError, match="'sometimes'; choose one of missing, never, always"):
        pages.asked()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("{x", "Expecting"),
        ("[1]", "not an object"),
        ('{"seed": 1, "seed": 2}', "'seed' occurs twice"),
    ],
)
def test_parameters_of_a_bare_build_are_an_object_with_each_name_once(monkeypatch, given, why):
    monkeypatch.setenv("BIRDIEDNA_PARAMETERS", given)
    with pytest.raises(ValueError, match=f"BIRDIEDNA_PARAMETERS .*{why}.*; write JSON, as"):
        pages.asked()


@pytest.mark.promise("Runs: a chapter that fails is named with its cell, and the status is 1")
def test_a_changed_number_reaches_its_page_and_a_failing_chapter_fails_the_build_alone(built):
    root = built.root
    maker, reader, other = sorted((root / "book").glob("0*.ipynb"))
    maker.write_text(maker.read_text().replace("1.5", "2.5").replace("# A chapter", "# Edited"))
    other.write_text(other.read_text().replace("print(", "printed("))
    done = build(root, *STRICT)
    assert done.returncode == 1 and done.stderr.count("WARNING") == 1, done.stderr
    assert "03_other.ipynb is out of date: failed last time" in done.stderr
    assert "out of date" in page(root, "03_other")
    assert "2 of 3 chapters ran" in done.stdout
    assert glued(root) == ["2.50"] and "Edited" in page(root, "01_maker")
    assert "# Edited" not in layout.executed(built, "quick", reader).read_text()
    assert all("out of date" not in page(root, name) for name in ("01_maker", "02_reader"))
