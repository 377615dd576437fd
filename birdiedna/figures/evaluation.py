"""Charts of chapters 1 and 5: gaps of the paper, learning curves, scores, paired gaps, steps."""

import math
from typing import Any

import altair as alt
import polars as pl

from birdiedna.evaluation.paper_table import ARM_TITLES, PRETRAINED, PaperRow
from birdiedna.evaluation.scores import arms
from birdiedna.evaluation.statistics import EQUIVALENCE_POINTS, PAIRS, SHORT, recount
from birdiedna.figures.style import (
    ARM_COLOURS,
    MOST_ROWS,
    PLAIN,
    Layers,
    arm_colour,
    legend,
    rule,
    tips,
    titled,
)

_METRIC_COLOURS = alt.Scale(domain=["accuracy", "F1"], range=list(PLAIN))


def paper_gaps(rows: tuple[PaperRow, ...]) -> alt.LayerChart:
    """Birdie minus NTP in every row of the paper's Table 1, and the mean with its interval.

    The shaded band is +-0.5 points, the size of gap that counts as none.
    """
    table = titled(pl.DataFrame(rows))
    frame = pl.DataFrame()
    means: list[dict[str, Any]] = []
    for metric in ("accuracy", "F1"):
        first, second = (table[f"{metric.lower()}_{arm}"] for arm in ("birdie", "ntp"))
        gaps = table.select("task", metric=pl.lit(metric), gap=first - second, kind=pl.lit("task"))
        frame = frame.vstack(gaps)
        mean = recount(first.to_list(), second.to_list())
        means.append({"task": f"Mean of {len(rows)}", "metric": metric, "kind": "mean"})
        means[-1] |= {"gap": mean.mean, "low": mean.low, "high": mean.high}
    frame = pl.concat([frame, pl.DataFrame(means)], how="diagonal")
    band = alt.Chart(pl.DataFrame({"low": [-EQUIVALENCE_POINTS], "high": [EQUIVALENCE_POINTS]}))
    band = band.mark_rect(opacity=0.12).encode(x="low:Q", x2="high:Q")
    order = frame["task"].unique(maintain_order=True).to_list()
    base = alt.Chart(frame).encode(
        y=alt.Y("task:N", sort=order, title=None, axis=alt.Axis(labelLimit=150)),
        yOffset=alt.YOffset("metric:N", scale=alt.Scale(paddingOuter=0.6)),
        color=alt.Color("metric:N", title=None, scale=_METRIC_COLOURS, legend=legend()),
    )
    shapes = alt.Scale(domain=["task", "mean"], range=["circle", "diamond"])
    points = base.mark_point(filled=True, opacity=1).encode(
        x=alt.X("gap:Q", title="Birdie minus NTP, percentage points"),
        shape=alt.Shape("kind:N", legend=None, scale=shapes),
        size=alt.condition("datum.kind == 'mean'", alt.value(130), alt.value(45)),
        tooltip=["task", "metric", *tips("+.2f", "gap")],
    )
    interval = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2)
    interval = interval.encode(x="low:Q", x2="high:Q")
    return (band + rule(x=0) + interval + points).properties(width="container", height=340)


def learning_curves(curves: pl.DataFrame) -> alt.FacetChart:
    """Validation MCC over fine-tuning steps: every seed thin, their mean thick, a panel per task.

    Every k-th step and the last are drawn, with the smallest k that keeps the chart light.

    Args:
      curves: as `frames.curves` gives it.
    """
    frame = curves.filter((pl.col("split") == "validation") & (pl.col("metric") == "mcc"))
    steps = frame["step"].unique().sort()
    drawn = {*steps.gather_every(max(1, math.ceil(frame.height / MOST_ROWS))), *steps.tail(1)}
    frame = frame.filter(pl.col("step").is_in(list(drawn)))
    return _seeds(
        frame.select("task", "arm", "seed", "finetune_seed", "step", "value"),
        alt.X("step:Q", title="fine-tuning step", axis=alt.Axis(tickCount=4)),
        alt.Y("value:Q", title="MCC on validation"),
    )


