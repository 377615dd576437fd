"""Compare pairs of arms over pre-training seeds: on average, by task, by share of train rows.

The unit is the pre-training seed: fine-tunings and subsets of rows are averaged per checkpoint.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl
import scipy

from birdiedna.data.names import quantity, sided
from birdiedna.evaluation import statistics, verdicts
from birdiedna.evaluation.statistics import gaps, interval_text, sign_flip_p, t_interval

Pair = tuple[str, str]
_PAIRS: dict[str, Any] = {"first": pl.String, "second": pl.String, "tasks": pl.Int64}
_PAIRS |= {"seeds": pl.Int64}
_PAIRS |= dict.fromkeys(("gap", "low", "high", "middle", "chance"), pl.Float64)
_PAIRS |= dict.fromkeys(("ahead", "won", "lost"), pl.Int64)
_PAIRS |= dict.fromkeys(("on average", "consistently"), pl.String)
_TASKS: dict[str, Any] = dict.fromkeys(("first", "second", "task"), pl.String)
_TASKS |= {"seed": pl.Int64}
_TASKS |= dict.fromkeys(("value", "gap", "low", "high", "holm"), pl.Float64)


def compared(scores: pl.DataFrame, pairs: Iterable[Pair]) -> pl.DataFrame:
    """Compare each pair on the tasks and seeds that both arms have, from scores as for `gaps`.

    Columns: first, second; tasks, seeds: their numbers; gap: mean, with its 95% t interval over
    seeds (low, high); middle: mean of the middle half of all gaps of a seed on a task (Agarwal et
    al., 2021), where one task counts less; chance: how often such a gap is above 0 (0 counts half);
    ahead: tasks with a mean gap above 0; won, lost: tasks with a significant gap, by `sign_flip_p`
    after Holm's correction; "on average", "consistently": the verdicts on "better", by the rules of
    `verdicts`. Pairs without common runs are left out.
    """
    rows = []
    for first, second in pairs:
        found = _gaps(scores, first, second)
        if not found.values.size:
            continue
        means = found.values.mean(0)
        sure = np.sign(means) * (_holm(found.values) < 0.05)
        low, high = t_interval(found.values.mean(1))
        averaged = verdicts.on_average(found.values), verdicts.consistency(found.values).verdict
        middle = scipy.stats.trim_mean(found.values, 0.25, axis=None)
        edges = means.mean(), low, high, middle, (1 + np.sign(found.values).mean()) / 2
        counts = (int(which.sum()) for which in (means > 0, sure > 0, sure < 0))
        sizes = found.values.shape[::-1]  # tasks, seeds
        rows.append((first, second, *sizes, *map(float, edges), *counts, *map(str, averaged)))
    return pl.DataFrame(rows, _PAIRS, orient="row")


def sizes(seeds: int, tasks: int) -> str:
    """What a gap is a mean over, as "10 seeds, 18 tasks"."""
    return f"{quantity(seeds, 'seeds')}, {quantity(tasks, 'tasks')}"


def sure(table: pl.DataFrame) -> str:
    """How many pairs in a table of `compared` have an interval without 0, as "2 of 13"."""
    low, high = table["low"], table["high"]
    return f"{(low.is_finite() & ((low > 0) | (high < 0))).sum()} of {table.height}"  # NaN > 0


def gap_texts(
    table: pl.DataFrame, pairs: Iterable[Pair], usual: tuple[int, int] | None = None
) -> dict[Pair, str]:
    """The gap of each pair in a table of `compared` as text, or "not measured".

    `usual` are numbers of seeds and tasks that need not be said.
    """
    texts = dict.fromkeys(pairs, "not measured")
    for row in table.iter_rows(named=True):
        counted = row["seeds"], row["tasks"]
        edges = interval_text(row["low"], row["high"], "+")
        inside = filter(None, (edges, sizes(*counted) if counted != usual else ""))
        texts[row["first"], row["second"]] = f"{sided(row['gap'])} ({' over '.join(inside)})"
    return texts


def by_task(scores: pl.DataFrame, pairs: Iterable[Pair]) -> pl.DataFrame:
    """One row per pair, task and seed, with its gap; and mean, interval and p of the task.

    From scores as for `compared`. Columns: first, second, task, seed, value (gap of the seed), gap
    (mean), low, high, holm (p, corrected over tasks).
    """
    rows = []
    for first, second in pairs:
        found = _gaps(scores, first, second)
        corrected = _holm(found.values)
        for task, values, holm in zip(found.tasks, found.values.T, corrected, strict=True):
            low, high = map(float, t_interval(values))
            facts = {"first": first, "second": second, "task": task, "gap": float(values.mean())}
            facts |= {"low": low, "high": high, "holm": float(holm)}
            each = zip(found.seeds, values.tolist(), strict=True)
            rows += [facts | {"seed": seed, "value": value} for seed, value in each]
    return pl.DataFrame(rows, _TASKS)


def by_share(scores: pl.DataFrame, pairs: Iterable[Pair]) -> pl.DataFrame:
    """`compared` for each `share` of the train rows, a column of scores."""
    pairs = tuple(pairs)
    return pl.concat(
        compared(part, pairs).with_columns(share=pl.lit(share))
        for (share,), part in scores.sort("share").group_by("share", maintain_order=True)
    )


def _gaps(scores: pl.DataFrame, first: str, second: str) -> statistics.Gaps:
    """`gaps`; those of a single pre-training seed are averaged, too."""
    found = gaps(scores, first, second)
    if not found.tasks or found.over == statistics.PRETRAINING:
        return found
    return found._replace(
        values=found.values.mean(0, keepdims=True), seeds=(scores.filter(arm=first)["seed"][0],)
    )


def _holm(values: np.ndarray) -> np.ndarray:
    """Corrected p of each task, from gaps (seeds, tasks)."""
    return statistics.holm([sign_flip_p(task) for task in values.T])
