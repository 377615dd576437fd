"""What is asked for: an entry by its name or address, its parts, and given files as its files."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from birdiedna import catalogue
from birdiedna.catalogue import Entry, File
from birdiedna.downloads import transfer


def is_address(text: str) -> bool:
    """Whether a text is an address, of whatever kind, and no path or name."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]*://|file:", text))


def is_entry(text: str) -> bool:
    """Whether a text is `name` or `name:part,part` of an entry of the catalogue."""
    return text.partition(":")[0] in {entry.name for entry in catalogue.ENTRIES}


def entry_of(what: Entry | str) -> tuple[Entry, tuple[str, ...]]:
    """The entry of a name, or one made for an address; and the parts named with it.

    Raises:
      ValueError: no such entry, or an address that is refused.
    """
    if isinstance(what, Entry):
        return what, ()
    if not is_address(what):
        name, _, parts = what.partition(":")
        return catalogue.named(name), tuple(filter(None, parts.split(",")))
    transfer.check_address(what)
    name = Path(unquote(urlsplit(what).path)).name
    name = re.sub(r"[^A-Za-z0-9._-]", "_", name).strip(".")[-100:] or "download"
    key = hashlib.sha256(what.encode()).hexdigest()[:12]
    return Entry(f"url-{key}", "url", what, (File(name, (what,)),), "unknown", "unknown"), ()


def part_of(file: File) -> str:
    """The contig or the task that a file belongs to."""
    return file.path.split("/")[0].removesuffix(".gz").removesuffix(".fa")


def chosen(entry: Entry, parts: Sequence[str]) -> tuple[File, ...]:
    """The files of the contigs or tasks asked for, all without any, in the catalogue's order.

    Raises:
      ValueError: the entry has no parts, or no such part.
    """
    known = list(dict.fromkeys(map(part_of, entry.files)))
    if not parts:
        return entry.files
    if len(known) == 1:
        raise ValueError(f"{entry.name} is one file and has no parts to choose; leave them out")
    if unknown := [name for name in parts if name not in known]:
        raise ValueError(f"{entry.name} has no {unknown[0]!r}; there are: {', '.join(known)}")
    return tuple(file for file in entry.files if part_of(file) in parts)


def given(
    entry: Entry, files: Sequence[File], from_file: Path | Sequence[Path] | None
) -> dict[File, Path]:
    """Which given file is which file of the entry: by the end of its path, or by being the one.

    Raises:
      FileNotFoundError: there is no such path.
      ValueError: a path is none of the files, or a file is not among the paths.
    """
    paths = [from_file] if isinstance(from_file, Path) else list(from_file or ())
    found: dict[File, Path] = {}
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder; give one that exists")
        fits = {file: place for file in files if (place := _fitting(path, file, len(files) == 1))}
        if not fits:
            names = ", ".join(file.path for file in files[:5]) + ", ..." * (len(files) > 5)
            raise ValueError(f"{path}: not a file of {entry.name}, which wants {names}")
        found |= fits
    if missing := [file.path for file in files if paths and file not in found]:
        raise ValueError(
            f"{entry.name}: {len(missing)} files are not among those given, the first is "
            f"{missing[0]}; give a folder that holds all, or choose parts with --contigs"
        )
    return found


def _fitting(path: Path, file: File, only: bool) -> Path | None:
    if path.is_dir():
        return path / file.path if (path / file.path).is_file() else None
    return path if only or path.resolve().as_posix().endswith(f"/{file.path}") else None
