"""Memory of the paper's train step as a function of batch and length, from the compiler.

Nothing is run: XLA plans every buffer when it compiles, and says how much it will hold. That plan
is the backend's own: on a CPU it is the plan of the CPU's attention, on a GPU or TPU that of the
accelerator's.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from benchmarks.table import Row
from birdiedna.data.genome import Windows
from birdiedna.experiments import profiles
from birdiedna.model import transformer
from birdiedna.objectives.mixture import Corpus
from birdiedna.training import devices, optimizer
from birdiedna.training.pretrain import PretrainConfig, planned_bytes

GENOME_BASES = 3_117_292_070  # T2T-CHM13
STRETCHES = 1_000
SETTINGS = profiles.PROFILES["paper"].pretrain["birdie"]
GRID = tuple((rows, slots) for slots in (512, 1024, 2048) for rows in (32, 128))
#: The paper's setting, also read in so many parts.
MICROBATCHES = (4, 16)
CHIP_GIB = 32
_GIB = 2**30


def rows(quick: bool = False) -> list[Row]:
    """GiB that a step holds: over a grid, and at the paper's setting in microbatches."""
    usual = (SETTINGS.rows, SETTINGS.slots)
    grid = (usual,) if quick else GRID
    sizes = {at: planned(replace(SETTINGS, rows=at[0], slots=at[1])) for at in grid}
    split = {n: planned(replace(SETTINGS, microbatches=n)) for n in MICROBATCHES[quick:]}
    found = [_row(size, *at, 1) for at, size in sizes.items()]
    found += [_row(size, *usual, parts) for parts, size in split.items()]
    chosen, parts = fewest({1: sizes[usual]} | split)
    fits = f"in {parts} microbatches" if parts > 1 else "in one piece"
    held = f"weights, Adam's moments and {GENOME_BASES:,} bases at 8 bits"
    state = arguments(SETTINGS) / _GIB
    return [
        *found,
        Row("memory", "of which kept between steps", state, "GiB", None, "less", held),
        Row("memory", "paper's setting", chosen / _GIB, "GiB", CHIP_GIB, "less", fits),
    ]


def fewest(plans: dict[int, int]) -> tuple[int, int]:
    """Bytes and parts of the plan with the fewest parts that fits the chip, else of the least."""
    fitting = [parts for parts, size in plans.items() if size <= CHIP_GIB * _GIB]
    return min((plans[parts], parts) for parts in ([min(fitting)] if fitting else plans))


def planned(config: PretrainConfig) -> int:
    """Bytes that one call of `pretrain.advance` holds at its highest, by the compiler's plan."""
    return planned_bytes(*_abstract(config), config, devices.mesh())


def arguments(config: PretrainConfig) -> int:
    """Bytes of the state and the corpus."""
    state, _, corpus, _ = _abstract(config)
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves((state, corpus)))


def _abstract(config: PretrainConfig) -> tuple:
    """Shapes of state, key, corpus and ratios; no array is made."""
    tx = optimizer.optimizer(config.optimizer, config.steps)
    state = jax.eval_shape(lambda: optimizer.start(transformer.init(config.model, 0), tx))
    shape = jax.ShapeDtypeStruct
    windows = Windows(*[shape((STRETCHES,), jnp.uint32)] * 2)
    corpus = Corpus(shape((GENOME_BASES,), jnp.uint8), windows)
    ratios = shape((len(config.objectives),), jnp.float32)
    return state, shape((2,), jnp.uint32), corpus, ratios


def _row(size: int, rows: int, slots: int, parts: int) -> Row:
    what = f"{rows} x {slots}" + f" in {parts} microbatches" * (parts > 1)
    at = {"rows": rows, "slots": slots, "microbatches": parts}
    note = f"planned by the {jax.default_backend()} compiler"
    return Row("memory", what, size / _GIB, "GiB", None, "less", note, at)
