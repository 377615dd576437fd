"""Read stored JSON, logs and arrays, which may be truncated, altered or malicious.

Every fault is a one-line `ValueError` with file, fault and remedy. Compressed files are unpacked up
to a limit. JSON written by `sealed` contains its own checksum; JSON of older versions has none and
is still read.
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

#: A compressed log may unpack to this many bytes, or this many times its size (ours: 3 to 5 times).
LEAST_LOG, LOG_TIMES = 1 << 20, 20
#: In a shape: a number, or null for one that is not finite.
NUMBER = (float, int, NoneType)
_NAMES = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}
_NAMES |= {NoneType: "null", list: "a list", dict: "an object"}
REMEDY = "get an intact copy"
ALTERED = "its checksum is wrong"


def damaged(path: Path, why: object, remedy: str = REMEDY) -> ValueError:
    """Return the one-line error for a damaged file."""
    reason = " ".join(str(why).split())
    return ValueError(f"{path} is damaged: {reason[:200]}; {remedy}")


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with its own sha256 as last field, which `parse` checks."""
    return {**value, "seal": seal(value)}


def seal(value: Mapping[str, Any]) -> str:
    """Return the sha256 of a JSON object without `seal`; layout and order do not matter."""
    return _unsealed_sum(json.loads(json.dumps(value)))


def _unsealed_sum(value: Mapping[str, Any]) -> str:
    """Return `seal` of an object that was JSON, whose keys are text."""
    plain = {key: value[key] for key in value if key != "seal"}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def read_json(path: Path, shape: Any = object, remedy: str = REMEDY) -> Any:
    """Read a JSON file; errors as in `parse`."""
    return parse(path.read_bytes(), path, shape, remedy)


def parse(text: bytes, path: Path, shape: Any = object, remedy: str = REMEDY) -> Any:
    """Parse JSON text from the file `path`.

    ValueError for invalid JSON, a repeated field, a wrong `shape` or checksum.
    """
    try:
        value = json.loads(text, object_pairs_hook=unrepeated)
        if b"\\u" in text:  # refuse unpaired surrogates, which cannot be written as UTF-8
            json.dumps(value, ensure_ascii=False).encode()
        checked = isinstance(value, dict) and "seal" in value
        intact = not checked or value["seal"] == _unsealed_sum(value)
    except (ValueError, RecursionError) as error:
        files.check_downloaded(path, text[:500], "JSON")
        raise damaged(path, error, remedy) from None
    if wrong := misfit(value, shape) if intact else ALTERED:
        raise damaged(path, wrong, remedy)
    return value


def unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; ValueError for repeated fields: `json` silently keeps the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"field {twice!r} occurs twice; delete one")
    return found


def misfit(value: Any, shape: Any, place: str = "it") -> str:
    """Return where a JSON value differs from a shape, or "".

    A shape is `object` (anything), a type, a tuple of alternatives, `[shape]` for a list of any
    length, or a dict of fields: `name?` is optional, `...` stands for all fields not named.
    """
    if isinstance(shape, tuple):
        wrong = ""
        for one in shape:
            if not (differs := misfit(value, one, place)):
                return ""
            wrong = wrong or differs
        return wrong
    kind = type(shape) if isinstance(shape, list | dict) else shape
    too_long = type(value) is int and abs(value) >> 63
    if kind is not object and (type(value) is not kind or too_long):
        return f"{place} is not {_NAMES[kind]}" + (f": {value!r:.40}" if type(value) is str else "")
    if isinstance(shape, list):
        each = enumerate(value)
        return next(filter(None, (misfit(v, shape[0], f"{place}[{i}]") for i, v in each)), "")
    if isinstance(shape, dict):
        needed = (key for key in shape if key is not ... and not key.endswith("?"))
        if missing := [name for name in needed if name not in value]:
            return f"{place} has no {missing[0]!r}"
        other = shape.get(..., object)
        field = lambda name: shape.get(name, shape.get(f"{name}?", other))
        found = (misfit(value[name], field(name), f"{name!r:.80}") for name in value)
        return next(filter(None, found), "")
    return ""


def lines(text: bytes, path: Path, remedy: str = REMEDY) -> Iterator[bytes]:
    """Yield the lines of a log from the file `path`, unpacked if its name ends in `.gz`.

    ValueError if compressed data are damaged, cut short or unpack to more than a log can be.
    """
    if path.suffix == ".gz":
        most = max(LEAST_LOG, LOG_TIMES * len(text))
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(text)) as file:
                text = file.read(most + 1)
        except Exception as error:  # gzip and zlib raise three kinds without a common base
            raise damaged(path, error, remedy) from None
        if len(text) > most:
            raise damaged(path, f"it unpacks to more than {most:,} bytes", remedy)
    yield from io.BytesIO(text)


def read_arrays(
    path: Path, text: bytes | None = None, names: tuple[str, ...] = (), remedy: str = REMEDY
) -> dict[str, np.ndarray]:
    """Read the arrays of an `.npz` file by name, without pickles; `names` are required.

    `text` is the content of the file if it is already read. Raises ValueError if the file is
    unreadable or unpacks to more than is allowed.
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
                raise ValueError(f"{foreign[0]!r} is not an array")
        except Exception as error:  # a malicious file can make zipfile and numpy raise anything
            raise damaged(path, error or type(error).__name__, remedy) from None
    if missing := [name for name in names if name not in found]:
        raise damaged(path, f"it has no array {missing[0]!r}", remedy)
    return found
