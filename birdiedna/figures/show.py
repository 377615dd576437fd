"""Show figures, tables and numbers in a chapter, with their provenance.

Vega draws figures in the reader's browser: from the book's own bundle if there is one, else (Colab,
JupyterLab) from the public copy that Altair uses. Text between `NOTEBOOK_ONLY` marks is for such
notebooks and is removed from the book's pages.
"""

import html
import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
from altair.utils import update_nested
from IPython.display import display

from birdiedna.data.names import quantity, sided
from birdiedna.data.page_text import escaped
from birdiedna.model.fields import check_seed
from birdiedna.training import environment, run_folder

Provenance = Mapping[str, Any] | Path | Sequence[Mapping[str, Any] | Path]


def figure(name: str, chart: Any, provenance: Provenance, caption: str = "") -> None:
    """Show an Altair chart of at most 5,000 rows, with its provenance folded below.

    The name is unique in the book, such as `fig-reward`, and text refers to the figure by
    `` {numref}`fig-reward` ``. Provenance: run folders or their manifests, or `show.computed(...)`.
    The caption is a paragraph of MyST Markdown; `{cite}` and `$maths$` work, and text from files
    must pass through `escaped`. ValueError for an invalid name or empty provenance.
    """
    entries = manifests(_checked(name), provenance)
    spec = {"description": _one_line(_plain(caption)), **themed(chart)}  # for screen readers
    _keep(name, "vl.json", json.dumps(spec, indent=1), entries)
    page = chart_html(name, spec) + _notebook_caption(caption) + fold(entries)
    data = {"text/html": page, "text/plain": f"<figure {name}>"}
    note = {"birdiedna": {"figure": {"name": name, "caption": caption}}} if caption else {}
    display(data, metadata=note, raw=True)


def table(
    name: str,
    frame: pl.DataFrame,
    caption: str,
    provenance: Provenance,
    formats: Mapping[str, str] | None = None,
    markdown: Sequence[str] = (),
    behind: str = "",
) -> None:
    """Show a frame as a numbered table, with its provenance folded below.

    Null and NaN are shown as a dash. Name, provenance, caption and errors are as in `figure`.

    Args:
      formats: format specifications of columns, as `{"loss": ".3f"}`; other floats show four
        digits. `.3f` shows a fourth digit instead of 0.000. ValueError if a column is absent.
      markdown: columns of our own Markdown (links, citations), in which text from files must pass
        through `escaped`; all others are escaped.
      behind: title of a fold that hides the table in the book; none if empty.
    """
    entries = manifests(_checked(name), provenance)
    absent = sorted({*(formats or {}), *markdown} - set(frame.columns))
    if absent:
        raise ValueError(f"table {name} has no column {absent[0]!r}; it has {frame.columns}")
    specs = [(formats or {}).get(column, "") for column in frame.columns]
    cells = [[*map(_shown, row, specs)] for row in frame.iter_rows()]
    _keep(name, "csv", frame.write_csv(), entries)
    data = {
        "text/html": table_html(frame, cells, caption),
        "text/markdown": folded(table_markdown(name, frame, cells, caption, markdown), behind),
        "text/plain": str(frame),
    }
    display(data, raw=True)
    display({"text/html": fold(entries), "text/plain": ""}, raw=True)  # never read as Markdown


GLUE_PREFIX = "application/papermill.record/"


def number(key: str, value: str | int | float, spec: str = "") -> None:
    """Record a number for the prose, which shows it by `` {glue:text}`key` ``.

    The key is unique in its chapter; other chapters use `` {glue:text}`01_paper.ipynb::key:s` ``.
    `spec` is a Python format specification, as `.3f`; by default floats show four digits. Notebooks
    outside the book, whose prose shows only keys, list key and number.
    """
    text = _shown(value, spec)
    mark = {"scrapbook": {"name": key, "mime_prefix": GLUE_PREFIX}}
    page = f"{NOTEBOOK_ONLY[0]}<code>{escaped(key)}</code>: {escaped(text)}{NOTEBOOK_ONLY[1]}"
    display({GLUE_PREFIX + "text/plain": repr(text), "text/html": page}, metadata=mark, raw=True)


#: Hidden output with the data of an explorable, which `book/_ext/assets.py` collects.
EXPLORABLE = "application/vnd.birdiedna.explorable+json"


def explorable(kind: str, data: Mapping[str, Any]) -> None:
    """Store data computed in this chapter for an explorable.

    `:::{explore} kind` shows it, and its scripts find the data in `birdieData[kind]`.
    """
    display({EXPLORABLE: {"kind": kind, "data": data}, "text/plain": f"<{kind}>"}, raw=True)


