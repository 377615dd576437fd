"""Checks of the fields of configs, which are frozen dataclasses that `jax.jit` hashes."""

import dataclasses
from collections.abc import Mapping
from numbers import Integral, Real
from types import UnionType
from typing import Any, get_args, get_origin

import numpy as np

#: What fits an annotation; numbers and truth values may be numpy's.
_KINDS: dict[Any, Any] = {int: Integral, float: Real, str: str, bool: bool | np.bool_}
_KINDS |= {tuple: tuple, Mapping: Mapping}


def check_types(config: Any) -> None:
    """Check that values are of their field's type, finite and, unless mappings, can be hashed.

    A list, an array or a text is no tuple; the ValueError gives the field and its value. A whole
    number in place of a float becomes one, so that equal configs have one fingerprint and one run.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        given = f"{field.name} {_short(value)}"
        _check(value, field.type, given)
        if field.type is float and isinstance(value, Integral):
            object.__setattr__(config, field.name, float(value))
        if get_origin(field.type) is tuple and {*get_args(field.type)} <= {float, ...}:
            object.__setattr__(config, field.name, tuple(map(float, value)))
        try:
            hash(() if isinstance(value, Mapping) else value)
        except TypeError as error:
            raise ValueError(f"{given}: {error}; give tuples and frozen dataclasses") from None


def _check(value: Any, hint: Any, given: str) -> None:
    """Check a value, and what it contains, against an annotation; `given` names it."""
    kind, inner = get_origin(hint) or hint, get_args(hint)
    if kind is UnionType:  # with None
        return None if value is None else _check(value, inner[0], given)
    if kind in _KINDS or dataclasses.is_dataclass(kind):
        fits = isinstance(value, _KINDS.get(kind, kind))
        fits &= kind is bool or not isinstance(value, bool)
    else:  # a protocol
        fits = not isinstance(value, type) and all(
            hasattr(value, name) for name in vars(kind) if not name.startswith("_")
        )
    if not fits:
        text = ", as ('chr8',)" if isinstance(value, str) and kind is tuple else ""
        wanted = f"give a value of type {kind.__name__}{text}"
        raise ValueError(f"{given} is of type {type(value).__name__}; {wanted}")
    if kind is float and not fits_float32(value):
        raise ValueError(f"{given} is not finite as float32; give 0, or 1.2e-38 to 3.4e38")
    if kind is Mapping:
        for key, item in value.items():
            _check(key, inner[0], f"{given}: {_short(key)}")
            _check(item, inner[1], f"{given}: {_short(item)}")
    if kind is tuple:
        hints = inner[:1] * len(value) if inner[1:] == (...,) else inner
        if len(hints) != len(value):
            raise ValueError(f"{given} must have {len(hints)} entries")
        for item, wanted in zip(value, hints, strict=True):
            _check(item, wanted, f"{given}: {_short(item)}")


def check_seed(seed: int) -> None:
    """Raise a ValueError for what is no seed: a whole number of 32 bits."""
    if not isinstance(seed, Integral) or isinstance(seed, bool):
        raise ValueError(f"seed {seed!r} is no whole number; give 0 or more")
    if not 0 <= seed < 2**32:  # a key has its last 32 bits
        raise ValueError(f"seed {seed}: give 0 to {2**32 - 1}")


def fits_float32(value: Any) -> bool:
    """Return whether a number is 0 or, as float32, finite and not rounded to 0."""
    return not value or 2.0**-126 <= abs(value) < 2.0**128


def _short(value: Any) -> str:
    return f"{' '.join(repr(value).split()):.60}"  # in one line


def check_ranges(config: Any, **ranges: tuple[int, int]) -> None:
    """Check that fields of a config are in their ranges, both ends included.

    The ValueError for another value gives the name of the field, its value and the bound.
    """
    for name, (least, most) in ranges.items():
        value = getattr(config, name)
        if value > most:
            raise ValueError(f"{name} {value:,} are more than {most:,}")
        if value < least:
            raise ValueError(f"{name} {value:,} must be at least {least:,}")
