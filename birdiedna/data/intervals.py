"""Intervals and their bases: BED of any width, and tables with a header.

Positions are 0-based and half-open on the + strand. Strand `-` means the reverse complement, as in
the official `genomic-benchmarks` package; any other strand is read as +.
"""

import itertools
import re
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from birdiedna import vocab
from birdiedna.data import files, table
from birdiedna.data.chromosomes import is_chromosome, whole
from birdiedna.data.genome import Contig, Genome
from birdiedna.data.labelled import padded
from birdiedna.data.names import listed, quantity


class Intervals(NamedTuple):
    """Intervals on contigs, in file order.

    contigs: str (n,). starts, ends: int64 (n,), 0-based half-open. strands: `+`, `-` or `.` (n,).
    """

    contigs: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    strands: np.ndarray


#: One interval as written in a file: line, contig, start, end, strand.
Row = tuple[int, str, str, str, str]


def read_bed(
    path: Path | str, part: Callable[[list[str]], list[str]] = lambda fields: fields[1:3]
) -> Intervals:
    """Read a BED file with 3 or more columns (also narrowPeak), plain or gzip.

    `#`, `track` and `browser` lines are skipped. Column 6, if it exists, is the strand. `part`
    gives start and end by the fields of a line. ValueError, with file and line, for too few or a
    varying number of columns, coordinates that are not whole numbers, an end not above the start,
    or an unknown strand.
    """
    return _checked(Path(path), _bed(Path(path), part))


def _bed(path: Path, part: Callable[[list[str]], list[str]]) -> Iterator[Row]:
    width = 0
    for line, text in lines(path, "BED"):
        if text.startswith("#") or text.split(None, 1)[0] in ("track", "browser"):
            continue
        fields = text.split("\t") if "\t" in text else text.split()
        width = width or len(fields)
        if len(fields) < 3 or len(fields) != width:
            expected = f"{width}, as before" if width > 2 else "3 or more, separated by tabs"
            raise ValueError(f"{path}, line {line}: {len(fields)} columns; BED needs {expected}")
        start, end = part(fields)
        yield line, fields[0], start, end, fields[5] if width > 5 else "."


def read_table(path: Path | str) -> Intervals:
    """Read a table of Genomic Benchmarks with `region,start,end,strand`; no strand becomes `.`.

    Errors as in `read_bed` and `table.rows`.
    """
    path = Path(path)
    found = table.rows(path, partial(_columns, path))
    rows = ((n, f["region"], f["start"], f["end"], f["strand"]) for _, n, f in found)
    return _checked(path, rows)


def _columns(path: Path, names: list[str]) -> dict[str, str]:
    """Return the columns of a table of intervals."""
    needed = ("region", "start", "end", "strand")
    if missing := [name for name in needed if name not in names]:
        raise ValueError(
            f"{path}: no column {missing[0]!r} in {', '.join(names[:8])[:80]!r}; the header needs "
            f"{', '.join(needed)}, separated by commas or tabs"
        )
    return dict(zip(needed, needed, strict=True))


def lines(path: Path, kind: str) -> Iterator[tuple[int, str]]:
    """Yield number (from 1) and text of every non-blank line, with any line ends.

    Errors as in `files.opened`.
    """
    with files.opened(path, kind) as plain:
        split = (line for lines in plain for line in lines.splitlines())
        for number, line in enumerate(split, 1):
            text = line.decode(errors="replace")
            if text.strip():
                yield number, text.strip(" ")


def _checked(path: Path, rows: Iterable[Row]) -> Intervals:
    """Return the rows of a file as arrays; ValueError if there are none or one is invalid.

    A file may have tens of millions of rows: their texts are not kept, and names only once.
    """
    contigs, strands, ends = list[str](), list[str](), (array("q"), array("q"))
    for line, contig, start, end, strand in rows:
        if wrong := _wrong(contig, start, end, strand):
            raise ValueError(f"{path}, line {line}: {wrong}")
        contigs.append(sys.intern(contig))
        strands.append(sys.intern(strand or "."))
        for column, text in zip(ends, (start, end), strict=True):
            column.append(int(text))
    if not contigs:
        raise ValueError(f"{path} contains no intervals; did the download fail? Try it again")
    first, last = (np.frombuffer(column, np.int64) for column in ends)
    return Intervals(np.array(contigs), first, last, np.array(strands))


