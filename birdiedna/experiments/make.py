"""Runs by profile: made when they are missing, read when they are there.

Chapters and the command line ask here for run folders. A run is an `Order` before it is made; its
name ends in a hash of config, seed and data, so that another genome or setting never overwrites it.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from birdiedna.data import fasta, sample
from birdiedna.data import genome as genomes
from birdiedna.data.genome import Genome, Split, contigs_named
from birdiedna.data.labelled import fingerprint
from birdiedna.evaluation.paper_table import PRETRAINED
from birdiedna.experiments import results
from birdiedna.experiments.profiles import ARMS, PROFILES, Profile, profile, shown
from birdiedna.experiments.sources import SAMPLE, Sources, available_tasks, read_task
from birdiedna.model import transformer
from birdiedna.tasks import Task
from birdiedna.training import (
    devices,
    environment,
    finetune,
    pretrain,
    replay,
    run_folder,
    run_writer,
    stop,
)
from birdiedna.training.finetune import FinetuneConfig
from birdiedna.training.pretrain import PretrainConfig


class Order(NamedTuple):
    """A run to be made.

    name: of its folder. record: what `config.json` holds. facts: name, kind, profile, arm, seeds,
    data fingerprints and command, for the manifest.
    """

    name: str
    config: PretrainConfig | FinetuneConfig
    record: dict[str, Any]
    facts: dict[str, Any]


def pretrain_order(
    profile: str,
    arm: str,
    config: PretrainConfig,
    genome: Genome,
    sources: Sources,
    seed: int,
    replay: str = "",
) -> Order:
    """A pre-training; `replay` is the run whose ratios `config` commands again, if it does."""
    record = {"kind": "pretrain", "seed": seed, **run_folder.to_json(config)}
    name = f"pretrain-{arm}-seed{seed}" + "-replay" * bool(replay)
    name = run_folder.place(profile, name, (record, genome.fingerprint)).name
    facts = {
        "name": name,
        "kind": "pretrain",
        "profile": profile,
        "arm": arm,
        "seed": seed,
        "data": {"genome": genome.fingerprint},
        "data_notes": dict(genome.notes),
        "command": f"birdiedna pretrain --profile {profile} --arm {arm} --seed {seed}"
        + sources.options()
        + f" --replay {Path(replay).name}" * bool(replay),
    }
    return Order(name, config, record, facts)


def finetune_order(
    profile: str,
    arm: str,
    task: str,
    config: FinetuneConfig,
    rows: Task,
    before: Order | None,
    sources: Sources,
    seed: int,
    finetune_seed: int,
) -> Order:
    """A fine-tuning of what `before` pre-trains; None starts from random weights.

    Classes and mask are set as the task and the arm ask for. How rows were read is recorded, and is
    no part of the name: their fingerprints are.
    """
    config = replace(config, classes=len(rows.classes), bidirectional=arm != "ntp")
    marks = {part: fingerprint(getattr(rows, part)) for part in ("train", "validation", "test")}
    seeds, reading = {"seed": seed, "finetune_seed": finetune_seed}, sources.reading()
    start = before.name if before else "random"
    record = {
        "kind": "finetune",
        "task": task,
        "start": start,
        **seeds,
        **run_folder.to_json(config),
    }
    name = f"finetune-{task}-{arm}-seed{seed}.{finetune_seed}"
    name = run_folder.place(profile, name, (record, marks)).name
    facts = {
        "name": name,
        "kind": "finetune",
        "profile": profile,
        "arm": arm,
        "task": task,
        **seeds,
        "data": marks | (before.facts["data"] if before else {}),
        "rows": {part: len(getattr(rows, part).labels) for part in marks},
        "crop": list(rows.crop) or None,
        "reading": reading,
        "data_notes": rows.notes,
        "command": f"birdiedna finetune --profile {profile} --arm {arm} --task {task} "
        f"--seed {seed} --finetune-seed {finetune_seed}" + sources.options(),
    }
    return Order(name, config, record | {"reading": reading}, facts)


_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """How runs are made this time; nothing here changes what they compute.

    ask: whether to stop between chunks; without it, signals are heard. device: what runs need, as
    in `devices.require`; "" takes the profile's. replay: the folder of a run whose ratios are
    commanded again, without its reward model. stored: whether results of a profile's name stand for
    its runs; a name that is no profile can mean nothing but results.
    """

    ask: stop.Ask | None = None
    device: str = ""
    replay: str = ""
    stored: bool = False

    def reads(self, profile_name: str) -> bool:
        """Whether runs are read from `results/`, which has no weights, and never made."""
        return results.holds(profile_name) and (self.stored or profile_name not in PROFILES)

    @contextmanager
    def asking(self) -> Iterator[stop.Ask]:
        """What training asks."""
        if self.ask:
            yield self.ask
        else:
            with stop.watch() as ask:
                yield ask


#: Of the book: stored results are shown where there are some.
SHOWN = Session(stored=True)


def read_genome(sources: Sources) -> Genome:
    """The genome, read once per process and cached on disk."""
    devices.enable_compilation_cache(fasta.default_cache())
    return _genome(sources.genome_path())


def split(profile_name: str, sources: Sources) -> Split:
    """Which contigs of the genome are trained on, measured on, and never read.

    Raises:
      ValueError: as `genome.split`.
    """
    settings, genome = profile(profile_name), read_genome(sources)
    return genomes.split(genome, _validation(settings, sources, genome))


def _validation(settings: Profile, sources: Sources, genome: Genome) -> tuple[str, ...]:
    """The contigs for held-out loss: those named, the sample's own, or the profile's."""
    if sources.validation:
        return tuple(name.strip() for name in sources.validation.split(",") if name.strip())
    if sources.genome == SAMPLE:
        return sample.VALIDATION
    usual = settings.pretrain["ntp"].validation
    try:
        contigs_named(genome, usual)
    except ValueError as error:
        raise ValueError(f"{error}; name contigs for held-out loss with --validation") from None
    return usual


@cache
def _genome(path: Path) -> Genome:
    return fasta.read(path)


def pretrained(
    profile_name: str,
    arm: str,
    sources: Sources = Sources(),
    seed: int = 0,
    session: Session = SHOWN,
) -> Path:
    """The run folder of a pre-trained arm of the profile; trains it if it is missing.

    Without a session, what the book shows: where `results/` has the name, the stored run.

    What an earlier process began is gone on with, to the same end bit by bit.

    Raises:
      ValueError: unknown profile or arm, data that do not fit the config, no such device, or
        another process is making this run.
      stops.Stopped: a signal or the end of the time; a checkpoint was saved.
    """
    if session.reads(profile_name):
        return _collected(profile_name, sources, {"kind": "pretrain", "arm": arm, "seed": seed})
    settings = profile(profile_name)
    order = pretraining(profile_name, settings, arm, sources, seed, session.replay)
    folder = run_folder.root() / profile_name / order.name
    if not devices.broadcast_from_first(np.bool_(_usable(folder, settings))):
        devices.require(session.device or settings.device)
        writing = run_writer.writing(folder, order.record, order.facts, settings.remake)
        with session.asking() as ask, devices.enter_all_or_none(writing) as partial:
            events = pretrain.train(order.config, read_genome(sources), seed, partial, ask)
            _show(events, f"pre-train {arm}", order.config.steps)
    return folder


def pretraining(
    profile_name: str,
    settings: Profile,
    arm: str,
    sources: Sources,
    seed: int = 0,
    replayed: str = "",
) -> Order:
    """What `pretrained` makes, not made yet; `replayed` is the folder of a run.

    Raises:
      ValueError: unknown arm, or data that do not fit the config.
    """
    _check(arm, tuple(settings.pretrain), seed)
    genome = read_genome(sources)
    config = replace(settings.pretrain[arm], validation=_validation(settings, sources, genome))
    order = pretrain_order(profile_name, arm, config, genome, sources, seed)
    if not replayed:
        return order
    played = Path(replayed)
    decisions = replay.recorded(played, config.evaluations, config.director.classes)
    replay.expect(played, order.record, genome.fingerprint)
    config = replace(config, director=decisions)
    return pretrain_order(profile_name, arm, config, genome, sources, seed, replayed)


def finetuned(
    profile_name: str,
    arm: str,
    task: str,
    sources: Sources = Sources(),
    seed: int = 0,
    finetune_seed: int = 0,
    session: Session = SHOWN,
) -> Path:
    """The run folder of an arm fine-tuned on a task; makes it, and its pre-training, if missing.

    Args:
      profile_name: of a profile or of results.
      arm: an arm of the profile, or "random" for fresh weights.
      task: name of a task in the folder.
      sources: genome and tasks.
      seed: of the pre-training (of the weights, for "random").
      finetune_seed: of the order of the rows.
      session: how runs are made this time; by default as in `pretrained`.

    Raises:
      ValueError: unknown profile, arm or task, or rows that fail a check; and as `pretrained`.
      stops.Stopped: as `pretrained`.
    """
    if session.reads(profile_name):
        wanted = {"kind": "finetune", "arm": arm, "task": task, "seed": seed}
        return _collected(profile_name, sources, wanted | {"finetune_seed": finetune_seed})
    settings = profile(profile_name)
    devices.enable_compilation_cache(fasta.default_cache())
    order = finetuning(
        profile_name, settings, arm, task, sources, seed, finetune_seed, session.replay
    )
    before = None if arm == "random" else pretrained(profile_name, arm, sources, seed, session)
    folder = run_folder.root() / profile_name / order.name
    if not _usable(folder, settings):
        devices.require(session.device or settings.device)
        rows = read_task(settings, sources, task)
        net = pretrain.load(before)[0] if before else transformer.init(order.config.model, seed)
        writing = run_writer.writing(folder, order.record, order.facts, settings.remake)
        with session.asking() as ask, writing as partial:
            events = finetune.train(order.config, net, rows[:3], finetune_seed, partial, ask)
            _show(events, f"fine-tune {arm} on {task}", order.config.steps)
    return folder


def finetuning(
    profile_name: str,
    settings: Profile,
    arm: str,
    task: str,
    sources: Sources,
    seed: int = 0,
    finetune_seed: int = 0,
    replayed: str = "",
) -> Order:
    """What `finetuned` makes, not made yet; arguments as there, and as in `pretraining`.

    Raises:
      ValueError: unknown arm or task, or rows that fail a check.
    """
    _check(arm, (*settings.pretrain, "random"), seed, finetune_seed)
    rows = read_task(settings, sources, task)
    before = (
        None
        if arm == "random"
        else pretraining(profile_name, settings, arm, sources, seed, replayed)
    )
    return finetune_order(
        *(profile_name, arm, task, settings.finetune, rows, before, sources, seed, finetune_seed)
    )


def comparison(
    profile_name: str,
    sources: Sources = Sources(),
    seed: int = 0,
    session: Session = SHOWN,
) -> list[Path]:
    """The run folders of every arm on every task of the profile, all fine-tuning seeds.

    Raises:
      ValueError: as `finetuned`; all tasks are read and checked before anything is trained.
    """
    if session.reads(profile_name):
        return [
            _collected(profile_name, sources, entry)
            for entry in results.block(profile_name, ARMS, seed)
        ]
    settings = profile(profile_name)
    chosen = available_tasks(settings, sources)
    for task in chosen:
        read_task(settings, sources, task)
    return [
        finetuned(profile_name, arm, task, sources, seed, finetune_seed, session)
        for task in chosen
        for finetune_seed in settings.finetune_seeds
        for arm in ARMS
    ]


def prepare(
    profile_name: str,
    genome: str = SAMPLE,
    tasks: str = SAMPLE,
    seed: int = 0,
    validation: str = "",
) -> list[Path]:
    """Every run that the chapters read, made where missing, with progress on a terminal.

    Args as the fields of `Sources`. Fine-tuning starts the pre-training it needs, so all data are
    checked before the first step.
    """
    sources = Sources(genome, tasks, validation)
    tuned = comparison(profile_name, sources, seed)
    return [pretrained(profile_name, arm, sources, seed) for arm in PRETRAINED] + tuned


def _collected(name: str, sources: Sources, wanted: Mapping[str, Any]) -> Path:
    """A run of `results/`; data that are named beside it have to be those it was made from."""
    folder = results.run(name, wanted)
    manifest = run_folder.read(folder, "manifest")
    given = {}
    if sources.genome != SAMPLE and "genome" in manifest["data"]:
        given["genome"] = read_genome(sources).fingerprint
    if sources.tasks != SAMPLE and "task" in manifest:
        rows = read_task(shown(name), sources, manifest["task"])
        given["test"] = fingerprint(rows.test)
    if other := [part for part, mark in given.items() if manifest["data"][part] != mark]:
        raise ValueError(
            f"results {name}: {folder.name} was not made from this {other[0]} data; leave out "
            "--genome and --tasks, or name the files it was made from; to show runs made here, "
            f"move {results.root() / name} away"
        )
    return folder


def _check(arm: str, known: tuple[str, ...], *seeds: int) -> None:
    if arm not in known:
        raise ValueError(f"unknown arm {arm!r}; choose one of {', '.join(known)}")
    if min(seeds) < 0:
        raise ValueError(f"seed {min(seeds)} is negative; give 0 or more")


def _usable(folder: Path, settings: Profile) -> bool:
    """Whether a finished run can be read: in profiles that remake runs, only one of this code."""
    if not run_folder.complete(folder):
        return False
    same = run_folder.read(folder, "manifest").get("code") == environment.code_fingerprint()
    if not same and not settings.remake:
        _LOG.warning("%s was made by other code; remove it to make it again", folder.name)
    return same or not settings.remake


def _show(events: Iterator[dict[str, Any]], title: str, steps: int) -> None:
    """Run to the end; on a terminal, with a progress bar that shows the loss."""
    with tqdm(total=steps, desc=title, unit="step", disable=None) as bar:
        for event in events:
            if event["event"] == "train":
                bar.update(event["step"] - bar.n)
                bar.set_postfix(loss=f"{event['loss']:.3f}", refresh=False)
