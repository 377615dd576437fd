"""The method as a diagram, and the reward curve: how a drop of a loss becomes a reward."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import polars as pl

from birdiedna.director.reward_model import CUBIC, DNA_LINEAR, Reward, reward

#: Rules that the reward curve offers.
RULES: dict[str, Reward] = {
    "cubic (Birdie)": CUBIC,
    "power 2": Reward(power=2),
    "power 1": Reward(power=1),
    "dna_linear": DNA_LINEAR,
}
#: Losses in nats at which the curve is drawn: two of language models, two of DNA, two near zero.
LEVELS = (4.5, 1.386, 1.3, 0.6, 0.1, 0.01)
#: Losses before and after a round that the golden table shows.
GOLDEN = (
    (4.5, 4.2),
    (0.6, 0.5207),
    (1.386, 1.30),
    (1.386, 1.35),
    (1.30, 1.29),
    (1.30, 1.31),
    (1.30, 1.25),
    (1.30, 1.35),
    (0.1, 0.05),
    (0.01, 0.005),
)
#: From high to low losses: blue to red, each visible on light and dark pages.
_LINES = ["#4781f5", "#2a9fd0", "#41aa64", "#df980c", "#d55e00", "#b8270a"]


def frame(levels: Sequence[float] = LEVELS) -> pl.DataFrame:
    """Reward against relative drop of the loss: rule, before (nats, as text), drop, reward."""
    drop = np.round(np.arange(-0.3, 0.3001, 0.01), 2)
    parts = []
    for title, rule in RULES.items():
        for level in levels:
            before = np.full_like(drop, level)
            values = np.asarray(reward(before, before * (1 - drop), rule))
            part = pl.DataFrame({"drop": drop, "reward": values.round(5)})
            parts.append(part.with_columns(rule=pl.lit(title), before=pl.lit(f"{level:g}")))
    return pl.concat(parts)


def curve(frame: pl.DataFrame) -> alt.LayerChart:
    """The reward curve at several losses, with a choice of the rule; from `frame`."""
    levels = frame["before"].unique(maintain_order=True).to_list()
    pick = alt.param(
        "rule", value=next(iter(RULES)), bind=alt.binding_select(options=list(RULES), name="Rule ")
    )
    line = (
        alt.Chart(frame)
        .transform_filter("datum.rule == rule")
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("drop:Q", title="relative drop of the loss", axis=alt.Axis(format="+%")),
            y=alt.Y("reward:Q", title="reward", scale=alt.Scale(domain=[-1, 1])),
            color=alt.Color(
                "before:N",
                sort=levels,
                scale=alt.Scale(domain=levels, range=_LINES),
                legend=alt.Legend(title="loss before (nats)", orient="bottom", columns=3),
            ),
            tooltip=["before:N", "drop:Q", alt.Tooltip("reward:Q", format="+.4f")],
        )
    )
    return (
        alt.layer(_rule(y=0), _rule(x=0), line)
        .properties(width="container", height=260)
        .add_params(pick)
    )


def _rule(**at: float) -> alt.Chart:
    channels = {channel: alt.datum(value) for channel, value in at.items()}
    return alt.Chart(pl.DataFrame({"one": [1]})).mark_rule(opacity=0.4).encode(**channels)


def golden(pairs: Sequence[tuple[float, float]] = GOLDEN) -> pl.DataFrame:
    """Rewards of given losses before and after a round, by both rules."""
    before, after = np.array(pairs).T
    return pl.DataFrame(
        {
            "before": before,
            "after": after,
            "drop": 1 - after / before,
            "cubic": np.asarray(reward(before, after), float),
            "dna_linear": np.asarray(reward(before, after, DNA_LINEAR), float),
        }
    )


def saturation(levels: Sequence[float] = LEVELS) -> pl.DataFrame:
    """The relative drop from which on a reward is 1 by the cubic rule, found on a fine grid."""
    drops = np.linspace(0, 0.99, 9_901)
    found = []
    for level in levels:
        full = np.asarray(reward(np.full_like(drops, level), level * (1 - drops))) >= 1
        found.append(float(drops[full][0]) if full.any() else None)
    return pl.DataFrame({"before": list(levels), "drop that earns 1": found})


def diagram() -> alt.LayerChart:
    """The method as a diagram: what is trained, what is measured, what chooses the next mixture."""
    boxes = [
        (0, 1, "Mixture", "one ratio each"),
        (1, 1, "Rows of DNA", "prompt and target"),
        (2, 1, "Transformer", "trains a round"),
        (2, 0, "Held-out loss", "one per objective"),
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
    """The six arrows between the boxes of the diagram, clockwise."""
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