def selection(picked: pl.DataFrame) -> alt.FacetChart:
    """Test MCC of every run by three ways of choosing the step; the mean of an arm is thick.

    Args:
      picked: as `scores.selection` gives it.
    """
    return _seeds(
        picked,
        alt.X("rule:N", sort=None, title=None, axis=alt.Axis(labelAngle=-25)),
        alt.Y("value:Q", title="MCC on test", scale=alt.Scale(zero=False)),
        point=True,
    )


def _seeds(frame: pl.DataFrame, x: alt.X, y: alt.Y, point: bool = False) -> alt.FacetChart:
    """A thin line for every run and a thick one for the mean of an arm, a panel per task."""
    named = titled(frame).with_columns(run=pl.format("{} {}.{}", "arm", "seed", "finetune_seed"))
    base = alt.Chart().encode(x=x, color=arm_colour())
    ids = [column for column in frame.columns if column not in ("seed", "value")]
    thin = base.mark_line(strokeWidth=1, opacity=0.45, point=point)
    thin = thin.encode(y=y, detail="run:N", tooltip=[*ids, *tips(".3f", "value")])
    thick = base.mark_line(strokeWidth=3).encode(y=alt.Y("mean(value):Q"))
    return _by_task(alt.layer(thin, thick, data=named).properties(width=165, height=150), named)


def _by_task(panel: Layers, frame: pl.DataFrame) -> alt.FacetChart:
    order = frame["task"].unique(maintain_order=True).to_list()
    header = alt.Header(labelFontSize=12)
    return panel.facet(alt.Facet("task:N", title=None, sort=order, header=header), columns=3)


def scores(results: pl.DataFrame, baselines: pl.DataFrame) -> alt.FacetChart:
    """Test MCC of every arm and baseline, a panel per task.

    Dots are fine-tuning seeds, the bar their mean, the line its 95 % t interval. Ticks without a
    line are baselines, which have no seeds.

    Args:
      results: as `frames.results` gives it.
      baselines: rows of `scores.baseline_scores`.
    """
    only = pl.col("metric") == "mcc"
    who = pl.col("arm").replace(ARM_TITLES).alias("who")
    dots = results.filter(only).select("task", who, "value")
    means = arms(results).filter(only).select("task", who, "mean", "low", "high")
    bars = baselines.filter(only).select("task", "who", pl.col("value").alias("mean"))
    frame = titled(pl.concat([dots, means, bars], how="diagonal")).with_columns(zero=pl.lit(0.0))
    others = bars["who"].unique(maintain_order=True).to_list()
    domain = [*(ARM_TITLES[arm] for arm in ARM_COLOURS), *others]
    colours = [*ARM_COLOURS.values(), *["#8a63d2"] * len(others)]
    base = alt.Chart().encode(
        y=alt.Y("who:N", sort=domain, title=None, axis=alt.Axis(labelLimit=190)),
        color=alt.Color("who:N", legend=None, scale=alt.Scale(domain=domain, range=colours)),
    )
    line = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    tick = base.mark_tick(thickness=3, size=14, opacity=1).encode(
        x=alt.X("mean:Q", title="MCC on test", axis=alt.Axis(tickCount=3)),
        tooltip=["task", "who", *tips(".3f", "mean", "low", "high")],
    )
    dot = base.mark_circle(size=32, opacity=0.7).encode(x="value:Q")
    panel = alt.layer(_zero(), line, tick, dot, data=frame).properties(width=150, height=140)
    return _by_task(panel, frame)


def _zero() -> alt.Chart:
    """A rule at the frame's `zero`, once in every panel."""
    return alt.Chart().mark_rule(opacity=0.6).encode(x=alt.X("mean(zero):Q"))


