"""Charts of the data: where rows lie, GC by class, what solves a task without a model, overlap."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import polars as pl

from birdiedna.data.chromosomes import chromosome, is_chromosome
from birdiedna.data.genome import Genome, Split, contigs_named
from birdiedna.data.intervals import Intervals
from birdiedna.evaluation import audit, baselines, leakage
from birdiedna.figures.evaluation import MOST_ROWS, titled
from birdiedna.figures.style import scale
from birdiedna.tasks import PARTS, Task

#: What lies on a chromosome, from top to bottom.
LANES = {
    "pre-training": "#767676",
    "held-out loss": "#c05fd0",
    "train rows": "#4781f5",
    "validation rows": "#41aa64",
    "test rows": "#df980c",
}
METHOD_COLOURS = {"letter": "#767676", "pairs": "#df980c", "gc": "#41aa64", "words": "#4781f5"}
CLASS_COLOURS = ("#4781f5", "#df980c", "#41aa64", "#8d358d", "#b8270a", "#767676")
#: In words, what `interval_audit.of_folder` counts.
OVERLAPS = {
    "overlapping": ("any overlap", "#47bbf5"),
    "covered": ("half or more covered", "#4781f5"),
    "copies": ("copies", "#b8270a"),
}
#: Labels `set: all` say the set only, all others the class.
_SET_OR_CLASS = "split(datum.label, ': ')[indexof(datum.label, ': all') > 0 ? 0 : 1]"
#: Of the longest chromosome, if the chart stays light.
_BINS = 400


def places(genome: Genome, split: Split, loaded: Mapping[str, Task]) -> pl.DataFrame:
    """What lies where: contigs of the genome, and rows counted in bins of equal width.

    Rows without coordinates are left out, and all but 30 chromosomes: those that are known, then
    the longest.

    Returns:
      chromosome, what (of `LANES`), start, end (Mb), rows (0 for contigs).
    """
    found = []
    for what, names in (("pre-training", split.train), ("held-out loss", split.validation)):
        where = leakage.contig_places(contigs_named(genome, names))
        for name, start, end in zip(where.contigs, where.starts, where.ends, strict=True):
            found.append(_stretch(name, what, start / 1e6, end / 1e6, 0))
    known = {f"{part} rows": _places_of(loaded, i) for i, part in enumerate(PARTS)}
    ends = _ends(found, [where for lane in known.values() for where in lane])
    width = max(max(ends.values()) / _BINS, 3 * sum(ends.values()) / MOST_ROWS)
    for what, lane in known.items():
        found += _binned(what, lane, width)
    return pl.DataFrame([row for row in found if row["chromosome"] in ends])


def _places_of(loaded: Mapping[str, Task], part: int) -> list[Intervals]:
    """Where the rows of one split lie, of every task whose names tell."""
    rows = [task[part] for task in loaded.values() if task[part] is not None]
    return [where for part in rows if (where := leakage.places(part.names))]


def _ends(
    found: Sequence[Mapping[str, Any]], lanes: Sequence[Intervals], most: int = 30
) -> dict[str, float]:
    """The last position in Mb on each of the chromosomes to be drawn."""
    ends: dict[str, float] = {}
    stops = [(row["chromosome"], row["end"]) for row in found]
    for where in lanes:
        last = pl.DataFrame({"name": where.contigs, "end": where.ends}).group_by("name").max()
        stops += [(name, end / 1e6) for name, end in last.iter_rows()]
    for name, end in stops:
        ends[name] = max(end, ends.get(name, 0))
    known = {name: chromosome(name) == name and is_chromosome(name) for name in ends}
    order = sorted(ends, key=lambda name: (not known[name], -ends[name]))
    return {name: ends[name] for name in order[:most]}


def _stretch(name: str, what: str, start: float, end: float, rows: int) -> dict[str, Any]:
    return {"chromosome": str(name), "what": what, "start": start, "end": end, "rows": rows}


def _binned(what: str, found: Sequence[Intervals], width: float) -> list[dict[str, Any]]:
    """Bins that hold the start of at least one row."""
    if not found:
        return []
    names = np.concatenate([where.contigs for where in found])
    bins = (np.concatenate([where.starts for where in found]) / 1e6 // width).astype(int)
    frame = (
        pl.DataFrame({"name": names, "bin": bins}).group_by("name", "bin").len().sort("name", "bin")
    )
    return [
        _stretch(n, what, b * width, (b + 1) * width, count) for n, b, count in frame.iter_rows()
    ]


def _natural(name: str) -> tuple[int, str]:
    """chr2 before chr10, numbers before letters."""
    number = name.removeprefix("chr")
    return (int(number), "") if number.isdigit() else (99, number)


def map_of(found: pl.DataFrame) -> alt.Chart:
    """Where sequence is read and where labelled rows lie, a band for each chromosome.

    Args:
      found: as `places` gives it.
    """
    lanes = {what: colour for what, colour in LANES.items() if what in {*found["what"]}}
    chromosomes = sorted({*found["chromosome"]}, key=_natural)
    title = alt.Legend(orient="top", symbolOpacity=1, columns=3)
    return (
        alt.Chart(found)
        .mark_bar(strokeWidth=1)  # so that a short contig can still be seen
        .encode(
            x=alt.X("start:Q", title="position, Mb"),
            x2="end:Q",
            y=alt.Y("chromosome:N", sort=chromosomes, title=None),
            yOffset=alt.YOffset("what:N", sort=list(lanes)),
            color=alt.Color("what:N", title=None, scale=scale(lanes), legend=title),
            stroke=alt.Stroke("what:N", scale=scale(lanes), legend=None),
            tooltip=["chromosome", "what", _number("start", ".2f"), _number("end", ".2f"), "rows"],
        )
        .properties(width="container", height=max(90, 11 * len(lanes) * len(chromosomes)))
    )


def _number(column: str, form: str) -> alt.Tooltip:
    return alt.Tooltip(f"{column}:Q", format=form)


def gc_shares(loaded: Mapping[str, Task]) -> pl.DataFrame:
    """How the rows of each class spread over shares of GC, in bins of equal width.

    Returns:
      task, split (train, test), class, low, high (edges of the bin), share (of the rows of that
      class and split), mean (GC of those rows).
    """
    groups = [
        (name, split, label, baselines.gc_share(rows)[rows.labels == label])
        for name, task in loaded.items()
        for split, rows in (("train", task.train), ("test", task.test))
        for label in np.unique(rows.labels)
    ]
    groups = [(*key, values[~np.isnan(values)]) for *key, values in groups]
    bins = int(np.clip(MOST_ROWS // len(groups), 5, 50))
    edges = np.linspace(0, 1, bins + 1)
    rows = []
    for name, split, label, values in groups:
        counts, _ = np.histogram(values, edges)
        shared = {"task": name, "split": split, "class": f"class {label}"}
        shared["mean"] = float(values.mean()) if len(values) else None
        rows += [
            shared | {"low": low, "high": high, "share": count / max(1, len(values))}
            for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
            if count
        ]
    return pl.DataFrame(rows)


def gc_by_class(found: pl.DataFrame) -> alt.FacetChart:
    """GC of the rows of each class, train beside test, for the task chosen in a menu.

    Args:
      found: as `gc_shares` gives it.
    """
    frame = titled(found).with_columns(zero=pl.lit(0.0))
    names = frame["task"].unique(maintain_order=True).to_list()
    classes = sorted({*frame["class"]}, key=lambda name: int(name.split()[1]))
    colours = {name: CLASS_COLOURS[i % len(CLASS_COLOURS)] for i, name in enumerate(classes)}
    edges = alt.Scale(domain=[float(frame["low"].min()), float(frame["high"].max())], nice=False)
    base = alt.Chart().encode(
        color=alt.Color(
            "class:N", title=None, scale=scale(colours), legend=alt.Legend(orient="top")
        )
    )
    bars = base.mark_rect(opacity=0.55, stroke=None).encode(
        x=alt.X("low:Q", title="share of G and C", scale=edges, axis=alt.Axis(tickCount=5)),
        x2="high:Q",
        y=alt.Y("share:Q", title="share of the class", axis=alt.Axis(format=".0%")),
        y2="zero:Q",
        tooltip=["class", *(_number(c, ".2f") for c in ("low", "high")), _number("share", ".1%")],
    )
    means = base.mark_rule(strokeWidth=2, strokeDash=[5, 3]).encode(x="mean(mean):Q")
    panel = alt.layer(bars, means, data=frame).properties(width=225, height=170)
    if len(names) > 1:
        menu = alt.param(
            "gc_task", value=names[0], bind=alt.binding_select(options=names, name="Task ")
        )
        panel = panel.transform_filter("datum.task == gc_task").add_params(menu)
    return panel.facet(alt.Facet("split:N", title=None, sort=["train", "test"]), columns=2)


def baseline_scores(found: pl.DataFrame) -> alt.LayerChart:
    """Test MCC of the methods without a model, with the 95 % bootstrap interval over test rows.

    A click on the legend fades the other methods.

    Args:
      found: as `audit.long` gives the baselines of cards.
    """
    frame = titled(found).with_columns(pl.col("who").replace(audit.METHODS).alias("method"))
    methods = [title for who, title in audit.METHODS.items() if title in {*frame["method"]}]
    names = frame["task"].unique(maintain_order=True).to_list()
    picked = alt.selection_point(fields=["method"], bind="legend")
    base = alt.Chart(frame).encode(
        y=alt.Y("task:N", sort=names, title=None, axis=alt.Axis(labelLimit=150)),
        yOffset=alt.YOffset("method:N", sort=methods),
        color=alt.Color(
            "method:N",
            title=None,
            scale=scale(METHOD_COLOURS, audit.METHODS),
            legend=alt.Legend(orient="top", symbolOpacity=1, columns=2),
        ),
        opacity=alt.condition(picked, alt.value(1), alt.value(0.15)),
    )
    line = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    dot = base.mark_point(filled=True, size=60).encode(
        x=alt.X("mcc:Q", title="MCC on test"),
        tooltip=["task", "method", "rule", *(_number(c, ".3f") for c in ("mcc", "low", "high"))],
    )
    zero = alt.Chart(pl.DataFrame({"at": [0.0]})).mark_rule(opacity=0.6).encode(x="at:Q")
    chart = zero + line + dot.add_params(picked)
    return chart.properties(width="container", height=max(120, 14 * len(methods) * len(names)))


def overlap(found: pl.DataFrame) -> alt.Chart:
    """Share of the test rows of each class that overlap training rows of their set.

    Args:
      found: as `interval_audit.of_folder` gives it.
    """
    long = found.with_columns(
        pl.format("{}: {}", pl.col("set"), pl.col("class")).alias("rows"),
        *(pl.col(name) / pl.col("test") for name in OVERLAPS),
    ).unpivot(list(OVERLAPS), index=["rows", "test"], variable_name="what", value_name="share")
    names = {name: title for name, (title, _) in OVERLAPS.items()}
    frame = long.with_columns(pl.col("what").replace(names))
    order = frame["rows"].unique(maintain_order=True).to_list()
    return (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X("share:Q", title="share of test rows", axis=alt.Axis(format=".0%")),
            y=alt.Y("rows:N", sort=order, title=None, axis=alt.Axis(labelExpr=_SET_OR_CLASS)),
            yOffset=alt.YOffset("what:N", sort=list(names.values())),
            color=alt.Color(
                "what:N",
                title=None,
                scale=scale({name: colour for name, (_, colour) in OVERLAPS.items()}, names),
                legend=alt.Legend(orient="top", columns=2),
            ),
            tooltip=["rows", "what", _number("share", ".2%"), _number("test", ",")],
        )
        .properties(width="container", height=21 * len(order))
    )
