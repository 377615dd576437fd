"""The benchmark: its tasks, and its rules as pure functions from genes and sequence to windows.

The rules were inferred from the rows of the Nucleotide Transformer downstream tasks (revised).
Positions are 0-based on the + strand, ends exclusive; rows are always + strand.
"""

import bisect
import hashlib
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class BenchmarkTask(NamedTuple):
    """Folder name, title (as in Table 1 of the paper, if it is in it) and number of classes."""

    name: str
    title: str
    classes: int = 2


_MARKS = "H2AFZ H3K27ac H3K27me3 H3K36me3 H3K4me1 H3K4me2 H3K4me3 H3K9ac H3K9me3 H4K20me1"
#: The 18 tasks of the revised benchmark, the 14 of Table 1 first and in its order; then our decoy
#: variant of the donors, whose negatives also contain the two letters of a splice site.
TASKS = (
    BenchmarkTask("promoter_all", "Promoter All"),
    BenchmarkTask("promoter_no_tata", "Promoter No TATA"),
    BenchmarkTask("promoter_tata", "Promoter TATA"),
    BenchmarkTask("splice_sites_donors", "Splice Sites Donors"),
    BenchmarkTask("enhancers", "Enhancers"),
    *(BenchmarkTask(mark, mark) for mark in _MARKS.split()),
    BenchmarkTask("enhancers_types", "Enhancers Types", 3),
    BenchmarkTask("splice_sites_acceptors", "Splice Sites Acceptors"),
    BenchmarkTask("splice_sites_all", "Splice Sites All", 3),
    BenchmarkTask("splice_sites_donors_decoy", "Splice Sites Donors, decoys"),
)
#: Titles of these tasks and of Genomic Benchmarks; other tasks keep their name.
TASK_TITLES = {task.name: task.title for task in TASKS} | {
    "human_enhancers_cohn": "Enhancers (Cohn)",
    "human_enhancers_ensembl": "Enhancers (Ensembl)",
    "human_ensembl_regulatory": "Regulatory (Ensembl)",
    "human_nontata_promoters": "Promoters without TATA",
    "human_ocr_ensembl": "Open chromatin (Ensembl)",
    "dummy_mouse_enhancers_ensembl": "Mouse enhancers (Ensembl)",
    "drosophila_enhancers_stark": "Fly enhancers (Stark)",
    "demo_coding_vs_intergenomic_seqs": "Coding or intergenic",
    "demo_human_or_worm": "Human or worm",
}

SPLICE_BASES = 600
#: Index of the exon's boundary base in a splice window.
BOUNDARY = 300
PROMOTER_BASES = 300
#: Index of the transcription start in a promoter window, by strand of the gene.
START_SITE = {"+": 49, "-": 10}
#: Length of a histone window and of the longest peak used; the window starts one base before it.
PEAK_BASES, PEAK_LEAD = 1000, 1
#: Windows of label 0 start at multiples of this many bases.
GRID = 1000
#: The two letters of a splice site on the + strand, and the index of the first in the window.
MARKS = {
    ("donor", "+"): ("GT", 301),
    ("donor", "-"): ("AC", 298),
    ("acceptor", "+"): ("AG", 298),
    ("acceptor", "-"): ("CT", 301),
}

#: Which of the 256 bytes are not A, C, G or T.
_UNKNOWN = np.ones(256, bool)
_UNKNOWN[list(b"ACGT")] = False


class Gene(NamedTuple):
    """One transcript: chromosome (`chrX`), strand, extent and exons in bases."""

    chromosome: str
    strand: str
    start: int
    end: int
    exons: tuple[tuple[int, int], ...]


def transcript(line: str) -> Gene:
    """Parse a line of SpliceAI's table; raise ValueError if its fields differ.

    Fields: `name chromosome strand start end exon-starts exon-ends`, chromosome without `chr`.
    """
    _, chromosome, strand, start, end, starts, ends = line.split("\t")
    bounds = ([int(text) for text in field.strip(",").split(",")] for field in (starts, ends))
    exons = tuple(zip(*bounds, strict=True))
    return Gene("chr" + chromosome.removeprefix("chr"), strand, int(start), int(end), exons)


def boundaries(gene: Gene, site: str) -> list[int]:
    """Return exon bases next to introns: `donor` the last before one, `acceptor` the first after.

    Before and after are in the gene's direction; the ends of the gene do not count, nor where exons
    touch or overlap, since no intron is there.
    """
    ends = itertools.accumulate((end for _, end in gene.exons), max)
    introns = [(end, start) for end, (start, _) in zip(ends, gene.exons[1:]) if end < start]
    left, right = [end - 1 for end, _ in introns], [start for _, start in introns]
    return left if (site == "donor") == (gene.strand == "+") else right


def promoter_window(position: int, strand: str) -> int:
    """Return the start of the 300-base window: site at index 49 (+) or 10 (-), never flipped."""
    return position - START_SITE[strand]


