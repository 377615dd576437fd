"""What an objective is: something that turns a window of bases into a prefix and a label."""

from typing import NamedTuple, Protocol

import jax
import numpy as np

from birdiedna.batch import Program


class Sizes(NamedTuple):
    """Tokens of a row before `<start>` (prefix) and after it (label)."""

    prefix: int
    label: int


class Objective(Protocol):
    """Anything that writes a row: its sizes, its program, and the way back to the window."""

    token: int

    def sizes(self, window: int) -> Sizes:
        """Tokens in prefix and label for a window of so many bases."""
        ...

    def __call__(self, key: jax.Array, window: jax.Array) -> Program:
        """Draw a program for the window, uint8 (W,)."""
        ...

    def restore(self, prefix: np.ndarray, label: np.ndarray) -> np.ndarray:
        """The window, uint8 (W,), from the row's prefix and label: the inverse of the objective."""
        ...


def window_bases(objective: Objective, slots: int) -> int:
    """The largest window whose row fits: prefix + label <= slots.

    Raises:
      ValueError: not even the smallest window fits the row, or the settings cannot be laid out.
    """
    for window in range(slots, 0, -1):
        try:
            if sum(objective.sizes(window)) <= slots:
                return window
        except ValueError:
            continue
    raise ValueError(f"{objective} does not fit a row of {slots} slots; use a longer row")
