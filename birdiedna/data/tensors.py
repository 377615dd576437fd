"""Safetensors files: named arrays behind a JSON header, read without running anything.

    8 bytes   length of the header, little-endian
    header    JSON: name -> dtype, shape, data_offsets; __metadata__ -> texts
    data      the arrays one after the other, without holes

Written here rather than taken from the package `safetensors`, because that one gives bfloat16 to
PyTorch only, and the training core does without it.
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
_HEADER = {
    "__metadata__?": {...: str},
    ...: {"dtype": str, "shape": [int], "data_offsets": [int]},
}
_REMEDY = "get it again"


def write(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Replace a file by these arrays (float32, float16 or bfloat16), sorted by name."""
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
    """The arrays of a file by name, read when they are used, and its metadata.

    A pickle, another file, or one that is cut short or damaged is a ValueError.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        fits = 2 <= length <= min(size - 8, _LONGEST_HEADER)
        if not fits and start.startswith((b"PK", b"\x80")):
            raise ValueError(
                f"{path} is an archive or a pickle, which is never opened, as it could run code; "
                "give a .safetensors file"
            )
        if not fits:
            raise _damaged(path, "it does not begin with the length of a header that fits it")
        text = file.read(length)
    header = stored.parse(text, path, _HEADER, _REMEDY)
    metadata = header.pop("__metadata__", {})
    end, pieces = 0, {}
    for name, said in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        if said["dtype"] not in _TYPES:
            raise _damaged(path, f"{name!r} is of type {said['dtype']}, not {', '.join(_TYPES)}")
        kind, shape = np.dtype(_TYPES[said["dtype"]]), tuple(said["shape"])
        place = said["data_offsets"]
        if place != [end, end + math.prod(shape) * kind.itemsize] or min((0, *shape)):
            raise _damaged(path, f"bytes {place} of its data do not hold {name!r}")
        pieces[name], end = (*place, kind, shape), place[1]
    if end != size - 8 - length:
        raise _damaged(path, f"it has {size - 8 - length:,} bytes of data, its header says {end:,}")
    data = np.memmap(path, np.uint8, "r", offset=8 + length) if end else np.zeros(0, np.uint8)
    arrays = {n: data[a:b].view(kind).reshape(shape) for n, (a, b, kind, shape) in pieces.items()}
    return arrays, metadata


def read_folder(folder: Path) -> tuple[dict[str, np.ndarray], list[Path]]:
    """The arrays of `model.safetensors`, or of the parts that its index lists; and the files.

    Raises:
      FileNotFoundError: there are none, or a part is missing.
      ValueError: the index or a part is damaged, or they contradict each other.
    """
    index, single = folder / _INDEX, folder / "model.safetensors"
    if not index.is_file():
        if not single.is_file():
            raise FileNotFoundError(f"{folder} contains no model.safetensors; give its folder")
        return read(single)[0], [single]
    listed = stored.read_json(index, {"weight_map": {...: str}}, _REMEDY)["weight_map"]
    paths = [folder / name for name in sorted(set(listed.values()))]
    if wrong := [path for path in paths if path.parent != folder]:
        raise _damaged(index, f"{wrong[0]} is in another folder")
    if missing := [path for path in paths if not path.is_file()]:
        raise FileNotFoundError(f"{missing[0]} is missing, and {index.name} lists it")
    parts = {path.name: read(path)[0] for path in paths}
    for name, file in listed.items():
        if name not in parts[file]:
            raise _damaged(index, f"{file} has no {name!r}")
    return {name: parts[file][name] for name, file in listed.items()}, paths


def _damaged(path: Path, why: object) -> ValueError:
    return stored.damaged(path, why, _REMEDY)
