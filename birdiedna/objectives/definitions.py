"""The pre-training objectives: each turns a window of bases into a prefix and a label.

An objective is a frozen dataclass. `sizes(window)` gives the tokens of its row in plain Python, so
that all shapes are known before compilation; calling it with a key draws the spans. Rows of W bases
always have the same number of corrupted bases and of spans; only infilling varies the spans by one,
where a fixed number would miss the mean span by over 1%. At 1,024 slots, rates and mean spans are
within 1% of the settings; short rows round more coarsely.
"""

import math
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from birdiedna import vocab
from birdiedna.model.fields import check_ranges, check_types
from birdiedna.objectives.program import (
    Objective,
    Program,
    Sizes,
    between,
    build,
    interleave,
    pad,
    special,
)
from birdiedna.objectives.spans import compose, count_spans, cycle, layout, place, scatter

EOS = (special(vocab.EOS), 1)


def _opened(token: int | None) -> int:
    """How many tokens name the objective: one or none."""
    return int(token is not None)


def _check_spans(objective: "Infilling | Deshuffling | Autoencoding | SelectiveCopying") -> None:
    """Refuse a rate or a mean span that no window can have."""
    check_types(objective)
    if not (0 < objective.rate <= 1 and objective.mean_span >= 1):
        raise ValueError(f"{objective}: rate must be in (0, 1] and mean_span at least 1")


@dataclass(frozen=True)
class NextToken:
    """Predict every base from those before it: the baseline (NTP), without a prefix."""

    token: int = vocab.objective_id("next_token")

    def __post_init__(self) -> None:
        check_types(self)

    def sizes(self, window: int) -> Sizes:
        return Sizes(0, window)

    def __call__(self, key: jax.Array, window: jax.Array) -> Program:
        return build([], [(0, window.shape[0])])

    def restore(self, prefix: np.ndarray, label: np.ndarray) -> np.ndarray:
        return label


@dataclass(frozen=True)
class Infilling:
    """Replace spans by sentinels, then write them out (paper: UL2R's two aggressive settings).

    `sentinel_first`: whether a sentinel comes before its span in the label, or after it.
    """

    rate: float
    mean_span: float
    token: int | None
    sentinel_first: bool = True

    def __post_init__(self) -> None:
        _check_spans(self)

    def counts(self, window: int) -> tuple[int, int, float]:
        """Bases corrupted, the largest number of spans, and the probability of one span fewer.

        The number of spans, at least one, is fixed if rounding keeps the mean span within 1% of
        `mean_span`; else it is drawn, so that its expectation gives exactly `mean_span`.

        Raises:
          ValueError: the spans would touch, or there are too few sentinels.
        """
        noise, _ = count_spans(window, self.rate, self.mean_span)
        exact = max(1.0, noise / self.mean_span)
        nearest = math.floor(exact + 0.5)
        fixed = abs(noise / nearest / self.mean_span - 1) <= 0.01 or exact == nearest
        spans, fewer = (nearest, 0.0) if fixed else (math.ceil(exact), math.ceil(exact) - exact)
        if spans > min(window - noise + 1, vocab.SENTINELS):
            raise ValueError(f"{spans} spans in {window} bases would touch or lack sentinels")
        return noise, spans, fewer

    def sizes(self, window: int) -> Sizes:
        noise, spans, _ = self.counts(window)
        return Sizes(_opened(self.token) + window - noise + spans, noise + spans + 1)

    def __call__(self, key: jax.Array, window: jax.Array) -> Program:
        noise, spans, fewer = self.counts(window.shape[0])
        fill = partial(self._fill, window=window.shape[0], noise=noise)
        if not fewer:
            return fill(key, spans=spans)
        key, coin = jax.random.split(key)
        most = fill(key, spans=spans)
        less = pad(fill(key, spans=spans - 1), most.starts.shape[0])
        drop = jax.random.bernoulli(coin, fewer)
        return jax.tree.map(lambda a, b: jnp.where(drop, b, a), most, less)

    def _fill(self, key: jax.Array, window: int, noise: int, spans: int) -> Program:
        """A program with `spans` spans."""
        drawn = layout(key, window, noise, spans)
        sentinels = special(vocab.FIRST_SENTINEL) - jnp.arange(spans)
        prompt = between((drawn.gap_starts, drawn.gap_lengths), (sentinels, 1))
        pieces = [(sentinels, 1), (drawn.span_starts, drawn.span_lengths)]
        starts, lengths = zip(*(pieces if self.sentinel_first else reversed(pieces)), strict=True)
        label = interleave(*starts), interleave(*lengths)
        return build(prompt, [label, EOS], self.token)

    def restore(self, prefix: np.ndarray, label: np.ndarray) -> np.ndarray:
        sentinels = np.flatnonzero(label[:-1] >= vocab.FIRST_SENTINEL)
        if self.sentinel_first:
            spans = {piece[0]: piece[1:] for piece in np.split(label[:-1], sentinels)[1:]}
        else:
            pieces = np.split(label[:-1], sentinels + 1)[:-1]
            spans = {piece[-1]: piece[:-1] for piece in pieces}
        kept = prefix[_opened(self.token) :]
        return np.concatenate([spans.get(token, [token]) for token in kept])


