"""Files of labelled rows as text: FASTA, tables, folders of texts and intervals of a genome.

Every reader gives one kind of frame: `sequence`, `label`, `name` and `place` (where a row is in the
file), all text, and `chromosome` if the file has such a column. `encode` checks labels and letters;
here a file is refused where its rows or columns are in doubt.
"""

import csv
import difflib
import functools
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from birdiedna import vocab
from birdiedna.data import files, intervals
from birdiedna.data.genome import Genome

FASTA_SUFFIXES = tuple(f".{kind}{gz}" for kind in ("fna", "fa", "fasta") for gz in ("", ".gz"))
TABLE_SUFFIXES = (".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz")
#: What a column of chromosomes may be called.
_CHROMOSOME = ("chrom", "chromosome", "chr")
#: What other programs write into a table for no value, although some are IUPAC letters too.
_MISSING = ("NA", "NAN", "NULL", "NONE")
#: Up to this many rows are listed one by one in an error.
_LISTED = 5
#: What is taken off around a field or a line.
_BLANKS = " \t\r"
#: A header line is read up to this length.
_HEADER_BYTES = 1 << 24
#: Headers whose bars are those of archives, and words behind a bar that are names of sequences.
_ARCHIVE = re.compile(r">\s*(gi|ref|gb|emb|dbj|lcl|gnl|sp|tr|pdb)\|")
_NAME = re.compile(r"[A-Z]{1,4}_?\d{5,}(\.\d+)?|chr(\d+|[XYMIV]+|MT)", re.I)


@dataclass(frozen=True)
class Columns:
    """How the columns and labels of a file are read.

    sequence, label, name: names of columns; "" takes `sequence` or `seq`, `label`, and `name` if
    there is one. labels: (word, class) pairs for labels that are words; each word once, classes
    0, 1, ... without a gap, several words may share one.
    """

    sequence: str = ""
    label: str = ""
    name: str = ""
    labels: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        words = [word for word, _ in self.labels]
        if twice := [word for i, word in enumerate(words) if word in words[:i]]:
            raise ValueError(f"label map: {twice[0]!r} occurs twice; give each word one class")
        classes = sorted({number for _, number in self.labels})
        if self.labels and (classes != [*range(len(classes))] or len(classes) < 2):
            raise ValueError(
                f"label map: the classes are {classes}; number them 0, 1, ... without a gap"
            )
        if len(classes) > vocab.CLASSES:
            raise ValueError(f"label map: {len(classes)} classes; at most {vocab.CLASSES} fit")

    def class_names(self) -> tuple[str, ...]:
        """The words of each class, several joined by `+`; () without a label map."""
        count = len({number for _, number in self.labels})
        return tuple("+".join(w for w, n in self.labels if n == number) for number in range(count))


def label_map(text: str) -> tuple[tuple[str, int], ...]:
    """The (word, class) pairs in `no=0,yes=1`."""
    pairs = [part.rpartition("=") for part in text.split(",")]
    for word, _, number in pairs:
        if not word or not (number.isascii() and number.isdigit()):
            part = f"{word}={number}" if word else number
            raise ValueError(f"label map: {part!r} is no word=number; write it as no=0,yes=1")
    return tuple((word, int(number)) for word, _, number in pairs)


def is_labelled(path: Path | str) -> bool:
    """Whether a file holds labelled rows, by its name; FASTA also by its first headers.

    FASTA may be labelled rows (`>anything|label`) or a plain genome; what archives put between
    bars (`>gi|...`, `>chr1|NC_000001.11`) is no label, nor what is another word behind each of
    many bars (`.fna` excepted), and damaged gzip holds none.
    """
    path = Path(path)
    if not path.name.lower().endswith(FASTA_SUFFIXES):
        return path.name.lower().endswith(TABLE_SUFFIXES)
    with path.open("rb") as file:
        packed = file.read(2) == files.GZIP
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            text = file.read(1 << 16).decode("latin-1")
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False
    headers = re.findall("^>.*", text, re.M)
    found = [re.search(r"\|([^|\s]+)\s*$", header) for header in headers]
    labels = [match[1] if match else "" for match in found]
    if not labels or not labels[0] or _ARCHIVE.match(headers[0]) or _NAME.fullmatch(labels[0]):
        return False
    if path.name.lower().endswith((".fna", ".fna.gz")) or len(labels) < 3:
        return True
    return len({*labels}) < len(labels) or all(map(str.isdigit, labels))


