"""Compare two arms over tasks, seeds or test rows: wins, mean gap, tests and intervals.

The same functions serve the paper's Table 1 and our own results. A gap is always the first arm
minus the second, in the unit of the scores; our own are paired by seed and by test row.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import scipy
from numpy.typing import ArrayLike

from birdiedna.data.names import quantity, sided
from birdiedna.evaluation import frames, metrics
from birdiedna.evaluation.paper_table import ARM_TITLES
from birdiedna.tasks.benchmark_rules import TASK_TITLES
from birdiedna.training import run_folder
from birdiedna.training.metrics import whole

#: Gaps with a 90% interval inside +-0.5 points are equivalent (fixed in advance).
EQUIVALENCE_POINTS = 0.5
#: Outcomes of a comparison.
OUTCOMES = ("win", "loss", "equivalent", "inconclusive")
#: The kind of seeds that verdicts are about.
PRETRAINING = "pre-training seeds"
#: Pairs that are always compared; a gap is the first minus the second.
PAIRS = (("birdie", "ntp"), ("birdie", "random"), ("ntp", "random"))
#: Labels of arms; others are labelled by name.
SHORT = {"birdie": "Birdie", "ntp": "NTP", "random": "random", "mlm": "MLM", "ul2r": "UL2R"}
SHORT |= {"uniform": "uniform"}
_GAPS: dict[str, Any] = dict.fromkeys(("task", "first", "second"), pl.String)
_GAPS |= {"seeds": pl.Int64, "gap": pl.Float64, "low": pl.Float64, "high": pl.Float64}
_GAPS |= {"outcome": pl.String}
_GAPS |= dict.fromkeys(("low_rows", "high_rows", "low_both", "high_both"), pl.Float64)
_GAPS |= dict.fromkeys(("only_first", "only_second"), pl.List(pl.Int64))
_GAPS |= dict.fromkeys(("p", "p_holm", "p_bh"), pl.Float64)
#: All patterns of signs are enumerated for up to this many differences.
_EXACT = 16
#: Gaps that differ by less are equal but for rounding.
_ROUNDING = 1e-12


def _in_a_sentence(arm: str) -> str:
    return "random weights" if arm == "random" else f"the {SHORT.get(arm, arm)} arm"


def recount(first: ArrayLike, second: ArrayLike) -> dict[str, Any]:
    """Compare two arms over tasks, one score per task in the same order, by exact tests.

    Columns: wins ("8 of 14"); mean and median gap; low, high: 95% t interval of the mean, treating
    the tasks as a random sample; sign test p, Wilcoxon p: two-sided. ValueError if the lengths
    differ, there are fewer than two tasks, or a score is not finite.
    """
    one, other = np.asarray(first, float), np.asarray(second, float)
    if one.shape != other.shape or one.ndim != 1 or len(one) < 2:
        raise ValueError(f"scores of {one.shape}, {other.shape}; give one per task, 2 or more")
    if not np.isfinite(one - other).all():
        raise ValueError("a score is missing or not finite; compare only tasks that both arms have")
    gaps = np.round(one - other, 9)  # equal digits are ties
    wins, losses = int((gaps > 0).sum()), int((gaps < 0).sum())
    low, high = map(float, t_interval(gaps))
    return {
        "wins": f"{wins} of {len(gaps)}",
        "mean": float(gaps.mean()),
        "low": low,
        "high": high,
        "median": float(np.median(gaps)),
        "sign test p": float(sign_p(wins, wins + losses)),
        "Wilcoxon p": signed_rank_p(gaps),
    }


def sign_p(wins: ArrayLike, decided: ArrayLike) -> np.ndarray:
    """Exact two-sided p of the sign test: `wins` of `decided` comparisons; arrays broadcast.

    ValueError if wins are below 0 or more than are decided.
    """
    wins, decided = np.asarray(wins), np.asarray(decided)
    if ((wins < 0) | (wins > decided)).any():
        raise ValueError(f"wins {wins} of {decided}; give 0 to as many as are decided")
    return np.minimum(1, 2 * scipy.stats.binom.cdf(np.minimum(wins, decided - wins), decided, 0.5))


def signed_rank_p(values: ArrayLike) -> float:
    """Two-sided p of Wilcoxon's signed-rank test: the `sign_flip_p` of the signed ranks.

    Ties get mean ranks, which scipy's exact test does not support; zeros are dropped.
    """
    gaps = np.asarray(values, float)
    gaps = gaps[gaps != 0]
    return sign_flip_p(np.sign(gaps) * scipy.stats.rankdata(np.abs(gaps)))


def sign_flip_p(values: ArrayLike) -> float:
    """Two-sided p of paired differences: the share of sign patterns with as large a mean.

    Exact up to 16 differences; of more, 65,536 patterns are drawn, the given one included. NaN if a
    difference is not finite. ValueError unless they are one row (n,).
    """
    gaps = np.asarray(values, float)
    if gaps.ndim != 1:
        raise ValueError(f"differences of {gaps.shape}; give one row, or each row by itself")
    if not np.isfinite(gaps).all():
        return float("nan")
    if len(gaps) <= _EXACT:
        signs = 1 - 2 * (np.arange(2 ** len(gaps))[:, None] >> np.arange(len(gaps)) & 1)
    else:
        signs = np.random.default_rng(0).choice((-1, 1), (2**_EXACT, len(gaps)))
        signs[0] = 1
    sums = np.abs(signs @ gaps)
    return float((sums >= abs(gaps.sum()) - _ROUNDING * np.abs(gaps).sum()).mean())


def t_interval(
    values: ArrayLike, confidence: float = 0.95, axis: int = -1
) -> tuple[np.ndarray, np.ndarray]:
    """Student's t interval of the mean along an axis; (nan, nan) for fewer than two values.

    A percentile bootstrap of three seeds would cover 75% only. Returns low, high: `values` without
    that axis. ValueError for a confidence that is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1; give, say, 0.95")
    array = np.moveaxis(np.asarray(values, float), axis, -1)
    count = array.shape[-1]
    if count < 2:
        unknown = np.full(array.shape[:-1], np.nan)
        return unknown, unknown
    middle, spread = array.mean(-1), array.std(-1, ddof=1) / count**0.5
    half = scipy.special.stdtrit(count - 1, (1 + confidence) / 2) * spread
    return middle - half, middle + half


