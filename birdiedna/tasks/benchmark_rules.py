"""The benchmark: its tasks, and its recipe as pure functions from genes and sequence to windows.

Source of the rules: decoded from the rows of the Nucleotide Transformer downstream tasks
(revised). Positions are 0-based on the + strand, ends exclusive; rows are always + strand.
"""

import bisect
import gzip
import hashlib
import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from birdiedna import vocab


class BenchmarkTask(NamedTuple):
    """Folder name, row title (the paper's Table 1, where it has the row), classes, bases, kind.

    kind: promoter, splice, enhancer or histone.
    """

    name: str
    title: str
    classes: int
    length: int
    kind: str


_HISTONES = "H2AFZ H3K27ac H3K27me3 H3K36me3 H3K4me1 H3K4me2 H3K4me3 H3K9ac H3K9me3 H4K20me1"
#: The 18 tasks of the revised benchmark, the 14 of Table 1 first and in its order, then our own
#: decoy variant of the donors, whose negatives also hold the two letters of a splice site.
TASKS = (
    BenchmarkTask("promoter_all", "Promoter All", 2, 300, "promoter"),
    BenchmarkTask("promoter_no_tata", "Promoter No TATA", 2, 300, "promoter"),
    BenchmarkTask("promoter_tata", "Promoter TATA", 2, 300, "promoter"),
    BenchmarkTask("splice_sites_donors", "Splice Sites Donors", 2, 600, "splice"),
    BenchmarkTask("enhancers", "Enhancers", 2, 400, "enhancer"),
    *(BenchmarkTask(mark, mark, 2, 1000, "histone") for mark in _HISTONES.split()),
    BenchmarkTask("enhancers_types", "Enhancers Types", 3, 400, "enhancer"),
    BenchmarkTask("splice_sites_acceptors", "Splice Sites Acceptors", 2, 600, "splice"),
    BenchmarkTask("splice_sites_all", "Splice Sites All", 3, 600, "splice"),
    BenchmarkTask("splice_sites_donors_decoy", "Splice Sites Donors, decoys", 2, 600, "splice"),
)

SPLICE_BASES = 600
#: Index of the exon's boundary base in a splice window.
BOUNDARY = 300
PROMOTER_BASES = 300
#: Index of the transcription start in a promoter window, by strand of the gene.
START_SITE = {"+": 49, "-": 10}
#: Bases of a histone window, and of the longest peak that gets one.
PEAK_BASES = 1000
#: Windows of label 0 start at multiples of this many bases.
GRID = 1000
#: Two letters that mark a splice site on the + strand, and the boundary base from the first one.
MARKS = {
    ("donor", "+"): (b"GT", -1),
    ("donor", "-"): (b"AC", 2),
    ("acceptor", "+"): (b"AG", 2),
    ("acceptor", "-"): (b"CT", -1),
}
#: The motif may miss one letter and start 40 to 20 bases upstream of the transcription start.
#: Our choice: wider than 24 to 36, because GENCODE starts are less exact than EPD's.
TATA, TATA_MISSES, TATA_FARTHEST, TATA_NEAREST = "TATAWAW", 1, 40, 20

#: Of all bytes, those that are no A, C, G or T.
_UNKNOWN = np.ones(256, bool)
_UNKNOWN[list(b"ACGT")] = False
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
    # gzip.decompress copies the rest of the file for each of the many blocks of a bgzip file
    packed = fasta[:2] == b"\x1f\x8b"
    raw = gzip.GzipFile(fileobj=io.BytesIO(fasta)).read() if packed else fasta
    lines = raw.split(b"\n", 1)[1].upper().split()
    return np.frombuffer(b"".join(lines), np.uint8)


def transcript(line: str) -> Gene:
    """The transcript in one line of SpliceAI's annotation table.

    Args:
      line: `name chromosome strand start end exon-starts exon-ends`, separated by tabs; the
        chromosome has no `chr` there.

    Raises:
      ValueError: the line has other fields.
    """
    _, chromosome, strand, start, end, starts, ends = line.split("\t")
    bounds = ([int(text) for text in field.strip(",").split(",")] for field in (starts, ends))
    exons = tuple(zip(*bounds, strict=True))
    return Gene("chr" + chromosome.removeprefix("chr"), strand, int(start), int(end), exons)


