"""Two arms compared over tasks, seeds or examples: wins, mean gap, tests and intervals.

The same functions count the paper's Table 1 and our own results. A gap is always the first arm
minus the second, in the unit of the scores; our own are paired by seed and by test row.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_test
from statsmodels.stats.multitest import multipletests

from birdiedna.evaluation import frames, metrics
from birdiedna.training import run_folder

#: A mean gap whose 90 % interval is inside +-0.5 points counts as none (fixed in advance).
EQUIVALENCE_POINTS = 0.5
#: Who is compared with whom; a gap is the first minus the second.
PAIRS = (("birdie", "ntp"), ("birdie", "random"), ("ntp", "random"))
#: The arms in a label and in the middle of a sentence.
SHORT = {"birdie": "Birdie", "ntp": "NTP", "random": "random"}
_IN_A_SENTENCE = {"birdie": "the Birdie arm", "ntp": "the NTP arm", "random": "random weights"}
_GAPS: frames.Schema = {name: pl.String for name in ("task", "first", "second")}
_GAPS |= {"seeds": pl.Int64, "over": pl.String, "gap": pl.Float64, "low": pl.Float64}
_GAPS |= {"high": pl.Float64, "outcome": pl.String, "low_rows": pl.Float64}
_GAPS |= {"high_rows": pl.Float64, "p": pl.Float64, "p_holm": pl.Float64}


class Recount(NamedTuple):
    """What n paired scores say: counts, mean and median gap, two-sided p-values, 95 % intervals.

    `low`, `high`: t interval of the mean, the tasks taken as a random sample of tasks;
    `bootstrap_low`, `bootstrap_high`: percentile bootstrap of the mean over tasks.
    """

    tasks: int
    wins: int
    ties: int
    mean: float
    median: float
    sign_p: float
    wilcoxon_p: float
    low: float
    high: float
    bootstrap_low: float
    bootstrap_high: float


def recount(first: ArrayLike, second: ArrayLike, seed: int = 0) -> Recount:
    """Compare two arms over tasks.

    Args:
      first, second: one score per task, in the same order.
      seed: of the bootstrap.

    Raises:
      ValueError: the lengths differ, there are fewer than two tasks, or a score is not finite.
    """
    one, other = np.asarray(first, float), np.asarray(second, float)
    if one.shape != other.shape or one.ndim != 1 or len(one) < 2:
        raise ValueError(
            f"scores of shapes {one.shape}, {other.shape}; give one per task, 2 or more"
        )
    if not np.isfinite(one - other).all():
        raise ValueError("a score is missing or not finite; compare only tasks that both arms have")
    gaps = np.round(one - other, 12)
    wins, ties = int((gaps > 0).sum()), int((gaps == 0).sum())
    decided = len(gaps) - ties
    drawn = np.random.default_rng(seed).choice(gaps, (10_000, len(gaps))).mean(axis=1)
    return Recount(
        len(gaps),
        wins,
        ties,
        float(gaps.mean()),
        float(np.median(gaps)),
        float(stats.binomtest(wins, decided).pvalue) if decided else 1.0,
        float(stats.wilcoxon(gaps).pvalue) if decided else 1.0,
        *t_interval(gaps),
        *np.quantile(drawn, (0.025, 0.975)).tolist(),
    )


def t_interval(values: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean of `values` (n,); (nan, nan) for fewer than two.

    With three seeds this is the only honest one: a percentile bootstrap of three covers 74 %.
    """
    array = np.asarray(values, float)
    if len(array) < 2:
        return float("nan"), float("nan")
    half = stats.t.ppf((1 + confidence) / 2, len(array) - 1) * stats.sem(array)
    return float(array.mean() - half), float(array.mean() + half)


def interval_text(low: float, high: float, sign: str = "") -> str | None:
    """An interval as `0.553 to 0.624`; None if an edge is unknown, as with a single seed.

    `sign` is "+" to write the sign of positive edges too.
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        return None
    return f"{low:{sign}.3f} to {high:{sign}.3f}"


def interval_column(sign: str = "") -> pl.Expr:
    """The columns `low` and `high` as `interval_text`."""
    both = pl.struct("low", "high")
    return both.map_elements(lambda x: interval_text(x["low"], x["high"], sign), pl.String)


def mcnemar(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Exact two-sided McNemar p of two models' predicted classes (n,) on the same examples.

    Raises:
      ValueError: the three lengths differ.
    """
    if not labels.shape == first.shape == second.shape:
        raise ValueError(f"shapes {labels.shape}, {first.shape}, {second.shape} differ; pair them")
    right = metrics.confusion((first == labels).astype(int), (second == labels).astype(int), 2)
    return float(min(1.0, mcnemar_test(right, exact=True).pvalue))


