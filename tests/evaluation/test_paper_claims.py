"""The recount of Table 1, verdicts at each scale, failed checks, and sentences for all outcomes."""

import math

import numpy as np
import polars as pl
import pytest
from made_runs import every

from birdiedna.evaluation import paper_claims, paper_table, simulation, statistics
from birdiedna.evaluation.paper_scale import Scale
from birdiedna.evaluation.verdicts import CONTRADICTED, INCONCLUSIVE, NOT_TESTED, SUPPORTED

AGREEMENT = paper_claims.Agreement(0.5, 10, -0.19, 0.86)
RNG = np.random.default_rng(0)


def losses(copying: float, ntp: float, other: float = 1.0) -> pl.DataFrame:
    """Held-out losses of both arms at steps 0 and 10."""
    last = {"copying": copying, "prefix_lm_75": other, "next_token": ntp}
    rows = every(arm=paper_table.PRETRAINED, objective=last, step=(10, 0))
    loss = pl.col("objective").replace_strict(last, return_dtype=pl.Float64)
    trained = (pl.col("objective") == "next_token") == (pl.col("arm") == "ntp")
    loss = pl.when(pl.col("step") == 0).then(6.0).otherwise(loss)
    return rows.with_columns(loss=loss, per_base=loss, trained=trained)


@pytest.mark.parametrize(
    ("measured", "failing"),
    [
        ((0.01, 1.3), []),
        ((None, None), [0, 1, 2]),
        ((0.5, 1.3, 0.05), [0]),
        ((0.01, 1.3, 7.0), [1]),
        ((0.01, 1.379999), [2]),
    ],
)
def test_machinery_reports_each_failing_check(measured, failing):
    checks = paper_claims.machinery(losses(*measured), 1.379)
    assert [i for i, good in enumerate(checks["holds"]) if not good] == failing
    text = paper_claims.machinery_text(checks)
    assert text.startswith(f"{len(failing)} of 3 checks fail" if failing else "All 3 checks hold")


def test_small_loss_is_not_shown_as_zero():
    checks = paper_claims.machinery(losses(2.5e-5, 1.3), 1.379)
    assert checks["measured"][0] == "2.5e-05 nats"


def test_agreement_excludes_rounds_that_begin_in_the_warm_up():
    predicted, total = [-9.0, 5.0, 1.0, 2.0, 3.0], [9.0, -5.0, 2.0, 4.0, 6.0]
    columns = {"start": range(0, 50, 10), "predicted_total": predicted, "total": total}
    rounds = pl.DataFrame(columns)
    found = paper_claims.agreement(pl.concat([rounds, rounds]), 20)  # two objectives
    assert found.correlation == pytest.approx(1.0) and found.rounds == 3
    more = paper_claims.agreement(rounds, 10)
    assert more.low < more.correlation < min(0.9, more.high)
    few = paper_claims.agreement(rounds[:4], 20)
    assert math.isnan(few.correlation) and few.rounds == 2


def test_agreement_without_predictions_is_undefined():
    rounds = pl.DataFrame({"start": [0, 10, 20, 30], "total": [9.0, 2.0, 4.0, 6.0]})
    unknown = pl.lit(None, pl.Float64)
    found = paper_claims.agreement(rounds.with_columns(predicted_total=unknown), 0)
    assert math.isnan(found.correlation) and found.rounds == 0


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (
            (0.55, 20, 0.14, 0.80),
            "(95% interval +0.14 to +0.80 if rounds were independent): higher predictions",
        ),
        ((-0.55, 20, -0.80, -0.14), "higher predictions went with lower rewards"),
        ((0.13, 30, -0.24, 0.47), "does not tell prediction from chance"),
        ((0.9, 3), "too few for an interval"),
        ((math.nan, 2), "no correlation can be computed over so few rounds (2)"),
    ],
)
def test_text_of_a_correlation_follows_its_interval(found, text):
    assert text in str(paper_claims.Agreement(*found))


