"""Verdicts at a small scale need all rivals, and mark claims that were not tested."""

import numpy as np
import polars as pl
import pytest
from made_runs import every

from birdiedna.evaluation import frames, paper_claims
from birdiedna.evaluation.paper_claims import AT_THIS_SCALE, RIVALS
from birdiedna.evaluation.verdicts import CONTRADICTED, INCONCLUSIVE, NOT_TESTED, SUPPORTED

NONE = frames.curves([])


def probed(levels: dict[str, float], seeds: int = 10) -> pl.DataFrame:
    """Probes with the MCC of the arm's level, plus noise, at every share."""
    names = [f"task {task}" for task in range(14)]
    rows = every(arm=levels, seed=range(seeds), task=names, share=(0.01, 0.25, 1.0))
    noise = pl.Series(np.random.default_rng(0).normal(0, 0.01, rows.height))
    size = (600 * pl.col("share")).cast(pl.Int64)
    facts = {"kind": pl.lit("probe"), "finetune_seed": 0, "n_train": size}
    return rows.with_columns(**facts, value=pl.col("arm").replace_strict(levels) + noise)


def changed(levels: dict[str, float]) -> pl.DataFrame:
    """Variant scores of ten seeds with the AUROC of the arm's level, plus noise."""
    rng, lines = np.random.default_rng(0), ["task,arm,seed,auroc"]
    for arm, level in levels.items():
        lines += [f"donors,{arm},{seed},{level + rng.normal(0, 0.01)}" for seed in range(10)]
    return frames.variant_table("\n".join(lines).encode() if levels else b"")


def answers(levels: dict[str, float], aurocs: dict[str, float] = {}, **more) -> pl.DataFrame:
    return paper_claims.at_small_scale(probed(levels, **more), NONE, changed(aurocs))


def answer(table: pl.DataFrame, claim: str) -> tuple[str, str]:
    """The verdict on a claim, and what was measured."""
    row = table.filter(pl.col("claim").str.contains(claim, literal=True))
    return row[AT_THIS_SCALE].item(), row["measured here"].item()


BEATEN = {"birdie": 0.5, **dict.fromkeys(RIVALS, 0.4)}
BOTH = {"birdie": 0.5, "ntp": 0.4}


@pytest.mark.parametrize(
    ("claim", "levels", "wanted"),
    [
        ("consistently", {"birdie": 0.55, "ntp": 0.5}, SUPPORTED),
        ("slight", {"birdie": 0.55, "ntp": 0.5}, SUPPORTED),
        ("slight", {"birdie": 0.55, "ntp": 0.6}, CONTRADICTED),
        ("slight", {"birdie": 0.55, "ntp": 0.55}, INCONCLUSIVE),
        # a learned mixture has to beat every rival
        ("good mixtures", BEATEN, SUPPORTED),
        ("good mixtures", BEATEN | {"random_actions": 0.6}, CONTRADICTED),
        ("good mixtures", {"birdie": 0.5, "uniform": 0.4}, INCONCLUSIVE),
        ("good mixtures", {"birdie": 0.5}, NOT_TESTED),
        # representations are robust only if they also beat random weights
        ("robust", BOTH | {"random": 0.3}, SUPPORTED),
        ("robust", BOTH | {"random": 0.7}, CONTRADICTED),
        # a gain is owed to the objectives only if it persists under the causal mask
        ("owed to the objectives", BOTH | {"trained_causally": 0.5}, SUPPORTED),
        ("owed to the objectives", BOTH | {"trained_causally": 0.4}, INCONCLUSIVE),
        ("owed to the objectives", BOTH, NOT_TESTED),
    ],
)
def test_verdict_depends_on_the_arms_of_the_claim(claim, levels, wanted):
    assert answer(answers(levels), claim)[0] == wanted


def test_two_seeds_are_inconclusive_and_missing_runs_not_tested():
    assert answer(answers(BOTH, seeds=2), "slight")[0] == INCONCLUSIVE
    found = answers(BOTH)
    untested = found.filter(pl.col(AT_THIS_SCALE) == NOT_TESTED)
    assert {*untested["measured here"]} >= {"nothing"} and untested.height >= 5
    assert "10 pre-training seeds" in found["measured here"][1]
    said = paper_claims.small_summary(found)
    assert said.startswith(f"{12 - untested.height} of 12 claims tested: ")


def test_brief_answer_is_the_first_number_with_its_interval():
    found = answers(BOTH | {"random": 0.3}, BOTH)
    brief = paper_claims.brief(found)["measured here"]
    for text, whole in zip(brief, found["measured here"], strict=True):
        assert text.count("(") == text.count(")") and "seeds" not in text
        assert text.split(" (")[0] in whole
        assert ("; without " in text) == (whole.startswith("mean gap") and "; without " in whole)
    assert "MCC; without " in brief[1]


@pytest.mark.parametrize(
    ("ntp", "wanted"), [(0.45, SUPPORTED), (0.55, CONTRADICTED), (0.5, INCONCLUSIVE)]
)
def test_zero_shot_variants_have_a_verdict_and_levels(ntp, wanted):
    birdie = {"birdie": 0.5}
    verdict, text = answer(answers(birdie, birdie | {"ntp": ntp}), "variant")
    assert verdict == wanted
    assert "AUROC" in text and text.endswith("chance 0.500") and "Birdie 0.50" in text
    assert answer(answers(birdie, birdie), "variant")[0] == NOT_TESTED
