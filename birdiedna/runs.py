"""A run folder: what a figure needs is written here and read from nowhere else.

    config.json       the frozen configs, with the seed
    manifest.json     versions, device, git commit, data fingerprints, command, times
    events.jsonl      one JSON object per line, in order
    predictions.npz   fine-tuning only
    checkpoint/       Orbax

A run is made under a temporary name beside its place and moved there when it is whole.
"""

import ast
import dataclasses
import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

#: Modules whose code decides what a run computes; their hash is stored with it.
CORE = (
    "vocab batch spans genome objective objectives mixture model reward director training "
    "coverage journal pretrain finetune".split()
)
_PACKAGE = Path(__file__).parent


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


@cache
def code_fingerprint() -> str:
    """sha256 of the training core without comments and docstrings: prose edits keep it."""
    sources = (_PACKAGE / f"{name}.py" for name in CORE)
    return hashlib.sha256(
        "\n".join(_bare(source.read_text()) for source in sources).encode()
    ).hexdigest()


def _bare(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def git_commit() -> tuple[str | None, bool]:
    """The checkout's commit, and whether tracked files differ from it; (None, False) outside."""
    if not (_PACKAGE.parent / "_toc.yml").exists():
        return None, False
    ask = ["git", "-C", str(_PACKAGE)]
    try:
        commit = subprocess.run([*ask, "rev-parse", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run([*ask, "status", "--porcelain", "-uno"], capture_output=True)
    except OSError:
        return None, False
    return (
        (commit.stdout.strip() or None, bool(changed.stdout))
        if not commit.returncode
        else (None, False)
    )


def surroundings() -> dict[str, Any]:
    """Versions, device and commit, as a manifest records them; no path and no host name."""
    names = ("birdiedna", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    commit, dirty = git_commit()
    device = jax.devices()[0]
    return {
        "versions": {"python": platform.python_version()} | {n: _version(n) for n in names},
        "device": f"{jax.device_count()} x {device.device_kind}",
        "backend": jax.default_backend(),
        "cores": os.cpu_count(),
        "git_commit": commit,
        "git_dirty": dirty,
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def place(profile: str, name: str, identity: Any) -> Path:
    """The folder of a run: its profile, its name, and a hash of config, seed and data."""
    return root() / profile / f"{name}-{fingerprint(identity)[:8]}"


@contextmanager
def writing(folder: Path, config: Any, facts: Mapping[str, Any]) -> Iterator[Path]:
    """Make a run folder whole or not at all.

    Inside the block, write to the path it gives; when the block ends well, the manifest is added
    and the folder moves to its place, replacing an older one.

    Args:
      folder: the run's place.
      config: what `config.json` records.
      facts: name, kind, profile, arm, seed, command and data fingerprints for the manifest.
    """
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    _sweep(folder)
    partial.mkdir(parents=True)
    write_json(partial / "config.json", to_json(config))
    begun, clock = _now(), time.monotonic()
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    times = {"started": begun, "finished": _now(), "wall_s": round(time.monotonic() - clock, 3)}
    manifest = {**facts, **surroundings(), "code": code_fingerprint(), **times}
    write_json(partial / "manifest.json", manifest)
    _settle(partial, folder)


def _settle(partial: Path, folder: Path) -> None:
    """Move a whole run to its place; where another process was first, its run stays."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        partial.replace(folder)
    except OSError:
        if not complete(folder):
            raise
        shutil.rmtree(partial)


def _sweep(folder: Path) -> None:
    """Remove what processes that are gone left of this run."""
    for left in folder.parent.glob(f"{folder.name}.*.partial"):
        owner = int(left.name.split(".")[-2])
        if owner == os.getpid() or not _alive(owner):
            shutil.rmtree(left)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file with a final newline."""
    path.write_text(json.dumps(value, indent=1) + "\n")


def append(folder: Path, event: Mapping[str, Any]) -> None:
    """Add one event to the run's log; numbers that are not finite become null."""
    with (folder / "events.jsonl").open("a") as log:
        log.write(json.dumps(_finite(event), allow_nan=False) + "\n")


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
    log = Path(folder) / "events.jsonl"
    if not log.exists():
        raise ValueError(f"{folder} holds no run; make it with `birdiedna pretrain` or `finetune`")
    every = [json.loads(line) for line in log.read_text().splitlines()]
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
