"""Labelled sequences: their files, the checks on them, and parts of them.

Three layouts are read: labelled FASTA as in the Nucleotide Transformer benchmark (header
`>chr3:100-400|1`, the label after the last bar), tables with `sequence` and `label`, and folders of
text files, one for each class. Names hold the label, so they serve for splitting and reports and
never reach a model. Nothing is left out: what is in doubt is an error that names the rows, what is
changed is counted.
"""

import gzip
import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from birdiedna import vocab
from birdiedna.data.labelled import Labelled
from birdiedna.tasks import tables
from birdiedna.tasks.tables import Columns, listed

#: So many different words are proposed as a label map.
_WORDS = 8


class Read(NamedTuple):
    """Rows of a file, and what reading them found.

    chromosomes: of each row, where the file has such a column, else (). notes: counts of bases and
    rows that were changed or are out of the ordinary; those of zero are left out.
    """

    rows: Labelled
    chromosomes: tuple[str, ...]
    notes: dict[str, int]


class Rows(NamedTuple):
    """What a file holds before any check; `places` says for each row where it stands."""

    sequences: list[str]
    labels: list[str | None]
    names: list[str]
    places: list[str]


def checked(path: Path, rows: Rows, classes: int | None, columns: Columns) -> Read:
    """Check and encode the rows of a file.

    Args:
      path: for messages.
      rows: at least one of each class.
      classes: number of classes if known, else as the label map has, or the largest label and one.
      columns: its label map numbers the labels; without one they are whole numbers.

    Raises:
      ValueError: no rows; a label without a class, a sequence that is missing or not IUPAC, each
        with the first five rows; a class without rows.
    """
    if not rows.labels:
        raise ValueError(f"{path}: a header and no rows; did the download fail? Get it again")
    labels = _labels(path, rows, classes, columns)
    pairs = zip(rows.sequences, rows.places, strict=True)
    if empty := [place for sequence, place in pairs if not sequence]:
        some = f" in {len(empty):,} rows; delete them" if len(empty) > 1 else "; delete the row"
        raise ValueError(f"{path}, {listed(empty)}: the sequence is missing{some}")
    letters = "".join(rows.sequences).encode("latin-1", "replace")
    try:
        flat = vocab.encode(letters)
    except ValueError:
        raise ValueError(_wrong_letters(path, rows)) from None
    lengths = np.array([len(sequence) for sequence in rows.sequences], np.int32)
    tokens = np.full((len(lengths), lengths.max()), vocab.PAD, np.uint8)
    tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = flat
    found = Labelled(tokens, lengths, labels, tuple(rows.names))
    return Read(found, (), _notes(np.frombuffer(letters, np.uint8), found))


def _notes(letters: np.ndarray, found: Labelled) -> dict[str, int]:
    """What reading changed or met, by name."""
    unknown = (found.tokens == vocab.N).sum(1)
    capital = letters & ~np.uint8(32)
    counts = {
        "bases in lower case": int((letters != capital).sum()),
        "letters read as N": int(unknown.sum() - (capital == ord("N")).sum()),
        "rows with N": int((unknown > 0).sum()),
        "rows of N only, kept": int((unknown == found.lengths).sum()),
    }
    return {name: count for name, count in counts.items() if count}


def _labels(path: Path, rows: Rows, classes: int | None, columns: Columns) -> np.ndarray:
    """Labels (n,) int32, all of 0..classes-1, each class with at least one row."""
    numbers = dict(columns.labels)
    classes = len(columns.class_names()) or classes
    limit = classes or vocab.CLASSES
    if not numbers:
        numbers = {label: int(label) for label in {*rows.labels} if _is_class(label, limit)}
    wrong = [
        f"{place}: label " + ("is missing" if label is None else f"is {label[:40]!r}")
        for label, place in zip(rows.labels, rows.places, strict=True)
        if label not in numbers
    ]
    if wrong:
        raise ValueError(f"{path}, {listed(wrong)}; {_remedy(rows.labels, columns, limit)}")
    labels = np.array([numbers[label] for label in rows.labels], np.int32)
    counts = np.bincount(labels, minlength=max(classes or 0, 2))
    if not counts.all():
        found = ", ".join(f"{label}: {count}" for label, count in enumerate(counts))
        raise ValueError(f"{path}: a class has no rows ({found}); each class needs some")
    return labels


