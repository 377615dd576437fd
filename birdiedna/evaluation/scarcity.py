"""Whether a gap of two arms grows where train rows are few: the interaction of arm and log n."""

from typing import NamedTuple

import numpy as np
import polars as pl

from birdiedna.evaluation.statistics import paired, seed_unit


class Scarcity(NamedTuple):
    """Gain per tenfold fewer train rows (seeds,), over how many sizes, from which kinds of runs."""

    slopes: np.ndarray
    sizes: int
    kinds: tuple[str, ...]
    over: str


def scarcity(scores: pl.DataFrame, first: str, second: str) -> Scarcity:
    """The growth of first minus second per tenfold fewer train rows, from runs of several sizes.

    Seeds are pre-training seeds where there are several, else fine-tuning seeds. `scores` has one
    score per run: task, kind ("finetune" or "probe"), arm, seed, finetune_seed, n_train, value. A
    task of one size says nothing and is left out.
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
    """Gain (..., seeds) per tenfold fewer rows, above 0 where the gap is larger with fewer rows.

    By least squares of gaps (..., seeds, M) over train rows (M,), with a level of its own for each
    of the strata (M,).
    """
    size = np.log10(rows.astype(float))
    for stratum in np.unique(strata):
        own = strata == stratum
        size[own] -= size[own].mean()
    return -(gaps * size).sum(-1) / (size**2).sum()
