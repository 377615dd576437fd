"""Text from data, manifests and results is shown as text, in all places of a page."""

import json
from html.parser import HTMLParser

import browser as pages
import pytest
import small_book

from book._ext import __main__, build

pytestmark = pytest.mark.promise("Security: names from files are text in the book, never markup")
WORDS = {"plain": [f"plain{i:02}" for i in range(len(small_book.PAYLOADS))]}
WORDS["hostile"] = small_book.PAYLOADS


class Reader(HTMLParser):
    """Elements, attributes and text of the article of a page, outside code."""

    def __init__(self, page):
        super().__init__()
        self.inside, self.elements, self.text, self.targets = [], [], [], []
        self.feed(page.read_text())

    def handle_starttag(self, tag, attributes):
        if tag not in ("img", "br", "hr", "link", "meta", "input", "source", "path"):
            self.inside.append(tag)
        if "article" in self.inside and "pre" not in self.inside:
            self.elements.append((tag, *sorted(name for name, _ in attributes)))
            self.targets += [value for name, value in attributes if name in ("href", "src")]

    def handle_endtag(self, tag):
        if tag in self.inside:
            while self.inside.pop() != tag:
                pass

    def handle_data(self, data):
        if "article" in self.inside and "script" not in self.inside:
            self.text.append(data)


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """Two equal pages, one with plain words, one with the payloads."""
    root, chapters = tmp_path_factory.mktemp("book"), {}
    for which, words in WORDS.items():
        listed = " ".join(f"{{glue:text}}`n{number}`" for number in range(len(words)))
        cells = [f"which = {which!r}\n{small_book.SHOWN[0]}", *small_book.SHOWN[1:]]
        parameters = f"{small_book.PARAMETERS}\n{which}: str = ''  # any"
        text = small_book.chapter(*cells, title=f"# Texts\n\n{listed}", parameters=parameters)
        chapters[f"0{len(chapters) + 1}_{which}"] = text
    made = small_book.make(root, chapters)
    (root / "texts.json").write_text(json.dumps(WORDS))
    given = {which: "".join(words) for which, words in WORDS.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BIRDIEDNA_RUNS", raising=False)
        order = build.Order(given=given)
        outcomes = build.run_book(order, made)
        assert {outcome.state for outcome in outcomes} == {"ran"}, outcomes
        __main__.render(order, made)
    return root / "_build" / "html" / "book"


@pytest.fixture(scope="module")
def read(book):
    return {name: Reader(book / f"0{n}_{name}.html") for n, name in enumerate(WORDS, start=1)}


def test_payloads_add_no_element_attribute_or_target(read):
    plain, hostile = read["plain"], read["hostile"]
    assert hostile.elements == plain.elements and len(plain.elements) > 500
    assert [
        t.replace("02_hostile", "01_plain").replace("hostile", "plain") for t in hostile.targets
    ] == plain.targets


#: Sphinx changes quotes and dashes; unprintable characters have a placeholder.
PRINTED = {"‘": "'", "’": "'", "“": '"', "”": '"', "–": "--", "—": "---", "…": "..."}
PRINTED |= dict.fromkeys("\0\x0c\x1b\x85\u202e", "\ufffd")


def flat(text):
    return " ".join(text.translate(str.maketrans(PRINTED)).split())


def test_payloads_are_read_on_the_page_in_every_place(read):
    shown, plain = (flat("".join(read[which].text)) for which in ("hostile", "plain"))
    for text, word in zip(WORDS["hostile"], WORDS["plain"], strict=True):
        cut = 6 + 2  # folds cut fingerprint, commit and code; two cells show Python's own quotes
        assert shown.count(flat(text)) >= plain.count(word) - cut >= 60, text


def test_no_local_file_reached_the_site(book):
    assert not [file for file in book.parent.rglob("*") if file.name == "_toc.yml"]
    assert "jb-book" not in (book / "02_hostile.html").read_text()


def test_payloads_do_nothing_in_a_browser(browser, book):
    pages.opened(browser, book / "02_hostile.html")
    assert browser.execute_script("return window.harmed") is None
    assert pages.requests(browser) == pages.errors(browser) == []
    assert pages.count(browser, "#harm, article img, article math") == 0
    assert not [e.text for e in browser.find_elements("css selector", ".birdie-chart-error")]
    assert pages.count(browser, ".birdie-chart svg.marks") == 1
