"""FASTA files to genomes: plain, gzip or bgzip, checked, and cached on disk.

The bytes decide, not the file name. Nothing is written beside the user's file.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import filelock
import numpy as np
import platformdirs

from birdiedna import vocab
from birdiedna.data import files, genome

#: The bit that distinguishes lower from upper case.
_LOWER = np.uint8(32)
_BLOCK_BYTES = 1 << 20
_ENDS_BYTES = 1 << 16
#: Of a contig's name, in letters: it is shown, and part of messages.
_LONGEST_NAME = 1_000
_LOG = logging.getLogger(__name__)
#: Part of the cache key: raise it when the same file is to give other tokens.
_FORMAT = "3"


def read(path: Path | str, cache: Path | None = None) -> genome.Genome:
    """Read a FASTA file as one genome, from the cache if the same file was read before.

    Letters are upper-cased, U becomes T, IUPAC ambiguity codes N; `notes` counts them by letter,
    with `bases`, `lower_case` (bases) and `empty_contigs`; `changes` says them in words. A contig
    is named by the first word of its header. Lines before the first header that start with `;` are
    remarks. `source` is the file name. An index beside the file is never read: it may be that of
    another file. Of several processes that read a new file one does, the others wait.

    Raises:
      OSError: the disk of the cache has no room.
      ValueError: the file is empty, no FASTA, cut short, has repeated or missing names, or
        letters that are no nucleotide codes; the message says where.
    """
    path, folder = Path(path), cache or default_cache()
    key = _key(path)
    cached = folder / f"{key}.npz"
    if found := _cached(cached):
        return replace(found, source=path.name)
    lock = folder / f"{key}.lock"
    with locked(lock, f"{path.name}: another process is reading it; waiting"):
        try:
            found = _cached(cached) or _parsed_and_saved(path, key, cached)
        finally:
            lock.unlink(missing_ok=True)
    return replace(found, source=path.name)


def _cached(path: Path) -> genome.Genome | None:
    """The genome of a cache file; None if there is none, or it is damaged."""
    try:
        return genome.load(path) if path.exists() else None
    except ValueError:
        return None


def _parsed_and_saved(path: Path, key: str, cached: Path) -> genome.Genome:
    """The genome of a file that is not in the cache, where it is put."""
    files.check_room(cached.parent, path.stat().st_size // 4)  # of plain text; packed needs more
    found = _parsed(path)
    if _key(path) != key:
        raise ValueError(f"{path} changed while it was read; wait for the copy to end, try again")
    if empty := found.notes["empty_contigs"]:
        _LOG.warning("%s: %d contigs have no base; is the file complete?", path, empty)
    try:
        genome.save(found, cached)
    except OSError as error:
        files.check_room(cached.parent, len(found.tokens) // 4, error)
    return found


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """Alone at work under a lock file of the cache; `waiting` is logged if another process is.

    Raises:
      OSError: its folder, which is made, cannot be written.
    """
    files.check_writable(path.parent, "cache", "BIRDIEDNA_CACHE")
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        _LOG.warning(waiting)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def records(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Every sequence of a FASTA file in its order, name and base ids uint8 (n,), one at a time.

    Nothing is cached; letters and errors as in `read`.
    """
    name, parts, length = "", [np.zeros(0, np.uint8)], 0
    with files.opened(path, "FASTA") as file:
        for found, letters in _pieces(path, file):
            if found != name:
                if name:
                    yield name, np.concatenate(parts)
                name, parts, length = found, [], 0
            parts.append(_encode(f"{path}: contig {name!r}, offset", length, letters))
            length += len(letters)
    yield name, np.concatenate(parts)


def default_cache() -> Path:
    """`$BIRDIEDNA_CACHE`, else where the platform keeps caches (Linux: `~/.cache/birdiedna`)."""
    return files.folder_of("BIRDIEDNA_CACHE", platformdirs.user_cache_path("birdiedna"))


def _key(path: Path) -> str:
    """A hash of a file's size, time of change, first and last 64 KiB."""
    if not path.is_file():
        raise files.absent(path, "FASTA")
    stat = path.stat()
    digest = hashlib.sha256(f"{_FORMAT} {stat.st_size} {stat.st_mtime_ns}".encode())
    with path.open("rb") as file:
        digest.update(file.read(_ENDS_BYTES))
        file.seek(max(0, stat.st_size - _ENDS_BYTES))
        digest.update(file.read(_ENDS_BYTES))
    return digest.hexdigest()[:32]


