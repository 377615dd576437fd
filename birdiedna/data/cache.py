"""The download cache: from a name or an address to a complete file or folder.

A file gets its final name only after all checks: kind, size, checksum, and the record of the first
download. Cached files need no network.
"""

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from birdiedna.data import catalog, download, fasta, files, stored
from birdiedna.data.catalog import Entry, File
from birdiedna.data.names import listed, meant, quantity, shell

_LOG = logging.getLogger(__name__)
_WAITING = "{}: another process is fetching it; waiting"


def located(text: str, kind: str = "") -> Path:
    """Return the file or folder of a path, a catalogue entry or an https address.

    An existing path comes first. `GRCh38:chr20,chrX` selects parts of an entry. Entries and
    addresses are fetched if they are not in the cache; errors as in `fetch`, and for an entry of
    another than the wanted kind.
    """
    path, name = files.expanded(text), text.partition(":")[0]
    kinds = {entry.name: entry.kind for entry in catalog.ENTRIES}
    if name in kinds and not path.exists() and kind not in ("", kinds[name]):
        wanted = f"and {kind} is needed; choose another entry of `birdiedna data list`"
        raise ValueError(f"{name} is an entry of kind {kinds[name]}, {wanted}")
    if _is_address(text) or name in kinds and not path.exists():
        return fetch(text)
    if not path.exists() and (near := meant(name, [*kinds]).strip()):
        raise FileNotFoundError(f"{path}: no such file or folder; {near}")
    return path


def fetch(
    what: Entry | str,
    *,
    from_file: Path | Sequence[Path] | None = None,
    contigs: Sequence[str] = (),
) -> Path:
    """Fetch a catalogue entry, or a file by its address, into `files.default_cache`.

    Args:
      what: the entry, its name or `name:part,part`, or an https address.
      from_file: files, or folders of files, to copy instead of using the network.
      contigs: for an entry in parts, the contigs or tasks to fetch; default all.

    Returns:
      The FASTA file of a genome (contigs are concatenated), the folder of tasks, or the file.

    Raises:
      ValueError: no such entry or part, a forbidden address, or a file that fails a check.
      FileNotFoundError: the server does not have the file, or a given file is missing.
      ConnectionError: no connection, or every attempt was interrupted.
      OSError: another HTTP status, or the cache or disk is not writable.
    """
    entry, parts = _entry_of(what)
    if parts and contigs:
        raise ValueError(f"{what} names parts, and --contigs others; leave one out")
    folder = _folder(entry)
    chosen = _chosen(entry, contigs or parts)
    given = _given(entry, chosen, from_file)
    if given or not all(_is_ready(entry, file, folder) for file in chosen):
        with fasta.locked(folder / ".lock", _WAITING.format(entry.name)):
            for file in chosen:
                _take(entry, file, folder, given)
        names = [name for name in entry.tasks if entry.layout and not (folder / name).is_dir()]
        if names:
            lacking = f"{quantity(len(names), 'tasks are')} not in the archive: {', '.join(names)}"
            _LOG.warning("%s: %s", entry.name, lacking)
    if entry.kind == "tasks":
        return folder
    paths = [folder / file.path for file in chosen]
    return paths[0] if len(paths) == 1 else _joined(folder, paths, len(entry.files))


def fetched(entry: Entry) -> int:
    """Return how many files of an entry are in the cache and intact."""
    folder = _folder(entry)
    return sum(is_intact(folder / file.path, file) for file in entry.files)


def entry_at(folder: Path) -> Entry | None:
    """Return the entry whose folder in the cache this is."""
    return next((entry for entry in catalog.ENTRIES if _folder(entry) == folder), None)


def _folder(entry: Entry) -> Path:
    return files.default_cache() / "data" / entry.name


def _is_address(text: str) -> bool:
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]*://|file:", text))


def _entry_of(what: Entry | str) -> tuple[Entry, tuple[str, ...]]:
    """Return the entry of a name or an address, and the parts named with it."""
    if isinstance(what, Entry):
        return what, ()
    if not _is_address(what):
        name, mark, parts = what.partition(":")
        if mark and not parts.strip(","):
            raise ValueError(f"{what!r} names no part; remove the colon to get all of {name}")
        return catalog.named(name), tuple(filter(None, parts.split(",")))
    download.check_address(what)
    name = Path(unquote(urlsplit(what).path)).name
    name = re.sub(r"[^A-Za-z0-9._-]", "_", name).strip(".")[-100:] or "download"
    key = hashlib.sha256(what.encode()).hexdigest()[:12]
    return Entry(f"url-{key}", "url", what, (File(name, (what,)),), "unknown", "unknown"), ()