def _is_class(label: str | None, limit: int) -> bool:
    return bool(label and re.fullmatch(r"[0-9]{1,9}", label)) and int(label) < limit


def _remedy(labels: Sequence[str | None], columns: Columns, limit: int) -> str:
    """How to give each label a class."""
    if columns.labels:
        return f"the label map has {', '.join(word for word, _ in columns.labels)}; add the others"
    words = sorted({label for label in labels if label})
    number = f"use a whole number 0..{limit - 1}"
    if len(words) > _WORDS or all(re.fullmatch(r"-?[0-9]+", word) for word in words):
        return number
    return f"{number}, or a label map: --labels {','.join(f'{w}={i}' for i, w in enumerate(words))}"


def _wrong_letters(path: Path, rows: Rows) -> str:
    """The first letter that is no nucleotide code, and the rows that hold any."""
    found, message = [], ""
    for sequence, place in zip(rows.sequences, rows.places, strict=True):
        try:
            vocab.encode(sequence)
        except ValueError as error:
            message = message or f"{path}, {place}: {error}"
            found.append(place)
    return message + (f"; {len(found):,} rows: {listed(found)}" if len(found) > 1 else "")


#: What other programs write into a table for no value, although some are IUPAC letters too.
_MISSING = ("NA", "NAN", "NULL", "NONE")


def read_fna(path: Path | str, classes: int | None = None) -> Labelled:
    """Read labelled FASTA: header `>anything|label`; plain or gzip.

    Args:
      path: the file.
      classes: number of classes if known, else the largest label and one.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: no FASTA; a record without `|`, with a label that is no whole number or outside
        the classes, or with a sequence that is empty or not IUPAC; a class without rows.
    """
    return _read_fna(Path(path), classes, Columns()).rows


def read_table(path: Path | str, classes: int | None = None, task: str | None = None) -> Labelled:
    """Read a table with `sequence` (or `seq`), `label` and perhaps `name`: csv, tsv or parquet.

    Args:
      path: the file; csv and tsv may be compressed by gzip.
      classes: number of classes if known, else the largest label and one.
      task: which rows to take if a `task` column holds several tasks.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: no header, other columns, no rows, an unknown task, and as in `read_fna`.
    """
    return _read_table(Path(path), classes, task, Columns()).rows


def read(
    path: Path, classes: int | None = None, task: str | None = None, columns: Columns = Columns()
) -> Read:
    """Read labelled FASTA or a table, by the file's name, and count what is out of the ordinary.

    Args:
      path: `.fna`, `.csv`, `.tsv` (each may end in `.gz`) or `.parquet`.
      classes: number of classes if known, else as the label map has, or the largest label and one.
      task: which rows to take if a table has a `task` column.
      columns: names of columns, and a label map.

    Raises:
      FileNotFoundError, ValueError: as `read_fna` and `read_table`; or columns named for a file
        that has none.
    """
    if not path.name.lower().removesuffix(".gz").endswith(".fna"):
        return _read_table(path, classes, task, columns)
    if given := columns.sequence or columns.label or columns.name:
        raise ValueError(f"{path}: labelled FASTA has no column {given!r}; leave the option out")
    return _read_fna(path, classes, columns)


def read_texts(classes: Mapping[str, Path], columns: Columns) -> Read:
    """Read folders of text files, one sequence a file, as Genomic Benchmarks ships them.

    Args:
      classes: class name -> its folder. Rows follow the order of the names.
      columns: its label map numbers the classes.

    Raises:
      ValueError: a folder without text files, a sequence that is empty or not IUPAC, or a class
        that the map lacks.
    """
    found = {name: sorted(folder.glob("*.txt")) for name, folder in classes.items()}
    for name, texts in found.items():
        if not texts:
            raise ValueError(f"{classes[name]}: no .txt files in it; unpack the archive again")
    folder = next(iter(classes.values())).parent
    places = [f"{name}/{text.name}" for name, texts in found.items() for text in texts]
    sequences = [t.read_text("latin-1").strip() for texts in found.values() for t in texts]
    labels: list[str | None] = [name for name, texts in found.items() for _ in texts]
    return checked(folder, Rows(sequences, labels, places, places), None, columns)


