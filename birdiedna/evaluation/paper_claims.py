"""The paper's claims: a recount of its Table 1, checks of our own runs, a verdict on each claim.

Claims are settled only at the paper's scale; smaller runs show their numbers with the verdict "not
tested at this scale". `at_small_scale` has verdicts on many small runs, valid at their scale only.
All sentences are derived from the numbers in them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import polars as pl
import scipy

from birdiedna.data.names import sided
from birdiedna.director import reward_model
from birdiedna.evaluation import learning_speed, printed_digits, scarcity, statistics, verdicts
from birdiedna.evaluation.learning_speed import Speed
from birdiedna.evaluation.paper_scale import Scale
from birdiedna.evaluation.paper_table import ARM_TITLES, TABLE_1
from birdiedna.evaluation.scarcity import Scarcity
from birdiedna.evaluation.scores import step_choices
from birdiedna.evaluation.statistics import Gaps
from birdiedna.evaluation.verdicts import INCONCLUSIVE, NOT_TESTED, VERDICTS

#: Arms with the paper's objectives in a mixture that does not depend on a reward model.
FIXED = ("uniform", "ul2r", "random_actions", "averaged", "replayed")
#: Those that a learned mixture has to beat at a small scale.
RIVALS = ("uniform", "random_actions", "averaged", "replayed")


def recounted() -> pl.DataFrame:
    """Recount the paper's Table 1: one row per set of tasks and score, as `recount`, in points."""
    rows = []
    for tasks, chosen in printed_digits.sets().items():
        kept = [row for row in TABLE_1 if row.task in chosen]
        for title, score in (("accuracy", "accuracy"), ("F1", "f1")):
            columns = zip(*(getattr(row, score) for row in kept), strict=True)
            rows.append({"tasks": tasks, "score": title} | statistics.recount(*columns))
    return pl.DataFrame(rows)


#: Copying counts as solved below this held-out loss per token: probability 90% for right tokens.
SOLVED_NATS = 0.1


def ends(losses: pl.DataFrame) -> pl.DataFrame:
    """First and last of `frames.losses`: arm, objective, first, last, per_base (last), trained."""
    parts = losses.sort("step").group_by("arm", "objective", maintain_order=True)
    ends = {"first": pl.first("loss"), "last": pl.last("loss"), "per_base": pl.last("per_base")}
    return parts.agg(**ends, trained=pl.first("trained"))


def machinery(losses: pl.DataFrame, entropy: float) -> pl.DataFrame:
    """Check our own training by `frames.losses` of both arms: check, measured, holds.

    `entropy` is the order-0 entropy of the validation contigs, in nats.
    """
    found = ends(losses).filter("trained")
    birdie, ntp = (found.filter(arm=arm) for arm in ("birdie", "ntp"))
    lower = (birdie["last"] < birdie["first"]).sum()
    copying = birdie.filter(objective="copying")["last"].min()
    reached = ntp["last"].min()
    solved = f"copying is solved (Birdie arm, below {SOLVED_NATS} nats)"
    learned = "every objective of the Birdie arm ends below its start"
    better = "the NTP arm is below the order-0 entropy"
    rows = [
        (solved, f"{_number(copying, '.4g')} nats", _below(copying, SOLVED_NATS)),
        (learned, f"{lower} of {len(birdie)}", lower == len(birdie)),
        (better, f"{_number(reached, '.4f')} against {entropy:.4f} nats", _below(reached, entropy)),
    ]
    return pl.DataFrame(rows, schema=["check", "measured", "holds"], orient="row")


def _below(value: Any, bound: float) -> bool:
    """Whether a measured value is below a bound; false if it is None."""
    return value is not None and bool(value < bound)


def machinery_text(checks: pl.DataFrame) -> str:
    """Summarise the checks of `machinery`, as a sentence without its full stop."""
    failed = checks.filter(~pl.col("holds"))["check"].to_list()
    if not failed:
        return f"All {checks.height} checks hold: the code trains, which settles no claim"
    return (
        f"{len(failed)} of {checks.height} checks fail ({'; '.join(failed)}): this run did not "
        "train as it should, so trust none of its other numbers until you know why"
    )


