"""Read labelled rows as text: FASTA, tables, folders of texts and intervals of a genome.

Files with doubtful rows or columns are refused here; `encode` checks labels and letters.
"""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from birdiedna import vocab
from birdiedna.data import files, intervals, table
from birdiedna.data.chromosomes import chromosome
from birdiedna.data.genome import Genome
from birdiedna.data.names import listed, meant
from birdiedna.data.table import BLANKS
from birdiedna.model.fields import check_types

FASTA_SUFFIXES = tuple(f".{kind}{gz}" for kind in ("fna", "fa", "fasta") for gz in ("", ".gz"))
#: Files of texts, without hidden ones.
TEXTS = "[!.]*.txt"
#: Names of the splits of a task, in any case; the first is ours.
SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "eval"),
    "test": ("test", "testing"),
}
PART_OF = {word: part for part, words in SPLITS.items() for word in words}
TABLE_SUFFIXES = (".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz")
#: Names of the columns that are read unless others are chosen, in any case.
_COLUMNS = {
    "sequence": ("sequence", "seq"),
    "label": ("label",),
    "name": ("name", "coordinates", "region", "location", "locus", "interval"),
    "part": ("split", "set", "subset", "fold", "partition"),
    "chromosome": ("chrom", "chromosome", "chr", "#chrom", "seqnames", "seqname", "contig"),
    "start": ("start", "chromstart", "chrom_start"),
    "end": ("end", "chromend", "chrom_end", "stop"),
}
#: Headers with the bars of archives, and words after a bar that are sequence names, not labels.
_ARCHIVE = re.compile(r">\s*(gi|ref|gb|emb|dbj|lcl|gnl|sp|tr|pdb)\|")
_NAME = re.compile(
    r"[A-Z]{1,4}_?\d{5,}(\.\d+)?|chr(\d+|[XYMIV]+|MT)|(arrow|quiver|pilon)([_.].*)?", re.I
)


class Text(NamedTuple):
    """A labelled row as text; `place` is its location in the file, a missing label is None.

    part: its split as the file names it, "" if it does not.
    """

    sequence: str
    label: str | None
    name: str
    place: str
    part: str = ""


@dataclass(frozen=True)
class Columns:
    """How the columns and labels of a file are read.

    sequence, label, name: column names; "" means the usual ones (`sequence` or `seq`, `label`; of
    names the first of `name`, `coordinates`, `region`, ... that exists). Columns such as `chrom`,
    `start`, `end` are read as coordinates. labels: (word, class) pairs for labels that are words;
    each word once, classes 0, 1, ... without a gap; words may share a class.
    """

    sequence: str = ""
    label: str = ""
    name: str = ""
    labels: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        check_types(self)
        words = Counter(word for word, _ in self.labels)
        if twice := [word for word, count in words.items() if count > 1]:
            raise ValueError(f"label map: {twice[0]!r} occurs twice; give each word one class")
        classes = sorted({number for _, number in self.labels})
        if self.labels and (classes != [*range(len(classes))] or len(classes) < 2):
            raise ValueError(
                f"label map: the classes are {classes}; number them 0, 1, ... without "
                "a gap, and give two or more"
            )
        if len(classes) > vocab.CLASSES:
            raise ValueError(f"label map: {len(classes)} classes; give at most {vocab.CLASSES}")

    def class_names(self) -> tuple[str, ...]:
        """Return the words of each class, joined by `+`; () without a label map."""
        count = len({number for _, number in self.labels})
        return tuple("+".join(w for w, n in self.labels if n == number) for number in range(count))


def label_map(text: str) -> tuple[tuple[str, int], ...]:
    """Parse `no=0,yes=1` into (word, class) pairs, "" into none; else ValueError. Blanks go."""
    parts = [part.rpartition("=") for part in text.split(",") if text]
    pairs = [(word.strip(BLANKS), mark, number.strip(BLANKS)) for word, mark, number in parts]
    for word, _, number in pairs:
        if not word or not (number.isascii() and number.isdigit()):
            part = f"{word}={number}" if word else number
            raise ValueError(f"label map: {part!r} is not word=number; write, say, no=0,yes=1")
    return tuple((_composed(word), int(number)) for word, _, number in pairs)


