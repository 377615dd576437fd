"""What `make bench` measured, read as frames; nothing is measured here.

Results are the JSON files that a checkout keeps in `benchmarks/results`, one a machine. A part of
the benchmark that was not measured has no rows, and the chapter says so.
"""

import json
from pathlib import Path
from typing import Any

import polars as pl

import birdiedna

#: What the rows of a curve vary, as the benchmark names it.
VARIED = ("rows", "slots", "microbatches", "bases", "rounds", "bits")
#: Seconds without a change and with it.
COMPARED = ("before", "after")
_MADE = ("date", "processor", "code", "git_commit")
_STEP = (
    *("whole step", "forward", "forward and backward", "optimizer"),
    *("attention, both directions", "feed-forward, both directions"),
)
_ROW = ("part", "what", "value", "unit", "bar", "best", "note")
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
    return {"machine": machine, "met": _met(row), **known, **varied} | {k: row[k] for k in _ROW}


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
