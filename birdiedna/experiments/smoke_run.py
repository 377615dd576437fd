"""A pre-training run of seconds, in which one sees what is promised of all runs."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import jax

from birdiedna.data import fasta, sample
from birdiedna.data.genome import Genome
from birdiedna.director.director import Birdie
from birdiedna.director.reward_model import Fit, RewardModel
from birdiedna.model.transformer import ModelConfig
from birdiedna.objectives.definitions import BIRDIE_DNA
from birdiedna.training import pretrain, replay, run_folder, weights
from birdiedna.training.devices import enable_compilation_cache
from birdiedna.training.optimizer import OptimizerConfig

#: Twenty steps of three objectives, with a learned director that decides every four.
ARM = pretrain.PretrainConfig(
    director=Birdie((0, 1, 2), model=RewardModel(8, 8, 1), fit=Fit(4, 5), warmup_steps=4),
    objectives=tuple((n, BIRDIE_DNA[n]) for n in ("copying", "prefix_lm_75", "infill_50_3")),
    evaluations=(4, 8, 12, 16, 20),
    validation=sample.VALIDATION,
    model=ModelConfig(width=16, blocks=1, heads=2, head_width=8, mlp_width=16),
    optimizer=OptimizerConfig(peak=1e-2, final=1e-3),
    slots=128,
    rows=8,
    steps=20,
    chunk_steps=4,
    evaluation_rows=8,
)


class Outcome(NamedTuple):
    """What a run came to: sha256 of all its parameters, and every loss that it logged."""

    parameters: str
    losses: tuple[float, ...]


def make(
    folder: Path, genome: Genome, replayed: Path | None = None, events: int | None = None
) -> Outcome | None:
    """Train in the folder, or resume there; saves a checkpoint after every chunk.

    The genome has the contigs of the embedded sample. `replayed` is a run whose ratios are
    commanded, without its reward model. After so many logged `events` it ends, as by a kill, with
    None.
    """
    director: Any = replay.recorded(replayed, ARM.evaluations) if replayed else ARM.director
    config = replace(ARM, director=director)
    folder.mkdir(parents=True, exist_ok=True)
    run_folder.write_json(folder / "config.json", run_folder.to_json(config))
    for _ in islice(pretrain.train(config, genome, 0, folder, save_s=0), events):
        pass
    return outcome(folder) if events is None else None


def outcome(folder: Path) -> Outcome:
    """What the finished run of a folder came to."""
    losses = [
        loss
        for event in run_folder.events(folder)
        if event["event"] in ("train", "evaluation")
        for loss in (event.get("loss"), *event["losses"].values())
    ]
    parameters = weights.fingerprint(pretrain.load(folder)[0])
    return Outcome(parameters, tuple(loss for loss in losses if loss is not None))


def in_process(
    folder: Path, replayed: Path | None = None, cores: int = 0, devices: int = 1
) -> Outcome | None:
    """As `make`, in a new process on the CPU, with this many cores (0: all) and devices."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_alone, folder, replayed, cores, devices).result()


def _alone(folder: Path, replayed: Path | None, cores: int, devices: int) -> Outcome | None:
    if cores:  # before JAX counts them
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)
    enable_compilation_cache(fasta.default_cache())
    return make(folder, fasta.read(sample.GENOME), replayed)