def interval_text(low: float, high: float, sign: str = "") -> str | None:
    """An interval as `0.553 to 0.624`; None if an edge is not finite, as with a single seed.

    `sign` is "+" to print the sign of positive edges.
    """
    if not (np.isfinite(low) and np.isfinite(high)):
        return None
    return f"{sided(low, f'{sign}.3f')} to {sided(high, f'{sign}.3f')}"


def mean_text(
    values: np.ndarray,
    over: str,
    form: str = "+.3f",
    unit: Callable[[Any], Any] = float,
    more: str = "",
) -> str:
    """A mean over seeds with its 95% t interval: `+0.020 (+0.010 to +0.030 over 5 seeds)`.

    `over` names the seeds; `unit` converts mean and edges for display; `more` follows the interval.
    """
    if not len(values):
        return "not measured"
    low, high = map(unit, t_interval(values))
    edges = f"{sided(low, form)} to {sided(high, form)} over {len(values)} {over}{more}"
    return f"{sided(unit(values.mean()), form)} ({edges if len(values) > 1 else 'a single seed'})"


def interval_column(sign: str = "", which: str = "") -> pl.Expr:
    """The columns `low` and `high`, with suffix `which`, as `interval_text`."""
    low, high = f"low{which}", f"high{which}"
    text = lambda edges: interval_text(edges[low], edges[high], sign)
    return pl.struct(low, high).map_elements(text, pl.String)


def joined_p(splits: np.ndarray) -> float | None:
    """Combine the exact McNemar p of several seeds; None if their signs differ.

    Twice the median p, at most 1, which is valid under any dependence (Rüger's rule), as between
    seeds that share test rows. Opposite signs are excluded, since two small p would give a small
    one; a single seed keeps its p. `splits` (seeds, 2) counts rows on which only the first or
    only the second arm is right.
    """
    signs = np.sign(splits[:, 0] - splits[:, 1])
    if {1, -1} <= {*signs.tolist()}:
        return None
    p = sign_p(splits[:, 0], splits.sum(1))
    return float(min(1.0, min(2, len(p)) * np.median(p)))


def holm(p: ArrayLike) -> np.ndarray:
    """Correct p-values (n,) by Holm's method; ValueError if one is not from 0 to 1."""
    given = np.asarray(p, float)
    if given.ndim != 1 or ((given < 0) | (given > 1)).any():
        raise ValueError(f"p-values {given}; give a row of numbers from 0 to 1")
    order = np.argsort(given)
    steps = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    return np.minimum(1, steps)[np.argsort(order)]


