"""Charts of `12_use`: scores of frozen features by number of train rows, and of variants."""

import altair as alt
import polars as pl

from birdiedna.evaluation.scores import by_share
from birdiedna.figures import style


def by_labels(probed: pl.DataFrame) -> alt.FacetChart:
    """Test MCC of probes (`frames.results`) by number of train rows, a panel per task.

    Lines are means over pre-training seeds and subsets of rows; bands span minimum to maximum.
    """
    seeds = by_share(probed).group_by("task", "arm", "n_train", maintain_order=True)
    found = style.titled(
        seeds.agg(
            pl.col("subsets").sum(),
            pl.col("mean").mean(),
            pl.col("least").min(),
            pl.col("greatest").max(),
        )
    )
    found, few = style.thinned(found, "task", "tasks", style.DATA_ROWS * 3 // 4)
    order = style.values(found, "task")
    frame = style.row_ends(
        found, "task", order, "n_train", "mean", style.reach(found["least"], found["greatest"])
    )
    base = alt.Chart().encode(
        x=alt.X("n_train:Q", title="train rows", scale=alt.Scale(type="log"),
            axis=alt.Axis(tickCount=3, format="~s")),
        color=style.ARM_COLOUR,
    )  # fmt: skip
    band = base.mark_area(opacity=0.15).encode(y="least:Q", y2="greatest:Q")
    tooltip = ["arm", "n_train", "subsets", *style.tips(".3f", "mean", "least", "greatest")]
    line = base.mark_line(point=True).encode(
        y=alt.Y("mean:Q", title="MCC on test"), tooltip=tooltip
    )
    layers = band, line, style.arm_names("n_train")
    panel = alt.layer(*layers, data=frame).properties(width=165, height=110)
    return style.noted(style.panels(panel, "task", order, margin=60 + style.NAMES), few)


def variants(frame: pl.DataFrame) -> alt.LayerChart:
    """AUROC of each variant score with its interval; the rule is chance.

    `frame` has who, set, auroc, low, high.
    """
    order = style.values(frame, "who")
    base = alt.Chart(frame).encode(
        y=style.named_rows("who", order, limit=220),
        yOffset=alt.YOffset("set:N", scale=alt.Scale(paddingOuter=0.3)),
        color=alt.Color(
            "set:N",
            scale=alt.Scale(range=list(style.PLAIN)),
            title=None,
            legend=style.legend(sorted({*frame["set"]})),
        ),
    )
    span = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    scale = alt.Scale(domain=[0, 1])
    points = base.mark_point(filled=True, size=60, opacity=1).encode(
        x=alt.X("auroc:Q", title="AUROC, site against control", scale=scale),
        tooltip=["who", "set", *style.tips(".3f", "auroc", "low", "high")],
    )
    return (style.rule(x=0.5) + span + points).properties(width="container", height=180)
