"""The catalogue: genomes, tasks and weights that can be fetched, read from `catalog.toml`."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from birdiedna.data.chromosomes import HELD_OUT
from birdiedna.data.names import meant


class File(NamedTuple):
    """A file of an entry: its path in the entry's folder, mirrors, size and checksum if known.

    Without a checksum, the sha256 of the first download is recorded and compared from then on.
    """

    path: str
    urls: tuple[str, ...] = ()
    bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None


class Hub(NamedTuple):
    """A data set on the Hugging Face hub: the requested `revision` must resolve to `commit`.

    `commit` may be the start of a commit hash.
    """

    repo: str
    revision: str
    commit: str


class Rows(NamedTuple):
    """Expected content of a task: length in bases (0: varies), rows; `card` as published."""

    task: str
    length: int
    train: int
    test: int
    card: int | None = None


@dataclass(frozen=True)
class Entry:
    """A genome (a FASTA file), tasks (a folder of them) or weights that can be fetched.

    kind: "genome", "tasks" or "weights" ("url" for a user's address). contigs: names and lengths in
    bases; with `choice` each has its own file. layout: how the archive of tasks is unpacked:
    "folders" unchanged, "sets" as `<group>_<set>/{train,dev,test}.csv`; "" for no archive.
    """

    name: str
    kind: str
    title: str
    files: tuple[File, ...]
    licence: str
    citation: str
    size: str = "unknown"
    contigs: tuple[tuple[str, int], ...] = ()
    choice: bool = False
    tasks: tuple[str, ...] = ()
    rows: tuple[Rows, ...] = ()
    held_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    hub: Hub | None = None
    layout: str = ""


_CHROMOSOMES = (*(f"chr{i}" for i in range(1, 23)), "chrX", "chrY", "chrM")
_TABLE = tomllib.loads(Path(__file__).with_name("catalog.toml").read_text("utf-8"))


def _with_family(fields: Mapping[str, Any]) -> dict[str, Any]:
    if "family" not in fields:
        return dict(fields)
    family = _with_family(_TABLE["family"][fields["family"]])
    notes = fields.get("notes", []) + family.get("notes", [])
    return family | {k: v for k, v in fields.items() if k != "family"} | {"notes": notes}


def _entry(fields: dict[str, Any]) -> Entry:
    """Return an entry of the table; raise TypeError for a missing or unknown field."""
    name = fields["name"]
    filled = lambda texts: tuple(text.replace("{name}", name) for text in texts)
    lengths = _TABLE["lengths"].get(fields.pop("assembly", ""), [])
    without = fields.pop("without", ())
    contigs = tuple(
        (contig, length)
        for contig, length in zip(fields.pop("contigs", _CHROMOSOMES), lengths, strict=False)
        if contig not in without
    )
    rows = tuple(Rows(*filled(row[:1]), *row[1:]) for row in fields.pop("rows", ()))
    tasks = filled(fields.pop("tasks", ())) or tuple(row.task for row in rows)
    patterns, urls = fields.pop("files"), fields.pop("urls", ())
    paths = [
        path.replace("{task}", part).replace("{contig}", part)
        for part in (tasks if "{task}" in patterns[0] else [contig for contig, _ in contigs])
        for path in patterns
    ]
    pins = {kind: fields.pop(kind, None) for kind in ("bytes", "md5", "sha256")}
    files = tuple(
        File(path, tuple(url.replace("{file}", path) for url in urls), **pins)
        for path in dict.fromkeys(filled(paths or patterns))
    )
    hub = Hub(**fields.pop("hub")) if "hub" in fields else None
    (fields["title"],), notes = filled([fields["title"]]), filled(fields.pop("notes", ()))
    held_out = HELD_OUT if fields.pop("held_out", False) else ()
    return Entry(
        **fields, files=files, contigs=contigs, tasks=tasks, rows=rows, held_out=held_out,
        notes=notes, hub=hub,
    )  # fmt: skip


#: Hosts allowed for files of the catalogue; `.x` allows every subdomain of x.
HOSTS: tuple[str, ...] = tuple(_TABLE["hosts"])
ENTRIES = tuple(_entry(_with_family(fields)) for fields in _TABLE["entry"])


def named(name: str) -> Entry:
    """Return the entry of a name; ValueError with the closest and all names if there is none."""
    known = {entry.name: entry for entry in ENTRIES}
    if name not in known:
        hint = f"{meant(name, known)}choose one of {', '.join(known)}"
        raise ValueError(f"no {name!r} in the catalogue; {hint}")
    return known[name]


def other_lengths(entry: Entry, contigs: Iterable[tuple[str, int]]) -> list[str]:
    """Return how contigs, pairs of name and length, differ from those of a genome entry."""
    found = dict(contigs)
    wanted = dict(entry.contigs)
    missing = [name for name in wanted if name not in found and not entry.choice]
    differ = [
        f"{name} has {found[name]:,} bases, {entry.name} has {length:,}"
        for name, length in wanted.items()
        if name in found and found[name] != length
    ]
    return ([f"contigs missing: {', '.join(missing)}"] if missing else []) + differ


def other_rows(entry: Entry, task: str, lengths: Mapping[str, Sequence[int]]) -> list[str]:
    """Return how row lengths in bases, by split, differ from those of an entry of tasks.

    Also where the publisher's card differs.
    """
    known = next((rows for rows in entry.rows if rows.task == task), None)
    if known is None:
        return []
    lines = []
    for part, expected, card in (("train", known.train, known.card), ("test", known.test, None)):
        count, low, high = len(lengths[part]), min(lengths[part]), max(lengths[part])
        published = f" (its card says {card:,})" if card else ""
        if count != expected:
            lines.append(f"{count:,} {part} rows; {entry.name} has {expected:,}{published}")
        elif card:
            lines.append(
                f"{count:,} {part} rows, as expected; the card of {entry.name} says {card:,}"
            )
        if known.length and (low, high) != (known.length, known.length):
            span = f"{low:,}" + f" to {high:,}" * (low < high)
            lines.append(f"{part} rows of {span} bases; {entry.name} has {known.length:,}")
    return lines
