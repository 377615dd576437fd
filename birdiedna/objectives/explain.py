"""A row in plain terms: the meaning of every token and its origin in the window."""

from itertools import groupby
from typing import NamedTuple

import numpy as np

from birdiedna import vocab
from birdiedna.objectives.program import Program, special


class Token(NamedTuple):
    """One token of a row."""

    slot: int  #: its position in the row
    text: str  #: a letter or `<name>`
    part: str  #: "prompt", "start" or "target"
    kind: str  #: "base", "objective", "sentinel", "mask", "delimiter", "start" or "end"
    position: int | None  #: its position in the window; None unless it is a base
    segment: int  #: index of its segment in the program


def explain(program: Program, window: np.ndarray) -> list[Token]:
    """The tokens of the row of a program and its window, uint8 (W,), in order.

    A label in place has no pads and is at the slots where it is predicted.
    """
    prefix, pad = int(program.prefix), special(vocab.PAD)
    starts, lengths = np.asarray(program.starts).tolist(), np.asarray(program.lengths)
    firsts = (lengths.cumsum() - lengths).tolist()
    tokens: list[Token] = []
    for slot, segment in enumerate(np.repeat(np.arange(len(starts)), lengths).tolist()):
        if (start := starts[segment]) == pad:
            continue
        position = start + slot - firsts[segment] if start >= 0 else None
        token = -1 - start if position is None else int(window[position])
        part = "prompt" if slot < prefix else "start" if slot == prefix else "target"
        shown = slot - prefix - 1 if pad in starts and part == "target" else slot
        tokens.append(Token(shown, vocab.NAMES[token], part, _kind(token), position, segment))
    return tokens


def report(tokens: list[Token]) -> str:
    """A row as text: prompt and target, then the origin of the tokens, segment by segment.

    Positions in the sequence count from 0 and include both ends.
    """
    of = lambda part: "".join(token.text for token in tokens if token.part == part)
    lines = [f"prompt  {of('prompt')}", f"target  {of('start')}{of('target')}", ""]
    lines.append(f"{'slots':>11}  {'part':7} {'from':20} tokens")
    for _, group in groupby(tokens, key=lambda token: token.segment):
        run = list(group)
        first, last = run[0], run[-1]
        origin = first.kind if first.position is None else f"bases {first.position}-{last.position}"
        text = "".join(token.text for token in run)
        lines.append(f"{first.slot:5}-{last.slot:<5}  {first.part:7} {origin:20} {text}")
    return "\n".join(lines)


def _kind(token: int) -> str:
    if vocab.A <= token <= vocab.N:
        return "base"
    if vocab.FIRST_OBJECTIVE <= token < vocab.FIRST_CLASS:
        return "objective"
    if vocab.FIRST_SENTINEL <= token:
        return "sentinel"
    named = {vocab.START: "start", vocab.EOS: "end", vocab.MASK: "mask"}
    return named.get(token, "delimiter")
