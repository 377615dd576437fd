"""Thousands of made-up tables and FASTA files are read as a simple reader reads them, or refused.

Every file is made from a seed: rows or contigs, written with harmless quirks (quotes, blanks, blank
lines, other columns, line ends, gzip), and every other one damaged in a few bytes. A file without
damage has to be read. A damaged one is refused in one line that names it, or gives exactly what the
simple reader finds in its text: nothing is changed in silence.
"""

import gzip
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from birdiedna import tasks, vocab
from birdiedna.data import fasta

#: Files of each kind; times BIRDIEDNA_EXAMPLES.
FILES = 1000
LETTERS = "ACGT" * 6 + "acgtNnUuRYSWKMBDHVrkm"
READ_AS = str.maketrans("URYSWKMBDHV", "T" + "N" * 10)
TRICKY = [*'ACGTUN012-.,;:|>"\t\n\r \x00\x0b=<#', "\r\n", ">x|1\n", "\xe9", "\ufeff", "\n\n", "NA"]
Row = tuple[str, str, str]  # sequence, label, name


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Delete, repeat, insert or replace one to three bytes or a line."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        end = at + 1 if rng.random() < 0.7 else data.find(b"\n", at) + 1 or len(data)
        new = rng.choice(TRICKY).encode(rng.choice(["utf-8", "latin-1"]), "replace")
        new = rng.choice([b"", new, new, data[at:end] * 2, bytes([rng.randrange(256)])])
        data = data[:at] + new + data[rng.choice([at, end]) :]
    return data[: rng.randrange(len(data) + 1)] if rng.random() < 0.1 else data


def read(letters: str) -> str:
    """Letters as the package reads them."""
    return letters.upper().translate(READ_AS)


def rows_of(rng: random.Random) -> list[Row]:
    """Different sequences, at least three per class."""
    first, classes = rng.randint(0, 1), rng.randint(2, 4)
    count = classes * rng.randint(3, 6)
    texts = ["".join(rng.choices(LETTERS, k=rng.randint(20, 40))) for _ in range(count)]
    place = rng.choice(["row {0}", "chr{1}:{0}00-{0}50", "chr{1}_{0}00_{0}50", "x"])
    return [
        (text, str(first + i % classes), place.format(i + 1, 1 + i % 9))
        for i, text in enumerate(texts)
    ]


def written(rng: random.Random, rows: list[Row], mark: str) -> str:
    """Rows as a text table with quirks that change nothing."""
    columns = {"sequence": [row[0] for row in rows], "label": [row[1] for row in rows]}
    columns["name"] = [row[2] for row in rows]
    pairs = [*columns.items()]
    for _ in range(rng.randint(0, 3)):  # columns that are not read
        pairs.append((rng.choice(["", "", "id", "x", "score"]), [str(i) for i in range(len(rows))]))
    rng.shuffle(pairs)
    quote, blank, empty = (rng.random() < 0.2 for _ in range(3))
    lines = []
    for fields in zip(*([name, *values] for name, values in pairs), strict=True):
        made = [f'"{field}"' if quote and rng.random() < 0.5 else field for field in fields]
        lines.append((mark + " " * blank).join(made))
        lines += [" " * rng.randint(0, 2)] * (empty and rng.random() < 0.3)
    end = rng.choice(["\n", "\n", "\r\n"])
    return rng.choice(["", "", "\ufeff"]) + end.join(lines) + end * rng.randint(0, 2)


def records(text: str, mark: str) -> list[list[str]]:
    """Parse a text table field by field; ValueError for an open quote, or text behind a quote."""
    field = re.compile(rf'(?:"((?:[^"]|"")*)"|((?!")[^{mark}\r\n]*))({mark}|\r\n?|\n|\Z)')
    found: list[list[str]] = [[]]
    at, end = 0, mark
    while end:
        if not (match := field.match(text, at)):
            raise ValueError("a quote")
        quoted, free, end = match.groups()
        found[-1].append(free if quoted is None else quoted.replace('""', '"'))
        if end not in ("", mark):
            found.append([])
        at = match.end()
    return found


def bare(field: str) -> str:
    stripped = field.strip(" \t\r")
    return stripped[1:-1].strip(" \t\r") if re.fullmatch('".*"', stripped, re.S) else stripped


def table(data: bytes, mark: str) -> list[Row]:
    """Read a table with a simple reader; ValueError if it is invalid."""
    text = data.decode().removeprefix("\ufeff").strip("\r\n")
    names, *rows = records(text, mark)
    names = [bare(name) for name in names]
    places = [names.index(name) for name in ("sequence", "label")]
    if "name" in names:
        places.append(names.index("name"))
    found = []
    for number, fields in enumerate(rows, 1):
        if len(fields) > 1 or fields[0].strip():
            if len(fields) != len(names):
                raise ValueError("fields")
            row = [bare(fields[place]) for place in places]
            found.append((row[0], row[1], row[2] if len(row) > 2 else f"row {number}"))
    return found


