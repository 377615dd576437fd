"""Measure what rows and batches contain, and which slots of a row see each other.

No formula of the objectives or the mask is used. A program is expanded over a window of positions
instead of bases, so each token reveals its origin. Visibility is measured on a model: change one
input, record which features change.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from birdiedna import vocab
from birdiedna.data import genome
from birdiedna.model import transformer
from birdiedna.objectives import definitions
from birdiedna.objectives.explain import Token, explain
from birdiedna.objectives.mixture import Corpus, Mixture, sample
from birdiedna.objectives.program import Objective, Program, expand, window_bases
from birdiedna.objectives.spans import count_spans

_FIRST = vocab.SIZE  # positions are encoded as ids from here on
_NONE = -2  # not -1, since a run could continue from it to position 0
_SPANNED = ("infill", "prefix_lm", "deshuffling", "autoencoding", "selective")

#: Tokens of a row whose visibility is drawn; more would make the figure heavy.
SLOTS = 24
#: The mixture, with spans short enough for such a row.
SHORT: dict[str, Objective] = {
    **definitions.BIRDIE_DNA,
    "deshuffling_50": definitions.Deshuffling(mean_span=2),
    "autoencoding_30_50": definitions.Autoencoding(mean_span=2),
    "selective_copying_15": definitions.SelectiveCopying(
        0.3, mean_span=4, before=2, after=1, shortest=2
    ),
    "next_token": definitions.NextToken(),
}
#: A small random model will do: visibility depends on the mask, not on the weights.
SMALL = transformer.ModelConfig(width=32, blocks=2, heads=2, head_width=16, mlp_width=64)
_LEAST = 1e-6  # smaller changes of a feature are rounding


def run_once(function: Callable, *arguments: Any) -> Any:
    """Compile without optimisation and run, since compilation dominates a single call."""
    options = {"xla_backend_optimization_level": 0}
    return jax.jit(function, compiler_options=options)(*arguments)


def drawn_row(
    objectives: Sequence[Objective], key: jax.Array, window: np.ndarray, slots: int
) -> list[list[Token]]:
    """The row of each objective over the start of a window (uint8), token by token.

    ValueError if an objective does not fit the row.
    """
    parts = [np.asarray(window[: window_bases(o, slots)]) for o in objectives]

    def draw(key: jax.Array) -> list[Program]:
        return [o(key, jnp.asarray(part)) for o, part in zip(objectives, parts, strict=True)]

    programs = jax.device_get(run_once(draw, key))
    return [explain(program, part) for program, part in zip(programs, parts, strict=True)]


def corruption(objective: Any, bases: int) -> tuple[int, int, float]:
    """Bases in spans, maximum number of spans, and probability of one span less, for a window."""
    if isinstance(objective, definitions.Infilling):
        return objective.counts(bases)
    return *count_spans(bases, objective.rate, objective.mean_span), 0.0


class Drawn(NamedTuple):
    """Rows of `slots` tokens from `starts` (R,) of a genome, uint8 (G,), drawn by `key`."""

    key: jax.Array
    tokens: jax.Array
    starts: jax.Array
    slots: int


def places(objective: Objective, drawn: Drawn) -> tuple[np.ndarray, np.ndarray]:
    """The window position of every token, in rows of an objective.

    Returns int32 (R, slots + 1), negative for tokens that are no bases; int32 (R,), slots of
    `<start>`.
    """
    bases = window_bases(objective, drawn.slots)

    def one(key: jax.Array, start: jax.Array, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
        program = objective(key, genome.cut(tokens, start, bases))
        return expand(jnp.arange(bases) + _FIRST, program, drawn.slots + 1), program.prefix

    rows, prefix = jax.device_get(_row_by_row(one, drawn))
    return np.where(rows >= _FIRST, rows - _FIRST, _NONE), prefix


def _row_by_row(one: Callable, drawn: Drawn) -> Any:
    """`one(key, start, tokens)` of every row, with keys of its own."""
    keys = jax.random.split(drawn.key, len(drawn.starts))
    every = jax.vmap(one, in_axes=(0, 0, None))
    return run_once(every, keys, drawn.starts, drawn.tokens)


def runs(row: np.ndarray) -> list[np.ndarray]:
    """The runs of consecutive window positions in a row (L,)."""
    cuts = np.flatnonzero(np.diff(row) != 1) + 1
    return [piece for piece in np.split(row, cuts) if len(piece) and piece[0] >= 0]


def lengths(name: str, row: np.ndarray, prefix: int, bases: int) -> list[int]:
    """Lengths in bases of the spans of one row of `places`.

    Spans are the runs of the target, except: the pieces that move (deshuffling, where gaps and
    spans alternate in the prompt and the first gap may be empty), the pieces missing from the
    prompt (autoencoding), and the given prefix (prefix LM).
    """
    prompt, target = row[:prefix], row[prefix:]
    if name.startswith("deshuffling"):
        pieces = runs(prompt)
        found = pieces[1 if pieces[0][0] == 0 else 0 :: 2]
    elif name.startswith("autoencoding"):
        found = runs(np.setdiff1d(np.arange(bases), prompt))
    else:
        found = runs(prompt if name.startswith("prefix_lm") else target)
    return [len(piece) for piece in found]


def span_lengths(objectives: Mapping[str, Objective], drawn: Drawn) -> pl.DataFrame:
    """All spans in rows of the objectives that have spans: objective (name), row, length."""
    spans = []
    for name, objective in objectives.items():
        if name.startswith(_SPANNED):
            bases = window_bases(objective, drawn.slots)
            rows = zip(*places(objective, drawn), strict=True)
            for number, (row, prefix) in enumerate(rows):
                spans += [(name, number, n) for n in lengths(name, row, prefix, bases)]
    return pl.DataFrame(spans, ["objective", "row", "length"], orient="row")


def displaced(objective: Objective, drawn: Drawn) -> float:
    """Share of the prompt's bases that differ from the window's base at the same position.

    Only for objectives whose prompt is as long as the window, such as copying and deshuffling.
    """
    rows, prefix = places(objective, drawn)
    inside = np.arange(window_bases(objective, drawn.slots))
    windows = np.asarray(drawn.tokens)[np.asarray(drawn.starts, np.int64)[:, None] + inside]
    prompts = np.take_along_axis(windows, rows[:, 1 : int(prefix[0])], axis=1)
    return float((prompts != windows).mean())


def table(objectives: Mapping[str, Objective], spans: pl.DataFrame, slots: int) -> pl.DataFrame:
    """Sizes of a row, and configured and measured rate and mean span; one line per objective.

    `rate off` counts rows that deviate from the configured rate by more than one base.
    """
    grouped = spans.group_by("objective", "row", maintain_order=True)
    rows = grouped.agg(noise=pl.col("length").sum(), spans=pl.len())
    lines = []
    for name, objective in objectives.items():
        bases = window_bases(objective, slots)
        prefix, label, _ = objective.sizes(bases)
        rate: Any = getattr(objective, "rate", None)
        mean = getattr(objective, "mean_span", None)
        line = {"objective": name, "window": bases, "prompt": prefix}
        line |= {"target": label, "rate asked": rate, "mean span asked": mean}
        counted = rows.filter(objective=name)
        if counted.height:
            noise, counts = counted["noise"].to_numpy(), counted["spans"].to_numpy()
            fewest, most = counts.min(), counts.max()
            line |= {
                "rate measured": float(noise.sum() / (bases * counted.height)),
                "rate off": int((np.abs(noise - rate * bases) > 1).sum()),
                "spans": str(fewest) if fewest == most else f"{fewest} or {most}",
                "mean span measured": float(noise.sum() / counts.sum()),
            }
        lines.append(line)
    return pl.DataFrame(lines, infer_schema_length=None)


def influence(net: transformer.Transformer, tokens: np.ndarray, prefix: int) -> np.ndarray:
    """Largest change of a feature at slot q when the token of slot k changes, float32 (L, L).

    In a row, int32 (L,), with a bidirectional prefix of this length.
    """
    slots = len(tokens)
    changed = np.where(np.eye(slots, dtype=bool), (tokens + 1) % vocab.SIZE, tokens)
    batch = jnp.asarray(np.concatenate([tokens[None], changed]), jnp.int32)
    features = np.asarray(_features(net, batch, jnp.full(slots + 1, prefix, jnp.int32)))
    return np.abs(features[1:] - features[0]).max(axis=-1).T


_features = jax.jit(transformer.Transformer.features)


def allowed(slots: int, prefix: int) -> np.ndarray:
    """The rule, bool (L, L): slot q sees slot k if k <= q, or if both are before `prefix`."""
    q, k = np.arange(slots)[:, None], np.arange(slots)[None, :]
    return (k <= q) | ((q < prefix) & (k < prefix))


def visibility(key: jax.Array, window: np.ndarray) -> pl.DataFrame:
    """Which slots each slot sees in a small random model, in one row of each objective in `SHORT`.

    Columns: objective (name), query, key, query_token, key_token, influence, seen, rule (bool),
    loss (bool: the query predicts a target).
    """
    net = transformer.init(SMALL, 0)
    query, slot = (index.ravel() for index in np.indices((SLOTS, SLOTS)))
    parts = []
    rows = drawn_row(list(SHORT.values()), key, window, SLOTS)
    for name, row in zip(SHORT, rows, strict=True):
        texts = [token.text for token in row[:SLOTS]]
        names = np.array(texts + ["<pad>"] * (SLOTS - len(texts)))
        prefix = sum(token.part == "prompt" for token in row)
        moved = influence(net, np.array([vocab.NAMES.index(name) for name in names]), prefix)
        columns = {
            "objective": name,
            "query": query,
            "key": slot,
            "query_token": names[query],
            "key_token": names[slot],
            "influence": moved.ravel(),
            "seen": moved.ravel() > _LEAST,
            "rule": allowed(SLOTS, prefix).ravel(),
            "loss": (query >= prefix) & (query < len(row) - 1),
        }
        parts.append(pl.DataFrame(columns))
    return pl.concat(parts)


def batch_shares(
    mixture: Mixture, key: jax.Array, corpus: Corpus, ratios: np.ndarray, rows: int, batches: int
) -> pl.DataFrame:
    """Count the content of training batches drawn with `ratios`, float32 (n,) of sum 1.

    One row per objective: objective (name); commanded, rows, loss_tokens (shares); bases,
    loss_tokens_per_row (per row of the objective).
    """

    def count(keys: jax.Array, corpus: Corpus, ratios: jax.Array) -> tuple[jax.Array, jax.Array]:
        def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
            batch, _ = sample(mixture, key, corpus, ratios, rows)
            drawn = jax.nn.one_hot(batch.objective, len(mixture.names))
            return drawn.sum(axis=0), batch.weights.sum(axis=1) @ drawn

        return jax.lax.map(one, keys)

    found = run_once(count, jax.random.split(key, batches), corpus, jnp.asarray(ratios))
    counts, tokens = (np.asarray(each, float).sum(axis=0) for each in found)
    return pl.DataFrame(
        {
            "objective": mixture.names,
            "commanded": np.asarray(ratios, float),
            "rows": counts / counts.sum(),
            "loss_tokens": tokens / tokens.sum(),
            "bases": mixture.bases,
            "loss_tokens_per_row": tokens / np.maximum(counts, 1),
        }
    )


def ambiguity(objective: definitions.SelectiveCopying, drawn: Drawn) -> tuple[float, float]:
    """Share of selective-copying queries whose first delimiter occurs twice in the window.

    In the first placement drawn, and in the chosen one.
    """
    bases = window_bases(objective, drawn.slots)

    def count(key: jax.Array, start: jax.Array, tokens: jax.Array) -> jax.Array:
        draws = jax.random.split(key, objective.placements)
        placed = jax.vmap(lambda k: objective.place(k, bases)[0])(draws)
        window = genome.cut(tokens, start, bases)
        return jax.vmap(lambda where: objective.ambiguous(window, where))(placed)

    repeats = _row_by_row(count, drawn)
    queries = corruption(objective, bases)[1]
    first, chosen = repeats[:, 0], repeats.min(axis=1)
    return float(first.mean()) / queries, float(chosen.mean()) / queries
