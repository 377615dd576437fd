"""The audit of tasks: what their splits share, what the files tell, how little solves them.

`of_folder` counts the tasks of a folder, `of_intervals` the interval files of Genomic Benchmarks;
`report` says in words what each number is.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from birdiedna import intervals, tasks
from birdiedna.audit import cards, findings, leaks
from birdiedna.audit.cards import Card, Pretraining
from birdiedna.chromosomes import chromosome
from birdiedna.genome import HELD_OUT, Contig, Genome, Split, stretches
from birdiedna.intervals import Intervals
from birdiedna.tasks import Loaded

_PAIRS = (("test", "train"), ("validation", "train"), ("test", "validation"))
_KEY = ["contig", "start", "end", "strand"]


def of_folder(
    path: Path | str, genome: Genome | None = None, baselines: bool = True
) -> pl.DataFrame:
    """Audit every task of a folder: one row a task, as `frame` makes it.

    Args:
      path: a folder of tasks, or a file of rows.
      genome: what a model is pre-trained on; chr20 to chr22 are left out of it.
      baselines: also score the methods without a model, which takes most of the time.

    Raises:
      FileNotFoundError, ValueError: as `tasks.load`.
    """
    read = Pretraining(genome, pretraining_contigs(genome)) if genome else None
    return frame(
        [card(name, tasks.load(path, name), read, baselines) for name in tasks.names(path)]
    )


def pretraining_contigs(genome: Genome) -> tuple[Contig, ...]:
    """The contigs that may be pre-trained on: all but those of the held-out chromosomes."""
    return tuple(c for c in genome.contigs if chromosome(c.name) not in HELD_OUT)


def card(
    name: str, loaded: Loaded, pretraining: Pretraining | None = None, baselines: bool = True
) -> Card:
    """The card of a task as `tasks.load` gives it."""
    rows = zip(tasks.PARTS, loaded[:3], strict=True)
    parts = {split: part for split, part in rows if part is not None}
    return cards.of_task(name, parts, pretraining, baselines)


def frame(found: Sequence[Card]) -> pl.DataFrame:
    """One row a task: `<split>_...` counts a split, `<split>_<other>_...` what two share.

    Columns of a split: the fields of `cards.Part`; of two: those of `cards.Pair`; of a method
    without a model (`letter_`, `pairs_`, `gc_`, `words_`): those of `cards.Floor`. What is not
    known or not there is null.
    """
    return pl.DataFrame([_row(card) for card in found], infer_schema_length=None)


def _row(card: Card) -> dict[str, Any]:
    row: dict[str, Any] = {"task": card.task, "classes": card.classes}
    parts = {part.split: part for part in card.parts}
    pairs = {(pair.split, pair.against): pair for pair in card.pairs}
    floors = {floor.who: floor for floor in card.floors}
    for split in tasks.PARTS:
        row |= _named(split, cards.Part, parts.get(split), ("split",))
    row |= {"conflicts": card.conflicts, "pretrained_by": card.pretrained_by}
    for pair in _PAIRS:
        row |= _named("_".join(pair), cards.Pair, pairs.get(pair), ("split", "against", "rows"))
    for who in cards.FLOORS:
        row |= _named(who, cards.Floor, floors.get(who), ("who",))
    return row


def _named(prefix: str, kind: type, entry: Any, left_out: Sequence[str]) -> dict[str, Any]:
    """The fields of a record as columns; all null if there is none."""
    values = asdict(entry) if entry else dict.fromkeys(kind.__dataclass_fields__)
    return {f"{prefix}_{k}": _flat(v) for k, v in values.items() if k not in left_out}


def _flat(value: Any) -> Any:
    """A value that a table can hold: several values become text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or None
    if isinstance(value, tuple):
        return ", ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in value)
    return value


def report(audited: pl.DataFrame) -> str:
    """An audit as text, each column explained: of tasks (`frame`) or of interval files."""
    if "set" in audited.columns:
        return findings.of_intervals(audited)
    return findings.report(audited)


def parts(audited: Sequence[Card]) -> pl.DataFrame:
    """One row for each split of each task: task, and the fields of `cards.Part`."""
    return _long(audited, "parts")


def pairs(audited: Sequence[Card]) -> pl.DataFrame:
    """One row for each two splits of each task: task, and the fields of `cards.Pair`."""
    return _long(audited, "pairs")


def floors(audited: Sequence[Card]) -> pl.DataFrame:
    """One row for each method without a model on each task: task, the fields of `cards.Floor`."""
    return _long(audited, "floors")


