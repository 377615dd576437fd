"""Sequences to compute on, one at a time from any usual file, and cut to what a model reads."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import jax
import numpy as np

from birdiedna import vocab
from birdiedna.data import cache, fasta, files, intervals, labelled, table
from birdiedna.training.prompt import row_slots

#: What is done with a sequence that is longer than a model reads.
LONG = ("tile", "centre", "refuse")
#: Sequences that are read before any is computed; those of similar length go together.
AT_ONCE = 1024
T = TypeVar("T")


class Record(NamedTuple):
    """A sequence: its name, base ids uint8 (n,), and where it was read, for messages."""

    name: str
    tokens: np.ndarray
    place: str


def read(path: Path | str, genome: str = "") -> Iterator[Record]:
    """The sequences of a file, in its order; the bytes decide what it is.

    FASTA; a table (csv, tsv, parquet) with a column `sequence` and perhaps `name`, else the number
    of the row; or, with a genome (a FASTA file, or a name of the catalogue), BED. All but parquet
    may be gzip. No sequence, one without a base or other letters are a ValueError.
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
            raise ValueError(f"{record.place}: no base; delete it")
        empty = False
        yield record
    if empty:
        raise ValueError(f"{path}: no sequence in it")


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
    """The sequence whole, or, if it has more bases than the `longest` that is read, as `long` says.

    "tile" gives consecutive pieces, "centre" the middle, "refuse" a ValueError.
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
            f"{record.place}: {bases:,} bases, and the model was trained on up to {longest:,}; cut "
            "it, or read its middle with --long centre"
        )
    raise ValueError(f"long {long!r} is not one of {', '.join(LONG)}")


def chunks(records: Iterable[T]) -> Iterator[list[T]]:
    """Records in lists of up to `AT_ONCE`."""
    left = iter(records)
    while held := list(islice(left, AT_ONCE)):
        yield held


def computed(
    function: Callable[[np.ndarray, np.ndarray], jax.Array],
    sequences: Sequence[np.ndarray],
    rows: int,
) -> list[np.ndarray]:
    """A function of padded batches for every sequence, in their order.

    It takes tokens (rows, L) and lengths (rows,); its result has a first axis of rows. Sequences,
    base ids uint8 (n,), whose padded rows have equal length go together, `rows` at a time, so that
    memory is bounded and there is one program for each length.
    """
    of_slots: dict[int, list[int]] = {}
    for i, tokens in enumerate(sequences):
        of_slots.setdefault(row_slots(len(tokens)), []).append(i)
    found: dict[int, np.ndarray] = {}
    for slots, index in of_slots.items():
        for first in range(0, len(index), rows):
            some = index[first : first + rows]
            batch = [sequences[i] for i in some] + [sequences[some[-1]]] * (rows - len(some))
            computed = function(*labelled.padded(batch, slots - 1))
            found |= zip(some, np.asarray(computed), strict=False)
    return [found[i] for i in range(len(sequences))]
