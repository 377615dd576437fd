"""Results of the paper's scale whose truth is known, as the book reads them: no run was trained."""

import json
import shutil
from pathlib import Path

import numpy as np

from birdiedna.data.files import digest
from birdiedna.evaluation import simulation
from birdiedna.evaluation.paper_table import TABLE_1
from birdiedna.evaluation.scores import FAIR
from birdiedna.experiments import profiles
from birdiedna.training import run_folder

#: Steps of the evaluations, and rows of validation.
STEPS = np.arange(0, 8193, 1024)
VALIDATION_ROWS = 400
#: Steps in which a curve covers 63 % of the way.
PACE = 1_500.0
BASES = 3_117_292_070


def write(root: Path, name: str, truth: simulation.Truth, seeds: int = 3) -> Path:
    """Write `<root>/<name>`: every arm on the 14 tasks by `seeds` pre-training seeds, three times.

    Pre-trained runs are those of the repository's results, which are read and not compared.
    """
    place, kept = root / name, run_folder.repository() / "results" / "eighth"
    entries = []
    for arm in ("birdie", "ntp"):
        folder = next(kept.glob(f"pretrain-{arm}-*"))
        shutil.copytree(folder, place / folder.name)
        entries.append({"name": folder.name, "kind": "pretrain", "arm": arm, "seed": 0})
    birdie, ntp = simulation.levels(truth, np.random.default_rng(0), (seeds, 3))
    arms = {"birdie": (birdie, truth.speed_up), "ntp": (ntp, 1.0), "random": (ntp - 0.1, 1.0)}
    for arm, (levels, speed_up) in arms.items():
        for (seed, run, task), level in np.ndenumerate(levels):
            row = TABLE_1[task]
            entry = {"kind": "finetune", "arm": arm, "task": row.task, "seed": seed}
            entry |= {"finetune_seed": run, "name": f"finetune-{row.task}-{arm}-seed{seed}.{run}"}
            entries.append(entry)
            curve = level * (1 - np.exp(-STEPS / (PACE / speed_up)))
            _run(place / entry["name"], entry, curve, row.test_rows)
    (place / "data.json").write_text(json.dumps(_data()))
    profile = run_folder.to_json(profiles.PROFILES["paper"])
    stored = {"format": 1, "name": name, "profile": profile, "runs": entries, "left": []}
    files = sorted(path for path in place.rglob("*") if path.is_file())
    stored["sha256"] = {str(path.relative_to(place)): digest(path) for path in files}
    run_folder.write_json(place / "results.json", stored)
    return place


def _run(folder: Path, entry: dict, curve: np.ndarray, rows: int) -> None:
    """A fine-tuning whose MCC is that of the curve, but for rounding to whole rows."""
    folder.mkdir(parents=True)
    facts = {"profile": "paper", "device": "none", "data": {}, "rows": {"train": 30_000}}
    (folder / "manifest.json").write_text(json.dumps(entry | facts))
    found = {"steps": STEPS}
    for part, count in (("validation", VALIDATION_ROWS), ("test", rows)):
        labels = np.arange(count) % 2
        right = np.rint((1 + curve) / 2 * count)[:, None] > np.argsort(np.argsort(labels[::-1]))
        predicted = np.where(right, labels, 1 - labels)
        found[f"{part}_logits"] = np.eye(2, dtype=np.float16)[predicted]
        found[f"{part}_labels"] = labels
    np.savez(folder / "predictions.npz", **found)


def _data() -> dict:
    rows = [
        {"task": row.task, "train": 27_000, "validation": VALIDATION_ROWS, "test": row.test_rows}
        | {"bases read": 300, "positive in test": 0.5, "mark": "0" * 12}
        for row in TABLE_1
    ]
    bars = [
        {"task": row.task, "who": FAIR, "metric": metric, "value": 0.3}
        for row in TABLE_1
        for metric in ("accuracy", "f1", "mcc")
    ]
    sequence = {"bases": BASES, "entropy": 1.3, "contigs": ["chr8"]}
    return {"sequence": sequence, "rows": rows, "baselines": bars}