def _wrong(contig: str, start: str, end: str, strand: str) -> str:
    """Return what is wrong with an interval, or ""."""
    for name, value in (("start", start), ("end", end)):
        if not (value.isascii() and value.isdecimal() and len(value) < 11):
            header = " (BED has no header line)" if value.isalpha() else ""
            return f"{name} is {value[:40]!r}; give a whole number, 0-based{header}"
    if int(end) <= int(start):
        return f"end {end} is not above start {start}; the end is exclusive: one base is `9 10`"
    if not contig.strip():
        return "the contig has no name; write one"
    if strand not in ("+", "-", ".", ""):
        return f"strand is {strand[:40]!r}; use +, - or .; except for --tss, 3 columns are enough"
    return ""


#: Coordinates in a name: `chr1:100-300` anywhere, and `NC_000001.11:c300-100` of NCBI.
_PLACE = re.compile(
    r"(?:^|[\s:|>=])(?![^\w\s:|>=]+:)([^\s:|>=]+):(c?)(\d[\d,]{0,12})(?:-|\.\.)(\d[\d,]{0,12})(?!\d)"
)
#: Or a recognised contig and two numbers, with up to three signs between them: `chr1_100_300`,
#: `chr1|100|300`, `chromosome:GRCh38:1:100:300:1`; then no number or, second, a class.
_PLAIN, _CLASS = (
    re.compile(
        r"(?<![\w.-])(?=([A-Za-z0-9][\w.-]*?)([^A-Za-z0-9.]{1,3})(\d{1,12})"
        rf"(?:\2|[^A-Za-z0-9.|]{{1,3}}|\.\.)(\d{{1,12}})[_-]{{0,2}}({after}))"
    )
    for after in (r"$|[^\w.-]|[A-Za-z+.-]", r"\d{1,2}(?!\w)")
)
_CONTIG = re.compile(r"chr|scaffold|contig|ctg|([A-Z]{1,4}_?){1,2}\d{5,}(\.\d+)?$", re.I)


def place(name: str) -> tuple[str, int, int] | None:
    """Return contig, start and end from the name of a row, in any common form, or None."""
    if match := _PLACE.search(name):
        start, end = (int(match[i].replace(",", "")) for i in ((4, 3) if match[2] else (3, 4)))
        return match[1], start, end
    for match in itertools.chain(_PLAIN.finditer(name), _CLASS.finditer(name)):
        start, end = int(match[3]), int(match[4])
        if start < end and (is_chromosome(match[1]) or _CONTIG.match(match[1])):
            return match[1], start, end
    return None


def of_names(names: Sequence[str]) -> Intervals | None:
    """Return the coordinates of rows if every name has a non-empty `place`, else None."""
    found = [stated for name in names if (stated := place(name))]
    if not found or len(found) < len(names) or any(end <= start for _, start, end in found):
        return None
    contigs, starts, ends = zip(*found, strict=True)
    usual = {name: whole(name) for name in {*contigs}}
    first, last = (np.array(positions, np.int64) for positions in (starts, ends))
    return Intervals(
        np.array([usual[name] for name in contigs]), first, last, np.full(len(found), ".")
    )


def covered(rows: Intervals, others: Intervals) -> np.ndarray:
    """Return the largest share (n,) of each interval covered by one other, on either strand.

    Contigs are compared by name.
    """
    apart = int(max(rows.ends.max(initial=0), others.ends.max(initial=0)))
    _, numbers = np.unique(np.concatenate([rows.contigs, others.contigs]), return_inverse=True)
    offsets, other_offsets = np.split(apart * numbers.astype(np.int64), [len(rows.contigs)])
    starts, ends = rows.starts + offsets, rows.ends + offsets
    order = np.argsort(others.starts + other_offsets, kind="stable")
    begins, stops = ((edge + other_offsets)[order] for edge in (others.starts, others.ends))
    begins = np.append(begins, np.iinfo(np.int64).max)
    other = np.searchsorted(begins, starts, "right")  # the first that begins inside the row
    furthest = np.maximum.accumulate(np.append(0, stops))  # of those that begin before it
    bases = np.maximum(np.minimum(furthest[other], ends) - starts, 0)
    row = np.flatnonzero(begins[other] < ends)
    while len(row):
        inside = np.minimum(stops[other[row]], ends[row]) - begins[other[row]]
        bases[row] = np.maximum(bases[row], inside)
        other[row] += 1
        row = row[begins[other[row]] < ends[row]]
    return bases / (rows.ends - rows.starts)


def take(intervals: Intervals, rows: np.ndarray) -> Intervals:
    """Return the intervals selected by indices or a boolean mask (n,)."""
    return Intervals._make(column[rows] for column in intervals)


