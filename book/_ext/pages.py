"""The Sphinx extension: run chapters, merge their outputs into pages, set maths as MathML.

A page has the prose of its source and the outputs of its executed copy. Code is folded, except in
cells tagged `teaches`; `static/book.js` opens all of it. Options are environment variables, since
Jupyter Book passes none on: `BIRDIEDNA_RUN` is missing (default: run stale chapters), never or
always; `BIRDIEDNA_PROFILE` is quick (default), paper or a name of results; `BIRDIEDNA_PARAMETERS`
is a JSON object of others; `BIRDIEDNA_EDITED` is set if only text of pages has changed.
"""

import gc
import json
import os
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.utils.math import MathError, latex2mathml
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.writers.html5 import HTML5Translator

from birdiedna.data.stored import parse
from birdiedna.figures import show
from book._ext import assets, build, keys, layout, lifetime

_LOGGER = logging.getLogger(__name__)
GLOSSARY = "book/glossary"
_NOTEBOOK_ONLY = re.compile("{}.*?{}".format(*map(re.escape, show.NOTEBOOK_ONLY)), re.DOTALL)
_PATH = re.compile(r"""(?<=['"])/(?:[^'"/]+/)*(?=[^'"/]+['"])""")


def merged(source: Mapping[str, Any], executed: Mapping[str, Any] | None, stale: str = "") -> dict:
    """The notebook to render: the source, with outputs and counts of the executed copy.

    Outputs are left out unless all code cells are equal.

    Args:
      executed: the executed copy; None if there is none.
      stale: why the outputs are out of date, for a warning on the page.
    """
    cells = list(source["cells"])
    code = lambda notebook: [keys.source(cell) for cell in keys.code_cells(notebook)]
    if executed is not None and code(source) == code(executed):
        injected = [_injected(one) for one in executed["cells"] if keys.INJECTED in keys.tags(one)]
        outputs, cells = iter(keys.code_cells(executed)), []
        for cell in source["cells"]:
            cells.append(_filled(cell, next(outputs)) if cell["cell_type"] == "code" else cell)
            cells += injected if "parameters" in keys.tags(cell) else []
    elif not stale:
        stale = "code changed" if executed is not None else "not run before"
    if stale:
        why = show.escaped(stale)
        text = f"The results on this page are out of date ({why}): run `make book`."
        badge = {"id": "stale", "metadata": {}, "source": f":::{{warning}}\n{text}\n:::"}
        cells.insert(1, {"cell_type": "markdown", **badge})
    cells = [cell if cell["cell_type"] == "markdown" else _folded(cell) for cell in cells]
    metadata = {**source["metadata"], "mystnb": {"execution_mode": "off"}}
    return {**source, "metadata": metadata, "cells": cells}


def _filled(cell: dict, executed: Mapping[str, Any]) -> dict:
    """A code cell with the outputs of its executed twin."""
    outputs, metadata = [], dict(cell.get("metadata", {}))
    for output in executed["outputs"]:
        if show.EXPLORABLE in output.get("data", {}):  # see `assets.lookups`
            continue
        if "text/html" in output.get("data", {}):
            text = _NOTEBOOK_ONLY.sub("", "".join(output["data"]["text/html"]))
            data = {**output["data"], "text/html": text}
            if not text:
                del data["text/html"]
            output = {**output, "data": data}
        outputs.append(output)
    ours = [output.get("metadata", {}).get("birdiedna", {}) for output in outputs]
    figures = [one["figure"] for one in ours if "figure" in one]
    if len(figures) > 1:
        raise ValueError(
            f"one cell shows {len(figures)} figures ({', '.join(f['name'] for f in figures)}); "
            "show each in its own cell, so that each has a number and a caption"
        )
    if figures:
        metadata["mystnb"] = {"figure": figures[0], **metadata.get("mystnb", {})}
    count = executed["execution_count"]
    return {**cell, "metadata": metadata, "outputs": outputs, "execution_count": count}


def _folded(cell: Mapping[str, Any]) -> dict:
    """A code cell whose source is folded, unless it teaches."""
    tags = {*keys.tags(cell)}
    if tags & {"teaches", "remove-cell"}:
        return dict(cell)
    return {**cell, "metadata": {**cell["metadata"], "tags": sorted(tags | {"hide-input"})}}


