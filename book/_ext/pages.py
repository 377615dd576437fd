"""The Sphinx extension: fresh chapters, merged pages, charts and maths from local files.

The environment says what to do, since Jupyter Book has no options of its own for it:
`BIRDIEDNA_RUN` missing (default: run what is not fresh), never or always; `BIRDIEDNA_PROFILE`
quick (default), paper or a name of results; `BIRDIEDNA_PARAMETERS` others, a JSON object.
"""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

from birdiedna.book import assets, command, layout, merge, run

_LOGGER = logging.getLogger(__name__)
_GLUED = re.compile(r"([\w-]+)\.ipynb::")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    for name in ("profile", "parameters"):
        value = os.environ.get(f"BIRDIEDNA_{name.upper()}", "")
        app.add_config_value(f"birdiedna_{name}", value, "env", [str])
    app.connect("builder-inited", _on_start)
    app.connect("source-read", _on_source)
    app.connect("html-page-context", _on_page, priority=900)
    return {"parallel_read_safe": False, "parallel_write_safe": True}


def asked() -> tuple[str, run.Order]:
    """What the environment asks for: when to run, and what.

    Raises:
      ValueError: `BIRDIEDNA_RUN` is not one of missing, never, always.
    """
    when = os.environ.get("BIRDIEDNA_RUN", "missing")
    if when not in ("missing", "never", "always"):
        raise ValueError(f"BIRDIEDNA_RUN is {when!r}; choose one of missing, never, always")
    given = json.loads(os.environ.get("BIRDIEDNA_PARAMETERS") or "{}")
    profile = os.environ.get("BIRDIEDNA_PROFILE") or "quick"
    return when, run.Order(profile, given, force=when == "always", keep_going=True)


def _on_start(app: Sphinx) -> None:
    """Run chapters that are not fresh; warn of each that stays out of date; write the scripts."""
    when, order = asked()
    book = layout.here(Path(app.srcdir))
    if when != "never":
        print(run.report(run.run_book(order, book, command.prepare)), flush=True)
    for job in run.plan(replace(order, force=False), book):
        if job.why:
            _LOGGER.warning("%s is out of date: %s", job.chapter.name, job.why, type="birdiedna")
    assets.write(Path(app.outdir) / "_static")
    app.config.mathjax_path = assets.MATHJAX
    app.add_js_file(assets.VEGA, priority=100)
    app.add_css_file(assets.STYLE)


def _on_source(app: Sphinx, name: str, text: list[str]) -> None:
    """Merge outputs into a chapter's page; read a page again when a copy it shows has changed.

    Sphinx does not know by itself that a number glued from another chapter may have changed.
    """
    order = replace(asked()[1], force=False)
    book = layout.here(Path(app.srcdir))
    for glued in _GLUED.findall(text[0]):
        app.env.note_dependency(str(layout.executed(book, order.profile, Path(f"{glued}.ipynb"))))
    file = Path(app.env.doc2path(name)).resolve()
    if file in layout.chapters(book):
        (job,) = run.plan(replace(order, only=(file.stem,)), book)
        app.env.note_dependency(str(job.copy))
        copy = job.copy.read_text("utf-8") if job.copy.exists() else None
        text[0] = merge.page_text(text[0], copy, job.why)


def _on_page(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Drop inline scripts that two extensions add twice: the second run is an error on the page."""
    seen: set[str] = set()
    kept = []
    for script in context.get("script_files", []):
        body = getattr(script, "attributes", {}).get("body")
        if body is None or body not in seen:
            kept.append(script)
        seen.add(body or "")
    context["script_files"] = kept
