"""Labelled files are read exactly, and each fault is named with its file and row."""

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birdiedna import labelled, vocab

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "tasks"
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


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_fna_rows_are_padded_and_keep_their_names(tmp_path, packed):
    check_two_rows(labelled.read_fna(written(tmp_path, packed(FNA), "train.fna")))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV),
        ("a.csv.gz", gzip.compress(CSV)),
        ("a.tsv", CSV.replace(b",", b"\t")),
        ("a.csv", CSV.replace(b"sequence", b"seq")),
        ("a.csv", CSV.replace(b"\n", b"\r\n")),
        ("a.csv.gz", gzip.compress(b"\xef\xbb\xbf" + CSV)),
    ],
)
def test_tables_give_the_same_rows_as_fna(tmp_path, name, content):
    check_two_rows(labelled.read_table(written(tmp_path, content, name)))


def test_parquet_gives_the_same_rows_as_csv(tmp_path):
    path = tmp_path / "a.parquet"
    pl.read_csv(CSV).write_parquet(path)
    check_two_rows(labelled.read_table(path))


def test_table_without_names_numbers_its_rows(tmp_path):
    path = written(tmp_path, b"sequence,label\nAC,1\nGT,0\n", "a.csv")
    assert labelled.read_table(path).names == ("row 1", "row 2")


def test_label_is_what_follows_the_last_bar(tmp_path):
    path = written(tmp_path, b">a|7|1\nAC\n>b|0\nGT\n", "a.fna")
    assert labelled.read_fna(path).labels.tolist() == [1, 0]


SEVERAL = b"sequence,label,task\nAC,0,one\nGT,1,one\nTT,0,two\nTA,1,two\n"


