"""What a file is, told by its bytes and not by its name: packed, plain, or plainly no data."""

import gzip
import hashlib
import shutil
import zlib
from pathlib import Path
from typing import BinaryIO

GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def digest(path: Path, kind: str = "sha256") -> str:
    """The checksum (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def unpack(path: Path, target: BinaryIO) -> None:
    """Copy a file, decompressing gzip and bgzip and leaving out a byte-order mark.

    Raises:
      ValueError: the compressed data end early or are damaged.
    """
    with path.open("rb") as file:
        start = file.read(14)
        if start[:2] != GZIP:
            file.seek(len(BOM) if start.startswith(BOM) else 0)
            return shutil.copyfileobj(file, target, 1 << 24)
        file.seek(max(0, path.stat().st_size - len(_BGZIP_END)))
        ends_early = start[12:14] == b"BC" and file.read() != _BGZIP_END
    try:
        with gzip.open(path) as source:
            start = source.read(len(BOM))
            target.write(start if start != BOM else b"")
            shutil.copyfileobj(source, target, 1 << 24)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"{path}: gzip data damaged or cut short after {target.tell():,} bytes of text "
            f"({error}); download the file again"
        ) from error
    if ends_early:
        raise ValueError(f"{path}: bgzip file without its end mark; download it again")


def check_start(path: Path | str, start: bytes, text: str = "FASTA") -> None:
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
