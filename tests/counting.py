"""What a run of the tests says of the promises, counted for `make stress`."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pytest

#: Every promise that pytest found, by file and function, before any test was deselected.
COLLECTED = pytest.StashKey[dict[tuple[str, str], tuple[str, ...]]]()
#: Every test of these topics is one try, unless it counts its tries itself by the fixture `tally`.
TRIES = {
    "Damage": "damages detected",
    "Settings": "bad inputs answered",
    "Bad input": "bad inputs answered",
}
FEATS = (
    *("kills survived", "kills in a save survived", "damages detected", "bad inputs answered"),
)


class Count(NamedTuple):
    """How often it went well, of so many tries."""

    good: int = 0
    tried: int = 0

    def __add__(self, good: bool) -> "Count":
        return Count(self.good + good, self.tried + 1)


def promises_and_feats(reports: Iterable[Any]) -> tuple[dict[str, Count], dict[str, Count]]:
    """Counts by promise and by feat, from pytest's reports; what was skipped is not counted."""
    passed: dict[str, bool] = {}
    properties: dict[str, list[tuple[str, Any]]] = {}
    for report in reports:
        if report.outcome in ("passed", "failed"):
            passed[report.nodeid] = passed.get(report.nodeid, True) and report.outcome == "passed"
            properties[report.nodeid] = report.user_properties
    promises: dict[str, Count] = {}
    feats = dict.fromkeys(FEATS, Count())
    for test, good in passed.items():
        held = [value for name, value in properties[test] if name == "promise"]
        tries = [value for name, value in properties[test] if name == "tally"]
        for promise in held:
            promises[promise] = promises.get(promise, Count()) + good
        topics = {promise.partition(": ")[0] for promise in held}
        tries = tries or [(feat, good) for feat in {TRIES[t] for t in topics if t in TRIES}]
        for feat, well in tries:
            feats[feat] = feats[feat] + well
    return promises, feats


def lines(promises: Mapping[str, Count], feats: Mapping[str, Count]) -> list[str]:
    """The tally as text: what was tried, then each promise."""
    rows = [f"{feat + ':':27}{count.good:,} of {count.tried:,}" for feat, count in feats.items()]
    rows += ["", "tests passed, by promise:"]
    return rows + [f"  {c.good:4} of {c.tried:<4} {name}" for name, c in sorted(promises.items())]
