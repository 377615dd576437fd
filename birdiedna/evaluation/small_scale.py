"""Verdicts on the paper's claims from many small runs, valid at their scale only.

Arms are compared by probes of frozen features, over pre-training seeds. This settles nothing at the
paper's scale; `01_paper` prints both verdicts side by side.
"""

from collections import Counter

import polars as pl

from birdiedna.evaluation import learning_speed, paper_claims, scarcity, statistics
from birdiedna.evaluation.verdicts import NOT_TESTED, VERDICTS

#: The arms that a learned mixture has to beat.
RIVALS = ("uniform", "random_actions", "averaged", "replayed")
AT_THIS_SCALE = "at this scale"


def answers(probed: pl.DataFrame, curves: pl.DataFrame, variants: pl.DataFrame) -> pl.DataFrame:
    """The verdict on each claim: claim, at this scale (a verdict), measured here.

    `probed` has the MCC of probes of all arms and shares, as `frames.results`; `curves` are those
    of fine-tunings, as `frames.curves`, and `variants` as `frames.variant_table`; these may be
    empty.
    """
    whole = probed.filter(share=1)
    gaps = lambda second: statistics.gaps(whole, "birdie", second)
    gap = lambda second: paper_claims.mean_gap(gaps(second))
    over = lambda *arms: paper_claims.least({arm: gaps(arm) for arm in arms})
    alike = paper_claims.mean_gap(statistics.gaps(whole, "trained_causally", "ntp"))
    main = probed.filter(pl.col("arm").is_in(["birdie", "ntp"]))
    claim = {key: words for key, (words, _) in paper_claims.CLAIMS.items()}
    rows = [
        (claim["consistent"], *paper_claims.consistent(gaps("ntp"))),
        (claim["better"], *gap("ntp")),
        (claim["faster"], *paper_claims.faster(learning_speed.speed(curves, "birdie", "ntp"))),
        (claim["scarce"], *paper_claims.scarce(scarcity.scarcity(main, "birdie", "ntp"))),
        (claim["frozen"] + ": frozen, over NTP and over random weights", *over("ntp", "random")),
        (claim["trained"] + ": over random weights", *gap("random")),
        (claim["objectives"], *alike),
        (claim["mixture"], *over(*RIVALS)),
        (claim["with NTP"], *gap("with_ntp")),
        (claim["variants"] + ": disrupted splice sites, without training", *_on_variants(variants)),
        *((claim[key], *paper_claims.NOTHING) for key in ("own weights", "llama")),
    ]
    found = pl.DataFrame(rows, ["claim", "measured here", AT_THIS_SCALE], orient="row")
    return found.select("claim", AT_THIS_SCALE, "measured here")


def _on_variants(scores: pl.DataFrame) -> tuple[str, str]:
    """Describe Birdie over NTP on variants, with the verdict."""
    text, verdict = paper_claims.mean_gap(statistics.gaps(scores, "birdie", "ntp"), "AUROC")
    if verdict == NOT_TESTED:
        return text, verdict
    means = dict(scores.group_by("arm").agg(pl.col("value").mean()).iter_rows())
    levels = "; Birdie {birdie:.3f}, NTP {ntp:.3f}, chance 0.500".format(**means)
    return text + levels, verdict


def tested(table: pl.DataFrame) -> pl.DataFrame:
    """The `answers` with a verdict at this scale."""
    return table.filter(pl.col(AT_THIS_SCALE) != NOT_TESTED)


def brief(table: pl.DataFrame) -> pl.DataFrame:
    """`answers` reduced to the first measured number and its interval.

    The verdict may depend on more: the least of several gaps, or the gap without one task.
    """
    first = pl.col("measured here").str.split("; ").list.first()
    seeds = (
        r",? (?:over )?\d+ (?:pre-training )?seeds|, above 0 in \d+ of \d+|mean gap | \(\d+ sizes$"
    )
    return table.with_columns(first.str.replace_all(seeds, "").alias("measured here"))


def told(table: pl.DataFrame) -> str:
    """Count the verdicts in `answers`, as a sentence without its full stop."""
    counts = Counter(table[AT_THIS_SCALE])
    text = f"Of {table.height} claims {table.height - counts.pop(NOT_TESTED, 0)} were tested"
    listed = [f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict]]
    return f"{text}: {', '.join(listed)}" if listed else f"{text} at this small scale"
