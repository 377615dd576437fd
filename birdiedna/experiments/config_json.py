"""Configs from JSON: rebuild the frozen dataclasses that a run folder records.

Types are strict: "5e-5" is no number, and an unknown field is an error. The configs check ranges.
"""

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from birdiedna.data.names import meant
from birdiedna.data.stored import damaged
from birdiedna.director import director
from birdiedna.director.reward_model import Fit, Reward, RewardModel
from birdiedna.model import transformer
from birdiedna.model.fields import fits_float32
from birdiedna.model.transformer import ModelConfig
from birdiedna.objectives import definitions
from birdiedna.training import checkpoint, run_folder
from birdiedna.training.finetune import FinetuneConfig
from birdiedna.training.optimizer import OptimizerConfig
from birdiedna.training.pretrain import PretrainConfig
from birdiedna.training.probe import ProbeConfig
from birdiedna.training.weights import Model

#: Entries of `config.json` that are not part of the config.
NOT_CONFIG = ("kind", "seed", "task", "start", "finetune_seed", "reading")
#: Of whole numbers.
_GREATEST = 2**40
#: All types of configs, by the name in `run_folder.to_json`.
TYPES = {
    kind.__name__: kind
    for kind in (
        *(PretrainConfig, FinetuneConfig, ProbeConfig, ModelConfig, OptimizerConfig),
        *(director.Fixed, director.Birdie, director.Recorded),
        *(Reward, RewardModel, Fit),
        *dict.fromkeys(map(type, definitions.EVERY.values())),
    )
}


def parse(value: Any, place: str = "config", hint: Any = None) -> Any:
    """A dataclass from the JSON object of `run_folder.to_json`, which has a "type".

    Args:
      place: its name in messages.
      hint: the annotation that it must fit; None allows all `TYPES`.

    Raises:
      ValueError: an unknown type or field, a missing field, a value of another type or out of
        range; the message has the field, the value and the closest name.
    """
    known = _known(hint)
    named = value.get("type") if isinstance(value, dict) else value
    if not isinstance(value, dict) or str(named) not in known:
        raise ValueError(f"{place}: {named!r} is none of the types {', '.join(known)}")
    return build(known[value["type"]], value, place)


@lru_cache  # types are few, and a plan has thousands of runs
def _known(hint: Any) -> dict[str, Any]:
    """Those of `TYPES` that fit an annotation."""
    return {name: kind for name, kind in TYPES.items() if _fits(kind, hint)}


def _fits(kind: type, hint: Any) -> bool:
    """Whether a type fits an annotation; to fit a protocol it needs its methods."""
    if hint is None or get_origin(hint) is UnionType:
        return hint is None or kind in get_args(hint)
    methods = [name for name, of in vars(hint).items() if callable(of) and name[0] != "_"]
    return kind is hint or not is_dataclass(hint) and all(hasattr(kind, name) for name in methods)


def build(kind: Any, given: Mapping[str, Any], place: str) -> Any:
    """A dataclass from JSON values of its fields; errors as in `parse`."""
    hints = _hints(kind)
    own = {field.name: field for field in fields(kind)}
    given = {name: value for name, value in given.items() if name != "type"}
    for name in given:
        if name not in own:
            hint = meant(name, own).strip() or f"it has {', '.join(own)}"
            raise ValueError(f"{place}: {kind.__name__} has no field {name!r}; {hint}")
    needed = [name for name, f in own.items() if f.default is f.default_factory is MISSING]
    if missing := [name for name in needed if name not in given]:
        raise ValueError(f"{place}: {kind.__name__} needs a value for {missing[0]!r}")
    arguments = {name: checked(v, hints[name], f"{place}.{name}") for name, v in given.items()}
    try:
        return kind(**arguments)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{place}: {error}") from error


def checked(value: Any, hint: Any, place: str) -> Any:
    """A JSON value, checked against an annotation; lists become tuples. Errors as in `parse`."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any or value is None and NoneType in inner:
        return value
    if origin is Mapping:
        if not isinstance(value, dict):
            raise ValueError(f"{place}: {value!r} must be a JSON object")
        return {
            _key(key, inner[0], place): checked(item, inner[1], f"{place}.{key}")
            for key, item in value.items()
        }
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{place}: {value!r} must be a list")
        hints = [inner[0]] * len(value) if inner[1:] == (...,) else inner
        if len(hints) != len(value):
            raise ValueError(f"{place}: {value!r} must have {len(hints)} entries")
        pairs = enumerate(zip(value, hints, strict=True))
        return tuple(checked(item, kind, f"{place}[{i}]") for i, (item, kind) in pairs)
    if NoneType in inner:
        return checked(value, inner[0], place)
    if hint is float and type(value) is int:
        return float(value)
    if hint in (int, float, str, bool):
        return _plain(value, hint, place)
    return parse(value, place, hint)


_hints = lru_cache(get_type_hints)


def _key(key: str, hint: type, place: str) -> Any:
    """A key of a JSON object as its type."""
    if hint is int and not key.isdecimal():
        raise ValueError(f"{place}: key {key!r} must be a whole number")
    return hint(key)


def _plain(value: Any, hint: type, place: str) -> Any:
    if type(value) is not hint:
        number = type(value) is str and hint in (int, float) and re.fullmatch(r"[-+.\deE]+", value)
        remedy = f"; write {value} without quotes" if number else ""
        raise ValueError(f"{place}: {value!r} must be of type {hint.__name__}{remedy}")
    if isinstance(value, float) and not fits_float32(value):
        raise ValueError(f"{place}: {value} is not a finite number of float32")
    if isinstance(value, int) and abs(value) > _GREATEST:
        raise ValueError(f"{place}: {value!r:.40} is too large; give at most {_GREATEST:,}")
    return value


def read(folder: Path) -> PretrainConfig | FinetuneConfig | ProbeConfig:
    """The config of a run folder; ValueError if it is of no run, or as in `parse`."""
    stored = run_folder.read(folder, "config")
    if "type" not in stored:  # such as a folder of `birdiedna export`
        raise ValueError(
            f"{Path(folder) / 'config.json'} is not that of a run; give a folder that `birdiedna "
            "pretrain` or `finetune` printed, or make one of this by `birdiedna import`"
        )
    return of_run(stored, str(Path(folder) / "config.json"))


def of_run(stored: Mapping[str, Any], place: str = "config") -> Any:
    """The config in the `config.json` of a run; errors as in `parse`."""
    return parse({k: v for k, v in stored.items() if k not in NOT_CONFIG}, place)


def pretrained(folder: Path) -> Model:
    """The pre-trained model of a run; of its config only the model is parsed.

    ValueError if run or model are missing or damaged, or do not fit each other.
    """
    config = run_folder.read(folder, "config", "model")
    try:
        like = transformer.shapes(build(ModelConfig, config["model"], "model"))
    except ValueError as error:
        raise damaged(Path(folder) / "config.json", error) from None
    net = checkpoint.load_model(folder, like)
    return Model(net, config, run_folder.read(folder, "manifest"))
