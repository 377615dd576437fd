"""Checkpoints: whole or absent, every byte checked before it is used.

    <folder>/<step>/state/         Orbax: a pytree of arrays
    <folder>/<step>/host.npz       arrays whose shapes change from step to step
    <folder>/<step>/facts.json     format, step, and what the caller says of config and data
    <folder>/<step>/SHA256SUMS     of all of these, written last

A checkpoint is written beside its place and renamed. Orbax 0.12 restores an array file with a
flipped bit without a word and casts types silently (seen); hence the checksums and `_same`.
"""

import errno
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from birdiedna.data import files
from birdiedna.training import optimizer, run_folder

FORMAT = 1
_SUMS = "SHA256SUMS"
_PARTS = {"state", "host.npz", "facts.json"}
_PASSING = ".passing"
#: Of several processes only the first writes and reads; it must not wait for the others.
_FIRST = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0})
_LOG = logging.getLogger(__name__)


class Checkpoint(NamedTuple):
    """A checkpoint that was verified: where it is, its step, and the facts stored with it."""

    path: Path
    step: int
    facts: dict[str, Any]


def save(
    folder: Path,
    step: int,
    tree: Any,
    host: Mapping[str, np.ndarray],
    facts: Mapping[str, Any],
    keep: int = 2,
) -> Path:
    """Write a checkpoint as `folder/<step>`, then remove what it makes needless.

    That is all but the newest `keep` without a fault, and those of later steps: who saves this step
    has passed them over. Of several processes only the first writes.

    Args:
      folder: holds the checkpoints of one run.
      step: names the checkpoint; an older one of the same step is replaced.
      tree: pytree of arrays.
      host: further arrays, by name, of any shape.
      facts: JSON values that a reader compares, such as fingerprints of config and data.
      keep: how many stay, this one included.

    Raises:
      OSError: the disk is full or cannot be written; earlier checkpoints are untouched.
    """
    if jax.process_index():
        return folder / str(step)
    folder.mkdir(parents=True, exist_ok=True)
    passing, place = folder / f"{step}{_PASSING}", folder / str(step)
    needed = int(1.1 * sum(x.nbytes for x in (*jax.tree.leaves(tree), *host.values()))) + (1 << 20)
    try:
        shutil.rmtree(passing, ignore_errors=True)
        if shutil.disk_usage(folder).free < needed:
            raise OSError(errno.ENOSPC, "No space left on device")
        passing.mkdir()
        with ocp.StandardCheckpointer(multiprocessing_options=_FIRST) as checkpointer:
            checkpointer.save((passing / "state").absolute(), jax.tree.map(np.asarray, _flat(tree)))
        for note in (passing / "state").glob("commit_success.txt"):
            note.write_text("saved\n")  # Orbax writes the path of this machine into it
        np.savez(passing / "host.npz", **host)
        (passing / "facts.json").write_text(
            json.dumps({"format": FORMAT, "step": step, **facts}, indent=1) + "\n"
        )
        (passing / _SUMS).write_text(_listing(_sums(passing)))
        _flush(passing)
        shutil.rmtree(place, ignore_errors=True)
        passing.rename(place)
        _flush_folder(folder)
    except Exception as error:
        shutil.rmtree(passing, ignore_errors=True)
        if _full(error):
            raise _disk_full(folder, step, needed) from error
        raise
    _prune(folder, step, keep)
    return place


def _prune(folder: Path, step: int, keep: int) -> None:
    """Keep a step and the newest sound ones before it; what a kill left half written goes, too."""
    older = [old for old in _steps(folder) if old < step]
    sound = [old for old in older if not problems(folder / str(old))][: keep - 1]
    needless = [folder / str(old) for old in _steps(folder) if old not in (step, *sound)]
    for path in (*needless, *folder.glob(f"*{_PASSING}")):
        shutil.rmtree(path)


def _full(error: Exception) -> bool:
    return getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)


def _disk_full(folder: Path, step: int, needed: int) -> OSError:
    free = shutil.disk_usage(folder).free
    kept = ", ".join(map(str, _steps(folder))) or "(none)"
    return OSError(
        errno.ENOSPC,
        f"the disk of {folder} is full: {needed:,} bytes are needed, {free:,} are free; no "
        f"checkpoint of step {step} was written, those of steps {kept} stay; make room, then "
        "start the same command again",
    )


def _flat(tree: Any) -> dict[str, jax.Array]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file() and p.name != _SUMS)


def _sums(path: Path) -> dict[str, str]:
    """sha256 of every file below, by its path."""
    return {str(p.relative_to(path)): files.digest(p) for p in _files(path)}


def _listing(sums: Mapping[str, str]) -> str:
    return "".join(f"{checksum}  {name}\n" for name, checksum in sums.items())


def _flush(path: Path) -> None:
    """Have every file and folder below on the disk before the rename."""
    for file in (*_files(path), path / _SUMS):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    for folder in (path, *(p for p in path.rglob("*") if p.is_dir())):
        _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _steps(folder: Path) -> list[int]:
    """Steps that have a folder, newest first; passing and foreign names are no steps."""
    names = [p.name for p in folder.glob("*/")] if folder.is_dir() else []
    return sorted((int(name) for name in names if name.isdecimal()), reverse=True)