#: One form of a label, whether its accents are letters of their own or not (NFD, as on a Mac).
_composed = partial(unicodedata.normalize, "NFC")


def is_labelled(path: Path | str) -> bool:
    """Return whether a file contains labelled rows, by its name and, for FASTA, its first headers.

    FASTA contains labelled rows (`>anything|label`) or a genome. Not labels are the fields of
    archives (`>gi|...`, `>chr1|NC_000001.11`) and of assemblers (`>tig1|arrow`), a bar in the only
    header and, except in `.fna`, words that differ in every header. Raises ValueError for a file
    that is not FASTA, or is damaged.
    """
    path = Path(path)
    if not path.name.lower().endswith(FASTA_SUFFIXES):
        return path.name.lower().endswith(TABLE_SUFFIXES)
    with files.opened(path, "FASTA") as file:
        text = file.read(1 << 16).decode("latin-1")
    headers = re.findall("^>.*", text, re.M)
    found = [re.search(r"\|([^|\s]+)\s*$", header) for header in headers]
    labels = [match[1] if match else "" for match in found]
    if len(labels) < 2 or _ARCHIVE.match(headers[0]):
        return False
    label = labels[0] or Counter(labels).most_common(1)[0][0]  # the first may lack its own
    if not label or _NAME.fullmatch(label):
        return False
    if path.name.lower().endswith((".fna", ".fna.gz")) or len(labels) < 3:
        return True
    return len({*labels}) < len(labels) or all(map(str.isdigit, labels))


def read(
    path: Path, columns: Columns = Columns(), task: str | None = None
) -> tuple[list[Text], dict[str, int]]:
    """Read labelled FASTA or a table, by the file's name; also return counts of changes.

    `task` selects rows of a table of several tasks. ValueError for a record without `|label`,
    missing columns or an unknown task; others as in `table.rows`.
    """
    if not path.name.lower().endswith(FASTA_SUFFIXES):
        return _table(path, columns, task)
    if given := columns.sequence or columns.label or columns.name:
        raise ValueError(f"{path}: labelled FASTA has no column {given!r}; leave the option out")
    return _fasta(path), {}


def by_part(path: Path, texts: Sequence[Text]) -> dict[str, list[int]]:
    """Return split -> the indices of rows that name it; {} if no row names a split of `SPLITS`.

    ValueError if only some rows do.
    """
    named = [PART_OF.get(text.part.lower(), "") for text in texts]
    if not any(named):
        return {}
    if not all(named):
        wrong = [f"{t.place}: split {t.part[:40]!r}" for t, part in zip(texts, named) if not part]
        raise ValueError(
            f"{path}, {listed(wrong)}; write {', '.join(SPLITS)} in every row, or rename the "
            "column to split the rows again"
        )
    return {
        part: [i for i, own in enumerate(named) if own == part] for part in SPLITS if part in named
    }


def read_texts(classes: Mapping[str, Path]) -> tuple[list[Text], dict[str, int]]:
    """Read folders of text files (class name -> folder), one sequence per file.

    Also returns a count of other files, which are skipped. ValueError if a folder has no texts.
    """
    found = {name: sorted(folder.glob(TEXTS)) for name, folder in classes.items()}
    if empty := [classes[name] for name, texts in found.items() if not texts]:
        remedy = "unpack the archive again, or delete the folder"
        raise ValueError(f"{empty[0]} contains no .txt files; {remedy}")
    rows = ((name, file) for name, texts in found.items() for file in texts)
    every = sum(len([*folder.glob("[!.]*")]) for folder in classes.values())
    others = every - sum(map(len, found.values()))
    return [
        Text(letters.decode("latin-1").strip(), name, place := f"{name}/{file.name}", place)
        for name, file in rows
        for letters in [file.read_bytes().removeprefix(files.BOM)]
    ], {"files other than .txt, skipped": others} if others else {}