def clear(
    starts: np.ndarray, length: int, elements: np.ndarray, element_length: int | np.ndarray = 1
) -> np.ndarray:
    """Return which windows (n,) of `length` bases overlap no element (m,); elements are sorted.

    element_length: one for all elements, or one per element (m,).
    """
    ends = np.sort(elements + element_length)
    before = np.searchsorted(ends, starts, side="right")
    return np.searchsorted(elements, starts + length, side="left") == before


def readable(letters: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Return the windows inside the sequence that contain only A, C, G and T."""
    starts = starts[(starts >= 0) & (starts + length <= len(letters))]
    unknown = np.flatnonzero(_UNKNOWN[letters])
    return starts[clear(starts, length, unknown)]


def grid(
    letters: np.ndarray, length: int, elements: np.ndarray, element_length: int | np.ndarray
) -> np.ndarray:
    """Return readable windows that start at multiples of 1,000 bases and overlap no element."""
    starts = readable(letters, np.arange(0, len(letters), GRID), length)
    return starts[clear(starts, length, elements, element_length)]


def decoys(
    letters: np.ndarray,
    transcripts: Sequence[Gene],
    strand: str,
    annotated: np.ndarray,
    site: str = "donor",
) -> np.ndarray:
    """Return sorted bases (n,) next to the two letters of a splice site where none is annotated.

    `letters` are the chromosome's, upper case, uint8. A base must be in a transcript of the strand;
    `annotated` are the boundary bases of both strands.
    """
    pair, index = MARKS[site, strand]
    one, two = pair.encode()
    first = np.flatnonzero((letters[:-1] == one) & (letters[1:] == two))
    inside = np.zeros(len(letters), bool)
    for gene in transcripts:
        inside[gene.start : gene.end] |= gene.strand == strand
    inside[annotated[annotated < len(letters)].astype(np.int64)] = False
    base = first + BOUNDARY - index
    base = base[(base >= 0) & (base < len(letters))]
    return base[inside[base]]


def decoy_windows(
    letters: np.ndarray,
    transcripts: Sequence[Gene],
    wanted: Sequence[tuple[str, str]],
    annotated: np.ndarray,
    salt: str,
) -> np.ndarray:
    """Return the starts (n,) of different 600-base windows with a decoy at index 300.

    `wanted` gives the site and strand of each; the salt seeds the draw. Raises ValueError if there
    are too few. Other arguments are as in `decoys`.
    """
    starts, taken = np.zeros(len(wanted), np.int64), annotated
    for kind in dict.fromkeys(wanted):
        rows = [i for i, other in enumerate(wanted) if other == kind]
        bases = decoys(letters, transcripts, kind[1], taken, kind[0])
        possible = readable(letters, bases - BOUNDARY, SPLICE_BASES)
        starts[rows] = draw(possible, len(rows), f"{salt}/{kind[1]}")
        taken = np.union1d(taken, starts[rows] + BOUNDARY)
    return starts


def gc(letters: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Return the number of G and C in each window (n,)."""
    strong = (letters == ord("G")) | (letters == ord("C"))
    return np.array([np.count_nonzero(strong[s : s + length]) for s in starts], np.int64)


def matched(wanted: np.ndarray, found: np.ndarray, salt: str) -> np.ndarray:
    """Return different indices (n,) into `found` (m,) of the value closest to each wanted one.

    Values farthest from the median of `found` choose first, since they have the least choice; the
    salt breaks ties.
    """
    free: dict[int, list[int]] = {}
    for i in shuffled(np.arange(len(found)), salt).tolist():
        free.setdefault(int(found[i]), []).append(i)
    numbers, chosen = sorted(free), np.zeros(len(wanted), np.int64)
    for i in np.argsort(-np.abs(wanted - np.median(found)), kind="stable"):
        after = bisect.bisect_left(numbers, wanted[i])
        nearest = numbers[max(0, after - 1) : after + 1]
        number = min(nearest, key=lambda other: abs(other - wanted[i]))
        chosen[i] = free[number].pop()
        if not free[number]:
            numbers.remove(number)
    return chosen


def shuffled(values: np.ndarray, salt: str) -> np.ndarray:
    """Return non-negative numbers in an order that depends only on the salt.

    Our choice: sort by a 64-bit hash (splitmix64), because the stream of a NumPy generator may
    change between versions and the sample must not.
    """
    seed = int.from_bytes(hashlib.sha256(salt.encode()).digest()[:8], "big")
    mixed = np.asarray(values, np.uint64) + np.uint64(seed)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values)[np.argsort(mixed ^ (mixed >> np.uint64(31)), kind="stable")]


def draw(values: np.ndarray, count: int, salt: str) -> np.ndarray:
    """Return `count` different values in an order set by the salt; ValueError if too few."""
    rising = len(values) < 2 or bool((values[1:] > values[:-1]).all())
    unique = values if rising else np.unique(values)
    if len(unique) < count:
        raise ValueError(f"{salt}: {count} windows requested, {len(unique)} exist; request fewer")
    return shuffled(unique, salt)[:count]
