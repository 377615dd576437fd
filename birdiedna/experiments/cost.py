"""The cost of runs: FLOPs, seconds, tokens per second."""

from pathlib import Path

import numpy as np

from birdiedna.model.transformer import ModelConfig
from birdiedna.training import run_folder, run_writer
from birdiedna.training.pretrain import PretrainConfig


def flop_per_token(config: ModelConfig, slots: int) -> float:
    """FLOPs: 6 per weight of a matrix product, and 12 per slot, width and block of attention.

    As usual, attention is counted in full, although causal rows skip about half of it.
    """
    inner = config.heads * config.head_width
    shared = (config.kv_heads or config.heads) * config.head_width
    block = 2 * config.width * (inner + shared) + 3 * config.width * config.mlp_width
    matrices = config.blocks * block + config.width * config.vocabulary
    return 6 * matrices + 12 * config.blocks * inner * slots


def flop(config: PretrainConfig) -> float:
    """FLOPs of a pre-training, without evaluations and the reward model."""
    tokens = config.steps * config.rows * config.slots
    return tokens * flop_per_token(config.model, config.slots)


def seconds(folder: Path) -> float:
    """Wall time of a run, finished or not, of all its processes, with compilation.

    Runs that were trained together share it.
    """
    if run_folder.complete(folder):
        manifest = run_folder.read(folder, "manifest", "wall_s")
        return manifest["wall_s"] / manifest.get("together", 1)
    return sum(session["seconds"] for session in run_writer.sessions(folder))


def kilowatt_hours(folder: Path) -> float | None:
    """Energy of a finished run, as its device reported it; None if it did not.

    Runs that were trained together share it; what other processes used is included.
    """
    manifest = run_folder.read(folder, "manifest")
    used = manifest.get("joules")
    return None if used is None else used / manifest.get("together", 1) / 3.6e6


def speed(folder: Path) -> dict[str, float]:
    """Of a pre-training, finished or not, from its log; {} before its first chunk.

    Returns:
      step_ms: median over chunks of steps, so without compilation. tokens_per_s.
    """
    config = run_folder.read(folder, "config", "chunk_steps", "rows", "slots")
    chunks = [e["seconds"] for e in run_folder.each_event(folder, "train", ["seconds"])]
    if not chunks:
        return {}
    step = float(np.median(chunks)) / config["chunk_steps"]
    return {"step_ms": 1e3 * step, "tokens_per_s": config["rows"] * config["slots"] / step}
