"""Names and numbers in messages: short lists, counts, the closest known name, shell quoting."""

import difflib
import re
import shlex
from collections.abc import Iterable, Sequence


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return the first names and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def quantity(count: int, what: str) -> str:
    """Return a count and what is counted; after 1, its first word in -s is singular.

    So is its verb if that is "are" or comes after "that" or "which": "1 row that repeats another".
    After "of" only the verb is: "1 of 8 rows repeats another".
    """
    if count == 1 and what.startswith("of "):
        one = {"are": "is", "have": "has", "do": "does"}
        verb = r"\b(are|have|do|disagree|overlap|repeat|share)\b"
        what = re.sub(verb, lambda m: one.get(m[0], f"{m[0]}s"), what, count=1)
    elif count == 1:
        what = re.sub(r"(\w{3})s( are)?\b", lambda m: m[1] + " is" * bool(m[2]), what, count=1)
        what = re.sub(r"\b(that|which) (\w+)", r"\1 \2s", what)
    return f"{count:,} {what}"


def sided(value: float, form: str = "+.3f") -> str:
    """Return a value as text; instead of 0.000 a digit more, if it shows the side of 0."""
    text, finer = f"{value:{form}}", f"{value:{form.replace('.3', '.4')}}"
    return finer if finer != text and float(finer) and not float(text) else text


def grouped(number: str) -> bool:
    """Return whether underscores only group thousands, as in 1_000: Python reads 4_0 as 40."""
    return not re.search(r"_(?!\d{3}(?!\d))", number)


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
