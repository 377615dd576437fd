"""A plan on a borrowed machine: several processes work, and runs leave it in small files.

`pack` writes finished runs, with weights in bfloat16, and on request unfinished ones with their
newest checkpoint, as parts of at most `LARGEST` bytes. `unpack` puts them into the same plan on
another machine, where fine-tunings start from the former and the latter are resumed bit for bit.
"""

import logging
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from birdiedna.data import stored
from birdiedna.data.files import digest, scratch
from birdiedna.experiments import config_json
from birdiedna.experiments import plan as plans
from birdiedna.experiments.plan import Plan
from birdiedna.experiments.run_spec import RunSpec
from birdiedna.training import checkpoint, run_folder, run_writer, stop, weights
from birdiedna.training.checkpoint import Checkpoint

#: Bytes of a part.
LARGEST = 15_000_000
_SUMS = "SHA256SUMS"
_WEIGHTS = "model.safetensors"
_WHOLE = "packed.tmp"
_PARTIAL = ".partial"
#: Files that an unfinished run is resumed from, besides its checkpoint.
_BEGUN = ("config.json", "events.jsonl", "sessions.json")
_AGAIN = "pack the runs again"
_LOG = logging.getLogger(__name__)


def work(
    folder: Path, minutes: float, workers: int = 1, only: Sequence[str] = (), device: str = ""
) -> int:
    """Work on a plan by several processes that share the device and its memory.

    `only`, `device` and errors are those of `plans.work`.

    Returns:
      0 if no run is left to do, 75 if the time is up, else the status of a process that failed.
    """
    plans.chosen(plans.read(folder), only)
    words = [sys.executable, "-m", "birdiedna", "plan", "work", str(folder)]
    words += ["--budget-minutes", f"{minutes:.3f}"]
    words += ["--only", *only] * bool(only) + ["--device", device] * bool(device)
    own = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / workers:.3f}"} | os.environ
    statuses = together([words] * workers, env=own)
    return next((status for status in statuses if status not in (0, 75)), max(statuses))


def together(
    commands: Iterable[Sequence[str]], env: Mapping[str, str] = os.environ, **how: Any
) -> list[int]:
    """Run commands at once and pass on signals that ask to end; `env` and `how` as for `Popen`.

    They know their parent by $BIRDIEDNA_PARENT.

    Returns:
      their statuses, as a shell has them; after a signal none is 0.
    """
    processes: list[subprocess.Popen] = []
    received: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        received.append(number)
        for process in processes:
            process.send_signal(number)

    former = {n: signal.signal(n, forward) for n in stop.asking()}
    try:
        for words in commands:
            # own session: a terminal signals its whole group, which would be a second request
            own = {**env, stop.PARENT: str(os.getpid())}
            processes.append(subprocess.Popen(words, env=own, start_new_session=True, **how))
        ended = [process.wait() for process in processes]
    finally:
        for process in processes:
            process.kill()
        for number, handler in former.items():
            signal.signal(number, handler)
    if received:
        ended = [status or -received[0] for status in ended]
    return [128 - status if status < 0 else status for status in ended]


class NothingToPack(ValueError):
    """No run of a plan can be packed."""


