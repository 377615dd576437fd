"""Charts of `07_data`: positions of rows, letters around sites, scores of baselines."""

from collections.abc import Mapping

import altair as alt
import numpy as np
import polars as pl

from birdiedna.data.chromosomes import chromosome, is_chromosome
from birdiedna.data.genome import Genome, Split, contigs_named
from birdiedna.data.intervals import of_names
from birdiedna.evaluation import audit, leakage
from birdiedna.figures import style
from birdiedna.tasks import PARTS, Task

#: Lanes of a chromosome, from top to bottom.
LANES = {
    "pre-training": style.GREY,
    "held-out loss": style.TINTS[1],
    "train rows": style.TINTS[0],
    "validation rows": style.PLAIN[1],
    "test rows": style.PLAIN[0],
}
METHOD_COLOURS = {
    "letter": style.GREY,
    "pairs": style.PLAIN[1],
    "gc": style.TINTS[0],
    "words": style.PLAIN[0],
}
#: Maximum number of chromosomes shown.
_MOST = 30
#: Bins of the longest chromosome; fewer if the chart would be too large.
_BINS = 400


def places(genome: Genome, split: Split, loaded: Mapping[str, Task]) -> pl.DataFrame:
    """Positions of the genome's contigs, and of rows, counted in bins of equal width.

    Of more than 300 contigs those that begin in the same, wider bin are drawn as one.
    Rows without coordinates are left out. At most `_MOST` chromosomes are kept: known ones first,
    then by length. Columns: chromosome, what (of `LANES`), start, end (Mb), rows (0 for contigs).
    """
    found = []
    for what, names in (("pre-training", split.train), ("held-out loss", split.validation)):
        found.append((what, leakage.contig_places(contigs_named(genome, names)), 0))
    for part in PARTS:
        given = [task.parts()[part] for task in loaded.values() if part in task.parts()]
        where = [place for each in given if (place := of_names(each.names))]
        found += [(f"{part} rows", place, 1) for place in where]
    every = pl.concat(
        pl.DataFrame({"chromosome": [*w.contigs], "start": w.starts / 1e6, "end": w.ends / 1e6})
        .with_columns(what=pl.lit(what), rows=pl.lit(count))
        .select("chromosome", "what", "start", "end", "rows")
        for what, w, count in found
    )
    ends = dict(every.group_by("chromosome").agg(pl.col("end").max()).iter_rows())
    known = {name: chromosome(name) == name and is_chromosome(name) for name in ends}
    kept = sorted(ends, key=lambda name: (not known[name], -ends[name]))[:_MOST]
    sizes = [ends[name] for name in kept]
    width = max(max(sizes) / _BINS, 3 * sum(sizes) / style.DATA_ROWS)
    every = every.filter(pl.col("chromosome").is_in(kept))
    contigs, rows = every.filter(rows=0), every.filter(rows=1)
    if contigs.height > 300:
        begin = contigs.group_by("what", "chromosome", at=pl.col("start") // (sum(sizes) / 150))
        merged = begin.agg(pl.min("start"), pl.max("end"), pl.first("rows")).drop("at")
        contigs = merged.select(contigs.columns).sort("what", "chromosome", "start")
    bins = rows.group_by("what", "chromosome", start=pl.col("start") // width * width)
    counts = bins.agg(rows=pl.len().cast(pl.Int32)).sort("what", "chromosome", "start")
    binned = counts.with_columns(end=pl.col("start") + width).select(contigs.columns)
    return pl.concat([contigs, binned])


def _natural(name: str) -> tuple[int, str]:
    """Sort key: chr2 before chr10, numbers before letters."""
    number = name.removeprefix("chr")
    return (int(number), "") if number.isdigit() else (99, number)


def map_of(found: pl.DataFrame) -> alt.Chart:
    """A map of pre-training contigs and labelled rows, from `places`, a line per lane."""
    lanes = list(LANES)
    order = sorted(
        {*found.select("chromosome", "what").iter_rows()},
        key=lambda line: (_natural(line[0]), lanes.index(line[1])),
    )
    frame = found.with_columns(line=pl.format("{}: {}", "chromosome", "what"))
    scale = style.scale(LANES)
    chart = alt.Chart(frame).mark_bar(strokeWidth=1)  # keeps short contigs visible
    return chart.encode(
        x=alt.X("start:Q", title="position, Mb"),
        x2="end:Q",
        y=style.named_rows("line", [": ".join(line) for line in order]),
        color=alt.Color("what:N", scale=scale, legend=None),
        stroke=alt.Stroke("what:N", scale=scale, legend=None),
        tooltip=["chromosome", "what", *style.tips(".2f", "start", "end"), "rows"],
    ).properties(width="container", height=alt.Step(16))


def _outline(base: str) -> tuple[list[float], list[float]]:
    """The outline of a letter as one closed line, x and y from 0 to 1."""
    if base == "A":  # the hole runs in the opposite direction
        points = [(0, 0), (0.4, 1), (0.6, 1), (1, 0), (0.8, 0), (0.7, 0.26), (0.3, 0.26)]
        points += [(0.36, 0.42), (0.64, 0.42), (0.5, 0.82), (0.36, 0.42), (0.3, 0.26), (0.2, 0)]
    elif base == "T":
        points = [(0.4, 0), (0.4, 0.84), (0, 0.84), (0, 1), (1, 1), (1, 0.84), (0.6, 0.84)]
        points += [(0.6, 0)]
    else:
        turn = np.radians(np.linspace(45, 315 if base == "C" else 345, 14))
        circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
        bar = [] if base == "C" else [(0.98, 0.54), (0.55, 0.54), (0.55, 0.38), (0.78, 0.38)]
        points = [*(0.5 + 0.5 * circle), *bar, *(0.5 + 0.3 * circle[::-1])]
    xs, ys = np.round(np.asarray(points, float), 3).T.tolist()
    return xs, ys


def logos(letters: pl.DataFrame) -> alt.FacetChart:
    """Sequence logos from `variant_sets.logo`: the height of a base is its share of the bits.

    The column `rows` has the titles of the panels.
    """
    outlines = {base: dict(zip("xy", _outline(base), strict=True)) for base in "ACGT"}
    drawn = letters.with_row_index("letter")
    strong = alt.Scale(domain=["A or T", "C or G"], range=list(style.PLAIN))
    panel = (
        alt.Chart(drawn)
        .transform_calculate(
            xs=f"({outlines})[datum.base].x",
            ys=f"({outlines})[datum.base].y",
            step=f"sequence({max(len(each['x']) for each in outlines.values())})",
            pair="datum.base == 'A' || datum.base == 'T' ? 'A or T' : 'C or G'",
        )
        .transform_flatten(["xs", "ys", "step"])
        .transform_filter("isValid(datum.xs)")
        .transform_calculate(
            x="datum.place + 0.05 + 0.9 * datum.xs",
            y="datum.low + datum.ys * (datum.high - datum.low)",
        )
        .mark_line(filled=True, interpolate="linear-closed", strokeWidth=0)
        .encode(
            x=alt.X("x:Q", title="position relative to the site", scale=alt.Scale(nice=False)),
            y=alt.Y(
                "y:Q", title="bits", axis=alt.Axis(tickCount=3), scale=alt.Scale(domain=[0, 2])
            ),
            detail="letter:N",
            order="step:Q",
            color=alt.Color("pair:N", scale=strong, legend=None),
        )
        .properties(width=300, height=75)
    )
    return style.panels(panel, "rows", style.values(letters, "rows"), columns=2)


def baseline_scores(found: pl.DataFrame) -> alt.LayerChart:
    """Test MCC of the baselines in `audit.long`, with 95% intervals over test rows."""
    found, few = style.thinned(style.titled(found), "task", "tasks")
    frame = found.with_columns(pl.col("who").replace(audit.METHODS).alias("method"))
    methods = [title for title in audit.METHODS.values() if title in {*frame["method"]}]
    names = style.values(frame, "task")
    colours = style.scale(METHOD_COLOURS, audit.METHODS)
    base = alt.Chart(frame).encode(
        y=style.named_rows("task", names),
        yOffset=alt.YOffset("method:N", sort=methods),
        color=alt.Color("method:N", scale=colours, title=None, legend=style.legend(methods)),
    )
    line = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    dot = base.mark_point(filled=True, size=50, opacity=1).encode(
        x=alt.X("mcc:Q", title="MCC on test"),
        tooltip=["task", "method", "rule", *style.tips(".3f", "mcc", "low", "high")],
    )
    chart = style.rule(x=0) + line + dot
    chart = chart.properties(width="container", height=max(120, 11 * len(methods) * len(names)))
    return style.noted(chart, few)
