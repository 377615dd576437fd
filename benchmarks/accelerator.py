"""The paper's train step on a GPU or TPU: is it right, how fast is it, and what takes its time?

Attention against float32; then time, share of the chip's ceiling, memory and kernels of a step, by
arm. The ceiling is that of a large bfloat16 product, measured in the same run on the same chip.
`make bench` measures a made-up genome; `scripts/borrowed_card.py` that of a plan.
"""

import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from benchmarks import attention, kernels
from benchmarks.clock import timed
from benchmarks.table import Row
from birdiedna.data.genome import Windows
from birdiedna.evaluation import paper_table
from birdiedna.experiments import cost, profiles
from birdiedna.model import transformer
from birdiedna.objectives.mixture import Corpus
from birdiedna.training import devices, optimizer
from birdiedna.training.pretrain import PretrainConfig, advance

GENOME_BASES = 2**28
ARMS = {arm: profiles.PROFILES["paper"].pretrain[arm] for arm in paper_table.PRETRAINED}
#: Milliseconds of a step of the paper's batch and model on one chip of these names; GB of memory.
BARS, MEMORY_BAR = {"birdie": 40, "ntp": 37}, 16
HOPPER = ("H100", "H200", "GH200")
#: What a stage finds: rows, and what could not be measured with the reason.
Found = tuple[list[Row], dict[str, str]]


class Sizes(NamedTuple):
    """side: of the matrices of the ceiling. repeats: chunks that are timed. lengths: of attention's
    rows. limit_s: after which no check of attention begins.
    """

    side: int = 8192
    repeats: int = 10
    lengths: tuple[int, ...] = attention.LENGTHS
    limit_s: float = 25.0


def rows(quick: bool = False) -> list[Row]:
    """Rows of the accelerator of this process; none on a CPU."""
    if jax.default_backend() == "cpu":
        return []
    sizes = Sizes(repeats=2 if quick else 10)
    return measured(stages(ARMS, made_up, sizes), print)[0]


def measured(named: Mapping[str, Callable[[], Found]], say: Callable[[str], None]) -> Found:
    """What all stages find; one that fails is said, noted and passed over.

    Args:
      named: the stages.
      say: tells a line.
    """
    found: list[Row] = []
    noted: dict[str, str] = {}
    for name, stage in named.items():
        begin = time.monotonic()
        try:
            more, missing = stage()
        except Exception as error:  # whatever it is: a borrowed card's minutes go on
            more, missing = [], {name: f"failed: {attention.first_line(error)}"}
        found, noted = found + more, noted | missing
        shown = more[: 5 if len(more) <= 5 else 3]
        words = [f"{row.what} {row.value:.4g} {row.unit}".strip() for row in shown]
        words += [f"{len(more)} rows"] * (len(more) > len(shown))
        words += [f"{what}: {why}" for what, why in missing.items()]
        say(f"{name} ({time.monotonic() - begin:.1f} s): {'; '.join(words)}")
    return found, noted


def stages(
    arms: Mapping[str, PretrainConfig], corpus: Callable[[PretrainConfig], Corpus], sizes: Sizes
) -> dict[str, Callable[[], Found]]:
    """The measurements, in order: what the first of the arms shows is traced."""
    top = cache(partial(cost.products, sizes.side))
    first, config = next(iter(arms.items()))
    traced = lambda: kernels.rows(first, chunks(config, corpus(config)), config.chunk_steps)
    return {
        "attention": partial(attention.rows, sizes.limit_s, sizes.lengths),
        "ceiling": lambda: ([_ceiling(top(), sizes.side)], {}),
        **{f"step, {arm}": partial(_step, arm, arms[arm], corpus, top, sizes) for arm in arms},
        "kernels": lambda: (traced(), {}),
    }


def _ceiling(top: float, side: int) -> Row:
    note = f"bfloat16, {side}³, {jax.device_count()} x {jax.devices()[0].device_kind}"
    return Row("accelerator", "matrix product", top / 1e12, "TFLOP/s", None, "more", note)


def _step(
    arm: str,
    config: PretrainConfig,
    corpus: Callable[[PretrainConfig], Corpus],
    top: Callable[[], float],
    sizes: Sizes,
) -> Found:
    """Time, tokens, operations, MFU and memory of a step."""
    data = corpus(config)
    bases = sum(x.size for x in jax.tree.leaves(data.tokens))
    found = timed(chunks(config, data), sizes.repeats, untimed=2)
    second, tokens = found.median() / config.chunk_steps, config.rows * config.slots
    flops = tokens / second * cost.flop_per_token(config.model, config.slots)
    size = f"{config.rows} x {config.slots}, {config.chunk_steps} steps a call, {found.spread()}"
    bar, memory_bar = (BARS.get(arm), MEMORY_BAR) if barred(arm, config) else (None, None)
    row = partial(Row, "accelerator")
    rows = [
        row(f"step, {arm}", 1e3 * second, "ms", bar, "less", size),
        row(f"speed, {arm}", tokens / second / 1e6, "Mtok/s", None, "more", ""),
        row(f"achieved, {arm}", flops / 1e12, "TFLOP/s", None, "more", "attention in full"),
        row(f"MFU, {arm}", 100 * flops / top(), "%", None, "more", "of the matrix product"),
    ]
    if peak := cost.peak_memory_bytes():
        note = f"of this process so far, with {bases:,} bytes of genome"
        rows.append(row(f"peak memory, {arm}", peak / 1e9, "GB", memory_bar, "less", note))
    return rows, {}


def barred(arm: str, config: PretrainConfig) -> bool:
    """Whether bars hold: the paper's batch and model, on one chip of their class."""
    kind, usual = jax.devices()[0].device_kind, ARMS.get(arm)
    hopper = jax.device_count() == 1 and any(name in kind for name in HOPPER)
    sizes = lambda c: (c.rows, c.slots, c.model, c.microbatches)
    return hopper and usual is not None and sizes(config) == sizes(usual)


def chunks(config: PretrainConfig, data: Corpus) -> Callable[[int], jax.Array]:
    """Calls of `pretrain.advance`, each on what the last one left."""
    over = devices.mesh(config.rows)
    tx = optimizer.optimizer(config.optimizer, config.steps)
    state = optimizer.start(transformer.init(config.model, 0), tx)
    key, n = jax.random.key_data(jax.random.key(0)), len(config.objectives)
    ratios = jnp.full(n, 1 / n, jnp.float32)
    state, key, data, ratios = devices.replicate((state, key, data, ratios), over)
    kept = [state]

    def call(i: int) -> jax.Array:
        state, trace = advance(kept.pop(), key, data, ratios, config, over)
        kept.append(state)
        return trace.loss

    return call


def made_up(config: PretrainConfig) -> Corpus:
    """A made-up genome on the device; what it says changes no time."""
    bases = jax.random.randint(jax.random.key(0), (GENOME_BASES,), 8, 12, jnp.uint8)
    count = jnp.array([GENOME_BASES - config.slots + 1], jnp.uint32)
    return Corpus(bases, Windows(jnp.zeros(1, jnp.uint32), count))
