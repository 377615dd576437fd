"""Tables: every fault of a file, a column or a row is refused in one line, with row numbers."""

import gzip
from functools import partial

import polars as pl
import pytest
from table_files import refused, written

from birdiedna import vocab
from birdiedna.tasks import labelled, tables

compress = partial(gzip.compress, mtime=0)  # equal bytes every time: they name tests

CSV = b"sequence,name,label\nACGT,chr1:0-4|0,0\nacN,chr1:9-12|1,1\n"


def corrupt(packed: bytes) -> bytes:
    """gzip with one byte of its data changed."""
    return packed[:20] + bytes([packed[20] ^ 0xFF]) + packed[21:]


HEAD = b"sequence,label\n"
BROKEN_TABLE = {
    "0 bytes": (b"", "is empty"),
    "web page": (b"<html>", "web page, not table"),
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
    "no header": (b"ACGT,0\nACGG,1\n", "header .line 1.* has the columns 'ACGT, 0'; it needs"),
    "semicolons": (b"sequence;label\nACGT;0\n", "'sequence;label'.*looks separated by ';'"),
    "tabs": (b"sequence\tlabel\nACGT\t0\n", r"looks separated by '\\t': save it as .tsv"),
    "blanks around a name": (b"sequence, label\nAC,0\n", "column name ' label'; write 'label'"),
    "doubled name": (b"sequence,label,label\nAC,0,1\n", "column 'label' occurs twice"),
    "two sequences": (b"seq,sequence,label\nAC,AC,1\n", "'sequence' and 'seq' may both hold"),
    "header only": (HEAD, "a header and no rows"),
    "missing label": (HEAD + b"AC,0\nAC,\n", "row 2: label is missing; use a whole number"),
    "NaN label": (HEAD + b"AC,NaN\nAC,1\n", "row 1: label is 'NaN'"),
    "fractional label": (HEAD + b"AC,0.5\nAC,1\n", "row 1: label is '0.5'"),
    "label 1.0": (HEAD + b"AC,1.0\nAC,0.0\n", "label is '1.0'.*--labels 0.0=0,1.0=1"),
    "true and false": (HEAD + b"AC,true\nAC,false\n", "'true'.*--labels false=0,true=1"),
    "words": (HEAD + b"AC,no\nAC,yes\n", "row 1: label is 'no'.*a label map: --labels no=0,yes=1"),
    "label too high": (HEAD + b"AC,0\nAC,99\n", "row 2: label is '99'; use a whole number 0..31$"),
    "labels from 1": (HEAD + b"AC,1\nAC,2\n", "a class has no rows .0: 0, 1: 1, 2: 1."),
    "one class": (HEAD + b"AC,0\nAC,0\n", "a class has no rows .0: 2, 1: 0."),
    "empty sequence": (HEAD + b"AC,0\n,1\n", "row 2: the sequence is missing; delete the row"),
    "NA sequence": (HEAD + b"AC,0\nNA,1\n", "row 2: the sequence is missing"),
    "wrong letter": (HEAD + b"AC,0\nA-C,1\n", "row 2: letter '-' at offset 1"),
    "short row": (HEAD + b"AC,0\nAC\nAC,1\n", "1 of 3 rows .*2 fields of the header .row 2 has 1."),
    "last row cut": (b"sequence,label,name\nAC,0,a\nAC,1", ".row 2 has 2.; is the file cut short"),
    "blank row": (HEAD + b"AC,0\n\nAC,1\n", "row 2 has 1"),
    "extra field": (HEAD + b"AC,0,7\nAC,1\n", "row 1 has 3"),
    "open quote": (HEAD + b'AC,0\n"AC,0\nAC,1\n', "row 2: a quote without its partner"),
    "latin-1": (HEAD + b"AC,0\nAC,1\xe9\n", "row 2: byte 0xe9 is not UTF-8"),
    "UTF-16": ("sequence,label\nAC,0\n".encode("utf-16"), "line 1: no header of text"),
    "task missing": (b"sequence,label,task\nAC,0,a\nAC,1,\n", "the task is missing in row 2"),
    "chromosome missing": (b"sequence,label,chrom\nAC,0,\nAC,1,chr1\n", "row 1: the chromosome is"),
    "cut gzip": (compress(CSV)[:-9], "cut short"),
    "corrupt gzip": (corrupt(compress(CSV)), "gzip data damaged"),
}


@pytest.mark.promise("Bad input: tables that cannot be trusted are refused with file and row")
@pytest.mark.parametrize("fault", BROKEN_TABLE)
def test_broken_table_is_refused_in_one_line_that_names_it(tmp_path, fault):
    content, message = BROKEN_TABLE[fault]
    refused(written(tmp_path, content, "train.csv"), message)


