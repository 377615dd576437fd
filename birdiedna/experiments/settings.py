"""Settings by name: read and change values of nested configs by dotted paths of fields.

`profiles.changed` applies them to profiles.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from types import NoneType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from birdiedna.data.names import grouped, meant
from birdiedna.data.stored import unrepeated
from birdiedna.experiments.config_json import checked


class Word(NamedTuple):
    """A value as typed by a user; the setting decides its type."""

    text: str


class Setting(NamedTuple):
    """A value and the declared type of its field."""

    value: Any
    hint: Any


def words(given: Iterable[str]) -> dict[str, Word]:
    """`NAME=VALUE` texts by name; ValueError for another form, a repeated name, one text."""
    if isinstance(given, str):
        raise ValueError(f"changes {given!r} are one text; give a list, as [{given!r}]")
    found: dict[str, Word] = {}
    for text in given:
        name, mark, value = (part.strip() for part in text.partition("="))
        if not (name and mark):
            raise ValueError(f"setting {text!r} is not like pretrain.steps=200")
        if name in found:
            raise ValueError(f"setting {name!r} is given twice; leave one out")
        found[name] = Word(value)
    return found


def flat(stored: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """Nested JSON objects as one, by dotted path; configs, which have a "type", stay whole.

    ValueError for a name that is given twice, such as `"a.b": 1, "a": {"b": 2}`.
    """
    found: dict[str, Any] = {}
    for name, value in stored.items():
        place = f"{at}.{name}" if at else name
        new = {place: value}  # a config, or values by number, as those of `crops`
        if isinstance(value, dict) and "type" not in value and not all(map(str.isdecimal, value)):
            new = flat(value, place)
        if twice := [*found.keys() & new.keys()]:
            raise ValueError(f"setting {twice[0]!r} is given twice; leave one out")
        found |= new
    return found


def word(name: str, value: Any) -> str:
    """`NAME=VALUE` of a setting, as `words` reads it."""
    plain = value.text if isinstance(value, Word) else value
    text = plain if isinstance(plain, str) else json.dumps(plain, separators=(",", ":"))
    return f"{name}={text}"


def every(node: Any, at: str = "") -> dict[str, Setting]:
    """Everything in a config by dotted path, configs before their fields."""
    found: dict[str, Setting] = {}
    for name, child in _children(node).items():
        place = f"{at}.{name}" if at else name
        found |= {place: child, **every(child.value, place)}
    return found


def rebuilt(node: Any, new: Mapping[str, Any], at: str = "") -> Any:
    """A config with new values at dotted paths; ValueError, with the path, if invalid."""
    changed = {}
    for name, child in _children(node).items():
        place = f"{at}.{name}" if at else name
        if place in new:
            changed[name] = new[place]
        elif any(path.startswith(f"{place}.") for path in new):
            changed[name] = rebuilt(child.value, new, place)
    if isinstance(node, Mapping):
        return {**node, **changed}
    if isinstance(node, tuple):
        return tuple((name, changed.get(name, item)) for name, item in node)
    try:
        return replace(node, **changed)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{at}: {error}" if at else str(error)) from error


def _children(node: Any) -> dict[str, Setting]:
    """Fields of a dataclass; configs of a mapping or of a tuple of (name, config) pairs."""
    if is_dataclass(node):
        hints = get_type_hints(type(node))
        return {f.name: Setting(getattr(node, f.name), hints[f.name]) for f in fields(node)}
    pairs: Iterable[Any] = node.items() if isinstance(node, Mapping) else ()
    if isinstance(node, tuple):
        pairs = [pair for pair in node if isinstance(pair, tuple) and len(pair) == 2]
    return {name: Setting(item, type(item)) for name, item in pairs if is_dataclass(item)}


def converted(value: Any, hint: Any, name: str) -> Any:
    """A JSON value or `Word` as the declared type of its field; else ValueError."""
    if isinstance(value, Word):
        value = _typed(value.text, hint, name)
    return checked(value, hint, name)


_WANTED = {int: "a whole number", float: "a number, such as 3e-4", bool: "true or false"}


def _typed(text: str, hint: Any, name: str) -> Any:
    """The JSON value of a text for a type; tuples need no brackets."""
    inner = get_args(hint)
    if hint is str:
        return text
    if NoneType in inner:
        return None if text.lower() in ("none", "null") else _typed(text, inner[0], name)
    if get_origin(hint) is tuple and not text.startswith("["):
        return [_typed(part.strip(), inner[0], name) for part in text.split(",") if part]
    try:
        if hint in (int, float) and grouped(text):
            return hint(text)
        if hint is bool:
            return {"true": True, "false": False}[text.lower()]
        return json.loads(text, object_pairs_hook=unrepeated)
    except (ValueError, KeyError, RecursionError) as error:
        wanted = _WANTED.get(hint, "JSON, as in config.json of a run,")
        why = "" if hint in _WANTED else f" ({error})"
        raise ValueError(f"{name}={text}: {wanted} is needed{why}") from None


def unknown(name: str, known: Sequence[str]) -> ValueError:
    """The error for an unknown name, with the closest known one."""
    last = [one for one in known if one.endswith(f".{name}")]
    few = [one for one in last if one.count(".") == min(other.count(".") for other in last)]
    hint = f"did you mean {' or '.join(map(repr, few[:3]))}?" if few else meant(name, known).strip()
    return ValueError(f"unknown setting {name!r}; {hint or '`birdiedna settings` lists them'}")
