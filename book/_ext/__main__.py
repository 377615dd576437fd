"""`python -m book._ext`, or `birdiedna book`: run stale chapters and render the pages."""

import gc
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from birdiedna.cli import COLLECT_LESS
from birdiedna.cli.main import mistake
from birdiedna.cli.parser import options, parser
from birdiedna.data import files
from birdiedna.training.stop import Stopped
from book._ext import build, keys, layout, lifetime
from book._ext.build import Order
from book._ext.layout import Layout

_RENDERERS = (
    "jupyter-book",
    "sphinx",
    "sphinx-book-theme",
    "myst-nb",
    "altair",
    "vl-convert-python",
)
#: Options of verbs that read rows; the book has only `--labels` of them.
_READING = ("--sequence-column", "--label-column", "--length", "--reference", "--skip-missing")
#: Parameters of chapters that have an option of their own, besides `profile` and `changes`.
_PARAMETERS = ("genome", "tasks", "labels", "validation", "seed")
STRICT = ("-W", "-n", "--keep-going")


def render(order: Order, book: Layout, output: Path | None = None) -> bool:
    """Render the pages; returns False if they are up to date.

    If only text of pages or docstrings changed since the last complete build, `pages` writes only
    the pages that show it; otherwise everything is built in an empty folder.

    Args:
      output: the parent of `_build`; by default the book's root.

    Raises:
      ValueError: as `jupyter_book`, or another process is rendering them.
    """
    built = (output or book.root) / "_build"
    with files.sole(built, built):
        return _rendered(order, book, output, built)


def _rendered(order: Order, book: Layout, output: Path | None, built: Path) -> bool:
    """Render the pages into `built`; arguments and errors as in `render`."""
    mark, (frame, texts) = built / layout.RENDERED, _stamps(order, book)
    whole = mark.exists() and (built / "html" / "index.html").exists()
    before = mark.read_text(errors="replace").split() if whole else []
    if before == [frame, texts]:
        return False
    mark.unlink(missing_ok=True)  # an interrupted build is not used
    if not (edited := frame in before):
        shutil.rmtree(built / "html", ignore_errors=True)
    jupyter_book(order, book, output, *([] if edited else ["--all"]), edited=edited)
    mark.write_text(f"{frame} {texts}\n")
    return True


def jupyter_book(
    order: Order, book: Layout, output: Path | None, *options: str, edited: bool = False
) -> None:
    """Run `jupyter-book build` with warnings as errors.

    Args:
      order, book, output: as in `render`.
      options: further options.
      edited: only text of pages changed since the last build.

    Raises:
      ValueError: it failed, and printed why.
    """
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", ".", *STRICT, "-q"]
    command += [*(["--path-output", str(output)] if output else []), *options]
    asked = {
        "BIRDIEDNA_EDITED": "1" if edited else "",
        "BIRDIEDNA_RUN": "never",  # chapters have run; only merge
        "BIRDIEDNA_PROFILE": order.profile,
        "BIRDIEDNA_PARAMETERS": json.dumps(dict(order.given), sort_keys=True),
        "BIRDIEDNA_RUNS": str(book.runs),
    }
    status, printed = lifetime.run(command, book.root, {**os.environ, **asked})
    if status:
        print(printed, file=sys.stderr)
        raise ValueError("jupyter-book build failed; its messages are above")


def _stamps(order: Order, book: Layout) -> tuple[str, str]:
    """Hashes of all that pages depend on except text, and of text of pages and docstrings."""
    pages = layout.pages(book.root)
    texts = {*pages, *book.package.rglob("*.py")}
    frame = [book.root / name for name in ("_config.yml", "_toc.yml")]
    frame += {*(book.root / "book").glob("[!.]*")} - texts
    frame += (f for f in Path(__file__).parent.rglob("[!.]*") if "__pycache__" not in f.parts)
    frame += (book.package / "figures").glob("*.py")
    frame += (layout.executed(book, order.folder, one) for one in layout.chapters(book))
    lines = [order.profile, json.dumps(dict(order.given), sort_keys=True), *map(str, pages)]
    lines += [f"{name} {metadata.version(name)}" for name in _RENDERERS]
    return _hashed(frame, *lines), _hashed(texts)


