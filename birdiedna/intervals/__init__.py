"""Intervals and their sequences: BED and peak files, and the sets of Genomic Benchmarks.

Positions are 0-based and half-open on the + strand. `-` means that the sequence is the reverse
complement, as the official `genomic-benchmarks` package has it; any other strand is read as +.
"""

from birdiedna.intervals.benchmark import labelled, sets
from birdiedna.intervals.cutting import letters, located, present, sequences, tokens
from birdiedna.intervals.reading import (
    Intervals,
    checked,
    columns,
    lines,
    read_bed,
    read_table,
    take,
)

__all__ = [
    "Intervals",
    "checked",
    "columns",
    "labelled",
    "letters",
    "lines",
    "located",
    "present",
    "read_bed",
    "read_table",
    "sequences",
    "sets",
    "take",
    "tokens",
]