@dataclass(frozen=True)
class PrefixLM:
    """Continue a bidirectional prefix: `rate` of the window (paper: 75%)."""

    rate: float = 0.75
    token: int | None = vocab.objective_id("prefix_lm_75")

    def __post_init__(self) -> None:
        check_types(self)
        if not 0 < self.rate < 1:
            raise ValueError(f"prefix rate {self.rate} must be in (0, 1)")

    def sizes(self, window: int) -> Sizes:
        seen = int(self.rate * window)
        return Sizes(_opened(self.token) + seen, window - seen + 1)

    def __call__(self, key: jax.Array, window: jax.Array) -> Program:
        seen = self.sizes(window.shape[0]).prefix - _opened(self.token)
        rest = seen, window.shape[0] - seen
        return build([(0, seen)], [rest, EOS], self.token)

    def restore(self, prefix: np.ndarray, label: np.ndarray) -> np.ndarray:
        return np.concatenate([prefix[_opened(self.token) :], label[:-1]])


@dataclass(frozen=True)
class Copying:
    """Write the input out again (paper: "generate the exact input")."""

    token: int | None = vocab.objective_id("copying")

    def __post_init__(self) -> None:
        check_types(self)

    def sizes(self, window: int) -> Sizes:
        return Sizes(_opened(self.token) + window, window + 1)

    def __call__(self, key: jax.Array, window: jax.Array) -> Program:
        whole = 0, window.shape[0]
        return build([whole], [whole, EOS], self.token)

    def restore(self, prefix: np.ndarray, label: np.ndarray) -> np.ndarray:
        return label[:-1]


@dataclass(frozen=True)
class Deshuffling:
    """Put shuffled subsequences, half of the window, back in order; every span is moved.

    The paper says subsequences. Mean span 16 is our choice, because shuffling single bases, as
    birdie's code does, moves little and has an information floor near chance; `mean_span=1` does
    it, with bases chosen anywhere.
    """

    rate: float = 0.5
    mean_span: float = 16
    token: int | None = vocab.objective_id("deshuffling_50")

    def __post_init__(self) -> None:
        _check_spans(self)

    def _counts(self, window: int) -> tuple[int, int]:
        """The number of bases to move and of their spans; single bases may be neighbours."""
        noise, spans = (math.floor(self.rate * window + 0.5),) * 2
        if self.mean_span != 1:
            noise, spans = count_spans(window, self.rate, self.mean_span)
        if spans < 2:
            raise ValueError(f"{self} has fewer than two spans to exchange in {window} bases")
        return noise, spans

    def sizes(self, window: int) -> Sizes:
        self._counts(window)
        return Sizes(_opened(self.token) + window, window + 1)

    def __call__(self, key: jax.Array, window: jax.Array) -> Program:
        bases = window.shape[0]
        noise, spans = self._counts(bases)
        key_layout, key_order = jax.random.split(key)
        drawn = (scatter if self.mean_span == 1 else layout)(key_layout, bases, noise, spans)
        order = cycle(key_order, spans, spans)
        moved = drawn.span_starts[order], drawn.span_lengths[order]
        prompt = between((drawn.gap_starts, drawn.gap_lengths), moved)
        return build(prompt, [(0, bases), EOS], self.token)

    def restore(self, prefix: np.ndarray, label: np.ndarray) -> np.ndarray:
        return label[:-1]


