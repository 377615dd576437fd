"""Charts of the close reading of Table 1 draw, and the toggles show the exact numbers."""

import drawing
import numpy as np
import pytest

from birdiedna.evaluation import printed_digits
from birdiedna.figures import table_1


@pytest.fixture(scope="module")
def fits():
    return printed_digits.fits()


@pytest.fixture(scope="module")
def toggle():
    return table_1.toggle()


def test_sizes_and_sequences_are_drawn(fits):
    drawing.check(table_1.fits(fits))
    chart = table_1.sequences(printed_digits.gaps(fits))
    drawing.check(chart)
    tata = [row["sequences"] for row in drawing.rows(chart) if row.get("task") == "Promoter TATA"]
    assert sorted(round(gap) for gap in tata) == [6, 12]


def test_toggles_are_drawn_and_every_task_has_one(toggle):
    drawing.check(toggle)
    boxes = [p for p in toggle.to_dict()["params"] if p["name"].startswith("on_")]
    assert len(boxes) == 14 and all(box["value"] for box in boxes)


@pytest.mark.parametrize(
    ("off", "score", "rank", "sign"),
    [
        ((), "accuracy", "0.91", 0.79),
        ((2,), "accuracy", "0.55", 1.00),
        ((2,), "F1", "0.31", 0.58),
        ((0, 2), "accuracy", "0.43", 1.00),
        ((0, 2), "F1", "0.34", 0.77),
    ],
)
def test_what_the_toggles_look_up_is_exact(toggle, off, score, rank, sign):
    known = {p["name"]: p.get("value") for p in toggle.to_dict()["params"]}
    ticked = [i for i in range(14) if i not in off]
    bits = sum(2**i for i in ticked)
    assert known["ranks"][score][4 * bits : 4 * bits + 4] == rank
    gaps = [row["gap"] for row in drawing.rows(toggle) if row.get("metric") == score]
    ahead = int((np.array(gaps)[ticked] > 0).sum())
    assert known["signs"][len(ticked)][ahead] == pytest.approx(sign, abs=0.0051)
