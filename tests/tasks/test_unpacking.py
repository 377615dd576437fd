"""A small file that unpacks to much is refused before it takes much memory, whatever its format."""

import gzip

import polars as pl
import pytest

from birdiedna.cli import main
from birdiedna.data import files


def parquet(path, rows, bases):
    pl.DataFrame({"sequence": ["A" * bases] * rows, "label": [1] * rows}).write_parquet(path)


MUCH = 2_000_000
FILES = {
    "one.csv.gz": lambda path: path.write_bytes(gzip.compress(b"sequence,label\n" + b"A" * MUCH)),
    "rows.csv.gz": lambda path: path.write_bytes(
        gzip.compress(b"sequence,label\n" + b"A,1\n" * MUCH)
    ),
    "rows.fna.gz": lambda path: path.write_bytes(gzip.compress(b">a|1\n" + b"A" * MUCH)),
    "one.fa.gz": lambda path: path.write_bytes(gzip.compress(b">a\n" + b"A" * MUCH)),
    "blank.fa.gz": lambda path: path.write_bytes(gzip.compress(b">a\n" + b"\n" * MUCH)),
    "name.fa.gz": lambda path: path.write_bytes(gzip.compress(b">" + b"a" * MUCH)),
    "rows.parquet": lambda path: parquet(path, 100_000, 5),
    "long.parquet": lambda path: parquet(path, 100, 50_000),
}


@pytest.mark.promise("Damage: what is unpacked is bounded")
@pytest.mark.parametrize("name", FILES)
def test_what_unpacks_to_much_is_refused_in_one_line(tmp_path, monkeypatch, capsys, name):
    monkeypatch.setattr(files, "UNPACKED", 1_000_000)
    FILES[name](tmp_path / name)
    assert main.main(["data", "check", str(tmp_path / name)]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert name in said and "unpack to " in said
