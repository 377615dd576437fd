"""Open, recognise (by content, not by name), checksum and atomically write files."""

import errno
import gzip
import hashlib
import os
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
#: Unsupported formats by their first bytes: what they are, and the remedy.
_FOREIGN = {
    b"<": "a web page, not {kind}; did the download fail? Try it again",
    b"version https://git-lfs": "a git-LFS pointer, not the data; run `git lfs pull`",
    b"PK\x03\x04": "a zip archive or an Excel table: unpack it, or save the table as .csv",
    b"BCF\x02": "BCF; convert it to VCF with `bcftools view`",
    b"BAM\x01": "BAM; convert it to FASTA with `samtools fasta`",
    b"TBI\x01": "an index; give the file without .tbi",
    b"CSI\x01": "an index; give the file without .csi",
    b"BZh": "compressed by bzip2; unpack it with bunzip2",
    b"\xfd7zXZ": "compressed by xz; unpack it with unxz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; unpack it with unzstd",
    b"\xd0\xcf\x11\xe0": "an old Excel table: save it as .csv",
    b"ARROW1": "an Arrow or Feather table: save it as .csv or .parquet",
    b"\x1f\x9d": "compressed by compress; unpack it with uncompress",
    b"\xff\xfe\0\0": "UTF-32; save it as UTF-8",
    b"\xff\xfe": "line 1: byte 0xff is not UTF-8 but UTF-16; save it as UTF-8",
    b"\xfe\xff": "line 1: byte 0xfe is not UTF-8 but UTF-16; save it as UTF-8",
    b"{\\rtf": "rich text: save it as plain text",
    **dict.fromkeys((b"{", b"["), "JSON is not supported: save the rows as .csv with a header"),
    b"%PDF": "PDF: save its text as plain text",
    b"\x43\x27\x41\x1a": "2bit; convert it to FASTA with twoBitToFa",
    b"\x1a\x41\x27\x43": "2bit; convert it to FASTA with twoBitToFa",
}
#: Texts that are no table by their first bytes: what they may be, and what reads them.
_TEXTS = {
    b">": "it looks like FASTA",
    b"PAR1": "this is parquet: end its name in .parquet",
    b"@": "FASTQ and SAM are not supported: convert the file to FASTA",
    b"##fileformat=VCF": "it looks like VCF, which `birdiedna variants` reads",
    b"##gff-version": "it looks like GTF, which `birdiedna data build --exons` reads",
}
#: What is wrong with a line that contains a carriage return.
CR_ONLY = "lines end in CR only, as on old Macs; save it with LF"
#: A compressed file may unpack to this many bytes, or this many times its size if that is more.
UNPACKED, TIMES = 1 << 26, 100
_BUFFER = 1 << 20
#: Numbers of the errors of a full disk, a quota that is used up, and a limit on file sizes.
FULL = {getattr(errno, name, 0) for name in ("ENOSPC", "EDQUOT", "EFBIG")} - {0}
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def digest(path: Path, kind: str = "sha256") -> str:
    """Return the checksum (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def sums(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file below a folder, by relative path."""
    return {str(path.relative_to(folder)): digest(path) for path in visible(folder)}


def visible(folder: Path) -> list[Path]:
    """Return the files below a folder, sorted, without hidden ones, as a Mac or NFS adds them."""
    hidden = lambda path: any(part[0] == "." for part in path.relative_to(folder).parts)
    return sorted(path for path in folder.rglob("*") if path.is_file() and not hidden(path))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the path to errors of writing, which lack it."""
    try:
        yield
    except OSError as error:
        if error.errno and not error.filename and error.strerror == os.strerror(error.errno):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file atomically: yield a temporary path that replaces it unless the block fails.

    A second writer of the file waits for the first; for locks see `locked`.
    """
    temporary = path.with_name(f"{path.name}.tmp")  # after a kill, the next call overwrites it
    with naming(path), locked(temporary):
        try:
            yield temporary
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


class Busy(ValueError):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path, busy: str = "", folder: bool = False, create: bool = True) -> Iterator[bool]:
    """Lock a file or folder, created if missing; the lock ends with the process, however it ends.

    Not `filelock`, which is not on bare accelerator machines. Windows and some network file systems
    have no such locks: there is none then, and False is yielded.

    Raises:
      Busy: another process holds it; the message is `busy`, and without one this process waits.
      FileNotFoundError: there is no such file, and `create` is false.
    """
    if fcntl is None:
        yield False
        return
    while True:
        held = True
        if folder:
            path.mkdir(parents=True, exist_ok=True)
        elif path.is_symlink():
            path.unlink()  # what it leads to would be written over
        handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT * create, 0o666)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
            except BlockingIOError:
                raise Busy(busy) from None
            except OSError:  # no locks here
                held = False
            if is_at(os.fstat(handle), path):  # else its former owner moved or removed it
                yield held
                return
        finally:
            os.close(handle)


