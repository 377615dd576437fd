"""Simple baselines without pre-training: letters at fixed positions, GC share, k-mer counts.

All are fitted to the train rows. A model has to beat them on the test rows to be worth its size.
"""

from dataclasses import dataclass

import numpy as np

from birdiedna import vocab
from birdiedna.data.labelled import Labelled
from birdiedna.data.words import short_word_codes
from birdiedna.tasks.benchmark_rules import MARKS

#: Rows whose words are counted at once, which takes several times the memory of the counts.
_TOGETHER = 4096


@dataclass(frozen=True)
class Rule:
    """Letters at positions: terms `(index, letters)`, any of which may match; 0 is the first base.

    `classes` are the predictions for rows without and with a match.
    """

    terms: tuple[tuple[int, str], ...]
    classes: tuple[int, int] = (0, 1)

    def __str__(self) -> str:
        return " or ".join(f"{letters} at {index}" for index, letters in self.terms)


#: Rows are on the + strand, so there is one term for genes on + and one for genes on -.
SPLICE_RULES = {
    f"{site}s": Rule(tuple((index, pair) for pair, index in (MARKS[site, s] for s in "+-")))
    for site in ("donor", "acceptor")
}


def matches(rule: Rule, tokens: np.ndarray) -> np.ndarray:
    """Which rows (n,) of base ids (n, L) match at least one term."""
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
    """The letter and position that best separate the classes.

    Separation is Cramer's V, which for two classes is |MCC|; each side of the rule predicts the
    class that is most frequent there relative to its size.
    """
    return _best(train, 1, ())


def best_pairs(train: Labelled) -> Rule:
    """The best pair of neighbouring letters, or two pairs if the second helps.

    Two, because rows of a single strand show a site in two forms. ValueError for rows of fewer than
    two bases.
    """
    return _best(train, 2, _best(train, 2, ()).terms)


def _best(train: Labelled, k: int, terms: tuple[tuple[int, str], ...]) -> Rule:
    """The given terms, with another of k letters if that separates better."""
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
    """Count rows per word of k letters, position and class: (4^k, positions, classes)."""
    codes = short_word_codes(tokens, k)
    places = codes.shape[1]
    counts = np.zeros((classes, 4**k * places), np.int64)
    for label in range(classes):
        of_class = codes[labels == label]
        flat = (of_class * places + np.arange(places, dtype=np.int32))[of_class >= 0]
        counts[label] = np.bincount(flat, minlength=counts.shape[1])
    return np.moveaxis(counts.reshape(classes, 4**k, places), 0, -1)


def _separation(hits: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Cramer's V of rules, from matching rows per class (..., C); 0 if all or none match."""
    rows, matching = sizes.sum(), hits.sum(-1)
    apart = (hits - matching[..., None] * sizes / rows) ** 2 / np.maximum(sizes, 1)
    spread = matching * (rows - matching) / rows
    square = np.zeros(matching.shape)
    np.divide(apart.sum(-1), spread, out=square, where=spread > 0)
    return np.sqrt(square)


def gc_share(rows: Labelled) -> np.ndarray:
    """Share (n,) of G and C among the known bases of each row; NaN for a row of only N."""
    known = (rows.tokens >= vocab.A) & (rows.tokens <= vocab.T)
    strong = (rows.tokens == vocab.C) | (rows.tokens == vocab.G)
    counts = known.sum(1)
    return np.where(counts, strong.sum(1) / np.maximum(counts, 1), np.nan)


def gc_regression(train: Labelled, test: Labelled) -> np.ndarray:
    """Class probabilities (n, C) of the test rows by logistic regression on the GC share.

    A row of only N gets the mean of the train rows.
    """
    shares = [gc_share(rows)[:, None] for rows in (train, test)]
    mean = np.nanmean(shares[0])
    known, asked = (np.nan_to_num(share, nan=mean) for share in shares)
    return _regression(known, train.labels, asked, 1.0)


def kmer_regression(train: Labelled, test: Labelled, k: int = 5) -> np.ndarray:
    """Class probabilities (n, C) of the test rows by logistic regression on shares of k-base words.

    Our choice: L2 with C = 0.001 on standardised shares, because small tasks have a few hundred
    rows for a thousand words.
    """
    counts = (kmer_counts(rows.tokens, k) for rows in (train, test))
    known, asked = (count / np.maximum(count.sum(1, keepdims=True), 1) for count in counts)
    return _regression(known, train.labels, asked, 0.001)


def _regression(known: np.ndarray, labels: np.ndarray, asked: np.ndarray, c: float) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression  # only now: their import takes a second
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(copy=False), LogisticRegression(C=c, max_iter=2000))
    return model.fit(known, labels).predict_proba(asked)


def kmer_counts(tokens: np.ndarray, k: int) -> np.ndarray:
    """Counts (n, 4^k) int32 of the words of k bases in rows (n, L), without words with N or PAD.

    ValueError if k is outside 1..8 or longer than the rows.
    """
    if not 1 <= k <= min(8, tokens.shape[1]):
        raise ValueError(f"words of {k} bases; choose 1 to 8, at most the row ({tokens.shape[1]})")
    counts = np.empty((len(tokens), 4**k), np.int32)
    for begin in range(0, len(tokens), _TOGETHER):
        codes = short_word_codes(tokens[begin : begin + _TOGETHER], k)
        flat = (codes + np.arange(len(codes))[:, None] * 4**k)[codes >= 0]
        found = np.bincount(flat, minlength=len(codes) * 4**k)
        counts[begin : begin + _TOGETHER] = found.reshape(-1, 4**k)
    return counts


def majority(train: Labelled, test: Labelled) -> np.ndarray:
    """Class shares of the train rows, (n, C), the same for every test row."""
    shares = np.bincount(train.labels) / len(train.labels)
    return np.tile(shares, (len(test.labels), 1))