@dataclass(frozen=True)
class Autoencoding:
    """Rebuild a window with masked spans and shuffled pieces (paper: 30% masked, BART-like).

    Every span becomes one `<mask>`; a share `shuffled` of the other pieces change places. Mean
    span 3 is our choice, because it is the default of BART and of the official code.
    """

    rate: float = 0.3
    mean_span: float = 3
    shuffled: float = 0.5
    token: int | None = vocab.objective_id("autoencoding_30_50")

    def __post_init__(self) -> None:
        _check_spans(self)
        if not 0 <= self.shuffled <= 1:
            raise ValueError(f"{self}: shuffled is a share, from 0 to 1")

    def sizes(self, window: int) -> Sizes:
        noise, spans = count_spans(window, self.rate, self.mean_span)
        return Sizes(_opened(self.token) + window - noise + spans, window + 1)

    def __call__(self, key: jax.Array, window: jax.Array) -> Program:
        bases = window.shape[0]
        noise, spans = count_spans(bases, self.rate, self.mean_span)
        key_layout, key_order = jax.random.split(key)
        drawn = layout(key_layout, bases, noise, spans)
        order = cycle(key_order, spans + 1, math.floor((spans + 1) * self.shuffled + 0.5))
        pieces = drawn.gap_starts[order], drawn.gap_lengths[order]
        prompt = between(pieces, (special(vocab.MASK), 1))
        return build(prompt, [(0, bases), EOS], self.token)

    def restore(self, prefix: np.ndarray, label: np.ndarray) -> np.ndarray:
        return label[:-1]


@dataclass(frozen=True)
class SelectiveCopying:
    """Retrieve spans of the context, each queried by the bases before and after it.

    Paper: 15% of the text as spans. Our choices, because short delimiters recur in DNA: spans of
    at least 8 bases, mean 16.25 (7 of them fill a row of 1,024), queried by 12 bases before and 6
    after. Of `placements` drawn, the one with the fewest ambiguous queries is used. The context
    comes first in a share `context_first` of rows, the queries in the others.
    """

    rate: float = 0.15
    mean_span: float = 16.25
    before: int = 12
    after: int = 6
    shortest: int = 8
    placements: int = 4
    context_first: float = 0.5
    token: int | None = vocab.objective_id("selective_copying_15")

    def __post_init__(self) -> None:
        _check_spans(self)
        some = (1, 2**31 - 1)
        check_ranges(self, before=(1, 15), after=some, shortest=some, placements=(1, 1024))
        if not 0 <= self.context_first <= 1:
            raise ValueError(f"{self}: context_first is a share, from 0 to 1")

    def _counts(self, window: int) -> tuple[int, int]:
        noise, spans = count_spans(window, self.rate, self.mean_span)
        blocks = noise + spans * (self.before + self.after)
        if noise < spans * self.shortest or blocks > window:
            raise ValueError(f"{self} cannot place {spans} spans in {window} bases")
        return noise, spans

    def sizes(self, window: int) -> Sizes:
        noise, spans = self._counts(window)
        query = 2 + self.before + self.after
        return Sizes(_opened(self.token) + 1 + window + query * spans, noise + spans)

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
        """How many queries, of spans at `starts` (k,), start with bases that occur elsewhere."""
        letters = jnp.asarray(window, jnp.int32) - vocab.A
        runs = window.shape[0] - self.before + 1
        # one number for every run of `before` bases (at most 15), equal only for equal runs
        code = sum(letters[i : i + runs] * 4**i for i in range(self.before))
        asked = code[starts - self.before]
        return jnp.sum(jnp.sum(asked[:, None] == code[None, :], axis=1) > 1)

    def __call__(self, key: jax.Array, window: jax.Array) -> Program:
        bases = window.shape[0]
        key_place, key_order, key_side = jax.random.split(key, 3)
        draws = jax.vmap(partial(self.place, bases=bases))(
            jax.random.split(key_place, self.placements)
        )
        best = jnp.argmin(jax.vmap(partial(self.ambiguous, window))(draws[0]))
        order = jax.random.permutation(key_order, draws[0].shape[1])
        starts, lengths = (drawn[best][order] for drawn in draws)

        find, to, sep, end = map(special, (vocab.FIND, vocab.TO, vocab.SEP, vocab.EOS))
        queries = (
            interleave(find, starts - self.before, to, starts + lengths),
            jnp.tile(jnp.array([1, self.before, 1, self.after]), len(starts)),
        )
        context = jnp.array([special(vocab.CTX), 0]), jnp.array([1, bases])
        ends = jnp.full(len(starts), sep).at[-1].set(end)
        label = interleave(starts, ends), interleave(lengths, 1)
        first, second = (
            build(sides, [label], self.token) for sides in ((context, queries), (queries, context))
        )
        leads = jax.random.bernoulli(key_side, self.context_first)
        return jax.tree.map(lambda a, b: jnp.where(leads, a, b), first, second)

    def restore(self, prefix: np.ndarray, label: np.ndarray) -> np.ndarray:
        body = prefix[np.flatnonzero(prefix == vocab.CTX)[0] + 1 :]
        query = np.flatnonzero(body == vocab.FIND)
        return body[: query[0]] if len(query) else body