def history(text: str) -> None:
    """Show the `README.md` of stored results, folded, as plain text: markup has no effect."""
    if text.strip():
        style = "white-space:pre-wrap;border-left:3px solid currentColor;padding-left:1em"
        first, _, rest = text.strip().partition("\n")
        title = f"<summary>{escaped(first.lstrip('# ').replace('`', ''))}</summary>"
        body = f'<div style="{style}">{escaped(rest.strip())}</div>'
        page = f'<details class="birdie-history">{title}{body}</details>'
        display({"text/html": page, "text/plain": text}, raw=True)


_STATED = tuple("run profile changes seed data device commit code finished command".split())


def computed(
    profile: str,
    seed: int | None = None,
    data: Mapping[str, str] | None = None,
    changes: str = "",
    options: str = "",
) -> dict[str, Any]:
    """Provenance of numbers computed in the chapter itself; data as `{"genome": fingerprint}`.

    `profile` and `changes` are the chapter's parameters, `options` names its data
    (`Sources.options`).
    """
    if seed is not None:
        check_seed(seed)
    commit, dirty = environment.git_commit()
    return {
        "name": "computed in this chapter",
        "profile": run_folder.profile_name(profile),
        "changes": changes.split(),
        "seed": seed,
        "data": dict(data or {}),
        "device": "CPU",
        "git_commit": commit,
        "git_dirty": dirty,
        "command": f"make book PROFILE={shlex.quote(Path(profile).name)}"
        + f" SEED={seed}" * bool(seed)
        + f" SET={shlex.quote(changes)}" * bool(changes)
        + f" OPTIONS={shlex.quote(options.strip())}" * bool(options),
    }


def manifests(name: str, sources: Provenance) -> list[dict[str, Any]]:
    """The manifests behind a figure or table; run folders are read from their `manifest.json`.

    ValueError if there is none, or one is damaged.
    """
    entries = [sources] if isinstance(sources, Mapping | str | os.PathLike) else list(sources)
    if not entries:
        raise ValueError(f"{name} needs provenance: pass its run folders or show.computed(...)")
    return [
        dict(entry) if isinstance(entry, Mapping) else run_folder.read(Path(entry), "manifest")
        for entry in entries
    ]


#: Runs that a fold lists: more would be megabytes below every figure of a page.
MOST_RUNS = 500


def fold(entries: Sequence[Mapping[str, Any]]) -> str:
    """A fold with run, profile, seed, data, device, commit, code and command of all entries.

    Its title has profile and device. Shared values are listed once; the rest is a table with one
    line per run, of at most `MOST_RUNS` runs and the number of the others.
    """
    present = environment.code_fingerprint()
    rows = [_stated(entry, present) for entry in entries]
    shared = [key for key in _STATED if len({row[key] for row in rows}) == 1]
    apart = [key for key in _STATED if key not in shared]
    common = "".join(
        f"<dt>{key}</dt><dd>{escaped(rows[0][key])}</dd>" for key in shared if rows[0][key]
    )
    shown = [[row[key] for key in apart] for row in rows[:MOST_RUNS]]
    listed = f"<table>{_html_rows(apart, shown)}</table>" if apart else ""
    if apart and (more := len(rows) - len(shown)):
        listed += f"<p>and {quantity(more, 'more runs')}: see the manifest.json of each</p>"
    made = "; ".join(dict.fromkeys(_title(row) for row in rows))
    return (
        f'<details class="provenance"><summary>How this was made ({escaped(made)})</summary>'
        f'<dl>{common}</dl><div style="overflow-x:auto">{listed}</div></details>'
    )


def _title(row: Mapping[str, str]) -> str:
    """Profile, changed settings and device of a run, for the title of the fold."""
    count = row["changes"].count("=")
    changes = row["changes"] if count < 4 else f"{count} settings changed"
    changed = f" with {changes}" if count else ""
    device = re.sub(r"\b1 x ", "", row["device"]).replace("cpu", "CPU")
    return f"{row['profile']}{changed}, {device}"


