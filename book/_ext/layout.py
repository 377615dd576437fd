"""Where a book's sources, executed copies and package are."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import birdiedna
from birdiedna.data.files import folder_of

COLAB = "https://colab.research.google.com"
#: In `_build`: what the pages were made from, if the last build ended well and was `make book`.
RENDERED = "rendered.txt"


@dataclass(frozen=True)
class Layout:
    """The folders of one book.

    Attributes:
      root: contains `_toc.yml` and `_config.yml`.
      runs: contains run folders and executed copies, in a folder for each profile.
      package: the package that chapters import.
    """

    root: Path
    runs: Path
    package: Path


def here(root: Path | None = None) -> Layout:
    """The layout of the book at `root`, by default of this checkout.

    `BIRDIEDNA_RUNS` replaces the folder `runs`.

    Raises:
      ValueError: there is no `_toc.yml`, as in an installed package.
    """
    package = Path(birdiedna.__file__).resolve().parent
    root = (root or package.parent).resolve()
    if not (root / "_toc.yml").exists():
        raise ValueError(
            f"no _toc.yml in {root}: the book needs a checkout installed with `pip install -e .`"
        )
    return Layout(root, folder_of("BIRDIEDNA_RUNS", root / "runs").resolve(), package)


def chapters(layout: Layout) -> list[Path]:
    """The notebooks named in `_toc.yml`, in its order.

    Raises:
      ValueError: `_toc.yml` names a page that does not exist.
    """
    return [page for page in pages(layout.root) if page.suffix == ".ipynb"]


def pages(root: Path) -> list[Path]:
    """The notebooks and Markdown pages named in the `_toc.yml` of a folder, in its order.

    Raises:
      ValueError: `_toc.yml` names a page that does not exist.
    """
    toc, found = yaml.safe_load((root / "_toc.yml").read_text("utf-8")), []
    for page in _pages(toc):
        files = [root / f"{page}{suffix}" for suffix in (".ipynb", ".md")]
        if not (there := [file for file in files if file.exists()]):
            raise ValueError(f"_toc.yml names {page!r}, but there is no {page}.ipynb or {page}.md")
        found.append(there[0])
    return found


def address() -> str:
    """The address of the repository, from `pyproject.toml`."""
    project = Path(__file__).parents[2] / "pyproject.toml"
    return tomllib.loads(project.read_text("utf-8"))["project"]["urls"]["Repository"]


def release() -> str:
    """The tag of this version, which pages link to and notebooks install."""
    return f"v{birdiedna.__version__}"


def on_colab(notebook: Path) -> str:
    """The address that opens a notebook of this version in Colab."""
    place = address().removeprefix("https://github.com/")
    return f"{COLAB}/github/{place}/blob/{release()}/book/{notebook.name}"


def executed(layout: Layout, profile: str, chapter: Path) -> Path:
    """The path of the executed copy of a chapter."""
    return layout.runs / profile / "chapters" / chapter.name


def _pages(node: Any) -> Iterator[str]:
    """Every `root` and `file` of a table of contents, depth first."""
    if isinstance(node, Mapping):
        yield from (node[key] for key in ("root", "file") if key in node)
        for value in node.values():
            yield from _pages(value)
    elif isinstance(node, list):
        for value in node:
            yield from _pages(value)
