"""Write a stream of data frames as one table: csv, tsv or parquet."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import polars as pl

SUFFIXES = (".csv", ".tsv", ".parquet")


def check(path: Path) -> None:
    """Check that a table can be written to `path`, before anything is computed.

    Raises:
      ValueError: the suffix is unknown, or the path exists and is not a file.
      FileNotFoundError, PermissionError: the folder is missing or not writable.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: unknown kind of table; end the name in {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder; create it first")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path.parent}: the folder is not writable; give another")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} exists and is not a file; give another name")


def write(frames: Iterable[pl.DataFrame], path: Path) -> int:
    """Write frames of equal columns below each other, atomically; return the number of rows.

    Only one frame is in memory at a time. Errors as in `check`.
    """
    check(path)
    rows = 0
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        parts: list[Path] = []
        whole = Path(folder) / "whole"
        try:
            for frame in frames:
                part = Path(folder) / f"{len(parts)}.parquet"
                frame.write_parquet(part)
                parts.append(part)
                rows += frame.height
            table = pl.scan_parquet(parts)
            if path.suffix == ".parquet":
                table.sink_parquet(whole)
            else:
                table.sink_csv(whole, separator="\t" if path.suffix == ".tsv" else ",")
        except pl.exceptions.PolarsError as error:  # such as a full disk
            reason = str(error).partition("\n")[0]
            raise OSError(f"{path} cannot be written ({reason}); free disk space") from None
        shutil.move(whole, path)
    return rows
