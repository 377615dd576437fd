"""The paper's digits and recount; verdicts: small runs settle nothing, failures are shown."""

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdiedna.evaluation import paper_claims, paper_table, statistics
from birdiedna.evaluation.paper_claims import CONTRADICTED, INCONCLUSIVE, NOT_TESTED, SUPPORTED

GAP = statistics.interval([0.2, 0.21, 0.22])
AGREEMENT = paper_claims.Agreement(0.5, 10)
WIN, LOSS = {"low": 0.1, "high": 0.2}, {"low": -0.2, "high": -0.1}
FULL = paper_claims.Scale("paper", 14, 3_100_000_000, 3)


def test_without_one_task_the_sign_of_the_mean_turns():
    table = paper_claims.recounted()
    assert table["wins"].to_list() == ["8 of 14", "6 of 14"]
    assert (table["mean"] > 0).all()
    assert table["without TATA"].to_list() == pytest.approx([-0.22, -0.11], abs=0.006)


@given(st.integers(1, 3000), st.data())
def test_a_true_count_always_fits_and_prints_its_own_digits(rows, data):
    count = data.draw(st.integers(0, rows))
    assert paper_claims.fits_count(round(100 * count / rows, 2), rows)


def test_digits_of_table_1_fit_the_nominal_rows_in_four_tasks_only():
    table = paper_claims.digits()
    fits = table.filter(pl.col("Birdie fits") & pl.col("NTP fits"))["task"].to_list()
    assert fits == ["H2AFZ", "H3K27me3", "H3K36me3", "H3K4me1"]
    quarters = table.filter("quarters")["task"].to_list()
    assert quarters == ["H3K27ac", "H3K4me3", "H3K9ac", "H3K9me3"]


@pytest.mark.parametrize(
    ("gap", "scale", "expected"),
    [
        *((gap, FULL._replace(profile="quick"), NOT_TESTED) for gap in (WIN, LOSS)),
        *((gap, FULL._replace(tasks=13), NOT_TESTED) for gap in (WIN, LOSS)),
        *((gap, FULL._replace(genome_bases=2_700_000), NOT_TESTED) for gap in (WIN, LOSS)),
        (WIN, FULL._replace(pretraining_seeds=1), INCONCLUSIVE),
        (WIN, FULL, SUPPORTED),
        (LOSS, FULL, CONTRADICTED),
        ({"low": -0.1, "high": 0.1}, FULL, INCONCLUSIVE),
        ({"low": math.nan, "high": math.nan}, FULL, INCONCLUSIVE),
    ],
)
def test_only_intervals_at_the_papers_scale_with_several_seeds_settle_a_claim(gap, scale, expected):
    assert paper_claims.verdict(gap, scale) == expected


def losses(copying: float, ntp: float, other: float = 1.0) -> pl.DataFrame:
    """Held-out losses of both arms at steps 0 and 10."""
    last = {"copying": copying, "prefix_lm_75": other, "next_token": ntp}
    return pl.DataFrame(
        [
            {"arm": arm, "objective": name, "step": step, "loss": 6.0 if step == 0 else loss}
            for arm in paper_table.PRETRAINED
            for name, loss in last.items()
            for step in (10, 0)
        ]
    )


@pytest.mark.parametrize(
    ("measured", "failing"),
    [((0.01, 1.3), []), ((0.5, 1.3), [0]), ((0.01, 1.3, 7.0), [1]), ((0.01, 1.379999), [2])],
)
def test_checks_fail_where_they_fail(measured, failing):
    holds = paper_claims.machinery(losses(*measured), 1.379)["holds"].to_list()
    assert [i for i, good in enumerate(holds) if not good] == failing


def test_an_arm_trained_on_its_own_objectives_only():
    found = paper_claims.ends(losses(0.01, 1.3)).filter("trained")
    assert set(found.select("arm", "objective").iter_rows()) == {
        ("birdie", "copying"),
        ("birdie", "prefix_lm_75"),
        ("ntp", "next_token"),
    }


def test_agreement_leaves_out_every_round_that_begins_in_the_warm_up():
    steps = [0, 10, 20, 30, 40]
    decisions = pl.DataFrame({"step": steps, "predicted_reward": [-9.0, 5.0, 1.0, 2.0, 3.0]})
    totals = pl.DataFrame({"step": [10, 20, 30, 40, 50], "reward": [9.0, -5.0, 2.0, 4.0, 6.0]})
    found = paper_claims.agreement(decisions, totals, 20)
    assert found.correlation == pytest.approx(1.0) and found.rounds == 3
    assert paper_claims.agreement(decisions, totals, 10).correlation < 0.9
    few = paper_claims.agreement(decisions[:4], totals[:4], 20)
    assert math.isnan(few.correlation) and few.rounds == 2


def test_agreement_of_a_director_that_predicts_nothing_is_undefined():
    decisions = pl.DataFrame({"step": [0, 10, 20, 30], "predicted_reward": [None] * 4})
    totals = pl.DataFrame({"step": [10, 20, 30, 40], "reward": [9.0, 2.0, 4.0, 6.0]})
    found = paper_claims.agreement(decisions, totals, 0)
    assert math.isnan(found.correlation) and found.rounds == 0


def test_no_claim_is_settled_by_a_quick_run():
    table = paper_claims.claims(
        GAP, GAP, GAP, AGREEMENT, paper_claims.Scale("quick", 2, 2_700_000, 1)
    )
    assert "+0.50 over 10 rounds after the warm-up" in table["measured here"][3]
    assert set(table["verdict"]) == {NOT_TESTED}
    assert table["measured here"][0] == "mean gap +0.210 (+0.185 to +0.235) MCC"
    assert "8 of 14" in table["the paper shows"][0]


def test_without_any_comparison_nothing_was_measured():
    gap = statistics.interval([])
    table = paper_claims.claims(
        gap, gap, gap, AGREEMENT, paper_claims.Scale("paper", 0, 3_100_000_000, 0)
    )
    assert table["measured here"][:3].to_list() == ["nothing"] * 3
    assert set(table["verdict"]) == {NOT_TESTED}


@pytest.mark.parametrize(
    "fixed, text",
    [((), "no fixed arm was run"), (["uniform"], "fixed arms run, not compared here: uniform")],
)
def test_claims_say_whether_a_fixed_mixture_was_run(fixed, text):
    table = paper_claims.claims(GAP, GAP, GAP, AGREEMENT, FULL, fixed)
    assert table["measured here"][3].endswith(f"; {text}")
