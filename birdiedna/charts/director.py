"""Charts of the director: the reward curve, simulated worlds, and a real run beside them."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import polars as pl

from birdiedna.charts import palette, worlds
from birdiedna.objectives import BIRDIE_DNA
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
DIRECTOR_COLOURS = dict(
    zip(worlds.DIRECTORS, ("#d55e00", "#767676", "#4781f5", "#41aa64", "#8d358d"), strict=True)
)


def reward_frame(levels: Sequence[float] = LEVELS) -> pl.DataFrame:
    """Reward against relative drop of the loss: rule, before (nats, as text), drop, reward."""
    drop = np.round(np.arange(-0.3, 0.3001, 0.01), 2)
    frames = []
    for title, rule in RULES.items():
        for level in levels:
            before = np.full_like(drop, level)
            values = np.asarray(reward(before, before * (1 - drop), rule))
            frame = pl.DataFrame({"drop": drop, "reward": values})
            frames.append(frame.with_columns(rule=pl.lit(title), before=pl.lit(f"{level:g}")))
    return pl.concat(frames)


def reward_curve(frame: pl.DataFrame) -> alt.LayerChart:
    """The reward curve at several losses, with a choice of the rule; from `reward_frame`."""
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
                scale=alt.Scale(domain=levels, scheme="turbo"),
                legend=alt.Legend(title="loss before (nats)", orient="bottom", columns=6),
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


def _world() -> alt.Parameter:
    titles = list(worlds.WORLDS)
    return alt.param(
        "world", value=titles[0], bind=alt.binding_select(options=titles, name="World ")
    )


_IN_WORLD = "datum.world == world"


def _director_colour() -> alt.Color:
    legend = alt.Legend(title=None, orient="bottom", columns=3)
    return alt.Color("director:N", scale=palette.scale(DIRECTOR_COLOURS), legend=legend)


def earned(means: pl.DataFrame, ends: pl.DataFrame) -> alt.LayerChart:
    """Cumulative reward over steps, its 95 % interval, and every seed's end; choice of world.

    Args:
      means, ends: as `worlds.earned` and `worlds.ended` give them.
    """
    x = alt.X("step:Q", title="step", scale=alt.Scale(domain=[0, worlds.STEPS * 1.02], nice=False))
    line = alt.Chart(means).transform_filter(_IN_WORLD).encode(x=x, color=_director_colour())
    band = line.mark_area(opacity=0.2).encode(y="low:Q", y2="high:Q")
    middle = line.mark_line(strokeWidth=2).encode(
        y=alt.Y("mean:Q", title="cumulative reward"),
        tooltip=["director:N", "step:Q", alt.Tooltip("mean:Q", format=".2f")],
    )
    seeds = (
        alt.Chart(ends).transform_filter(_IN_WORLD).mark_point(filled=True, size=28, opacity=0.9)
    )
    dots = seeds.encode(
        x=x,
        y="reward:Q",
        color=_director_colour(),
        tooltip=["director:N", "seed:O", alt.Tooltip("reward:Q", format=".2f")],
    )
    return (
        alt.layer(band, middle, dots).properties(width="container", height=280).add_params(_world())
    )


def ended(ends: pl.DataFrame) -> alt.LayerChart:
    """Final mean loss of every seed and its mean per director; choice of world.

    Args:
      ends: as `worlds.ended` gives it.
    """
    base = (
        alt.Chart(ends)
        .transform_filter(_IN_WORLD)
        .encode(
            y=alt.Y("director:N", title=None, sort=list(worlds.DIRECTORS)),
            color=_director_colour().legend(None),
        )
    )
    axis = alt.X("loss:Q", title="final mean loss (nats, without noise)")
    dots = base.mark_point(filled=True, size=40, opacity=0.6).encode(
        x=axis, tooltip=["director:N", "seed:O", alt.Tooltip("loss:Q", format=".4f")]
    )
    mean = base.mark_tick(thickness=3, size=18).encode(x="mean(loss):Q")
    return (
        alt.layer(dots, mean)
        .properties(width="container", height=alt.Step(26))
        .add_params(_world())
    )


def mixture(chosen: pl.DataFrame, known: pl.DataFrame | None = None) -> alt.LayerChart:
    """Ratios of every round, stacked; with a choice of world if the frame has worlds.

    Args:
      chosen: start, end (steps), objective (title), ratio, and perhaps world.
      known: the known best constant ratios, same columns; drawn as a bar on the right.
    """
    names = list(BIRDIE_DNA)
    last = chosen["end"].max()
    stacked = _stacked(chosen)
    if known is not None:
        beside = {"start": pl.lit(last * 1.03), "end": pl.lit(last * 1.09)}
        right = _stacked(known.group_by("world", "objective", maintain_order=True).first())
        stacked = pl.concat([stacked, right.with_columns(**beside)], how="vertical_relaxed")
    x = alt.X("start:Q", title="step", scale=alt.Scale(domain=[0, last * 1.09], nice=False))
    chart = alt.Chart(stacked)
    if "world" in chosen.columns:
        chart = chart.transform_filter(_IN_WORLD).add_params(_world())
    return (
        chart.mark_rect()
        .encode(
            x=x,
            x2="end:Q",
            y=alt.Y("low:Q", title="ratio", scale=alt.Scale(domain=[0, 1], reverse=True)),
            y2="high:Q",
            color=palette.objective_colour(names),
            tooltip=["objective:N", "start:Q", "end:Q", alt.Tooltip("ratio:Q", format=".1%")],
        )
        .properties(width="container", height=260)
    )


def _stacked(chosen: pl.DataFrame) -> pl.DataFrame:
    """Cumulated ratios within every round: low and high edges, rounded to keep the page small."""
    keys = [key for key in ("world", "start") if key in chosen.columns]
    high = pl.col("ratio").cum_sum().over(keys)
    return chosen.with_columns(low=(high - pl.col("ratio")).round(4), high=high.round(4)).select(
        *[key for key in ("world",) if key in chosen.columns],
        "start",
        "end",
        "objective",
        pl.col("ratio").round(4),
        "low",
        "high",
    )


def foreseen(rounds: pl.DataFrame) -> alt.LayerChart:
    """Predicted against realised total reward of every round; choice of world.

    Args:
      rounds: as `worlds.foreseen` gives it.
    """
    frame = rounds.with_columns(
        pl.col("predicted", "realised").round(4),
        how=pl.when("explored").then(pl.lit("drawn at random")).otherwise(pl.lit("chosen")),
    ).drop("director", "explored")
    ends = [frame["predicted"].min(), frame["realised"].min()], [frame["realised"].max()]
    low, high = min(ends[0]), max(*ends[1], frame["predicted"].max())
    line = alt.Chart(pl.DataFrame({"x": [low, high]})).mark_line(
        strokeDash=[4, 3], opacity=0.6, color="currentColor"
    )
    points = (
        alt.Chart(frame)
        .transform_filter(_IN_WORLD)
        .mark_point(filled=True, size=30, opacity=0.6)
        .encode(
            x=alt.X("predicted:Q", title="predicted total reward"),
            y=alt.Y("realised:Q", title="realised total reward"),
            color=alt.Color(
                "how:N",
                scale=alt.Scale(domain=["chosen", "drawn at random"], range=["#d55e00", "#767676"]),
                legend=alt.Legend(title="the round's mixture was", orient="bottom"),
            ),
            tooltip=["seed:O", "step:Q", "predicted:Q", "realised:Q", "how:N"],
        )
    )
    return (
        alt.layer(line.encode(x="x:Q", y="x:Q"), points)
        .properties(width="container", height=280)
        .add_params(_world())
    )


def run_ratios(ratios: pl.DataFrame, rewards: pl.DataFrame) -> pl.DataFrame:
    """The rounds of a real run for `mixture`: start, end, objective (title), ratio, reward.

    Args:
      ratios, rewards: as `frames.ratios` and `frames.rewards` give them for one run.
    """
    ends = rewards.select("step").unique().sort("step").rename({"step": "end"})
    rounds = ends.with_columns(start=pl.col("end").shift(1, fill_value=0))
    earned = rewards.select("objective", "reward", end="step")
    return (
        ratios.select("objective", "ratio", start="step")
        .join(rounds, on="start")
        .join(earned, on=["objective", "end"])
        .with_columns(pl.col("objective").replace(palette.OBJECTIVE_TITLES))
    )


def run_rewards(rounds: pl.DataFrame) -> alt.LayerChart:
    """Cumulative reward of every objective in a real run, from `run_ratios`."""
    frame = rounds.sort("end").with_columns(
        cumulative=pl.col("reward").cum_sum().over("objective").round(4)
    )
    return (
        alt.Chart(frame.select("objective", "end", "reward", "cumulative"))
        .mark_line(point=True)
        .encode(
            x=alt.X("end:Q", title="step"),
            y=alt.Y("cumulative:Q", title="cumulative reward"),
            color=palette.objective_colour(list(BIRDIE_DNA)),
            tooltip=[
                "objective:N",
                "end:Q",
                alt.Tooltip("reward:Q", format="+.4f"),
                "cumulative:Q",
            ],
        )
        .properties(width="container", height=260)
    )
