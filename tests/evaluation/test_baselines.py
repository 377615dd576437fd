"""The baselines find what they look for, and reach the known bars on rebuilt tasks."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdiedna import vocab
from birdiedna.data import labelled
from birdiedna.evaluation import baselines, metrics
from birdiedna.tasks import encode

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "tasks" / "nt_recipe"


def window(index: int, letters: str) -> np.ndarray:
    sequence = "T" * index + letters
    return vocab.encode(sequence + "T" * (600 - len(sequence)))


@pytest.mark.parametrize(
    ("site", "index", "letters", "expected"),
    [
        ("donors", 301, "GT", 1),
        ("donors", 298, "AC", 1),
        ("donors", 300, "GT", 0),
        ("donors", 298, "AG", 0),
        ("acceptors", 298, "AG", 1),
        ("acceptors", 301, "CT", 1),
        ("acceptors", 301, "GT", 0),
        ("acceptors", 299, "AG", 0),
    ],
)
def test_two_letter_rule_looks_at_its_places_only(site, index, letters, expected):
    rows = window(index, letters)[None]
    assert baselines.two_letter_rule(rows, site).tolist() == [expected]
    assert baselines.two_letter_rule(rows[:, 250:350], site, start=250).tolist() == [expected]


@pytest.mark.parametrize(
    ("shape", "site", "start", "message"),
    [
        ((1, 600), "donor", 0, "unknown splice site 'donor'; choose donors or acceptors"),
        ((1, 300), "donors", 0, "do not hold 298 to 302"),
        ((1, 300), "donors", 299, "do not hold 298 to 302"),
    ],
)
def test_two_letter_rule_refuses_rows_without_its_places(shape, site, start, message):
    with pytest.raises(ValueError, match=message):
        baselines.two_letter_rule(np.full(shape, vocab.A, np.uint8), site, start)


@settings(max_examples=100, deadline=None)
@given(st.text("ACGTN", min_size=3, max_size=40), st.integers(1, 3))
def test_word_counts_equal_those_of_the_text(sequence, k):
    tokens = np.append(vocab.encode(sequence), [vocab.PAD] * 3)[None]
    counts = baselines.kmer_counts(tokens, k)
    assert counts.shape == (1, 4**k)
    words = [sequence[i : i + k] for i in range(len(sequence) - k + 1)]
    for code in range(4**k):
        letters = "".join("ACGT"[code // 4**i % 4] for i in reversed(range(k)))
        assert counts[0, code] == words.count(letters)


def test_rows_are_counted_apart():
    tokens = np.stack([vocab.encode("AAAA"), vocab.encode("ACGT")])
    counts = baselines.kmer_counts(tokens, 2)
    assert counts.sum(1).tolist() == [3, 3] and counts[0, 0] == 3 and counts[1, 0] == 0


@pytest.mark.parametrize("k", [0, 5, 9])
def test_words_longer_than_the_row_are_refused(k):
    with pytest.raises(ValueError, match=f"words of {k} bases"):
        baselines.kmer_counts(vocab.encode("ACGT")[None], k)


def random_rows(rng: np.random.Generator, count: int) -> labelled.Labelled:
    """Rows of class 1 are rich in G and C."""
    labels = np.arange(count, dtype=np.int32) % 2
    shares = np.array([[0.3, 0.2, 0.2, 0.3], [0.2, 0.3, 0.3, 0.2]])[labels]
    tokens = np.stack([rng.choice([8, 9, 10, 11], 200, p=p) for p in shares]).astype(np.uint8)
    lengths = np.full(count, 200, np.int32)
    return labelled.Labelled(tokens, lengths, labels, ("",) * count)


def test_word_regression_learns_composition_and_gives_probabilities():
    rng = np.random.default_rng(0)
    train, test = random_rows(rng, 200), random_rows(rng, 100)
    found = baselines.kmer_regression(train, test, k=2)
    assert found.shape == (100, 2)
    np.testing.assert_allclose(found.sum(1), 1)
    assert metrics.scores(test.labels, found)["accuracy"] > 0.95


def test_majority_gives_every_row_the_training_shares():
    rng = np.random.default_rng(0)
    train = labelled.take(random_rows(rng, 4), np.array([0, 1, 3]))
    found = baselines.majority(train, random_rows(rng, 5))
    np.testing.assert_allclose(found, [[1 / 3, 2 / 3]] * 5)


def rebuilt(name: str) -> tuple[labelled.Labelled, labelled.Labelled]:
    """Train (chrX) and test (chr20) rows of a task rebuilt by the benchmark's recipe."""
    found, _ = encode.read(SHARED / f"{name}.csv.gz")
    test = np.array([row.startswith("chr20:") for row in found.names])
    return labelled.take(found, ~test), labelled.take(found, test)


#: 5-mer regression, trained on chrX and tested on chr20: accuracy and F1 in percent, MCC.
BARS = {
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
SMALL = 5


@pytest.mark.skipif(not SHARED.exists(), reason="no shared data beside the repository")
@pytest.mark.parametrize(
    "name",
    [*list(BARS)[:SMALL], *(pytest.param(n, marks=pytest.mark.slow) for n in list(BARS)[SMALL:])],
)
def test_word_regression_reaches_the_known_bar(name):
    accuracy, f1, mcc = BARS[name]
    train, test = rebuilt(name)
    found = metrics.scores(test.labels, baselines.kmer_regression(train, test))
    assert 100 * found["accuracy"] == pytest.approx(accuracy, abs=1)
    assert 100 * found["f1"] == pytest.approx(f1, abs=1)
    assert found["mcc"] == pytest.approx(mcc, abs=0.01)


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="no shared data beside the repository")
@pytest.mark.parametrize(
    ("site", "accuracy", "f1", "mcc"),
    [("donors", 94.5, 94.7, 0.89), ("acceptors", 92.7, 93.2, 0.86)],
)
def test_two_letter_rule_reaches_the_known_bar(site, accuracy, f1, mcc):
    _, test = rebuilt(f"splice_sites_{site}")
    predicted = baselines.two_letter_rule(test.tokens, site)
    found = metrics.scores(test.labels, np.eye(2)[predicted])
    assert 100 * found["accuracy"] == pytest.approx(accuracy, abs=0.1)
    assert 100 * found["f1"] == pytest.approx(f1, abs=0.1)
    assert found["mcc"] == pytest.approx(mcc, abs=0.01)
