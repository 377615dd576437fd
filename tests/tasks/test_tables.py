"""Files of rows are read exactly; every fault is refused in one line with file and row."""

import unicodedata
from pathlib import Path

import memory
import numpy as np
import polars as pl
import pytest
from made_files import compress
from made_rows import read_file as read

from birdiedna import vocab
from birdiedna.data import genome, table
from birdiedna.tasks import layouts, tables
from birdiedna.tasks.encode import encode
from birdiedna.tasks.tables import Columns

FNA = b">chr1:0-4|0\nACGT\n>chr1:9-12|1\nac\nN\n"
CSV = b"sequence,name,label\nACGT,chr1:0-4|0,0\nacN,chr1:9-12|1,1\n"
HEAD = b"sequence,label\n"
OWN = b"id,dna,class\nx1,ACGT,no\nx2,GGTT,yes\nx3,CCAA,maybe\n"
MAP = tables.label_map("no=0,yes=1,maybe=1")
SEVERAL = b"sequence,label,task\nAC,0,one\nGT,1,one\nTT,0,two\nTA,1,two\n"


def written(folder: Path, content: bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def parquet(path: Path, frame: pl.DataFrame | dict) -> Path:
    pl.DataFrame(frame).write_parquet(path)
    return path


def refused(path: Path, message: str, **options) -> str:
    """Return the one-line error that refuses a file and names it."""
    with pytest.raises(ValueError, match=message) as caught:
        read(path, **options)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.fna", FNA),
        ("a.fna", compress(FNA)),
        ("a.fna.gz", compress(FNA)),
        ("a.fna", FNA.replace(b"\n", b"\r\n")),
        ("a.fna", b"\xef\xbb\xbf" + FNA),
        ("a.fna", FNA.rstrip() + b"\n\n"),
        ("a.csv", CSV),
        ("a.csv.gz", compress(CSV)),
        ("a.tsv", CSV.replace(b",", b"\t")),
        ("a.csv", CSV.replace(b"sequence", b"seq")),
        ("a.csv", CSV.replace(b"sequence,name,label", b"Sequence,NAME,Label")),
        ("a.csv", b"sequence,name,Sequence,label\nACGT,chr1:0-4|0,x,0\nacN,chr1:9-12|1,x,1\n"),
        ("a.csv", CSV.replace(b"\n", b"\r\n")),
        ("a.csv", CSV + b"\n\r\n\n"),
        ("a.csv", CSV.replace(b"acN", b'"acN"')),
        ("a.csv.gz", compress(b"\xef\xbb\xbf" + CSV)),
        ("a.parquet", b""),
    ],
)
def test_every_kind_of_file_gives_the_same_rows(tmp_path, name, content):
    path = written(tmp_path, content, name)
    if name == "a.parquet":
        parquet(path, pl.read_csv(CSV).with_columns(place=pl.lit([1, 2]), more=pl.lit([0.5])))
    found, _ = read(path)
    assert [vocab.decode(row) for row in found.tokens] == ["ACGT", "ACN<pad>"]
    assert (found.tokens.dtype, found.lengths.tolist()) == (np.uint8, [4, 3])
    assert (found.labels.dtype, found.labels.tolist()) == (np.int32, [0, 1])
    assert found.names == ("chr1:0-4|0", "chr1:9-12|1")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"sequence,label\nAC,1\nGT,0\n", ("row 1", "row 2")),
        (b"sequence,label,chrom\nAC,1,chr3\nGT,0,20\n", ("chr3:row 1", "20:row 2")),
    ],
)
def test_rows_without_a_name_are_named_by_chromosome_and_number(tmp_path, text, names):
    assert read(written(tmp_path, text))[0].names == names


def test_label_is_what_follows_the_last_bar(tmp_path):
    path = written(tmp_path, b">a|7|1\nAC\n>b|8|0\nGT\n", "a.fna")
    assert read(path)[0].labels.tolist() == [1, 0]


