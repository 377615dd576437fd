"""Intervals and their bases: BED of any width, and tables with a header.

Positions are 0-based and half-open on the + strand. `-` means that the sequence is the reverse
complement, as the official `genomic-benchmarks` package has it; any other strand is read as +.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from birdiedna import vocab
from birdiedna.data import files, table
from birdiedna.data.chromosomes import is_chromosome, whole
from birdiedna.data.genome import Contig, Genome
from birdiedna.data.labelled import padded
from birdiedna.data.names import listed


class Intervals(NamedTuple):
    """Stretches of contigs, in file order.

    contigs: str (n,). starts, ends: int64 (n,), 0-based half-open. strands: `+`, `-` or `.` (n,).
    """

    contigs: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    strands: np.ndarray


#: One interval as written in a file: line, contig, start, end, strand.
Row = tuple[int, str, str, str, str]


def read_bed(path: Path | str) -> Intervals:
    """Read a BED file of 3 columns or more (narrowPeak too), plain or gzip.

    `#`, `track` and `browser` lines are skipped. Column 6, if there is one, is the strand.

    Raises:
      ValueError: no BED: too few columns, another number of columns than before, coordinates that
        are no whole numbers, end not above start, another strand; the message has file and line.
    """
    path, width = Path(path), 0
    rows: list[Row] = []
    for line, text in lines(path, "BED"):
        if text.startswith("#") or text.split(None, 1)[0] in ("track", "browser"):
            continue
        fields = text.split("\t") if "\t" in text else text.split()
        width = width or len(fields)
        if len(fields) < 3 or len(fields) != width:
            expected = f"{width}, as before" if width > 2 else "3 or more, separated by tabs"
            raise ValueError(f"{path}, line {line}: {len(fields)} columns; BED needs {expected}")
        strand = fields[5] if width > 5 else "."
        rows.append((line, fields[0], fields[1], fields[2], strand))
    return checked(path, rows)


def read_table(path: Path | str) -> Intervals:
    """Read a table of Genomic Benchmarks, with `region,start,end,strand`; no strand becomes `.`.

    Errors as `read_bed` and `table.rows`.
    """
    path = Path(path)
    found = table.rows(path, table.needed(path, ("region", "start", "end", "strand")))
    rows = [(n, f["region"], f["start"], f["end"], f["strand"]) for _, n, f in found]
    return checked(path, rows)


def lines(path: Path, kind: str) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of every line that is not blank; errors as in `files.opened`."""
    with files.opened(path, kind) as plain:
        for number, line in enumerate(plain, 1):
            text = line.decode("latin-1").rstrip("\r\n")
            if text.strip():
                yield number, text


def checked(path: Path, rows: Sequence[Row]) -> Intervals:
    """The rows of a file as arrays; a ValueError if there are none, or one is no interval."""
    if not rows:
        raise ValueError(f"{path}: no intervals in the file; did the download fail? Get it again")
    for row in rows:
        if wrong := _wrong(*row[1:]):
            raise ValueError(f"{path}, line {row[0]}: {wrong}")
    _, contigs, starts, ends, strands = zip(*rows, strict=True)
    first, last = (np.array([int(text) for text in column], np.int64) for column in (starts, ends))
    return Intervals(
        np.array(contigs), first, last, np.array([strand or "." for strand in strands])
    )


def _wrong(contig: str, start: str, end: str, strand: str) -> str:
    """What is wrong with one interval, or nothing."""
    for name, value in (("start", start), ("end", end)):
        if not (value.isascii() and value.isdecimal() and len(value) < 11):
            header = " (BED has no header line)" if value.isalpha() else ""
            return f"{name} is {value[:40]!r}; give a whole number, 0-based{header}"
    if int(end) <= int(start):
        return f"end {end} is not above start {start}; the end is exclusive: one base is `9 10`"
    if not contig.strip():
        return "the contig has no name; write one"
    if strand not in ("+", "-", ".", ""):
        return f"strand is {strand[:40]!r}; use +, - or ."
    return ""


#: Coordinates in a name: `chr1:100-300` anywhere; `chr1_100_300`, `chr1-100-300` and the like if
#: the contig is recognised and nothing but a strand or a label follows.
_PLACE = re.compile(r"(?:^|[\s:|>=])([^\s:|>=]+):(\d[\d,]{0,12})(?:-|\.\.)(\d[\d,]{0,12})(?!\d)")
_PLAIN = re.compile(
    r"(?:^|[\s:|>=;,])([A-Za-z0-9][\w.-]*?)[:_/ -](\d{1,12})(?:[-_:/ ]|\.\.)(\d{1,12})"
    r"(?=$|[\s|(:;,]|[_-][-+.]?(?:$|[\s|]))"
)
_CONTIG = re.compile(r"chr|scaffold|contig|ctg|([A-Z]{1,4}_?){1,2}\d{5,}(\.\d+)?$", re.I)


