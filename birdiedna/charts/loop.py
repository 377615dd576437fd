"""The method as a diagram."""

import altair as alt
import polars as pl


def diagram() -> alt.LayerChart:
    """The method as a diagram: what is trained, what is measured, what chooses the next mixture."""
    boxes = [
        (0, 1, "Mixture", "one ratio each"),
        (1, 1, "Rows of DNA", "prompt and target"),
        (2, 1, "Transformer", "trains a round"),
        (2, 0, "Held-out loss", "one per objective"),
        (1, 0, "Rewards", "how far each fell"),
        (0, 0, "Reward model", "chooses the next"),
    ]
    frame = pl.DataFrame(boxes, schema=["column", "row", "title", "text"], orient="row")
    frame = frame.with_columns(
        left=pl.col("column") - 0.43, right=pl.col("column") + 0.43,
        below=pl.col("row") - 0.3, above=pl.col("row") + 0.3,
        high=pl.col("row") + 0.09, low=pl.col("row") - 0.1,
    )  # fmt: skip
    base = alt.Chart(frame)
    box = base.mark_rect(cornerRadius=8, fillOpacity=0.12, strokeWidth=1.5).encode(
        **_at("left", "below"),
        x2="right:Q",
        y2="above:Q",
        color=alt.Color("row:N", legend=None, scale=alt.Scale(range=["#d55e00", "#0072b2"])),
        tooltip=["title", "text"],
    )
    title = base.mark_text(fontWeight="bold", fontSize=12).encode(
        **_at("column", "high"), text="title"
    )
    text = base.mark_text(fontSize=10).encode(**_at("column", "low"), text="text")
    return (box + _arrows() + title + text).properties(width="container", height=190)


def _at(x: str, y: str) -> dict[str, alt.X | alt.Y]:
    """Places in the diagram, without axes."""
    return {
        "x": alt.X(f"{x}:Q", axis=None, scale=alt.Scale(domain=[-0.5, 2.5], nice=False)),
        "y": alt.Y(f"{y}:Q", axis=None, scale=alt.Scale(domain=[-0.4, 1.4], nice=False)),
    }


def _arrows() -> alt.LayerChart:
    """The six arrows between the boxes of the diagram, clockwise."""
    ends = [
        (0.43, 1.0, 0.57, 1.0, "▶"),
        (1.43, 1.0, 1.57, 1.0, "▶"),
        (2.0, 0.7, 2.0, 0.3, "▼"),
        (1.57, 0.0, 1.43, 0.0, "◀"),
        (0.57, 0.0, 0.43, 0.0, "◀"),
        (0.0, 0.3, 0.0, 0.7, "▲"),
    ]
    frame = pl.DataFrame(ends, schema=["x", "y", "x2", "y2", "head"], orient="row")
    frame = frame.with_columns(
        middle=(pl.col("x") + pl.col("x2")) / 2, height=(pl.col("y") + pl.col("y2")) / 2
    )
    base = alt.Chart(frame)
    line = base.mark_rule(strokeWidth=1.5).encode(**_at("x", "y"), x2="x2:Q", y2="y2:Q")
    head = base.mark_text(fontSize=14, baseline="middle")
    return line + head.encode(**_at("middle", "height"), text="head")
