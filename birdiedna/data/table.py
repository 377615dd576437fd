"""Read tables as text, row by row: csv and tsv, plain or gzip, and parquet.

Nothing is dropped silently: skipped lines and columns are counted, doubtful rows are refused.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import polars as pl

from birdiedna.data import files
from birdiedna.data.names import listed, quantity

_PARQUET = b"PAR1"
#: Rows of parquet in memory at once, and the fixed bytes of a row.
_AT_ONCE, _ROW_BYTES = 1 << 16, 64
#: Words for a missing value, although some consist of IUPAC letters.
MISSING = ("NA", "NAN", "NULL", "NONE")
#: Characters stripped around a field, with the no-break space of web pages and Excel.
BLANKS = " \t\r\xa0"
#: Read sequences longer than the default of 131,072 letters.
csv.field_size_limit(1 << 30)


class Row(NamedTuple):
    """A row: number from 1, line (in parquet the number), role -> field ("" if missing)."""

    number: int
    line: int
    fields: dict[str, str]


#: Chooses the columns to read from the names of all columns: role -> column.
Choose = Callable[[list[str]], dict[str, str]]


def rows(
    path: Path, choose: Choose, separator: str = "", counts: Counter[str] | None = None
) -> Iterator[Row]:
    """Yield the rows of a table in order; its content decides whether it is parquet.

    The default `separator` is tab or comma, as in the header. `counts` collects what was skipped:
    blank lines, blanks around fields, repeated columns. ValueError for rows with more or fewer
    fields than the header, a required column that occurs twice, damaged text, quotes or parquet, or
    too large parquet; others as in `files.opened`.
    """
    counts = Counter() if counts is None else counts
    with files.opened(path, "table") as file:
        begin = file.tell()
        start = file.read(len(_PARQUET))
        file.seek(begin)
        if start == _PARQUET:
            found = _of_parquet(path, choose)
        elif path.name.lower().endswith(".parquet"):
            raise ValueError(
                f"{path}: damaged parquet (it does not begin with PAR1); download it again or, if "
                "it is text, end its name in .csv or .tsv"
            )
        else:
            found = _of_text(path, file, choose, separator, counts)
        for row in found:
            for role, field in row.fields.items():
                if field.strip(BLANKS) != field:
                    row.fields[role] = _bare(field)
                    counts["blanks around fields, stripped"] += 1
            yield row


def header(path: Path, separator: str = "") -> list[str]:
    """Return the column names of a table, [] if there is no readable header."""
    found: list[str] = []

    def choose(names: list[str]) -> dict[str, str]:
        found.extend(names)
        raise ValueError("no row is read")

    try:
        next(rows(path, choose, separator), None)
    except (OSError, ValueError):
        pass
    return found


def letters(field: str) -> str:
    """Return the sequence in a field, "" if it is missing."""
    return "" if field.upper() in MISSING else field


def known(names: Sequence[str], aliases: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return role -> the column of the first of its aliases, in any case; others are left out.

    A column in lower case comes before others that spell the same.
    """
    written = {name.lower(): name for name in reversed(names)} | {name: name for name in names}
    found = {role: [name for name in of if name in written] for role, of in aliases.items()}
    return {role: written[present[0]] for role, present in found.items() if present}


def _bare(field: str) -> str:
    """Strip blanks around a field, and quotes that csv kept because of such a blank."""
    bare = field.strip(BLANKS)
    if bare != field and len(bare) > 1 and bare[0] == bare[-1] == '"':
        return bare[1:-1].strip(BLANKS)
    return bare


