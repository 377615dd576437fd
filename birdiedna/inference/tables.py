"""Write a stream of data frames as one table: csv, tsv or parquet."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from birdiedna.data import files

SUFFIXES = (".csv", ".tsv", ".parquet")


def check(path: Path) -> None:
    """Check that a table can be written to `path`, before anything is computed.

    ValueError for an unknown suffix, or a path that is not a file; FileNotFoundError or
    PermissionError for its folder.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: unknown kind of table; end the name in {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder; create it first")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path.parent}: the folder is not writable; give another")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} exists and is not a file; give another name")


def write(frames: Iterable[pl.DataFrame], path: Path) -> int:
    """Write frames of equal columns below each other, atomically; return the number of rows.

    Only one frame is in memory at a time. Errors as in `check` and `files.scratch`.
    """
    check(path)
    rows, kind, folder = 0, path.suffix.lower(), path.with_name(f".{path.name}.tmp")
    with files.scratch(folder, path):
        parts: list[Path] = []
        whole = folder / "whole"
        for frame in frames:
            parts.append(folder / f"{len(parts)}.parquet")
            with _naming(path):
                frame.write_parquet(parts[-1])
            rows += frame.height
        with _naming(path):
            table = pl.scan_parquet(parts)
            if kind == ".parquet":
                table.sink_parquet(whole)
            else:
                table.sink_csv(whole, separator="\t" if kind == ".tsv" else ",")
        whole.replace(path)
    return rows


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the table in errors of polars, such as that of a full disk."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise OSError(f"{path} cannot be written ({reason}); free disk space") from None
