"""A run that training gave up: the step that failed, kept so that it can be repeated."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from birdiedna import training
from birdiedna.runs import checkpoints


def first_step(done: int, skipped: np.ndarray) -> int:
    """The first of the updates, counted from 0, for which a run is given up.

    Args:
      done: steps done.
      skipped: (C,), updates skipped in a row up to each of the last C steps.
    """
    last = int(np.argmax(skipped >= training.PATIENCE))
    return done - len(skipped) + last - training.PATIENCE + 1


def kept(
    folder: Path, model: Any, step: int, host: Mapping[str, np.ndarray], facts: Mapping[str, Any]
) -> ArithmeticError:
    """Save what makes a failed step again below the run's `failure/`; the error says where.

    Args:
      folder: of the run.
      model: before the step; updates that failed have not changed it.
      step: `first_step`.
      host: all else that the step depends on, and how it went, by name.
      facts: as in `checkpoints.save`.
    """
    place = checkpoints.save(folder / "failure", step, model, host, facts, keep=1)
    return ArithmeticError(
        f"{training.PATIENCE} updates in a row were not finite, from step {step:,} on; the model "
        f"before them, {', '.join(host)} are in {place}; try a lower learning rate"
    )
