"""The book by plain, newest Sphinx, in case Jupyter Book 1 stops: `make sphinx`."""

import sys
from pathlib import Path

import yaml

_ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(_ROOT))
_book = yaml.safe_load((_ROOT / "_config.yml").read_text("utf-8"))

project = html_title = _book["title"]
author, copyright = _book["author"], _book["copyright"]
exclude_patterns = _book["exclude_patterns"]
bibtex_bibfiles = [str(_ROOT / file) for file in _book["bibtex_bibfiles"]]
extensions = [
    "myst_nb",
    "sphinx_book_theme",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_external_toc",
    "sphinx_togglebutton",
    "sphinxcontrib.bibtex",
    *_book["sphinx"]["local_extensions"],
    *_book["sphinx"]["extra_extensions"],
]
external_toc_path = "_toc.yml"
external_toc_exclude_missing = _book["only_build_toc_files"]
html_theme = "sphinx_book_theme"
html_sourcelink_suffix = ""
myst_enable_extensions = ["colon_fence", "dollarmath", "substitution", "tasklist"]
nb_execution_mode = _book["execute"]["execute_notebooks"]
nb_output_stderr = _book["execute"]["stderr_output"]
numfig = True
suppress_warnings = ["myst.domains"]
globals().update(_book["sphinx"]["config"])
html_theme_options = {
    **html_theme_options,  # noqa: F821 (of the settings above)
    "home_page_in_toc": True,
}