def pack(
    folder: Path, into: Path, only: Sequence[str] = (), unfinished: Container[str] = ()
) -> list[Path]:
    """Write runs of a plan into `into` as parts with checksums, in place of older parts, which stay
    if it fails.

    A pre-trained model is packed in bfloat16. A damaged run is left out with a warning. An
    unfinished run is packed with its log and newest checkpoint, six times the bytes, if that is
    intact and no process works on it.

    Args:
      only: as in `plans.chosen`, by default all runs.
      unfinished: kinds of runs, such as "pretrain", that are also packed if unfinished.

    Raises:
      ValueError: there is no plan or no such run; `NothingToPack` if none can be packed.
    """
    plan = plans.read(folder)
    runs = plans.chosen(plan, only)
    finished = [run for run in runs if _is_intact(plan, run)]
    others = [run for run in runs if run.kind in unfinished]
    with ExitStack() as held:
        begun = {run.name: saved for run in others if (saved := _saved(plan, run, held))}
        if not finished and not begun:
            hint = "" if unfinished else ", or --unfinished packs unfinished ones"
            said = f"{folder}: no run is finished and intact: nothing to pack"
            raise NothingToPack(f"{said}; run `birdiedna plan work` first{hint}")
        temporary = into / "packing.tmp"
        held.enter_context(scratch(temporary, into))
        with tarfile.open(temporary / _WHOLE, "w") as tar:
            for run in finished:
                _add_finished(tar, run, plan.place(run.name), temporary)
            for name, saved in begun.items():
                inside = f"{name}{_PARTIAL}"
                for note in _BEGUN:
                    tar.add(plan.place(inside) / note, f"{inside}/{note}")
                tar.add(saved.path, f"{inside}/checkpoints/{saved.step}")
        parts: list[Path] = []
        with (temporary / _WHOLE).open("rb") as file:
            while part := file.read(LARGEST):
                parts.append(temporary / f"part-{len(parts):03d}.tar")
                parts[-1].write_bytes(part)
        listing = "".join(f"{digest(part)}  {part.name}\n" for part in parts)
        (temporary / _SUMS).write_text(listing)
        for old in (into / _SUMS, *into.glob("part-*.tar")):
            old.unlink(missing_ok=True)
        parts = [part.rename(into / part.name) for part in parts]
        (temporary / _SUMS).rename(into / _SUMS)
        return parts


def _add_finished(tar: tarfile.TarFile, run: RunSpec, place: Path, temporary: Path) -> None:
    """Add the files of a run, and its weights if others start from them."""
    for path in sorted(place.iterdir()):
        if path.is_file():  # not model/ and tensorboard/
            tar.add(path, f"{run.name}/{path.name}")
    if run.kind == "pretrain":
        weights.write_file(temporary / _WEIGHTS, config_json.pretrained(place), "bfloat16")
        tar.add(temporary / _WEIGHTS, f"{run.name}/{_WEIGHTS}")


def _is_intact(plan: Plan, run: RunSpec) -> bool:
    """Whether a run is finished and can be packed, which `unpack` would refuse if damaged."""
    if not run_folder.complete(place := plan.place(run.name)):
        return False
    try:
        _reached(run, place)
        if run.kind == "pretrain":
            config_json.pretrained(place)
    except (ValueError, OSError) as error:
        _LOG.warning("%s is not packed: %s", run.name, error)
        return False
    return True


def _saved(plan: Plan, run: RunSpec, held: ExitStack) -> Checkpoint | None:
    """The checkpoint of an unfinished run, whose lock is added to `held`; None if unusable."""
    partial = plan.log(run.name)
    if run_folder.complete(partial) or not partial.is_dir() or run.name in plan.failures():
        return None
    try:
        held.enter_context(run_writer.sole_writer(plan.place(f"{run.name}.lock")))
        return checkpoint.resumable(partial)
    except (ValueError, OSError) as error:  # such as a lock on a full disk
        _LOG.warning("%s is not packed: %s", run.name, error)
        return None


def unpack(folder: Path, parts: Path) -> list[str]:
    """Put packed runs into a plan, except those that are finished or further there.

    Returns:
      the names of the runs that are new or further than before.

    Raises:
      ValueError: there is no plan, a part is missing or damaged, a run is not of this plan, or
        another process is making it.
    """
    plan = plans.read(folder)
    known = {run.name: run for run in plan.runs}
    temporary = plan.folder / "unpacked.tmp"
    with scratch(temporary, plan.folder):
        with (temporary / _WHOLE).open("wb") as file:
            for part in _intact_parts(parts):
                file.write(part.read_bytes())
        try:
            with tarfile.open(temporary / _WHOLE, "r:") as tar:  # uncompressed: no bombs
                _extract(tar, temporary)
        except tarfile.TarError as error:
            raise stored.damaged(parts, error, _AGAIN) from None
        (temporary / _WHOLE).unlink()
        paths = sorted(temporary.iterdir(), reverse=True)  # a finished run beats its partial one
        found = {path.name.removesuffix(_PARTIAL): path for path in paths}
        if strange := [name for name in found if name not in known]:
            raise ValueError(f"{parts} contains {strange[0]}, which is no run of {plan.folder}")
        new = [name for name in found if not run_folder.complete(plan.place(name))]
        (plan.folder / "runs").mkdir(exist_ok=True)
        locks = {name: plan.place(f"{name}.lock") for name in new}
        for lock in filter(Path.exists, locks.values()):  # refused before any run is placed
            with run_writer.sole_writer(lock):
                pass
        placed = []
        for name, lock in locks.items():  # in turn: a process may have a thousand files open
            with run_writer.sole_writer(lock):
                placed += [name] * _placed(plan, known[name], found[name], parts)
        return placed