def _hashed(paths: Iterable[Path], *lines: str) -> str:
    listed = [f"{file} {keys.digest(file)}" for file in sorted(paths) if file.is_file()]
    return hashlib.sha256("\n".join([*lines, *listed]).encode()).hexdigest()


def parsed(argv: Sequence[str] | None) -> tuple[Order, bool]:
    """The order of a command line, and whether to render pages."""
    asked = parser().parse_args(["book", *(sys.argv[1:] if argv is None else argv)])
    own = options(asked, *_PARAMETERS)
    own["changes"] = " ".join(text.replace(" ", "") for text in asked.changes)
    own["profile"] = asked.profile * (asked.profile != "quick")
    own = {name: value for name, value in own.items() if value not in ("", None)}
    given, names = dict(asked.given) | own, [*own, *(name for name, _ in asked.given)]
    if twice := [name for name in given if names.count(name) > 1]:
        parser().error(f"parameter {twice[0]!r} is given twice; leave one out")
    for name in ("genome", "tasks", "labelled"):  # absolute: chapters run in another folder
        if name in given:
            texts = str(given[name]).split(",") if name == "labelled" else [str(given[name])]
            given[name] = ",".join(map(_from_anywhere, texts))
    profile = given.pop("profile", "quick")
    if profile.endswith(".json"):
        profile = str(files.expanded(profile).resolve())
    only = tuple(Path(name).stem for name in asked.only)
    how = options(asked, "force", "keep_going", "dry_run", "at_once")
    return Order(profile, given, only, **how), not asked.no_pages


def _from_anywhere(text: str) -> str:
    """The absolute path of an existing file or folder; other text is unchanged."""
    path = files.expanded(text)
    return str(path.resolve()) if text not in ("", "sample") and path.exists() else text


def main(argv: Sequence[str] | None = None) -> int:
    """Run `birdiedna book`; returns 0, 1 after a failure, 130 or 143 after a signal."""
    lifetime.end_with_parent()
    gc.set_threshold(*COLLECT_LESS)
    order, pages = parsed(argv)
    try:
        with nullcontext() if order.dry_run else lifetime.stopped_by_sigterm():
            return _book(order, pages)
    except Stopped as stopped:  # a checkpoint was saved
        print(f"birdiedna book: {stopped}", file=sys.stderr)
        return stopped.status
    except KeyboardInterrupt:
        print("birdiedna book: stopped; the same command resumes", file=sys.stderr)
        return 130
    except Exception as error:
        if not (said := mistake(error)):
            raise
        print(f"birdiedna book: {_for_the_book(said)}", file=sys.stderr)
        return 1


def _for_the_book(said: str) -> str:
    """A message on rows; if its remedy is an option of other verbs, with one that the book has."""
    if named := [option for option in _READING if option in said]:
        said += f"; `birdiedna book` has no {' and no '.join(named)}: change the file itself"
    return said


def _book(order: Order, pages: bool) -> int:
    book, start = layout.here(), time.monotonic()
    build.check_settings(order)
    outcomes = build.run_book(order, book, build.prepare, build.check)
    print(build.report(outcomes), flush=True)
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    for outcome in failed:
        copy = layout.executed(book, order.folder, Path(f"{outcome.chapter}.ipynb"))
        print(f"FAILED {outcome.chapter}: {outcome.why}\n  see {copy}", file=sys.stderr)
    if pages and not failed and not order.dry_run:
        others = build.plan(replace(order, only=(), force=False), book) if order.only else []
        if due := [job.chapter.stem for job in others if job.why]:
            done = f"not rendered, since these chapters must run first: {', '.join(due)}"
        else:
            built = render(order, book)
            page = book.root / "_build" / "html" / "index.html"
            done = f"{'rendered' if built else 'were up to date'}: {page}"
        print(f"  pages {done}, {time.monotonic() - start:.1f} s in all")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
