"""Files of rows as their users write them, and the one line that refuses a bad one."""

from pathlib import Path

import pytest

from birdiedna.tasks import labelled
from birdiedna.tasks.tables import Columns


def written(folder: Path, content: bytes, name: str = "a.csv") -> Path:
    """A file with this content."""
    path = folder / name
    path.write_bytes(content)
    return path


def refused(path: Path, message: str, columns: Columns = Columns()) -> str:
    """The one line that refuses a file, which names it."""
    with pytest.raises(ValueError, match=message) as caught:
        labelled.read(path, columns=columns)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)
