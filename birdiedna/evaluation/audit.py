"""The card of a task: its rows, what its splits share, and how hard it is without a model.

A card is counted from the rows themselves. What names and files say (coordinates, labels) is used
to find leaks and never shown to a model.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from birdiedna import vocab
from birdiedna.data.genome import Contig, Genome
from birdiedna.data.labelled import Labelled
from birdiedna.evaluation import baselines, leakage, metrics
from birdiedna.tasks import splits

#: A row counts as covered, akin or pre-trained on from this share of it on.
HALF = 0.5
#: Neighbours in a file agree by chance; so many standard deviations from it are no chance.
ORDER_LIMIT = 5.0
#: The methods without a model, by title.
FLOORS = {
    "letter": "one letter",
    "pairs": "two pairs of letters",
    "gc": "GC share",
    "words": "5-mer regression",
}


@dataclass(frozen=True)
class Part:
    """One split. `by_class`: rows; `gc`: mean share of GC; both in the order of the classes.

    Attributes:
      split: train, validation or test.
      shortest, longest: bases of a row.
      unknown: rows that hold N.
      chromosomes: name -> rows; empty if the names do not say.
      repeats: rows that equal an earlier one; repeats_opposite: whose reverse complement does.
      order: how often neighbours in the file have the same label, in standard deviations from
        what a shuffled file has.
      named: rows whose name ends in `|label`.
      pretrained: rows of which half or more (by words: of their words) lies in the pre-training
        contigs; None if not asked.
    """

    split: str
    rows: int
    by_class: tuple[int, ...]
    gc: tuple[float, ...]
    shortest: int
    longest: int
    unknown: int
    chromosomes: Mapping[str, int]
    repeats: int
    repeats_opposite: int
    order: float
    named: int
    pretrained: int | None


@dataclass(frozen=True)
class Pair:
    """What the rows of one split share with another, in rows of the first.

    Attributes:
      split, against: the two splits.
      copies: rows equal to one of the other; copies_opposite: only as its reverse complement.
      overlapping: rows that share a base by their coordinates; covered: of which a single row of
        the other covers half or more; both None without coordinates.
      akin: rows with half or more of their 31-base words in the other, wherever they come from.
    """

    split: str
    against: str
    rows: int
    copies: int
    copies_opposite: int
    overlapping: int | None
    covered: int | None
    akin: int


@dataclass(frozen=True)
class Floor:
    """A method without a model: who (of `FLOORS`), what it found, and its test scores.

    `low` and `high` are the 95 % bootstrap interval of the MCC over test rows.
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

    `conflicts` are rows whose sequence also stands with another label; `pretrained_by` says how
    rows were looked up in the pre-training contigs: coordinates, words, or None if they were not.
    """

    task: str
    classes: int
    parts: tuple[Part, ...]
    pairs: tuple[Pair, ...]
    conflicts: int
    pretrained_by: str | None
    floors: tuple[Floor, ...]


class Pretraining(NamedTuple):
    """What a model is pre-trained on: a genome and those of its contigs that are read."""

    genome: Genome
    contigs: tuple[Contig, ...]


def of_task(
    task: str,
    parts: Mapping[str, Labelled],
    pretraining: Pretraining | None = None,
    floors: bool = True,
) -> Card:
    """Count everything about one task.

    Args:
      task: its name.
      parts: split -> rows: train and test, in between perhaps validation.
      pretraining: where to look for rows that a model has read before.
      floors: also train and score the methods without a model, which takes most of the time.
    """
    by_place = _by_place(parts, pretraining) if pretraining else False
    seen = {s: _pretrained(rows, pretraining, by_place) for s, rows in parts.items()}
    order = list(parts)
    return Card(
        task,
        max(int(rows.labels.max()) for rows in parts.values()) + 1,
        tuple(part(split, rows, seen[split]) for split, rows in parts.items()),
        tuple(
            pair(late, parts[late], early, parts[early])
            for i, late in enumerate(order)
            for early in order[:i]
        ),
        leakage.conflicts(list(parts.values())),
        None if pretraining is None else "coordinates" if by_place else "words",
        floors_of(parts["train"], parts["test"]) if floors else (),
    )


def _by_place(parts: Mapping[str, Labelled], pretraining: Pretraining) -> bool:
    """Whether the coordinates of all rows are known and are those of the genome."""
    where = {split: leakage.places(rows.names) for split, rows in parts.items()}
    if any(found is None for found in where.values()):
        return False
    agree = [
        leakage.same_assembly(rows, where[split], pretraining.genome)
        for split, rows in parts.items()
    ]
    return True in agree and False not in agree


def _pretrained(rows: Labelled, pretraining: Pretraining | None, by_place: bool) -> int | None:
    if pretraining is None:
        return None
    shares = leakage.in_contigs(rows, *pretraining, by_place)
    return int((shares >= HALF).sum())


def part(split: str, rows: Labelled, pretrained: int | None = None) -> Part:
    """The counts of one split."""
    gc = baselines.gc_share(rows)
    keys, either = leakage.sequences(rows), leakage.strandless(rows)
    counts = np.bincount(rows.labels)
    return Part(
        split,
        len(rows.labels),
        tuple(counts.tolist()),
        tuple(_mean(gc[rows.labels == label]) for label in range(len(counts))),
        int(rows.lengths.min()),
        int(rows.lengths.max()),
        int((rows.tokens == vocab.N).any(1).sum()),
        dict(Counter(splits.chromosomes(rows.names)).most_common()),
        leakage.repeats(keys),
        leakage.repeats(either) - leakage.repeats(keys),
        file_order(rows.labels),
        sum(name.endswith(f"|{label}") for name, label in zip(rows.names, rows.labels)),
        pretrained,
    )


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def file_order(labels: np.ndarray) -> float:
    """How often neighbours have the same label, in standard deviations from a shuffled file.

    The runs test of Wald and Wolfowitz for any number of classes (Mood 1940). Blocks of one class
    give large positive values, turns negative ones; 0 if there is one class only.
    """
    n, sizes = len(labels), np.bincount(labels).astype(float)
    squares, cubes = (sizes**2).sum(), (sizes**3).sum()
    variance = squares * (squares + n * (n + 1)) - 2 * n * cubes - n**3
    if n < 2 or variance <= 0:
        return 0.0
    runs = 1 + np.count_nonzero(labels[1:] != labels[:-1])
    expected = (n * (n + 1) - squares) / n
    return float((expected - runs) / np.sqrt(variance / (n**2 * (n - 1))))


def pair(split: str, rows: Labelled, against: str, others: Labelled) -> Pair:
    """What the rows of one split share with those of another."""
    equal, turned = leakage.copies(rows, others)
    here, there = leakage.places(rows.names), leakage.places(others.names)
    shares = leakage.covered(here, there) if here and there else None
    return Pair(
        split,
        against,
        len(rows.labels),
        int(equal.sum()),
        int(turned.sum()),
        None if shares is None else int((shares > 0).sum()),
        None if shares is None else int((shares >= HALF).sum()),
        int((leakage.share(rows.tokens, [others.tokens]) >= HALF).sum()),
    )


def floors_of(train: Labelled, test: Labelled, seed: int = 0) -> tuple[Floor, ...]:
    """Test scores of the methods that read little, all fitted to the training rows.

    Methods that need longer rows than there are (two letters, five bases) are left out.
    """
    shortest = min(train.tokens.shape[1], test.tokens.shape[1])
    classes = max(int(train.labels.max()), int(test.labels.max())) + 1
    chosen = {"letter": baselines.best_letter(train)}
    if shortest >= 2:
        chosen["pairs"] = baselines.best_pairs(train)
    found = {
        who: (str(rule), np.eye(classes)[baselines.predict(rule, test.tokens)])
        for who, rule in chosen.items()
    }
    found["gc"] = ("", baselines.gc_regression(train, test))
    if shortest >= 5:
        found["words"] = ("", baselines.kmer_regression(train, test))
    return tuple(_floor(who, test.labels, *each, seed) for who, each in found.items())


def _floor(who: str, labels: np.ndarray, rule: str, called: np.ndarray, seed: int) -> Floor:
    scores = metrics.scores(labels, called)
    low, high = metrics.interval(labels, called, "mcc", seed)
    return Floor(who, rule, scores["accuracy"], scores["f1"], scores["mcc"], low, high)


def share(count: int | None, rows: int) -> float | None:
    """A count as a share of rows; None stays None."""
    return None if count is None else count / rows
