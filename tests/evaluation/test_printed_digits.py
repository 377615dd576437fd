"""Sizes compatible with the digits of Table 1: independent golden values, and properties."""

import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from birdiedna.evaluation import printed_digits


@pytest.fixture(scope="module")
def fits():
    return printed_digits.fits()


@given(st.integers(1, 3000), st.data())
def test_a_true_confusion_table_is_always_found(rows, data):
    right = data.draw(st.integers(0, rows))
    positive = data.draw(st.integers(0, right))
    assume(positive > 0)
    f1 = round(10_000 * 2 * positive / (2 * positive + rows - right))
    assert (right, positive) in printed_digits.tables(f1, round(10_000 * right / rows), rows)


def test_confusion_tables_of_tata():
    assert printed_digits.tables(9244, 9167, 108) == [(99, 55)]
    assert printed_digits.tables(8780, 8611, 108) == [(93, 54)]
    tata = next(row for row in printed_digits.ROWS if row.task == "promoter_tata")
    assert tata.fits(216)  # two of the tables of 108
    assert printed_digits.tables(10_000, 10_000, 3) == [(3, 1), (3, 2), (3, 3)]
    assert printed_digits.Digits("all right", 3, (10_000, 10_000), (10_000, 10_000)).fits(3)


#: Task: accuracies fit the card, with F1 too; sizes found, expected, smallest.
GOLDEN = {
    "promoter_all": (False, False, 7, 1.7, 728),
    "promoter_no_tata": (False, False, 4, 1.0, 1274),
    "promoter_tata": (False, False, 1, 0.0003, 108),
    "splice_sites_donors": (False, False, 67, 65, 704),
    "enhancers": (False, False, 28, 17, 1309),
    "H2AFZ": (True, True, 32, 21, 1989),
    "H3K27me3": (True, True, 27, 27, 1865),
    "H3K36me3": (True, False, 25, 32, 985),
    "H3K4me1": (True, False, 23, 21, 1155),
    "H3K27ac": (False, False, 0, 0.85, None),
    "H3K4me2": (False, False, 0, 4.0, None),
    "H3K4me3": (False, False, 0, 0.02, None),
    "H3K9ac": (False, False, 0, 0.10, None),
    "H3K9me3": (False, False, 0, 0.03, None),
}


def test_sizes_found_and_expected_equal_an_independent_check(fits):
    table = printed_digits.fit_table(fits)
    for row in table.iter_rows(named=True):
        accuracies, pair, found, expected, smallest = GOLDEN[row["task"]]
        assert (row["accuracies fit"], row["with F1"]) == (accuracies, pair)
        assert (row["sizes found"], row["smallest"]) == (found, smallest)
        assert row["expected"] == pytest.approx(expected, rel=0.03, abs=0.006)


def test_possible_sizes_of_the_promoter_rows(fits):
    pair = fits.filter(kind="accuracy and F1")
    sizes = lambda task: pair.filter(task=task)["n"].to_list()
    assert sizes("promoter_all") == [728, 1394, 1419, 1431, 1456, 1481, 1518]
    assert sizes("promoter_no_tata") == [1274, 1300, 1333, 1353]


def test_gaps_are_converted_to_numbers_of_sequences(fits):
    gaps = printed_digits.gaps(fits)
    tata = gaps.filter(task="promoter_tata")
    assert tata.filter(at="card")["sequences"].item() == pytest.approx(11.8, abs=0.02)
    assert tata.filter(at="possible").row(0)[1:4] == (108, "possible", 5.56)
    assert tata["sequences"][1] == pytest.approx(6.0, abs=0.01)
    assert tata["best_p"].to_list() == pytest.approx([0.0005, 0.03125], abs=1e-4)
    card = gaps.filter(at="card")
    assert (card["gap"].abs() < card["detectable"]).all()  # no gap reaches its detectable size
    assert printed_digits.gap_table(gaps).height == 14


def test_statements_have_a_strength_and_numbers_from_the_table(fits):
    found = printed_digits.statements(fits)
    strengths = ["certain", "strong", "likely", "suggestive at most", "weak", "none"]
    assert found["strength"].unique(maintain_order=True).to_list() == strengths
    assert "10 of 14 rows" in found["statement"][0] and "22 of 28 cells" in found["for"][2]
    (tata,) = [row for row in found.iter_rows() if row[0].startswith("TATA was scored on 108")]
    assert "99 right against 93" in tata[0] and "0.0003" in tata[1]
    grid = found.filter(pl.col("statement").str.contains("400 rows"))
    assert "H3K27ac, H3K4me3, H3K9ac, H3K9me3" in grid["statement"][0]
    assert "6e-09; 2e-05" in grid["for"][0]
    by = {row[0].split(":")[0]: " ".join(row[1:3]) for row in found.iter_rows()}
    for statement, said in (
        ("TATA was scored on 108 rows", "55 to 64 positives"),
        ("rows were scored by different procedures", "accuracies of more than 6 rows"),
        ("rows were scored in batches of 32, the last one dropped", "2 of 14 rows fit, 0.7 exp"),
        ("rows were scored in batches of 32, the smaller last one weighing as much", "8 of 14"),
        ("F1 is the mean over both classes, weighted", "in 11 rows only if 79% to 93% of the rows"),
        ("F1 is the mean over both classes, weighted", "beat both arms in 9 of them"),
        ("digits are cut off", "H3K27ac 1 (0.9 expected), H3K4me2 3 (4.0 expected)"),
        ("digits are cut off", "Promoter All, Promoter TATA, H3K4me3, H3K9ac, H3K9me3: no size"),
    ):
        assert said in next(text for key, text in by.items() if key.startswith(statement))


@given(st.integers(1, 400), st.integers(0, 400), st.integers(0, 400), st.integers(0, 400))
def test_a_weighted_f1_needs_no_larger_class_than_the_table_that_has_it(both, one, other, more):
    right, wrong, rows = both + one, other + more, both + one + other + more
    assume(wrong and one)
    parts = ((both, both + other), (one, one + more))
    f1 = sum(size / rows * 2 * hit / (2 * hit + wrong) for hit, size in parts)
    shown = round(1e4 * f1), round(1e4 * right / rows)
    assume(shown[0] > shown[1])
    needed = printed_digits.majority(*shown)
    assert 0.5 <= needed <= max(size for _, size in parts) / rows + 1e-3
