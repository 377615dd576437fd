"""Charts of chapter 3, and chapter 1's diagram: directors in simulated worlds.

The simulations of all directors are one frame, `frame`: a line per round of every seed.
"""

from collections.abc import Mapping
from pathlib import Path

import altair as alt
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from scipy import stats

from birdiedna.director import simulate as simulation
from birdiedna.director.director import Birdie, Director, Fixed, even, ul2r, wander
from birdiedna.director.simulate import Trajectory, World
from birdiedna.evaluation import frames
from birdiedna.evaluation.statistics import t_interval
from birdiedna.figures.style import (
    OBJECTIVE_TITLES,
    PLAIN,
    Layers,
    legend,
    menu,
    objective_colour,
    scale,
    tips,
    titled,
)
from birdiedna.objectives.definitions import BIRDIE_DNA, CLASSES

STEPS = 16_384
WORLDS: dict[str, World] = {
    "One useful class": simulation.one_useful(CLASSES),
    "Each for itself": simulation.independent(CLASSES),
    "Two helpers": simulation.helpful(CLASSES),
    "Like nucleotides": simulation.nucleotide(CLASSES),
}
LEARNED, RANDOM, UNIFORM = "Reward model", "Random actions", "Uniform"
UL2R, BEST = "UL2R-like", "Best constant"
DIRECTOR_COLOURS = {
    LEARNED: "#d55e00",
    RANDOM: "#767676",
    UNIFORM: "#4781f5",
    UL2R: "#41aa64",
    BEST: "#8d358d",
}
_RUN = ["world", "director", "seed"]
_IN_WORLD = "datum.world == world"


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
    title = base.mark_text(fontWeight="bold", fontSize=12)
    title = title.encode(**_at("column", "high"), text="title")
    text = base.mark_text(fontSize=12).encode(**_at("column", "low"), text="text")
    ends = [  # of the arrows, clockwise
        (0.43, 1.0, 0.57, 1.0, "▶"),
        (1.43, 1.0, 1.57, 1.0, "▶"),
        (2.0, 0.7, 2.0, 0.3, "▼"),
        (1.57, 0.0, 1.43, 0.0, "◀"),
        (0.57, 0.0, 0.43, 0.0, "◀"),
        (0.0, 0.3, 0.0, 0.7, "▲"),
    ]
    arrows = pl.DataFrame(ends, schema=["x", "y", "x2", "y2", "head"], orient="row")
    middle = {
        "middle": (pl.col("x") + pl.col("x2")) / 2,
        "height": (pl.col("y") + pl.col("y2")) / 2,
    }
    base = alt.Chart(arrows.with_columns(**middle))
    line = base.mark_rule(strokeWidth=1.5).encode(**_at("x", "y"), x2="x2:Q", y2="y2:Q")
    head = base.mark_text(fontSize=14, baseline="middle")
    head = head.encode(**_at("middle", "height"), text="head")
    return (box + line + head + title + text).properties(width="container", height=190)


def _at(x: str, y: str) -> dict[str, alt.X | alt.Y]:
    """Places in the diagram, without axes."""
    return {
        "x": alt.X(f"{x}:Q", axis=None, scale=alt.Scale(domain=[-0.5, 2.5], nice=False)),
        "y": alt.Y(f"{y}:Q", axis=None, scale=alt.Scale(domain=[-0.4, 1.4], nice=False)),
    }


def best(world: World) -> Fixed:
    """The constant mixture that ends with the lowest mean loss, as a director."""
    ratios = np.asarray(simulation.best_mixture(world, float(STEPS)), np.float64)
    return Fixed(tuple((ratios / ratios.sum()).tolist()), CLASSES)


def simulate(learned: Birdie, seeds: int) -> dict[tuple[str, str], Trajectory]:
    """Every director in every world, (world, director) -> trajectories with an axis of seeds.

    Args:
      learned: the director with the reward model.
      seeds: simulations per director and world; all directors have the same seeds and noise.
    """
    shared: dict[str, Director] = {
        LEARNED: learned,
        RANDOM: wander(CLASSES),
        UNIFORM: even(CLASSES),
        UL2R: ul2r(CLASSES),
    }
    runs = {}
    for title, world in WORLDS.items():
        for name, director in {**shared, BEST: best(world)}.items():
            runs[title, name] = simulate_one(director, title, seeds)
    return runs


