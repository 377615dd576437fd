"""What an audit found, in words: tables for a terminal, and a sentence for each thing to know.

Both read frames as `audit.frame` and `audit.of_intervals` make them.
"""

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from birdiedna.audit import cards

_PAIRS = (("test", "train"), ("validation", "train"), ("test", "validation"))
_HALF = f"{cards.HALF:.0%}"
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
    {cards.ORDER_LIMIT:.0f} the order tells the label. named: rows whose name ends in `|label`;
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


def report(frame: pl.DataFrame) -> str:
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


def of_intervals(frame: pl.DataFrame) -> str:
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
        if abs(row[f"{split}_order"]) > cards.ORDER_LIMIT:
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
    numbers = {name: _decimal(row[f"{name}_mcc"]) for name in cards.FLOORS}
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
