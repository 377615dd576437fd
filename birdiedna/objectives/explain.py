"""A row in plain terms: what every token is, and where in the window it came from."""

from typing import NamedTuple

import numpy as np

from birdiedna import vocab
from birdiedna.objectives.program import Program


class Token(NamedTuple):
    """One token of a row."""

    slot: int  #: its place in the row
    text: str  #: a letter or `<name>`
    part: str  #: "prompt", "start" or "target"
    kind: str  #: "base", "objective", "sentinel", "mask", "delimiter", "start" or "end"
    position: int | None  #: its place in the window in bases; None unless it is a base
    segment: int  #: which segment of the row's program it belongs to


def explain(program: Program, window: np.ndarray) -> list[Token]:
    """Every token of the row that a program writes over its window, uint8 (W,), in order."""
    prefix = int(program.prefix)
    tokens: list[Token] = []
    segments = zip(np.asarray(program.starts), np.asarray(program.lengths), strict=True)
    for segment, (start, length) in enumerate(segments):
        for offset in range(length):
            slot = len(tokens)
            position = int(start) + offset if start >= 0 else None
            token = -1 - int(start) if position is None else int(window[position])
            part = "prompt" if slot < prefix else "start" if slot == prefix else "target"
            tokens.append(Token(slot, vocab.NAMES[token], part, _kind(token), position, segment))
    return tokens


def _kind(token: int) -> str:
    if vocab.A <= token <= vocab.N:
        return "base"
    if vocab.FIRST_OBJECTIVE <= token < vocab.FIRST_CLASS:
        return "objective"
    if vocab.FIRST_SENTINEL <= token:
        return "sentinel"
    named = {vocab.START: "start", vocab.EOS: "end", vocab.MASK: "mask"}
    return named.get(token, "delimiter")
