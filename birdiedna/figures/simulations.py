"""Directors in simulated worlds and real runs: what they earned, chose and foresaw."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import altair as alt
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jax import Array
from scipy import stats

from birdiedna.director import simulate as simulation
from birdiedna.director.director import Birdie, Director, Fixed, even, ul2r, wander
from birdiedna.director.simulate import Trajectory, World
from birdiedna.evaluation import frames
from birdiedna.figures import style
from birdiedna.figures.rows import PLAIN
from birdiedna.objectives.definitions import BIRDIE_DNA, CLASSES

STEPS = 16_384
WORLDS: dict[str, World] = {
    "One useful class": simulation.one_useful(CLASSES),
    "Each for itself": simulation.independent(CLASSES),
    "Two helpers": simulation.helpful(CLASSES),
    "Like nucleotides": simulation.nucleotide(CLASSES),
}
LEARNED, RANDOM, UNIFORM, UL2R, BEST = (
    "Reward model",
    "Random actions",
    "Uniform",
    "UL2R-like",
    "Best constant",
)
DIRECTORS = (LEARNED, RANDOM, UNIFORM, UL2R, BEST)


class Run(NamedTuple):
    """The simulations of one director in one world, one per seed."""

    world: str
    director: str
    trajectory: Trajectory


def best(world: World) -> Fixed:
    """The constant mixture that ends with the lowest mean loss, as a director."""
    ratios = np.asarray(simulation.best_mixture(world, float(STEPS)), np.float64)
    return Fixed(tuple((ratios / ratios.sum()).tolist()), CLASSES)


def simulate(learned: Birdie, seeds: int) -> list[Run]:
    """Every director in every world, with the same seeds and the same noise for all.

    Args:
      learned: the director with the reward model.
      seeds: simulations per director and world.
    """
    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
    runs = []
    shared = {
        LEARNED: learned,
        RANDOM: wander(CLASSES),
        UNIFORM: even(CLASSES),
        UL2R: ul2r(CLASSES),
    }
    for title, world in WORLDS.items():
        for name, director in {**shared, BEST: best(world)}.items():
            runs.append(Run(title, name, _simulated(director, world, keys)))
    return runs


def of(runs: Sequence[Run], director: str) -> list[Run]:
    """The runs of one director, in the order of the worlds."""
    return [run for run in runs if run.director == director]


def _simulated(director: Director, world: World, keys: Array) -> Trajectory:
    """Directors without a reward model to speak of take longer to compile than to run."""
    if isinstance(director, Fixed) or director.model.width == 1:
        lowered = simulation.simulate.lower(director, world, keys, STEPS)
        found = lowered.compile(compiler_options=PLAIN)(world, keys)
    else:
        found = simulation.simulate(director, world, keys, STEPS)
    return jax.tree.map(np.asarray, found)


def again(learned: Birdie, title: str, name: str, seeds: int) -> Run:
    """One more director, called `name`, in one world only."""
    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
    return Run(title, name, _simulated(learned, WORLDS[title], keys))


def interval(values: np.ndarray) -> tuple[float, float]:
    """Mean over seeds (n,) and half the width of its 95 % t interval; 0 if all are equal."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values)), float(stats.t.ppf(0.975, len(values) - 1) * error)


def earned(runs: Sequence[Run]) -> pl.DataFrame:
    """Cumulative reward over steps: world, director, step, mean, low, high (over seeds)."""
    frames = []
    for run in runs:
        sums = np.cumsum(run.trajectory.total, axis=1)
        middle, half = np.array([interval(column) for column in sums.T]).T
        frame = {"step": run.trajectory.steps[0, 1:], "mean": middle.round(3)}
        frame |= {"low": (middle - half).round(3), "high": (middle + half).round(3)}
        frames.append(pl.DataFrame(frame).with_columns(**_names(run)))
    return pl.concat(frames)


