"""The reward curve: how a drop of a loss becomes a reward, by several rules."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import polars as pl

from birdiedna.reward import CUBIC, DNA_LINEAR, Reward, reward

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
