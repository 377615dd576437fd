"""The paper's programs, compiled for TPUs by their own compiler, without one: do they fit?

`make bench-peers` installs that compiler. Nothing is run, so nothing is known about speed.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from unittest.mock import patch

import jax
import jax.numpy as jnp
from flax import nnx
from jax.experimental import topologies

from benchmarks.results import ROOT, Row
from benchmarks.training import GIB, abstract
from birdiedna.experiments import profiles
from birdiedna.model import transformer
from birdiedna.training import devices, finetune, optimizer, pretrain
from birdiedna.training.finetune import Classifier
from birdiedna.training.prompt import Data, row_slots

PROFILE = profiles.PROFILES["paper"]
LIBRARY = ".venv-peers/lib/*/site-packages/libtpu/libtpu.so"
#: The smallest chip in use, and the GiB that a program may use of it.
CHIP, CHIP_GIB = "v5e", 15.75
#: Bases of the rows that are fine-tuned.
BASES = (300, 1000)


def rows(quick: bool = False) -> list[Row]:
    """GiB of each program on one chip; with `quick`, of the first program.

    A program that does not fit does not compile.
    """
    if not (library := next(ROOT.glob(LIBRARY), None)):
        print("tpu: left out, its compiler is not installed, or does not exist for this system")
        return []
    os.environ["TPU_LIBRARY_PATH"] = str(library)
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost"}  # or it asks
    one = {"topology_name": f"{CHIP}:1x1", "chips_per_host_bounds": (1, 1, 1)}
    chip = topologies.get_topology_desc(platform="tpu", **one).devices[0]
    return planned(chip, quick)


def planned(chip: jax.Device, quick: bool = False) -> list[Row]:
    """The rows of a chip, which is only compiled for."""
    here = {"default_backend": lambda: "tpu", "devices": lambda: [chip], "device_count": lambda: 1}
    row, found = partial(Row, "tpu", unit="GiB", bar=CHIP_GIB, note="compiled, not run"), []
    with patch.multiple(jax, **here):  # programs ask for these
        for what, program in islice(_programs(), 1 if quick else None):
            found.append(row(f"{what}, TPU {CHIP}", devices.planned_bytes(program) / GIB))
    return found


def _programs() -> Iterator[tuple[str, jax.stages.Lowered]]:
    """Steps of both arms, and as many fine-tunings as are made together, on this device."""
    mesh = devices.mesh()
    shape = partial(jax.ShapeDtypeStruct, sharding=devices.replicated(mesh))
    for arm in ("birdie", "ntp"):
        config = PROFILE.pretrain[arm]
        arguments = jax.tree.map(lambda x: shape(x.shape, x.dtype), abstract(config))
        what = f"step of {arm}, {config.rows} x {config.slots}"
        yield what, pretrain.advance.lower(*arguments, config, mesh)
    config = replace(PROFILE.finetune, classes=2)
    model, tx = config.model, optimizer.optimizer(config.optimizer, config.steps)

    def start() -> optimizer.State:
        return optimizer.start(Classifier(transformer.init(model, 0), config, nnx.Rngs(0)), tx)

    for bases in BASES:
        work = config.rows * row_slots(bases) * model.width * model.blocks
        models = devices.runs_at_once(work)
        states = jax.tree.map(lambda x: shape((models, *x.shape), x.dtype), jax.eval_shape(start))  # noqa: B023
        counts = (models, config.evaluate_every, config.rows)
        numbers = shape(counts, jnp.int32)
        batches = Data(shape((*counts, bases), jnp.uint8), numbers, numbers)
        masks = shape((models,), jnp.bool_)
        what = f"{models} fine-tunings of {bases:,} bases"
        yield what, finetune.advance_together.lower(states, batches, masks, config)
