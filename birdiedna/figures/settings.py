"""The scale of a profile beside the paper's, and what the paper leaves open.

Every number is read from the configs, so that the book cannot drift from the code.
"""

from typing import NamedTuple

import polars as pl

from birdiedna.evaluation.paper_table import TABLE_1
from birdiedna.experiments.profiles import Profile, profile
from birdiedna.model.transformer import count_parameters
from birdiedna.objectives.definitions import (
    BIRDIE_DNA,
    NTP,
    Autoencoding,
    Deshuffling,
    Infilling,
    SelectiveCopying,
)
from birdiedna.objectives.program import Objective, window_bases
from birdiedna.objectives.spans import count_spans


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
