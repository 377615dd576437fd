"""Variants from VCF files: one line a record, one at a time, plain or gzip."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from birdiedna.data import intervals
from birdiedna.data.genome import Genome

_FIELDS = ("CHROM", "POS", "ID", "REF", "ALT")


class Variant(NamedTuple):
    """One alternative allele of a record; position is 1-based, on the + strand, as in the file."""

    contig: str
    position: int
    name: str
    ref: str
    alt: str
    line: int


def read(path: Path) -> Iterator[Variant]:
    """Every alternative allele of a VCF file, in its order; several of a record come one by one.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: no VCF: too few columns, a position that is no whole number from 1, REF that is
        no nucleotides; the message has file and line.
    """
    for line, text in intervals.lines(path, "VCF"):
        if text.startswith("#"):
            continue
        fields = text.split("\t")
        if len(fields) < len(_FIELDS):
            raise ValueError(
                f"{path}, line {line}: {len(fields)} columns; VCF needs {', '.join(_FIELDS)}, "
                "separated by tabs"
            )
        contig, position, name, ref, alts = fields[: len(_FIELDS)]
        if not re.fullmatch(r"[1-9]\d{0,9}", position):
            raise ValueError(f"{path}, line {line}: POS {position!r} is no whole number from 1 on")
        if not re.fullmatch(r"[ACGTNacgtn]+", ref):
            raise ValueError(f"{path}, line {line}: REF {ref[:40]!r} is no A, C, G, T or N")
        for alt in alts.split(","):
            yield Variant(contig, int(position), name, ref.upper(), alt.upper(), line)


def check_assembly(path: Path, genome: Genome) -> None:
    """Refuse a file whose header gives a contig of the genome another length.

    Raises:
      ValueError: it does; the message names the contig and both lengths.
    """
    said: dict[str, int] = {}
    for _, text in intervals.lines(path, "VCF"):
        if not text.startswith("##"):
            break
        match = re.match(r"##contig=<.*\bID=([^,>]+).*\blength=(\d+)", text)
        if match:
            said[match[1]] = int(match[2])
    contigs = intervals.located(genome, [*said])
    for name, contig in contigs.items():
        if contig.length != said[name]:
            raise ValueError(
                f"{path}: contig {name} has {said[name]:,} bases in its header and "
                f"{contig.length:,} in {genome.source}; give the genome of the file's assembly"
            )
