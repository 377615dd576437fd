"""Scores of predicted classes, and the choice of an evaluation on validation.

The step to report is the best by MCC, and patience waits for a better MCC.
"""

import numpy as np
from numpy.typing import ArrayLike

METRICS = ("accuracy", "f1", "mcc")


def predicted_classes(labels: ArrayLike, probabilities: ArrayLike) -> np.ndarray:
    """The most likely class (n,), the first of ties, by probabilities or logits (n, C).

    ValueError if labels are not whole numbers (n,) in 0..C-1, or a value is not finite.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise ValueError(
            f"labels {labels.shape} do not fit probabilities {probabilities.shape}; "
            "give (n,) and (n, classes)"
        )
    if probabilities.dtype.kind not in "iufb":
        raise ValueError(f"probabilities are {probabilities.dtype}; give numbers")
    if not np.isfinite(probabilities).all():
        row = int(np.argmin(np.isfinite(probabilities).all(1)))
        raise ValueError(f"row {row} of the probabilities is not finite; did training diverge?")
    whole("labels", labels, probabilities.shape[1])
    return probabilities.argmax(1)


def whole(what: str, given: ArrayLike, classes: int) -> np.ndarray:
    """Classes as int64; ValueError if they are not whole numbers in 0..classes-1."""
    array = np.asarray(given)
    if array.dtype.kind not in "iub":
        raise ValueError(f"{what} are {array.dtype}; give whole numbers")
    if array.size and (array.min() < 0 or array.max() >= classes):
        raise ValueError(f"{what} reach beyond the {classes} classes; check them")
    return array.astype(np.int64)


def confusion(labels: ArrayLike, predicted: ArrayLike, classes: int) -> np.ndarray:
    """The confusion table (C, C): rows are true, columns predicted classes; errors as `whole`."""
    true, found = whole("labels", labels, classes), whole("predictions", predicted, classes)
    if true.shape != found.shape:
        raise ValueError(f"labels {true.shape} do not fit predictions {found.shape}")
    cells = np.bincount(true * classes + found, minlength=classes**2)
    return cells.reshape(classes, classes)


def of_tables(tables: np.ndarray, metric: str) -> np.ndarray:
    """A metric (R,) of confusion tables (R, C, C); ValueError if it is unknown.

    F1 is that of class 1 for two classes (most likely the paper's), for more the mean over classes.
    MCC of several classes is Gorodkin's (2004). F1 and MCC with denominator 0 are 0.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; choose one of {', '.join(METRICS)}")
    tables = np.asfortranarray(tables)  # sums of many small tables are 8 times as fast
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


def tables(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Tables (E, C, C) of logits (E, n, C) on labels (n,); errors as in `predicted_classes`."""
    classes = logits.shape[2]
    return np.stack(
        [confusion(labels, predicted_classes(labels, each), classes) for each in logits]
    )


def best_evaluation(labels: np.ndarray, logits: np.ndarray) -> int:
    """The evaluation of (E, n, C) with the best MCC on labels (n,), the earliest of ties.

    Errors as in `predicted_classes`.
    """
    return int(np.argmax(of_tables(tables(labels, logits), "mcc")))
