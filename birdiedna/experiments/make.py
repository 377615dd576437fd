"""Make runs: skip finished ones, resume unfinished ones, note failures.

Chapters, the command line and remote machines all use this loop.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from birdiedna.data.genome import Genome
from birdiedna.data.labelled import Labelled
from birdiedna.data.stored import read_json
from birdiedna.experiments import config_json, progress
from birdiedna.experiments.run_spec import RunSpec
from birdiedna.model import attention, transformer
from birdiedna.model.transformer import Transformer
from birdiedna.training import (
    checkpoint,
    devices,
    environment,
    finetune,
    llama_start,
    pretrain,
    probe,
    run_folder,
    run_writer,
    stop,
)
from birdiedna.training.finetune import Classifier, FinetuneConfig, Start
from birdiedna.training.pretrain import PretrainConfig
from birdiedna.training.probe import ProbeConfig
from birdiedna.training.prompt import row_slots, rows_at_once

Rows = tuple[Labelled, Labelled, Labelled]
#: Seconds between checks of a run that another process makes.
POLL_S = 2.0


class Workplace(NamedTuple):
    """Where and how runs are made; nothing here changes what they compute.

    folder: contains the run folders. read: the genome or rows of a run. show: consumes the events
    of a run. device: what runs need, as in `devices.require`. remake: repeat runs of other code.
    shard_state: divide weights and moments of a pre-training over the devices. start: the weights
    that runs start from, if not those of a run in this folder. failures: for plans only, a JSON
    file of run -> why it failed; without it, errors are raised. With it, other processes may make
    runs too: they are waited for, and weights of fine-tunings are not kept. tracker: "" or one of
    `progress.TRACKERS`.
    """

    folder: Path
    read: Callable[[RunSpec], Genome | Rows]
    show: Callable[[RunSpec, Iterator[Mapping[str, Any]]], Any]
    device: str
    remake: bool = False
    shard_state: bool = False
    start: Callable[[], Transformer] | None = None
    failures: Path | None = None
    tracker: str = ""


class Failed(Exception):
    """A run failed; others may succeed."""


def work(suite: Sequence[RunSpec], place: Workplace, ask: stop.Ask) -> list[Path]:
    """Make every unfinished run of a suite, in order; returns their folders.

    A run that diverges, or does not fit its start or its device, is noted in `place.failures`; runs
    that start from it are skipped.

    Args:
      suite: each run comes after the one it starts from.
      ask: whether to stop, asked within runs and between them.

    Raises:
      ValueError: no such device, unfit data, another process is making a run, or the folder of a
        run contains another.
      stop.Stopped: `ask` said so; a checkpoint was saved.
    """
    for spec in suite:
        run_folder.check_name(place.folder / spec.name)
    may_stop, said = place.failures is not None, ""
    most: dict[str, int] = {}  # runs that failed together are made by half as many
    left, groups = suite, list[list[RunSpec]]()
    while left := _left(left, place):
        if may_stop and (stopped := devices.agree_to_stop(ask())):
            raise stopped
        may_stop = True
        names = {spec.name for spec in left}
        groups = [[s for s in of if s.name in names] for of in groups or _groups(left, most)]
        groups = [of for of in groups if of]
        ready = ([s for s in of if _can_begin(s, place)] for of in groups)
        if not (able := next(filter(None, ready), [])):
            waits = f"waiting for {left[0].start or left[0].name}, which another process makes"
            if waits != said:
                print(said := waits, flush=True)
            time.sleep(POLL_S)
            continue
        devices.require(place.device)
        data: Any = place.read(able[0])
        group = _together(able, place, most, data)
        if len(group) < len(able):
            groups = []  # the others may come later
        try:
            _make(group, place, data, ask)
        except Failed as error:
            if len(group) > 1:
                most |= {spec.name: len(group) // 2 for spec in group}
                groups = []  # smaller ones
            elif place.failures is None:
                raise error.__cause__ or error from None
            else:
                own = _noted(place.failures) if place.failures.exists() else {}
                run_folder.write_json(place.failures, own | {group[0].name: str(error)})
                print(f"{group[0].name}: {error}", file=sys.stderr, flush=True)
    return [place.folder / spec.name for spec in suite]


def _left(suite: Sequence[RunSpec], place: Workplace) -> list[RunSpec]:
    """The unfinished runs that have not failed, as the first host sees them."""
    failed = {*failures(place.failures.parent)} if place.failures else set()
    # one listing instead of a look for each run, of which a network drive makes seconds
    there = {*os.listdir(place.folder)} if place.folder.exists() else set()
    done = [
        (spec.name in there and finished(place.folder / spec.name, place.remake))
        or bool({spec.name, spec.start} & failed)
        for spec in suite
    ]
    agreed = devices.broadcast_from_first(np.array(done, bool))
    return [spec for spec, over in zip(suite, agreed, strict=True) if not over]


def _can_begin(spec: RunSpec, place: Workplace) -> bool:
    """Whether the start of a run is finished and no other process is making the run."""
    made = spec.start in ("", "random") or run_folder.complete(place.folder / spec.start)
    can = not place.failures or made and not run_writer.is_busy(place.folder / spec.name)
    return bool(devices.broadcast_from_first(np.bool_(can)))


def _groups(suite: Iterable[RunSpec], most: Mapping[str, int]) -> list[list[RunSpec]]:
    """Runs that can be made together, except on a CPU: fine-tunings of one task and protocol, and
    pre-trainings that differ only in the seed.

    Fine-tunings take the place of their last run, so that they follow all they start from;
    pre-trainings that of their first.
    """
    groups: dict[Any, list[RunSpec]] = {}
    for spec in suite:
        key: Any = spec.name
        config = spec.config
        if (number := _at_once(spec, most)) > 1:
            key = number, config, str(spec.data)
            if isinstance(config, FinetuneConfig):
                key = number, spec.task, replace(config, bidirectional=True), str(spec.rows)
                groups[key] = groups.pop(key, [])
        groups.setdefault(key, []).append(spec)
    return list(groups.values())


def _at_once(spec: RunSpec, most: Mapping[str, int], data: Any = None) -> int:
    """How many runs like this one fit the device together; `data` if they are read already.

    No more than `most` has for its name.
    """
    config = spec.config
    if isinstance(config, FinetuneConfig):
        slots = row_slots(data[0].tokens.shape[1] if data else 1)
    elif isinstance(config, ProbeConfig) or spec.llama or jax.device_count() > 1:
        return 1  # a Llama's start has a seed; several devices have one pre-training
    else:
        slots = config.slots
    number = devices.runs_at_once(config.rows * slots * config.model.width * config.model.blocks)
    return min(number, most.get(spec.name, number))


def _together(
    group: Sequence[RunSpec], place: Workplace, most: Mapping[str, int], data: Any
) -> list[RunSpec]:
    """The runs of a group at the same step as its first, up to as many as fit the device."""
    if len(group) == 1:
        return [group[0]]

    def step(spec: RunSpec) -> int:
        with suppress(ValueError):  # no checkpoint is usable: to make the run says so
            if saved := checkpoint.resumable(place.folder / f"{spec.name}.partial"):
                return saved.step
        return 0

    first = step(group[0])
    alike = (spec for spec in group if spec is group[0] or step(spec) == first)
    return list(islice(alike, _at_once(group[0], most, data)))


def finished(folder: Path, remake: bool = False) -> bool:
    """Whether a run is finished; with `remake`, whether by this code."""
    return run_folder.complete(folder) and (not remake or same_code(folder))


def same_code(folder: Path) -> bool:
    """Whether a finished run was made by this code."""
    return run_folder.read(folder, "manifest").get("code") == environment.code_fingerprint()


def failures(folder: Path) -> dict[str, str]:
    """Runs that failed and why, from all `failures*.json`; delete a line to retry its run."""
    found: dict[str, str] = {}
    for path in folder.glob("failures*.json"):
        found |= _noted(path)
    return found


def _noted(path: Path) -> dict[str, str]:
    return read_json(path, {...: str}, "correct or remove it")


def _make(group: Sequence[RunSpec], place: Workplace, data: Any, ask: stop.Ask) -> None:
    """Make or resume one run, or several together."""
    entered: list[tuple[RunSpec, dict[str, Any], Path]] = []
    with ExitStack() as stack:
        for spec in group:
            facts, folder = spec.manifest(), place.folder / spec.name
            writing = run_writer.writing(folder, spec.record(), facts, place.remake)
            try:
                partial = stack.enter_context(devices.enter_all_or_none(writing))
            except run_writer.Busy:
                if not place.failures:
                    raise
            else:
                entered.append((spec, facts, partial))
        if not entered:
            return
        own, noted, partials = zip(*entered, strict=True)
        try:
            events = _events(own, place, data, partials, ask)
            place.show(own[0], progress.tensorboard(partials, events) if place.tracker else events)
        except (ArithmeticError, ValueError, NotImplementedError) as error:
            raise Failed(str(error)) from error
        except jax.errors.JaxRuntimeError as error:
            if not devices.out_of_memory(error):
                raise  # the device, rather than the run
            raise Failed(f"out of memory: {str(error).splitlines()[0]}") from error
        divided = place.shard_state and own[0].kind == "pretrain"
        more = {"together": len(own)} if len(own) > 1 else {}
        more |= {"shard_state": True} if divided else {}
        for facts in noted:  # which `run_writer.writing` will store
            facts.update(more)
    for spec in own:
        if spec.kind == "finetune" and place.failures:
            # missing if the best model was saved on another machine
            shutil.rmtree(place.folder / spec.name / "model", ignore_errors=True)


def adopt(
    place: Path,
    config: Any,
    facts: Mapping[str, Any],
    net: Transformer | Classifier,
    source: Mapping[str, Any],
) -> None:
    """Write weights made elsewhere as a finished run; arguments and errors as `run_writer.writing`.

    Its log is empty; "imported" in its manifest is `source`, where the weights came from.
    """
    with run_writer.writing(place, config, {**facts, "imported": source}) as partial:
        (partial / "events.jsonl").touch()
        steps, marks = int(config.get("steps", 0)), {"imported": source}
        checkpoint.save_model(partial, steps, net, marks)


def _events(
    group: Sequence[RunSpec], place: Workplace, data: Any, partials: Sequence[Path], ask: stop.Ask
) -> Iterator[Mapping[str, Any]]:
    """Train, and yield what is logged."""
    first = group[0].config
    copies = 1 if isinstance(first, ProbeConfig) else 4  # of training: gradients, two moments
    kind = first.model.attention
    if reason := attention.absent(kind):
        raise ValueError(f"attention {kind!r} {reason}; attention=auto takes any device")
    devices.check_memory(transformer.shapes(first.model), copies, _batch_bytes(first, data))
    if isinstance(first, PretrainConfig):
        spec, shard = group[0], place.shard_state
        start = llama_start.read(Path(spec.llama), spec.seed) if spec.llama else None
        named = zip(group, partials, strict=True)
        runs = [pretrain.Run(one.seed, partial) for one, partial in named]
        return pretrain.train(first, data, runs, ask, shard_state=shard, start=start)
    nets = [_start(spec, place) for spec in group]
    if isinstance(first, ProbeConfig):
        return probe.train(first, nets[0], data, partials[0], ask)
    starts = []
    for spec, net, partial in zip(group, nets, partials, strict=True):
        assert isinstance(spec.config, FinetuneConfig)
        starts.append(Start(net, spec.finetune_seed, partial, spec.config.bidirectional))
    return finetune.train(first, starts, data, ask)


def _batch_bytes(config: PretrainConfig | FinetuneConfig | ProbeConfig, data: Any) -> int:
    """The least memory that a batch takes, in bytes."""
    if isinstance(config, PretrainConfig):
        return pretrain.least_bytes(config)
    slots = row_slots(data[0].tokens.shape[1])
    rows = rows_at_once(config.rows, slots)
    return rows * slots * transformer.widest_bytes(config.model, slots)


def _start(spec: RunSpec, place: Workplace) -> Transformer:
    """The weights that a probe or a fine-tuning starts from."""
    if spec.start == "random":
        return transformer.init(spec.config.model, spec.seed)
    if place.start:
        return place.start()
    return config_json.pretrained(place.folder / spec.start).net
