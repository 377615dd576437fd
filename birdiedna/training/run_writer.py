"""Writing a run folder: one process at a time, resumed after a kill, complete or absent.

A run is made in `<folder>.partial`, which is renamed when the run is finished.
"""

import logging
import os
import platform
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax

from birdiedna.data import files, stored
from birdiedna.data.files import Busy, naming
from birdiedna.training import devices
from birdiedna.training.environment import code_fingerprint, surroundings
from birdiedna.training.run_folder import (
    differences,
    disk_error,
    to_json,
    write_json,
    write_manifest,
)

_LOG = logging.getLogger(__name__)


@contextmanager
def writing(
    folder: Path, config: Any, facts: Mapping[str, Any], remake: bool = False
) -> Iterator[Path]:
    """Make a run folder, or resume one that an earlier process left.

    The block writes to the path it is given, `<folder>.partial`, which contains checkpoints and log
    of the earlier process. If the block succeeds, the manifest is added and the folder takes the
    place of `folder`. If it fails, the partial folder is removed unless `checkpoints/` or
    `failure/` contain anything, damaged or not, or a disk error left a log. Of several processes
    only the first writes there; the others get a temporary folder.

    Args:
      config: written to `config.json`.
      facts: name, kind, profile, arm, seed, command and data fingerprints, for the manifest.
      remake: start again if the earlier process ran other code.

    Raises:
      Busy: another process is making this run; the message names process and host.
      ValueError: the earlier process had another config.
    """
    if jax.process_index():
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    partial = folder.with_name(f"{folder.name}.partial")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with sole_writer(folder.with_name(f"{folder.name}.lock")):
        made = _prepare(partial, to_json(config), remake)
        clock, energy = time.monotonic(), devices.joules()
        spent = lambda: {"seconds": round(time.monotonic() - clock, 3)}
        try:
            with naming(partial):
                yield partial
        except BaseException as error:
            kept = any(any(partial.glob(f"{name}/*")) for name in ("checkpoints", "failure"))
            logged = isinstance(error, OSError) and (partial / "events.jsonl").exists()
            if not kept and not logged:
                shutil.rmtree(partial, ignore_errors=True)
            else:
                with suppress(OSError):
                    _write_sessions(partial, [*made[:-1], made[-1] | spent()])
            raise
        made[-1] |= spent()
        used = {}
        if len(made) == 1 and energy is not None and (after := devices.joules()) is not None:
            used["joules"] = round(after - energy, 1)  # other processes on the card count
        _complete(partial, folder, {**facts, **surroundings(), **_times(made), **used})


def _times(made: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """When and by which code a run was made, from its sessions."""
    return {
        "code": made[-1]["code"],
        "other_code_before": len({session["code"] for session in made}) > 1,
        "started": made[0]["started"],
        "finished": _now(),
        "sessions": len(made),
        "wall_s": round(sum(session["seconds"] for session in made), 3),
    }


def _complete(partial: Path, folder: Path, facts: Mapping[str, Any]) -> None:
    """Add the manifest and rename the folder; an older run stays until the new one is in place."""
    (partial / "sessions.json").unlink()
    write_manifest(partial, facts)
    older = folder.with_name(f"{folder.name}.older")
    _remove(older)
    if folder.exists() or folder.is_symlink():
        folder.rename(older)
    partial.rename(folder)
    _remove(older)
    _remove(folder / "checkpoints")


def _remove(path: Path) -> None:
    """Remove whatever is at a path: a folder, a file, a link or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _prepare(partial: Path, config: Any, remake: bool) -> list[dict[str, Any]]:
    """Create the partial folder, or check an existing one; returns its sessions."""
    found, code = sessions(partial), code_fingerprint()
    if any(session["code"] != code for session in found):
        then = "starts again" if remake else "is resumed; its manifest records this"
        _LOG.warning("%s was started by other code: it %s", partial.name, then)
        if remake:
            shutil.rmtree(partial)
            found = []
    partial.mkdir(parents=True, exist_ok=True)
    before = _config(partial / "config.json")
    if before is None:  # safe: checkpoints record their config, too
        write_json(partial / "config.json", config)
    elif differ := differences(before, config):
        remedy = f"give its settings, or start again: rm -r {shlex.quote(str(partial))}"
        raise ValueError(f"{partial} was started with another config: {differ}; {remedy}")
    found.append({"started": _now(), "code": code})
    _write_sessions(partial, found)
    return found


def _write_sessions(partial: Path, made: Sequence[Mapping[str, Any]]) -> None:
    write_json(partial / "sessions.json", stored.sealed({"sessions": made}))


def _config(path: Path) -> dict[str, Any] | None:
    """The config that a run was started with; None if missing or half written."""
    try:
        return stored.read_json(path, {}) if path.exists() else None
    except ValueError as error:
        _LOG.warning("%s is written again: %s", path, error)
        return None


def sessions(partial: Path) -> list[dict[str, Any]]:
    """The processes that worked on an unfinished run: `started`, `code` and `seconds` of each.

    Those of a process that was killed or is still running end when the log was last written. A
    damaged list counts as empty, with a warning.
    """
    path = partial / "sessions.json"
    shape = {"sessions": [{"started": str, "code": str, "seconds?": (int, float)}]}
    try:
        listed = stored.read_json(path, shape)["sessions"] if path.exists() else []
        return [{"seconds": _seconds(partial, session["started"]), **session} for session in listed]
    except ValueError as error:
        _LOG.warning("%s is written again: %s", path, error)
        return []


def _seconds(partial: Path, started: str) -> float:
    """Seconds from the start of a process to the last event of the run."""
    log = partial / "events.jsonl"
    ended = log.stat().st_mtime if log.exists() else 0.0
    return round(max(0.0, ended - datetime.fromisoformat(started).timestamp()), 3)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Hold a lock file, with process and host, while the block runs; errors as `files.locked`."""
    by = _owner(path) or "unknown"
    busy = f"{path.stem} is being made by process {by}; wait for it, or stop it"
    with files.locked(path, busy) as held:
        if not held:
            _LOG.warning("no file locks here: do not start a second process on %s", path.stem)
        if left := _owner(path):
            _LOG.warning("process %s left %s unfinished", left, path.stem)
        owner = f"{os.getpid()} on {platform.node()}"
        try:
            try:
                path.write_text(owner)
            except OSError as error:
                raise disk_error(error, path, len(owner), "the run was not started") from error
            yield
        finally:
            path.unlink(missing_ok=True)


def is_busy(folder: Path) -> bool:
    """Whether another process is making this run now."""
    try:
        with files.locked(folder.with_name(f"{folder.name}.lock"), "busy", create=False):
            return False
    except FileNotFoundError:
        return False
    except Busy:
        return True


def _owner(path: Path) -> str:
    """Process and host in a lock file, on one line whatever it contains."""
    try:
        return " ".join(path.read_bytes()[:1000].decode(errors="replace").split())
    except FileNotFoundError:
        return ""
