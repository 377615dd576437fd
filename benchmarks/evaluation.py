"""Evaluation: the losses of all objectives come out of one compiled function."""

import jax
import jax.numpy as jnp

from benchmarks.clock import timed
from benchmarks.table import Row
from birdiedna.data import fasta, genome, sample
from birdiedna.experiments import profiles
from birdiedna.model import transformer
from birdiedna.objectives.mixture import held_out
from birdiedna.training import devices, pretrain

CONFIG = profiles.PROFILES["quick"].pretrain["birdie"]


def rows(quick: bool = False) -> list[Row]:
    """Functions compiled to measure every objective, and the time they take."""
    config, monitored = CONFIG, CONFIG.monitored()
    human = fasta.read(sample.GENOME)
    windows = genome.windows(human, sample.VALIDATION, config.slots)
    starts = jnp.asarray(genome.fixed_starts(windows, config.evaluation_rows))
    batch = held_out(monitored, jax.random.key(0), jnp.asarray(human.tokens), starts)
    over = devices.mesh()
    nets = [devices.replicate(transformer.init(config.model, seed), over) for seed in (0, 1)]
    batch = devices.replicate(batch, over)
    before = pretrain.evaluate._cache_size()
    found = timed(lambda i: pretrain.evaluate(nets[i % 2], batch, config, over), 2 if quick else 20)
    compiled = pretrain.evaluate._cache_size() - before
    size = f"{config.evaluation_rows} x {config.slots} tokens of each objective"
    return [
        Row("evaluation", "functions compiled", compiled, "", 1, "less",
            f"for {len(monitored.names)} objectives and two models of one arm"),
        Row("evaluation", "all objectives, quick profile", found.median(), "s", None, "less",
            f"{size}, {found.spread()}"),
    ]  # fmt: skip
