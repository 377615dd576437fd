"""The interactive row: choose an objective, a rate and a mean span, and watch the row change.

Every combination is drawn beforehand by the package. A line of a row is one row of data (its
letters as one string), which the page unfolds after the choice, so hundreds of rows stay small.
"""

import textwrap
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import altair as alt
import jax
import numpy as np
import polars as pl

from birdiedna import vocab
from birdiedna.charts import rows
from birdiedna.explain import Token
from birdiedna.objective import Objective, window_bases
from birdiedna.objectives import (
    Autoencoding,
    Copying,
    Deshuffling,
    Infilling,
    NextToken,
    PrefixLM,
    SelectiveCopying,
)

#: The choices; they hold the paper's settings, 15 %/32, 30 %/3, 50 %/3 and 75 %.
RATES = (0.15, 0.30, 0.50, 0.75)
MEAN_SPANS = (3, 16, 32)
_KINDS = ("base", *rows.KINDS)
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
    made = rows.drawn([objective for _, objective, _ in fitting], key, window, slots)
    for (chosen, _, bases), row in zip(fitting, made, strict=True):
        for line, (label, tokens) in enumerate(rows.lines(row), _HEAD):
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
        "glyphs": "".join(rows.glyph(token) for token in tokens),
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
    noise, most, fewer = rows.corruption(objective, bases)
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
    whole = rows.drawing(rows.letters(cells), rows.beside(_chosen(alt.Chart(words))), count)
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