def labelled_fasta(data: bytes) -> list[Row]:
    """Read labelled FASTA with a simple reader."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode(errors="backslashreplace")
    found: list[list[str]] = []
    for line in text.split("\n"):
        line = line.strip(" \t\r")
        if line.startswith(">"):
            header = line[1:].strip(" \t\r")
            found.append(["", header.rpartition("|")[2].strip(" \t\r"), header])
        elif found:
            found[-1][0] += line
    return [(sequence, label, name) for sequence, label, name in found]


def compared(rows: list[Row]) -> list[tuple[str, int, str]]:
    """Rows as they should be read, in any order."""
    numbers = {int(label) for _, label, _ in rows}
    first = int(len(numbers) > 1 and numbers == {*range(1, len(numbers) + 1)})
    return sorted((read(text), int(label) - first, name) for text, label, name in rows)


def all_rows(path: Path) -> list[tuple[str, int, str]]:
    """The rows of all splits that the package reads."""
    task = tasks.read(tasks.find(path, path.name.split(".")[0]))
    return sorted(
        (vocab.decode(tokens[:length]), int(label), name)
        for part in task.parts().values()
        for tokens, length, label, name in zip(*part, strict=True)
    )


def outcome(reader: Callable[[Path], Any], path: Path) -> Any:
    """Return what a reader returns; None if it refuses the file, in one line that names it."""
    try:
        return reader(path)
    except ValueError as error:
        assert path.name in str(error) and len(str(error).splitlines()) == 1, repr(error)
        return None


@pytest.mark.promise("Bad input: no byte of a table or FASTA file is changed in silence")
def test_made_up_tables_are_read_as_a_simple_reader_reads_them_or_refused(tmp_path, tally, times):
    for seed in range(FILES * times):
        rng = random.Random(seed)
        rows, harmed = rows_of(rng), seed % 2
        kind = rng.choice("csv csv csv.gz tsv tsv.gz fna fa fasta.gz parquet".split())
        path = tmp_path / f"made.{kind}"
        if kind == "parquet":
            columns = zip(("sequence", "label", "name"), zip(*rows, strict=True), strict=True)
            pl.DataFrame({name: [*values] for name, values in columns}).write_parquet(path)
            data, expected = path.read_bytes(), lambda data: pl.read_parquet(data).rows()
        elif kind[0] == "f":
            rows = [(text, label, f"{name}|{label}") for text, label, name in rows]
            data = "".join(f">{name}\n{text[:9]}\n{text[9:]}\n" for text, _, name in rows).encode()
            expected = labelled_fasta
        else:
            mark = "\t" if kind[0] == "t" else ","
            data, expected = written(rng, rows, mark).encode(), lambda data: table(data, mark)
        data = damaged(rng, data) if harmed else data
        path.write_bytes(gzip.compress(data, 1) if kind.endswith(".gz") else data)
        found = outcome(all_rows, path)
        right = bool(harmed) if found is None else found == compared(expected(data))
        tally("made-up tables", right)
        assert right, f"seed {seed}: {path}"


def contigs_of(rng: random.Random) -> tuple[str, dict[str, str]]:
    """FASTA text with quirks that change nothing, and its contigs."""
    end, text, found = rng.choice(["\n", "\n", "\r\n"]), "", {}
    text += rng.choice(["", "", "\ufeff"]) + rng.choice(["", "", f"; remark{end}", end])
    for i in range(rng.randint(1, 4)):
        name = f"{rng.choice(['chr', 'NC_', 'x'])}{i}"
        letters = "".join(rng.choices(LETTERS, k=rng.choice([0, 1, 30, 100])))
        width = rng.randint(1, 60)
        lines = [letters[at : at + width] for at in range(0, len(letters), width)]
        text += f">{rng.choice(['', ' '])}{name}{rng.choice(['', ' of a', chr(9) + 'b'])}{end}"
        text += end.join(lines) + end * rng.randint(1, 2)
        found[name] = letters
    if not any(found.values()):
        return contigs_of(rng)
    return text.rstrip(end) + end * rng.randint(0, 1), found


def contigs(data: bytes) -> dict[str, str]:
    """Read a genome with a simple reader; ValueError if it is invalid."""
    found: dict[str, str] = {}
    name = ""
    text = data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    for line in text.split("\n"):
        if line.startswith(">"):
            name = re.split("[ \t\r\x0b\x0c]+", line[1:].strip(" \t\r\x0b\x0c"))[0]
            name = name.encode("latin-1").decode("utf-8", "replace")
            if name in found:
                raise ValueError("twice")
            found[name] = ""
        elif name:
            found[name] += line.replace("\r", "")
    return found


def counted(found: dict[str, str]) -> dict[str, int]:
    """The expected notes of a genome."""
    letters = "".join(found.values())
    notes = {"bases": len(letters), "lower_case": sum(map(str.islower, letters))}
    notes["empty_contigs"] = [*found.values()].count("")
    return notes | {c: letters.upper().count(c) for c in {*letters.upper()} - {*"ACGT"}}


def genome_of(path: Path) -> tuple[dict[str, str], dict[str, int]]:
    """The contigs and the notes that the package reads."""
    found = fasta._parsed(path)
    parts = {c.name: found.tokens[c.start : c.start + c.length] for c in found.contigs}
    return {name: vocab.decode(part) for name, part in parts.items()}, {**found.notes}


@pytest.mark.promise("Bad input: no byte of a table or FASTA file is changed in silence")
def test_made_up_genomes_are_read_as_a_simple_reader_reads_them_or_refused(
    tmp_path, monkeypatch, tally, times
):
    path = tmp_path / "made.fa"
    for seed in range(FILES * times):
        rng = random.Random(seed)
        monkeypatch.setattr(fasta, "_BLOCK_BYTES", rng.randint(1, 200))
        text, expected = contigs_of(rng)
        data, harmed = text.encode(), seed % 2
        if harmed:
            data = damaged(rng, data)
        path.write_bytes(gzip.compress(data, 1) if rng.random() < 0.3 else data)
        found = outcome(genome_of, path)
        expected = contigs(data) if harmed and found else expected
        wanted = {name: read(letters) for name, letters in expected.items()}, counted(expected)
        right = bool(harmed) if found is None else found == wanted
        tally("made-up FASTA files", right)
        assert right, f"seed {seed}: {path}"
