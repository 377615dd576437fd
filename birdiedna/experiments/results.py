"""Stored results: finished runs without their weights, from which the book is rendered.

    <name>/results.json           runs that are finished and left, their cost, all checksums
    <name>/data.json              the data in numbers: sizes, entropy, baselines, leaked rows
    <name>/README.md              optional: the history of these results
    <name>/<run>/                 config.json, manifest.json, events.jsonl.gz, predictions.npz
    <name>/probes.csv             optional: scores of probes, instead of their run folders
    <name>/variants.csv           optional: scores of variants without training, by arm and seed

Wherever a profile is named, results can be; the book prefers them to the profile of that name.
`collect` writes all but README.md and variants.csv, which it keeps; `add_table` lists the latter.
`runs.Stored` reads.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from birdiedna.data import files, stored
from birdiedna.data.stored import NUMBER
from birdiedna.training import run_folder

FORMAT = 1
#: Scores of probes, a line per run and subset of the train rows.
PROBES = "probes.csv"
PROBE_COLUMNS = (
    *("arm", "task", "seed", "subset", "share", "n_train", "rows"),
    *("accuracy", "f1", "mcc"),
)
#: AUROC of disrupted splice sites against controls, a line per task, arm and seed.
VARIANTS = "variants.csv"
VARIANT_COLUMNS = ("task", "arm", "seed", "auroc")
#: Results at the paper's size, which chapters show beside the `newest` of the others.
FAR = "eighth"
#: Of all files of one set of results.
LARGEST_BYTES = 20_000_000

_RUN = {"name": str, "kind": str, "arm": str, "seed": int}
_TUNED = {**_RUN, "task": str, "finetune_seed": int}
_RESULTS: dict[str, Any] = {"profile": {}, "runs": [_RUN], "left": [{**_RUN, "why": str}]}
_RESULTS |= {"name?": str, "sha256": {...: str}}
_DATA = {
    "sequence": {"bases": int, "entropy": NUMBER, "contigs": [str]},
    "rows": [{"task": str, "positive in test": NUMBER, "mark": str, ...: int}],
    "baselines": [{"task": str, "who": str, "metric": str, "value": NUMBER}],
    "leaked?": {...: [int]},
}


def root() -> Path:
    """The folder of results: $BIRDIEDNA_RESULTS, else `results/` in the repository."""
    return files.folder_of("BIRDIEDNA_RESULTS", run_folder.repository() / "results")


def names() -> list[str]:
    """The names of all results; ValueError if $BIRDIEDNA_RESULTS is no folder."""
    if not (place := root()).is_dir() and place != _ours():
        raise ValueError(f"BIRDIEDNA_RESULTS: no folder {place}; name another, or unset it")
    return _names(place)


def _names(place: Path) -> list[str]:
    return sorted(path.parent.name for path in place.glob("*/results.json"))


def _ours() -> Path:
    """The results of the repository, which are read if `root()` lacks a name."""
    return run_folder.repository() / "results"


def _folder(name: str) -> Path:
    return (root() if exist(name) or name not in _names(_ours()) else _ours()) / name


def exist(name: str) -> bool:
    """Whether there are results of this name."""
    return (root() / name / "results.json").is_file()


def read(name: str) -> dict[str, Any]:
    """The contents of `results.json`; ValueError if missing, damaged or of another format."""
    path = _folder(name) / "results.json"
    if not path.is_file():
        if not (there := names()):
            run_folder.checkout("stored results")
        raise ValueError(f"no results {name!r}; there are: {', '.join(there) or 'none'}")
    return _parsed(path.read_bytes(), path)


@lru_cache(maxsize=4)
def _parsed(text: bytes, path: Path) -> dict[str, Any]:
    """The contents of `results.json`, cached since they are needed for every run."""
    found = stored.parse(text, path, {})
    if (written := found.get("format")) != FORMAT:
        raise ValueError(f"results {path.parent.name}: format {written!r} is not {FORMAT}")
    wrong = stored.misfit(found, _RESULTS)
    for entry in () if wrong else (*found["runs"], *found["left"]):
        wrong = wrong or stored.misfit(entry, _RUN if entry["kind"] == "pretrain" else _TUNED)
        run_folder.plain(entry["name"])
    if wrong:
        raise stored.damaged(path, wrong)
    return found


def data(name: str) -> dict[str, Any]:
    """The contents of `data.json`; errors as in `intact`."""
    path = _folder(name) / "data.json"
    found = stored.parse(intact(name, "data.json"), path, _DATA)
    if empty := [key for key in _DATA if not found.get(key, True)]:
        raise stored.damaged(path, f"its {empty[0]!r} are empty")
    return found


def intact(name: str, file: str) -> bytes:
    """The bytes of a file of results; ValueError if they were altered."""
    return _checked(_folder(name) / file, read(name)["sha256"].get(file))


def _checked(path: Path, listed: str | None) -> bytes:
    """The bytes of a file; ValueError if their sha256 is not the listed one."""
    text = path.read_bytes()
    if listed != hashlib.sha256(text).hexdigest():
        raise stored.damaged(path, stored.ALTERED)
    return text


def newest(preferred: str = "") -> str:
    """The name of the newest results with a table of probes, or of `preferred` ones; "" if none.

    `FAR` are none of these; those of the repository count only if there are no others.
    """
    at = lambda name: (name == preferred, str(read(name).get("prepared", {}).get("at", "")))
    for place in (root(), _ours()):
        names = [name for name in _names(place) if name != FAR]
        if found := [name for name in names if PROBES in read(name)["sha256"]]:
            return max(found, key=at)
    return ""


def added(name: str, file: str) -> bytes:
    """A file that somebody added, such as README.md; empty if there is none."""
    path = _folder(name) / file
    return path.read_bytes() if path.is_file() else b""


def table(name: str, file: str) -> bytes:
    """The table `PROBES` or `VARIANTS`, empty if there is none; errors as in `intact`."""
    return intact(name, file) if file in read(name)["sha256"] else b""


def add_table(name: str, file: str, text: str) -> None:
    """Write a table and list its checksum in `results.json`."""
    path = _folder(name) / file
    with files.replacing(path) as temporary:
        temporary.write_text(text, "utf-8")
    found = read(name)
    listed = {"sha256": found["sha256"] | {file: files.digest(path)}}
    run_folder.write_json(path.with_name("results.json"), stored.sealed(found | listed))


def runs(name: str, wanted: Iterable[str]) -> list[Path]:
    """The folders of runs, every file of which is `intact`."""
    place = _folder(name)
    folders = {run: place / run for run in wanted}
    for file, listed in read(name)["sha256"].items():
        if file.partition("/")[0] in folders:
            _checked(place / file, listed)
    return [*folders.values()]