def read(
    path: Path, columns: Columns = Columns(), task: str | None = None
) -> tuple[pl.DataFrame, dict[str, int]]:
    """The rows of labelled FASTA or of a table, by the file's name.

    Args:
      path: `.fna`, `.fa`, `.fasta`, `.csv`, `.tsv` (each may end in `.gz`) or `.parquet`.
      columns: what the columns of a table are called.
      task: which rows to take if a column `task` holds several tasks.

    Returns:
      the rows, and counts of what was left out: blank lines, blanks around fields, doubled columns
      that are not read; without zeros.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a record without `|label`; missing columns or doubled ones that are read, a row
        with other fields than the header, damaged text, quotes or parquet, or an unknown task.
    """
    if not path.name.lower().endswith(FASTA_SUFFIXES):
        return _table(path, columns, task)
    if given := columns.sequence or columns.label or columns.name:
        raise ValueError(f"{path}: labelled FASTA has no column {given!r}; leave the option out")
    return _fasta(path), {}


def read_texts(classes: Mapping[str, Path]) -> pl.DataFrame:
    """Folders of text files, class name -> folder: one sequence a file, labelled by the class."""
    found = {name: sorted(folder.glob("*.txt")) for name, folder in classes.items()}
    if empty := [classes[name] for name, texts in found.items() if not texts]:
        raise ValueError(f"{empty[0]}: no .txt files in it; unpack the archive again")
    places = [f"{name}/{text.name}" for name, texts in found.items() for text in texts]
    sequences = [t.read_text("latin-1").strip() for texts in found.values() for t in texts]
    return _frame(sequences, [name for name in found for _ in found[name]], places, places)


def read_intervals(
    classes: Mapping[str, Path],
    genomes: Mapping[str, Genome],
    numbers: Mapping[str, int],
    skip_missing: bool = False,
) -> tuple[pl.DataFrame, int]:
    """Interval tables of Genomic Benchmarks: class name -> table, and class name -> its genome.

    Rows are named `contig:start-end(strand)|number`, with the class's number of `numbers`.

    Returns:
      the rows, and how many are left out because the genome lacks their contig (`skip_missing`).
    """
    frames, skipped = [], 0
    for label, path in sorted(classes.items()):
        found = intervals.read_table(path)
        try:
            known = intervals.present(genomes[label], found, skip_missing)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        kept = intervals.take(found, known)
        skipped += int((~known).sum())
        sequences = intervals.sequences(genomes[label], kept)
        names = [
            f"{contig}:{start}-{end}({strand})|{numbers.get(label)}"
            for contig, start, end, strand in zip(*(column.tolist() for column in kept))
        ]
        places = [f"{path.name} {name.rpartition('|')[0]}" for name in names]
        frames.append(_frame(sequences, [label] * len(names), names, places))
    return pl.concat(frames), skipped