def failures(
    losses: pl.DataFrame, rounds: pl.DataFrame, results: pl.DataFrame, curves: pl.DataFrame
) -> pl.DataFrame:
    """Failure modes and how often they occurred: what, this run ("not measured" if unknown).

    Losses are of both arms, rounds of the Birdie arm, all as in `frames`.
    """
    late = rounds.filter(pl.col("end") > pl.col("end").max() / 2)["reward"].abs()
    unseen = ends(losses).filter(~pl.col("trained") & (pl.col("arm") == "ntp"))["last"]
    collapsed = results.filter(metric="mcc")["collapsed"]
    last, best = step_choices(curves)
    small = float(reward_model.reward(jnp.array(1.30), jnp.array(1.29)))
    found = {
        "rewards of the second half smaller in size than that of a fall from 1.30 to 1.29 nats": (
            _number((late < small).mean(), ".0%")
        ),
        "largest loss of the NTP arm on an objective it never saw, nats": (
            _number(unseen.max(), ".2f")
        ),
        "fine-tuning runs that collapsed (|MCC| below 0.02, or nearly one class predicted)": (
            f"{collapsed.sum()} of {len(collapsed)}"
        ),
        "what the last step would have added, MCC": _number(last, "+.3f"),
        "what choosing the step on the test rows would have added, MCC": _number(best, "+.3f"),
    }
    return pl.DataFrame({"what": list(found), "this run": list(found.values())})


def _number(value: Any, form: str) -> str:
    return "not measured" if value is None or np.isnan(value) else sided(value, form)


class Agreement(NamedTuple):
    """Pearson's r of predicted and realised total reward, number of rounds, 95% interval.

    Rewards that fade over a run raise r without any skill. Successive rounds are not independent,
    so the interval is too narrow rather than too wide.
    """

    correlation: float
    rounds: int
    low: float = float("nan")
    high: float = float("nan")

    def __str__(self) -> str:
        if np.isnan(self.correlation):
            return f"no correlation can be computed over so few rounds ({self.rounds})"
        text = f"r = {self.correlation:+z.2f} over {self.rounds} rounds"
        if np.isnan(self.low):
            return f"{text}, too few for an interval"
        edges = f"{self.low:+.2f} to {self.high:+.2f}"
        text += f" (95% interval {edges} if rounds were independent)"
        if self.low > 0:
            return f"{text}: higher predictions went with higher rewards"
        if self.high < 0:
            return f"{text}: higher predictions went with lower rewards"
        return f"{text}: that does not tell prediction from chance"


def agreement(rounds: pl.DataFrame, warmup_steps: int) -> Agreement:
    """Correlate predicted and realised total reward over the rounds after the warm-up.

    Takes `frames.rounds` of one run. During the warm-up the mixture is fixed and the reward model
    has hardly any data. r is NaN with fewer than three rounds, or if either side is constant.
    """
    each = rounds.filter(pl.col("start") >= warmup_steps).unique("start", maintain_order=True)
    totals = each.select("predicted_total", "total")
    one, other = totals.filter(pl.all_horizontal(pl.all().is_finite())).to_numpy().T
    if len(one) < 3 or not (np.ptp(one) and np.ptp(other)):
        return Agreement(float("nan"), len(one))
    found = scipy.stats.pearsonr(one, other)
    edges = found.confidence_interval(0.95) if len(one) > 3 else (float("nan"),) * 2
    return Agreement(float(found.statistic), len(one), *map(float, edges))


