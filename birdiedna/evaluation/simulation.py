"""Test the verdicts in worlds with a known truth: false claims, power, coverage.

A world has 14 tasks. Each run has a level per task, with shared and per-task noise from its
pre-training seed and more from its fine-tuning seed; its validation curve rises towards the level,
with noise at every evaluation. The spreads are our choice, near those of small models.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import polars as pl
import scipy

from birdiedna.evaluation import learning_speed, metrics, scarcity, statistics, verdicts
from birdiedna.evaluation.paper_table import TABLE_1
from birdiedna.evaluation.statistics import t_interval
from birdiedna.evaluation.verdicts import CONTRADICTED, SUPPORTED

TASKS = tuple(row.task for row in TABLE_1)
STEPS = np.arange(0, 8193, 256).astype(float)
#: MCC of the NTP arm by task, and steps until a curve has reached 63% of its level.
_LEVELS = np.linspace(0.35, 0.8, len(TASKS))
_PACE = 1_000.0
#: Standard deviations in MCC: of a pre-training seed over all tasks, and per task; of a fine-tuning
#: seed; of one evaluation on validation.
_SHARED, _SEED, _RUN, _EVALUATION = 0.003, 0.008, 0.006, 0.012
#: Standard deviation of the mean of three fine-tuning seeds.
_MEAN = _RUN / 3**0.5
#: Worlds that are drawn at a time, to fit into memory.
_BLOCK = 10_000
#: Times as many worlds for a share that is at the limit, to tell it from more than the limit.
EXACT = 40


class Truth(NamedTuple):
    """A world: the Birdie arm's MCC gain by task, its speed-up, its gain per tenfold fewer rows."""

    gains: np.ndarray = np.zeros(len(TASKS))
    speed_up: float = 1.0
    scarce: float = 0.0


def uniform(gain: float, speed_up: float = 1.0) -> Truth:
    """The same gain on every task."""
    return Truth(np.full(len(TASKS), gain), speed_up)


#: The four truths that the book compares.
TRUTHS = {
    "no difference": Truth(),
    "+0.03 on every task": uniform(0.03),
    "+0.20 on one task, -0.005 on 13": Truth(np.where(np.arange(len(TASKS)) == 2, 0.2, -0.005)),
    "faster by half, same level": Truth(speed_up=1.5),
}
#: The pattern of the paper's own Table 1, taken as the truth.
PAPER = Truth(np.array([np.subtract(*row.accuracy) for row in TABLE_1]) / 100)


