"""Input sequences: read one at a time from the usual file types and cut to a model's length."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import jax
import numpy as np

from birdiedna import vocab
from birdiedna.data import cache, fasta, files, intervals, labelled, table
from birdiedna.training.prompt import row_slots

#: What to do with a sequence longer than the rows a model was trained on.
LONG = ("tile", "centre", "refuse")
#: Sequences read at once, so that those of similar length share a batch.
AT_ONCE = 1024
T = TypeVar("T")


class Record(NamedTuple):
    """A sequence: its name, base ids uint8 (n,), and its file and line, for messages."""

    name: str
    tokens: np.ndarray
    place: str


def read(path: Path | str, genome: str = "") -> Iterator[Record]:
    """Yield the sequences of a file in order; its content decides its type.

    Types are FASTA; a table (csv, tsv, parquet) with a column `sequence` and optionally `name`
    (default: the row number); or, with a genome (a FASTA file or a catalogue entry), BED. All but
    parquet may be gzipped. Raises ValueError if there is no sequence, an empty one, or one with
    letters that are not bases.
    """
    path, empty = Path(path), True
    if genome:
        records = _of_intervals(path, genome)
    else:
        with files.opened(path, "sequence") as file:
            is_fasta = file.read(1) in b">;"
        records = _of_fasta(path) if is_fasta else _of_table(path)
    for record in records:
        if not len(record.tokens):
            raise ValueError(f"{record.place}: the sequence is empty; delete it")
        empty = False
        yield record
    if empty:
        raise ValueError(f"{path} contains no sequence; give another file")


def _of_fasta(path: Path) -> Iterator[Record]:
    for name, tokens in fasta.records(path):
        yield Record(name, tokens, f"{path}: record {name!r}")


def _of_intervals(path: Path, genome: str) -> Iterator[Record]:
    rows = intervals.read_bed(path)
    sequences = intervals.each(fasta.read(cache.located(genome)), rows, path)
    for row, tokens in zip(zip(*rows, strict=True), sequences, strict=True):
        name = "{}:{}-{}({})".format(*row)
        yield Record(name, tokens, f"{path}: interval {name}")


def _of_table(path: Path) -> Iterator[Record]:
    for number, line, fields in table.rows(path, table.needed(path, ["sequence"], ["name"])):
        try:
            tokens = vocab.encode(table.letters(fields["sequence"]))
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from None
        yield Record(fields.get("name", str(number)), tokens, f"{path}, line {line}")


def pieces(record: Record, longest: int, long: str) -> list[np.ndarray]:
    """Return the whole sequence or, if it has more than `longest` bases, what `long` asks for.

    "tile" returns consecutive pieces, "centre" the middle; "refuse" raises ValueError.
    """
    bases = len(record.tokens)
    if bases <= longest:
        return [record.tokens]
    if long == "tile":
        return [record.tokens[i : i + longest] for i in range(0, bases, longest)]
    if long == "centre":
        first = (bases - longest) // 2
        return [record.tokens[first : first + longest]]
    if long == "refuse":
        raise ValueError(
            f"{record.place}: {bases:,} bases, but the model was trained on up to {longest:,}; cut "
            "it, or read its middle with --long centre"
        )
    raise ValueError(f"long {long!r} is not one of {', '.join(LONG)}")


def chunks(records: Iterable[T]) -> Iterator[list[T]]:
    """Yield records in lists of up to `AT_ONCE`."""
    remaining = iter(records)
    while chunk := list(islice(remaining, AT_ONCE)):
        yield chunk


def computed(
    function: Callable[[np.ndarray, np.ndarray], jax.Array],
    sequences: Sequence[np.ndarray],
    rows: int,
) -> list[np.ndarray]:
    """Apply a function of padded batches to every sequence; results are in input order.

    `function` takes tokens (rows, L) and lengths (rows,); the first axis of its result is rows.
    Sequences, base ids uint8 (n,), are batched by padded length, `rows` at a time, which bounds
    memory and compiles one program per length.
    """
    by_slots: dict[int, list[int]] = {}
    for i, tokens in enumerate(sequences):
        by_slots.setdefault(row_slots(len(tokens)), []).append(i)
    results: dict[int, np.ndarray] = {}
    for slots, index in by_slots.items():
        for first in range(0, len(index), rows):
            chosen = index[first : first + rows]
            batch = [sequences[i] for i in chosen] + [sequences[chosen[-1]]] * (rows - len(chosen))
            computed = function(*labelled.padded(batch, slots - 1))
            results |= zip(chosen, np.asarray(computed), strict=False)
    return [results[i] for i in range(len(sequences))]
