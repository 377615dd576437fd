"""Charts of `printed_digits`: sizes that fit Table 1, and gaps as numbers of sequences."""

import altair as alt
import polars as pl

from birdiedna.evaluation import printed_digits
from birdiedna.figures import style

_KINDS = ("accuracy", "accuracy and F1")


def fits(found: pl.DataFrame) -> alt.LayerChart:
    """Ticks at the sizes of `printed_digits.fits`, with found and expected numbers on the right."""
    table = style.titled(printed_digits.fit_table(found))
    y = style.named_rows("task", table["task"].to_list())
    height = alt.condition(f"datum.kind == '{_KINDS[1]}'", alt.value(16), alt.value(6))
    colours = alt.Scale(domain=_KINDS, range=["#8a8a8a", style.PLAIN[0]])
    ticks = alt.Chart(style.titled(found)).mark_tick(thickness=1.5)
    ticks = ticks.encode(
        x=alt.X(
            "share:Q",
            title="size ÷ published size",
            scale=alt.Scale(domain=[0, 1.04], nice=False),
            axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".2f"),
        ),
        y=y,
        size=height,
        color=alt.Color("kind:N", scale=colours, legend=None),
        tooltip=["task", "n", "kind"],
    )
    card = alt.Chart(table.with_columns(share=pl.lit(1.03), fits="with F1"))
    filled = alt.condition("datum.fits", alt.value(style.PLAIN[0]), alt.value("transparent"))
    card = card.mark_point(shape="triangle-left", size=60, opacity=1)
    card = card.encode(x="share:Q", y=y, fill=filled)
    chance = pl.col("expected").map_elements(lambda x: f"{x:.2g}", pl.String)
    margin = pl.format("{} / {}", "sizes found", chance)
    text = alt.Chart(table.with_columns(share=pl.lit(1.03), counts=margin))
    text = text.mark_text(align="left", dx=9)  # pixels, to clear the triangle at any width
    text = text.encode(x="share:Q", y=y, text="counts:N")
    return (ticks + card + text).properties(width="container", height=300)


def sequences(gaps: pl.DataFrame) -> alt.LayerChart:
    """Gaps (`printed_digits.gaps`) in sequences, at the card's size and all possible sizes."""
    order = style.titled(gaps.filter(at="card").sort("gap", descending=True))["task"].to_list()
    base = alt.Chart(style.titled(gaps)).encode(y=style.named_rows("task", order))
    axis = alt.Axis(values=[-30, -10, -5, -2, 0, 2, 5, 10])
    x = alt.X("sequences:Q", scale=alt.Scale(type="symlog"), title="gap in sequences", axis=axis)
    line = base.mark_line(opacity=0.4).encode(x=x, detail="task:N")
    filled = alt.condition("datum.at == 'card'", alt.value(1), alt.value(0))
    dots = base.mark_point(size=45, color=style.PLAIN[0]).encode(
        x=x,
        fillOpacity=filled,
        fill=alt.value(style.PLAIN[0]),
        tooltip=["task", "n", "at", *style.tips("+.1f", "sequences"), *style.tips(".2g", "best_p")],
    )
    layers = style.band(-5, 5) + style.rule(x=0) + line + dots
    return layers.properties(width="container", height=280)
