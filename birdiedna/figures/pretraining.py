"""Charts of chapter 4: held-out losses and the mixture."""

import altair as alt
import polars as pl

from birdiedna.figures.style import (
    OBJECTIVE_TITLES,
    arm_colour,
    objective_colour,
    panels,
    tips,
    titled,
)
from birdiedna.objectives.definitions import BIRDIE_DNA, NTP

#: What the three strips of `mixture` show, from top to bottom.
SHARES = {
    "ratio": "asked for",
    "rows_share": "share of rows drawn",
    "loss_tokens_share": "share of loss tokens",
}


def held_out(losses: pl.DataFrame, entropy: float) -> alt.FacetChart:
    """Held-out losses (`frames.losses`) of every objective, one panel each, a line per arm.

    A box shows the losses of objectives that an arm never trained on, hidden at first: they are
    measured off the distribution the arm knows and are no comparison. The dashed rule is the
    order-0 entropy of the held-out contigs, in nats.
    """
    own = (pl.col("objective") == "next_token") == (pl.col("arm") == "ntp")
    frame = titled(losses.with_columns(trained=own, floor=pl.lit(entropy)).drop("run"))
    box = alt.binding_checkbox(name="also objectives that an arm was not trained on ")
    untrained = alt.param(name="untrained", value=False, bind=box)
    dashes = alt.Scale(domain=[True, False], range=[[1, 0], [3, 3]])
    lines = alt.Chart().mark_line(point=alt.OverlayMarkDef(size=14), clip=True)
    lines = lines.transform_filter("datum.trained || untrained").encode(
        x=alt.X("step:Q", title="step", axis=alt.Axis(tickCount=3)),
        y=alt.Y("loss:Q", title="nats per token", scale=alt.Scale(domain=[0, 2.2])),
        color=arm_colour(frame),
        strokeDash=alt.StrokeDash("trained:N", legend=None, scale=dashes),
        tooltip=["arm", "objective", "step", *tips(".4f", "loss"), "trained"],
    )
    floor = alt.Chart().mark_rule(strokeDash=[6, 4], opacity=0.7).encode(y="mean(floor):Q")
    panel = alt.layer(floor, lines, data=frame).properties(width=122, height=115)
    order = [OBJECTIVE_TITLES[name] for name in (*BIRDIE_DNA, *NTP)]
    return panels(panel, "objective", order, columns=4).add_params(untrained)


def shares(ratios: pl.DataFrame, rewards: pl.DataFrame) -> pl.DataFrame:
    """The mixture of every round of one run as stacked strips, by `frames.ratios` and `rewards`.

    Returns:
      strip, objective, start, stop (steps), share, low, high (places in the strip, 0 to 1).
    """
    rounds = rewards.select("step").unique().sort("step")
    rounds = rounds.with_columns(start=pl.col("step").shift(1, fill_value=0))
    asked = ratios.select("objective", "ratio", start="step")
    wide = rewards.join(rounds, on="step").join(asked, on=["objective", "start"])
    index = ["objective", "start", "step"]
    long = wide.unpivot(list(SHARES), index=index, variable_name="strip", value_name="share")
    order = pl.Enum(list(OBJECTIVE_TITLES))
    long = long.sort("strip", "start", pl.col("objective").cast(order))
    long = long.with_columns(high=pl.col("share").cum_sum().over("strip", "start"))
    long = long.with_columns(pl.col("strip").replace(SHARES), low=pl.col("high") - pl.col("share"))
    return titled(long).rename({"step": "stop"})


def mixture(ratios: pl.DataFrame, rewards: pl.DataFrame, decisions: pl.DataFrame) -> alt.LayerChart:
    """The mixture over steps: asked for, share of rows, share of loss tokens, one strip each.

    Of `frames` of one run. Diamonds mark rounds whose mixture was drawn at random (exploration).
    """
    bottom = {name: 1.35 * i for i, name in enumerate(reversed(SHARES.values()))}
    base = pl.col("strip").replace_strict(bottom, return_dtype=pl.Float64)
    frame = shares(ratios, rewards)
    frame = frame.with_columns(low=pl.col("low") + base, high=pl.col("high") + base)
    x, y = alt.Scale(nice=False), alt.Scale(domain=[0, 4.15], nice=False)
    across = alt.X("start:Q", title="step", scale=x, axis=alt.Axis(grid=False, tickCount=6))
    strips = alt.Chart(frame).mark_rect()
    strips = strips.encode(
        x=across,
        x2="stop:Q",
        y=alt.Y("low:Q", axis=None, scale=y),
        y2="high:Q",
        color=objective_colour(list(BIRDIE_DNA)),
        tooltip=["strip", "objective", "start", "stop", *tips(".1%", "share")],
    )
    names = pl.DataFrame({"strip": list(bottom), "y": [at + 1.12 for at in bottom.values()]})
    labels = alt.Chart(names).mark_text(align="left", fontSize=12)
    labels = labels.encode(x=alt.value(0), y=alt.Y("y:Q", axis=None), text="strip")
    ends = frame.select("start", "stop").unique()
    drawn = decisions.filter("explored").join(ends, left_on="step", right_on="start")
    middle = drawn.select(x=(pl.col("step") + pl.col("stop")) / 2, y=pl.lit(3.82))
    marks = alt.Chart(middle).mark_point(shape="diamond", filled=True, size=80, opacity=1)
    marks = marks.encode(x="x:Q", y="y:Q", color=alt.value("#8a63d2"))
    return (strips + labels + marks).properties(width="container", height=330)
