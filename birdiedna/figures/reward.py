"""Charts of `03_reward_model`: directors in simulated worlds and in a real run."""

import altair as alt
import polars as pl

from birdiedna.evaluation import directors
from birdiedna.evaluation.statistics import t_interval
from birdiedna.figures import style
from birdiedna.objectives.definitions import BIRDIE_DNA

DIRECTOR_COLOURS = {
    directors.LEARNED: style.ARM_COLOURS["birdie"],
    directors.RANDOM: style.GREY,
    directors.UNIFORM: style.ARM_COLOURS["uniform"],
    directors.UL2R: style.ARM_COLOURS["ul2r"],
    directors.BEST: style.PLAIN[0],
}
_IN_WORLD = "datum.world == world"
_EXPLORED = "drawn at random"
#: A line for each objective, and one for the marks of exploration rounds.
_TITLES = [style.OBJECTIVE_TITLES[name] for name in BIRDIE_DNA]
_LINES = alt.Y("objective:N", sort=[*_TITLES, _EXPLORED], title=None)


def worlds(ended: pl.DataFrame) -> alt.FacetChart:
    """Final loss in `directors.ends` minus that of the uniform mixture, a panel per world.

    Titles give the room of a world in nats. Dots are seeds, the mark is their mean, the line its
    95% t interval.
    """
    title = {world: f"{world} ({directors.room(world):.3f})" for world in directors.WORLDS}
    seeds = directors.differences(ended).select(
        pl.col("world").replace(title), "director", pl.col("gap").round(6)
    )
    groups = seeds.group_by("world", "director", maintain_order=True)
    edges = [(*key, part["gap"].mean(), *t_interval(part["gap"])) for key, part in groups]
    means = pl.DataFrame(edges, ["world", "director", *_EDGES], orient="row")
    seeds, note = style.thinned_runs(seeds, ("world", "director"), "seeds")
    data = pl.concat([seeds, means], how="diagonal")
    order = [name for name in DIRECTOR_COLOURS if name != directors.UNIFORM]
    base = alt.Chart().encode(
        y=alt.Y("director:N", sort=order, title=None),
        color=alt.Color("director:N", scale=style.scale(DIRECTOR_COLOURS), legend=None),
    )
    dots = base.mark_circle(size=24, opacity=0.5).encode(x="gap:Q")
    line = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    mean = base.mark_point(filled=True, size=60, opacity=1).encode(
        x=alt.X("mean:Q", title="loss minus uniform's, nats", axis=alt.Axis(tickCount=4)),
        tooltip=["director", *style.tips("+.4f", *_EDGES)],
    )
    panel = alt.layer(style.rule(x=0), dots, line, mean, data=data)
    panel = panel.properties(width=150, height=alt.Step(20))
    chart = style.panels(panel, "world", [*title.values()], margin=114)
    return style.noted(chart.resolve_scale(x="independent"), note)


_EDGES = ("mean", "low", "high")


def one_world(rounds: pl.DataFrame, foreseen: pl.DataFrame) -> alt.VConcatChart:
    """One world, chosen by a menu: the mixture, and predicted against realised total reward.

    From `directors.frame` and `directors.foreseen`.
    """
    views = (_mixture(rounds), _predicted(foreseen))
    first, *others = directors.WORLDS
    menu = alt.binding_select(options=[first, *others], name="World ")
    chart = alt.vconcat(*views, spacing=style.SPACING)
    chart = chart.add_params(alt.param("world", value=first, bind=menu))
    return chart.properties(usermeta={"margin": 170, "spacing": style.SPACING})


def _in_world(frame: pl.DataFrame) -> alt.Chart:
    return alt.Chart(frame).transform_filter(_IN_WORLD)


