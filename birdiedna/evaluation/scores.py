"""Scores of the arms on the tasks: means over seeds, baselines, our Table 1.

Everything is computed from the saved predictions of fine-tuning runs. Intervals over fine-tuning
seeds say nothing about pre-training seeds: one checkpoint per arm generalises to nothing. Frames of
no run give empty frames with the same columns.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from birdiedna.data.labelled import Labelled
from birdiedna.evaluation import baselines, cnn, metrics, probabilities
from birdiedna.evaluation.frames import Schema
from birdiedna.evaluation.paper_table import ARM_TITLES, PRETRAINED, TABLE_1
from birdiedna.evaluation.statistics import interval, interval_column
from birdiedna.tasks.benchmark_rules import SPLICE_BASES, TASK_TITLES

#: A run whose |MCC| is below this has collapsed; it is counted and never dropped.
COLLAPSED = 0.02
#: The baseline that reads what the models read.
FAIR = "5-mers, bases the models see"
#: The baseline that learns its words; it reads what the models read, too.
CNN = "small CNN"
_ARMS: Schema = {"task": pl.String, "arm": pl.String, "metric": pl.String, "seeds": pl.Int64}
_ARMS |= dict.fromkeys(("mean", "low", "high", "low_rows", "high_rows"), pl.Float64)
_ARMS |= {"collapsed": pl.Int64}


def arms(results: pl.DataFrame) -> pl.DataFrame:
    """Per task, arm and metric of `frames.results`: mean over seeds and its 95% t interval.

    Returns:
      task, arm, metric, seeds (as `statistics.interval` counts them), mean, low, high; low_rows,
      high_rows: mean edges of the runs' intervals over test rows; collapsed (runs with |MCC| <
      0.02).
    """
    rows = []
    for key, part in results.group_by(["task", "arm", "metric"], maintain_order=True):
        values = part["value"].to_list()
        collapsed = sum(abs(v) < COLLAPSED for v in values) if key[2] == "mcc" else None
        found = interval(values, part["seed"].to_list())
        edges = (found[name] for name in ("seeds", "gap", "low", "high"))
        rows.append((*key, *edges, part["low"].mean(), part["high"].mean(), collapsed))
    return pl.DataFrame(rows, _ARMS, orient="row")


def result_table(results: pl.DataFrame) -> pl.DataFrame:
    """Results as shown: one row per task and arm, mean scores and the MCC's two intervals.

    `over seeds` is the t interval over seeds; `over test rows` has the mean edges of the runs'
    bootstrap intervals over test examples.
    """
    keys, found = ["task", "arm"], arms(results)
    edges = found.filter(pl.col("metric") == "mcc").select(
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


def probability_table(found: pl.DataFrame) -> pl.DataFrame:
    """Scores of `frames.probabilities` as shown: one row per task and arm, means over runs."""
    of = {m: pl.col("value").filter(pl.col("metric") == m).mean() for m in probabilities.METRICS}
    table = found.group_by("task", "arm", maintain_order=True).agg(**of)
    titles = {"task": TASK_TITLES, "arm": ARM_TITLES}
    return table.with_columns(pl.col(name).replace(to) for name, to in titles.items())


def by_metric(frame: pl.DataFrame, keys: Sequence[str], value: str) -> pl.DataFrame:
    """One row per key, with the values of each metric as columns accuracy, f1 and mcc."""
    of = {m: pl.col(value).filter(pl.col("metric") == m).first() for m in metrics.METRICS}
    return frame.group_by(keys, maintain_order=True).agg(**of)


def selection_bias(curves: pl.DataFrame) -> float:
    """What choosing the step on test rows, which is not allowed, adds to the mean MCC of runs.

    Chosen is the best step on validation, the earliest of equals; NaN without runs.
    """
    mcc, run = curves.filter(pl.col("metric") == "mcc"), ["task", "arm", "seed", "finetune_seed"]
    validation, test = (
        mcc.filter(pl.col("split") == split).select(*run, "step", pl.col("value").alias(split))
        for split in ("validation", "test")
    )
    chosen = pl.col("test").sort_by("validation", "step", descending=[True, False]).first()
    wide = validation.join(test, on=[*run, "step"])
    gaps = wide.group_by(run).agg(gap=pl.col("test").max() - chosen)["gap"].to_list()
    return float(np.mean(gaps)) if gaps else float("nan")


def by_share(probed: pl.DataFrame) -> pl.DataFrame:
    """Test MCC of probes, of `frames.results`, by the share of train rows that they were fitted to.

    Returns:
      task, arm, seed, share, n_train, subsets; mean, least and greatest MCC of the subsets of a
      share; low and high, the widest reach of their bootstrap intervals over test examples.
    """
    value = pl.col("value")
    return (
        probed.filter(pl.col("metric") == "mcc")
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


def probe_report(probed: pl.DataFrame) -> str:
    """`by_share` as lines of text."""
    lines = ["MCC on test rows: mean over draws of train rows (widest 95 % over test rows)"]
    line = "  {task:28s}{arm:10s}{n_train:>8,} rows{mean:8.3f}  [{low:.3f}, {high:.3f}]".format
    return "\n".join(lines + [line(**row) for row in by_share(probed).iter_rows(named=True)])


def baseline_scores(
    name: str, whole: tuple[Labelled, Labelled], seen: tuple[Labelled, Labelled, Labelled]
) -> pl.DataFrame:
    """Scores of methods without pre-training: task, who, metric, value.

    `whole` are training and test rows, uncropped; `seen` are training, validation and test rows, as
    the models read them. The 5-mer regression is trained on both; the second is the fair
    comparison. Splice sites in windows of 600 bases get the two-letter rule too. The scores of the
    small CNN are means over its seeds.
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


