"""Runs by profile: made when they are missing, read when they are there.

Chapters and the command line ask here for run folders. A run's place is a hash of its config, its
seed and its data, so that another genome or setting never overwrites it.
"""

import logging
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
from tqdm import tqdm

from birdiedna import fasta, finetune, model, pretrain, runs, sample, tasks
from birdiedna.batch import Labelled
from birdiedna.genome import Genome, contigs_named
from birdiedna.labelled import crop, fingerprint
from birdiedna.paper import ARMS, PRETRAINED, Profile, profile

SAMPLE = "sample"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sources:
    """Where sequence and tasks come from; "sample" is the embedded human DNA.

    genome: a FASTA file. validation: its contigs or chromosomes for held-out loss, comma-separated;
    empty takes the sample's own, or chr8. tasks: a folder of `<task>/{train,test}.fna` or tables.
    """

    genome: str = SAMPLE
    tasks: str = SAMPLE
    validation: str = ""

    def genome_path(self) -> Path:
        """The FASTA file."""
        return sample.GENOME if self.genome == SAMPLE else Path(self.genome).expanduser()

    def tasks_path(self) -> Path:
        """The folder of tasks."""
        return sample.TASKS if self.tasks == SAMPLE else Path(self.tasks).expanduser()

    def options(self) -> str:
        """The command-line options that name these sources, without folders of this machine."""
        named = {"genome": self.genome, "tasks": self.tasks, "validation": self.validation}
        given = {k: v for k, v in named.items() if v not in ("", SAMPLE)}
        return "".join(f" --{k} {shlex.quote(Path(v).name)}" for k, v in given.items())


def read_genome(sources: Sources) -> Genome:
    """The genome, read once per process and cached on disk."""
    _keep_compilations()
    return _genome(sources.genome_path())


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


def available_tasks(settings: Profile, sources: Sources) -> list[str]:
    """The tasks to run: those of the profile from the sample, all of them from another folder.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it holds no task.
    """
    present = tasks.names(sources.tasks_path())
    chosen = settings.tasks if sources.tasks == SAMPLE else ()
    return [name for name in chosen or present if name in present]


class TaskRows(NamedTuple):
    """Rows of a task as a model reads them; `part` of every sequence, () for all of it."""

    train: Labelled
    validation: Labelled
    test: Labelled
    classes: int
    part: tuple[int, ...]


def read_task(settings: Profile, sources: Sources, name: str) -> TaskRows:
    """Train, validation and test rows of a task, cropped as the profile says.

    Validation is carved from train: a chromosome, or the last block of one.
    """
    return _task(sources.tasks_path(), name, tuple(settings.crops.items()))


@cache
def _task(path: Path, name: str, crops: tuple[tuple[int, tuple[int, int]], ...]) -> TaskRows:
    train, test = tasks.load(path, name)
    classes = int(train.labels.max()) + 1
    part = dict(crops).get(int(train.lengths.max()), ())
    train, test = (crop(rows, *part) if part else rows for rows in (train, test))
    return TaskRows(*tasks.carve(train), test, classes, part)


def pretrained(profile_name: str, arm: str, sources: Sources = Sources(), seed: int = 0) -> Path:
    """The run folder of a pre-trained arm ("birdie" or "ntp"); trains it if it is missing.

    Raises:
      ValueError: unknown profile or arm, or data that do not fit the config.
    """
    settings = profile(profile_name)
    _check(arm, tuple(settings.pretrain), seed)
    genome = read_genome(sources)
    config = replace(settings.pretrain[arm], validation=_validation(settings, sources, genome))
    record = {"kind": "pretrain", "seed": seed, **runs.to_json(config)}
    folder = runs.place(profile_name, f"pretrain-{arm}-seed{seed}", (record, genome.fingerprint))
    if not _usable(folder, settings):
        facts = {
            "name": folder.name,
            "kind": "pretrain",
            "profile": profile_name,
            "arm": arm,
            "seed": seed,
            "data": {"genome": genome.fingerprint},
            "data_notes": dict(genome.notes),
            "command": f"birdiedna pretrain --profile {profile_name} --arm {arm} --seed {seed}"
            + sources.options(),
        }
        with runs.writing(folder, record, facts) as partial:
            events = pretrain.train(config, genome, seed, partial)
            _show(events, f"pre-train {arm}", config.steps)
    return folder