BROKEN_FNA = {
    "0 bytes": (b"", "is empty"),
    "web page": (b"<!DOCTYPE html>", "web page"),
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    "no header": (b"ACGT\n", "first line is 'ACGT'"),
    "no bar": (b">a|0\nACGT\n>b\nAC\n", r"record 2 \(line 3\): header 'b'"),
    "word": (b">a|0\nACGT\n>b|x\nAC\n", r"record 2 \(line 3\): label is 'x'; .*0..31"),
    "1.0": (b">a|0\nACGT\n>b|1.0\nAC\n", r"record 2 .*label is '1.0'"),
    "negative": (b">a|0\nACGT\n>b|-1\nAC\n", r"record 2 .*label is '-1'"),
    "nothing after the bar": (b">a|0\nACGT\n>b|\nAC\n", r"record 2 .*label is missing; add it"),
    "text before the first header": (b";x\nAC\n>b|1\nAC\n", "line 2: text before the first"),
    "some Mac line ends": (FNA + b">c|0\rAC\r>d|1\nAC\n", "line 6: lines end in CR only"),
    "Mac line ends": (FNA.replace(b"\n", b"\r"), "lines end in CR only"),
    "compressed twice": (compress(compress(FNA)), "compressed twice"),
    "no sequence": (b">a|0\nACGT\n>b|1\n", r"record 2 \(line 3\): the sequence is missing"),
    "wrong letter": (b">a|0\nAC\n>b|1\nAC\nXT\n", r"record 2 \(line 3\): letter 'X' at offset 2"),
    "cut gzip": (compress(FNA)[:-9], "cut short"),
}
BROKEN_TABLE = {
    "0 bytes": (b"", "is empty"),
    "web page": (b"<html>", "web page, not table"),
    "LFS pointer": (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
    "no header": (b"ACGT,0\nACGG,1\n", "header .line 1.* 'ACGT, 0'"),
    "rows without a header": (b"ACGTACGTACGT,0\n", "header line is missing"),
    "packed by zstd": (b"\x28\xb5\x2f\xfd" + bytes(9), "compressed by zstd; unpack it with unzstd"),
    "semicolons": (b"sequence;label\nACGT;0\n", "'sequence;label'.*separated by ';'"),
    "bars": (b"sequence|label\nACGT|0\n", r"separated by '\|': save it as .csv with commas"),
    "a remark": (b"# made by x\nsequence,label\nAC,0\n", "line 1 is a remark: delete it"),
    "JSON": (b'{"sequence": "AC", "label": 0}\n', "JSON is not supported: save the rows as .csv"),
    "old Excel": (b"\xd0\xcf\x11\xe0" + bytes(9), "an old Excel table: save it as .csv"),
    "tabs": (b"sequence\tlabel\nACGT\t0\n", r"separated by '\\t': save it as .tsv"),
    "doubled name": (b"sequence,label,label\nAC,0,1\n", "column 'label' occurs twice"),
    "two sequences": (b"SEQ,sequence,label\nAC,AC,1\n", "'sequence' and 'seq'"),
    "BED": (b"chr1\t0\t9\nchr1\t3\t8\n", "looks like BED, which needs a genome: .* --genome"),
    "VCF": (b"##fileformat=VCFv4.2\n", "looks like VCF, which `birdiedna variants` reads"),
    "header only": (HEAD, "no rows"),
    "joined files": (HEAD + b"AC,0\n" + HEAD + b"AC,1\n", "row 2 is the header again; delete it$"),
    "compressed twice": (compress(compress(CSV)), "compressed twice"),
    "short quoted row": (b'"sequence","label"\n"AC","0"\n"GT"\n', "row 2 has 1"),
    "last row cut": (b"sequence,label,name\nAC,0,a\nAC,1", ".row 2 has 2.; is the file cut short"),
    "UTF-16": ("sequence,label\nAC,0\n".encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
    "task missing": (b"sequence,label,task\nAC,0,a\nAC,1,\n", "the task is missing in row 2"),
    "chromosome missing": (b"sequence,label,chrom\nAC,0,\nAC,1,chr1\n", "row 1: the chromosome is"),
    "cut gzip": (compress(CSV)[:-9], "cut short"),
    "corrupt gzip": (compress(CSV)[:20] + b"\xff" + compress(CSV)[21:], "gzip data are damaged"),
}
#: Rows below `HEAD`.
BROKEN_ROWS = {
    "Cyrillic A": ("AC,0\n\u0410C,1\n".encode(), r"row 2: letter '\\u0410' at offset 0"),
    "missing label": (b"AC,0\nAC,1\nAC,\n", "row 3: label is missing; add it, or delete"),
    "NaN label": (b"AC,NaN\nAC,1\n", "row 1: label is 'NaN'"),
    "fractional label": (b"AC,0.5\nAC,1\n", "row 1: label is '0.5'"),
    "label 1.0": (b"AC,1.0\nAC,0.0\n", "label is '1.0'.*--labels=0.0=0,1.0=1"),
    "no label": (b"AC,0\nAC,nan\n", "label is 'nan'; .*, and delete rows whose label is 'na"),
    "true and false": (b"AC,true\nAC,false\n", "'true'.*--labels=false=0,true=1"),
    "words": (b"AC,no\nAC,yes\n", "row 1: label is 'no'.*--labels=no=0,yes=1"),
    "label too high": (
        b"AC,0\nAC,99\n",
        "row 2: label is '99'; .* 0..31, or a .*--labels=0=0,99=1$",
    ),
    "33 classes": (b"AC,%d\n" * 33 % (*range(33),), "33 different labels; .* 32 classes"),
    "-1 and 1": (b"AC,-1\nAC,1\n", "label is '-1'; .* --labels=-1=0,1=1$"),
    "words in two cases": (b"AC,no\nAC,Yes\nAC,yes\n", "--labels=no=0,Yes=1,yes=1$"),
    "endless words": (b"AC,%b\nAC,%b\n" % (b"a" * 999, b"b" * 999), "number 0..31$"),
    "plus and minus": (b"AC,+\nAC,-\n", r"--labels=-=0,\+=1$"),
    "negated word": (b"AC,active\nAC,Inactive\n", "--labels=Inactive=0,active=1$"),
    "one word": (b"AC,x\nAC,x\n", r"label is 'x'; use a whole number 0\.\.31$"),
    "words of a shell": (b"AC,$(x)\nAC,a b\n", r"--labels='\$\(x\)=0,a b=1'$"),
    "6-mers": (b"ACG CGT GTA,0\nAC,1\n", "row 1: the row is a list of overlapping 3-mers; join"),
    "words of bases": (b"ACG TGT,0\nAC,1\n", "letter ' ' at offset 3 .*; delete blanks"),
    "protein": (b"MKVL,0\nAC,1\n", "letter 'L' .*; a protein cannot be read"),
    "one long row": (b"AC,0\n" * 9000 + b"A" * 200_000 + b",1\n", "--length 1024"),
    "empty sequence": (b"AC,0\n,1\n", "row 2: the sequence is missing"),
    "NA sequence": (b"AC,0\nNA,1\n", "row 2: the sequence is missing"),
    "wrong letter": (b"AC,0\nA-C,1\n", "row 2: letter '-' at offset 1 .*; delete the gaps"),
    "quote that swallows rows": (b'AC,0\n"AC,0\nAC",1\n', "row 2: letter ',' at offset 2"),
    "short row": (b"AC,0\nAC\nAC,1\n", "1 of 3 rows .*2 fields .*row 2 has 1."),
    "extra field": (b"AC,0,7\nAC,1\n", "row 1 has 3"),
    "open quote": (b'AC,0\n"AC,0\nAC,1\n', "row 2: a quote is not closed"),
    "latin-1": (b"AC,0\nAC,1\xe9\n", "row 2: byte 0xe9 is not UTF-8"),
}
COMMAS = {"commas": (CSV, "separated by ',': save it as .csv")}
BROKEN_TABLE |= {fault: (HEAD + rows, said) for fault, (rows, said) in BROKEN_ROWS.items()}
BROKEN = {"a.fna": BROKEN_FNA, "a.csv": BROKEN_TABLE, "a.tsv": COMMAS}


@pytest.mark.promise("Bad input: tables that cannot be trusted are refused with file and row")
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param(name, *fault, id=f"{name} {words}")
        for name, faults in BROKEN.items()
        for words, fault in faults.items()
    ],
)
def test_a_broken_file_is_refused_in_one_line_that_names_it(tmp_path, name, content, message):
    refused(written(tmp_path, content, name), message)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("AC,x", r"row 1: label is 'x', row 2: .*, row 5: label is 'x' and 7 more; use"),
        (",1", r"row 1, row 2, row 3, row 4, row 5 and 7 more: the sequence is missing in 12 rows"),
        ("A!,1", r"row 1: letter '!' at offset 1 .*; 12 rows: row 1, .*, row 5 and 7 more"),
        ("AC", r"12 of 14 rows .*row 1 has 1, .*, row 5 has 1 and 7 more"),
    ],
)
def test_the_first_five_wrong_rows_are_named_and_the_others_counted(tmp_path, row, message):
    text = "sequence,label\n" + f"{row}\n" * 12 + "AC,0\nAC,1\n"
    assert len(refused(written(tmp_path, text.encode()), message)) < 500


