"""Charts and tables of `06_evidence`: arms compared over pre-training seeds."""

from collections.abc import Iterable

import altair as alt
import polars as pl

from birdiedna.data.names import sided
from birdiedna.evaluation.paper_table import ARM_TITLES
from birdiedna.evaluation.statistics import interval_column, pair
from birdiedna.figures import style

#: Columns of a table of fine-tuning protocols.
TRIED = {"task": pl.String, "arm": pl.String, "head": pl.String, "rate": pl.Float64}
TRIED |= {"head_rate": pl.Int64, "share": pl.Float64, "step": pl.Int64, "mcc": pl.Float64}


def pairs(table: pl.DataFrame) -> pl.DataFrame:
    """`seeds.compared` for readers."""
    counted = pl.format("{} of {}", "ahead", "tasks").alias("tasks ahead")
    columns = ("on average", "consistently")
    return table.select(
        pair(), "seeds", "gap", interval_column("+").alias("95% over seeds"), counted,
        pl.col("middle").map_elements(sided, pl.String).alias("middle half"),
        pl.col("chance").map_elements("{:.0%}".format, pl.String).alias("share ahead"),
        pl.format("{} / {}", "won", "lost").alias("won / lost"), *columns,
    )  # fmt: skip


#: Caption text that explains `forest`.
READ = (
    "Line: 95% t interval over pre-training seeds, not corrected for the number of pairs; strong "
    "where it excludes 0."
)


def forest(table: pl.DataFrame) -> alt.LayerChart:
    """The mean gap in test MCC of each pair in `seeds.compared`, with its 95% t interval.

    If Birdie is the first arm of all pairs, labels name only the second, a variant by its change.
    """
    rival = pl.col("second").replace(ARM_TITLES).str.replace("^Birdie,? ", "")
    alone = {*table["first"]} == {"birdie"}
    frame = table.with_columns(rival.alias("pair") if alone else pair())
    sure = alt.condition("datum.low > 0 || datum.high < 0", alt.value(1), alt.value(0.4))
    base = alt.Chart(frame).encode(y=style.named_rows("pair", limit=230), opacity=sure)
    tip = ["pair", "seeds", "tasks", *style.tips("+.3f", "gap", "low", "high")]
    line = base.mark_rule(strokeWidth=3).encode(
        x=alt.X("low:Q", title="gap in test MCC", axis=alt.Axis(tickCount=5)), x2="high:Q"
    )
    mean = base.mark_circle(size=80, color="currentColor").encode(x="gap:Q", tooltip=tip)
    return (style.rule(x=0) + line + mean).properties(width="container", height=alt.Step(18))


def gaps(table: pl.DataFrame) -> alt.FacetChart:
    """Gaps in test MCC by task: a dot per seed, the mean and its 95% t interval.

    From `seeds.by_task` for one first arm, with a panel per second arm; tasks are in the order of
    the gaps of the first panel.
    """
    rival = pl.format("minus {}", pl.col("second").replace(ARM_TITLES)).alias("rival")
    frame = style.titled(table).with_columns(pair(), rival)
    order = style.values(frame, "rival")
    ranked = frame.filter(rival=order[0] if order else None).sort("gap", descending=True)
    tasks = [*dict.fromkeys([*ranked["task"], *frame["task"]])]
    frame, note = style.thinned(frame, "seed", "seeds")
    frame, few = style.thinned(frame, "task", "tasks")
    base = alt.Chart().encode(y=style.named_rows("task", tasks, limit=190))
    dots = base.mark_circle(size=14, opacity=0.45, color="currentColor").encode(
        x=alt.X("value:Q", title="gap in test MCC", axis=alt.Axis(tickCount=4)),
        tooltip=["task", "pair", "seed", *style.tips("+.3f", "value")],
    )
    line = base.mark_rule(strokeWidth=3).encode(x="min(low):Q", x2="min(high):Q")
    mean = base.mark_tick(thickness=3, size=12, opacity=1).encode(
        x="mean(gap):Q", tooltip=["task", "pair", *style.tips("+.3f", "gap", "low", "high", "holm")]
    )
    panel = alt.layer(style.rule(x=0), line, dots, mean, data=frame)
    panel = panel.properties(width=150, height=alt.Step(15))
    return style.noted(style.panels(panel, "rival", order, margin=170), few, note)


