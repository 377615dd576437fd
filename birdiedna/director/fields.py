"""Ranges of whole-number settings."""

from typing import Any


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
