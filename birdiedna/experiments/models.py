"""Load a model by name: a run folder, an exported folder, a weights file, or one of `weights/`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
from flax import nnx

from birdiedna.data import cache, catalog
from birdiedna.data.files import digest, expanded
from birdiedna.data.stored import ALTERED, damaged
from birdiedna.experiments import config_json
from birdiedna.model import transformer
from birdiedna.training import checkpoint, run_folder, weights
from birdiedna.training.finetune import Classifier, FinetuneConfig
from birdiedna.training.probe import ProbeConfig
from birdiedna.training.weights import Model


def load(name: str | Path) -> Model:
    """The model of this name; of a fine-tuned run, the Transformer without a pooled head.

    Args:
      name: a run folder, a folder of `birdiedna export`, a weights file (.safetensors), or the
        name of a file in `weights/`, such as eighth-birdie.

    Raises:
      ValueError: the run is unfinished or has no weights, a file is damaged, or as `find`.
    """
    path = find(name)
    if not _is_run(path):
        return _here(weights.read(path))
    config, manifest = run_folder.read(path, "config"), run_folder.read(path, "manifest")
    if config["type"] == ProbeConfig.__name__:
        raise ValueError(f"{path} is a probe, which has no weights; give the model that it reads")
    if not (path / "model").is_dir():
        raise ValueError(
            f"{path} was stored without its weights; repeat the run, "
            "or name one of weights/, such as eighth-ntp"
        )
    if config["type"] == FinetuneConfig.__name__:
        return Model(classifier(path)[0].net, config, manifest)
    return _here(config_json.pretrained(path))


def _here(model: Model) -> Model:
    """The model with an attention that this device has."""
    return model._replace(net=transformer.recast(model.net, transformer.here(model.net.config)))


def classifier(name: str | Path) -> tuple[Classifier, Mapping[str, Any]]:
    """The classifier of a fine-tuning, named as in `load`, and the manifest of its run.

    ValueError if it is no fine-tuning; or as `load`.
    """
    path = find(name)
    model = None if _is_run(path) else weights.read(path)
    config = config_json.of_run(model.config) if model else config_json.read(path)
    if not isinstance(config, FinetuneConfig):
        kind = "probe" if isinstance(config, ProbeConfig) else "pre-trained run"
        raise ValueError(f"{path} is a {kind}; give that of `birdiedna finetune`")
    config = replace(config, model=transformer.here(config.model))
    if model:
        return Classifier(_here(model).net, config, nnx.Rngs(0)), model.manifest
    fresh = lambda: Classifier(transformer.init(config.model, 0), config, nnx.Rngs(0))
    net = checkpoint.load_model(path, jax.eval_shape(fresh))
    return net, run_folder.read(path, "manifest")


def _is_run(path: Path) -> bool:
    """Whether a model is a run folder, and neither an export nor a file."""
    if not path.is_dir() or any(path.glob("*.safetensors")):
        return False
    return not (path / "config.json").is_file() or "type" in run_folder.read(path, "config")


def find(name: str | Path) -> Path:
    """The folder or file of a model.

    FileNotFoundError if there is none, ValueError if a file of `weights/` differs from the
    catalogue; for a model that is not in this checkout, errors as in `cache.fetch`.
    """
    path = expanded(name)
    known = {entry.name: entry.files[0] for entry in catalog.ENTRIES if entry.kind == "weights"}
    place = run_folder.repository() / "weights"
    own = path if path.is_file() else place / f"{name}.safetensors"
    if own.parent.resolve() == place and own.stem in known and own.is_file():
        if digest(own) != known[own.stem].sha256:
            raise damaged(own, ALTERED, "get it again: git checkout weights")
        return own
    if path.is_file() or path.is_dir():
        return path
    if str(name) in known:
        return cache.fetch(str(name))
    raise FileNotFoundError(
        f"no model {str(name)!r}; give a run folder, a folder of `birdiedna export`, a "
        f".safetensors file, or one of {', '.join(known)}"
    )