def simulate_one(director: Director, world: str, seeds: int) -> Trajectory:
    """One director in one world, with a leading axis of seeds."""
    learns = isinstance(director, Birdie) and director.model.width > 1
    run = simulation.simulate if learns else _simulate_unoptimised
    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
    return jax.tree.map(np.asarray, run(director, WORLDS[world], keys, STEPS))


#: For directors that take longer to compile than to run.
_simulate_unoptimised = jax.jit(
    simulation.simulate,
    static_argnums=(0, 3),
    compiler_options={"xla_backend_optimization_level": 0},
)


def frame(runs: Mapping[tuple[str, str], Trajectory]) -> pl.DataFrame:
    """Simulations as a frame, a line per round.

    Returns:
      world, director, seed, start, end (steps), explored, ratios (list), reward and predicted
      (totals of the round), earned (reward so far), loss (mean loss at the end of the run).
    """
    parts = []
    for (world, director), run in runs.items():
        seeds, rounds = run.total.shape
        parts.append(
            pl.DataFrame(
                {
                    "seed": np.repeat(np.arange(seeds), rounds),
                    "start": run.steps[:, :-1].ravel(),
                    "end": run.steps[:, 1:].ravel(),
                    "explored": run.explored.ravel(),
                    "ratios": run.ratios.reshape(seeds * rounds, -1).tolist(),
                    "reward": run.total.ravel(),
                    "predicted": run.predicted.ravel(),
                    "loss": np.repeat(run.final, rounds),
                }
            ).select(pl.lit(world).alias("world"), pl.lit(director).alias("director"), pl.all())
        )
    return pl.concat(parts).with_columns(earned=pl.col("reward").cum_sum().over(_RUN))


def ends(rounds: pl.DataFrame) -> pl.DataFrame:
    """How every simulation ended: world, director, seed, step, reward (of all rounds), loss."""
    last = rounds.group_by(_RUN, maintain_order=True).last()
    return last.select(*_RUN, step="end", reward="earned", loss="loss")


def comparison(ended: pl.DataFrame) -> pl.DataFrame:
    """Cumulative reward and final loss per world and director, and their differences to uniform.

    Args:
      ended: as `ends` gives it.

    Returns:
      world, director, reward, loss (means over seeds); gain, loss difference: mean over seeds of
      the paired difference to the uniform mixture and its 95 % t interval, [mean, low, high], null
      for uniform itself.
    """
    lines = []
    for (world, name), own in ended.group_by(_RUN[:2], maintain_order=True):
        rival = ended.filter(pl.col("world") == world, pl.col("director") == UNIFORM)
        pair = own.join(rival, on="seed", suffix="_rival").sort("seed")
        line = {"world": world, "director": name}
        line |= {"reward": own["reward"].mean(), "loss": own["loss"].mean()}
        for column, difference in (("reward", "gain"), ("loss", "loss difference")):
            gap = (pair[column] - pair[f"{column}_rival"]).to_numpy()
            line[difference] = None if name == UNIFORM else [gap.mean(), *t_interval(gap)]
        lines.append(line)
    return pl.DataFrame(lines, infer_schema_length=None)


def with_intervals(compared: pl.DataFrame) -> pl.DataFrame:
    """A `comparison` whose differences are text, such as "+1.5 [+0.2, +2.8]"."""

    def text(digits: int, edges: list[float] | None) -> str:
        numbers = [f"{round(edge, digits) + 0.0:+.{digits}f}" for edge in edges or []]
        return "{} [{}, {}]".format(*numbers) if numbers else "–"

    return compared.with_columns(
        pl.Series(name, [text(digits, edges) for edges in compared[name].to_list()], pl.String)
        for name, digits in (("gain", 1), ("loss difference", 3))
    )


def judged(edges: list[float]) -> str:
    """In words, whether a final loss differs from uniform's by [mean, low, high]."""
    if edges[2] < 0:
        return "lower than uniform's"
    return "higher than uniform's" if edges[1] > 0 else "not clearly different from uniform's"


def foreseen(rounds: pl.DataFrame) -> pl.DataFrame:
    """The reward model's rounds after the warm-up, where predictions are compared with rewards."""
    return rounds.filter(pl.col("director") == LEARNED, pl.col("end") > 256)


def agreement(rounds: pl.DataFrame) -> pl.DataFrame:
    """Rank correlation of predicted and realised reward per world, over rounds of all seeds."""
    lines = []
    for (world,), every in rounds.group_by(["world"], maintain_order=True):
        chosen = every.filter(~pl.col("explored"))
        rho = [stats.spearmanr(p["predicted"], p["reward"]).statistic for p in (every, chosen)]
        lines.append((world, every.height, *rho))
    return pl.DataFrame(lines, ["world", "rounds", "all rounds", "chosen rounds"], orient="row")