def _frame(
    sequences: list[str], labels: list[str], names: list[str], places: list[str]
) -> pl.DataFrame:
    columns = {"sequence": sequences, "label": labels, "name": names, "place": places}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def _fasta(path: Path) -> pl.DataFrame:
    """Labelled FASTA: header `>anything|label`, the label after the last bar."""
    headers: list[str] = []
    places: list[str] = []
    parts: list[list[str]] = []
    text = _content(path, "FASTA").decode("latin-1")
    for number, line in enumerate((each.strip(_BLANKS) for each in text.split("\n")), 1):
        if line.startswith(">"):
            headers.append(line[1:].strip(_BLANKS))
            places.append(f"record {len(headers)} (line {number})")
            parts.append([])
        elif headers:
            parts[-1].append(line)
        elif line and not line.startswith(";"):
            raise ValueError(f"{path}, line {number}: text before the first `>name|label` line")
    pairs = zip(headers, places, strict=True)
    if bare := [f"{place}: header {header!r}" for header, place in pairs if "|" not in header]:
        raise ValueError(f"{path}, {listed(bare)} has no `|label` at its end; write one")
    labels = [header.rpartition("|")[2].strip(_BLANKS) for header in headers]
    return _frame(["".join(part) for part in parts], labels, headers, places)


def _table(path: Path, columns: Columns, task: str | None) -> tuple[pl.DataFrame, dict[str, int]]:
    frame, counts = _raw(path, lambda names: _roles(path, names, columns))
    if "task" in frame.columns:
        frame = _of_task(path, frame, task)
    text = pl.col("sequence").fill_null("")
    missing = text.str.to_uppercase().is_in(_MISSING)
    name = pl.col("place")
    if "chromosome" in frame.columns:
        if unknown := frame.filter(pl.col("chromosome").is_null())["place"].to_list():
            raise ValueError(f"{path}, {listed(unknown)}: the chromosome is missing; write it")
        name = pl.col("chromosome") + ":" + name
    frame = frame.with_columns(
        sequence=pl.when(missing).then(pl.lit("")).otherwise(text),
        name=pl.col("name").fill_null("") if "name" in frame.columns else name,
    )
    return frame, counts


def tasks(path: Path) -> list[str]:
    """The values of the column `task`, sorted; [] without one."""
    if "task" not in header(path):
        return []
    stat = path.stat()
    return list(_tasks(path, stat.st_size, stat.st_mtime_ns))


@functools.lru_cache(maxsize=8)
def _tasks(path: Path, size: int, changed: int) -> tuple[str, ...]:
    """The tasks of a file of this size and time, since a whole column is read to know them."""
    frame, _ = _raw(path, lambda names: {"task": _once(path, names, "task")})
    return tuple(_known_tasks(path, frame))


def header(path: Path) -> list[str]:
    """The column names of a table, [] if it has none that can be read."""
    try:
        if _is_parquet(path):
            return list(pl.read_parquet_schema(path))
        with files.opened(path, "table") as text:
            lines = iter(lambda: text.readline(_HEADER_BYTES), b"")
            line = next((line for line in lines if line.strip()), b"").decode()
        names = next(csv.reader([line.rstrip("\r\n")], delimiter=_separator(path)), [])
        return [_bare(name) for name in names]
    except (OSError, ValueError, csv.Error, pl.exceptions.PolarsError):
        return []


def listed(found: Sequence[str]) -> str:
    """The first five, and how many more there are."""
    more = f" and {len(found) - _LISTED:,} more" if len(found) > _LISTED else ""
    return ", ".join(found[:_LISTED]) + more


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(".parquet")


def _separator(path: Path) -> str:
    """What separates the fields of a text table, by its name."""
    return "\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else ","


def _content(path: Path, kind: str) -> bytes:
    """The decompressed bytes of a file; web pages, LFS pointers and empty files are refused."""
    with files.opened(path, kind) as text:
        return text.read()


def _roles(path: Path, names: Sequence[str], columns: Columns) -> dict[str, str]:
    """Role (sequence, label, name, chromosome, task) -> the column of a table that has it."""
    for given in filter(None, (columns.sequence, columns.label, columns.name)):
        if given not in names:
            raise ValueError(f"{path}: no column {given!r}; {_hint(given, names)}")
    if not columns.sequence and {"sequence", "seq"} <= {*names}:
        raise ValueError(
            f"{path}: columns 'sequence' and 'seq' may both hold the rows; delete one of them, or "
            "say which with --sequence-column"
        )
    choices = {
        "sequence": (columns.sequence,) if columns.sequence else ("sequence", "seq"),
        "label": (columns.label or "label",),
        "name": (columns.name or "name",),
        "chromosome": _CHROMOSOME,
        "task": ("task",),
    }
    there = {*names}
    found = {
        role: _once(path, names, next(name for name in known if name in there))
        for role, known in choices.items()
        if there & {*known}
    }
    if not {"sequence", "label"} <= {*found}:
        raise ValueError(_no_header(path, names))
    return found


