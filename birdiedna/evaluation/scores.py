"""Scores of the arms on the tasks: means over seeds, baselines, our Table 1.

Everything is computed from the saved predictions of runs. Intervals over fine-tuning seeds do not
cover pre-training seeds: results of one checkpoint per arm do not generalise. Empty frames give
empty frames with the same columns.
"""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from birdiedna.data.labelled import Labelled
from birdiedna.evaluation import baselines, cnn, metrics
from birdiedna.evaluation.frames import Schema
from birdiedna.evaluation.paper_table import ARM_TITLES, PRETRAINED, TABLE_1
from birdiedna.evaluation.statistics import by_seed, interval, interval_column
from birdiedna.tasks.benchmark_rules import SPLICE_BASES, TASK_TITLES

#: The 5-mer baseline on the same bases as the models.
FAIR = "5-mers, bases the models see"
#: The small CNN on the same bases as the models.
CNN = "small CNN"
_ARMS: Schema = {"task": pl.String, "arm": pl.String, "metric": pl.String, "seeds": pl.Int64}
_ARMS |= dict.fromkeys(("mean", "low", "high", "low_rows", "high_rows"), pl.Float64)


def arms(results: pl.DataFrame) -> pl.DataFrame:
    """Means over seeds of `frames.results`, per task, arm and metric, with 95% t intervals.

    Columns: task, arm, metric, seeds (counted as in `statistics.by_seed`), mean, low, high;
    low_rows, high_rows: mean edges of the runs' intervals over test rows.
    """
    rows = []
    for key, part in results.group_by(["task", "arm", "metric"], maintain_order=True):
        found = interval(by_seed(part["value"].to_numpy(), part["seed"].to_list()))
        edges = (found[name] for name in ("seeds", "gap", "low", "high"))
        rows.append((*key, *edges, part["low"].mean(), part["high"].mean()))
    return pl.DataFrame(rows, _ARMS, orient="row")


def result_table(results: pl.DataFrame) -> pl.DataFrame:
    """The table of results: one row per task and arm, mean scores and two intervals of the MCC.

    `over seeds` is the t interval over seeds; `over test rows` has the mean edges of the runs'
    bootstrap intervals over test rows.
    """
    keys, found = ["task", "arm"], arms(results)
    edges = found.filter(metric="mcc").select(
        *keys,
        interval_column().alias("over seeds"),
        interval_column(which="_rows").alias("over test rows"),
    )
    wide = by_metric(found, keys, "mean").join(edges, on=keys, maintain_order="left")
    return wide.select(
        pl.col("task").replace(TASK_TITLES),
        pl.col("arm").replace(ARM_TITLES),
        pl.col("mcc").alias("MCC"),
        "over seeds",
        "over test rows",
        "accuracy",
        pl.col("f1").alias("F1"),
    )


def by_metric(frame: pl.DataFrame, keys: Sequence[str], value: str) -> pl.DataFrame:
    """Pivot to one row per key, with columns accuracy, f1 and mcc."""
    columns = {m: pl.col(value).filter(metric=m).first() for m in metrics.METRICS}
    return frame.group_by(keys, maintain_order=True).agg(**columns)


def step_choices(curves: pl.DataFrame) -> tuple[float, float]:
    """How much the mean MCC would rise at the last step, and at the best on test rows.

    The latter is not allowed. Compared with the earliest best step on validation; NaN without runs.
    """
    chosen = pl.col("test").sort_by("validation", "step", descending=[True, False]).first()
    others = pl.col("test").sort_by("step").last(), pl.col("test").max()
    by_run = curves.group_by("task", "arm", "seed", "finetune_seed")
    gaps = by_run.agg(last=others[0] - chosen, best=others[1] - chosen)
    last, best = gaps.select(pl.mean("last", "best").fill_null(math.nan)).row(0)
    return last, best


def by_share(probed: pl.DataFrame) -> pl.DataFrame:
    """Test MCC of probes, from `frames.results`, by the share of train rows.

    Columns: task, arm, seed, share, n_train, subsets; mean, least and greatest MCC over the subsets
    of a share; low and high, the extremes of their bootstrap intervals over test rows.
    """
    value = pl.col("value")
    return (
        probed.filter(metric="mcc")
        .group_by("task", "arm", "seed", "share", "n_train", maintain_order=True)
        .agg(
            subsets=value.len(),
            mean=value.mean(),
            least=value.min(),
            greatest=value.max(),
            low=pl.col("low").min(),
            high=pl.col("high").max(),
        )
    )


