"""Results that are kept: finished runs without their weights, which the book renders anywhere.

    <name>/results.json           what was planned, made and left, its cost, checksums of the files
    <name>/data.json              what figures say of the data: sizes, entropy, baselines
    <name>/README.md              optional: what a reader has to know of these results
    <name>/<run>/                 config.json, manifest.json, events.jsonl.gz, predictions.npz

A name of results can be given where a profile can; in the book, results go before the profile of
that name. `collect` writes all but the README, `runs.Stored` reads.
"""

import json
import os
from pathlib import Path
from typing import Any

from birdiedna.training import run_folder

FORMAT = 1
#: All files of one set of results together.
LARGEST_BYTES = 20_000_000


def root() -> Path:
    """Where results are: $BIRDIEDNA_RESULTS, else `results/` in the repository."""
    return Path(os.environ.get("BIRDIEDNA_RESULTS") or run_folder.repository() / "results")


def names() -> list[str]:
    """The names of all results."""
    return sorted(path.parent.name for path in root().glob("*/results.json"))


def exist(name: str) -> bool:
    """Whether there are results of this name."""
    return (root() / name / "results.json").is_file()


def read(name: str) -> dict[str, Any]:
    """What `results.json` says.

    Raises:
      ValueError: there are no such results, or they are of another format.
    """
    if not exist(name):
        raise ValueError(f"no results {name!r}; there are: {', '.join(names()) or 'none'}")
    found = json.loads((root() / name / "results.json").read_text())
    if found.get("format") != FORMAT:
        raise ValueError(f"results {name}: format {found.get('format')!r}, {FORMAT} is read here")
    return found
