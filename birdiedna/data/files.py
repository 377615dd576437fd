"""What a file is by its bytes, not by its name: gzip, plain text, or plainly no data."""

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def digest(path: Path, kind: str = "sha256") -> str:
    """The checksum (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


@contextmanager
def opened(path: Path, kind: str) -> Iterator[gzip.GzipFile | BufferedReader]:
    """A file for reading, decompressed if it is gzip or bgzip, without its byte-order mark.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: as `check_start`; or compressed data end early or are damaged, also later, when
        that part is read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give the path of a {kind} file")
    with path.open("rb") as file:
        start = file.read(14)
        file.seek(max(0, path.stat().st_size - len(_BGZIP_END)))
        if start[:2] == GZIP and start[12:14] == b"BC" and file.read() != _BGZIP_END:
            raise ValueError(f"{path}: bgzip file without its end mark; download it again")
        file.seek(0)
        with gzip.open(file) if start[:2] == GZIP else file as text:
            try:
                start = text.read(512)
                check_start(path, start.removeprefix(BOM), kind)
                text.seek(len(BOM) if start.startswith(BOM) else 0)
                yield text
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise ValueError(
                    f"{path}: gzip data damaged or cut short after {text.tell():,} bytes of text "
                    f"({error}); download the file again"
                ) from error


def check_start(path: Path | str, start: bytes, kind: str = "FASTA") -> None:
    """Refuse what is plainly no data, by the first bytes of the (decompressed) file.

    Raises:
      ValueError: the file is empty, a web page, a git-LFS pointer or (FASTA) has no header.
    """
    start = start.lstrip()
    if not start:
        raise ValueError(f"{path}: the file is empty; give a {kind} file")
    if start[:1] == b"<":
        raise ValueError(f"{path}: a web page, not {kind}: did the download fail? Get it again")
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path}: a git-LFS pointer, not the data; run `git lfs pull`")
    if kind == "FASTA" and start[:1] not in b">;":
        line = start.splitlines()[0][:60].decode("latin-1")
        raise ValueError(f"{path}: first line is {line!r}; FASTA starts with a `>name` line")
