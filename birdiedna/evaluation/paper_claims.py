"""The paper's claims: its Table 1 counted again, checks of our own runs, a verdict on each claim.

A paper claim is settled only at the paper's scale. Whatever a smaller run measured, its verdict is
"not tested at this scale", beside the number.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from birdiedna.evaluation.paper_table import TABLE_1, PaperRow
from birdiedna.evaluation.statistics import interval_text, recount


def fits_count(percent: float, rows: int, decimals: int = 2) -> bool:
    """Whether a printed percentage can be a count out of `rows` (the GRIM test).

    The count nearest to it, printed with as many decimals, must give the same digits.
    """
    nearest = round(percent * rows / 100)
    return abs(100 * nearest / rows - percent) <= 0.5 * 10**-decimals + 1e-9


def digits() -> pl.DataFrame:
    """Whether Table 1's accuracies can be counts of the nominal test rows (`Birdie fits`, `NTP
    fits`), and whether both are multiples of 0.25 points (`quarters`).
    """
    rows = []
    for row in TABLE_1:
        pair, total = (row.accuracy_birdie, row.accuracy_ntp), row.test_rows
        rows.append(
            {
                "task": row.task,
                "test rows": total,
                "accuracy Birdie": pair[0],
                "accuracy NTP": pair[1],
                "Birdie fits": fits_count(pair[0], total),
                "NTP fits": fits_count(pair[1], total),
                "quarters": all(abs(4 * value - round(4 * value)) < 1e-6 for value in pair),
            }
        )
    return pl.DataFrame(rows)


def _table_1_by_score() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Birdie's and NTP's columns of Table 1."""
    columns = {"accuracy": ("accuracy_birdie", "accuracy_ntp"), "F1": ("f1_birdie", "f1_ntp")}
    values = {
        name: np.array([getattr(row, name) for row in TABLE_1]) for name in PaperRow._fields[1:]
    }
    return {score: (values[birdie], values[ntp]) for score, (birdie, ntp) in columns.items()}


def recounted() -> pl.DataFrame:
    """The recount of the paper's Table 1: one row per score, in percentage points.

    `without TATA` is the mean gap over the other tasks; `low` and `high` are the bootstrap's.
    """
    others = np.array([row.task != "promoter_tata" for row in TABLE_1])
    found = []
    for score, (birdie, ntp) in _table_1_by_score().items():
        whole = recount(birdie, ntp)
        found.append(
            {
                "score": score,
                "wins": f"{whole.wins} of {whole.tasks}",
                "mean": whole.mean,
                "without TATA": float((birdie - ntp)[others].mean()),
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
#: A human genome has at least this many bases.
_GENOME_BASES = 2_500_000_000
_PRETRAINING_SEEDS = 3


class Scale(NamedTuple):
    """What a set of runs covers: it decides whether they can settle a claim.

    tasks: how many of Table 1's 14 were run. pretraining_seeds: pre-trained models per arm.
    """

    profile: str
    tasks: int
    genome_bases: int
    pretraining_seeds: int

    def is_the_papers(self) -> bool:
        """Whether settings, tasks and genome are those of the paper."""
        whole = self.genome_bases >= _GENOME_BASES and self.tasks == len(TABLE_1)
        return self.profile == "paper" and whole


def verdict(gap: Mapping[str, Any], scale: Scale) -> str:
    """The verdict on "the first arm does better", from a gap's 95 % interval `low` to `high`.

    Below the paper's scale: not tested. At it, with fewer than three pre-training seeds:
    inconclusive, because one checkpoint per arm generalises to nothing. Else by the interval.
    """
    if not scale.is_the_papers():
        return NOT_TESTED
    if scale.pretraining_seeds < _PRETRAINING_SEEDS:
        return INCONCLUSIVE
    if gap["low"] > 0:
        return SUPPORTED
    return CONTRADICTED if gap["high"] < 0 else INCONCLUSIVE


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
    """Checks of our own code and settings: check, measured, holds.

    Args:
      losses: held-out losses of both arms, as `frames.losses` gives them.
      entropy: order-0 entropy of the validation contigs, in nats.
    """
    found = ends(losses).filter("trained")
    birdie = found.filter(pl.col("arm") == "birdie")
    lower = (birdie["last"] < birdie["first"]).sum()
    copying = birdie.filter(pl.col("objective") == "copying")["last"].item()
    ntp = found.filter(pl.col("arm") == "ntp")["last"].item()
    solved = f"copying is solved (Birdie arm, below {SOLVED_NATS} nats)"
    learned = "every objective of the Birdie arm ends below its start"
    better = "the NTP arm is below the order-0 entropy"
    rows = [
        (solved, f"{copying:.4f} nats", copying < SOLVED_NATS),
        (learned, f"{lower} of {len(birdie)}", lower == len(birdie)),
        (better, f"{ntp:.4f} against {entropy:.4f} nats", ntp < entropy),
    ]
    return pl.DataFrame(rows, schema=["check", "measured", "holds"], orient="row")


class Agreement(NamedTuple):
    """Pearson's r of predicted and realised total reward, and over how many rounds.

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
    accuracy, f1 = (recount(*pair) for pair in _table_1_by_score().values())
    ahead = f"ahead in {accuracy.wins} of {accuracy.tasks} tasks by accuracy (sign test p "
    ahead += f"{accuracy.sign_p:.2f}), {f1.wins} by F1"
    reward = f"predicted and realised reward correlate at {predicted.correlation:+.2f} over "
    reward += f"{predicted.rounds} rounds after the warm-up; "
    arms = f"fixed arms run, not compared here: {', '.join(fixed)}"
    gaps = (
        ("Birdie consistently outperforms NTP", ahead, "mean gap {} MCC", better),
        (
            *("Birdie reaches accuracy significantly faster", "one sentence, no figure"),
            *("area under the curve {} MCC", faster),
        ),
        (
            *("pre-training helps (implied)", "no arm without pre-training"),
            *("Birdie minus random {} MCC", trained),
        ),
    )
    untested = (
        (
            *("the reward model finds good mixtures", "text, no comparison with a fixed mixture"),
            reward + (arms if fixed else "no fixed arm was run"),
        ),
        ("the gain is larger when data are scarce", "nothing", "nothing"),
        ("NTP in the mixture hurts small models", "pilot runs, no numbers", "nothing"),
        ("it helps variant effect prediction", "nothing", "nothing"),
        (
            "Llama 3.2 1B, trained further either way, did not beat a small fresh model",
            *("one sentence", "nothing"),
        ),
    )
    rows = [
        (claim, seen, _measured(text, gap), verdict(gap, scale)) for claim, seen, text, gap in gaps
    ]
    rows += [(*row, NOT_TESTED) for row in untested]
    names = ["claim", "the paper shows", "measured here", "verdict"]
    return pl.DataFrame(rows, schema=names, orient="row")


def _measured(text: str, found: Mapping[str, Any]) -> str:
    """A gap with its interval, in the text around it; "nothing" without any run."""
    if np.isnan(found["gap"]):
        return "nothing"
    edges = interval_text(found["low"], found["high"], "+") or "a single seed"
    return text.format(f"{found['gap']:+.3f} ({edges})")
