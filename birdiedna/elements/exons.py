"""Exon boundaries: of transcripts in GTF, BED12 or SpliceAI's table, or one by one in a table."""

import itertools
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from birdiedna import intervals, recipe
from birdiedna.intervals import Intervals
from birdiedna.recipe import Gene

#: Columns of a table that names boundary bases one by one; `site` is donor or acceptor.
COLUMNS = ("contig", "position", "strand", "site")
_TRANSCRIPT = re.compile(r'transcript_id[ =]"?([^";]+)|Parent=([^;]+)')
_END = 10**10
#: What one line holds: the transcript's name, and the transcript or a part of it.
_Part = tuple[str, Gene]


def boundaries(path: Path | str) -> tuple[Intervals, np.ndarray, tuple[Gene, ...]]:
    """The exon boundaries of a file: the last exon base before an intron, the first one after.

    GTF or GFF3 (lines of feature `exon`, joined by transcript), BED12 (one transcript a line),
    SpliceAI's table of transcripts, or csv or tsv with `contig,position,strand,site` (0-based
    exon bases). Ends of transcripts are no boundaries.

    Returns:
      intervals of one base, each once; their sites (n,), `donor` or `acceptor`; the transcripts,
      none for a table of boundaries.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: another format, or a line that does not fit it; the message has file and line.
    """
    path = Path(path)
    numbered = intervals.lines(path, "GTF, BED12 or csv")
    data = ((line, text) for line, text in numbered if not _passed_over(text))
    line, first = next(data, (0, ""))
    form = _FORMS.get(len(first.split("\t")))
    genes: tuple[Gene, ...] = ()
    if "site" in re.split("[,\t]", first):
        sites = _listed(path)
    elif form:
        genes = _transcripts(path, form, itertools.chain([(line, first)], data))
        sites = [
            (gene.chromosome, site.position, site.strand, kind)
            for gene in genes
            for kind, found in (("donor", recipe.donors), ("acceptor", recipe.acceptors))
            for site in found(gene)
        ]
    else:
        raise ValueError(
            f"{path}, line {line}: {first[:60]!r} is no line of GTF (9 columns), BED12 (12), "
            f"SpliceAI's table (7), or a header with {','.join(COLUMNS)}"
        )
    if not sites:
        raise ValueError(f"{path}: no exon boundary in the file; it needs transcripts with introns")
    columns = zip(*dict.fromkeys(sites), strict=True)
    contigs, positions, strands, kinds = (np.array(column) for column in columns)
    return Intervals(contigs, positions, positions + 1, strands), kinds, genes


def _passed_over(text: str) -> bool:
    return text.startswith("#") or text.split(None, 1)[0] in ("track", "browser")


def _listed(path: Path) -> list[tuple[str, int, str, str]]:
    """The boundaries that a table names one by one."""
    found = []
    for line, (contig, position, strand, site) in intervals.columns(path, COLUMNS):
        number = re.fullmatch(r"[0-9]{1,10}", position)
        if not number or strand not in ("+", "-") or site not in ("donor", "acceptor"):
            raise ValueError(
                f"{path}, line {line}: position {position!r}, strand {strand!r}, site {site!r}; "
                "use a whole number from 0, + or -, donor or acceptor"
            )
        found.append((contig, int(position), strand, site))
    return found


def _transcripts(
    path: Path, form: Callable[[str], _Part | None], data: Iterable[tuple[int, str]]
) -> tuple[Gene, ...]:
    """The transcripts in the lines of a file, their exons in order of position."""
    parts: dict[tuple[str, str, str], set[tuple[int, int]]] = {}
    for line, text in data:
        try:
            part = form(text)
            if part and not _sound(part[1]):
                raise ValueError
        except (ValueError, IndexError):
            raise ValueError(
                f"{path}, line {line}: {text[:80]!r} gives no exons on strand + or -; correct or "
                "delete the line"
            ) from None
        if part:
            name, gene = part
            parts.setdefault((gene.chromosome, name, gene.strand), set()).update(gene.exons)
    return tuple(_joined(*key, exons) for key, exons in parts.items())


def _sound(gene: Gene) -> bool:
    spans = all(0 <= start < end < _END for start, end in gene.exons)
    return spans and gene.strand in ("+", "-") and bool(gene.chromosome.strip())


def _joined(contig: str, _name: str, strand: str, exons: Iterable[tuple[int, int]]) -> Gene:
    ordered = sorted(exons)
    return Gene(contig, strand, ordered[0][0], ordered[-1][1], tuple(ordered))


def _gtf(text: str) -> _Part | None:
    """An exon; other features are passed over. Positions count from 1 there, ends included."""
    contig, _, feature, start, end, _, strand, _, attributes = text.split("\t")
    if feature != "exon":
        return None
    name = _TRANSCRIPT.search(attributes)
    if not name:
        raise ValueError
    exon = (int(start) - 1, int(end))
    return name[1] or name[2], Gene(contig, strand, *exon, (exon,))


def _bed12(text: str) -> _Part:
    fields = text.split("\t")
    start = int(fields[1])
    sizes, offsets = ([int(n) for n in fields[i].strip(",").split(",")] for i in (10, 11))
    exons = tuple(
        (start + offset, start + offset + size) for size, offset in zip(sizes, offsets, strict=True)
    )
    return text, Gene(fields[0], fields[5], start, int(fields[2]), exons)


def _table(text: str) -> _Part:
    gene = recipe.transcript(text)
    return text, gene


#: Formats by their number of columns.
_FORMS: dict[int, Callable[[str], _Part | None]] = {7: _table, 9: _gtf, 12: _bed12}