def _stated(entry: Mapping[str, Any], present: str) -> dict[str, str]:
    """The fields of the fold for a manifest, empty if missing; `present` is the present code."""
    data = entry.get("data") or {}
    stated = {key: entry.get(key) for key in _STATED}
    stated["run"] = entry.get("name")
    stated["changes"] = ", ".join(entry.get("changes") or ()) or None
    marks = {label: "not recorded" if mark is None else mark for label, mark in data.items()}
    stated["data"] = ", ".join(f"{label} {str(mark)[:12]}" for label, mark in marks.items())
    commit = str(entry.get("git_commit") or "")[:12]
    code = entry.get("code") or ""
    begun = " (begun by other code)" if entry.get("other_code_before") else ""
    made = " (made by other code)" if code not in ("", present) else ""
    stated["code"] = f"{code[:12]}{begun or made}"
    stated["commit"] = commit + (" with local changes" if commit and entry.get("git_dirty") else "")
    return {key: "" if value is None else str(value) for key, value in stated.items()}


NOTEBOOK_ONLY = ("<!--notebook-->", "<!--/notebook-->")
ERROR_CLASS = "birdie-chart-error"
#: What a figure says to readers without JavaScript.
NEEDS_SCRIPTS = "<noscript><p>This figure needs JavaScript.</p></noscript>"
#: Font sizes readable on any screen, in pixels.
_SIZES = {"labelFontSize": 12, "titleFontSize": 12}
#: Lines and text take the page's text colour, so that a chart suits light and dark pages. Margins
#: hold texts of this font, whose widths every system has; its own sans-serif may be wider.
THEME: dict[str, Any] = {
    "font": "Arial, sans-serif",
    "background": "transparent",
    "view": {"stroke": None},
    "title": {"color": "currentColor", "subtitleColor": "currentColor", "anchor": "start"},
    "axis": {
        **{f"{part}Color": "currentColor" for part in ("label", "title", "domain", "tick", "grid")},
        **{"gridOpacity": 0.15, "domainOpacity": 0.5, "tickOpacity": 0.5, **_SIZES},
        "labelSeparation": 4,  # closer labels are dropped
    },
    "legend": {
        **{"labelColor": "currentColor", "titleColor": "currentColor", "labelLimit": 240},
        **_SIZES,
    },
    "header": {"labelColor": "currentColor", "titleColor": "currentColor", **_SIZES},
    "text": {"color": "currentColor", "fontSize": 12},
    "rule": {"color": "currentColor", "aria": False},  # an unnamed mark for screen readers
    "tick": {"color": "currentColor"},
}


def themed(chart: Any) -> dict[str, Any]:
    """The chart's Vega-Lite specification, with our theme as default settings.

    Line breaks in texts are removed: Vega-Lite writes titles into expressions, which a line break
    from a file would end.
    """
    return dict(update_nested({"config": THEME}, _one_line(chart.to_dict()), copy=True))