def genes(table: str, chromosome: str) -> list[Gene]:
    """The transcripts of one chromosome (`chrX`) in SpliceAI's annotation table."""
    lines = (line for line in table.splitlines() if not line.startswith("#"))
    return [gene for gene in map(transcript, lines) if gene.chromosome == chromosome]


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


def peak_window(start: np.ndarray) -> np.ndarray:
    """First base of the 1,000-base window of a peak: one before its start in the BED file."""
    return start - 1


def centred_window(starts: np.ndarray, ends: np.ndarray, length: int) -> np.ndarray:
    """First base of the window with the middle of the interval at index length // 2."""
    return (starts + ends) // 2 - length // 2


def clear(
    starts: np.ndarray, length: int, elements: np.ndarray, element_length: int | np.ndarray = 1
) -> np.ndarray:
    """Which windows overlap no element.

    Args:
      starts: first bases of the windows, shape (n,).
      length: bases of a window.
      elements: sorted first bases of the elements, shape (m,).
      element_length: bases of an element: one number, or an array of shape (m,).

    Returns:
      bool array of shape (n,).
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
    transcripts: Iterable[Gene],
    strand: str,
    annotated: np.ndarray,
    site: str = "donor",
) -> np.ndarray:
    """Boundary bases of splice sites that are none: beside the letters that mark such a site.

    Args:
      letters: the chromosome, upper case, uint8.
      transcripts: a base has to lie in one of this strand; anywhere if there are none at all.
      strand: the strand that the two letters are read on.
      annotated: every annotated boundary base of either strand; none of them is returned.
      site: `donor` (GT just after the base) or `acceptor` (AG just before it).

    Returns:
      Sorted positions, shape (n,).
    """
    pair, shift = MARKS[site, strand]
    first = np.flatnonzero((letters[:-1] == pair[0]) & (letters[1:] == pair[1]))
    transcripts = list(transcripts)
    inside = np.full(len(letters), not transcripts)
    for gene in transcripts:
        inside[gene.start : gene.end] |= gene.strand == strand
    inside[annotated[annotated < len(letters)].astype(np.int64)] = False
    base = first + shift
    base = base[(base >= 0) & (base < len(letters))]
    return base[inside[base]]


def decoy_windows(
    letters: np.ndarray,
    transcripts: Sequence[Gene],
    wanted: Sequence[tuple[str, str]],
    annotated: np.ndarray,
    salt: str,
) -> np.ndarray:
    """First bases of 600-base windows with a decoy at index 300, no two alike.

    Args:
      letters, transcripts, annotated: as in `decoys`.
      wanted: (site, strand) of each window, shape (n,).
      salt: decides which decoys are drawn.

    Returns:
      Starts of shape (n,), in the order of `wanted`.

    Raises:
      ValueError: there are fewer decoys than asked for.
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
    """How many of the bases of each window are G or C, shape (n,)."""
    strong = (letters == ord("G")) | (letters == ord("C"))
    counts = [np.count_nonzero(strong[start : start + length]) for start in starts]
    return np.array(counts, np.int64)


def matched(wanted: np.ndarray, found: np.ndarray, salt: str) -> np.ndarray:
    """For each wanted number another place of the found ones whose number is closest.

    The numbers farthest from the found ones' median choose first, since they have least choice.

    Args:
      wanted: whole numbers, shape (n,).
      found: whole numbers, shape (m,), m >= n.
      salt: decides between places with the same number.

    Returns:
      Indices into `found`, shape (n,), no two alike.
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
    rising = len(values) < 2 or bool((values[1:] > values[:-1]).all())
    unique = values if rising else np.unique(values)
    if len(unique) < count:
        raise ValueError(f"{salt}: {count} windows asked for, {len(unique)} exist; ask for fewer")
    return shuffled(unique, salt)[:count]


def mixed(rows: Sequence[tuple], salt: str) -> list[tuple]:
    """The rows in an order that hides their labels."""
    return [rows[i] for i in shuffled(np.arange(len(rows)), salt)]


def record(contig: str, start: int, bases: bytes, label: int) -> bytes:
    """A row as the benchmark writes it: `>chrX:start-end|label`, then the bases on one line."""
    return b">%s:%d-%d|%d\n%s\n" % (contig.encode(), start, start + len(bases), label, bases)
