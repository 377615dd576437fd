"""Checkpoints: complete or absent, every byte verified before use.

    <folder>/<step>/state.npz      the arrays of a pytree, by their key paths
    <folder>/<step>/host.npz       arrays that are not on a device, whose shapes may change
    <folder>/<step>/facts.json     format, step, and the caller's facts on config and data
    <folder>/<step>/SHA256SUMS     checksums of all of these, written last

A checkpoint is written to a temporary folder, then renamed.
"""

import errno
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from birdiedna.data import files
from birdiedna.data.names import listed
from birdiedna.data.stored import damaged, read_arrays, read_json
from birdiedna.training import devices, optimizer, run_folder, stop

FORMAT = 1
_SUMS = "SHA256SUMS"
_PARTS = {"state.npz", "host.npz", "facts.json"}
_REMEDY = "use an older checkpoint"
#: The facts that a resume reads, as a shape (`stored.misfit`).
_FACTS = {"log_bytes?": int, "log_sha256?": str, "chain?": str}
_LOG = logging.getLogger(__name__)


class Checkpoint(NamedTuple):
    """A verified checkpoint and its facts."""

    path: Path
    step: int
    facts: dict[str, Any]


def save(
    folder: Path,
    step: int,
    tree: Any,
    host: Mapping[str, Any],
    facts: Mapping[str, Any],
    keep: int = 2,
) -> Path:
    """Write `folder/<step>`; remove all but the newest `keep` intact checkpoints, and later steps.

    Later steps are damaged, or a resume would have started from them. All processes must call this;
    the first writes.

    Args:
      step: the checkpoint's name; an older one of the same step is replaced.
      tree: pytree of arrays; `host` are further arrays of any shape, by name.
      facts: JSON values that `resume` compares, such as fingerprints of config and data.

    Raises:
      OSError: the disk is full or not writable; earlier checkpoints are untouched.
    """
    flat = devices.gathered(_flat(tree))
    if jax.process_index():
        return folder / str(step)
    folder.mkdir(parents=True, exist_ok=True)
    place, needed = folder / str(step), _needed(*flat.values(), *host.values())
    try:
        if shutil.disk_usage(folder).free < needed:
            raise OSError(errno.ENOSPC, "No space left on device")
        with files.whole(place) as temporary:
            _write(temporary, flat, host, {"format": FORMAT, "step": step, **facts})
            shutil.rmtree(place, ignore_errors=True)
        _sync(folder)
    except Exception as error:
        number = getattr(error, "errno", None)
        if number in files.FULL or "No space left" in str(error):
            steps = ", ".join(map(str, _steps(folder))) or "(none)"
            kept = f"no checkpoint of step {step} was written, those of steps {steps} stay"
            full = OSError(number or errno.ENOSPC, "the disk is full")
            raise run_folder.disk_error(full, folder, needed, kept) from error
        raise
    older = [old for old in _steps(folder) if old < step]
    good = [old for old in older if not problems(folder / str(old))][: keep - 1]
    needless = [folder / str(old) for old in _steps(folder) if old not in (step, *good)]
    for path in (*needless, *folder.glob("*.tmp")):
        shutil.rmtree(path)
    return place


def _needed(*arrays: Any) -> int:
    """Free bytes that a checkpoint of these arrays needs."""
    return int(1.1 * sum(x.nbytes for x in arrays)) + (1 << 20)


def check_room(run: Path, tree: Any) -> None:
    """Refuse (OSError) a run whose checkpoints do not fit the disk, before it is trained."""
    needed = _needed(*jax.tree.leaves(tree))
    if not jax.process_index() and shutil.disk_usage(run).free < needed:
        full = OSError(errno.ENOSPC, "too little disk space for a checkpoint")
        raise run_folder.disk_error(full, run, needed, "nothing was trained")