SMALL = Scale(("fewer steps",), 5)
FULL = Scale((), 5)


def world(truth: simulation.Truth, seeds: int = 5) -> tuple[pl.DataFrame, ...]:
    """The scores and curves that the chapter would read in a world."""
    return simulation.frames(truth, np.random.default_rng(1), seeds)


def column(name, frames, scale=FULL, fixed=()):
    """A column of the table of claims, by claim."""
    table = paper_claims.claims(*frames, AGREEMENT, scale, fixed)
    return dict(table.select("claim", name).iter_rows())


def verdicts(truth, scale=FULL, seeds=5):
    return column("verdict", world(truth, seeds), scale)


def measured(truth, seeds=5):
    return column("measured here", world(truth, seeds))


CONSISTENT = "“consistently outperforms” next-token prediction"
SLIGHT = "a “slight, but present, improvement”"
FASTER = "reaches accuracy “significantly faster”"
HURTS = "NTP in the mixture hurts small models"
SCARCE = "the gain is larger when data are scarce"
OWED = "the gain is owed to the objectives (implied): both arms causal"


def test_each_truth_supports_only_its_own_claims():
    null, gain, one, fast = map(verdicts, simulation.TRUTHS.values())
    found = {claim: [t[claim] for t in (null, gain, one, fast)] for claim in null}
    supported = {c: [v == SUPPORTED for v in given] for c, given in found.items()}
    assert supported[CONSISTENT] == supported[SLIGHT] == [False, True, False, False]
    assert supported[FASTER] == [False, False, False, True]
    assert supported[SCARCE] == [False] * 4
    assert verdicts(simulation.Truth(scarce=0.02))[SCARCE] == SUPPORTED
    assert verdicts(simulation.uniform(-0.03))[CONSISTENT] == CONTRADICTED


def test_small_scale_or_few_seeds_settle_nothing():
    better = simulation.uniform(0.1, 1.5)
    assert {*verdicts(better, SMALL).values()} == {NOT_TESTED}
    for seeds in (1, 2):
        assert {*verdicts(better, seeds=seeds).values()} <= {INCONCLUSIVE, NOT_TESTED}


def test_sentences_follow_the_numbers():
    higher = measured(simulation.uniform(0.05))
    assert "ahead in 14 of 14 tasks" in higher[CONSISTENT]
    assert "outcomes by task, uncorrected: win 14, loss 0" in higher[CONSISTENT]
    assert "over 5 pre-training seeds" in higher[SLIGHT] and "carries" not in higher[SLIGHT]
    assert "the arm ends higher, which is not speed" in higher[FASTER]
    one = measured(simulation.TRUTHS["+0.20 on one task, -0.005 on 13"])
    assert "without Promoter TATA -0.00" in one[SLIGHT] and "carries the mean" in one[SLIGHT]
    assert "above 0 in 5 of 5" in higher[SLIGHT]
    single = measured(simulation.uniform(0.05), seeds=1)
    assert "over 3 fine-tuning seeds" in single[SLIGHT]
    assert "MCC per tenfold fewer train rows (2 sizes" in single[SCARCE]


def test_arm_that_only_probes_compare_is_measured():
    results, curves, swept = world(simulation.uniform(0.05))
    probes = swept.filter(kind="probe", arm="birdie").with_columns(arm=pl.lit("trained_causally"))
    found = column("measured here", (results, curves, pl.concat([swept, probes])))
    assert found[OWED].startswith("mean gap +0.0")
    even = results.filter(arm="ntp").with_columns(arm=pl.lit("trained_causally"))
    both = pl.concat([results, even]), curves, pl.concat([swept, probes])
    assert column("measured here", both)[OWED].startswith("mean gap +0.000"), "fine-tunings first"
    assert measured(simulation.uniform(0.05))[OWED] == "nothing"


def test_interval_over_two_tasks_is_not_given():
    few = lambda *tasks: [f.filter(pl.col("task").is_in(tasks)) for f in world(simulation.Truth())]
    three = column("measured here", few("promoter_all", "enhancers", "H2AFZ"))[CONSISTENT]
    assert "over tasks" in three
    assert "over tasks" not in column("measured here", few("promoter_all", "enhancers"))[CONSISTENT]