#: The paper's claims, and its evidence for each.
CLAIMS = {
    "consistent": (
        "“consistently outperforms” next-token prediction",
        "Table 1: ahead in {0[wins]} tasks by accuracy (sign test p {0[sign test p]:.2f}), "
        "in {1[wins]} by F1",
    ),
    "better": (
        "a “slight, but present, improvement”",
        "Table 1: mean gap {0[mean]:+.2f} points of accuracy (95% interval over tasks "
        "{0[low]:+.2f} to {0[high]:+.2f})",
    ),
    "faster": ("reaches accuracy “significantly faster”", "no experiment: one sentence"),
    "scarce": ("the gain is larger when data are scarce", "no experiment"),
    "frozen": ("“robust representations”", "no experiment"),
    "trained": (
        "pre-training helps (implied)",
        "no experiment: no arm without pre-training",
    ),
    "objectives": (
        "the gain is owed to the objectives (implied): both arms causal",
        "no experiment: its arms differ in the mask, too",
    ),
    "mixture": ("the reward model finds good mixtures", "no experiment: no fixed mixture"),
    "own weights": (
        "Birdie is “less necessary” where each task has its own weights",
        "no experiment: no weights shared by tasks",
    ),
    "with NTP": ("NTP in the mixture hurts small models", "pilot runs, no numbers"),
    "variants": ("it helps variant effect prediction", "no experiment"),
    "llama": (
        "Llama 3.2 1B, trained further either way, did not beat a small fresh model",
        "one sentence, no numbers",
    ),
}
#: What is asked of a claim at a small scale, if it is less than the claim.
_NARROWER = {
    "frozen": ": frozen, over NTP and over random weights",
    "trained": ": over random weights",
    "variants": ": disrupted splice sites, without training",
}
AT_THIS_SCALE = "at this scale"
#: Text and verdict of a claim for which nothing was run.
NOTHING = ("nothing", NOT_TESTED)


def claims(
    results: pl.DataFrame,
    curves: pl.DataFrame,
    swept: pl.DataFrame,
    predicted: Agreement,
    scale: Scale,
    fixed: Sequence[str] = (),
) -> pl.DataFrame:
    """The verdict on each claim: claim, verdict, the paper shows, measured here.

    `results` and `curves` (of `frames`) are those of fine-tunings on all train rows; `swept` adds
    the results of probes and of fine-tunings on shares of the rows. If all tasks of Table 1 were
    run, no others count. `fixed` are the arms with a fixed mixture that were run. Arms other than
    Birdie, NTP and random weights are compared by fine-tunings if there are any, else by probes.
    """
    tasks = [row.task for row in TABLE_1]
    if {*tasks} <= {*results["task"]}:
        in_table = pl.col("task").is_in(tasks)
        results, curves, swept = (frame.filter(in_table) for frame in (results, curves, swept))
    mcc, swept = (frame.filter(metric="mcc") for frame in (results, swept))
    probes = swept.filter(kind="probe", share=1)
    others = {
        arm: statistics.gaps(scored, "birdie", arm)
        for scored in (probes, mcc)
        for arm in scored["arm"].unique(maintain_order=True)
        if arm not in ("birdie", "ntp", "random")
    }
    better = statistics.gaps(mcc, "birdie", "ntp")
    tuned, read = (statistics.gaps(scored, "trained_causally", "ntp") for scored in (mcc, probes))
    causal = tuned if tuned.tasks else read
    reward, learned = mixtures(others, fixed)
    measured = {
        "consistent": consistent(better),
        "better": mean_gap(better),
        "faster": faster(learning_speed.speed(curves, "birdie", "ntp")),
        "scarce": scarce(scarcity.scarcity(swept, "birdie", "ntp")),
        "frozen": mean_gap(statistics.gaps(probes, "birdie", "ntp")),
        "trained": mean_gap(statistics.gaps(mcc, "birdie", "random")),
        "objectives": mean_gap(causal),
        "mixture": (f"predicted and realised reward: {predicted}; {reward}", learned),
        "variants": ("no benchmark; a demonstration: `birdiedna variants`", NOT_TESTED),
    }
    if "with_ntp" in others:
        measured["with NTP"] = mean_gap(others["with_ntp"])
    counted = recounted().filter(tasks="all").rows(named=True)  # accuracy, F1
    rows = []
    for key, (claim, shown) in CLAIMS.items():
        text, verdict = measured.get(key, NOTHING)
        verdict = NOT_TESTED if scale.differences else verdict
        rows.append((claim, verdict, shown.format(*counted), text))
    names = ["claim", "verdict", "the paper shows", "measured here"]
    return pl.DataFrame(rows, names, orient="row")


