"""How much sequence training has read: slots, bases, and bases read at least once."""

from typing import NamedTuple

import numpy as np


class Coverage(NamedTuple):
    """Tokens (slots of the batches), bases (windows, with repeats), `intervals` int64 (k, 2).

    The intervals are disjoint, sorted and half-open: the union of all windows so far.
    """

    tokens: int = 0
    bases: int = 0
    intervals: np.ndarray = np.zeros((0, 2), np.int64)


def union(intervals: np.ndarray) -> np.ndarray:
    """Merge half-open intervals (k, 2) int64 into disjoint ones, sorted."""
    if not len(intervals):
        return intervals
    ordered = intervals[np.argsort(intervals[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    fresh = np.concatenate([[True], ordered[1:, 0] > reach[:-1]])
    last = np.concatenate([np.flatnonzero(fresh)[1:] - 1, [len(ordered) - 1]])
    return np.stack([ordered[fresh, 0], reach[last]], axis=1)


def add(seen: Coverage, tokens: int, starts: np.ndarray, lengths: np.ndarray) -> Coverage:
    """Count `tokens` more slots and the windows at `starts` (k,) of `lengths` (k,) bases."""
    starts, lengths = starts.astype(np.int64), lengths.astype(np.int64)
    windows = np.stack([starts, starts + lengths], axis=1)
    merged = union(np.concatenate([seen.intervals, windows]))
    return Coverage(seen.tokens + tokens, seen.bases + int(lengths.sum()), merged)


def unique_bases(seen: Coverage) -> int:
    """Bases that lie in at least one window."""
    return int((seen.intervals[:, 1] - seen.intervals[:, 0]).sum())
