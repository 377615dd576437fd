"""Chapter 7: where rows are, GC by class, what solves a task without a model, overlap."""

from collections.abc import Mapping

import altair as alt
import numpy as np
import polars as pl

from birdiedna.data.chromosomes import chromosome, is_chromosome
from birdiedna.data.genome import Genome, Split, contigs_named
from birdiedna.data.intervals import of_names
from birdiedna.evaluation import audit, baselines, leakage
from birdiedna.figures.style import MOST_ROWS, legend, menu, rule, scale, tips, titled
from birdiedna.tasks import PARTS, Task

#: What is drawn on a chromosome, from top to bottom.
LANES = {
    "pre-training": "#767676",
    "held-out loss": "#c05fd0",
    "train rows": "#4781f5",
    "validation rows": "#41aa64",
    "test rows": "#df980c",
}
METHOD_COLOURS = {"letter": "#767676", "pairs": "#df980c", "gc": "#41aa64", "words": "#4781f5"}
CLASS_COLOURS = ("#4781f5", "#df980c", "#41aa64", "#8d358d", "#b8270a", "#767676")
#: What `interval_audit.of_folder` counts -> title and colour.
OVERLAPS = {
    "overlapping": ("any overlap", "#47bbf5"),
    "covered": ("half or more covered", "#4781f5"),
    "copies": ("copies", "#b8270a"),
}
#: Labels `set: all` say the set only, all others the class.
_SET_OR_CLASS = "split(datum.label, ': ')[indexof(datum.label, ': all') > 0 ? 0 : 1]"
#: Bins of the longest chromosome, if the chart stays light.
_BINS = 400


