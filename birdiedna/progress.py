"""Where a pre-training run stands, and how that is saved and gone on from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from birdiedna import coverage, devices, runs, training
from birdiedna.runs import checkpoints


class Progress(NamedTuple):
    """Where a run stands between two chunks: all that a checkpoint holds.

    state, mind: pytrees of training and of the director. losses: float32 (m,), of the monitored
    objectives at the last evaluation. ratios: float32 (n,), commanded in this round. share: (2, n),
    rows and label tokens of this round so far. seen: what was read. chain: of all decisions.
    """

    state: training.State
    mind: Any
    losses: np.ndarray
    ratios: np.ndarray
    share: np.ndarray
    seen: coverage.Coverage
    chain: str


def save(folder: Path, progress: Progress, facts: Mapping[str, Any]) -> None:
    """Write a checkpoint into a run folder; `facts` are what it must agree with to be gone on with.

    Raises:
      OSError: the disk is full; earlier checkpoints are untouched.
    """
    host = {
        "losses": progress.losses,
        "ratios": progress.ratios,
        "share": progress.share,
        "read": np.array([progress.seen.tokens, progress.seen.bases]),
        "intervals": progress.seen.intervals,
    }
    checkpoints.save(
        folder / "checkpoints",
        int(progress.state.step),
        (progress.state, progress.mind),
        host,
        {**facts, "chain": progress.chain, **runs.log_so_far(folder)},
    )


def restored(
    folder: Path, saved: checkpoints.Checkpoint | None, facts: Mapping[str, Any], like: Progress
) -> Progress:
    """What `save` wrote, in every process; the log is cut back to the lines it had then.

    Args:
      folder: the run folder.
      saved: one of its checkpoints; None in all processes but the first.
      facts: what it must agree with.
      like: a progress with the same structure, of arrays or shapes.

    Raises:
      ValueError: it is a checkpoint of another run.
    """
    zeros = lambda tree: jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), tree)
    if saved is None:
        told = devices.told(zeros((like.state, like.mind, like.losses, like.ratios, like.share)))
        return Progress(*told, coverage.Coverage(), "")
    checkpoints.expect(saved, facts)
    state, mind = checkpoints.restore(saved.path, (like.state, like.mind))
    host = checkpoints.host(saved.path)
    runs.rewind(folder, saved.facts["log_bytes"])
    tokens, bases = host["read"].tolist()
    seen = coverage.Coverage(tokens, bases, host["intervals"])
    told = devices.told((state, mind, host["losses"], host["ratios"], host["share"]))
    return Progress(*told, seen, saved.facts["chain"])
