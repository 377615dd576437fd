"""Chapter 2: what rows and batches contain, and which slot of a row sees which, by measurement.

No formula of the objectives or of the mask is used. A program is written over a window of positions
instead of bases, so every token of a row says where it comes from; visibility is measured from a
model: change one input, record which features change.
"""

import math
from collections.abc import Mapping
from typing import Any

import altair as alt
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from birdiedna import vocab
from birdiedna.data import genome
from birdiedna.figures.rows import corruption, drawn_row, run_once
from birdiedna.figures.style import OBJECTIVE_TITLES, legend, objective_colour, tips, titled
from birdiedna.model import transformer
from birdiedna.objectives.definitions import (
    BIRDIE_DNA,
    Autoencoding,
    Deshuffling,
    NextToken,
    SelectiveCopying,
)
from birdiedna.objectives.mixture import Corpus, Mixture, sample
from birdiedna.objectives.program import Objective, expand, window_bases

_FIRST = vocab.SIZE  # positions are written behind all ids
_NONE = -2  # not -1, which position 0 would continue
_SPANNED = ("infill", "prefix_lm", "deshuffling", "autoencoding", "selective")

#: Tokens of a row whose visibility is drawn: the most for which all matrices stay light.
SLOTS = 24
#: The mixture with spans short enough for such a row.
SHORT: dict[str, Objective] = {
    **BIRDIE_DNA,
    "deshuffling_50": Deshuffling(mean_span=2),
    "autoencoding_30_50": Autoencoding(mean_span=2),
    "selective_copying_15": SelectiveCopying(0.3, mean_span=4, before=2, after=1, shortest=2),
    "next_token": NextToken(),
}
#: Small and random: visibility depends on the mask, not on the weights.
SMALL = transformer.ModelConfig(width=32, blocks=2, heads=2, head_width=16, mlp_width=64)
_LEAST = 1e-6  # a smaller change of a feature is rounding
MEASURES = {
    "commanded": "ratio commanded",
    "rows": "share of rows",
    "loss_tokens": "share of tokens with loss",
}


