"""Programs, the rows they expand to, and loss weights."""

import jax
import jax.numpy as jnp
import pytest

from birdiedna import vocab
from birdiedna.objectives import program as programs
from birdiedna.objectives.program import build, shift, special

GOLDEN = [  # prefix, label, input, target where it weighs; <start> is 1 (reference rows)
    ([21, 22, 23], [4, 5], [21, 22, 23, 1, 4], [None, None, None, 4, 5]),
    ([6, 7], [8, 9, 10], [6, 7, 1, 8, 9], [None, None, 8, 9, 10]),
    ([11], [12], [11, 1], [None, 12]),
    ([4, 5, 6], [7, 8, 9], [4, 5, 6, 1, 7, 8], [None, None, None, 7, 8, 9]),
]

expand = jax.jit(programs.expand, static_argnums=2)


def literal(prefix, label):
    return build(*([(special(token), 1) for token in ids] for ids in (prefix, label)))


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
    program = build([(special(vocab.MASK), 1), (4, 3), (0, 0)], [(8, 2)])
    row = expand(window, program, 8)
    assert vocab.decode(row) == "<mask>ACG<start>AA<pad>" and program.prefix == 4
