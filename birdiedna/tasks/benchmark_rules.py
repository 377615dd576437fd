"""The benchmark: its tasks, and its recipe as pure functions from genes and sequence to windows.

Source of the rules: decoded from the rows of the Nucleotide Transformer downstream tasks
(revised). Positions are 0-based on the + strand, ends exclusive; rows are always + strand.
"""

import bisect
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class BenchmarkTask(NamedTuple):
    """Folder name, title in tables (as in the Table 1 of the paper, if it is there), classes."""

    name: str
    title: str
    classes: int = 2


_MARKS = "H2AFZ H3K27ac H3K27me3 H3K36me3 H3K4me1 H3K4me2 H3K4me3 H3K9ac H3K9me3 H4K20me1"
#: The 18 tasks of the revised benchmark, the 14 of Table 1 first and in its order, then our own
#: decoy variant of the donors, whose negatives also hold the two letters of a splice site.
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
#: Title of each known task, and of the sets of Genomic Benchmarks; other tasks keep their name.
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
#: Bases of a histone window, and of the longest peak that gets one; the window starts one before.
PEAK_BASES, PEAK_LEAD = 1000, 1
#: Windows of label 0 start at multiples of this many bases.
GRID = 1000
#: Two letters that mark a splice site on the + strand, and the index of the first in the window.
MARKS = {
    ("donor", "+"): ("GT", 301),
    ("donor", "-"): ("AC", 298),
    ("acceptor", "+"): ("AG", 298),
    ("acceptor", "-"): ("CT", 301),
}

#: Of all bytes, those that are no A, C, G or T.
_UNKNOWN = np.ones(256, bool)
_UNKNOWN[list(b"ACGT")] = False


class Gene(NamedTuple):
    """One transcript: chromosome (`chrX`), strand, extent and exons in bases."""

    chromosome: str
    strand: str
    start: int
    end: int
    exons: tuple[tuple[int, int], ...]


class Site(NamedTuple):
    """A base, and the strand it is read on."""

    position: int
    strand: str


def transcript(line: str) -> Gene:
    """The transcript in a line of SpliceAI's table; ValueError if the line has other fields.

    They are `name chromosome strand start end exon-starts exon-ends`, the chromosome without `chr`.
    """
    _, chromosome, strand, start, end, starts, ends = line.split("\t")
    bounds = ([int(text) for text in field.strip(",").split(",")] for field in (starts, ends))
    exons = tuple(zip(*bounds, strict=True))
    return Gene("chr" + chromosome.removeprefix("chr"), strand, int(start), int(end), exons)


def boundaries(gene: Gene, site: str) -> list[Site]:
    """Exon bases beside an intron: `donor` the last before it, `acceptor` the first after it.

    Both in the gene's direction; the ends of the gene are none.
    """
    left = [end - 1 for _, end in gene.exons[:-1]]
    right = [start for start, _ in gene.exons[1:]]
    positions = left if (site == "donor") == (gene.strand == "+") else right
    return [Site(position, gene.strand) for position in positions]


def promoter_window(site: Site) -> int:
    """First base of the 300-base window: start site at index 49 (+) or 10 (-), never flipped."""
    return site.position - START_SITE[site.strand]


def clear(
    starts: np.ndarray, length: int, elements: np.ndarray, element_length: int | np.ndarray = 1
) -> np.ndarray:
    """Which windows (n,) of `length` bases overlap none of the elements (m,), sorted by first base.

    element_length: of all elements, or of each (m,).
    """
    ends = np.sort(elements + element_length)
    before = np.searchsorted(ends, starts, side="right")
    return np.searchsorted(elements, starts + length, side="left") == before


def readable(letters: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """The windows that lie on the sequence and hold nothing but A, C, G and T."""
    starts = starts[(starts >= 0) & (starts + length <= len(letters))]
    unknown = np.flatnonzero(_UNKNOWN[letters])
    return starts[clear(starts, length, unknown)]


def grid(
    letters: np.ndarray, length: int, elements: np.ndarray, element_length: int | np.ndarray
) -> np.ndarray:
    """Readable windows that start at multiples of 1,000 bases and overlap no element."""
    starts = readable(letters, np.arange(0, len(letters), GRID), length)
    return starts[clear(starts, length, elements, element_length)]


def decoys(
    letters: np.ndarray,
    transcripts: Sequence[Gene],
    strand: str,
    annotated: np.ndarray,
    site: str = "donor",
) -> np.ndarray:
    """Bases (n,), sorted, beside the two letters of a splice site where none is annotated.

    Letters are those of the chromosome, upper case, uint8. A base has to be in a transcript of the
    strand, anywhere if there are none; `annotated` has the boundary bases of both strands.
    """
    pair, index = MARKS[site, strand]
    one, two = pair.encode()
    first = np.flatnonzero((letters[:-1] == one) & (letters[1:] == two))
    inside = np.full(len(letters), not transcripts)
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
    """First bases (n,) of 600-base windows with a decoy at index 300, no two alike.

    `wanted` has the site and the strand of each. The salt decides which are drawn; ValueError if
    there are too few. The other arguments are as in `decoys`.
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
    """The number of bases of each window (n,) that are G or C."""
    strong = (letters == ord("G")) | (letters == ord("C"))
    return np.array([np.count_nonzero(strong[s : s + length]) for s in starts], np.int64)


def matched(wanted: np.ndarray, found: np.ndarray, salt: str) -> np.ndarray:
    """Indices (n,) into `found` (m,) of the closest whole number to each wanted one, no two alike.

    The numbers farthest from the found ones' median choose first, since they have least choice;
    the salt decides between equal numbers.
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
    """Non-negative numbers in an order that depends on the salt and on nothing else.

    Our choice: sort by a 64-bit hash (splitmix64), because a generator's stream may change
    between NumPy versions and the sample must not.
    """
    seed = int.from_bytes(hashlib.sha256(salt.encode()).digest()[:8], "big")
    mixed = np.asarray(values, np.uint64) + np.uint64(seed)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values)[np.argsort(mixed ^ (mixed >> np.uint64(31)), kind="stable")]


def draw(values: np.ndarray, count: int, salt: str) -> np.ndarray:
    """`count` different values in an order set by the salt; ValueError if there are fewer."""
    rising = len(values) < 2 or bool((values[1:] > values[:-1]).all())
    unique = values if rising else np.unique(values)
    if len(unique) < count:
        raise ValueError(f"{salt}: {count} windows asked for, {len(unique)} exist; ask for fewer")
    return shuffled(unique, salt)[:count]