def places(
    objective: Objective, key: jax.Array, tokens: jax.Array, starts: jax.Array, slots: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where in its window every token of many rows comes from.

    Args:
      tokens: uint8 (G,), the genome.
      starts: uint32 (R,), of the rows' windows.

    Returns:
      int32 (R, slots + 1), negative for tokens that are no bases; and int32 (R,), the slot
      of `<start>`.
    """
    bases = window_bases(objective, slots)

    def one(key: jax.Array, start: jax.Array, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
        program = objective(key, genome.cut(tokens, start, bases))
        return expand(jnp.arange(bases) + _FIRST, program, slots + 1), program.prefix

    keys = jax.random.split(key, len(starts))
    every = jax.vmap(one, in_axes=(0, 0, None))
    rows, prefix = jax.device_get(run_once(every, keys, starts, tokens))
    return np.where(rows >= _FIRST, rows - _FIRST, _NONE), prefix


def runs(row: np.ndarray) -> list[np.ndarray]:
    """The stretches of consecutive window positions in a row (L,)."""
    cuts = np.flatnonzero(np.diff(row) != 1) + 1
    return [piece for piece in np.split(row, cuts) if len(piece) and piece[0] >= 0]


def lengths(name: str, row: np.ndarray, prefix: int, bases: int) -> list[int]:
    """Lengths in bases of the spans of one row of `places`.

    Spans are the bases of the target, except: pieces that change places (deshuffling; gaps and
    spans alternate in the prompt, and the first gap may be empty), pieces missing from the prompt
    (autoencoding), the part that is given (prefix LM).
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


def span_lengths(
    objectives: Mapping[str, Objective],
    key: jax.Array,
    tokens: jax.Array,
    starts: jax.Array,
    slots: int,
) -> pl.DataFrame:
    """All spans of many rows of every objective that has spans: objective (name), row, length."""
    spans = []
    for name, objective in objectives.items():
        if name.startswith(_SPANNED):
            bases = window_bases(objective, slots)
            rows = zip(*places(objective, key, tokens, starts, slots), strict=True)
            for number, (row, prefix) in enumerate(rows):
                spans += [(name, number, n) for n in lengths(name, row, prefix, bases)]
    return pl.DataFrame(spans, ["objective", "row", "length"], orient="row")


def displaced(
    objective: Objective, key: jax.Array, tokens: jax.Array, starts: jax.Array, slots: int
) -> float:
    """Share of the prompt's places whose base differs from the window's.

    For objectives whose prompt has as many bases as the window, as copying and deshuffling.
    """
    rows, prefix = places(objective, key, tokens, starts, slots)
    bases = window_bases(objective, slots)
    windows = np.asarray(tokens)[np.asarray(starts, np.int64)[:, None] + np.arange(bases)]
    prompts = np.take_along_axis(windows, rows[:, 1 : int(prefix[0])], axis=1)
    return float((prompts != windows).mean())


def table(objectives: Mapping[str, Objective], spans: pl.DataFrame, slots: int) -> pl.DataFrame:
    """Sizes of a row, and rate and mean span as asked and as measured, one line per objective.

    `rate off` counts rows whose rate is further from what was asked than one base.
    """
    grouped = spans.group_by("objective", "row", maintain_order=True)
    rows = grouped.agg(noise=pl.col("length").sum(), spans=pl.len())
    lines = []
    for name, objective in objectives.items():
        bases = window_bases(objective, slots)
        prefix, label, _ = objective.sizes(bases)
        rate: Any = getattr(objective, "rate", None)
        mean = getattr(objective, "mean_span", None)
        line = {"objective": OBJECTIVE_TITLES[name], "window": bases, "prompt": prefix}
        line |= {"target": label, "rate asked": rate, "mean span asked": mean}
        own = rows.filter(pl.col("objective") == name)
        if own.height:
            noise, counts = own["noise"].to_numpy(), own["spans"].to_numpy()
            least, most = counts.min(), counts.max()
            line |= {
                "rate measured": float(noise.sum() / (bases * own.height)),
                "rate off": int((np.abs(noise - rate * bases) > 1).sum()),
                "spans": str(least) if least == most else f"{least} or {most}",
                "mean span measured": float(noise.sum() / counts.sum()),
            }
        lines.append(line)
    return pl.DataFrame(lines, infer_schema_length=None)


def law(objective: Objective, bases: int) -> dict[int, float]:
    """Probability that a span, taken from all spans of many rows, has each length.

    All compositions of m bases into k spans of at least s are equally likely, so length s + e has
    probability C(f - e - 2, k - 2) / C(f - 1, k - 1), where f = m - k (s - 1) bases are free to
    move. Where k is drawn, the laws are mixed by the spans that each contributes.
    """
    noise, most, fewer = corruption(objective, bases)
    least = objective.shortest if isinstance(objective, SelectiveCopying) else 1
    mixed: dict[int, float] = {}
    for spans, rows in ((most, 1 - fewer), (most - 1, fewer)):
        for length, chance in _composed(noise, spans, least).items() if rows else ():
            weight = rows * spans / (most - fewer)
            mixed[length] = mixed.get(length, 0.0) + weight * chance
    return mixed


def _composed(noise: int, spans: int, least: int) -> dict[int, float]:
    if spans == 1:
        return {noise: 1.0}
    free = noise - spans * (least - 1)
    ways = math.comb(free - 1, spans - 1)
    extras = range(free - spans + 1)
    return {extra + least: math.comb(free - extra - 2, spans - 2) / ways for extra in extras}


def histogram(objectives: Mapping[str, Objective], spans: pl.DataFrame, slots: int) -> pl.DataFrame:
    """Span lengths in bins: objective (title), start, end, share, law (share), asked."""
    bins = []
    for name, objective in objectives.items():
        if not hasattr(objective, "mean_span"):
            continue
        found = spans.filter(pl.col("objective") == name)["length"].to_numpy()
        expected = law(objective, window_bases(objective, slots))
        step = max(1, round(objective.mean_span / 8))
        for start in range(int(found.min()), int(found.max()) + 1, step):
            share = ((found >= start) & (found < start + step)).mean()
            chance = sum(expected.get(n, 0.0) for n in range(start, start + step))
            bins.append((name, start, start + step, share, chance, float(objective.mean_span)))
    columns = ["objective", "start", "end", "share", "law", "asked"]
    return titled(pl.DataFrame(bins, columns, orient="row"))


def lengths_chart(frame: pl.DataFrame) -> alt.FacetChart:
    """Histograms of span lengths with their law, from `histogram`."""
    order = frame["objective"].unique(maintain_order=True).to_list()
    names = [name for name, title in OBJECTIVE_TITLES.items() if title in order]
    x = alt.X("start:Q", bin="binned", title="span length (bases)", scale=alt.Scale(nice=False))
    base = alt.Chart().encode(x=x)
    bars = base.mark_bar(opacity=0.75).encode(
        x2="end:Q",
        y=alt.Y("share:Q", title="share of spans", axis=alt.Axis(format="%", tickCount=4)),
        color=objective_colour(names).legend(None),
        tooltip=["start:Q", "end:Q", *tips(".2%", "share")],
    )
    middle = base.transform_calculate(middle="(datum.start + datum.end) / 2")
    expected = middle.mark_line(strokeWidth=1.5, color="currentColor")
    expected = expected.encode(x="middle:Q", y="law:Q")
    asked = base.mark_rule(strokeDash=[4, 3]).encode(x="mean(asked):Q")
    panel = alt.layer(bars, expected, asked, data=frame).properties(width=270, height=120)
    facet = alt.Facet("objective:N", title=None, sort=order)
    panels = panel.facet(facet=facet, columns=2, spacing=18)
    return panels.resolve_scale(x="independent", y="independent")


def influence(net: transformer.Transformer, tokens: np.ndarray, prefix: int) -> np.ndarray:
    """Largest change of a feature at slot q when the token of slot k is changed, float32 (L, L).

    Args:
      tokens: int32 (L,), a row; `prefix` is its bidirectional area.
    """
    slots = len(tokens)
    changed = np.where(np.eye(slots, dtype=bool), (tokens + 1) % vocab.SIZE, tokens)
    batch = jnp.asarray(np.concatenate([tokens[None], changed]), jnp.int32)
    features = np.asarray(_features(net, batch, jnp.full(slots + 1, prefix, jnp.int32)))
    return np.abs(features[1:] - features[0]).max(axis=-1).T


@jax.jit
def _features(net: transformer.Transformer, tokens: jax.Array, prefix: jax.Array) -> jax.Array:
    return net.features(tokens, prefix)


def allowed(slots: int, prefix: int) -> np.ndarray:
    """The rule, bool (L, L): slot q sees slot k if k <= q, or if both are before `prefix`."""
    q, k = np.arange(slots)[:, None], np.arange(slots)[None, :]
    return (k <= q) | ((q < prefix) & (k < prefix))


def visibility(key: jax.Array, window: np.ndarray) -> pl.DataFrame:
    """What a small random model lets every slot see, in one row of every objective of `SHORT`.

    Returns:
      objective (title), query, key, query_token, key_token, influence, seen, rule (bool),
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
            "objective": OBJECTIVE_TITLES[name],
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


def matrices(frame: pl.DataFrame) -> alt.FacetChart:
    """One matrix per objective, from `visibility`: coloured where a slot sees another.

    One line of a matrix is one row of data, unfolded in the page.
    """
    folded = frame.group_by("objective", "query", "query_token", "loss", maintain_order=True).agg(
        seen=pl.col("seen").cast(pl.Int8).cast(pl.String).str.join(""),
        key_tokens=pl.col("key_token").str.join(" "),
    )
    order = folded["objective"].unique(maintain_order=True).to_list()
    slot = alt.Scale(domain=list(range(frame.select(pl.max("query")).item() + 1)), padding=0.08)
    axis = alt.Axis(labels=False, ticks=False, domain=False)
    earlier, later = "itself or an earlier token", "a later token of the prompt"
    colours = alt.Scale(domain=[earlier, later], range=["#4781f5", "#df980c"])
    below = alt.Legend(title="sees", orient="bottom", labelLimit=300)
    return (
        alt.Chart(folded)
        .transform_calculate(
            bit="split(datum.seen, '')",
            key_token="split(datum.key_tokens, ' ')",
            key="sequence(0, length(datum.seen))",
        )
        .transform_flatten(["bit", "key_token", "key"])
        .transform_filter("datum.bit == '1'")
        .transform_calculate(why=f"datum.key > datum.query ? '{later}' : '{earlier}'")
        .mark_rect()
        .encode(
            x=alt.X("key:O", scale=slot, axis=axis, title="seen slot"),
            y=alt.Y("query:O", scale=slot, axis=axis, title="slot"),
            color=alt.Color("why:N", scale=colours, legend=below),
            opacity=alt.condition("datum.loss", alt.value(1), alt.value(0.5)),
            tooltip=["query:Q", "query_token:N", "key:Q", "key_token:N", "why:N"],
        )
        .properties(width=140, height=140)
        .facet(facet=alt.Facet("objective:N", title=None, sort=order), columns=4, spacing=14)
    )


def batch_shares(
    mixture: Mixture, key: jax.Array, corpus: Corpus, ratios: np.ndarray, rows: int, batches: int
) -> pl.DataFrame:
    """Count what batches contain, as training draws them, with `ratios` float32 (n,) of sum 1.

    Returns:
      One row per objective: objective (title), commanded, rows, loss_tokens (shares), and per row
      of this objective: bases, loss_tokens_per_row.
    """

    def count(keys: jax.Array, corpus: Corpus, ratios: jax.Array) -> tuple[jax.Array, jax.Array]:
        def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
            batch, _ = sample(mixture, key, corpus, ratios, rows)
            of = jax.nn.one_hot(batch.objective, len(mixture.names))
            return of.sum(axis=0), batch.weights.sum(axis=1) @ of

        return jax.lax.map(one, keys)

    found = run_once(count, jax.random.split(key, batches), corpus, jnp.asarray(ratios))
    counts, tokens = (np.asarray(each, float).sum(axis=0) for each in found)
    return titled(
        pl.DataFrame(
            {
                "objective": mixture.names,
                "commanded": np.asarray(ratios, float),
                "rows": counts / counts.sum(),
                "loss_tokens": tokens / tokens.sum(),
                "bases": mixture.bases,
                "loss_tokens_per_row": tokens / np.maximum(counts, 1),
            }
        )
    )


def shares_chart(frame: pl.DataFrame) -> alt.Chart:
    """Commanded ratio beside the realised shares, one group of bars per objective."""
    order, measures = frame["objective"].to_list(), list(MEASURES.values())
    long = frame.unpivot(list(MEASURES), index="objective", variable_name="measure")
    colours = alt.Scale(domain=measures, range=["#767676", "#4781f5", "#df980c"])
    bars = alt.Chart(long.with_columns(pl.col("measure").replace(MEASURES))).mark_bar()
    return bars.encode(
        x=alt.X("value:Q", title="share", axis=alt.Axis(format="%")),
        y=alt.Y("objective:N", title=None, sort=order),
        yOffset=alt.YOffset("measure:N", sort=measures),
        color=alt.Color("measure:N", scale=colours, legend=legend("bottom", 1)),
        tooltip=["objective:N", "measure:N", *tips(".2%", "value")],
    ).properties(width="container", height=280)


def ambiguity(
    key: jax.Array, tokens: jax.Array, starts: jax.Array, slots: int, before: tuple[int, ...]
) -> pl.DataFrame:
    """How many queries of selective copying start with bases that occur twice in the window.

    Args:
      tokens, starts: as for `places`.
      before: lengths of the first delimiter in bases, at most 15.

    Returns:
      bases before; shares of queries in the first placement drawn, and in the chosen one.
    """
    keys, found = jax.random.split(key, len(starts)), []
    for length in before:
        objective = SelectiveCopying(before=length)
        bases = window_bases(objective, slots)

        def count(key: jax.Array, start: jax.Array, tokens: jax.Array) -> jax.Array:
            draws = jax.random.split(key, objective.placements)
            placed = jax.vmap(lambda k: objective.place(k, bases)[0])(draws)
            window = genome.cut(tokens, start, bases)
            return jax.vmap(lambda where: objective.ambiguous(window, where))(placed)

        repeats = run_once(jax.vmap(count, in_axes=(0, 0, None)), keys, starts, tokens)
        queries = corruption(objective, bases)[1]
        shares = [float(jnp.mean(r)) / queries for r in (repeats[:, 0], repeats.min(axis=1))]
        found.append((length, *shares))
    return pl.DataFrame(found, ["bases before", "first placement", "kept"], orient="row")