@pytest.mark.promise("Bad input: tables that cannot be trusted are refused with file and row")
@pytest.mark.parametrize(
    ("frame", "message"),
    [
        *(
            ({"sequence": ["AC", "GT"], "label": labels}, r"row \d: label is")
            for labels in ([0.0, 1.0], [False, True], ["a", "b"], [0, None])
        ),
        ({"sequence": ["AC", "GT"], "label": [[0], [1]]}, r"column 'label' contains List\(Int64\)"),
        ({"sequence": ["AC", "GT"], "label": [{"x": 0}] * 2}, "column 'label' contains Struct"),
        ({"sequence": [["A"], ["G"]], "label": [0, 1]}, "column 'sequence' contains List"),
        ({"seq": [b"\xff", b"G"], "label": [0, 1]}, "column 'seq' contains Binary"),
        ({"seq": ["AC"], "sequence": ["AC"], "label": [0]}, "'sequence' and 'seq'"),
        ({"dna": ["AC"], "label": [0]}, "the columns are 'dna, label'"),
    ],
)
def test_parquet_columns_must_be_text_or_whole_numbers(tmp_path, frame, message):
    refused(parquet(tmp_path / "a.parquet", frame), message)


@pytest.mark.promise("Bad input: tables that cannot be trusted are refused with file and row")
def test_parquet_that_is_none_cut_or_damaged_is_refused(tmp_path):
    refused(written(tmp_path, CSV, "a.parquet"), "damaged parquet .*PAR1")
    whole = parquet(tmp_path / "b.parquet", pl.read_csv(CSV)).read_bytes()
    refused(written(tmp_path, whole[:-20], "c.parquet"), "damaged parquet .*PAR1")
    broken = whole[:-30] + b"\xff" * 22 + whole[-8:]
    refused(written(tmp_path, broken, "d.parquet"), "damaged parquet")