def _of_text(
    path: Path, file: IO[bytes], choose: Choose, separator: str, counts: Counter[str]
) -> Iterator[Row]:
    begin = file.tell()
    head = next((line for line in file if line.strip(b"\r\n")), b"")
    file.seek(begin)
    mark = separator or ("\t" if b"\t" in head else ",")
    reader = csv.reader(_lines(path, file), delimiter=mark, strict=True)
    number, blank, gap, wrong = 0, 0, 0, []
    try:
        written = next(row for row in reader if row)
        names = [_bare(name) for name in written]
        at = {role: names.index(name) for role, name in _columns(path, names, choose).items()}
        doubled = sum(count for count in Counter(names).values() if count > 1)
        counts["columns of a repeated name, skipped"] += doubled
        for number, row in enumerate(reader, 1):
            if len(row) != len(names) and not row[1:] and not any(map(str.strip, row)):
                gap += 1
                continue
            blank, gap = blank + gap, 0
            if row == written:
                raise ValueError(f"{path}, row {number} is the header again; delete it")
            if len(row) != len(names):
                wrong.append(f"row {number} has {len(row)}")
            elif not wrong:
                yield Row(number, reader.line_num, {role: row[i] for role, i in at.items()})
    except csv.Error as error:
        raise ValueError(
            f"{path}, row {number + 1}: a quote is not closed ({error}); correct the row"
        ) from error
    if wrong:
        raise ValueError(
            f"{path}: {quantity(len(wrong), f'of {number - blank - gap:,} rows do not have')} the "
            f"{len(names)} fields of the header ({listed(wrong)}); is the file cut short, or a "
            "separator inside a field?"
        )
    counts["blank lines, skipped"] += blank


def _columns(path: Path, names: list[str], choose: Choose) -> dict[str, str]:
    """Choose columns; refuse one that occurs twice."""
    chosen = choose(names)
    if twice := [name for name in chosen.values() if names.count(name) > 1]:
        raise ValueError(f"{path}: column {twice[0]!r} occurs twice; delete one of them")
    return chosen


def _lines(path: Path, file: IO[bytes]) -> Iterator[str]:
    """Yield the lines of a text table with any line ends."""
    for number, line in enumerate(file):
        try:
            text = line.decode()
            yield from io.StringIO(text, newline="") if "\r" in text else (text,)
        except UnicodeDecodeError as error:
            place = f"row {number}" if number else "line 1"
            raise ValueError(
                f"{path}, {place}: byte {line[error.start]:#x} is not UTF-8; save the table as "
                "UTF-8"
            ) from error


def _of_parquet(path: Path, choose: Choose) -> Iterator[Row]:
    try:
        table = pl.scan_parquet(path)
        chosen = _columns(path, table.collect_schema().names(), choose)
        height = table.select(pl.len()).collect().item()
        unpacked = height * _ROW_BYTES
        for first in range(0, height, _AT_ONCE):
            _check_size(path, unpacked)
            part = table.select(*dict.fromkeys(chosen.values())).slice(first, _AT_ONCE).collect()
            part = _texts(path, part)
            unpacked += sum(int(column.str.len_bytes().sum()) for column in part)
            _check_size(path, unpacked)
            for number, fields in enumerate(part.iter_rows(named=True), first + 1):
                by_role = {role: fields[name] or "" for role, name in chosen.items()}
                yield Row(number, number, by_role)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: damaged parquet ({reason}); download it again") from error


def _check_size(path: Path, unpacked: int) -> None:
    """Refuse a file that would need far more memory than its size suggests."""
    packed = path.stat().st_size
    if unpacked > (most := files.most_unpacked(packed)):
        raise ValueError(
            f"{path}: {packed:,} bytes of parquet unpack to {unpacked:,}, more than {most:,}; "
            "convert it to text if this is intended"
        )


def _texts(path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """Return a parquet frame with all columns cast to text."""
    for column, kind in frame.schema.items():
        try:
            if kind.is_nested():
                raise pl.exceptions.InvalidOperationError
            frame = frame.with_columns(frame[column].cast(pl.String))
        except pl.exceptions.PolarsError:
            raise ValueError(
                f"{path}: column {column!r} contains {kind}, not text; write one word or number "
                "per row"
            ) from None
    return frame