def levels(truth: Truth, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Levels of both arms, (2, *leading, seeds, runs, tasks), for shape (*leading, seeds, runs)."""
    *leading, seeds, runs = shape
    draw = lambda spread, *sizes: _normal(rng, spread, (2, *leading, *sizes))
    noise = draw(_SHARED, seeds, 1, 1) + draw(_SEED, seeds, 1, len(TASKS))
    noise = noise + draw(_RUN, seeds, runs, len(TASKS))
    gains = np.stack([truth.gains, np.zeros(len(TASKS))])
    return (_LEVELS + gains.reshape(2, *[1] * len(shape), len(TASKS))).astype(np.float32) + noise


def over_rivals(
    truth: Truth, rng: np.random.Generator, worlds: int, seeds: int, rivals: int = 4
) -> np.ndarray:
    """Gaps in test MCC, (rivals, worlds, seeds, tasks), of Birdie to equally good rivals.

    Scores are means of three fine-tuning seeds, whose noise joins that of pre-training seeds.
    """
    shape = (1 + rivals, worlds, seeds)
    noise = _normal(rng, _SHARED, (*shape, 1))
    noise = noise + _normal(rng, float(np.hypot(_SEED, _MEAN)), (*shape, len(TASKS)))
    return truth.gains.astype(np.float32) + noise[0] - noise[1:]


def gaps(truth: Truth, rng: np.random.Generator, worlds: int, seeds: int) -> np.ndarray:
    """`over_rivals` with one rival, (worlds, seeds, tasks)."""
    return over_rivals(truth, rng, worlds, seeds, 1)[0]


def curves(level: np.ndarray, pace: float, rng: np.random.Generator) -> np.ndarray:
    """Validation curves (..., E) of runs with these levels."""
    rise = level[..., None] * (1 - np.exp(-STEPS / pace)).astype(np.float32)
    return rise + _normal(rng, _EVALUATION, rise.shape) * (STEPS > 0).astype(np.float32)


def _normal(rng: np.random.Generator, spread: float, shape: tuple[int, ...]) -> np.ndarray:
    """Normal deviates in float32, which takes half the time."""
    return rng.standard_normal(shape, np.float32) * np.float32(spread)


def speeds(truth: Truth, rng: np.random.Generator, worlds: int, seeds: int) -> np.ndarray:
    """Log speed-ups to own and common targets, (2, worlds, seeds)."""
    found = []
    for begin in range(0, worlds, 100):  # to fit into memory
        level = levels(truth, rng, (min(100, worlds - begin), seeds, 3))
        birdie, ntp = np.moveaxis(level, -1, 2)  # tasks before seeds
        arms = curves(birdie, _PACE / truth.speed_up, rng), curves(ntp, _PACE, rng)
        needed = learning_speed.restricted_means(*arms, STEPS)
        found.append(learning_speed.log_speed_up(needed).mean(-1))
    return np.concatenate(found, axis=1)


def slopes(truth: Truth, rng: np.random.Generator, worlds: int, seeds: int) -> np.ndarray:
    """Gains per tenfold fewer rows, (worlds, seeds), of 14 tasks at 1, 10 and 100% of 30,000."""
    rows = np.tile([300, 3_000, 30_000], len(TASKS))
    found = np.repeat(gaps(truth, rng, worlds, seeds), 3, axis=-1)
    found = found + _normal(rng, 2**0.5 * _RUN, found.shape)
    found = found - truth.scarce * np.log10(rows / 3e4)
    return scarcity.slopes(found, rows, np.repeat(np.arange(len(TASKS)), 3))


def frames(
    truth: Truth, rng: np.random.Generator, seeds: int = 5
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Test scores, validation curves, and scores including probes, as `frames` reads them.

    There are four arms, on official rows; the uniform mixture is as good as NTP. Probes use a tenth
    of the train rows, and all of them.
    """
    birdie, ntp = levels(truth, rng, (seeds, 3))
    uniform, random = levels(Truth(), rng, (seeds, 3))
    arms = {"birdie": birdie, "ntp": ntp, "uniform": uniform, "random": random - 0.1}
    results, learned, probed = [], [], []
    for arm, values in arms.items():
        pace = _PACE / truth.speed_up if arm == "birdie" else _PACE
        for (seed, run, task), level in np.ndenumerate(values):
            tags = {"kind": "finetune", "arm": arm, "task": TASKS[task], "seed": seed}
            tags |= {"finetune_seed": run, "share": 1.0, "n_train": 30_000, "metric": "mcc"}
            results.append(tags | {"value": level, "rows": TABLE_1[task].test_rows})
            for share, more in ((1.0, 0.0), (0.1, truth.scarce * (arm == "birdie"))):
                facts = {"kind": "probe", "share": share, "n_train": int(30_000 * share)}
                probed.append(results[-1] | facts | {"value": level + more + rng.normal(0, _RUN)})
            drawn = curves(level, pace, rng)
            points = zip(STEPS.astype(int).tolist(), drawn.tolist(), strict=True)
            learned += [tags | {"step": step, "validation": value} for step, value in points]
    return pl.DataFrame(results), pl.DataFrame(learned), pl.DataFrame([*results, *probed])


class Claim(NamedTuple):
    """How to draw data for a claim, the rule that judges it, and truths where it is false, true.

    axis: of the seeds in what is drawn. share: of the worlds that are simulated. exact: the rule is
    hardly more than Student's interval, so that false claims are at the limit of 2.5% itself.
    """

    draw: Callable[[Truth, np.random.Generator, int, int], np.ndarray]
    judge: Callable[[np.ndarray], np.ndarray]
    false: dict[str, Truth]
    true: dict[str, Truth]
    axis: int = -2
    share: float = 1.0
    exact: bool = False

    def judged(
        self, truth: Truth, rng: np.random.Generator, worlds: int, seeds: tuple[int, ...]
    ) -> np.ndarray:
        """Verdicts (worlds, len(seeds)) from the first seeds of each world."""
        found = []
        for begin in range(0, worlds, _BLOCK):
            drawn = self.draw(truth, rng, min(_BLOCK, worlds - begin), max(seeds))
            parts = (np.take(drawn, range(k), self.axis) for k in seeds)
            found.append(np.stack([self.judge(part) for part in parts], axis=-1))
        return np.concatenate(found)


_NONE = {"no difference": Truth()}
_ONE = "+0.20 on one task, -0.005 on 13"
_GAINS = {f"+{gain:.3f} on every task": uniform(gain) for gain in (0.005, 0.01, 0.02)}
CLAIMS = {
    "consistently better": Claim(
        gaps,
        lambda found: verdicts.consistency(found).verdict,
        _NONE | {_ONE: TRUTHS[_ONE], "Table 1 of the paper": PAPER},
        _GAINS,
    ),
    "better on average": Claim(gaps, verdicts.on_average, _NONE, _GAINS, exact=True),
    "faster": Claim(
        speeds,
        lambda found: verdicts.faster(*found),
        _NONE | {"+0.03, same speed": uniform(0.03), "+0.03, 10% slower": uniform(0.03, 0.9)},
        {f"{up:.1f} times as fast": Truth(speed_up=up) for up in (1.1, 1.2, 1.5)},
        axis=-1,
        share=1 / 40,  # curves are costly
    ),
    "better than every fixed mixture": Claim(
        over_rivals,
        lambda found: verdicts.least([verdicts.on_average(gaps, len(found)) for gaps in found]),
        _NONE,
        _GAINS,
    ),
    "more when data are scarce": Claim(
        slopes,
        verdicts.by_interval,
        {"+0.03 at every size": uniform(0.03)},
        {f"+{gain:.3f} per tenfold": Truth(scarce=gain) for gain in (0.002, 0.005, 0.01)},
        axis=-1,
        exact=True,
    ),
}


def claims_table(worlds: int, seeds: tuple[int, ...] = (3, 5, 10)) -> pl.DataFrame:
    """Share of worlds where a claim is "supported": claim, truth, the claim is, `<k> seeds`.

    `contradicted`: the largest share of worlds, over the numbers of seeds, where it is that.
    """
    least = round(1 / min(claim.share for claim in CLAIMS.values()))
    if worlds < least:
        raise ValueError(f"worlds {worlds} are too few; give {least} or more")
    rng = np.random.default_rng(0)
    rows = []
    for name, claim in CLAIMS.items():
        for title, truth in (claim.false | claim.true).items():
            kind = "true" if title in claim.true else "false"
            more = EXACT if claim.exact and kind == "false" else 1
            found = claim.judged(truth, rng, round(worlds * claim.share * more), seeds)
            shares = zip(seeds, (found == SUPPORTED).mean(0).tolist(), strict=True)
            row = {"claim": name, "truth": title, "the claim is": kind}
            row |= {f"{k} seeds": share for k, share in shares}
            rows.append(row | {"contradicted": float((found == CONTRADICTED).mean(0).max())})
    return pl.DataFrame(rows)


def coverage_table(worlds: int, seeds: tuple[int, ...] = (3, 5, 10)) -> pl.DataFrame:
    """How often each kind of 95% interval contains the truth: interval, unit, covers.

    Speed-ups, correlations and bootstraps, which are costly, are counted in a tenth of the worlds.
    """
    rng, few = np.random.default_rng(0), worlds // 10
    truth = uniform(0.01, 1.2)._replace(scarce=0.005)
    gained = gaps(truth, rng, worlds, max(seeds))
    grown = slopes(truth, rng, worlds, max(seeds))
    faster = speeds(truth, rng, few, max(seeds))
    own, common = faster.mean((1, 2))  # has no formula
    rows = []
    for k in seeds:
        cases = {
            "mean gap over tasks, t": (gained[:, :k].mean(-1), 0.01),
            "gap of one task, t": (gained[:, :k, 0], 0.01),
            "gain per tenfold fewer rows, t": (grown[:, :k], 0.005),
            "speed-up to the own end, t": (faster[0, :, :k], own),
            "speed-up to a common target, t": (faster[1, :, :k], common),
        }
        rows += [(name, f"{k} seeds", _inside(*t_interval(x), y)) for name, (x, y) in cases.items()]
        rows.append(("gap over seeds and test rows", f"{k} seeds", _hierarchical(few, k, rng)))
    tasks = t_interval(rng.normal(0.01, 0.02, (worlds, len(TASKS))))
    rows.append(("mean gap, tasks as a sample, t", f"{len(TASKS)} tasks", _inside(*tasks, 0.01)))
    rows.append(("correlation of independent rounds, Fisher", "20 rounds", _correlations(few, rng)))
    rows += _bootstraps(few, rng)
    return pl.DataFrame(rows, ["interval", "unit", "covers"], orient="row")


def _hierarchical(worlds: int, seeds: int, rng: np.random.Generator) -> float:
    """Coverage of `statistics.hierarchical` where both seeds and test rows are drawn.

    The arms have equal skill; some rows are hard for both, others for one arm more than the other.
    """
    n, found = 200, []
    for world in range(worlds):
        labels, hard = np.arange(n) % 2, rng.normal(0, 2, n) + rng.normal(0, 1, (2, 1, n))
        skill = 2 + rng.normal(0, 0.2, (2, seeds, 1))
        right = rng.random((2, seeds, n)) < 1 / (1 + np.exp(hard - skill))
        one, other = np.where(right, labels, 1 - labels)
        drawn = statistics.resampled(labels, np.concatenate([one, other]), 2, world, 100)
        values = statistics.mcc(labels, one, 2) - statistics.mcc(labels, other, 2)
        found.append(statistics.hierarchical(values, drawn[:seeds] - drawn[seeds:]))
    low, high = np.transpose(found)
    return _inside(low, high, 0.0)


def _correlations(worlds: int, rng: np.random.Generator, rounds: int = 20) -> float:
    """Coverage of the interval of `paper_claims.agreement`, for independent rounds."""
    predicted, noise = np.moveaxis(rng.normal(size=(worlds, 2, rounds)), 1, 0)
    found = scipy.stats.pearsonr(predicted, predicted + noise, axis=1)
    low, high = found.confidence_interval(0.95)
    return _inside(low, high, 0.5**0.5)


def small_bootstraps(worlds: int) -> pl.DataFrame:
    """How often percentile bootstraps of a few values contain their mean: unit, covers.

    The book uses `statistics.hierarchical` instead.
    """
    rng = np.random.default_rng(0)
    rows = []
    for count, unit in ((3, "seeds"), (5, "seeds"), (10, "seeds"), (len(TASKS), "tasks")):
        drawn = rng.multinomial(count, np.full(count, 1 / count), 500) / count
        means = rng.normal(size=(worlds, count)) @ drawn.T
        low, high = np.quantile(means, (0.025, 0.975), axis=1)
        rows.append((f"{count} {unit}", _inside(low, high, 0.0)))
    return pl.DataFrame(rows, ["unit", "covers"], orient="row")


def _inside(low: np.ndarray, high: np.ndarray, value: float) -> float:
    return float(((low <= value) & (value <= high)).mean())


def _bootstraps(worlds: int, rng: np.random.Generator) -> list[tuple[str, str, float]]:
    """Coverage of the two bootstraps over test rows."""
    n, right = 1_000, (0.85, 0.80)
    alone, paired = [], []
    for world in range(worlds):
        labels = rng.permutation(np.arange(n) % 2)
        one, other = (np.where(rng.random(n) < p, labels, 1 - labels) for p in right)
        alone.append(metrics.intervals(labels, np.eye(2)[one], world, 1_000)["mcc"])
        drawn = statistics.resampled(labels, np.stack([one, other]), 2, world, 1_000)
        paired.append(np.quantile(drawn[0] - drawn[1], (0.025, 0.975)))
    cases = {
        "MCC of one run, bootstrap": (np.array(alone), 2 * right[0] - 1),
        "gap of two runs, paired bootstrap": (np.array(paired), 2 * (right[0] - right[1])),
    }
    return [
        (name, f"{n:,} test rows", _inside(edges[:, 0], edges[:, 1], value))
        for name, (edges, value) in cases.items()
    ]
