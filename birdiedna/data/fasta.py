"""FASTA files to genomes: plain, gzip or bgzip, checked, and cached on disk by fingerprint.

What the bytes are decides, not the file name. Nothing is written beside the user's file.
"""

import hashlib
import logging
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import platformdirs
import pyfaidx

from birdiedna import vocab
from birdiedna.data import files, genome

_LETTERS = "ACGTNRYSWKMBDHVU"
#: The bit that tells lower from upper case.
_LOWER = np.uint8(32)
_BLOCK_BASES = 1 << 24
_ENDS_BYTES = 1 << 16
_LOG = logging.getLogger(__name__)
#: Part of the cache key: raise it when the same file is to give other tokens.
_FORMAT = "2"


@dataclass(frozen=True)
class Letters:
    """What to make of letters other than A, C, G, T and N.

    `uracil` is "N" or "T" (for RNA), `ambiguous` (R, Y and the other IUPAC codes) "N" or "error".
    """

    uracil: str = "N"
    ambiguous: str = "N"

    def __post_init__(self) -> None:
        if self.uracil not in ("N", "T"):
            raise ValueError(f"uracil {self.uracil!r} must be 'N' or 'T'")
        if self.ambiguous not in ("N", "error"):
            raise ValueError(f"ambiguous {self.ambiguous!r} must be 'N' or 'error'")


def read(
    path: Path | str, cache: Path | None = None, letters: Letters = Letters()
) -> genome.Genome:
    """Read a FASTA file as one genome, from the cache if the same file was read before.

    Letters are upper-cased, IUPAC ambiguity codes and U become N; `notes` counts them by letter,
    with `bases`, `lower_case` (bases) and `empty_contigs`. A contig is named by the first word
    of its header. `source` is the file name. An index beside the file is never read: it may be
    that of another file.

    Args:
      path: the file.
      cache: folder for tokens; by default `$BIRDIEDNA_CACHE`, else the user's cache folder.
      letters: what to do with U and with ambiguity codes.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is empty, no FASTA, cut short, has repeated or missing names, or
        letters that are no nucleotide codes; the message says where.
    """
    path = Path(path)
    key = _key(path, letters)
    cached = (cache or default_cache()) / f"{key}.npz"
    if cached.exists():
        try:
            return replace(genome.load(cached), source=path.name)
        except ValueError:
            cached.unlink(missing_ok=True)
    found = _read_checked(path, cached.parent, letters)
    if _key(path, letters) != key:
        raise ValueError(f"{path} changed while it was read; wait for the copy to end, try again")
    if empty := found.notes["empty_contigs"]:
        _LOG.warning("%s: %d contigs hold no base; is the file complete?", path, empty)
    genome.save(found, cached)
    return found


def default_cache() -> Path:
    """`$BIRDIEDNA_CACHE`, else where the platform keeps caches (Linux: `~/.cache/birdiedna`)."""
    own = os.environ.get("BIRDIEDNA_CACHE")
    return Path(own) if own else platformdirs.user_cache_path("birdiedna")


def _key(path: Path, letters: Letters) -> str:
    """Size, time of change, first and last 64 KiB of a file and what is asked of it, hashed."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give the path of a FASTA file")
    stat = path.stat()
    digest = hashlib.sha256(f"{_FORMAT} {letters} {stat.st_size} {stat.st_mtime_ns}".encode())
    with path.open("rb") as file:
        digest.update(file.read(_ENDS_BYTES))
        file.seek(max(0, stat.st_size - _ENDS_BYTES))
        digest.update(file.read(_ENDS_BYTES))
    return digest.hexdigest()[:32]


def _read_checked(path: Path, cache: Path, letters: Letters = Letters()) -> genome.Genome:
    """Read a file by way of a plain copy (if need be) and an index in a passing folder."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        passing = tempfile.TemporaryDirectory(dir=cache, prefix="reading-")
    except OSError as error:
        raise ValueError(
            f"cache folder {cache} cannot be written ({error.strerror}); set BIRDIEDNA_CACHE"
        ) from error
    with passing as folder:
        plain = _plain(path, Path(folder))
        with plain.open("rb") as file:
            files.check_start(path, file.read(512))
        try:
            with _indexed(path, plain, plain, Path(folder) / "plain.fai") as index:
                return _encoded(path, index, letters)
        except (ValueError, RuntimeError, pyfaidx.FastaIndexingError):
            even = _evened(path, plain, Path(folder) / "even.fa")
        with _indexed(path, plain, even, Path(folder) / "even.fai") as index:
            return _encoded(path, index, letters)


def _plain(path: Path, folder: Path) -> Path:
    """The file itself if it is plain text, else a copy without compression or byte-order mark.

    A plain file called `.gz` is copied too, since pyfaidx goes by the name.
    """
    with path.open("rb") as file:
        start = file.read(3)
    named_gzip = path.suffix.lower() in (".gz", ".bgz")
    if not start.startswith((files.GZIP, files.BOM)) and not named_gzip:
        return path
    copy = folder / "plain.fa"
    with copy.open("wb") as target:
        files.unpack(path, target)
    return copy