def _mixture(rounds: pl.DataFrame) -> style.Layers:
    """The reward model's shares with its first seed; on the right, the best constant mixture."""
    first = rounds.filter(seed=0)
    learned = first.filter(director=directors.LEARNED)
    constant = first.filter(pl.col("director") == directors.BEST, pl.col("start") == 0)
    begin, end = (int(directors.STEPS * share) for share in (1.03, 1.09))
    both = [learned, constant.with_columns(start=pl.lit(begin), end=pl.lit(end))]
    chart = _in_world(shares(pl.concat(both, how="vertical_relaxed")))
    domain = alt.Scale(domain=[0, end], nice=False)
    ticks = [*range(0, directors.STEPS, 4_000), end]
    label = f"datum.value == {end} ? 'best' : format(datum.value, '~s')"
    axis = alt.Axis(values=ticks, labelExpr=label, grid=False)
    x = alt.X("start:Q", title="step", axis=axis, scale=domain)
    strength = alt.Opacity("ratio:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[0.04, 1]))
    cells = chart.mark_rect(color=style.PLAIN[0]).encode(
        x=x,
        x2="end:Q",
        y=_LINES,
        opacity=strength,
        tooltip=["objective:N", "start:Q", "end:Q", *style.tips(".1%", "ratio")],
    )
    marks = chart.transform_filter(f"datum.explored && datum.objective == '{_TITLES[0]}'")
    marks = marks.transform_calculate(
        start="(datum.start + datum.end) / 2", objective=f"'{_EXPLORED}'"
    ).mark_point(shape="triangle-down", filled=True, size=45, color="currentColor", opacity=0.8)
    return alt.layer(cells, marks.encode(x=x, y=_LINES)).properties(width=500, height=alt.Step(17))


def _predicted(foreseen: pl.DataFrame) -> style.Layers:
    """Predicted against realised total reward of each round after the warm-up."""
    how = pl.when("explored").then(pl.lit("drawn at random")).otherwise(pl.lit("chosen"))
    rounds = foreseen.select(
        *("world", "seed", pl.col("end").alias("step"), pl.col("predicted").round(4)),
        pl.col("reward").round(4).alias("realised"),
        how.alias("how"),
    )
    rounds, note = style.thinned(rounds, "seed", "seeds", style.DATA_ROWS * 2 // 3)
    values = pl.concat([rounds["predicted"], rounds["realised"]])
    line = alt.Chart(pl.DataFrame({"x": [values.min(), values.max()]}))
    line = line.mark_line(strokeDash=[4, 3], opacity=0.6, color="currentColor")
    colours = alt.Scale(domain=["chosen", "drawn at random"], range=[style.PLAIN[0], style.GREY])
    points = _in_world(rounds).mark_point(filled=True, size=30, opacity=0.6)
    points = points.encode(
        x=alt.X("predicted:Q", title="predicted total reward"),
        y=alt.Y("realised:Q", title="realised"),
        color=alt.Color("how:N", scale=colours, legend=None),
        tooltip=["seed:O", "step:Q", "predicted:Q", "realised:Q", "how:N"],
    )
    chart = alt.layer(line.encode(x="x:Q", y="x:Q"), points).properties(width=500, height=120)
    return style.noted(chart, note)


def shares(rounds: pl.DataFrame) -> pl.DataFrame:
    """Shares (`ratio`) of each round in `directors.frame`, one row per objective."""
    titles = pl.Series("objective", [_TITLES] * rounds.height)
    each = rounds.select("world", "start", "end", "explored", titles, ratio="ratios")
    return each.explode("objective", "ratio").with_columns(pl.col("ratio").round(4))


def rewards_by_round(rounds: pl.DataFrame) -> alt.LayerChart:
    """A heat map of rewards in one run, round by objective; opacity is the absolute reward.

    From `frames.rounds`.
    """
    fell = pl.when(pl.col("reward") < 0).then(pl.lit("loss rose")).otherwise(pl.lit("loss fell"))
    number = rounds.with_columns(round=pl.col("end").rank("dense"))
    number, note = style.thinned(number, "round", "rounds", style.DATA_ROWS // 2)
    frame = style.titled(number.select("objective", "round", "reward", step="end")).with_columns(
        change=fell, size=pl.col("reward").abs().clip(1e-4, 1.0)
    )
    x = alt.X("round:O", title="round", axis=alt.Axis(labelAngle=0, labelOverlap=True))
    strength = alt.Scale(type="log", domain=[1e-4, 1], range=[0.04, 1])
    colours = alt.Scale(domain=["loss fell", "loss rose"], range=list(style.PLAIN))
    cells = alt.Chart(frame).mark_rect()
    cells = cells.encode(
        x=x,
        y=_LINES,
        color=alt.Color("change:N", scale=colours, legend=None),
        opacity=alt.Opacity("size:Q", scale=strength, legend=None),
        tooltip=["objective", "step", *style.tips("+.2e", "reward")],
    )
    signs = cells.transform_filter("datum.reward < 0").mark_text(fontWeight="bold", fontSize=14)
    signs = signs.encode(
        text=alt.value("\u2212"), color=alt.value("currentColor"), opacity=alt.value(1)
    )
    drawn = number.filter("explored").select("round", objective=pl.lit(_EXPLORED))
    marks = alt.Chart(drawn.unique(maintain_order=True))
    marks = marks.mark_point(shape="triangle-down", filled=True, size=60, color="currentColor")
    layers = cells + signs + marks.encode(x=x, y=_LINES)
    return style.noted(layers.properties(width="container", height=alt.Step(22)), note)
