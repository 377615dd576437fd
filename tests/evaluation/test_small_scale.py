"""Claims about verdicts at a small scale: they need every rival, and tell what was not run."""

import numpy as np
import polars as pl
import pytest

from birdiedna.evaluation import frames, small_scale
from birdiedna.evaluation.small_scale import AT_THIS_SCALE, RIVALS
from birdiedna.evaluation.verdicts import CONTRADICTED, INCONCLUSIVE, NOT_TESTED, SUPPORTED

NONE = pl.DataFrame(schema={"arm": pl.String})
SHARES = (0.01, 0.25, 1.0)


def probed(levels: dict[str, float], seeds: int = 10, tasks: int = 14) -> pl.DataFrame:
    """Probes whose MCC is the arm's level, with noise over seeds, at every share."""
    rng = np.random.default_rng(0)
    rows = [
        {"task": f"task {task}", "kind": "probe", "arm": arm, "seed": seed, "finetune_seed": 0}
        | {"share": share, "n_train": int(600 * share), "value": level + rng.normal(0, 0.01)}
        for arm, level in levels.items()
        for seed in range(seeds)
        for task in range(tasks)
        for share in SHARES
    ]
    return pl.DataFrame(rows)


def changed(levels: dict[str, float]) -> pl.DataFrame:
    """Ten seeds of variant scores whose AUROC is the arm's level, with noise."""
    rng, lines = np.random.default_rng(0), ["task,arm,seed,auroc"]
    for arm, level in levels.items():
        lines += [f"donors,{arm},{seed},{level + rng.normal(0, 0.01)}" for seed in range(10)]
    return frames.variant_table("\n".join(lines).encode() if levels else b"")


def verdict(levels: dict[str, float], claim: str, **more) -> str:
    table = small_scale.answers(probed(levels, **more), NONE, changed({}))
    return table.filter(pl.col("claim").str.contains(claim, literal=True))[AT_THIS_SCALE].item()


@pytest.mark.parametrize(
    ("ntp", "wanted"), [(0.5, SUPPORTED), (0.6, CONTRADICTED), (0.55, INCONCLUSIVE)]
)
def test_a_gap_to_next_token_gets_its_verdict(ntp, wanted):
    found = small_scale.answers(
        probed({"birdie": 0.55, "ntp": ntp, "random": 0.4}), NONE, changed({})
    )
    assert found[AT_THIS_SCALE][:2].to_list() == [wanted] * 2
    assert "10 pre-training seeds" in found["measured here"][1]


def test_a_learned_mixture_has_to_beat_every_rival():
    levels = {"birdie": 0.5, **dict.fromkeys(RIVALS, 0.4)}
    assert verdict(levels, "good mixtures") == SUPPORTED
    assert verdict(levels | {"random_actions": 0.6}, "good mixtures") == CONTRADICTED
    assert verdict({"birdie": 0.5, "uniform": 0.4}, "good mixtures") == INCONCLUSIVE
    assert verdict({"birdie": 0.5}, "good mixtures") == NOT_TESTED


def test_representations_are_robust_only_if_they_beat_random_weights_too():
    assert verdict({"birdie": 0.5, "ntp": 0.4, "random": 0.3}, "robust") == SUPPORTED
    assert verdict({"birdie": 0.5, "ntp": 0.4, "random": 0.7}, "robust") == CONTRADICTED


def test_a_gain_is_owed_to_the_objectives_only_if_it_stays_under_the_mask_of_next_token():
    arms = {"birdie": 0.5, "ntp": 0.4, "trained_causally": 0.5}
    assert verdict(arms, "owed to the objectives") == SUPPORTED
    assert verdict(arms | {"trained_causally": 0.4}, "owed to the objectives") == INCONCLUSIVE
    assert verdict({"birdie": 0.5, "ntp": 0.4}, "owed to the objectives") == NOT_TESTED


def test_two_seeds_settle_nothing_and_what_was_not_run_is_not_tested():
    assert verdict({"birdie": 0.5, "ntp": 0.4}, "slight", seeds=2) == INCONCLUSIVE
    found = small_scale.answers(probed({"birdie": 0.5, "ntp": 0.4}), NONE, changed({}))
    untested = found.filter(pl.col(AT_THIS_SCALE) == NOT_TESTED)
    assert {*untested["measured here"]} >= {"nothing"} and untested.height >= 5
    assert small_scale.told(found).startswith(f"Of 12 claims {12 - untested.height} were tested: ")


def test_the_brief_answer_is_the_first_number_with_its_interval():
    arms = {"birdie": 0.5, "ntp": 0.4, "random": 0.3}
    found = small_scale.answers(probed(arms), NONE, changed({"birdie": 0.5, "ntp": 0.4}))
    for text, whole in zip(
        small_scale.brief(found)["measured here"], found["measured here"], strict=True
    ):
        assert text.count("(") == text.count(")") and "seeds" not in text
        assert text.split(" (")[0] in whole


@pytest.mark.parametrize(
    ("ntp", "wanted"), [(0.45, SUPPORTED), (0.55, CONTRADICTED), (0.5, INCONCLUSIVE)]
)
def test_variants_without_training_get_a_verdict_and_their_levels(ntp, wanted):
    found = small_scale.answers(probed({"birdie": 0.5}), NONE, changed({"birdie": 0.5, "ntp": ntp}))
    row = found.filter(pl.col("claim").str.contains("variant", literal=True))
    assert row[AT_THIS_SCALE].item() == wanted
    text = row["measured here"].item()
    assert "AUROC" in text and text.endswith("chance 0.500") and "Birdie 0.50" in text
