"""Input sequences: read one at a time from the usual file types and cut to a model's length."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import jax
import numpy as np

from birdiedna import vocab
from birdiedna.data import cache, fasta, files, intervals, labelled, table
from birdiedna.tasks import tables
from birdiedna.tasks.encode import kmers
from birdiedna.training.prompt import row_slots

#: What to do with a sequence longer than the rows a model was trained on.
LONG = ("tile", "centre", "refuse")
#: Bases whose results are in memory at once.
AT_ONCE = 1 << 16
T = TypeVar("T")


class Record(NamedTuple):
    """A sequence: its name, base ids uint8 (n,), and its file and line, for messages."""

    name: str
    tokens: np.ndarray
    place: str


class Piece(NamedTuple):
    """A part of a sequence, base ids uint8 (n,), and where it begins there."""

    record: Record
    first: int
    tokens: np.ndarray


def read(
    path: Path | str,
    genome: str = "",
    columns: tables.Columns = tables.Columns(),
    notes: Counter[str] | None = None,
) -> Iterator[Record]:
    """Yield the sequences of a file in order; its content decides its type.

    Types are FASTA; a table (csv, tsv, parquet) with `columns` for the sequence and optionally its
    name (default: the row number); or, with a genome (a FASTA file or a catalogue entry), BED. All
    but parquet may be gzipped. `notes` counts what reading changed, for `fasta.changes`. Raises
    ValueError if there is no sequence, an empty one, or one with letters that are not bases.
    """
    path, empty = Path(path), True
    notes = Counter() if notes is None else notes
    if genome:
        records, is_table = _of_intervals(path, genome), False
    else:
        with files.opened(path, "sequence") as file:
            is_table = file.read(512).lstrip()[:1] not in b">;"
        records = _of_table(path, columns, notes) if is_table else _of_fasta(path, notes)
    if not is_table and (given := columns.sequence or columns.name):
        read_as = "is read as BED, as a genome is given," if genome else "is no table"
        raise ValueError(f"{path} {read_as} and has no column {given!r}; leave the option out")
    for record in records:
        require_bases(record)
        empty = False
        yield record
    if empty:
        raise ValueError(f"{path} contains no sequence; give another file")


def require_bases(record: Record) -> None:
    """Raise a ValueError for an empty sequence."""
    if not len(record.tokens):
        raise ValueError(f"{record.place}: the sequence is empty; delete it")


def _of_fasta(path: Path, notes: Counter[str]) -> Iterator[Record]:
    for name, tokens in fasta.records(path, notes):
        yield Record(name, tokens, f"{path}: record {name!r}")


def _of_intervals(path: Path, genome: str) -> Iterator[Record]:
    rows = intervals.read_bed(path)
    sequences = intervals.each(fasta.read(cache.located(genome, "genome")), rows, path)
    for row, tokens in zip(zip(*rows, strict=True), sequences, strict=True):
        name = "{}:{}-{}({})".format(*row)
        yield Record(name, tokens, f"{path}: interval {name}")


def _of_table(path: Path, columns: tables.Columns, notes: Counter[str]) -> Iterator[Record]:
    def choose(names: list[str]) -> dict[str, str]:
        found = tables.roles(path, columns, names, needed=["sequence"])
        return {role: found[role] for role in ("sequence", "name") if role in found}

    for number, line, fields in table.rows(path, choose):
        letters = table.letters(fields["sequence"])
        try:
            tokens = vocab.encode(letters)
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {kmers(letters) or error}") from None
        if letters.strip("ACGTN"):
            fasta.count(notes, letters.encode(), tokens)
        yield Record(fields.get("name", str(number)), tokens, f"{path}, line {line}")


def pieces(
    record: Record, longest: int, long: str, notes: Counter[str] | None = None
) -> list[Piece]:
    """Return the whole sequence or, if it has more than `longest` bases, what `long` asks for.

    "tile" returns consecutive pieces, "centre" the middle; "refuse" raises ValueError, as an empty
    sequence does. `notes` counts sequences of which only the middle is returned.
    """
    require_bases(record)
    if long not in LONG:
        raise ValueError(f"long {long!r} is not one of {', '.join(LONG)}")
    if longest < 1:
        raise ValueError(f"longest {longest}: give 1 or more bases")
    bases = len(record.tokens)
    if bases > longest and long == "refuse":
        raise ValueError(
            f"{record.place}: {bases:,} bases, but the model was trained on up to {longest:,}; cut "
            "it, or read its middle with --long centre"
        )
    if notes is not None and bases > longest and long == "centre":
        notes["cut"] += 1
    middle = max(0, bases - longest) // 2
    firsts = [middle] if long == "centre" else range(0, bases, longest)
    return [Piece(record, first, record.tokens[first : first + longest]) for first in firsts]


def chunks(items: Iterable[T], size: Callable[[T], int], most: int = AT_ONCE) -> Iterator[list[T]]:
    """Yield items in lists of one, or of several with sizes that sum to at most `most`."""
    held: list[T] = []
    total = 0
    for item in items:
        if held and total + size(item) > most:
            yield held
            held, total = [], 0
        held.append(item)
        total += size(item)
    if held:
        yield held


def computed(
    function: Callable[[np.ndarray, np.ndarray], jax.Array],
    sequences: Sequence[np.ndarray],
    rows: int,
) -> list[np.ndarray]:
    """Apply a function of padded batches to every sequence; results are in input order.

    `function` takes tokens (rows, L) and lengths (rows,); the first axis of its result is rows.
    Sequences, base ids uint8 (n,), are batched by padded length.
    """
    by_slots: dict[int, list[int]] = {}
    for i, tokens in enumerate(sequences):
        by_slots.setdefault(row_slots(len(tokens)), []).append(i)
    results: dict[int, np.ndarray] = {}
    for slots, index in by_slots.items():
        for chosen in batches(index, rows):
            batch = labelled.padded([sequences[i] for i in chosen], slots - 1)
            results |= zip(chosen, np.asarray(function(*batch)), strict=True)
    return [results[i] for i in range(len(sequences))]


def batches(index: Sequence[int], rows: int) -> Iterator[Sequence[int]]:
    """Yield indices in batches of `rows`, and the rest in batches of an eighth of them.

    The last is filled with copies of its last index, so that two programs are compiled. ValueError
    if `rows` is not positive.
    """
    if rows < 1:
        raise ValueError(f"rows {rows}: give 1 or more sequences to compute at once")
    first = 0
    while first < len(index):
        size = rows if len(index) - first >= rows else max(1, rows // 8)
        chosen = index[first : first + size]
        yield [*chosen, *[chosen[-1]] * (size - len(chosen))]
        first += size
