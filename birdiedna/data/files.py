"""What a file is by its bytes, not by its name; and whether a folder can be written."""

import gzip
import hashlib
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO

GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
#: Forms that are not read, by their first bytes: what they are, and the remedy.
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel table: unpack it, or save the table as .csv",
    b"BZh": "packed by bzip2; unpack it with bunzip2",
    b"\xfd7zXZ": "packed by xz; unpack it with unxz",
    b"\x28\xb5\x2f\xfd": "packed by zstd; unpack it with unzstd",
    b"\x1f\x9d": "packed by compress; unpack it with uncompress",
    b"\xff\xfe": "line 1: byte 0xff is not UTF-8 but UTF-16; save it as UTF-8",
    b"\xfe\xff": "line 1: byte 0xfe is not UTF-8 but UTF-16; save it as UTF-8",
    b"\x43\x27\x41\x1a": "2bit; write it as FASTA, with twoBitToFa",
    b"\x1a\x41\x27\x43": "2bit; write it as FASTA, with twoBitToFa",
}
#: What a compressed file may become, in bytes; or this many times its own size, if that is more.
UNPACKED, TIMES = 1 << 26, 100
_BUFFER = 1 << 20
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def digest(path: Path, kind: str = "sha256") -> str:
    """The checksum (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def sums(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder, by its path from there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): digest(path) for path in files}


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of writing name the path, as those of opening do."""
    try:
        yield
    except OSError as error:
        if error.errno and not error.filename and error.strerror == os.strerror(error.errno):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside it, whose file takes its name when the block ends well, or vanishes."""
    temporary = path.with_name(f"{path.name}.tmp")  # what a kill leaves the next call overwrites
    try:
        with _named(path):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """An empty folder that moves to `folder` when the block ends well, or vanishes.

    Raises:
      OSError: there is a folder by then, and it is not empty.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        with _named(folder):
            yield temporary
            if folder.exists():
                folder.rmdir()
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def expanded(path: Path | str) -> Path:
    """A path whose `~` is a home; that of an unknown user stays as it is, and is no file."""
    return Path(os.path.expanduser(path))


def folder_of(variable: str, usual: Path) -> Path:
    """The folder that an environment variable names; the usual one where it is empty."""
    own = os.environ.get(variable, "").strip()
    return expanded(own) if own else usual


