"""Audit tasks: overlap between splits, leaks through files, and scores of trivial baselines.

A card describes one task. Row names (coordinates, labels) are used to find leaks and never reach a
model. `report` prints the cards and explains each number.
"""

import re
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from birdiedna import tasks, vocab
from birdiedna.data.chromosomes import HELD_OUT, chromosome
from birdiedna.data.genome import Contig, Genome, Split, contigs_named, stretches, without
from birdiedna.data.intervals import covered, of_names
from birdiedna.data.labelled import Labelled, either_strand, sequences
from birdiedna.data.names import quantity
from birdiedna.data.words import WORD, shared_words
from birdiedna.evaluation import baselines, leakage, metrics
from birdiedna.evaluation.leakage import HALF
from birdiedna.tasks import PARTS, Reading, Task, splits

#: Beyond this many standard deviations from a shuffled file, rows are sorted by label.
SORTED_LIMIT = 5.0
#: Titles of the baselines.
METHODS = {
    "letter": "one letter",
    "pairs": "pairs of letters",
    "gc": "GC share",
    "words": "5-mers",
}


#: A row of a table; None is unknown.
Entry = dict[str, Any]


class Card(NamedTuple):
    """Audit of a task; counts are of rows unless stated otherwise.

    parts: one entry per split. `by_class`; `gc`, mean share of G and C by class, and `gc_gap`, how
      far these are apart; `shortest` and `longest`, in bases; `unknown`, with N; `chromosomes` with
      their rows, None if unknown; `repeats` of an earlier row, `repeats_reverse_complement` of only
      its reverse complement; `sorted_by_label`, as the function of this name; `names_with_label`,
      named `...|label`; `pretrained`, with at least half of the bases (or words) in the
      pre-training contigs.
    pairs: one entry for each `split` and each earlier one, `against`; rows of the first. `copies`
      equal a row of the other, `copies_reverse_complement` only the reverse complement of one;
      `overlapping` share a base with one, `covered` have at least half inside one, both by
      coordinates; `near_duplicates` share at least half of their 31-base words with the other.
    baselines: one entry per method `who` of `METHODS`: its `rule` and its test scores, with the 95%
      bootstrap interval of the MCC over test rows, `low` to `high`.
    conflicting_labels: rows whose sequence also occurs with another label. pretrained_by: how rows
      were looked up in the pre-training contigs: coordinates, words, or None if not at all.
      remarks: how the rows were split.
    """

    task: str
    classes: int
    parts: list[Entry]
    pairs: list[Entry]
    conflicting_labels: int
    pretrained_by: str | None
    baselines: list[Entry]
    remarks: tuple[str, ...] = ()


class Pretraining(NamedTuple):
    """Pre-training data: a genome and those of its contigs that are read."""

    genome: Genome
    contigs: tuple[Contig, ...]


def of_folder(
    path: Path | str,
    genome: Genome | None = None,
    baselines: bool = True,
    reading: Reading = Reading(),
) -> list[Card]:
    """Audit every task of a folder, or a file of rows; prints each to standard error, as it begins.

    `genome` is the pre-training genome; its held-out chromosomes are left out. `baselines`, which
    take most of the time, may be skipped. Errors as in `tasks.read`.
    """
    read = None
    if genome:
        trained = (c for c in genome.contigs if chromosome(c.name) not in HELD_OUT)
        read = Pretraining(genome, tuple(trained))
    cards = []
    for name in tasks.names(path):
        task = tasks.read(tasks.find(path, name), reading)
        rows = sum(len(part.labels) for part in task.parts().values())
        print(f"{name}: auditing {quantity(rows, 'rows')}", file=sys.stderr, flush=True)
        cards.append(of_task(name, task, read, baselines))
    return cards


def of_task(
    name: str, task: Task, pretraining: Pretraining | None = None, baselines: bool = True
) -> Card:
    """Audit one task; rows seen in pre-training are looked up in `pretraining`."""
    parts = task.parts()
    by_place = pretraining is not None and _known_by_place(parts, pretraining)
    return Card(
        name,
        max(int(rows.labels.max()) for rows in parts.values()) + 1,
        [
            _part(split, rows, _pretrained(rows, pretraining, by_place))
            for split, rows in parts.items()
        ],
        [
            _pair(late, parts[late], early, parts[early])
            for i, late in enumerate(parts)
            for early in [*parts][:i]
        ],
        leakage.conflicting_labels([*parts.values()]),
        None if pretraining is None else "coordinates" if by_place else "words",
        _baselines(task.train, task.test) if baselines else [],
        tuple(task.notes.get("remarks", ())),
    )


