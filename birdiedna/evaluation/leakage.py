"""What sets of sequences share: equal rows, conflicting labels, overlapping places, words.

Places are contig, start and end as names and files state them. Rows without any are compared by
their words of 31 bases: a word counts as the same on either strand, and one that contains N or
`<pad>` does not count.
"""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from birdiedna import vocab
from birdiedna.data.chromosomes import whole
from birdiedna.data.genome import Contig, Genome
from birdiedna.data.intervals import Intervals
from birdiedna.data.labelled import Labelled

#: Bases of a word: so long that two unrelated places of a genome hardly ever share one.
WORD = 31
#: Against a genome only every tenth word of a row is looked up; 40 shared bases are always found.
SPARSE = 10
_BLOCK_BASES = 1 << 20
#: Multiplying by this odd number spreads similar words (Knuth's golden ratio hash).
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_PLACE = re.compile(r"(?:^|[\s:|>])([^\s:|>]+):(\d+)-(\d+)")
#: Up to this many overlaps are compared at once.
_OVERLAPS_AT_ONCE = 1 << 22
#: Up to this many rows with coordinates are compared with the genome; if at least this share is
#: equal, the coordinates are those of the genome.
_COMPARED, _MOST = 1000, 0.95


def word_codes(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The words of 31 bases of sequences (..., L), the same number for both strands.

    Returns:
      uint64 (..., max(L - 30, 0)), two bits a base, the smaller of both strands; and whether the
      word has bases only, bool of the same shape.
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


def shared_words(rows: np.ndarray, others: Iterable[np.ndarray], every: int = 1) -> np.ndarray:
    """The share (n,) of each row's words that the others contain; NaN for a row without words.

    Args:
      rows: base ids (n, L), looked up.
      others: base ids (..., L), as rows or as contigs; read block by block.
      every: look up only one of `every` words of a row.
    """
    parts = [word_codes(block) for block in _blocks([rows])]
    mine = np.concatenate([part[:, ::every] for part, _ in parts])
    known = np.concatenate([part[:, ::every] for _, part in parts])
    wanted = _lookup(mine[known])
    found = np.zeros(len(wanted.words), bool)
    for block in _blocks(others):
        theirs, complete = word_codes(block)
        theirs = np.sort(theirs[_perhaps(wanted, theirs) & complete])
        at = np.searchsorted(wanted.words, theirs)
        found[at[_equal(wanted, at, theirs)]] = True
    shared = _lookup(wanted.words[found])
    row, column = np.nonzero(_perhaps(shared, mine) & known)
    maybe = mine[row, column]
    right = _equal(shared, np.searchsorted(shared.words, maybe), maybe)
    counts = known.sum(1)
    hits = np.bincount(row[right], minlength=len(mine))
    return np.where(counts, hits / np.maximum(counts, 1), np.nan)


class _Lookup(NamedTuple):
    """Different words (m,), sorted, and a hash table that quickly rules out most others."""

    words: np.ndarray
    table: np.ndarray
    shift: np.uint64


def _lookup(found: np.ndarray) -> _Lookup:
    found = np.sort(found)  # `np.unique` takes a hundred times longer on these
    found = found[np.append(True, found[1:] != found[:-1])[: len(found)]]
    bits = min(27, max(10, (8 * len(found)).bit_length()))
    table = np.zeros(1 << bits, bool)
    table[found * _SPREAD >> np.uint64(64 - bits)] = True
    return _Lookup(found, table, np.uint64(64 - bits))


def _perhaps(lookup: _Lookup, asked: np.ndarray) -> np.ndarray:
    """False where a word is certainly not in the lookup."""
    return lookup.table[asked * _SPREAD >> lookup.shift]


def _equal(lookup: _Lookup, at: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Whether the lookup's word at each place `at` is the one asked for."""
    if not len(lookup.words):
        return np.zeros(len(asked), bool)
    return lookup.words[np.minimum(at, len(lookup.words) - 1)] == asked


def _blocks(arrays: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Parts of about a million bases, such that no word of a contig is lost at their edges."""
    for array in arrays:
        width = array.shape[-1]
        step = _BLOCK_BASES if array.ndim == 1 else max(1, _BLOCK_BASES // max(width, 1))
        more = WORD - 1 if array.ndim == 1 else 0
        for start in range(0, len(array), step):
            yield array[start : start + step + more]


def sequences(rows: Labelled, reverse_complement: bool = False) -> list[bytes]:
    """The base ids of each row, or of its reverse complement, without its pads."""
    if not reverse_complement:
        pairs = zip(rows.tokens, rows.lengths, strict=True)
        return [row[:length].tobytes() for row, length in pairs]
    width = rows.tokens.shape[1]
    pairs = zip(vocab.reverse_complement(rows.tokens), rows.lengths, strict=True)
    return [row[width - length :].tobytes() for row, length in pairs]


def either_strand(rows: Labelled) -> list[bytes]:
    """One key for a sequence and its reverse complement: the smaller of the two."""
    both = zip(sequences(rows), sequences(rows, reverse_complement=True), strict=True)
    return [min(pair) for pair in both]


def repeats(keys: Sequence[Hashable]) -> int:
    """How many equal an earlier one."""
    return len(keys) - len(set(keys))


def copies(rows: Labelled, others: Labelled) -> tuple[np.ndarray, np.ndarray]:
    """Which rows (n,) equal one of the others, and which only the reverse complement of one."""
    known = set(sequences(others))
    equal, reverse = (
        np.array([key in known for key in sequences(rows, reverse_complement)], bool)
        for reverse_complement in (False, True)
    )
    return equal, reverse & ~equal


def conflicting_labels(parts: Sequence[Labelled]) -> int:
    """Rows of all parts whose sequence, on either strand, occurs with another label too."""
    keys = [key for part in parts for key in either_strand(part)]
    labels: dict[bytes, set[int]] = defaultdict(set)
    for key, label in zip(keys, (x for part in parts for x in part.labels.tolist()), strict=True):
        labels[key].add(label)
    return sum(len(labels[key]) > 1 for key in keys)


def places(names: Sequence[str]) -> Intervals | None:
    """Where rows come from, if every name contains `contig:start-end`; else None."""
    found = [place for name in names if (place := _PLACE.search(name))]
    if not found or len(found) < len(names):
        return None
    starts, ends = (np.array([int(place[i]) for place in found], np.int64) for i in (2, 3))
    if (ends <= starts).any():
        return None
    usual = {name: whole(name) for name in {place[1] for place in found}}
    contigs = np.array([usual[place[1]] for place in found])
    return Intervals(contigs, starts, ends, np.full(len(found), "."))


def covered(rows: Intervals, others: Intervals) -> np.ndarray:
    """The largest share (n,) of each interval that any single other covers; strands count as one.

    Intervals are on the same contig if it has the same name.
    """
    apart = int(max(rows.ends.max(initial=0), others.ends.max(initial=0)))
    contigs = np.concatenate([rows.contigs, others.contigs])
    _, numbers = np.unique(contigs, return_inverse=True)
    offsets, others_offsets = np.split(apart * numbers.astype(np.int64), [len(rows.contigs)])
    order = np.argsort(others.starts + others_offsets, kind="stable")
    begins, stops = ((edge + others_offsets)[order] for edge in (others.starts, others.ends))
    bases = _overlaps(rows.starts + offsets, rows.ends + offsets, begins, stops)
    return bases / (rows.ends - rows.starts)


def _overlaps(
    starts: np.ndarray, ends: np.ndarray, begins: np.ndarray, stops: np.ndarray
) -> np.ndarray:
    """Bases (n,) of each interval that the fullest of the others covers; `begins` are sorted."""
    bases = np.zeros(len(starts), np.int64)
    reach = np.maximum.accumulate(stops) if len(stops) else stops
    first = np.searchsorted(reach, starts, "right")
    counts = np.maximum(np.searchsorted(begins, ends, "left") - first, 0)
    met = np.flatnonzero(counts)
    groups = np.cumsum(counts[met]) // _OVERLAPS_AT_ONCE
    for group in np.unique(groups):
        rows = met[groups == group]
        opening = np.cumsum(counts[rows]) - counts[rows]
        row = np.repeat(rows, counts[rows])
        other = np.arange(len(row)) - np.repeat(opening - first[rows], counts[rows])
        shared = np.minimum(stops[other], ends[row]) - np.maximum(begins[other], starts[row])
        bases[rows] = np.maximum(np.maximum.reduceat(shared, opening), 0)
    return bases


def contig_places(contigs: Sequence[Contig]) -> Intervals:
    """Where contigs are on their chromosomes: by a name as `chrX:100-200`, else from 0 on.

    A name whose numbers count from 1 and include the end, as samtools writes it, is known by the
    contig's length.
    """
    found = [_contig_place(contig) for contig in contigs]
    starts = np.array([start for _, start in found], np.int64)
    ends = starts + np.array([contig.length for contig in contigs], np.int64)
    names = np.array([name for name, _ in found])
    return Intervals(names, starts, ends, np.full(len(names), "."))


def _contig_place(contig: Contig) -> tuple[str, int]:
    """The chromosome of a contig, and where on it the contig starts."""
    place = _PLACE.fullmatch(contig.name)
    if not place:
        return whole(contig.name), 0
    before = int(place[3]) - int(place[2]) - contig.length
    return (whole(place[1]), int(place[2]) + before) if before in (0, -1) else (contig.name, 0)


def same_assembly(rows: Labelled, where: Intervals, genome: Genome) -> bool | None:
    """Whether rows equal the genome at their coordinates; None if none is inside a contig.

    Up to a thousand rows are compared, on both strands.
    """
    spans = contig_places(genome.contigs)
    of = {name: np.flatnonzero(spans.contigs == name) for name in np.unique(where.contigs)}
    keys, reverse = sequences(rows), sequences(rows, reverse_complement=True)
    equal = []
    for row in range(0, len(keys), max(1, len(keys) // _COMPARED)):
        start, end = int(where.starts[row]), int(where.ends[row])
        for k in of[where.contigs[row]]:
            if spans.starts[k] <= start and end <= spans.ends[k]:
                first = genome.contigs[k].start + start - int(spans.starts[k])
                there = genome.tokens[first : first + end - start].tobytes()
                equal.append(there in (keys[row], reverse[row]))
    return float(np.mean(equal)) >= _MOST if equal else None


def in_contigs(
    rows: Labelled, genome: Genome, contigs: Sequence[Contig], by_place: bool
) -> np.ndarray:
    """The share (n,) of each row that is in the contigs.

    Args:
      by_place: by the coordinates in the names, which must be those of the genome
        (`same_assembly`); else by the words that both contain.
    """
    where = places(rows.names) if by_place else None
    if where:
        return covered(where, contig_places(contigs))
    stretches = (genome.tokens[c.start : c.start + c.length] for c in contigs)
    return shared_words(rows.tokens, stretches, SPARSE)
