"""What sets of sequences share: equal rows, conflicting labels, overlapping places, words.

Places are contig, start and end as names and files state them. Rows without any are compared by
their words of 31 bases (`data.words`).
"""

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from birdiedna.data.chromosomes import whole
from birdiedna.data.genome import Contig, Genome
from birdiedna.data.intervals import Intervals, covered, of_names
from birdiedna.data.labelled import Labelled, either_strand, sequences
from birdiedna.data.words import shared_words

#: Against a genome only every tenth word of a row is looked up; 40 shared bases are always found.
SPARSE = 10
#: The name of a contig that is a piece of another.
_PIECE = re.compile(r"([^\s:|>]+):(\d+)-(\d+)")
#: Up to this many rows with coordinates are compared with the genome; if at least this share is
#: equal, the coordinates are those of the genome.
_COMPARED, _MOST = 1000, 0.95


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
    place = _PIECE.fullmatch(contig.name)
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

    With `by_place` by the coordinates in the names, which must be those of the genome
    (`same_assembly`); else by the words that both contain.
    """
    where = of_names(rows.names) if by_place else None
    if where:
        return covered(where, contig_places(contigs))
    stretches = (genome.tokens[c.start : c.start + c.length] for c in contigs)
    return shared_words(rows.tokens, stretches, SPARSE)