def read_intervals(
    classes: Mapping[str, Path],
    genomes: Mapping[str, Genome],
    numbers: Mapping[str, int],
    skip_missing: bool = False,
) -> tuple[list[Text], dict[str, int]]:
    """Read interval tables of Genomic Benchmarks: class name -> table, class name -> genome.

    Rows are named `contig:start-end(strand)|number`, with the class number from `numbers`. Also
    returns a count of rows skipped because their contig is missing (`skip_missing`).
    """
    texts, skipped = [], 0
    for label, path in sorted(classes.items()):
        found = intervals.read_table(path)
        known = intervals.present(genomes[label], found, skip_missing, path)
        kept = intervals.take(found, known)
        skipped += int((~known).sum())
        sequences = intervals.sequences(genomes[label], kept)
        for sequence, row in zip(sequences, zip(*(column.tolist() for column in kept))):
            place = "{}:{}-{}({})".format(*row)
            name = f"{place}|{numbers.get(label)}"
            texts.append(Text(sequence, label, name, f"{path.name} {place}"))
    return texts, {
        "intervals on contigs missing from the reference, skipped": skipped
    } if skipped else {}


def _fasta(path: Path) -> list[Text]:
    """Read labelled FASTA: header `>anything|label`, or `>anything|label|split` in every record."""
    records: list[tuple[str, str, list[str]]] = []  # header, place and lines of each
    with files.opened(path, "FASTA") as file:
        text = file.read().decode(errors="backslashreplace")
    for number, line in enumerate((each.strip(BLANKS) for each in text.split("\n")), 1):
        if "\r" in line:
            raise ValueError(f"{path}, line {number}: {files.CR_ONLY}")
        if line.startswith(">"):
            place = f"record {len(records) + 1} (line {number})"
            records.append((line[1:].strip(BLANKS), place, []))
        elif records:
            records[-1][2].append(line)
        elif line and not line.startswith(";"):
            raise ValueError(f"{path}, line {number}: text before the first `>name|label` line")
    if bare := [f"{place}: header {header!r}" for header, place, _ in records if "|" not in header]:
        raise ValueError(f"{path}, {listed(bare)} has no `|label` at its end; write one")
    fields = [[field.strip(BLANKS) for field in header.split("|")] for header, *_ in records]
    divided = all(len(own) > 2 and own[-1].lower() in PART_OF for own in fields)
    return [
        Text("".join(lines), _composed(label) or None, header, place, own[-1] * divided)
        for (header, place, lines), own in zip(records, fields, strict=True)
        for label in [own[-2 if divided else -1]]
    ]


def _table(path: Path, columns: Columns, task: str | None) -> tuple[list[Text], dict[str, int]]:
    """Read a table; one of several tasks is parsed once for all of them."""
    parsed, stat = (_parsed if task else _parsed.__wrapped__), path.stat()
    of_task, counts = parsed(path, columns, stat.st_size, stat.st_mtime_ns)
    known = sorted(name for name in of_task if name)
    if task is None and len(known) > 1:
        raise ValueError(f"{path}: a table of several tasks; name one of {listed(known, 30)}")
    if task and of_task and None not in of_task and task not in of_task:
        raise ValueError(f"no task {task!r} in {path}; {_hint(task, known)}")
    texts = of_task.get(task) or next(iter(of_task.values()), [])
    return texts, {what: count for what, count in counts.items() if count}


@functools.lru_cache(maxsize=3)  # train, validation and test
def _parsed(
    path: Path, columns: Columns, size: int, changed: int
) -> tuple[dict[str | None, list[Text]], Counter[str]]:
    """Read the rows of a table by task (None without that column), and counts of changes."""
    counts: Counter[str] = Counter()
    of_task: dict[str | None, list[Text]] = {}
    unknown = []
    for row in table.rows(path, partial(roles, path, columns), _separator(path), counts):
        fields, place = row.fields, f"row {row.number}"
        sequence = table.letters(fields["sequence"])
        name, part = _name(fields, place, counts), fields.get("part", "")
        text = Text(sequence, _composed(fields["label"]) or None, name, place, part)
        of_task.setdefault(fields.get("task"), []).append(text)
        unknown += [place] * (fields.get("chromosome") == "")
    if unknown:
        raise ValueError(f"{path}, {listed(unknown)}: the chromosome is missing; write it")
    _require_task(path, [text.place for text in of_task.get("", ())])
    return of_task, counts