def at_small_scale(
    probed: pl.DataFrame, curves: pl.DataFrame, variants: pl.DataFrame
) -> pl.DataFrame:
    """The verdict on each claim from probes: claim, at this scale (a verdict), measured here.

    `probed` has the MCC of probes of all arms and shares, as `frames.results`; `curves` are those
    of fine-tunings, as `frames.curves`, and `variants` as `frames.variant_table`; these may be
    empty. This settles nothing at the paper's scale; `01_paper` prints both verdicts.
    """
    whole = probed.filter(share=1)
    main = probed.filter(pl.col("arm").is_in(["birdie", "ntp"]))
    gaps = lambda second: statistics.gaps(whole, "birdie", second)
    over = lambda *arms: least({arm: gaps(arm) for arm in arms})
    measured = {
        "consistent": consistent(gaps("ntp")),
        "better": mean_gap(gaps("ntp")),
        "faster": faster(learning_speed.speed(curves, "birdie", "ntp")),
        "scarce": scarce(scarcity.scarcity(main, "birdie", "ntp")),
        "frozen": over("ntp", "random"),
        "trained": mean_gap(gaps("random")),
        "objectives": mean_gap(statistics.gaps(whole, "trained_causally", "ntp")),
        "mixture": over(*RIVALS),
        "with NTP": mean_gap(gaps("with_ntp")),
        "variants": _on_variants(variants),
        "own weights": NOTHING,
        "llama": NOTHING,
    }
    rows = [
        (CLAIMS[key][0] + _NARROWER.get(key, ""), verdict, text)
        for key, (text, verdict) in measured.items()
    ]
    return pl.DataFrame(rows, ["claim", AT_THIS_SCALE, "measured here"], orient="row")


def _on_variants(scores: pl.DataFrame) -> tuple[str, str]:
    """Describe Birdie over NTP on variants, with the verdict."""
    text, verdict = mean_gap(statistics.gaps(scores, "birdie", "ntp"), "AUROC")
    if verdict != NOT_TESTED:
        means = dict(scores.group_by("arm").agg(pl.col("value").mean()).iter_rows())
        text += "; Birdie {birdie:.3f}, NTP {ntp:.3f}, chance 0.500".format(**means)
    return text, verdict


def brief(table: pl.DataFrame) -> pl.DataFrame:
    """`at_small_scale` reduced to the first measured number and its interval.

    A mean gap keeps that without one task. The verdict may depend on the least of several gaps.
    """
    whole = pl.col("measured here")
    first = whole.str.split("; ").list.first()
    rest = whole.str.extract("^mean gap .*(; without [^;]*)").fill_null("")
    seeds = (
        r",? (?:over )?\d+ (?:pre-training )?seeds|, above 0 in \d+ of \d+|mean gap | \(\d+ sizes$"
    )
    return table.with_columns(first.str.replace_all(seeds, "") + rest)


def _settled(verdict: np.ndarray, over: str) -> str:
    """A verdict over pre-training seeds; over others, which do not generalise, inconclusive."""
    return str(verdict) if over == statistics.PRETRAINING else INCONCLUSIVE


def _interval(values: np.ndarray, over: str) -> str:
    """A mean over seeds with its 95% interval and the number of seeds above 0, as text."""
    more = f", above 0 in {(values > 0).sum()} of {len(values)}"
    return statistics.mean_text(values, over, more=more)


def mean_gap(gaps: Gaps, score: str = "MCC", rivals: int = 1) -> tuple[str, str]:
    """Describe a mean gap, with the verdict on "better on average" (`verdicts.on_average`)."""
    if not gaps.values.size:
        return NOTHING
    text = f"mean gap {_interval(gaps.values.mean(1), gaps.over)} {score}"
    text = statistics.and_without_one(text, gaps)
    return text, _settled(verdicts.on_average(gaps.values, rivals), gaps.over)


def mixtures(found: Mapping[str, Gaps], pretrained: Sequence[str]) -> tuple[str, str]:
    """Describe the learned mixture against fixed ones, with the least favourable verdict.

    `found` is arm -> gaps of Birdie to it, where only arms in `FIXED` count; `pretrained` are the
    arms with a fixed mixture that were pre-trained.
    """
    judged = {arm: found[arm] for arm in FIXED if arm in found and found[arm].tasks}
    rest = [arm for arm in pretrained if arm not in judged]
    named = ", ".join(ARM_TITLES.get(arm, arm) for arm in rest)
    unpaired = f"pre-trained and not compared: {named}" if rest else ""
    text, verdict = least(judged) if judged else ("", NOT_TESTED)
    text = "; ".join(filter(None, [text, unpaired]))
    return text or "no arm with a fixed mixture was run", verdict


