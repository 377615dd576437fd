"""Whether the gap between two arms grows with fewer train rows: interaction of arm and log n."""

from typing import NamedTuple

import numpy as np
import polars as pl

from birdiedna.evaluation.statistics import paired, seed_unit


class Scarcity(NamedTuple):
    """Gain per tenfold fewer train rows (seeds,), number of sizes, kinds of runs, kind of seeds."""

    slopes: np.ndarray
    sizes: int
    kinds: tuple[str, ...]
    over: str


def scarcity(scores: pl.DataFrame, first: str, second: str) -> Scarcity:
    """Growth of first minus second per tenfold fewer train rows, from runs of several sizes.

    Seeds are pre-training seeds if there are several, else fine-tuning seeds. `scores` has one
    score per run: task, kind ("finetune" or "probe"), arm, seed, finetune_seed, n_train, value.
    Tasks with a single size are left out.
    """
    unit, over = seed_unit(scores)
    size = ("task", "kind", "n_train")
    found = paired(scores.filter(pl.col("n_train").is_not_null()), first, second, *size)
    means = found.group_by(*size, unit, maintain_order=True).agg(pl.col("gap").mean())
    sizes = pl.col("n_train").n_unique().over("task", "kind")
    means = means.filter(sizes > 1).sort(size)
    if means.is_empty():
        return Scarcity(np.zeros(0), 0, (), over)
    wide = means.pivot(unit, index=size, values="gap").drop_nulls()
    strata = wide.select(pl.struct("task", "kind").rank("dense")).to_series().to_numpy()
    values = wide.drop(size).to_numpy().T
    kinds = tuple(wide["kind"].unique().sort())
    if unit != "seed" and kinds == ("probe",):
        over = "subsets of the train rows"  # the seeds of probes
    rows = wide["n_train"].to_numpy()
    return Scarcity(slopes(values, rows, strata), len({*rows.tolist()}), kinds, over)


def slopes(gaps: np.ndarray, rows: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Gain (..., seeds) per tenfold fewer rows, positive if the gap is larger with fewer rows.

    Least-squares slope of gaps (..., seeds, M) over log10 of train rows (M,), with one intercept
    per stratum (M,).
    """
    size = np.log10(rows.astype(float))
    for stratum in np.unique(strata):
        members = strata == stratum
        size[members] -= size[members].mean()
    return -(gaps @ size) / (size @ size)
