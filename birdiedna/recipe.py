"""The benchmark's recipe as pure functions: from genes and sequence to labelled windows.

Source of the rules: decoded from the rows of the Nucleotide Transformer downstream tasks
(revised). Positions are 0-based on the + strand, ends exclusive; rows are always + strand.
"""

import gzip
import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from birdiedna import vocab

SPLICE_BASES = 600
#: Index of the exon's boundary base in a splice window.
BOUNDARY = 300
PROMOTER_BASES = 300
#: Index of the transcription start in a promoter window, by strand of the gene.
START_SITE = {"+": 49, "-": 10}
#: Windows of label 0 start at multiples of this many bases.
GRID = 1000
#: The motif may miss one letter and start 40 to 20 bases upstream of the transcription start.
#: Our choice: wider than 24 to 36, because GENCODE starts are less exact than EPD's.
TATA, TATA_MISSES, TATA_FARTHEST, TATA_NEAREST = "TATAWAW", 1, 40, 20

_TATA_ALLOWED = np.zeros((len(TATA), 256), bool)
for _i, _letter in enumerate(TATA):
    _TATA_ALLOWED[_i, vocab.encode("AT" if _letter == "W" else _letter)] = True


class Gene(NamedTuple):
    """One transcript: chromosome (`chrX`), strand, extent and exons in bases."""

    chromosome: str
    strand: str
    start: int
    end: int
    exons: tuple[tuple[int, int], ...]


class Site(NamedTuple):
    """A base that matters, and the strand it is read on."""

    position: int
    strand: str


def sequence(fasta: bytes) -> np.ndarray:
    """Upper-case letters (uint8, shape (bases,)) of a FASTA file with one contig, gzip or plain."""
    raw = gzip.decompress(fasta) if fasta[:2] == b"\x1f\x8b" else fasta
    lines = raw.split(b"\n", 1)[1].upper().split()
    return np.frombuffer(b"".join(lines), np.uint8)


def genes(table: str, chromosome: str) -> list[Gene]:
    """The transcripts of one chromosome in SpliceAI's annotation table.

    Args:
      table: tab-separated lines `name chromosome strand start end exon-starts exon-ends`.
      chromosome: with its `chr`; the table names it without.
    """

    def numbers(text: str) -> list[int]:
        return [int(number) for number in text.strip(",").split(",")]

    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return [
        Gene(chromosome, row[2], int(row[3]), int(row[4]), tuple(zip(*map(numbers, row[5:7]))))
        for row in rows
        if f"chr{row[1]}" == chromosome
    ]


def donors(gene: Gene) -> list[Site]:
    """The last base of every exon that an intron follows, in the gene's direction."""
    inner = (
        [end - 1 for _, end in gene.exons[:-1]]
        if gene.strand == "+"
        else [start for start, _ in gene.exons[1:]]
    )
    return [Site(position, gene.strand) for position in inner]


def acceptors(gene: Gene) -> list[Site]:
    """The first base of every exon that an intron precedes, in the gene's direction."""
    inner = (
        [start for start, _ in gene.exons[1:]]
        if gene.strand == "+"
        else [end - 1 for _, end in gene.exons[:-1]]
    )
    return [Site(position, gene.strand) for position in inner]


def start_site(gene: Gene) -> Site:
    """The first transcribed base."""
    return Site(gene.start if gene.strand == "+" else gene.end - 1, gene.strand)


def splice_window(site: Site) -> int:
    """First base of the 600-base window with the boundary base at index 300."""
    return site.position - BOUNDARY


def promoter_window(site: Site) -> int:
    """First base of the 300-base window: start site at index 49 (+) or 10 (-), never flipped."""
    return site.position - START_SITE[site.strand]


def clear(
    starts: np.ndarray, length: int, elements: np.ndarray, element_length: int = 1
) -> np.ndarray:
    """Which windows overlap no element.

    Args:
      starts: first bases of the windows, shape (n,).
      length: bases of a window.
      elements: sorted first bases of the elements.
      element_length: bases of an element.

    Returns:
      bool array of shape (n,).
    """
    before = np.searchsorted(elements, starts - element_length, side="right")
    return np.searchsorted(elements, starts + length, side="left") == before


def readable(letters: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """The windows that lie on the sequence and hold nothing but A, C, G and T."""
    starts = starts[(starts >= 0) & (starts + length <= len(letters))]
    unknown = np.flatnonzero(~np.isin(letters, np.frombuffer(b"ACGT", np.uint8)))
    return starts[clear(starts, length, unknown)]


def grid(letters: np.ndarray, length: int, elements: np.ndarray, element_length: int) -> np.ndarray:
    """Readable windows that start at multiples of 1,000 bases and overlap no element."""
    starts = readable(letters, np.arange(0, len(letters), GRID), length)
    return starts[clear(starts, length, elements, element_length)]


def decoys(
    letters: np.ndarray, transcripts: Iterable[Gene], strand: str, annotated: np.ndarray
) -> np.ndarray:
    """Boundary bases of donors that are none: inside a transcript, before a GT of its strand.

    Args:
      letters: the chromosome, upper case, uint8.
      transcripts: those of the other strand are ignored.
      strand: `+` looks for GT just after the base, `-` for AC just before it.
      annotated: every annotated boundary base of either strand; none of them is returned.

    Returns:
      Sorted positions, shape (n,).
    """
    pair = np.frombuffer(b"GT" if strand == "+" else b"AC", np.uint8)
    first = np.flatnonzero((letters[:-1] == pair[0]) & (letters[1:] == pair[1]))
    inside = np.zeros(len(letters), bool)
    for gene in transcripts:
        inside[gene.start : gene.end] |= gene.strand == strand
    base = first - 1 if strand == "+" else first + 2
    base = base[(base >= 0) & (base < len(letters))]
    return np.setdiff1d(base[inside[base]], annotated)


def has_tata(letters: np.ndarray, site: Site) -> bool:
    """Whether TATAWAW, at most one letter off, starts 40 to 20 bases upstream of the start site."""
    position, motif = site.position, len(TATA)
    if site.strand == "+":
        piece = letters[position - TATA_FARTHEST : position - TATA_NEAREST + motif]
    else:
        piece = letters[position + TATA_NEAREST - motif + 1 : position + TATA_FARTHEST + 1]
    tokens = vocab.encode(piece.tobytes())
    upstream = tokens if site.strand == "+" else vocab.reverse_complement(tokens)
    words = np.lib.stride_tricks.sliding_window_view(upstream, motif)
    misses = (~_TATA_ALLOWED[np.arange(motif), words]).sum(1)
    return bool((misses <= TATA_MISSES).any())


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
    """`count` different values, drawn without replacement in an order set by the salt.

    Raises:
      ValueError: there are fewer values than asked for.
    """
    unique = np.unique(values)
    if len(unique) < count:
        raise ValueError(f"{salt}: {count} windows asked for, {len(unique)} exist; ask for fewer")
    return shuffled(unique, salt)[:count]