def beaten_by_words(results: pl.DataFrame, baseline: pl.DataFrame, who: str = FAIR) -> int:
    """On how many tasks 5-mers, on the bases the models see, have a higher MCC than every arm.

    Of `frames.results` and `baseline_scores`; `who` is another baseline in place of the 5-mers.
    """
    only = pl.col("metric") == "mcc"
    best = arms(results).filter(only).group_by("task").agg(pl.col("mean").max())
    words = baseline.filter(only & (pl.col("who") == who)).join(best, on="task")
    return int((words["value"] > words["mean"]).sum())


def words_text(results: pl.DataFrame, baseline: pl.DataFrame) -> str:
    """What counting words says about pre-training, as a sentence; arguments as above."""
    if results.is_empty():
        return "No task was run from every arm, so there is nothing to set beside counted words"
    beaten = beaten_by_words(results, baseline)
    said = f"On {beaten} of {results['task'].n_unique()} tasks the 5-mer regression, on the same "
    said += "bases, scores higher than the best arm's mean"
    if not beaten:
        return f"{said}: on none of them counting words is enough"
    where = "these tasks" if beaten > 1 else "this task"
    return f"{said}; on {where} counting words is better than pre-training, whichever arm is better"


def cnn_text(results: pl.DataFrame, baseline: pl.DataFrame) -> str:
    """What the small CNN says about pre-training, as a sentence; arguments as above."""
    tasks = baseline.filter(pl.col("who") == CNN).join(results, on="task")["task"].n_unique()
    if not tasks:
        return "No small CNN was trained for these results"
    beaten = beaten_by_words(results, baseline, CNN)
    said = f"On {beaten} of {tasks} tasks the small CNN, without any pre-training, scores higher "
    return f"{said}than the best arm's mean"


def table_1(results: pl.DataFrame, present: Sequence[str]) -> pl.DataFrame:
    """The paper's 14 rows beside ours, in percent, each `Birdie / NTP`; or why there is no run.

    Ours are `frames.results`; `present` are the tasks of the data folder.
    """
    both = "{:.2f} / {:.2f}".format
    means = arms(results).select("task", "metric", "arm", 100 * pl.col("mean"))
    found = {tuple(key): mean for *key, mean in means.iter_rows()}
    rows = []
    for row in TABLE_1:
        none = "not run here" if row.task in present else "no data here"
        line = {"task": TASK_TITLES[row.task]}
        for metric, title in (("accuracy", "accuracy"), ("f1", "F1")):
            theirs = (getattr(row, f"{metric}_{arm}") for arm in PRETRAINED)
            ours = [found.get((row.task, metric, arm)) for arm in PRETRAINED]
            line |= {f"{title}, paper": both(*theirs)}
            line |= {f"{title}, ours": none if None in ours else both(*ours)}
        rows.append(line)
    return pl.DataFrame(rows)
