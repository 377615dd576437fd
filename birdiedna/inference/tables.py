"""Frames that come one after the other, as one file: csv, tsv or parquet."""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import polars as pl

SUFFIXES = (".csv", ".tsv", ".parquet")


def check(path: Path) -> None:
    """Refuse what is no table or cannot be written, before anything is computed.

    Raises:
      ValueError: another suffix, or something that is no file has the name.
      FileNotFoundError, PermissionError: its folder is missing or cannot be written.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path} is no name of a table; let it end in {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder; make it first")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path.parent}: the folder cannot be written; give another")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} exists and is no file; give another name")


def write(frames: Iterable[pl.DataFrame], path: Path) -> int:
    """Write frames of equal columns one below the other, whole or not at all; the number of rows.

    Only one frame is in memory at a time. Errors as `check`.
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
        except pl.exceptions.PolarsError as error:  # what a full disk gives
            reason = str(error).partition("\n")[0]
            raise OSError(f"{path} cannot be written ({reason}); make room there") from None
        shutil.move(whole, path)
    return rows
