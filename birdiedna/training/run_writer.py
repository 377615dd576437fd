"""How a run folder comes to be: by one process at a time, gone on with after a kill, whole.

A run is made in `<folder>.partial` and moved to its place when it is finished.
"""

import fcntl
import logging
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax

from birdiedna.training.environment import code_fingerprint, surroundings
from birdiedna.training.run_folder import parsed, to_json, write_json

_LOG = logging.getLogger(__name__)


@contextmanager
def writing(
    folder: Path, config: Any, facts: Mapping[str, Any], anew: bool = False
) -> Iterator[Path]:
    """Make a run folder whole or not at all; what an earlier process began is gone on with.

    Inside the block, write to the path it gives: `<folder>.partial`, with whatever checkpoints and
    log an earlier process left there. When the block ends well, the manifest is added and the
    folder moves to its place, replacing an older one. When it ends in an error, the partial folder
    stays if it holds a checkpoint, or the dump of a failure.

    Args:
      folder: the run's place.
      config: what `config.json` records.
      facts: name, kind, profile, arm, seed, command and data fingerprints for the manifest.
      anew: begin again where the earlier process ran other code.

    Of several processes that share one run the first keeps the folder; the others write into a
    passing one.

    Raises:
      ValueError: another process is making this run, or the earlier one had another config.
    """
    if jax.process_index():
        with tempfile.TemporaryDirectory() as passing:
            yield Path(passing)
        return
    partial = folder.with_name(f"{folder.name}.partial")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with sole_writer(folder.with_name(f"{folder.name}.lock")):
        sessions = _begin(partial, to_json(config), anew)
        clock = time.monotonic()
        try:
            yield partial
        except BaseException:
            if not any(partial.glob("*/*/SHA256SUMS")):
                shutil.rmtree(partial, ignore_errors=True)
            raise
        sessions[-1]["seconds"] = round(time.monotonic() - clock, 3)
        manifest = {**facts, **surroundings(), **_times(sessions)}
        (partial / "sessions.json").unlink()
        write_json(partial / "manifest.json", manifest)
        _settle(partial, folder)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # needed no more


def _begin(partial: Path, config: Any, anew: bool) -> list[dict[str, Any]]:
    """Prepare the partial folder, or check the one that is there; returns its sessions."""
    listing, now = partial / "sessions.json", {"started": _now(), "code": code_fingerprint()}
    sessions = _readable(listing) or []
    other = any(session["code"] != now["code"] for session in sessions)
    if other and anew:
        _LOG.warning("%s was begun by other code: it begins again", partial.name)
        shutil.rmtree(partial)
        sessions = []
    elif other:
        _LOG.warning("%s was begun by other code and goes on; its manifest says so", partial.name)
    if sessions and "seconds" not in sessions[-1]:  # it was killed: its log tells how late
        log = partial / "events.jsonl"
        ended = log.stat().st_mtime if log.exists() else 0.0
        begun = datetime.fromisoformat(sessions[-1]["started"]).timestamp()
        sessions[-1]["seconds"] = round(max(0.0, ended - begun), 3)
    partial.mkdir(parents=True, exist_ok=True)
    before = _readable(partial / "config.json")
    if before is None:  # checkpoints know their config, too
        write_json(partial / "config.json", config)
    elif differ := _differences(before, config):
        raise ValueError(f"{partial} was begun with another config: {differ}; remove it or use its")
    sessions.append(now)
    write_json(listing, sessions)
    return sessions


def _readable(path: Path) -> Any:
    """The value of a JSON file, None where there is none that can be read: it is written anew."""
    try:
        return parsed(path) if path.exists() else None
    except ValueError:
        _LOG.warning("%s cannot be read: it is written anew", path)
        return None


def _differences(one: Any, other: Any, name: str = "") -> str:
    """Which fields differ, with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = [
            _differences(one.get(key), other.get(key), f"{name}.{key}".lstrip("."))
            for key in one | other
        ]
        return "; ".join(filter(None, found))
    return "" if one == other else f"{name}: stored {one!r}, now {other!r}"


def _times(sessions: list[dict[str, Any]]) -> dict[str, Any]:
    """What a manifest says of the processes that made the run."""
    codes = {session["code"] for session in sessions}
    return {
        "code": sessions[-1]["code"],
        "other_code_before": len(codes) > 1,
        "started": sessions[0]["started"],
        "finished": _now(),
        "sessions": len(sessions),
        "wall_s": round(sum(session["seconds"] for session in sessions), 3),
    }


def _settle(partial: Path, folder: Path) -> None:
    """Move a whole run to its place; an older one is removed only after that."""
    older = folder.with_name(f"{folder.name}.older")
    shutil.rmtree(older, ignore_errors=True)
    if folder.exists():
        folder.rename(older)
    partial.rename(folder)
    shutil.rmtree(older, ignore_errors=True)


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Hold a lock file while the block runs; the lock ends with the process, however it ends.

    Raises:
      ValueError: another process holds it; the message names process and host.
    """
    handle = _locked(path)
    try:
        if left := os.read(handle, 1000).decode():
            _LOG.warning(
                "process %s left %s without finishing: it is gone on with", left, path.stem
            )
        _sign(handle, path)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _sign(handle: int, path: Path) -> None:
    """Write into a lock file who holds it."""
    try:
        os.truncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} on {platform.node()}".encode(), 0)
    except OSError as error:
        remedy = "make room and start the same command again"
        raise OSError(error.errno, f"{path}: {error.strerror}; {remedy}") from error


def _locked(path: Path) -> int:
    """An open, locked file that is still the one of that name."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 1000).decode() or "unknown"
            os.close(handle)
            raise ValueError(
                f"{path.stem} is being made by process {owner}; wait for it, or stop it"
            ) from None
        if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
            return handle
        os.close(handle)  # the former owner removed it between our opening and our locking


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
