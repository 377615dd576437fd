"""Directors in simulated worlds, as frames: what they earned, chose, foresaw and ended with."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jax import Array
from scipy import stats

from birdiedna import world
from birdiedna.charts import palette
from birdiedna.director import Birdie, Director, Fixed, even, ul2r, wander
from birdiedna.objectives import BIRDIE_DNA
from birdiedna.reward import reward
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
    for title, settings in WORLDS.items():
        law = world.law(settings)
        rivals = (learned, wander(CLASSES), even(CLASSES), ul2r(), best(law))
        for name, director in zip(DIRECTORS, rivals, strict=True):
            runs.append(Run(title, name, _simulated(director, law, keys)))
    return runs


def _simulated(director: Director, law: Law, keys: Array) -> Trajectory:
    return jax.tree.map(np.asarray, world.simulations(director, law, keys, STEPS))


def again(learned: Birdie, title: str, name: str, seeds: int) -> Run:
    """One more director, called `name`, in one world only."""
    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
    return Run(title, name, _simulated(learned, world.law(WORLDS[title]), keys))


def totals(trajectory: Trajectory, weights: np.ndarray) -> np.ndarray:
    """Class-scaled rewards (seeds, rounds) by the cubic rule, whatever rule the director used."""
    before, after = trajectory.losses[:, :-1], trajectory.losses[:, 1:]
    return np.asarray(reward(before, after)) @ weights


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
        frame = {"step": run.trajectory.steps[0, 1:], "mean": middle}
        frame |= {"low": middle - half, "high": middle + half}
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
      `against` with its 95 % t interval, `gain`, `gain ±`, `loss difference`, `loss ±`.
    """
    lines = []
    for (title, name), own in ended.group_by(["world", "director"], maintain_order=True):
        rival = ended.filter(pl.col("world") == title, pl.col("director") == against)
        pair = own.join(rival, on="seed", suffix="_rival").sort("seed")
        gain = interval((pair["reward"] - pair["reward_rival"]).to_numpy())
        loss = interval((pair["loss"] - pair["loss_rival"]).to_numpy())
        own_means = {"reward": own["reward"].mean(), "loss": own["loss"].mean()}
        lines.append(
            {
                "world": title,
                "director": name,
                **own_means,
                "gain": gain[0],
                "gain ±": gain[1],
                "loss difference": loss[0],
                "loss ±": loss[1],
            }
        )
    return pl.DataFrame(lines)


def chosen(runs: Sequence[Run], seed: int = 0) -> pl.DataFrame:
    """The ratios of every round of one seed: world, director, start, end, objective, ratio."""
    titles = palette.titled(list(BIRDIE_DNA))
    frames = []
    for run in runs:
        steps, ratios = run.trajectory.steps[0], run.trajectory.ratios[seed]
        frame = {
            "start": np.repeat(steps[:-1], len(titles)),
            "end": np.repeat(steps[1:], len(titles)),
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


def late_share(runs: Mapping[str, Run] | Sequence[Run], objective: str) -> np.ndarray:
    """Share of an objective, by name, in the second half of the rounds: one value per run, mean."""
    index = list(BIRDIE_DNA).index(objective)
    halves = [run.trajectory.ratios[:, len(run.trajectory.ratios[0]) // 2 :, index] for run in runs]
    return np.array([half.mean() for half in halves])