def test_tabs_are_expected_in_tsv(tmp_path):
    refused(written(tmp_path, CSV, "a.tsv"), "looks separated by ',': save it as .csv")


def test_a_quoted_table_is_read_and_its_rows_are_counted(tmp_path):
    path = written(tmp_path, b'"sequence","label"\r\n"AC","0"\r\n"GT",1', "a.csv")
    assert labelled.read_table(path).labels.tolist() == [0, 1]
    refused(written(tmp_path, b'"sequence","label"\n"AC","0"\n"GT"\n', "b.csv"), "row 2 has 1")


def test_blank_lines_at_the_end_are_no_rows(tmp_path):
    path = written(tmp_path, CSV + b"\n\r\n\n")
    assert labelled.read_table(path).names == ("chr1:0-4|0", "chr1:9-12|1")


def test_a_quote_that_swallows_rows_is_found_by_its_letters(tmp_path):
    text = HEAD + b'AC,0\n"AC,0\nAC",1\n'
    refused(written(tmp_path, text, "a.csv"), "row 2: letter ',' at offset 2")


@pytest.mark.promise("Bad input: tables that cannot be trusted are refused with file and row")
@pytest.mark.parametrize("labels", [[0.0, 1.0], [False, True], ["a", "b"], [0, None]])
def test_parquet_labels_must_be_whole_numbers(tmp_path, labels):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"sequence": ["AC", "GT"], "label": labels}).write_parquet(path)
    refused(path, r"row \d: label is")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"sequence": ["AC", "GT"], "label": [[0], [1]]}, r"column 'label' holds List\(Int64\)"),
        ({"sequence": ["AC", "GT"], "label": [{"x": 0}, {"x": 1}]}, "column 'label' holds Struct"),
        ({"sequence": [["A"], ["G"]], "label": [0, 1]}, "column 'sequence' holds List"),
        ({"seq": [b"\xff", b"G"], "label": [0, 1]}, "column 'seq' holds Binary"),
        ({"seq": ["AC"], "sequence": ["AC"], "label": [0]}, "'sequence' and 'seq' may both"),
        ({"dna": ["AC"], "label": [0]}, "the columns are 'dna, label'; it needs `sequence`"),
    ],
)
def test_parquet_columns_must_be_text_or_numbers(tmp_path, frame, message):
    path = tmp_path / "a.parquet"
    pl.DataFrame(frame).write_parquet(path)
    refused(path, message)


def test_columns_that_are_not_read_may_hold_anything(tmp_path):
    path = tmp_path / "a.parquet"
    pl.read_csv(CSV).with_columns(place=pl.lit([1, 2]), more=pl.lit([0.5])).write_parquet(path)
    assert labelled.read_table(path).labels.tolist() == [0, 1]


@pytest.mark.promise("Bad input: tables that cannot be trusted are refused with file and row")
def test_parquet_that_is_none_cut_or_damaged_is_refused(tmp_path):
    refused(written(tmp_path, CSV, "a.parquet"), "no parquet file .no PAR1 at its start")
    pl.read_csv(CSV).write_parquet(tmp_path / "b.parquet")
    whole = (tmp_path / "b.parquet").read_bytes()
    refused(written(tmp_path, whole[:-20], "c.parquet"), "no PAR1 at its end")
    broken = whole[:-30] + b"\xff" * 22 + whole[-8:]
    refused(written(tmp_path, broken, "d.parquet"), "damaged parquet")


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


def test_the_tasks_of_a_table_are_known_without_its_rows(tmp_path):
    path = written(tmp_path, SEVERAL)
    assert tables.tasks(path) == ["one", "two"]
    assert tables.header(path) == ["sequence", "label", "task"]
    path.write_bytes(SEVERAL.replace(b"two", b"three"))
    assert tables.tasks(path) == ["one", "three"]
    assert tables.tasks(written(tmp_path, CSV, "b.csv")) == []
    packed = written(tmp_path, compress(SEVERAL), "c.csv.gz")
    assert tables.header(packed) == ["sequence", "label", "task"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b""),
        ("a.parquet", b"PAR1"),
        ("a.csv", b"\xe9\n"),
        ("a.csv.gz", compress(CSV)[:5]),
        ("a.csv.gz", corrupt(compress(CSV))),
        ("a.csv.gz", compress(b"A" * 200_000)),
    ],
)
def test_what_has_no_header_to_be_read_has_no_column_names(tmp_path, name, content):
    assert tables.header(written(tmp_path, content, name)) == []
