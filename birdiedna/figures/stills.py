"""Still pictures of explorables, in their first state, for readers without JavaScript."""

from collections.abc import Callable, Mapping
from typing import Any

import altair as alt
import jax.numpy as jnp
import numpy as np
import polars as pl

from birdiedna.director.reward_model import reward
from birdiedna.figures import style


def charts(data: Mapping[str, Any]) -> dict[str, alt.Chart]:
    """The pictures of those explorables whose data are there, by kind.

    `data` is all that explorables look up, `birdieData` of the pages.
    """
    return {
        kind: drawn(data[name]).properties(width=560, height=220)
        for kind, (name, drawn) in _KINDS.items()
        if name in data
    }


def _recount(table: Mapping[str, Any]) -> alt.Chart:
    points = alt.Chart(pl.DataFrame(table["tasks"])).mark_point(filled=True, size=50)
    x = alt.X("accuracy:Q", title="accuracy, Birdie minus NTP (points)")
    return points.encode(x=x, y=alt.Y("task:N", sort="-x", title=None))


def _reward(_: Mapping[str, Any]) -> alt.Chart:
    shares = jnp.linspace(0.4, 1.1, 141)
    earned = reward(jnp.full_like(shares, 1.3), 1.3 * shares)
    frame = pl.DataFrame({"share": np.asarray(shares), "reward": np.asarray(earned)})
    title = "loss after ÷ loss before, from 1.3 nats"
    x = alt.X("share:Q", title=title, scale=alt.Scale(zero=False))
    return alt.Chart(frame).mark_line().encode(x=x, y="reward:Q")


def _power(table: Mapping[str, Any]) -> alt.Chart:
    row = int(np.argmin(np.abs(np.asarray(table["ratios"]) - 0.3)))
    chances = [chances[row] for chances in table["table"]]
    seeds = list(range(table["least"], table["least"] + len(chances)))
    frame = pl.DataFrame({"seeds": seeds, "chance": chances})
    title = "chance to see a gap of 0.3 standard deviations"
    y = alt.Y("chance:Q", title=title, axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1]))
    return alt.Chart(frame).mark_line().encode(x=alt.X("seeds:Q", title="seeds per arm"), y=y)


def _director(game: Mapping[str, Any]) -> alt.Chart:
    world, first = game["worlds"][0], 4  # after that all losses are near their floor
    frame = pl.concat(
        pl.DataFrame({"step": game["steps"], "loss": world[key]["mean"]})
        .with_columns(director=pl.lit(title))
        .slice(first)
        for key, title in (("learned", "reward model"), ("random", "random"))
    )
    return (
        alt.Chart(frame)
        .mark_line()
        .encode(
            x="step:Q",
            y=alt.Y("loss:Q", title=f"mean loss (nats), {world['title'].lower()}"),
            strokeDash=alt.StrokeDash("director:N", title=None),
        )
    )


def _loop(log: Mapping[str, Any]) -> alt.Chart:
    lines = [
        {"round": number, "objective": name, "share": share, "end": round_["end"]}
        for number, round_ in enumerate(log["rounds"], 1)
        for name, share in zip(log["names"], round_["ratios"], strict=True)
    ]
    colours = style.scale(dict(zip(log["names"], log["colours"], strict=True)))
    colour = alt.Color("objective:N", title=None, scale=colours)
    y = alt.Y("share:Q", stack="zero", title="share of rows", axis=alt.Axis(format="%"))
    return alt.Chart(pl.DataFrame(lines)).mark_bar().encode(x="round:O", y=y, color=colour)


#: Kind -> what it looks up, how it is drawn.
_KINDS: dict[str, tuple[str, Callable[[Mapping[str, Any]], alt.Chart]]] = {
    "recount": ("table1", _recount),
    "reward": ("power", _reward),
    "power": ("power", _power),
    "director": ("director", _director),
    "loop": ("loop", _loop),
}