@dataclass(frozen=True)
class MaskedTokens:
    """Predict hidden bases in place, from both sides (MLM), as BERT and most DNA models do.

    As in BERT (Devlin et al., 2019), the Nucleotide Transformer and Caduceus, `rate` of the bases
    are predicted; of these, 80% are `<mask>`, 10% a random base (one in four is the right one)
    and 10% unchanged, so that attending to unmasked bases pays. `masked=1.0, random=0.0` masks
    all. Here, tokens are single bases, where the Nucleotide Transformer has 6-mers and DNABERT
    masks runs of overlapping k-mers; counts are exact in every row; `<start>` ends the row, because
    fine-tuning reads the class there. As a tenth is visible, losses are below those of hidden bases
    alone.
    """

    rate: float = 0.15
    masked: float = 0.8
    random: float = 0.1
    token: int = vocab.objective_id("masked_15")

    def __post_init__(self) -> None:
        check_types(self)
        if not 0 < self.rate <= 1 or min(self.masked, self.random, 1 - self.masked) < 0:
            raise ValueError(f"{self}: rate must be in (0, 1], masked and random in [0, 1]")
        if self.masked + self.random > 1 + 1e-9:
            raise ValueError(f"{self}: masked and random are more than 1 together")

    def counts(self, window: int) -> tuple[int, int, int]:
        """The number of bases that are predicted, masked, and replaced at random."""
        hidden = max(1, math.floor(self.rate * window + 0.5))
        masked = math.floor(self.masked * hidden + 0.5)
        return hidden, masked, min(math.floor(self.random * hidden + 0.5), hidden - masked)

    def sizes(self, window: int) -> Sizes:
        return Sizes(1 + window, self.counts(window)[0], in_place=True)

    def __call__(self, key: jax.Array, window: jax.Array) -> Program:
        bases = window.shape[0]
        hidden, masked, random = self.counts(bases)
        key_place, key_base = jax.random.split(key)
        chosen = jax.lax.top_k(jax.random.uniform(key_place, (bases,)), hidden)[1]  # in any order
        base = special(vocab.A) - jax.random.randint(key_base, (hidden,), 0, 4)
        other = jnp.where(jnp.arange(hidden) < masked + random, base, chosen)
        shown = jnp.where(jnp.arange(hidden) < masked, special(vocab.MASK), other)
        chosen, shown = jax.lax.sort_key_val(chosen, shown)

        starts = jnp.concatenate([jnp.zeros(1, jnp.int32), chosen + 1])
        gaps = jnp.append(chosen, bases) - starts
        unlabelled = gaps.at[0].add(1).at[-1].add(1)  # the objective's token and <start>
        label = interleave(special(vocab.PAD), chosen), interleave(unlabelled[:-1], 1)
        rest = special(vocab.PAD), unlabelled[-1]
        return build(between((starts, gaps), (shown, 1)), [label, rest], self.token)

    def restore(self, prefix: np.ndarray, label: np.ndarray) -> np.ndarray:
        bases = slice(1, len(label) - 1)
        return np.where(label[bases] == vocab.PAD, prefix[bases], label[bases])


#: The paper's mixture, in the order of all vectors of losses and ratios.
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
#: The objective of most other DNA models.
MLM: dict[str, Objective] = {"masked_15": MaskedTokens()}
#: All objectives by name; those of your own are added here.
EVERY: dict[str, Objective] = {**BIRDIE_DNA, **NTP, **MLM}

_KINDS = list(dict.fromkeys(map(type, BIRDIE_DNA.values())))
#: Class of each objective of `BIRDIE_DNA`: (0, 0, 1, 2, 3, 4, 5); both infillings share one.
CLASSES: tuple[int, ...] = tuple(_KINDS.index(type(o)) for o in BIRDIE_DNA.values())
