"""Names in messages: shortened lists, the closest known name, and shell quoting."""

import difflib
import shlex
from collections.abc import Iterable, Sequence


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return the first names and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def shell(word: str) -> str:
    """Quote a path or name for the shell and argparse, also if it begins with `-`."""
    return shlex.quote(f"./{word}" if word.startswith("-") else word)


def option(name: str, value: str) -> str:
    """Return ` --name value` for the shell and argparse, also if the value begins with `-`."""
    return f" --{name}{'=' if value.startswith('-') else ' '}{shlex.quote(value)}"


def meant(name: str, known: Iterable[str]) -> str:
    """Return "did you mean 'x'? " for the closest known name, whatever its case, or ""."""
    folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), folded, 1)
    return f"did you mean {folded[close[0]]!r}? " if close else ""
