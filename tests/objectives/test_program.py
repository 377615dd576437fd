"""Claims about rows: programs, their expansion, and the loss weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from birdiedna import vocab
from birdiedna.objectives.program import expand, join, pad, shift, special

GOLDEN = [  # prefix, label, input, target where it weighs; <start> is 99 (reference rows)
    ([1, 2, 3], [4, 5], [1, 2, 3, 99, 4], [None, None, None, 4, 5]),
    ([6, 7], [8, 9, 10], [6, 7, 99, 8, 9], [None, None, 8, 9, 10]),
    ([11], [12], [11, 99], [None, 12]),
    ([4, 5, 6], [7, 8, 9], [4, 5, 6, 99, 7, 8], [None, None, None, 7, 8, 9]),
]


def literal(prefix, label):
    ids = [*prefix, 99, *label]
    return join([(special(token), 1) for token in ids], len(prefix))


@pytest.mark.parametrize("prefix, label, tokens, targets", GOLDEN)
def test_rows_are_the_reference_rows(prefix, label, tokens, targets):
    program = literal(prefix, label)
    row = expand(jnp.zeros(1, jnp.uint8), program, len(tokens) + 1)
    got, labels, weights = shift(row, program.prefix)
    assert got.tolist() == tokens
    weighed = [t if w else None for t, w in zip(labels.tolist(), weights.tolist(), strict=True)]
    assert weighed == targets


def test_segments_are_copied_in_order_and_the_tail_is_padded():
    window = jnp.asarray(vocab.encode("ACGTACGTAA"))
    program = join([(special(vocab.MASK), 1), (4, 3), (0, 0), (8, 2)], 3)
    row = expand(window, program, 8)
    assert vocab.decode(row) == "<mask>ACGAA<pad><pad>"


def test_empty_segments_change_nothing():
    window = jnp.asarray(vocab.encode("ACGTACGT"))
    program = join([(2, 4), (special(vocab.EOS), 1)], 4)
    padded = pad(program, 9)
    assert padded.starts.shape == (9,)
    assert (expand(window, padded, 8) == expand(window, program, 8)).all()


def test_pads_weigh_nothing_and_start_predicts_the_first_label():
    program = literal([20, 21], [30])
    row = expand(jnp.zeros(1, jnp.uint8), program, 9)
    _, labels, weights = shift(row, program.prefix)
    assert np.flatnonzero(weights).tolist() == [2]
    assert labels[2] == 30


def test_expansion_works_under_vmap_and_jit():
    windows = jnp.asarray(np.stack([vocab.encode("ACGT"), vocab.encode("TTGG")]))
    program = join([(1, 3)], 0)
    rows = jax.jit(jax.vmap(lambda w: expand(w, program, 3)))(windows)
    assert [vocab.decode(row) for row in rows] == ["CGT", "TGG"]