def problems(path: Path) -> list[str]:
    """What is wrong with a checkpoint, file by file; nothing, if all is well. Loads no array."""
    listing = path / _SUMS
    if not listing.is_file():
        return [f"{_SUMS} is missing: the checkpoint was never finished"]
    said, have = listing.read_bytes().decode(errors="replace"), _sums(path)
    wanted = dict(line.split("  ", 1)[::-1] for line in said.splitlines() if "  " in line)
    if absent := _PARTS - {Path(name).parts[0] for name in wanted}:
        return [f"{_SUMS} does not list {', '.join(sorted(absent))}"]
    if said == _listing(have):
        return []
    found = [f"{name} is missing" for name in wanted if name not in have]
    found += [f"{name} was not saved with it" for name in have if name not in wanted]
    found += [
        f"{name} is not as it was saved ({(path / name).stat().st_size:,} bytes)"
        for name, checksum in wanted.items()
        if name in have and have[name] != checksum
    ]
    return found or [f"{_SUMS} is damaged"]


def newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint without a fault; damaged ones are named in warnings and passed over."""
    return next(_sound(folder), None)


def _sound(folder: Path) -> Iterator[Checkpoint]:
    """Checkpoints without a fault, newest first; the others are named in warnings."""
    for step in _steps(folder):
        if faults := problems(folder / str(step)):
            _LOG.warning("checkpoint %s is damaged: %s", folder / str(step), "; ".join(faults[:5]))
            continue
        facts = json.loads((folder / str(step) / "facts.json").read_text())
        yield Checkpoint(folder / str(step), step, facts)


def resumable(run: Path) -> Checkpoint | None:
    """The newest checkpoint of a run folder to go on from; None if none was ever saved.

    It is without a fault, and the log still holds all that it held when the checkpoint was saved.

    Raises:
      ValueError: there are some, and none can be used.
    """
    folder = run / "checkpoints"
    for left in folder.glob(f"*{_PASSING}"):
        _LOG.warning("%s was not finished and is not used", left)
    for found in _sound(folder):
        if run_folder.holds(run, found.facts):
            return found
        _LOG.warning("checkpoint %s: the log has lost lines that it counts on", found.path)
    steps = [step for step in _steps(folder) if any((folder / str(step)).iterdir())]
    if steps:
        raise ValueError(
            f"every checkpoint in {folder} is damaged (steps {', '.join(map(str, steps))}); put a "
            f"sound copy there, or remove {run} to begin anew"
        )
    return None


def expect(checkpoint: Checkpoint, facts: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of another format, config or data.

    Raises:
      ValueError: a fact differs; the message names all that do, with both values.
    """
    wanted = {"format": FORMAT, **facts}
    differ = [name for name, value in wanted.items() if checkpoint.facts.get(name) != value]
    if differ:
        listed = "; ".join(
            f"{name}: stored {checkpoint.facts.get(name)!r}, now {wanted[name]!r}"
            for name in differ
        )
        raise ValueError(
            f"checkpoint {checkpoint.path} belongs to another run ({listed}); give the same "
            "command and data as before, or remove the folder to begin anew"
        )


def restore(path: Path, like: Any) -> Any:
    """The pytree of a checkpoint, in the structure of `like` (arrays or shapes).

    Raises:
      ValueError: names, shapes or types differ from `like`'s; the message holds the differences.
    """
    wanted = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in _flat(like).items()}
    state = (Path(path) / "state").absolute()
    with ocp.StandardCheckpointer(multiprocessing_options=_FIRST) as checkpointer:
        _same(path, _stored(path, checkpointer.metadata(state)), wanted)
        flat = checkpointer.restore(state, wanted)
    leaves = [jnp.asarray(flat[name]) for name in wanted]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def host(path: Path) -> dict[str, np.ndarray]:
    """The host arrays of a checkpoint."""
    with np.load(Path(path) / "host.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def _stored(path: Path, metadata: Any) -> dict[str, Any]:
    """Shape and type of every stored array, by name; Orbax has told them in several ways."""
    tree = getattr(metadata, "item_metadata", metadata)
    if tree is None:
        raise ValueError(f"{path} holds no readable arrays; use an older checkpoint")
    return dict(getattr(tree, "tree", tree))


def _same(path: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse what Orbax would cast or fill silently."""
    have = {name: (tuple(x.shape), np.dtype(x.dtype).name) for name, x in stored.items()}
    want = {name: (tuple(x.shape), np.dtype(x.dtype).name) for name, x in wanted.items()}
    wrong = sorted(name for name in want | have if want.get(name) != have.get(name))
    if wrong:
        rows = [f"{n}: stored {have.get(n)}, wanted {want.get(n)}" for n in wrong[:5]]
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ValueError(
            f"{path} does not fit the model: {len(wrong)} arrays differ: {'; '.join(rows)}{more}; "
            "use the run's own config"
        )


def first_step(done: int, skipped: np.ndarray) -> int:
    """The first of the updates, counted from 0, for which a run is given up.

    Args:
      done: steps done.
      skipped: (C,), updates skipped in a row up to each of the last C steps.
    """
    last = int(np.argmax(skipped >= optimizer.PATIENCE))
    return done - len(skipped) + last - optimizer.PATIENCE + 1


def kept(
    folder: Path, model: Any, step: int, host: Mapping[str, np.ndarray], facts: Mapping[str, Any]
) -> ArithmeticError:
    """Save what makes a failed step again below the run's `failure/`; the error says where.

    Args:
      folder: of the run.
      model: before the step; updates that failed have not changed it.
      step: `first_step`.
      host: all else that the step depends on, and how it went, by name.
      facts: as in `checkpoint.save`.
    """
    place = save(folder / "failure", step, model, host, facts, keep=1)
    return ArithmeticError(
        f"{optimizer.PATIENCE} updates in a row were not finite, from step {step:,} on; the model "
        f"before them, {', '.join(host)} are in {place}; try a lower learning rate"
    )
