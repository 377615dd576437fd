"""Data of the explorables (`book/_ext/static/explore*.js`).

`data` is independent of runs; chapters add the rest with `show.explorable`.
"""

import gzip
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy

from birdiedna.data import sample
from birdiedna.director import simulate
from birdiedna.director.simulate import Trajectory
from birdiedna.evaluation import directors, frames, printed_digits
from birdiedna.figures import style
from birdiedna.objectives.definitions import BIRDIE_DNA, CLASSES, SelectiveCopying
from birdiedna.tasks.benchmark_rules import TASK_TITLES

#: Bases in the initial state of the playground.
BASES = 256
#: Seeds per arm in the power table, and its ratios of gap to standard deviation.
SEEDS = range(3, 41)
RATIOS = np.geomspace(0.01, 30, 160)


def data() -> dict[str, Any]:
    """The data of explorables that no chapter computes, as JSON."""
    return {"table1": table_1(), "power": power_table(), "playground": playground()}


def table_1() -> dict[str, Any]:
    """Gaps of the paper's Table 1 in points, sets of tasks as bits, t quantiles by tasks.

    tata: its place, the published number of its rows, and smaller ones that print its accuracies.
    """
    rows = printed_digits.ROWS
    tasks = [
        {
            "task": TASK_TITLES[row.task],
            "accuracy": row.gap / 100,
            "f1": (row.f1[0] - row.f1[1]) / 100,
        }
        for row in rows
    ]
    bits = {
        name: "".join(str(int(row.task in chosen)) for row in rows)
        for name, chosen in printed_digits.sets().items()
    }
    quantiles = scipy.special.stdtrit(np.arange(1, len(rows)), 0.975)
    (place,) = (i for i, row in enumerate(rows) if row.task == "promoter_tata")
    smaller = filter(rows[place].accuracies_fit, range(10, rows[place].card))
    tata = {"place": place, "sizes": [rows[place].card, *smaller]}
    return {"tasks": tasks, "sets": bits, "t": [0, 0, *quantiles.round(6)], "tata": tata}


def power(ratio: float | np.ndarray, seeds: int) -> np.ndarray:
    """Power of a two-sided paired t test over `seeds` gaps at the level 0.05.

    `ratio` is the true gap over its standard deviation between seeds.
    """
    edge, shift = scipy.special.stdtrit(seeds - 1, 0.975), np.asarray(ratio) * seeds**0.5
    below = lambda t: np.nan_to_num(scipy.special.nctdtr(seeds - 1, shift, t))  # NaN: nearly 0
    return 1 - below(edge) + below(-edge)


def power_table() -> dict[str, Any]:
    """`power` by seeds and ratio, and t quantiles (`edges`) by seeds."""
    table = [power(RATIOS, seeds).round(4).tolist() for seeds in SEEDS]
    edges = scipy.special.stdtrit(np.asarray(SEEDS) - 1, 0.975).round(6).tolist()
    ratios = RATIOS.round(6).tolist()
    return {"ratios": ratios, "least": SEEDS[0], "table": table, "edges": edges}


def playground() -> dict[str, Any]:
    """The first bases of the embedded sample, and the fixed settings of selective copying."""
    with gzip.open(sample.GENOME, "rt") as file:
        place = next(file)[1:].split()[0]
        sequence = "".join(line.strip() for line in islice(file, BASES))[:BASES].upper()
    sizes = {name: getattr(SelectiveCopying, name) for name in _COPYING}
    return {"sequence": sequence, "place": place, **sizes}


#: Settings of selective copying that readers cannot change.
_COPYING = ("before", "after", "shortest", "placements")


def _objectives(objectives: Iterable[str] = BIRDIE_DNA) -> dict[str, list[str]]:
    """Titles, codes and colours of objectives, in the order of the mixture."""
    columns = {"names": style.OBJECTIVE_TITLES, "codes": style.OBJECTIVE_CODES}
    columns |= {"colours": style.OBJECTIVE_COLOURS}
    titled = {key: [values[name] for name in objectives] for key, values in columns.items()}
    return {"objectives": list(objectives), **titled}


def director(runs: Mapping[tuple[str, str], Trajectory]) -> dict[str, Any]:
    """Data for playing the director: the worlds, and the results of `directors.simulate`.

    Returns steps of the evaluations, from 0; classes; the constants of the loss law; for each world
    its parameters, the best constant ratios, and for each simulated director the mean loss (nats)
    and the total reward after each round, averaged over seeds.
    """
    first = next(iter(runs.values()))
    law = {"shared": simulate.SHARED, "shared_steps": simulate.SHARED_STEPS}
    return {
        **_objectives(),
        "classes": [sorted({*CLASSES}).index(one) for one in CLASSES],
        "steps": first.steps[0].tolist(),
        "seeds": len(first.total),
        "law": law | {"power": simulate.POWER},
        "worlds": [_world(title, runs) for title in dict.fromkeys(title for title, _ in runs)],
    }


def _world(title: str, runs: Mapping[tuple[str, str], Trajectory]) -> dict[str, Any]:
    world = directors.WORLDS[title]
    exact = {name: np.asarray(field, float).round(7) for name, field in world._asdict().items()}

    def average(run: Trajectory) -> dict[str, list[float]]:
        mean = (run.losses @ exact["weights"]).mean(axis=0)
        mean[-1] = run.final.mean()  # without noise
        return {"mean": mean.round(5).tolist(), "rewards": run.total.mean(axis=0).round(4).tolist()}

    return {
        "key": title.lower().replace(" ", "-"),
        "title": title,
        **{name: field.tolist() for name, field in exact.items()},
        "best": runs[title, directors.BEST].ratios[0, 0].astype(float).round(6).tolist(),
        "learned": average(runs[title, directors.LEARNED]),
        "random": average(runs[title, directors.RANDOM]),
    }


def loop(run: Path) -> dict[str, Any]:
    """The first 12 rounds of a real run with the director, from its log.

    For each round: start and end (steps), explored, and by objective ratios, held-out
    losses before and after (nats) and rewards.
    """
    rounds, losses = frames.rounds([run]), frames.losses([run]).select("step", "objective", "loss")
    for name, at in (("before", "start"), ("after", "end")):
        known = losses.rename({"step": at, "loss": name})
        rounds = rounds.join(known, on=[at, "objective"], maintain_order="left")
    columns = {"ratios": "ratio", "before": "before", "after": "after", "rewards": "reward"}
    values = {name: pl.col(column).round(4) for name, column in columns.items()}
    found = rounds.group_by("start", "end", "explored", maintain_order=True).agg(**values)
    return {**_objectives(style.values(rounds, "objective")), "rounds": found.head(12).to_dicts()}
