"""Rows are checked and counted: the first wrong ones are named, and none is left out."""

import pytest
from table_files import refused, written

from birdiedna.tasks import labelled

HEAD = b"sequence,label\n"


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
    assert len(refused(written(tmp_path, text.encode(), "a.csv"), message)) < 500


@pytest.mark.promise("Bad input: what reading changes is counted and told")
def test_what_reading_changes_is_counted_and_nothing_is_left_out(tmp_path):
    text = HEAD + b"ACGT,0\nacgN,1\nARYU,0\nNNNN,1\nnn,0\n"
    found = labelled.read(written(tmp_path, text, "a.csv"))
    assert len(found.rows.labels) == 5
    assert found.notes == {
        "bases in lower case": 5,
        "letters read as N": 3,
        "rows with N": 4,
        "rows of N only, kept": 2,
    }


def test_rows_with_nothing_out_of_the_ordinary_have_no_notes(tmp_path):
    assert labelled.read(written(tmp_path, HEAD + b"AC,0\nGT,1\n", "a.csv")).notes == {}
