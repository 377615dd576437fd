"""Rows of objectives as coloured letters: what the model reads and what it must write.

Every token is a cell. A base is shaded by its place in the window, so a moved or missing piece
breaks the run of shades; every other token has the solid colour of its kind.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from birdiedna.batch import Program
from birdiedna.charts import palette
from birdiedna.explain import Token, explain
from birdiedna.objective import Objective, window_bases
from birdiedna.objectives import Infilling
from birdiedna.spans import count_spans

#: Letters in a line: still readable on a phone.
COLUMNS = 40
#: Columns left of the letters, for the words "prompt" and "target".
MARGIN = 5
#: Height of a line in pixels.
LINE = 17
#: Solid colours of the tokens that are not bases; white letters are readable on all of them.
KINDS = {
    "objective": "#6a6a6a",
    "sentinel": "#b8270a",
    "mask": "#8d358d",
    "delimiter": "#295cc2",
    "start": "#1d7d46",
    "end": "#7a6510",
}
#: For what runs once: compiling is most of the time, so leave optimisation out.
PLAIN = {"xla_backend_optimization_level": 0}
_SIGNS = {"<start>": "▸", "<eos>": "■", "<mask>": "?", "<ctx>": "c", "<find>": "f"}
_SIGNS |= {"<to>": "t", "<sep>": "/"}
_NUMERALS = "0123456789abcdefghijklmnopqrstuvwxyz"


def drawn(
    objectives: Sequence[Objective], key: jax.Array, window: np.ndarray, slots: int
) -> list[list[Token]]:
    """The row of every objective over the left part of a window, in plain terms.

    Args:
      objectives: any number of them.
      key: places spans and order, the same for all.
      window: uint8, at least `slots` bases.
      slots: tokens of a row.

    Raises:
      ValueError: an objective does not fit the row.
    """
    parts = [np.asarray(window[: window_bases(o, slots)]) for o in objectives]

    def draw(key: jax.Array) -> list[Program]:
        return [o(key, jnp.asarray(part)) for o, part in zip(objectives, parts, strict=True)]

    compiled = jax.jit(draw).lower(key).compile(compiler_options=PLAIN)
    programs = jax.device_get(compiled(key))
    return [explain(program, part) for program, part in zip(programs, parts, strict=True)]


def corruption(objective: Objective, bases: int) -> tuple[int, int, float]:
    """Bases in spans, spans at the most, and the probability of one span fewer, for a window."""
    if isinstance(objective, Infilling):
        return objective.counts(bases)
    return *count_spans(bases, objective.rate, objective.mean_span), 0.0


def glyph(token: Token) -> str:
    """One character for a token: its letter, a sentinel's number (base 36), or a sign."""
    if token.kind == "base":
        return token.text
    if token.kind == "objective":
        return "o"
    if token.kind == "sentinel":
        return _NUMERALS[int(token.text[1:-1]) % len(_NUMERALS)]
    return _SIGNS[token.text]


def lines(words: Sequence[Token]) -> list[tuple[str, list[Token]]]:
    """A row as lines of at most `COLUMNS` tokens, each with the word that stands left of it.

    The prompt's first line is marked "prompt"; `<start>` opens the line marked "target".
    """
    prompt = [word for word in words if word.part == "prompt"]
    target = [word for word in words if word.part != "prompt"]
    return [
        (label if at == 0 else "", part[at : at + COLUMNS])
        for label, part in (("prompt", prompt), ("target", target))
        for at in range(0, len(part), COLUMNS)
    ]


