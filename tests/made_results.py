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
#: Steps in which a curve covers 63% of the way.
PACE = 1_500.0
BASES = 3_117_292_070


#: Shares of the train rows that probes read, and the least of which there are several subsets.
SHARES = (0.05, 1.0)
TRAIN_ROWS = 30_000


def write(
    root: Path,
    name: str,
    truth: simulation.Truth,
    seeds: int = 3,
    tasks: int = len(TABLE_1),
    runs: int = 3,
    probes: bool = False,
) -> Path:
    """Write `<root>/<name>`: every arm on the first tasks by `seeds` pre-training seeds.

    The arm "uniform" is as good as the NTP arm. Pre-trained runs are those of the repository's
    results, which are read and not compared.

    Args:
      runs: fine-tuning seeds.
      probes: whether there are probes, too, of two shares of the train rows.
    """
    place, kept = root / name, run_folder.repository() / "results" / "eighth"
    entries = []
    for arm in ("birdie", "ntp"):
        folder = next(kept.glob(f"pretrain-{arm}-seed0-*"))
        shutil.copytree(folder, place / folder.name)
        entries.append({"name": folder.name, "kind": "pretrain", "arm": arm, "seed": 0})
    birdie, ntp = simulation.levels(truth, np.random.default_rng(0), (seeds, runs))
    uniform = simulation.levels(simulation.Truth(), np.random.default_rng(1), (seeds, runs))[1]
    arms = {"birdie": (birdie, truth.speed_up), "ntp": (ntp, 1.0), "random": (ntp - 0.1, 1.0)}
    arms["uniform"] = (uniform, 1.0)
    for arm, (levels, speed_up) in arms.items():
        for (seed, run, task), level in np.ndenumerate(levels[..., :tasks]):
            row = TABLE_1[task]
            entry = {"kind": "finetune", "arm": arm, "task": row.task, "seed": seed}
            entry |= {"finetune_seed": run, "name": f"finetune-{row.task}-{arm}-seed{seed}.{run}"}
            entries.append(entry)
            curve = level * (1 - np.exp(-STEPS / (PACE / speed_up)))
            _run(place / entry["name"], entry, STEPS, curve, row.test_rows)
            if probes and not run:
                name = entry["name"].replace("finetune", "probe")
                entries.append(entry := entry | {"kind": "probe", "name": name})
                few = truth.scarce * np.log10(1 / SHARES[0]) * (arm == "birdie")
                found = np.array([level - 0.1 + few, level])
                _run(place / entry["name"], entry, np.array([1, 2]), found, row.test_rows)
    (place / "data.json").write_text(json.dumps(_data(tasks)))
    profile = run_folder.to_json(profiles.PROFILES["paper"])
    stored = {"format": 1, "name": name, "profile": profile, "runs": entries, "left": []}
    files = sorted(path for path in place.rglob("*") if path.is_file())
    stored["sha256"] = {str(path.relative_to(place)): digest(path) for path in files}
    run_folder.write_json(place / "results.json", stored)
    return place


def _run(folder: Path, entry: dict, steps: np.ndarray, curve: np.ndarray, rows: int) -> None:
    """A run whose MCC is that of the curve, but for rounding to whole rows."""
    folder.mkdir(parents=True)
    facts = {"profile": "paper", "device": "none", "data": {}, "rows": {"train": TRAIN_ROWS}}
    (folder / "manifest.json").write_text(json.dumps(entry | facts))
    (folder / "config.json").write_text("{}")
    if entry["kind"] == "probe":
        of = lambda share: {"share": share, "subset": 0, "n_train": round(share * TRAIN_ROWS)}
        events = [{"event": "evaluation", "step": 1, **of(share)} for share in SHARES]
        (folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    found = {"steps": steps}
    for part, count in (("validation", VALIDATION_ROWS), ("test", rows)):
        labels = np.arange(count) % 2
        right = np.rint((1 + curve) / 2 * count)[:, None] > np.argsort(np.argsort(labels[::-1]))
        predicted = np.where(right, labels, 1 - labels)
        found[f"{part}_logits"] = np.eye(2, dtype=np.float16)[predicted]
        found[f"{part}_labels"] = labels
    np.savez(folder / "predictions.npz", **found)


def _data(tasks: int) -> dict:
    rows = [
        {"task": row.task, "train": 27_000, "validation": VALIDATION_ROWS, "test": row.test_rows}
        | {"bases read": 300, "positive in test": 0.5, "mark": "0" * 12}
        for row in TABLE_1[:tasks]
    ]
    bars = [
        {"task": row.task, "who": FAIR, "metric": metric, "value": 0.3}
        for row in TABLE_1[:tasks]
        for metric in ("accuracy", "f1", "mcc")
    ]
    sequence = {"bases": BASES, "entropy": 1.3, "contigs": ["chr8"]}
    leaked = {TABLE_1[0].task: [0, 1, 2]}
    return {"sequence": sequence, "rows": rows, "baselines": bars, "leaked": leaked}
