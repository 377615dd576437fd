"""A run folder: what a figure needs is written here and read from nowhere else.

    config.json       the frozen configs, with the seed
    manifest.json     versions, device, git commit, data fingerprints, command, times, checksums
    events.jsonl      one JSON object per line, in order; in `results/` packed, as events.jsonl.gz
    predictions.npz   fine-tuning and probes only
    model/            the weights
    checkpoints/      to resume from, until the run is finished

`run_writer` writes it, and moves it to its place when it is complete. From then on every reader
compares a file with its checksum in the manifest, and the manifest with its own.
"""

import dataclasses
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from birdiedna.data import stored
from birdiedna.data.files import digest, folder_of, replacing
from birdiedna.data.stored import NUMBER

_PACKAGE = Path(__file__).parents[1]
_LOGS = ("events.jsonl", "events.jsonl.gz")
_SUMMED = ("config.json", *_LOGS, "predictions.npz")
_PARTS = ("validation", "test")


def _maybe(names: str, kind: Any) -> dict[str, Any]:
    """Fields of a shape of `stored.misfit` that may be missing."""
    return {f"{name}?": kind for name in names.split()}


#: What figures read of a manifest; what is missing is not stated.
MANIFEST = {
    **_maybe("name kind profile arm task device", str),
    **_maybe("code git_commit command started finished", (str, NoneType)),
    **_maybe("seed finetune_seed", int),
    **_maybe("wall_s joules share", NUMBER),
    **_maybe("data sha256", {...: str}),
    **_maybe("rows", {...: int}),
    **_maybe("changes", [str]),
}
#: The events that `log`, `finetune` and `probe` write.
EVENT = {
    "event": str,
    **_maybe("step skipped tokens_seen bases_seen unique_bases_seen subset n_train", int),
    **_maybe("loss accuracy learning_rate grad_norm seconds tokens_per_s", NUMBER),
    **_maybe("predicted_reward spread reward fit_loss share cost", NUMBER),
    **_maybe("losses rows loss_tokens ratios rewards", {...: NUMBER}),
    **_maybe("predicted_rewards rows_share loss_tokens_share", {...: NUMBER}),
    **_maybe("explored", bool),
    **_maybe("split chain", str),
    **_maybe("exact", [str]),
}


def repository() -> Path:
    """The checkout that contains the package, or the working folder outside a checkout."""
    return _PACKAGE.parent if (_PACKAGE.parent / "_toc.yml").exists() else Path.cwd()


def root() -> Path:
    """Where runs are: $BIRDIEDNA_RUNS, else `runs/` in the repository."""
    return folder_of("BIRDIEDNA_RUNS", repository() / "runs")


def to_json(value: Any) -> Any:
    """A config as plain JSON values; a dataclass becomes its fields and its type's name."""
    if dataclasses.is_dataclass(value):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    return value


def fingerprint(value: Any) -> str:
    """sha256 of a config, or of anything `to_json` understands."""
    return hashlib.sha256(json.dumps(to_json(value), sort_keys=True).encode()).hexdigest()


def differences(stored: Any, now: Any, name: str = "") -> str:
    """Which fields of two JSON values differ, with both values; empty if none does."""
    if isinstance(stored, dict) and isinstance(now, dict):
        fields = ((key, f"{name}.{key}".lstrip(".")) for key in stored | now)
        found = (differences(stored.get(key), now.get(key), field) for key, field in fields)
        return "; ".join(filter(None, found))
    return "" if stored == now else f"{name}: stored {stored!r}, now {now!r}"


def place(profile: str, name: str, identity: Any) -> Path:
    """The folder of a run: its profile, its name, and a hash of config, seed and data.

    Raises:
      ValueError: the profile or the name is not `plain`.
    """
    return root() / plain(profile) / f"{plain(name)}-{fingerprint(identity)[:8]}"


def profile_name(given: str) -> str:
    """What runs of a profile are filed under: its name, or that of its file without `.json`."""
    return Path(given).stem if given.endswith(".json") else given


