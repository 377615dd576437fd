"""Charts of what `make bench` measured: bars, pieces of a step, memory, and what does not grow."""

import altair as alt
import polars as pl

from birdiedna.charts.measured import digits
from birdiedna.charts.palette import scale

MET_COLOURS = {"yes": "#41aa64", "no": "#b8270a"}
#: The pieces of a step, once by direction and once by what they compute.
PIECES = {
    "forward": "#47bbf5",
    "backward": "#4781f5",
    "optimizer": "#767676",
    "attention": "#df980c",
    "feed-forward": "#41aa64",
    "all else": "#8d358d",
}
LINES = ["#4781f5", "#df980c", "#41aa64", "#8d358d", "#b8270a", "#47bbf5"]
_LOG = {"scale": alt.Scale(type="log"), "axis": alt.Axis(tickCount=5, format="~g")}
_DECADES = _LOG | {"axis": alt.Axis(values=[10.0**n for n in range(-3, 5)], format="~g")}
#: Names stand above their dots, so that the chart keeps its width on a phone; pixels of a row.
_ABOVE = alt.Axis(
    **{"labelAlign": "left", "labelBaseline": "bottom", "labelPadding": -4, "labelOffset": -5},
    **{"labelLimit": 340, "ticks": False, "domain": False, "grid": False},
)
_ROW = 32
#: Memory of the chip that the paper's setting must fit, GiB.
CHIP_GIB = 32


def bars(measured: pl.DataFrame) -> alt.LayerChart:
    """How far every measured figure lies from its bar, as a factor; right of the rule it is met.

    Counts, such as compiled programs, are met or not and are left out.
    """
    factor = pl.when(pl.col("best") == "more").then(pl.col("value") / pl.col("bar"))
    rows = measured.filter(pl.col("bar") > 0, pl.col("value") > 0, pl.col("unit") != "")
    frame = rows.select(
        "machine",
        pl.format("{}: {}", pl.col("part").str.replace("_", " "), "what").alias("figure"),
        factor.otherwise(pl.col("bar") / pl.col("value")).alias("factor"),
        pl.col("met").replace_strict({True: "yes", False: "no"}, return_dtype=pl.String),
        pl.format("{} {}", pl.col("value").map_elements(digits, pl.String), "unit").alias("is"),
        pl.format("{} {}", pl.col("bar").map_elements(digits, pl.String), "unit").alias("bar"),
    )
    order = frame["figure"].unique(maintain_order=True).to_list()
    dots = alt.Chart(frame).encode(
        y=alt.Y("figure:N", sort=order, title=None, axis=_ABOVE),
        x=alt.X("factor:Q", title="times as good as the bar", **_DECADES),
        color=alt.Color("met:N", title="met", scale=scale(MET_COLOURS), legend=_top()),
        tooltip=["figure", "is", "bar", "machine"],
    )
    shape = alt.Shape("machine:N", title=None, legend=_below())
    points = dots.mark_point(filled=True, size=70, opacity=1)
    many = frame["machine"].n_unique() > 1
    height = _ROW * len(order)
    layers = _rule(1.0) + (points.encode(shape=shape) if many else points)
    return layers.properties(width="container", height=height)


def peers(measured: pl.DataFrame) -> alt.LayerChart:
    """Our speed over that of each peer, for every case of the comparison of train steps."""
    rows = measured.filter(pl.col("part") == "train_step", pl.col("unit") == "x")
    words = {True: "yes", False: "no", None: "no bar"}
    frame = rows.select(
        *("machine", "what", "value", "bar", "note"),
        pl.col("met").replace_strict(words, return_dtype=pl.String),
    )
    colours = MET_COLOURS | {"no bar": "#767676"}
    base = alt.Chart(frame).encode(
        y=alt.Y("what:N", sort=None, title=None, axis=_ABOVE),
        color=alt.Color("met:N", title="met", scale=scale(colours), legend=_top()),
        tooltip=["what", _tip("value"), "bar", "note", "machine"],
    )
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=alt.X("value:Q", title="times the speed of the peer", scale=alt.Scale(zero=True))
    )
    bars = base.transform_filter("isValid(datum.bar)").mark_tick(thickness=2, size=14)
    height = _ROW * frame["what"].n_unique()
    layers = _rule(1.0) + bars.encode(x="bar:Q") + dots
    return layers.properties(width="container", height=height)


def _rule(value: float, axis: str = "x") -> alt.Chart:
    place = alt.Chart(pl.DataFrame({"at": [value]})).mark_rule(opacity=0.6, strokeDash=[4, 3])
    return place.encode(**{axis: alt.X("at:Q") if axis == "x" else alt.Y("at:Q")})


def _top() -> alt.Legend:
    return alt.Legend(orient="top", symbolOpacity=1)


def _below() -> alt.Legend:
    return alt.Legend(orient="bottom", columns=1, labelLimit=400)


