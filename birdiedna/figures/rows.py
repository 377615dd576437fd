"""Rows of objectives as coloured letters: what the model reads and what it must write.

Every token is a cell. A base is shaded by its place in the window, so a moved or missing piece
breaks the run of shades; every other token has the solid colour of its kind. The interactive row
draws every combination beforehand; a line of it is one row of data (its letters as one string),
which the page unfolds after the choice, so hundreds of rows stay small.
"""

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from birdiedna import vocab
from birdiedna.figures import style
from birdiedna.objectives.definitions import (
    Autoencoding,
    Copying,
    Deshuffling,
    Infilling,
    NextToken,
    PrefixLM,
    SelectiveCopying,
)
from birdiedna.objectives.explain import Token, explain
from birdiedna.objectives.program import Objective, Program, window_bases
from birdiedna.objectives.spans import count_spans

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


def drawn_row(
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
    made = drawn_row(list(objectives.values()), key, window, slots)
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
    return f"{style.OBJECTIVE_TITLES[name]}: {bases} bases, {prefix} tokens in, {label} out"


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


#: The choices; they hold the paper's settings, 15 %/32, 30 %/3, 50 %/3 and 75 %.
RATES = (0.15, 0.30, 0.50, 0.75)
MEAN_SPANS = (3, 16, 32)
_KINDS = ("base", *KINDS)
_HEAD = 3


class Choice(NamedTuple):
    """One entry of the menu: its title, how it is made, and which settings change it."""

    title: str
    make: Callable[[float, float], Objective]
    has_rate: bool
    has_span: bool


CHOICES = (
    Choice(
        "Infilling", lambda r, s: Infilling(r, s, vocab.objective_id("infill_50_3")), True, True
    ),
    Choice("Prefix LM", lambda r, s: PrefixLM(r), True, False),
    Choice("Deshuffling", lambda r, s: Deshuffling(r, s), True, True),
    Choice("Autoencoding", lambda r, s: Autoencoding(r, s), True, True),
    Choice("Copying", lambda r, s: Copying(), False, False),
    Choice("Selective copying", lambda r, s: SelectiveCopying(r, s), True, True),
    Choice("Next token", lambda r, s: NextToken(), False, False),
)


def frames(key: jax.Array, window: np.ndarray, slots: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The row of every choice, or why it does not fit.

    Args:
      key: places spans and order, the same for all choices.
      window: uint8, at least `slots` bases.
      slots: tokens of a row.

    Returns:
      Lines: objective, rate, span (null where the setting changes nothing), line, glyphs, kinds,
      places, bases. Words: objective, rate, span, line, text, heading.
    """
    drawn: list[dict[str, Any]] = []
    words: list[dict[str, Any]] = []
    fitting = []
    for chosen, choice, objective in _combinations():
        said = {**chosen, "line": 0, "heading": True}
        try:
            fitting.append((chosen, objective, window_bases(objective, slots)))
            words.append({**said, "text": _account(choice, *fitting[-1][1:])})
        except ValueError:
            words.append({**said, "text": _refusal(objective, choice.title, slots)})
    made = drawn_row([objective for _, objective, _ in fitting], key, window, slots)
    for (chosen, _, bases), row in zip(fitting, made, strict=True):
        for line, (label, tokens) in enumerate(lines(row), _HEAD):
            place = {**chosen, "line": line}
            words += [{**place, "heading": False, "text": label}] if label else []
            drawn.append({**place, "bases": bases, **_folded(tokens)})
    return tuple(pl.DataFrame(found, infer_schema_length=None) for found in (drawn, words))


def _combinations() -> Iterator[tuple[dict[str, Any], Choice, Objective]]:
    for choice in CHOICES:
        for rate in RATES if choice.has_rate else RATES[:1]:
            for span in MEAN_SPANS if choice.has_span else MEAN_SPANS[:1]:
                chosen = {
                    "objective": choice.title,
                    "rate": _percent(rate) if choice.has_rate else None,
                    "span": str(span) if choice.has_span else None,
                }
                yield chosen, choice, choice.make(rate, span)


def _percent(rate: float) -> str:
    return f"{rate:.0%}"


def _folded(tokens: list[Token]) -> dict[str, str]:
    """A line of tokens as three strings."""
    return {
        "glyphs": "".join(glyph(token) for token in tokens),
        "kinds": "".join(str(_KINDS.index(token.kind)) for token in tokens),
        "places": ",".join("" if t.position is None else str(t.position) for t in tokens),
    }


def _account(choice: Choice, objective: Objective, bases: int) -> str:
    """What the row holds, in two lines."""
    prefix, label = objective.sizes(bases)
    sizes = f"{bases} bases; {prefix} tokens in, {label} out"
    if not choice.has_rate:
        return f"{choice.title}: rate and mean span change nothing.\n{sizes}"
    if not choice.has_span:
        seen = prefix - 1
        return f"{choice.title}: {seen / bases:.1%} given; mean span changes nothing.\n{sizes}"
    noise, most, fewer = corruption(objective, bases)
    spans = f"{most - 1} or {most} spans" if fewer else f"{most} span{'s' * (most > 1)}"
    held = f"{noise / bases:.1%} in {spans}, mean {noise / (most - fewer):.1f}"
    return f"{choice.title}: {held}\n{sizes}"


def _refusal(objective: Objective, title: str, slots: int) -> str:
    """Why the objective does not fit the row, in the package's words."""
    try:
        objective.sizes(slots // 2)
        why = f"no window leaves room for its prompt and target in {slots} tokens"
    except ValueError as error:
        why = str(error).replace(str(objective), "this row")
    return "\n".join(textwrap.wrap(f"{title} does not fit: {why}.", 50))


def chart(drawn: pl.DataFrame, words: pl.DataFrame) -> alt.LayerChart:
    """The row of the objective, rate and mean span chosen in three menus."""
    cells = (
        _chosen(alt.Chart(drawn))
        .transform_calculate(
            glyph="split(datum.glyphs, '')",
            code="split(datum.kinds, '')",
            place="split(datum.places, ',')",
            column="sequence(0, length(datum.glyphs))",
        )
        .transform_flatten(["glyph", "code", "place", "column"])
        .transform_calculate(
            kind=f"{list(_KINDS)}[toNumber(datum.code)]",
            position="datum.place == '' ? null : toNumber(datum.place)",
            token="datum.glyph",
        )
    )
    count = drawn["line"].max() + 1
    whole = drawing(letters(cells), beside(_chosen(alt.Chart(words))), count)
    return whole.add_params(*_params())


def _chosen(chart: alt.Chart) -> alt.Chart:
    """Only the data of the choice; a setting that changes nothing is null and always passes."""
    return chart.transform_filter(
        "datum.objective == choice_objective"
        " && (datum.rate == null || datum.rate == choice_rate)"
        " && (datum.span == null || datum.span == choice_span)"
    )


def _params() -> list[alt.Parameter]:
    titles = [choice.title for choice in CHOICES]
    percents, spans = [_percent(rate) for rate in RATES], [str(span) for span in MEAN_SPANS]
    return [
        alt.param(
            "choice_objective",
            value=titles[0],
            bind=alt.binding_select(options=titles, name="Objective "),
        ),
        alt.param(
            "choice_rate", value="50%", bind=alt.binding_radio(options=percents, name="Rate ")
        ),
        alt.param(
            "choice_span", value="3", bind=alt.binding_radio(options=spans, name="Mean span ")
        ),
    ]
