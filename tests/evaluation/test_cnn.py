"""The small CNN finds a motif at any position, and is reproducible by seed."""

import numpy as np
import pytest
from made_rows import labelled

from birdiedna.evaluation import cnn
from birdiedna.training.metrics import of_tables, tables

MOTIF = "GATTACAGG"


def rows(seed, n, length=46):
    """Random rows; every second one contains the motif at a random position."""
    rng = np.random.default_rng(seed)
    bases = ["".join(rng.choice(list("ACGT"), length)) for _ in range(n)]
    at = rng.integers(0, length - len(MOTIF), n)
    plant = lambda one, i: one[:i] + MOTIF + one[i + len(MOTIF) :]
    return labelled([plant(one, i) if k % 2 else one for k, (one, i) in enumerate(zip(bases, at))])


@pytest.fixture(scope="module")
def splits():
    return rows(0, 600), rows(1, 80), rows(2, 200)


def test_cnn_finds_a_motif_at_any_position(splits):
    found = cnn.predict(splits, 0)
    mcc = of_tables(tables(splits[2].labels, found[None]), "mcc")
    assert found.shape == (200, 2) and mcc.item() > 0.9


def test_predictions_depend_on_the_seed_alone(splits, monkeypatch):
    monkeypatch.setattr(cnn, "STEPS", cnn.EVALUATE_EVERY)
    found = cnn.predict(splits, 0)
    assert np.array_equal(found, cnn.predict(splits, 0))
    assert not np.array_equal(found, cnn.predict(splits, 1))
