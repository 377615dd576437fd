"""The audit of tasks: what their splits share, what the files tell, how little solves them.

`of_folder` counts the tasks of a folder, `of_intervals` the interval files of Genomic Benchmarks;
`report` says in words what each number is.
"""

import hashlib
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from birdiedna import tasks
from birdiedna.data import intervals
from birdiedna.data.chromosomes import chromosome
from birdiedna.data.genome import HELD_OUT, Contig, Genome, Split, stretches
from birdiedna.data.intervals import Intervals
from birdiedna.evaluation import audit, leakage
from birdiedna.evaluation.audit import Card, Pretraining
from birdiedna.tasks import Task, layouts

_PAIRS = (("test", "train"), ("validation", "train"), ("test", "validation"))
_HALF = f"{audit.HALF:.0%}"
_ROWS = """
    classes: how many. bases: shortest to longest row. N: rows that hold N. GC: mean share of G and
    C by class, in the training rows; a gap is a cheap cue. on: chromosomes by the rows' names."""
_SHARED = f"""
    Rows of the first split that the other holds too. copies: the same letters. opposite: the same
    on the other strand. overlap: at least one base in common by coordinates; half: {_HALF} or more
    of it inside one row of the other. akin: {_HALF} or more of its 31-base words occur in the
    other, wherever they come from, so also repeats of the genome. A dash: no coordinates."""
_TOLD = f"""
    repeats: rows that equal an earlier one of their split, on either strand. order: how often
    neighbours in the file have one label, in standard deviations from a shuffled file; beyond
    {audit.ORDER_LIMIT:.0f} the order tells the label. named: rows whose name ends in `|label`;
    names never reach a model. read before: rows of which {_HALF} or more lies in the contigs that
    a model is pre-trained on, by coordinates if they are the genome's, else by words of 31 bases,
    where repeats count too. conflicts: rows of the task whose sequence also stands with another
    label."""
_FLOORS = """
    MCC on the test rows (0: knows nothing, 1: perfect) of methods that read little. one letter:
    the best letter at one place. two pairs: either of the two best pairs of neighbouring letters.
    Both and their places (0 is the first base) are chosen on the training rows. GC: logistic
    regression on the share of G and C. 5-mers: on the shares of all words of five bases, with its
    accuracy and F1."""
_INTERVALS = f"""
    Test rows against all training rows. overlap: at least one base in common. half: {_HALF} or
    more inside one training row. copies: contig, start, end and strand are those of a training
    row. conflicts: of a training row of another class. repeats: rows that equal an earlier one."""


def describe(frame: pl.DataFrame) -> str:
    """The audit of a folder of tasks as text: four tables, each explained, then the findings."""
    rows = frame.to_dicts()
    parts = [
        _section("ROWS", text(_ROW_HEADS, [_row_line(row) for row in rows]), _ROWS),
        _section("SHARED BETWEEN SPLITS", text(_PAIR_HEADS, _pair_lines(rows)), _SHARED),
        _section("TOLD BY THE FILES", text(_TOLD_HEADS, _told_lines(rows)), _TOLD),
    ]
    if any(row["letter_mcc"] is not None for row in rows):
        solved = text(_FLOOR_HEADS, [_floor_line(row) for row in rows])
        parts.append(_section("SOLVED WITHOUT A MODEL", solved, _FLOORS))
    found = findings(frame).iter_rows()
    listed = "\n".join(textwrap.fill(": ".join(row), 100, subsequent_indent="  ") for row in found)
    return "\n\n".join([*parts, "FINDINGS\n" + (listed or "none")])


def describe_intervals(frame: pl.DataFrame) -> str:
    """The audit of interval files as text: one table, explained."""
    heads = ["set", "class", "train", "test", "overlap", "half", "copies", "conflicts"]
    heads += ["repeats: train", "test"]
    lines = [
        [row["set"] if row["class"] == "all" else "", row["class"], row["train"], row["test"]]
        + [_percent(row[name], row["test"]) for name in ("overlapping", "covered", "copies")]
        + [row["conflicts"], row["repeats_train"], row["repeats_test"]]
        for row in frame.to_dicts()
    ]
    return _section("SHARED BETWEEN SPLITS", text(heads, lines), _INTERVALS)


def _section(title: str, table: str, explained: str) -> str:
    return f"{title}\n{table}\n{textwrap.fill(' '.join(explained.split()), 100)}"


def findings(frame: pl.DataFrame) -> pl.DataFrame:
    """What a reader of the scores should know: columns task and finding, no row if all is well."""
    found = [
        {"task": row["task"], "finding": sentence}
        for row in frame.to_dicts()
        for sentence in (*_between(row), *_inside(row), *_easy(row))
    ]
    return pl.DataFrame(found, schema={"task": pl.String, "finding": pl.String})