def test_table_of_several_tasks_is_filtered(tmp_path):
    path = written(tmp_path, SEVERAL, "a.csv")
    found = labelled.read_table(path, task="two")
    assert [vocab.decode(row) for row in found.tokens] == ["TT", "TA"]
    assert found.names == ("row 3", "row 4")
    with pytest.raises(ValueError, match="several tasks; name one of one, two"):
        labelled.read_table(path)
    with pytest.raises(ValueError, match="no task 'three'.*there are: one, two"):
        labelled.read_table(path, task="three")


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.text("ACGTN", min_size=3, max_size=30), min_size=2, max_size=6))
def test_letters_survive_file_and_padding(tmp_path, sequences):
    text = "".join(f">r{i}|{min(i, 1)}\n{s}\n" for i, s in enumerate(sequences))
    found = labelled.read_fna(written(tmp_path, text.encode(), "a.fna"))
    for row, length, sequence in zip(found.tokens, found.lengths, sequences, strict=True):
        assert vocab.decode(row[:length]) == sequence
        assert not row[length:].any()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"ACGT\n", "first line is 'ACGT'"),
        (b">a|0\nACGT\n>b\nAC\n", r"record 2 \(line 3\): header 'b' has no `|label`"),
        (b">a|0\nACGT\n>b|x\nAC\n", r"record 2 \(line 3\): label is 'x'; .*0..31"),
        (b">a|0\nACGT\n>b|1.0\nAC\n", r"record 2 .*label is '1.0'"),
        (b">a|0\nACGT\n>b|-1\nAC\n", r"record 2 .*label is '-1'"),
        (b">a|0\nACGT\n>b|\nAC\n", r"record 2 .*label is ''"),
        (b">a|0\nACGT\n>b|0\nAC\n", "a class has no rows .0: 2, 1: 0."),
        (b">a|0\nACGT\n>b|2\nAC\n", "a class has no rows .0: 1, 1: 0, 2: 1."),
        (b">a|0\nACGT\n>b|1\n", r"record 2 \(line 3\): the sequence is missing"),
        (b">a|0\nACGT\n>b|1\nAC\nXT\n", r"record 2 \(line 3\): letter 'X' at offset 2"),
        (gzip.compress(FNA)[:-9], "cut short"),
    ],
)
def test_broken_fna_is_refused_in_one_line_that_names_it(tmp_path, content, message):
    path = written(tmp_path, content, "train.fna")
    with pytest.raises(ValueError, match=message) as caught:
        labelled.read_fna(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<html>", "web page, not table"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"ACGT,0\nACGG,1\n", "header .line 1.* has the columns 'ACGT, 0'; it needs"),
        (b"sequence;label\nACGT;0\n", "separated by ','.*'sequence;label'"),
        (b"sequence\tlabel\nACGT\t0\n", "separated by ','"),
        (b"sequence,label\n", "a header and no rows"),
        (b"sequence,label\nAC,0\nAC,\n", "row 2: label is missing; use a whole number"),
        (b"sequence,label\nAC,0\nAC\n", "row 2: label is missing"),
        (b"sequence,label\nAC,NaN\nAC,1\n", "row 1: label is 'NaN'"),
        (b"sequence,label\nAC,0.5\nAC,1\n", "row 1: label is '0.5'"),
        (b"sequence,label\nAC,1.0\nAC,1\n", "row 1: label is '1.0'"),
        (b"sequence,label\nAC,true\nAC,1\n", "row 1: label is 'true'"),
        (b"sequence,label\nAC,enhancer\nAC,1\n", "row 1: label is 'enhancer'"),
        (b"sequence,label\nAC,0\nAC,99\n", "row 2: label is '99'"),
        (b"sequence,label\nAC,0\n,1\n", "row 2: the sequence is missing"),
        (b"sequence,label\nAC,0\nNA,1\n", "row 2: the sequence is missing"),
        (b"sequence,label\nAC,0\nA-C,1\n", "row 2: letter '-' at offset 1"),
        (b"sequence,label\nAC,0,7\nAC,1\n", "no readable table"),
        (b"sequence,label,label\nAC,0,1\nAC,1,1\n", "column 'label' occurs twice"),
        (b"seq,sequence,label\nAC,AC,1\nAC,AC,0\n", "'sequence' and 'seq' both hold rows"),
        (b'sequence,label\n"AC,0\nAC,1\n', "no readable table"),
        (gzip.compress(CSV)[:-9], "cut short"),
    ],
)
def test_broken_table_is_refused_in_one_line_that_names_it(tmp_path, content, message):
    path = written(tmp_path, content, "train.csv")
    with pytest.raises(ValueError, match=message) as caught:
        labelled.read_table(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("labels", [[0.0, 1.0], [False, True], ["a", "b"], [0, None]])
def test_parquet_labels_must_be_whole_numbers(tmp_path, labels):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"sequence": ["AC", "GT"], "label": labels}).write_parquet(path)
    with pytest.raises(ValueError, match=r"row \d: label is"):
        labelled.read_table(path)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"sequence": ["AC", "GT"], "label": [[0], [1]]}, r"column 'label' holds List\(Int64\)"),
        ({"sequence": ["AC", "GT"], "label": [{"x": 0}, {"x": 1}]}, "column 'label' holds Struct"),
        ({"sequence": [["A"], ["G"]], "label": [0, 1]}, "column 'sequence' holds List"),
        ({"seq": [b"\xff", b"G"], "label": [0, 1]}, "column 'seq' holds Binary"),
        ({"seq": ["AC"], "sequence": ["AC"], "label": [0]}, "columns 'sequence' and 'seq' both"),
    ],
)
def test_parquet_columns_must_be_text_or_numbers(tmp_path, frame, message):
    path = tmp_path / "a.parquet"
    pl.DataFrame(frame).write_parquet(path)
    with pytest.raises(ValueError, match=message) as caught:
        labelled.read_table(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_columns_that_are_not_read_may_hold_anything(tmp_path):
    path = tmp_path / "a.parquet"
    pl.read_csv(CSV).with_columns(place=pl.lit([1, 2]), more=pl.lit([0.5])).write_parquet(path)
    check_two_rows(labelled.read_table(path))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", CSV, True),
        ("a.TSV.gz", b"", True),
        ("a.parquet", b"", True),
        ("a.fna", FNA, True),
        ("a.fna.gz", gzip.compress(FNA), True),
        ("a.fna", b">chr1|x\nAC\n", True),
        ("a.fna", b">NC_000001.11 Homo sapiens\nAC\n", False),
        ("a.fna", b">gi|1|ref|NC_000001.11|\nAC\n", False),
        ("a.fna", b">lcl|chr20\nAC\n", False),
        ("a.fna.gz", gzip.compress(FNA)[:-9], False),
        ("a.fa", FNA, False),
    ],
)
def test_labelled_files_are_told_from_genomes(tmp_path, name, content, expected):
    assert labelled.is_labelled(written(tmp_path, content, name)) is expected


