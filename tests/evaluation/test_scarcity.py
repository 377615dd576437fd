"""The interaction of arm and number of train rows."""

import polars as pl
import pytest
from made_runs import every

from birdiedna.evaluation.scarcity import scarcity


def scores(gain, sizes=(300, 3_000, 30_000), kinds=("probe",), seeds=3):
    """Birdie leads by 0.02 plus `gain` per tenfold fewer rows; NTP is at 0."""
    axes = {"task": ("a", "b"), "kind": kinds, "arm": ("birdie", "ntp"), "seed": range(seeds)}
    rows = every(**axes, finetune_seed=range(2), n_train=sizes)
    lead = 0.02 + 0.001 * pl.col("finetune_seed") + gain * (5 - pl.col("n_train").log10())
    return rows.with_columns(value=lead * (pl.col("arm") == "birdie"))


@pytest.mark.parametrize("gain", [0.01, 0.0, -0.02])
def test_slope_is_the_gain_per_tenfold_fewer_rows(gain):
    found = scarcity(scores(gain), "birdie", "ntp")
    assert found.slopes == pytest.approx([gain] * 3, abs=1e-12)
    assert (found.sizes, found.kinds, found.over) == (3, ("probe",), "pre-training seeds")


def test_each_kind_of_run_has_its_own_level():
    both = scores(0.01, kinds=("finetune", "probe"))
    moved = both.with_columns(pl.col("value") + pl.col("kind").eq("probe") * 0.3)
    found = scarcity(moved, "birdie", "ntp")
    assert found.slopes == pytest.approx([0.01] * 3) and found.kinds == ("finetune", "probe")


def test_a_single_size_gives_no_slope():
    assert scarcity(scores(0.01, sizes=(300,)), "birdie", "ntp").slopes.size == 0
    assert scarcity(scores(0.01).clear(), "birdie", "ntp").slopes.size == 0
    assert scarcity(scores(0.01).with_columns(n_train=None), "birdie", "ntp").slopes.size == 0
