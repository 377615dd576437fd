"""The audit of tasks: what their splits share, what the files tell, how little solves them.

A card is counted from the rows of one task. What names and files say (coordinates, labels) is used
to find leaks and never shown to a model. `report` is the cards as text, each number explained.
"""

import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from birdiedna import tasks, vocab
from birdiedna.data.chromosomes import HELD_OUT, chromosome
from birdiedna.data.genome import Contig, Genome, Split, contigs_named, stretches, without
from birdiedna.data.intervals import covered, of_names
from birdiedna.data.labelled import Labelled, either_strand, sequences
from birdiedna.data.words import shared_words
from birdiedna.evaluation import baselines, leakage, metrics
from birdiedna.tasks import PARTS, Reading, Task, splits

#: From this share on, a row counts as covered, as a near-duplicate, or as read in pre-training.
HALF = 0.5
#: Beyond this many standard deviations from a shuffled file, rows are sorted by label.
SORTED_LIMIT = 5.0
#: The methods without a model, by title.
METHODS = {
    "letter": "one letter",
    "pairs": "two pairs of letters",
    "gc": "GC share",
    "words": "5-mers",
}


@dataclass(frozen=True)
class Part:
    """One split (train, validation or test), in rows unless said otherwise."""

    split: str
    rows: int
    by_class: tuple[int, ...]
    gc: tuple[float, ...]  # mean share of G and C, by class
    shortest: int  # bases of a row
    longest: int
    unknown: int  # contain N
    chromosomes: Mapping[str, int]  # empty if the names do not say
    repeats: int  # equal an earlier row
    repeats_reverse_complement: int  # only their reverse complement does
    sorted_by_label: float  # as the function of this name
    names_with_label: int  # named `...|label`
    pretrained: int | None  # half or more (by words: of the words) is in the pre-training contigs


@dataclass(frozen=True)
class Pair:
    """What the rows of one split share with another, in rows of the first."""

    split: str
    against: str
    rows: int
    copies: int  # equal to a row of the other
    copies_reverse_complement: int  # only to the reverse complement of one
    overlapping: int | None  # share a base with one by coordinates; None without these
    covered: int | None  # half or more is inside a single one
    near_duplicates: int  # half or more of the 31-base words occur in the other, wherever


@dataclass(frozen=True)
class Baseline:
    """A method without a model: who (of `METHODS`), its rule in words, and its test scores.

    `low` and `high` are the 95% bootstrap interval of the MCC over test rows.
    """

    who: str
    rule: str
    accuracy: float
    f1: float
    mcc: float
    low: float
    high: float


@dataclass(frozen=True)
class Card:
    """All that is counted about a task.

    `conflicting_labels` are rows whose sequence occurs with another label too; `pretrained_by` says
    how rows were looked up in the pre-training contigs: coordinates, words, or None if not at all;
    `remarks` say how the rows were divided.
    """

    task: str
    classes: int
    parts: tuple[Part, ...]
    pairs: tuple[Pair, ...]
    conflicting_labels: int
    pretrained_by: str | None
    baselines: tuple[Baseline, ...]
    remarks: tuple[str, ...] = ()


class Pretraining(NamedTuple):
    """What a model is pre-trained on: a genome and those of its contigs that are read."""

    genome: Genome
    contigs: tuple[Contig, ...]


def of_folder(
    path: Path | str,
    genome: Genome | None = None,
    baselines: bool = True,
    reading: Reading = Reading(),
) -> list[Card]:
    """The cards of every task of a folder, or of a file of rows.

    `genome` is what a model is pre-trained on, held-out chromosomes left out. The methods without a
    model take most of the time; `baselines` says whether they are scored. Errors as `tasks.read`.
    """
    read = None
    if genome:
        trained = (c for c in genome.contigs if chromosome(c.name) not in HELD_OUT)
        read = Pretraining(genome, tuple(trained))
    named = ((name, tasks.read(tasks.find(path, name), reading)) for name in tasks.names(path))
    return [of_task(name, task, read, baselines) for name, task in named]


