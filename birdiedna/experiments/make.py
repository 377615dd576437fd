"""Making runs: what is finished is skipped, what was begun is resumed, failures are noted.

Chapters, the command line and the machine with the accelerator make their runs by this one loop.
"""

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from birdiedna.data.genome import Genome
from birdiedna.data.labelled import Labelled
from birdiedna.data.stored import read_json
from birdiedna.experiments import cost
from birdiedna.experiments.run_spec import RunSpec
from birdiedna.model import transformer
from birdiedna.training import (
    devices,
    environment,
    finetune,
    pretrain,
    run_folder,
    run_writer,
    stop,
)
from birdiedna.training.pretrain import PretrainConfig

Rows = tuple[Labelled, Labelled, Labelled]


class Workplace(NamedTuple):
    """Where and how runs are made; nothing here changes what they compute.

    folder: of the run folders. read: the genome or the rows of a run. show: runs through the events
    of a run. device: what runs need, as in `devices.require`. remake: make runs of other code
    again. failures: a JSON file, run -> why it cannot be finished; without one, errors are raised.
    measure: the device's ceiling is noted beside the runs. keep_weights: of fine-tunings.
    shard_state: weights and moments of a pre-training are divided over the devices.
    """

    folder: Path
    read: Callable[[RunSpec], Genome | Rows]
    show: Callable[[RunSpec, Iterator[Mapping[str, Any]]], Any]
    device: str
    remake: bool = False
    failures: Path | None = None
    measure: bool = False
    keep_weights: bool = True
    shard_state: bool = False


class Failed(Exception):
    """A run that cannot be finished; others can."""


def work(suite: Sequence[RunSpec], place: Workplace, ask: stop.Ask) -> list[Path]:
    """Make every run of a suite that is not finished, in order.

    A run that training gives up, or that does not fit its start or its device, is noted in the
    workplace's `failures`; those that would start from it are skipped, and the others are made.

    Args:
      suite: a run comes after the one it starts from.
      ask: asked within runs and between them whether to stop.

    Returns:
      the folders of the suite.

    Raises:
      ValueError: no such device, unfit data, or another process is making a run.
      stop.Stopped: `ask` said so; a checkpoint was saved.
    """
    ceiling, made = None, 0
    for spec in suite:
        folder, failed = place.folder / spec.name, failures(place.failures)
        done = finished(folder, place.remake) or spec.name in failed or spec.start in failed
        if devices.broadcast_from_first(np.bool_(done)):
            continue
        if made and (stopped := devices.agree_to_stop(ask())):
            raise stopped
        made += 1
        devices.require(place.device)
        ceiling = ceiling or (cost.ceiling() if place.measure else None)
        try:
            _make(spec, place, ask, ceiling)
        except Failed as error:
            if place.failures is None:
                raise error.__cause__ or error from None
            run_folder.write_json(place.failures, failed | {spec.name: str(error)})
            print(f"{spec.name}: {error}", file=sys.stderr, flush=True)
    return [place.folder / spec.name for spec in suite]


def finished(folder: Path, remake: bool = False) -> bool:
    """Whether a run is finished; with `remake`, by this code."""
    return run_folder.complete(folder) and (not remake or same_code(folder))


def same_code(folder: Path) -> bool:
    """Whether a finished run was made by this code."""
    return run_folder.read(folder, "manifest").get("code") == environment.code_fingerprint()


def failures(path: Path | None) -> dict[str, str]:
    """Runs that cannot be finished, and why; to try one again, delete its line."""
    return read_json(path, {...: str}, "correct or remove it") if path and path.exists() else {}


def _make(spec: RunSpec, place: Workplace, ask: stop.Ask, ceiling: float | None) -> None:
    """Make or resume one run."""
    folder, facts, data = place.folder / spec.name, spec.manifest(), place.read(spec)
    writing = run_writer.writing(folder, spec.record(), facts, place.remake)
    with devices.enter_all_or_none(writing) as partial:
        try:
            place.show(spec, _events(spec, place, data, partial, ask))
        except (ArithmeticError, ValueError, NotImplementedError) as error:
            raise Failed(str(error)) from error
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise  # the device, rather than the run
            raise Failed(f"out of memory: {str(error).splitlines()[0]}") from error
        facts |= {"ceiling_flops": ceiling, "peak_memory_bytes": cost.peak_memory_bytes()}
        facts |= {"shard_state": True} if place.shard_state and spec.kind == "pretrain" else {}
    if spec.kind == "finetune" and not place.keep_weights:
        shutil.rmtree(folder / "model")


def _events(
    spec: RunSpec, place: Workplace, data: Any, partial: Path, ask: stop.Ask
) -> Iterator[Mapping[str, Any]]:
    """Train; the folder of the workplace holds the run that a fine-tuning starts from."""
    if isinstance(spec.config, PretrainConfig):
        return pretrain.train(
            spec.config, data, spec.seed, partial, ask, shard_state=place.shard_state
        )
    if spec.start == "random":
        net = transformer.init(spec.config.model, spec.seed)
    else:
        net = pretrain.load(place.folder / spec.start)[0]
    return finetune.train(spec.config, net, data, spec.finetune_seed, partial, ask)