def _extract(tar: tarfile.TarFile, folder: Path) -> None:
    """Extract files and folders; TarError for anything else, or outside of `folder`."""
    for member in tar.getmembers():
        inside = not {"/", ".."} & {*Path(member.name).parts}
        if not (inside and (member.isreg() or member.isdir())):
            raise tarfile.TarError(f"{member.name!r} is not a file or folder in it")
    tar.extraction_filter = getattr(tarfile, "data_filter", None)  # not in Python 3.11.3 and below
    tar.extractall(folder)


def _placed(plan: Plan, run: RunSpec, made: Path, parts: Path) -> bool:
    """Move an unpacked run into the plan, unless the plan's own is further.

    The ValueError for anything but what `pack` writes names `parts`.
    """
    partial = plan.place(f"{run.name}{_PARTIAL}")
    try:
        reached = _reached(run, made)
    except (ValueError, OSError) as error:
        raise stored.damaged(parts / made.name, error, _AGAIN) from None
    if made.name == partial.name:
        there = None
        with suppress(ValueError):  # every checkpoint is damaged: take the packed one
            there = checkpoint.resumable(partial)
        if run.name in plan.failures() or (there and there.step >= reached):
            return False
    if (packed := made / _WEIGHTS).exists():
        net, facts = weights.read(packed).net, {"weights": "bfloat16"}
        checkpoint.save_model(made, run.config.steps, net, facts)
        packed.unlink()
        run_folder.write_manifest(made, run_folder.read(made, "manifest"))
    shutil.rmtree(partial, ignore_errors=True)
    made.rename(plan.place(made.name))
    return True


def _reached(run: RunSpec, made: Path) -> int:
    """The step of an unpacked run; ValueError or OSError if it is not what `pack` writes of it."""
    begun = made.name.endswith(_PARTIAL)
    if not begun and not run_folder.complete(made):
        raise ValueError("it has no manifest.json")
    if begun and (other := {path.name for path in made.iterdir()} ^ {*_BEGUN, "checkpoints"}):
        raise ValueError(f"{min(other)} is missing or unexpected")
    wanted, found = run_folder.to_json(run.record()), run_folder.read(made, "config")
    if differ := run_folder.differences(found, wanted):
        raise ValueError(f"it has another config: {differ}")
    if not begun:
        if faults := run_folder.problems(made):
            raise ValueError(faults[0])
        return run.config.steps
    saved = checkpoint.resumable(made)
    if not saved or saved.facts.get("config") != run_folder.fingerprint(run.config):
        raise ValueError("it has no checkpoint of its config")
    for _ in run_folder.each_event(made):
        pass  # which reads every line
    return saved.step


def _intact_parts(folder: Path) -> list[Path]:
    """The parts in order; ValueError if one is missing or damaged."""
    listing = folder / _SUMS
    if not listing.is_file():
        raise ValueError(f"{folder} contains no packed runs: {_SUMS} is missing")
    found = []
    for line in listing.read_text(errors="replace").splitlines():
        checksum, _, name = line.partition("  ")
        path = folder / Path(name).name
        if not path.is_file() or digest(path) != checksum:
            raise ValueError(f"{path} is missing or damaged; copy it again")
        found.append(path)
    return found
