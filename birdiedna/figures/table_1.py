"""Charts of Table 1 read closely: sizes that fit, gaps as sequences, tasks to switch off."""

import altair as alt
import numpy as np
import polars as pl
from scipy import stats

from birdiedna.evaluation import printed_digits
from birdiedna.evaluation.paper_table import TABLE_1
from birdiedna.evaluation.scores import TASK_TITLES
from birdiedna.evaluation.statistics import sign_p, signed_rank_p
from birdiedna.figures.style import PLAIN, menu, rule, tips, titled

_KINDS = ("accuracy", "accuracy and F1")
_TATA_ROWS = (212, 108, 72, 36)


def _tasks(order: list[str] | None = None) -> alt.Y:
    return alt.Y("task:N", sort=order, title=None, axis=alt.Axis(labelLimit=150))


def fits(found: pl.DataFrame) -> alt.LayerChart:
    """Sizes that print each row, as ticks; found and expected on the right.

    Args:
      found: as `printed_digits.fits` gives it.
    """
    table = titled(printed_digits.fit_table(found))
    order = table["task"].to_list()
    height = alt.condition(f"datum.kind == '{_KINDS[1]}'", alt.value(16), alt.value(6))
    colours = alt.Scale(domain=_KINDS, range=["#8a8a8a", PLAIN[0]])
    ticks = alt.Chart(titled(found)).mark_tick(thickness=1.5)
    ticks = ticks.encode(
        x=alt.X(
            "share:Q",
            title="size over the card's",
            scale=alt.Scale(domain=[0, 1.2]),
            axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".2f"),
        ),
        y=_tasks(order),
        size=height,
        color=alt.Color("kind:N", title="fits", scale=colours, legend=alt.Legend(orient="top")),
        tooltip=["task", "n", "kind"],
    )
    card = alt.Chart(table.with_columns(share=pl.lit(1.03), fits="with F1"))
    filled = alt.condition("datum.fits", alt.value(PLAIN[0]), alt.value("transparent"))
    card = card.mark_point(shape="triangle-left", size=60, opacity=1)
    card = card.encode(x="share:Q", y=_tasks(order), fill=filled)
    chance = pl.col("expected").map_elements(lambda x: f"{x:.2g}", pl.String)
    margin = pl.format("{} / {}", "sizes found", chance)
    text = alt.Chart(table.with_columns(share=pl.lit(1.06), said=margin)).mark_text(align="left")
    text = text.encode(x="share:Q", y=_tasks(order), text="said:N")
    return (ticks + card + text).properties(width="container", height=360)


def sequences(gaps: pl.DataFrame) -> alt.LayerChart:
    """Gaps as numbers of sequences, at the card's size and at every possible one.

    Args:
      gaps: as `printed_digits.gaps` gives it.
    """
    order = titled(gaps.filter(at="card").sort("gap", descending=True))["task"].to_list()
    band = alt.Chart(pl.DataFrame({"low": [-5], "high": [5]})).mark_rect(opacity=0.15)
    band = band.encode(x="low:Q", x2="high:Q")
    base = alt.Chart(titled(gaps)).encode(y=_tasks(order))
    axis = alt.Axis(values=[-30, -10, -5, -2, 0, 2, 5, 10])
    x = alt.X("sequences:Q", scale=alt.Scale(type="symlog"), title="gap in sequences", axis=axis)
    line = base.mark_line(opacity=0.4).encode(x=x, detail="task:N")
    filled = alt.condition("datum.at == 'card'", alt.value(1), alt.value(0))
    dots = base.mark_point(size=45, color=PLAIN[0]).encode(
        x=x,
        fillOpacity=filled,
        fill=alt.value(PLAIN[0]),
        tooltip=["task", "n", "at", *tips("+.1f", "sequences"), *tips(".2g", "best_p")],
    )
    return (band + rule(x=0) + line + dots).properties(width="container", height=340)