def median_p(p_values: Sequence[float]) -> float:
    """One p-value from those of several dependent runs: twice their median, at most 1.

    Valid whatever the dependence (Rüger's rule), so seeds that share test rows may be joined.
    """
    return float(min(1.0, 2 * np.median(p_values)))


def paired_bootstrap(
    labels: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    classes: int,
    seed: int = 0,
    resamples: int = 2000,
) -> tuple[float, float]:
    """95 % interval of the gap in MCC between two arms, over the choice of test examples.

    Both arms and all their seeds see the same resampled examples; the gap is that of the means
    over seeds. Drawing examples is a multinomial draw over the distinct columns of (label,
    predictions), which is what we draw. It covers test examples only, not seeds.

    Args:
      labels: (n,) true classes.
      first, second: (seeds, n) predicted classes of each arm.

    Raises:
      ValueError: the rows of labels and predictions differ.
    """
    if not len(labels) == first.shape[1] == second.shape[1]:
        raise ValueError(
            f"{len(labels)} labels, predictions {first.shape} and {second.shape}; pair them"
        )
    columns = np.concatenate([labels[None], first, second])
    kinds, counts = np.unique(columns, axis=1, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(labels), counts / len(labels), resamples)
    cells = np.eye(classes**2, dtype=np.int64)[kinds[0] * classes + kinds[1:]]
    values = [
        metrics.of_tables((drawn @ cell).reshape(-1, classes, classes), "mcc") for cell in cells
    ]
    one, other = np.mean(values[: len(first)], axis=0), np.mean(values[len(first) :], axis=0)
    low, high = np.quantile(one - other, (0.025, 0.975))
    return float(low), float(high)


def table(folders: Iterable[Path]) -> pl.DataFrame:
    """Every pair of arms on every task, at the steps that validation chose; empty without runs.

    Returns:
      task, first, second; gap: difference in test MCC, mean over seeds; low, high: its 95 % t
      interval; seeds, over: how many seeds of which kind (`interval`); outcome; low_rows,
      high_rows: 95 % paired bootstrap over test rows; p: exact McNemar, twice the median over
      seeds; p_holm: over tasks.
    """
    chosen = _chosen(folders)
    rows: list[dict[str, Any]] = []
    for first, second in PAIRS:
        tasks = dict.fromkeys(key[0] for key in chosen if key[1] == first)
        gaps = [_gap(chosen, task, first, second) for task in tasks]
        adjusted = multipletests([gap["p"] for gap in gaps], method="holm")[1] if gaps else []
        rows += [gap | {"p_holm": float(p)} for gap, p in zip(gaps, adjusted, strict=True)]
    return pl.DataFrame(rows, _GAPS)


def _chosen(folders: Iterable[Path]) -> dict[tuple, tuple[np.ndarray, np.ndarray, int]]:
    """(task, arm, seed, fine-tuning seed) -> labels (n,), predicted classes (n,), classes."""
    found = {}
    for folder in folders:
        manifest = run_folder.read(folder, "manifest")
        labels, logits, _ = frames.chosen(folder)
        key = tuple(manifest[name] for name in ("task", "arm", "seed", "finetune_seed"))
        found[key] = (labels, logits.argmax(axis=1), logits.shape[1])
    return found


def _gap(chosen: Mapping[tuple, tuple], task: str, first: str, second: str) -> dict[str, Any]:
    seeds = sorted({key[2:] for key in chosen if key[:2] == (task, first)})
    labels, _, classes = chosen[task, first, *seeds[0]]
    one, other = (np.stack([chosen[task, arm, *s][1] for s in seeds]) for arm in (first, second))
    scores = [
        metrics.of_tables(np.stack([metrics.confusion(labels, p, classes) for p in arm]), "mcc")
        for arm in (one, other)
    ]
    low_rows, high_rows = paired_bootstrap(labels, one, other, classes)
    return {
        "task": task,
        "first": first,
        "second": second,
        **interval(scores[0] - scores[1], [seed for seed, _ in seeds]),
        "low_rows": low_rows,
        "high_rows": high_rows,
        "p": median_p([mcnemar(labels, a, b) for a, b in zip(one, other, strict=True)]),
    }


