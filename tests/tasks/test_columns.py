"""Columns and labels of one's own: named by options, and refused where the table lacks them."""

import pytest
from table_files import refused, written

from birdiedna import vocab
from birdiedna.tasks import labelled, tables
from birdiedna.tasks.tables import Columns

OWN = b"id,dna,class\nx1,ACGT,no\nx2,GGTT,yes\nx3,CCAA,maybe\n"
MAP = tables.label_map("no=0,yes=1,maybe=1")


def test_a_table_of_ones_own_needs_no_new_header_and_no_new_labels(tmp_path):
    path = written(tmp_path, OWN, "a.csv")
    found = labelled.read(path, columns=Columns("dna", "class", "id", MAP)).rows
    assert found.labels.tolist() == [0, 1, 1] and found.names == ("x1", "x2", "x3")
    assert vocab.decode(found.tokens[2]) == "CCAA"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Columns("dan", "class"), "no column 'dan'; did you mean 'dna'"),
        (Columns("dna", "label"), "no column 'label'; there are: id, dna, class"),
        (Columns("dna", "class", "nam"), "no column 'nam'"),
        (Columns("dna", "class"), "label is 'no', .*--labels maybe=0,no=1,yes=2"),
        (
            Columns("dna", "class", "", MAP[:2]),
            "row 3: label is 'maybe'; the label map has no, yes",
        ),
    ],
)
def test_columns_and_labels_that_are_not_in_the_table_are_refused(tmp_path, given, message):
    refused(written(tmp_path, OWN, "a.csv"), message, columns=given)


def test_labels_of_fna_may_be_words_with_a_map_but_it_has_no_columns(tmp_path):
    path = written(tmp_path, b">a|no\nAC\n>b|yes\nGT\n", "a.fna")
    assert labelled.read(path, columns=Columns(labels=MAP[:2])).rows.labels.tolist() == [0, 1]
    refused(path, "labelled FASTA has no column 'dna'", columns=Columns("dna"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no", "'no' is no word=number"),
        ("no=0,yes=x", "'yes=x' is no word=number"),
        ("no=0,yes=-1", "is no word=number"),
        ("=0,yes=1", "is no word=number"),
        ("no=0,no=1", "'no' occurs twice"),
        ("no=0,yes=2", r"classes are \[0, 2\]; number them 0, 1"),
        ("no=0,yes=0", r"classes are \[0\]"),
        (",".join(f"w{i}={i}" for i in range(33)), "33 classes; at most 32"),
    ],
)
def test_a_label_map_that_is_none_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Columns(labels=tables.label_map(text))


def test_a_label_map_names_its_classes():
    assert Columns(labels=MAP).class_names() == ("no", "yes+maybe")
    assert Columns().class_names() == ()
