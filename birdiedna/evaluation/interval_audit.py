"""Audit the interval files of Genomic Benchmarks: overlap of test rows with train rows."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import polars as pl
from polars.dataframe.group_by import GroupBy

from birdiedna.data import intervals
from birdiedna.data.intervals import Intervals
from birdiedna.evaluation import audit
from birdiedna.tasks import layouts, tables

_KEY = ["contig", "start", "end", "strand"]
_MARKS = ["overlapping", "covered", "copies", "conflicting_labels"]
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
    return [p for p in (path, *sorted(path.iterdir())) if has_intervals(p)]


def fingerprint(folder: Path) -> str:
    """The sha256 (hex) of names and contents of the interval files of a folder."""
    digest = hashlib.sha256()
    for name, path in _files(folder):
        digest.update(f"{name} {path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def of_folder(folder: Path | str) -> pl.DataFrame:
    """Audit interval files: one row per set, followed by its classes.

    Columns: set, class (`all` for the set), train, test (rows), repeats_train, repeats_test; and of
    test rows, against train rows of any class: overlapping (they share a base, on either strand),
    covered (at least half is in one train row), copies (equal in contig, start, end and strand),
    conflicting_labels (copies of a row of another class). ValueError if there are no interval
    tables, or a set has no train or test files; others as in `layouts.interval_sets` and
    `intervals.read_table`.
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
    known = train.group_by(_KEY).agg(known=pl.col("class").unique())
    others = pl.col("known").list.set_difference(pl.concat_list("class"))
    test = test.join(known, on=_KEY, how="left", maintain_order="left").with_columns(
        overlapping=pl.Series(shares > 0),
        covered=pl.Series(shares >= audit.HALF),
        copies=pl.col("known").is_not_null(),
        conflicting_labels=others.list.len() > 0,
    )
    repeats = pl.len() - pl.struct(_KEY).n_unique()
    counts = _by_class(test).agg(pl.len().alias("test"), pl.col(_MARKS).sum(), repeats_test=repeats)
    trained = _by_class(train).agg(train=pl.len(), repeats_train=repeats)
    both = trained.join(counts, on="class", how="full", coalesce=True).fill_null(0)
    columns = ("class", "train", "test", *_MARKS, "repeats_train", "repeats_test")
    return both.sort(pl.col("class") != "all", "class").select(pl.lit(name).alias("set"), *columns)


def _table(classes: Mapping[str, Path]) -> pl.DataFrame:
    """The rows of one split: contig, start, end, strand, class."""
    return pl.concat(
        pl.DataFrame([*intervals.read_table(path)], _KEY).with_columns(pl.lit(label).alias("class"))
        for label, path in classes.items()
    )


def _by_class(rows: pl.DataFrame) -> GroupBy:
    """The rows grouped by class, and all of them as the class `all`."""
    return pl.concat([rows.with_columns(pl.lit("all").alias("class")), rows]).group_by("class")


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
