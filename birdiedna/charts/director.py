"""Charts of the director: what it earned, chose and foresaw, in simulated worlds and real runs."""

from pathlib import Path

import altair as alt
import polars as pl

from birdiedna.charts import palette, worlds
from birdiedna.evaluation import frames
from birdiedna.objectives import BIRDIE_DNA

DIRECTOR_COLOURS = dict(
    zip(worlds.DIRECTORS, ("#d55e00", "#767676", "#4781f5", "#41aa64", "#8d358d"), strict=True)
)


def _world() -> alt.Parameter:
    titles = list(worlds.WORLDS)
    return alt.param(
        "world", value=titles[0], bind=alt.binding_select(options=titles, name="World ")
    )


_IN_WORLD = "datum.world == world"


def _director_colour() -> alt.Color:
    legend = alt.Legend(title=None, orient="bottom", columns=2, symbolOpacity=1)
    return alt.Color("director:N", scale=palette.scale(DIRECTOR_COLOURS), legend=legend)


def earned(means: pl.DataFrame, ends: pl.DataFrame) -> alt.LayerChart:
    """Cumulative reward over steps, its 95 % interval, and every seed's end; choice of world.

    Args:
      means, ends: as `worlds.earned` and `worlds.ended` give them.
    """
    x = alt.X(
        "step:Q",
        title="step",
        axis=alt.Axis(format="~s"),
        scale=alt.Scale(domain=[0, worlds.STEPS * 1.02], nice=False),
    )
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
    return alt.layer(dots, mean).properties(width="container", height=140).add_params(_world())


def mixture(chosen: pl.DataFrame, known: pl.DataFrame | None = None) -> alt.LayerChart:
    """Ratios of every round, stacked, a mark above random ones; choice of world if there are any.

    Args:
      chosen: start, end (steps), explored, objective (title), ratio, and perhaps world.
      known: the known best constant ratios, same columns; drawn as a bar on the right.
    """
    last = chosen["end"].max()
    stacked = _stacked(chosen)
    if known is not None:
        beside = {"start": pl.lit(last * 1.03), "end": pl.lit(last * 1.09)}
        right = _stacked(known.group_by("world", "objective", maintain_order=True).first())
        stacked = pl.concat([stacked, right.with_columns(**beside)], how="vertical_relaxed")
    domain = alt.Scale(domain=[0, stacked["end"].max()], nice=False)
    chart = alt.Chart(stacked)
    if "world" in chosen.columns:
        chart = chart.transform_filter(_IN_WORLD)
    areas = chart.mark_rect().encode(
        x=alt.X("start:Q", title="step", scale=domain, axis=alt.Axis(format="~s")),
        x2="end:Q",
        y=_share("low"),
        y2="high:Q",
        color=palette.objective_colour(list(BIRDIE_DNA)),
        tooltip=["objective:N", "start:Q", "end:Q", alt.Tooltip("ratio:Q", format=".1%")],
    )
    marks = (
        chart.transform_filter("datum.explored && datum.low == 0")
        .transform_calculate(middle="(datum.start + datum.end) / 2", above="1.035")
        .mark_point(shape="triangle-down", filled=True, size=45, color="currentColor", opacity=0.8)
        .encode(x=alt.X("middle:Q", scale=domain), y=_share("above"))
    )
    whole = alt.layer(areas, marks).properties(width="container", height=270)
    return whole.add_params(_world()) if "world" in chosen.columns else whole


def _share(column: str) -> alt.Y:
    axis = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1])
    scale = alt.Scale(domain=[0, 1.07], nice=False)
    return alt.Y(f"{column}:Q", title="ratio", scale=scale, axis=axis)


def _stacked(chosen: pl.DataFrame) -> pl.DataFrame:
    """Ratios stacked within every round, with low and high edges; rounded, for a small page."""
    world = [key for key in ("world",) if key in chosen.columns]
    high = pl.col("ratio").cum_sum().over([*world, "start"])
    edges = {"low": (high - pl.col("ratio")).round(3).abs(), "high": high.round(3)}
    kept = chosen.with_columns(**edges, ratio=pl.col("ratio").round(4))
    return kept.select(*world, "start", "end", "explored", "objective", "ratio", "low", "high")


def foreseen(rounds: pl.DataFrame) -> alt.LayerChart:
    """Predicted against realised total reward of every round; choice of world.

    Args:
      rounds: as `worlds.foreseen` gives it.
    """
    frame = rounds.with_columns(
        pl.col("predicted", "realised").round(4),
        how=pl.when("explored").then(pl.lit("drawn at random")).otherwise(pl.lit("chosen")),
    ).drop("director", "explored")
    values = pl.concat([frame["predicted"], frame["realised"]])
    line = alt.Chart(pl.DataFrame({"x": [values.min(), values.max()]})).mark_line(
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


def rounds(run: Path) -> pl.DataFrame:
    """The rounds of a real run, for `mixture` and `run_rewards`.

    Returns:
      start, end (steps), explored, objective (title), ratio, reward.
    """
    rewards, decided = frames.rewards([run]), frames.decisions([run])
    ends = rewards.select(end=pl.col("step").unique().sort())
    ends = ends.with_columns(start=pl.col("end").shift(1, fill_value=0))
    return (
        frames.ratios([run])
        .select("objective", "ratio", start="step")
        .join(ends, on="start", maintain_order="left")
        .join(decided.select("explored", start="step"), on="start", maintain_order="left")
        .join(
            rewards.select("objective", "reward", end="step"),
            on=["objective", "end"],
            maintain_order="left",
        )
        .with_columns(pl.col("objective").replace(palette.OBJECTIVE_TITLES))
    )


def run_rewards(rounds: pl.DataFrame) -> alt.Chart:
    """Cumulative reward of every objective in a real run, from `rounds`."""
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