def _write(
    folder: Path, flat: Mapping[str, Any], host: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    """Write and flush all files of a checkpoint, the checksums last."""
    np.savez(folder / "state.npz", **flat)
    np.savez(folder / "host.npz", **host)
    run_folder.write_json(folder / "facts.json", facts)
    (folder / _SUMS).write_text(_listing(_sums(folder)))
    _sync(*folder.rglob("*"), folder)


def save_progress(
    run: Path, step: int, tree: Any, host: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    """Save a checkpoint of a run, with the state of its log."""
    save(run / "checkpoints", step, tree, host, {**facts, **run_folder.log_facts(run)})


def save_model(run: Path, step: int, model: Any, facts: Mapping[str, Any]) -> None:
    """Save the weights that a run keeps; those of other steps are removed."""
    save(run / "model", step, model, {}, facts, keep=1)


def load_model(run: Path, like: Any) -> Any:
    """The weights that a run keeps, in the structure of `like` (arrays or shapes).

    ValueError if there are none, or they are damaged or those of another run; other errors as in
    `restore`.
    """
    folder = Path(run) / "model"
    if not (steps := _steps(folder)):
        raise ValueError(f"{run} contains no undamaged model; remove the run and make it again")
    path = folder / str(steps[0])
    if faults := problems(path):
        raise damaged(path, "; ".join(faults), f"remove {run} and make the run again")
    run_folder.check_model(run)
    return restore(path, like)


def saver(ask: stop.Ask, save_s: float) -> Callable[..., None]:
    """A function to call, with a function that saves, wherever training can be resumed.

    It saves every `save_s` seconds (not with `timed=False`) and when `ask` says to stop, and then
    raises `stop.Stopped`. All processes follow the first.
    """
    saved_at = time.monotonic()

    def offer(save: Callable[[], Any], timed: bool = True) -> None:
        nonlocal saved_at
        stopped = devices.agree_to_stop(ask())
        due = stopped is not None or (timed and time.monotonic() - saved_at >= save_s)
        if devices.broadcast_from_first(np.bool_(due)):
            save()
            saved_at = time.monotonic()
        if stopped:
            raise stopped

    return offer


def _flat(tree: Any) -> dict[str, jax.Array]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _sums(path: Path) -> dict[str, str]:
    """sha256 of every file below a folder, by its relative path."""
    return {name: mark for name, mark in files.sums(path).items() if name != _SUMS}


def _listing(sums: Mapping[str, str]) -> str:
    return "".join(f"{checksum}  {name}\n" for name, checksum in sums.items())


def _sync(*paths: Path) -> None:
    """Flush files and folders to disk; some shared file systems flush no folders."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if not path.is_dir() or error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
                raise
        finally:
            os.close(handle)


def _steps(folder: Path) -> list[int]:
    """The steps that have a folder, newest first."""
    names = [p.name for p in folder.glob("*/")] if folder.is_dir() else []
    return sorted((int(name) for name in names if name.isdecimal()), reverse=True)


def problems(path: Path) -> list[str]:
    """The faults of a checkpoint, file by file; no array is loaded."""
    listing = path / _SUMS
    if not listing.is_file():
        return [f"{_SUMS} is missing: the checkpoint was never finished"]
    text, have = listing.read_bytes().decode(errors="replace"), _sums(path)
    wanted = dict(line.split("  ", 1)[::-1] for line in text.splitlines() if "  " in line)
    if absent := _PARTS - {*wanted}:
        return [f"{_SUMS} does not list {', '.join(sorted(absent))}"]
    if text == _listing(have):
        return []
    found = [f"{name} is missing" for name in wanted if name not in have]
    found += [f"{name} was not saved with it" for name in have if name not in wanted]
    other = [name for name, mark in have.items() if wanted.get(name, mark) != mark]
    size = lambda name: f"{(path / name).stat().st_size:,} bytes"
    found += [f"{name} is not as it was saved ({size(name)})" for name in other]
    return found or [f"{_SUMS} is damaged"]


def intact(folder: Path) -> Iterator[Checkpoint]:
    """Intact checkpoints, newest first; damaged ones are skipped with a warning."""
    for step in _steps(folder):
        path = folder / str(step)
        if faults := problems(path):
            _LOG.warning("checkpoint %s is damaged: %s", path, "; ".join(faults[:5]))
        else:
            yield Checkpoint(path, step, read_json(path / "facts.json", _FACTS, _REMEDY))


def resumable(run: Path) -> Checkpoint | None:
    """The newest intact checkpoint whose part of the log is intact; None if none was saved.

    ValueError if there are checkpoints, but none is usable.
    """
    folder = run / "checkpoints"
    for left in folder.glob("*.tmp"):
        _LOG.warning("%s was not finished and is not used", left)
    for found in intact(folder):
        if run_folder.log_is_intact(run, found.facts, found.step):
            return found
        _LOG.warning("checkpoint %s: the log has lost lines before it", found.path)
    steps = [step for step in _steps(folder) if any((folder / str(step)).iterdir())]
    if steps:
        raise ValueError(
            f"every checkpoint in {folder} is damaged (steps {', '.join(map(str, steps))}); put an "
            f"intact copy there, or remove {run} to start again"
        )
    return None


def resume(run: Path, facts: Mapping[str, Any]) -> Checkpoint | None:
    """The checkpoint to resume from, with the log truncated to it; None to start with an empty log.

    Raises:
      ValueError: as `resumable`; or facts differ, such as fingerprints of config or data, and the
        message gives both values of each.
    """
    if not (saved := resumable(run)):
        if not jax.process_index():  # other processes never have checkpoints
            run_folder.rewind(run, 0)
        return None
    wanted = {"format": FORMAT, **facts}
    stored = {name: saved.facts.get(name) for name in wanted}
    if differ := run_folder.differences(stored, wanted):
        raise ValueError(
            f"checkpoint {saved.path} belongs to another run ({differ}); give the same command and "
            "data as before, or remove the folder to start again"
        )
    run_folder.rewind(run, saved.facts["log_bytes"])
    return saved


def restore(path: Path, like: Any) -> Any:
    """The pytree of a checkpoint, in the structure of `like` (arrays or shapes).

    The ValueError for other names, shapes or types than those of `like` lists them.
    """
    return fitted(read_arrays(Path(path) / "state.npz", remedy=_REMEDY), like, path)


def fitted(stored: Mapping[str, np.ndarray], like: Any, path: Path) -> Any:
    """Arrays by key path as a pytree in the structure of `like`; errors as `restore`."""
    wanted, stored = _flat(like), dict(stored)
    for name, x in stored.items():
        if name in wanted and x.dtype.kind == wanted[name].dtype.kind == "V":
            stored[name] = x.view(wanted[name].dtype)  # .npz files lose the name of bfloat16
    have, want = ({n: (x.shape, str(x.dtype)) for n, x in of.items()} for of in (stored, wanted))
    if wrong := sorted(name for name in want | have if want.get(name) != have.get(name)):
        rows = [f"{n}: stored {have.get(n)}, wanted {want.get(n)}" for n in wrong]
        raise ValueError(
            f"{path} does not fit the model: {len(wrong)} arrays differ: {listed(rows)}; use the "
            "run's own config"
        )
    leaves = [jnp.asarray(stored[name]) for name in wanted]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def host(
    path: Path, *names: str, wrong: Callable[[Mapping[str, np.ndarray]], str] = lambda _: ""
) -> dict[str, Any]:
    """The host arrays of a checkpoint.

    Raises:
      ValueError: the file is damaged, lacks one of `names`, or `wrong` says what is wrong with it.
    """
    file = Path(path) / "host.npz"
    found = read_arrays(file, names=names, remedy=_REMEDY)
    if why := wrong(found):
        raise damaged(file, why, _REMEDY)
    return found


def failed_step(done: int, skipped: ArrayLike) -> int | None:
    """The first step, from 0, of the `PATIENCE` failed updates in a row that end a run, or None.

    `skipped` (C,) counts the updates skipped in a row up to each of the last C of the `done` steps.
    """
    over = np.flatnonzero(np.asarray(skipped) >= optimizer.PATIENCE)
    return done - np.size(skipped) + int(over[0]) - optimizer.PATIENCE + 1 if len(over) else None


def dump_failure(
    run: Path, model: Any, step: int, host: Mapping[str, Any], facts: Mapping[str, Any]
) -> ArithmeticError:
    """Save what reproduces a failed step in the run's `failure/`; returns the error to raise.

    `model` is the one before `step`, since failed updates do not change it; `host` contains the
    other inputs of the step, its losses and norms.
    """
    place = save(run / "failure", step, model, host, facts, keep=1)
    return ArithmeticError(
        f"{optimizer.PATIENCE} updates in a row were not finite, from step {step:,} on; the model "
        f"before them, {', '.join(host)} are in {place}; try a lower learning rate"
    )
