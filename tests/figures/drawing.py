"""Checks that the tests of charts share."""

import json
from typing import Any

import vl_convert

from birdiedna.figures import show
from birdiedna.figures.style import MOST_ROWS


def rows(chart: Any) -> list[dict]:
    """All rows of a chart's data."""
    return [row for table in chart.to_dict()["datasets"].values() for row in table]


def check(chart: Any) -> None:
    """Assert that a chart draws, stays small, and leaves the colour of its text to the page."""
    picture = vl_convert.vegalite_to_svg(show.themed(chart))
    assert picture.count("<path") > 5 and "NaN" not in picture
    assert len(rows(chart)) <= MOST_ROWS
    text = json.dumps(chart.to_dict())
    assert "labelColor" not in text and "titleColor" not in text
