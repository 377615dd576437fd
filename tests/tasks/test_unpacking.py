"""Zip bombs of every format are refused before they take much memory."""

import io

import polars as pl
import pytest
from made_files import compress

from birdiedna.data import files


def parquet(rows: int, bases: int) -> bytes:
    file = io.BytesIO()
    pl.DataFrame({"sequence": ["A" * bases] * rows, "label": [1] * rows}).write_parquet(file)
    return file.getvalue()


MUCH = 2_000_000
FILES = {
    "one.csv.gz": compress(b"sequence,label\n" + b"A" * MUCH),
    "rows.csv.gz": compress(b"sequence,label\n" + b"A,1\n" * MUCH),
    "rows.fna.gz": compress(b">a|1\n" + b"A" * MUCH),
    "one.fa.gz": compress(b">a\n" + b"A" * MUCH),
    "blank.fa.gz": compress(b">a\n" + b"\n" * MUCH),
    "name.fa.gz": compress(b">" + b"a" * MUCH),
    "rows.parquet": parquet(100_000, 5),
    "long.parquet": parquet(100, 50_000),
}


@pytest.mark.promise("Damage: what is unpacked is bounded")
@pytest.mark.parametrize("name", FILES)
def test_what_unpacks_to_much_is_refused_in_one_line(tmp_path, monkeypatch, refused, name):
    monkeypatch.setattr(files, "UNPACKED", 1_000_000)
    monkeypatch.setattr(files, "TIMES", 2)  # polars packs with more or less effort
    (tmp_path / name).write_bytes(FILES[name])
    why = refused("data", "check", tmp_path / name)
    assert name in why and "unpack to " in why
