"""Labelled files are read exactly, and each fault is named with its file and row."""

import gzip
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birdiedna import vocab
from birdiedna.data import labelled
from birdiedna.tasks.labelled import (
    crop,
    cut,
    fingerprint,
    is_labelled,
    read,
    read_fna,
    read_table,
    read_texts,
    take,
)
from birdiedna.tasks.tables import Columns

compress = partial(gzip.compress, mtime=0)  # equal bytes every time: they name tests

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "tasks"
FNA = b">chr1:0-4|0\nACGT\n>chr1:9-12|1\nac\nN\n"
CSV = b"sequence,name,label\nACGT,chr1:0-4|0,0\nacN,chr1:9-12|1,1\n"


def written(folder: Path, content: bytes, name: str) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def check_two_rows(found: labelled.Labelled) -> None:
    assert [vocab.decode(row) for row in found.tokens] == ["ACGT", "ACN<pad>"]
    assert (found.tokens.dtype, found.lengths.tolist()) == (np.uint8, [4, 3])
    assert (found.labels.dtype, found.labels.tolist()) == (np.int32, [0, 1])
    assert found.names == ("chr1:0-4|0", "chr1:9-12|1")


@pytest.mark.parametrize(
    "packed",
    [
        bytes,
        compress,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.rstrip() + b"\n\n",
    ],
    ids=["plain", "gzip", "CRLF", "BOM", "blank lines at the end"],
)
def test_fna_rows_are_padded_and_keep_their_names(tmp_path, packed):
    check_two_rows(read_fna(written(tmp_path, packed(FNA), "train.fna")))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV),
        ("a.csv.gz", compress(CSV)),
        ("a.tsv", CSV.replace(b",", b"\t")),
        ("a.csv", CSV.replace(b"sequence", b"seq")),
        ("a.csv", CSV.replace(b"\n", b"\r\n")),
        ("a.csv.gz", compress(b"\xef\xbb\xbf" + CSV)),
    ],
)
def test_tables_give_the_same_rows_as_fna(tmp_path, name, content):
    check_two_rows(read_table(written(tmp_path, content, name)))


def test_parquet_gives_the_same_rows_as_csv(tmp_path):
    path = tmp_path / "a.parquet"
    pl.read_csv(CSV).write_parquet(path)
    check_two_rows(read_table(path))


def test_table_without_names_numbers_its_rows(tmp_path):
    path = written(tmp_path, b"sequence,label\nAC,1\nGT,0\n", "a.csv")
    assert read_table(path).names == ("row 1", "row 2")


def test_label_is_what_follows_the_last_bar(tmp_path):
    path = written(tmp_path, b">a|7|1\nAC\n>b|0\nGT\n", "a.fna")
    assert read_fna(path).labels.tolist() == [1, 0]


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.text("ACGTN", min_size=3, max_size=30), min_size=2, max_size=6))
def test_letters_survive_file_and_padding(tmp_path, sequences):
    text = "".join(f">r{i}|{min(i, 1)}\n{s}\n" for i, s in enumerate(sequences))
    found = read_fna(written(tmp_path, text.encode(), "a.fna"))
    for row, length, sequence in zip(found.tokens, found.lengths, sequences, strict=True):
        assert vocab.decode(row[:length]) == sequence
        assert not row[length:].any()


def refused(path: Path, message: str, **options) -> str:
    """The one line that refuses a file, which names it."""
    with pytest.raises(ValueError, match=message) as caught:
        read(path, **options)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


BROKEN_FNA = {
    "0 bytes": (b"", "is empty"),
    "web page": (b"<!DOCTYPE html>", "web page"),
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    "no header": (b"ACGT\n", "first line is 'ACGT'"),
    "no bar": (b">a|0\nACGT\n>b\nAC\n", r"record 2 \(line 3\): header 'b' has no `|label`"),
    "word": (b">a|0\nACGT\n>b|x\nAC\n", r"record 2 \(line 3\): label is 'x'; .*0..31"),
    "1.0": (b">a|0\nACGT\n>b|1.0\nAC\n", r"record 2 .*label is '1.0'"),
    "negative": (b">a|0\nACGT\n>b|-1\nAC\n", r"record 2 .*label is '-1'"),
    "nothing after the bar": (b">a|0\nACGT\n>b|\nAC\n", r"record 2 .*label is ''"),
    "one class": (b">a|0\nACGT\n>b|0\nAC\n", "a class has no rows .0: 2, 1: 0."),
    "gap in classes": (b">a|0\nACGT\n>b|2\nAC\n", "a class has no rows .0: 1, 1: 0, 2: 1."),
    "no sequence": (b">a|0\nACGT\n>b|1\n", r"record 2 \(line 3\): the sequence is missing"),
    "wrong letter": (b">a|0\nAC\n>b|1\nAC\nXT\n", r"record 2 \(line 3\): letter 'X' at offset 2"),
    "cut gzip": (compress(FNA)[:-9], "cut short"),
}