def _known_by_place(parts: Mapping[str, Labelled], pretraining: Pretraining) -> bool:
    """Whether the coordinates of all rows are known and refer to the genome."""
    where = [of_names(rows.names) for rows in parts.values()]
    agree = [
        found and leakage.same_assembly(rows, found, pretraining.genome)
        for rows, found in zip(parts.values(), where, strict=True)
    ]
    return all(where) and True in agree and False not in agree


def _pretrained(rows: Labelled, pretraining: Pretraining | None, by_place: bool) -> int | None:
    if pretraining is None:
        return None
    return _half(leakage.in_contigs(rows, *pretraining, by_place))


def _half(shares: np.ndarray) -> int | None:
    """How many rows have at least half in common; None if no row is long enough for a word."""
    return None if np.isnan(shares).all() else int((shares >= HALF).sum())


def _part(split: str, rows: Labelled, pretrained: int | None) -> Entry:
    gc = baselines.gc_share(rows)
    counts = np.bincount(rows.labels)
    means = [_mean(gc[rows.labels == label]) for label in range(len(counts))]
    known = [mean for mean in means if not np.isnan(mean)]
    found = Counter(splits.chromosomes(rows.names)).most_common()
    repeats, either = (len(keys) - len({*keys}) for keys in (sequences(rows), either_strand(rows)))
    return {
        "split": split,
        "rows": len(rows.labels),
        "by_class": ", ".join(map(str, counts)),
        "gc": ", ".join(f"{mean:.3f}" for mean in means),
        "gc_gap": max(known, default=0.0) - min(known, default=0.0),
        "shortest": int(rows.lengths.min()),
        "longest": int(rows.lengths.max()),
        "unknown": int((rows.tokens == vocab.N).any(1).sum()),
        "chromosomes": ", ".join(f"{name} {count}" for name, count in found) or None,
        "repeats": repeats,
        "repeats_reverse_complement": either - repeats,
        "sorted_by_label": sorted_by_label(rows.labels),
        "names_with_label": sum(
            name.endswith(f"|{label}") for name, label in zip(rows.names, rows.labels)
        ),
        "pretrained": pretrained,
    }


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def sorted_by_label(labels: np.ndarray) -> float:
    """How far the order of labels is from a shuffled file, in standard deviations.

    The runs test of Wald and Wolfowitz for any number of classes (Mood 1940). Blocks of one class
    give large positive values, alternating classes negative ones; 0 for a single class.
    """
    n, sizes = len(labels), np.bincount(labels).astype(float)
    squares, cubes = (sizes**2).sum(), (sizes**3).sum()
    variance = squares * (squares + n * (n + 1)) - 2 * n * cubes - n**3
    if n < 2 or variance <= 0:
        return 0.0
    runs = 1 + np.count_nonzero(labels[1:] != labels[:-1])
    expected = (n * (n + 1) - squares) / n
    return float((expected - runs) / np.sqrt(variance / (n**2 * (n - 1))))


def _pair(split: str, rows: Labelled, against: str, others: Labelled) -> Entry:
    equal, reverse = leakage.copies(rows, others)
    where, others_where = of_names(rows.names), of_names(others.names)
    shares = covered(where, others_where) if where and others_where else None
    return {
        "split": split,
        "against": against,
        "rows": len(rows.labels),
        "copies": int(equal.sum()),
        "copies_reverse_complement": int(reverse.sum()),
        "overlapping": None if shares is None else int((shares > 0).sum()),
        "covered": None if shares is None else int((shares >= HALF).sum()),
        "near_duplicates": _half(shared_words(rows.tokens, [others.tokens])),
    }


def _baselines(train: Labelled, test: Labelled) -> list[Entry]:
    """Test scores of `METHODS`, fitted to the train rows; too short rows skip a method."""
    shortest = min(train.tokens.shape[1], test.tokens.shape[1])
    classes = max(int(train.labels.max()), int(test.labels.max())) + 1
    rules = {"letter": baselines.best_letter(train)}
    if shortest >= 2:
        rules["pairs"] = baselines.best_pairs(train)
    found = {
        who: (str(rule), np.eye(classes)[baselines.predict(rule, test.tokens)])
        for who, rule in rules.items()
    }
    found["gc"] = ("", baselines.gc_regression(train, test))
    if shortest >= 5:
        found["words"] = ("", baselines.kmer_regression(train, test))
    entries = []
    for who, (rule, predicted) in found.items():
        low, high = metrics.intervals(test.labels, predicted)["mcc"]
        scores = metrics.scores(test.labels, predicted)
        entries.append({"who": who, "rule": rule, **scores, "low": low, "high": high})
    return entries


def long(cards: Sequence[Card], field: str) -> pl.DataFrame:
    """One row per entry of `parts`, `pairs` or `baselines`: task, and the keys of the entry."""
    return _frame({"task": card.task} | entry for card in cards for entry in getattr(card, field))


