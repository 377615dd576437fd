"""Chapter 6: the scale of a profile beside the paper's, and what the paper leaves open.

Every number is read from the configs, so that the book cannot drift from the code.
"""

from typing import Any

import polars as pl

from birdiedna.evaluation.paper_table import TABLE_1
from birdiedna.experiments.profiles import Profile, profile
from birdiedna.figures.rows import corruption
from birdiedna.model.transformer import count_parameters
from birdiedna.objectives.definitions import BIRDIE_DNA, NTP
from birdiedna.objectives.program import window_bases


def row_lengths(slots: int) -> pl.DataFrame:
    """What each objective puts into a row of `slots` tokens: bases, and its spans.

    `spans` is the mean number over rows; infilling draws it where a fixed one would miss the mean.
    """
    rows = []
    for name, objective in {**BIRDIE_DNA, **NTP}.items():
        bases = window_bases(objective, slots)
        row = {"objective": name, "bases": bases}
        if hasattr(objective, "mean_span"):
            noise, most, fewer = corruption(objective, bases)
            spans = most - fewer
            row |= {"in spans": noise, "spans": float(spans), "mean span": noise / spans}
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)


def scales(settings: Profile) -> pl.DataFrame:
    """Profiles side by side: each setting in quick and paper, and how many times larger in paper.

    Args:
      settings: have a column of their own if they are no part of that.
    """
    one, own, other = map(_scale, (profile("quick"), settings, profile("paper")))
    text = lambda value: f"{value:,}" if isinstance(value, int) else f"{value:g}"
    rows = []
    for name, small in one.items():
        values = [
            str(v) if isinstance(v, str) else text(v) for v in (small, own[name], other[name])
        ]
        large = other[name]
        times = None if isinstance(small, str) or isinstance(large, str) else large / small
        rows.append((name, *values, times))
    table = pl.DataFrame(rows, ["setting", "quick", "here", "paper", "times"], orient="row")
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


def ambiguities(settings: Profile) -> pl.DataFrame:
    """Open questions: question, what the paper says, choice of a profile, alternative."""
    birdie, tune = settings.pretrain["birdie"], settings.finetune
    rate = birdie.optimizer
    director: Any = birdie.director
    named: dict[str, Any] = BIRDIE_DNA
    auto, select = named["autoencoding_30_50"], named["selective_copying_15"]
    explored = "{:.2f} to {:.2f}".format(*director.explore)
    rows = [
        ("row length", "nothing", f"{birdie.slots:,} tokens", "another number of slots"),
        (
            "how many spans a row holds",
            "averages",
            "exact bases; a fixed number of spans, but infilling's varies by one where a fixed "
            "number would miss the mean by over 1 % (so up to 2 pads a row)",
            "random counts",
        ),
        ("marks of masked spans", "“mask”", "one sentinel each, before it", "span first"),
        (
            "what deshuffling shuffles",
            "“subsequences”",
            f"spans, mean {named['deshuffling_50'].mean_span} bases",
            "single bases",
        ),
        (
            "autoencoding spans",
            "“several spans”; half shuffled on average",
            f"mean {auto.mean_span}, exactly {auto.shuffled:.0%}",
            "other spans; no shuffle",
        ),
        (
            "selective copying",
            f"{select.rate:.0%} of the text",
            f"spans of {select.shortest} or more, mean {select.mean_span:g} (our choice); asked by "
            f"{select.before} bases before and {select.after} after",
            "other lengths",
        ),
        ("token that names the objective", "nothing", "one, first in the prompt", "none"),
        (
            "who sees later bases",
            "the prompt of prefix LM",
            "every Birdie prompt" if birdie.bidirectional else "nobody",
            "nobody (causal)",
        ),
        ("NTP in the mixture", "listed, and removed", "only measured", "a ratio above 0"),
        ("“four layers”", "four layer", f"{birdie.model.blocks} blocks", "2 blocks"),
        (
            "reward",
            "“delta losses”",
            f"Birdie's rule, power {director.reward.power:g}, improvement positive",
            "another power; linear",
        ),
        (
            "rounds, candidates, exploration",
            "“a period”; random actions",
            f"{len(birdie.evaluations)} rounds, {director.candidates:,} candidates, the best "
            f"{director.best}, exploration {explored}",
            "config",
        ),
        ("loss average", "nothing", "over all target tokens of the batch", "per row"),
        (
            "warm-up, betas, decay",
            "nothing",
            f"{rate.warmup:.0%}, ({rate.b1}, {rate.b2}), {rate.weight_decay}",
            "config",
        ),
        ("fine-tuning head", "nothing", f"{tune.head} token", "linear on the mean"),
        ("fine-tuning mask", "nothing", "as pre-trained", "two by two"),
        ("which checkpoint", "nothing", "best MCC on validation, test once", "last"),
        ("seeds", "nothing", f"{len(settings.finetune_seeds)} of fine-tuning", "more"),
        (
            "benchmark",
            "NT; the appendix lists GenomicBenchmarks",
            f"Table 1's {len(TABLE_1)} tasks",
            "both",
        ),
    ]
    return pl.DataFrame(rows, ["question", "paper", "choice", "alternative"], orient="row")
