"""Labelled sequences: their files, the checks on them, and parts of them.

Two layouts are read: labelled FASTA as in the Nucleotide Transformer benchmark (header
`>chr3:100-400|1`, the label after the last bar) and tables with `sequence` and `label`.
Names hold the label, so they serve for splitting and reports and never reach a model.
"""

import gzip
import hashlib
import io
import re
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from birdiedna import fasta, vocab
from birdiedna.batch import Labelled

#: What other programs write into a table for no value, although some are IUPAC letters too.
_MISSING = ("NA", "NAN", "NULL", "NONE")


class _Rows(NamedTuple):
    """What a file holds before any check; `places` says for each row where it stands."""

    sequences: list[str]
    labels: list[str | None]
    names: list[str]
    places: list[str]


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
    path = Path(path)
    text = _content(path, "FASTA").decode("latin-1")
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
    for header, place in zip(headers, places, strict=True):
        if "|" not in header:
            raise ValueError(f"{path}, {place}: header {header!r} has no `|label` at its end")
    labels: list[str | None] = [header.rsplit("|", 1)[1] for header in headers]
    return _labelled(path, _Rows(["".join(p) for p in parts], labels, headers, places), classes)


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


def _content(path: Path, text: str) -> bytes:
    """The decompressed bytes of a file that is plainly no web page, pointer or empty file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give the path of a {text} file")
    buffer = io.BytesIO()
    fasta.unpack(path, buffer)
    fasta.check_start(path, buffer.getbuffer()[:512].tobytes(), text)
    return buffer.getvalue()


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
    path = Path(path)
    frame = _as_text(path, _frame(path))
    frame = frame.with_columns(place=_row_places(frame.height))
    if "task" in frame.columns:
        frame = _of_task(path, frame, task)
    rows = _Rows(
        ["" if s.upper() in _MISSING else s for s in frame["sequence"].fill_null("")],
        frame["label"].to_list(),
        (frame["name"].fill_null("") if "name" in frame.columns else frame["place"]).to_list(),
        frame["place"].to_list(),
    )
    return _labelled(path, rows, classes)


def _as_text(path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """The columns that are read, `seq` renamed, as text whatever a parquet file holds."""
    if {"sequence", "seq"} <= set(frame.columns):
        raise ValueError(f"{path}: columns 'sequence' and 'seq' both hold rows; delete one of them")
    columns = [c for c in ("sequence", "seq", "label", "name", "task") if c in frame.columns]
    for column in columns:
        kind = frame.schema[column]
        try:
            if kind.is_nested():
                raise pl.exceptions.InvalidOperationError
            frame = frame.with_columns(frame[column].cast(pl.String))
        except pl.exceptions.PolarsError:
            raise ValueError(
                f"{path}: column {column!r} holds {kind}, not text; write one word or number a row"
            ) from None
    return frame.select(columns).rename({"seq": "sequence"}, strict=False)


def _row_places(count: int) -> pl.Series:
    return pl.Series([f"row {i + 1}" for i in range(count)], dtype=pl.String)


def _frame(path: Path) -> pl.DataFrame:
    """The table with `sequence` (or `seq`) and `label`, as text wherever the file is text."""
    content = _content(path, "table")
    name = path.name.lower().removesuffix(".gz")
    separator = "\t" if name.endswith(".tsv") else ","
    try:
        if name.endswith(".parquet"):
            frame = pl.read_parquet(io.BytesIO(content))
        else:
            frame = pl.read_csv(content, infer_schema=False, separator=separator)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: no readable table ({reason}); write it anew") from error
    if twice := [column for column in frame.columns if column.endswith("_duplicated_0")]:
        raise ValueError(f"{path}: column {twice[0][:-13]!r} occurs twice; delete one of them")
    if not {"sequence", "seq"} & set(frame.columns) or "label" not in frame.columns:
        line = ", ".join(column[:40] for column in frame.columns[:6])
        raise ValueError(
            f"{path}: the header (line 1, separated by {separator!r}) has the columns {line!r}; "
            "it needs `sequence` and `label`"
        )
    return frame


def _of_task(path: Path, frame: pl.DataFrame, task: str | None) -> pl.DataFrame:
    known = frame["task"].drop_nulls().unique().sort().to_list()
    if task is None and len(known) > 1:
        raise ValueError(f"{path}: a table of several tasks; name one of {', '.join(known)}")
    if task is not None and task not in known:
        raise ValueError(f"no task {task!r} in {path}; there are: {', '.join(known)}")
    return frame if task is None else frame.filter(pl.col("task") == task)


def _labelled(path: Path, rows: _Rows, classes: int | None) -> Labelled:
    """Check and encode the rows of a file."""
    if not rows.labels:
        raise ValueError(f"{path}: a header and no rows; did the download fail? Get it again")
    labels = _labels(path, rows, classes)
    for sequence, place in zip(rows.sequences, rows.places, strict=True):
        if not sequence:
            raise ValueError(f"{path}, {place}: the sequence is missing; delete the row")
    try:
        flat = vocab.encode("".join(rows.sequences))
    except ValueError:
        raise ValueError(_first_wrong(path, rows)) from None
    lengths = np.array([len(sequence) for sequence in rows.sequences], np.int32)
    tokens = np.full((len(lengths), lengths.max()), vocab.PAD, np.uint8)
    tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = flat
    return Labelled(tokens, lengths, labels, tuple(rows.names))


def _labels(path: Path, rows: _Rows, classes: int | None) -> np.ndarray:
    """Labels (n,) int32, all of 0..classes-1, each class with at least one row."""
    limit = classes or vocab.CLASSES
    for label, place in zip(rows.labels, rows.places, strict=True):
        if label is None or not re.fullmatch(r"\d{1,9}", label) or int(label) >= limit:
            found = "is missing" if label is None else f"is {label!r}"
            raise ValueError(f"{path}, {place}: label {found}; use a whole number 0..{limit - 1}")
    labels = np.array(rows.labels).astype(np.int32)
    counts = np.bincount(labels, minlength=max(classes or 0, 2))
    if not counts.all():
        listed = ", ".join(f"{label}: {count}" for label, count in enumerate(counts))
        raise ValueError(f"{path}: a class has no rows ({listed}); each class needs some")
    return labels


def _first_wrong(path: Path, rows: _Rows) -> str:
    for sequence, place in zip(rows.sequences, rows.places, strict=True):
        try:
            vocab.encode(sequence)
        except ValueError as error:
            return f"{path}, {place}: {error}"
    raise AssertionError("no row with a wrong letter")


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
