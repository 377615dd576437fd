"""The paper's claims asked of many small runs: each gets a verdict at their scale, and no other.

Arms are compared by probes of frozen features, over pre-training seeds. What this says of the
paper's claims at the paper's scale is nothing; chapter 1 prints both verdicts side by side.
"""

from collections import Counter

import polars as pl

from birdiedna.evaluation import learning_speed, paper_claims, scarcity, statistics
from birdiedna.evaluation.verdicts import NOT_TESTED, VERDICTS

#: What a learned mixture has to beat.
RIVALS = ("uniform", "random_actions", "averaged", "replayed")
AT_THIS_SCALE = "at this scale"


def answers(probed: pl.DataFrame, curves: pl.DataFrame, variants: pl.DataFrame) -> pl.DataFrame:
    """What the runs say of every claim: claim, at this scale (a verdict), measured here.

    `probed` is the MCC of probes of all arms and shares, as `frames.results` has it; `curves` are
    those of fine-tunings, as `frames.curves`, and `variants` as `frames.variant_table` has them;
    both may be empty.
    """
    whole = probed.filter(pl.col("share") == 1)
    gaps = lambda second: statistics.gaps(whole, "birdie", second)
    gap = lambda second: paper_claims.mean_gap(gaps(second))
    over = lambda *arms: paper_claims.least({arm: gaps(arm) for arm in arms})
    nothing = paper_claims.NOTHING
    alike = paper_claims.mean_gap(statistics.gaps(whole, "trained_causally", "ntp"))
    main = probed.filter(pl.col("arm").is_in(["birdie", "ntp"]))
    consistent = paper_claims.consistent(gaps("ntp"))
    faster = paper_claims.faster(learning_speed.speed(curves, "birdie", "ntp"))
    scarce = paper_claims.scarce(scarcity.scarcity(main, "birdie", "ntp"))
    claim = {key: words for key, (words, _) in paper_claims.CLAIMS.items()}
    rows = [
        (claim["consistent"], *consistent),
        (claim["better"], *gap("ntp")),
        ("that gain is owed to the objectives (implied): both arms causal", *alike),
        (claim["faster"], *faster),
        (claim["scarce"], *scarce),
        (claim["frozen"] + ": frozen, over NTP and over random weights", *over("ntp", "random")),
        (claim["trained"] + ": over random weights", *gap("random")),
        (claim["mixture"], *over(*RIVALS)),
        (claim["with NTP"], *gap("with_ntp")),
        (claim["variants"] + ": disrupted splice sites, without training", *_on_variants(variants)),
        *((claim[key], *nothing) for key in ("own weights", "llama")),
    ]
    found = pl.DataFrame(rows, ["claim", "measured here", AT_THIS_SCALE], orient="row")
    return found.select("claim", AT_THIS_SCALE, "measured here")


def _on_variants(scores: pl.DataFrame) -> tuple[str, str]:
    """What is measured of Birdie over NTP on variants, and the verdict."""
    text, verdict = paper_claims.mean_gap(statistics.gaps(scores, "birdie", "ntp"), "AUROC")
    if verdict == NOT_TESTED:
        return text, verdict
    means = dict(scores.group_by("arm").agg(pl.col("value").mean()).iter_rows())
    levels = "; Birdie {birdie:.3f}, NTP {ntp:.3f}, chance 0.500".format(**means)
    return text + levels, verdict


def tested(table: pl.DataFrame) -> pl.DataFrame:
    """The `answers` that are verdicts at this scale."""
    return table.filter(pl.col(AT_THIS_SCALE) != NOT_TESTED)


def brief(table: pl.DataFrame) -> pl.DataFrame:
    """`answers` with the first number only of what was measured, and its interval.

    The verdict may rest on more: on the least gap of several, on what is left without one task.
    """
    first = pl.col("measured here").str.split("; ").list.first()
    seeds = (
        r",? (?:over )?\d+ (?:pre-training )?seeds|, above 0 in \d+ of \d+|mean gap | \(\d+ sizes$"
    )
    return table.with_columns(first.str.replace_all(seeds, "").alias("measured here"))


def told(table: pl.DataFrame) -> str:
    """How many `answers` are verdicts at this scale, as a sentence without its full stop."""
    counts = Counter(table[AT_THIS_SCALE])
    said = f"Of {table.height} claims {table.height - counts.pop(NOT_TESTED, 0)} were tested"
    listed = [f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict]]
    return f"{said}: {', '.join(listed)}" if listed else f"{said} at this small scale"