_LETTERS = np.zeros(256, np.uint8)
_LETTERS[vocab.A : vocab.N + 1] = np.frombuffer(b"ACGTN", np.uint8)


def located(genome: Genome, names: Sequence[str] | np.ndarray) -> dict[str, Contig]:
    """Return the contig of each name found in the genome, by exact name or a common synonym.

    `20`, `chr20`, `NC_000020.11` are synonyms, but not pieces of it (`chr20_..._random`,
    `chr20:100-200`); so are `chrI` and `I`, `ENST00000371014` and `ENST00000371014.5`.
    """
    find = locator(genome)
    return {name: found for name in dict.fromkeys(map(str, names)) if (found := find(name))}


def locator(genome: Genome) -> Callable[[str], Contig | None]:
    """Return the function that finds a contig by its name, as `located`, for many calls."""
    exact = {contig.name: contig for contig in genome.contigs}
    usual: dict[str, list[Contig]] = {}
    for contig in genome.contigs:
        usual.setdefault(_usual(contig.name), []).append(contig)

    @cache
    def find(name: str) -> Contig | None:
        others = usual.get(_usual(name), [])
        return exact.get(name) or (others[0] if len(others) == 1 else None)

    return find


def _usual(name: str) -> str:
    """Return the canonical name of a contig."""
    return re.sub(r"^(ENS[A-Z]*T\d+)\.\d+$", r"\1", whole(name)).removeprefix("chr")


def tokens(genome: Genome, intervals: Intervals) -> tuple[np.ndarray, np.ndarray]:
    """Return the base ids of the intervals, reverse complement on strand `-`; and lengths.

    The ids are uint8 (n, L), padded with `<pad>` on the right, the lengths int32 (n,). A genome
    contains only A, C, G, T and N; the official package also keeps lower case and other IUPAC
    letters of its reference. Errors as in `present`.
    """
    return padded([*each(genome, intervals)])


def each(genome: Genome, intervals: Intervals, path: Path | str = "") -> Iterator[np.ndarray]:
    """Yield the base ids, uint8, of each interval, as in `tokens`."""
    present(genome, intervals, path=path)
    contigs = located(genome, np.unique(intervals.contigs))
    for name, start, end, strand in zip(*intervals, strict=True):
        first = contigs[name].start
        bases = genome.tokens[first + start : first + end]
        yield vocab.reverse_complement(bases) if strand == "-" else bases


def present(
    genome: Genome, intervals: Intervals, skip_missing: bool = False, path: Path | str = ""
) -> np.ndarray:
    """Return which intervals, from file `path`, are on contigs of the genome, bool (n,).

    ValueError if an interval leaves its contig; or if contigs are missing, unless `skip_missing`
    and some exist. The message counts such intervals and shows the first.
    """
    every, at = np.unique(intervals.contigs, return_inverse=True)
    contigs = located(genome, every)
    lengths = [contigs[name].length if name in contigs else 2**60 for name in every.tolist()]
    sizes = np.array(lengths, np.int64)[at]
    outside = (intervals.ends > sizes) | (intervals.starts < 0)
    prefix = f"{path}: " if path else ""
    if outside.any():
        raise ValueError(
            f"{prefix}{_rows(intervals, outside)} outside the contig, which has "
            f"{sizes[outside][0]:,} bases in {genome.source}; give the genome of the intervals' "
            "assembly"
        )
    known = np.isin(every, [*contigs])[at]
    if not known.all() and not (skip_missing and known.any()):
        names = listed([contig.name for contig in genome.contigs], 10)
        skip = ", or --skip-missing to skip such rows" * bool(known.any())
        raise ValueError(
            f"{prefix}{_rows(intervals, ~known)} on a contig missing from {genome.source}, "
            f"which contains {names}; give another genome{skip}"
        )
    return known


def _rows(intervals: Intervals, wrong: np.ndarray) -> str:
    """Return how many rows are wrong and which is the first, as text that ends in "are"."""
    first = int(np.argmax(wrong))
    place = "{}:{}-{}".format(*(column[first] for column in intervals[:3]))
    return quantity(wrong.sum(), f"of {len(wrong):,} rows (first: row {first + 1}, {place}) are")


def letters(tokens: np.ndarray) -> np.ndarray:
    """Return the ASCII letters of base ids, uint8 of the same shape; 0 for pads."""
    return _LETTERS[tokens]


def sequences(genome: Genome, intervals: Intervals) -> list[str]:
    """Return the letters of the intervals (A, C, G, T, N); errors and strands as in `tokens`."""
    return [letters(bases).tobytes().decode() for bases in each(genome, intervals)]
