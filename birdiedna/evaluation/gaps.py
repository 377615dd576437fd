"""Gaps between two arms on the tasks, paired by seed and by test row, and what they amount to."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from birdiedna import runs
from birdiedna.evaluation import frames, metrics
from birdiedna.evaluation.recount import (
    EQUIVALENCE_POINTS,
    holm,
    interval_text,
    median_p,
    paired_bootstrap,
    t_interval,
)

#: Who is compared with whom; a gap is the first minus the second.
PAIRS = (("birdie", "ntp"), ("birdie", "random"), ("ntp", "random"))
#: The arms in a label and in the middle of a sentence.
SHORT = {"birdie": "Birdie", "ntp": "NTP", "random": "random"}
SPOKEN = {"birdie": "the Birdie arm", "ntp": "the NTP arm", "random": "random weights"}
_KEYS = ("task", "arm", "seed", "finetune_seed")


def table(folders: Iterable[Path]) -> pl.DataFrame:
    """Every pair of arms on every task, at the steps that validation chose.

    Returns:
      task, first, second; gap: difference in test MCC, mean over seeds; low, high: its 95 % t
      interval; seeds, over: how many seeds of which kind (`interval`); outcome; low_rows,
      high_rows: 95 % paired bootstrap over test rows; p: exact McNemar, twice the median over
      seeds; p_holm: over tasks.
    """
    chosen = _chosen(folders)
    tables = []
    for first, second in PAIRS:
        names = dict.fromkeys(key[0] for key in chosen if key[1] == first)
        rows = [_gap(chosen, task, first, second) for task in names]
        adjusted = holm([row["p"] for row in rows])
        tables += [{**row, "p_holm": p} for row, p in zip(rows, adjusted, strict=True)]
    return pl.DataFrame(tables, infer_schema_length=None)


def _chosen(folders: Iterable[Path]) -> dict[tuple, tuple[np.ndarray, np.ndarray, int]]:
    """(task, arm, seed, fine-tuning seed) -> labels (n,), predicted classes (n,), classes."""
    found = {}
    for folder in folders:
        manifest = runs.read(folder, "manifest")
        labels, logits, _ = frames.chosen(folder)
        key = tuple(manifest[name] for name in _KEYS)
        found[key] = (labels, logits.argmax(axis=1), logits.shape[1])
    return found


def _gap(chosen: Mapping[tuple, tuple], task: str, first: str, second: str) -> dict[str, Any]:
    seeds = sorted({key[2:] for key in chosen if key[:2] == (task, first)})
    labels, _, classes = chosen[task, first, *seeds[0]]
    one, other = (np.stack([chosen[task, arm, *s][1] for s in seeds]) for arm in (first, second))
    scores = [[_mcc(labels, row, classes) for row in predicted] for predicted in (one, other)]
    values = np.subtract(*scores)
    tests = [metrics.mcnemar(labels, a, b) for a, b in zip(one, other, strict=True)]
    low_rows, high_rows = paired_bootstrap(labels, one, other, classes)
    return {"task": task, "first": first, "second": second} | {
        **interval(values, [seed for seed, _ in seeds]),
        "low_rows": low_rows,
        "high_rows": high_rows,
        "p": median_p(tests),
    }


def _mcc(labels: np.ndarray, predicted: np.ndarray, classes: int) -> float:
    return metrics.scores(labels, np.eye(classes)[predicted])["mcc"]


def interval(values: Sequence[float], pretraining: Sequence[int] = ()) -> dict[str, Any]:
    """Gaps of several seeds as: seeds, over, gap (mean), low, high (95 % t interval), outcome.

    With several pre-training seeds these are the unit: fine-tuning seeds are averaged within them,
    since runs from one checkpoint are no independent draws. With one, the interval is over
    fine-tuning seeds. `over` says which.

    win or loss: the 95 % interval lies on one side of 0. equivalent: the 90 % interval lies inside
    +-0.005. Else inconclusive.
    """
    several = len(set(pretraining)) > 1
    if several:
        groups = pl.DataFrame({"seed": pretraining, "gap": values}).group_by("seed")
        values = groups.agg(pl.col("gap").mean()).sort("seed")["gap"].to_list()
    low, high = t_interval(values)
    inside = [abs(edge) < EQUIVALENCE_POINTS / 100 for edge in t_interval(values, 0.90)]
    named = {"win": low > 0, "loss": high < 0, "equivalent": all(inside)}
    outcome = next((name for name, holds in named.items() if holds), "inconclusive")
    over = "pre-training seeds" if several else "fine-tuning seeds"
    found = {"seeds": len(values), "over": over, "gap": float(np.mean(values))}
    return found | {"low": low, "high": high, "outcome": outcome}


def shown(table: pl.DataFrame) -> pl.DataFrame:
    """The table of gaps as a reader sees it: task, pair, gap, interval, outcome, p-values."""
    named = (pl.col(column).replace(SHORT) for column in ("first", "second"))
    edges = pl.struct("low", "high").map_elements(
        lambda x: interval_text(x["low"], x["high"], "+"), pl.String
    )
    return table.select(
        "task",
        pl.format("{} minus {}", *named).alias("pair"),
        "gap",
        edges.alias("95 % over seeds"),
        "outcome",
        _said("p").alias("McNemar p"),
        _said("p_holm").alias("Holm p"),
    )


def _said(column: str) -> pl.Expr:
    """A p-value as text with two digits; below 1 in 10,000 its digits say nothing."""
    return pl.col(column).map_elements(
        lambda p: f"{p:.2g}" if p >= 1e-4 else "< 0.0001", return_dtype=pl.String
    )


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
    one, other, band = SPOKEN[first], SPOKEN[second], EQUIVALENCE_POINTS / 100
    said = {
        "win": f"{one} did beat {other} here",
        "loss": f"{one} did not beat {other} here: it did worse",
        "equivalent": f"{one} did not beat {other} here: they are within ±{band:g} MCC",
        "inconclusive": f"{one} did not beat {other} here; nor did it do worse beyond doubt",
    }
    gap = f"mean gap over {tasks} task{'s' * (tasks != 1)} {found['gap']:+.3f} MCC"
    edges = interval_text(found["low"], found["high"], "+")
    if not edges:
        return f"A single seed cannot tell whether {one} would beat {other} again ({gap})"
    text = said[found["outcome"]]
    return f"{text[0].upper()}{text[1:]} ({gap}, 95 % interval over {found['over']} {edges})"
