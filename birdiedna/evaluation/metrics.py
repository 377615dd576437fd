"""Scores of predictions: of classes with bootstrap intervals, and of probabilities.

Numpy only, but for `of_probabilities`.
"""

import numpy as np

from birdiedna.training.metrics import METRICS, confusion, of_tables, predicted_classes

#: What `of_probabilities` gives; the two errors are better the smaller they are.
PROBABILITY_METRICS = ("auroc", "auprc", "brier", "calibration error")


def scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Accuracy, F1 and Matthews correlation of the likeliest class, as `of_tables` defines them.

    Raises:
      ValueError: as in `predicted_classes`.
    """
    predicted = predicted_classes(labels, probabilities)
    table = confusion(labels, predicted, probabilities.shape[1])[None]
    return {metric: float(of_tables(table, metric)[0]) for metric in METRICS}


def interval(
    labels: np.ndarray, probabilities: np.ndarray, metric: str, seed: int = 0, resamples: int = 2000
) -> tuple[float, float]:
    """95 % percentile bootstrap over examples.

    Drawing n examples with replacement is a multinomial draw of the confusion table, which is
    what we draw: the same distribution, without touching examples. It covers the choice of test
    examples only, not that of seeds or training rows.

    Raises:
      ValueError: as in `of_tables` and `predicted_classes`.
    """
    predicted = predicted_classes(labels, probabilities)
    table = confusion(labels, predicted, probabilities.shape[1])
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(labels), table.ravel() / len(labels), resamples)
    values = of_tables(drawn.reshape(resamples, *table.shape), metric)
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def strand_consistency(logits: np.ndarray, opposite: np.ndarray) -> dict[str, float]:
    """How alike a classifier answers to sequences and to their reverse complements, both (n, C).

    Returns:
      agreement: share of sequences that get the same class. distance: mean of half the summed
      differences of their class probabilities (total variation), 0 to 1.
    """
    one, other = (_probabilities(np.asarray(x, np.float64)) for x in (logits, opposite))
    agree = logits.argmax(axis=1) == opposite.argmax(axis=1)
    return {
        "agreement": float(agree.mean()),
        "distance": float(np.abs(one - other).sum(axis=1).mean() / 2),
    }


def _probabilities(logits: np.ndarray) -> np.ndarray:
    wide = np.exp(logits - logits.max(axis=1, keepdims=True))
    return wide / wide.sum(axis=1, keepdims=True)


def of_probabilities(labels: np.ndarray, logits: np.ndarray, bins: int = 10) -> dict[str, float]:
    """AUROC, AUPRC, Brier score and calibration error of two classes, with those of the majority.

    The calibration error is the mean distance of a bin's confidence from its accuracy, over bins of
    equally many rows, weighed by rows.

    Args:
      labels: (n,) 0 or 1.
      logits: (n, 2).
      bins: of the predicted probability of the likelier class.

    Returns:
      {metric: value}; empty for more than two classes, or where the rows have one class only.
    """
    from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

    predicted = predicted_classes(labels, logits)
    if logits.shape[1] != 2 or len(np.unique(labels)) < 2:
        return {}
    margin = logits[:, 1].astype(float) - logits[:, 0]
    chance = 1 / (1 + np.exp(-np.clip(margin, -500, 500)))
    confidence, right = np.maximum(chance, 1 - chance), predicted == labels
    parts = np.array_split(np.argsort(confidence), min(bins, len(labels)))
    distances = [abs(confidence[part].mean() - right[part].mean()) * len(part) for part in parts]
    values = (
        roc_auc_score(labels, margin),
        average_precision_score(labels, margin),
        brier_score_loss(labels, chance),
        sum(distances) / len(labels),
    )
    return dict(zip(PROBABILITY_METRICS, map(float, values), strict=True))
