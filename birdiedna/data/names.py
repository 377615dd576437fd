"""What messages say of names: some of many, the one that may be meant, and how to type it."""

import difflib
import shlex
from collections.abc import Iterable, Sequence


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first of the names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def shell(word: str) -> str:
    """A path or name as a shell and the command line read it, also one that begins with `-`."""
    return shlex.quote(f"./{word}" if word.startswith("-") else word)


def meant(name: str, known: Iterable[str]) -> str:
    """A question for the closest of the known names, with a blank behind it; "" if none is."""
    close = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean {close[0]!r}? " if close else ""
