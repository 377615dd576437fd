"""Charts of `05_evaluation`: curves, scores, gaps, steps."""

import math

import altair as alt
import polars as pl

from birdiedna.evaluation.paper_table import ARM_TITLES
from birdiedna.evaluation.scores import CNN, FAIR, arms
from birdiedna.evaluation.statistics import EQUIVALENCE_POINTS, OUTCOMES, SHORT, pair
from birdiedna.figures import style


def _some_tasks(frame: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """The rows of so many tasks that their arms have several rows each in a chart."""
    tasks, note = style.thinned(frame.unique(("task", "arm")), "task", "tasks", 500)
    return frame.join(tasks, on="task", how="semi", maintain_order="left"), note


def learning_curves(curves: pl.DataFrame) -> alt.FacetChart:
    """Validation MCC of `frames.curves` over steps, a panel per task: seeds thin, their mean thick.

    If the chart would be too large, some tasks, steps or runs are drawn, and its title says so; the
    mean is always that of all runs.
    """
    columns = "task", "arm", "seed", "finetune_seed", "step"
    whole = style.titled(curves.select(*columns, value="validation"))
    whole, few = _some_tasks(whole)
    place = "task", "arm", "step"
    means = whole.group_by(place, maintain_order=True).agg(mean=pl.mean("value"))
    # of any number of steps the mean is drawn and up to four runs, fewer if steps were fewer than 8
    room = style.DATA_ROWS // max(1, whole.n_unique(("task", "arm")))
    runs = max(1, min(4, math.ceil(whole.height / max(1, means.height)), room // 8 - 1))
    thin, note = style.thinned(means, "step", "steps", style.DATA_ROWS // (1 + runs))
    last = pl.col("step") == pl.max("step").over("task", "arm")  # of those that stopped early, too
    drawn = last | pl.col("step").is_in(thin["step"].unique().to_list())
    means, kept = means.filter(drawn), whole.filter(drawn)
    room = style.DATA_ROWS - means.height
    kept, fewer = style.thinned_runs(kept, place, "runs of an arm on a task", room)
    titled = kept.with_columns(run=pl.format("{} {}.{}", "arm", "seed", "finetune_seed"))
    order = style.values(whole, "task")
    titled = pl.concat([titled, means], how="diagonal")
    spans = style.reach(titled["value"])
    titled = style.row_ends(titled, "task", order, "step", "mean", spans)
    base = alt.Chart().encode(
        x=alt.X("step:Q", title="fine-tuning step", axis=alt.Axis(tickCount=4)),
        color=style.ARM_COLOUR,
    )
    thin = base.transform_filter("isValid(datum.value)").mark_line(strokeWidth=1, opacity=0.45)
    thin = thin.encode(
        y=alt.Y("value:Q", title="MCC on validation"),
        detail="run:N",
        tooltip=["task", "arm", "step", *style.tips(".3f", "value")],
    )
    thick = base.transform_filter("isValid(datum.mean)").mark_line(strokeWidth=3).encode(y="mean:Q")
    layers = thin, thick, style.arm_names("step")
    panel = alt.layer(*layers, data=titled).properties(width=165, height=110)
    chart = style.panels(panel, "task", order, margin=60 + style.NAMES)
    return style.noted(chart, few, note, fewer)


def scores(results: pl.DataFrame, baselines: pl.DataFrame) -> alt.LayerChart:
    """Test MCC of each arm (`frames.results`) with its interval, by task.

    Baselines (`scores.baseline_scores`) are shown as codes.
    """
    only = pl.col("metric") == "mcc"
    results, few = _some_tasks(results)
    if few:
        baselines = baselines.join(results, on="task", how="semi", maintain_order="left")
    seeds = style.titled(results.filter(only).select("task", "arm", "value"))
    place, half = ("task", "arm"), style.MOST_ROWS // 2
    seeds, note = style.thinned_runs(seeds, place, "runs of an arm on a task", half)
    means = arms(results).filter(only).select("task", "arm", "mean", "low", "high")
    means = style.titled(means.with_columns(short=pl.col("arm").replace(SHORT)))
    codes = {who: code for who, code in CODES.items() if who in {*baselines["who"]}}
    plain = style.titled(baselines.filter(only).select("task", "who", "value")).with_columns(
        code=pl.col("who").replace(codes),
        arm=pl.format("{}", pl.col("value").rank("ordinal").over("task") % len(_PLAIN_LANES)),
    )  # neighbours are in different lanes, so that codes do not overlap
    lanes = [*(ARM_TITLES[arm] for arm in style.ARM_COLOURS), *_PLAIN_LANES]
    y = style.named_rows("task", style.values(means, "task")).scale(padding=0.08)
    lane = alt.YOffset("arm:N", sort=lanes, scale=alt.Scale(paddingOuter=0.25))
    x = alt.X("mean:Q", title="MCC on test")
    base = alt.Chart(means).encode(y=y, yOffset=lane, color=style.ARM_COLOUR)
    line = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    mean = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=x,
        shape=style.ARM_SHAPE,
        tooltip=["task", "arm", *style.tips(".3f", "mean", "low", "high")],
    )
    dots = alt.Chart(seeds).mark_circle(size=20, opacity=0.5)
    dots = dots.encode(x="value:Q", y=y, yOffset=lane, color=style.ARM_COLOUR)
    first = base.transform_filter(alt.datum.task == means["task"].first())
    names = first.transform_calculate(edge="isValid(datum.low) ? datum.low : datum.mean")
    names = names.mark_text(align="right", dx=-9).encode(
        x="edge:Q", text="short:N", color=alt.value("currentColor")
    )
    text = (
        alt.Chart(plain)
        .mark_text(fontSize=12, fontWeight="bold")
        .encode(
            x="value:Q",
            y=y,
            yOffset=lane,
            text="code:N",
            tooltip=["task", alt.Tooltip("who:N", title="method"), *style.tips(".3f", "value")],
        )
    )
    height = alt.Step(13, **{"for": "offset"})
    layers = style.rule(x=0) + line + dots + mean + text + names
    return style.noted(layers.properties(width="container", height=height), few, note)


#: Lanes of the baselines, below those of the arms.
_PLAIN_LANES = ("0", "1", "2", "3")
#: Codes of the baselines in `scores`.
CODES = {
    "majority class": "maj",
    "GC share": "GC",
    "5-mers, whole window": "5w",
    FAIR: "5",
    CNN: "CNN",
    "two letters": "2L",
}


def _by_pair(panel: style.Layers, frame: pl.DataFrame) -> alt.FacetChart:
    """A panel for each pair of arms."""
    order = style.values(frame, "pair")
    return style.panels(panel.properties(width=150), "pair", order, margin=175)


#: Colour and shape of each of `statistics.OUTCOMES`.
_OUTCOME_COLOURS = alt.Scale(domain=OUTCOMES, range=[*style.PLAIN, style.TINTS[0], style.GREY])
_OUTCOME_SHAPES = alt.Scale(
    domain=OUTCOMES, range=["triangle-right", "triangle-left", "square", "circle"]
)


def paired_gaps(gaps: pl.DataFrame) -> alt.FacetChart:
    """Gap and outcome of each task in `statistics.table`, a panel per pair of arms.

    The thick line is the 95% t interval over seeds, the thin one the 95% paired bootstrap over
    test rows. In the band gaps count as equivalent.
    """
    frame, few = style.thinned(style.titled(gaps).with_columns(pair()), "task", "tasks")
    base = alt.Chart().encode(y=style.named_rows("task"))
    band = style.band(-EQUIVALENCE_POINTS / 100, EQUIVALENCE_POINTS / 100)
    rows = base.mark_rule(strokeWidth=1).encode(x="low_rows:Q", x2="high_rows:Q")
    seeds = base.mark_rule(strokeWidth=4, opacity=0.45).encode(x="low:Q", x2="high:Q")
    edges = ("gap", "low", "high", "low_rows", "high_rows")
    legend = style.legend([one for one in OUTCOMES if one in {*frame["outcome"]}])
    point = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=alt.X("gap:Q", title="gap in test MCC", axis=alt.Axis(tickCount=4)),
        color=alt.Color("outcome:N", title=None, scale=_OUTCOME_COLOURS, legend=legend),
        shape=alt.Shape("outcome:N", title=None, scale=_OUTCOME_SHAPES, legend=legend),
        tooltip=["task", "pair", "outcome", *style.tips("+.3f", *edges)],
    )
    panel = alt.layer(band, style.rule(x=0), seeds, rows, point, data=frame)
    return style.noted(_by_pair(panel.properties(height=alt.Step(22)), frame), few)


def splits(gaps: pl.DataFrame) -> alt.FacetChart:
    """Signed McNemar splits of the runs of `statistics.table`, by task, a panel per pair."""
    only_first, only_second = pl.col("only_first"), pl.col("only_second")
    frame = style.titled(gaps.explode("only_first", "only_second")).with_columns(
        pair(),
        split=(only_first - only_second) / (only_first + only_second).clip(lower_bound=1),
    )
    frame, note = style.thinned_runs(frame, ("task", "pair"), "runs of a pair on a task")
    frame, few = style.thinned(frame, "task", "tasks")
    scale = alt.Scale(domain=[-1, 1])
    dot = alt.Chart().mark_point(filled=True, size=50, opacity=0.7)
    dot = dot.encode(
        x=alt.X("split:Q", title="signed split", scale=scale, axis=alt.Axis(values=[-1, 0, 1])),
        y=style.named_rows("task"),
        color=alt.condition("datum.split > 0", *map(alt.value, style.PLAIN)),
        tooltip=["task", "pair", "only_first", "only_second", *style.tips("+.2f", "split")],
    )
    panel = alt.layer(style.rule(x=0), dot, data=frame).properties(height=alt.Step(20))
    return style.noted(_by_pair(panel, frame), few, note)


def waiting(curves: pl.DataFrame) -> alt.LayerChart:
    """Kaplan-Meier curves of runs that are still below a target, from `learning_speed.waiting`."""
    frame, note = style.thinned_arms(style.titled(curves), "step", "steps")
    line = (
        alt.Chart(frame)
        .mark_line(interpolate="step-after", strokeWidth=2.5)
        .encode(
            x=alt.X("step:Q", title="fine-tuning step", axis=alt.Axis(tickCount=6)),
            y=alt.Y(
                "waiting:Q",
                title="share of runs below the target",
                scale=alt.Scale(domain=[-0.1, 1], nice=False),  # room for names of lines at 0
                axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format="%"),
            ),
            color=style.ARM_COLOUR,
        )
    )
    names = style.end_labels(frame, "step", "waiting", "arm", style.ARM_COLOUR)
    chart = (line + names).properties(width="container", height=165)
    chart = chart.properties(padding={"left": 5, "top": 5, "right": 12, "bottom": 5})
    return style.noted(chart, note)