def ended(runs: Sequence[Run]) -> pl.DataFrame:
    """How every simulation ended: world, director, seed, step, reward (cumulative), loss."""
    frames = []
    for run in runs:
        t = run.trajectory
        frame = {"seed": np.arange(len(t.final)), "step": t.steps[:, -1]}
        frame |= {"reward": t.total.sum(axis=1), "loss": t.final}
        frames.append(pl.DataFrame(frame).with_columns(**_names(run)))
    return pl.concat(frames)


def _names(run: Run) -> dict[str, pl.Expr]:
    return {"world": pl.lit(run.world), "director": pl.lit(run.director)}


def comparison(ended: pl.DataFrame, against: str = UNIFORM) -> pl.DataFrame:
    """Cumulative reward and final loss per world and director, and their paired differences.

    Args:
      ended: as `ended` gives it.
      against: the director that the others are compared with, seed by seed.

    Returns:
      world, director, reward, loss (means over seeds), and for both the mean difference to
      `against` with its 95 % t interval, `gain`, `gain ±`, `loss difference`, `loss ±` (null for
      `against` itself).
    """
    lines = []
    for (title, name), own in ended.group_by(["world", "director"], maintain_order=True):
        rival = ended.filter(pl.col("world") == title, pl.col("director") == against)
        pair = own.join(rival, on="seed", suffix="_rival").sort("seed")
        means = {"reward": own["reward"].mean(), "loss": own["loss"].mean()}
        lines.append({"world": title, "director": name, **means})
        if name != against:
            gain = interval((pair["reward"] - pair["reward_rival"]).to_numpy())
            loss = interval((pair["loss"] - pair["loss_rival"]).to_numpy())
            lines[-1] |= {"gain": gain[0], "gain ±": gain[1]}
            lines[-1] |= {"loss difference": loss[0], "loss ±": loss[1]}
    return pl.DataFrame(lines, infer_schema_length=None)


def chosen(runs: Sequence[Run], seed: int = 0) -> pl.DataFrame:
    """The ratios of every round of one seed.

    Returns:
      world, director, start, end (steps), explored (bool), objective (title), ratio.
    """
    titles = style.titled(list(BIRDIE_DNA))
    frames = []
    for run in runs:
        steps, ratios = run.trajectory.steps[0], run.trajectory.ratios[seed]
        frame = {
            "start": np.repeat(steps[:-1], len(titles)),
            "end": np.repeat(steps[1:], len(titles)),
            "explored": np.repeat(run.trajectory.explored[seed], len(titles)),
            "objective": titles * len(ratios),
            "ratio": ratios.ravel(),
        }
        frames.append(pl.DataFrame(frame).with_columns(**_names(run)))
    return pl.concat(frames)


def foreseen(runs: Sequence[Run]) -> pl.DataFrame:
    """Predicted and realised total reward of rounds after the warm-up, all seeds together.

    Returns:
      world, director, seed, step (the round's end), predicted, realised, explored.
    """
    frames = []
    for run in runs:
        t = run.trajectory
        seeds, rounds = t.total.shape
        frame = {
            "seed": np.repeat(np.arange(seeds), rounds),
            "step": t.steps[:, 1:].ravel(),
            "predicted": t.predicted.ravel(),
            "realised": t.total.ravel(),
            "explored": t.explored.ravel(),
        }
        frames.append(pl.DataFrame(frame).with_columns(**_names(run)))
    return pl.concat(frames).filter(pl.col("step") > 256)


def agreement(foreseen: pl.DataFrame) -> pl.DataFrame:
    """Rank correlation of predicted and realised reward per world, over rounds of all seeds."""
    lines = []
    for (title,), rounds in foreseen.group_by(["world"], maintain_order=True):
        chosen = rounds.filter(~pl.col("explored"))
        rho = [
            stats.spearmanr(part["predicted"], part["realised"]).statistic
            for part in (rounds, chosen)
        ]
        lines.append(
            {"world": title, "rounds": rounds.height, "all rounds": rho[0], "chosen rounds": rho[1]}
        )
    return pl.DataFrame(lines)


