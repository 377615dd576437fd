"""Stored files, read with suspicion: JSON, logs and arrays that may be cut, altered or crafted.

Whatever is wrong with a file gives one `ValueError` in one line: its name, the fault, the remedy.
Packed files are unpacked within a bound. JSON that was written by `sealed` carries its own
checksum; JSON of older versions carries none, and is read all the same.
"""

import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from birdiedna.data import files

#: What a packed log may become, in bytes; or this many times its size. Ours take 4 to 5 times.
LEAST_LOG, LOG_TIMES = 1 << 20, 20
#: In a shape: a number, or null where it is not finite.
NUMBER = (float, int, NoneType)
_NAMES = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}
_NAMES |= {NoneType: "null", list: "a list", dict: "an object"}
REMEDY = "get an intact copy"
ALTERED = "it is not as it was written"


def damaged(path: Path, why: object, remedy: str = REMEDY) -> ValueError:
    """The error for a file that cannot be trusted, in one line."""
    said = " ".join(str(why).split())
    return ValueError(f"{path} is damaged: {said[:200]}; {remedy}")


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with its own sha256 as its last field, which `parse` compares."""
    return {**value, "seal": seal(value)}


def seal(value: Mapping[str, Any]) -> str:
    """sha256 of a JSON object without its field `seal`; layout and order do not matter."""
    plain = json.loads(json.dumps({key: value[key] for key in value if key != "seal"}))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def read_json(path: Path, shape: Any = object, remedy: str = REMEDY) -> Any:
    """The value of a JSON file; errors as in `parse`."""
    return parse(path.read_bytes(), path, shape, remedy)


def parse(text: bytes, path: Path, shape: Any = object, remedy: str = REMEDY) -> Any:
    """The value of JSON text, which came from `path`.

    Raises:
      ValueError: it is no JSON, a field occurs twice, it is not of the `shape`, or its seal is
        broken.
    """
    try:
        value = json.loads(text, object_pairs_hook=_once)
        if b"\\u" in text:  # half a letter, which no file and no frame can hold
            json.dumps(value, ensure_ascii=False).encode()
        checked = isinstance(value, dict) and "seal" in value
        intact = not checked or value["seal"] == seal(value)
    except (ValueError, RecursionError) as error:
        raise damaged(path, error, remedy) from None
    if wrong := misfit(value, shape) if intact else ALTERED:
        raise damaged(path, wrong, remedy)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose fields differ; of two equal ones the last would win in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"field {twice!r} occurs twice; delete one")
    return found


def misfit(value: Any, shape: Any, place: str = "it") -> str:
    """Where a JSON value differs from a shape; empty if it does not.

    A shape is `object` (anything), a type, a tuple of shapes of which one fits, `[shape]` for a
    list of any length, or an object of fields: `name?` may be missing, and `...` stands for all
    fields that are not named.
    """
    if isinstance(shape, tuple):
        wrong = [misfit(value, one, place) for one in shape]
        return "" if "" in wrong else wrong[0]
    kind = type(shape) if isinstance(shape, list | dict) else shape
    too_long = type(value) is int and abs(value) >> 63
    if kind is not object and (type(value) is not kind or too_long):
        return f"{place} is not {_NAMES[kind]}" + (f": {value!r:.40}" if type(value) is str else "")
    if isinstance(shape, list):
        each = enumerate(value)
        return next(filter(None, (misfit(v, shape[0], f"{place}[{i}]") for i, v in each)), "")
    if isinstance(shape, dict):
        wanted = {str(key).rstrip("?"): key for key in shape if key is not ...}
        if missing := [name for name, key in wanted.items() if name not in value and key == name]:
            return f"{place} has no {missing[0]!r}"
        of = lambda name: shape[wanted[name]] if name in wanted else shape.get(..., object)
        found = (misfit(value[name], of(name), f"{name!r:.80}") for name in value)
        return next(filter(None, found), "")
    return ""


def lines(text: bytes, path: Path, remedy: str = REMEDY) -> Iterator[bytes]:
    """The lines of a log, which came from `path`; unpacked where that ends in `.gz`.

    Raises:
      ValueError: packed data are damaged or cut short, or unpack to more than a log does.
    """
    if path.suffix == ".gz":
        most = max(LEAST_LOG, LOG_TIMES * len(text))
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(text)) as file:
                text = file.read(most + 1)
        except Exception as error:  # of gzip and zlib: three kinds that share no base
            raise damaged(path, error, remedy) from None
        if len(text) > most:
            raise damaged(path, f"it unpacks to more than {most:,} bytes", remedy)
    yield from io.BytesIO(text)


def read_arrays(
    path: Path, text: bytes | None = None, names: tuple[str, ...] = (), remedy: str = REMEDY
) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` file by name, of which `names` have to be there; no pickles.

    `text` are the bytes of the file, if they were read before. One that cannot be read, or unpacks
    to more than is allowed, is a ValueError.
    """
    with path.open("rb") if text is None else io.BytesIO(text) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > files.most_unpacked(file.seek(0, io.SEEK_END)):
                raise ValueError(f"it unpacks to {unpacked:,} bytes")
            file.seek(0)
            with np.load(file, allow_pickle=False) as opened:
                found = {name: opened[name] for name in opened.files}
            if foreign := [n for n, value in found.items() if not isinstance(value, np.ndarray)]:
                raise ValueError(f"{foreign[0]!r} is no array")
        except Exception as error:  # a crafted file makes zipfile and numpy raise nearly anything
            raise damaged(path, error or type(error).__name__, remedy) from None
    if missing := [name for name in names if name not in found]:
        raise damaged(path, f"it has no array {missing[0]!r}", remedy)
    return found
