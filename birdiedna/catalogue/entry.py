"""What an entry of the catalogue says."""

from dataclasses import dataclass
from typing import NamedTuple

#: The chromosomes that are never pre-trained on: the benchmark tests on chr20 and chr21.
HELD_OUT = ("chr20", "chr21", "chr22")


class File(NamedTuple):
    """A file of an entry: its place in the entry's folder, mirrors, and pins where known."""

    path: str
    urls: tuple[str, ...] = ()
    bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None


class Hub(NamedTuple):
    """A data set on the Hugging Face hub: `revision` is asked for, `commit` has to answer.

    `commit` is the start of a commit's hash where only that is known.
    """

    repo: str
    revision: str
    commit: str


class Rows(NamedTuple):
    """What a task should hold: length in bases (0: they differ), rows; `card` as published."""

    task: str
    length: int
    train: int
    test: int
    card: int | None = None


@dataclass(frozen=True)
class Entry:
    """Something that can be fetched: a genome (one FASTA file) or tasks (a folder of them).

    `contigs` are pairs of name and length in bases; with `choice` each has a file of its own.
    `tasks` names those of an archive, whose `layout` is "folders" as they lie, or "sets" as
    `<group>_<set>/{train,dev,test}.csv`.
    """

    name: str
    kind: str
    title: str
    files: tuple[File, ...]
    licence: str
    citation: str
    size: str = "unknown"
    contigs: tuple[tuple[str, int], ...] = ()
    choice: bool = False
    tasks: tuple[str, ...] = ()
    rows: tuple[Rows, ...] = ()
    held_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    hub: Hub | None = None
    layout: str = ""
