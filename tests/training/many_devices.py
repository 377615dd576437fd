"""Train some steps on several devices and return the losses; called by `test_devices.py`.

In processes of its own, because the number of devices is fixed when a process starts.
"""

import gc
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import tiny
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import AxisType

from birdiedna.cli import COLLECT_LESS
from birdiedna.data.genome import Genome
from birdiedna.director.director import even
from birdiedna.model import transformer
from birdiedna.training import devices, optimizer, pretrain, run_folder, stop

ARM = replace(
    tiny.ARMS["uniform"],
    director=even((0, 1)),
    objectives=tiny.ARMS["uniform"].objectives[:2],
    rows=8,
    evaluation_rows=8,
    evaluations=(4,),
    steps=4,
)


@custom_partitioning
def _like_cudnn(q, k, v):
    return q


def _partition(mesh, arguments, result):
    """Refuse what cuDNN's attention refuses, by the rule that JAX gives it."""
    places = [argument.sharding for argument in arguments]
    assert len({place.spec for place in places}) == 1, f"queries, keys and values differ: {places}"
    return mesh, lambda q, k, v: q, places[0], tuple(places)


_like_cudnn.def_partition(
    _partition,
    sharding_rule="b q h d, e f g i, b s h v -> b q h v",
    infer_sharding_from_operands=lambda mesh, arguments, result: arguments[0].sharding,
)
_strict = jax.custom_vjp(_like_cudnn)
_strict.defvjp(
    lambda q, k, v: (_like_cudnn(q, k, v), (k, v)),
    lambda kv, gradient: (gradient, *map(jnp.zeros_like, kv)),
)


def over(count, human, shard_state=False, arm=ARM) -> dict:
    """Losses of four steps and of an evaluation after them on the first `count` devices, and the
    bytes of the state on one of them.
    """
    shape = (1, count) if shard_state else (count, 1)
    mesh = jax.make_mesh(
        shape, ("data", "state"), axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[:count]
    )
    tx = optimizer.optimizer(arm.optimizer, arm.steps)
    state = optimizer.start(transformer.init(arm.model, 0), tx)
    data = pretrain._data(arm, human, arm.mixture())
    key = jax.random.key_data(jax.random.key(0))
    given = (key, np.float32([0.5, 0.5]), *data)
    key, ratios, corpus, fixed = devices.replicate(given, mesh)
    state = devices.divide(state, mesh)
    losses, rows = [], []
    for _ in range(2):
        state, steps = pretrain.advance(state, key, corpus, ratios, arm, mesh)
        losses += np.asarray(steps.loss).tolist()
        rows += np.asarray(steps.starts).ravel().tolist()
    after = pretrain.evaluate(state.model, fixed, arm, mesh)
    held = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state))
    return {"losses": losses + np.asarray(after[0]).tolist(), "rows": rows, "bytes": held}


def trained(human, shard_state) -> dict:
    """The log of a whole run over all devices of all processes, stopped and resumed halfway."""
    pretrain.BIRDIE_DNA = pretrain.NTP = {}  # measure the arm's own objectives: less to compile
    with tempfile.TemporaryDirectory() as name:
        asked = iter([stop.Stopped("enough", stop.OUT_OF_TIME)])
        for ask in (lambda: next(asked, None), stop.never):
            with suppress(stop.Stopped):
                runs = [pretrain.Run(0, Path(name))]
                for _ in pretrain.train(ARM, human, runs, ask, shard_state=shard_state):
                    pass
        events = run_folder.events(Path(name))
    losses = [x for e in events if e["event"] == "evaluation" for x in e["losses"].values()]
    return {
        "devices": jax.device_count(),
        "losses": losses + [e["loss"] for e in events if e["event"] == "train"],
        "rows": [e["rows"] for e in events if e["event"] == "train"],
    }


def main(human: Genome, devices: int, *others: str | int) -> dict:
    """Facts of this many devices of this process; for one of several, with address, processes and
    number. What is "divided" has weights and moments divided over the devices.
    """
    gc.set_threshold(*COLLECT_LESS)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if others:
        jax.distributed.initialize(*others)
    if others:
        facts = {"whole": trained(human, False), "divided": trained(human, True)}
        jax.distributed.shutdown()  # both end together
        return facts
    facts = {str(count): over(count, human) for count in (1, 2, 8)}
    facts["8, divided"] = over(8, human, shard_state=True)
    # wider than the vocabulary, so that the embedding is divided by its width
    wide = replace(ARM, model=replace(ARM.model, width=8 * 49))
    with patch.object(transformer, "attend", lambda q, k, v, *others: _strict(q, k, v)):
        over(8, human, shard_state=True, arm=wide)
    return facts
