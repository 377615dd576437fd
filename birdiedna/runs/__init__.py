"""A run folder: what a figure needs is written here and read from nowhere else.

    config.json       the frozen configs, with the seed
    manifest.json     versions, device, git commit, data fingerprints, command, times
    events.jsonl      one JSON object per line, in order; in `results/` packed, as events.jsonl.gz
    predictions.npz   fine-tuning only
    model/            the weights
    checkpoints/      what to go on from, until the run is finished

`making` writes it, and moves it to its place when it is whole.
"""

import dataclasses
import errno
import gzip
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_PACKAGE = Path(__file__).parents[1]


def repository() -> Path:
    """The checkout that holds the package, or the working folder when it is installed elsewhere."""
    return _PACKAGE.parent if (_PACKAGE.parent / "_toc.yml").exists() else Path.cwd()


def root() -> Path:
    """Where runs live: $BIRDIEDNA_RUNS, else `runs/` in the repository."""
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


def place(profile: str, name: str, identity: Any) -> Path:
    """The folder of a run: its profile, its name, and a hash of config, seed and data.

    Raises:
      ValueError: the profile or the name is no plain name.
    """
    return root() / plain(profile) / f"{plain(name)}-{fingerprint(identity)[:8]}"


def plain(name: str) -> str:
    """The name, if a file may bear it; names of tasks and arms come from files of others.

    Raises:
      ValueError: it holds something else than letters, digits and `._+-`, begins with a dot or a
        dash, or is longer than 200 bytes.
    """
    if not re.fullmatch(r"[\w+][\w.+-]*", name) or len(name.encode()) > 200:
        raise ValueError(
            f"{name[:100]!r} cannot name a folder; use up to 200 letters, digits, `.`, `_`, `+` "
            "and `-`, a letter or digit first"
        )
    return name


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file with a final newline."""
    path.write_text(json.dumps(value, indent=1) + "\n")


def append(folder: Path, event: Mapping[str, Any]) -> None:
    """Add one event to the run's log, or nothing; numbers that are not finite become null.

    Raises:
      OSError: the disk is full or cannot be written; the log holds whole lines only.
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


def log_bytes(folder: Path) -> int:
    """How long the run's log is."""
    log = folder / "events.jsonl"
    return log.stat().st_size if log.exists() else 0


def rewind(folder: Path, size: int) -> None:
    """Cut the log back to `size` bytes: what it held when a checkpoint was saved.

    Raises:
      ValueError: it is shorter than that.
    """
    if log_bytes(folder) < size:
        raise ValueError(
            f"{folder}: the log is shorter than its checkpoint says; remove the folder"
        )
    if log_bytes(folder):
        os.truncate(folder / "events.jsonl", size)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def events(folder: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """The run's events in order, all or those of one kind.

    Raises:
      ValueError: the folder holds no run.
    """
    log, packed = (Path(folder) / name for name in ("events.jsonl", "events.jsonl.gz"))
    if not (log.exists() or packed.exists()):
        raise ValueError(f"{folder} holds no run; make it with `birdiedna pretrain` or `finetune`")
    text = log.read_text() if log.exists() else gzip.decompress(packed.read_bytes()).decode()
    every = [json.loads(line) for line in text.splitlines()]
    return [event for event in every if kind in (None, event["event"])]


def read(folder: Path, name: str) -> dict[str, Any]:
    """`config` or `manifest` of a run.

    Raises:
      ValueError: the folder holds no finished run.
    """
    path = Path(folder) / f"{name}.json"
    if not path.exists():
        raise ValueError(f"{folder} holds no {path.name}; make the run with `birdiedna pretrain`")
    return json.loads(path.read_text())


def complete(folder: Path) -> bool:
    """Whether the folder holds a finished run."""
    return (folder / "manifest.json").exists()
