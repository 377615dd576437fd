"""What runs cost: time of a step, tokens a second, share of the device's ceiling, memory."""

import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from birdiedna.model.transformer import ModelConfig
from birdiedna.training import run_folder, run_writer
from birdiedna.training.pretrain import PretrainConfig


def flop_per_token(config: ModelConfig, slots: int) -> float:
    """6 for each weight of a matrix product, and 12 for each slot, width and block of attention.

    Attention is counted in full, as is usual, although about half of a causal row is skipped.
    """
    inner = config.heads * config.head_width
    shared = (config.kv_heads or config.heads) * config.head_width
    block = 2 * config.width * (inner + shared) + 3 * config.width * config.mlp_width
    matrices = config.blocks * block + config.width * config.vocabulary
    return 6 * matrices + 12 * config.blocks * inner * slots


def flop(config: PretrainConfig) -> float:
    """Of a whole pre-training, without its evaluations and the reward model."""
    tokens = config.steps * config.rows * config.slots
    return tokens * flop_per_token(config.model, config.slots)


def ceiling() -> float | None:
    """FLOP/s of large bfloat16 products on all accelerators; None on a CPU."""
    return None if jax.default_backend() == "cpu" else products(8192)


def products(side: int) -> float:
    """FLOP/s of bfloat16 products of square matrices, one after the other, times all devices."""
    x = jax.random.normal(jax.random.key(0), (side, side), jnp.bfloat16)

    @jax.jit
    def ten(x: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, 10, lambda _, y: (x @ y) * jnp.bfloat16(side**-0.5), x)

    seconds = []
    for _ in range(6):
        clock = time.monotonic()
        ten(x).block_until_ready()
        seconds.append(time.monotonic() - clock)
    return jax.device_count() * 10 * 2 * side**3 / float(np.median(seconds[1:]))


def peak_memory_bytes() -> int | None:
    """The most memory that this process has held on its first device; None where nobody counts."""
    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def seconds(folder: Path) -> float:
    """Wall time of a run, finished or not: of all its processes, compilation included.

    Runs that were trained together share it.
    """
    if run_folder.complete(folder):
        manifest = run_folder.read(folder, "manifest", "wall_s")
        return manifest["wall_s"] / manifest.get("together", 1)
    return sum(session["seconds"] for session in run_writer.sessions(folder))


def speed(folder: Path, model: ModelConfig) -> dict[str, Any]:
    """Speed of a pre-training run, finished or not, from its log.

    Returns:
      step_ms: median over chunks of steps, so without compilation. tokens_per_s. tflops: per
      second. mfu: share of the ceiling measured beside the run, None without one.
      peak_memory_bytes, None if unknown.
    """
    config = run_folder.read(folder, "config", "chunk_steps", "rows", "slots")
    chunks = [e["seconds"] for e in run_folder.events(folder, "train", ["seconds"])]
    if not chunks:
        return {}
    step = float(np.median(chunks)) / config["chunk_steps"]
    tokens = config["rows"] * config["slots"] / step
    flops = tokens * flop_per_token(model, config["slots"])
    manifest = run_folder.read(folder, "manifest") if run_folder.complete(folder) else {}
    top = manifest.get("ceiling_flops")
    return {
        "step_ms": 1e3 * step,
        "tokens_per_s": tokens,
        "tflops": flops / 1e12,
        "mfu": flops / top if top else None,
        "peak_memory_bytes": manifest.get("peak_memory_bytes"),
    }
