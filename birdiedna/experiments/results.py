"""Results that are kept: finished runs without their weights, which the book renders anywhere.

    <name>/results.json           what was planned, made and left, its cost, checksums of the files
    <name>/data.json              what figures say of the data: sizes, entropy, baselines
    <name>/README.md              optional: what a reader has to know of these results
    <name>/<run>/                 config.json, manifest.json, events.jsonl.gz, predictions.npz

A name of results stands where a profile can stand; in the book it goes before the profile of that
name, of which it may be the name. `collect` writes all but the README.
"""

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from birdiedna.training import run_folder

FORMAT = 1
#: All files of one set of results together.
LARGEST_BYTES = 20_000_000


def root() -> Path:
    """Where results lie: $BIRDIEDNA_RESULTS, else `results/` in the repository."""
    return Path(os.environ.get("BIRDIEDNA_RESULTS") or run_folder.repository() / "results")


def names() -> list[str]:
    """The results that there are."""
    return sorted(path.parent.name for path in root().glob("*/results.json"))


def holds(name: str) -> bool:
    """Whether there are results of this name."""
    return (root() / name / "results.json").is_file()


def read(name: str) -> dict[str, Any]:
    """What `results.json` says.

    Raises:
      ValueError: there are no such results, or they are of another format.
    """
    if not holds(name):
        raise ValueError(f"no results {name!r}; there are: {', '.join(names()) or 'none'}")
    found = json.loads((root() / name / "results.json").read_text())
    if found.get("format") != FORMAT:
        raise ValueError(f"results {name}: format {found.get('format')!r}, {FORMAT} is read here")
    return found


def data(name: str) -> dict[str, Any]:
    """What figures say of the data, as it was found where the data were.

    Raises:
      ValueError: as `read`.
    """
    read(name)
    return json.loads((root() / name / "data.json").read_text())


def run(name: str, wanted: Mapping[str, Any]) -> Path:
    """The folder of the run of which all this is true, as `{"kind": "pretrain", "arm": "ntp"}`.

    Raises:
      ValueError: there is none; the message says why, if it was planned and left.
    """
    found = read(name)
    for entry in found["runs"]:
        if _says(entry, wanted):
            return root() / name / entry["name"]
    said = ", ".join(f"{key} {value}" for key, value in wanted.items())
    why = next((entry["why"] for entry in found["left"] if _says(entry, wanted)), "not planned")
    raise ValueError(f"results {name} hold no run of {said}: {why}")


def block(name: str, arms: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """Fine-tuning runs that can be compared: every arm on the same tasks by the same seeds.

    Where runs were left, the largest block of tasks and first seeds in which no arm is missing.

    Returns:
      entries of `results.json`, by task, fine-tuning seed and arm.
    """
    found = {
        (entry["task"], entry["finetune_seed"], entry["arm"]): entry
        for entry in read(name)["runs"]
        if entry["kind"] == "finetune" and entry["seed"] == seed
    }
    tasks = list(dict.fromkeys(key[0] for key in found))
    seeds = sorted({key[1] for key in found})
    whole = lambda task, some: all((task, s, a) in found for s in some for a in arms)
    blocks = [
        ([task for task in tasks if whole(task, seeds[:count])], seeds[:count])
        for count in range(len(seeds), 0, -1)
    ]
    best = max(blocks, key=lambda block: len(block[0]) * len(block[1]), default=([], []))
    return [found[key] for key in itertools.product(*best, arms)]


def history(name: str) -> str:
    """What `README.md` tells of these results; "" if there is none."""
    path = root() / name / "README.md"
    return path.read_text("utf-8") if holds(name) and path.is_file() else ""


def left(name: str) -> list[dict[str, Any]]:
    """What was planned and not finished: name, kind, arm, task, seeds, why."""
    return read(name)["left"]


def _says(entry: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(entry.get(key) == value for key, value in wanted.items())