def mcc(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """MCC (models,) of predicted classes (models, n) on labels (n,)."""
    tables = [metrics.confusion(labels, classified, classes) for classified in predicted]
    return metrics.of_tables(np.stack(tables), "mcc")


def resampled(
    labels: np.ndarray,
    predicted: np.ndarray,
    classes: int,
    seed: int = 0,
    resamples: int = metrics.RESAMPLES,
) -> np.ndarray:
    """MCC (models, resamples) of models on resampled test rows, the same for all models.

    From true classes (n,) and predicted ones (models, n). Resampling rows is a multinomial draw
    over the distinct columns of both, which is what we draw.
    """
    columns = np.stack([whole("classes", one, classes) for one in (labels, *predicted)])
    # as bytes: `np.unique(axis=1)` takes five times as long
    packed = np.ascontiguousarray(columns.T.astype(np.uint8)).view(f"V{len(columns)}")
    _, first, counts = np.unique(packed.ravel(), return_index=True, return_counts=True)
    kinds = columns[:, first]
    cells = np.eye(classes**2, dtype=np.float32)[kinds[0] * classes + kinds[1:]]
    cells = cells.transpose(1, 0, 2).reshape(len(counts), -1)  # (kinds, models x cells)
    rng, found = np.random.default_rng(seed), []
    for begin in range(0, resamples, 250):  # to fit into memory
        several = min(250, resamples - begin)
        drawn = rng.multinomial(len(labels), counts / len(labels), several).astype(np.float32)
        tables = np.rint(drawn @ cells).reshape(-1, classes, classes)
        found.append(metrics.of_tables(tables, "mcc").reshape(several, -1))
    return np.concatenate(found).T


def hierarchical(values: np.ndarray, drawn: np.ndarray) -> tuple[float, float]:
    """95% interval of a mean over both seeds and test rows; NaN for fewer than two seeds.

    A hierarchical bootstrap has two faults: percentiles over few seeds cover too rarely, and
    resampling rows within seeds counts the interaction of seed and row twice. Instead, two squared
    half-widths are added: Student's over seeds, from `values` (seeds,), and the normal one over
    rows, from `drawn` (seeds, resamples) of `resampled`, less the variance that is in both.
    """
    seeds = len(values)
    if seeds < 2:
        return float("nan"), float("nan")
    low, high = t_interval(values)
    both = (drawn - values[:, None]).var(0, ddof=1).mean() / seeds
    rows = max(0.0, drawn.mean(0).var(ddof=1) - both)
    half = np.hypot((high - low) / 2, scipy.special.ndtri(0.975) * rows**0.5)
    return float(values.mean() - half), float(values.mean() + half)


def table(folders: Iterable[Path]) -> pl.DataFrame:
    """Compare `PAIRS`, and Birdie with each further arm, by task, at steps chosen on validation.

    Columns: task, first, second; gap: difference in test MCC, mean over seeds; low, high: its 95% t
    interval; seeds: their number (`by_seed`); outcome (`interval`); low_rows, high_rows: 95% paired
    bootstrap over test rows; low_both, high_both: over seeds and test rows (`hierarchical`);
    only_first, only_second: per run, the number of test rows on which only that arm is right; p:
    their `joined_p`; p_holm, p_bh: p corrected over tasks by Holm and by Benjamini and Hochberg.
    """
    tasks = _runs(folders)
    rows: list[dict[str, Any]] = []
    arms = dict.fromkeys(arm for runs in tasks.values() for arm, *_ in runs.predicted)
    others = [("birdie", arm) for arm in arms if arm not in ("birdie", "ntp", "random")]
    for first, second in (*PAIRS, *others):
        found = {task: _gap(runs, first, second) for task, runs in tasks.items()}
        gaps = [{"task": task, **gap} for task, gap in found.items() if gap]
        p = [1.0 if gap["p"] is None else gap["p"] for gap in gaps]
        corrected = holm(p).tolist(), scipy.stats.false_discovery_control(p).tolist()
        for gap, by_holm, by_bh in zip(gaps, *corrected, strict=True):
            rows.append(gap if gap["p"] is None else gap | {"p_holm": by_holm, "p_bh": by_bh})
    return pl.DataFrame(rows, _GAPS)


class _Runs(NamedTuple):
    """The runs of a task by arm, seed and fine-tuning seed, on the same rows.

    labels: (n,). predicted: the classes (n,) of each run. drawn: its MCC on resampled rows.
    """

    labels: np.ndarray
    classes: int
    predicted: dict[tuple[str, int, int], np.ndarray]
    drawn: dict[tuple[str, int, int], np.ndarray]


def _runs(folders: Iterable[Path]) -> dict[str, _Runs]:
    """The runs of every task.

    ValueError if two runs of a task were scored on different test rows.
    """
    found: dict[str, _Runs] = {}
    for folder in folders:
        fields = ("task", "arm", "seed", "finetune_seed")
        manifest = run_folder.read(folder, "manifest", *fields)
        task, arm, seed, finetune_seed = (manifest[name] for name in fields)
        labels, logits, _ = frames.chosen(folder)
        runs = found.setdefault(task, _Runs(labels, logits.shape[1], {}, {}))
        if not np.array_equal(labels, runs.labels):
            raise ValueError(f"{folder}: its test labels differ from other runs of {task}")
        runs.predicted[arm, seed, finetune_seed] = logits.argmax(axis=1)
    for runs in found.values():
        drawn = resampled(runs.labels, np.stack([*runs.predicted.values()]), runs.classes)
        runs.drawn.update(zip(runs.predicted, drawn, strict=True))
    return found


def _gap(runs: _Runs, first: str, second: str) -> dict[str, Any]:
    """The row of `table` for a pair on a task; empty if they have no seeds in common."""
    seeds = sorted(
        key[1:] for key in runs.predicted if key[0] == first and (second, *key[1:]) in runs.drawn
    )
    if not seeds:
        return {}
    one, other = (np.stack([runs.predicted[arm, *s] for s in seeds]) for arm in (first, second))
    values = np.subtract(*(mcc(runs.labels, arm, runs.classes) for arm in (one, other)))
    right, rival = one == runs.labels, other == runs.labels
    splits = np.stack([(right & ~rival).sum(1), (rival & ~right).sum(1)], axis=1)
    resamples = np.stack([runs.drawn[first, *s] - runs.drawn[second, *s] for s in seeds])
    low_rows, high_rows = map(float, np.quantile(resamples.mean(0), (0.025, 0.975)))
    values, by_unit = (by_seed(array, [seed for seed, _ in seeds]) for array in (values, resamples))
    low_both, high_both = hierarchical(values, by_unit)
    return {
        "first": first,
        "second": second,
        **interval(values),
        "low_rows": low_rows,
        "high_rows": high_rows,
        "low_both": low_both,
        "high_both": high_both,
        "only_first": splits[:, 0].tolist(),
        "only_second": splits[:, 1].tolist(),
        "p": joined_p(splits),
    }


def by_seed(values: np.ndarray, pretraining: Sequence[int]) -> np.ndarray:
    """Average the values of runs (n, ...) within pre-training seeds (n,), if there are several.

    These are the unit then, since runs from one checkpoint are not independent.
    """
    each, seeds = np.asarray(pretraining), sorted({*pretraining})
    if len(seeds) < 2:
        return values
    return np.stack([values[each == seed].mean(0) for seed in seeds])


def interval(values: Sequence[float] | np.ndarray) -> dict[str, Any]:
    """Summarise gaps over seeds: seeds, gap (mean), low, high (95% t interval), outcome.

    win or loss: the 95% interval is on one side of 0. equivalent: the 90% interval is inside
    +-0.005. Otherwise inconclusive, as are larger gaps that are equal, which tell no spread: runs
    that collapse have them. Without values, the gap and its interval are NaN.
    """
    low, high = map(float, t_interval(values))
    differ = len(values) > 0 and float(np.ptp(values)) > _ROUNDING
    inside = all(abs(edge) < EQUIVALENCE_POINTS / 100 for edge in t_interval(values, 0.90))
    cases = (differ and low > 0, differ and high < 0, inside, True)  # in the order of OUTCOMES
    return {
        "seeds": len(values),
        "gap": float(np.mean(values)) if len(values) else float("nan"),
        "low": low,
        "high": high,
        "outcome": OUTCOMES[cases.index(True)],
    }


def seed_unit(frame: pl.DataFrame) -> tuple[str, str]:
    """Column and name of the seeds that are the unit: pre-training seeds if there are several."""
    several = frame["seed"].n_unique() > 1
    return ("seed", PRETRAINING) if several else ("finetune_seed", "fine-tuning seeds")


def unit_text(results: pl.DataFrame) -> str:
    """What intervals over seeds cover in these runs, as a sentence."""
    models = results["seed"].n_unique()
    if not models:
        return "There is nothing to compare"
    if models == 1:
        return (
            "There is one pre-trained model per arm. Results of one checkpoint do not "
            "generalise: a second pre-training seed might reverse any of them"
        )
    few = ": too few for any verdict" if models < 3 else ""
    return (
        f"There are {models} pre-trained models per arm, and they are the unit of every "
        f"interval over seeds{few}"
    )


class Gaps(NamedTuple):
    """Gaps of two arms: values (seeds, tasks), tasks, the kind of seeds, and their numbers."""

    values: np.ndarray
    tasks: tuple[str, ...]
    over: str
    seeds: tuple[int, ...] = ()


def gaps(scores: pl.DataFrame, first: str, second: str) -> Gaps:
    """First minus second, paired by task and both seeds, averaged within `seed_unit`.

    `scores` has one score per run: task, arm, seed, finetune_seed, value. While some are missing,
    the seed or task that lacks the largest share is dropped.
    """
    scores = scores.filter(pl.col("arm").is_in([first, second]))
    unit, over = seed_unit(scores)
    found = paired(scores, first, second, "task")
    means = found.group_by("task", unit, maintain_order=True).agg(pl.col("gap").mean())
    if means.is_empty():
        return Gaps(np.zeros((0, 0)), (), over)
    wide = means.sort(unit, maintain_order=True).pivot("task", index=unit, values="gap")
    tasks = means["task"].unique(maintain_order=True).to_list()
    values = wide.select(tasks)
    rows, columns = _without_gaps(values.select(pl.all().is_null()).to_numpy())
    whole = values.to_numpy()[np.ix_(rows, columns)]
    return Gaps(whole, tuple(tasks[i] for i in columns), over, tuple(wide[unit].gather(rows)))


def _without_gaps(lacks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns without missing values, from bool (seeds, tasks); see `gaps`."""
    rows, columns = map(np.arange, lacks.shape)
    while (left := lacks[np.ix_(rows, columns)]).any():
        by_seed, by_task = left.mean(1), left.mean(0)
        if by_seed.max() >= by_task.max():
            rows = np.delete(rows, by_seed.argmax())
        else:
            columns = np.delete(columns, by_task.argmax())
    return rows, columns


def paired(scores: pl.DataFrame, first: str, second: str, *keys: str) -> pl.DataFrame:
    """Join the runs of the first arm with those of the second, by these keys and both seeds.

    Columns: keys, value, rival, gap (value minus rival); null where the second arm has no run.
    """
    every = [*keys, "seed", "finetune_seed"]
    one, other = (scores.filter(arm=a).select(*every, "value") for a in (first, second))
    both = one.join(other, on=every, maintain_order="left")
    gap = pl.col("value") - pl.col("value_right")
    return both.select(*every, "value", rival="value_right", gap=gap)


def ahead(scores: pl.DataFrame, first: str, second: str) -> str:
    """In how many tasks the first arm is ahead, by its mean gap over common runs: "11 of 18"."""
    found = paired(scores, first, second, "task").drop_nulls()
    gaps = found.group_by("task").agg(pl.col("gap").mean())["gap"]
    return f"{(gaps > 0).sum()} of {len(gaps)}"


def pair() -> pl.Expr:
    """The pair of arms in the columns first and second, as a column `pair`."""
    arms = (pl.col(name).replace(ARM_TITLES | SHORT) for name in ("first", "second"))
    return pl.format("{} minus {}", *arms).alias("pair")


def shown(table: pl.DataFrame) -> pl.DataFrame:
    """`table` for readers: task, pair, gap, intervals, outcome, seeds ahead, p-values."""
    titles = {"p": "McNemar p", "p_holm": "Holm p", "p_bh": "BH p"}
    text = lambda name: pl.col(name).map_elements(_p_text, pl.String, skip_nulls=False)
    return table.select(
        "task",
        pair(),
        "gap",
        interval_column("+").alias("95% over seeds"),
        interval_column("+", "_both").alias("95% over seeds and rows"),
        "outcome",
        pl.format("{} of {}", _seeds(1), pl.col("only_first").list.len()).alias("seeds ahead"),
        *(text(name).alias(title) for name, title in titles.items()),
    )


def _seeds(sign: int) -> pl.Expr:
    """Number of runs in a `table` with the first arm ahead (1) or behind (-1)."""
    signs = (pl.col("only_first") - pl.col("only_second")).list.eval(pl.element().sign() == sign)
    return signs.list.sum()


def _p_text(p: float | None) -> str:
    """A p-value with two digits, down to 0.0001."""
    if p is None:
        return "seeds disagree"
    return f"{p:.2g}" if p >= 1e-4 else "< 0.0001"


def disagreement(table: pl.DataFrame, first: str, second: str) -> str:
    """Whether seeds of a pair of arms in a `table` contradict each other, as a sentence."""
    one, other = _in_a_sentence(first), _in_a_sentence(second)
    rows = table.filter(first=first, second=second)
    if rows.is_empty():
        return f"Nothing compares {one} with {other}"
    counts = rows.select("task", ahead=_seeds(1), behind=_seeds(-1))
    apart = counts.filter((pl.col("ahead") > 0) & (pl.col("behind") > 0))
    if rows["only_first"].list.len().max() == 1:
        return "There is one run of a task and arm, which no other can contradict"
    if apart.is_empty():
        return f"On none of the tasks ({rows.height}) do runs contradict each other"
    listed = ", ".join(map("{} ({} ahead, {} behind)".format, *apart))
    return (
        f"On {apart.height} of {rows.height} tasks some seeds put {one} ahead and others {other}: "
        f"{listed}. No p-value combines these"
    )


def without_one(gaps: Gaps) -> str:
    """The mean gap without the task that contributes most to it, with its 95% interval, as text.

    Empty with fewer than two tasks. A task carries a mean only if the mean's interval excludes 0.
    """
    if len(gaps.tasks) < 2:
        return ""
    means = gaps.values.mean(0)
    whole = means.mean()
    top = int((np.sign(whole) * (means.sum() - means)).argmin())
    rest = np.delete(gaps.values, top, axis=1).mean(1)
    low, high = t_interval(gaps.values.mean(1))
    carries = low * high > 0 and whole * rest.mean() <= 0
    note = ", so this task carries the mean" if carries else ""
    least, most = map(float, t_interval(rest))
    edges = interval_text(least, most, "+")
    task = TASK_TITLES.get(gaps.tasks[top], gaps.tasks[top])
    inside = f" ({edges})" if edges else ""
    return f"without {task} {sided(rest.mean())}{inside}{note}"


def and_without_one(text: str, gaps: Gaps) -> str:
    """A text on a mean gap, followed by `without_one`."""
    return "; ".join(filter(None, (text, without_one(gaps))))


def answer(found: Gaps, first: str, second: str) -> str:
    """The mean gap over tasks (fixed) as a sentence, whose answer depends on its `interval`.

    A win that one task carries (`verdicts.on_average`) is called so. Without a spread, as of a
    single seed, the sentence gives the gap without an answer. `without_one` follows.
    """
    one, other, band = _in_a_sentence(first), _in_a_sentence(second), EQUIVALENCE_POINTS / 100
    if not found.tasks:
        return f"Nothing compares {one} with {other}: no task was fine-tuned from both"
    whole, count = interval(found.values.mean(1)), len(found.tasks)
    gap = f"mean gap over {quantity(count, 'tasks')} {sided(whole['gap'])} MCC"
    edges = interval_text(whole["low"], whole["high"], "+")
    unsure = whole["outcome"] == "inconclusive"
    if not edges or unsure and whole["high"] - whole["low"] < _ROUNDING:
        who = "Seeds with equal gaps" if edges else "A single seed"
        text = f"{who} cannot tell which of {one} and {other} is better ({gap})"
        return and_without_one(text, found)
    means = found.values.mean(0)
    carried = ", by one task alone" if count > 1 and means.sum() <= means.max() else ""
    end = {
        "win": f"did beat {other} here{carried}",
        "loss": f"did not beat {other} here: it did worse",
        "equivalent": f"did not beat {other} here: they are within ±{band:g} MCC",
        "inconclusive": f"did not beat {other} here, nor was it clearly worse",
    }[whole["outcome"]]
    text = f"{one} {end} ({gap}, 95% interval over {found.over} {edges})"
    return and_without_one(text[0].upper() + text[1:], found)