def _injected(cell: Mapping[str, Any]) -> dict:
    """The cell of injected parameters, with paths shortened to file names."""
    metadata = {"tags": [], "mystnb": {"code_prompt_show": "Parameters of this run"}}
    text = _PATH.sub("", keys.source(cell))
    return {**cell, "source": text, "outputs": [], "metadata": metadata}


#: Pages to look things up, without a reading time.
REFERENCE = ("CONTRIBUTING", "book/api", "book/glossary", "book/references")
#: Words a minute of a reader who also looks at figures.
PACE = 200


def minutes(source: str) -> int:
    """The reading time of a Markdown page or of the prose of a notebook, at least one minute."""
    if source.lstrip().startswith("{"):
        cells = json.loads(source)["cells"]
        source = "\n".join(keys.source(c) for c in cells if c["cell_type"] == "markdown")
    return max(1, round(len(source.split()) / PACE))


def mathml(text: str, block: bool) -> str:
    """A TeX formula as MathML; ValueError if docutils cannot convert it."""
    spaced = re.sub(r"\\(ln|log|exp)\s+(?=\w)", r"\\\1\\,", text)  # else "ln4", and "etanh"
    spaced = re.sub(r"(?<=[\w}])\s*(?=\\(ln|log|exp|tanh)\b)", r"\\,", spaced)
    beside = re.sub(r"(\\hat\b\s*(?:\{[^{}]*\}|\w)\}?)_", r"\1{}_", spaced)  # else below
    try:
        # what is said to be an accent lies on its letter in Chromium, far above it in WebKit
        return latex2mathml.tex2mathml(beside, block).replace('<mover accent="true">', "<mover>")
    except MathError as error:
        raise ValueError(f"formula {text.strip()!r}: {error}") from None