def _frame(rows: Iterable[Entry]) -> pl.DataFrame:
    return pl.DataFrame([*rows], infer_schema_length=None)


def contigs(genome: Genome, split: Split, most: int = 24) -> pl.DataFrame:
    """The contigs of a genome, or parts of them: name, bases, N, longest stretch without N, use.

    Beyond the `most` longest, contigs are summed up in one line with their count.
    """
    titled = zip(("pre-training", "held-out loss", "never read"), split, strict=True)
    uses = {contig: use for use, names in titled for contig in contigs_named(genome, names)}
    uses |= dict.fromkeys(without(genome.contigs, [*uses]), "not used")
    rows = []
    for contig in sorted(uses, key=lambda contig: contig.start):
        known = np.diff(stretches(genome, contig), axis=1)
        unknown, longest = contig.length - int(known.sum()), int(known.max(initial=0))
        rows.append((contig.name, contig.length, unknown, longest, uses[contig]))
    every = pl.DataFrame(rows, ["contig", "bases", "N", "longest", "use"], orient="row")
    long = pl.col("bases").rank("ordinal", descending=True) <= most
    rest = every.filter(~long)
    summed = rest.select(
        pl.lit(f"{rest.height:,} shorter ones").alias("contig"),
        pl.col("bases", "N").sum(),
        pl.col("longest").max(),
        pl.col("use").unique().sort().str.join(", "),
    )
    return every if rest.is_empty() else pl.concat([every.filter(long), summed])


_ROWS = """
    classes: their number. bases: shortest to longest row. N: rows with N. GC: mean share of G and C
    by class, in the train rows; a gap is a shortcut. on: chromosomes, from the row names."""
_PAIR_HEADS = {"split": "rows of", "against": "in", "copies_reverse_complement": "rev. comp."}
_PAIR_HEADS |= {"overlapping": "overlap", "covered": "half", "near_duplicates": "near-dup."}
_SHARED = f"""
    Rows of the first split that the other also contains. copies: the same sequence. rev. comp.: its
    reverse complement. overlap: at least one base in common, by coordinates; half: {HALF:.0%} or
    more inside one row of the other. near-dup.: near-duplicates, {HALF:.0%} or more of whose
    31-base words occur in the other, which includes repeats of the genome. A dash: no
    coordinates, or no row of 31 bases."""
_FILES = f"""
    repeats: rows that equal an earlier one of their split, on either strand. sorted: by label, in
    standard deviations from a shuffled file; beyond {SORTED_LIMIT:.0f} the order reveals the label.
    named: rows whose name ends in `|label`; names never reach a model. read before: rows with
    {HALF:.0%} or more in the pre-training contigs, by coordinates if they are the genome's, else by
    31-base words, which includes repeats. conflicting: rows of the task whose sequence also occurs
    with another label."""
_METHODS = """
    MCC on the test rows (0: chance, 1: perfect) of simple methods, and their rules. one letter: the
    best letter at one position. pairs of letters: either of the two best pairs of neighbouring
    letters. Letters and positions (0 is the first base) are chosen on the train rows. GC share:
    logistic regression on the share of G and C. 5-mers: logistic regression on the shares of all
    words of five bases, with accuracy and F1 (of class 1; over more classes their mean)."""


def report(cards: Sequence[Card]) -> str:
    """The cards as text: up to four tables, each explained, then the findings."""
    pairs = long(cards, "pairs").drop("rows").rename(_PAIR_HEADS)
    files = long(cards, "parts").select(
        *("task", "split"),
        repeats=pl.col("repeats") + pl.col("repeats_reverse_complement"),
        sorted=pl.col("sorted_by_label").map_elements("{:+.1f}".format, pl.String),
        named="names_with_label",
        **{"read before": "pretrained"},
        conflicting=pl.col("task").replace_strict({c.task: c.conflicting_labels for c in cards}),
    )
    sections = [
        section("ROWS", _frame([_row_line(card) for card in cards]), _ROWS),
        section("SHARED BETWEEN SPLITS", pairs, _SHARED),
        section("LEAKS IN THE FILES", files, _FILES),
    ]
    if any(card.baselines for card in cards):
        methods = _frame([_method_line(card) for card in cards])
        sections.append(section("SOLVED WITHOUT A MODEL", methods, _METHODS))
    found = [": ".join(row) for row in findings(cards).iter_rows()]
    listed = "\n".join(textwrap.fill(line, 100, subsequent_indent="  ") for line in found)
    return "\n\n".join([*sections, "FINDINGS\n" + (listed or "none")])