def _one_line(value: Any) -> Any:
    """Replace line breaks and control characters by blanks in all strings of a JSON value."""
    if isinstance(value, Mapping):
        return {_CONTROL.sub(" ", key): _one_line(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_one_line(item) for item in value]
    return _CONTROL.sub(" ", value) if isinstance(value, str) else value


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_EMBED = {
    "mode": "vega-lite",
    "renderer": "svg",
    "actions": {"export": True, "source": False, "compiled": False, "editor": False},
}
_LOADER = """<script>
window.birdieVega = window.birdieVega || (window.vegaEmbed ? Promise.resolve() : (async () => {
  const amd = window.define;
  window.define = undefined;
  try {
    for (const library of %s) {
      await new Promise((done, fail) => {
        const script = document.createElement("script");
        script.src = "https://cdn.jsdelivr.net/npm/" + library;
        script.onload = done;
        script.onerror = () => fail(new Error("cannot load " + library));
        document.head.appendChild(script);
      });
    }
  } finally { window.define = amd; }
})());
</script>"""
_CHART = """<div class="birdie-scroll" style="overflow-x:auto;max-width:100%%">
<div class="birdie-chart" id="%(id)s" style="width:100%%">%(needs)s</div></div>
<script>
(() => {
  const div = document.getElementById("%(id)s");
  div.birdieSpec = %(spec)s;
  Promise.resolve(window.birdieVega)
    .then(() => window.birdieFit?.(div.birdieSpec, div.clientWidth) ?? div.birdieSpec)
    .then((fitted) => window.vegaEmbed(div, fitted, %(options)s))
    .then(() => div.querySelector("summary")?.setAttribute("aria-label", "Save this figure"))
    .catch((error) => {
      div.classList.add("%(error)s");
      div.textContent = "This chart could not be drawn: " + (error.message || error);
    });
})();
</script>"""


def chart_html(name: str, spec: Mapping[str, Any]) -> str:
    """HTML that draws a Vega-Lite specification; equal specifications give equal bytes."""
    libraries = [f"vega@{alt.VEGA_VERSION}", f"vega-lite@{alt.VEGALITE_VERSION}"]
    loader = _LOADER % json.dumps([*libraries, f"vega-embed@{alt.VEGAEMBED_VERSION}"])
    values = {
        "id": f"chart-{name}",
        "spec": json.dumps(spec, ensure_ascii=True).replace("<", "\\u003c"),
        "options": json.dumps(_EMBED),
        "error": ERROR_CLASS,
        "needs": NEEDS_SCRIPTS,
    }
    return NOTEBOOK_ONLY[0] + loader + NOTEBOOK_ONLY[1] + _CHART % values


def _plain(caption: str) -> str:
    """A caption without citations and markup, as alternative text of the figure."""
    text = re.sub(r"\s*\{\w+\}`[^`]*`", "", html.unescape(caption))
    return " ".join(re.sub(r"[*`$\\]", "", text).split())


def _notebook_caption(caption: str) -> str:
    text = f"<p>{escaped(html.unescape(caption))}</p>" if caption else ""
    return NOTEBOOK_ONLY[0] + text + NOTEBOOK_ONLY[1]


#: Cells with more characters count as sentences.
SENTENCE = 60


def table_html(frame: pl.DataFrame, cells: Sequence[Sequence[str]], caption: str) -> str:
    """The table for notebooks outside the book; every name and value is escaped."""
    title = escaped(html.unescape(caption))
    rows = f"<caption>{title}</caption>{_html_rows(frame.columns, cells)}"
    return f'<div style="overflow-x:auto"><table>{rows}</table></div>'


def _html_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Head and body of an HTML table; every name and value is escaped."""
    line = lambda tag, cells: "".join(f"<{tag}>{escaped(cell)}</{tag}>" for cell in cells)
    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f"<thead><tr>{line('th', columns)}</tr></thead><tbody>{body}</tbody>"


def table_markdown(
    name: str,
    frame: pl.DataFrame,
    cells: Sequence[Sequence[str]],
    caption: str,
    markdown: Sequence[str] = (),
) -> str:
    """The table for the book, as a numbered MyST table; every name and value is escaped.

    Tables with sentences get the class `prose`, for which the style sheet makes room on a phone.
    """
    prose = max((len(cell) for row in cells for cell in row), default=0) > SENTENCE
    options = f":name: {name}\n" + ":class: prose\n" * prose
    numeric = [dtype.is_numeric() for dtype in frame.dtypes]
    plain = [column not in markdown for column in frame.columns]
    lines = [[escaped(column) for column in frame.columns]]
    lines += [["---:" if right else ":---" for right in numeric]]
    lines += [
        [escaped(_unbroken(c)) if p else c for c, p in zip(row, plain, strict=True)]
        for row in cells
    ]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f":::{{table}} {' '.join(caption.split())}\n{options}\n{body}\n:::\n\n"


def _unbroken(cell: str) -> str:
    """A cell with non-breaking intervals, as "+0.009 to +0.024"."""
    return re.sub(r"(?<=\d) to (?=[+\N{MINUS SIGN}]?\d)", "\xa0to\xa0", cell)


def folded(markdown: str, title: str) -> str:
    """MyST in a fold with this title; unchanged without one."""
    fold = f"::::{{admonition}} {title}\n:class: dropdown\n\n{markdown}::::\n"
    return fold if title else markdown


def _checked(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ValueError(f"{name!r} is no label: use lower-case words and hyphens, as fig-reward")
    return name


def _shown(value: Any, spec: str = "") -> str:
    """A value as text: a dash for null, floats with four digits, integers with separators."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    default = ".4g" if isinstance(value, float) else "," if isinstance(value, int) else ""
    text = sided(value, spec) if spec.endswith(".3f") else format(value, spec or default)
    return _PERCENT.sub("%", _MINUS.sub("\N{MINUS SIGN}", text))


#: A hyphen that is the sign of a number, but not in a range, a date, a name or an exponent.
_MINUS = re.compile(r"(?<![\w.:/-])-(?=\.?\d)")
_PERCENT = re.compile(r"(?<=\d) %(?!\w)")


def _keep(name: str, suffix: str, text: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write a figure or table with its manifests to the folder in BIRDIEDNA_FIGURES, if set."""
    if folder := os.environ.get("BIRDIEDNA_FIGURES"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{name}.{suffix}").write_text(text, "utf-8")
        manifest = json.dumps(list(entries), indent=1)
        (Path(folder) / f"{name}.manifest.json").write_text(manifest, "utf-8")
