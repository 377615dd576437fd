"""Charts of pre-training: losses, the mixture and its rewards, the optimiser."""

import altair as alt
import polars as pl

from birdiedna.evaluation.paper_table import ARM_TITLES, PRETRAINED
from birdiedna.figures.style import ARM_COLOURS, OBJECTIVE_COLOURS, OBJECTIVE_TITLES, scale

#: Objectives in the order of the mixture, the baseline's last.
ORDER = [title for name, title in OBJECTIVE_TITLES.items() if name != "next_token"]
PANELS = [*ORDER, OBJECTIVE_TITLES["next_token"]]
ARM_SCALE = scale({arm: ARM_COLOURS[arm] for arm in PRETRAINED}, ARM_TITLES)
MIXTURE_SCALE = scale(
    {name: OBJECTIVE_COLOURS[name] for name in OBJECTIVE_COLOURS if name != "next_token"},
    OBJECTIVE_TITLES,
)


def titled(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with titles in place of the names of arms and objectives."""
    columns = {"arm": ARM_TITLES, "objective": OBJECTIVE_TITLES}
    return frame.with_columns(
        pl.col(name).replace(titles) for name, titles in columns.items() if name in frame.columns
    )


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
    untrained = alt.param(
        name="untrained",
        value=False,
        bind=alt.binding_checkbox(name="also objectives that an arm was not trained on "),
    )
    lines = alt.Chart().mark_line(point=alt.OverlayMarkDef(size=14), clip=True)
    lines = lines.transform_filter("datum.trained || untrained").encode(
        x=alt.X("step:Q", title="step", axis=alt.Axis(tickCount=3)),
        y=alt.Y("loss:Q", title="nats per token", scale=alt.Scale(domain=[0, 2.2])),
        color=alt.Color("arm:N", title=None, scale=ARM_SCALE, legend=alt.Legend(orient="top")),
        strokeDash=alt.StrokeDash(
            "trained:N", legend=None, scale=alt.Scale(domain=[True, False], range=[[1, 0], [3, 3]])
        ),
        tooltip=["arm", "objective", "step", alt.Tooltip("loss:Q", format=".4f"), "trained"],
    )
    rule = alt.Chart().mark_rule(strokeDash=[6, 4], opacity=0.7)
    rule = rule.encode(y=alt.Y("mean(floor):Q"))
    panel = alt.layer(rule, lines, data=frame).properties(width=122, height=115)
    facet = alt.Facet("objective:N", title=None, sort=PANELS)
    return panel.facet(facet, columns=4).add_params(untrained)


#: What the three strips of `mixture` show, from top to bottom.
SHARES = {
    "ratio": "asked for",
    "rows_share": "share of rows drawn",
    "loss_tokens_share": "share of loss tokens",
}


def shares(ratios: pl.DataFrame, rewards: pl.DataFrame) -> pl.DataFrame:
    """The mixture of every round as stacked strips.

    Args:
      ratios, rewards: as `frames.ratios` and `frames.rewards` give them for one run.

    Returns:
      strip, objective, start, stop (steps), share, low, high (places in the strip, 0 to 1).
    """
    rounds = rewards.select("step").unique().sort("step")
    rounds = rounds.with_columns(start=pl.col("step").shift(1, fill_value=0))
    asked = ratios.select("objective", pl.col("step").alias("start"), "ratio")
    wide = rewards.join(rounds, on="step").join(asked, on=["objective", "start"])
    order = pl.Enum(list(OBJECTIVE_TITLES))
    long = wide.unpivot(
        list(SHARES),
        index=["objective", "start", "step"],
        variable_name="strip",
        value_name="share",
    ).sort("strip", "start", pl.col("objective").cast(order))
    long = long.with_columns(high=pl.col("share").cum_sum().over("strip", "start"))
    long = long.with_columns(low=pl.col("high") - pl.col("share"))
    return titled(long).rename({"step": "stop"}).with_columns(pl.col("strip").replace(SHARES))


def mixture(ratios: pl.DataFrame, rewards: pl.DataFrame, decisions: pl.DataFrame) -> alt.LayerChart:
    """The mixture over steps: asked for, share of rows, share of loss tokens, one strip each.

    Diamonds mark rounds whose mixture was drawn at random (exploration).

    Args:
      ratios, rewards, decisions: as `frames` gives them for one run.
    """
    bottom = {name: 1.35 * i for i, name in enumerate(reversed(SHARES.values()))}
    base = pl.col("strip").replace_strict(bottom, return_dtype=pl.Float64)
    frame = shares(ratios, rewards).with_columns(
        low=pl.col("low") + base, high=pl.col("high") + base
    )
    x, y = alt.Scale(nice=False), alt.Scale(domain=[0, 4.15], nice=False)
    strips = (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X("start:Q", title="step", scale=x, axis=alt.Axis(grid=False, tickCount=6)),
            x2="stop:Q",
            y=alt.Y("low:Q", axis=None, scale=y),
            y2="high:Q",
            color=alt.Color(
                "objective:N", title=None, sort=ORDER, scale=MIXTURE_SCALE, legend=_below()
            ),
            tooltip=["strip", "objective", "start", "stop", alt.Tooltip("share:Q", format=".1%")],
        )
    )
    names = pl.DataFrame({"strip": list(bottom), "y": [at + 1.12 for at in bottom.values()]})
    labels = (
        alt.Chart(names)
        .mark_text(align="left", fontSize=12)
        .encode(x=alt.value(0), y=alt.Y("y:Q", axis=None), text="strip")
    )
    ends = frame.select("start", "stop").unique()
    drawn = decisions.filter("explored").join(ends, left_on="step", right_on="start")
    middle = drawn.select(x=(pl.col("step") + pl.col("stop")) / 2, y=pl.lit(3.82))
    marks = alt.Chart(middle).mark_point(shape="diamond", filled=True, size=80, opacity=1)
    marks = marks.encode(x="x:Q", y="y:Q", color=alt.value("#8a63d2"))
    return (strips + labels + marks).properties(width="container", height=330)


def _below() -> alt.Legend:
    return alt.Legend(orient="bottom", columns=3, symbolType="square", symbolOpacity=1)


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
    long = long.with_columns(pl.col("variable").replace(titles))
    line = (
        alt.Chart(long)
        .mark_line()
        .encode(
            x=alt.X("step:Q", title="step", axis=alt.Axis(tickCount=3)),
            y=alt.Y("value:Q", title=None, axis=alt.Axis(tickCount=4)),
            color=alt.Color("arm:N", title=None, scale=ARM_SCALE, legend=alt.Legend(orient="top")),
            tooltip=["arm", "step", alt.Tooltip("value:Q", format=".4g")],
        )
    )
    facet = alt.Facet("variable:N", title=None, sort=list(titles.values()))
    panel = line.properties(width=165, height=130)
    return panel.facet(facet, columns=3).resolve_scale(y="independent")


def reward_sizes(rewards: pl.DataFrame, small: float) -> alt.LayerChart:
    """How large each objective's reward was in every round, on a logarithmic axis.

    Filled points are improvements, hollow ones losses.

    Args:
      rewards: as `frames.rewards` gives it for one run.
      small: a reward to draw as a rule, for scale.
    """
    frame = titled(rewards.select("objective", "step", "reward")).with_columns(
        size=pl.col("reward").abs().clip(1e-8, 1.0), better=pl.col("reward") >= 0
    )
    base = alt.Chart(frame).encode(
        x=alt.X("step:Q", title="end of the round (step)"),
        y=alt.Y(
            "size:Q",
            title="size of the reward",
            scale=alt.Scale(type="log", domain=[1e-8, 1]),
            axis=alt.Axis(values=[1e-8, 1e-6, 1e-4, 1e-2, 1], format=".0e"),
        ),
        color=alt.Color(
            "objective:N", title=None, sort=ORDER, scale=MIXTURE_SCALE, legend=_below()
        ),
    )
    lines = base.mark_line(opacity=0.35)
    points = base.mark_point(size=45).encode(
        fill=alt.Fill("objective:N", sort=ORDER, scale=MIXTURE_SCALE, legend=None),
        fillOpacity=alt.condition("datum.better", alt.value(1), alt.value(0)),
        tooltip=["objective", "step", alt.Tooltip("reward:Q", format="+.2e")],
    )
    rule = _rule_at(small).mark_rule(strokeDash=[6, 4])
    return (rule + lines + points).properties(width="container", height=240)


def _rule_at(value: float) -> alt.Chart:
    return alt.Chart(pl.DataFrame({"at": [value]})).mark_rule(opacity=0.6).encode(y="at:Q")


def foresight(decisions: pl.DataFrame, totals: pl.DataFrame) -> alt.LayerChart:
    """Total reward of every round: what the reward model predicted, and what came.

    Rounds whose mixture was drawn at random (exploration) carry a diamond.

    Args:
      decisions, totals: as `frames.decisions` and `frames.totals` give them for one run.
    """
    made = decisions.sort("step").select(
        pl.col("predicted_reward").alias("predicted"), pl.col("explored")
    )
    frame = pl.concat([totals.sort("step").select("step", "reward"), made], how="horizontal")
    frame = frame.rename({"reward": "realised"})
    long = frame.unpivot(["predicted", "realised"], index=["step", "explored"])
    colours = alt.Scale(domain=["predicted", "realised"], range=["#8a63d2", "#e69f00"])
    base = alt.Chart(long).encode(
        x=alt.X("step:Q", title="end of the round (step)"),
        y=alt.Y("value:Q", title="total reward"),
        color=alt.Color("variable:N", title=None, scale=colours, legend=alt.Legend(orient="top")),
        tooltip=["variable", "step", "explored", alt.Tooltip("value:Q", format="+.3f")],
    )
    points = base.mark_point(filled=True, size=60, opacity=1).encode(
        shape=alt.Shape(
            "explored:N",
            title="explored",
            scale=alt.Scale(domain=[False, True], range=["circle", "diamond"]),
            legend=None,
        ),
        size=alt.condition("datum.explored", alt.value(160), alt.value(45)),
    )
    return (_rule_at(0.0) + base.mark_line() + points).properties(width="container", height=220)
