"""Charts of chapter 4: losses, the mixture and its rewards, the optimiser."""

import altair as alt
import polars as pl

from birdiedna.evaluation.paper_table import PRETRAINED
from birdiedna.figures.style import (
    OBJECTIVE_TITLES,
    arm_colour,
    legend,
    objective_colour,
    rule,
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
    """Held-out loss of every objective over steps, one panel each, a line per arm.

    A box shows the losses of objectives that an arm never trained on, hidden at first: they are
    measured off the distribution the arm knows and are no comparison.

    Args:
      losses: as `frames.losses` gives it.
      entropy: order-0 entropy of the held-out contigs in nats, drawn as a dashed rule.
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
        color=arm_colour(PRETRAINED),
        strokeDash=alt.StrokeDash("trained:N", legend=None, scale=dashes),
        tooltip=["arm", "objective", "step", *tips(".4f", "loss"), "trained"],
    )
    floor = alt.Chart().mark_rule(strokeDash=[6, 4], opacity=0.7).encode(y="mean(floor):Q")
    panel = alt.layer(floor, lines, data=frame).properties(width=122, height=115)
    order = [OBJECTIVE_TITLES[name] for name in (*BIRDIE_DNA, *NTP)]
    facet = alt.Facet("objective:N", title=None, sort=order)
    return panel.facet(facet, columns=4).add_params(untrained)


def shares(ratios: pl.DataFrame, rewards: pl.DataFrame) -> pl.DataFrame:
    """The mixture of every round as stacked strips.

    Args:
      ratios, rewards: as `frames.ratios` and `frames.rewards` give them for one run.

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

    Diamonds mark rounds whose mixture was drawn at random (exploration).

    Args:
      ratios, rewards, decisions: as `frames` gives them for one run.
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


def optimiser(training: pl.DataFrame) -> alt.FacetChart:
    """Learning rate, gradient norm and training loss of both arms over steps.

    Args:
      training: as `frames.training` gives it.
    """
    titles = {
        "learning_rate": "learning rate",
        "grad_norm": "gradient norm before clipping",
        "loss": "training loss, nats per token",
    }
    long = titled(training).unpivot(list(titles), index=["arm", "step"])
    line = alt.Chart(long.with_columns(pl.col("variable").replace(titles))).mark_line()
    panel = line.encode(
        x=alt.X("step:Q", title="step", axis=alt.Axis(tickCount=3)),
        y=alt.Y("value:Q", title=None, axis=alt.Axis(tickCount=4)),
        color=arm_colour(PRETRAINED),
        tooltip=["arm", "step", *tips(".4g", "value")],
    ).properties(width=165, height=130)
    facet = alt.Facet("variable:N", title=None, sort=list(titles.values()))
    return panel.facet(facet, columns=3).resolve_scale(y="independent")


def reward_sizes(rewards: pl.DataFrame, small: float) -> alt.LayerChart:
    """The absolute reward of each objective in every round, on a logarithmic axis.

    Filled points are improvements, hollow ones losses.

    Args:
      rewards: as `frames.rewards` gives it for one run.
      small: a reward to draw as a rule, for scale.
    """
    frame = titled(rewards.select("objective", "step", "reward")).with_columns(
        size=pl.col("reward").abs().clip(1e-8, 1.0), better=pl.col("reward") >= 0
    )
    colour = objective_colour(list(BIRDIE_DNA))
    base = alt.Chart(frame).encode(
        x=alt.X("step:Q", title="end of the round (step)"),
        y=alt.Y(
            "size:Q",
            title="size of the reward",
            scale=alt.Scale(type="log", domain=[1e-8, 1]),
            axis=alt.Axis(values=[1e-8, 1e-6, 1e-4, 1e-2, 1], format=".0e"),
        ),
        color=colour,
    )
    points = base.mark_point(size=45).encode(
        fill=alt.Fill("objective:N", sort=colour["sort"], scale=colour["scale"], legend=None),
        fillOpacity=alt.condition("datum.better", alt.value(1), alt.value(0)),
        tooltip=["objective", "step", *tips("+.2e", "reward")],
    )
    layers = rule(y=small) + base.mark_line(opacity=0.35) + points
    return layers.properties(width="container", height=240)


def foresight(decisions: pl.DataFrame, totals: pl.DataFrame) -> alt.LayerChart:
    """Total reward of every round, predicted and realised; diamonds mark explored rounds.

    Args:
      decisions, totals: as `frames.decisions` and `frames.totals` give them for one run.
    """
    made = decisions.sort("step").select("explored", predicted="predicted_reward")
    earned = totals.sort("step").select("step", realised="reward")
    frame = pl.concat([earned, made], how="horizontal")
    long = frame.unpivot(["predicted", "realised"], index=["step", "explored"])
    colours = alt.Scale(domain=["predicted", "realised"], range=["#8a63d2", "#e69f00"])
    base = alt.Chart(long).encode(
        x=alt.X("step:Q", title="end of the round (step)"),
        y=alt.Y("value:Q", title="total reward"),
        color=alt.Color("variable:N", title=None, scale=colours, legend=legend()),
        tooltip=["variable", "step", "explored", *tips("+.3f", "value")],
    )
    shapes = alt.Scale(domain=[False, True], range=["circle", "diamond"])
    points = base.mark_point(filled=True, opacity=1).encode(
        shape=alt.Shape("explored:N", scale=shapes, legend=None),
        size=alt.condition("datum.explored", alt.value(160), alt.value(45)),
    )
    layers = rule(y=0) + base.mark_line() + points
    return layers.properties(width="container", height=220)
