"""How the arms stand on the tasks: scores, learning speed, baselines, and Table 1 filled in.

Everything is computed from the saved predictions of fine-tuning runs. Intervals over fine-tuning
seeds say nothing about pre-training seeds: one checkpoint per arm generalises to nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import polars as pl

from birdiedna.data.labelled import Labelled
from birdiedna.evaluation import baselines, metrics
from birdiedna.evaluation.paper_table import ARM_TITLES, PRETRAINED, TABLE_1, PaperRow
from birdiedna.evaluation.statistics import interval_text, t_interval
from birdiedna.tasks import TASKS

#: A run whose |MCC| is below this has collapsed; it is counted and never dropped.
COLLAPSED = 0.02
#: Title of each known task; a task of one's own keeps its name.
TASK_TITLES = {task.name: task.title for task in TASKS}
#: The baseline that reads what the models read.
FAIR = "5-mers, bases the models see"
_KEYS = ("task", "arm", "seed", "finetune_seed")


def arms(results: pl.DataFrame) -> pl.DataFrame:
    """Per task, arm and metric: mean over fine-tuning seeds and its 95 % t interval.

    Args:
      results: as `frames.results` gives it.

    Returns:
      task, arm, metric, seeds, mean, low, high, collapsed (runs with |MCC| < 0.02).
    """
    rows = []
    for (task, arm, metric), part in results.group_by(
        ["task", "arm", "metric"], maintain_order=True
    ):
        values = part["value"].to_list()
        low, high = t_interval(values)
        collapsed = sum(abs(v) < COLLAPSED for v in values) if metric == "mcc" else None
        row = {"task": task, "arm": arm, "metric": metric, "seeds": len(values)}
        row |= {"mean": float(np.mean(values)), "low": low, "high": high, "collapsed": collapsed}
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)


def result_table(results: pl.DataFrame) -> pl.DataFrame:
    """Results as shown: one row per task and arm, mean scores and the MCC's two intervals.

    `over seeds` is the t interval over fine-tuning seeds; `over test rows` the widest reach of the
    seeds' bootstrap intervals over test examples.
    """
    summary, only = arms(results), pl.col("metric") == "mcc"
    wide = summary.pivot("metric", index=["task", "arm"], values="mean")
    seeds = summary.filter(only).select("task", "arm", _edges().alias("over seeds"))
    reach = (
        results.filter(only).group_by("task", "arm").agg(pl.col("low").min(), pl.col("high").max())
    )
    reach = reach.select("task", "arm", _edges().alias("over test rows"))
    kept = {"on": ["task", "arm"], "maintain_order": "left"}
    return (
        wide.join(seeds, **kept)
        .join(reach, **kept)
        .select(
            pl.col("task").replace(TASK_TITLES),
            pl.col("arm").replace(ARM_TITLES),
            pl.col("mcc").alias("MCC"),
            "over seeds",
            "over test rows",
            "accuracy",
            pl.col("f1").alias("F1"),
        )
    )


def _edges() -> pl.Expr:
    """The columns `low` and `high` as text."""
    both = pl.struct("low", "high")
    return both.map_elements(lambda x: interval_text(x["low"], x["high"]), pl.String)


def areas(curves: pl.DataFrame) -> pl.DataFrame:
    """Learning speed: the mean height of the validation MCC curve from step 0 to the last step."""
    rows = []
    part = curves.filter((pl.col("split") == "validation") & (pl.col("metric") == "mcc"))
    for key, run in part.group_by(_KEYS, maintain_order=True):
        steps, values = run.sort("step").select("step", "value").to_numpy().T
        rows.append(
            dict(zip(_KEYS, key)) | {"value": float(np.trapezoid(values, steps) / steps[-1])}
        )
    return pl.DataFrame(rows)


def selection(curves: pl.DataFrame) -> pl.DataFrame:
    """Test MCC of every run by three rules of choosing the step: rule, step and value.

    `last`; `chosen`: best on validation, the earliest of equals; `best on test`: not allowed, here
    to show what it would add.
    """
    wide = curves.filter(pl.col("metric") == "mcc").pivot(
        "split", index=[*_KEYS, "step"], values="value"
    )
    order = {"last": "step", "chosen on validation": "validation", "best on test": "test"}
    picked = [
        wide.sort([column, "step"], descending=[True, False])
        .group_by(_KEYS, maintain_order=True)
        .first()
        .select(*_KEYS, pl.lit(rule).alias("rule"), "step", pl.col("test").alias("value"))
        for rule, column in order.items()
    ]
    return pl.concat(picked)


class Rows(Protocol):
    """Training and test rows of a task."""

    train: Labelled
    test: Labelled


def baseline_scores(name: str, whole: Rows, seen: Rows, seed: int = 0) -> pl.DataFrame:
    """Scores of methods without pre-training: task, who, metric, value.

    The 5-mer regression is trained twice, on the rows that the models train on: on the whole
    window, and on the part of it that the models see, which is the fair comparison.

    Args:
      name: of the task; splice tasks of two classes get the two-letter rule too.
      whole, seen: rows uncropped, and as the models read them.
      seed: of the regression.
    """
    train, test = whole.train, whole.test
    found = {
        "majority class": baselines.majority(train, test),
        "5-mers, whole window": baselines.kmer_regression(train, test, seed=seed),
        FAIR: baselines.kmer_regression(seen.train, seen.test, seed=seed),
    }
    for site in baselines.SPLICE_RULES:
        if name.startswith(f"splice_sites_{site}"):
            found["two letters"] = np.eye(2)[baselines.two_letter_rule(test.tokens, site)]
    rows = [
        {"task": name, "who": who, "metric": metric, "value": value}
        for who, probabilities in found.items()
        for metric, value in metrics.scores(test.labels, probabilities).items()
    ]
    return pl.DataFrame(rows)


def beaten_by_words(results: pl.DataFrame, bars: pl.DataFrame) -> int:
    """On how many tasks 5-mers, on the bases the models see, have a higher MCC than every arm.

    Args:
      results: as `frames.results` gives it.
      bars: rows of `baseline_scores`.
    """
    only = pl.col("metric") == "mcc"
    best = arms(results).filter(only).group_by("task").agg(pl.col("mean").max())
    words = bars.filter(only & (pl.col("who") == FAIR)).join(best, on="task")
    return int((words["value"] > words["mean"]).sum())


def table_1(results: pl.DataFrame, present: Sequence[str]) -> pl.DataFrame:
    """The paper's 14 rows beside ours, in percent, each `Birdie / NTP`; or why there is no run.

    Args:
      results: as `frames.results` gives it.
      present: tasks of the data folder.
    """
    summary = arms(results)
    columns = summary.select("task", "arm", "metric", "mean")
    found = {tuple(key): 100 * mean for *key, mean in columns.iter_rows()}
    return pl.DataFrame([_row_of_table_1(row, found, present) for row in TABLE_1])


def _row_of_table_1(
    row: PaperRow, found: Mapping[tuple, float], present: Sequence[str]
) -> dict[str, str]:
    absent = "not run here" if row.task in present else "no data here"
    ours = {
        metric: [found[row.task, arm, metric] for arm in PRETRAINED]
        for metric in ("accuracy", "f1")
        if (row.task, "birdie", metric) in found
    }
    shown = {metric: "{:.2f} / {:.2f}".format(*pair) for metric, pair in ours.items()}
    return {
        "task": TASK_TITLES[row.task],
        "accuracy, paper": f"{row.accuracy_birdie:.2f} / {row.accuracy_ntp:.2f}",
        "accuracy, ours": shown.get("accuracy", absent),
        "F1, paper": f"{row.f1_birdie:.2f} / {row.f1_ntp:.2f}",
        "F1, ours": shown.get("f1", absent),
    }