def places(
    genome: Genome, split: Split, loaded: Mapping[str, Task], most: int = 30
) -> pl.DataFrame:
    """What is where: contigs of the genome, and rows counted in bins of equal width.

    Rows without coordinates are left out, and all but `most` chromosomes: those that are known,
    then the longest.

    Returns:
      chromosome, what (of `LANES`), start, end (Mb), rows (0 for contigs).
    """
    found = []
    for what, names in (("pre-training", split.train), ("held-out loss", split.validation)):
        found.append((what, leakage.contig_places(contigs_named(genome, names)), 0))
    for part in PARTS:
        given = [task.parts()[part] for task in loaded.values() if part in task.parts()]
        where = [place for each in given if (place := of_names(each.names))]
        found += [(f"{part} rows", place, 1) for place in where]
    columns = ["chromosome", "start", "end"]
    every = pl.concat(
        pl.DataFrame(
            [np.asarray(w.contigs, str), np.asarray(w.starts) / 1e6, np.asarray(w.ends) / 1e6],
            columns,
        ).with_columns(what=pl.lit(what), rows=pl.lit(count))
        for what, w, count in found
    )
    ends = dict(every.group_by("chromosome").agg(pl.col("end").max()).iter_rows())
    known = {name: chromosome(name) == name and is_chromosome(name) for name in ends}
    kept = sorted(ends, key=lambda name: (not known[name], -ends[name]))[:most]
    sizes = [ends[name] for name in kept]
    width = max(max(sizes) / _BINS, 3 * sum(sizes) / MOST_ROWS)
    every = every.filter(pl.col("chromosome").is_in(kept))
    contigs, rows = every.filter(rows=0), every.filter(rows=1)
    bins = rows.with_columns(start=(pl.col("start") // width) * width)
    bins = bins.group_by("what", "chromosome", "start", maintain_order=True).agg(rows=pl.len())
    bins = bins.with_columns(pl.col("rows").cast(pl.Int32), end=pl.col("start") + width)
    return pl.concat([contigs, bins.sort("what", "chromosome", "start")], how="diagonal").select(
        "chromosome", "what", "start", "end", "rows"
    )


def _natural(name: str) -> tuple[int, str]:
    """chr2 before chr10, numbers before letters."""
    number = name.removeprefix("chr")
    return (int(number), "") if number.isdigit() else (99, number)


def map_of(found: pl.DataFrame) -> alt.Chart:
    """Where sequence is read and where labelled rows are, from `places`, a band a chromosome."""
    lanes = {what: colour for what, colour in LANES.items() if what in {*found["what"]}}
    chromosomes = sorted({*found["chromosome"]}, key=_natural)
    chart = alt.Chart(found).mark_bar(strokeWidth=1)  # so that a short contig can still be seen
    return chart.encode(
        x=alt.X("start:Q", title="position, Mb"),
        x2="end:Q",
        y=alt.Y("chromosome:N", sort=chromosomes, title=None),
        yOffset=alt.YOffset("what:N", sort=list(lanes)),
        color=alt.Color("what:N", title=None, scale=scale(lanes), legend=legend(columns=3)),
        stroke=alt.Stroke("what:N", scale=scale(lanes), legend=None),
        tooltip=["chromosome", "what", *tips(".2f", "start", "end"), "rows"],
    ).properties(width="container", height=max(90, 11 * len(lanes) * len(chromosomes)))


def gc_shares(loaded: Mapping[str, Task]) -> pl.DataFrame:
    """How the rows of each class spread over shares of GC, in bins of equal width.

    Returns:
      task, split (train, test), class, low, high (edges of the bin), share (of the rows of that
      class and split), mean (GC of those rows).
    """
    groups = [
        (name, split, f"class {label}", baselines.gc_share(rows)[rows.labels == label])
        for name, task in loaded.items()
        for split, rows in (("train", task.train), ("test", task.test))
        for label in np.unique(rows.labels)
    ]
    bins = int(np.clip(MOST_ROWS // len(groups), 5, 50))
    edges = np.linspace(0, 1, bins + 1)
    found = []
    for *group, values in groups:
        values = values[~np.isnan(values)]
        counts, _ = np.histogram(values, edges)
        shares, mean = counts / max(1, len(values)), values.mean() if len(values) else None
        bars = zip(edges[:-1], edges[1:], shares, strict=True)
        found += [(*group, *bar, mean) for bar in bars if bar[2]]
    columns = ["task", "split", "class", "low", "high", "share", "mean"]
    return pl.DataFrame(found, columns, orient="row")


def gc_by_class(found: pl.DataFrame) -> alt.FacetChart:
    """GC of the rows of each class, from `gc_shares`, train beside test; choice of task."""
    frame = titled(found).with_columns(zero=pl.lit(0.0))
    names = frame["task"].unique(maintain_order=True).to_list()
    classes = sorted({*frame["class"]}, key=lambda name: int(name.split()[1]))
    colours = {name: CLASS_COLOURS[i % len(CLASS_COLOURS)] for i, name in enumerate(classes)}
    domain = frame.select(pl.min("low"), pl.max("high")).row(0)
    edges = alt.Scale(domain=list(domain), nice=False)
    base = alt.Chart().encode(color=alt.Color("class:N", scale=scale(colours), legend=legend()))
    bars = base.mark_rect(opacity=0.55, stroke=None).encode(
        x=alt.X("low:Q", title="share of G and C", scale=edges, axis=alt.Axis(tickCount=5)),
        x2="high:Q",
        y=alt.Y("share:Q", title="share of the class", axis=alt.Axis(format=".0%")),
        y2="zero:Q",
        tooltip=["class", *tips(".2f", "low", "high"), *tips(".1%", "share")],
    )
    means = base.mark_rule(strokeWidth=2, strokeDash=[5, 3]).encode(x="mean(mean):Q")
    panel = alt.layer(bars, means, data=frame).properties(width=225, height=170)
    if len(names) > 1:
        panel = panel.transform_filter("datum.task == gc_task")
        panel = panel.add_params(menu("gc_task", names, "Task"))
    return panel.facet(alt.Facet("split:N", title=None, sort=["train", "test"]), columns=2)


def baseline_scores(found: pl.DataFrame) -> alt.LayerChart:
    """Test MCC of the methods without a model, with the 95 % bootstrap interval over test rows.

    A click on the legend fades the other methods.

    Args:
      found: as `audit.long` gives the baselines of cards.
    """
    frame = titled(found).with_columns(pl.col("who").replace(audit.METHODS).alias("method"))
    methods = [title for title in audit.METHODS.values() if title in {*frame["method"]}]
    names = frame["task"].unique(maintain_order=True).to_list()
    picked = alt.selection_point(fields=["method"], bind="legend")
    colours = scale(METHOD_COLOURS, audit.METHODS)
    base = alt.Chart(frame).encode(
        y=alt.Y("task:N", sort=names, title=None, axis=alt.Axis(labelLimit=150)),
        yOffset=alt.YOffset("method:N", sort=methods),
        color=alt.Color("method:N", title=None, scale=colours, legend=legend(columns=2)),
        opacity=alt.condition(picked, alt.value(1), alt.value(0.15)),
    )
    line = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    dot = base.mark_point(filled=True, size=60).encode(
        x=alt.X("mcc:Q", title="MCC on test"),
        tooltip=["task", "method", "rule", *tips(".3f", "mcc", "low", "high")],
    )
    chart = rule(x=0) + line + dot.add_params(picked)
    return chart.properties(width="container", height=max(120, 14 * len(methods) * len(names)))


def overlap(found: pl.DataFrame) -> alt.Chart:
    """Share of the test rows of each class that overlap training rows of their set.

    Args:
      found: as `interval_audit.of_folder` gives it.
    """
    names = {name: title for name, (title, _) in OVERLAPS.items()}
    colours = {name: colour for name, (_, colour) in OVERLAPS.items()}
    rows = pl.format("{}: {}", pl.col("set"), pl.col("class")).alias("rows")
    long = found.with_columns(rows, *(pl.col(name) / pl.col("test") for name in OVERLAPS))
    index = ["rows", "test"]
    long = long.unpivot(list(names), index=index, variable_name="what", value_name="share")
    frame = long.with_columns(pl.col("what").replace(names))
    order = frame["rows"].unique(maintain_order=True).to_list()
    colour = alt.Color("what:N", scale=scale(colours, names), legend=legend(columns=2))
    bars = (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X("share:Q", title="share of test rows", axis=alt.Axis(format=".0%")),
            y=alt.Y("rows:N", sort=order, title=None, axis=alt.Axis(labelExpr=_SET_OR_CLASS)),
            yOffset=alt.YOffset("what:N", sort=list(names.values())),
            color=colour,
            tooltip=["rows", "what", *tips(".2%", "share"), *tips(",", "test")],
        )
    )
    return bars.properties(width="container", height=21 * len(order))