def _between(row: dict[str, Any]) -> Iterable[str]:
    """Sentences on what two splits share."""
    words = {
        "copies": "are copies of a {} row",
        "copies_opposite": "are the reverse complement of a {} row",
        "overlapping": "overlap a {} row",
        "covered": "lie to half or more in one {} row",
        "akin": "share half or more of their 31-base words with {} rows",
    }
    for split, against in _PAIRS:
        for name, sentence in words.items():
            if count := row[f"{split}_{against}_{name}"]:
                yield f"{_of(count, row[f'{split}_rows'])} {split} rows {sentence.format(against)}"
        both = sorted({*_names(row, split)} & {*_names(row, against)})
        if both:
            yield f"{split} and {against} rows both lie on {_some(both)}"


def _inside(row: dict[str, Any]) -> Iterable[str]:
    """Sentences on one split, its file, and what was read in pre-training."""
    if row["conflicts"]:
        yield f"{row['conflicts']:,} rows have a sequence that also stands with another label"
    for split in ("train", "validation", "test"):
        if row[f"{split}_rows"] is None:
            continue
        if count := row[f"{split}_repeats"] + row[f"{split}_repeats_opposite"]:
            yield f"{_of(count, row[f'{split}_rows'])} {split} rows repeat an earlier one"
        if abs(row[f"{split}_order"]) > audit.ORDER_LIMIT:
            yield f"the {split} rows stand in an order that tells their label"
        if split != "train" and (count := row[f"{split}_pretrained"]):
            told = "lie" if row["pretrained_by"] == "coordinates" else "have their 31-base words"
            rows = f"{_of(count, row[f'{split}_rows'])} {split} rows"
            yield f"{rows} {told} to half or more in the pre-training contigs"


def _easy(row: dict[str, Any]) -> Iterable[str]:
    """A sentence if letters at fixed places do better than counting words."""
    if row["pairs_mcc"] is None or row["words_mcc"] is None:
        return
    if row["pairs_low"] > row["words_high"]:
        yield (
            f"{row['pairs_rule']} gives MCC {row['pairs_mcc']:.2f}, more than counted words "
            f"({row['words_mcc']:.2f}): the site stands at a fixed place"
        )


def _of(count: int, rows: int) -> str:
    return f"{count:,} of {rows:,}"


def _names(row: dict[str, Any], split: str) -> list[str]:
    """The chromosomes of a split, the commonest first."""
    held = row[f"{split}_chromosomes"]
    return [part.rsplit(" ", 1)[0] for part in held.split(", ")] if held else []


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 2 else f"{len(names)} chromosomes"


_ROW_HEADS = [
    "task",
    "classes",
    "train",
    "valid.",
    "test",
    "bases",
    "N",
    "GC",
    "train on",
    "test on",
]


def _row_line(row: dict[str, Any]) -> list[Any]:
    splits = [split for split in ("train", "validation", "test") if row[f"{split}_rows"]]
    shortest = min(row[f"{split}_shortest"] for split in splits)
    longest = max(row[f"{split}_longest"] for split in splits)
    gc = " ".join(value.removeprefix("0") for value in row["train_gc"].split(", "))
    return [
        *(row["task"], row["classes"], row["train_rows"], row["validation_rows"], row["test_rows"]),
        f"{shortest}" if shortest == longest else f"{shortest}-{longest}",
        sum(row[f"{split}_unknown"] for split in splits),
        gc,
        *(_some(_names(row, split)) or "unknown" for split in ("train", "test")),
    ]


_PAIR_HEADS = ["task", "rows of", "in", "copies", "opposite", "overlap", "half", "akin"]


def _pair_lines(rows: Sequence[dict[str, Any]]) -> list[list[Any]]:
    fields = ("copies", "copies_opposite", "overlapping", "covered", "akin")
    return [
        [row["task"], split, against, *(row[f"{split}_{against}_{name}"] for name in fields)]
        for row in rows
        for split, against in _PAIRS
        if row[f"{split}_{against}_copies"] is not None
    ]


_TOLD_HEADS = ["task", "split", "repeats", "order", "named", "read before", "conflicts"]


def _told_lines(rows: Sequence[dict[str, Any]]) -> list[list[Any]]:
    lines = []
    for row in rows:
        for split in ("train", "validation", "test"):
            if row[f"{split}_rows"] is not None:
                repeats = row[f"{split}_repeats"] + row[f"{split}_repeats_opposite"]
                told = [f"{row[f'{split}_order']:+.1f}", row[f"{split}_named"]]
                whole = row["conflicts"] if split == "train" else ""
                seen = row[f"{split}_pretrained"]
                lines.append([row["task"], split, repeats, *told, seen, whole])
    return lines


_FLOOR_HEADS = ["task", "one letter", "MCC", "two pairs", "MCC", "GC", "5-mers", "acc.", "F1"]


def _floor_line(row: dict[str, Any]) -> list[Any]:
    numbers = {name: _decimal(row[f"{name}_mcc"]) for name in audit.FLOORS}
    scores = [_percent(row[f"words_{name}"], 1) for name in ("accuracy", "f1")]
    pairs = (row["pairs_rule"] or "").replace(" or ", ", ")
    letters = [row["letter_rule"], numbers["letter"], pairs, numbers["pairs"]]
    return [row["task"], *letters, numbers["gc"], numbers["words"], *scores]


