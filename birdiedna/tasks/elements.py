"""The kinds of elements that a task can be built from: which windows are its positive rows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from birdiedna import intervals, recipe
from birdiedna.elements.exons import boundaries
from birdiedna.intervals import Intervals
from birdiedna.recipe import Gene, Site

#: Which exon boundaries are labels 1, 2, ...: `all` numbers them as splice_sites_all does.
SITES = {"donors": ("donor",), "acceptors": ("acceptor",), "all": ("acceptor", "donor")}
ANCHORS = ("centre", "start")


@dataclass(frozen=True)
class Elements:
    """What the positive rows of a task are cut around, and what its negatives keep clear of.

    path: the file. found: its elements. windows: the positive windows, of equal length, perhaps
    past the end of a contig. labels: int32 (n,), the class of each window, from 1 on. rule: how
    windows follow from elements. sites: what classes 1, 2, ... are, for exon boundaries.
    transcripts: where decoys of exon boundaries are looked for; none for anywhere. dropped:
    elements without a window, counted by reason.
    """

    path: Path
    found: Intervals
    windows: Intervals
    labels: np.ndarray
    rule: str
    sites: tuple[str, ...] = ()
    transcripts: tuple[Gene, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Bases of a window."""
        return int(self.windows.ends[0] - self.windows.starts[0])


def peaks(path: Path | str) -> Elements:
    """Histone marks: 1,000 bases from the base before the peak, for peaks of up to 1,000 bases.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: as in `intervals.read_bed`.
    """
    found = intervals.read_bed(path)
    short = found.ends - found.starts <= recipe.PEAK_BASES
    kept = intervals.take(found, short)
    if not short.any():
        raise ValueError(
            f"{path}: all {len(short):,} peaks have more than {recipe.PEAK_BASES:,} bases; use "
            "--bed with a --length instead"
        )
    rule = "1,000 bases from the base before the peak on; peaks of more than 1,000 bases give none"
    windows = _windows(kept, recipe.peak_window(kept.starts), recipe.PEAK_BASES)
    dropped = {"peak of more than 1,000 bases": int((~short).sum())}
    return Elements(Path(path), found, windows, _ones(windows), rule, dropped=dropped)


def starts(path: Path | str) -> Elements:
    """Promoters: 300 bases with the transcription start at index 49 (+) or 10 (-), not flipped.

    From BED with strands, where the first base in the direction of transcription is the start,
    or from csv or tsv with `contig,position,strand` (0-based).

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a start without a strand, and as in `intervals.read_bed`.
    """
    found = _sites(Path(path))
    unknown = ~np.isin(found.strands, ("+", "-"))
    if unknown.any():
        raise ValueError(
            f"{path}: {unknown.sum():,} of {len(unknown):,} starts have no strand (first: row "
            f"{np.argmax(unknown) + 1}); write + or - into column 6 of BED, or into `strand`"
        )
    sites = (Site(*pair) for pair in zip(found.starts.tolist(), found.strands.tolist()))
    first = np.array([recipe.promoter_window(site) for site in sites], np.int64)
    rule = "300 bases, transcription start at index 49 for +, 10 for -, not flipped"
    windows = _windows(found, first, recipe.PROMOTER_BASES)
    return Elements(Path(path), found, windows, _ones(windows), rule)


def _sites(path: Path) -> Intervals:
    """The base of each start, from either format."""
    names = ("contig", "position", "strand")
    header = next(intervals.lines(path, "BED or csv"))[1]
    if "position" in re.split("[,\t]", header):
        rows = [
            (line, contig, text, str(int(text) + 1) if text.isdecimal() else text, strand)
            for line, (contig, text, strand) in intervals.columns(path, names)
        ]
        return intervals.checked(path, rows)
    found = intervals.read_bed(path)
    first = np.where(found.strands == "-", found.ends - 1, found.starts)
    return found._replace(starts=first, ends=first + 1)


def exons(path: Path | str, which: str = "donors") -> Elements:
    """Splice sites: 600 bases with the exon's boundary base at index 300.

    Args:
      path: as in `boundaries`.
      which: `donors`, `acceptors`, or `all`: label 1 acceptors, label 2 donors.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: another `which`, no such site in the file, and as in `boundaries`.
    """
    if which not in SITES:
        raise ValueError(f"sites {which!r}; choose one of {', '.join(SITES)}")
    found, kinds, genes = boundaries(path)
    if missing := [site for site in SITES[which] if site not in kinds]:
        raise ValueError(f"{path}: no {missing[0]} among {len(kinds):,} exon boundaries")
    kept = np.isin(kinds, SITES[which])
    bases = intervals.take(found, kept)
    windows = _windows(bases, bases.starts - recipe.BOUNDARY, recipe.SPLICE_BASES)
    labels = np.array([SITES[which].index(kind) + 1 for kind in kinds[kept]], np.int32)
    rule = (
        "600 bases, the exon's boundary base at index 300: of a donor its last base (GT at "
        "301-302 for +, AC at 298-299 for -), of an acceptor its first (AG at 298-299, CT at "
        f"301-302); label {', '.join(f'{i} {site}' for i, site in enumerate(SITES[which], 1))}"
    )
    return Elements(Path(path), found, windows, labels, rule, SITES[which], genes)


def stretches(path: Path | str, length: int, anchor: str = "centre") -> Elements:
    """Other elements: `length` bases around the middle of the interval, or from its start on.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a length below 1, another anchor, and as in `intervals.read_bed`.
    """
    if length < 1:
        raise ValueError(f"windows of {length} bases; give a length of 1 or more")
    if anchor not in ANCHORS:
        raise ValueError(f"anchor {anchor!r}; choose one of {', '.join(ANCHORS)}")
    found = intervals.read_bed(path)
    middle = recipe.centred_window(found.starts, found.ends, length)
    first = middle if anchor == "centre" else found.starts
    place = f"its middle at index {length // 2}" if anchor == "centre" else "from its start on"
    rule = f"{length:,} bases of the interval, {place}, whatever its length"
    windows = _windows(found, first, length)
    return Elements(Path(path), found, windows, _ones(windows), rule)


def _windows(elements: Intervals, first: np.ndarray, length: int) -> Intervals:
    return elements._replace(starts=first, ends=first + length)


def _ones(windows: Intervals) -> np.ndarray:
    return np.ones(len(windows.starts), np.int32)
