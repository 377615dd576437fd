"""A plan on a borrowed machine: several processes work, and what they made leaves in small files.

`pack` writes finished runs as parts of at most `LARGEST` bytes, weights in bfloat16; `unpack` puts
them into the same plan elsewhere, where fine-tunings start from them.
"""

import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from birdiedna.data import stored
from birdiedna.data.files import digest
from birdiedna.experiments import plan as plans
from birdiedna.training import checkpoint, pretrain, run_folder, weights
from birdiedna.training.weights import Model

#: Bytes of a part.
LARGEST = 15_000_000
_SUMS = "SHA256SUMS"
_WEIGHTS = "model.safetensors"
_WHOLE = "packed.tmp"


def work(
    folder: Path, minutes: float, workers: int = 1, only: Sequence[str] = (), device: str = ""
) -> int:
    """Work on a plan by several processes, which share the device and its memory.

    Each makes what no other is making; `only`, `device` and errors are those of `plans.work`.

    Returns:
      0 if nothing is left that could be done, 75 if the time is over, else the status of the first
      process that failed.
    """
    plans.chosen(plans.read(folder), only)
    words = [sys.executable, "-m", "birdiedna", "plan", "work", str(folder)]
    words += ["--budget-minutes", f"{minutes:.3f}"]
    words += ["--only", *only] * bool(only) + ["--device", device] * bool(device)
    shares = {"XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / workers:.3f}"} | os.environ
    with _ending([subprocess.Popen(words, env=shares) for _ in range(workers)]) as processes:
        statuses = [process.wait() for process in processes]
    return next((status for status in statuses if status not in (0, 75)), max(statuses))


@contextmanager
def _ending(processes: Sequence[subprocess.Popen]) -> Iterator[Sequence[subprocess.Popen]]:
    """Pass SIGTERM and SIGINT on; after an error of ours no process stays."""

    def forward(number: int, _: FrameType | None) -> None:
        for process in processes:
            process.send_signal(number)

    former = {n: signal.signal(n, forward) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
        for number, handler in former.items():
            signal.signal(number, handler)


def pack(folder: Path, into: Path) -> list[Path]:
    """Write the finished runs of a plan into `into` as parts, with checksums; older parts go.

    A pre-trained model leaves as bfloat16. What is not finished stays behind.

    Raises:
      ValueError: there is no plan, or no run is finished.
    """
    plan = plans.read(folder)
    finished = [run for run in plan.runs if run_folder.complete(plan.place(run.name))]
    if not finished:
        raise ValueError(f"{folder}: no run is finished; there is nothing to pack")
    into.mkdir(parents=True, exist_ok=True)
    for old in (*into.glob("part-*.tar"), into / _SUMS):
        old.unlink(missing_ok=True)
    whole = into / _WHOLE
    with tarfile.open(whole, "w") as tar:
        for run in finished:
            place = plan.place(run.name)
            for path in sorted(place.iterdir()):
                if path.is_file():  # not model/, nor what --track made
                    tar.add(path, f"{run.name}/{path.name}")
            if run.kind == "pretrain":
                net, config = pretrain.load(place)
                model = Model(net, config, run_folder.read(place, "manifest"))
                weights.write_file(into / _WEIGHTS, model, "bfloat16")
                tar.add(into / _WEIGHTS, f"{run.name}/{_WEIGHTS}")
                (into / _WEIGHTS).unlink()
    parts: list[Path] = []
    with whole.open("rb") as file:
        while part := file.read(LARGEST):
            parts.append(into / f"part-{len(parts):03d}.tar")
            parts[-1].write_bytes(part)
    whole.unlink()
    (into / _SUMS).write_text("".join(f"{digest(part)}  {part.name}\n" for part in parts))
    return parts


def unpack(folder: Path, parts: Path) -> list[str]:
    """Put packed runs into a plan; runs that are finished there stay. Returns their names.

    Raises:
      ValueError: there is no plan, a part is missing or damaged, or a run is not of this plan.
    """
    plan = plans.read(folder)
    known = {run.name: run for run in plan.runs}
    temporary = plan.folder / "unpacked.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        with (temporary / _WHOLE).open("wb") as file:
            for part in _intact_parts(parts):
                file.write(part.read_bytes())
        try:
            with tarfile.open(temporary / _WHOLE, "r:") as tar:  # plain, so that nothing grows
                tar.extractall(temporary, filter="data")
        except tarfile.TarError as error:
            raise stored.damaged(parts, error, "pack the runs again") from None
        (temporary / _WHOLE).unlink()
        names = sorted(path.name for path in temporary.iterdir())
        if strange := [name for name in names if name not in known]:
            raise ValueError(f"{parts} contains {strange[0]}, which is no run of {plan.folder}")
        new = [name for name in names if not run_folder.complete(plan.place(name))]
        for name in new:
            made, run = temporary / name, known[name]
            if (packed := made / _WEIGHTS).exists():
                net, facts = weights.read(packed).net, {"weights": "bfloat16"}
                checkpoint.save_model(made, run.config.steps, net, facts)
                packed.unlink()
            plan.place(name).parent.mkdir(exist_ok=True)
            made.rename(plan.place(name))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return new


def _intact_parts(folder: Path) -> list[Path]:
    """The parts, in order, each with the bytes that were written."""
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