def _read_fna(path: Path, classes: int | None, columns: Columns) -> Read:
    text = tables.content(path, "FASTA").decode("latin-1")
    headers: list[str] = []
    places: list[str] = []
    parts: list[list[str]] = []
    for number, line in enumerate(map(str.strip, text.split("\n")), 1):
        if line.startswith(">"):
            headers.append(line[1:].strip())
            places.append(f"record {len(headers)} (line {number})")
            parts.append([])
        elif headers and line:
            parts[-1].append(line)
    pairs = zip(headers, places, strict=True)
    if bare := [f"{place}: header {header!r}" for header, place in pairs if "|" not in header]:
        raise ValueError(f"{path}, {listed(bare)} has no `|label` at its end; write one")
    labels: list[str | None] = [header.rsplit("|", 1)[1] for header in headers]
    rows = Rows(["".join(part) for part in parts], labels, headers, places)
    return checked(path, rows, classes, columns)


def _read_table(path: Path, classes: int | None, task: str | None, columns: Columns) -> Read:
    frame = tables.read(path, columns, task)
    places = frame["place"].to_list()
    chromosomes = _chromosomes(path, frame)
    names = places
    if "name" in frame.columns:
        names = frame["name"].fill_null("").to_list()
    elif chromosomes:
        names = [f"{name}:{place}" for name, place in zip(chromosomes, places, strict=True)]
    sequences = ["" if s.upper() in _MISSING else s for s in frame["sequence"].fill_null("")]
    rows = Rows(sequences, frame["label"].to_list(), names, places)
    return checked(path, rows, classes, columns)._replace(chromosomes=chromosomes)


def _chromosomes(path: Path, frame: pl.DataFrame) -> tuple[str, ...]:
    """Of each row, () if the table does not say."""
    if "chromosome" not in frame.columns:
        return ()
    if missing := frame.filter(pl.col("chromosome").is_null())["place"].to_list():
        raise ValueError(f"{path}, {listed(missing)}: the chromosome is missing; write it")
    return tuple(frame["chromosome"].to_list())


def is_labelled(path: Path | str) -> bool:
    """Whether a file holds labelled rows, by its name; `.fna` also by its first header.

    `.fna` names labelled rows (`>anything|label`) and plain genomes; what archives put between
    bars (`>gi|...`, `>ref|...`) is no label, and damaged gzip holds none.
    """
    name = Path(path).name.lower().removesuffix(".gz")
    if not name.endswith(".fna"):
        return name.endswith((".csv", ".tsv", ".parquet"))
    with Path(path).open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else Path(path).open("rb") as file:
            lines = file.read(1 << 16).decode("latin-1").splitlines()
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False
    header = next((line for line in lines if line.startswith(">")), "")
    return bool(re.search(r"\|[^|\s]+\s*$", header)) and not re.match(
        r">\s*(gi|ref|gb|emb|dbj|lcl|gnl)\|", header
    )


def cut(labelled: Labelled, length: int) -> Labelled:
    """The first `length` bases of every row; shorter rows stay as they are."""
    lengths = np.minimum(labelled.lengths, length)
    return labelled._replace(tokens=labelled.tokens[:, :length], lengths=lengths)


def take(labelled: Labelled, rows: np.ndarray) -> Labelled:
    """The rows picked by indices or by a boolean mask (n,)."""
    index = np.arange(len(labelled.labels))[rows]
    chosen = tuple(labelled.names[i] for i in index)
    return Labelled(labelled.tokens[index], labelled.lengths[index], labelled.labels[index], chosen)


def crop(labelled: Labelled, start: int, stop: int) -> Labelled:
    """Positions start..stop-1 of every sequence, as the quick profile trains on.

    Raises:
      ValueError: the part lies outside the rows, or a row has no base in it.
    """
    if not 0 <= start < stop <= labelled.tokens.shape[1]:
        width = labelled.tokens.shape[1]
        raise ValueError(f"crop {start}:{stop} lies outside 0:{width}; choose a part of the rows")
    lengths = np.minimum(labelled.lengths, stop) - start
    if lengths.min() < 1:
        row = int(np.argmin(lengths))
        raise ValueError(
            f"{labelled.names[row]} has {labelled.lengths[row]} bases, none in {start}:{stop}; "
            "choose an earlier part"
        )
    return labelled._replace(tokens=labelled.tokens[:, start:stop], lengths=lengths)


def fingerprint(labelled: Labelled) -> str:
    """sha256 (hex) of tokens, lengths, labels and names."""
    digest = hashlib.sha256(f"{labelled.tokens.shape}\n".encode())
    for array in labelled[:3]:
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update("\n".join(labelled.names).encode())
    return digest.hexdigest()
