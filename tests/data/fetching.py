"""What the tests of downloads share: entries with addresses of this machine, and the cache."""

import hashlib
import random
from pathlib import Path

from birdiedna.data.catalog import Entry, File

BODY = (">chr1\n" + "".join(random.Random(0).choices("ACGT\n", k=300_000)) + "\n").encode()
FNA = b">chr1:0-8|0\nACGTACGT\n>chr1:9-17|1\nACGTACGG\n"


def entry(*urls: str, path: str = "my.fa", kind: str = "genome", **more) -> Entry:
    pins = {name: more.pop(name) for name in ("bytes", "md5", "sha256") if name in more}
    return Entry("mine", kind, "a test", (File(path, urls, **pins),), "none", "none", **more)


def cached(tmp_path: Path, name: str = "my.fa") -> Path:
    return tmp_path / "cache" / "data" / "mine" / name


def nothing_is_accepted(tmp_path: Path) -> bool:
    """No file but notes, records, locks and parts."""
    paths = (tmp_path / "cache").rglob("*")
    hidden = (".part", ".json", ".lock")
    return not [path for path in paths if path.is_file() and not path.name.endswith(hidden)]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
