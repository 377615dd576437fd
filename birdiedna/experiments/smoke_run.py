"""A pre-training of seconds that shows the promises of all runs."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import jax

from birdiedna.data import fasta, files, sample
from birdiedna.data.genome import Genome
from birdiedna.director.director import Birdie
from birdiedna.director.reward_model import Fit, RewardModel
from birdiedna.model import transformer
from birdiedna.model.transformer import ModelConfig
from birdiedna.objectives.definitions import BIRDIE_DNA
from birdiedna.training import checkpoint, pretrain, replay, run_folder, weights
from birdiedna.training.devices import enable_compilation_cache
from birdiedna.training.optimizer import OptimizerConfig

#: Twenty steps of three objectives; a learned director decides every four steps.
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
    """The outcome of a run: sha256 of all parameters, and all logged losses."""

    parameters: str
    losses: tuple[float, ...]


def make(
    folder: Path, genome: Genome, replayed: Path | None = None, events: int | None = None
) -> Outcome | None:
    """Train or resume in a folder, with a checkpoint after every chunk.

    Args:
      genome: has the contigs of the embedded sample.
      replayed: a run whose ratios are replayed, without a reward model.
      events: stop after this many logged events, as if killed, and return None.
    """
    director: Any = replay.recorded(replayed, ARM.evaluations) if replayed else ARM.director
    config = replace(ARM, director=director)
    folder.mkdir(parents=True, exist_ok=True)
    for _ in islice(pretrain.train(config, genome, [pretrain.Run(0, folder)], save_s=0), events):
        pass
    return outcome(folder) if events is None else None


def outcome(folder: Path) -> Outcome:
    """The outcome of a finished run."""
    losses = [
        loss
        for event in run_folder.events(folder)
        if event["event"] in ("train", "evaluation")
        for loss in (event.get("loss"), *event["losses"].values())
    ]
    net = checkpoint.load_model(folder, transformer.shapes(ARM.model))
    return Outcome(weights.fingerprint(net), tuple(loss for loss in losses if loss is not None))


def in_process(
    folder: Path, replayed: Path | None = None, cores: int = 0, devices: int = 1
) -> Outcome | None:
    """`make` in a new process on the CPU, with this many cores (0: all) and devices."""
    pool = ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1)
    work = pool.submit(_alone, folder, replayed, cores, devices)
    del pool  # else it replaces the worker that has ended by another
    return work.result()


def _alone(folder: Path, replayed: Path | None, cores: int, devices: int) -> Outcome | None:
    if cores:  # before JAX counts them
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)
    enable_compilation_cache(files.default_cache())
    return make(folder, fasta.read(sample.GENOME), replayed)
