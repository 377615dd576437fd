"""Charts of `08_performance`, from the results of `make bench`.

Results are JSON files in `benchmarks/results`, one per machine. Parts of the benchmark that were
not measured have no rows, and the chapter says so.
"""

from pathlib import Path
from types import NoneType
from typing import Any

import altair as alt
import polars as pl

import birdiedna
from birdiedna.data.stored import NUMBER, read_json
from birdiedna.figures import style

#: Parameters that the benchmark varies.
VARIED = ("rows", "slots", "microbatches", "bases", "rounds")
_MADE = ("date", "processor", "device", "code", "git_commit")
_FIELDS = ("part", "what", "unit", "best", "note")
SCHEMA: dict[str, Any] = {
    **dict.fromkeys((*_FIELDS, *_MADE), pl.String),
    **dict.fromkeys(("value", "bar", "load"), pl.Float64),
    **dict.fromkeys(("cores", *VARIED), pl.Int64),
    "git_dirty": pl.Boolean,
}
_AT = {f"{key}?": int for key in VARIED}
#: Schema of a part of the results, for `stored.misfit`.
_PART = {
    "made": {
        **{"date": str, "processor": str, "cores": int, "device": str, "load": NUMBER},
        **{"code": str, "git_commit": (str, NoneType), "git_dirty": (bool, NoneType)},
    },
    "rows": [
        {
            **dict.fromkeys(_FIELDS, str),
            **{"value": (int, float), "bar": NUMBER, "at": (_AT, NoneType)},
        }
    ],
}
MET_COLOURS = {"yes": style.PLAIN[0], "no": style.PLAIN[1], "no target": style.GREY}
#: Labels above their dots, so that the chart keeps its width on a phone.
_ABOVE = alt.Axis(
    labelAlign="left",
    labelBaseline="bottom",
    labelPadding=-4,
    labelOffset=-5,
    labelLimit=340,
    ticks=False,
    domain=False,
    grid=False,
)
_MET_COLOUR = alt.Color("met:N", scale=style.scale(MET_COLOURS), legend=None)
#: Names of parts, and whether a target is met, as text.
_NAME = pl.col("part").str.replace("_", " ")
_MET = pl.col("met").replace_strict({True: "yes", False: "no"}, return_dtype=pl.String)


def folder() -> Path:
    """The benchmark folder of this checkout; it does not exist for an installed package."""
    return Path(birdiedna.__file__).parents[1] / "benchmarks"


def read(benchmarks: Path) -> pl.DataFrame:
    """Read the results of all machines, with machine, date and load of each measurement.

    ValueError if a file was not written by `make bench`.
    """
    rows: list[dict[str, Any]] = []
    for file in sorted((benchmarks / "results").glob("[!.]*.json")):
        parts = read_json(file, {"parts": {...: _PART}}, "remove it and run `make bench`")["parts"]
        rows += [p["made"] | row | (row["at"] or {}) for p in parts.values() for row in p["rows"]]
    card = pl.col("device").str.replace("-[0-9]+gb.*", "").str.replace_all("-", " ")
    prefix = card.str.to_uppercase() + ", "
    device = pl.when(pl.col("device") == "cpu").then(pl.lit("")).otherwise(prefix)
    processor = pl.col("processor").str.replace_all("(R)", "", literal=True)
    more = pl.col("best") == "more"
    met = pl.when(more).then(pl.col("value") >= pl.col("bar"))
    return pl.DataFrame(rows, SCHEMA).with_columns(
        pl.col("what").str.replace_many({"birdie": "Birdie", "ntp": "NTP"}),
        machine=pl.format("{}{}, {} cores", device, processor, "cores"),
        met=met.otherwise(pl.col("value") <= pl.col("bar")),
    )


def made(measured: pl.DataFrame) -> list[dict[str, Any]]:
    """Provenance of rows: machine, load, commit and command of each part."""
    entries = measured.select(
        pl.lit("benchmark").alias("profile"),
        *("git_commit", "git_dirty", "code"),
        name="part",
        device="machine",
        data=pl.struct(pl.col("load").alias("load before")),
        finished="date",
        command=pl.format("make bench OPTIONS='--only {}'", "part"),
    )
    return entries.unique(maintain_order=True).to_dicts()


def table(measured: pl.DataFrame) -> pl.DataFrame:
    """The rows as text: part, what, measured, target, met, date, load, how, machine if several."""
    sign = pl.col("best").replace({"more": "≥", "less": "≤"})
    found = measured.select(
        _NAME,
        "what",
        pl.concat_str(_digits("value"), "unit", separator=" ").str.strip_chars().alias("measured"),
        pl.concat_str(sign, _digits("bar")).alias("target"),
        _MET,
        pl.col("date").str.replace_all("-", "\u2011"),  # non-breaking hyphen
        "load",
        pl.col("note").alias("how"),
        "machine",
    )
    return found if measured["machine"].n_unique() > 1 else found.drop("machine")


