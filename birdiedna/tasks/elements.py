"""Read the elements of which a task is built: their windows are its positive rows.

All readers raise FileNotFoundError, or ValueError with file and line if a line does not match the
format or an element cannot be used.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from birdiedna.data import intervals
from birdiedna.data.intervals import Intervals
from birdiedna.data.names import quantity
from birdiedna.tasks import benchmark_rules as rules
from birdiedna.tasks.benchmark_rules import Gene

#: The exon boundaries of labels 1, 2, ...; `all` has the numbering of splice_sites_all.
SITES = {"donors": ("donor",), "acceptors": ("acceptor",), "all": ("acceptor", "donor")}
_TRANSCRIPT = re.compile(r'transcript_id[ =]"?([^";]+)|Parent=([^;]+)')
_END = 10**10
#: Content of a line: the names of its transcripts, and the transcript or a part of it.
_Part = tuple[Sequence[str], Gene]


@dataclass(frozen=True)
class Elements:
    """Elements around which positive rows are cut, and which negative rows do not overlap.

    path: the file. found: its elements. windows: positive windows of equal length, which may extend
    past the end of a contig. labels: int32 (n,), class of each window, from 1. rule: how windows
    follow from elements, in words. sites: kinds of exon boundary of classes 1, 2, ... transcripts:
    where decoys of exon boundaries are searched. dropped: number of elements without a window, by
    reason.
    """

    path: Path
    found: Intervals
    windows: Intervals
    labels: np.ndarray
    rule: str
    sites: tuple[str, ...] = ()
    transcripts: Sequence[Gene] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Length of a window in bases."""
        return int(self.windows.ends[0] - self.windows.starts[0])


def _one_class(
    path: Path | str, found: Intervals, first: np.ndarray, length: int, rule: str
) -> Elements:
    """Return elements of one class, with windows that start at `first`."""
    windows = found._replace(starts=first, ends=first + length)
    return Elements(Path(path), found, windows, np.ones(len(first), np.int32), rule)


def peaks(path: Path | str) -> Elements:
    """Read histone peaks of up to 1,000 bases; windows are 1,000 bases from the base before."""
    found = intervals.read_bed(path)
    short = found.ends - found.starts <= rules.PEAK_BASES
    if not short.any():
        raise ValueError(
            f"{path}: all {len(short):,} peaks have more than {rules.PEAK_BASES:,} "
            "bases; use --bed with a --length instead"
        )
    rule = "1,000 bases from the base before the peak on; peaks of more than 1,000 bases give none"
    kept = intervals.take(found, short)
    chosen = _one_class(path, kept, kept.starts - rules.PEAK_LEAD, rules.PEAK_BASES, rule)
    dropped = {"peak of more than 1,000 bases": int((~short).sum())}
    return replace(chosen, found=found, dropped=dropped)


def starts(path: Path | str) -> Elements:
    """Read promoters: 300 bases, transcription start site at index 49 (+) or 10 (-), not flipped.

    The file is BED with strands; the start site is the first base in the direction of
    transcription, and in a promoter of EPDnew that of its thick part.
    """
    found = intervals.read_bed(path, _begin)
    first_base = np.where(found.strands == "-", found.ends - 1, found.starts)
    found = found._replace(starts=first_base, ends=first_base + 1)
    unknown = ~np.isin(found.strands, ("+", "-"))
    if unknown.any():
        raise ValueError(
            f"{path}: {quantity(unknown.sum(), f'of {len(unknown):,} starts have no strand')} "
            f"(first: row {np.argmax(unknown) + 1}); write + or - in column 6"
        )
    sites = map(rules.promoter_window, found.starts.tolist(), found.strands.tolist())
    windows = np.array([*sites], np.int64)
    rule = "300 bases, transcription start at index 49 for +, 10 for -, not flipped"
    return _one_class(path, found, windows, rules.PROMOTER_BASES, rule)


def _begin(fields: list[str]) -> list[str]:
    """Start and end of what begins at a start site: the interval, or the thick part of EPDnew's.

    EPDnew lists 49 bases before a start site and, as the thick part, it and 10 bases after it.
    """
    try:
        sizes = [int(end) - int(start) for start, end in (fields[1:3], fields[6:])]
    except ValueError:  # other columns
        sizes = []
    return fields[6:] if sizes == [60, 11] else fields[1:3]


def stretches(path: Path | str, length: int) -> Elements:
    """Read other elements: windows are `length` bases around the middle of each interval."""
    if length < 1:
        raise ValueError(f"length {length} is too small; give 1 base or more")
    found = intervals.read_bed(path)
    first = (found.starts + found.ends) // 2 - length // 2
    middle = f"its middle at index {length // 2}"
    rule = f"{length:,} bases of the interval, {middle}, whatever its length"
    return _one_class(path, found, first, length, rule)