def interval(
    values: Sequence[float] | np.ndarray, pretraining: Sequence[int] = ()
) -> dict[str, Any]:
    """Gaps of several seeds as: seeds, over, gap (mean), low, high (95 % t interval), outcome.

    With several pre-training seeds these are the unit: fine-tuning seeds are averaged within them,
    since runs from one checkpoint are no independent draws. With one, the interval is over
    fine-tuning seeds. `over` says which. Without any value the gap and its interval are NaN.

    win or loss: the 95 % interval is on one side of 0. equivalent: the 90 % interval is inside
    +-0.005. Else inconclusive.
    """
    several = len(set(pretraining)) > 1
    if several:
        groups = pl.DataFrame({"seed": pretraining, "gap": values}).group_by("seed")
        values = groups.agg(pl.col("gap").mean()).sort("seed")["gap"].to_list()
    low, high = t_interval(values)
    inside = [abs(edge) < EQUIVALENCE_POINTS / 100 for edge in t_interval(values, 0.90)]
    named = {"win": low > 0, "loss": high < 0, "equivalent": all(inside)}
    return {
        "seeds": len(values),
        "over": "pre-training seeds" if several else "fine-tuning seeds",
        "gap": float(np.mean(values)) if len(values) else float("nan"),
        "low": low,
        "high": high,
        "outcome": next((name for name, holds in named.items() if holds), "inconclusive"),
    }


def shown(table: pl.DataFrame) -> pl.DataFrame:
    """The table of gaps as a reader sees it: task, pair, gap, interval, outcome, p-values."""
    first, second = (pl.col(column).replace(SHORT) for column in ("first", "second"))
    return table.select(
        "task",
        pl.format("{} minus {}", first, second).alias("pair"),
        "gap",
        interval_column("+").alias("95 % over seeds"),
        "outcome",
        pl.col("p").map_elements(_p_text, pl.String).alias("McNemar p"),
        pl.col("p_holm").map_elements(_p_text, pl.String).alias("Holm p"),
    )


def _p_text(p: float) -> str:
    """Two digits; below 1 in 10,000 the digits say nothing."""
    return f"{p:.2g}" if p >= 1e-4 else "< 0.0001"


def overall(scores: pl.DataFrame, first: str, second: str) -> dict[str, Any]:
    """The mean gap over tasks, its interval over seeds (tasks fixed), and its outcome.

    Args:
      scores: task, arm, seed, finetune_seed, value: one score per run.
      first, second: the arms.

    Returns:
      as `interval`; the unit is the pre-training seed where there are several.
    """
    one, other = (
        scores.filter(pl.col("arm") == arm)
        .group_by("seed", "finetune_seed")
        .agg(pl.col("value").mean())
        for arm in (first, second)
    )
    paired = one.join(other, on=["seed", "finetune_seed"]).sort("seed", "finetune_seed")
    values = paired["value"] - paired["value_right"]
    return interval(values.to_list(), paired["seed"].to_list())


def answer(found: Mapping[str, Any], first: str, second: str, tasks: int) -> str:
    """An `overall` gap as a sentence; what it says depends on the interval alone.

    A single seed has no interval, so the sentence gives the gap and no answer.
    """
    one, other, band = _IN_A_SENTENCE[first], _IN_A_SENTENCE[second], EQUIVALENCE_POINTS / 100
    if not found["seeds"]:
        return f"Nothing compares {one} with {other}: no task was fine-tuned from both"
    gap = f"mean gap over {tasks} task{'s' * (tasks != 1)} {found['gap']:+.3f} MCC"
    edges = interval_text(found["low"], found["high"], "+")
    if not edges:
        return f"A single seed cannot tell whether {one} would beat {other} again ({gap})"
    end = {
        "win": f"did beat {other} here",
        "loss": f"did not beat {other} here: it did worse",
        "equivalent": f"did not beat {other} here: they are within ±{band:g} MCC",
        "inconclusive": f"did not beat {other} here; nor was it clearly worse",
    }[found["outcome"]]
    text = f"{one} {end} ({gap}, 95 % interval over {found['over']} {edges})"
    return text[0].upper() + text[1:]
