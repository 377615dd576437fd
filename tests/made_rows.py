"""Labelled rows from letters, for the tests of what rows share and tell."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from birdiedna import vocab
from birdiedna.data.labelled import Labelled
from birdiedna.tasks import encode, tables
from birdiedna.tasks.tables import Columns


def read_file(
    path: Path, columns: Columns = Columns(), task: str | None = None, limit: int = vocab.CLASSES
) -> tuple[Labelled, dict[str, int]]:
    """The rows of one file of a task, and the counts of `tables.read` and `encode.encode`."""
    texts, left_out = tables.read(path, columns, task)
    limit = 0 if columns.labels else limit
    numbers = dict(columns.labels) or encode.classes((text.label for text in texts), limit)[0]
    rows, found = encode.encode(path, texts, numbers, limit=limit)
    return rows, left_out | found


def labelled(
    sequences: Sequence[str], labels: Sequence[int] = (), names: Sequence[str] = ()
) -> Labelled:
    """Rows padded to the longest; without labels 0 and 1 in turn, without names empty ones."""
    lengths = np.array([len(sequence) for sequence in sequences], np.int32)
    tokens = np.full((len(sequences), lengths.max()), vocab.PAD, np.uint8)
    for row, sequence in zip(tokens, sequences, strict=True):
        row[: len(sequence)] = vocab.encode(sequence)
    given = labels if len(labels) else np.arange(len(sequences)) % 2
    named = tuple(names) or ("",) * len(sequences)
    return Labelled(tokens, lengths, np.array(given, np.int32), named)


def different(seed: int, count: int, length: int) -> list[str]:
    """Random sequences, none of them equal to another or to its reverse complement."""
    rng, found = random.Random(seed), {}
    while len(found) < count:
        sequence = "".join(rng.choices("ACGT", k=length))
        found.setdefault(min(sequence, revcomp(sequence)), sequence)
    return list(found.values())


def revcomp(sequence: str) -> str:
    """The reverse complement."""
    return sequence.translate(str.maketrans("ACGT", "TGCA"))[::-1]