def place(name: str) -> tuple[str, int, int] | None:
    """The contig, start and end that the name of a row states, in any common form; None if none."""
    if match := _PLACE.search(name):
        return match[1], int(match[2].replace(",", "")), int(match[3].replace(",", ""))
    match = _PLAIN.search(name)
    if not match or not (is_chromosome(match[1]) or _CONTIG.match(match[1])):
        return None
    start, end = int(match[2]), int(match[3])
    return (match[1], start, end) if start < end else None


def of_names(names: Sequence[str]) -> Intervals | None:
    """Where rows come from, if every name states a `place` of one base or more; else None."""
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
    """The largest share (n,) of each interval that any single other covers; strands count as one.

    Intervals are on the same contig if it has the same name.
    """
    apart = int(max(rows.ends.max(initial=0), others.ends.max(initial=0)))
    _, numbers = np.unique(np.concatenate([rows.contigs, others.contigs]), return_inverse=True)
    mine, theirs = np.split(apart * numbers.astype(np.int64), [len(rows.contigs)])
    starts, ends = rows.starts + mine, rows.ends + mine
    order = np.argsort(others.starts + theirs, kind="stable")
    begins, stops = ((edge + theirs)[order] for edge in (others.starts, others.ends))
    begins = np.append(begins, np.iinfo(np.int64).max)
    other = np.searchsorted(begins, starts, "right")  # the first that begins inside of the row
    reach = np.maximum.accumulate(np.append(0, stops))  # of those that begin before
    bases = np.maximum(np.minimum(reach[other], ends) - starts, 0)
    row = np.flatnonzero(begins[other] < ends)
    while len(row):
        inside = np.minimum(stops[other[row]], ends[row]) - begins[other[row]]
        bases[row] = np.maximum(bases[row], inside)
        other[row] += 1
        row = row[begins[other[row]] < ends[row]]
    return bases / (rows.ends - rows.starts)


def take(intervals: Intervals, rows: np.ndarray) -> Intervals:
    """The intervals picked by indices or by a boolean mask (n,)."""
    return Intervals._make(column[rows] for column in intervals)


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
    return re.sub(r"^(ENS[A-Z]*T\d+)\.\d+$", r"\1", whole(name)).removeprefix("chr")


def tokens(genome: Genome, intervals: Intervals) -> tuple[np.ndarray, np.ndarray]:
    """The base ids of the intervals, reverse complement where the strand is `-`; and lengths (n,).

    The ids are uint8 (n, L), padded with `<pad>` on the right, the lengths int32. A genome knows A,
    C, G, T and N only; the official package also keeps lower case and the other IUPAC letters of
    its reference. Errors as in `present`.
    """
    return padded([*each(genome, intervals)])


def each(genome: Genome, intervals: Intervals, path: Path | str = "") -> Iterator[np.ndarray]:
    """The base ids, uint8, of one interval after the other, as `tokens` has them together."""
    present(genome, intervals, path=path)
    contigs = located(genome, np.unique(intervals.contigs))
    for name, start, end, strand in zip(*(column.tolist() for column in intervals), strict=True):
        first = contigs[name].start
        bases = genome.tokens[first + start : first + end]
        yield vocab.reverse_complement(bases) if strand == "-" else bases


def present(
    genome: Genome, intervals: Intervals, skip_missing: bool = False, path: Path | str = ""
) -> np.ndarray:
    """Which intervals, of the file `path`, are on contigs of the genome, bool (n,).

    Raises:
      ValueError: an interval leaves its contig; or one has no contig and `skip_missing` is false;
        or none has. The message counts them and shows the first.
    """
    contigs = located(genome, np.unique(intervals.contigs))
    found = [contigs.get(name) for name in intervals.contigs.tolist()]
    sizes = np.array([contig.length if contig else 2**60 for contig in found], np.int64)
    outside = (intervals.ends > sizes) | (intervals.starts < 0)
    of = f"{path}: " if path else ""
    if outside.any():
        raise ValueError(
            f"{of}{_rows(intervals, outside)} outside the contig, which has {sizes[outside][0]:,} "
            f"bases in {genome.source}; are the intervals of another assembly?"
        )
    known = np.array([contig is not None for contig in found], bool)
    if not known.all() and not (skip_missing and known.any()):
        has = listed([contig.name for contig in genome.contigs], 10)
        raise ValueError(
            f"{of}{_rows(intervals, ~known)} on a contig that {genome.source} lacks; it has {has}"
            + "; --skip-missing leaves such rows out" * bool(known.any())
        )
    return known


def _rows(intervals: Intervals, wrong: np.ndarray) -> str:
    """How many rows are wrong, and which is the first."""
    first = int(np.argmax(wrong))
    place = "{}:{}-{}".format(*(column[first] for column in intervals[:3]))
    return f"{wrong.sum():,} of {len(wrong):,} rows (first: row {first + 1}, {place})"


def letters(tokens: np.ndarray) -> np.ndarray:
    """The ASCII letters of base ids, uint8 of the same shape; 0 for pads."""
    return _LETTERS[tokens]


def sequences(genome: Genome, intervals: Intervals) -> list[str]:
    """The letters of the intervals (A, C, G, T, N); errors and strands as in `tokens`."""
    return [letters(bases).tobytes().decode() for bases in each(genome, intervals)]
