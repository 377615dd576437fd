"""From intervals to bases: which contig is meant, whether it is long enough, which strand."""

import re
from collections.abc import Sequence

import numpy as np

from birdiedna import vocab
from birdiedna.chromosomes import chromosome, is_whole
from birdiedna.genome import Contig, Genome
from birdiedna.intervals.reading import Intervals

#: A contig that is a whole chromosome under one of its names, not a piece of one.
_LETTERS = np.zeros(256, np.uint8)
_LETTERS[vocab.A : vocab.N + 1] = np.frombuffer(b"ACGTN", np.uint8)


def located(genome: Genome, names: Sequence[str] | np.ndarray) -> dict[str, Contig]:
    """The contig of each name that the genome has: by exact name, else by another usual name.

    `20`, `chr20`, `NC_000020.11` are one chromosome; pieces of it (`chr20_..._random`,
    `chr20:100-200`) are not. `chrI` is also `I`, `ENST00000371014` also `ENST00000371014.5`.
    """
    exact = {contig.name: contig for contig in genome.contigs}
    usual: dict[str, list[Contig]] = {}
    for contig in genome.contigs:
        usual.setdefault(_usual(contig.name), []).append(contig)
    found = {}
    for name in dict.fromkeys(map(str, names)):
        others = usual.get(_usual(name), [])
        if name in exact or len(others) == 1:
            found[name] = exact.get(name) or others[0]
    return found


def _usual(name: str) -> str:
    """The name under which usual variants of a contig name meet."""
    if is_whole(name):
        return chromosome(name)
    return re.sub(r"^(ENS[A-Z]*T\d+)\.\d+$", r"\1", name).removeprefix("chr")


def tokens(genome: Genome, intervals: Intervals) -> tuple[np.ndarray, np.ndarray]:
    """The base ids of the intervals, reverse complement where the strand is `-`.

    A genome knows A, C, G, T and N only; the official package also keeps lower case and the other
    IUPAC letters of its reference.

    Returns:
      uint8 (n, L), padded with `<pad>` on the right, and the lengths, int32 (n,).

    Raises:
      ValueError: intervals on contigs that the genome lacks, or that leave their contig; the
        message counts them and shows the first.
    """
    present(genome, intervals)
    lengths = intervals.ends - intervals.starts
    return cut(genome, intervals, lengths.max(initial=0)), lengths.astype(np.int32)


def present(genome: Genome, intervals: Intervals, skip_missing: bool = False) -> np.ndarray:
    """Which intervals lie on contigs of the genome, bool (n,).

    Raises:
      ValueError: an interval leaves its contig; or one has no contig and `skip_missing` is false;
        or none has. The message counts them and shows the first.
    """
    contigs = located(genome, np.unique(intervals.contigs))
    found = [contigs.get(name) for name in intervals.contigs.tolist()]
    sizes = np.array([contig.length if contig else 2**60 for contig in found], np.int64)
    outside = (intervals.ends > sizes) | (intervals.starts < 0)
    if outside.any():
        raise ValueError(
            f"{_rows(intervals, outside)} outside the contig, which has {sizes[outside][0]:,} "
            f"bases in {genome.source}; are the intervals of another assembly?"
        )
    known = np.array([contig is not None for contig in found], bool)
    if not known.all() and not (skip_missing and known.any()):
        more = ", ..." * (len(genome.contigs) > 10)
        has = ", ".join(contig.name for contig in genome.contigs[:10]) + more
        raise ValueError(
            f"{_rows(intervals, ~known)} on a contig that {genome.source} lacks; it has {has}"
        )
    return known


def _rows(intervals: Intervals, wrong: np.ndarray) -> str:
    """How many rows are wrong, and which is the first."""
    first = int(np.argmax(wrong))
    place = "{}:{}-{}".format(*(column[first] for column in intervals[:3]))
    return f"{wrong.sum():,} of {len(wrong):,} rows (first: row {first + 1}, {place})"


def cut(genome: Genome, intervals: Intervals, width: int) -> np.ndarray:
    """The base ids (n, width), padded, on the strand that is asked for."""
    contigs = located(genome, np.unique(intervals.contigs))
    out = np.full((len(intervals.starts), width), vocab.PAD, np.uint8)
    for row, contig, start, end, strand in zip(out, *(column.tolist() for column in intervals)):
        offset = contigs[contig].start
        bases = genome.tokens[offset + start : offset + end]
        row[: end - start] = vocab.reverse_complement(bases) if strand == "-" else bases
    return out


def letters(tokens: np.ndarray) -> np.ndarray:
    """The ASCII letters of base ids, uint8 of the same shape; 0 for pads."""
    return _LETTERS[tokens]


def sequences(genome: Genome, intervals: Intervals) -> list[str]:
    """The letters of the intervals (A, C, G, T, N), as `tokens` gives them."""
    rows, lengths = tokens(genome, intervals)
    pairs = zip(letters(rows), lengths, strict=True)
    return [row[:length].tobytes().decode() for row, length in pairs]
