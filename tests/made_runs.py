"""Finished run folders and frames of scores made by hand, for tests of what reads them."""

import json
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl

STEPS = np.array([0, 20, 40])


def finetuned(
    root: Path, task: str, arm: str, finetune_seed: int, errors: tuple[float, ...], classes: int = 2
) -> Path:
    """A fine-tuning run whose share of wrong answers is `errors` at each of the three steps."""
    rng = np.random.default_rng([finetune_seed, len(arm), sum(map(ord, arm + task))])
    found = {"steps": STEPS}
    for part, rows in (("validation", 60), ("test", 240)):
        labels = np.arange(rows) % classes
        wrong = [rng.random(rows) < share for share in errors]
        predicted = [np.where(miss, (labels + 1) % classes, labels) for miss in wrong]
        found[f"{part}_logits"] = np.eye(classes, dtype=np.float32)[np.stack(predicted)]
        found[f"{part}_labels"] = labels
    folder = root / f"finetune-{task}-{arm}-seed0.{finetune_seed}"
    folder.mkdir(parents=True)
    np.savez(folder / "predictions.npz", **found)
    manifest = {"name": folder.name, "kind": "finetune", "profile": "quick", "device": "1 x cpu"}
    tags = {"task": task, "arm": arm, "seed": 0, "finetune_seed": finetune_seed}
    tags["rows"] = {"train": 480, "validation": 60, "test": 240}
    (folder / "manifest.json").write_text(json.dumps(manifest | tags))
    return folder


def comparison(root: Path, tasks: tuple[str, ...], errors: dict[str, float]) -> list[Path]:
    """Three fine-tuning seeds of every arm on every task; `errors` is the last step's share."""
    return [
        finetuned(root, task, arm, seed, (0.5, 0.4, share))
        for task in tasks
        for seed in range(3)
        for arm, share in errors.items()
    ]


def every(**columns: Iterable) -> pl.DataFrame:
    """A frame with a row for each combination of these values, the last column fastest."""
    return pl.DataFrame([*product(*columns.values())], [*columns], orient="row")
