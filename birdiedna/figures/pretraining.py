"""Charts of `04_pretraining`: held-out losses and the mixture."""

import altair as alt
import polars as pl

from birdiedna.figures import style
from birdiedna.objectives.definitions import BIRDIE_DNA, NTP


def held_out(losses: pl.DataFrame, entropy: float) -> alt.FacetChart:
    """Held-out losses (`frames.losses`), a panel per objective, a line per arm.

    A checkbox shows losses of objectives that an arm was not trained on; they are out of
    distribution, hence no comparison, and hidden at first. The dashed rule is the order-0 entropy
    of the held-out contigs, in nats.
    """
    frame, note = style.thinned_arms(style.titled(losses.drop("run")), "step", "evaluations")
    order = [style.OBJECTIVE_TITLES[name] for name in (*BIRDIE_DNA, *NTP)]
    labelled = style.row_ends(frame.filter("trained"), "objective", order, "step", "loss", 2.2, 4)
    frame = pl.concat([frame, labelled.filter(pl.col("label").is_not_null())], how="diagonal")
    box = alt.binding_checkbox(name="also objectives that an arm was not trained on ")
    untrained = alt.param(name="untrained", value=False, bind=box)
    dashes = alt.Scale(domain=[True, False], range=[[1, 0], [3, 3]])
    lines = alt.Chart().mark_line(point=alt.OverlayMarkDef(size=14), clip=True)
    lines = lines.transform_filter("datum.trained || untrained").encode(
        x=alt.X("step:Q", title="step", axis=alt.Axis(tickCount=3)),
        y=alt.Y("loss:Q", title="nats per token", scale=alt.Scale(domain=[0, 2.2])),
        color=style.ARM_COLOUR,
        strokeDash=alt.StrokeDash("trained:N", legend=None, scale=dashes),
        tooltip=["arm", "objective", "step", *style.tips(".4f", "loss"), "trained"],
    )
    layers = style.rule(y=entropy), lines, style.arm_names("step")
    panel = alt.layer(*layers, data=frame).properties(width=122, height=95)
    found = style.panels(panel, "objective", order, columns=4, margin=60 + style.NAMES)
    return style.noted(found.add_params(untrained), note)


def mixture(rounds: pl.DataFrame) -> alt.FacetChart:
    """The mixture over steps, a panel per objective: share of rows thick, of loss tokens thin.

    From `frames.rounds` of one run. Triangles at the bottom mark exploration rounds, whose mixture
    was drawn at random.
    """
    long = style.titled(rounds.select("objective", "start", "end", "explored", *SHARES))
    long, note = style.thinned(long, "start", "rounds")
    base = alt.Chart().encode(
        x=alt.X("start:Q", title="step", axis=alt.Axis(tickCount=2)), x2="end:Q"
    )
    scale, axis = (
        alt.Scale(domain=[-0.07, 1.07], nice=False),
        alt.Axis(format="%", values=[0, 0.5, 1]),
    )
    share = lambda column: alt.Y(f"{column}:Q", title="share", scale=scale, axis=axis)
    tooltip = ["objective", "start", "end", *style.tips(".1%", *SHARES)]
    rows = base.mark_rule(strokeWidth=6, color=style.PLAIN[0], opacity=0.6).encode(
        y=share("ratio"), tooltip=tooltip
    )
    tokens = base.mark_rule(strokeWidth=1.5, opacity=1).encode(y=share("loss_tokens_share"))
    random = base.transform_filter("datum.explored").mark_point(
        shape="triangle-up", filled=True, size=40, color="currentColor", opacity=0.8
    )
    random = random.transform_calculate(middle="(datum.start + datum.end) / 2")
    random = random.encode(x="middle:Q", x2=alt.Undefined, y=alt.datum(0))
    panel = alt.layer(rows, tokens, random, data=long).properties(width=122, height=80)
    order = [style.OBJECTIVE_TITLES[name] for name in BIRDIE_DNA]
    return style.noted(style.panels(panel, "objective", order, columns=4, margin=78), note)


#: Shares of an objective in a round.
SHARES = ("ratio", "rows_share", "loss_tokens_share")
