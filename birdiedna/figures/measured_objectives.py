"""What objectives deliver, measured on many rows: rates and span lengths.

Nothing here trusts the formulas of the objectives. A program is written over a window that holds
its own positions instead of bases, so every token of a row says where it comes from.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import altair as alt
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from birdiedna import vocab
from birdiedna.data import genome
from birdiedna.figures import style
from birdiedna.figures.rows import PLAIN, corruption
from birdiedna.objectives.definitions import SelectiveCopying
from birdiedna.objectives.program import Objective, expand, window_bases

_FIRST = vocab.SIZE  # positions are written behind all ids
_NONE = -2  # not -1, which position 0 would continue
_SPANNED = ("infill", "prefix_lm", "deshuffling", "autoencoding", "selective")


@partial(jax.jit, static_argnums=(0, 4))
def _rows(objective: Objective, key: jax.Array, tokens: jax.Array, starts: jax.Array, slots: int):
    bases = window_bases(objective, slots)

    def one(key: jax.Array, start: jax.Array) -> tuple[jax.Array, jax.Array]:
        program = objective(key, genome.cut(tokens, start, bases))
        return expand(jnp.arange(bases) + _FIRST, program, slots + 1), program.prefix

    return jax.vmap(one)(jax.random.split(key, starts.shape[0]), starts)


def places(
    objective: Objective, key: jax.Array, tokens: jax.Array, starts: jax.Array, slots: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where in its window every token of many rows comes from.

    Args:
      objective: any objective.
      key: seeds the rows.
      tokens: uint8 (G,).
      starts: uint32 (R,), windows as `genome.fixed_starts` spaces them.
      slots: tokens of a row.

    Returns:
      int32 (R, slots + 1), negative for tokens that are no bases; and int32 (R,), the slot
      of `<start>`.
    """
    lowered = _rows.lower(objective, key, tokens, starts, slots)
    rows, prefix = jax.device_get(lowered.compile(compiler_options=PLAIN)(key, tokens, starts))
    return np.where(rows >= _FIRST, rows - _FIRST, _NONE), prefix


def runs(row: np.ndarray) -> list[np.ndarray]:
    """The stretches of consecutive window positions in a row (L,)."""
    cuts = np.flatnonzero(np.diff(row) != 1) + 1
    return [piece for piece in np.split(row, cuts) if len(piece) and piece[0] >= 0]


def lengths(name: str, row: np.ndarray, prefix: int, bases: int) -> list[int]:
    """Lengths in bases of the spans of one row of `places`.

    Spans are what the target holds, except: stretches that change places (deshuffling; gaps and
    spans alternate in the prompt, and the first gap may be empty), stretches that the prompt
    lacks (autoencoding), the stretch that is given (prefix LM).
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


def frame(
    objectives: Mapping[str, Objective],
    key: jax.Array,
    tokens: jax.Array,
    starts: jax.Array,
    slots: int,
) -> pl.DataFrame:
    """All spans of many rows of every objective that has spans.

    Returns:
      objective (name), row, bases (of the window), length.
    """
    frames = []
    for name, objective in objectives.items():
        if name.startswith(_SPANNED):
            bases = window_bases(objective, slots)
            rows = zip(*places(objective, key, tokens, starts, slots), strict=True)
            found = [lengths(name, row, prefix, bases) for row, prefix in rows]
            each = [(name, row, bases, n) for row, spans in enumerate(found) for n in spans]
            frames.append(pl.DataFrame(each, ["objective", "row", "bases", "length"], orient="row"))
    return pl.concat(frames)


def displaced(
    objective: Objective, key: jax.Array, tokens: jax.Array, starts: jax.Array, slots: int
) -> float:
    """Share of the prompt's places that hold another base than the window does there.

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
    rows = spans.group_by("objective", "row", maintain_order=True).agg(
        pl.col("bases").first(), noise=pl.col("length").sum(), spans=pl.len()
    )
    return pl.DataFrame(
        [
            _line(name, objective, slots, rows.filter(pl.col("objective") == name))
            for name, objective in objectives.items()
        ],
        infer_schema_length=None,
    )


def _line(name: str, objective: Objective, slots: int, rows: pl.DataFrame) -> dict[str, Any]:
    bases = window_bases(objective, slots)
    prefix, label = objective.sizes(bases)
    line = {
        "objective": style.OBJECTIVE_TITLES[name],
        "window": bases,
        "prompt": prefix,
        "target": label,
        "rate asked": getattr(objective, "rate", None),
        "mean span asked": getattr(objective, "mean_span", None),
    }
    if not rows.height:
        return line
    off = (rows["noise"] - line["rate asked"] * bases).abs() > 1
    least, most = rows["spans"].min(), rows["spans"].max()
    return line | {
        "rate measured": rows["noise"].sum() / rows["bases"].sum(),
        "rate off": int(off.sum()),
        "spans": str(least) if least == most else f"{least} or {most}",
        "mean span measured": rows["noise"].sum() / rows["spans"].sum(),
    }


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
    return {
        extra + least: math.comb(free - extra - 2, spans - 2) / ways
        for extra in range(free - spans + 1)
    }


def histogram(objectives: Mapping[str, Objective], spans: pl.DataFrame, slots: int) -> pl.DataFrame:
    """Span lengths in bins: objective (title), start, end, share, law (share), asked, measured."""
    lines = []
    for name, objective in objectives.items():
        if not hasattr(objective, "mean_span"):
            continue
        found = spans.filter(pl.col("objective") == name)["length"].to_numpy()
        expected = law(objective, window_bases(objective, slots))
        step = max(1, round(objective.mean_span / 8))
        for start in range(int(found.min()), int(found.max()) + 1, step):
            inside = (found >= start) & (found < start + step)
            lines.append(
                {
                    "objective": style.OBJECTIVE_TITLES[name],
                    "start": start,
                    "end": start + step,
                    "share": inside.mean(),
                    "law": sum(expected.get(n, 0.0) for n in range(start, start + step)),
                    "asked": float(objective.mean_span),
                    "measured": found.mean(),
                }
            )
    return pl.DataFrame(lines)


def lengths_chart(frame: pl.DataFrame) -> alt.FacetChart:
    """Histograms of span lengths with their law, from `histogram`."""
    order = frame["objective"].unique(maintain_order=True).to_list()
    names = [name for name, title in style.OBJECTIVE_TITLES.items() if title in order]
    base = alt.Chart().encode(
        x=alt.X("start:Q", bin="binned", title="span length (bases)", scale=alt.Scale(nice=False))
    )
    bars = base.mark_bar(opacity=0.75).encode(
        x2="end:Q",
        y=alt.Y("share:Q", title="share of spans", axis=alt.Axis(format="%", tickCount=4)),
        color=style.objective_colour(names).legend(None),
        tooltip=["start:Q", "end:Q", alt.Tooltip("share:Q", format=".2%")],
    )
    middle = base.transform_calculate(middle="(datum.start + datum.end) / 2")
    expected = middle.mark_line(strokeWidth=1.5, color="currentColor").encode(
        x="middle:Q", y="law:Q"
    )
    asked = base.mark_rule(strokeDash=[4, 3]).encode(x="mean(asked):Q")
    return (
        alt.layer(bars, expected, asked, data=frame)
        .properties(width=270, height=120)
        .facet(facet=alt.Facet("objective:N", title=None, sort=order), columns=2, spacing=18)
        .resolve_scale(x="independent", y="independent")
    )