def _digits(column: str) -> pl.Expr:
    """Numbers with four digits and thousands separators."""
    return pl.col(column).map_elements(lambda value: f"{value:,.4g}", pl.String)


def tried(benchmarks: Path) -> pl.DataFrame:
    """Optimisations that were tried, from `tried.json` if it exists: change, figure, kept."""
    file = benchmarks / "tried.json"
    columns = {"change": pl.String, "figure": pl.String, "kept": pl.Boolean}
    shape = [{"change": str, "figure": str, "kept": bool}]
    return pl.DataFrame(read_json(file, shape) if file.exists() else [], columns)


def absent(measured: pl.DataFrame, part: str) -> str:
    """A sentence if no machine has measured a part, else ""."""
    return "" if part in measured["part"] else f"The part {part} was not measured yet. "


def _named(frame: pl.DataFrame, column: str, **encodings: Any) -> alt.Chart:
    """A chart with a row for each value of `column`, in the order of the frame."""
    order = style.values(frame, column)
    y = alt.Y(f"{column}:N", sort=order, title=None, axis=_ABOVE)
    chart = alt.Chart(frame, width="container", height=25 * len(order))
    return chart.encode(y=y, **encodings)


def targets(measured: pl.DataFrame) -> alt.LayerChart:
    """The worst measurement of each part relative to its target; a factor of 1 meets it.

    Counts, such as compiled programs, are left out.
    """
    better = pl.col("value") / pl.col("bar")
    device = pl.format(" ({})", pl.col("machine").str.split(",").list.first())
    rows = measured.filter(pl.col("bar") > 0, pl.col("value") > 0, pl.col("unit") != "")
    usual = pl.col("machine") == rows["machine"].mode().min()
    where = pl.when(usual).then(pl.lit("")).otherwise(device)
    frame = rows.select(
        "machine",
        "part",
        pl.format("{}: {}{}", _NAME, "what", where).alias("figure"),
        pl.when(pl.col("best") == "more").then(better).otherwise(1 / better).alias("factor"),
        _MET,
        pl.format("{} {}", _digits("value"), "unit").alias("is"),
        pl.format("{} {}", _digits("bar"), "unit").alias("target"),
    )
    frame = frame.sort("factor").unique(["machine", "part"], keep="first", maintain_order=True)
    decades = alt.Axis(values=[10.0**n for n in range(-3, 5)], format="~g")
    x = alt.X(
        "factor:Q", title="times as good as the target", scale=alt.Scale(type="log"), axis=decades
    )
    tooltip = ["figure", "is", "target", "machine"]
    dots = _named(frame, "figure", x=x, color=_MET_COLOUR, tooltip=tooltip)
    points = dots.mark_point(filled=True, size=70, opacity=1)
    return style.rule(x=1) + points


def peers(measured: pl.DataFrame) -> alt.LayerChart:
    """Our speed relative to each peer, for every case in the comparison of train steps."""
    rows = measured.filter(pl.col("part") == "train_step", pl.col("unit") == "x")
    frame = rows.select("machine", "what", "value", "bar", "note", _MET.fill_null("no target"))
    tooltip = ["what", *style.tips(".3g", "value"), "bar", "note", "machine"]
    base = _named(frame, "what", color=_MET_COLOUR, tooltip=tooltip)
    x = alt.X("value:Q", title="speed relative to the peer", scale=alt.Scale(zero=True))
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(x=x)
    ticks = base.transform_filter("isValid(datum.bar)").mark_tick(thickness=2, size=14)
    return style.rule(x=1) + ticks.encode(x="bar:Q") + dots


def memory(measured: pl.DataFrame) -> alt.LayerChart:
    """Planned memory of a step by row length, a line per batch size."""
    plans = measured.filter(pl.col("part") == "memory", pl.col("slots").is_not_null())
    parts = pl.format("{} rows in {} parts", "rows", "microbatches")
    several = pl.when(pl.col("microbatches") > 1).then(parts)
    frame = plans.with_columns(batch=several.otherwise(pl.format("{} rows", "rows")))
    colours = alt.Scale(range=[*style.PLAIN, style.GREY, *style.TINTS])
    base = alt.Chart(frame).encode(
        x=alt.X("slots:O", title="slots in a row", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("value:Q", title="GiB", scale=alt.Scale(type="log", base=2, domainMin=2)),
        color=alt.Color("batch:N", scale=colours, legend=None),
        tooltip=["machine", "batch", "slots", *style.tips(".3g", "value")],
    )
    lines = base.mark_line(point=True).encode(strokeDash=alt.StrokeDash("machine:N", legend=None))
    last = frame.sort("slots").group_by("machine", "batch", maintain_order=True).last()
    named = base.encode(text="batch:N", color=alt.value("currentColor"))
    alone = pl.col("microbatches") > 1  # a point, without a line
    above = named.properties(data=last.filter(~alone)).mark_text(align="right", dx=-6, dy=-9)
    below = named.properties(data=last.filter(alone)).mark_text(align="left", dx=-6, dy=14)
    return (lines + above + below).properties(width="container", height=190)
