"""Safetensors files: named arrays after a JSON header, read without executing code.

    8 bytes   length of the header, little-endian
    header    JSON: name -> dtype, shape, data_offsets; __metadata__ -> strings
    data      the arrays one after another, without gaps

The package `safetensors` reads bfloat16 only into PyTorch, and the training core does not need it.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from birdiedna.data import files, stored

_TYPES = {"F32": np.float32, "F16": np.float16, "BF16": jnp.bfloat16}
_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items()}
_LONGEST_HEADER = 100 << 20
_INDEX = "model.safetensors.index.json"
_HEADER = {"__metadata__?": {...: str}, ...: {"dtype": str, "shape": [int], "data_offsets": [int]}}
_REMEDY = "get it again"


def write(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write arrays (float32, float16 or bfloat16), sorted by name; replaces the file atomically."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name in sorted(arrays):
        array = arrays[name]
        begin, end = end, end + array.nbytes
        shape = list(array.shape)
        header[name] = {"dtype": _NAMES[array.dtype], "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in sorted(arrays):
            file.write(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data)


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the memory-mapped arrays of a file by name, and its metadata.

    Raises ValueError for a pickle, another kind of file, or one that is truncated or damaged.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        fits = 2 <= length <= min(size - 8, _LONGEST_HEADER)
        if not fits and start.startswith((b"PK", b"\x80")):
            raise ValueError(
                f"{path} is an archive or a pickle, which could run code and is never opened; "
                "give a .safetensors file"
            )
        if not fits:
            files.check_downloaded(path, start + file.read(500), "safetensors data")
            raise _damaged(path, "it does not begin with the length of its header")
        text = file.read(length)
    header = stored.parse(text, path, _HEADER, _REMEDY)
    metadata = header.pop("__metadata__", {})
    end, pieces = 0, {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        if entry["dtype"] not in _TYPES:
            kinds = f"{name!r} is of type {entry['dtype']}; convert it to {' or '.join(_TYPES)}"
            raise ValueError(f"{path}: {kinds}")
        kind, shape = np.dtype(_TYPES[entry["dtype"]]), tuple(entry["shape"])
        place = entry["data_offsets"]
        if place != [end, end + math.prod(shape) * kind.itemsize] or min((0, *shape)):
            raise _damaged(path, f"offsets {place} do not match the size of {name!r}")
        pieces[name], end = (*place, kind, shape), place[1]
    if end != size - 8 - length:
        raise _damaged(path, f"it has {size - 8 - length:,} bytes of data, its header says {end:,}")
    data = np.memmap(path, np.uint8, "r", offset=8 + length) if end else np.zeros(0, np.uint8)
    arrays = {n: data[a:b].view(kind).reshape(shape) for n, (a, b, kind, shape) in pieces.items()}
    return arrays, metadata


def read_folder(folder: Path) -> tuple[dict[str, np.ndarray], list[Path]]:
    """Read `model.safetensors`, or the parts listed in its index; return the arrays and files.

    Raises:
      FileNotFoundError: there is no such file, or a part is missing.
      ValueError: the index or a part is damaged, or they do not match.
    """
    index, single = folder / _INDEX, folder / "model.safetensors"
    if single.is_file():  # before the index, as transformers does
        return read(single)[0], [single]
    if not index.is_file():
        pickles = any(path.suffix in (".bin", ".pt", ".pth") for path in folder.glob("*"))
        remedy = "pickles are never opened: convert them to it" if pickles else "give its folder"
        raise FileNotFoundError(f"{folder} contains no model.safetensors; {remedy}")
    listed = stored.read_json(index, {"weight_map": {...: str}}, _REMEDY)["weight_map"]
    paths = [folder / name for name in sorted(set(listed.values()))]
    if wrong := [path for path in paths if path.parent != folder]:
        raise _damaged(index, f"{wrong[0]} is in another folder")
    if missing := [path for path in paths if not path.is_file()]:
        raise FileNotFoundError(f"{missing[0]} is missing, but {index.name} lists it; {_REMEDY}")
    parts = {path.name: read(path)[0] for path in paths}
    for name, file in listed.items():
        if name not in parts[file]:
            raise _damaged(index, f"{file} has no {name!r}")
    for file, part in parts.items():
        if more := [name for name in part if listed.get(name) != file]:
            raise _damaged(index, f"{file} also has {more[0]!r}")
    return {name: parts[file][name] for name, file in listed.items()}, paths


def _damaged(path: Path, why: object) -> ValueError:
    return stored.damaged(path, why, _REMEDY)