def check_writable(folder: Path, what: str, variable: str) -> None:
    """Make a folder and try to write there, before long work that ends in it.

    Raises:
      OSError: it cannot be written; the message names the variable that moves it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(
            f"{what} folder {folder} cannot be written ({error.strerror}); set {variable} to a "
            "folder that can"
        ) from error


def check_room(folder: Path, needed: int, error: OSError | None = None) -> None:
    """Refuse a cache on a disk with less than `needed` free bytes, or that gave the error.

    Raises:
      OSError: so it is; the message names folder, bytes and the variable that moves it.
    """
    free = shutil.disk_usage(folder).free
    if error or free < needed:
        reason = error.strerror if error else "no room"
        raise OSError(
            f"cache folder {folder}: {reason}; {needed:,} bytes are needed, {free:,} are free; "
            "make room, or set BIRDIEDNA_CACHE to a folder on another disk"
        ) from error


def most_unpacked(packed: int) -> int:
    """How many bytes a compressed file of so many bytes may become; more is no data, but a trap."""
    return max(UNPACKED, TIMES * packed)


class _Unpacked(gzip.GzipFile):
    """The text of a gzip file, within the bound."""

    def read(self, size: int | None = -1) -> bytes:
        packed = os.fstat(self.fileno()).st_size
        most = most_unpacked(packed)
        text = super().read(most + 1 if size is None or size < 0 else size)
        if self.tell() > most:
            raise ValueError(
                f"{self.name}: {packed:,} bytes of gzip unpack to more than {most:,}; unpack the "
                "file yourself if it is what you want"
            )
        return text


def absent(path: Path, kind: str) -> FileNotFoundError:
    """The error for a path that is no file."""
    what = "a folder" if path.is_dir() else f"no such file{special(path)}"
    return FileNotFoundError(f"{path}: {what}; give the path of a {kind} file")


def special(path: Path) -> str:
    """What to add where a path is there and is no file and no folder, as `<(zcat my.fa.gz)`."""
    return ", but a pipe or a device: write what it gives to a file" if path.exists() else ""


@contextmanager
def opened(path: Path, kind: str) -> Iterator[IO[bytes]]:
    """A file for reading, decompressed if it is gzip or bgzip, without its byte-order mark.

    Raises:
      ValueError: as `check_start`; or compressed data are compressed again, end early, are damaged
        or unpack to more than `most_unpacked`, also later, when that part is read.
    """
    if not path.is_file():
        raise absent(path, kind)
    with path.open("rb") as file:
        start = file.read(14)
        file.seek(max(0, path.stat().st_size - len(_BGZIP_END)))
        if start[:2] == GZIP and start[12:14] == b"BC" and file.read() != _BGZIP_END:
            raise ValueError(f"{path}: bgzip file without its end mark; download it again")
        file.seek(0)
        packed = start[:2] == GZIP
        with BufferedReader(_Unpacked(path), _BUFFER) if packed else file as text:
            try:
                start = text.read(512)
                if start.startswith(GZIP):
                    raise ValueError(f"{path}: packed twice by gzip; unpack it once, with gunzip")
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
      ValueError: the file is empty, a web page, a git-LFS pointer, binary data other than parquet
        or (FASTA) of another kind, which the message guesses.
    """
    start = start.lstrip()
    if not start:
        raise ValueError(f"{path}: the file is empty; give a {kind} file")
    if start[:1] == b"<":
        raise ValueError(f"{path}: a web page, not {kind}: did the download fail? Get it again")
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path}: a git-LFS pointer, not the data; run `git lfs pull`")
    foreign = [said for first, said in _FOREIGN.items() if start.startswith(first)]
    if not foreign and start[:16].count(0) > 1 and start[:4] != b"PAR1":
        foreign = [f"binary data; write it as text, as {kind}"]
    if foreign:
        raise ValueError(f"{path}: {foreign[0]}")
    if kind != "FASTA":
        return
    if start[:1] not in b">;":
        line = start.splitlines()[0][:60].decode("latin-1")
        raise ValueError(
            f"{path}: first line is {line!r}; FASTA starts with a `>name` line{_guess(start)}"
        )
    if b"\r" in start and b"\n" not in start:
        raise ValueError(f"{path}: lines end in CR alone, as on old Macs; save it with LF")


def _guess(start: bytes) -> str:
    """What a text that is no FASTA may be, and what reads it."""
    lines = [line for line in start.splitlines() if line and not line.startswith(b"#")] or [b""]
    fields = lines[0].split()
    if start[:4] == b"PAR1":
        return "; it is parquet, which is read if its name ends in .parquet"
    if start[:1] in b"{[":
        return "; JSON is not read: save the rows as .csv, with a header `sequence,label`"
    if start[:1] == b"@":
        return "; FASTQ reads are not read here, nor is SAM"
    if start.startswith(b"##fileformat=VCF"):
        return "; it looks like VCF, which `birdiedna variants` reads"
    if len(fields) >= 8 and fields[3].isdigit() and fields[4].isdigit():
        return "; it looks like GTF, which `birdiedna data build --exons` reads"
    if len(fields) >= 3 and fields[1].isdigit() and fields[2].isdigit():
        return (
            "; it looks like BED, which `birdiedna data build` reads with a genome: --peaks, --tss "
            "or --bed"
        )
    if re.search(rb"[,;\t]", lines[0]):
        return "; a table of labelled rows is read if its name ends in .csv, .tsv or .parquet"
    if start.startswith(b"LOCUS "):
        return "; it is GenBank: save the sequence as FASTA"
    return ""