def plain(name: str) -> str:
    """The name, if it is safe as a file name; names of tasks and arms come from foreign files.

    Raises:
      ValueError: it contains anything but letters, digits and `._+-`, begins with a dot or a
        dash, or is longer than 200 bytes.
    """
    if not re.fullmatch(r"[\w+][\w.+-]*", name) or len(name.encode()) > 200:
        raise ValueError(
            f"{name[:100]!r} cannot name a folder; use up to 200 letters, digits, `.`, `_`, `+` "
            "and `-`, a letter or digit first"
        )
    return name


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file atomically.

    Raises:
      OSError: the disk is full or cannot be written; the old file stays.
    """
    text = json.dumps(value, indent=1) + "\n"
    try:
        with replacing(path) as temporary, temporary.open("w") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path}: {error.strerror}; {len(text):,} bytes are needed, "
            f"{shutil.disk_usage(path.parent).free:,} are free; nothing was changed; make room and "
            "start the same command again",
        ) from error


def append(folder: Path, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Log one event and return it; numbers that are not finite become null in the log.

    Raises:
      OSError: the disk is full or cannot be written; the log contains whole lines only.
    """
    line = (json.dumps(_finite(event), allow_nan=False) + "\n").encode()
    handle = os.open(folder / "events.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        before = os.fstat(handle).st_size
        try:
            if os.write(handle, line) < len(line):
                raise OSError(errno.ENOSPC, "the disk is full")
        except OSError as error:
            os.ftruncate(handle, before)
            raise OSError(
                error.errno,
                f"{folder}: {error.strerror}; the log keeps its {before:,} bytes of whole lines, "
                f"{len(line):,} more are needed; make room and start the same command again",
            ) from error
    finally:
        os.close(handle)
    return event


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def log_facts(folder: Path) -> dict[str, Any]:
    """Flush the log to disk; its length and sha256, for a checkpoint."""
    with (folder / "events.jsonl").open("ab+") as log:
        os.fsync(log.fileno())
        log.seek(0)
        text = log.read()
    return {"log_bytes": len(text), "log_sha256": hashlib.sha256(text).hexdigest()}


def log_is_intact(folder: Path, facts: Mapping[str, Any]) -> bool:
    """Whether the log still begins with what it was when `log_facts` gave these facts."""
    log = folder / "events.jsonl"
    text = log.read_bytes()[: facts.get("log_bytes", 0)] if log.exists() else b""
    return hashlib.sha256(text).hexdigest() == facts.get("log_sha256")


def rewind(folder: Path, size: int) -> None:
    """Cut the log back to `size` bytes, its length when a checkpoint was saved."""
    if (log := folder / "events.jsonl").exists():
        os.truncate(log, size)


def events(
    folder: Path, kind: str | None = None, fields: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The run's events in order, all or those of one kind.

    Args:
      fields: every event that is returned has these.

    Raises:
      ValueError: the folder has no log, or its log is damaged; the message names the line.
    """
    folder = Path(folder)
    log = next((log for name in _LOGS if (log := folder / name).exists()), None)
    if log is None:
        raise ValueError(
            f"{folder} contains no run; make it with `birdiedna pretrain` or `finetune`"
        )
    found, remedy = [], _remedy(folder)
    lines = stored.lines(intact(folder, log.name), log, remedy)
    for number, line in enumerate(lines, start=1):
        place = Path(f"{log}, line {number}")
        event = stored.parse(line, place, EVENT, remedy)
        if kind in (None, event["event"]):
            if missing := [field for field in fields if field not in event]:
                raise stored.damaged(place, f"it has no {missing[0]!r}", remedy)
            found.append(event)
    return found


def read(folder: Path, name: str, *fields: str) -> dict[str, Any]:
    """`config` or `manifest` of a run, which has these fields.

    Raises:
      ValueError: the file is missing or damaged, or lacks a field.
    """
    path, shape = Path(folder) / f"{name}.json", MANIFEST if name == "manifest" else {}
    if not path.exists():
        raise ValueError(
            f"{folder} contains no {path.name}; make the run with `birdiedna pretrain`"
        )
    found = stored.parse(intact(folder, path.name), path, shape, _remedy(folder))
    if missing := [field for field in fields if field not in found] or [""] * (not found):
        raise stored.damaged(path, f"it has no {missing[0]!r}", _remedy(folder))
    return found


def predictions(folder: Path) -> dict[str, np.ndarray]:
    """The predictions of a fine-tuning run or a probe, at each of its E evaluations.

    Returns:
      steps (E,), {validation,test}_logits (E, n, classes), {validation,test}_labels (n,); where
      logits are means over both strands, {validation,test}_opposite of the reverse complement.

    Raises:
      FileNotFoundError: there are none.
      ValueError: the file is damaged, or its arrays do not fit each other.
    """
    path = Path(folder) / "predictions.npz"
    names = ("steps", *(f"{part}_{what}" for part in _PARTS for what in ("logits", "labels")))
    found = stored.read_arrays(path, intact(folder, path.name), names, _remedy(folder))
    if wrong := _misshaped(found):
        raise stored.damaged(path, wrong, _remedy(folder))
    return found


def _misshaped(found: Mapping[str, np.ndarray]) -> str:
    """How arrays of predictions contradict each other; empty if they do not."""
    steps = found["steps"]
    if steps.ndim != 1 or steps.dtype.kind not in "iu":
        return f"steps are {steps.dtype} {steps.shape}"
    for part in _PARTS:
        logits, labels = found[f"{part}_logits"], found[f"{part}_labels"]
        if logits.dtype.kind != "f" or labels.dtype.kind not in "iu":
            return f"{part}: logits are {logits.dtype}, labels {labels.dtype}"
        if logits.ndim != 3 or labels.ndim != 1 or logits.shape[1] != len(labels):
            return f"{part}: logits {logits.shape} of labels {labels.shape}"
        if not 0 < len(steps) == len(logits) or not len(labels):
            return f"{part}: {len(steps)} steps, {len(logits)} evaluations, {len(labels)} rows"
        if found.get(f"{part}_opposite", logits).shape != logits.shape:
            return f"{part}: opposite {found[f'{part}_opposite'].shape} of logits {logits.shape}"
        if labels.min() < 0 or labels.max() >= logits.shape[2]:
            return f"{part}: labels {labels.min()} to {labels.max()} of {logits.shape[2]} classes"
        if not np.isfinite(logits).all():
            return f"{part}: a logit is not finite (did training diverge?)"
    return ""


def intact(folder: Path, name: str) -> bytes:
    """The bytes of a file of a run, if they are those that its manifest lists.

    A run that is not finished has no manifest, one of an older version no checksums: their files
    are read as they are.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is not as it was written.
    """
    text = (Path(folder) / name).read_bytes()
    if name != "manifest.json" and complete(folder):
        sums = read(folder, "manifest").get("sha256")
        if sums and sums.get(name) != hashlib.sha256(text).hexdigest():
            raise stored.damaged(Path(folder) / name, stored.ALTERED, _remedy(folder))
    return text


def problems(folder: Path) -> list[str]:
    """What is wrong with the files of a finished run that its manifest lists, one line each."""
    found = []
    try:
        listed = read(folder, "manifest").get("sha256", {})
    except ValueError as error:
        return [str(error)]
    for name in listed:
        try:
            intact(folder, name)
        except (ValueError, OSError) as error:
            found.append(str(error))
    return found


def _remedy(folder: Path) -> str:
    return f"get an intact copy, or remove {folder} and make the run again"


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write `manifest.json`, with checksums of the files that figures read, and its own.

    Raises:
      OSError: as `write_json`.
    """
    sums = {name: digest(folder / name) for name in _SUMMED if (folder / name).exists()}
    write_json(folder / "manifest.json", stored.sealed({**facts, "sha256": sums}))


def complete(folder: Path) -> bool:
    """Whether the folder contains a finished run."""
    return (Path(folder) / "manifest.json").exists()
