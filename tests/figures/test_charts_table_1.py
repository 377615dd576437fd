"""Charts of the close reading of Table 1 draw."""

import drawing
import pytest

from birdiedna.evaluation import printed_digits
from birdiedna.figures import table_1


@pytest.fixture(scope="module")
def fits():
    return printed_digits.fits()


def test_sizes_and_sequences_are_drawn(fits):
    drawing.check(table_1.fits(fits))
    chart = table_1.sequences(printed_digits.gaps(fits))
    drawing.check(chart)
    tata = [row["sequences"] for row in drawing.rows(chart) if row.get("task") == "Promoter TATA"]
    assert sorted(round(gap) for gap in tata) == [6, 12]