def test_parquet_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no readable table"):
        labelled.read_table(written(tmp_path, CSV, "a.parquet"))


def test_missing_file_is_refused_with_its_path(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.fna: no such file"):
        labelled.read_fna(tmp_path / "none.fna")


def test_label_outside_the_classes_of_the_task_is_refused(tmp_path):
    path = written(tmp_path, b">a|0\nAC\n>b|1\nAC\n>c|2\nAC\n", "a.fna")
    assert labelled.read_fna(path, 3).labels.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="record 3 .*label is '2'; use a whole number 0..1"):
        labelled.read_fna(path, 2)


def four_rows(tmp_path: Path) -> labelled.Labelled:
    text = b">a|0\nACGTAC\n>b|1\nGGCC\n>c|0\nTTTTTT\n>d|1\nAAAAAA\n"
    return labelled.read_fna(written(tmp_path, text, "a.fna"))


@pytest.mark.parametrize("rows", [[3, 1], [False, True, False, True]])
def test_take_picks_rows_by_index_or_mask(tmp_path, rows):
    found = labelled.take(four_rows(tmp_path), np.array(rows))
    assert set(found.names) == {"b|1", "d|1"} and found.labels.tolist() == [1, 1]
    assert found.lengths[found.names.index("b|1")] == 4


def test_crop_keeps_the_positions_asked_for(tmp_path):
    found = labelled.crop(four_rows(tmp_path), 2, 5)
    assert [vocab.decode(row) for row in found.tokens] == ["GTA", "CC<pad>", "TTT", "AAA"]
    assert found.lengths.tolist() == [3, 2, 3, 3]


@pytest.mark.parametrize(
    ("start", "stop", "message"),
    [(0, 7, "outside 0:6"), (-1, 3, "outside"), (3, 3, "outside"), (4, 6, "b|1 has 4 bases")],
)
def test_crop_outside_the_rows_is_refused(tmp_path, start, stop, message):
    with pytest.raises(ValueError, match=message):
        labelled.crop(four_rows(tmp_path), start, stop)


def test_fingerprint_changes_with_any_part(tmp_path):
    found = four_rows(tmp_path)
    others = [
        found._replace(tokens=found.tokens + 1),
        found._replace(labels=1 - found.labels),
        found._replace(names=("x", *found.names[1:])),
        labelled.take(found, np.array([1, 0, 2, 3])),
    ]
    prints = {labelled.fingerprint(each) for each in (found, found._replace(), *others)}
    assert len(prints) == 5


@pytest.mark.skipif(not SHARED.exists(), reason="no shared data beside the repository")
def test_genuine_rows_of_the_benchmark_are_read():
    path = SHARED / "nt_revised" / "train_sample.csv.gz"
    found = labelled.read_table(path, task="splice_sites_all")
    assert found.tokens.shape == (503, 600) and set(found.labels) == {0, 1, 2}
    with pytest.raises(ValueError, match="H2AFZ, H3K27ac"):
        labelled.read_table(path)
