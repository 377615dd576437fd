"""Charts of `02_objectives`: rows of objectives as coloured letters, and visibility matrices.

Every token is a cell. Bases are shaded by their position in the window, so moved or missing pieces
break the gradient; other tokens have the colour of their kind. A line of a row is one row of data,
with its letters as one string that the page unfolds, so that hundreds of rows stay small.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import jax
import numpy as np
import polars as pl

from birdiedna.evaluation.measured_objectives import drawn_row
from birdiedna.figures import style
from birdiedna.objectives.explain import Token
from birdiedna.objectives.program import Objective, window_bases

#: Letters per line, readable on a phone.
COLUMNS = 30
#: Columns left of the letters, for the labels "prompt" and "target".
MARGIN = 5
#: Height of a line in pixels.
LINE = 17
#: Colours of the tokens that are not bases; white letters are readable on all of them.
KINDS = {
    "objective": "#6a6a6a",
    "sentinel": "#b8270a",
    "mask": "#8d358d",
    "delimiter": "#295cc2",
    "start": "#1d7d46",
    "end": "#7a6510",
}
_KINDS = ("base", *KINDS)
_SIGNS = {"<start>": "▸", "<eos>": "■", "<mask>": "?", "<ctx>": "c", "<find>": "f"}
_SIGNS |= {"<to>": "t", "<sep>": "/"}
_NUMERALS = "0123456789abcdefghijklmnopqrstuvwxyz"


def glyph(token: Token) -> str:
    """One character for a token: its letter, a sentinel's number (base 36), or a sign."""
    if token.kind == "base":
        return token.text
    if token.kind == "sentinel":
        return _NUMERALS[int(token.text[1:-1]) % len(_NUMERALS)]
    return "o" if token.kind == "objective" else _SIGNS[token.text]


def lines(row: Sequence[Token]) -> list[tuple[str, list[Token]]]:
    """A row as lines of at most `COLUMNS` tokens, each with its label.

    The first line of the prompt is labelled "prompt"; the line labelled "target" begins with
    `<start>`.
    """
    prompt = [token for token in row if token.part == "prompt"]
    target = [token for token in row if token.part != "prompt"]
    return [
        (label if at == 0 else "", part[at : at + COLUMNS])
        for label, part in (("prompt", prompt), ("target", target))
        for at in range(0, len(part), COLUMNS)
    ]


