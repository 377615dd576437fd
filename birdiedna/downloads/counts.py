"""Do fetched tasks hold what their description says? Rows and lengths, told and never asserted."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl

from birdiedna.catalogue import Entry, Rows


class _Found(NamedTuple):
    """Rows of a file and the lengths of the shortest and longest sequence (0: not looked at)."""

    rows: int
    shortest: int = 0
    longest: int = 0


def differences(entry: Entry, folder: Path) -> list[str]:
    """What in the folder is not as the catalogue says, a sentence each; parts missing are left out.

    Also says where the publisher's own card is wrong.
    """
    lacking = [name for name in entry.tasks if not (folder / name).is_dir()]
    said = [f"{len(lacking)} tasks are not in the archive: {', '.join(lacking)}"] if lacking else []
    return said + [line for rows in entry.rows for line in _of_task(rows, folder / rows.task)]


def _of_task(rows: Rows, folder: Path) -> Iterator[str]:
    for part, expected, card in (
        ("train", rows.train, rows.card),
        ("test", rows.test, None),
    ):
        found = _counted(folder, part)
        if found is None:
            continue
        name = f"{rows.task}, {part}"
        said = f" (its card: {card:,})" if card else ""
        if found.rows != expected:
            yield f"{name}: {found.rows:,} rows, expected {expected:,}{said}"
        elif card:
            yield f"{name}: {found.rows:,} rows as counted elsewhere; its card says {card:,}"
        if found.longest and {found.shortest, found.longest} != {rows.length}:
            lengths = f"{found.shortest:,} to {found.longest:,}"
            yield f"{name}: sequences of {lengths} bases, expected {rows.length:,}"


def _counted(folder: Path, part: str) -> _Found | None:
    if (path := folder / f"{part}.fna").is_file():
        return _in_fna(path)
    if (path := folder / f"{part}.parquet").is_file():
        sizes = pl.col("sequence").str.len_bytes()
        table = pl.scan_parquet(path)
        return _Found(*table.select(pl.len(), a=sizes.min(), b=sizes.max()).collect().row(0))
    if (path := folder / part).is_dir():
        return _Found(sum(1 for _ in path.glob("*/*.txt")))
    return None


def _in_fna(path: Path) -> _Found:
    sizes: list[int] = []
    with path.open("rb") as file:
        for line in file:
            if line.startswith(b">"):
                sizes.append(0)
            elif sizes:
                sizes[-1] += len(line.strip())
    return _Found(len(sizes), min(sizes, default=0), max(sizes, default=0))