def paired_gaps(gaps: pl.DataFrame) -> alt.FacetChart:
    """Gap in test MCC between two arms on every task, a panel per pair.

    The thick line is the 95 % t interval over fine-tuning seeds, the thin one the 95 % paired
    bootstrap over test rows. The band is +-0.005 MCC.

    Args:
      gaps: as `statistics.table` gives it.
    """
    pair = [f"{SHORT[a]} minus {SHORT[b]}" for a, b in PAIRS]
    frame = titled(gaps).with_columns(
        pair=pl.format("{} minus {}", *(pl.col(c).replace(SHORT) for c in ("first", "second"))),
        band_low=pl.lit(-EQUIVALENCE_POINTS / 100),
        band_high=pl.lit(EQUIVALENCE_POINTS / 100),
        zero=pl.lit(0.0),
    )
    base = alt.Chart().encode(
        y=alt.Y("task:N", sort=None, title=None, axis=alt.Axis(labelLimit=190))
    )
    band = alt.Chart().mark_rect(opacity=0.2)
    band = band.encode(x=alt.X("mean(band_low):Q"), x2=alt.X2("mean(band_high):Q"))
    rows = base.mark_rule(strokeWidth=1).encode(x="low_rows:Q", x2="high_rows:Q")
    seeds = base.mark_rule(strokeWidth=4, opacity=0.45).encode(x="low:Q", x2="high:Q")
    edges = ("gap", "low", "high", "low_rows", "high_rows")
    point = base.mark_point(filled=True, size=70, opacity=1, color=PLAIN[0]).encode(
        x=alt.X("gap:Q", title="gap in test MCC", axis=alt.Axis(tickCount=4)),
        tooltip=["task", "pair", "outcome", *tips("+.3f", *edges)],
    )
    panel = alt.layer(band, _zero(), seeds, rows, point, data=frame)
    panel = panel.properties(width=150, height=alt.Step(26))
    return panel.facet(alt.Facet("pair:N", title=None, sort=pair), columns=3)


def splits(gaps: pl.DataFrame) -> alt.FacetChart:
    """Signed McNemar splits of every run, by task, a panel per pair; a dot is a run.

    Args:
      gaps: as `statistics.table` gives it.
    """
    pair = [f"{SHORT[a]} minus {SHORT[b]}" for a, b in PAIRS]
    only_first, only_second = pl.col("only_first"), pl.col("only_second")
    frame = titled(gaps.explode("only_first", "only_second")).with_columns(
        pair=pl.format("{} minus {}", *(pl.col(c).replace(SHORT) for c in ("first", "second"))),
        split=(only_first - only_second) / (only_first + only_second).clip(lower_bound=1),
        zero=pl.lit(0.0),
    )
    colour = alt.condition("datum.split > 0", *map(alt.value, PLAIN))
    dot = alt.Chart().mark_point(filled=True, size=50, opacity=0.7)
    dot = dot.encode(
        x=alt.X("split:Q", title="signed split", scale=alt.Scale(domain=[-1, 1])),
        y=alt.Y("task:N", sort=None, title=None, axis=alt.Axis(labelLimit=190)),
        color=colour,
        tooltip=["task", "pair", "only_first", "only_second", *tips("+.2f", "split")],
    )
    panel = alt.layer(_zero(), dot, data=frame).properties(width=150, height=alt.Step(26))
    return panel.facet(alt.Facet("pair:N", title=None, sort=pair), columns=3)


def waiting(curves: pl.DataFrame) -> alt.Chart:
    """Kaplan-Meier curves of the runs that have not reached a target yet.

    Args:
      curves: as `learning_speed.waiting` gives it.
    """
    line = alt.Chart(titled(curves)).mark_line(interpolate="step-after", strokeWidth=2.5)
    return line.encode(
        x=alt.X("step:Q", title="fine-tuning step", axis=alt.Axis(tickCount=6)),
        y=alt.Y("waiting:Q", title="share of runs still waiting", scale=alt.Scale(domain=[0, 1])),
        color=arm_colour(PRETRAINED),
    ).properties(width="container", height=220)
