"""The cache of downloads: from a name or an address to a file or folder that is whole."""

import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import filelock
import pooch

from birdiedna import fasta
from birdiedna.catalogue import Entry, File
from birdiedna.downloads import archive, checked, counts, hub, transfer, wanted
from birdiedna.downloads.transfer import Patience

_LOG = logging.getLogger(__name__)


def located(text: str, cache: Path | None = None) -> Path:
    """The file or folder that a text names: a path, an entry of the catalogue, an https address.

    What exists as a path is that path. `GRCh38:chr20,chrX` names parts of an entry. Entries and
    addresses are fetched if they are not in the cache.

    Raises:
      ValueError, FileNotFoundError, ConnectionError, OSError: as `fetch`.
    """
    path = Path(text).expanduser()
    named = wanted.is_address(text) or wanted.is_entry(text) and not path.exists()
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
    entry, parts = wanted.entry_of(what)
    folder = _folder(entry, cache)
    chosen = wanted.chosen(entry, contigs or parts)
    given = wanted.given(entry, chosen, from_file)
    if given or not _complete(entry, folder, chosen):
        with _locked(folder, entry.name):
            for file in chosen:
                _take(entry, file, folder, given, patience)
        for line in counts.differences(entry, folder):
            _LOG.warning("%s: %s", entry.name, line)
    if entry.kind == "tasks":
        return folder
    paths = [folder / file.path for file in chosen]
    return paths[0] if len(paths) == 1 else _joined(folder, paths, len(entry.files))


def fetched(entry: Entry, cache: Path | None = None) -> int:
    """How many files of an entry are in the cache, checked and unchanged."""
    folder = _folder(entry, cache)
    return sum(checked.is_sound(folder / file.path, file) for file in entry.files)


def _folder(entry: Entry, cache: Path | None) -> Path:
    return (cache or fasta.default_cache()) / "data" / entry.name


def _complete(entry: Entry, folder: Path, chosen: Sequence[File]) -> bool:
    sound = all(checked.is_sound(folder / file.path, file) for file in chosen)
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
    elif not checked.is_sound(target, file):
        target.unlink(missing_ok=True)
        try:
            _download(entry, file, target, patience)
        except ConnectionError as error:
            hint = "the connection failed, not the file: try again, or give a copy with --from-file"
            raise ConnectionError(f"{error}; {hint}") from error
    if not _is_unpacked(entry, file, folder):
        try:
            made = archive.unpack(target, folder, entry.layout, entry.tasks)
        except ValueError:
            # Its sum is not to stand in the way of a better copy.
            target.unlink()
            checked.record_path(target).unlink()
            raise
        _unpacked(target).write_text("\n".join([checked.read_record(target).sha256, *made]))


def _unpacked(target: Path) -> Path:
    """Where the sum of an archive and the folders that came from it are written down."""
    return target.with_name(f"{target.name}.unpacked")


def _is_unpacked(entry: Entry, file: File, folder: Path) -> bool:
    """Whether nothing is left to unpack."""
    target = folder / file.path
    if not entry.layout:
        return True
    if not _unpacked(target).is_file() or not (record := checked.read_record(target)):
        return False
    sha256, *made = _unpacked(target).read_text().split("\n")
    return sha256 == record.sha256 and all((folder / name).is_dir() for name in made)


def _copy(source: Path, target: Path, file: File) -> None:
    """Take over a file of this machine, by the same checks; the original stays as it is."""
    part = target.with_name(f"{target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    transfer.discard(part)
    shutil.copyfile(source, part)
    try:
        checked.check(part, file, str(source))
        checked.write_record(target, part, file, f"from file {source.name}")
        os.replace(part, target)
    finally:
        transfer.discard(part)


def _download(entry: Entry, file: File, target: Path, patience: Patience) -> None:
    """From the first mirror that gives the file as it should be."""
    expected = hub.stated(entry.hub, file, patience) if entry.hub else file
    own = tuple(urlsplit(url).hostname for url in file.urls)
    hosts = None if entry.kind == "url" else (*hub.hosts(), *own)
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
    """By pooch, which gives the file its name when the function below has done its part."""

    def checked_download(url: str, passing: str, _: object) -> None:
        part = target.with_name(f"{target.name}.part")
        transfer.download(url, part, hosts, patience)
        try:
            checked.check(part, expected, url)
            checked.write_record(target, part, file, url)
        except ValueError:
            transfer.discard(part)
            raise
        os.replace(part, passing)
        transfer.discard(part)

    target.parent.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel("WARNING")
    pooch.retrieve(
        url,
        known_hash=checked.pin(expected) or None,
        fname=target.name,
        path=target.parent,
        downloader=checked_download,
    )


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