@pytest.mark.promise("Bad input: tables that cannot be trusted are refused with file and row")
def test_a_label_outside_the_classes_of_the_task_is_refused(tmp_path):
    path = written(tmp_path, b">a|0\nAC\n>b|1\nAC\n>c|2\nAC\n", "a.fna")
    assert read(path, limit=3)[0].labels.tolist() == [0, 1, 2]
    refused(path, "3 different labels; .* 2 classes, 0 to 1", limit=2)


@pytest.mark.promise("Bad input: what reading changes is counted and reported")
def test_what_reading_changes_is_counted_and_no_row_is_dropped(tmp_path):
    text = HEAD + b"ACGT,0\nacgN,1\nARYU,0\nNNNN,1\nnn,0\n"
    found, counts = read(written(tmp_path, text))
    assert len(found.labels) == 5
    assert counts == {
        "bases in lower case": 5,
        "U read as T": 1,
        "letters read as N": 2,
        "rows with N": 4,
        "rows of N only, kept": 2,
    }
    assert read(written(tmp_path, HEAD + b"AC,0\nGT,1\n"))[1] == {}


REPEATED = {"columns of a repeated name, skipped": 2}


@pytest.mark.promise("Bad input: what reading changes is counted and reported")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sequence, label,name\nACGT, 0,a\nGGN , 1 ,b\n", {"blanks around fields, stripped": 3}),
        ('sequence,label,name\nACGT, "0",a\nGGN,1,b\n', {"blanks around fields, stripped": 1}),
        ("sequence,label\xa0,name\nACGT\xa0,0,a\nGGN,1,b\n", {"blanks around fields, stripped": 1}),
        ("\nsequence,label,name\n\nACGT,0,a\n \nGGN,1,b\n\n", {"blank lines, skipped": 2}),
        (",,sequence,label,name\n0,0,ACGT,0,a\n1,1,GGN,1,b\n", REPEATED),
        ("x,sequence,label,x,name\n0,ACGT,0,,a\n1,GGN,1,,b\n", REPEATED),
    ],
    ids=["blanks", "quoted", "no-break", "lines", "nameless", "doubled"],
)
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_what_does_not_matter_in_a_table_is_left_out_and_counted(tmp_path, text, said, suffix):
    text = text.replace(",", "\t") if suffix == "tsv" else text
    found, counts = read(written(tmp_path, text.encode(), f"a.{suffix}"))
    assert counts == said | {"rows with N": 1} and found.names == ("a", "b")
    assert [vocab.decode(row) for row in found.tokens] == ["ACGT", "GGN<pad>"]
    assert found.labels.tolist() == [0, 1]