def levels(scores: pl.DataFrame) -> alt.Chart:
    """Test MCC by task, best first, with a mark for each arm and pre-training seed.

    Each arm has its own line within a task, so that marks of different arms do not overlap.
    `scores` has one score per run: task, arm, seed, value.
    """
    frame = style.titled(scores.select("task", "arm", "seed", "value"))
    order = frame.group_by("task").agg(pl.col("value").mean()).sort("value", descending=True)
    bands = alt.Axis(grid=True, tickBand="extent", ticks=False, labelLimit=190)
    arms = [ARM_TITLES[arm] for arm in style.ARM_COLOURS]
    shown = [title for title in arms if title in {*frame["arm"]}]
    frame, note = style.thinned(frame, "seed", "seeds")
    frame, few = style.thinned(frame, "task", "tasks")
    marks = alt.Chart(frame).mark_point(filled=True, size=36, opacity=0.8)
    chart = marks.encode(
        x=alt.X("value:Q", title="test MCC", axis=alt.Axis(tickCount=4)),
        y=alt.Y("task:N", sort=order["task"].to_list(), title=None, axis=bands),
        yOffset=alt.YOffset("arm:N", sort=arms),
        color=style.ARM_COLOUR.legend(style.legend(shown)),
        shape=style.ARM_SHAPE.legend(style.legend(shown)),
        tooltip=["task", "arm", "seed", *style.tips(".3f", "value")],
    ).properties(width="container", height=alt.Step(20, **{"for": "position"}))
    return style.noted(chart, few, note)


def shares(table: pl.DataFrame) -> alt.LayerChart:
    """The mean gap of each pair in `seeds.by_share`, by share of rows, with its 95% t interval."""
    frame = table.with_columns(pair(), percent=100 * pl.col("share"))
    order = style.values(frame, "pair")
    colour = alt.Color(
        "pair:N",
        legend=None,
        scale=alt.Scale(domain=order, range=[*style.PLAIN, style.GREY, *style.TINTS]),
    )
    base = alt.Chart(frame).encode(
        x=alt.X("percent:Q", scale=alt.Scale(type="log"), title="train rows, %",
                axis=alt.Axis(values=[1, 5, 25, 100])),
        color=colour,
    )  # fmt: skip
    band = base.mark_area(opacity=0.15).encode(y="low:Q", y2="high:Q")
    line = base.mark_line(point=True).encode(
        y=alt.Y("gap:Q", title="gap in test MCC, mean over tasks"),
        tooltip=["pair", "percent", *style.tips("+.4f", "gap", "low", "high")],
    )
    names = style.end_labels(frame, "percent", "gap", "pair", colour)
    return (style.rule(y=0) + band + line + names).properties(width="container", height=180)


def spans(table: pl.DataFrame) -> alt.LayerChart:
    """A heat map of gaps in `seeds.compared` of arms `infill_RATE_SPAN`, with 95% t intervals."""
    words = pl.col("first").str.split("_")
    frame = table.with_columns(
        rate=pl.format("{}%", words.list.get(1)),
        span=words.list.get(2),
        mean=pl.col("gap").map_elements(sided, pl.String).str.replace("-", "−"),
        interval=interval_column("+").str.replace_all("-", "−").str.replace(" to ", " to|"),
        size=pl.col("gap").abs(),
    )
    base = alt.Chart(frame).encode(
        x=alt.X("span:O", sort=None, title="mean span, bases", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("rate:O", sort=None, title="infilling rate"),
    )
    strength = alt.Opacity("size:Q", legend=None, scale=alt.Scale(domainMin=0, range=[0.05, 0.6]))
    colour = alt.condition("datum.gap < 0", alt.value(style.PLAIN[1]), alt.value(style.PLAIN[0]))
    cells = base.mark_rect().encode(opacity=strength, color=colour)
    mean = base.mark_text(fontSize=15, dy=-17).encode(text="mean:N")
    interval = base.mark_text(fontSize=12, dy=1, lineBreak="|").encode(text="interval:N")
    return (cells + mean + interval).properties(width="container", height=alt.Step(60))


def held_out(losses: pl.DataFrame, arms: Iterable[str]) -> pl.DataFrame:
    """Final held-out loss, mean over seeds, with objectives as rows and arms as columns.

    From `frames.losses` of several seeds; columns are in the order of `arms`, if present.
    """
    last = losses.filter(pl.col("step") == pl.col("step").max().over("run"))
    present = set(last["arm"])
    means = last.group_by("objective", "arm", maintain_order=True).agg(pl.col("loss").mean())
    wide = means.pivot("arm", index="objective", values="loss")
    chosen = wide.select("objective", *(arm for arm in arms if arm in present))
    measured = chosen.filter(~pl.all_horizontal(pl.exclude("objective").is_null()))
    return style.titled(measured).rename(lambda name: ARM_TITLES.get(name, name))


def settled(tried: pl.DataFrame) -> pl.DataFrame:
    """Validation MCC of fine-tuning protocols: one per row, a column per task and arm.

    `tried` has the columns of `TRIED`.
    """
    keys = ["head", "rate", "rate of the head", "rows", "step"]
    renamed = tried.with_columns(
        pl.format("× {}", "head_rate").alias("rate of the head"),
        pl.format("{}%", (100 * pl.col("share")).cast(int)).alias("rows"),
    )
    trained = style.titled(renamed.filter(pl.col("step") > 0))
    means = trained.group_by(keys).agg(pl.col("mcc").mean().alias("mean"))
    columns = trained.with_columns(who=pl.format("{}, {}", "task", "arm"))
    wide = columns.pivot("who", index=keys, values="mcc", maintain_order=True)
    return wide.join(means, on=keys, maintain_order="left")