def gallery_frames(
    objectives: Mapping[str, Objective], key: jax.Array, window: np.ndarray, slots: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row of each objective over the same window, one below the other.

    Lines: bases (of the window), line, glyphs, kinds, tokens, places. Labels and headings: bases,
    line, text, heading (bool).
    """
    cells: list[dict[str, Any]] = []
    words: list[dict[str, Any]] = []
    line = 0
    rows = drawn_row(list(objectives.values()), key, window, slots)
    for (name, objective), row in zip(objectives.items(), rows, strict=True):
        bases = window_bases(objective, slots)
        sizes = objective.sizes(bases)
        counted = f"{bases} bases, {sizes.prefix} + {sizes.label} tokens"
        title = f"{style.OBJECTIVE_TITLES[name]}: {counted}"
        words.append({"bases": bases, "line": line, "heading": True, "text": title})
        for line, (label, tokens) in enumerate(lines(row), line + 1):
            place = {"bases": bases, "line": line}
            words += [place | {"heading": False, "text": label}] if label else []
            places = ("" if token.position is None else str(token.position) for token in tokens)
            text = {
                "glyphs": "".join(map(glyph, tokens)),
                "kinds": "".join(str(_KINDS.index(token.kind)) for token in tokens),
                "tokens": " ".join(token.text for token in tokens),
                "places": ",".join(places),
            }
            cells.append(place | text)
        line += 1
    return pl.DataFrame(cells), pl.DataFrame(words)


def gallery(cells: pl.DataFrame, words: pl.DataFrame) -> alt.LayerChart:
    """Rows of several objectives, from `gallery_frames`, as wide as the page."""
    count = int(cells["line"].to_numpy().max()) + 1
    across, down = ([-MARGIN, COLUMNS], [count, 0])
    return (
        alt.layer(_letters(alt.Chart(cells)), _beside(alt.Chart(words)))
        .encode(
            x=alt.X("x:Q", axis=None, scale=alt.Scale(domain=across, nice=False)),
            y=alt.Y("y:Q", axis=None, scale=alt.Scale(domain=down, nice=False)),
        )
        .properties(width="container", height=LINE * count)
    )


def _letters(chart: alt.Chart) -> alt.LayerChart:
    """Cells and letters of folded lines."""
    cells = (
        chart.transform_calculate(
            glyph="split(datum.glyphs, '')",
            code="split(datum.kinds, '')",
            token="split(datum.tokens, ' ')",
            place="split(datum.places, ',')",
            column="sequence(0, length(datum.glyphs))",
        )
        .transform_flatten(["glyph", "code", "token", "place", "column"])
        .transform_calculate(
            kind=f"{list(_KINDS)}[toNumber(datum.code)]",
            position="datum.place == '' ? null : toNumber(datum.place)",
        )
    )
    place = alt.Tooltip("position:Q", title="position in the window")
    square = cells.transform_calculate(
        x="datum.column + 0.04",
        right="datum.column + 0.96",
        y="datum.line",
        low="datum.line + 0.92",
    ).encode(x2="right:Q", y2="low:Q", tooltip=["token:N", "kind:N", place])
    letter = cells.transform_calculate(x="datum.column + 0.5", y="datum.line + 0.5").mark_text(
        font="monospace", baseline="middle", fontSize=_size(13), tooltip=None
    )
    base, other = "datum.kind == 'base'", "datum.kind != 'base'"
    shade = alt.Legend(
        title="position in the window",
        orient="bottom",
        gradientLength=110,
        values=[0, 1],
        labelExpr="datum.value ? 'last' : 'first'",
    )
    kind = alt.Legend(title="not a base", orient="bottom", columns=2)
    rainbow = alt.Scale(scheme="turbo", domain=[0, 1])
    solid = alt.Scale(domain=list(KINDS), range=list(KINDS.values()))
    return alt.layer(
        square.transform_filter(base)
        .transform_calculate(share="datum.position / (datum.bases - 1)")
        .mark_rect(opacity=0.5)
        .encode(color=alt.Color("share:Q", scale=rainbow, legend=shade)),
        square.transform_filter(other)
        .mark_rect()
        .encode(color=alt.Color("kind:N", scale=solid, legend=kind)),
        letter.transform_filter(base).encode(text="glyph:N"),
        letter.transform_filter(other).encode(text="glyph:N", color=alt.value("white")),
    ).resolve_scale(color="independent")


def _beside(chart: alt.Chart) -> style.Layers:
    """Headings, and labels left of the lines, from a chart of line, text, heading."""
    words = chart.transform_calculate(
        x=f"datum.heading ? {-MARGIN} : -0.4", y="datum.line + (datum.heading ? 0.6 : 0.5)"
    ).encode(text="text:N")
    heading = words.transform_filter("datum.heading")
    label = words.transform_filter("!datum.heading")
    return alt.layer(
        heading.mark_text(align="left", baseline="middle", fontWeight="bold"),
        label.mark_text(align="right", baseline="middle", fontSize=_size(12)),
    )


def _size(most: int) -> alt.ExprRef:
    """A font size of at most `most` that fits a column."""
    return alt.expr(f"min({most}, 1.2 * width / {COLUMNS + MARGIN})")


def matrices(frame: pl.DataFrame) -> alt.FacetChart:
    """One matrix per objective, from `visibility`, coloured where a slot sees another.

    One line of a matrix is one row of data, which the page unfolds.
    """
    folded = (
        style.titled(frame)
        .group_by("objective", "query", "query_token", "loss", maintain_order=True)
        .agg(
            seen=pl.col("seen").cast(pl.Int8).cast(pl.String).str.join(""),
            key_tokens=pl.col("key_token").str.join(" "),
        )
    )
    order = style.values(folded, "objective")
    slot = alt.Scale(domain=list(range(frame.select(pl.max("query")).item() + 1)), padding=0.08)
    axis = alt.Axis(labels=False, ticks=False, domain=False)
    earlier, later = "itself or an earlier token", "a later token of the prompt"
    colours = alt.Scale(domain=[earlier, later], range=list(style.PLAIN))
    panel = (
        alt.Chart(folded)
        .transform_calculate(
            bit="split(datum.seen, '')",
            key_token="split(datum.key_tokens, ' ')",
            key="sequence(0, length(datum.seen))",
        )
        .transform_flatten(["bit", "key_token", "key"])
        .transform_filter("datum.bit == '1'")
        .transform_calculate(why=f"datum.key > datum.query ? '{later}' : '{earlier}'")
        .mark_rect()
        .encode(
            x=alt.X("key:O", scale=slot, axis=axis, title="seen slot"),
            y=alt.Y("query:O", scale=slot, axis=axis, title="slot"),
            color=alt.Color("why:N", scale=colours, legend=None),
            opacity=alt.condition("datum.loss", alt.value(1), alt.value(0.5)),
            tooltip=["query:Q", "query_token:N", "key:Q", "key_token:N", "why:N"],
        )
        .properties(width=110, height=110)
    )
    return style.panels(panel, "objective", order, columns=4, margin=28)


def shares_chart(frame: pl.DataFrame) -> alt.LayerChart:
    """Shares of rows and of loss (`measured_objectives.batch_shares`), a line per objective."""
    ends = {"rows": "share of rows", "loss_tokens": "share of loss"}
    long = style.titled(frame).unpivot(list(ends), index="objective", variable_name="what")
    long = long.filter(pl.col("value") > 0).with_columns(pl.col("what").replace(ends))
    colours = style.scale(style.OBJECTIVE_COLOURS, style.OBJECTIVE_TITLES)
    base = alt.Chart(long).encode(
        x=alt.X("what:N", sort=[*ends.values()], title=None, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("value:Q", title="share", axis=alt.Axis(format="%", tickCount=5)),
        color=alt.Color("objective:N", scale=colours, legend=None),
        tooltip=["objective", "what", *style.tips(".1%", "value")],
    )
    label = base.transform_filter(f"datum.what == '{ends['loss_tokens']}'")
    label = label.mark_text(align="left", dx=8).encode(
        text="objective:N", color=alt.value("currentColor")
    )
    line = base.mark_line(point=alt.OverlayMarkDef(size=50), strokeWidth=2.5)
    chart = (line + label).properties(width="container", height=260)
    return chart.properties(padding={"left": 5, "top": 5, "right": 30, "bottom": 5})
