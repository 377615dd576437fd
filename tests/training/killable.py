"""One pre-training or fine-tuning run of the smallest size, to be killed by `test_kills.py`.

Imported once by a fork server, so that a process costs no import.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpy as np
import tiny

from birdiedna import tasks
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

ARM = replace(
    tiny.PROFILE.pretrain["birdie"],
    validation=sample.VALIDATION,
    steps=20,
    evaluations=(4, 8, 12, 16, 20),
)
TUNED = replace(tiny.PROFILE.finetune, steps=20)
CLOCKS = ("seconds", "tokens_per_s")

environment.code_fingerprint()  # kept by the function, so that forks have it


def make(place: Path, kind: str, cache: Path) -> None:
    """Make the run, or go on with it, saving at every chance; signals end it in good order.

    Counts its events in a file beside the run, one byte each. `cache` keeps what was compiled.
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
        return pretrain.train(ARM, human, 0, partial, ask, save_s=0)
    rows = tasks.read(tasks.find(sample.TASKS, "promoter_tata"))
    parts = [crop(part, 0, 40) for part in (*splits.carve(rows.train), rows.test)]
    net = transformer.init(TUNED.model, 0)
    return finetune.train(TUNED, net, tuple(parts), 0, partial, ask, save_s=0)


def story(place: Path) -> dict:
    """Every logged row without its clock, every prediction, and every bit of the model."""
    rows = [{k: v for k, v in e.items() if k not in CLOCKS} for e in run_folder.events(place)]
    saved = checkpoint.newest(place / "model")
    files = {"model": saved.facts["config"]}
    net = jax.eval_shape(lambda: transformer.init(ARM.model, 0))
    like = net if "objectives" in run_folder.read(place, "config") else _classifier(net)
    leaves = jax.tree.leaves(checkpoint.restore(saved.path, like))
    bits = [np.asarray(leaf).tobytes().hex() for leaf in leaves]
    found = place / "predictions.npz"
    if found.exists():
        with np.load(found, allow_pickle=False) as arrays:
            files |= {name: arrays[name].tobytes().hex() for name in arrays}
    return json.loads(json.dumps({"rows": rows, "bits": bits, **files}))


def _classifier(net):
    from flax import nnx

    return jax.eval_shape(
        lambda: finetune.Classifier(transformer.init(ARM.model, 0), TUNED, nnx.Rngs(0))
    )
