"""Which slot of a row sees which, measured from a model: change one input, see what moves.

The model is small and random, since visibility is a matter of the mask, not of the weights. Rows
are short, so that a matrix shows single tokens; four objectives need shorter spans to fit.
"""

from collections.abc import Mapping, Sequence

import altair as alt
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from birdiedna import vocab
from birdiedna.figures import rows, style
from birdiedna.model import transformer
from birdiedna.objectives.definitions import (
    BIRDIE_DNA,
    Autoencoding,
    Deshuffling,
    NextToken,
    SelectiveCopying,
)
from birdiedna.objectives.explain import Token
from birdiedna.objectives.program import Objective

#: Tokens of a row, the most for which all matrices together stay below 5,000 cells.
SLOTS = 24
#: The mixture with spans short enough for such a row.
SHORT: dict[str, Objective] = {
    **BIRDIE_DNA,
    "deshuffling_50": Deshuffling(mean_span=2),
    "autoencoding_30_50": Autoencoding(mean_span=2),
    "selective_copying_15": SelectiveCopying(0.3, mean_span=4, before=2, after=1, shortest=2),
    "next_token": NextToken(),
}
_SMALL = transformer.ModelConfig(width=32, blocks=2, heads=2, head_width=16, mlp_width=64)
LATER, EARLIER = "a later token of the prompt", "itself or an earlier token"
_LEAST = 1e-6  # a smaller change of a feature is rounding


def influence(net: transformer.Transformer, tokens: np.ndarray, prefix: int) -> np.ndarray:
    """How far the features of every slot move when one input is changed.

    Args:
      net: any model.
      tokens: int32 (L,), a row.
      prefix: its bidirectional area.

    Returns:
      float32 (L, L): [q, k] is the largest change at slot q when slot k holds another token.
    """
    slots = len(tokens)
    changed = np.where(np.eye(slots, dtype=bool), (tokens + 1) % vocab.SIZE, tokens)
    batch = jnp.asarray(np.concatenate([tokens[None], changed]), jnp.int32)
    limits = jnp.full(slots + 1, prefix, jnp.int32)
    features = np.asarray(_features(net, batch, limits))
    return np.abs(features[1:] - features[0]).max(axis=-1).T


@jax.jit
def _features(net: transformer.Transformer, tokens: jax.Array, prefix: jax.Array) -> jax.Array:
    return net.features(tokens, prefix)


def allowed(slots: int, prefix: int) -> np.ndarray:
    """The rule, bool (L, L): slot q sees slot k if k <= q, or if both are before `prefix`."""
    q, k = np.arange(slots)[:, None], np.arange(slots)[None, :]
    return (k <= q) | ((q < prefix) & (k < prefix))


def frame(
    objectives: Mapping[str, Objective], key: jax.Array, window: np.ndarray, slots: int = SLOTS
) -> pl.DataFrame:
    """What a small random model lets every slot see, in one row of every objective.

    Args:
      objectives: name -> objective, as `SHORT`.
      key: seeds the row.
      window: uint8, at least `slots` bases.
      slots: tokens of a row.

    Returns:
      objective (title), query, key, query_token, key_token, influence, seen, rule (bool),
      loss (bool: the query predicts a target).
    """
    net = transformer.init(_SMALL, 0)
    made = rows.drawn_row(list(objectives.values()), key, window, slots)
    titles = style.titled(list(objectives))
    return pl.concat(_long(net, title, row, slots) for title, row in zip(titles, made, strict=True))


def _long(
    net: transformer.Transformer, title: str, words: Sequence[Token], slots: int
) -> pl.DataFrame:
    names = [word.text for word in words[:slots]]
    names += ["<pad>"] * (slots - len(names))
    prefix = sum(word.part == "prompt" for word in words)
    moved = influence(net, np.array([vocab.NAMES.index(name) for name in names]), prefix)
    query, key = (index.ravel() for index in np.indices((slots, slots)))
    return pl.DataFrame(
        {
            "objective": [title] * slots**2,
            "query": query,
            "key": key,
            "query_token": np.array(names)[query],
            "key_token": np.array(names)[key],
            "influence": moved.ravel(),
            "seen": moved.ravel() > _LEAST,
            "rule": allowed(slots, prefix).ravel(),
            "loss": (query >= prefix) & (query < len(words) - 1),
        }
    )


def disagreements(frame: pl.DataFrame) -> int:
    """Cells in which the model and the rule differ."""
    return frame.filter(pl.col("seen") != pl.col("rule")).height


def chart(frame: pl.DataFrame) -> alt.FacetChart:
    """One matrix per objective: a coloured cell where the row's slot sees the column's slot.

    One line of a matrix is one row of data, unfolded in the page.
    """
    folded = frame.group_by("objective", "query", "query_token", "loss", maintain_order=True).agg(
        seen=pl.col("seen").cast(pl.Int8).cast(pl.String).str.join(""),
        key_tokens=pl.col("key_token").str.join(" "),
    )
    order = folded["objective"].unique(maintain_order=True).to_list()
    slot = alt.Scale(domain=list(range(frame["query"].max() + 1)), padding=0.08)
    axis = alt.Axis(labels=False, ticks=False, domain=False)
    return (
        alt.Chart(folded)
        .transform_calculate(
            bit="split(datum.seen, '')",
            key_token="split(datum.key_tokens, ' ')",
            key="sequence(0, length(datum.seen))",
        )
        .transform_flatten(["bit", "key_token", "key"])
        .transform_filter("datum.bit == '1'")
        .transform_calculate(why=f"datum.key > datum.query ? '{LATER}' : '{EARLIER}'")
        .mark_rect()
        .encode(
            x=alt.X("key:O", scale=slot, axis=axis, title="seen slot"),
            y=alt.Y("query:O", scale=slot, axis=axis, title="slot"),
            color=alt.Color(
                "why:N",
                scale=alt.Scale(domain=[EARLIER, LATER], range=["#4781f5", "#df980c"]),
                legend=alt.Legend(title="sees", orient="bottom", labelLimit=300),
            ),
            opacity=alt.condition("datum.loss", alt.value(1), alt.value(0.5)),
            tooltip=["query:Q", "query_token:N", "key:Q", "key_token:N", "why:N"],
        )
        .properties(width=140, height=140)
        .facet(facet=alt.Facet("objective:N", title=None, sort=order), columns=4, spacing=14)
    )
