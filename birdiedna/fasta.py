"""FASTA files to genomes: plain, gzip or bgzip, checked, and cached on disk by fingerprint.

What the bytes are decides, not the file name. Nothing is written beside the user's file.
"""

import gzip
import hashlib
import json
import os
import shutil
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyfaidx

from birdiedna import genome, vocab

_LETTERS = "ACGTNRYSWKMBDHVU"
_BLOCK_BASES = 1 << 24
_ENDS_BYTES = 1 << 16
_GZIP = b"\x1f\x8b"
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_BOM = b"\xef\xbb\xbf"
#: Part of the cache key: raise it when the same file is to give other tokens.
_FORMAT = "1"


def read(path: Path | str, cache: Path | None = None) -> genome.Genome:
    """Read a FASTA file as one genome, from the cache if the same file was read before.

    Letters are upper-cased, IUPAC ambiguity codes and U become N; `notes` counts them by letter,
    with `bases`, `lower_case` (bases) and `empty_contigs`. A contig is named by the first word
    of its header. `source` is the file name.

    Args:
      path: the file.
      cache: folder for tokens; by default `$BIRDIEDNA_CACHE`, else the user's cache folder.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is empty, no FASTA, cut short, has repeated or missing names, or
        letters that are no nucleotide codes; the message says where.
    """
    path = Path(path)
    key = _key(path)
    folder = (cache or default_cache()) / key
    if folder.exists():
        try:
            return replace(load(folder), source=path.name)
        except ValueError:
            shutil.rmtree(folder)
    found = _read_checked(path, folder.parent)
    if _key(path) != key:
        raise ValueError(f"{path} changed while it was read; wait for the copy to end, try again")
    save(found, folder)
    return found


