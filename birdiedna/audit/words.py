"""Words of 31 bases: what two sets of sequences share, without any coordinates.

A word counts as the same on either strand, and one that holds N or `<pad>` counts as none.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from birdiedna import vocab

#: Bases of a word: so long that two unrelated places of a genome hardly ever share one.
WORD = 31
_BLOCK_BASES = 1 << 20
#: Multiplying by this odd number spreads similar words (Knuth's golden ratio hash).
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


def codes(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The words of 31 bases of sequences (..., L), the same number for both strands.

    Returns:
      uint64 (..., max(L - 30, 0)), two bits a base, the smaller of both strands; and whether the
      word holds bases only, bool of the same shape.
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


def share(rows: np.ndarray, others: Iterable[np.ndarray], every: int = 1) -> np.ndarray:
    """The share (n,) of each row's words that also stand in the others; NaN for a row without.

    Args:
      rows: base ids (n, L), looked up.
      others: base ids (..., L), as rows or as contigs; read block by block.
      every: look up only every so many-th word of a row.
    """
    parts = [codes(block) for block in _blocks([rows])]
    mine = np.concatenate([part[:, ::every] for part, _ in parts])
    known = np.concatenate([part[:, ::every] for _, part in parts])
    wanted = _sieve(mine[known])
    found = np.zeros(len(wanted.words), bool)
    for block in _blocks(others):
        theirs, whole = codes(block)
        theirs = np.sort(theirs[_perhaps(wanted, theirs) & whole])
        at = np.searchsorted(wanted.words, theirs)
        found[at[_equal(wanted, at, theirs)]] = True
    shared = _sieve(wanted.words[found])
    row, column = np.nonzero(_perhaps(shared, mine) & known)
    maybe = mine[row, column]
    right = _equal(shared, np.searchsorted(shared.words, maybe), maybe)
    counts = known.sum(1)
    hits = np.bincount(row[right], minlength=len(mine))
    return np.where(counts, hits / np.maximum(counts, 1), np.nan)


class _Sieve(NamedTuple):
    """Different words (m,), sorted, and a table that quickly says no to most others."""

    words: np.ndarray
    table: np.ndarray
    shift: np.uint64


def _sieve(found: np.ndarray) -> _Sieve:
    found = np.sort(found)  # `np.unique` takes a hundred times longer on these
    found = found[np.append(True, found[1:] != found[:-1])[: len(found)]]
    bits = min(27, max(10, (8 * len(found)).bit_length()))
    table = np.zeros(1 << bits, bool)
    table[found * _SPREAD >> np.uint64(64 - bits)] = True
    return _Sieve(found, table, np.uint64(64 - bits))


def _perhaps(sieve: _Sieve, asked: np.ndarray) -> np.ndarray:
    """False where a word is surely none of the sieve."""
    return sieve.table[asked * _SPREAD >> sieve.shift]


def _equal(sieve: _Sieve, at: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Whether the sieve's word at each place `at` is the one asked for."""
    if not len(sieve.words):
        return np.zeros(len(asked), bool)
    return sieve.words[np.minimum(at, len(sieve.words) - 1)] == asked


def _blocks(arrays: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Parts of about a million bases, such that no word of a contig is lost at their edges."""
    for array in arrays:
        width = array.shape[-1]
        step = _BLOCK_BASES if array.ndim == 1 else max(1, _BLOCK_BASES // max(width, 1))
        more = WORD - 1 if array.ndim == 1 else 0
        for start in range(0, len(array), step):
            yield array[start : start + step + more]