def test_rows_are_numbered_as_lines_also_behind_blank_ones(tmp_path):
    refused(written(tmp_path, HEAD + b"AC,0\n\n\nXC,1\n"), "row 4: letter 'X'")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_of_a_hundred_thousand_columns_is_read(tmp_path, suffix):
    names = [f"column {i}" for i in range(100_000 if suffix == "csv" else 1000)]
    path = tmp_path / f"a.{suffix}"
    if suffix == "csv":
        more = ",7" * len(names)
        head = ",".join(["task", *names, "sequence", "label"])
        path.write_text(f"{head}\nx{more},AC,0\nx{more},GT,1\n")
    else:
        rows = {"task": ["x", "x"], "seq": ["AC", "GT"], "label": [0, 1]}
        parquet(path, rows | {name: [7, 7] for name in names})
    assert tables.tasks(path) == ["x"]
    assert [vocab.decode(row) for row in read(path, task="x")[0].tokens] == ["AC", "GT"]


def test_rows_are_cut_before_they_are_padded(tmp_path):
    path = written(tmp_path, HEAD + b"ACGT,0\n" * 3000 + b"ACGT" * 100_000 + b",1\n")
    frame, _ = tables.read(path)
    found, counts = encode(path, frame, {"0": 0, "1": 1}, length=3)
    assert found.tokens.shape == (3001, 3)
    assert {vocab.decode(row) for row in found.tokens} == {"ACG"}
    assert counts == {"rows cut to 3 bases": 3001, "bases cut off": 3000 + 399_997}


def test_own_columns_and_labels_are_read_by_their_names(tmp_path):
    found, _ = read(written(tmp_path, OWN), Columns("dna", "class", "id", MAP))
    assert found.labels.tolist() == [0, 1, 1] and found.names == ("x1", "x2", "x3")
    assert vocab.decode(found.tokens[2]) == "CCAA"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Columns("dan", "class"), "no column 'dan'; did you mean 'dna'"),
        (Columns("dna", "label"), "no column 'label'; choose one of id, dna, class"),
        (Columns("dna", "class", "nam"), "no column 'nam'"),
        (Columns("dna", "class"), "label is 'no', .*--labels=maybe=0,no=1,yes=2"),
        (Columns("dna", "class", "", MAP[:2]), "row 3: label is 'maybe'; .* no, yes"),
    ],
)
def test_columns_and_labels_that_are_not_in_the_table_are_refused(tmp_path, given, message):
    refused(written(tmp_path, OWN), message, columns=given)


def test_labels_of_fna_may_be_words_with_a_map_but_it_has_no_columns(tmp_path):
    path = written(tmp_path, b">a|no\nAC\n>b|yes\nGT\n", "a.fna")
    assert read(path, Columns(labels=MAP[:2]))[0].labels.tolist() == [0, 1]
    refused(path, "no column 'dna'", columns=Columns("dna"))


