"""Files that tests write, and the real data that some machines have beside the checkout."""

import gzip
import os
from functools import partial
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the shared data are not beside the checkout"
)
compress = partial(gzip.compress, mtime=0)  # equal bytes every time: they name tests


class Bomb:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def written(folder: Path, content: str | bytes, name: str = "given") -> Path:
    """A file of this content, in a folder that is made for it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path
