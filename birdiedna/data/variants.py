"""Read variants from VCF files and tables, plain or gzip, one alternative allele at a time."""

import os
import re
from collections.abc import Container, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from birdiedna import vocab
from birdiedna.data import intervals, table
from birdiedna.data.genome import Genome

_VCF = ("CHROM", "POS", "ID", "REF", "ALT")
_VCF_HEADER = f"#{','.join(_VCF)}".lower().split(",")
#: Accepted column names of a table; the first that exists is read.
COLUMNS = {
    "contig": ("contig", "chromosome", "chr", "#chrom", "chrom"),
    "position": ("contig_pos", "position", "pos"),
    "name": ("id", "name", "rsid"),
    "ref": ("ref",),
    "alt": ("alt",),
    "ref_seq": ("ref_seq",),
    "alt_seq": ("alt_seq",),
}


class Variant(NamedTuple):
    """One alternative allele of a record; position is 1-based on the + strand, as in the file.

    window: base ids of the sequence around it, if the file contains one. at: index of its first
    base in the window.
    """

    contig: str
    position: int
    name: str
    ref: str
    alt: str
    line: int
    window: np.ndarray | None = None
    at: int = 0


def read(path: Path, windows: bool = False) -> Iterator[Variant]:
    """Yield every alternative allele of a file in order, several of a record one by one.

    The file is VCF; or csv, tsv, parquet with `chrom`, `pos` (1-based), `ref`, `alt` and optionally
    `id`; `contig` and `contig_pos` are preferred. With `windows`, rows contain the sequence around
    the variant: `ref_seq` and `alt_seq`, or `ref_seq` with `ref` in the middle. ValueError, with
    file and line, for too few columns, a position that is not a whole number from 1, and REF or
    sequences that are not nucleotides.
    """
    names = [name.lower() for name in table.header(path)]
    rows: Iterator[tuple[int, dict[str, str]]]
    if windows or {"ref", "ref_seq"} & {*names} and names[:5] != _VCF_HEADER:
        rows = ((row.line, row.fields) for row in table.rows(path, partial(_roles, path, windows)))
    else:
        rows = _records(path)
    for line, fields in rows:
        try:
            yield from alleles(line, fields, windows)
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from None


def _roles(path: Path, windows: bool, names: list[str]) -> dict[str, str]:
    """Return role -> column of a table of variants, ignoring case."""
    found = table.known(names, COLUMNS)
    needed = ["ref_seq"] if windows else ["contig", "position"]
    needed += ["ref", "alt"] * (not windows or "alt_seq" not in found)
    if missing := [role for role in needed if role not in found]:
        remedy = "columns chrom, pos, ref, alt and --genome" * (missing[0] != "ref_seq")
        raise ValueError(
            f"{path}: no column {COLUMNS[missing[0]][-1]!r} in {', '.join(names[:8])[:80]!r}; "
            f"give {remedy or '--genome'}; or, without a genome, ref_seq and alt_seq, or "
            "ref_seq, ref and alt"
        )
    return found


def _records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    for line, text in intervals.lines(path, "VCF"):
        if text.startswith("#"):
            continue
        fields = text.split("\t")
        if len(fields) < len(_VCF):
            raise ValueError(
                f"{path}, line {line}: {len(fields)} columns; VCF needs {', '.join(_VCF)}, "
                "separated by tabs; a table needs a header with chrom, pos, ref, alt"
            )
        yield line, dict(zip(("contig", "position", "name", "ref", "alt"), fields))


def alleles(line: int, fields: dict[str, str], windows: bool = False) -> Iterator[Variant]:
    """Yield the alternative alleles of a record, whose fields are named as in `COLUMNS`.

    With `windows` the sequence is in the record. ValueError as in `read`, without file and line.
    """
    ref, alts = fields.get("ref", "").upper(), fields.get("alt", "")
    window, at = None, 0
    if windows:
        given = [table.letters(fields[role]) for role in ("ref_seq", "alt_seq") if role in fields]
        if "" in given:
            raise ValueError("a sequence is missing; add it, or delete the line")
        window, *others = map(vocab.encode, given)
        at = len(window) // 2
        if others:
            ref, alts, at = _change(vocab.decode(window), vocab.decode(others[0]))
    if not re.fullmatch(r"[ACGTN]+", ref):
        raise ValueError(f"REF {ref[:40]!r} is not a sequence of A, C, G, T or N; correct it")
    position = fields.get("position") or str(at + 1) * windows
    if not re.fullmatch(r"[1-9]\d{0,9}", position):
        raise ValueError(f"POS {position!r} is not a whole number from 1; correct it")
    for alt in alts.split(","):
        contig, name = fields.get("contig", "ref_seq"), fields.get("name") or "."
        alt = alt.upper() if alt.isalpha() else alt  # `<DEL>` and `N[chr2:5[` contain names
        yield Variant(contig, int(position), name, ref, alt, line, window, at)


def _change(ref: str, alt: str) -> tuple[str, str, int]:
    """Return the alleles in which two sequences differ, non-empty, and where they begin."""
    first = len(os.path.commonprefix([ref, alt]))
    last = len(os.path.commonprefix([ref[first:][::-1], alt[first:][::-1]]))
    if first + last == min(len(ref), len(alt)):  # one is empty: include the base before
        first, last = (first - 1, last) if first else (first, last - 1)
    return ref[first : len(ref) - last], alt[first : len(alt) - last], first


def check_assembly(path: Path, genome: Genome, used: Container[str]) -> None:
    """Refuse a genome whose contigs have other lengths than the header of a VCF file.

    Only those `used` by its variants count, or all if there are none: mitochondria, for example,
    have two lengths in GRCh37. The ValueError gives the contig and both lengths.
    """
    lengths: dict[str, int] = {}
    for _, text in intervals.lines(path, "VCF"):
        if not text.startswith("##"):
            break
        match = re.match(r"##contig=<.*\bID=([^,>]+).*\blength=(\d+)", text)
        if match and (not used or match[1] in used):
            lengths[match[1]] = int(match[2])
    contigs = intervals.located(genome, [*lengths])
    for name, contig in contigs.items():
        if contig.length != lengths[name]:
            raise ValueError(
                f"{path}: contig {name} has {lengths[name]:,} bases in its header and "
                f"{contig.length:,} in {genome.source}; give the genome of the file's assembly"
            )