def exons(path: Path | str, which: str = "donors") -> Elements:
    """Read splice sites (`boundaries`): 600 bases, exon boundary base at index 300.

    which: `donors`, `acceptors`, or `all` (label 1 acceptors, label 2 donors).
    """
    if which not in SITES:
        raise ValueError(f"sites {which!r}; choose one of {', '.join(SITES)}")
    found, kinds, genes = boundaries(path)
    if missing := [site for site in SITES[which] if site not in kinds]:
        raise ValueError(f"{path}: no {missing[0]} among {len(kinds):,} exon boundaries")
    kept = np.isin(kinds, SITES[which])
    bases = intervals.take(found, kept)
    first = bases.starts - rules.BOUNDARY
    windows = bases._replace(starts=first, ends=first + rules.SPLICE_BASES)
    labels = np.array([SITES[which].index(kind) + 1 for kind in kinds[kept]], np.int32)
    rule = (
        "600 bases, the exon's boundary base at index 300: of a donor its last base (GT at "
        "301-302 for +, AC at 298-299 for -), of an acceptor its first (AG at 298-299, CT at "
        f"301-302); label {', '.join(f'{i} {site}' for i, site in enumerate(SITES[which], 1))}"
    )
    return Elements(Path(path), found, windows, labels, rule, SITES[which], genes)


def boundaries(path: Path | str) -> tuple[Intervals, np.ndarray, tuple[Gene, ...]]:
    """Read exon boundaries: the last exon base before an intron and the first one after.

    The file is GTF or GFF3 (feature `exon`, grouped by transcript), BED12 (one transcript per
    line) or SpliceAI's table of transcripts. Ends of transcripts are not boundaries. Returns unique
    intervals of one base; their sites (n,), `donor` or `acceptor`; the transcripts.
    """
    path = Path(path)
    numbered = intervals.lines(path, "GTF or BED12")
    data = (
        (line, text)
        for line, text in itertools.takewhile(lambda each: each[1] != "##FASTA", numbered)
        if not text.startswith("#") and text.split(None, 1)[0] not in ("track", "browser")
    )
    line, first = next(data, (0, ""))
    if not line:
        raise ValueError(f"{path} contains only remarks; did the download fail? Try it again")
    if not (form := _FORMS.get(len(first.split("\t")))):
        raise ValueError(
            f"{path}, line {line}: {first[:60]!r} is not a line of GTF (9 columns), BED12 (12) or "
            "SpliceAI's table (7); convert the file"
        )
    genes = _transcripts(path, form, itertools.chain([(line, first)], data))
    sites = [
        (gene.chromosome, position, gene.strand, kind)
        for gene in genes
        for kind in ("donor", "acceptor")
        for position in rules.boundaries(gene, kind)
    ]
    if not sites:
        lacks = "transcripts with introns" if genes else "lines of the feature `exon`"
        raise ValueError(f"{path} contains no exon boundary; it needs {lacks}")
    columns = zip(*dict.fromkeys(sites), strict=True)
    contigs, positions, strands, kinds = (np.array(column) for column in columns)
    return Intervals(contigs, positions, positions + 1, strands), kinds, genes


def _transcripts(
    path: Path, form: Callable[[str], _Part | None], data: Iterable[tuple[int, str]]
) -> tuple[Gene, ...]:
    """Return the transcripts of a file, with exons sorted by position."""
    parts: dict[tuple[str, str, str], set[tuple[int, int]]] = {}
    for line, text in data:
        try:
            part = form(text)
            if part and not (
                all(0 <= start < end < _END for start, end in part[1].exons)
                and part[1].strand in ("+", "-")
                and part[1].chromosome.strip()
            ):
                raise ValueError
        except (ValueError, IndexError):
            raise ValueError(
                f"{path}, line {line}: {text[:80]!r} has no valid exon on strand + or -, or no "
                "transcript_id or Parent; correct or delete the line"
            ) from None
        if part:
            names, gene = part
            for name in names:
                parts.setdefault((gene.chromosome, name, gene.strand), set()).update(gene.exons)
    return tuple(
        Gene(contig, strand, min(exons)[0], max(exons)[1], tuple(sorted(exons)))
        for (contig, _, strand), exons in parts.items()
    )


def _gtf(text: str) -> _Part | None:
    """Parse an exon, None for other features; GTF positions are 1-based, ends inclusive."""
    contig, _, feature, start, end, _, strand, _, attributes = text.split("\t")
    if feature != "exon":
        return None
    name = _TRANSCRIPT.search(attributes)
    if not name:
        raise ValueError
    exon = (int(start) - 1, int(end))
    names = [name[1]] if name[1] else name[2].split(",")  # GFF3 lists all transcripts of an exon
    return names, Gene(contig, strand, *exon, (exon,))


def _bed12(text: str) -> _Part:
    fields = text.split("\t")
    start = int(fields[1])
    sizes, offsets = ([int(n) for n in fields[i].strip(",").split(",")] for i in (10, 11))
    exons = tuple(
        (start + offset, start + offset + size) for size, offset in zip(sizes, offsets, strict=True)
    )
    return [text], Gene(fields[0], fields[5], start, int(fields[2]), exons)


#: Line parsers by number of columns.
_FORMS: dict[int, Callable[[str], _Part | None]] = {
    7: lambda text: ([text], rules.transcript(text)),
    9: _gtf,
    12: _bed12,
}
