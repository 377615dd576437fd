"""Words of 31 bases: what sequences share wherever they come from; and the numbers of short ones.

A word of 31 bases counts as the same on either strand; one with N or `<pad>` does not count.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from birdiedna import vocab

#: Bases of a word: so long that two unrelated places of a genome hardly ever share one.
WORD = 31
_BLOCK_BASES = 1 << 20
#: Multiplying by this odd number spreads similar words (Knuth's golden ratio hash).
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


def word_codes(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The words of 31 bases of sequences (..., L), and which of them have bases only, as bool.

    Words are uint64 (..., max(L - 30, 0)), two bits a base, of the strand that gives the smaller.
    """
    if tokens.shape[-1] < WORD:
        return np.zeros((*tokens.shape[:-1], 0), np.uint64), np.zeros((*tokens.shape[:-1], 0), bool)
    digits = tokens - np.uint8(vocab.A)
    wrong = np.cumsum(digits > 3, axis=-1, dtype=np.int32)
    inside = wrong[..., WORD - 1 :].copy()
    inside[..., 1:] -= wrong[..., :-WORD]
    ahead = (digits & 3).astype(np.uint64)
    back = np.uint64(3) - ahead
    for bases in (1, 2, 4, 8):
        shift = np.uint64(2 * bases)
        ahead = ahead[..., :-bases] << shift | ahead[..., bases:]
        back = back[..., bases:] << shift | back[..., :-bases]
    low, shift = np.uint64((1 << 30) - 1), np.uint64(30)
    ahead = ahead[..., :-15] << shift | ahead[..., 15:] & low
    back = back[..., 15:] << shift | back[..., :-15] & low
    return np.minimum(ahead, back), inside == 0


def short_word_codes(tokens: np.ndarray, k: int) -> np.ndarray:
    """The number of the word of k bases at each place of rows (n, L); -1 if it has N or PAD."""
    digits = tokens.astype(np.int32) - vocab.A
    places = digits.shape[1] - k + 1
    codes = np.zeros((len(tokens), places), np.int32)
    known = np.ones(codes.shape, bool)
    for i in range(k):
        letters = digits[:, i : i + places]
        codes = codes * 4 + letters
        known &= (letters >= 0) & (letters < 4)
    return np.where(known, codes, -1)


def shared_words(rows: np.ndarray, others: Iterable[np.ndarray], every: int = 1) -> np.ndarray:
    """The share (n,) of each row's words that the others contain; NaN for a row without words.

    Both are base ids, rows (n, L) and others (..., L), as rows or contigs. Of the words of a row
    one of `every` is looked up.
    """
    parts = [word_codes(block) for block in _blocks([rows])]
    mine, known = (np.concatenate([of[:, ::every] for of in both]) for both in zip(*parts))
    order = np.argsort(mine[known])
    wanted = mine[known][order]
    found = np.zeros(len(wanted), bool)
    for block in _blocks(others):
        theirs, complete = word_codes(block)
        theirs = np.append(np.sort(theirs[complete]), np.uint64(2**64 - 1))  # no word has this code
        found |= theirs[np.searchsorted(theirs, wanted)] == wanted
    row = np.nonzero(known)[0][order]
    counts, hits = known.sum(1), np.bincount(row[found], minlength=len(mine))
    return np.where(counts, hits / np.maximum(counts, 1), np.nan)


def stretches(rows: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Words by which rows (n, L) that share `width + 30` bases find each other: rows, words (m,).

    Of every `width` neighbouring words the one with the smallest hash (winnowing: Schleimer,
    Wilkerson and Aiken 2003), so that two rows with the same stretch, on either strand, have one in
    common.
    """
    if rows.shape[1] < WORD:
        return np.zeros(0, np.int64), np.zeros(0, np.uint64)
    found, offset = [], 0
    for block in _blocks([rows]):
        codes, known = word_codes(block)
        hashed = np.where(known, codes * _SPREAD, np.uint64(2**64 - 1))
        size = min(width, codes.shape[1])
        smallest = np.lib.stride_tricks.sliding_window_view(hashed, size, axis=1).min(axis=2)
        new = np.diff(smallest, axis=1, prepend=np.uint64(2**64 - 1)) != 0
        row, column = np.nonzero(new & (smallest != np.uint64(2**64 - 1)))
        found.append((row + offset, smallest[row, column]))
        offset += len(block)
    return np.concatenate([row for row, _ in found]), np.concatenate([word for _, word in found])


def _blocks(arrays: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Parts of about a million bases, such that no word of a contig is lost at their edges."""
    for array in arrays:
        width = array.shape[-1]
        step = _BLOCK_BASES if array.ndim == 1 else max(1, _BLOCK_BASES // max(width, 1))
        more = WORD - 1 if array.ndim == 1 else 0
        for start in range(0, len(array), step):
            yield array[start : start + step + more]
