"""The cache of downloads: from a name or an address to a file or folder that is whole.

A file gets its name only after every check: kind, size, sum, and the record of what was seen first.
What is cached is used without network. Differences between fetched tasks and their description are
reported and never asserted.
"""

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import filelock
import polars as pl

from birdiedna.data import catalog, download, fasta, files
from birdiedna.data.catalog import Entry, File, Rows
from birdiedna.data.download import Patience


class _Found(NamedTuple):
    """Rows of a file and the lengths of the shortest and longest sequence (0: not looked at)."""

    rows: int
    shortest: int = 0
    longest: int = 0


def differences(entry: Entry, folder: Path) -> list[str]:
    """What in the folder is not as the catalogue says, a sentence each; parts missing are left out.

    Also says where the publisher's own card is wrong.
    """
    lacking = [name for name in entry.tasks if entry.layout and not (folder / name).is_dir()]
    said = [f"{len(lacking)} tasks are not in the archive: {', '.join(lacking)}"] if lacking else []
    return said + [line for rows in entry.rows for line in _of_task(rows, folder / rows.task)]


def _of_task(rows: Rows, folder: Path) -> Iterator[str]:
    for part, expected, card in (
        ("train", rows.train, rows.card),
        ("test", rows.test, None),
    ):
        found = _counted(folder, part)
        if found is None:
            continue
        name = f"{rows.task}, {part}"
        said = f" (its card: {card:,})" if card else ""
        if found.rows != expected:
            yield f"{name}: {found.rows:,} rows, expected {expected:,}{said}"
        elif card:
            yield f"{name}: {found.rows:,} rows as counted elsewhere; its card says {card:,}"
        if found.longest and {found.shortest, found.longest} != {rows.length}:
            lengths = f"{found.shortest:,} to {found.longest:,}"
            yield f"{name}: sequences of {lengths} bases, expected {rows.length:,}"


def _counted(folder: Path, part: str) -> _Found | None:
    if (path := folder / f"{part}.fna").is_file():
        return _in_fna(path)
    if (path := folder / f"{part}.parquet").is_file():
        sizes = pl.col("sequence").str.len_bytes()
        table = pl.scan_parquet(path)
        return _Found(*table.select(pl.len(), a=sizes.min(), b=sizes.max()).collect().row(0))
    if (path := folder / part).is_dir():
        return _Found(sum(1 for _ in path.glob("*/*.txt")))
    return None


def _in_fna(path: Path) -> _Found:
    sizes: list[int] = []
    with path.open("rb") as file:
        for line in file:
            if line.startswith(b">"):
                sizes.append(0)
            elif sizes:
                sizes[-1] += len(line.strip())
    return _Found(len(sizes), min(sizes, default=0), max(sizes, default=0))


_START = {
    ".gz": files.GZIP,
    ".bgz": files.GZIP,
    ".zip": b"PK\x03\x04",
    ".parquet": b"PAR1",
}
_FASTA = (".fa", ".fna", ".fasta")


class Record(NamedTuple):
    """What is written beside a file when it is taken over; `pin` is the sum it was held against."""

    url: str
    bytes: int
    sha256: str
    date: str
    mtime_ns: int
    pin: str = ""


def pin(file: File) -> str:
    """The sum a file is held against, as `sha256:...` or `md5:...`; "" if none is known."""
    if file.sha256:
        return f"sha256:{file.sha256}"
    return f"md5:{file.md5}" if file.md5 else ""


def check(path: Path, file: File, source: str) -> None:
    """Refuse a file that is not what the catalogue says: kind, then size, then sum.

    Args:
      path: the bytes, under whatever name.
      file: what they should be; its `path` tells the kind.
      source: where they come from, for messages.

    Raises:
      ValueError: another kind (a web page, a git-LFS pointer), size or sum than expected.
    """
    _check_kind(path, file, source)
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        raise ValueError(f"{source}: {size:,} bytes, expected {file.bytes:,}; {_REMEDY}")
    if expected := pin(file):
        kind, value = expected.split(":")
        found = files.digest(path, kind)
        if found != value:
            raise ValueError(f"{source}: {kind} is {found}, expected {value}; {_REMEDY}")


_REMEDY = "the file is damaged or another one; get it again, or from another place"


def _check_kind(path: Path, file: File, source: str) -> None:
    suffix = Path(file.path).suffix.lower()
    with path.open("rb") as opened:
        start = opened.read(512)
        opened.seek(max(0, path.stat().st_size - 4))
        end = opened.read()
    magic = _START.get(suffix)
    if magic and start.startswith(magic) and (suffix != ".parquet" or end == magic):
        return
    if start[:2] == files.GZIP and not magic:
        return
    text = "FASTA" if suffix in _FASTA else f"{suffix.strip('.')} data".strip()
    files.check_start(source, start, text)
    if magic:
        raise ValueError(
            f"{source}: starts with {start[:4].hex()} and ends with {end.hex()}, which no "
            f"{suffix} file does; {_REMEDY}"
        )


def record_path(path: Path) -> Path:
    """Where the record of a file lies: beside it."""
    return path.with_name(f"{path.name}.record.json")


