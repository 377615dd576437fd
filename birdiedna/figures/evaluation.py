"""Charts of the tasks: the paper's gaps, learning curves, scores, paired gaps, chosen steps."""

import math

import altair as alt
import polars as pl

from birdiedna.evaluation.paper_table import ARM_TITLES, PaperRow
from birdiedna.evaluation.scores import TASK_TITLES, arms
from birdiedna.evaluation.statistics import EQUIVALENCE_POINTS, PAIRS, SHORT, recount
from birdiedna.experiments.profiles import ARMS
from birdiedna.figures.style import ARM_COLOURS, scale

#: Vega charts stay light below this many rows.
MOST_ROWS = 5000
ARM_SCALE = scale(ARM_COLOURS, ARM_TITLES)
_METRIC_COLOURS = alt.Scale(domain=["accuracy", "F1"], range=["#0072b2", "#d55e00"])


def titled(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with titles in place of the names of tasks and arms."""
    changes = []
    if "task" in frame.columns:
        changes.append(pl.col("task").replace(TASK_TITLES))
    if "arm" in frame.columns:
        changes.append(pl.col("arm").replace(ARM_TITLES))
    return frame.with_columns(changes)


def _tasks(frame: pl.DataFrame) -> list[str]:
    """Titles of a frame's tasks in the order in which they come."""
    return titled(frame.select("task").unique(maintain_order=True))["task"].to_list()


def paper_gaps(rows: tuple[PaperRow, ...]) -> alt.LayerChart:
    """Birdie minus NTP in every row of the paper's Table 1, and the mean with its interval.

    The shaded band is +-0.5 points, the size of gap that counts as none.
    """
    columns = {"accuracy": ("accuracy_birdie", "accuracy_ntp"), "F1": ("f1_birdie", "f1_ntp")}
    found = []
    for metric, (one, other) in columns.items():
        first, second = ([getattr(row, name) for row in rows] for name in (one, other))
        for row, a, b in zip(rows, first, second, strict=True):
            title = TASK_TITLES[row.task]
            found.append({"task": title, "metric": metric, "gap": a - b, "kind": "task"})
        whole = recount(first, second)
        mean = {"task": f"Mean of {len(rows)}", "metric": metric, "gap": whole.mean, "kind": "mean"}
        found.append({**mean, "low": whole.low, "high": whole.high})
    frame = pl.DataFrame(found, infer_schema_length=None)
    order = frame["task"].unique(maintain_order=True).to_list()
    band = alt.Chart(pl.DataFrame({"low": [-EQUIVALENCE_POINTS], "high": [EQUIVALENCE_POINTS]}))
    band = band.mark_rect(opacity=0.12).encode(x="low:Q", x2="high:Q")
    base = alt.Chart(frame).encode(
        y=alt.Y("task:N", sort=order, title=None, axis=alt.Axis(labelLimit=150)),
        yOffset=alt.YOffset("metric:N", scale=alt.Scale(paddingOuter=0.6)),
        color=alt.Color("metric:N", title=None, scale=_METRIC_COLOURS, legend=_top()),
    )
    points = base.mark_point(filled=True, opacity=1).encode(
        x=alt.X("gap:Q", title="Birdie minus NTP, percentage points"),
        shape=alt.Shape(
            "kind:N",
            legend=None,
            scale=alt.Scale(domain=["task", "mean"], range=["circle", "diamond"]),
        ),
        size=alt.condition("datum.kind == 'mean'", alt.value(130), alt.value(45)),
        tooltip=["task", "metric", alt.Tooltip("gap:Q", format="+.2f")],
    )
    interval = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2)
    interval = interval.encode(x="low:Q", x2="high:Q")
    return (band + _rule_at(0.0) + interval + points).properties(width="container", height=340)


def _top() -> alt.Legend:
    return alt.Legend(orient="top", symbolOpacity=1, symbolStrokeWidth=2)


def _rule_at(value: float) -> alt.Chart:
    return alt.Chart(pl.DataFrame({"at": [value]})).mark_rule(opacity=0.6).encode(x="at:Q")


def learning_curves(curves: pl.DataFrame) -> alt.FacetChart:
    """Validation MCC over fine-tuning steps: every seed thin, their mean thick, a panel per task.

    Args:
      curves: as `frames.curves` gives it.
    """
    part = curves.filter((pl.col("split") == "validation") & (pl.col("metric") == "mcc"))
    part = _thinned(part.select("task", "arm", "seed", "finetune_seed", "step", "value"))
    frame = titled(part).with_columns(
        run=pl.format("{} {}.{}", "arm", "seed", "finetune_seed"),
    )
    base = alt.Chart().encode(
        x=alt.X("step:Q", title="fine-tuning step", axis=alt.Axis(tickCount=4)),
        color=alt.Color("arm:N", title=None, scale=ARM_SCALE, legend=_top()),
    )
    tip = ["task", "arm", "finetune_seed", "step", alt.Tooltip("value:Q", format=".3f")]
    thin = base.mark_line(strokeWidth=1, opacity=0.45).encode(
        y=alt.Y("value:Q", title="MCC on validation"), detail="run:N", tooltip=tip
    )
    thick = base.mark_line(strokeWidth=3).encode(y=alt.Y("mean(value):Q"))
    panel = alt.layer(thin, thick, data=frame).properties(width=165, height=150)
    return _by_task(panel, part)