def _formula(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write a node as MathML, or warn."""
    block = isinstance(node, nodes.math_block)
    try:
        text = mathml(node.astext(), block)
    except ValueError as error:
        _LOGGER.warning("%s", error, location=node, type="birdiedna")
        text = escape(node.astext())
    tag, name = ("div", "math birdie-scroll") if block else ("span", "math")
    translator.body.append(f'<{tag} class="{name}">{text}</{tag}>')
    raise nodes.SkipNode


def executed_notebook(copy: Mapping[str, Any]) -> dict[str, Any]:
    """An executed copy for download: with outputs, without folders of this machine."""
    cells = [_injected(one) if keys.INJECTED in keys.tags(one) else one for one in copy["cells"]]
    metadata = {
        name: copy["metadata"][name] for name in ("kernelspec",) if name in copy["metadata"]
    }
    return {**copy, "cells": [{**cell, "metadata": {}} for cell in cells], "metadata": metadata}


class Explore(SphinxDirective):
    """A numbered interactive figure of `static/explore_<kind>.js`; its body is the caption."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {"name": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        kind = escape(self.arguments[0])
        box = f'<div class="birdie-explore" data-explore="{kind}">{show.NEEDS_SCRIPTS}</div>'
        figure = nodes.figure("", nodes.raw("", box, format="html"))
        said, problems = self.parse_inline(" ".join(self.content))
        figure += nodes.caption("", "", *said)
        self.set_source_info(figure)
        self.add_name(figure)
        return [figure, *problems]


class Minutes(SphinxRole):
    """The reading time of another page: {minutes}`01_paper`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [nodes.Text(f"{self.env.birdiedna_minutes[self.text]}\u00a0min")], []


_GLUED = re.compile(r"([\w-]+)\.ipynb::")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    lifetime.end_with_parent()
    gc.disable()  # trees of pages live to the end; scanning them takes a third of the time
    for name, usual in (("profile", "quick"), ("parameters", "{}")):
        value = os.environ.get(f"BIRDIEDNA_{name.upper()}") or usual
        app.add_config_value(f"birdiedna_{name}", value, "env", [str])
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-skip-member", _skip_tuple_field)
    app.add_directive("explore", Explore)
    app.add_role("minutes", Minutes())
    app.add_html_math_renderer("mathml", (_formula, None), (_formula, None))
    app.connect("config-inited", _on_config)
    app.connect("builder-inited", _on_start)
    app.connect("env-get-outdated", _on_outdated)
    app.connect("env-before-read-docs", _on_read)
    app.connect("source-read", _on_source)
    app.connect("env-get-updated", _on_updated, priority=900)  # after figures have their numbers
    app.connect("doctree-resolved", _on_tree)
    app.connect("html-page-context", _on_page, priority=900)
    app.connect("build-finished", _on_end)
    return {"parallel_read_safe": False, "parallel_write_safe": True}


def _skip_tuple_field(*event: Any) -> bool | None:
    """Leave out fields of named tuples, whose own text is "Alias for field number 0"."""
    return True if str(event[3].__doc__).startswith("Alias for field") else None


def asked() -> tuple[str, build.Order]:
    """The options in the environment: when to run, and what."""
    when = os.environ.get("BIRDIEDNA_RUN", "missing")
    if when not in ("missing", "never", "always"):
        raise ValueError(f"BIRDIEDNA_RUN is {when!r}; choose one of missing, never, always")
    name, remedy = "BIRDIEDNA_PARAMETERS", 'write JSON, as {"seed": 1}'
    given = parse((os.environ.get(name) or "{}").encode(), Path(name), {}, remedy)
    profile = os.environ.get("BIRDIEDNA_PROFILE") or "quick"
    return when, build.Order(profile, given, force=when == "always", keep_going=True)


def _on_config(app: Sphinx, config: Any) -> None:
    """Add the theme's buttons."""
    config.html_theme_options |= {
        "repository_url": layout.address(),
        "repository_branch": layout.release(),
        "path_to_docs": "",
        "use_repository_button": True,
        "use_issues_button": True,
        "launch_buttons": {"colab_url": layout.COLAB},
    }


def _on_start(app: Sphinx) -> None:
    """Run stale chapters, warn of those that stay stale, write scripts and notebooks."""
    for name in assets.FIRST:
        app.add_js_file(name, priority=100)
    for name in assets.others():
        (app.add_js_file if name.endswith(".js") else app.add_css_file)(name)
    (Path(app.outdir).parent / layout.RENDERED).unlink(missing_ok=True)
    app.birdiedna_jobs = {}
    if os.environ.get("BIRDIEDNA_EDITED"):
        return
    when, order = asked()
    book = layout.here(Path(app.srcdir))
    if when != "never":
        print(build.report(build.run_book(order, book, build.prepare, build.check)), flush=True)
    for job in build.plan(replace(order, force=False), book):
        app.birdiedna_jobs[job.chapter] = job
        if job.why:
            _LOGGER.warning("%s is out of date: %s", job.chapter.name, job.why, type="birdiedna")
    static = Path(app.outdir) / "_static"
    static.mkdir(parents=True, exist_ok=True)
    copies = [layout.executed(book, order.folder, one) for one in layout.chapters(book)]
    notebooks = {copy.name: build.intact(copy) for copy in copies if copy.exists()}
    ran = {name: notebook for name, notebook in notebooks.items() if notebook}
    for name, notebook in ran.items():
        (static / name).write_text(json.dumps(executed_notebook(notebook)), "utf-8")
    assets.write(static, assets.lookups(ran.values()))


def _on_outdated(app: Sphinx, env: Any, *_: Any) -> list[str]:
    """Read the first page, which shows all reading times, again if one has changed."""
    files = layout.pages(Path(app.srcdir))
    now = {file.stem: minutes(file.read_text("utf-8")) for file in files}
    before, env.birdiedna_minutes = getattr(env, "birdiedna_minutes", now), now
    return ["book/index"] if before != now else []


def _shown_elsewhere(env: Any) -> tuple:
    """What pages show of each other: titles, names, numbers, references."""
    titles = {name: title.astext() for name, title in env.titles.items()}
    named = [sorted(env.get_domain(name).get_objects()) for name in sorted(env.domaindata)]
    numbers = env.toc_secnumbers, env.toc_fignumbers
    return deepcopy((titles, numbers, named, env.domaindata["math"]))


def _on_read(app: Sphinx, env: Any, pages: list[str]) -> None:
    """Record what unchanged pages show of those that are read again."""
    app.birdiedna_before = () if GLOSSARY in pages else _shown_elsewhere(env)


def _on_updated(app: Sphinx, env: Any) -> Iterable[str]:
    """Write all pages, which also checks links, if that has changed."""
    return [] if app.birdiedna_before == _shown_elsewhere(env) else sorted(env.found_docs)


def _on_source(app: Sphinx, name: str, text: list[str]) -> None:
    """Merge outputs into a page; note that it depends on its copy and on those it glues from."""
    order = replace(asked()[1], force=False)
    book = layout.here(Path(app.srcdir))
    for glued in _GLUED.findall(text[0]):
        app.env.note_dependency(str(layout.executed(book, order.folder, Path(f"{glued}.ipynb"))))
    file = Path(app.env.doc2path(name)).resolve()
    if file in layout.chapters(book):
        job = app.birdiedna_jobs.get(file) or build.plan(replace(order, only=(file.stem,)), book)[0]
        app.env.note_dependency(str(job.copy))
        copy = build.intact(job.copy) if job.copy.exists() else None
        text[0] = json.dumps(merged(json.loads(text[0]), copy, job.why))


def fold_descriptions(tree: nodes.Element) -> None:
    """Fold the description of a function or class behind its first paragraph."""
    html = lambda text: nodes.raw("", text, format="html")
    for content in [*tree.findall(addnodes.desc_content)]:
        member = isinstance(content.parent.parent, addnodes.desc_content)
        if len(content) > 1 and not member:
            first, *rest = content.children
            opened = [html('<details class="birdie-more"><summary>'), first, html("</summary>")]
            content.clear()
            content += [*opened, *rest, html("</details>")]


def _on_tree(app: Sphinx, tree: nodes.document, name: str) -> None:
    """Fold long descriptions; give links to the glossary a tooltip with the meaning."""
    fold_descriptions(tree)
    if GLOSSARY not in app.env.found_docs:
        return
    meanings = {
        label: entry.astext().partition("\n\n")[2]
        for entry in app.env.get_doctree(GLOSSARY).findall(nodes.definition_list_item)
        for term in entry.findall(nodes.term)
        for label in term["ids"]
    }
    for link in tree.findall(nodes.reference):
        label = link.get("refuri", link.get("refid", "")).rpartition("#")[2]
        if label in meanings:
            link["reftitle"] = meanings[label]


def _on_page(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Add metatags and the line below the title; drop unused scripts."""
    body = context.get("body", "")
    context["script_files"] = assets.needed(context.get("script_files", []), body)
    if tree is not None:
        context["metatags"] = context.get("metatags", "") + _metatags(context["title"], tree)
        note = f'</h1>\n<p class="birdie-minutes">{_note(app, page, context["pathto"])}</p>'
        context["body"] = body.replace("</h1>", note, 1)


def _note(app: Sphinx, page: str, pathto: Callable[[str, int], str]) -> str:
    """The line below the title: reading time or "reference", Colab, notebook."""
    source = Path(app.env.doc2path(page))
    length = f"{minutes(source.read_text('utf-8'))} min read"
    said = ["reference" if page in REFERENCE else length]
    if source.suffix == ".ipynb":
        said.append(f'<a href="{escape(layout.on_colab(source))}">open in Colab</a>')
    if (Path(app.outdir) / "_static" / source.name).exists():
        link = pathto(f"_static/{source.name}", 1)
        said.append(f'<a href="{link}" download>notebook with its outputs</a>')
    return " · ".join(said)


def _on_end(app: Sphinx, error: Exception | None) -> None:
    """Drop unused icons from the theme's script."""
    script = Path(app.outdir) / "_static" / "scripts" / "fontawesome.js"
    if error is None and script.exists():
        users = [*Path(app.outdir).rglob("*.html"), *script.parent.glob("*theme*.js")]
        users += [*script.parent.parent.glob("*.js")]
        used = "\n".join(file.read_text("utf-8") for file in users)
        script.write_text(assets.fewer_icons(script.read_text("utf-8"), used), "utf-8")


def _metatags(title: str, tree: nodes.document) -> str:
    """Title and description (the first paragraph) for search and link previews."""
    first = next(iter(tree.findall(nodes.paragraph)), None)
    text = " ".join(first.astext().split()) if first is not None else ""
    about = escape(textwrap.shorten(text, 200, placeholder=" …"))
    said = {"og:title": escape(re.sub("<[^>]*>", "", title)), "og:type": "article"}
    said["og:description"] = about
    lines = [f'<meta property="{name}" content="{value}" />' for name, value in said.items()]
    return "\n".join(["", f'<meta name="description" content="{about}" />', *lines, ""])
