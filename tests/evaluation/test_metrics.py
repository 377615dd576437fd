"""Scores equal hand-computed confusion tables, intervals behave, ties go to the earliest step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdiedna.evaluation import metrics


def sure(predicted: list[int], classes: int = 2) -> np.ndarray:
    return np.eye(classes)[predicted]


def test_scores_of_a_hand_computed_table():
    labels = np.array([1] * 50 + [0] * 50)
    predicted = [1] * 40 + [0] * 10 + [1] * 20 + [0] * 30  # TP 40, FN 10, FP 20, TN 30
    found = metrics.scores(labels, sure(predicted))
    assert found["accuracy"] == pytest.approx(0.7)
    assert found["f1"] == pytest.approx(80 / 110)
    assert found["mcc"] == pytest.approx((40 * 30 - 20 * 10) / np.sqrt(60 * 50 * 50 * 40))


def test_always_positive_on_balanced_rows_has_f1_two_thirds_and_mcc_0():
    found = metrics.scores(np.array([0, 1] * 10), sure([1] * 20))
    assert found == pytest.approx({"accuracy": 0.5, "f1": 2 / 3, "mcc": 0})


def test_f1_of_three_classes_is_their_mean():
    labels = np.array([0, 0, 1, 1, 2, 2])
    found = metrics.scores(labels, sure([0, 0, 1, 0, 0, 0], 3))
    assert found["f1"] == pytest.approx((2 * 2 / (2 + 5) + 2 / (2 + 1) + 0) / 3)


@pytest.mark.promise("Numbers: laws hold for whatever input hypothesis invents")
@pytest.mark.filterwarnings("ignore:A single label was found")
@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(2, 4))
def test_scores_stay_in_range_and_equal_those_of_the_confusion_table(data, classes):
    size = data.draw(st.integers(1, 30))
    draw = st.lists(st.integers(0, classes - 1), min_size=size, max_size=size)
    labels, predicted = np.array(data.draw(draw)), np.array(data.draw(draw))
    found = metrics.scores(labels, sure(predicted.tolist(), classes))
    assert 0 <= found["accuracy"] <= 1 and 0 <= found["f1"] <= 1
    assert -1 - 1e-9 <= found["mcc"] <= 1 + 1e-9
    table = np.bincount(labels * classes + predicted, minlength=classes**2)
    for metric, value in found.items():
        own = metrics.of_tables(table.reshape(1, classes, classes), metric)
        assert own[0] == pytest.approx(value, abs=1e-12)


def test_logits_and_probabilities_give_the_same_scores():
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 3, 50), rng.normal(size=(50, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert metrics.scores(labels, logits) == metrics.scores(labels, probabilities)


@pytest.mark.parametrize("metric", metrics.METRICS)
def test_interval_equals_that_of_resampled_examples(metric):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 300)
    predicted = np.where(rng.random(300) < 0.8, labels, 1 - labels)
    low, high = metrics.interval(labels, sure(predicted.tolist()), metric, seed=0)
    picks = rng.integers(0, 300, (500, 300))
    values = [metrics.scores(labels[i], sure(predicted[i].tolist()))[metric] for i in picks]
    assert low < metrics.scores(labels, sure(predicted.tolist()))[metric] < high
    assert np.quantile(values, (0.025, 0.975)) == pytest.approx((low, high), abs=0.02)


def test_interval_of_shuffled_labels_holds_mcc_0():
    rng = np.random.default_rng(2)
    labels, predicted = rng.integers(0, 2, (2, 400))
    low, high = metrics.interval(labels, sure(predicted.tolist()), "mcc", seed=0)
    assert low < 0 < high


def test_interval_is_the_same_for_the_same_seed():
    labels, probabilities = np.array([0, 1] * 20), sure([0, 1, 1, 1] * 10)
    first = metrics.interval(labels, probabilities, "f1", seed=3)
    assert first == metrics.interval(labels, probabilities, "f1", seed=3)


def test_mcnemar_is_the_binomial_test_on_the_pairs_that_differ():
    labels = np.zeros(20, int)
    first, second = np.zeros(20, int), np.zeros(20, int)
    second[:6] = 1
    first[6] = 1
    assert metrics.mcnemar(labels, first, second) == pytest.approx(2 * (1 + 7) / 2**7)
    assert metrics.mcnemar(labels, first, first) == 1


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 1], [[0.5, 0.5]], "do not fit"),
        ([], np.zeros((0, 2)), "do not fit"),
        ([0, 1], [0.1, 0.2], "do not fit"),
        ([0, 1], [[0.5, 0.5], [np.nan, 0.5]], "row 1 .* not finite"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "beyond the 2 classes"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(labels, probabilities, message):
    with pytest.raises(ValueError, match=message):
        metrics.scores(np.array(labels, int), np.array(probabilities))


def test_unknown_metric_is_refused_with_the_list():
    with pytest.raises(ValueError, match="unknown metric 'auc'; choose one of accuracy, f1, mcc"):
        metrics.interval(np.array([0, 1]), sure([0, 1]), "auc", seed=0)
    with pytest.raises(ValueError, match="differ; pair them"):
        metrics.mcnemar(np.zeros(3), np.zeros(3), np.zeros(2))


def test_chosen_step_is_the_earliest_of_the_best_by_mcc():
    labels = np.array([0, 0, 1, 1])
    logits = np.stack([sure(p) for p in ([1, 1, 1, 1], [0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1])])
    assert metrics.chosen_step(np.array([256, 512, 768, 1024]), logits, labels) == 512
    with pytest.raises(ValueError, match="3 steps and 4 evaluations"):
        metrics.chosen_step(np.arange(3), logits, labels)