@pytest.mark.promise("Bad input: tables that cannot be trusted are refused with file and row")
@pytest.mark.parametrize("fault", BROKEN_FNA)
def test_broken_fna_is_refused_in_one_line_that_names_it(tmp_path, fault):
    content, message = BROKEN_FNA[fault]
    refused(written(tmp_path, content, "train.fna"), message)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", CSV, True),
        ("a.TSV.gz", b"", True),
        ("a.parquet", b"", True),
        ("a.fna", FNA, True),
        ("a.fna.gz", compress(FNA), True),
        ("a.fna", b">chr1|x\nAC\n", True),
        ("a.fna", b">NC_000001.11 Homo sapiens\nAC\n", False),
        ("a.fna", b">gi|1|ref|NC_000001.11|\nAC\n", False),
        ("a.fna", b">lcl|chr20\nAC\n", False),
        ("a.fna.gz", compress(FNA)[:-9], False),
        ("a.fa", FNA, False),
    ],
)
def test_labelled_files_are_told_from_genomes(tmp_path, name, content, expected):
    assert is_labelled(written(tmp_path, content, name)) is expected


def test_missing_file_is_refused_with_its_path(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.fna: no such file"):
        read_fna(tmp_path / "none.fna")


@pytest.mark.promise("Bad input: tables that cannot be trusted are refused with file and row")
def test_label_outside_the_classes_of_the_task_is_refused(tmp_path):
    path = written(tmp_path, b">a|0\nAC\n>b|1\nAC\n>c|2\nAC\n", "a.fna")
    assert read_fna(path, 3).labels.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="record 3 .*label is '2'; use a whole number 0..1"):
        read_fna(path, 2)


def test_rows_without_a_name_are_named_by_their_chromosome(tmp_path):
    text = b"sequence,label,chrom\nAC,0,chr3\nGT,1,20\n"
    found = read(written(tmp_path, text, "a.csv"))
    assert found.chromosomes == ("chr3", "20")
    assert found.rows.names == ("chr3:row 1", "20:row 2")


def test_folders_of_texts_are_read_class_by_class(tmp_path):
    for name, texts in {"b": ["ac\n", "GGT"], "a": ["TTT"]}.items():
        (tmp_path / name).mkdir()
        for i, text in enumerate(texts):
            (tmp_path / name / f"{i}.txt").write_text(text)
    folders = {name: tmp_path / name for name in ("a", "b")}
    found = read_texts(folders, Columns(labels=(("a", 0), ("b", 1))))
    assert found.rows.names == ("a/0.txt", "b/0.txt", "b/1.txt")
    assert [vocab.decode(row) for row in found.rows.tokens] == ["TTT", "AC<pad>", "GGT"]
    assert found.rows.labels.tolist() == [0, 1, 1]
    (tmp_path / "b" / "1.txt").write_text("")
    with pytest.raises(ValueError, match="b/1.txt: the sequence is missing"):
        read_texts(folders, Columns(labels=(("a", 0), ("b", 1))))


def four_rows(tmp_path: Path) -> labelled.Labelled:
    text = b">a|0\nACGTAC\n>b|1\nGGCC\n>c|0\nTTTTTT\n>d|1\nAAAAAA\n"
    return read_fna(written(tmp_path, text, "a.fna"))


@given(st.integers(1, 8))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cut_keeps_the_first_bases_and_no_more(tmp_path, length):
    whole = four_rows(tmp_path)
    found = cut(whole, length)
    for row, size, before in zip(found.tokens, found.lengths, whole.tokens, strict=True):
        assert vocab.decode(row[:size]) == vocab.decode(before[before > 0])[:length]


@pytest.mark.parametrize("rows", [[3, 1], [False, True, False, True]])
def test_take_picks_rows_by_index_or_mask(tmp_path, rows):
    found = take(four_rows(tmp_path), np.array(rows))
    assert set(found.names) == {"b|1", "d|1"} and found.labels.tolist() == [1, 1]
    assert found.lengths[found.names.index("b|1")] == 4


def test_crop_keeps_the_positions_asked_for(tmp_path):
    found = crop(four_rows(tmp_path), 2, 5)
    assert [vocab.decode(row) for row in found.tokens] == ["GTA", "CC<pad>", "TTT", "AAA"]
    assert found.lengths.tolist() == [3, 2, 3, 3]


@pytest.mark.parametrize(
    ("start", "stop", "message"),
    [(0, 7, "outside 0:6"), (-1, 3, "outside"), (3, 3, "outside"), (4, 6, "b|1 has 4 bases")],
)
def test_crop_outside_the_rows_is_refused(tmp_path, start, stop, message):
    with pytest.raises(ValueError, match=message):
        crop(four_rows(tmp_path), start, stop)


def test_fingerprint_changes_with_any_part(tmp_path):
    found = four_rows(tmp_path)
    others = [
        found._replace(tokens=found.tokens + 1),
        found._replace(labels=1 - found.labels),
        found._replace(names=("x", *found.names[1:])),
        take(found, np.array([1, 0, 2, 3])),
    ]
    prints = {fingerprint(each) for each in (found, found._replace(), *others)}
    assert len(prints) == 5


@pytest.mark.skipif(not SHARED.exists(), reason="no shared data beside the repository")
def test_genuine_rows_of_the_benchmark_are_read():
    path = SHARED / "nt_revised" / "train_sample.csv.gz"
    found = read_table(path, task="splice_sites_all")
    assert found.tokens.shape == (503, 600) and set(found.labels) == {0, 1, 2}
    with pytest.raises(ValueError, match="H2AFZ, H3K27ac"):
        read_table(path)
