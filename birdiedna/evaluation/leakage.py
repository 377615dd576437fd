"""Leakage between sets of sequences: copies, conflicting labels, overlaps, shared words.

Rows with coordinates are compared by them, other rows by their 31-base words (`data.words`).
"""

import re
from collections.abc import Sequence

import numpy as np
import polars as pl

from birdiedna.data.chromosomes import whole
from birdiedna.data.genome import Contig, Genome
from birdiedna.data.intervals import Intervals, covered, of_names
from birdiedna.data.labelled import Labelled, either_strand, sequences
from birdiedna.data.words import shared_words

#: A row with at least this share counts as covered, a near-duplicate, or read in pre-training.
HALF = 0.5
#: Only every tenth word of a row is looked up in a genome; this finds any 40 shared bases.
SPARSE = 10
#: The name of a contig that is part of another.
_PIECE = re.compile(r"([^\s:|>]+):(\d+)-(\d+)")
#: About this many rows are compared with the genome at their coordinates; they refer to it if at
#: least this share is equal.
_COMPARED, _MOST = 1000, 0.95


def copies(rows: Labelled, others: Labelled) -> tuple[np.ndarray, np.ndarray]:
    """Which rows (n,) equal one of the others, and which equal only a reverse complement."""
    known = set(sequences(others))
    equal, reverse = (
        np.array([key in known for key in sequences(rows, reverse_complement)], bool)
        for reverse_complement in (False, True)
    )
    return equal, reverse & ~equal


def leaked(rows: Labelled, others: Labelled) -> np.ndarray:
    """Which rows (n,) are copies of others, on either strand, or share a base with one.

    Without coordinates, near-duplicates stand for those that share a base.
    """
    where, there = of_names(rows.names), of_names(others.names)
    if where and there:
        placed = covered(where, there) > 0
    else:
        placed = shared_words(rows.tokens, [others.tokens]) >= HALF
    return np.logical_or(*copies(rows, others)) | placed


def conflicting_labels(parts: Sequence[Labelled]) -> int:
    """Count rows of all parts whose sequence, on either strand, also occurs with another label."""
    labels = np.concatenate([part.labels for part in parts])
    rows = pl.DataFrame({"key": [key for p in parts for key in either_strand(p)], "label": labels})
    return rows.filter(pl.col("label").n_unique().over("key") > 1).height


def contig_places(contigs: Sequence[Contig]) -> Intervals:
    """The intervals of contigs on their chromosomes: from names as `chrX:100-200`, else from 0.

    The contig's length shows whether a name counts from 1 and includes the end, as in samtools.
    """
    found = [_contig_place(contig) for contig in contigs]
    starts = np.array([start for _, start in found], np.int64)
    ends = starts + np.array([contig.length for contig in contigs], np.int64)
    names = np.array([name for name, _ in found])
    return Intervals(names, starts, ends, np.full(len(names), "."))


def _contig_place(contig: Contig) -> tuple[str, int]:
    """The chromosome of a contig and its start there."""
    place = _PIECE.fullmatch(contig.name)
    if not place:
        return whole(contig.name), 0
    before = int(place[3]) - int(place[2]) - contig.length
    return (whole(place[1]), int(place[2]) + before) if before in (0, -1) else (contig.name, 0)


def same_assembly(rows: Labelled, where: Intervals, genome: Genome) -> bool | None:
    """Whether rows equal the genome at their coordinates; None if no row is inside a contig.

    About a thousand rows are compared, on both strands.
    """
    spans, by_name = contig_places(genome.contigs), dict[str, list[int]]()
    for k, name in enumerate(spans.contigs.tolist()):
        by_name.setdefault(name, []).append(k)
    keys, reverse = sequences(rows), sequences(rows, reverse_complement=True)
    equal = []
    for row in range(0, len(keys), max(1, len(keys) // _COMPARED)):
        start, end = int(where.starts[row]), int(where.ends[row])
        for k in by_name.get(where.contigs[row], ()):
            if spans.starts[k] <= start and end <= spans.ends[k]:
                first = genome.contigs[k].start + start - int(spans.starts[k])
                reference = genome.tokens[first : first + end - start].tobytes()
                equal.append(reference in (keys[row], reverse[row]))
    return float(np.mean(equal)) >= _MOST if equal else None


def in_contigs(
    rows: Labelled, genome: Genome, contigs: Sequence[Contig], by_place: bool
) -> np.ndarray:
    """The share (n,) of each row that is in the contigs.

    With `by_place` by the coordinates in the names, which must refer to the genome
    (`same_assembly`); else by shared words.
    """
    where = of_names(rows.names) if by_place else None
    if where:
        return covered(where, contig_places(contigs))
    stretches = (genome.tokens[c.start : c.start + c.length] for c in contigs)
    return shared_words(rows.tokens, stretches, SPARSE)