def of_task(
    name: str, task: Task, pretraining: Pretraining | None = None, baselines: bool = True
) -> Card:
    """The card of one task; in `pretraining`, rows that a model has read before are looked up."""
    parts = task.parts()
    by_place = pretraining is not None and _known_by_place(parts, pretraining)
    return Card(
        name,
        max(int(rows.labels.max()) for rows in parts.values()) + 1,
        tuple(
            _part(split, rows, _pretrained(rows, pretraining, by_place))
            for split, rows in parts.items()
        ),
        tuple(
            _pair(late, parts[late], early, parts[early])
            for i, late in enumerate(parts)
            for early in [*parts][:i]
        ),
        leakage.conflicting_labels([*parts.values()]),
        None if pretraining is None else "coordinates" if by_place else "words",
        _baselines(task.train, task.test) if baselines else (),
        tuple(task.notes.get("remarks", ())),
    )


def _known_by_place(parts: Mapping[str, Labelled], pretraining: Pretraining) -> bool:
    """Whether the coordinates of all rows are known and are those of the genome."""
    where = [of_names(rows.names) for rows in parts.values()]
    agree = [
        found and leakage.same_assembly(rows, found, pretraining.genome)
        for rows, found in zip(parts.values(), where, strict=True)
    ]
    return all(where) and True in agree and False not in agree


def _pretrained(rows: Labelled, pretraining: Pretraining | None, by_place: bool) -> int | None:
    if pretraining is None:
        return None
    return int((leakage.in_contigs(rows, *pretraining, by_place) >= HALF).sum())


def _part(split: str, rows: Labelled, pretrained: int | None) -> Part:
    gc = baselines.gc_share(rows)
    counts = np.bincount(rows.labels)
    repeats, either = (len(keys) - len({*keys}) for keys in (sequences(rows), either_strand(rows)))
    return Part(
        split,
        len(rows.labels),
        tuple(counts.tolist()),
        tuple(_mean(gc[rows.labels == label]) for label in range(len(counts))),
        int(rows.lengths.min()),
        int(rows.lengths.max()),
        int((rows.tokens == vocab.N).any(1).sum()),
        dict(Counter(splits.chromosomes(rows.names)).most_common()),
        repeats,
        either - repeats,
        sorted_by_label(rows.labels),
        sum(name.endswith(f"|{label}") for name, label in zip(rows.names, rows.labels)),
        pretrained,
    )


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def sorted_by_label(labels: np.ndarray) -> float:
    """How often neighbours have the same label, in standard deviations from a shuffled file.

    The runs test of Wald and Wolfowitz for any number of classes (Mood 1940). Blocks of one class
    give large positive values, alternating classes negative ones; 0 if there is one class only.
    """
    n, sizes = len(labels), np.bincount(labels).astype(float)
    squares, cubes = (sizes**2).sum(), (sizes**3).sum()
    variance = squares * (squares + n * (n + 1)) - 2 * n * cubes - n**3
    if n < 2 or variance <= 0:
        return 0.0
    runs = 1 + np.count_nonzero(labels[1:] != labels[:-1])
    expected = (n * (n + 1) - squares) / n
    return float((expected - runs) / np.sqrt(variance / (n**2 * (n - 1))))


def _pair(split: str, rows: Labelled, against: str, others: Labelled) -> Pair:
    equal, reverse = leakage.copies(rows, others)
    here, there = of_names(rows.names), of_names(others.names)
    shares = covered(here, there) if here and there else None
    return Pair(
        split,
        against,
        len(rows.labels),
        int(equal.sum()),
        int(reverse.sum()),
        None if shares is None else int((shares > 0).sum()),
        None if shares is None else int((shares >= HALF).sum()),
        int((shared_words(rows.tokens, [others.tokens]) >= HALF).sum()),
    )


def _baselines(train: Labelled, test: Labelled) -> tuple[Baseline, ...]:
    """Test scores of the methods that read little, all fitted to the training rows.

    Methods that need longer rows than there are (two letters, five bases) are left out.
    """
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
    return tuple(
        Baseline(
            who,
            rule,
            **metrics.scores(test.labels, predicted),
            **dict(zip(("low", "high"), metrics.intervals(test.labels, predicted)["mcc"])),
        )
        for who, (rule, predicted) in found.items()
    )


def frame(cards: Sequence[Card]) -> pl.DataFrame:
    """One row a task; what is not known or not there is null.

    Columns: `<split>_` and a field of `Part`, `<split>_<other>_` and one of `Pair`, a key of
    `METHODS` with `_` and one of `Baseline`.
    """
    return _frame([_row(card) for card in cards])


