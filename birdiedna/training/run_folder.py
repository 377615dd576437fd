"""A run folder: what a figure needs is written here and read from nowhere else.

    config.json       the frozen configs, with the seed
    manifest.json     versions, device, git commit, data fingerprints, command, times
    events.jsonl      one JSON object per line, in order; in `results/` packed, as events.jsonl.gz
    predictions.npz   fine-tuning only
    model/            the weights
    checkpoints/      to resume from, until the run is finished

`run_writer` writes it, and moves it to its place when it is complete.
"""

import dataclasses
import errno
import gzip
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_PACKAGE = Path(__file__).parents[1]
_REMEDY = "get an intact copy, or remove {} and make the run again"


def repository() -> Path:
    """The checkout that contains the package, or the working folder outside a checkout."""
    return _PACKAGE.parent if (_PACKAGE.parent / "_toc.yml").exists() else Path.cwd()


def root() -> Path:
    """Where runs are: $BIRDIEDNA_RUNS, else `runs/` in the repository."""
    return Path(os.environ.get("BIRDIEDNA_RUNS") or repository() / "runs")


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
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("w") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
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


def events(folder: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """The run's events in order, all or those of one kind.

    Raises:
      ValueError: the folder has no log, or its log is damaged; the message names the line.
    """
    log, packed = (Path(folder) / name for name in ("events.jsonl", "events.jsonl.gz"))
    if not (log.exists() or packed.exists()):
        raise ValueError(
            f"{folder} contains no run; make it with `birdiedna pretrain` or `finetune`"
        )
    text = log.read_bytes() if log.exists() else gzip.decompress(packed.read_bytes())
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            event = json.loads(line)
            if kind in (None, event["event"]):
                found.append(event)
        except (ValueError, KeyError, TypeError):
            remedy = _REMEDY.format(log.parent)
            raise ValueError(f"{log}, line {number} is damaged: {remedy}") from None
    return found


def read(folder: Path, name: str) -> dict[str, Any]:
    """`config` or `manifest` of a run.

    Raises:
      ValueError: the file is missing or damaged.
    """
    path = Path(folder) / f"{name}.json"
    if not path.exists():
        raise ValueError(
            f"{folder} contains no {path.name}; make the run with `birdiedna pretrain`"
        )
    found = read_json(path)
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{path} is damaged: {_REMEDY.format(path.parent)}")
    return found


def read_json(path: Path) -> Any:
    """The value of a JSON file of a run.

    Raises:
      ValueError: it is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): {_REMEDY.format(path.parent)}") from None


def complete(folder: Path) -> bool:
    """Whether the folder contains a finished run."""
    return (folder / "manifest.json").exists()