@pytest.mark.parametrize(
    ("name", "row"), [("a.csv", "{},AC\n"), ("a.fna", ">x|{}\nAC\n"), ("a.parquet", "")]
)
def test_a_label_is_the_same_however_its_accents_are_written(tmp_path, name, row):
    words = [unicodedata.normalize(form, "h\u00e9") for form in ("NFC", "NFD")]
    path, labels = tmp_path / name, [*words, "no"]
    if name == "a.parquet":
        pl.DataFrame({"label": labels, "sequence": ["AC"] * 3}).write_parquet(path)
    else:
        path.write_text("label,sequence\n" * (name == "a.csv") + "".join(map(row.format, labels)))
    for word in words:
        given = Columns(labels=tables.label_map(f"{word}=1,no=0"))
        assert read(path, given)[0].labels.tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no", "'no' is not word=number"),
        ("no=0,yes=x", "'yes=x' is not word=number"),
        ("no=0,yes=-1", "is not word=number"),
        ("=0,yes=1", "is not word=number"),
        ("no=0,no=1", "'no' occurs twice"),
        ("no=0,yes=2", r"\[0, 2\]"),
        ("no=0,yes=0", r"\[0\]"),
        (",".join(f"w{i}={i}" for i in range(33)), "33 classes; .* 32"),
    ],
)
def test_an_invalid_label_map_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Columns(labels=tables.label_map(text))


def test_a_label_map_names_its_classes():
    assert tables.label_map("no=0, yes =1") == (("no", 0), ("yes", 1))
    assert Columns(labels=MAP).class_names() == ("no", "yes+maybe")
    assert Columns().class_names() == ()


def test_a_table_of_several_tasks_is_filtered_and_parsed_once(tmp_path, monkeypatch):
    path, parsed, rows = written(tmp_path, SEVERAL), [], table.rows
    monkeypatch.setattr(table, "rows", lambda *how: parsed.append(how[0]) or rows(*how))
    for task, names, texts in (
        ("one", ("row 1", "row 2"), ["AC", "GT"]),
        ("two", ("row 3", "row 4"), ["TT", "TA"]),
    ):
        found, _ = read(path, task=task)
        assert [vocab.decode(row) for row in found.tokens] == texts and found.names == names
    assert parsed == [path]
    refused(path, "several tasks; .* one, two")
    refused(path, "no task 'three'.* one, two", task="three")
    path.write_bytes(SEVERAL.replace(b"TT", b"TTT"))
    assert vocab.decode(read(path, task="two")[0].tokens[0]) == "TTT"


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
        ("a.csv.gz", BROKEN_TABLE["corrupt gzip"][0]),
    ],
)
def test_a_file_without_a_readable_header_has_no_column_names(tmp_path, name, content):
    assert tables.header(written(tmp_path, content, name)) == []


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", CSV, True),
        ("a.TSV.gz", b"", True),
        ("a.parquet", b"", True),
        ("a.fna", FNA, True),
        ("a.fna.gz", compress(FNA), True),
        ("a.fna", b">chr1|x\nAC\n>chr2|y\nGT\n", True),
        ("a.fna", b">chr1\nAC\n>chr2|y\nGT\n>chr3|y\nGT\n", True),
        ("a.fna", b">chr1\nAC\n>plasmid|1\nGT\n>plasmid|2\nGT\n", False),
        ("a.fna", b">plasmid|1\nAC\n", False),
        ("a.fna", b">tig1|arrow\nAC\n>tig2|arrow_pilon\nGT\n", False),
        ("a.fna", b">NC_000001.11 Homo sapiens\nAC\n", False),
        ("a.fna", b">gi|1|ref|NC_000001.11|\nAC\n", False),
        ("a.fna", b">lcl|chr20\nAC\n", False),
        ("a.fa", FNA, True),
        ("a.FASTA.gz", compress(FNA), True),
        ("a.fa", b">chr1|NC_000001.11\nAC\n", False),
        ("a.fa", b">1|chr1\nAC\n", False),
        ("a.fa", b"".join(b">c%d|len=%d\nAC\n" % (i, i) for i in range(9)), False),
        ("a.fa", b">c%d|no\nAC\n>c%d|yes\nAC\n" * 4 % (*range(8),), True),
        ("a.txt", FNA, False),
    ],
)
def test_labelled_files_are_distinguished_from_genomes(tmp_path, name, content, expected):
    assert tables.is_labelled(written(tmp_path, content, name)) is expected


