"""Check the sentences of pages: `python -m book._ext.prose book/*.ipynb book/*.md`.

Our rules check notation and words; `proselint` finds repeated words, malapropisms and the like.
Code, formulas, roles, links and directives are not checked.
"""

import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path

from book._ext import keys

#: A sentence with more words is hard to read.
LONGEST = 25
#: Not checked.
_NO_PROSE = re.compile(
    r"(?ms)^(```+).*?^\1$|^\$\$.*?^\$\$|^(:::|:[a-z]+:|\||#)[^\n]*$|\]\([^)\s]*\)|https?://\S+"
)
#: Counted as a word: a role, code, a formula.
_A_WORD = re.compile(r"\{[\w:]+\}`[^`]*`|`[^`\n]*`|(?<!\\)\$[^$]*\$")
#: A pattern, and what to write instead.
RULES = (
    (re.compile(r"\d[ \u00a0]%"), "write 95%, without a blank"),
    (re.compile(r"(?<![\w.:/)-])-(?=\.?\d)"), "write a true minus: \N{MINUS SIGN}"),
    (re.compile(r"(?<!\.)\.\.\.(?!\.)"), "write one sign: \N{HORIZONTAL ELLIPSIS}"),
    (
        re.compile(r"(?i)\b(gone on with|made anew|akin|mustn't|the this|amongst|utili[sz]e)\b"),
        "say it plainly",
    ),
    (re.compile(r" [,.;:?!](?=\s)"), "no blank before a sign"),
)
#: Checks of proselint; the others concern quotes and taste.
CHECKS = (
    *("annotations", "archaism", "hedging", "industrial_language", "lexical_illusions"),
    *("malapropisms", "misc", "mondegreens", "nonwords", "oxymorons", "uncomparables"),
)


def prose(page: Path) -> str:
    """The sentences of a Markdown page or of the Markdown cells of a notebook."""
    text = page.read_text("utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join(keys.source(cell) for cell in cells if cell["cell_type"] == "markdown")
    number = count()
    return _A_WORD.sub(lambda _: f"word{next(number)}", _NO_PROSE.sub("", text))


def faults(text: str) -> Iterator[str]:
    """The faults of prose, as "words: remedy"."""
    for pattern, remedy in RULES:
        for found in pattern.finditer(text):
            yield f"{_around(text, found.start())!r}: {remedy}"
    for sentence in re.split(r"(?<=[.?!])\s|\n\s*\n|\n[-*] ", text):
        if len(words := sentence.split()) > LONGEST:
            yield f"{' '.join(words[:6])!r}: {len(words)} words; at most {LONGEST}"
    yield from _proselint(text)


def _around(text: str, place: int) -> str:
    return " ".join(text[max(0, place - 20) : place + 20].split())


def _proselint(text: str) -> Iterator[str]:
    from proselint.config import DEFAULT
    from proselint.tools import LintFile

    _register()
    chosen = {**DEFAULT, "checks": {name: name in CHECKS for name in DEFAULT["checks"]}}
    for result in LintFile("page", text).lint(chosen) if text.strip() else ():
        yield f"{_around(text, result.check_result.span[0] - 1)!r}: {result.check_result.message}"


@cache
def _register() -> None:
    from proselint.checks import __register__
    from proselint.registry import CheckRegistry

    CheckRegistry().register_many(__register__)


def main(arguments: list[str]) -> int:
    """Print the faults of pages; 1 if there are any."""
    found = [f"{page}: {fault}" for page in arguments for fault in faults(prose(Path(page)))]
    print("\n".join(found) or f"{len(arguments)} pages: no fault of style found")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
