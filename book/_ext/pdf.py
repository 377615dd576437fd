"""`python -m book._ext.pdf`, or `make pdf`: the whole book as one PDF, printed by Chromium."""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from birdiedna.cli.parser import one_line
from book._ext import __main__ as pages
from book._ext import layout
from book._ext.build import Order
from book._ext.layout import Layout

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = "--headless=new --no-sandbox --disable-gpu --hide-scrollbars --no-first-run".split()
#: Virtual time for charts to be drawn.
_MILLISECONDS = 30_000


def printed(order: Order, book: Layout, file: Path) -> None:
    """Render all pages as one and print it.

    Raises:
      ValueError: there is no Chromium, or Jupyter Book or Chromium failed.
    """
    browser = next(filter(None, map(shutil.which, _NAMES)), None)
    if browser is None:
        raise ValueError("no Chromium to print with: sudo apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        pages.jupyter_book(order, book, Path(folder), "--builder", "singlehtml")
        site = Path(folder) / "_build" / "singlehtml"
        page = site / "whole.html"  # one level up, where its links to `_static` lead
        text = (site / "book" / "index.html").read_text("utf-8").replace('="../_', '="_')
        page.write_text(text, "utf-8")
        asked = [f"--virtual-time-budget={_MILLISECONDS}", "--no-pdf-header-footer"]
        asked += ["--generate-pdf-document-outline"]  # headings as bookmarks
        asked += [f"--user-data-dir={folder}/profile", f"--print-to-pdf={file.resolve()}"]
        done = subprocess.run(
            [browser, *_FLAGS, *asked, page.as_uri()], capture_output=True, text=True
        )
    if done.returncode or not file.exists():
        raise ValueError(f"Chromium printed nothing: {done.stderr.strip()[-300:]}")


def main(argv: Sequence[str] | None = None) -> int:
    """Print the book; returns the exit status."""
    parser = argparse.ArgumentParser("python -m book._ext.pdf", description=__doc__)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("-o", "--output", type=Path, help="default: _build/book.pdf")
    asked = parser.parse_args(argv)
    book = layout.here()
    file = asked.output or book.root / "_build" / "book.pdf"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        printed(Order(asked.profile), book, file)
    except (ValueError, OSError) as error:
        print(f"book._ext.pdf: {one_line(str(error))}", file=sys.stderr)
        return 1
    print(f"printed {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
