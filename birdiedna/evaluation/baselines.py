"""Baselines that see no pre-training: two letters, counted words, the commonest class."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from birdiedna import vocab
from birdiedna.data.labelled import Labelled

#: Splice windows have 600 bases with the boundary base of the exon at index 300, always on the +
#: strand; each rule lists (index, letters) for a gene on + and one on -.
SPLICE_RULES = {
    "donors": ((301, "GT"), (298, "AC")),
    "acceptors": ((298, "AG"), (301, "CT")),
}
_SPLICE_LENGTH = 600


def two_letter_rule(tokens: np.ndarray, site: str, start: int = 0) -> np.ndarray:
    """Call a splice site by two letters alone: donors GT at 301 or AC at 298 (acceptors AG, CT).

    Args:
      tokens: (n, L) base ids of 600-base windows, or a part of them.
      site: "donors" or "acceptors".
      start: index in the 600-base window of the first token, for cropped rows.

    Returns:
      predicted class (n,) int32: 1 where the letters stand, else 0.

    Raises:
      ValueError: an unknown site, or rows that do not hold the places 298 to 302.
    """
    if site not in SPLICE_RULES:
        raise ValueError(f"unknown splice site {site!r}; choose donors or acceptors")
    if start > 298 or start + tokens.shape[1] <= 302:
        raise ValueError(
            f"rows of {tokens.shape[1]} tokens from index {start} on do not hold 298 to 302; "
            f"give windows of {_SPLICE_LENGTH} bases or a part around their middle"
        )
    found = np.zeros(len(tokens), bool)
    for index, letters in SPLICE_RULES[site]:
        pair = tokens[:, index - start : index - start + 2]
        found |= (pair == vocab.encode(letters)).all(1)
    return found.astype(np.int32)


def kmer_counts(tokens: np.ndarray, k: int) -> np.ndarray:
    """Counts (n, 4^k) int32 of the words of k bases in rows (n, L); words with N or PAD left out.

    Raises:
      ValueError: k is outside 1..8 or longer than the rows.
    """
    if not 1 <= k <= min(8, tokens.shape[1]):
        raise ValueError(f"words of {k} bases; choose 1 to 8, at most the row ({tokens.shape[1]})")
    digits = tokens.astype(np.int32) - vocab.A
    places = digits.shape[1] - k + 1
    codes = np.zeros((len(tokens), places), np.int32)
    known = np.ones(codes.shape, bool)
    for i in range(k):
        letters = digits[:, i : i + places]
        codes = codes * 4 + letters
        known &= (letters >= 0) & (letters < 4)
    rows = np.broadcast_to(np.arange(len(tokens))[:, None], codes.shape)
    flat = rows[known].astype(np.int64) * 4**k + codes[known]
    return np.bincount(flat, minlength=len(tokens) * 4**k).reshape(-1, 4**k).astype(np.int32)


def kmer_regression(train: Labelled, test: Labelled, k: int = 5, seed: int = 0) -> np.ndarray:
    """Logistic regression on the shares of k-base words, standardised on the training rows.

    Our choice: L2 with C = 0.001 on standardised shares, because a thousand words meet a few
    hundred rows in the small tasks; it gives the bars of the project's data notes.

    Returns:
      class probabilities (n, C) of the test rows.
    """
    model = _regression(seed).fit(_shares(train, k), train.labels)
    return model.predict_proba(_shares(test, k))


def _regression(seed: int) -> Pipeline:
    return make_pipeline(
        StandardScaler(), LogisticRegression(C=0.001, max_iter=2000, random_state=seed)
    )


def _shares(labelled: Labelled, k: int) -> np.ndarray:
    counts = kmer_counts(labelled.tokens, k)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def majority(train: Labelled, test: Labelled) -> np.ndarray:
    """Class shares of the training rows, the same (n, C) for every test row."""
    classes = int(train.labels.max()) + 1
    shares = np.bincount(train.labels, minlength=classes) / len(train.labels)
    return np.tile(shares, (len(test.labels), 1))
