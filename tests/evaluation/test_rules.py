"""The simplest rules find what was planted, and reach the known bars on rebuilt tasks."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import labelled

from birdiedna import tasks, vocab
from birdiedna.data.labelled import Labelled
from birdiedna.evaluation import baselines, metrics, shortcuts

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "tasks" / "nt_recipe"


def noise(seed: int, count: int, length: int = 12, classes: int = 2) -> Labelled:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(vocab.A, vocab.N, (count, length)).astype(np.uint8)
    labels = (np.arange(count) % classes).astype(np.int32)
    return Labelled(tokens, np.full(count, length, np.int32), labels, ("",) * count)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 99), st.integers(0, 11), st.sampled_from("ACGT"), st.integers(0, 2))
def test_a_planted_letter_is_found_at_its_place(seed, index, letter, label):
    rows = noise(seed, 300, classes=3)
    other = "ACGT"["ACGT".index(letter) - 1]
    chosen = rows.labels == label
    rows.tokens[chosen, index] = vocab.encode(letter)[0]
    rows.tokens[~chosen, index] = vocab.encode(other)[0]
    rule = shortcuts.best_letter(rows)
    assert rule.terms in (((index, letter),), ((index, other),))
    assert ((shortcuts.predict(rule, rows.tokens) == label) == chosen).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(0, 4), st.integers(6, 10))
def test_a_site_that_shows_in_two_forms_is_found_by_two_pairs(seed, one, other):
    rows = noise(seed, 400, 14)
    positive = np.flatnonzero(rows.labels)
    rows.tokens[rows.tokens == vocab.G] = vocab.T  # negatives hold no G
    rows.tokens[positive[::2], one : one + 2] = vocab.encode("GT")
    rows.tokens[positive[1::2], other : other + 2] = vocab.encode("AG")
    rule = shortcuts.best_pairs(rows)
    assert len(rule.terms) == 2
    assert (shortcuts.predict(rule, rows.tokens) == rows.labels).all()


def test_a_second_pair_that_does_not_help_is_left_out():
    rows = labelled(["GTAA", "GTAA", "AAAA", "AAAA"], [1, 1, 0, 0])
    assert str(shortcuts.best_pairs(rows)) in ("AA at 0", "GT at 0", "TA at 1", "AA at 1")
    assert (shortcuts.predict(shortcuts.best_pairs(rows), rows.tokens) == rows.labels).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 999), st.integers(2, 40))
def test_of_two_classes_the_chosen_letter_has_the_largest_mcc(seed, count):
    rows = noise(seed, 2 * count, 4)
    every = [
        shortcuts.Rule(((index, letter),), classes)
        for index in range(4)
        for letter in "ACGT"
        for classes in ((0, 1), (1, 0))
    ]
    best = max(mcc(rule, rows) for rule in every)
    assert mcc(shortcuts.best_letter(rows), rows) == pytest.approx(best)


def mcc(rule: shortcuts.Rule, rows: Labelled) -> float:
    """Matthews' correlation, which for two classes is Pearson's."""
    called = shortcuts.predict(rule, rows.tokens)
    return np.corrcoef(called, rows.labels)[0, 1] if len({*called.tolist()}) == 2 else 0.0


def test_letters_behind_the_end_of_a_row_do_not_stand_there():
    rule = shortcuts.Rule(((3, "GT"), (0, "CC")), (0, 1))
    rows = labelled(["AAAGT", "AAAG", "CC", "ACC"])
    assert shortcuts.predict(rule, rows.tokens).tolist() == [1, 0, 1, 0]
    assert shortcuts.predict(rule, rows.tokens[:, :4]).tolist() == [0, 0, 1, 0]
    assert str(rule) == "GT at 3 or CC at 0"


def test_gc_is_a_share_of_bases_without_n_and_pads():
    found = shortcuts.gc_share(labelled(["GCAN", "G", "NN", "ATAT"]))
    assert found.tolist() == pytest.approx([2 / 3, 1, np.nan, 0], nan_ok=True)


def test_the_share_of_gc_alone_separates_classes_of_other_composition():
    train = labelled(["GCGCA", "ATATG", "GGGCA", "AATTG", "NNNNN"] * 9, [1, 0, 1, 0, 1] * 9)
    test = labelled(["CCCCC", "AAAAA"], [1, 0])
    found = shortcuts.gc_regression(train, test)
    assert found.shape == (2, 2) and found.argmax(1).tolist() == [1, 0]


def test_a_pair_needs_two_bases():
    with pytest.raises(ValueError, match="rows of 1 bases hold no 2 letters"):
        shortcuts.best_pairs(labelled(["A", "C"]))


@pytest.mark.skipif(not SHARED.exists(), reason="no shared data beside the repository")
@pytest.mark.parametrize(
    ("site", "accuracy", "f1", "value"),
    [("donors", 94.5, 94.7, 0.89), ("acceptors", 92.7, 93.2, 0.86)],
)
def test_the_two_pairs_of_splice_sites_are_the_known_rule_and_reach_its_bar(
    site, accuracy, f1, value
):
    loaded = tasks.read(tasks.find(SHARED, f"splice_sites_{site}"))
    rule = shortcuts.best_pairs(loaded.train)
    assert {*rule.terms} == {*baselines.SPLICE_RULES[site]}
    called = np.eye(2)[shortcuts.predict(rule, loaded.test.tokens)]
    found = metrics.scores(loaded.test.labels, called)
    assert 100 * found["accuracy"] == pytest.approx(accuracy, abs=0.1)
    assert 100 * found["f1"] == pytest.approx(f1, abs=0.1)
    assert found["mcc"] == pytest.approx(value, abs=0.01)