def toggle() -> alt.LayerChart:
    """Gaps of Table 1 with a box to untick each task; mean, interval and tests follow.

    The exact p of every set of tasks is computed here, and looked up in the chart.
    """
    titles = [TASK_TITLES[row.task] for row in TABLE_1]
    rows = list(map(printed_digits.digits, TABLE_1))
    gaps = {"accuracy": [row.gap / 100 for row in rows]}
    gaps["F1"] = [(row.f1[0] - row.f1[1]) / 100 for row in rows]
    frame = pl.concat(
        pl.DataFrame({"task": titles, "gap": values, "bit": 2 ** np.arange(len(titles))})
        .with_row_index("i")
        .with_columns(metric=pl.lit(metric), ahead=pl.col("gap") > 0)
        for metric, values in gaps.items()
    )
    sets = printed_digits.sets(printed_digits.fits())
    boxes = [
        alt.param(name=f"on_{i}", value=True, bind=alt.binding_checkbox(name=f"{title} "))
        for i, title in enumerate(titles)
    ]
    sizes = alt.binding_select(options=_TATA_ROWS, name="TATA rows ")
    menus = (
        menu("score", list(gaps), "score"),
        menu("rows", list(sets), "tasks"),
        alt.param("tata", value=_TATA_ROWS[0], bind=sizes),
    )
    inside = {name: [row.task in tasks for row in TABLE_1] for name, tasks in sets.items()}
    ticked = (
        f"[{', '.join(f'on_{i}' for i in range(len(titles)))}][datum.i] && inside[rows][datum.i]"
    )
    ranks = {metric: _rank_p(np.array(values)) for metric, values in gaps.items()}
    known = (
        alt.param("inside", value=inside),
        alt.param("ranks", value=ranks),
        alt.param("signs", value=_sign_p(len(titles))),
        alt.param("t", value=[0, 0, *stats.t.ppf(0.975, np.arange(1, len(titles))).round(3)]),
    )
    order = [*titles, "mean"]
    base = alt.Chart(frame).transform_filter("datum.metric == score")
    dots = (
        base.transform_calculate(ticked=ticked)
        .mark_point(size=60)
        .encode(
            x=alt.X(
                "gap:Q", title="Birdie minus NTP, percentage points", axis=alt.Axis(tickCount=6)
            ),
            y=_tasks(order),
            fill=alt.value(PLAIN[0]),
            fillOpacity=alt.condition("datum.ticked", alt.value(1), alt.value(0)),
            tooltip=["task", *tips("+.2f", "gap")],
        )
    )
    whole = base.transform_filter(ticked).transform_aggregate(
        mean="mean(gap)", sd="stdev(gap)", n="count()", ahead="sum(ahead)", bits="sum(bit)"
    )
    whole = whole.transform_calculate(half="t[datum.n] * datum.sd / sqrt(datum.n)", task="'mean'")
    whole = whole.transform_calculate(low="datum.mean - datum.half", high="datum.mean + datum.half")
    whole = whole.transform_calculate(said=_SAID)
    line = whole.mark_rule(strokeWidth=3, color="#d55e00")
    line = line.encode(x="low:Q", x2="high:Q", y=_tasks(order))
    mean = whole.mark_point(size=130, shape="diamond", filled=True, color="#d55e00")
    mean = mean.encode(x="mean:Q", y=_tasks(order))
    text = whole.mark_text(align="left", baseline="bottom", lineBreak="|", fontSize=13)
    text = text.encode(x=alt.value(0), y=alt.value(-45), text="said:N")
    chart = (rule(x=0) + dots + line + mean + text).properties(width="container", height=380)
    return chart.add_params(*menus, *boxes, *known)


_SAID = (
    "datum.ahead + ' of ' + datum.n + ' ahead; mean ' + format(datum.mean, '+.2f') + ' (' + "
    "format(datum.low, '+.2f') + ' to ' + format(datum.high, '+.2f') + ')|sign test p ' + "
    "format(signs[datum.n][datum.ahead], '.2f') + ', signed-rank p ' + "
    "substring(ranks[score], 4 * datum.bits, 4 * datum.bits + 4) + '|TATA: 5.56 points are ' + "
    "format(0.0556 * tata, '.0f') + ' of ' + tata + ' sequences'"
)


def _rank_p(gaps: np.ndarray) -> str:
    """The exact signed-rank p of every set of gaps, four letters each; bit i is gap i."""
    bits = np.arange(len(gaps))
    sets = (np.arange(2 ** len(gaps))[:, None] >> bits & 1).astype(bool)
    return "".join(f"{signed_rank_p(gaps[ticked]):.2f}" for ticked in sets)


def _sign_p(most: int) -> list[list[float]]:
    """The sign test's p by number of tasks and of tasks ahead."""
    return [sign_p(np.arange(n + 1), n).round(3).tolist() for n in range(most + 1)]
