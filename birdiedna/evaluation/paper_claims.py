"""What may be said: checks of the machinery, the recount, a verdict on each paper claim.

A paper claim is settled only at the paper's scale. Whatever a smaller run measured, its verdict is
"not tested at this scale"; the number stands beside it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from birdiedna.evaluation.paper_table import TABLE_1, TEST_ROWS
from birdiedna.evaluation.statistics import fits_count, interval_text, multiple_of, recount


def digits() -> pl.DataFrame:
    """Whether Table 1's accuracies can be counts of the nominal test rows, and their grain.

    `Birdie fits`, `NTP fits`: some count out of the test rows has these two decimals (the GRIM
    test). `quarters`: both accuracies are whole multiples of 0.25 points.
    """
    rows = []
    for row in TABLE_1:
        pair, total = (row.accuracy_birdie, row.accuracy_ntp), TEST_ROWS[row.task]
        fits = [fits_count(value, total) for value in pair]
        rows.append(
            {
                "task": row.task,
                "test rows": total,
                "accuracy Birdie": pair[0],
                "accuracy NTP": pair[1],
                "Birdie fits": fits[0],
                "NTP fits": fits[1],
                "quarters": all(multiple_of(value, 0.25) for value in pair),
            }
        )
    return pl.DataFrame(rows)


def recounted() -> pl.DataFrame:
    """The recount of the paper's Table 1: one row per score, in percentage points.

    `without TATA` is the mean gap over the other tasks; `low` and `high` are the bootstrap's.
    """
    pairs = {"accuracy": ("accuracy_birdie", "accuracy_ntp"), "F1": ("f1_birdie", "f1_ntp")}
    found = []
    for score, columns in pairs.items():
        first, second = ([getattr(row, column) for row in TABLE_1] for column in columns)
        rest = [
            a - b
            for r, a, b in zip(TABLE_1, first, second, strict=True)
            if r.task != "promoter_tata"
        ]
        whole = recount(first, second)
        found.append(
            {
                "score": score,
                "wins": f"{whole.wins} of {whole.tasks}",
                "mean": whole.mean,
                "without TATA": float(np.mean(rest)),
                "median": whole.median,
                "sign test p": whole.sign_p,
                "Wilcoxon p": whole.wilcoxon_p,
                "low": whole.bootstrap_low,
                "high": whole.bootstrap_high,
            }
        )
    return pl.DataFrame(found)


SUPPORTED, CONTRADICTED = "supported", "contradicted"
INCONCLUSIVE, NOT_TESTED = "inconclusive", "not tested at this scale"

#: Held-out copying below this many nats per token counts as solved: 90 % for every right token.
SOLVED_NATS = 0.1
#: Fewer bases than this are no human genome.
_GENOME_BASES = 2_500_000_000
_PRETRAINING_SEEDS = 3


class Scale(NamedTuple):
    """What a set of runs covers: it decides whether they can settle a claim.

    profile: its name. tasks: how many of Table 1's 14 were run. genome_bases: bases of the FASTA.
    pretraining_seeds: pre-trained models per arm.
    """

    profile: str
    tasks: int
    genome_bases: int
    pretraining_seeds: int

    def is_the_papers(self) -> bool:
        """Whether settings, tasks and genome are those of the paper."""
        whole = self.genome_bases >= _GENOME_BASES and self.tasks == len(TABLE_1)
        return self.profile == "paper" and whole


def verdict(found: Mapping[str, Any] | None, scale: Scale) -> str:
    """The verdict on "the first arm does better", from a gap's 95 % interval over seeds.

    Below the paper's scale: not tested. At it, with fewer than three pre-training seeds:
    inconclusive, because one checkpoint per arm generalises to nothing. Else by the interval.

    Args:
      found: with `low` and `high`; None if nothing was measured.
      scale: what the runs cover.
    """
    if found is None or not scale.is_the_papers():
        return NOT_TESTED
    if scale.pretraining_seeds < _PRETRAINING_SEEDS:
        return INCONCLUSIVE
    if found["low"] > 0:
        return SUPPORTED
    return CONTRADICTED if found["high"] < 0 else INCONCLUSIVE


def ends(losses: pl.DataFrame) -> pl.DataFrame:
    """First and last held-out loss of every arm on every objective, and whether it trained on it.

    Args:
      losses: as `frames.losses` gives it.

    Returns:
      arm, objective, first, last, trained.
    """
    own = (pl.col("objective") == "next_token") == (pl.col("arm") == "ntp")
    parts = losses.sort("step").group_by("arm", "objective", maintain_order=True)
    edges = parts.agg(pl.col("loss").first().alias("first"), pl.col("loss").last().alias("last"))
    return edges.with_columns(own.alias("trained"))


def machinery(losses: pl.DataFrame, entropy: float) -> pl.DataFrame:
    """Checks of our own code and settings, each with its number; they fail where they fail.

    Args:
      losses: held-out losses of both arms, as `frames.losses` gives them.
      entropy: order-0 entropy of the validation contigs, in nats.

    Returns:
      check, measured, holds.
    """
    found = ends(losses).filter("trained")
    birdie = found.filter(pl.col("arm") == "birdie")
    lower = (birdie["last"] < birdie["first"]).sum()
    copying = birdie.filter(pl.col("objective") == "copying")["last"].item()
    ahead = found.filter(pl.col("arm") == "ntp")["last"].item()
    rows = [
        (
            "copying is solved (Birdie arm, below 0.1 nats)",
            f"{copying:.4f} nats",
            copying < SOLVED_NATS,
        ),
        (
            "every objective of the Birdie arm ends below its start",
            f"{lower} of {len(birdie)}",
            lower == len(birdie),
        ),
        (
            "the NTP arm is below the order-0 entropy",
            f"{ahead:.4f} against {entropy:.4f} nats",
            ahead < entropy,
        ),
    ]
    return pl.DataFrame(rows, schema=["check", "measured", "holds"], orient="row")


class Agreement(NamedTuple):
    """How predicted and realised total reward go together: Pearson's r, and over how many rounds.

    Few rounds make it an impression. Rewards that fade over a run raise it without any skill.
    """

    correlation: float
    rounds: int


def agreement(decisions: pl.DataFrame, totals: pl.DataFrame, warmup_steps: int) -> Agreement:
    """Agreement of predicted and realised total reward over the rounds after the warm-up.

    In the warm-up the mixture is fixed and the reward model has seen little or nothing.

    Args:
      decisions, totals: as `frames.decisions` and `frames.totals` give them for one run.
      warmup_steps: of the director; rounds that begin before it are left out.

    Returns:
      r is NaN if fewer than three rounds remain, or if either side never varies.
    """
    made = decisions.sort("step").select("step", "predicted_reward")
    begun, predicted = made.to_numpy().astype(float).T
    earned = totals.sort("step")["reward"].to_numpy().astype(float)
    known = (begun >= warmup_steps) & np.isfinite(predicted) & np.isfinite(earned)
    one, other = predicted[known], earned[known]
    if len(one) < 3 or not (np.ptp(one) and np.ptp(other)):
        return Agreement(float("nan"), len(one))
    return Agreement(float(np.corrcoef(one, other)[0, 1]), len(one))


def claims(
    better: Mapping[str, Any],
    faster: Mapping[str, Any],
    trained: Mapping[str, Any],
    predicted: Agreement,
    scale: Scale,
    fixed: Sequence[str] = (),
) -> pl.DataFrame:
    """The paper's claims: claim, what the paper shows, what these runs measured, verdict.

    Args:
      better: mean gap in test MCC, Birdie minus NTP (`statistics.overall`).
      faster: mean gap in area under the validation curve, Birdie minus NTP.
      trained: mean gap in test MCC, Birdie minus random weights.
      predicted: how predicted and realised reward go together (`agreement`).
      scale: what the runs cover.
      fixed: arms with a fixed mixture that were run.
    """
    beside = f"fixed arms run, not compared here: {', '.join(fixed)}"
    rows = [
        (
            "Birdie consistently outperforms NTP",
            _in_table_1(),
            f"mean gap {_said(better)} MCC",
            verdict(better, scale),
        ),
        (
            "Birdie reaches accuracy significantly faster",
            "one sentence, no figure",
            f"area under the curve {_said(faster)} MCC",
            verdict(faster, scale),
        ),
        (
            "pre-training helps (implied)",
            "no arm without pre-training",
            f"Birdie minus random {_said(trained)} MCC",
            verdict(trained, scale),
        ),
        (
            "the reward model finds good mixtures",
            "text, no comparison with a fixed mixture",
            f"predicted and realised reward correlate at {predicted.correlation:+.2f} over "
            f"{predicted.rounds} rounds after the warm-up; "
            + (beside if fixed else "no fixed arm was run"),
            NOT_TESTED,
        ),
        ("the gain is larger when data are scarce", "nothing", "nothing", NOT_TESTED),
        ("NTP in the mixture hurts small models", "pilot runs, no numbers", "nothing", NOT_TESTED),
        ("it helps variant effect prediction", "nothing", "nothing", NOT_TESTED),
        (
            "Llama 3.2 1B, trained further either way, did not beat a small fresh model",
            "one sentence",
            "nothing",
            NOT_TESTED,
        ),
    ]
    names = ["claim", "the paper shows", "measured here", "verdict"]
    return pl.DataFrame(rows, schema=names, orient="row")


def _in_table_1() -> str:
    accuracy = recount([r.accuracy_birdie for r in TABLE_1], [r.accuracy_ntp for r in TABLE_1])
    f1 = recount([r.f1_birdie for r in TABLE_1], [r.f1_ntp for r in TABLE_1])
    return (
        f"ahead in {accuracy.wins} of {accuracy.tasks} tasks by accuracy (sign test p "
        f"{accuracy.sign_p:.2f}), {f1.wins} by F1"
    )


def _said(found: Mapping[str, Any]) -> str:
    edges = interval_text(found["low"], found["high"], "+") or "a single seed"
    return f"{found['gap']:+.3f} ({edges})"
