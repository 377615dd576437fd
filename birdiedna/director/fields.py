"""Checks of the fields of configs, which are frozen dataclasses that `jax.jit` hashes."""

import dataclasses
import math
from numbers import Integral, Real
from typing import Any, get_origin

#: What fits an annotation; numbers may be numpy's.
_KINDS: dict[Any, type] = {int: Integral, float: Real, str: str, bool: bool}


def check_types(config: Any) -> None:
    """Check that values are of their field's type, finite, and can be hashed.

    Those of configs inside, too. A list, an array or a text is no tuple; the ValueError gives the
    field and its value.
    """
    for field in dataclasses.fields(config):
        value, hint = getattr(config, field.name), get_origin(field.type) or field.type
        given = f"{field.name} {' '.join(repr(value).split()):.60}"  # in one line
        kind = tuple if hint is tuple else _KINDS.get(hint, object)
        if not isinstance(value, kind):
            text = ", as ('chr8',)" if isinstance(value, str) and kind is tuple else ""
            raise ValueError(
                f"{given} is of type {type(value).__name__}; give a value of type "
                f"{getattr(hint, '__name__', hint)}{text}"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{given} is not finite; give a number")
        try:
            hash(value)
        except TypeError as error:
            raise ValueError(f"{given}: {error}; give tuples and frozen dataclasses") from None
        if dataclasses.is_dataclass(value):  # such as a model's sizes, which cannot import this
            check_types(value)


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
