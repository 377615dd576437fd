"""A row in plain terms: what every token is, and where in the window it came from."""

from typing import NamedTuple

import jax
import numpy as np

from birdiedna import vocab
from birdiedna.objectives.program import Objective, Program, expand, shift, window_bases

_KINDS = {
    vocab.START: "start",
    vocab.EOS: "end",
    vocab.MASK: "mask",
    vocab.CTX: "delimiter",
    vocab.FIND: "delimiter",
    vocab.TO: "delimiter",
    vocab.SEP: "delimiter",
}


class Token(NamedTuple):
    """One token of a row.

    slot: its place in the row. text: a letter or `<name>`. part: "prompt", "start" or "target".
    kind: "base", "objective", "sentinel", "mask", "delimiter", "start" or "end". position: its
    place in the window in bases, None for tokens that are not bases. segment: which piece of the
    row's program it belongs to.
    """

    slot: int
    text: str
    part: str
    kind: str
    position: int | None
    segment: int


def kind_of(token: int) -> str:
    """What sort of token an id is."""
    if vocab.A <= token <= vocab.N:
        return "base"
    if vocab.FIRST_OBJECTIVE <= token < vocab.FIRST_CLASS:
        return "objective"
    if vocab.FIRST_SENTINEL <= token:
        return "sentinel"
    return _KINDS[token]


def explain(program: Program, window: np.ndarray) -> list[Token]:
    """Every token of the row that a program writes, in order.

    Args:
      program: as an objective drew it.
      window: uint8 (W,), the bases it was drawn for.
    """
    prefix = int(program.prefix)
    tokens = []
    pieces = zip(np.asarray(program.starts), np.asarray(program.lengths), strict=True)
    for segment, (start, length) in enumerate(pieces):
        for offset in range(length):
            slot = len(tokens)
            position = int(start) + offset if start >= 0 else None
            token = int(window[position]) if position is not None else -1 - int(start)
            part = "prompt" if slot < prefix else "start" if slot == prefix else "target"
            kind = kind_of(token)
            tokens.append(Token(slot, vocab.NAMES[token], part, kind, position, segment))
    return tokens


class Example(NamedTuple):
    """One row of an objective: tokens, labels int32 and weights float32 (L,), prefix, its words."""

    tokens: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    prefix: int
    words: list[Token]


def example(objective: Objective, key: jax.Array, window: np.ndarray, slots: int) -> Example:
    """The row of `slots` tokens that an objective makes of the left part of a window.

    Args:
      objective: any objective.
      key: places spans and order.
      window: uint8, at least as long as the objective's own window.
      slots: L, tokens of the row.

    Raises:
      ValueError: the objective does not fit the row, or the window is too short.
    """
    bases = window_bases(objective, slots)
    if len(window) < bases:
        raise ValueError(f"the window has {len(window)} bases, the objective needs {bases}")
    part = np.asarray(window[:bases])
    program = objective(key, jax.numpy.asarray(part))
    row = shift(expand(jax.numpy.asarray(part), program, slots + 1), program.prefix)
    return Example(*map(np.asarray, row), int(program.prefix), explain(program, part))