def test_claims_without_runs_are_not_tested():
    empty = (frame.clear() for frame in simulation.frames(simulation.Truth(), RNG, 1))
    table = paper_claims.claims(*empty, AGREEMENT, FULL)
    assert table["measured here"].to_list().count("nothing") == table.height - 2
    assert set(table["verdict"]) == {NOT_TESTED}
    assert paper_claims.summary(table) == f"None of {table.height} claims is tested"


def test_claims_without_an_experiment_in_the_paper_are_marked():
    shown = column("the paper shows", world(simulation.Truth()))
    assert "8 of 14" in shown[CONSISTENT] and "mean gap +0.20" in shown[SLIGHT]
    for words in ("faster", "scarce", "robust", "less necessary", "variant"):
        (text,) = [text for claim, text in shown.items() if words in claim]
        assert text.startswith("no experiment")


@pytest.mark.parametrize(
    "fixed, text",
    [
        ((), "no arm with a fixed mixture was run"),
        (["uniform"], "pre-trained and not compared: uniform mixture"),
    ],
)
def test_claims_state_whether_a_fixed_mixture_was_run(fixed, text):
    frames = [frame.filter(pl.col("arm") != "uniform") for frame in world(simulation.Truth())]
    found = column("measured here", frames, fixed=fixed)
    assert found["the reward model finds good mixtures"].endswith(f"; {text}")


def gaps(values: np.ndarray) -> statistics.Gaps:
    return statistics.Gaps(values, simulation.TASKS, statistics.PRETRAINING)


def test_learned_mixture_is_judged_by_its_strongest_rival():
    wobble = 1e-4 * np.arange(5)[:, None]
    ahead, even, behind = (gaps(np.full((5, 14), gain) + wobble) for gain in (0.05, -2e-4, -0.05))
    verdict = lambda **found: paper_claims.mixtures(found, ("uniform", "ul2r"))
    assert verdict(uniform=ahead)[1] == SUPPORTED
    assert verdict(uniform=ahead)[0].endswith("not compared: UL2R-like mixture")
    assert verdict(uniform=ahead, ul2r=even)[1] == INCONCLUSIVE
    assert verdict(uniform=behind, ul2r=even)[1] == CONTRADICTED
    assert verdict()[1] == NOT_TESTED
    arm = pl.col("arm").replace("uniform", "with_ntp")
    frames = [frame.with_columns(arm) for frame in world(simulation.uniform(0.05))]
    assert column("verdict", frames)[HURTS] == SUPPORTED
    assert verdicts(simulation.uniform(0.05))[HURTS] == NOT_TESTED


@pytest.mark.parametrize(("wobble", "carried"), [(0.001, True), (0.02, False)])
def test_a_task_carries_a_mean_only_if_its_interval_excludes_0(wobble, carried):
    one_task = np.where(np.arange(14) == 2, 0.2, -0.005) + wobble * np.arange(-1, 2)[:, None]
    for values, word in ((one_task, carried), (np.zeros((3, 14)), False)):
        assert ("carries" in paper_claims.mean_gap(gaps(values))[0]) == word


def test_tasks_outside_table_1_do_not_affect_its_verdicts():
    results, curves, _ = simulation.frames(simulation.Truth(), RNG, 3)
    alone = paper_claims.claims(results, curves, results, AGREEMENT, FULL)
    other = lambda frame: frame.filter(task="H2AFZ").with_columns(task=pl.lit("mine"))
    results, curves = (pl.concat([frame, other(frame)]) for frame in (results, curves))
    assert paper_claims.claims(results, curves, results, AGREEMENT, FULL).equals(alone)
    few = results.filter(pl.col("task").is_in(["mine", "H2AFZ"]))
    assert "of 2 tasks" in column("measured here", (few, curves, few))[CONSISTENT]