def is_at(known: os.stat_result, path: Path) -> bool:
    """Return whether a known file or folder is still the one at a path."""
    try:
        return os.path.samestat(known, path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """Write a folder atomically: yield an empty one, renamed to `folder` unless the block fails.

    Raises:
      OSError: `folder` exists by then and is not empty.
      Busy: another process is writing it.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    with scratch(temporary, folder):
        yield temporary
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)


@contextmanager
def scratch(folder: Path, shown: Path) -> Iterator[None]:
    """Create an empty folder for this process alone; errors as `sole`.

    At the end it is removed, with folders that were created for it and are empty.
    """
    new = [path for path in folder.parents if not path.exists()]
    if folder.is_symlink():
        folder.unlink()  # what it leads to would be emptied
    with sole(folder, shown):
        own = folder.stat()
        try:
            with naming(shown):
                for path in folder.iterdir():  # what a kill left
                    if path.is_dir() and not path.is_symlink():
                        shutil.rmtree(path)
                    else:
                        path.unlink()
                yield
        finally:
            if is_at(own, folder):  # not moved
                shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # not empty
                for path in new:
                    path.rmdir()


def sole(folder: Path, shown: Path) -> AbstractContextManager[bool]:
    """Lock a folder, created if missing; `Busy`, which names `shown`, if it is locked."""
    return locked(folder, f"{shown}: another process is writing it; wait for it, or stop it", True)


def expanded(path: Path | str) -> Path:
    """Return a path with `~` expanded, unless the user is unknown."""
    return Path(os.path.expanduser(path))


def folder_of(variable: str, usual: Path) -> Path:
    """Return the folder named by an environment variable, or the usual one if it is empty."""
    value = os.environ.get(variable, "").strip()
    return expanded(value) if value else usual


def default_cache() -> Path:
    """Return `$BIRDIEDNA_CACHE` or the platform's cache folder (Linux: `~/.cache/birdiedna`)."""
    import platformdirs  # not on bare accelerator machines

    return folder_of("BIRDIEDNA_CACHE", platformdirs.user_cache_path("birdiedna"))


def check_writable(folder: Path, what: str, variable: str) -> None:
    """Create a folder and check that it is writable, before long work that needs it.

    The OSError of one that is not names the variable that sets it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(
            f"{what} folder {folder} is not writable ({error.strerror}); set {variable} to another "
            "folder"
        ) from error


@contextmanager
def room(folder: Path, needed: int) -> Iterator[None]:
    """Check that the cache's disk has `needed` free bytes for the block, which may still fill it.

    The OSError of either names folder, bytes and the variable.
    """
    try:
        if shutil.disk_usage(folder).free < needed:
            raise OSError(errno.ENOSPC, "too little disk space")
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        free = shutil.disk_usage(folder).free
        raise OSError(
            f"cache folder {folder}: {error.strerror}; {needed:,} bytes are needed, {free:,} are "
            "free; free disk space, or set BIRDIEDNA_CACHE to a folder on another disk"
        ) from error


def most_unpacked(packed: int) -> int:
    """Return the size to which a file of `packed` bytes may unpack; more is a zip bomb."""
    return max(UNPACKED, TIMES * packed)


class _Unpacked(gzip.GzipFile):
    """A gzip file that may not unpack to more than `most_unpacked`."""

    def read(self, size: int | None = -1) -> bytes:
        packed = os.fstat(self.fileno()).st_size
        most = most_unpacked(packed)
        text = super().read(most + 1 if size is None or size < 0 else size)
        if self.tell() > most:
            raise ValueError(
                f"{self.name}: {packed:,} bytes of gzip unpack to more than {most:,}; unpack the "
                "file yourself if this is intended"
            )
        return text

    def readinto(self, buffer: Any) -> int:  # from Python 3.14 on it would not call `read`
        text = self.read(len(buffer))
        buffer[: len(text)] = text
        return len(text)


def absent(path: Path, kind: str) -> FileNotFoundError:
    """Return the error for a path that is not a file."""
    what = "a folder" if path.is_dir() else f"no such file{special(path)}"
    return FileNotFoundError(f"{path}: {what}; give the path of a {kind} file")


def special(path: Path) -> str:
    """Return the hint for a path that is neither file nor folder, such as `<(zcat my.fa.gz)`."""
    return ", but a pipe or a device: write its output to a file" if path.exists() else ""


@contextmanager
def opened(path: Path, kind: str) -> Iterator[IO[bytes]]:
    """Open a file for reading, decompress gzip and bgzip, and skip a byte-order mark.

    Errors as in `check_start`; and ValueError, also later, when that part is read, if data are
    compressed twice, truncated, damaged or unpack to more than `most_unpacked`.
    """
    if not path.is_file():
        raise absent(path, kind)
    with path.open("rb") as file:
        start = file.read(14)
        file.seek(max(0, path.stat().st_size - len(_BGZIP_END)))
        if start[:2] == GZIP and start[12:14] == b"BC" and file.read() != _BGZIP_END:
            raise ValueError(f"{path}: bgzip file without end marker; download it again")
        file.seek(0)
        packed = start[:2] == GZIP
        with BufferedReader(_Unpacked(path), _BUFFER) if packed else file as text:
            try:
                start = text.read(512)
                if start.startswith(GZIP):
                    raise ValueError(f"{path}: compressed twice by gzip; unpack it once (gunzip)")
                check_start(path, start.removeprefix(BOM), kind)
                text.seek(len(BOM) if start.startswith(BOM) else 0)
                yield text
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise ValueError(
                    f"{path}: gzip data are damaged or cut short after {text.tell():,} bytes of "
                    f"text ({error}); download the file again"
                ) from error


def check_downloaded(path: Path, start: bytes, kind: str) -> None:
    """Refuse (ValueError) a web page or git-LFS pointer in place of a file."""
    if start.lstrip().startswith((b"<", b"version https://git-lfs")):
        check_start(path, start, kind)


def check_start(path: Path | str, start: bytes, kind: str) -> None:
    """Check the first bytes of the (decompressed) file.

    ValueError if the file is empty, a web page, a git-LFS pointer, binary data other than parquet
    or, where FASTA or BED is expected, of another kind, which the message guesses.
    """
    start = start.lstrip()
    if not start:
        raise ValueError(f"{path}: the file is empty; give a {kind} file")
    foreign = [text for first, text in _FOREIGN.items() if start.startswith(first)]
    if start[257:262] == b"ustar":
        foreign = ["a tar archive; unpack it"]
    if not foreign and start[:16].count(0) > 1 and start[:4] != b"PAR1":
        foreign = ["binary data; convert it to {kind} text"]
    if foreign:
        raise ValueError(f"{path}: {foreign[0].format(kind=kind)}")
    if kind == "BED" and (other := other_format(start)) and " BED" not in other:
        raise ValueError(f"{path}: {other}; BED has the columns contig, start (from 0) and end")
    if kind != "FASTA":
        return
    if start[:1] not in b">;":
        line = start.splitlines()[0]
        other = other_format(start)
        if not other and re.search(rb"[,;\t]", line):
            other = "if it is a table of labelled rows, end its name in .csv, .tsv or .parquet"
        what = f"; {other}" if other else ""
        raise ValueError(
            f"{path}: the first line is {line[:60].decode('latin-1')!r}; FASTA starts with a "
            f"`>name` line{what}"
        )
    if b"\r" in start and b"\n" not in start:
        raise ValueError(f"{path}: {CR_ONLY}")


def other_format(start: bytes) -> str:
    """Return what a file of another format than the expected may be, and what reads it, or ""."""
    for first, text in _TEXTS.items():
        if start.startswith(first):
            return text
    remarks = (b"#", b"track", b"browser")
    lines = (line for line in start.splitlines() if line and not line.startswith(remarks))
    fields = next(lines, b"").split()
    positions = len(fields) >= 8 and fields[3].isdigit() and fields[4].isdigit()
    if positions and not fields[1].isdigit():
        return _TEXTS[b"##gff-version"]
    interval = len(fields) >= 3 and fields[1].isdigit() and fields[2].isdigit()
    if interval and int(fields[1]) < int(fields[2]):
        return (
            "it looks like BED, which needs a genome: `birdiedna data build` reads it with "
            "--peaks, --tss or --bed, `predict` and `embed` with --genome"
        )
    if start.startswith((b"LOCUS ", b"ID   ")):
        return "this is GenBank or EMBL: save the sequence as FASTA"
    return ""
