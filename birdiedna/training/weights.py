"""Models as files: a folder in Hugging Face's Llama layout, or just its weights file.

    <folder>/model.safetensors    the weights; its metadata repeats config.json
    <folder>/config.json          of a LlamaForCausalLM; its field "birdiedna" describes the run

So the weights file alone is a complete model.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from birdiedna import vocab
from birdiedna.data import catalog, stored, tensors
from birdiedna.data.files import digest
from birdiedna.data.labelled import LONGEST_BASES
from birdiedna.model import llama
from birdiedna.model.transformer import Transformer
from birdiedna.training import run_folder

TYPES = ("float32", "bfloat16")
#: Our own field of `config.json`.
_OURS = "birdiedna"
_SINGLE = "model.safetensors"
#: What is read of it here and in the model card.
_RUN = {"config": run_folder.CONFIG, "manifest": run_folder.MANIFEST}


class Model(NamedTuple):
    """A model, with `config.json` and `manifest.json` of its run."""

    net: Transformer
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {self.net.config})"

    @property
    def name(self) -> str:
        """The name of the run."""
        return str(self.manifest.get("name", "unnamed"))

    @property
    def bidirectional(self) -> bool:
        """Whether it was trained to see later tokens of its input."""
        objectives = self.config.get("objectives")
        only_next = objectives and all(of.get("type") == "NextToken" for _, of in objectives)
        return bool(self.config.get("bidirectional", True) and not only_next)

    @property
    def slots(self) -> int:
        """Slots of its pre-training rows; the paper's, if only a fine-tuning is known."""
        return int(self.config.get("slots", LONGEST_BASES))


def write(folder: Path | str, model: Model, kind: str = "float32") -> None:
    """Write weights and config into an existing folder; errors as `write_file`."""
    config = write_file(Path(folder) / _SINGLE, model, kind)
    run_folder.write_json(Path(folder) / "config.json", config)


def write_file(path: Path | str, model: Model, kind: str = "float32") -> dict[str, Any]:
    """Write a weights file of a `kind` in `TYPES`, else ValueError; returns its `config.json`."""
    if kind not in TYPES:
        raise ValueError(f"weights of type {kind!r} are not written; choose {' or '.join(TYPES)}")
    run = {"config": dict(model.config), "manifest": dict(model.manifest)}
    config = llama.to_config(model.net.config, model.slots)
    config |= {"dtype": kind, "torch_dtype": kind, _OURS: run}
    cast = np.float32 if kind == "float32" else jnp.bfloat16
    arrays = {name: array.astype(cast) for name, array in llama.to_llama(model.net).items()}
    text = json.dumps(config)
    metadata = {"format": "pt", "config": text, "sha256": _sum(arrays, text)}
    tensors.write(Path(path), arrays, metadata)
    return config


def _sum(arrays: Mapping[str, np.ndarray], config: str) -> str:
    """sha256 of all weights and the config."""
    found = hashlib.sha256(config.encode())
    for name in sorted(arrays):
        found.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        found.update(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def read(path: Path | str) -> Model:
    """The model of an exported folder or a weights file.

    Raises:
      FileNotFoundError: a file is missing.
      ValueError: a file is damaged or a pickle, or the model has another vocabulary.
    """
    path = Path(path)
    file = path / _SINGLE if path.is_dir() else path
    if path.is_dir():
        place, found = path / "config.json", read_config(path)
        arrays = tensors.read_folder(path)[0]
        metadata = tensors.read(file)[1] if file.is_file() else {}
    else:
        place, (arrays, metadata) = path, tensors.read(path)
        found = stored.parse(metadata.get("config", "{}").encode(), path, {})
    try:
        config, tied = llama.from_config(found)
        run = found.get(_OURS)
        if config.vocabulary != vocab.SIZE or run is None:
            raise ValueError(
                f"its vocabulary of {config.vocabulary:,} tokens is not that of birdiedna; "
                "`birdiedna pretrain --from-llama` can continue such a model"
            )
        if wrong := stored.misfit(run, _RUN, _OURS) or run_folder.unpaired(run["config"]):
            raise ValueError(f"{wrong}; export the model again")
        net = llama.from_llama(arrays, config, tied)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    if "sha256" in metadata:
        if metadata["sha256"] != _sum(arrays, metadata.get("config", "")):
            raise stored.damaged(file, stored.ALTERED)
        if metadata.get("config") != json.dumps(found):
            raise stored.damaged(place, stored.ALTERED)
    elif path.is_file():  # our first version, as in the catalogue: recognised by its size
        known, size = (one for entry in catalog.ENTRIES for one in entry.files), path.stat().st_size
        sums = [one.sha256 for one in known if one.bytes == size]
        if sums and digest(path) not in sums:
            raise stored.damaged(path, stored.ALTERED)
    return Model(net, run["config"], run["manifest"])


def fingerprint(net: Transformer) -> str:
    """sha256 of all weights, independent of their file."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(net):
        found.update(np.asarray(leaf, np.float32).tobytes())
    return found.hexdigest()


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a folder.

    Raises:
      FileNotFoundError: there is none.
      ValueError: it is no JSON object.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} contains no config.json; give the folder of a model")
    return stored.read_json(path, {})
