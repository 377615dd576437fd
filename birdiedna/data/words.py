"""31-mers, by which related sequences are found, and codes of short k-mers.

A 31-mer equals its reverse complement; those with N or `<pad>` do not count.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from birdiedna import vocab

#: Length of a word in bases: unrelated places of a genome hardly ever share one.
WORD = 31
_BLOCK_BASES = 1 << 20
#: Multiplication by this odd number hashes words (Knuth's golden ratio hash).
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


def word_codes(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 31-mers of sequences (..., L) and which of them contain only bases, bool.

    Codes are uint64 (..., max(L - 30, 0)), two bits per base, the smaller of both strands.
    """
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
    """Return the code of the k-mer at each position of rows (n, L); -1 if it contains N or PAD."""
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
    """Return the share (n,) of each row's 31-mers found in the others; NaN for a row without any.

    Both are base ids: rows (n, L), others (..., L) rows or contigs. Only one of `every` 31-mers of
    a row is looked up.
    """
    parts = [word_codes(block) for block in _blocks([rows])]
    codes, known = (np.concatenate([part[:, ::every] for part in both]) for both in zip(*parts))
    order = np.argsort(codes[known])
    wanted = codes[known][order]
    found = np.zeros(len(wanted), bool)
    for block in _blocks(others) if len(wanted) else ():
        other_codes, complete = word_codes(block)
        other_codes = np.sort(other_codes[complete])
        # blocks in rows, not all rows in each block, which would grow as the square of a task
        at = np.searchsorted(wanted, other_codes)
        found[at[wanted.take(at, mode="clip") == other_codes]] = True
    found = found[np.searchsorted(wanted, wanted)]  # of equal words only the first was found
    row = np.nonzero(known)[0][order]
    counts, hits = known.sum(1), np.bincount(row[found], minlength=len(codes))
    return np.where(counts, hits / np.maximum(counts, 1), np.nan)


def stretches(rows: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and 31-mers (m,), such that rows (n, L) that share `width + 30` bases share one.

    Of every `width` consecutive 31-mers the one with the smallest hash is kept (winnowing:
    Schleimer, Wilkerson and Aiken 2003).
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
    """Yield blocks of about a million bases; those of a contig overlap, so no 31-mer is lost."""
    for array in arrays:
        width = array.shape[-1]
        step = _BLOCK_BASES if array.ndim == 1 else max(1, _BLOCK_BASES // max(width, 1))
        more = WORD - 1 if array.ndim == 1 else 0
        for start in range(0, len(array), step):
            yield array[start : start + step + more]