def read_record(path: Path) -> Record | None:
    """The record of a file, None if there is none that can be read."""
    try:
        return Record(**json.loads(record_path(path).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write_record(path: Path, part: Path, file: File, url: str) -> Record:
    """Record what is in `part`, which has passed `check` and is to become `path`.

    Raises:
      ValueError: no sum is pinned, and other bytes were seen under this name before.
    """
    stat, found = part.stat(), files.digest(part)
    before = read_record(path)
    if before and before.sha256 != found and not pin(file):
        raise ValueError(
            f"{url}: sha256 is {found}, but the file first seen on {before.date} has "
            f"{before.sha256}; one of them is damaged or the file was replaced: remove "
            f"{record_path(path)} to accept this one"
        )
    today = datetime.now(UTC).date().isoformat()
    date = before.date if before and before.sha256 == found else today
    record = Record(url, stat.st_size, found, date, stat.st_mtime_ns, pin(file))
    passing = record_path(path).with_suffix(".passing")
    passing.write_text(json.dumps(record._asdict(), indent=1) + "\n")
    os.replace(passing, record_path(path))
    return record


def is_sound(path: Path, file: File) -> bool:
    """Whether a file was taken over after all checks and is unchanged; reads it only if in doubt.

    Size and time as recorded are enough, under the pin that holds now.
    """
    record = read_record(path)
    if record is None or not path.is_file() or path.stat().st_size != record.bytes:
        return False
    if path.stat().st_mtime_ns != record.mtime_ns and files.digest(path) != record.sha256:
        return False
    if pin(file) in ("", record.pin):
        return True
    kind, value = pin(file).split(":")
    return files.digest(path, kind) == value


def is_address(text: str) -> bool:
    """Whether a text is an address, of whatever kind, and no path or name."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]*://|file:", text))


def is_entry(text: str) -> bool:
    """Whether a text is `name` or `name:part,part` of an entry of the catalogue."""
    return text.partition(":")[0] in {entry.name for entry in catalog.ENTRIES}


def entry_of(what: Entry | str) -> tuple[Entry, tuple[str, ...]]:
    """The entry of a name, or one made for an address; and the parts named with it.

    Raises:
      ValueError: no such entry, or an address that is refused.
    """
    if isinstance(what, Entry):
        return what, ()
    if not is_address(what):
        name, _, parts = what.partition(":")
        return catalog.named(name), tuple(filter(None, parts.split(",")))
    download.check_address(what)
    name = Path(unquote(urlsplit(what).path)).name
    name = re.sub(r"[^A-Za-z0-9._-]", "_", name).strip(".")[-100:] or "download"
    key = hashlib.sha256(what.encode()).hexdigest()[:12]
    return Entry(f"url-{key}", "url", what, (File(name, (what,)),), "unknown", "unknown"), ()


def part_of(file: File) -> str:
    """The contig or the task that a file belongs to."""
    return file.path.split("/")[0].removesuffix(".gz").removesuffix(".fa")


def chosen_parts(entry: Entry, parts: Sequence[str]) -> tuple[File, ...]:
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


def given_files(
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


_LOG = logging.getLogger(__name__)


def located(text: str, cache: Path | None = None) -> Path:
    """The file or folder that a text names: a path, an entry of the catalogue, an https address.

    What exists as a path is that path. `GRCh38:chr20,chrX` names parts of an entry. Entries and
    addresses are fetched if they are not in the cache.

    Raises:
      ValueError, FileNotFoundError, ConnectionError, OSError: as `fetch`.
    """
    path = Path(text).expanduser()
    named = is_address(text) or is_entry(text) and not path.exists()
    return fetch(text, cache=cache) if named else path


def fetch(
    what: Entry | str,
    *,
    cache: Path | None = None,
    from_file: Path | Sequence[Path] | None = None,
    contigs: Sequence[str] = (),
    patience: Patience = Patience(),
) -> Path:
    """Bring an entry of the catalogue, or a file by its address, into the cache.

    Args:
      what: the entry, its name or `name:part,part`, or an https address.
      cache: folder for what the program keeps; by default that of `fasta.default_cache`.
      from_file: files, or folders of them, to take instead of the network; they are copied.
      contigs: of an entry in parts, the contigs or the tasks to take; all by default.
      patience: attempts and waiting times.

    Returns:
      The FASTA file of a genome (several contigs in one), the folder of tasks, or the file.

    Raises:
      ValueError: no such entry or part, an address that is refused, or a file that fails a check.
      FileNotFoundError: a server answers that it has no such file, or a given file is missing.
      ConnectionError: no connection, or it was cut in every attempt.
      OSError: another HTTP status, or a cache or disk that cannot be written.
    """
    entry, parts = entry_of(what)
    folder = _folder(entry, cache)
    chosen = chosen_parts(entry, contigs or parts)
    given = given_files(entry, chosen, from_file)
    if given or not _complete(entry, folder, chosen):
        with _locked(folder, entry.name):
            for file in chosen:
                _take(entry, file, folder, given, patience)
        for line in differences(entry, folder):
            _LOG.warning("%s: %s", entry.name, line)
    if entry.kind == "tasks":
        return folder
    paths = [folder / file.path for file in chosen]
    return paths[0] if len(paths) == 1 else _joined(folder, paths, len(entry.files))


def fetched(entry: Entry, cache: Path | None = None) -> int:
    """How many files of an entry are in the cache, checked and unchanged."""
    folder = _folder(entry, cache)
    return sum(is_sound(folder / file.path, file) for file in entry.files)


def _folder(entry: Entry, cache: Path | None) -> Path:
    return (cache or fasta.default_cache()) / "data" / entry.name


def _complete(entry: Entry, folder: Path, chosen: Sequence[File]) -> bool:
    sound = all(is_sound(folder / file.path, file) for file in chosen)
    return sound and all(_is_unpacked(entry, file, folder) for file in chosen)


@contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    """Alone at work in the folder; another process that is, is waited for."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            _LOG.warning("%s: another process is fetching it; waiting", name)
            lock.acquire()
    except OSError as error:
        raise OSError(
            f"cache folder {folder} cannot be written ({error.strerror}); set BIRDIEDNA_CACHE"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _take(
    entry: Entry, file: File, folder: Path, given: dict[File, Path], patience: Patience
) -> None:
    """One file into the folder, and out of its archive, unless that was done before."""
    target = folder / file.path
    if file in given:
        _copy(given[file], target, file)
    elif not is_sound(target, file):
        target.unlink(missing_ok=True)
        try:
            _download(entry, file, target, patience)
        except ConnectionError as error:
            hint = "the connection failed, not the file: try again, or give a copy with --from-file"
            raise ConnectionError(f"{error}; {hint}") from error
    if not _is_unpacked(entry, file, folder):
        try:
            made = download.unpack(target, folder, entry.layout, entry.tasks)
        except ValueError:
            # Its sum is not to stand in the way of a better copy.
            target.unlink()
            record_path(target).unlink()
            raise
        _unpacked(target).write_text("\n".join([read_record(target).sha256, *made]))


def _unpacked(target: Path) -> Path:
    """Where the sum of an archive and the folders that came from it are written down."""
    return target.with_name(f"{target.name}.unpacked")


def _is_unpacked(entry: Entry, file: File, folder: Path) -> bool:
    """Whether nothing is left to unpack."""
    target = folder / file.path
    if not entry.layout:
        return True
    if not _unpacked(target).is_file() or not (record := read_record(target)):
        return False
    sha256, *made = _unpacked(target).read_text().split("\n")
    return sha256 == record.sha256 and all((folder / name).is_dir() for name in made)


def _copy(source: Path, target: Path, file: File) -> None:
    """Take over a file of this machine, by the same checks; the original stays as it is."""
    part = target.with_name(f"{target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    download.discard(part)
    shutil.copyfile(source, part)
    try:
        check(part, file, str(source))
        write_record(target, part, file, f"from file {source.name}")
        os.replace(part, target)
    finally:
        download.discard(part)


def _download(entry: Entry, file: File, target: Path, patience: Patience) -> None:
    """From the first mirror that gives the file as it should be."""
    expected = download.stated(entry.hub, file, patience) if entry.hub else file
    own = tuple(urlsplit(url).hostname for url in file.urls)
    hosts = None if entry.kind == "url" else (*download.hosts(), *own)
    errors: list[OSError | ValueError] = []
    for url in expected.urls:
        try:
            return _retrieve(url, target, file, expected, hosts, patience)
        except (OSError, ValueError) as error:
            errors.append(error)
    if not errors:
        raise ValueError(
            f"{entry.name}: {file.path} has no address it could be fetched from; get it by hand "
            f"and give it: `birdiedna data fetch {entry.name} --from-file {file.path}`"
        )
    if len(errors) == 1:
        raise errors[0]
    said = "; ".join(map(str, errors))
    for kind in (ConnectionError, FileNotFoundError, ValueError):
        if all(isinstance(error, kind) for error in errors):
            raise kind(said)
    raise OSError(said)


def _retrieve(
    url: str,
    target: Path,
    file: File,
    expected: File,
    hosts: Sequence[str] | None,
    patience: Patience,
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    download.download(url, part, hosts, patience)
    try:
        check(part, expected, url)
        write_record(target, part, file, url)
    except ValueError:
        download.discard(part)
        raise
    os.replace(part, target)
    download.discard(part)


def _joined(folder: Path, paths: Sequence[Path], of: int) -> Path:
    """Several FASTA files as one, by name and size of all of them; gzip allows it as it is."""
    names = "+".join(path.name.removesuffix(".fa.gz") for path in paths)
    target = folder / f"{folder.name}.{'all' if len(paths) == of else names}.fa.gz"
    if target.is_file() and target.stat().st_size == sum(path.stat().st_size for path in paths):
        return target
    with _locked(folder, folder.name):
        passing = target.with_name(f"{target.name}.passing")
        with passing.open("wb") as whole:
            for path in paths:
                with path.open("rb") as file:
                    shutil.copyfileobj(file, whole, 1 << 20)
        os.replace(passing, target)
    return target
