"""The paper's train step on a GPU or TPU: speed, share of the chip's ceiling, peak memory.

On a CPU there is nothing to measure here, and no row. The ceiling is that of a large bfloat16
matrix product, measured in the same run on the same chip.
"""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp

from benchmarks.clock import Timed, timed
from benchmarks.mixture import maker
from benchmarks.table import Row
from birdiedna import devices, model, paper, training
from birdiedna.genome import Windows
from birdiedna.mixture import Corpus
from birdiedna.model import ModelConfig
from birdiedna.pretrain import PretrainConfig, advance

GENOME_BASES = 2**28
ATTENTION = ("xla", "cudnn")
#: Names of devices of the class for which the bar of 35 ms was set.
HOPPER = ("H100", "H200", "GH200")


def rows(quick: bool = False) -> list[Row]:
    """Rows of the accelerator of this process; none on a CPU."""
    if jax.default_backend() == "cpu":
        return []
    settings = paper.PROFILES["paper"].pretrain["birdie"]
    kinds = ATTENTION if jax.default_backend() == "gpu" else ATTENTION[:1]
    return measured(settings, ("auto", *kinds), 2 if quick else 10, 2**13)


def measured(
    settings: PretrainConfig, kinds: tuple[str, ...], repeats: int, side: int
) -> list[Row]:
    """Time, TFLOP/s, MFU and memory of a step by kind of attention.

    Args:
      settings: the arm.
      kinds: of `attention.IMPLEMENTATIONS`; those that do not run here are left out,
        but for the first.
      repeats: chunks of steps that are timed.
      side: of the square matrices whose product is the ceiling.
    """
    device = jax.devices()[0].device_kind
    top = ceiling(side, repeats)
    data = corpus(settings.slots)
    found = [Row("accelerator", "matrix product", top / 1e12, "TFLOP/s", None, "more",
                 f"bfloat16, {side}³, {device}")]  # fmt: skip
    for kind in kinds:
        config = replace(settings, model=replace(settings.model, attention=kind))
        try:
            time = steps(config, data, repeats)
        except (ValueError, RuntimeError, NotImplementedError) as error:
            if kind == kinds[0]:
                raise
            print(f"attention {kind} does not run here: {str(error).splitlines()[0]}")
            continue
        found += _rows(config, time, top, device if kind == kinds[0] else "")
    made = timed(_batch(settings, data), repeats)
    return [
        *found,
        Row("accelerator", "a batch alone", 1e3 * made.median(), "ms", None, "less", made.spread()),
    ]


def steps(config: PretrainConfig, data: Corpus, repeats: int) -> Timed:
    """Time of a call of `pretrain.advance`, which makes its batches itself."""
    over = devices.mesh(config.rows)
    tx = training.optimizer(config.optimizer, config.steps)
    state = training.start(model.init(config.model, 0), tx)
    key, n = jax.random.key_data(jax.random.key(0)), len(config.objectives)
    ratios = jnp.full(n, 1 / n, jnp.float32)
    state, key, data, ratios = devices.everywhere((state, key, data, ratios), over)
    kept = [state]

    def call(i: int) -> jax.Array:
        state, trace = advance(kept.pop(), key, data, ratios, config, over)
        kept.append(state)
        return trace.loss

    return timed(call, repeats, untimed=2)


def flop_per_token(config: ModelConfig, slots: int) -> float:
    """6 per weight of a matrix product, and 12 per slot, width and block for attention.

    Attention is counted in full, as is usual, although about half of a causal row is skipped.
    """
    inner = config.heads * config.head_width
    block = 4 * config.width * inner + 3 * config.width * config.mlp_width
    matrices = config.blocks * block + config.width * config.vocabulary
    return 6 * matrices + 12 * config.blocks * inner * slots


def ceiling(side: int, repeats: int) -> float:
    """FLOP/s of ten bfloat16 products of square matrices, one after the other."""
    x = jax.random.normal(jax.random.key(0), (side, side), jnp.bfloat16)

    @jax.jit
    def ten(x: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, 10, lambda _, y: (x @ y) * jnp.bfloat16(side**-0.5), x)

    return 10 * 2 * side**3 / timed(lambda i: ten(x), repeats, untimed=2).median()


def corpus(slots: int) -> Corpus:
    """A made-up genome on the device; what it says changes no time."""
    bases = jax.random.randint(jax.random.key(0), (GENOME_BASES,), 8, 12, jnp.uint8)
    count = jnp.array([GENOME_BASES - slots + 1], jnp.uint32)
    return Corpus(bases, Windows(jnp.zeros(1, jnp.uint32), count))


def _batch(settings: PretrainConfig, data: Corpus) -> Callable[[int], jax.Array]:
    objectives, n = dict(settings.objectives), len(settings.objectives)
    make = maker(objectives, data, settings.rows, settings.slots)
    even, key = jnp.full(n, 1 / n, jnp.float32), jax.random.key(0)
    return lambda i: make(jax.random.fold_in(key, i), even)


def _rows(config: PretrainConfig, time: Timed, top: float, device: str) -> list[Row]:
    kind, tokens = config.model.attention, config.rows * config.slots
    second = time.median() / config.chunk_steps
    flop = tokens * flop_per_token(config.model, config.slots) / second
    bar = 35 if any(name in device for name in HOPPER) else None
    note = f"{config.rows} x {config.slots}, {config.chunk_steps} steps a call, {time.spread()}"
    found = [
        Row("accelerator", f"step, {kind} attention", 1e3 * second, "ms", bar, "less", note),
        Row("accelerator", f"speed, {kind} attention", tokens / second / 1e6, "Mtok/s", None,
            "more", f"{jax.device_count()} devices"),
        Row("accelerator", f"achieved, {kind} attention", flop / 1e12, "TFLOP/s", None, "more",
            "attention counted in full"),
        Row("accelerator", f"MFU, {kind} attention", 100 * flop / top / jax.device_count(), "%",
            None, "more", "of the measured matrix product"),
    ]  # fmt: skip
    peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    if device and peak:
        found.append(Row("accelerator", "peak memory", peak / 2**30, "GiB", 32, "less",
                         f"{kind} attention, with a genome of {GENOME_BASES:,} bases"))  # fmt: skip
    return found
