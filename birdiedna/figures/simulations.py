"""Directors in simulated worlds, as frames: what they earned, chose, foresaw and ended with."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jax import Array
from scipy import stats

from birdiedna import world
from birdiedna.charts import palette
from birdiedna.charts.rows import PLAIN
from birdiedna.director import Birdie, Director, Fixed, even, ul2r, wander
from birdiedna.objectives import BIRDIE_DNA
from birdiedna.world import CLASSES, Law, Trajectory, World

STEPS = 16_384
WORLDS: dict[str, World] = {
    "One useful class": world.one_useful(),
    "Each for itself": world.independent(),
    "Two helpers": world.helpful(),
    "Like nucleotides": world.nucleotide(),
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


def best(law: Law) -> Fixed:
    """The constant mixture that ends with the lowest mean loss, as a director."""
    ratios = np.asarray(world.best_mixture(law, float(STEPS)), np.float64)
    return Fixed(tuple((ratios / ratios.sum()).tolist()), CLASSES)


def simulate(learned: Birdie, seeds: int) -> list[Run]:
    """Every director in every world, with the same seeds and the same noise for all.

    Args:
      learned: the director with the reward model.
      seeds: simulations per director and world.
    """
    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
    runs = []
    shared = {LEARNED: learned, RANDOM: wander(CLASSES), UNIFORM: even(CLASSES), UL2R: ul2r()}
    laws = {title: world.law(settings) for title, settings in WORLDS.items()}
    for title, law in laws.items():
        for name, director in {**shared, BEST: best(law)}.items():
            runs.append(Run(title, name, _simulated(director, law, keys)))
    return runs


def of(runs: Sequence[Run], director: str) -> list[Run]:
    """The runs of one director, in the order of the worlds."""
    return [run for run in runs if run.director == director]


def _simulated(director: Director, law: Law, keys: Array) -> Trajectory:
    """Directors without a reward model to speak of take longer to compile than to run."""
    if isinstance(director, Fixed) or director.model.width == 1:
        lowered = world.simulations.lower(director, law, keys, STEPS)
        found = lowered.compile(compiler_options=PLAIN)(law, keys)
    else:
        found = world.simulations(director, law, keys, STEPS)
    return jax.tree.map(np.asarray, found)


def again(learned: Birdie, title: str, name: str, seeds: int) -> Run:
    """One more director, called `name`, in one world only."""
    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
    return Run(title, name, _simulated(learned, world.law(WORLDS[title]), keys))


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
    titles = palette.titled(list(BIRDIE_DNA))
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
      rounds: end and reward of every round and objective, as `charts.director.rounds` gives them.
      share: of the sum of absolute rewards.
    """
    moved = rounds.group_by("end").agg(pl.col("reward").abs().sum()).sort("end")["reward"]
    held = (moved.cum_sum() / moved.sum()).to_numpy()
    count = int(np.argmax(held >= share)) + 1
    return count, float(held[count - 1])