def _chosen(entry: Entry, parts: Sequence[str]) -> tuple[File, ...]:
    """Return the files of the requested contigs or tasks (default all), in catalogue order."""
    part_of = lambda file: file.path.split("/")[0].removesuffix(".gz").removesuffix(".fa")
    known = list(dict.fromkeys(map(part_of, entry.files)))
    if not parts:
        return entry.files
    if len(known) == 1:
        raise ValueError(f"{entry.name} is one file without parts; leave out {', '.join(parts)}")
    if unknown := [name for name in parts if name not in known]:
        raise ValueError(f"{entry.name} has no {unknown[0]!r}; choose from {', '.join(known)}")
    return tuple(file for file in entry.files if part_of(file) in parts)


def _given(
    entry: Entry, files: Sequence[File], from_file: Path | Sequence[Path] | None
) -> dict[File, Path]:
    """Match given files to the files of the entry, by the end of the path or as the only file."""
    paths = [from_file] if isinstance(from_file, Path) else list(from_file or ())
    found: dict[File, Path] = {}
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder; give one that exists")
        if path.is_dir():
            fits = {file: path / file.path for file in files if (path / file.path).is_file()}
        else:
            place = path.resolve().as_posix()
            fits = {f: path for f in files if len(files) == 1 or place.endswith(f"/{f.path}")}
        if not fits:
            needed = listed([file.path for file in files])
            raise ValueError(f"{path} is not a file of {entry.name}; give {needed}")
        found |= fits
    if missing := [file.path for file in files if paths and file not in found]:
        raise ValueError(
            f"{entry.name}: {quantity(len(missing), 'files are')} missing, the first is "
            f"{missing[0]}; give a folder with all of them, or choose parts with --contigs"
        )
    return found


def _take(entry: Entry, file: File, folder: Path, given: dict[File, Path]) -> None:
    """Fetch one file into the folder and unpack it, unless both are done."""
    target = folder / file.path
    if file in given:
        part = _part(target)
        download.discard(part)
        try:
            with files.room(part.parent, given[file].stat().st_size):
                shutil.copyfile(given[file], part)
        except BaseException:
            download.discard(part)
            raise
        _accept(part, target, file, file, str(given[file]))
    elif not is_intact(target, file):
        target.unlink(missing_ok=True)
        try:
            _download(entry, file, target)
        except ConnectionError as error:
            name = shell(entry.title if entry.kind == "url" else entry.name)
            raise ConnectionError(
                f"{error}; the connection failed, not the file: try again, or give a copy: "
                f"birdiedna data fetch {name} --from-file {shell(file.path)}"
            ) from error
    if not _is_ready(entry, file, folder):
        try:
            with files.room(folder, target.stat().st_size):
                folders = download.unpack(target, folder, entry.layout, entry.tasks)
        except ValueError:
            # Otherwise its recorded checksum would refuse an intact copy.
            target.unlink()
            _record_path(target).unlink()
            raise
        _write_record(target, (_read_record(target) or {}) | {"unpacked": folders})


def _is_ready(entry: Entry, file: File, folder: Path) -> bool:
    """Return whether a file is in the cache, intact, and unpacked if it is an archive."""
    target = folder / file.path
    names = (_read_record(target) or {}).get("unpacked", ())
    unpacked = not entry.layout or bool(names) and all((folder / name).is_dir() for name in names)
    return unpacked and is_intact(target, file)


def _download(entry: Entry, file: File, target: Path) -> None:
    """Download from the first mirror whose file passes all checks."""
    expected = download.from_hub(entry.hub, file) if entry.hub else file
    entry_hosts = tuple(urlsplit(url).hostname or "" for url in file.urls)
    hosts = None if entry.kind == "url" else (*download.hosts(), *entry_hosts)
    errors: list[OSError | ValueError] = []
    for url in expected.urls:
        try:
            part = _part(target)
            download.download(url, part, hosts)
            return _accept(part, target, expected, file, url)
        except (OSError, ValueError) as error:
            errors.append(error)
    if not errors:
        raise ValueError(
            f"{entry.name}: no address is known for {file.path}; download it by hand, then run "
            f"`birdiedna data fetch {entry.name} --from-file {file.path}`"
        )
    kinds = (ConnectionError, FileNotFoundError, ValueError)
    same = (kind for kind in kinds if all(isinstance(error, kind) for error in errors))
    raise next(same, OSError)("; ".join(map(str, errors)))