def early(rewards: pl.DataFrame, share: float = 0.9) -> tuple[int, float]:
    """Number of first rounds that have `share` of all absolute rewards, and their exact share.

    Args:
      rewards: as `frames.rewards` gives it.
    """
    moved = rewards.group_by("step").agg(pl.col("reward").abs().sum()).sort("step")["reward"]
    held = (moved.cum_sum() / moved.sum()).to_numpy()
    count = int(np.argmax(held >= share)) + 1
    return count, float(held[count - 1])


def _in_world(frame: pl.DataFrame) -> alt.Chart:
    return alt.Chart(frame).transform_filter(_IN_WORLD)


def _director_colour() -> alt.Color:
    colour = scale(DIRECTOR_COLOURS)
    return alt.Color("director:N", scale=colour, legend=legend("bottom", 2))


def _page(layers: Layers, height: int) -> Layers:
    """A chart as wide as the page with a menu of worlds."""
    sized = layers.properties(width="container", height=height)
    return sized.add_params(menu("world", list(WORLDS), "World"))


def earned(rounds: pl.DataFrame) -> Layers:
    """Cumulative reward over steps, its 95 % t interval, and every seed's end; choice of world."""
    seeds = pl.len()
    half = pl.col("earned").std() / seeds.sqrt() * float(stats.t.ppf(0.975, rounds["seed"].max()))
    means = rounds.group_by("world", "director", "end", maintain_order=True).agg(
        mean=pl.col("earned").mean().round(3),
        low=(pl.col("earned").mean() - half).round(3),
        high=(pl.col("earned").mean() + half).round(3),
    )
    domain = alt.Scale(domain=[0, STEPS * 1.02], nice=False)
    x = alt.X("end:Q", title="step", axis=alt.Axis(format="~s"), scale=domain)
    line = _in_world(means).encode(x=x, color=_director_colour())
    band = line.mark_area(opacity=0.2).encode(y="low:Q", y2="high:Q")
    middle = line.mark_line(strokeWidth=2).encode(
        y=alt.Y("mean:Q", title="cumulative reward"),
        tooltip=["director:N", "end:Q", *tips(".2f", "mean")],
    )
    dots = _in_world(ends(rounds)).mark_point(filled=True, size=28, opacity=0.9)
    dots = dots.encode(
        x=alt.X("step:Q", scale=domain),
        y="reward:Q",
        color=_director_colour(),
        tooltip=["director:N", "seed:O", *tips(".2f", "reward")],
    )
    return _page(alt.layer(band, middle, dots), 280)


def final_losses(ended: pl.DataFrame) -> Layers:
    """Final mean loss of every seed and its mean per director, from `ends`; choice of world."""
    y = alt.Y("director:N", title=None, sort=list(DIRECTOR_COLOURS))
    base = _in_world(ended).encode(y=y, color=_director_colour().legend(None))
    dots = base.mark_point(filled=True, size=40, opacity=0.6).encode(
        x=alt.X("loss:Q", title="final mean loss (nats, without noise)"),
        tooltip=["director:N", "seed:O", *tips(".4f", "loss")],
    )
    mean = base.mark_tick(thickness=3, size=18).encode(x="mean(loss):Q")
    return _page(alt.layer(dots, mean), 140)


def stacked(rounds: pl.DataFrame) -> pl.DataFrame:
    """Ratios of every round, a line per objective, stacked between `low` and `high`."""
    titles = [OBJECTIVE_TITLES[name] for name in BIRDIE_DNA]
    columns = [*(name for name in ("world",) if name in rounds.columns), "start", "end", "explored"]
    each = rounds.select(*columns, pl.Series("objective", [titles] * rounds.height), ratio="ratios")
    long = each.explode("objective", "ratio")
    high = pl.col("ratio").cum_sum().over(columns)
    edges = {"low": (high - pl.col("ratio")).round(3).abs(), "high": high.round(3)}
    return long.with_columns(**edges, ratio=pl.col("ratio").round(4))


