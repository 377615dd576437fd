"""The regression of a probe equals scikit-learn's, for all penalties at once."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from birdiedna.training import logistic

COSTS = (1e-4, 1e-2, 1.0)


def rows(n, width, classes, seed=0):
    """Correlated features far from 0, one of them constant, and noisy labels of every class."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)) @ rng.normal(size=(4, width)) + 0.1 * rng.normal(size=(n, width))
    x = (50 + 3 * x).astype(np.float32)
    x[:, -1] = 7
    order = np.argsort(x[:, 0] + 2 * rng.normal(size=n))
    labels = np.empty(n, int)
    labels[order] = np.arange(n) * classes // n
    return x, labels


@pytest.mark.parametrize(
    ("n", "width", "classes"),
    [(300, 12, 2), (300, 12, 3), (20, 40, 2), (21, 40, 3)],
    ids=["two classes", "three classes", "fewer rows than features", "three classes, few rows"],
)
def test_every_penalty_gives_the_regression_of_scikit_learn(n, width, classes):
    x, labels = rows(n, width, classes)
    kernels, biases = logistic.fit(x, labels, COSTS, classes)
    assert kernels.shape == (3, width, classes) and biases.shape == (3, classes)
    asked = x + np.random.default_rng(1).normal(0, 0.1, x.shape)
    for cost, kernel, bias in zip(COSTS, kernels, biases, strict=True):
        exact = LogisticRegression(C=cost, tol=1e-9, max_iter=10_000)
        want = make_pipeline(StandardScaler(), exact).fit(x, labels).predict_proba(asked)
        logits = asked @ kernel + bias
        found = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
        np.testing.assert_allclose(found, want, atol=2e-3)


def test_subsets_of_similar_size_share_a_program():
    before = logistic._fit._cache_size()
    for n in (65, 100, 128):
        logistic.fit(*rows(n, 9, 2), COSTS, 2)
    assert logistic._fit._cache_size() == before + 1


def test_classes_that_a_line_separates_have_finite_weights():
    x = np.array([[0.0], [1.0], [2.0], [3.0]], np.float32)
    kernels, biases = logistic.fit(x, np.array([0, 0, 1, 1]), (1e-4, 1.0, 1e4), 2)
    assert np.isfinite(kernels).all() and np.isfinite(biases).all()
    assert ((x @ kernels + biases[:, None]).argmax(2) == [0, 0, 1, 1]).all()
