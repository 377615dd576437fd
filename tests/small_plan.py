"""A plan of three arms and two tasks that runs in seconds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from birdiedna.evaluation import cnn
from birdiedna.experiments import profiles
from birdiedna.experiments.sources import Sources
from birdiedna.training import run_folder

#: Packages that a remote machine may lack.
ABSENT = "polars altair pyfaidx tqdm IPython pooch requests".split()
#: Makes them impossible to import.
BARE = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {ABSENT!r}:
            raise ImportError(f"{{name}} is not on this machine")

sys.meta_path.insert(0, Absent())
"""


def settings(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """The tiny profile, and runs, results and cache in a folder of the tests; a short baseline."""
    patch.setitem(profiles.PROFILES, "tiny", tiny.PROFILE)
    for name, value in {"SEEDS": (0,), "STEPS": 2, "EVALUATE_EVERY": 1}.items():
        patch.setattr(cnn, name, value)
    (folder / "results").mkdir(parents=True, exist_ok=True)
    for name in ("RUNS", "CACHE", "RESULTS"):
        patch.setenv(f"BIRDIEDNA_{name}", str(folder / name.lower()))


def untrained(group: list, place: Any, data: Any, partials: list[Path], ask: Any) -> Iterator:
    """In place of `make._events`: runs that log one step and are not trained."""
    for partial in partials:
        run_folder.append(partial, {"event": "train", "step": 1, "loss": 1.0})
    return iter(())


def wanted(
    folder: Path, names: tuple[str, ...] = ("one", "two"), classes: int = 2, **more
) -> dict[str, Any]:
    """Arguments of `prepare`: random rows and a random genome, written into the folder."""
    rng = np.random.default_rng(0)
    letters = lambda count: "".join(rng.choice(list("ACGT"), count))
    for name in names:
        place = folder / "tasks" / name
        place.mkdir(parents=True)
        for split in ("train", "test"):
            rows = [f"{letters(60)},{i % classes}" for i in range(60)]
            (place / f"{split}.csv").write_text("\n".join(["sequence,label", *rows]))
    genome = folder / "own.fa"
    genome.write_text("".join(f">{name}\n{letters(900)}\n" for name in ("first", "second")))
    tasks = (str(folder / "tasks"),)
    sources = Sources(str(genome), tasks[0], "second")
    return {"name": "tiny", "sources": sources, "tasks": tasks} | more