def mixture(rounds: pl.DataFrame) -> Layers:
    """Ratios of every round, stacked, with a mark above random rounds.

    Args:
      rounds: as `frame` or `real_rounds` give it. Of simulations, the reward model's first seed is
        drawn, and as a bar on the right the best constant mixture, with a choice of world.
    """
    simulated = "world" in rounds.columns
    if simulated:
        first, last = rounds.filter(pl.col("seed") == 0), rounds.select(pl.max("end")).item()
        rounds = first.filter(pl.col("director") == LEARNED)
        constant = first.filter(pl.col("director") == BEST, pl.col("start") == 0)
        place = {"start": pl.lit(int(last * 1.03)), "end": pl.lit(int(last * 1.09))}
        rounds = pl.concat([rounds, constant.with_columns(**place)], how="vertical_relaxed")
    drawn = stacked(rounds)
    chart = _in_world(drawn) if simulated else alt.Chart(drawn)
    domain = alt.Scale(domain=[0, drawn.select(pl.max("end")).item()], nice=False)
    areas = chart.mark_rect().encode(
        x=alt.X("start:Q", title="step", scale=domain, axis=alt.Axis(format="~s")),
        x2="end:Q",
        y=_share("low"),
        y2="high:Q",
        color=objective_colour(list(BIRDIE_DNA)),
        tooltip=["objective:N", "start:Q", "end:Q", *tips(".1%", "ratio")],
    )
    marks = chart.transform_filter("datum.explored && datum.low == 0")
    marks = marks.transform_calculate(middle="(datum.start + datum.end) / 2", above="1.035")
    marks = marks.mark_point(
        shape="triangle-down", filled=True, size=45, color="currentColor", opacity=0.8
    ).encode(x=alt.X("middle:Q", scale=domain), y=_share("above"))
    layers = alt.layer(areas, marks)
    return _page(layers, 270) if simulated else layers.properties(width="container", height=270)


def _share(column: str) -> alt.Y:
    axis = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1])
    domain = alt.Scale(domain=[0, 1.07], nice=False)
    return alt.Y(f"{column}:Q", title="ratio", scale=domain, axis=axis)


def predictions(rounds: pl.DataFrame) -> Layers:
    """Predicted against realised total reward of every round of `foreseen`; choice of world."""
    named = rounds.select(
        *("world", "seed", pl.col("end").alias("step"), pl.col("predicted").round(4)),
        pl.col("reward").round(4).alias("realised"),
        pl.when("explored")
        .then(pl.lit("drawn at random"))
        .otherwise(pl.lit("chosen"))
        .alias("how"),
    )
    values = pl.concat([named["predicted"], named["realised"]])
    line = alt.Chart(pl.DataFrame({"x": [values.min(), values.max()]}))
    line = line.mark_line(strokeDash=[4, 3], opacity=0.6, color="currentColor")
    colours = alt.Scale(domain=["chosen", "drawn at random"], range=[PLAIN[0], "#767676"])
    below = legend("bottom", title="the round's mixture was")
    points = _in_world(named).mark_point(filled=True, size=30, opacity=0.6)
    points = points.encode(
        x=alt.X("predicted:Q", title="predicted total reward"),
        y=alt.Y("realised:Q", title="realised total reward"),
        color=alt.Color("how:N", scale=colours, legend=below),
        tooltip=["seed:O", "step:Q", "predicted:Q", "realised:Q", "how:N"],
    )
    return _page(alt.layer(line.encode(x="x:Q", y="x:Q"), points), 280)


def real_rounds(run: Path) -> pl.DataFrame:
    """The rounds of a real run for `mixture`: start, end, explored, ratios; as in `frame`."""
    order = pl.Enum(list(BIRDIE_DNA))
    ratios = frames.ratios([run]).sort("step", pl.col("objective").cast(order))
    ratios = ratios.group_by("step", maintain_order=True).agg(ratios="ratio")
    explored = frames.decisions([run]).select("step", "explored")
    stops = frames.rewards([run])["step"].unique().sort()
    rounds = ratios.join(explored, on="step").rename({"step": "start"})
    return rounds.head(len(stops)).with_columns(end=stops)


def run_rewards(rewards: pl.DataFrame) -> alt.Chart:
    """Cumulative reward of every objective in a real run, from `frames.rewards`."""
    named = titled(rewards.select("objective", "reward", end="step").sort("end"))
    sums = pl.col("reward").cum_sum().over("objective").round(4).alias("cumulative")
    chart = alt.Chart(named.with_columns(sums)).mark_line(point=True)
    return chart.encode(
        x=alt.X("end:Q", title="step"),
        y=alt.Y("cumulative:Q", title="cumulative reward"),
        color=objective_colour(list(BIRDIE_DNA)),
        tooltip=["objective:N", "end:Q", *tips("+.4f", "reward"), "cumulative:Q"],
    ).properties(width="container", height=260)