@pytest.mark.parametrize("content", [compress(FNA)[:-9], b"<html>", b""])
def test_a_damaged_file_in_a_folder_of_tasks_is_named(tmp_path, caplog, content):
    written(tmp_path, FNA, "good.fna")
    path = written(tmp_path, content, "bad.fna.gz")
    assert layouts.names(tmp_path) == ["good"]
    (said,) = caplog.messages
    assert said.startswith(f"{path}: ") and said.endswith("; it is skipped")


def test_folders_of_texts_are_read_class_by_class(tmp_path):
    for name, texts in {"b": ["ac\n", "\ufeffGGT"], "a": ["TTT"]}.items():
        (tmp_path / name).mkdir()
        for i, text in enumerate(texts):
            (tmp_path / name / f"{i}.txt").write_text(text)
    folders, numbers = {n: tmp_path / n for n in "ab"}, {"a": 0, "b": 1}
    found, _ = encode(tmp_path, tables.read_texts(folders)[0], numbers)
    assert found.names == ("a/0.txt", "b/0.txt", "b/1.txt")
    assert [vocab.decode(row) for row in found.tokens] == ["TTT", "AC<pad>", "GGT"]
    assert found.labels.tolist() == [0, 1, 1]
    (tmp_path / "b" / "2.fa").write_text("ACGT")
    assert tables.read_texts(folders)[1] == {"files other than .txt, skipped": 1}
    (tmp_path / "b" / "1.txt").write_text("")
    with pytest.raises(ValueError, match="b/1.txt: the sequence is missing"):
        encode(tmp_path, tables.read_texts(folders)[0], numbers)
    (tmp_path / "a" / "0.txt").unlink()
    with pytest.raises(ValueError, match="a contains no .txt files"):
        tables.read_texts(folders)


SMALL = genome.from_sequences({"chr1": "ACGTTGCANN", "chr20": "GGGCCA"}, "small.fa")
OTHER = genome.from_sequences({"chr20": "TTTTTT", "9": "CCCCCCCCC"}, "other.fa")
INTERVALS = {"b": b"0,chr1,0,4,+\n1,chr1,4,7,-\n", "a": b"0,chr20,0,6,.\n1,chr9,4,7,-\n"}


@pytest.fixture
def intervals(tmp_path) -> dict[str, Path]:
    """The interval table of each class."""
    head = b"id,region,start,end,strand\n"
    return {n: written(tmp_path, head + rows, f"{n}.csv") for n, rows in INTERVALS.items()}


def test_intervals_are_cut_from_the_genome_of_their_class(intervals):
    numbers, genomes = {"a": 0, "b": 1}, {"a": SMALL, "b": SMALL}
    texts, left_out = tables.read_intervals(intervals, genomes, numbers, skip_missing=True)
    assert [text[:3] for text in texts] == [
        ("GGGCCA", "a", "chr20:0-6(.)|0"),
        ("ACGT", "b", "chr1:0-4(+)|1"),
        ("GCA", "b", "chr1:4-7(-)|1"),
    ]
    assert [*left_out.values()] == [1] and texts[0].place == "a.csv chr20:0-6(.)"
    texts, left_out = tables.read_intervals(intervals, {"a": OTHER, "b": SMALL}, numbers)
    assert [text.sequence for text in texts] == ["TTTTTT", "GGG", "ACGT", "GCA"] and not left_out


def test_rows_are_encoded_in_a_few_bytes_a_base():
    texts = [tables.Text("ACGTN" * 200, str(i % 2), "", f"row {i}") for i in range(1000)]
    found = memory.peak(lambda: encode(Path("my.csv"), texts, {"0": 0, "1": 1}))
    assert found < 8 * 1_000_000
