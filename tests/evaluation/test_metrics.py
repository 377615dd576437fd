"""Scores equal scikit-learn, intervals equal resampling, ties go to the earliest step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import peak
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from birdiedna.evaluation import frames, metrics, probabilities, statistics, variant_sets
from birdiedna.training.metrics import best_evaluation, of_tables


def sure(predicted: list[int], classes: int = 2) -> np.ndarray:
    return np.eye(classes)[predicted]


@pytest.mark.promise("Numbers: laws hold for random input")
@pytest.mark.filterwarnings("ignore:A single label was found")
@settings(max_examples=100)
@given(st.data(), st.integers(2, 4))
def test_scores_equal_scikit_learn(data, classes):
    size = data.draw(st.integers(1, 30))
    draw = st.lists(st.integers(0, classes - 1), min_size=size, max_size=size)
    labels, predicted = np.array(data.draw(draw)), np.array(data.draw(draw))
    average = {"average": "macro", "labels": range(classes)} if classes > 2 else {}
    expected = {
        "accuracy": accuracy_score(labels, predicted),
        "f1": f1_score(labels, predicted, zero_division=0, **average),
        "mcc": matthews_corrcoef(labels, predicted),
    }
    found = metrics.scores(labels, sure(predicted.tolist(), classes))
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", metrics.METRICS)
def test_interval_equals_that_of_resampled_rows(metric):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 300)
    predicted = np.where(rng.random(300) < 0.8, labels, 1 - labels)
    answers = np.eye(2)[predicted]
    low, high = metrics.intervals(labels, answers)[metric]
    assert (low, high) == metrics.intervals(labels, answers)[metric]
    picks = rng.integers(0, 300, (500, 300))
    values = [metrics.scores(labels[i], answers[i])[metric] for i in picks]
    assert low < metrics.scores(labels, answers)[metric] < high
    assert np.quantile(values, (0.025, 0.975)) == pytest.approx((low, high), abs=0.02)


def test_bootstraps_over_rows_have_10_000_resamples(monkeypatch):
    labels, answers = np.array([0, 1] * 50), np.eye(2)[[0, 1, 1, 1] * 25]
    assert statistics.resampled(labels, labels[None], 2).shape == (1, 10_000)
    assert metrics.intervals(labels, answers) == metrics.intervals(labels, answers, 0, 10_000)
    many = np.arange(1000)  # as groups, of which not all resamples are drawn at once
    assert peak(lambda: variant_sets.auroc_interval(many % 2, many, many)) < 1000 * 10_000
    monkeypatch.setattr(np, "nanquantile", lambda values, _: (np.size(values), 0))
    assert variant_sets.auroc_interval(labels, answers[:, 1], labels) == (10_000, 0)


@pytest.mark.parametrize(
    ("positive", "called", "right", "collapsed"),
    [
        (500, 500, 500, False),
        (500, 0, 0, True),  # one class only
        (500, 12, 12, True),  # nearly: 0.093 bits, MCC 0.11
        (500, 14, 14, False),
        (500, 500, 252, True),  # guessing: MCC 0.008
        (10, 10, 10, False),  # a rare class, found
        (10, 1, 1, False),
        (10, 0, 0, True),
    ],
)
def test_a_run_that_guesses_or_predicts_nearly_one_class_has_collapsed(
    positive, called, right, collapsed
):
    labels = np.arange(1000) < positive
    predicted = np.arange(1000) < right
    predicted[positive : positive + called - right] = True
    assert metrics.collapsed(labels.astype(int), np.eye(2)[predicted.astype(int)]) == collapsed


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 1], [[0.5, 0.5]], "do not fit"),
        ([], np.zeros((0, 2)), "do not fit"),
        ([0, 1], [0.1, 0.2], "do not fit"),
        ([0, 1], [[0.5, 0.5], [np.nan, 0.5]], "row 1 .* not finite"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "beyond the 2 classes"),
        ([0.0, 1.0], [[1, 0], [0, 1]], "labels are float64; give whole numbers"),
    ],
)
def test_mismatched_arrays_are_refused(labels, probabilities, message):
    with pytest.raises(ValueError, match=message):
        metrics.scores(labels, probabilities)


def test_unknown_metric_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'auc'.* accuracy, f1, mcc"):
        of_tables(np.ones((1, 2, 2)), "auc")


def test_chosen_step_is_the_earliest_with_the_best_mcc(tmp_path):
    labels = np.array([0, 0, 1, 1])
    logits = np.stack([sure(p) for p in ([1, 1, 1, 1], [0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1])])
    assert best_evaluation(labels, logits) == 1
    saved = {"validation_labels": labels, "validation_logits": logits}
    saved |= {"test_labels": labels, "test_logits": logits}
    np.savez(tmp_path / "predictions.npz", steps=np.array([256, 512, 768, 1024]), **saved)
    assert frames.chosen(tmp_path)[2] == 512
    np.savez(tmp_path / "predictions.npz", steps=np.arange(3), **saved)
    with pytest.raises(ValueError, match="3 steps, 4 evaluations"):
        frames.chosen(tmp_path)


def test_probability_scores_equal_their_definitions():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    margin = np.round(rng.normal(labels, 1.0), 1)  # with ties
    found = probabilities.scores(labels, np.stack([np.zeros(400), margin], axis=1))
    one, other = margin[labels == 1][:, None], margin[labels == 0]
    pairs = (one > other).mean() + 0.5 * (one == other).mean()
    assert found["auroc"] == pytest.approx(pairs)
    chance = 1 / (1 + np.exp(-margin))
    assert found["brier"] == pytest.approx(((chance - labels) ** 2).mean())
    assert 0.5 < found["auprc"] < 1


def test_model_whose_confidence_equals_its_accuracy_is_calibrated():
    rng = np.random.default_rng(0)
    chance = rng.uniform(0.02, 0.98, 20_000)
    labels = (rng.random(20_000) < chance).astype(int)
    logits = np.stack([np.zeros(20_000), np.log(chance / (1 - chance))], axis=1)
    assert probabilities.scores(labels, logits)["calibration error"] < 0.02
    assert probabilities.scores(labels, 5 * logits)["calibration error"] > 0.1
    sixty, alike = np.arange(100) < 60, np.tile(np.log([0.4, 0.6]), (100, 1))  # sorted by label
    assert probabilities.scores(sixty.astype(int), alike)["calibration error"] < 1e-9


def test_probabilities_are_scored_for_two_classes_only():
    labels = np.arange(30) % 3
    assert probabilities.scores(labels, np.eye(3)[labels]) == {}
    assert probabilities.scores(np.zeros(9, int), np.zeros((9, 2))) == {}


@pytest.mark.parametrize("kind", [list, *"bBhi"])
def test_labels_of_any_whole_number_type_give_the_same_table(kind):
    labels = np.arange(32)
    given = labels.tolist() if kind is list else labels.astype(kind)
    answers = sure(labels.tolist(), 32)
    assert metrics.scores(given, answers.tolist()) == metrics.scores(labels, answers)
    assert metrics.scores(given, answers)["mcc"] == 1
    few = lambda labels: metrics.intervals(labels, answers, resamples=9)
    assert few(given) == few(labels)
