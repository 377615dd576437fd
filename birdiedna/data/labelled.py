"""Labelled rows as arrays: what tasks give and fine-tuning reads."""

from typing import NamedTuple

import numpy as np


class Labelled(NamedTuple):
    """Labelled sequences on the host, in file order.

    tokens: uint8 (n, L), vocabulary ids padded with `<pad>` on the right. lengths: int32 (n,).
    labels: int32 (n,), 0..classes-1. names: where each row comes from; never shown to a model.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