def _long(audited: Sequence[Card], field: str) -> pl.DataFrame:
    rows = [
        {"task": card.task} | {name: _flat(value) for name, value in asdict(entry).items()}
        for card in audited
        for entry in getattr(card, field)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def found(audited: pl.DataFrame) -> pl.DataFrame:
    """What a reader of scores should know of audited tasks: columns task and finding."""
    return findings.findings(audited)


def contigs(genome: Genome, split: Split, most: int = 24) -> pl.DataFrame:
    """The contigs of a genome: name, bases, N, longest stretch without N, and what they serve for.

    Of more than `most` contigs the shorter ones stand in one line, which names how many they are.
    """
    serve = {"pre-training": split.train, "held-out loss": split.validation}
    serve |= {"never read": split.held_out}
    of = {name: part for part, names in serve.items() for name in names}
    rows = [_contig(genome, contig, of.get(contig.name, "not used")) for contig in genome.contigs]
    longest = sorted(range(len(rows)), key=lambda i: -rows[i]["bases"])[:most]
    shown = [rows[i] for i in sorted(longest)]
    if rest := [row for i, row in enumerate(rows) if i not in longest]:
        last = {"contig": f"{len(rest):,} shorter ones", "longest": max(r["longest"] for r in rest)}
        last |= {name: sum(row[name] for row in rest) for name in ("bases", "N")}
        shown.append(last | {"use": ", ".join(sorted({row["use"] for row in rest}))})
    return pl.DataFrame(shown)


def _contig(genome: Genome, contig: Contig, use: str) -> dict[str, Any]:
    edges = stretches(genome, contig)
    sizes = edges[:, 1] - edges[:, 0]
    unknown = contig.length - int(sizes.sum())
    named = {"contig": contig.name, "bases": contig.length, "N": unknown}
    return named | {"longest": int(sizes.max(initial=0)), "use": use}


def has_intervals(folder: Path) -> bool:
    """Whether a folder holds the interval tables of a benchmark, by names and header lines."""
    try:
        sets = intervals.sets(folder)
        parts = [part for splits in sets.values() for part in splits.values()]
        heads = [_header(path) for classes in parts for path in classes.values()]
    except (ValueError, OSError):
        return False
    return all({"region", "start", "end"} <= {*head} for head in heads)


def _header(path: Path) -> list[str]:
    return next(intervals.lines(path, "csv"))[1].split(",")


def interval_folders(path: Path) -> list[Path]:
    """The folders with interval tables: this one, or those right below it."""
    if not path.is_dir():
        return []
    return [p for p in (path, *sorted(path.iterdir())) if p.is_dir() and has_intervals(p)]


def interval_fingerprint(folder: Path) -> str:
    """sha256 (hex) of the interval files of a folder, with their names."""
    digest = hashlib.sha256()
    for name, splits in intervals.sets(folder).items():
        for path in (path for classes in splits.values() for path in classes.values()):
            digest.update(f"{name} {path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def of_intervals(folder: Path | str) -> pl.DataFrame:
    """Audit interval files: a row for each set, then one for each of its classes.

    Test rows are compared with all training rows, of whatever class. Strands are ignored but for
    copies and repeats, which are equal in contig, start, end and strand.

    Returns:
      set, class (`all` for the set), train, test (rows), overlapping (test rows that share a base
      with a training row), covered (of which one training row covers half or more), copies,
      conflicts (copies of a training row of another class), repeats_train, repeats_test.

    Raises:
      FileNotFoundError, ValueError: as `intervals.sets` and `intervals.read_table`, or a set
        without train or test files.
    """
    return pl.concat(_of_set(name, splits) for name, splits in intervals.sets(folder).items())


def _of_set(name: str, splits: Mapping[str, Mapping[str, Path]]) -> pl.DataFrame:
    if missing := [split for split in ("train", "test") if split not in splits]:
        raise ValueError(f"set {name!r} has no {missing[0]} files; get them too")
    train, test = (_table(splits[split]) for split in ("train", "test"))
    shares = leaks.covered(_intervals(test), _intervals(train))
    known = train.select(*_KEY, known="class").unique()
    same = test.join(known, on=_KEY, how="inner")
    other = same.filter(pl.col("class") != pl.col("known"))
    test = test.with_columns(
        overlapping=pl.Series(shares > 0),
        covered=pl.Series(shares >= cards.HALF),
        copies=pl.col("row").is_in(same["row"].implode()),
        conflicts=pl.col("row").is_in(other["row"].implode()),
    )
    classes = sorted({*train["class"].unique(), *test["class"].unique()})
    whole = [_counted(name, "all", train, test)]
    return pl.DataFrame(whole + [_counted(name, c, *_of_class(c, train, test)) for c in classes])


def _table(classes: Mapping[str, Path]) -> pl.DataFrame:
    """The rows of one split: class, contig, start, end, strand, and their number."""
    read = {label: intervals.read_table(path) for label, path in classes.items()}
    frames = [
        pl.DataFrame(dict(zip(_KEY, found, strict=True))).with_columns(pl.lit(label).alias("class"))
        for label, found in read.items()
    ]
    return pl.concat(frames).with_row_index("row")


def _intervals(table: pl.DataFrame) -> Intervals:
    return Intervals(*(table[column].to_numpy() for column in _KEY))


def _of_class(label: str, *tables: pl.DataFrame) -> list[pl.DataFrame]:
    return [table.filter(pl.col("class") == label) for table in tables]


def _counted(name: str, label: str, train: pl.DataFrame, test: pl.DataFrame) -> dict[str, Any]:
    marks = ("overlapping", "covered", "copies", "conflicts")
    return (
        {"set": name, "class": label, "train": train.height, "test": test.height}
        | {mark: int(test[mark].sum()) for mark in marks}
        | {"repeats_train": train.height - train.select(_KEY).n_unique()}
        | {"repeats_test": test.height - test.select(_KEY).n_unique()}
    )
