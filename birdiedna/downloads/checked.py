"""Is a file what it should be? Kind, size and sum, and the record of what was seen first."""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from birdiedna import files
from birdiedna.catalogue import File

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


def digest(path: Path, kind: str = "sha256") -> str:
    """The sum (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


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
        found = digest(path, kind)
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
    stat, found = part.stat(), digest(part)
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
    if path.stat().st_mtime_ns != record.mtime_ns and digest(path) != record.sha256:
        return False
    if pin(file) in ("", record.pin):
        return True
    kind, value = pin(file).split(":")
    return digest(path, kind) == value
