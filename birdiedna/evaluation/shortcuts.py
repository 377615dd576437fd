"""The simplest rules that tell classes apart: a letter or two at a place, and the share of G and C.

Each is chosen on training rows by what separates the classes best there, and knows nothing else.
A model that does no better on test rows has learned nothing worth its size.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from birdiedna import vocab
from birdiedna.data.labelled import Labelled


@dataclass(frozen=True)
class Rule:
    """Letters at places: `(index, letters)`, any of which is enough; index 0 is the first base.

    `classes` are called where none of them stands, and where one does.
    """

    terms: tuple[tuple[int, str], ...]
    classes: tuple[int, int]

    def __str__(self) -> str:
        return " or ".join(f"{letters} at {index}" for index, letters in self.terms)


def fits(rule: Rule, tokens: np.ndarray) -> np.ndarray:
    """In which rows (n,) of base ids (n, L) a term of the rule stands."""
    found = np.zeros(len(tokens), bool)
    for index, letters in rule.terms:
        piece = tokens[:, index : index + len(letters)]
        if piece.shape[1] == len(letters):
            found |= (piece == vocab.encode(letters)).all(1)
    return found


def predict(rule: Rule, tokens: np.ndarray) -> np.ndarray:
    """The class (n,) int32 that the rule calls for each row."""
    return np.where(fits(rule, tokens), *reversed(rule.classes)).astype(np.int32)


def best_letter(train: Labelled) -> Rule:
    """The letter and place that separate the classes of the rows best.

    Separation is Cramer's V, which for two classes is |MCC|, with each side of the rule calling
    the class that falls on it most often relative to its size.
    """
    return _best(train, 1, ())


def best_pairs(train: Labelled) -> Rule:
    """Up to two pairs of neighbouring letters, either of which is enough: the best, and the best
    other one if it helps.

    Two, because a task whose rows are all read on one strand shows a site in two forms.

    Raises:
      ValueError: rows of fewer than two bases.
    """
    first = _best(train, 2, ())
    return _best(train, 2, first.terms)


def _best(train: Labelled, letters: int, terms: tuple[tuple[int, str], ...]) -> Rule:
    """The rule of the given terms and one more of so many letters, if that separates better."""
    width = train.tokens.shape[1]
    if width < letters:
        raise ValueError(f"rows of {width} bases hold no {letters} letters; give longer rows")
    sizes = np.bincount(train.labels)
    met = fits(Rule(terms, (0, 1)), train.tokens)
    before = np.bincount(train.labels[met], minlength=len(sizes))
    hits = before + _hits(train.tokens[~met], train.labels[~met], letters, len(sizes))
    apart = _separation(hits, sizes)
    place = np.unravel_index(np.argmax(apart), apart.shape)
    if terms and apart[place] <= _separation(before, sizes):
        shares = before / np.maximum(sizes, 1)
    else:
        shares = hits[place] / np.maximum(sizes, 1)
        word = "".join("ACGT"[place[0] // 4**i % 4] for i in reversed(range(letters)))
        terms = (*terms, (int(place[1]), word))
    return Rule(terms, (int(np.argmin(shares)), int(np.argmax(shares))))


def _hits(tokens: np.ndarray, labels: np.ndarray, letters: int, classes: int) -> np.ndarray:
    """Rows of each class with each word of letters at each place: (4^letters, places, classes)."""
    order = np.argsort(labels, kind="stable")
    digits = tokens[order] - np.uint8(vocab.A)
    places = digits.shape[1] - letters + 1
    codes = np.zeros((len(digits), places), np.uint8)
    for i in range(letters):
        digit = digits[:, i : i + places]
        codes = np.where((digit > 3) | (codes == 255), np.uint8(255), codes * 4 + digit)
    bounds = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=classes))])
    counts = np.zeros((4**letters, places, classes), np.int64)
    for word in range(4**letters):
        for label in range(classes):
            part = codes[bounds[label] : bounds[label + 1]]
            counts[word, :, label] = np.count_nonzero(part == word, axis=0)
    return counts


def _separation(hits: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Cramer's V of rules by the rows of each class (..., C) that they fit; 0 if all or none."""
    rows, fitting = sizes.sum(), hits.sum(-1)
    apart = (hits - fitting[..., None] * sizes / rows) ** 2 / np.maximum(sizes, 1)
    spread = fitting * (rows - fitting) / rows
    square = np.zeros(fitting.shape)
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
    model = make_pipeline(StandardScaler(), LogisticRegression())
    return model.fit(known, train.labels).predict_proba(asked)