def _once(path: Path, names: Sequence[str], name: str) -> str:
    """The name of a column that is read, which has to be there once."""
    if names.count(name) > 1:
        raise ValueError(f"{path}: column {name!r} occurs twice; delete one of them")
    return name


def _no_header(path: Path, names: Sequence[str]) -> str:
    place = f"the header (line 1, separated by {_separator(path)!r}) has the columns"
    if _is_parquet(path):
        place = "the columns are"
    remedy = "or name others with --sequence-column and --label-column"
    for other, suffix in ((";", ".csv with commas"), ("\t", ".tsv"), (",", ".csv")):
        if len(names) == 1 and other in names[0]:
            remedy = f"it looks separated by {other!r}: save it as {suffix}"
    line = ", ".join(name[:40] for name in names[:6])
    return f"{path}: {place} {line!r}; it needs `sequence` and `label`, {remedy}"


def _hint(given: str, names: Sequence[str]) -> str:
    """The closest name, and all of them."""
    close = difflib.get_close_matches(given, names, 1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}there are: {', '.join(name[:40] for name in names[:30])}"


def _raw(
    path: Path, choose: Callable[[list[str]], dict[str, str]]
) -> tuple[pl.DataFrame, dict[str, int]]:
    """The columns of a table that are read, as text: a column for each role, and `place`.

    Args:
      choose: from the names of all columns to role -> column.

    Returns:
      the rows, a field of "" being null, and counts as in `read`.
    """
    counts: dict[str, int] = {}
    if _is_parquet(path):
        frame = _parquet(path, choose)
        given = {role: frame[role].to_list() for role in frame.columns}
        given["place"] = [f"row {number}" for number in range(1, frame.height + 1)]
    else:
        given, counts = _rows(path, choose)
    columns = {role: [f and _bare(f) for f in values] for role, values in given.items()}
    pairs = (zip(values, columns[role], strict=True) for role, values in given.items())
    counts["blanks around fields, taken off"] = sum(a != b for pair in pairs for a, b in pair)
    frame = pl.DataFrame(columns, dict.fromkeys(columns, pl.String))
    found = {what: count for what, count in counts.items() if count}
    return frame.with_columns(pl.all().replace("", None)), found


def _bare(field: str) -> str:
    """A field without the blanks around it, and without the quotes that a blank made part of it."""
    bare = field.strip(_BLANKS)
    if bare != field and len(bare) > 1 and bare[0] == bare[-1] == '"':
        return bare[1:-1].strip(_BLANKS)
    return bare


def _parquet(path: Path, choose: Callable[[list[str]], dict[str, str]]) -> pl.DataFrame:
    """The columns of a parquet file that are read, named by their role, as text."""
    data = _content(path, "table")
    if not (data.startswith(b"PAR1") and data.endswith(b"PAR1")):
        end = "start" if not data.startswith(b"PAR1") else "end"
        raise ValueError(f"{path}: no parquet file (no PAR1 at its {end}); download it again")
    try:
        chosen = choose(list(pl.read_parquet_schema(io.BytesIO(data))))
        rows = pl.scan_parquet(io.BytesIO(data)).select(pl.len()).collect().item()
        _bound(path, rows * _ROW_BYTES, len(data))
        frame = pl.read_parquet(io.BytesIO(data), columns=list(dict.fromkeys(chosen.values())))
        texts = [column for column in frame if column.dtype == pl.String]
        _bound(path, sum(int(column.str.len_bytes().sum()) for column in texts), len(data))
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: damaged parquet ({reason}); get it again") from error
    frame = _as_text(path, frame)
    return frame.select(pl.col(column).alias(role) for role, column in chosen.items())