def _evened(path: Path, plain: Path, copy: Path) -> Path:
    """A copy with each contig in one line: pyfaidx needs lines of one width, files need not.

    Made when a first reading fails. Wrong letters are copied, so a second one says where they are.
    """
    started = False
    with plain.open("rb") as source, copy.open("wb") as target:
        for number, line in enumerate(source, 1):
            text = line.rstrip(b"\r\n")
            if not line.startswith(b">"):
                target.write(text if started else line)
                continue
            if not text[1:].split():
                raise ValueError(f"{path}, line {number}: a contig without a name; write one")
            started = True
            target.write(b"\n" + text + b"\n")
    return copy


def _indexed(path: Path, plain: Path, copy: Path, index: Path) -> pyfaidx.Faidx:
    try:
        return pyfaidx.Faidx(str(copy), indexname=str(index), as_raw=True)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file ({error}); give a FASTA file") from error
    except pyfaidx.FastaIndexingError as error:
        raise ValueError(f"{path}: {str(error).replace(str(copy), path.name)}") from error
    except ValueError as error:
        raise ValueError(_repeated(path, plain)) from error


def _repeated(path: Path, plain: Path) -> str:
    """Which contig name occurs twice, and in which lines."""
    lines: dict[bytes, int] = {}
    with plain.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.startswith(b">"):
                name = line[1:].split()[0]
                if name in lines:
                    return (
                        f"{path}: contig {name.decode()!r} in line {lines[name]} and again in "
                        f"line {number}; rename one of them"
                    )
                lines[name] = number
    return f"{path}: pyfaidx cannot index it; is it FASTA?"


def _encoded(path: Path, index: pyfaidx.Faidx, letters: Letters) -> genome.Genome:
    """Encode all contigs, block by block, into one array made beforehand."""
    lengths = [(name, record.rlen) for name, record in index.index.items()]
    tokens = np.empty(sum(length for _, length in lengths), np.uint8)
    if not len(tokens):
        raise ValueError(f"{path}: {len(lengths)} headers and no bases; give a FASTA file")
    notes = {"bases": len(tokens), "lower_case": 0}
    notes["empty_contigs"] = sum(length == 0 for _, length in lengths)
    end = 0
    for name, length in lengths:
        for start in range(0, length, _BLOCK_BASES):
            size = min(_BLOCK_BASES, length - start)
            text = _text(path, index, name, start, size)
            place = f"{path}: contig {name!r}, offset"
            tokens[end : end + size] = _encode(place, start, text, letters)
            _count(notes, text, tokens[end : end + size], letters)
            end += size
    return genome.assemble(tokens, lengths, path.name, notes)


def _text(path: Path, index: pyfaidx.Faidx, name: str, start: int, size: int) -> bytes:
    """The letters of a contig from `start` on."""
    try:
        text = index.fetch(name, start + 1, start + size).encode("latin-1", "replace")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: contig {name!r} is not plain text ({error})") from error
    if len(text) != size:
        raise ValueError(f"{path}: contig {name!r} ends early; is the file still being written?")
    return text


def _encode(place: str, start: int, text: bytes, letters: Letters) -> np.ndarray:
    """Base ids of letters that begin at `start` of a contig."""
    if letters.uracil == "T":
        text = text.replace(b"U", b"T").replace(b"u", b"t")
    try:
        tokens = vocab.encode(text)
    except ValueError as error:
        raise ValueError(
            _wrong(place, start, text, "", "is not a nucleotide code; use ACGT, N or an IUPAC code")
        ) from error
    if (
        letters.ambiguous == "error"
        and (_codes(text)[tokens == vocab.N] & ~_LOWER != ord("N")).any()
    ):
        raise ValueError(
            _wrong(
                place, start, text, _LETTERS[5:], "is ambiguous; use ACGT or N, or ambiguous='N'"
            )
        )
    return tokens


def _wrong(place: str, start: int, text: bytes, refused: str, complaint: str) -> str:
    """Where the first letter stands that is refused, or no code at all."""
    good = {*_LETTERS} - {*refused}
    wrong = next(i for i, value in enumerate(text) if chr(value).upper() not in good)
    return f"{place} {start + wrong:,}: byte {text[wrong]} ({chr(text[wrong])!r}) {complaint}"


def _codes(text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.uint8)


def _count(notes: dict[str, int], text: bytes, tokens: np.ndarray, letters: Letters) -> None:
    """Add a block to the notes: lower case, and by letter what became N (or, as U, T)."""
    codes = _codes(text)
    notes["lower_case"] += int(np.count_nonzero(codes & _LOWER))
    changed = np.bincount(codes[tokens == vocab.N] & ~_LOWER, minlength=128)
    if letters.uracil == "T":
        changed[ord("U")] = text.count(b"U") + text.count(b"u")
    for code in np.flatnonzero(changed):
        notes[chr(code)] = notes.get(chr(code), 0) + int(changed[code])
