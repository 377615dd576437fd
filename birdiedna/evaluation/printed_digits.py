"""Which numbers of test rows are compatible with the two decimals of Table 1, in exact integers.

A printed accuracy is a count over n, and a printed F1 of one class is 2 TP / (2 TP + errors). A row
of the table fits n if integers exist that print both numbers, in both arms, with the same number of
positives. Ties may round either way, so any rounding mode is covered. The unit is 1e-4: 83.93% is
8393.
"""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import scipy.stats

from birdiedna.evaluation.paper_table import TABLE_1
from birdiedna.evaluation.statistics import sign_p
from birdiedna.tasks.benchmark_rules import TASK_TITLES

#: The denominator that four rows share: both accuracies are counts over 400.
GRID = 400
_LEAST = 10
#: Batch size of the paper's fine-tuning.
_BATCH = 32


def _prints(top: np.ndarray, under: np.ndarray | int, shown: int) -> np.ndarray:
    """Whether top / under prints as `shown`."""
    return np.abs(20_000 * top - 2 * shown * under) <= under


def right_counts(accuracy: int, n: int) -> list[int]:
    """The numbers of correct rows among n that print this accuracy."""
    near = np.arange(max(0, accuracy * n // 10_000 - 1), min(n, accuracy * n // 10_000 + 2) + 1)
    return near[_prints(near, n, accuracy)].tolist()


def tables(f1: int, accuracy: int, n: int) -> list[tuple[int, int]]:
    """(correct rows, true positives) of the confusion tables of n rows that print both numbers."""
    found = []
    for right in right_counts(accuracy, n):
        wrong = n - right
        low, high = (wrong * (2 * f1 + s) // max(1, 40_000 - 4 * f1 - 2 * s) for s in (-1, 1))
        last = right if f1 == 10_000 else min(right, high + 1)
        positive = np.arange(max(0, low), last + 1)
        under = 2 * positive + wrong
        fits = _prints(2 * positive, under, f1) & (under > 0)
        found += [(right, int(count)) for count in positive[fits]]
    return found


class Digits(NamedTuple):
    """A row of Table 1 in units of 1e-4; `card` is the benchmark's number of test rows."""

    task: str
    card: int
    f1: tuple[int, int]
    accuracy: tuple[int, int]

    @property
    def gap(self) -> int:
        """Birdie's accuracy minus NTP's."""
        return self.accuracy[0] - self.accuracy[1]

    def accuracies_fit(self, n: int) -> bool:
        """Whether both accuracies are counts over n."""
        return all(right_counts(accuracy, n) for accuracy in self.accuracy)

    def fits(self, n: int) -> bool:
        """Whether both arms have a confusion table of n rows, with the same number of positives."""
        arms = [tables(*shown, n) for shown in zip(self.f1, self.accuracy, strict=True)]
        return any(
            max(one[1], other[1]) <= min(one[1] + n - one[0], other[1] + n - other[0])
            for one, other in itertools.product(*arms)
        )

    def chance(self, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probability that random digits fit n (N,): by accuracies, and by accuracies and F1.

        Four digits are a count over n with probability n / 10,000; given that, some number of true
        positives prints F1 with probability n (1 - accuracy) / (20,000 (1 - F1)^2).
        """
        by_accuracy = np.minimum(1, np.asarray(n) / 1e4) ** 2
        f1, accuracy = (np.array(digits)[:, None] / 1e4 for digits in (self.f1, self.accuracy))
        by_f1 = np.minimum(1, n * (1 - accuracy) / (2e4 * (1 - f1) ** 2)).prod(axis=0)
        return by_accuracy, by_accuracy * by_f1

    def expected(self) -> float:
        """Expected number of sizes up to the card's that fit random accuracies and F1."""
        return float(self.chance(np.arange(_LEAST, self.card + 1))[1].sum())


_units = lambda pair: tuple(round(100 * value) for value in pair)
#: Table 1, row by row.
ROWS = tuple(Digits(r.task, r.test_rows, _units(r.f1), _units(r.accuracy)) for r in TABLE_1)


def fits() -> pl.DataFrame:
    """Every size up to the card's that fits a row: task, n, kind, share (n over the card's n).

    kind: "accuracy and F1" if both fit, "accuracy" if only the accuracies are counts over n.
    """
    rows = []
    for row in ROWS:
        for n in range(_LEAST, row.card + 1):
            if row.accuracies_fit(n):
                kind = "accuracy and F1" if row.fits(n) else "accuracy"
                rows.append((row.task, n, kind, n / row.card))
    return pl.DataFrame(rows, ["task", "n", "kind", "share"], orient="row")


def fit_table(found: pl.DataFrame) -> pl.DataFrame:
    """Compare the sizes of `fits` with those expected of random digits; one row per task.

    Columns: task, card n; accuracies fit, with F1: whether the card's n fits; chance, chance with
    F1: their probabilities; sizes found, expected: sizes up to the card's that fit accuracy and F1;
    smallest: of these.
    """
    rows = []
    for row in ROWS:
        fitting = found.filter(task=row.task)
        pair = fitting.filter(kind="accuracy and F1")["n"]
        (alone,), (with_f1,) = row.chance(np.array([row.card]))
        card = row.card, row.card in fitting["n"], alone, row.card in pair, with_f1
        rows.append((row.task, *card, len(pair), row.expected(), pair.min()))
    names = ["task", "card n", "accuracies fit", "chance", "with F1", "chance with F1"]
    return pl.DataFrame(rows, [*names, "sizes found", "expected", "smallest"], orient="row")


def gaps(found: pl.DataFrame) -> pl.DataFrame:
    """Express each accuracy gap as a number of sequences, at the card's n and each possible n.

    Possible are the sizes of `fits` for accuracy and F1, or for accuracy if there are none.
    Columns: task; n; at: "card" or "possible"; gap (points); sequences; best_p: lower bound of the
    exact McNemar p, if all disagreements were on one side; detectable: points, with 80% power, if
    the arms differ on a tenth of the rows.
    """
    rows = []
    for row in ROWS:
        fitting = found.filter(task=row.task)
        possible = fitting.filter(pl.col("kind") == pl.col("kind").max())["n"]  # the pair, if any
        for at, n in [("card", row.card), *(("possible", n) for n in possible)]:
            sequences = row.gap * n / 1e4
            best = float(sign_p(0, round(abs(sequences))))
            rows.append((row.task, n, at, row.gap / 100, sequences, best, 280 * (0.1 / n) ** 0.5))
    names = ["task", "n", "at", "gap", "sequences", "best_p", "detectable"]
    return pl.DataFrame(rows, names, orient="row")


def gap_table(found: pl.DataFrame) -> pl.DataFrame:
    """`gaps` with one row per task, for the card's n and the smallest possible n."""
    card, possible = (found.filter(at=at) for at in ("card", "possible"))
    smallest = possible.sort("n").group_by("task", maintain_order=True).first()
    both = card.join(smallest, on="task", how="left", suffix=" possible", maintain_order="left")
    return both.select(
        "task",
        "gap",
        pl.col("n").alias("card n"),
        "sequences",
        pl.col("best_p").alias("best p"),
        "detectable",
        pl.col("n possible").alias("possible n"),
        pl.col("sequences possible").alias("sequences there"),
        pl.col("best_p possible").alias("best p there"),
    )


def sets() -> dict[str, tuple[str, ...]]:
    """Sets of tasks for the recount: name -> tasks."""
    every = [row.task for row in ROWS]
    fitting = [row.task for row in ROWS if row.accuracies_fit(row.card)]
    without = lambda *tasks: tuple(task for task in every if task not in tasks)
    return {
        "all": tuple(every),
        "without TATA": without("promoter_tata"),
        "without TATA and Promoter All": without("promoter_tata", "promoter_all"),
        "accuracies that fit": tuple(fitting),
    }


#: Statements that the digits support, one per line: statement | for | against | strength.
_STATEMENTS = """
the accuracies of {misfits} of {rows} rows, including TATA, are not counts over the published \
    test rows | exact | only misprints | certain
{unprinted}: no single table of the published size or less prints the row | exact \
    | a misprint, or more rows than published | certain
F1 is not the mean over both classes in all rows: that cannot exceed the accuracy \
    | F1 is above it in {above} of {cells} cells | only misprints | certain
{on_grid} were scored on {grid} rows, or as means over that many \
    | chance {grid_chance:.0e}; {searched_chance:.0e} after trying every denominator \
    | noticed afterwards | strong
{nominal}: accuracies over 3,000 rows | chance {nominal_chance:.0e} \
    | two other rows of 3,000 do not fit | strong
rows were scored by different procedures \
    | counts over 3,000, counts over {grid} and misfits share no denominator; no size up to \
    3,000 prints the accuracies of more than {shared} rows \
    | each row could have batches of its own | strong
TATA was scored on {size} rows: {right[0]} right against {right[1]} \
    | the only size that fits; {size_chance:.1g} expected by chance \
    | means over batches; its classes would differ, with {positives[0]} to {positives[1]} \
    positives; 14 rows and several interpretations were tried | likely
promoter and enhancer rows were scored on fewer rows than published | excess fits: {excess} \
    | neighbours of a size that fits often fit too; three of 14 rows examined \
    | suggestive at most
H2AFZ and H3K27me3: accuracy and F1 of one table of 3,000 rows | both pairs fit \
    | mostly due to the accuracies | weak
rows were scored in batches of {batch}, the last one dropped \
    | {batched[0]} of {rows} rows fit, {batched[1]:.1f} expected | as by chance | none
rows were scored in batches of {batch}, the smaller last one weighing as much as any \
    | {smaller[0]} of {rows} rows fit, {smaller[1]:.1f} expected | nearly any digits would | none
F1 is the mean over both classes, weighted by their rows | that can exceed the accuracy \
    | in {weighted} rows only if {majority[0]:.0%} to {majority[1]:.0%} of the rows are of one \
    class, which always guessed would beat both arms in {guessed} of them | none
digits are cut off, not rounded | sizes that fit then: {cut} | as by chance; {uncut}: no size | none
H3K36me3 and H3K4me1: which table F1 belongs to | accuracies fit 3,000, F1 does not \
    | as many fits as by chance | none
"""


def statements(found: pl.DataFrame) -> pl.DataFrame:
    """Statements that the digits support, by `fits`: statement, for, against, strength."""
    misfit = [row.task for row in ROWS if row.card not in found.filter(task=row.task)["n"]]
    tried = found.filter(kind="accuracy and F1")["task"]
    facts = {
        "rows": len(ROWS),
        "cells": 2 * len(ROWS),
        "misfits": len(misfit),
        "unprinted": ", ".join(TASK_TITLES[row.task] for row in ROWS if row.task not in tried),
        "above": sum(f1 > acc for r in ROWS for f1, acc in zip(r.f1, r.accuracy, strict=True)),
        **_size_facts(found, misfit),
        **_scoring_facts(found),
    }
    lines = [line.split(" | ") for line in _STATEMENTS.strip().splitlines()]
    rows = [[" ".join(cell.split()).format_map(facts) for cell in line] for line in lines]
    return pl.DataFrame(rows, ["statement", "for", "against", "strength"], orient="row")


def _size_facts(found: pl.DataFrame, misfit: list[str]) -> dict[str, Any]:
    """On how many rows tasks were scored, with the probability that random digits fit."""
    grid = [row.task for row in ROWS if row.accuracies_fit(GRID)]
    nominal = [row.task for row in ROWS if row.card == 3000 and row.task not in misfit]
    tata = next(row for row in ROWS if row.task == "promoter_tata")
    (size,) = found.filter(kind="accuracy and F1", task=tata.task)["n"]
    on_grid = float(scipy.stats.binom.sf(len(grid) - 1, len(ROWS), (GRID / 1e4) ** 2))
    return {
        "size": size,
        "right": [right_counts(accuracy, size)[0] for accuracy in tata.accuracy],
        "positives": _positives(tata, size),
        "size_chance": tata.expected(),
        "grid": GRID,
        "on_grid": ", ".join(grid),
        "grid_chance": on_grid,
        "searched_chance": on_grid * (max(row.card for row in ROWS) - _LEAST + 1),
        "nominal": ", ".join(nominal),
        "nominal_chance": 0.3 ** (2 * len(nominal)),
    }


def _positives(row: Digits, n: int) -> tuple[int, int]:
    """The least and the most positives of n rows with which both arms' only tables print a row."""
    arms = [tables(*shown, n) for shown in zip(row.f1, row.accuracy, strict=True)]
    ends = [(positive, positive + n - right) for ((right, positive),) in arms]
    return max(low for low, _ in ends), min(high for _, high in ends)


def majority(f1: int, accuracy: int) -> float:
    """The least share of the larger class with which F1, weighted by class size, prints `f1`."""
    right, wrong = accuracy / 1e4, 1 - accuracy / 1e4
    larger = np.linspace(right / 2, right, 4001)[1:]  # of the right rows
    one, other = (2 * part / (2 * part + wrong) for part in (larger, right - larger))
    share = np.maximum(np.maximum(larger, 0.5), (f1 / 1e4 - 5e-5 - other) / (one - other))
    return float(share[share <= larger + wrong].min())


def _scoring_facts(found: pl.DataFrame) -> dict[str, Any]:
    """Whether tasks were scored on fewer rows, or in batches, and other forms of the digits."""
    few = fit_table(found).filter(pl.col("task").str.contains("promoter_all|no_tata|enhancers"))
    sizes = few.select("sizes found", "expected").rows()
    whole, rest = zip(*(divmod(row.card, _BATCH) for row in ROWS), strict=True)
    dropped = [_BATCH * count for count in whole]
    means = [(count + 1) * math.lcm(_BATCH, one) for count, one in zip(whole, rest, strict=True)]
    counted = lambda sizes: (
        sum(row.accuracies_fit(n) for row, n in zip(ROWS, sizes, strict=True)),
        sum(min(1.0, n / 1e4) ** 2 for n in sizes),
    )
    above = [row for row in ROWS if max(np.subtract(row.f1, row.accuracy)) > 0]
    larger = {row: max(map(majority, row.f1, row.accuracy)) for row in above}
    middle: Any = lambda pair: tuple(digits + 0.5 for digits in pair)  # of those that are cut to it
    cut = {row: row._replace(f1=middle(row.f1), accuracy=middle(row.accuracy)) for row in ROWS}
    sizes_cut = {row: sum(map(one.fits, range(_LEAST, row.card + 1))) for row, one in cut.items()}
    tried = found.filter(kind="accuracy and F1")["task"]
    return {
        "excess": ", ".join(f"{number} sizes ({chance:.0f} expected)" for number, chance in sizes),
        "batch": _BATCH,
        "batched": counted(dropped),
        "smaller": counted(means),
        "weighted": len(above),
        "majority": (min(larger.values()), max(larger.values())),
        "cut": ", ".join(
            f"{row.task} {number} ({row.expected():.1f} expected)"
            for row, number in sizes_cut.items()
            if number and row.task not in tried
        ),
        "uncut": ", ".join(TASK_TITLES[row.task] for row, size in sizes_cut.items() if not size),
        "shared": max(
            sum(row.accuracies_fit(n) for row in ROWS)
            for n in range(_LEAST, max(row.card for row in ROWS) + 1)
        ),
        "guessed": sum(1e4 * share > max(row.accuracy) for row, share in larger.items()),
    }