def gallery_frames(
    objectives: Mapping[str, Objective], key: jax.Array, window: np.ndarray, slots: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row of every objective over the same window, below each other.

    Args:
      objectives: name -> objective.
      key: places spans and order.
      window: uint8, bases.
      slots: tokens of a row.

    Returns:
      Cells: line, column, bases (of the window), glyph, token, kind, position (null unless a base).
      Words beside them: line, text, heading (bool).
    """
    cells: list[dict[str, Any]] = []
    words: list[dict[str, Any]] = []
    line = 0
    made = drawn(list(objectives.values()), key, window, slots)
    for (name, objective), row in zip(objectives.items(), made, strict=True):
        bases = window_bases(objective, slots)
        words.append({"line": line, "text": _heading(name, objective, bases), "heading": True})
        for label, tokens in lines(row):
            line += 1
            words += [{"line": line, "text": label, "heading": False}] if label else []
            cells += [_cell(line, column, token, bases) for column, token in enumerate(tokens)]
        line += 2
    return pl.DataFrame(cells), pl.DataFrame(words)


def _heading(name: str, objective: Objective, bases: int) -> str:
    prefix, label = objective.sizes(bases)
    return f"{palette.OBJECTIVE_TITLES[name]}: {bases} bases, {prefix} tokens in, {label} out"


def _cell(line: int, column: int, token: Token, bases: int) -> dict[str, Any]:
    place = {"line": line, "column": column, "bases": bases, "glyph": glyph(token)}
    return place | {"token": token.text, "kind": token.kind, "position": token.position}


def gallery(cells: pl.DataFrame, words: pl.DataFrame) -> alt.LayerChart:
    """Rows of several objectives below each other, from `gallery_frames`."""
    return drawing(letters(alt.Chart(cells)), beside(alt.Chart(words)), cells["line"].max() + 1)


def drawing(cells: alt.LayerChart, words: alt.LayerChart, count: int) -> alt.LayerChart:
    """Cells and the words beside them on `count` lines, as wide as the page."""
    return (
        alt.layer(cells, words)
        .encode(
            x=alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-MARGIN, COLUMNS], nice=False)),
            y=alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[count, 0], nice=False)),
        )
        .properties(width="container", height=LINE * count)
    )


def letters(chart: alt.Chart) -> alt.LayerChart:
    """Cells and their letters, from a chart with the columns of `gallery_frames`' cells."""
    tips = [
        alt.Tooltip("token:N"),
        alt.Tooltip("kind:N"),
        alt.Tooltip("position:Q", title="place in the window"),
    ]
    square = chart.transform_calculate(
        x="datum.column + 0.04",
        right="datum.column + 0.96",
        y="datum.line",
        low="datum.line + 0.92",
    ).encode(x2="right:Q", y2="low:Q", tooltip=tips)
    letter = chart.transform_calculate(x="datum.column + 0.5", y="datum.line + 0.5").mark_text(
        font="monospace",
        baseline="middle",
        fontSize=alt.expr(f"min(13, 1.2 * width / {COLUMNS + MARGIN})"),
        tooltip=None,
    )
    base, other = "datum.kind == 'base'", "datum.kind != 'base'"
    return alt.layer(
        square.transform_filter(base)
        .transform_calculate(share="datum.position / (datum.bases - 1)")
        .mark_rect(opacity=0.5)
        .encode(color=_shade()),
        square.transform_filter(other).mark_rect().encode(color=_kind()),
        letter.transform_filter(base).encode(text="glyph:N"),
        letter.transform_filter(other).encode(text="glyph:N", color=alt.value("white")),
    ).resolve_scale(color="independent")


def _shade() -> alt.Color:
    legend = alt.Legend(
        title="place in the window",
        orient="bottom",
        gradientLength=110,
        values=[0, 1],
        labelExpr="datum.value ? 'last' : 'first'",
    )
    scale = alt.Scale(scheme="turbo", domain=[0, 1])
    return alt.Color("share:Q", scale=scale, legend=legend)


def _kind() -> alt.Color:
    legend = alt.Legend(title="not a base", orient="bottom", columns=2)
    scale = alt.Scale(domain=list(KINDS), range=list(KINDS.values()))
    return alt.Color("kind:N", scale=scale, legend=legend)


def beside(chart: alt.Chart) -> alt.LayerChart:
    """Headings and the words left of the lines, from a chart over line, text, heading."""
    words = chart.transform_calculate(
        x=f"datum.heading ? {-MARGIN} : -0.4", y="datum.line + (datum.heading ? 0.35 : 0.5)"
    ).encode(text="text:N")
    font = {"baseline": "middle", "lineBreak": "\n"}
    return alt.layer(
        words.transform_filter("datum.heading").mark_text(align="left", fontWeight="bold", **font),
        words.transform_filter("!datum.heading").mark_text(
            align="right",
            fontSize=alt.expr(f"min(12, 1.2 * width / {COLUMNS + MARGIN})"),
            **font,
        ),
    )
