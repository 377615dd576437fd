"""The paper's table recounted, the scale of a profile, and what the paper leaves open.

Every number is read from the table or the configs, so that the book cannot drift from the code.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from birdiedna.evaluation.recount import fits_count, multiple_of, recount
from birdiedna.model import count_parameters
from birdiedna.objective import Objective, window_bases
from birdiedna.objectives import (
    BIRDIE_DNA,
    NTP,
    Autoencoding,
    Deshuffling,
    Infilling,
    SelectiveCopying,
)
from birdiedna.paper import TABLE_1, Profile, profile
from birdiedna.spans import count_spans

#: Test rows of Table 1's tasks by the benchmark's data card, against which digits are checked.
TEST_ROWS = {
    "promoter_all": 1584,
    "promoter_no_tata": 1372,
    "promoter_tata": 212,
    "splice_sites_donors": 3000,
    "enhancers": 3000,
    "H2AFZ": 3000,
    "H3K27ac": 1616,
    "H3K27me3": 3000,
    "H3K36me3": 3000,
    "H3K4me1": 3000,
    "H3K4me2": 2138,
    "H3K4me3": 776,
    "H3K9ac": 1004,
    "H3K9me3": 850,
}


class Ambiguity(NamedTuple):
    """A question the paper leaves open: what it says, what we do, what could be done instead."""

    question: str
    paper: str
    choice: str
    alternative: str


def row_lengths(slots: int) -> pl.DataFrame:
    """What each objective puts into a row of `slots` tokens: bases, spans, prompt and target.

    `spans` is the mean number over rows; infilling draws it where a fixed one would miss the mean.
    """
    rows = []
    for name, objective in {**BIRDIE_DNA, **NTP}.items():
        bases = window_bases(objective, slots)
        noise, spans = _spans(objective, bases)
        prefix, label = objective.sizes(bases)
        rows.append(
            {
                "objective": name,
                "bases": bases,
                "in spans": noise,
                "spans": spans,
                "mean span": noise / spans if spans else None,
                "prompt tokens": prefix,
                "target tokens": label,
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def _spans(objective: Objective, bases: int) -> tuple[int | None, float | None]:
    """Bases in spans and mean number of spans, or nothing for an objective without spans."""
    if isinstance(objective, Infilling):
        noise, most, fewer = objective.counts(bases)
        return noise, most - fewer
    if isinstance(objective, Deshuffling | Autoencoding | SelectiveCopying):
        noise, spans = count_spans(bases, objective.rate, objective.mean_span)
        return noise, float(spans)
    return None, None


def scales(settings: Profile) -> pl.DataFrame:
    """Profiles side by side: each setting in quick and paper, and how many times larger in paper.

    Args:
      settings: have a column of their own if they are no part of that.
    """
    quick, full = profile("quick"), profile("paper")
    one, own, other = _scale(quick), _scale(settings), _scale(full)
    rows = [
        {
            "setting": setting,
            "quick": _text(one[setting]),
            "here": _text(own[setting]),
            "paper": _text(other[setting]),
            "times": _times(one[setting], other[setting]),
        }
        for setting in one
    ]
    table = pl.DataFrame(rows, infer_schema_length=None)
    return table.drop("here") if own in (one, other) else table


def _scale(settings: Profile) -> dict[str, int | float | str]:
    birdie, tune = settings.pretrain["birdie"], settings.finetune
    crops = [f"{start}-{stop} of {length}" for length, (start, stop) in settings.crops.items()]
    return {
        "parameters": count_parameters(birdie.model),
        "model width": birdie.model.width,
        "blocks": birdie.model.blocks,
        "row length (tokens)": birdie.slots,
        "rows per step": birdie.rows,
        "pre-training steps": birdie.steps,
        "pre-training tokens": birdie.slots * birdie.rows * birdie.steps,
        "rounds of the director": len(birdie.evaluations),
        "peak learning rate": birdie.optimizer.peak,
        "fine-tuning steps": tune.steps,
        "fine-tuning learning rate": tune.optimizer.peak,
        "fine-tuning seeds": len(settings.finetune_seeds),
        "pre-training seeds in one book": 1,
        "tasks": len(settings.tasks) or "all in the folder",
        "bases of a task that are read": ", ".join(crops) or "all",
    }


def _text(value: int | float | str) -> str:
    return (
        value
        if isinstance(value, str)
        else f"{value:,}"
        if isinstance(value, int)
        else f"{value:g}"
    )


def _times(one: int | float | str, other: int | float | str) -> float | None:
    return None if isinstance(one, str) or isinstance(other, str) else other / one


def ambiguities(settings: Profile) -> pl.DataFrame:
    """What the paper leaves open, with the choice of a profile, read from its configs."""
    return pl.DataFrame([*_about_rows(settings), *_about_training(settings)])


def _about_rows(settings: Profile) -> list[Ambiguity]:
    birdie, objectives = settings.pretrain["birdie"], BIRDIE_DNA
    shuffle, auto = objectives["deshuffling_50"], objectives["autoencoding_30_50"]
    select = objectives["selective_copying_15"]
    return [
        Ambiguity("row length", "nothing", f"{birdie.slots:,} tokens", "another number of slots"),
        Ambiguity(
            "how many spans a row holds",
            "averages",
            "exact bases; a fixed number of spans, but infilling's varies by one where a fixed "
            "number would miss the mean by over 1 % (so up to 2 pads a row)",
            "random counts",
        ),
        Ambiguity("marks of masked spans", "“mask”", "one sentinel each, before it", "span first"),
        Ambiguity(
            "what deshuffling shuffles",
            "“subsequences”",
            f"spans, mean {shuffle.mean_span} bases",
            "single bases",
        ),
        Ambiguity(
            "autoencoding spans",
            "“several spans”; half shuffled on average",
            f"mean {auto.mean_span}, exactly {auto.shuffled:.0%}",
            "other spans; no shuffle",
        ),
        Ambiguity(
            "selective copying",
            f"{select.rate:.0%} of the text",
            f"spans of {select.shortest} or more, mean {select.mean_span:g} (our choice); asked by "
            f"{select.before} bases before and {select.after} after",
            "other lengths",
        ),
        Ambiguity("token that names the objective", "nothing", "one, first in the prompt", "none"),
        Ambiguity(
            "who sees later bases",
            "the prompt of prefix LM",
            "every Birdie prompt" if birdie.bidirectional else "nobody",
            "nobody (causal)",
        ),
        Ambiguity("NTP in the mixture", "listed, and removed", "only measured", "a ratio above 0"),
    ]


def _about_training(settings: Profile) -> list[Ambiguity]:
    birdie, tune = settings.pretrain["birdie"], settings.finetune
    director, rate = birdie.director, birdie.optimizer
    return [
        Ambiguity("“four layers”", "four layer", f"{birdie.model.blocks} blocks", "2 blocks"),
        Ambiguity(
            "reward",
            "“delta losses”",
            f"Birdie's rule, power {director.reward.power:g}, improvement positive",
            "another power; linear",
        ),
        Ambiguity(
            "rounds, candidates, exploration",
            "“a period”; random actions",
            f"{len(birdie.evaluations)} rounds, {director.candidates:,} candidates, the best "
            f"{director.best}, exploration {director.explore[0]:.2f} to {director.explore[1]:.2f}",
            "config",
        ),
        Ambiguity("loss average", "nothing", "over all target tokens of the batch", "per row"),
        Ambiguity(
            "warm-up, betas, decay",
            "nothing",
            f"{rate.warmup:.0%}, ({rate.b1}, {rate.b2}), {rate.weight_decay}",
            "config",
        ),
        Ambiguity("fine-tuning head", "nothing", f"{tune.head} token", "linear on the mean"),
        Ambiguity("fine-tuning mask", "nothing", "as pre-trained", "two by two"),
        Ambiguity("which checkpoint", "nothing", "best MCC on validation, test once", "last"),
        Ambiguity("seeds", "nothing", f"{len(settings.finetune_seeds)} of fine-tuning", "more"),
        Ambiguity(
            "benchmark",
            "NT; the appendix lists GenomicBenchmarks",
            f"Table 1's {len(TABLE_1)} tasks",
            "both",
        ),
    ]


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
