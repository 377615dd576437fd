"""Two arms compared over tasks, seeds or examples: wins, mean gap, tests and intervals.

The same functions count the paper's Table 1 and our own results. A gap is always the first arm
minus the second, in the unit of the scores.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

from birdiedna.evaluation.metrics import of_tables

#: A mean gap whose 90 % interval lies inside +-0.5 points counts as none (fixed in advance).
EQUIVALENCE_POINTS = 0.5


class Recount(NamedTuple):
    """What n paired scores say: counts, mean and median gap, two-sided p-values, 95 % intervals.

    `low`, `high`: t interval of the mean, the tasks taken as a random sample of tasks;
    `bootstrap_low`, `bootstrap_high`: percentile bootstrap of the mean over tasks.
    """

    tasks: int
    wins: int
    ties: int
    mean: float
    median: float
    sign_p: float
    wilcoxon_p: float
    low: float
    high: float
    bootstrap_low: float
    bootstrap_high: float


def recount(first: Sequence[float], second: Sequence[float], seed: int = 0) -> Recount:
    """Compare two arms over tasks.

    Args:
      first, second: one score per task, in the same order.
      seed: of the bootstrap.

    Raises:
      ValueError: the lengths differ, there are fewer than two tasks, or a score is not finite.
    """
    gaps = _gaps(first, second)
    wins, ties = int((gaps > 0).sum()), int((gaps == 0).sum())
    decided = len(gaps) - ties
    sign = stats.binomtest(wins, decided).pvalue if decided else 1.0
    wilcoxon = stats.wilcoxon(gaps).pvalue if decided else 1.0
    drawn = np.random.default_rng(seed).choice(gaps, (10_000, len(gaps))).mean(axis=1)
    return Recount(
        len(gaps),
        wins,
        ties,
        float(gaps.mean()),
        float(np.median(gaps)),
        float(sign),
        float(wilcoxon),
        *t_interval(gaps),
        *(float(edge) for edge in np.quantile(drawn, (0.025, 0.975))),
    )


def _gaps(first: Sequence[float], second: Sequence[float]) -> np.ndarray:
    one, other = np.asarray(first, float), np.asarray(second, float)
    if one.shape != other.shape or one.ndim != 1 or len(one) < 2:
        raise ValueError(
            f"scores of shapes {one.shape}, {other.shape}; give one per task, 2 or more"
        )
    if not np.isfinite(one - other).all():
        raise ValueError("a score is missing or not finite; compare only tasks that both arms have")
    return np.round(one - other, 12)


def t_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean of `values` (n,); (nan, nan) for a single value.

    With three seeds this is the only honest one: a percentile bootstrap of three covers 74 %.
    """
    array = np.asarray(values, float)
    if len(array) < 2:
        return float("nan"), float("nan")
    half = stats.t.ppf((1 + confidence) / 2, len(array) - 1) * stats.sem(array)
    return float(array.mean() - half), float(array.mean() + half)


def interval_text(low: float, high: float, sign: str = "") -> str | None:
    """An interval as `0.553 to 0.624`; None if an edge is unknown, as with a single seed.

    `sign` is "+" to write the sign of positive edges too.
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        return None
    return f"{low:{sign}.3f} to {high:{sign}.3f}"


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjustment: each p-value as if the others were looked at too."""
    values = list(p_values)
    return [float(p) for p in multipletests(values, method="holm")[1]] if values else []


def median_p(p_values: Sequence[float]) -> float:
    """One p-value from those of several dependent runs: twice their median, at most 1.

    Valid whatever the dependence (Rüger's rule), so seeds that share test rows may be joined.
    """
    return float(min(1.0, 2 * np.median(p_values)))


def fits_count(percent: float, rows: int, decimals: int = 2) -> bool:
    """Whether a printed percentage can be a count out of `rows` (the GRIM test).

    The count nearest to it, printed with so many decimals, must give the same digits.
    """
    nearest = round(percent * rows / 100)
    return abs(100 * nearest / rows - percent) <= 0.5 * 10**-decimals + 1e-9


def multiple_of(percent: float, step: float) -> bool:
    """Whether a printed percentage is a whole multiple of `step` percent."""
    return abs(percent / step - round(percent / step)) < 1e-6


def paired_bootstrap(
    labels: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    classes: int,
    seed: int = 0,
    resamples: int = 2000,
) -> tuple[float, float]:
    """95 % interval of the gap in MCC between two arms, over the choice of test examples.

    Both arms and all their seeds see the same resampled examples; the gap is that of the means
    over seeds. Drawing examples is a multinomial draw over the distinct columns of (label,
    predictions), which is what we draw. It covers test examples only, not seeds.

    Args:
      labels: (n,) true classes.
      first, second: (seeds, n) predicted classes of each arm.
      classes: number of classes C.
      seed: of the draws.
      resamples: number of draws.

    Raises:
      ValueError: the rows of labels and predictions differ.
    """
    if not len(labels) == first.shape[1] == second.shape[1]:
        raise ValueError(
            f"{len(labels)} labels, predictions {first.shape} and {second.shape}; pair them"
        )
    columns = np.concatenate([labels[None], first, second])
    kinds, counts = np.unique(columns, axis=1, return_counts=True)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(labels), counts / len(labels), resamples)
    values = [
        of_tables(_tables(drawn, kinds[0], predicted, classes), "mcc") for predicted in kinds[1:]
    ]
    one, other = np.mean(values[: len(first)], axis=0), np.mean(values[len(first) :], axis=0)
    low, high = np.quantile(one - other, (0.025, 0.975))
    return float(low), float(high)


def _tables(
    drawn: np.ndarray, labels: np.ndarray, predicted: np.ndarray, classes: int
) -> np.ndarray:
    """Confusion tables (R, C, C) of the draws (R, kinds) of (label, prediction) kinds."""
    cell = np.eye(classes**2, dtype=np.int64)[labels * classes + predicted]
    return (drawn @ cell).reshape(-1, classes, classes)