def between(column: str, digits: int) -> pl.Expr:
    """A difference of `comparison` with its interval as text, such as "+1.5 [+0.2, +2.8]"."""
    spread = f"{column.split()[0]} ±"

    def text(row: dict[str, float]) -> str:
        middle, half = row[column], row[spread]
        if middle is None:
            return "–"
        values = (round(v, digits) + 0.0 for v in (middle, middle - half, middle + half))
        return "{} [{}, {}]".format(*(f"{value:+.{digits}f}" for value in values))

    return pl.struct(column, spread).map_elements(text, pl.String).alias(column)


def stated(compared: pl.DataFrame, title: str, director: str) -> dict[str, str]:
    """One line of `comparison`, differences as text with their intervals."""
    line = compared.filter(pl.col("world") == title, pl.col("director") == director)
    return line.select(between("gain", 1), between("loss difference", 3)).row(0, named=True)


def judged(compared: pl.DataFrame, title: str, director: str) -> str:
    """How a director's final loss stands to uniform's, in words that follow from the interval.

    Args:
      compared: as `comparison` gives it.
      title, director: the line of it.
    """
    line = compared.filter(pl.col("world") == title, pl.col("director") == director)
    middle, half = line.select("loss difference", "loss ±").row(0)
    if middle + half < 0:
        return "lower than uniform's"
    return "higher than uniform's" if middle - half > 0 else "not clearly different from uniform's"


def early(rounds: pl.DataFrame, share: float = 0.9) -> tuple[int, float]:
    """How few first rounds of a real run hold `share` of all reward moved, and what they hold.

    Args:
      rounds: end and reward of every round and objective, as `rounds` gives them.
      share: of the sum of absolute rewards.
    """
    moved = rounds.group_by("end").agg(pl.col("reward").abs().sum()).sort("end")["reward"]
    held = (moved.cum_sum() / moved.sum()).to_numpy()
    count = int(np.argmax(held >= share)) + 1
    return count, float(held[count - 1])


DIRECTOR_COLOURS = dict(
    zip(DIRECTORS, ("#d55e00", "#767676", "#4781f5", "#41aa64", "#8d358d"), strict=True)
)


def _world() -> alt.Parameter:
    titles = list(WORLDS)
    return alt.param(
        "world", value=titles[0], bind=alt.binding_select(options=titles, name="World ")
    )


_IN_WORLD = "datum.world == world"


def _director_colour() -> alt.Color:
    legend = alt.Legend(title=None, orient="bottom", columns=2, symbolOpacity=1)
    return alt.Color("director:N", scale=style.scale(DIRECTOR_COLOURS), legend=legend)


def earned_chart(means: pl.DataFrame, ends: pl.DataFrame) -> alt.LayerChart:
    """Cumulative reward over steps, its 95 % interval, and every seed's end; choice of world.

    Args:
      means, ends: as `simulations.earned` and `simulations.ended` give them.
    """
    x = alt.X(
        "step:Q",
        title="step",
        axis=alt.Axis(format="~s"),
        scale=alt.Scale(domain=[0, STEPS * 1.02], nice=False),
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


def ended_chart(ends: pl.DataFrame) -> alt.LayerChart:
    """Final mean loss of every seed and its mean per director; choice of world.

    Args:
      ends: as `simulations.ended` gives it.
    """
    base = (
        alt.Chart(ends)
        .transform_filter(_IN_WORLD)
        .encode(
            y=alt.Y("director:N", title=None, sort=list(DIRECTORS)),
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
        color=style.objective_colour(list(BIRDIE_DNA)),
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


def foreseen_chart(rounds: pl.DataFrame) -> alt.LayerChart:
    """Predicted against realised total reward of every round; choice of world.

    Args:
      rounds: as `simulations.foreseen` gives it.
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
        .with_columns(pl.col("objective").replace(style.OBJECTIVE_TITLES))
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
            color=style.objective_colour(list(BIRDIE_DNA)),
            tooltip=[
                "objective:N",
                "end:Q",
                alt.Tooltip("reward:Q", format="+.4f"),
                "cumulative:Q",
            ],
        )
        .properties(width="container", height=260)
    )