def least(found: Mapping[str, Gaps]) -> tuple[str, str]:
    """Describe several comparisons, with the verdict on all of them: that of the least favourable.

    `found` is rival arm -> gaps to it; at least one.
    """
    texts = [
        f"over {ARM_TITLES.get(arm, arm)}: "
        + (statistics.mean_text(gaps.values.mean(1), gaps.over) if gaps.tasks else NOTHING[0])
        for arm, gaps in found.items()
    ]
    each = [np.array(mean_gap(gaps, rivals=len(found))[1]) for gaps in found.values()]
    return "; ".join(texts), str(verdicts.least(each))


def consistent(gaps: Gaps) -> tuple[str, str]:
    """Describe how consistent a gain is over tasks, with the verdict."""
    if not gaps.values.size:
        return NOTHING
    found, means = verdicts.consistency(gaps.values), gaps.values.mean(1)
    counts = Counter(statistics.interval(task)["outcome"] for task in gaps.values.T)
    outcomes = ", ".join(f"{name} {counts[name]}" for name in statistics.OUTCOMES)
    text = f"ahead in {found.ahead} of {len(gaps.tasks)} tasks (sign test p {found.sign_p:.2g}); "
    text += f"outcomes by task, uncorrected: {outcomes}; mean gap {_interval(means, gaps.over)} MCC"
    edges = statistics.interval_text(float(found.tasks_low), float(found.tasks_high), "+")
    if edges and len(gaps.tasks) > 2:  # that of two tasks is wider than any MCC
        text += f", over tasks {edges}"
    text = statistics.and_without_one(text, gaps)
    return text, _settled(found.verdict, gaps.over)


def faster(speed: Speed) -> tuple[str, str]:
    """Describe a speed-up, with the verdict."""
    if not speed.own.size:
        return NOTHING
    if not speed.reached:
        return "no run learned enough to reach a target", INCONCLUSIVE
    own, common = speed.own.mean(1), speed.common.mean(1)
    ratios = [statistics.mean_text(logs, speed.over, ".2f", np.exp) for logs in (own, common)]
    text = "NTP takes {} times the steps of Birdie to its own end, {} times to a common target"
    text = text.format(*ratios)
    signs = [np.sign(np.add(*np.sign(statistics.t_interval(values)))) for values in (own, common)]
    if signs[0] <= 0 < signs[1]:
        text += "; only a common target is reached sooner: the arm ends higher, which is not speed"
    elif signs[1] <= 0 < signs[0]:
        text += "; it nears its own end sooner, but that is no higher than the end of NTP"
    return text, _settled(verdicts.faster(own, common), speed.over)


def scarce(found: Scarcity) -> tuple[str, str]:
    """Describe how a gain changes with fewer train rows, with the verdict."""
    if not found.slopes.size:
        return NOTHING
    text = f"the gap changes by {_interval(found.slopes, found.over)} MCC per tenfold fewer train "
    text += f"rows ({found.sizes} sizes; runs of kind {', '.join(found.kinds)})"
    return text, _settled(verdicts.by_interval(found.slopes), found.over)


def summary(table: pl.DataFrame) -> str:
    """Count the verdicts of `claims`, as a sentence without its full stop."""
    counts = Counter(table["verdict"])
    if counts[NOT_TESTED] == table.height:
        return f"None of {table.height} claims is tested"
    return f"Of {table.height} claims: {_listed(counts)}"


def small_summary(table: pl.DataFrame) -> str:
    """Count the verdicts of `at_small_scale`, as a sentence without its full stop."""
    counts = Counter(table[AT_THIS_SCALE])
    text = f"{table.height - counts.pop(NOT_TESTED, 0)} of {table.height} claims tested"
    return f"{text}: {_listed(counts)}" if counts else f"{text} at this small scale"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
