"""What `make bench` measured: bars, pieces of a step, memory, and what does not grow.

Results are the JSON files that a checkout keeps in `benchmarks/results`, one a machine; nothing is
measured here. A part of the benchmark that was not measured has no rows, and the chapter says so.
"""

import json
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl

import birdiedna
from birdiedna.figures.style import scale

#: What the rows of a curve vary, as the benchmark names it.
VARIED = ("rows", "slots", "microbatches", "bases", "rounds", "bits")
#: Seconds without a change and with it.
COMPARED = ("before", "after")
_MADE = ("date", "processor", "code", "git_commit")
_STEP = (
    *("whole step", "forward", "forward and backward", "optimizer"),
    *("attention, both directions", "feed-forward, both directions"),
)
_FIELDS = ("part", "what", "value", "unit", "bar", "best", "note")
#: One at which no line breaks.
_HYPHEN = "\u2011"
SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("machine", "part", "what", "unit", "best", "note", *_MADE), pl.String),
    **dict.fromkeys(("value", "bar", "load", *COMPARED), pl.Float64),
    **dict.fromkeys(("met", "git_dirty"), pl.Boolean),
    **dict.fromkeys(VARIED, pl.Int64),
}


def folder() -> Path:
    """The benchmark's folder in this checkout; an installed package has none."""
    return Path(birdiedna.__file__).parents[1] / "benchmarks"


def read(benchmarks: Path) -> pl.DataFrame:
    """Every row of every machine's results, with machine, date and load of its measurement.

    Raises:
      ValueError: a file is not one that `make bench` wrote.
    """
    rows: list[dict[str, Any]] = []
    for file in sorted((benchmarks / "results").glob("*.json")):
        try:
            parts = json.loads(file.read_text("utf-8"))["parts"].values()
            rows += [_row(file.stem, part["made"], row) for part in parts for row in part["rows"]]
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{file.name} holds no results ({error!r}); remove it and run `make bench`"
            ) from None
    return pl.DataFrame(rows, SCHEMA)


def _row(name: str, made: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    device = "" if made["device"] == "cpu" else f"{made['device']}, "
    machine = f"{device}{made['processor']}, {made['cores']} cores"
    varied = {key: (row["at"] or {}).get(key) for key in (*VARIED, *COMPARED)}
    known = {key: made[key] for key in (*_MADE, "load", "git_dirty")}
    return {"machine": machine, "met": _met(row), **known, **varied} | {k: row[k] for k in _FIELDS}


def _met(row: dict[str, Any]) -> bool | None:
    if row["bar"] is None:
        return None
    return row["value"] >= row["bar"] if row["best"] == "more" else row["value"] <= row["bar"]


def made(measured: pl.DataFrame) -> list[dict[str, Any]]:
    """Provenance of rows: machine, load, commit and command of every part among them."""
    columns = ["machine", "part", *_MADE, "load", "git_dirty"]
    return [
        {
            "name": one["part"],
            "profile": "benchmark",
            "device": one["machine"],
            "data": {"load before": one["load"]},
            "git_commit": one["git_commit"],
            "git_dirty": one["git_dirty"],
            "code": one["code"],
            "finished": one["date"],
            "command": f"make bench OPTIONS='--only {one['part']}'",
        }
        for one in measured.select(columns).unique(maintain_order=True).to_dicts()
    ]


def table(measured: pl.DataFrame) -> pl.DataFrame:
    """The rows in words: part, what, measured, bar, met, date, load, how (and where)."""
    sign = pl.col("best").replace({"more": "≥", "less": "≤"})
    value, bar = (pl.col(name).map_elements(digits, pl.String) for name in ("value", "bar"))
    found = measured.select(
        pl.col("part").str.replace("_", " "),
        "what",
        pl.concat_str(value, "unit", separator=" ").str.strip_chars().alias("measured"),
        pl.concat_str(sign, bar, separator="").alias("bar"),
        pl.col("met").replace_strict({True: "yes", False: "no"}, return_dtype=pl.String),
        pl.col("date").str.replace_all("-", _HYPHEN),
        "load",
        pl.col("note").alias("how"),
        "machine",
    )
    return found if measured["machine"].n_unique() > 1 else found.drop("machine")


def digits(value: float) -> str:
    """A number with four digits, thousands apart."""
    return f"{value:,.4g}"


def pieces(measured: pl.DataFrame) -> pl.DataFrame:
    """Seconds of the pieces of a train step: machine, slots, bits, by, piece, seconds, share.

    Once by direction and once by what is computed, as `performance.PIECES` names them. All but
    `backward` and `all else`, which are differences, were timed by themselves, so that they need
    not add up to the whole step.
    """
    index = ["machine", "slots", "bits"]
    step = measured.filter(pl.col("part") == "step")
    value = {name: pl.col("value").filter(pl.col("what") == name).first() for name in _STEP}
    wide = step.group_by(index, maintain_order=True).agg(**value)
    attention, feed = (pl.col(f"{name}, both directions") for name in ("attention", "feed-forward"))
    found = {
        ("direction", "forward"): pl.col("forward"),
        ("direction", "backward"): pl.col("forward and backward") - pl.col("forward"),
        ("direction", "optimizer"): pl.col("optimizer"),
        ("work", "attention"): attention,
        ("work", "feed-forward"): feed,
        ("work", "all else"): pl.col("whole step") - attention - feed,
    }
    parts = [
        wide.select(*index, by=pl.lit(by), piece=pl.lit(piece), seconds=value.clip(0)).with_columns(
            share=pl.col("seconds") / wide["whole step"]
        )
        for (by, piece), value in found.items()
    ]
    return pl.concat(parts).sort(index, maintain_order=True)


def changes(measured: pl.DataFrame) -> pl.DataFrame:
    """Kept changes taken back: machine, change, piece, before, after (seconds), times."""
    words = pl.col("what").str.split(": ")
    return measured.filter(pl.col("part") == "changes").select(
        "machine",
        words.list.first().alias("change"),
        words.list.last().alias("piece"),
        "before",
        "after",
        pl.col("value").alias("times"),
    )


def tried(benchmarks: Path) -> pl.DataFrame:
    """Changes that were tried for speed: change, figure, kept, from `tried.json`; maybe none."""
    file = benchmarks / "tried.json"
    columns = {"change": pl.String, "figure": pl.String, "kept": pl.Boolean}
    found = json.loads(file.read_text("utf-8")) if file.exists() else []
    return pl.DataFrame(found, columns)


def absent(measured: pl.DataFrame, part: str) -> str:
    """A sentence if a part was not measured on any machine, else nothing."""
    return "" if part in measured["part"] else f"The part {part} was not measured yet. "


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


def pieces_chart(found: pl.DataFrame) -> alt.Chart:
    """Stacked bars of a step, by direction and by what is computed, for each type and length.

    Args:
      found: as `performance.pieces` gives it.
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


def changes_chart(found: pl.DataFrame) -> alt.LayerChart:
    """Seconds of pieces of a step without a kept change (hollow) and with it (filled).

    Args:
      found: as `performance.changes` gives it.
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