def _row_line(card: Card) -> Entry:
    rows = {part["split"]: part["rows"] for part in card.parts}
    first, last = card.parts[0], card.parts[-1]
    shortest = min(part["shortest"] for part in card.parts)
    longest = max(part["longest"] for part in card.parts)
    return {
        "task": card.task,
        "classes": card.classes,
        **{head: rows.get(split) for head, split in zip(("train", "valid.", "test"), PARTS)},
        "bases": f"{shortest}" if shortest == longest else f"{shortest}-{longest}",
        "N": sum(part["unknown"] for part in card.parts),
        "GC": first["gc"].replace("0.", ".").replace(",", ""),
        "train on": _some(chromosomes(first)) or "unknown",
        "test on": _some(chromosomes(last)) or "unknown",
    }


def _method_line(card: Card) -> Entry:
    line: Entry = {"task": card.task} | dict.fromkeys(METHODS.values())
    for one in card.baselines:
        rule = one["rule"].replace(" or ", ", ")
        line[METHODS[one["who"]]] = f"{one['mcc']:.2f} {rule}".rstrip()
        if one["who"] == "words":
            line |= {"acc.": f"{one['accuracy']:.1%}", "F1": f"{one['f1']:.1%}"}
    return line


def chromosomes(part: Entry) -> list[str]:
    """The chromosomes of an entry of `parts`, most rows first."""
    return [each.rpartition(" ")[0] for each in (part["chromosomes"] or "").split(", ") if each]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 2 else f"{len(names)} chromosomes"


def section(title: str, table: pl.DataFrame, explained: str) -> str:
    """A table for a terminal, with title and explanation.

    Null is a dash; text is left-aligned, numbers are right-aligned.
    """
    aligned = []
    for column in table:
        cells = ["-" if v is None else f"{v:,}" if isinstance(v, int) else v for v in column]
        numbers = all(re.fullmatch(r"[-+.,%\d]*", cell) for cell in cells)
        form = f"{'>' if numbers else '<'}{max(map(len, (column.name, *cells)))}"
        aligned.append([format(cell, form) for cell in (column.name, *cells)])
    lines = "\n".join("  ".join(row).rstrip() for row in zip(*aligned, strict=True))
    return f"{title}\n{lines}\n{textwrap.fill(' '.join(explained.split()), 100)}"


def findings(cards: Sequence[Card]) -> pl.DataFrame:
    """Problems that affect the scores: columns task and finding; no row if there is none."""
    found = [(card.task, sentence) for card in cards for sentence in _sentences(card)]
    return pl.DataFrame(found, {"task": pl.String, "finding": pl.String}, orient="row")


#: Findings about a pair of splits; {} is the split that rows are compared with.
_PAIR_FINDINGS = {
    "copies": "are a copy of a {} row",
    "copies_reverse_complement": "are the reverse complement of a {} row",
    "overlapping": "overlap a {} row",
    "covered": "have half or more of the bases in one {} row",
    "near_duplicates": "share half or more of the 31-base words with {} rows",
}


def _sentences(card: Card) -> Iterator[str]:
    yield from card.remarks
    parts = {part["split"]: part for part in card.parts}
    for pair in card.pairs:
        split, against = pair["split"], pair["against"]
        for key, text in _PAIR_FINDINGS.items():
            if count := pair[key]:
                yield quantity(count, f"of {pair['rows']:,} {split} rows {text.format(against)}")
        if both := {*chromosomes(parts[split])} & {*chromosomes(parts[against])}:
            yield f"{split} and {against} rows are both on {_some(sorted(both))}"
    if card.conflicting_labels:
        what = "rows whose sequence also occurs with another label"
        yield quantity(card.conflicting_labels, what)
    for split, part in parts.items():
        rows = f"of {part['rows']:,} {split} rows"
        if repeats := part["repeats"] + part["repeats_reverse_complement"]:
            yield quantity(repeats, f"{rows} repeat an earlier one")
        if part["shortest"] < WORD:
            some = "all" if part["longest"] < WORD else "some"
            yield f"{some} {split} rows have fewer than {WORD} bases, too few for near-duplicates"
        if abs(part["sorted_by_label"]) > SORTED_LIMIT:
            yield f"the order of the {split} rows reveals their label"
        if (seen := part["pretrained"]) and split != "train":
            what = "bases" if card.pretrained_by == "coordinates" else "31-base words"
            found = f"{rows} have half or more of the {what} in the pre-training contigs"
            yield quantity(seen, found)
    methods = {method["who"]: method for method in card.baselines}
    pairs, words = methods.get("pairs"), methods.get("words")
    if pairs and words and pairs["low"] > max(words["high"], 0):
        yield (
            f"{pairs['rule']} gives MCC {pairs['mcc']:.2f}, more than 5-mers ({words['mcc']:.2f}): "
            "the site is at a fixed position"
        )
