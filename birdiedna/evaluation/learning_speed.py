"""How many steps an arm needs to reach a target, with censoring, separate from its final level.

Curves are compared over the steps that all runs of a task have, so that early stopping of one run
does not affect others. Runs that miss a target are censored at the last common step; hence the
Kaplan-Meier curve of a task is the share of runs still below the target, and the restricted mean is
the mean number of steps, clipped at the last one.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
import scipy

from birdiedna.evaluation.statistics import paired, seed_unit, t_interval

#: Targets, as shares of a final level: the arm's own, or the lower of both arms'.
SHARES = (0.90, 0.95, 0.99)


def smoothed(values: np.ndarray) -> np.ndarray:
    """Running means of curves (..., E) over a seventh of the evaluations (5 of 33, 1 below 14).

    Otherwise noise would decide the first crossing of a target near the end; it weighs more on a
    lower curve, so that arms of equal speed but different levels would differ.
    """
    window = values.shape[-1] // 7 // 2 * 2 + 1
    return scipy.ndimage.uniform_filter1d(values, window, mode="nearest")


def ends(values: np.ndarray) -> np.ndarray:
    """The final level (...) of curves (..., E): their mean over the last quarter."""
    return values[..., -max(1, values.shape[-1] // 4) :].mean(-1)


def steps_to(values: np.ndarray, steps: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The first step at which interpolated scores (..., E) reach a target (...); inf if never.

    `steps` (E,) increase. A target of 0 or below is never reached.
    """
    reached = values >= target[..., None]
    never = ~reached.any(-1) | (target <= 0)
    after = np.where(never, 0, reached.argmax(-1))
    before = np.maximum(after - 1, 0)
    take = lambda index: np.take_along_axis(values, index[..., None], -1)[..., 0]
    low, high = take(before), take(after)
    share = np.clip((target - low) / np.where(high > low, high - low, 1), 0, 1)
    found = steps[before] + share * (steps[after] - steps[before])
    return np.where(never, np.inf, found)


