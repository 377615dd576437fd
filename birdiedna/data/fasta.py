"""Read FASTA files (plain, gzip or bgzip) as genomes, with checks and a cache on disk.

The content decides the type, not the file name. Nothing is written to the user's folder.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from birdiedna import vocab
from birdiedna.data import files, genome
from birdiedna.data.names import quantity

#: The bit that distinguishes lower from upper case.
_LOWER = np.uint8(32)
_BLOCK_BYTES = 1 << 20
_ENDS_BYTES = 1 << 16
#: Maximum length of a contig's name, which is shown in messages.
_LONGEST_NAME = 1_000
_LOG = logging.getLogger(__name__)
#: Part of the cache key: increase it when the same file should give other tokens.
_FORMAT = "3"


def read(path: Path | str, cache: Path | str | None = None) -> genome.Genome:
    """Read a FASTA file as a genome, from the cache if possible.

    Letters are upper-cased, U becomes T, IUPAC ambiguity codes become N; `notes` counts these by
    letter, and `bases`, `lower_case` (bases) and `empty_contigs`; `changes` describes them. The
    name of a contig is the first word of its header. Lines that start with `;` before the first
    header are comments. `source` is the file name. An index (.fai) is never read, since it may be
    stale. If several processes read a new file, one parses it and the others wait.

    Raises:
      FileNotFoundError: there is no such file.
      OSError: the cache is not writable, or its disk is full.
      ValueError: the file is empty, truncated or not FASTA, names are repeated or missing, or
        letters are not nucleotide codes; the message gives the position.
    """
    path, folder = Path(path), Path(cache or files.default_cache())
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
    """Return the genome of a cache file; None if it is missing or damaged."""
    try:
        return genome.load(path) if path.exists() else None
    except ValueError:
        return None


def _parsed_and_saved(path: Path, key: str, cached: Path) -> genome.Genome:
    """Parse a file and write its genome to the cache."""
    with files.room(cached.parent, path.stat().st_size // 4):  # enough for plain text, not for gzip
        found = _parsed(path)
    if _key(path) != key:
        raise ValueError(f"{path} changed while it was read; wait until it is copied and try again")
    if empty := found.notes["empty_contigs"]:
        are = quantity(empty, "contigs are")
        _LOG.warning("%s: %s empty; is the file complete?", path, are)
    with files.room(cached.parent, len(found.tokens) // 4):
        genome.save(found, cached)
    return found


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """Hold a lock file of the cache; log `waiting` if another process holds it.

    Raises:
      OSError: the folder, which is created, is not writable.
    """
    files.check_writable(path.parent, "cache", "BIRDIEDNA_CACHE")
    with ExitStack() as held:
        try:
            held.enter_context(files.locked(path, waiting))
        except files.Busy:
            _LOG.warning(waiting)
            held.enter_context(files.locked(path))
        yield


def records(
    path: Path | str, notes: Counter[str] | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the sequences of a FASTA file in order: name and base ids uint8 (n,).

    Nothing is cached; letters and errors are as in `read`, and so are `notes`, for `changes`.
    """
    path, notes = Path(path), Counter() if notes is None else notes
    name, tokens = "", bytearray()
    with files.opened(path, "FASTA") as file:
        for found, letters in _pieces(path, file):
            if found != name:
                if name:
                    yield name, np.frombuffer(tokens, np.uint8)
                name, tokens = found, bytearray()
            ids = _encode(f"{path}: record {name!r}, offset", len(tokens), letters)
            count(notes, letters, ids)
            tokens += ids.data
    if name:
        yield name, np.frombuffer(tokens, np.uint8)


def _key(path: Path) -> str:
    """Return a hash of a file's size, modification time, first and last 64 KiB."""
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
    tokens, notes = bytearray(), Counter[str]()
    lengths: dict[str, int] = {}
    for name, ids in records(path, notes):
        tokens += ids.data
        lengths[name] = len(ids)
    if not tokens:
        raise ValueError(f"{path}: {len(lengths)} headers but no bases; give a FASTA file")
    notes["bases"], notes["empty_contigs"] = len(tokens), [*lengths.values()].count(0)
    return genome.assemble(np.frombuffer(tokens, np.uint8), [*lengths.items()], path.name, notes)


def _pieces(path: Path, file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield contig names with blocks of their letters, in file order; also for empty contigs."""
    lines: dict[str, int] = {}  # by name
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
            name = _name(f"{path}, line {line}", header)
            if name in lines:
                raise ValueError(
                    f"{path}: record {name!r} in line {lines[name]} and again in line {line}; "
                    "rename one of them"
                )
            lines[name] = line
            line += record.count(b"\n")
            yield name, text.translate(None, b"\r\n")


def _name(place: str, header: bytes) -> str:
    """Return the name in a header, of which the `>` is removed."""
    if b"\r" in header.rstrip():
        raise ValueError(f"{place}: {files.CR_ONLY}")
    name = b"".join(header.split()[:1]).decode("utf-8", "replace")
    if not name or name.startswith(">"):
        raise ValueError(f"{place}: a record without a name; write `>name`")
    if len(name) > _LONGEST_NAME:
        raise ValueError(
            f"{place}: the name has {len(name):,} letters; use at most {_LONGEST_NAME:,}, and a "
            "blank before the description"
        )
    return name


def _encode(place: str, start: int, letters: bytes) -> np.ndarray:
    """Return the base ids of letters that begin at `start` of a record."""
    try:
        return vocab.encode(letters)
    except ValueError as error:
        wrong = next(i for i, c in enumerate(letters.upper()) if c not in vocab.IUPAC)
        raise ValueError(
            f"{place} {start + wrong:,}: byte {letters[wrong]} ({chr(letters[wrong])!r}) is not a "
            f"nucleotide code; {vocab.remedy(chr(letters[wrong]))}"
        ) from error


def count(notes: dict[str, int], letters: bytes, tokens: np.ndarray) -> None:
    """Add letters and their base ids to the notes: lower case, and what became T or N."""
    codes = np.frombuffer(letters, np.uint8)
    notes["lower_case"] += int(np.count_nonzero(codes & _LOWER))
    changed = np.bincount(codes[tokens == vocab.N] & ~_LOWER, minlength=128)
    for code in np.flatnonzero(changed):
        notes[chr(code)] = notes.get(chr(code), 0) + int(changed[code])
    if uracil := letters.count(b"U") + letters.count(b"u"):
        notes["U"] = notes.get("U", 0) + uracil


def changes(notes: Mapping[str, int]) -> list[str]:
    """Return what reading changed as lines, from the notes of a genome."""
    codes = sorted(set(notes) - {"bases", "lower_case", "empty_contigs", "N", "U", "cut"})
    lower, bases = notes.get("lower_case", 0), notes.get("bases")
    share = f" ({lower / bases:.1%})" if bases else ""
    counts = {
        f"bases in lower case{share}, read as upper case": lower,
        "U, read as T": notes.get("U", 0),
        f"ambiguity codes ({', '.join(f'{c} {notes[c]:,}' for c in codes)}), read as N": sum(
            notes[code] for code in codes
        ),
        "empty contigs": notes.get("empty_contigs", 0),
        "longer sequences read in the middle only": notes.get("cut", 0),
    }
    return [quantity(count, what) for what, count in counts.items() if count]