def _parsed(path: Path) -> genome.Genome:
    tokens = bytearray()
    lengths: dict[str, int] = {}
    notes = {"bases": 0, "lower_case": 0, "empty_contigs": 0}
    with files.opened(path, "FASTA") as file:
        for name, letters in _pieces(path, file):
            start = lengths.get(name, 0)
            block = _encode(f"{path}: contig {name!r}, offset", start, letters)
            _count(notes, letters, block)
            tokens += block.data
            lengths[name] = start + len(block)
    if not tokens:
        raise ValueError(f"{path}: {len(lengths)} headers and no bases; give a FASTA file")
    notes["bases"] = len(tokens)
    notes["empty_contigs"] = sum(length == 0 for length in lengths.values())
    return genome.assemble(np.frombuffer(tokens, np.uint8), [*lengths.items()], path.name, notes)


def _pieces(path: Path, file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """Contig names with some of their letters, in file order; every contig comes at least once."""
    headers: dict[str, int] = {}  # name -> line
    name, line = "", 0
    while block := file.read(_BLOCK_BYTES) + file.readline():  # ends with a line
        rest, *records = (b"\n" + block.removesuffix(b"\n")).split(b"\n>")
        if name:
            yield name, rest.translate(None, b"\r\n")
        else:
            for number, text in enumerate(rest.split(b"\n")[1:], line + 1):
                if text.strip() and not text.startswith(b";"):
                    raise ValueError(f"{path}, line {number}: text before the first `>name` line")
        line += rest.count(b"\n")
        for record in records:
            line += 1
            header, _, text = record.partition(b"\n")
            name = b"".join(header.split()[:1]).decode("utf-8", "replace")
            if not name or name.startswith(">"):
                raise ValueError(f"{path}, line {line}: a contig without a name; write `>name`")
            if len(name) > _LONGEST_NAME:
                raise ValueError(
                    f"{path}, line {line}: a name of {len(name):,} letters; write up to "
                    f"{_LONGEST_NAME:,}, with a blank before what is no name"
                )
            if name in headers:
                raise ValueError(
                    f"{path}: contig {name!r} in line {headers[name]} and again in line {line}; "
                    "rename one of them"
                )
            headers[name] = line
            line += record.count(b"\n")
            yield name, text.translate(None, b"\r\n")


def _encode(place: str, start: int, letters: bytes) -> np.ndarray:
    """Base ids of letters that begin at `start` of a contig."""
    try:
        return vocab.encode(letters)
    except ValueError as error:
        wrong = next(i for i, c in enumerate(letters.upper()) if c not in vocab.IUPAC)
        raise ValueError(
            f"{place} {start + wrong:,}: byte {letters[wrong]} ({chr(letters[wrong])!r}) is not a "
            "nucleotide code; use ACGT, N or an IUPAC code"
        ) from error


def _count(notes: dict[str, int], letters: bytes, tokens: np.ndarray) -> None:
    """Add a block to the notes: lower case, and by letter what became T or N."""
    codes = np.frombuffer(letters, np.uint8)
    notes["lower_case"] += int(np.count_nonzero(codes & _LOWER))
    changed = np.bincount(codes[tokens == vocab.N] & ~_LOWER, minlength=128)
    for code in np.flatnonzero(changed):
        notes[chr(code)] = notes.get(chr(code), 0) + int(changed[code])
    if uracil := letters.count(b"U") + letters.count(b"u"):
        notes["U"] = notes.get("U", 0) + uracil


def changes(notes: Mapping[str, int]) -> list[str]:
    """What reading changed, by the notes of a genome, as lines."""
    codes = sorted(set(notes) - {"bases", "lower_case", "empty_contigs", "N", "U"})
    said = {
        "bases in lower case, read as upper case": notes.get("lower_case", 0),
        "U, read as T": notes.get("U", 0),
        f"ambiguity codes ({', '.join(f'{c} {notes[c]:,}' for c in codes)}), read as N": sum(
            notes[code] for code in codes
        ),
        "contigs without a base": notes.get("empty_contigs", 0),
    }
    return [f"{count:,} {what}" for what, count in said.items() if count]