def _row(card: Card) -> dict[str, Any]:
    row: dict[str, Any] = {"task": card.task, "classes": card.classes}
    row |= {"conflicting_labels": card.conflicting_labels, "pretrained_by": card.pretrained_by}
    entries: list[tuple[str, Any]] = [(part.split, part) for part in card.parts]
    entries += [(f"{pair.split}_{pair.against}", pair) for pair in card.pairs]
    entries += [(method.who, method) for method in card.baselines]
    for of, entry in entries:
        row |= {f"{of}_{k}": _flat(v) for k, v in asdict(entry).items() if k not in _KEYS}
    return row


#: Fields that say of what an entry is.
_KEYS = ("split", "against", "who")


def _flat(value: Any) -> Any:
    """A value that a table can hold: several values become text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or None
    if isinstance(value, tuple):
        return ", ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in value)
    return value


def long(cards: Sequence[Card], field: str) -> pl.DataFrame:
    """One row for each entry of `parts`, `pairs` or `baselines`: task, the fields of the entry."""
    return _frame(
        {"task": card.task} | {name: _flat(value) for name, value in asdict(entry).items()}
        for card in cards
        for entry in getattr(card, field)
    )


def _frame(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame([*rows], infer_schema_length=None)


def contigs(genome: Genome, split: Split, most: int = 24) -> pl.DataFrame:
    """The contigs of a genome or their parts: name, bases, N, longest stretch without N, use.

    Of more than `most` contigs the shorter ones share one line, which says how many they are.
    """
    named = zip(("pre-training", "held-out loss", "never read"), split, strict=True)
    uses = {contig: use for use, names in named for contig in contigs_named(genome, names)}
    uses |= dict.fromkeys(without(genome.contigs, [*uses]), "not used")
    rows: list[dict[str, Any]] = []
    for contig in sorted(uses, key=lambda contig: contig.start):
        known = np.diff(stretches(genome, contig), axis=1)
        row = {"contig": contig.name, "bases": contig.length, "N": contig.length - int(known.sum())}
        row |= {"longest": int(known.max(initial=0)), "use": uses[contig]}
        rows.append(row)
    shown = {row["contig"] for row in sorted(rows, key=lambda row: -row["bases"])[:most]}
    listed = [row for row in rows if row["contig"] in shown]
    if rest := [row for row in rows if row["contig"] not in shown]:
        last = {"contig": f"{len(rest):,} shorter ones", "longest": max(r["longest"] for r in rest)}
        last |= {name: sum(row[name] for row in rest) for name in ("bases", "N")}
        listed.append(last | {"use": ", ".join(sorted({row["use"] for row in rest}))})
    return pl.DataFrame(listed)


_ROWS = """
    classes: how many. bases: shortest to longest row. N: rows that contain N. GC: mean share of G
    and C by class, in the training rows; a gap is a cheap cue. on: chromosomes by the rows'
    names."""
_PAIR_HEADS = {"split": "rows of", "against": "in", "copies_reverse_complement": "rev. comp."}
_PAIR_HEADS |= {"overlapping": "overlap", "covered": "half", "near_duplicates": "near-dup."}
_SHARED = f"""
    Rows of the first split that the other contains too. copies: the same letters. rev. comp.: the
    reverse complement, that is, the same on the other strand. overlap: at least one base in common
    by coordinates; half: {HALF:.0%} or more of it inside one row of the other. near-dup.:
    near-duplicates, {HALF:.0%} or more of whose 31-base words occur in the other, wherever they
    come from, so also repeats of the genome. A dash: no coordinates."""
_FILES = f"""
    repeats: rows that equal an earlier one of their split, on either strand. sorted: by label; how
    often neighbours in the file have one label, in standard deviations from a shuffled file; beyond
    {SORTED_LIMIT:.0f} the order tells the label. named: rows whose name ends in `|label`; names
    never reach a model. read before: rows of which {HALF:.0%} or more is in the contigs that a
    model is pre-trained on, by coordinates if they are the genome's, else by words of 31 bases,
    where repeats count too. conflicting: labels; rows of the task whose sequence occurs with
    another label too."""
_METHOD_HEADS = {"letter": "one letter", "pairs": "two pairs", "gc": "GC", "words": "5-mers"}
_METHODS = """
    MCC on the test rows (0: knows nothing, 1: perfect) of methods that read little, and their rule.
    one letter: the best letter at one place. two pairs: either of the two best pairs of
    neighbouring letters. Both and their places (0 is the first base) are chosen on the training
    rows. GC: logistic regression on the share of G and C. 5-mers: on the shares of all words of
    five bases, with its accuracy and F1."""


def report(cards: Sequence[Card]) -> str:
    """The cards as text: four tables, each explained, then the findings."""
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
        section("WHAT THE FILES TELL", files, _FILES),
    ]
    if any(card.baselines for card in cards):
        methods = _frame([_method_line(card) for card in cards])
        sections.append(section("SOLVED WITHOUT A MODEL", methods, _METHODS))
    found = [": ".join(row) for row in findings(cards).iter_rows()]
    listed = "\n".join(textwrap.fill(line, 100, subsequent_indent="  ") for line in found)
    return "\n\n".join([*sections, "FINDINGS\n" + (listed or "none")])


def _row_line(card: Card) -> dict[str, Any]:
    rows = {part.split: part.rows for part in card.parts}
    shortest = min(part.shortest for part in card.parts)
    longest = max(part.longest for part in card.parts)
    return {
        "task": card.task,
        "classes": card.classes,
        **{head: rows.get(split) for head, split in zip(("train", "valid.", "test"), PARTS)},
        "bases": f"{shortest}" if shortest == longest else f"{shortest}-{longest}",
        "N": sum(part.unknown for part in card.parts),
        "GC": " ".join(f"{value:.3f}".removeprefix("0") for value in card.parts[0].gc),
        "train on": _some([*card.parts[0].chromosomes]) or "unknown",
        "test on": _some([*card.parts[-1].chromosomes]) or "unknown",
    }


def _method_line(card: Card) -> dict[str, Any]:
    found = {method.who: method for method in card.baselines}
    said = {who: f"{m.mcc:.2f} {m.rule.replace(' or ', ', ')}".rstrip() for who, m in found.items()}
    line = {"task": card.task} | {head: said.get(who) for who, head in _METHOD_HEADS.items()}
    if words := found.get("words"):
        line |= {"acc.": f"{words.accuracy:.1%}", "F1": f"{words.f1:.1%}"}
    return line


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 2 else f"{len(names)} chromosomes"


def section(title: str, table: pl.DataFrame, explained: str) -> str:
    """A table for a terminal, with title and explanation.

    Null is a dash; words are aligned to the left and numbers to the right.
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
    """What a reader of the scores should know: columns task and finding, no row if all is well."""
    found = [(card.task, sentence) for card in cards for sentence in _sentences(card)]
    return pl.DataFrame(found, {"task": pl.String, "finding": pl.String}, orient="row")