def default_cache() -> Path:
    """`$BIRDIEDNA_CACHE`, else `birdiedna` in `$XDG_CACHE_HOME` or `~/.cache`."""
    if own := os.environ.get("BIRDIEDNA_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "birdiedna"


def _key(path: Path) -> str:
    """Size, time of change, first and last 64 KiB of a file, hashed."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give the path of a FASTA file")
    stat = path.stat()
    digest = hashlib.sha256(f"{_FORMAT} {stat.st_size} {stat.st_mtime_ns}".encode())
    with path.open("rb") as file:
        digest.update(file.read(_ENDS_BYTES))
        file.seek(max(0, stat.st_size - _ENDS_BYTES))
        digest.update(file.read(_ENDS_BYTES))
    return digest.hexdigest()[:32]


def _read_checked(path: Path, cache: Path) -> genome.Genome:
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
            check_start(path, file.read(512))
        try:
            return _tokens(path, plain, plain, Path(folder) / "index.fai")
        except (ValueError, RuntimeError, pyfaidx.FastaIndexingError):
            even = _evened(path, plain, Path(folder) / "even.fa")
        return _tokens(path, plain, even, Path(folder) / "even.fai")


def _plain(path: Path, folder: Path) -> Path:
    """The file itself if it is plain text, else a copy without compression or byte-order mark.

    A plain file called `.gz` is copied too, since pyfaidx goes by the name.
    """
    with path.open("rb") as file:
        start = file.read(3)
    named_gzip = path.suffix.lower() in (".gz", ".bgz")
    if start[:2] != _GZIP and start != _BOM and not named_gzip:
        return path
    copy = folder / "plain.fa"
    with copy.open("wb") as target:
        unpack(path, target)
    return copy


def unpack(path: Path, target: BinaryIO) -> None:
    """Copy a file, decompressing gzip and bgzip and leaving out a byte-order mark.

    Raises:
      ValueError: the compressed data end early or are damaged.
    """
    with path.open("rb") as file:
        start = file.read(14)
        if start[:2] != _GZIP:
            file.seek(len(_BOM) if start.startswith(_BOM) else 0)
            return shutil.copyfileobj(file, target, 1 << 24)
        file.seek(max(0, path.stat().st_size - len(_BGZIP_END)))
        ends_early = start[12:14] == b"BC" and file.read() != _BGZIP_END
    try:
        with gzip.open(path) as source:
            start = source.read(len(_BOM))
            target.write(start if start != _BOM else b"")
            shutil.copyfileobj(source, target, 1 << 24)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"{path}: gzip data damaged or cut short after {target.tell():,} bytes of text "
            f"({error}); download the file again"
        ) from error
    if ends_early:
        raise ValueError(f"{path}: bgzip file without its end mark; download it again")


def check_start(path: Path, start: bytes, text: str = "FASTA") -> None:
    """Refuse what is plainly no data, by the first bytes of the (decompressed) file.

    Raises:
      ValueError: the file is empty, a web page, a git-LFS pointer or (FASTA) has no header.
    """
    start = start.lstrip()
    if not start:
        raise ValueError(f"{path}: the file is empty; give a {text} file")
    if start[:1] == b"<":
        raise ValueError(f"{path}: a web page, not {text}: did the download fail? Get it again")
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path}: a git-LFS pointer, not the data; run `git lfs pull`")
    if text == "FASTA" and start[:1] not in b">;":
        line = start.splitlines()[0][:60].decode("latin-1")
        raise ValueError(f"{path}: first line is {line!r}; FASTA starts with a `>name` line")


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


def _tokens(path: Path, plain: Path, copy: Path, index_path: Path) -> genome.Genome:
    """Index a copy of the plain file, or itself, and encode its contigs."""
    index = _indexed(path, plain, copy, index_path)
    try:
        return _encoded(path, index)
    finally:
        index.close()


def _encoded(path: Path, index: pyfaidx.Faidx) -> genome.Genome:
    """Encode all contigs, block by block, into one array made beforehand."""
    lengths = [(name, record.rlen) for name, record in index.index.items()]
    tokens = np.empty(sum(length for _, length in lengths), np.uint8)
    if not len(tokens):
        raise ValueError(f"{path}: {len(lengths)} headers and no bases; give a FASTA file")
    counts = np.zeros(256, np.int64)
    end = 0
    for name, length in lengths:
        for start in range(0, length, _BLOCK_BASES):
            size = min(_BLOCK_BASES, length - start)
            letters = _letters(path, index, name, start, size)
            counts += np.bincount(letters, minlength=256)
            tokens[end : end + size] = vocab.encode(letters.tobytes())
            end += size
    return genome.assemble(tokens, lengths, path.name, _notes(counts, lengths))


def _letters(path: Path, index: pyfaidx.Faidx, name: str, start: int, size: int) -> np.ndarray:
    """The letters (size,) uint8 of a contig from `start` on, all of them nucleotide codes."""
    try:
        text = index.fetch(name, start + 1, start + size).encode("latin-1", "replace")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: contig {name!r} is not plain text ({error})") from error
    letters = np.frombuffer(text, np.uint8)
    codes = np.frombuffer((_LETTERS + _LETTERS.lower()).encode(), np.uint8)
    wrong = np.flatnonzero(~np.isin(letters, codes))
    if len(wrong):
        value = letters[wrong[0]]
        raise ValueError(
            f"{path}: contig {name!r}, offset {start + wrong[0]:,}: byte {value} ({chr(value)!r}) "
            "is not a nucleotide code; use ACGT, N or an IUPAC ambiguity letter"
        )
    if len(letters) != size:
        raise ValueError(f"{path}: contig {name!r} ends early; is the file still being written?")
    return letters


def _notes(counts: np.ndarray, lengths: list[tuple[str, int]]) -> dict[str, int]:
    letters = {c: int(counts[ord(c)] + counts[ord(c.lower())]) for c in _LETTERS[4:]}
    return {
        "bases": int(counts.sum()),
        "lower_case": int(counts[ord("a") : ord("z") + 1].sum()),
        "empty_contigs": sum(length == 0 for _, length in lengths),
    } | {letter: count for letter, count in letters.items() if count}


def save(found: genome.Genome, folder: Path) -> None:
    """Write `tokens.npy` and `contigs.json` into `folder`; a broken write leaves no half file."""
    folder.mkdir(parents=True, exist_ok=True)
    table = {
        "contigs": [list(contig) for contig in found.contigs],
        "fingerprint": found.fingerprint,
        "source": found.source,
        "notes": dict(found.notes),
    }
    with tempfile.TemporaryDirectory(dir=folder) as passing:
        np.save(Path(passing, "tokens.npy"), found.tokens, allow_pickle=False)
        Path(passing, "contigs.json").write_text(json.dumps(table, indent=1))
        for name in ("tokens.npy", "contigs.json"):
            os.replace(Path(passing, name), folder / name)


def load(folder: Path) -> genome.Genome:
    """Read what `save` wrote and check it against its fingerprint; tokens are mapped, not copied.

    Raises:
      ValueError: a file is missing, cut short or altered.
    """
    try:
        table = json.loads((folder / "contigs.json").read_text())
        tokens = np.load(folder / "tokens.npy", mmap_mode="r", allow_pickle=False)
        contigs = [genome.Contig(*contig) for contig in table["contigs"]]
        lengths = [(contig.name, contig.length) for contig in contigs]
        found = genome.assemble(tokens, lengths, table["source"], table["notes"])
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise ValueError(f"{folder}: no readable genome ({error}); delete the folder") from error
    if found.fingerprint != table["fingerprint"]:
        raise ValueError(f"{folder}: the tokens are not those that were saved; delete the folder")
    return found
