"""Checks that the tests of charts share."""

import json
from typing import Any, NamedTuple

import vl_convert

from birdiedna.figures import show
from birdiedna.figures.style import MOST_ROWS


class Drawn(NamedTuple):
    """A chart's specification as text, and all rows of its data."""

    text: str
    rows: list[dict]


def drawn(chart: Any) -> Drawn:
    """What a chart draws."""
    spec = chart.to_dict()
    return Drawn(json.dumps(spec), [row for rows in spec["datasets"].values() for row in rows])


def check(chart: Any) -> Drawn:
    """Assert that a chart draws, stays small, and leaves the colour of its text to the page."""
    picture, found = vl_convert.vegalite_to_svg(show.themed(chart)), drawn(chart)
    assert picture.count("<path") > 5 and "NaN" not in picture
    assert len(found.rows) <= MOST_ROWS
    assert "labelColor" not in found.text and "titleColor" not in found.text
    return found
