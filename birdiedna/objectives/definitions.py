"""The pre-training objectives: each turns a window of bases into a prefix and a label.

An objective is a frozen dataclass. `sizes(window)` says how many tokens its row has, in plain
Python, so every shape is known before compilation; calling it with a key draws where the spans lie.
A row of W bases always corrupts the same number of bases in the same number of spans; only
infilling varies that number by one, where a fixed one would miss the mean span by over 1 %. At
1,024 slots rates and mean spans are within 1 % of what is asked; short rows round more coarsely.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from birdiedna import vocab
from birdiedna.objectives.program import Objective, Program, Sizes, join, pad, special
from birdiedna.objectives.spans import (
    compose,
    count_spans,
    cycle,
    interleave,
    layout,
    place,
    rolling_code,
    vary_spans,
)

START = (special(vocab.START), 1)
EOS = (special(vocab.EOS), 1)


@dataclass(frozen=True)
class NextToken:
    """Predict every base from those before it: the baseline (NTP), `<start>` and no prefix."""

    token: int = vocab.objective_id("next_token")

    def sizes(self, window: int) -> Sizes:
        return Sizes(0, window)

    def __call__(self, key: jax.Array, window: jax.Array) -> Program:
        return join([START, (0, window.shape[0])], 0)

    def restore(self, prefix: np.ndarray, label: np.ndarray) -> np.ndarray:
        return label


@dataclass(frozen=True)
class Infilling:
    """Replace spans by sentinels, then write them out (paper: UL2R's two aggressive settings)."""

    rate: float
    mean_span: float
    token: int

    def counts(self, window: int) -> tuple[int, int, float]:
        """Bases corrupted, spans at the most, and the probability of one span fewer.

        Raises:
          ValueError: the spans would touch, or need more sentinels than there are.
        """
        noise, _ = count_spans(window, self.rate, self.mean_span)
        spans, fewer = vary_spans(noise, self.mean_span)
        if spans > min(window - noise + 1, vocab.SENTINELS):
            raise ValueError(f"{spans} spans in {window} bases would touch or lack sentinels")
        return noise, spans, fewer

    def sizes(self, window: int) -> Sizes:
        noise, spans, _ = self.counts(window)
        return Sizes(1 + window - noise + spans, noise + spans + 1)

    def __call__(self, key: jax.Array, window: jax.Array) -> Program:
        _, spans, fewer = self.counts(window.shape[0])
        if not fewer:
            return self.fill(key, window, spans)
        key, coin = jax.random.split(key)
        most, less = self.fill(key, window, spans), self.fill(key, window, spans - 1)
        less = pad(less, most.starts.shape[0])
        drop = jax.random.bernoulli(coin, fewer)
        return jax.tree.map(lambda a, b: jnp.where(drop, b, a), most, less)

    def fill(self, key: jax.Array, window: jax.Array, spans: int) -> Program:
        """A program with exactly so many spans."""
        bases, noise = window.shape[0], self.counts(window.shape[0])[0]
        where = layout(key, bases, noise, spans)
        sentinels = special(vocab.FIRST_SENTINEL) - jnp.arange(spans)
        ones = jnp.ones(spans, jnp.int32)
        gaps = (
            interleave(where.gap_starts[:-1], sentinels),
            interleave(where.gap_lengths[:-1], ones),
        )
        label = interleave(sentinels, where.span_starts), interleave(ones, where.span_lengths)
        tail = where.gap_starts[-1], where.gap_lengths[-1]
        parts = [(special(self.token), 1), gaps, tail, START, label, EOS]
        return join(parts, 1 + bases - noise + spans)

    def restore(self, prefix: np.ndarray, label: np.ndarray) -> np.ndarray:
        edges = np.flatnonzero(label[:-1] >= vocab.FIRST_SENTINEL)
        spans = {label[edge]: piece[1:] for edge, piece in _pieces(label[:-1], edges)}
        return np.concatenate([spans.get(token, [token]) for token in prefix[1:]])


def _pieces(tokens: np.ndarray, edges: np.ndarray) -> list[tuple[int, np.ndarray]]:
    return list(zip(edges, np.split(tokens, edges)[1:], strict=True))


@dataclass(frozen=True)
class PrefixLM:
    """Continue a prefix, seen in both directions: `rate` of the window (paper: 75 %)."""

    rate: float = 0.75
    token: int = vocab.objective_id("prefix_lm_75")

    def sizes(self, window: int) -> Sizes:
        if not 0 < self.rate < 1:
            raise ValueError(f"prefix rate {self.rate} must be in (0, 1)")
        seen = int(self.rate * window)
        return Sizes(1 + seen, window - seen + 1)

    def __call__(self, key: jax.Array, window: jax.Array) -> Program:
        bases, prefix = window.shape[0], self.sizes(window.shape[0]).prefix
        seen = prefix - 1
        parts = [(special(self.token), 1), (0, seen), START, (seen, bases - seen), EOS]
        return join(parts, prefix)

    def restore(self, prefix: np.ndarray, label: np.ndarray) -> np.ndarray:
        return np.concatenate([prefix[1:], label[:-1]])


@dataclass(frozen=True)
class Copying:
    """Write the input out again (paper: "generate the exact input")."""

    token: int = vocab.objective_id("copying")

    def sizes(self, window: int) -> Sizes:
        return Sizes(1 + window, window + 1)

    def __call__(self, key: jax.Array, window: jax.Array) -> Program:
        whole = 0, window.shape[0]
        return join([(special(self.token), 1), whole, START, whole, EOS], 1 + window.shape[0])

    def restore(self, prefix: np.ndarray, label: np.ndarray) -> np.ndarray:
        return label[:-1]


@dataclass(frozen=True)
class Deshuffling:
    """Put shuffled subsequences, half of the window, back in order.

    The paper says subsequences; mean span 16 is our choice, because shuffling single bases moves
    little (birdie's code) and has an information floor near chance. Every span leaves its slot.
    """

    rate: float = 0.5
    mean_span: float = 16
    token: int = vocab.objective_id("deshuffling_50")

    def sizes(self, window: int) -> Sizes:
        if count_spans(window, self.rate, self.mean_span)[1] < 2:
            raise ValueError(f"{self} has fewer than two spans to exchange in {window} bases")
        return Sizes(1 + window, window + 1)

    def __call__(self, key: jax.Array, window: jax.Array) -> Program:
        bases = window.shape[0]
        noise, spans = count_spans(bases, self.rate, self.mean_span)
        key_layout, key_order = jax.random.split(key)
        where = layout(key_layout, bases, noise, spans)
        order = cycle(key_order, spans, spans)
        shuffled = (
            interleave(where.gap_starts[:-1], where.span_starts[order]),
            interleave(where.gap_lengths[:-1], where.span_lengths[order]),
        )
        tail = where.gap_starts[-1], where.gap_lengths[-1]
        parts = [(special(self.token), 1), shuffled, tail, START, (0, bases), EOS]
        return join(parts, 1 + bases)

    def restore(self, prefix: np.ndarray, label: np.ndarray) -> np.ndarray:
        return label[:-1]


@dataclass(frozen=True)
class Autoencoding:
    """Rebuild the window from masked spans and shuffled rests (paper: 30 % masked, BART-like).

    Every span becomes one `<mask>`; half of the unmasked pieces change places (`shuffled`).
    Mean span 3 is our choice, because it is BART's and the official code's default.
    """

    rate: float = 0.3
    mean_span: float = 3
    shuffled: float = 0.5
    token: int = vocab.objective_id("autoencoding_30_50")

    def sizes(self, window: int) -> Sizes:
        noise, spans = count_spans(window, self.rate, self.mean_span)
        return Sizes(1 + window - noise + spans, window + 1)

    def __call__(self, key: jax.Array, window: jax.Array) -> Program:
        bases = window.shape[0]
        noise, spans = count_spans(bases, self.rate, self.mean_span)
        key_layout, key_order = jax.random.split(key)
        where = layout(key_layout, bases, noise, spans)
        order = cycle(key_order, spans + 1, math.floor((spans + 1) * self.shuffled + 0.5))
        starts, lengths = where.gap_starts[order], where.gap_lengths[order]
        masks = jnp.full(spans, special(vocab.MASK))
        masked = interleave(starts[:-1], masks), interleave(lengths[:-1], jnp.ones(spans))
        parts = [(special(self.token), 1), masked, (starts[-1], lengths[-1])]
        return join([*parts, START, (0, bases), EOS], self.sizes(bases).prefix)

    def restore(self, prefix: np.ndarray, label: np.ndarray) -> np.ndarray:
        return label[:-1]


@dataclass(frozen=True)
class SelectiveCopying:
    """Retrieve spans of the context, each asked for by the bases before and after it.

    Paper: 15 % of the text as spans. Our choices, because short delimiters recur in DNA: spans of
    8 bases or more, mean 16.25 (7 of them fill a row of 1,024), asked for by 12 bases before and 6
    after; of `placements` drawn, the one whose delimiters are least often repeated is kept;
    queries or context come first.
    """

    rate: float = 0.15
    mean_span: float = 16.25
    before: int = 12
    after: int = 6
    shortest: int = 8
    placements: int = 4
    token: int = vocab.objective_id("selective_copying_15")

    def sizes(self, window: int) -> Sizes:
        noise, spans = self._counts(window)
        query = 2 + self.before + self.after
        return Sizes(2 + window + query * spans, noise + spans)

    def _counts(self, window: int) -> tuple[int, int]:
        noise, spans = count_spans(window, self.rate, self.mean_span)
        blocks = noise + spans * (self.before + self.after)
        if noise < spans * self.shortest or blocks > window:
            raise ValueError(f"{self} cannot place {spans} spans in {window} bases")
        return noise, spans

    def place(self, key: jax.Array, bases: int) -> tuple[jax.Array, jax.Array]:
        """Starts and lengths, int32 (k,), of spans whose delimiters do not overlap."""
        noise, spans = self._counts(bases)
        key_spans, key_gaps = jax.random.split(key)
        lengths = compose(key_spans, noise - spans * (self.shortest - 1), spans)
        lengths = lengths + self.shortest - 1
        around = self.before + self.after
        free = bases - noise - spans * around
        gaps = compose(key_gaps, free + spans + 1, spans + 1) - 1
        return place(gaps, lengths + around).span_starts + self.before, lengths

    def ambiguous(self, window: jax.Array, starts: jax.Array) -> jax.Array:
        """How many of the queries (k,) start with bases that occur elsewhere in the window."""
        code = rolling_code(window, self.before)
        asked = code[starts - self.before]
        return jnp.sum(jnp.sum(asked[:, None] == code[None, :], axis=1) > 1)

    def __call__(self, key: jax.Array, window: jax.Array) -> Program:
        bases = window.shape[0]
        key_place, key_order, key_side = jax.random.split(key, 3)
        draws = jax.vmap(lambda k: self.place(k, bases))(
            jax.random.split(key_place, self.placements)
        )
        repeats = jax.vmap(lambda starts: self.ambiguous(window, starts))(draws[0])
        starts, lengths = jax.tree.map(lambda x: x[jnp.argmin(repeats)], draws)
        order = jax.random.permutation(key_order, starts.shape[0])
        starts, lengths = starts[order], lengths[order]
        context_first = jax.random.bernoulli(key_side)
        sides = [self._context(bases), self._queries(starts, lengths)]
        first, second = (_join([sides[0], sides[1]]), _join([sides[1], sides[0]]))
        body = jax.tree.map(lambda a, b: jnp.where(context_first, a, b), first, second)
        ends = jnp.full(starts.shape, special(vocab.SEP)).at[-1].set(special(vocab.EOS))
        label = interleave(starts, ends), interleave(lengths, jnp.ones_like(lengths))
        parts = [(special(self.token), 1), body, START, label]
        return join(parts, self.sizes(bases).prefix)

    def _context(self, bases: int) -> tuple[jax.Array, jax.Array]:
        return jnp.array([special(vocab.CTX), 0]), jnp.array([1, bases])

    def _queries(self, starts: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
        find, to = (jnp.full(starts.shape, special(token)) for token in (vocab.FIND, vocab.TO))
        one = jnp.ones_like(starts)
        return (
            interleave(find, starts - self.before, to, starts + lengths),
            interleave(one, one * self.before, one, one * self.after),
        )

    def restore(self, prefix: np.ndarray, label: np.ndarray) -> np.ndarray:
        body = prefix[np.flatnonzero(prefix == vocab.CTX)[0] + 1 :]
        query = np.flatnonzero(body == vocab.FIND)
        return body[: query[0]] if len(query) else body


def _join(sides: Sequence[tuple[jax.Array, jax.Array]]) -> tuple[jax.Array, jax.Array]:
    return tuple(jnp.concatenate(column) for column in zip(*sides, strict=True))


#: The paper's mixture, in the order of every loss and ratio vector.
BIRDIE_DNA: dict[str, Objective] = {
    "infill_50_3": Infilling(0.5, 3, vocab.objective_id("infill_50_3")),
    "infill_15_32": Infilling(0.15, 32, vocab.objective_id("infill_15_32")),
    "prefix_lm_75": PrefixLM(),
    "deshuffling_50": Deshuffling(),
    "autoencoding_30_50": Autoencoding(),
    "copying": Copying(),
    "selective_copying_15": SelectiveCopying(),
}
#: The baseline's only objective.
NTP: dict[str, Objective] = {"next_token": NextToken()}
