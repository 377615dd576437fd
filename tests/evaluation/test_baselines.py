"""The baselines find planted signals, and reach the known scores on rebuilt tasks."""

import itertools
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import SHARED, needs_shared
from made_rows import labelled, read_file
from memory import peak
from scipy.stats.contingency import association

from birdiedna import vocab
from birdiedna.data.labelled import Labelled, take
from birdiedna.evaluation import baselines, metrics


@pytest.mark.parametrize(
    ("site", "found", "missed"),
    [
        ("donors", {301: "GT", 298: "AC"}, {300: "GT", 298: "AG"}),
        ("acceptors", {298: "AG", 301: "CT"}, {301: "GT", 299: "AG"}),
    ],
)
def test_two_letter_rule_matches_only_at_its_positions(site, found, missed):
    windows = [("T" * at + pair).ljust(600, "T") for at, pair in [*found.items(), *missed.items()]]
    given = baselines.predict(baselines.SPLICE_RULES[site], labelled(windows).tokens)
    assert given.tolist() == [1, 1, 0, 0]


def noise(seed: int, count: int, length: int = 12, classes: int = 2) -> Labelled:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(vocab.A, vocab.N, (count, length)).astype(np.uint8)
    labels = (np.arange(count) % classes).astype(np.int32)
    return Labelled(tokens, np.full(count, length, np.int32), labels, ("",) * count)


@settings(max_examples=50)
@given(st.integers(0, 99), st.integers(0, 11), st.sampled_from("ACGT"), st.integers(0, 2))
def test_planted_letter_is_found_at_its_position(seed, index, letter, label):
    rows = noise(seed, 300, classes=3)
    other = "ACGT"["ACGT".index(letter) - 1]
    chosen = rows.labels == label
    rows.tokens[chosen, index] = vocab.encode(letter)[0]
    rows.tokens[~chosen, index] = vocab.encode(other)[0]
    rule = baselines.best_letter(rows)
    assert rule.terms in (((index, letter),), ((index, other),))
    assert ((baselines.predict(rule, rows.tokens) == label) == chosen).all()


@settings(max_examples=30)
@given(st.integers(0, 99), st.integers(0, 4), st.integers(6, 10))
def test_site_with_two_forms_is_found_by_two_pairs(seed, one, other):
    rows = noise(seed, 400, 14)
    positive = np.flatnonzero(rows.labels)
    rows.tokens[rows.tokens == vocab.G] = vocab.T  # negatives contain no G
    rows.tokens[positive[::2], one : one + 2] = vocab.encode("GT")
    rows.tokens[positive[1::2], other : other + 2] = vocab.encode("AG")
    rule = baselines.best_pairs(rows)
    assert len(rule.terms) == 2
    assert (baselines.predict(rule, rows.tokens) == rows.labels).all()


def test_second_pair_that_does_not_help_is_dropped():
    rows = labelled(["GTAA", "GTAA", "AAAA", "AAAA"], [1, 1, 0, 0])
    rule = baselines.best_pairs(rows)
    assert str(rule) in ("AA at 0", "GT at 0", "TA at 1", "AA at 1")
    assert (baselines.predict(rule, rows.tokens) == rows.labels).all()


@settings(max_examples=50)
@given(st.integers(0, 999), st.integers(2, 40))
def test_chosen_letter_has_the_largest_mcc_for_two_classes(seed, count):
    rows = noise(seed, 2 * count, 4)
    terms = [((index, letter),) for index in range(4) for letter in "ACGT"]
    rules = [baselines.Rule(term, classes) for term in terms for classes in ((0, 1), (1, 0))]
    best, *found = (
        metrics.scores(rows.labels, np.eye(2)[baselines.predict(rule, rows.tokens)])["mcc"]
        for rule in (baselines.best_letter(rows), *rules)
    )
    assert best == pytest.approx(max(found))


@settings(max_examples=20)
@given(st.integers(0, 999))
def test_chosen_letter_has_the_largest_cramers_v_for_unequal_classes(seed):
    rows = noise(seed, 90, 3)
    rows.labels[:] = np.repeat([0, 1, 2], [60, 20, 10])

    def separation(index, letter):
        has = rows.tokens[:, index] == vocab.encode(letter)[0]
        return association([np.bincount(rows.labels[part], minlength=3) for part in (has, ~has)])

    (best,) = baselines.best_letter(rows).terms
    found = [separation(index, letter) for index in range(3) for letter in "ACGT"]
    assert separation(*best) == pytest.approx(max(found))


def test_letters_beyond_the_end_of_a_row_do_not_match():
    rule = baselines.Rule(((3, "GT"), (0, "CC")), (0, 1))
    rows = labelled(["AAAGT", "AAAG", "CC", "ACC"])
    assert baselines.predict(rule, rows.tokens).tolist() == [1, 0, 1, 0]
    assert baselines.predict(rule, rows.tokens[:, :4]).tolist() == [0, 0, 1, 0]
    assert str(rule) == "GT at 3 or CC at 0"