def _part(target: Path) -> Path:
    """Return the temporary path to which a file is written before it is checked."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.with_name(f"{target.name}.part")


def _accept(part: Path, target: Path, expected: File, file: File, source: str) -> None:
    """Check a temporary file, then record and rename it, or remove it.

    Without a pinned checksum, the checksum must equal that of the first download.
    """
    try:
        check(part, expected, source)
        stat, found = part.stat(), files.digest(part)
        before = _read_record(target)
        if before and before["sha256"] != found and not pin(file):
            raise ValueError(
                f"{source}: sha256 is {found}, but that of the first download on {before['date']} "
                f"is {before['sha256']}; one of them is damaged or the file was replaced: remove "
                f"{_record_path(target)} to accept this one"
            )
    except ValueError:
        download.discard(part)
        raise
    same = before and before["sha256"] == found
    record = {
        "url": source if _is_address(source) else f"from file {Path(source).name}",
        "bytes": stat.st_size,
        "sha256": found,
        "date": before["date"] if before and same else datetime.now(UTC).date().isoformat(),
        "mtime_ns": stat.st_mtime_ns,
        "pin": pin(file),
    }
    _write_record(target, record)
    os.replace(part, target)
    download.discard(part)


def _joined(folder: Path, paths: Sequence[Path], total: int) -> Path:
    """Concatenate gzip files, which gives a gzip file; cached by names and total size."""
    names = "+".join(path.name.removesuffix(".fa.gz") for path in paths)
    target = folder / f"{folder.name}.{'all' if len(paths) == total else names}.fa.gz"
    size = sum(path.stat().st_size for path in paths)
    is_whole = lambda: target.is_file() and target.stat().st_size == size
    if not is_whole():
        with fasta.locked(folder / ".lock", _WAITING.format(folder.name)):
            if not is_whole():  # another process may have made it meanwhile
                room = files.room(folder, size)
                with room, files.replacing(target) as part, part.open("wb") as whole:
                    whole.writelines(path.read_bytes() for path in paths)
    return target


_START = {".gz": files.GZIP, ".bgz": files.GZIP, ".zip": b"PK\x03\x04", ".parquet": b"PAR1"}
_START |= {".safetensors": b"{"}  # the header, after its length
_FASTA = (".fa", ".fna", ".fasta")
_REMEDY = "the file is damaged or a different one; download it again, or from another source"


def check(path: Path, file: File, source: str) -> None:
    """Refuse (ValueError) a file of another kind than its suffix says, another size or checksum.

    Without a pinned checksum, gzip data are unpacked, which checks their own.
    """
    start = _checked_start(path, file, source)
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        raise ValueError(f"{source}: {size:,} bytes, expected {file.bytes:,}; {_REMEDY}")
    if expected := pin(file):
        kind, value = expected.split(":")
        found = files.digest(path, kind)
        if found != value:
            raise ValueError(f"{source}: {kind} is {found}, expected {value}; {_REMEDY}")
    elif start.startswith(files.GZIP):
        try:
            with files.opened(path, "text") as text:
                while text.read(1 << 20):
                    pass
        except ValueError as error:
            raise ValueError(str(error).replace(str(path), source)) from error


def _checked_start(path: Path, file: File, source: str) -> bytes:
    """Return the first bytes of a file, which must be those of its kind."""
    suffix = Path(file.path).suffix.lower()
    with path.open("rb") as opened:
        start = opened.read(512)
        opened.seek(max(0, path.stat().st_size - 4))
        end = opened.read()
    magic, at = _START.get(suffix), 8 * (suffix == ".safetensors")
    if not start[at:].startswith(magic or files.GZIP) or (suffix == ".parquet" and end != magic):
        kind = "FASTA" if suffix in _FASTA else f"{suffix.strip('.')} data".strip()
        files.check_start(source, start.replace(b"\0", b"?") if magic else start, kind)
        if magic:
            raise ValueError(
                f"{source}: not a {suffix} file, it starts with {start[:4].hex()} and ends with "
                f"{end.hex()}; {_REMEDY}"
            )
    return start


def pin(file: File) -> str:
    """Return the checksum a file must have, as `sha256:...` or `md5:...`; "" if none is known."""
    if file.sha256:
        return f"sha256:{file.sha256}"
    return f"md5:{file.md5}" if file.md5 else ""


#: Shape (`stored.misfit`) of the record of an accepted file. pin: the checksum it was compared
#: with. unpacked: folders unpacked from an archive.
_RECORD = {
    **{"url": str, "bytes": int, "sha256": str, "date": str, "mtime_ns": int},
    **{"pin?": str, "unpacked?": [str]},
}


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.record.json")


def _read_record(path: Path) -> dict[str, Any] | None:
    """Return the record of a file, None if it is missing or damaged."""
    try:
        return stored.read_json(_record_path(path), _RECORD)
    except (OSError, ValueError):
        return None


def _write_record(path: Path, record: Mapping[str, Any]) -> None:
    with files.replacing(_record_path(path)) as part:
        part.write_text(json.dumps(stored.sealed(record), indent=1) + "\n")


def is_intact(path: Path, file: File) -> bool:
    """Return whether a file passed all checks and is unchanged.

    The file is not read if its size, time and pinned checksum are those of its record.
    """
    record = _read_record(path)
    if record is None or not path.is_file() or path.stat().st_size != record["bytes"]:
        return False
    if path.stat().st_mtime_ns != record["mtime_ns"] and files.digest(path) != record["sha256"]:
        return False
    if pin(file) in ("", record.get("pin")):
        return True
    kind, value = pin(file).split(":")
    return files.digest(path, kind) == value
