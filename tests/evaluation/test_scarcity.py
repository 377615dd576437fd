"""The interaction of arm and number of train rows."""

import numpy as np
import polars as pl
import pytest

from birdiedna.evaluation.scarcity import scarcity


def scores(gain, sizes=(300, 3_000, 30_000), kinds=("probe",), seeds=3):
    """Birdie leads by 0.02 plus `gain` per tenfold fewer rows; NTP is at 0."""
    rows = [
        {"task": task, "kind": kind, "arm": arm, "seed": seed, "finetune_seed": run, "n_train": n}
        | {"value": (arm == "birdie") * (0.02 + 0.001 * run + gain * (5 - np.log10(n)))}
        for task in ("a", "b")
        for kind in kinds
        for arm in ("birdie", "ntp")
        for seed in range(seeds)
        for run in range(2)
        for n in sizes
    ]
    return pl.DataFrame(rows)


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
