"""The paper's second stage, a Llama that continues on DNA: its cost, and a toy."""

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import polars as pl

from birdiedna.data import tensors
from birdiedna.data.genome import Genome
from birdiedna.experiments import cost
from birdiedna.experiments.profiles import PROFILES
from birdiedna.model import llama, transformer
from birdiedna.model.transformer import ModelConfig, count_parameters
from birdiedna.training import llama_start, pretrain, run_folder
from birdiedna.training.pretrain import PretrainConfig

#: Llama 3.2 1B with our vocabulary; its own of 128,256 tokens has 261 million more weights.
LLAMA_1B = ModelConfig(
    width=2048,
    blocks=16,
    heads=32,
    head_width=64,
    kv_heads=8,
    mlp_width=8192,
    rope_scaling=(32.0, 1.0, 4.0, 8192.0),
)
#: Of training, per weight: itself, its gradient and two moments, in float32.
STATE_BYTES = 16


def costs(config: PretrainConfig, flops: float) -> pl.DataFrame:
    """The cost of a pre-training with its model and with Llama 3.2 1B.

    `flops` is the speed of the device, in FLOP/s.

    Returns:
      model, parameters, state GB (`STATE_BYTES` a weight), GFLOP a token, hours.
    """
    rows = []
    for name, model in (("the paper's", config.model), ("Llama 3.2 1B, cut", LLAMA_1B)):
        weights, each = count_parameters(model), cost.flop_per_token(model, config.slots)
        hours = cost.flop(replace(config, model=model)) / flops / 3600
        rows.append((name, weights, STATE_BYTES * weights / 1e9, each / 1e9, hours))
    names = ["model", "parameters", "state GB", "GFLOP a token", "hours"]
    return pl.DataFrame(rows, names, orient="row")


def write_toy(folder: Path) -> Path:
    """Write a small random Llama in the form of Llama 3.2, as Hugging Face would."""
    small = replace(LLAMA_1B, vocabulary=300, width=32, blocks=2, mlp_width=64)
    config = replace(small, heads=4, head_width=8, kv_heads=2)
    arrays = llama.to_llama(transformer.init(config, 0))
    del arrays["lm_head.weight"]  # tied, as in the 1B model
    halves = {name: array.astype(jnp.bfloat16) for name, array in arrays.items()}
    letters = {letter: 10 + i for i, letter in enumerate("ACGTN")}
    tokenizer = {"model": {"vocab": letters}, "added_tokens": [{"id": 298}, {"id": 299}]}
    ends = {"tie_word_embeddings": True, "bos_token_id": 298, "eos_token_id": 299}
    folder.mkdir(parents=True, exist_ok=True)
    tensors.write(folder / "model.safetensors", halves, {"format": "pt"})
    run_folder.write_json(folder / "config.json", llama.to_config(config, 131_072) | ends)
    run_folder.write_json(folder / "tokenizer.json", tokenizer)
    return folder


def toy(folder: Path, genome: Genome, validation: tuple[str, ...]) -> pl.DataFrame:
    """Continue the toy by next-token prediction, and train the same model from scratch.

    Returns:
      start ("continued" or "fresh"), step, loss (held out, nats per base).
    """
    begun = llama_start.read(write_toy(folder / "toy"), seed=0)
    quick = PROFILES["quick"].pretrain["ntp"]
    config = replace(
        quick,
        model=begun.net.config,
        validation=validation,
        evaluations=(20, 40),
        steps=40,
        rows=16,
        evaluation_rows=16,
    )
    rows = []
    for name, start in (("continued", begun), ("fresh", None)):
        (place := folder / name).mkdir()
        for event in pretrain.train(config, genome, [pretrain.Run(0, place)], start=start):
            if event["event"] == "evaluation":
                rows.append((name, event["step"], event["losses"]["next_token"]))
    return pl.DataFrame(rows, ["start", "step", "loss"], orient="row")