def _thinned(frame: pl.DataFrame) -> pl.DataFrame:
    """Every k-th step and the last, with the smallest k that keeps a chart light."""
    if frame.is_empty():
        return frame
    steps = frame["step"].unique().sort()
    every = math.ceil(frame.height / MOST_ROWS)
    kept = {*steps.gather_every(every), steps[-1]}
    return frame.filter(pl.col("step").is_in(list(kept)))


def _by_task(panel: alt.LayerChart, frame: pl.DataFrame) -> alt.FacetChart:
    facet = alt.Facet("task:N", title=None, sort=_tasks(frame), header=alt.Header(labelFontSize=12))
    return panel.facet(facet, columns=3)


def scores(results: pl.DataFrame, baselines: pl.DataFrame) -> alt.FacetChart:
    """Test MCC of every arm and baseline, a panel per task.

    Dots are fine-tuning seeds, the bar their mean, the line its 95 % t interval. Ticks without a
    line are baselines, which have no seeds.

    Args:
      results: as `frames.results` gives it.
      baselines: rows of `scores.baseline_scores`.
    """
    only = pl.col("metric") == "mcc"
    dots = results.filter(only).select("task", pl.col("arm").alias("who"), "value")
    means = arms(results).filter(only)
    means = means.select("task", pl.col("arm").alias("who"), "mean", "low", "high")
    bars = baselines.filter(only).select("task", "who", pl.col("value").alias("mean"))
    joined = pl.concat([dots, means, bars], how="diagonal")
    frame = titled(joined).with_columns(pl.col("who").replace(ARM_TITLES), zero=pl.lit(0.0))
    others = bars["who"].unique(maintain_order=True).to_list()
    domain = [*(ARM_TITLES[arm] for arm in ARMS), *others]
    colours = [*ARM_COLOURS.values(), *["#8a63d2"] * len(others)]
    base = alt.Chart().encode(
        y=alt.Y("who:N", sort=domain, title=None, axis=alt.Axis(labelLimit=190)),
        color=alt.Color("who:N", legend=None, scale=alt.Scale(domain=domain, range=colours)),
    )
    line = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    tick = base.mark_tick(thickness=3, size=14, opacity=1).encode(
        x=alt.X("mean:Q", title="MCC on test", axis=alt.Axis(tickCount=3)),
        tooltip=[
            "task",
            "who",
            *(alt.Tooltip(f"{c}:Q", format=".3f") for c in ("mean", "low", "high")),
        ],
    )
    dot = base.mark_circle(size=32, opacity=0.7).encode(x="value:Q")
    panel = alt.layer(_zero(), line, tick, dot, data=frame).properties(width=150, height=140)
    return _by_task(panel, joined)


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
        y=alt.Y("task:N", sort=_tasks(gaps), title=None, axis=alt.Axis(labelLimit=190))
    )
    band = (
        alt.Chart()
        .mark_rect(opacity=0.2)
        .encode(x=alt.X("mean(band_low):Q"), x2=alt.X2("mean(band_high):Q"))
    )
    rows = base.mark_rule(strokeWidth=1).encode(x="low_rows:Q", x2="high_rows:Q")
    seeds = base.mark_rule(strokeWidth=4, opacity=0.45).encode(x="low:Q", x2="high:Q")
    point = base.mark_point(filled=True, size=70, opacity=1, color="#d55e00").encode(
        x=alt.X("gap:Q", title="gap in test MCC", axis=alt.Axis(tickCount=4)),
        tooltip=["task", "pair", "outcome"]
        + [
            alt.Tooltip(f"{c}:Q", format="+.3f")
            for c in ("gap", "low", "high", "low_rows", "high_rows")
        ],
    )
    panel = alt.layer(band, _zero(), seeds, rows, point, data=frame)
    panel = panel.properties(width=150, height=alt.Step(26))
    return panel.facet(alt.Facet("pair:N", title=None, sort=pair), columns=3)


def selection(picked: pl.DataFrame) -> alt.FacetChart:
    """Test MCC of every run by three ways of choosing the step; the mean of an arm is thick.

    Args:
      picked: as `scores.selection` gives it.
    """
    frame = titled(picked).with_columns(run=pl.format("{} {}.{}", "arm", "seed", "finetune_seed"))
    rules = picked["rule"].unique(maintain_order=True).to_list()
    base = alt.Chart().encode(
        x=alt.X("rule:N", sort=rules, title=None, axis=alt.Axis(labelAngle=-25)),
        color=alt.Color("arm:N", title=None, scale=ARM_SCALE, legend=_top()),
    )
    tip = ["task", "arm", "rule", "step", alt.Tooltip("value:Q", format=".3f")]
    thin = base.mark_line(strokeWidth=1, opacity=0.45, point=True).encode(
        y=alt.Y("value:Q", title="MCC on test", scale=alt.Scale(zero=False)),
        detail="run:N",
        tooltip=tip,
    )
    thick = base.mark_line(strokeWidth=3).encode(y=alt.Y("mean(value):Q"))
    panel = alt.layer(thin, thick, data=frame).properties(width=165, height=150)
    return _by_task(panel, picked)