def _sentences(card: Card) -> Iterator[str]:
    yield from card.remarks
    parts = {part.split: part for part in card.parts}
    for pair in card.pairs:
        for count, text in (
            (pair.copies, "are copies of a {} row"),
            (pair.copies_reverse_complement, "are the reverse complement of a {} row"),
            (pair.overlapping, "overlap a {} row"),
            (pair.covered, "have half or more of their bases in one {} row"),
            (pair.near_duplicates, "share half or more of their 31-base words with {} rows"),
        ):
            if count:
                yield f"{count:,} of {pair.rows:,} {pair.split} rows {text.format(pair.against)}"
        if both := {*parts[pair.split].chromosomes} & {*parts[pair.against].chromosomes}:
            yield f"{pair.split} and {pair.against} rows are both on {_some(sorted(both))}"
    if card.conflicting_labels:
        yield f"{card.conflicting_labels:,} rows have a sequence that occurs with another label too"
    for part in card.parts:
        rows = f"of {part.rows:,} {part.split} rows"
        if repeats := part.repeats + part.repeats_reverse_complement:
            yield f"{repeats:,} {rows} repeat an earlier one"
        if abs(part.sorted_by_label) > SORTED_LIMIT:
            yield f"the {part.split} rows are in an order that tells their label"
        if part.pretrained and part.split != "train":
            what = "bases" if card.pretrained_by == "coordinates" else "31-base words"
            yield (
                f"{part.pretrained:,} {rows} have half or more of their {what} in the pre-training "
                "contigs"
            )
    methods = {method.who: method for method in card.baselines}
    pairs, words = methods.get("pairs"), methods.get("words")
    if pairs and words and pairs.low > words.high:
        yield (
            f"{pairs.rule} gives MCC {pairs.mcc:.2f}, more than 5-mers ({words.mcc:.2f}): the site "
            "is at a fixed place"
        )
