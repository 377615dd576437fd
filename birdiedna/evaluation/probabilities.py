"""Ranking and calibration scores of predicted probabilities for two classes."""

import numpy as np

from birdiedna.training.metrics import predicted_classes

#: Keys of `scores`; lower is better for the last two.
METRICS = ("auroc", "auprc", "brier", "calibration error")


def scores(labels: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """AUROC, AUPRC, Brier score and calibration error from labels (n,), 0 or 1, and logits (n, 2).

    The calibration error is the mean distance of a bin's confidence from its accuracy, weighted by
    rows, over ten bins of equal size. Empty for more than two classes or if labels have only one.
    """
    predicted = predicted_classes(labels, logits)
    if logits.shape[1] != 2 or len(np.unique(labels)) < 2:
        return {}
    # imported here since it takes a second
    from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

    margin = logits[:, 1].astype(float) - logits[:, 0]
    chance = 1 / (1 + np.exp(-np.clip(margin, -500, 500)))
    confidence = np.maximum(chance, 1 - chance)
    # rows of equal confidence share their accuracy, or bins would depend on the order of rows
    _, level, rows = np.unique(confidence, return_inverse=True, return_counts=True)
    right = (np.bincount(level, predicted == labels) / rows)[level]
    parts = np.array_split(np.argsort(confidence), min(10, len(labels)))
    distances = [abs(confidence[part].mean() - right[part].mean()) * len(part) for part in parts]
    values = (
        roc_auc_score(labels, margin),
        average_precision_score(labels, margin),
        brier_score_loss(labels, chance),
        sum(distances) / len(labels),
    )
    return dict(zip(METRICS, map(float, values), strict=True))
