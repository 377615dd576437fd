"""The parameters that chapters declare, and strict checks of what is asked for.

Papermill only warns about an unknown parameter and accepts any type; we stop before any kernel.
"""

import ast
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from papermill import inspect_notebook

KINDS = {"str": str, "int": int, "float": float, "bool": bool}


class Parameter(NamedTuple):
    """One line of a chapter's `parameters` cell: `name: kind = default  # choice | choice`."""

    name: str
    kind: str
    default: Any
    choices: tuple[str, ...]


def declared(chapter: Path) -> dict[str, Parameter]:
    """The parameters of a chapter, from its cell tagged `parameters`.

    Raises:
      ValueError: a parameter has no type out of str, int, float, bool, or no literal default.
    """
    return {name: _parameter(chapter, entry) for name, entry in inspect_notebook(chapter).items()}


def accepted(
    chapters: Iterable[Path],
    asked: Mapping[str, Any],
    more: Mapping[str, Sequence[str]] | None = None,
) -> dict[Path, dict[str, str | int | float | bool]]:
    """What each chapter takes of what is asked; a chapter without the parameter ignores it.

    Args:
      asked: values by name, as text (from a command line) or already typed.
      more: values by name that may be taken beside a parameter's choices.

    Raises:
      ValueError: no chapter has the parameter, or a value has the wrong type or is no choice.
    """
    known = {chapter: declared(chapter) for chapter in chapters}
    names = sorted({name for parameters in known.values() for name in parameters})
    for name in asked:
        if name not in names:
            raise ValueError(f"no chapter has a parameter {name!r}; {_hint(name, names)}")
    wider = {} if more is None else more
    known = {
        chapter: {n: _wider(p, wider.get(n, ())) for n, p in parameters.items()}
        for chapter, parameters in known.items()
    }
    return {
        chapter: {n: _value(p, asked[n]) for n, p in parameters.items() if n in asked}
        for chapter, parameters in known.items()
    }


def _parameter(chapter: Path, entry: Mapping[str, str]) -> Parameter:
    name, kind = entry["name"], entry["inferred_type_name"]
    try:
        default = ast.literal_eval(entry["default"])
    except (ValueError, SyntaxError):
        raise ValueError(
            f"{chapter.name}: parameter {name!r} has the default {entry['default']}; "
            "write a literal, as 3 or 'quick'"
        ) from None
    if kind not in KINDS:
        raise ValueError(
            f"{chapter.name}: parameter {name!r} has the type {kind}; annotate it with one of "
            f"{', '.join(KINDS)}"
        )
    words = [word.strip() for word in (entry["help"] or "").split("|")]
    listed = len(words) > 1 and all(re.fullmatch(r"[\w.-]+", word) for word in words)
    return Parameter(name, kind, default, tuple(words) if listed else ())


def _wider(parameter: Parameter, more: Sequence[str]) -> Parameter:
    """The parameter with further choices, if it has any."""
    choices = tuple(dict.fromkeys((*parameter.choices, *more))) if parameter.choices else ()
    return parameter._replace(choices=choices)


def _value(parameter: Parameter, given: Any) -> str | int | float | bool:
    """A given value as the parameter's type, without silent conversion."""
    value = _parsed(parameter.kind, given)
    if value is None:
        raise ValueError(
            f"parameter {parameter.name!r} is {given!r}, but the chapter declares "
            f"{parameter.kind} (default {parameter.default!r})"
        )
    if parameter.choices and str(value) not in parameter.choices:
        raise ValueError(
            f"parameter {parameter.name!r} is {given!r}; {_hint(str(given), parameter.choices)}"
        )
    return value


def _parsed(kind: str, given: Any) -> str | int | float | bool | None:
    """The value, or None if it is not of the kind."""
    if kind == "str":
        return given if isinstance(given, str) else None
    if isinstance(given, str):
        try:
            given = ast.literal_eval(given)
        except (ValueError, SyntaxError):
            return None
    if kind == "float" and type(given) is int:
        return float(given)
    return given if type(given) is KINDS[kind] else None


def _hint(given: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(given, list(known), n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}choose one of {', '.join(known)}"