def _name(fields: Mapping[str, str], place: str, counts: Counter[str]) -> str:
    """Return the name of a row, which begins with its coordinates if there are such columns."""
    name = fields.get("name", "")
    if "chromosome" not in fields:
        return fields.get("name", place)
    named = intervals.place(name)
    if named and chromosome(named[0]) == chromosome(fields["chromosome"]):
        return name
    start, end = fields.get("start", ""), fields.get("end", "")
    if all(re.fullmatch(r"[0-9]{1,12}", text) for text in (start, end)) and int(start) < int(end):
        place = f"{start}-{end}"
        counts["rows with coordinates in columns, which keep neighbours together"] += 1
    elif start or end:
        counts["rows whose columns start and end are ignored: not whole numbers start < end"] += 1
    return f"{fields['chromosome']}:{place} {name}".rstrip()


def tasks(path: Path) -> list[str]:
    """Return the sorted values of the column `task`; [] without one."""
    if "task" not in header(path):
        return []
    rows = table.rows(path, lambda _: {"task": "task"}, _separator(path))
    found = {f"row {row.number}": row.fields["task"] for row in rows}
    _require_task(path, [place for place, task in found.items() if not task])
    return sorted({*found.values()})


def header(path: Path) -> list[str]:
    """Return the column names of a table of rows, [] if there is no readable header."""
    return table.header(path, _separator(path))


def _separator(path: Path) -> str:
    """Return the field separator of a text table, by its name."""
    return "\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else ","


def roles(
    path: Path,
    columns: Columns,
    names: Sequence[str],
    needed: Sequence[str] = ("sequence", "label"),
) -> dict[str, str]:
    """Return role (sequence, label, name, task, part, chromosome, start, end) -> column.

    ValueError if a column that was named or is `needed` is missing, or two contain sequences.
    """
    chosen = {"sequence": columns.sequence, "label": columns.label, "name": columns.name}
    chosen = {role: name for role, name in chosen.items() if name}
    for name in chosen.values():
        if name not in names:
            raise ValueError(f"{path}: no column {name!r}; {_hint(name, names)}")
    if not columns.sequence and {"sequence", "seq"} <= {name.lower() for name in names}:
        raise ValueError(
            f"{path}: both columns 'sequence' and 'seq' exist; delete one of them, or choose with "
            "--sequence-column"
        )
    found = table.known(names, _COLUMNS) | chosen
    if found.get("part") in chosen.values():  # such as --label-column set
        del found["part"]
    if "task" in names:
        found["task"] = "task"
    if not {"chromosome", "start", "end"} <= {*found}:
        found = {role: name for role, name in found.items() if role not in ("start", "end")}
    if not {*needed} <= {*found}:
        raise ValueError(_no_header(path, names, needed))
    return found


def _no_header(path: Path, names: Sequence[str], needed: Sequence[str]) -> str:
    place = f"the header (line 1, separated by {_separator(path)!r}) has the columns"
    if path.name.lower().endswith(".parquet"):
        place = "the columns are"
    options = " and ".join(f"--{role}-column" for role in needed)
    remedy = f"or name {'others' if needed[1:] else 'another'} with {options}"
    for other in " |;,\t" if len(names) == 1 else "":
        if other in names[0]:
            suffix = {"\t": ".tsv", ",": ".csv"}.get(other, ".csv with commas")
            remedy = f"but it looks separated by {other!r}: save it as {suffix}"
    if names[0].startswith(("#", "sep=")):
        remedy = "but line 1 is a remark: delete it"
    if other := files.other_format("\t".join(names).encode()):
        remedy = f"but {other}"
    if any(re.fullmatch("[ACGTUN]{10,}", name, re.I) for name in names):
        remedy = "but the header line is missing: add it above the rows"
    line = ", ".join(name[:40] for name in names[:6])
    return f"{path}: {place} {line!r}; it needs `{'` and `'.join(needed)}`, {remedy}"


def _hint(given: str, names: Sequence[str]) -> str:
    """Return the closest name and all names, as a remedy."""
    return f"{meant(given, names)}choose one of {listed([name[:40] for name in names], 30)}"


def _require_task(path: Path, without: Sequence[str]) -> None:
    """Refuse rows without a task."""
    if without:
        raise ValueError(
            f"{path}: the task is missing in {listed(without)}; add it, or delete the column"
        )
