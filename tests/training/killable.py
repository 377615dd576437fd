"""The smallest pre-training or fine-tuning run, to be killed by `test_kills.py`.

A fork server imports it once, so that processes start fast.
"""

import gc
import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpy as np
import tiny
from flax import nnx

from birdiedna import tasks
from birdiedna.cli import COLLECT_LESS
from birdiedna.data import fasta, sample
from birdiedna.data.labelled import crop
from birdiedna.model import transformer
from birdiedna.tasks import splits
from birdiedna.training import (
    checkpoint,
    environment,
    finetune,
    pretrain,
    run_folder,
    run_writer,
    stop,
)

ARM = replace(tiny.ARMS["birdie"], steps=20, evaluations=(4, 8, 12, 16, 20))
TUNED = replace(tiny.PROFILE.finetune, steps=20)
CLOCKS = ("seconds", "tokens_per_s")

gc.set_threshold(*COLLECT_LESS)
environment.code_fingerprint()  # cached by the function, so that forks have it


def make(place: Path, kind: str, cache: Path) -> None:
    """Make or resume the run, saving as often as possible; signals save and stop it.

    Writes one byte per event to a file next to the run. `cache` is for compiled programs.
    """
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    jax.config.update("jax_persistent_cache_enable_xla_caches", "none")  # else keys hold its path
    pretrain.BIRDIE_DNA = pretrain.NTP = {}  # measure the arm's own objectives: less to compile
    config = ARM if kind == "pretrain" else TUNED
    with stop.watch() as ask, run_writer.writing(place, config, {}) as partial:
        try:
            with (place.parent / "seen").open("wb", buffering=0) as seen:
                for _ in _events(kind, partial, ask):
                    seen.write(b".")
        except stop.Stopped as stopped:
            sys.exit(stopped.status)


def _events(kind, partial, ask):
    if kind == "pretrain":
        human = fasta.read(sample.GENOME, partial.parent)
        return pretrain.train(ARM, human, [pretrain.Run(0, partial)], ask, save_s=0)
    rows = tasks.read(tasks.find(sample.TASKS, "promoter_tata"))
    parts = [crop(part, 0, 40) for part in (*splits.carve(rows.train)[:2], rows.test)]
    net = transformer.init(TUNED.model, 0)
    start = finetune.Start(net, 0, partial)
    return finetune.train(TUNED, [start], tuple(parts), ask, save_s=0)


def result(place: Path) -> dict:
    """All logged events without times, all predictions, and all bits of the model."""
    rows = [{k: v for k, v in e.items() if k not in CLOCKS} for e in run_folder.events(place)]
    tuned = "classes" in run_folder.read(place, "config")
    net = lambda: transformer.init(ARM.model, 0)
    like = jax.eval_shape(
        lambda: finetune.Classifier(net(), TUNED, nnx.Rngs(0)) if tuned else net()
    )
    saved = next(checkpoint.intact(place / "model"), None)
    arrays = list(jax.tree.leaves(checkpoint.restore(saved.path, like)))
    if tuned:
        with np.load(place / "predictions.npz", allow_pickle=False) as stored:
            arrays += [stored[name] for name in sorted(stored)]
    bits = [np.asarray(array).tobytes() for array in arrays]
    return {"rows": rows, "bits": bits, "config": saved.facts["config"]}