def finetuned(
    profile_name: str,
    arm: str,
    task: str,
    sources: Sources = Sources(),
    seed: int = 0,
    finetune_seed: int = 0,
) -> Path:
    """The run folder of an arm fine-tuned on a task; makes it, and its pre-training, if missing.

    Args:
      profile_name: "quick" or "paper".
      arm: "birdie", "ntp", or "random" for fresh weights.
      task: name of a task in the folder.
      sources: genome and tasks.
      seed: of the pre-training (of the weights, for "random").
      finetune_seed: of the order of the rows.

    Raises:
      ValueError: unknown profile, arm or task, or rows that fail a check.
    """
    settings = profile(profile_name)
    _check(arm, (*settings.pretrain, "random"), seed, finetune_seed)
    _keep_compilations()
    rows = read_task(settings, sources, task)
    marks = {part: fingerprint(getattr(rows, part)) for part in ("train", "validation", "test")}
    before = None if arm == "random" else pretrained(profile_name, arm, sources, seed)
    config = replace(settings.finetune, classes=rows.classes, bidirectional=arm != "ntp")
    seeds = {"seed": seed, "finetune_seed": finetune_seed}
    start = before.name if before else "random"
    record = {"kind": "finetune", "task": task, "start": start, **seeds, **runs.to_json(config)}
    name = f"finetune-{task}-{arm}-seed{seed}.{finetune_seed}"
    folder = runs.place(profile_name, name, (record, marks))
    if not _usable(folder, settings):
        facts = {
            "name": folder.name,
            "kind": "finetune",
            "profile": profile_name,
            "arm": arm,
            "task": task,
            **seeds,
            "data": marks | (runs.read(before, "manifest")["data"] if before else {}),
            "rows": {part: len(getattr(rows, part).labels) for part in marks},
            "crop": list(rows.part) or None,
            "command": f"birdiedna finetune --profile {profile_name} --arm {arm} --task {task} "
            f"--seed {seed} --finetune-seed {finetune_seed}" + sources.options(),
        }
        net = pretrain.load(before)[0] if before else model.init(config.model, seed)
        with runs.writing(folder, record, facts) as partial:
            events = finetune.train(config, net, rows[:3], finetune_seed, partial)
            _show(events, f"fine-tune {arm} on {task}", config.steps)
    return folder


def comparison(profile_name: str, sources: Sources = Sources(), seed: int = 0) -> list[Path]:
    """The run folders of every arm on every task of the profile, all fine-tuning seeds.

    Raises:
      ValueError: as `finetuned`; all tasks are read and checked before anything is trained.
    """
    settings = profile(profile_name)
    chosen = available_tasks(settings, sources)
    for task in chosen:
        read_task(settings, sources, task)
    return [
        finetuned(profile_name, arm, task, sources, seed, finetune_seed)
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


def _check(arm: str, known: tuple[str, ...], *seeds: int) -> None:
    if arm not in known:
        raise ValueError(f"unknown arm {arm!r}; choose one of {', '.join(known)}")
    if min(seeds) < 0:
        raise ValueError(f"seed {min(seeds)} is negative; give 0 or more")


def _usable(folder: Path, settings: Profile) -> bool:
    """Whether a finished run can be read: in profiles that remake runs, only one of this code."""
    if not runs.complete(folder):
        return False
    same = runs.read(folder, "manifest")["code"] == runs.code_fingerprint()
    if not same and not settings.remake:
        _LOG.warning("%s was made by other code; remove it to make it again", folder.name)
    return same or not settings.remake


def _keep_compilations() -> None:
    """Let a program that was compiled once be read from disk by every later process."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(fasta.default_cache() / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _show(events: Iterator[dict[str, Any]], title: str, steps: int) -> None:
    """Run to the end; on a terminal, with a progress bar that shows the loss."""
    with tqdm(total=steps, desc=title, unit="step", disable=None) as bar:
        for event in events:
            if event["event"] == "train":
                bar.update(event["step"] - bar.n)
                bar.set_postfix(loss=f"{event['loss']:.3f}", refresh=False)
