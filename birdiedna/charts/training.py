"""Charts of pre-training: losses, the mixture and its rewards, the optimiser."""

import altair as alt
import polars as pl

from birdiedna.charts.palette import ARM_COLOURS, OBJECTIVE_COLOURS, OBJECTIVE_TITLES, scale
from birdiedna.paper import ARM_TITLES, PRETRAINED

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


def loop() -> alt.LayerChart:
    """The method as a diagram: what is trained, what is measured, what chooses the next mixture."""
    boxes = [
        (0, 1, "Mixture", "one ratio each"),
        (1, 1, "Rows of DNA", "prompt and target"),
        (2, 1, "Transformer", "trains a round"),
        (2, 0, "Held-out losses", "one per objective"),
        (1, 0, "Rewards", "how far each fell"),
        (0, 0, "Reward model", "chooses the next"),
    ]
    frame = pl.DataFrame(boxes, schema=["column", "row", "title", "text"], orient="row")
    frame = frame.with_columns(
        left=pl.col("column") - 0.43, right=pl.col("column") + 0.43,
        below=pl.col("row") - 0.3, above=pl.col("row") + 0.3,
        high=pl.col("row") + 0.09, low=pl.col("row") - 0.1,
    )  # fmt: skip
    base = alt.Chart(frame)
    box = base.mark_rect(cornerRadius=8, fillOpacity=0.12, strokeWidth=1.5).encode(
        **_at("left", "below"),
        x2="right:Q",
        y2="above:Q",
        color=alt.Color("row:N", legend=None, scale=alt.Scale(range=["#d55e00", "#0072b2"])),
        tooltip=["title", "text"],
    )
    title = base.mark_text(fontWeight="bold", fontSize=12).encode(
        **_at("column", "high"), text="title"
    )
    text = base.mark_text(fontSize=10).encode(**_at("column", "low"), text="text")
    return (box + _arrows() + title + text).properties(width="container", height=190)


def _at(x: str, y: str) -> dict[str, alt.X | alt.Y]:
    """Places in the diagram, without axes."""
    return {
        "x": alt.X(f"{x}:Q", axis=None, scale=alt.Scale(domain=[-0.5, 2.5], nice=False)),
        "y": alt.Y(f"{y}:Q", axis=None, scale=alt.Scale(domain=[-0.4, 1.4], nice=False)),
    }


def _arrows() -> alt.LayerChart:
    """The six arrows between the boxes of `loop`, clockwise."""
    ends = [
        (0.43, 1.0, 0.57, 1.0, "▶"),
        (1.43, 1.0, 1.57, 1.0, "▶"),
        (2.0, 0.7, 2.0, 0.3, "▼"),
        (1.57, 0.0, 1.43, 0.0, "◀"),
        (0.57, 0.0, 0.43, 0.0, "◀"),
        (0.0, 0.3, 0.0, 0.7, "▲"),
    ]
    frame = pl.DataFrame(ends, schema=["x", "y", "x2", "y2", "head"], orient="row")
    frame = frame.with_columns(
        middle=(pl.col("x") + pl.col("x2")) / 2, height=(pl.col("y") + pl.col("y2")) / 2
    )
    base = alt.Chart(frame)
    line = base.mark_rule(strokeWidth=1.5).encode(**_at("x", "y"), x2="x2:Q", y2="y2:Q")
    head = base.mark_text(fontSize=14, baseline="middle")
    return line + head.encode(**_at("middle", "height"), text="head")


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


def mixture(ratios: pl.DataFrame, rewards: pl.DataFrame) -> alt.FacetChart:
    """The mixture over steps as stacked areas: asked for, share of rows, share of loss tokens.

    Args:
      ratios, rewards: as `frames.ratios` and `frames.rewards` give them for one run.
    """
    titles = {
        "ratio": "asked for",
        "rows_share": "share of rows drawn",
        "loss_tokens_share": "share of loss tokens",
    }
    begin = rewards.select("step").unique().sort("step")
    begin = begin.with_columns(start=pl.col("step").shift(1, fill_value=0))
    realised = rewards.join(begin, on="step").select(
        "objective", pl.col("start").alias("step"), "rows_share", "loss_tokens_share"
    )
    wide = ratios.select("objective", "step", "ratio").join(realised, on=["objective", "step"])
    last = wide.filter(pl.col("step") == pl.col("step").max())
    last = last.with_columns(step=pl.lit(rewards["step"].max(), wide.schema["step"]))
    long = pl.concat([wide, last]).unpivot(list(titles), index=["objective", "step"])
    long = titled(long).with_columns(pl.col("variable").replace(titles))
    area = alt.Chart(long).mark_area(interpolate="step-after", opacity=0.85, line=False)
    area = area.encode(
        x=alt.X("step:Q", title="step", scale=alt.Scale(nice=False)),
        y=alt.Y("value:Q", stack="zero", title=None, axis=alt.Axis(format="%", tickCount=3)),
        color=alt.Color(
            "objective:N", title=None, sort=ORDER, scale=MIXTURE_SCALE, legend=_below()
        ),
        order=alt.Order("rank:Q"),
        tooltip=["objective", "step", alt.Tooltip("value:Q", format=".1%")],
    )
    area = area.transform_calculate(rank=f"indexof({ORDER}, datum.objective)")
    order = list(titles.values())
    row = alt.Row("variable:N", title=None, sort=order, header=alt.Header(orient="top"))
    return area.properties(width=540, height=85).facet(row=row, spacing=8)


def _below() -> alt.Legend:
    return alt.Legend(orient="bottom", columns=4, symbolType="square", symbolOpacity=1)


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