def _decimal(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def _percent(count: float | None, rows: int) -> str | None:
    return None if count is None else f"{count / rows:.1%}"


def text(heads: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """A table for a terminal; None is a dash, words stand left and numbers right."""
    cells = [
        ["-" if v is None else f"{v:,}" if isinstance(v, int) else str(v) for v in line]
        for line in lines
    ]
    columns = [list(column) for column in zip(heads, *cells, strict=True)]
    aligned = []
    for head, *values in columns:
        width = max(len(head), *map(len, values), 0)
        numbers = all(re.fullmatch(r"[-+.,%\d]*", value) for value in values)
        aligned.append([v.rjust(width) if numbers else v.ljust(width) for v in (head, *values)])
    return "\n".join("  ".join(row).rstrip() for row in zip(*aligned, strict=True))


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
      FileNotFoundError, ValueError: as `tasks.find` and `tasks.read`.
    """
    read = Pretraining(genome, pretraining_contigs(genome)) if genome else None
    return frame(
        card(name, tasks.read(tasks.find(path, name)), read, baselines)
        for name in tasks.names(path)
    )


def pretraining_contigs(genome: Genome) -> tuple[Contig, ...]:
    """The contigs that may be pre-trained on: all but those of the held-out chromosomes."""
    return tuple(c for c in genome.contigs if chromosome(c.name) not in HELD_OUT)


def card(
    name: str, task: Task, pretraining: Pretraining | None = None, baselines: bool = True
) -> Card:
    """The card of a task as `tasks.read` gives it."""
    return audit.of_task(name, task.parts(), pretraining, baselines)


def frame(found: Sequence[Card]) -> pl.DataFrame:
    """One row a task: `<split>_...` counts a split, `<split>_<other>_...` what two share.

    Columns of a split: the fields of `audit.Part`; of two: those of `audit.Pair`; of a method
    without a model (`letter_`, `pairs_`, `gc_`, `words_`): those of `audit.Floor`. What is not
    known or not there is null.
    """
    return pl.DataFrame([_row(card) for card in found], infer_schema_length=None)


def _row(card: Card) -> dict[str, Any]:
    row: dict[str, Any] = {"task": card.task, "classes": card.classes}
    parts = {part.split: part for part in card.parts}
    pairs = {(pair.split, pair.against): pair for pair in card.pairs}
    floors = {floor.who: floor for floor in card.floors}
    for split in tasks.PARTS:
        row |= _named(split, audit.Part, parts.get(split), ("split",))
    row |= {"conflicts": card.conflicts, "pretrained_by": card.pretrained_by}
    for pair in _PAIRS:
        row |= _named("_".join(pair), audit.Pair, pairs.get(pair), ("split", "against", "rows"))
    for who in audit.FLOORS:
        row |= _named(who, audit.Floor, floors.get(who), ("who",))
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
        return describe_intervals(audited)
    return describe(audited)


def parts(audited: Sequence[Card]) -> pl.DataFrame:
    """One row for each split of each task: task, and the fields of `audit.Part`."""
    return _long(audited, "parts")


def pairs(audited: Sequence[Card]) -> pl.DataFrame:
    """One row for each two splits of each task: task, and the fields of `audit.Pair`."""
    return _long(audited, "pairs")


def floors(audited: Sequence[Card]) -> pl.DataFrame:
    """One row for each method without a model on each task: task, the fields of `audit.Floor`."""
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
    return findings(audited)


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
        sets = layouts.interval_sets(folder)
        parts = [part for splits in sets.values() for part in splits.values()]
        heads = [_header(path) for classes in parts for path in classes.values()]
    except (ValueError, OSError):
        return False
    return bool(heads) and all({"region", "start", "end"} <= {*head} for head in heads)


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
    for name, splits in layouts.interval_sets(folder).items():
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
      ValueError: no interval tables, a set without train or test files, and as in
        `layouts.interval_sets` and `intervals.read_table`.
    """
    sets = layouts.interval_sets(Path(folder))
    if not sets:
        raise ValueError(f"{folder} holds no tables <set>.<split>.<class>.csv.gz; give another")
    return pl.concat(_of_set(name, splits) for name, splits in sets.items())


def _of_set(name: str, splits: Mapping[str, Mapping[str, Path]]) -> pl.DataFrame:
    if missing := [split for split in ("train", "test") if split not in splits]:
        raise ValueError(f"set {name!r} has no {missing[0]} files; get them too")
    train, test = (_table(splits[split]) for split in ("train", "test"))
    shares = leakage.covered(_intervals(test), _intervals(train))
    known = train.select(*_KEY, known="class").unique()
    same = test.join(known, on=_KEY, how="inner")
    other = same.filter(pl.col("class") != pl.col("known"))
    test = test.with_columns(
        overlapping=pl.Series(shares > 0),
        covered=pl.Series(shares >= audit.HALF),
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
