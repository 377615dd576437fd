"""Colours, titles and chart parts that all chapters share.

Colours are distinct under red-green colour blindness as well (they maximise the smallest simulated
protan or deutan distance). They serve light and dark pages, since charts are drawn once: arms have
a contrast of 3 on both, objectives, which fill labelled areas, one of 2. The two infilling settings
are both blue, since they are one class of the mixture.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import altair as alt
import numpy as np
import polars as pl

from birdiedna.evaluation.paper_table import ARM_TITLES
from birdiedna.evaluation.statistics import SHORT
from birdiedna.tasks.benchmark_rules import TASK_TITLES

#: Types of Altair's layered charts.
Layers: TypeAlias = alt.LayerChart | alt.FacetChart
#: Vega charts stay light below this many rows.
MOST_ROWS = 5000
#: Rows of data that fit beside those of labels and rules.
DATA_ROWS = MOST_ROWS - 500
#: Title, code of two or three letters, and colour, in the order of `vocab.OBJECTIVES`.
_OBJECTIVES = {
    "next_token": ("Next token", "NT", "#767676"),
    "infill_50_3": ("Infilling 50/3", "I3", "#4781f5"),
    "infill_15_32": ("Infilling 15/32", "I32", "#47bbf5"),
    "prefix_lm_75": ("Prefix LM", "PL", "#41aa64"),
    "deshuffling_50": ("Deshuffling", "DS", "#8d358d"),
    "autoencoding_30_50": ("Autoencoding", "AE", "#b8270a"),
    "copying": ("Copying", "CP", "#df980c"),
    "selective_copying_15": ("Selective copying", "SC", "#6720f3"),
    "masked_15": ("Masked tokens", "MT", "#c2578f"),
}
OBJECTIVE_TITLES = {name: title for name, (title, *_) in _OBJECTIVES.items()}
OBJECTIVE_CODES = {name: code for name, (_, code, _) in _OBJECTIVES.items()}
OBJECTIVE_COLOURS = {name: colour for name, (*_, colour) in _OBJECTIVES.items()}
#: Colour and shape of each arm; either identifies it.
_ARMS = {
    "birdie": ("#d55e00", "circle"),
    "ntp": ("#0072b2", "square"),
    "uniform": ("#8a55c8", "triangle-up"),
    "mlm": ("#5f8a1f", "diamond"),
    "ul2r": ("#a08c00", "triangle-down"),
    "random": ("#888888", "cross"),
}
ARM_COLOURS = {arm: colour for arm, (colour, _) in _ARMS.items()}
ARM_SHAPES = {arm: shape for arm, (_, shape) in _ARMS.items()}
#: Colours for anything except arms and objectives, whose colours are reserved.
PLAIN = ("#00857a", "#a0568c")
#: Further colours of this kind.
GREY, TINTS = "#767676", ("#5db0a7", "#c48fb6")
_TITLES = {"arm": ARM_TITLES, "task": TASK_TITLES, "objective": OBJECTIVE_TITLES}


def titled(frame: pl.DataFrame) -> pl.DataFrame:
    """Replace names of arms, tasks and objectives by their titles."""
    columns = [column for column in _TITLES if column in frame.columns]
    return frame.with_columns(pl.col(column).replace(_TITLES[column]) for column in columns)


def scale(colours: Mapping[str, str], titles: Mapping[str, str] | None = None) -> alt.Scale:
    """A colour scale from name -> colour; the domain is the titles, if given."""
    domain = [titles[name] if titles else name for name in colours]
    return alt.Scale(domain=domain, range=list(colours.values()))


#: The channels of charts whose column `arm` has titles; colour and shape can share one legend.
ARM_COLOUR = alt.Color("arm:N", title=None, scale=scale(ARM_COLOURS, ARM_TITLES), legend=None)
ARM_SHAPE = alt.Shape("arm:N", title=None, scale=scale(ARM_SHAPES, ARM_TITLES), legend=None)


def tips(form: str, *columns: str) -> list[alt.Tooltip]:
    """Tooltips of quantitative columns in the same format."""
    return [alt.Tooltip(f"{column}:Q", format=form) for column in columns]


def values(frame: pl.DataFrame, column: str) -> list:
    """The unique values of a column, in the order of the frame."""
    return frame[column].unique(maintain_order=True).to_list()


def named_rows(column: str, order: Sequence[str] | None = None, limit: int = 150) -> alt.Y:
    """A row for each name, in this order (by default that of the data), labels up to `limit` px."""
    axis = alt.Axis(labelLimit=limit)
    return alt.Y(f"{column}:N", sort=None if order is None else list(order), title=None, axis=axis)


def legend(shown: Sequence[str]) -> alt.Legend:
    """A legend above the chart; on a phone one name below the other."""
    return alt.Legend(orient="top", symbolOpacity=1, columns=4, values=list(shown))


def thinned(
    frame: pl.DataFrame, column: str, what: str, most: int = DATA_ROWS
) -> tuple[pl.DataFrame, str]:
    """Evenly spaced values of a column, with both ends, if the frame has more than `most` rows.

    Also what is drawn, as "20 of 300 runs", or "" for all.
    """
    every, kept = frame[column].unique().sort(), frame
    count = len(every)
    while kept.height > most and count > 1:
        count = max(1, min(count - 1, count * most // kept.height))
        places = np.linspace(0, len(every) - 1, count).astype(int)
        kept = frame.filter(pl.col(column).is_in(every.gather(places).to_list()))
    return kept, "" if count == len(every) else f"{count:,} of {len(every):,} {what}"


def noted(chart: Any, *notes: str) -> Any:
    """A chart whose title says what `thinned` left of its rows."""
    said = "Drawn: " + "; ".join(filter(None, notes))
    plain = alt.Title(said, fontSize=12, fontWeight="normal")
    return chart.properties(title=plain) if any(notes) else chart


def thinned_arms(frame: pl.DataFrame, column: str, what: str) -> tuple[pl.DataFrame, str]:
    """As `thinned`, each arm by itself: one of few values keeps them beside one of many."""
    arms = frame.partition_by("arm", maintain_order=True)
    most = DATA_ROWS // max(1, len(arms))
    found = [thinned(arm, column, f"{what} of {arm['arm'][0]}", most) for arm in arms]
    notes = filter(None, (note for _, note in found))
    return pl.concat([frame.clear(), *(kept for kept, _ in found)]), "; ".join(notes)


def thinned_runs(
    frame: pl.DataFrame, keys: Sequence[str], what: str, most: int = DATA_ROWS
) -> tuple[pl.DataFrame, str]:
    """As `thinned`, by the number of each row among those of the same keys."""
    numbered = frame.with_columns(nth=pl.int_range(pl.len()).over(keys))
    kept, note = thinned(numbered, "nth", what, most)
    return kept.drop("nth"), note


def rule(**at: float) -> alt.Chart:
    """A dashed line at a value of x or y, with data of its own: once in every panel."""
    chart = alt.Chart(pl.DataFrame({"one": [1]})).mark_rule(opacity=0.6, strokeDash=[4, 3])
    return chart.encode(**{channel: alt.datum(value) for channel, value in at.items()})


def band(low: float, high: float) -> alt.Chart:
    """A grey band between two values of x, once in every panel."""
    chart = alt.Chart(pl.DataFrame({"low": [low], "high": [high]})).mark_rect(opacity=0.15)
    return chart.encode(x="low:Q", x2="high:Q")


def end_labels(frame: pl.DataFrame, x: str, y: str, name: str, colour: alt.Color) -> Layers:
    """Label each line (`name`) of a frame by its last y, in place of a legend.

    Labels are behind the longest line, at least a tenth of the range of y apart.
    """
    base = alt.Chart(_ends(frame, x, y, name, 0.1 * reach(frame[y])))
    return _named(base.encode(x=f"{x}:Q", y="place:Q"), name, colour)


def _named(base: alt.Chart, name: str, colour: alt.Color) -> Layers:
    """Labels to the right of the points, each with a mark in the colour of its line."""
    # hidden from screen readers, which would announce an unnamed mark
    mark = base.mark_circle(size=50, opacity=1, xOffset=8, aria=False).encode(color=colour)
    return mark + base.mark_text(align="left", dx=14).encode(text=f"{name}:N")


def reach(*values: pl.Series) -> float:
    """The range of all these values; 0 if there are none."""
    every = pl.concat(values).drop_nulls().to_list()
    return max(every, default=0) - min(every, default=0)


def _ends(frame: pl.DataFrame, x: str, y: str, name: str, distance: float) -> pl.DataFrame:
    """The last y of each line, at the last x of all, so that no label lies on a longer line.

    A `place` for each label is at this distance from others.
    """
    means = frame.group_by(name, x, maintain_order=True).agg(pl.col(y).mean()).sort(x)
    last = means.group_by(name, maintain_order=True).last().sort(y)
    ends, places = last[y].to_list(), list[float]()
    for end in ends:
        places.append(max(end, places[-1] + distance) if places else end)
    shift = (sum(ends) - sum(places)) / max(1, len(places))  # centres labels on their lines
    return last.with_columns(pl.col(x).max(), place=pl.Series(places, dtype=pl.Float64) + shift)


def row_ends(
    frame: pl.DataFrame,
    panel: str,
    order: Sequence[str],
    x: str,
    y: str,
    spans: float,
    columns: int = 3,
) -> pl.DataFrame:
    """Append rows with `label` and `place` for `arm_names` to a frame of panels of arms.

    Arms (titles) are labelled at the ends of their lines, by the mean of y at each x, in the last
    panel of each line of panels. `order` are the panels, `spans` is the range of the y axis.
    """
    parts = [frame]
    for one in dict.fromkeys([*order[columns - 1 :: columns], *order[-1:]]):
        last = _ends(frame.filter(pl.col(panel) == one), x, y, "arm", 0.14 * spans)
        label = pl.col("arm").replace({ARM_TITLES[arm]: short for arm, short in SHORT.items()})
        parts.append(last.select(x, "arm", "place", label=label, **{panel: pl.lit(one)}))
    return pl.concat(parts, how="diagonal")


def arm_names(x: str) -> Layers:
    """The labels of `row_ends`, each with the mark of its arm."""
    base = alt.Chart().transform_filter("datum.label").encode(x=f"{x}:Q", y="place:Q")
    return _named(base, "label", ARM_COLOUR)


#: Pixels that `arm_names` take beside the panels.
NAMES = 60


#: Pixels between panels, and of the button beside a chart.
SPACING, BUTTON = 20, 44


def panels(
    panel: alt.Chart | Layers,
    column: str,
    order: Sequence[str],
    columns: int = 3,
    margin: int = 60,
) -> alt.FacetChart:
    """Facet a panel, which has its data, by a column with the values `order`.

    The book's pages fit the width of panels, and stack them on a phone
    (`book/_ext/static/charts.js`); `margin` are the pixels that axes take beside the panels.
    """
    header = alt.Header(labelFontSize=12, labelFontWeight="bold", labelLimit=300)
    facet = alt.Facet(f"{column}:N", title=None, sort=list(order), header=header)
    chart = panel.facet(facet=facet, columns=columns, spacing=SPACING, align="each")
    return chart.properties(usermeta={"margin": margin + BUTTON, "spacing": SPACING})