def restricted_means(first: np.ndarray, second: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Restricted mean steps of two arms to their own final levels and to the lower of both.

    Curves are (..., seeds, runs, E) per arm, at steps (E,). The levels are those of a seed's mean
    curves, so that targets are symmetric in the arms and independent between seeds. The result is
    (2, 2, ..., seeds, shares): own or common target; arm.
    """
    arms = smoothed(first), smoothed(second)
    own = np.stack([ends(arm.mean(-2)) for arm in (first, second)])
    kinds = own, np.broadcast_to(own.min(0), own.shape)
    means = [
        [[_mean(arm, steps, share * end) for share in SHARES] for arm, end in zip(arms, targets)]
        for targets in kinds
    ]
    return np.moveaxis(np.array(means), 2, -1)


def _mean(runs: np.ndarray, steps: np.ndarray, target: np.ndarray) -> np.ndarray:
    needed = steps_to(runs, steps, np.broadcast_to(target[..., None], runs.shape[:-1]))
    return np.minimum(needed, steps[-1]).mean(-1)


def log_speed_up(needed: np.ndarray) -> np.ndarray:
    """log(second's steps / first's), (2, ..., seeds, shares); positive if the first is faster.

    `needed` are `restricted_means`, (2, 2, ..., tasks, seeds, shares), averaged over tasks here.
    """
    first, second = np.maximum(np.moveaxis(needed.mean(-3), 1, 0), 1)
    return np.log(second / first)


class Speed(NamedTuple):
    """Log speed-ups to own and common targets, (seeds, shares); over: which seeds.

    reached: whether any run reached a target; if not, speed-ups are meaningless.
    """

    own: np.ndarray
    common: np.ndarray
    over: str
    reached: bool


def speed(curves: pl.DataFrame, first: str, second: str) -> Speed:
    """The speed-up of the first arm over the second, from `frames.curves`.

    Seeds are pre-training seeds if there are several, else fine-tuning seeds.
    """
    found, reached = [], False
    unit, over = seed_unit(curves)
    for steps, arms in _by_task(curves, first, second, unit):
        found.append(restricted_means(*arms, steps))
        reached |= bool((found[-1] < steps[-1]).any())
    if not found:
        none = np.zeros((0, len(SHARES)))
        return Speed(none, none, over, reached)
    own, common = log_speed_up(np.stack(found, axis=2))
    return Speed(own, common, over, reached)


def areas(curves: pl.DataFrame, first: str, second: str) -> np.ndarray:
    """First minus second, (seeds,), in mean height of the curves over the common steps.

    That is the normalised area under them, a mean over tasks and runs; seeds as in `speed`.
    """
    height = lambda runs, steps: np.trapezoid(runs, steps).mean(-1) / (steps[-1] - steps[0])
    found = [
        height(one, steps) - height(other, steps)
        for steps, (one, other) in _by_task(curves, first, second, seed_unit(curves)[0])
    ]
    return np.mean(found or [np.zeros(0)], axis=0)


def _by_task(
    curves: pl.DataFrame, first: str, second: str, unit: str
) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]]:
    """Yield for each task the common steps (E,) and the curves (seeds, runs, E) of both arms.

    Drops runs that the other arm lacks, then seeds that a task lacks, then runs of a task that one
    of its seeds lacks.
    """
    scores = curves.rename({"validation": "value"})
    both = paired(scores, first, second, "task", "step").drop_nulls()
    both = both.filter(pl.col("task").n_unique().over(unit) == both["task"].n_unique())
    (within,) = {"seed", "finetune_seed"} - {unit}
    counted = pl.col(unit).n_unique()
    both = both.filter(counted.over("task", within) == counted.over("task"))
    for _, rows in both.group_by("task", maintain_order=True):
        every = pl.len().over("step") == rows.select(unit, within).n_unique()  # steps of every run
        rows = rows.filter(every).sort(unit, within, "step")
        steps = rows["step"].unique().sort().to_numpy().astype(float)
        if len(steps) < 2:
            continue
        shape = rows[unit].n_unique(), -1, len(steps)
        one, other = (rows[arm].to_numpy().reshape(shape) for arm in ("value", "rival"))
        yield steps, (one, other)


def waiting(curves: pl.DataFrame, first: str, second: str, share: float = 0.95) -> pl.DataFrame:
    """Kaplan-Meier curves of runs below a share of the lower of both arms' final levels.

    Over all tasks: arm, step, waiting (share of runs still below), from step 0 on.
    """
    times = pl.DataFrame(schema={"arm": pl.String, "step": pl.Float64, "met": pl.Boolean})
    for steps, arms in _by_task(curves, first, second, seed_unit(curves)[0]):
        target = share * np.min([ends(arm.mean(-2)) for arm in arms], axis=0)
        for name, runs in zip((first, second), arms, strict=True):
            targets = np.broadcast_to(target[:, None], runs.shape[:-1])
            needed = steps_to(smoothed(runs), steps, targets).ravel()
            step = np.minimum(needed, steps[-1])
            part = pl.DataFrame({"step": step, "met": np.isfinite(needed)})
            times = times.vstack(part.select(pl.lit(name).alias("arm"), "step", "met"))
    rows: list[tuple] = []
    for (name,), part in times.group_by("arm", maintain_order=True):
        steps, met = part["step"].to_numpy(), part["met"].to_numpy()
        curve = scipy.stats.ecdf(scipy.stats.CensoredData.right_censored(steps, ~met)).sf
        at, left = [0.0, *curve.quantiles], [1.0, *curve.probabilities]
        rows += [(name, *point) for point in zip(at, left, strict=True)]
    names = {"arm": pl.String, "step": pl.Float64, "waiting": pl.Float64}
    return pl.DataFrame(rows, names, orient="row")


def shown(found: Speed) -> pl.DataFrame:
    """The speed-up as a table: target, ratio, low, high (95% t interval over seeds)."""
    rows = []
    for name, logs in (("own end", found.own), ("common end", found.common)):
        for share, values in zip(SHARES, logs.T, strict=True):
            edges = (float(np.exp(x)) for x in (values.mean(), *t_interval(values)))
            rows.append((f"{share:.0%} of the {name}", *edges))
    names = {"target": pl.String, "ratio": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(rows if found.own.size else [], names, orient="row")
