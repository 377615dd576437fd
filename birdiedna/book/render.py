"""Render the book to HTML with Jupyter Book, if anything that its pages show has changed."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from birdiedna.book import keys, layout
from birdiedna.book.layout import Layout
from birdiedna.book.run import Order

_RENDERERS = ("jupyter-book", "sphinx", "sphinx-book-theme", "myst-nb")
STRICT = ("-W", "-n", "--keep-going", "--all")


def render(order: Order, book: Layout, output: Path | None = None) -> bool:
    """Build all pages; every warning is an error.

    An incremental build may forget a warning of the build before, so it is all or nothing.

    Args:
      output: where `_build` goes; by default the book's root.

    Returns:
      Whether it built (False: the pages were up to date).

    Raises:
      ValueError: Jupyter Book failed; its messages have been printed.
    """
    built = (output or book.root) / "_build"
    mark, stamp = built / "rendered.txt", _stamp(order, book)
    if (built / "html" / "index.html").exists() and mark.exists() and mark.read_text() == stamp:
        return False
    mark.unlink(missing_ok=True)
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", ".", *STRICT, "-q"]
    command += ["--path-output", str(output)] if output else []
    done = subprocess.run(
        command, cwd=book.root, env=_environment(order, book), capture_output=True, text=True
    )
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        raise ValueError("jupyter-book build failed; its messages are above")
    mark.write_text(stamp)
    return True


def _environment(order: Order, book: Layout) -> dict[str, str]:
    """The chapters have run: the extension shall only merge."""
    asked = {
        "BIRDIEDNA_RUN": "never",
        "BIRDIEDNA_PROFILE": order.profile,
        "BIRDIEDNA_PARAMETERS": json.dumps(dict(order.given), sort_keys=True),
        "BIRDIEDNA_RUNS": str(book.runs),
    }
    return {**os.environ, **asked}


def _stamp(order: Order, book: Layout) -> str:
    """A hash of everything the pages are made from."""
    lines = [order.profile, json.dumps(dict(order.given), sort_keys=True)]
    lines += [f"{name} {metadata.version(name)}" for name in _RENDERERS]
    lines += [f"{file} {keys.digest(file)}" for file in sorted(set(_inputs(order, book)))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _inputs(order: Order, book: Layout) -> Iterator[Path]:
    yield from (book.root / name for name in ("_config.yml", "_toc.yml"))
    yield from (file for file in (book.root / "book").rglob("*") if file.is_file())
    code = Path(__file__).parent.rglob("*")
    yield from (file for file in code if file.is_file() and "__pycache__" not in file.parts)
    yield book.package / "show.py"  # how outputs look
    for chapter in layout.chapters(book):
        copy = layout.executed(book, order.profile, chapter)
        yield from [copy] if copy.exists() else []
