"""What a batch holds against what was commanded, and how often a query has two answers."""

import altair as alt
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from birdiedna.data import genome
from birdiedna.figures import style
from birdiedna.figures.rows import PLAIN, corruption
from birdiedna.objectives.definitions import SelectiveCopying
from birdiedna.objectives.mixture import Corpus, Mixture, sample
from birdiedna.objectives.program import window_bases

MEASURES = {
    "commanded": "ratio commanded",
    "rows": "share of rows",
    "loss_tokens": "share of tokens with loss",
}


def frame(
    mixture: Mixture, key: jax.Array, corpus: Corpus, ratios: np.ndarray, rows: int, batches: int
) -> pl.DataFrame:
    """Count what batches hold, as training draws them.

    Args:
      mixture: n objectives.
      key: seeds the batches.
      corpus: where windows come from.
      ratios: float32 (n,), sum 1.
      rows: of a batch.
      batches: how many are drawn.

    Returns:
      One row per objective: objective (title), commanded, rows, loss_tokens (shares), and per row
      of this objective: bases, loss_tokens_per_row.
    """
    command = jnp.asarray(ratios)
    lowered = jax.jit(sample, static_argnums=(0, 4)).lower(mixture, key, corpus, command, rows)
    draw = lowered.compile(compiler_options=PLAIN)
    n = len(mixture.names)
    counts, tokens = np.zeros(n), np.zeros(n)
    for batch_key in jax.random.split(key, batches):
        batch, _ = draw(batch_key, corpus, command)
        which = np.asarray(batch.objective)
        counts += np.bincount(which, minlength=n)
        tokens += np.bincount(which, np.asarray(batch.weights.sum(axis=1)), minlength=n)
    return pl.DataFrame(
        {
            "objective": style.titled(mixture.names),
            "commanded": np.asarray(ratios, float),
            "rows": counts / counts.sum(),
            "loss_tokens": tokens / tokens.sum(),
            "bases": list(mixture.bases),
            "loss_tokens_per_row": tokens / np.maximum(counts, 1),
        }
    )


def chart(frame: pl.DataFrame) -> alt.LayerChart:
    """Commanded ratio beside the realised shares, one group of bars per objective."""
    order = frame["objective"].to_list()
    long = frame.unpivot(list(MEASURES), index="objective", variable_name="measure").with_columns(
        pl.col("measure").replace(MEASURES)
    )
    measures = list(MEASURES.values())
    colours = alt.Scale(domain=measures, range=["#767676", "#4781f5", "#df980c"])
    return (
        alt.Chart(long)
        .mark_bar()
        .encode(
            x=alt.X("value:Q", title="share", axis=alt.Axis(format="%")),
            y=alt.Y("objective:N", title=None, sort=order),
            yOffset=alt.YOffset("measure:N", sort=measures),
            color=alt.Color(
                "measure:N",
                scale=colours,
                legend=alt.Legend(title=None, orient="bottom", columns=1),
            ),
            tooltip=["objective:N", "measure:N", alt.Tooltip("value:Q", format=".2%")],
        )
        .properties(width="container", height=280)
    )


def ambiguity(
    key: jax.Array, tokens: jax.Array, starts: jax.Array, slots: int, before: tuple[int, ...]
) -> pl.DataFrame:
    """How many queries of selective copying start with bases that the window holds twice.

    Args:
      key: seeds the placements.
      tokens: uint8 (G,).
      starts: uint32 (R,) of windows.
      slots: tokens of a row.
      before: lengths of the first delimiter in bases, at most 15.

    Returns:
      bases before; shares of queries in the first placement drawn, and in the one that is kept.
    """
    keys = jax.random.split(key, len(starts))
    found = []
    for length in before:
        objective = SelectiveCopying(before=length)
        one, best, queries = _repeats(objective, slots, keys, tokens, starts)
        shares = [float(jnp.mean(repeats)) / queries for repeats in (one, best)]
        found.append({"bases before": length, "first placement": shares[0], "kept": shares[1]})
    return pl.DataFrame(found)


def _repeats(
    objective: SelectiveCopying, slots: int, keys: jax.Array, tokens: jax.Array, starts: jax.Array
) -> tuple[jax.Array, jax.Array, int]:
    """Repeated queries per window in the first and in the best placement, and queries in all."""
    bases = window_bases(objective, slots)

    def count(key: jax.Array, start: jax.Array) -> jax.Array:
        draws = jax.random.split(key, objective.placements)
        placed = jax.vmap(lambda k: objective.place(k, bases)[0])(draws)
        window = genome.cut(tokens, start, bases)
        return jax.vmap(lambda where: objective.ambiguous(window, where))(placed)

    compiled = jax.jit(jax.vmap(count)).lower(keys, starts).compile(compiler_options=PLAIN)
    repeats = compiled(keys, starts)
    return repeats[:, 0], repeats.min(axis=1), corruption(objective, bases)[1]
