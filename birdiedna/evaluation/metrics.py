"""Scores of predicted classes, with bootstrap intervals.

Numpy only, since machines without plotting and statistics libraries collect results with it.
"""

import numpy as np
from numpy.typing import ArrayLike

from birdiedna.training.metrics import METRICS, confusion, of_tables, predicted_classes

#: Resamples of test rows in a bootstrap.
RESAMPLES = 10_000


def scores(labels: ArrayLike, probabilities: ArrayLike) -> dict[str, float]:
    """Accuracy, F1 and Matthews correlation of the likeliest class, as `of_tables` defines them.

    Errors as in `predicted_classes`.
    """
    predicted = predicted_classes(labels, probabilities)
    table = confusion(labels, predicted, np.shape(probabilities)[1])[None]
    return {metric: float(of_tables(table, metric)[0]) for metric in METRICS}


def collapsed(labels: ArrayLike, probabilities: ArrayLike) -> bool:
    """Whether a run has collapsed: it is reported, never dropped.

    Its MCC is below 0.02 in size, or it predicts nearly one class only: the entropy of the
    predicted classes is below 0.1 bits, or a tenth of that of the labels if these have less than 1.
    """
    table = confusion(labels, predicted_classes(labels, probabilities), np.shape(probabilities)[1])
    true, predicted = (_bits(table.sum(axis)) for axis in (1, 0))
    return bool(abs(of_tables(table[None], "mcc")[0]) < 0.02 or predicted < 0.1 * min(1, true))


def _bits(counts: np.ndarray) -> float:
    """The entropy of classes with these counts."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def intervals(
    labels: ArrayLike, probabilities: ArrayLike, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, tuple[float, float]]:
    """95% percentile bootstraps of all metrics over test rows; errors as in `predicted_classes`.

    Resampling n rows is a multinomial draw of the confusion table, which is what we draw. The
    intervals cover the choice of test rows only, not that of seeds or train rows.
    """
    predicted = predicted_classes(labels, probabilities)
    table = confusion(labels, predicted, np.shape(probabilities)[1])
    rng = np.random.default_rng(seed)
    rows = len(predicted)
    drawn = rng.multinomial(rows, table.ravel() / rows, resamples)
    drawn = drawn.reshape(resamples, *table.shape)
    edges = {m: np.quantile(of_tables(drawn, m), (0.025, 0.975)) for m in METRICS}
    return {metric: (float(low), float(high)) for metric, (low, high) in edges.items()}
