"""Scores of saved predictions, their intervals, and the step that validation chooses."""

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_test

METRICS = ("accuracy", "f1", "mcc")


def scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Accuracy, F1 and Matthews correlation of the likeliest class, by scikit-learn.

    F1 is that of class 1 for two classes (the paper's) and the plain mean over classes
    for more. F1 and MCC of an empty denominator are 0.

    Args:
      labels: (n,) in 0..C-1.
      probabilities: (n, C), or logits: only their order counts.

    Raises:
      ValueError: the shapes do not fit, a value is not finite, or a label is outside the classes.
    """
    predicted = _predicted(labels, probabilities)
    average = "binary" if probabilities.shape[1] == 2 else "macro"
    classes = None if average == "binary" else list(range(probabilities.shape[1]))
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "f1": float(f1_score(labels, predicted, labels=classes, average=average, zero_division=0)),
        "mcc": float(matthews_corrcoef(labels, predicted)),
    }


def _predicted(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The likeliest class (n,), the first of equals."""
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


def interval(
    labels: np.ndarray, probabilities: np.ndarray, metric: str, seed: int, resamples: int = 2000
) -> tuple[float, float]:
    """95 % percentile bootstrap over examples.

    Drawing n examples with replacement is a multinomial draw of the confusion table, which is
    what we draw: the same distribution, without touching examples. It covers the choice of test
    examples only, not that of seeds or training rows.

    Raises:
      ValueError: an unknown metric, and as in `scores`.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; choose one of {', '.join(METRICS)}")
    predicted = _predicted(labels, probabilities)
    classes = probabilities.shape[1]
    table = np.bincount(labels * classes + predicted, minlength=classes**2)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(labels), table / len(labels), resamples)
    values = of_tables(drawn.reshape(resamples, classes, classes), metric)
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def of_tables(tables: np.ndarray, metric: str) -> np.ndarray:
    """A metric (R,) of confusion tables (R, C, C), rows true and columns predicted class."""
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


def mcnemar(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Exact two-sided McNemar p of two models' predicted classes (n,) on the same examples.

    Raises:
      ValueError: the three lengths differ.
    """
    if not labels.shape == first.shape == second.shape:
        raise ValueError(f"shapes {labels.shape}, {first.shape}, {second.shape} differ; pair them")
    one, other = first == labels, second == labels
    table = [
        [np.sum(one & other), np.sum(one & ~other)],
        [np.sum(~one & other), np.sum(~one & ~other)],
    ]
    return float(min(1.0, mcnemar_test(table, exact=True).pvalue))


def chosen_step(steps: np.ndarray, logits: np.ndarray, labels: np.ndarray) -> int:
    """The step with the best MCC on validation, the earliest of equals.

    Args:
      steps: (E,) steps of the evaluations.
      logits: (E, n, C) validation logits at those steps.
      labels: (n,) validation labels.

    Raises:
      ValueError: no evaluation, and as in `scores`.
    """
    if not len(steps) or len(steps) != len(logits):
        raise ValueError(f"{len(steps)} steps and {len(logits)} evaluations; give one for each")
    values = [scores(labels, each)["mcc"] for each in logits]
    return int(steps[int(np.argmax(values))])
