"""Second-stage training: pre-training that starts from a Hugging Face Llama trained on text.

Its vocabulary is cut to ours, because rows of words cost memory and time and are never read. Bases,
N, `<start>` and `<eos>` keep the rows of their letters and of begin and end of text. All other
tokens start at the mean of the trained rows plus noise, so that no two are equal (our choice: a
text model's reserved rows are untrained, and equal rows would hardly diverge), and no longer or
shorter than the rows of the letters.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from birdiedna import vocab
from birdiedna.data import stored, tensors
from birdiedna.data.files import digest
from birdiedna.model import llama
from birdiedna.model.transformer import Transformer
from birdiedna.training.weights import read_config

#: Token ids of Llama 3's letters; its size, and its number of words, after which ids are special.
_LLAMA_3 = {"A": 32, "C": 34, "G": 38, "T": 51, "N": 45}
_LLAMA_3_SIZE, _LLAMA_3_WORDS = 128_256, 128_000
_TOKENIZER = {"model": {"vocab": {...: int}}, "added_tokens?": [{"id": int}]}
#: Standard deviation of new rows around the mean, relative to that of the trained rows.
NOISE = 0.5
#: Rows of the old vocabulary in memory at once.
_AT_ONCE = 8192


class Start(NamedTuple):
    """The model to start from, with weights on the host, and sha256 of all its files.

    `notes` has the noise of its new rows, and the cosines of the rows of A, C, G and T in pairs.
    """

    net: Transformer
    sha256: str
    notes: Mapping[str, float]


def read(folder: Path, seed: int) -> Start:
    """The Transformer of a Hugging Face Llama, with our vocabulary, in float32.

    Tied embeddings become two matrices that start equal.

    Args:
      folder: contains config.json, model.safetensors or its parts, and tokenizer.json, which Llama
        3 does not need.
      seed: of the rows of new tokens.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: it is not a supported Llama, a file is damaged, or a base has no token.
    """
    found = read_config(folder)
    arrays, files = tensors.read_folder(folder)
    try:
        if "birdiedna" in found:
            raise ValueError("a model of birdiedna; `birdiedna finetune --start` trains it further")
        config, tied = llama.from_config(found)
        rows, trained = _words(folder, found, config.vocabulary)
        for name in llama.BY_TOKEN:
            if name in arrays and arrays[name].shape != (config.vocabulary, config.width):
                raise ValueError(f"{name} has shape {arrays[name].shape}, unlike config.json")
        by_token = [name for name in arrays if name in llama.BY_TOKEN]
        cut = arrays | {name: _cut(arrays[name], rows, trained, seed) for name in by_token}
        net = llama.from_llama(cut, replace(config, vocabulary=vocab.SIZE), tied)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    named = [folder / name for name in ("config.json", "tokenizer.json")]
    sums = [digest(file) for file in (*named, *files) if file.is_file()]
    net = jax.tree.map(np.asarray, net)  # saves device memory for the training state
    sha256 = hashlib.sha256("\n".join([*sums, str(NOISE)]).encode()).hexdigest()
    return Start(net, sha256, {"noise": NOISE} | _cosines(net.embedding[...]))


def _cosines(rows: np.ndarray) -> dict[str, float]:
    """The cosines of the rows of two bases, by their letters."""
    bases = rows[vocab.A : vocab.N] / np.linalg.norm(rows[vocab.A : vocab.N], axis=1)[:, None]
    pairs = combinations(enumerate("ACGT"), 2)
    return {a + b: round(float(bases[i] @ bases[j]), 3) for (i, a), (j, b) in pairs}


def _words(folder: Path, found: Mapping[str, Any], size: int) -> tuple[dict[int, int], np.ndarray]:
    """The row of each of our tokens in the vocabulary of a folder, and which rows were trained."""
    path = folder / "tokenizer.json"
    if path.is_file():
        tokenizer = stored.read_json(path, _TOKENIZER)
        known = tokenizer["model"]["vocab"]
        if missing := [letter for letter in _LLAMA_3 if letter not in known]:
            raise ValueError(f"tokenizer.json has no token {missing[0]!r}")
        letters = {letter: known[letter] for letter in _LLAMA_3}
        if len({*letters.values()}) < len(letters):
            raise ValueError(f"tokenizer.json gives letters the same token: {letters}; correct it")
        special = [token["id"] for token in tokenizer.get("added_tokens", [])]
    elif size == _LLAMA_3_SIZE:
        letters, special = _LLAMA_3, list(range(_LLAMA_3_WORDS, size))
    else:
        raise ValueError(f"{size:,} tokens are not those of Llama 3; add its tokenizer.json")
    named = {f"token {letter!r} of tokenizer.json": row for letter, row in letters.items()}
    for key in ("bos_token_id", "eos_token_id"):
        theirs = found.get(key)
        named[f"{key} of config.json"] = (
            theirs[0] if isinstance(theirs, list) and theirs else theirs
        )
    for name, row in named.items():
        if type(row) is not int or not 0 <= row < size:
            raise ValueError(f"{name} is {row!r}, not one of 0..{size - 1}; correct it")
    ours = (*(vocab.A + i for i in range(len(letters))), vocab.START, vocab.EOS)
    return dict(zip(ours, named.values(), strict=True)), np.setdiff1d(np.arange(size), special)


@np.errstate(invalid="ignore")  # numbers that are not finite are refused later
def _cut(array: np.ndarray, rows: dict[int, int], trained: np.ndarray, seed: int) -> np.ndarray:
    """Rows of our tokens, float32 (384, d), from those of another vocabulary (V, d)."""
    sums, squares = np.zeros((2, array.shape[1]))
    for some in np.array_split(trained, max(1, len(trained) // _AT_ONCE)):
        part = array[some].astype(np.float64)
        sums, squares = sums + part.sum(axis=0), squares + (part**2).sum(axis=0)
    mean = sums / len(trained)
    deviation = np.sqrt(np.maximum(squares / len(trained) - mean**2, 0))
    kept = array[list(rows.values())].astype(np.float32)
    noise = np.random.default_rng(seed).standard_normal((vocab.SIZE, array.shape[1]), np.float32)
    made = (mean + NOISE * deviation * noise).astype(np.float32)
    norms, like = np.linalg.norm(made, axis=1), np.linalg.norm(kept[: len(_LLAMA_3)], axis=1)
    if not like.all():
        letter = [*_LLAMA_3][like.argmin()]
        raise ValueError(f"the row of {letter!r} has only zeros; give a model that was trained")
    made *= (np.clip(norms, like.min(), like.max()) / norms)[:, None]
    made[list(rows)] = kept
    return made