def pieces(found: pl.DataFrame) -> alt.Chart:
    """Stacked bars of a step, by direction and by what is computed, for each type and length.

    Args:
      found: as `measured.pieces` gives it.
    """
    where = pl.col("machine") + ": " if found["machine"].n_unique() > 1 else pl.lit("")
    frame = found.with_columns(
        step=where + pl.format("{} slots, {} bit", "slots", "bits"), order=pl.int_range(pl.len())
    )
    sort = frame["step"].unique(maintain_order=True).to_list()
    return (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            y=alt.Y("step:N", sort=sort, title=None, axis=alt.Axis(labelLimit=300)),
            yOffset=alt.YOffset("by:N", scale=alt.Scale(paddingInner=0.15)),
            x=alt.X("seconds:Q", title="seconds of a step"),
            color=alt.Color("piece:N", title=None, scale=scale(PIECES), legend=_top()),
            order=alt.Order("order:Q"),
            tooltip=["step", "piece", _tip("seconds"), alt.Tooltip("share:Q", format=".0%")],
        )
        .properties(width="container", height=70 * len(sort))
    )


def changes(found: pl.DataFrame) -> alt.LayerChart:
    """Seconds of pieces of a step without a kept change (hollow) and with it (filled).

    Args:
      found: as `measured.changes` gives it.
    """
    frame = found.with_columns(figure=pl.format("{}: {}", "change", "piece"))
    order = frame["figure"].unique(maintain_order=True).to_list()
    base = alt.Chart(frame).encode(
        y=alt.Y("figure:N", sort=order, title=None, axis=_ABOVE),
        color=alt.Color("change:N", scale=alt.Scale(range=LINES), legend=None),
        tooltip=["change", "piece", *map(_tip, ("before", "after", "times")), "machine"],
    )
    across = alt.X("before:Q", title="seconds, without the change to with it", **_LOG)
    line = base.mark_rule(strokeWidth=2).encode(x=across, x2="after:Q")
    without = base.mark_point(filled=False, size=60, opacity=1).encode(x=across)
    with_it = base.mark_point(filled=True, size=60, opacity=1).encode(x=alt.X("after:Q", **_LOG))
    layers = line + without + with_it
    return layers.properties(width="container", height=_ROW * len(order))


def _tip(name: str) -> alt.Tooltip:
    return alt.Tooltip(f"{name}:Q", format=".3g")


def flat(measured: pl.DataFrame) -> alt.HConcatChart:
    """What does not grow: windows of a batch over genome size, a search over rounds behind."""
    cut = measured.filter(pl.col("part") == "scale", pl.col("bases").is_not_null())
    cut = cut.with_columns(form=pl.col("what").str.split(", ").list.last())
    rounds = measured.filter(pl.col("part") == "director", pl.col("rounds").is_not_null())
    rounds = rounds.with_columns(
        form=pl.col("what").str.split(" ").list.first(),
        value=1e3 * pl.col("value"),
    )
    size, past = "bases in the genome", "rounds in the director's history"
    panels = _curve(cut, "bases", size), _curve(rounds, "rounds", past)
    return alt.hconcat(*panels).resolve_scale(color="independent")


def _curve(frame: pl.DataFrame, along: str, title: str) -> alt.Chart:
    form = frame.select("machine", "form", along, "value")
    return (
        alt.Chart(form)
        .mark_line(point=True)
        .encode(
            x=alt.X(
                f"{along}:Q", title=title, **_LOG | {"axis": alt.Axis(tickCount=5, format="~s")}
            ),
            y=alt.Y("value:Q", title="milliseconds", **_LOG),
            color=alt.Color("form:N", title=None, scale=alt.Scale(range=LINES), legend=_top()),
            strokeDash=alt.StrokeDash("machine:N", legend=None),
            tooltip=["machine", "form", along, _tip("value")],
        )
        .properties(width=250, height=220)
    )


def memory(measured: pl.DataFrame) -> alt.LayerChart:
    """Planned memory of a step over the length of a row, a line for each batch; rule: 32 GiB."""
    frame = _plans(measured).with_columns(
        batch=pl.when(pl.col("microbatches") > 1)
        .then(pl.format("{} rows in {} parts", "rows", "microbatches"))
        .otherwise(pl.format("{} rows", "rows"))
    )
    base = alt.Chart(frame).encode(
        x=alt.X("slots:O", title="slots in a row", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("value:Q", title="GiB", scale=alt.Scale(type="log", base=2)),
        color=alt.Color("batch:N", title=None, scale=alt.Scale(range=LINES), legend=_top()),
        tooltip=["machine", "batch", "slots", _tip("value")],
    )
    lines = base.mark_line(point=True).encode(strokeDash=alt.StrokeDash("machine:N", legend=None))
    return (lines + _rule(CHIP_GIB, "y")).properties(width="container", height=260)


def _plans(measured: pl.DataFrame) -> pl.DataFrame:
    return measured.filter(pl.col("part") == "memory", pl.col("slots").is_not_null())
