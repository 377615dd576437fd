"""Audit the interval files of Genomic Benchmarks: overlap of test rows with train rows."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from birdiedna.data import intervals
from birdiedna.data.intervals import Intervals
from birdiedna.evaluation import audit
from birdiedna.tasks import layouts, tables

_KEY = ["contig", "start", "end", "strand"]
_HEADS = {"overlapping": "overlap", "covered": "half", "conflicting_labels": "conflicting labels"}
_HEADS |= {"repeats_train": "repeats: train", "repeats_test": "repeats: test"}
_EXPLAINED = f"""
    Test rows against all train rows. overlap: at least one base in common. half: {audit.HALF:.0%}
    or more inside one train row. copies: contig, start, end and strand of a train row. conflicting
    labels: copies of a train row of another class. repeats: rows that equal an earlier one."""


def has_intervals(folder: Path) -> bool:
    """Whether a folder has the interval tables of a benchmark, by file names and headers."""
    try:
        heads = [tables.header(path) for _, path in _files(folder)]
    except (ValueError, OSError):
        return False
    return bool(heads) and all({"region", "start", "end"} <= {*head} for head in heads)


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Set and path of each interval table of a folder."""
    return [
        (name, path)
        for name, parts in layouts.interval_sets(folder).items()
        for classes in parts.values()
        for path in classes.values()
    ]


def folders(path: Path) -> list[Path]:
    """The folders with interval tables among this one and its direct subfolders."""
    if not path.is_dir():
        return []
    return [p for p in (path, *sorted(path.iterdir())) if p.is_dir() and has_intervals(p)]


def fingerprint(folder: Path) -> str:
    """The sha256 (hex) of names and contents of the interval files of a folder."""
    digest = hashlib.sha256()
    for name, path in _files(folder):
        digest.update(f"{name} {path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def of_folder(folder: Path | str) -> pl.DataFrame:
    """Audit interval files: one row per set, followed by its classes.

    Returns:
      set, class (`all` for the set), train, test (rows), repeats_train, repeats_test; and of test
      rows, against train rows of any class: overlapping (they share a base, on either strand),
      covered (at least half is in one train row), copies (equal in contig, start, end and strand),
      conflicting_labels (copies of a row of another class).

    Raises:
      ValueError: no interval tables, a set without train or test files, and as in
        `layouts.interval_sets` and `intervals.read_table`.
    """
    sets = layouts.interval_sets(Path(folder))
    if not sets:
        raise ValueError(f"{folder} contains no tables <set>.<split>.<class>.csv.gz; give another")
    return pl.concat(_of_set(name, parts) for name, parts in sets.items())


def _of_set(name: str, parts: Mapping[str, Mapping[str, Path]]) -> pl.DataFrame:
    if missing := [split for split in ("train", "test") if split not in parts]:
        raise ValueError(f"set {name!r} has no {missing[0]} files; add them")
    train, test = (_table(parts[split]) for split in ("train", "test"))
    shares = intervals.covered(
        *(Intervals(*(split[column].to_numpy() for column in _KEY)) for split in (test, train))
    )
    known = train.select(*_KEY, known="class").unique()
    same = test.join(known, on=_KEY, how="inner")
    other = same.filter(pl.col("class") != pl.col("known"))
    test = test.with_columns(
        overlapping=pl.Series(shares > 0),
        covered=pl.Series(shares >= audit.HALF),
        copies=pl.col("row").is_in(same["row"].implode()),
        conflicting_labels=pl.col("row").is_in(other["row"].implode()),
    )
    rows = [_counts(name, "all", train, test)]
    for label in sorted({*train["class"], *test["class"]}):
        of_class = (split.filter(pl.col("class") == label) for split in (train, test))
        rows.append(_counts(name, label, *of_class))
    return pl.DataFrame(rows)


def _table(classes: Mapping[str, Path]) -> pl.DataFrame:
    """The rows of one split: row, contig, start, end, strand, class."""
    frames = [
        pl.DataFrame(dict(zip(_KEY, intervals.read_table(path), strict=True))).with_columns(
            pl.lit(label).alias("class")
        )
        for label, path in classes.items()
    ]
    return pl.concat(frames).with_row_index("row")


def _counts(name: str, label: str, train: pl.DataFrame, test: pl.DataFrame) -> dict[str, Any]:
    marks = ("overlapping", "covered", "copies", "conflicting_labels")
    return (
        {"set": name, "class": label, "train": train.height, "test": test.height}
        | {mark: int(test[mark].sum()) for mark in marks}
        | {"repeats_train": train.height - train.select(_KEY).n_unique()}
        | {"repeats_test": test.height - test.select(_KEY).n_unique()}
    )


def report(found: pl.DataFrame) -> str:
    """The audit of interval files as text: a table with an explanation."""
    share = lambda name: pl.format("{}%", (100 * pl.col(name) / pl.col("test")).round(1))
    shares = [
        pl.when(pl.col("test") > 0).then(share(name)).alias(name)
        for name in ("overlapping", "covered", "copies")
    ]
    once = pl.when(pl.col("class") == "all").then("set").otherwise(pl.lit("")).alias("set")
    table = found.with_columns(once, *shares).rename(_HEADS)
    return audit.section("SHARED BETWEEN SPLITS", table, _EXPLAINED)