#: What a row takes before its letters are copied.
_ROW_BYTES = 64


def _bound(path: Path, unpacked: int, packed: int) -> None:
    """Refuse a file that would take much more memory than a table of its size can need."""
    if unpacked > (most := files.most_unpacked(packed)):
        raise ValueError(
            f"{path}: {packed:,} bytes of parquet unpack to {unpacked:,}, more than {most:,}; "
            "write it as text if it is what you want"
        )


#: Longer sequences than the default of 131,072 letters are read.
csv.field_size_limit(1 << 30)


def _rows(
    path: Path, choose: Callable[[list[str]], dict[str, str]]
) -> tuple[dict[str, list[str]], dict[str, int]]:
    """The columns of a text table that are read, with `place`, and counts as in `read`."""
    lines = io.StringIO(_text(path), newline="")
    reader = csv.reader(lines, delimiter=_separator(path), strict=True)
    number, blank, wrong = 0, 0, []
    try:
        names = [_bare(name) for name in next(reader)]
        at = {role: names.index(column) for role, column in choose(names).items()}
        columns: dict[str, list[str]] = {role: [] for role in (*at, "place")}
        for number, row in enumerate(reader, 1):
            if len(row) == len(names):
                for role, place in at.items():
                    columns[role].append(row[place])
                columns["place"].append(f"row {number}")
            elif row[1:] or any(map(str.strip, row)):
                wrong.append(f"row {number} has {len(row)}")
            else:
                blank += 1
    except csv.Error as error:
        raise ValueError(
            f"{path}, row {number + 1}: a quote without its partner ({error}); repair the row"
        ) from error
    if wrong:
        raise ValueError(
            f"{path}: {len(wrong):,} of {number - blank:,} rows do not have the {len(names)} "
            f"fields of the header ({listed(wrong)}); is the file cut short, or a separator inside "
            "a field?"
        )
    doubled = sum(count for count in Counter(names).values() if count > 1)
    return columns, {
        "blank lines, left out": blank,
        "columns of a doubled name, not read": doubled,
    }


def _text(path: Path) -> str:
    """A text table, without blank lines around it."""
    data = _content(path, "table")
    try:
        return data.strip(b"\r\n").decode()
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start)
        place = f"row {row}" if row else "line 1"
        raise ValueError(
            f"{path}, {place}: byte {data[error.start]:#x} is not UTF-8; save the table as UTF-8"
        ) from error


def _as_text(path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """All columns as text, whatever a parquet file holds."""
    for column, kind in frame.schema.items():
        try:
            if kind.is_nested():
                raise pl.exceptions.InvalidOperationError
            frame = frame.with_columns(frame[column].cast(pl.String))
        except pl.exceptions.PolarsError:
            raise ValueError(
                f"{path}: column {column!r} holds {kind}, not text; write one word or number a row"
            ) from None
    return frame


def _of_task(path: Path, frame: pl.DataFrame, task: str | None) -> pl.DataFrame:
    known = _known_tasks(path, frame)
    if task is None and len(known) > 1:
        raise ValueError(f"{path}: a table of several tasks; name one of {', '.join(known)}")
    if task is not None and task not in known:
        raise ValueError(f"no task {task!r} in {path}; {_hint(task, known)}")
    return frame if task is None else frame.filter(pl.col("task") == task)


def _known_tasks(path: Path, frame: pl.DataFrame) -> list[str]:
    """The tasks of the column `task`, sorted."""
    if missing := [f"row {i + 1}" for i in frame["task"].is_null().arg_true()]:
        raise ValueError(
            f"{path}: the task is missing in {listed(missing)}; write it, or delete the column"
        )
    return frame["task"].unique().sort().to_list()
