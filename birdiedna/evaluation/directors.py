"""Directors in simulated worlds, for `03_reward_model`.

`frame` collects the simulations of all directors, one row per round and seed.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import scipy

from birdiedna.data.names import sided
from birdiedna.director import simulate as simulation
from birdiedna.director.director import Birdie, Director, Fixed, even, ul2r, wander
from birdiedna.director.simulate import Trajectory, World
from birdiedna.evaluation.statistics import t_interval
from birdiedna.objectives.definitions import CLASSES

STEPS = 16_384
WORLDS: dict[str, World] = {
    "One useful class": simulation.one_useful(CLASSES),
    "Two helpers": simulation.helpful(CLASSES),
    "DNA with room": simulation.nucleotide_with_room(CLASSES),
    "Like nucleotides": simulation.nucleotide(CLASSES),
    "Each for itself": simulation.independent(CLASSES),
}
LEARNED, RANDOM, UNIFORM = "Reward model", "Random actions", "Uniform"
UL2R, BEST = "UL2R-like", "Best constant"
_RUN = ["world", "director", "seed"]


def room(title: str) -> float:
    """How much lower the best constant mixture ends than the uniform one in a world, in nats."""
    world = WORLDS[title]
    shares = (best(world).ratios, even(CLASSES).ratios)
    lowest, uniform = (float(simulation.mean_loss(world, jnp.asarray(a), STEPS)) for a in shares)
    return uniform - lowest


def differences(ended: pl.DataFrame) -> pl.DataFrame:
    """Pair `ends` with those of the uniform mixture in the same world, with the same seed.

    Columns: world, director, seed; gain in reward and gap in loss, to the uniform mixture.
    """
    rival = ended.filter(director=UNIFORM).drop("director")
    others = ended.filter(pl.col("director") != UNIFORM)
    both = others.join(rival, on=["world", "seed"], suffix="_rival", maintain_order="left")
    gain = pl.col("reward") - pl.col("reward_rival")
    return both.select(*_RUN, gain=gain, gap=pl.col("loss") - pl.col("loss_rival"))


def best(world: World) -> Fixed:
    """A director with the constant mixture that ends with the lowest mean loss."""
    ratios = np.asarray(simulation.best_mixture(world, float(STEPS)), np.float64)
    return Fixed(tuple((ratios / ratios.sum()).tolist()), CLASSES)


def simulate(learned: Birdie, seeds: int) -> dict[tuple[str, str], Trajectory]:
    """Simulate every director in every world: (world, director) -> trajectories over seeds.

    `learned` is the director with the reward model. All share seeds and noise.
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
    """Simulate one director in one world, with a leading axis of seeds."""
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
    """Simulations as a frame, one row per round.

    Columns: world, director, seed, start, end (steps), explored, ratios (list), reward and
    predicted (totals of the round), earned (reward so far), loss (mean loss at the end of the run).
    """
    parts = []
    for (world, director), run in runs.items():
        seeds, rounds = run.total.shape
        parts.append(
            pl.DataFrame(
                {
                    "world": world,
                    "director": director,
                    "seed": np.repeat(np.arange(seeds), rounds),
                    "start": run.steps[:, :-1].ravel(),
                    "end": run.steps[:, 1:].ravel(),
                    "explored": run.explored.ravel(),
                    "ratios": run.ratios.reshape(seeds * rounds, -1).tolist(),
                    "reward": run.total.ravel(),
                    "predicted": run.predicted.ravel(),
                    "loss": np.repeat(run.final, rounds),
                }
            )
        )
    return pl.concat(parts).with_columns(earned=pl.col("reward").cum_sum().over(_RUN))


def ends(rounds: pl.DataFrame) -> pl.DataFrame:
    """The end of every simulation: world, director, seed, step, reward (of all rounds), loss."""
    last = rounds.group_by(_RUN, maintain_order=True).last()
    return last.select(*_RUN, step="end", reward="earned", loss="loss")


def comparison(ended: pl.DataFrame) -> pl.DataFrame:
    """Per world and director, from `ends`: reward and loss, means over seeds, and `differences`.

    gain, loss difference: their means with 95% t intervals over seeds, as text; final loss: what
    the interval says about it in words. Null for the uniform mixture.
    """
    lines = []
    for key, part in differences(ended).group_by(_RUN[:2], maintain_order=True):
        gain, gap = part["gain"].to_numpy(), part["gap"].to_numpy()
        lines.append((*key, _text(gain, 1), _text(gap, 3), judged(gap)))
    names = [*_RUN[:2], "gain", "loss difference", "final loss"]
    found = pl.DataFrame(lines, names, orient="row")
    means = ended.group_by(_RUN[:2], maintain_order=True).agg(pl.col("reward", "loss").mean())
    return means.join(found, on=_RUN[:2], how="left", maintain_order="left")


def _text(values: np.ndarray, digits: int) -> str:
    """A mean with its interval, such as "+1.5 (+0.2 to +2.8)"; zero has no minus sign."""
    numbers = values.mean(), *t_interval(values)
    return "{} ({} to {})".format(*(sided(float(x), f"+z.{digits}f") for x in numbers))


def judged(gaps: np.ndarray) -> str:
    """Describe in words the differences (seeds,) in final loss from the uniform mixture."""
    low, high = t_interval(gaps)
    return "lower" if high < 0 else "higher" if low > 0 else "not clearly different"


def foreseen(rounds: pl.DataFrame) -> pl.DataFrame:
    """The reward model's rounds after the warm-up, whose predictions are compared with rewards."""
    return rounds.filter(pl.col("director") == LEARNED, pl.col("end") > 256)


def agreement(rounds: pl.DataFrame) -> pl.DataFrame:
    """Rank correlation of predicted and realised reward per world, over the rounds of all seeds."""
    lines = []
    for (world,), every in rounds.group_by(["world"], maintain_order=True):
        pairs = (every, every.filter(~pl.col("explored")))
        rho = [scipy.stats.spearmanr(p["predicted"], p["reward"]).statistic for p in pairs]
        lines.append((world, every.height, *rho))
    return pl.DataFrame(lines, ["world", "rounds", "all rounds", "chosen rounds"], orient="row")


def early(rounds: pl.DataFrame, share: float = 0.9) -> tuple[int, float]:
    """How many first `frames.rounds` have `share` of all rewards by size; their exact share."""
    moved = rounds.group_by("end").agg(pl.col("reward").abs().sum()).sort("end")["reward"]
    held = (moved.cum_sum() / moved.sum()).to_numpy()
    count = int(np.argmax(held >= share)) + 1
    return count, float(held[count - 1])
