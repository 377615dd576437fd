"""Scores of predictions, their bootstrap intervals, and the evaluation that validation chooses.

Numpy only: a machine without the plotting and statistics libraries collects results with it.
"""

import numpy as np

METRICS = ("accuracy", "f1", "mcc")


def predicted_classes(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The likeliest class (n,), the first of equals.

    Args:
      labels: (n,) in 0..C-1.
      probabilities: (n, C), or logits: only their order counts.

    Raises:
      ValueError: the shapes do not fit, a value is not finite, or a label is outside the classes.
    """
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise ValueError(
            f"labels {labels.shape} do not fit probabilities {probabilities.shape}; "
            "give (n,) and (n, classes)"
        )
    if not np.isfinite(probabilities).all():
        row = int(np.argmin(np.isfinite(probabilities).all(1)))
        raise ValueError(f"row {row} of the probabilities is not finite; did training diverge?")
    if labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise ValueError(f"labels reach beyond the {probabilities.shape[1]} classes; check them")
    return probabilities.argmax(1)


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """The confusion table (C, C): rows are true, columns predicted classes."""
    cells = np.bincount(labels * classes + predicted, minlength=classes**2)
    return cells.reshape(classes, classes)


def of_tables(tables: np.ndarray, metric: str) -> np.ndarray:
    """A metric (R,) of confusion tables (R, C, C).

    F1 is that of class 1 for two classes (the paper's) and the plain mean over classes for more.
    MCC of several classes is Gorodkin's (2004). F1 and MCC of an empty denominator are 0.

    Raises:
      ValueError: an unknown metric.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; choose one of {', '.join(METRICS)}")
    count = tables.sum((1, 2)).astype(float)
    true, predicted = tables.sum(2).astype(float), tables.sum(1).astype(float)
    right = np.diagonal(tables, axis1=1, axis2=2).astype(float)
    if metric == "accuracy":
        return right.sum(1) / count
    if metric == "f1":
        each = _ratio(2 * right, true + predicted)
        return each[:, 1] if tables.shape[1] == 2 else each.mean(1)
    covariance = right.sum(1) * count - (true * predicted).sum(1)
    spread = (count**2 - (true**2).sum(1)) * (count**2 - (predicted**2).sum(1))
    return _ratio(covariance, np.sqrt(spread))


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


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


def best_evaluation(labels: np.ndarray, logits: np.ndarray) -> int:
    """Which evaluation of (E, n, C) has the best MCC on the labels (n,), the earliest of equals.

    Raises:
      ValueError: as in `predicted_classes`.
    """
    tables = [confusion(labels, predicted_classes(labels, each), each.shape[1]) for each in logits]
    return int(np.argmax(of_tables(np.stack(tables), "mcc")))