def test_gc_share_excludes_n_and_pads():
    found = baselines.gc_share(labelled(["GCAN", "G", "NN", "ATAT"]))
    assert found.tolist() == pytest.approx([2 / 3, 1, np.nan, 0], nan_ok=True)


@settings(max_examples=100)
@given(
    st.lists(st.text("ACGTN", min_size=3, max_size=40), min_size=1, max_size=3), st.integers(1, 3)
)
def test_kmer_counts_equal_string_counts(sequences, k):
    counts = baselines.kmer_counts(labelled(sequences).tokens, k)
    known = ["".join(letters) for letters in itertools.product("ACGT", repeat=k)]
    for sequence, row in zip(sequences, counts, strict=True):
        words = [sequence[i : i + k] for i in range(len(sequence) - k + 1)]
        assert row.tolist() == [words.count(word) for word in known]


def test_counting_words_takes_little_memory_beside_the_counts():
    rows = np.full((20_000, 300), vocab.A, np.uint8)
    assert peak(lambda: baselines.kmer_counts(rows, 5)) < 2 * len(rows) * 4**5 * 4


@pytest.mark.parametrize("k", [0, 5, 9])
def test_words_longer_than_the_row_are_refused(k):
    with pytest.raises(ValueError, match=f"words of {k} bases"):
        baselines.kmer_counts(vocab.encode("ACGT")[None], k)
    with pytest.raises(ValueError, match="rows of 1 bases .* 2 letters"):
        baselines.best_pairs(labelled(["A", "C"]))


@pytest.mark.parametrize(
    "method", [baselines.gc_regression, partial(baselines.kmer_regression, k=1)]
)
def test_regressions_separate_classes_by_composition_and_return_probabilities(method):
    train = labelled(["GCGCA", "ATATG", "GGGCA", "AATTG", "NNNNN"] * 200, [1, 0, 1, 0, 1] * 200)
    found = method(train, labelled(["CGCGG", "ATTAA"], [1, 0]))
    np.testing.assert_allclose(found.sum(1), 1)
    assert found.shape == (2, 2) and found.argmax(1).tolist() == [1, 0]


def test_majority_predicts_the_train_class_shares():
    found = baselines.majority(labelled(["A", "A", "A"], [0, 1, 1]), labelled(["A"] * 5))
    np.testing.assert_allclose(found, [[1 / 3, 2 / 3]] * 5)


def rebuilt(name: str) -> tuple[Labelled, Labelled]:
    """Train (chrX) and test (chr20) rows of a task rebuilt by the benchmark's procedure."""
    found, _ = read_file(SHARED / f"tasks/nt_recipe/{name}.csv.gz")
    test = np.array([row.startswith("chr20:") for row in found.names])
    return take(found, ~test), take(found, test)


#: 5-mer regression, trained on chrX, tested on chr20: accuracy and F1 in percent, MCC.
KNOWN = {
    "promoter_tata": (77.5, 78.1, 0.55),
    "H3K9me3": (53.8, 50.0, 0.08),
    "H3K4me3": (78.5, 79.5, 0.57),
    "H3K27ac": (63.8, 66.5, 0.28),
    "H3K9ac": (70.0, 71.4, 0.40),
    "promoter_no_tata": (85.4, 85.4, 0.71),
    "promoter_all": (85.0, 85.0, 0.70),
    "H2AFZ": (65.6, 68.0, 0.32),
    "H3K27me3": (69.5, 74.7, 0.43),
    "H3K36me3": (67.3, 69.4, 0.35),
    "H3K4me1": (69.1, 72.5, 0.39),
    "splice_sites_donors": (73.5, 75.8, 0.48),
}


@needs_shared
@pytest.mark.parametrize("name", KNOWN)
def test_kmer_regression_reaches_the_known_scores(name):
    accuracy, f1, mcc = KNOWN[name]
    train, test = rebuilt(name)
    found = metrics.scores(test.labels, baselines.kmer_regression(train, test))
    assert (100 * found["accuracy"], 100 * found["f1"]) == pytest.approx((accuracy, f1), abs=1)
    assert found["mcc"] == pytest.approx(mcc, abs=0.01)


@needs_shared
@pytest.mark.parametrize(
    ("site", "accuracy", "f1", "mcc"),
    [("donors", 94.5, 94.7, 0.89), ("acceptors", 92.7, 93.2, 0.86)],
)
def test_best_pairs_of_splice_sites_equal_the_two_letter_rule_and_its_known_scores(
    site, accuracy, f1, mcc
):
    train, test = rebuilt(f"splice_sites_{site}")
    rule = baselines.best_pairs(train)
    assert {*rule.terms} == {*baselines.SPLICE_RULES[site].terms}
    found = metrics.scores(test.labels, np.eye(2)[baselines.predict(rule, test.tokens)])
    assert (100 * found["accuracy"], 100 * found["f1"]) == pytest.approx((accuracy, f1), abs=0.1)
    assert found["mcc"] == pytest.approx(mcc, abs=0.01)
