"""Methods that see no pre-training and read little: letters at a place, GC, counted words.

All are fitted to training rows. A model that does no better on test rows has learned nothing worth
its size.
"""

from dataclasses import dataclass

import numpy as np

from birdiedna import vocab
from birdiedna.data.labelled import Labelled
from birdiedna.data.words import short_word_codes
from birdiedna.tasks.benchmark_rules import MARKS


@dataclass(frozen=True)
class Rule:
    """Letters at places: `(index, letters)`, any of which is enough; index 0 is the first base.

    `classes` are predicted for rows without any of them, and with one.
    """

    terms: tuple[tuple[int, str], ...]
    classes: tuple[int, int] = (0, 1)

    def __str__(self) -> str:
        return " or ".join(f"{letters} at {index}" for index, letters in self.terms)


#: Rows are always on the + strand: one term for a gene on + and one for a gene on -.
SPLICE_RULES = {
    f"{site}s": Rule(tuple((index, pair) for pair, index in (MARKS[site, s] for s in "+-")))
    for site in ("donor", "acceptor")
}


def matches(rule: Rule, tokens: np.ndarray) -> np.ndarray:
    """Which rows (n,) of base ids (n, L) have the letters of at least one term."""
    found = np.zeros(len(tokens), bool)
    for index, letters in rule.terms:
        piece = tokens[:, index : index + len(letters)]
        if piece.shape[1] == len(letters):
            found |= (piece == vocab.encode(letters)).all(1)
    return found


def predict(rule: Rule, tokens: np.ndarray) -> np.ndarray:
    """The class (n,) int32 that the rule predicts for each row of base ids (n, L)."""
    return np.where(matches(rule, tokens), *reversed(rule.classes)).astype(np.int32)


def best_letter(train: Labelled) -> Rule:
    """The letter and place that separate the classes of the rows best.

    Separation is Cramer's V, which for two classes is |MCC|; each side of the rule predicts the
    class that is most frequent there relative to its size.
    """
    return _best(train, 1, ())


def best_pairs(train: Labelled) -> Rule:
    """One or two pairs of neighbouring letters, either of which is enough: the second if it helps.

    Two, because a task whose rows are all read on one strand shows a site in two forms. Rows of
    fewer than two bases are a ValueError.
    """
    return _best(train, 2, _best(train, 2, ()).terms)


def _best(train: Labelled, k: int, terms: tuple[tuple[int, str], ...]) -> Rule:
    """The rule of the given terms and one more of k letters, if that separates better."""
    width = train.tokens.shape[1]
    if width < k:
        raise ValueError(f"rows of {width} bases contain no {k} letters; give longer rows")
    sizes = np.bincount(train.labels)
    met = matches(Rule(terms), train.tokens)
    before = np.bincount(train.labels[met], minlength=len(sizes))
    hits = before + _hits(train.tokens[~met], train.labels[~met], k, len(sizes))
    apart = _separation(hits, sizes)
    word, index = np.unravel_index(np.argmax(apart), apart.shape)
    shares = before / np.maximum(sizes, 1)
    if not terms or apart[word, index] > _separation(before, sizes):
        shares = hits[word, index] / np.maximum(sizes, 1)
        letters = "".join("ACGT"[word // 4**i % 4] for i in reversed(range(k)))
        terms = (*terms, (int(index), letters))
    return Rule(terms, (int(np.argmin(shares)), int(np.argmax(shares))))


def _hits(tokens: np.ndarray, labels: np.ndarray, k: int, classes: int) -> np.ndarray:
    """Rows of each class with each word of k letters at each place: (4^k, places, classes)."""
    codes = short_word_codes(tokens, k)
    places = codes.shape[1]
    counts = np.zeros((classes, 4**k * places), np.int64)
    for label in range(classes):
        of_class = codes[labels == label]
        flat = (of_class * places + np.arange(places, dtype=np.int32))[of_class >= 0]
        counts[label] = np.bincount(flat, minlength=counts.shape[1])
    return np.moveaxis(counts.reshape(classes, 4**k, places), 0, -1)


def _separation(hits: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Cramer's V of rules by the rows of each class (..., C) that match; 0 if all or none do."""
    rows, matching = sizes.sum(), hits.sum(-1)
    apart = (hits - matching[..., None] * sizes / rows) ** 2 / np.maximum(sizes, 1)
    spread = matching * (rows - matching) / rows
    square = np.zeros(matching.shape)
    np.divide(apart.sum(-1), spread, out=square, where=spread > 0)
    return np.sqrt(square)


def gc_share(rows: Labelled) -> np.ndarray:
    """Share (n,) of G and C among the bases of each row; NaN for a row of nothing but N."""
    known = (rows.tokens >= vocab.A) & (rows.tokens <= vocab.T)
    strong = (rows.tokens == vocab.C) | (rows.tokens == vocab.G)
    counts = known.sum(1)
    return np.where(counts, strong.sum(1) / np.maximum(counts, 1), np.nan)


def gc_regression(train: Labelled, test: Labelled) -> np.ndarray:
    """Class probabilities (n, C) of the test rows by logistic regression on the share of GC alone.

    A row of nothing but N counts as the mean of the training rows.
    """
    shares = [gc_share(rows)[:, None] for rows in (train, test)]
    mean = np.nanmean(shares[0])
    known, asked = (np.nan_to_num(share, nan=mean) for share in shares)
    return _regression(known, train.labels, asked, 1.0)


def kmer_regression(train: Labelled, test: Labelled, k: int = 5) -> np.ndarray:
    """Class probabilities (n, C) of the test rows by logistic regression on shares of k-base words.

    Our choice: L2 with C = 0.001 on standardised shares, because a thousand words meet a few
    hundred rows in the small tasks; it reproduces the baselines of the project's data notes.
    """
    counts = [kmer_counts(rows.tokens, k) for rows in (train, test)]
    known, asked = (count / np.maximum(count.sum(1, keepdims=True), 1) for count in counts)
    return _regression(known, train.labels, asked, 0.001)


def _regression(known: np.ndarray, labels: np.ndarray, asked: np.ndarray, c: float) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression  # only now: their import takes a second
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000))
    return model.fit(known, labels).predict_proba(asked)


def kmer_counts(tokens: np.ndarray, k: int) -> np.ndarray:
    """Counts (n, 4^k) int32 of the words of k bases in rows (n, L); words with N or PAD left out.

    Raises:
      ValueError: k is outside 1..8 or longer than the rows.
    """
    if not 1 <= k <= min(8, tokens.shape[1]):
        raise ValueError(f"words of {k} bases; choose 1 to 8, at most the row ({tokens.shape[1]})")
    codes = short_word_codes(tokens, k)
    flat = (codes + np.arange(len(tokens))[:, None] * 4**k)[codes >= 0]
    return np.bincount(flat, minlength=len(tokens) * 4**k).reshape(-1, 4**k).astype(np.int32)


def majority(train: Labelled, test: Labelled) -> np.ndarray:
    """Class shares of the training rows, the same (n, C) for every test row."""
    shares = np.bincount(train.labels) / len(train.labels)
    return np.tile(shares, (len(test.labels), 1))
