"""A small Llama shaped like Llama 3.2, and the outputs of `transformers` for it."""

import json
from functools import cache
from pathlib import Path

import numpy as np

from birdiedna.data import tensors
from birdiedna.model import llama
from birdiedna.model.transformer import Transformer

#: Made by tests/model/make_hf_folders.py.
FOLDER = Path(__file__).with_name("model") / "hf_gqa"


def config_of(folder: Path = FOLDER) -> dict:
    """`config.json` of a folder."""
    return json.loads((folder / "config.json").read_text())


@cache
def net() -> Transformer:
    """Our Transformer of these weights."""
    config, tied = llama.from_config(config_of())
    return llama.from_llama(tensors.read_folder(FOLDER)[0], config, tied)


@cache
def reference() -> dict[str, np.ndarray]:
    """Ids, logits, mean next-token loss in nats, and gradients by name behind `grad:`."""
    with np.load(FOLDER / "reference.npz") as stored:
        return dict(stored)