#: A line of `probe_report`, up to the interval.
PROBE_LINE = "  {:28s}{:17s}{:>8,} rows{:8.3f}".format


def probe_report(probed: pl.DataFrame) -> str:
    """`by_share` as text; shares of as many rows are one line."""
    lines = ["MCC on test rows: mean over draws of train rows (widest 95% over test rows)"]
    for row in by_share(probed).iter_rows(named=True):
        line = PROBE_LINE(row["task"], row["arm"], row["n_train"], row["mean"])
        lines.append(f"{line}  [{row['low']:.3f}, {row['high']:.3f}]")
    return "\n".join(dict.fromkeys(lines))


def baseline_scores(
    name: str, whole: tuple[Labelled, Labelled], seen: tuple[Labelled, Labelled, Labelled]
) -> pl.DataFrame:
    """Scores of baselines without pre-training: task, who, metric, value.

    `whole` are uncropped train and test rows; `seen` are train, validation and test rows as the
    models read them. The 5-mer regression is scored on both; `seen` is the fair comparison. Splice
    sites in windows of 600 bases also get the two-letter rule. The small CNN is averaged over its
    seeds.
    """
    train, _, test = seen
    found = {
        "majority class": baselines.majority(*whole),
        "GC share": baselines.gc_regression(*whole),
        "5-mers, whole window": baselines.kmer_regression(*whole),
        FAIR: baselines.kmer_regression(train, test),
    }
    for site, rule in baselines.SPLICE_RULES.items():
        is_site = name.startswith(f"splice_sites_{site}")
        if is_site and whole[1].tokens.shape[1] == SPLICE_BASES:
            found["two letters"] = np.eye(2)[baselines.predict(rule, whole[1].tokens)]
    scored = {who: metrics.scores(test.labels, given) for who, given in found.items()}
    runs = [metrics.scores(test.labels, cnn.predict(seen, seed)) for seed in cnn.SEEDS]
    scored[CNN] = {m: float(np.mean([run[m] for run in runs])) for m in metrics.METRICS}
    rows = [
        {"task": name, "who": who, "metric": metric, "value": value}
        for who, values in scored.items()
        for metric, value in values.items()
    ]
    return pl.DataFrame(rows)


def beaten_text(results: pl.DataFrame, baseline: pl.DataFrame, who: str) -> str:
    """On how many tasks a baseline has a higher MCC than the mean of every arm, as a sentence.

    Takes `frames.results` and `baseline_scores`; `who` names the baseline.
    """
    only = pl.col("metric") == "mcc"
    best = arms(results).filter(only).group_by("task").agg(pl.col("mean").max())
    both = baseline.filter(only & (pl.col("who") == who)).join(best, on="task")
    if both.is_empty():
        return f"No task was run with every arm and “{who}”"
    beaten = (both["value"] > both["mean"]).sum()
    return f"On {beaten} of {both.height} tasks “{who}” scores higher than the best arm's mean"


def table_1(results: pl.DataFrame, present: Sequence[str]) -> pl.DataFrame:
    """The paper's 14 rows and ours, in percent, as `Birdie / NTP`, or why there is none.

    Ours are from `frames.results`; `present` are the tasks of the data folder.
    """
    both = "{:.2f} / {:.2f}".format
    means = arms(results).select("task", "metric", "arm", 100 * pl.col("mean"))
    found = {tuple(key): mean for *key, mean in means.iter_rows()}
    rows = []
    for row in TABLE_1:
        none = "not compared here" if row.task in present else "no data here"
        line = {"task": TASK_TITLES[row.task]}
        for metric, title in (("accuracy", "accuracy"), ("f1", "F1")):
            ours = [found.get((row.task, metric, arm)) for arm in PRETRAINED]
            line |= {f"{title}, paper": both(*getattr(row, metric))}
            line |= {f"{title}, ours": none if None in ours else both(*ours)}
        rows.append(line)
    return pl.DataFrame(rows)
