"""The rules that turn gaps into verdicts: pure functions of arrays, tried on simulated truths.

The unit is the pre-training seed: one checkpoint per arm generalises to nothing. Every function
takes leading axes, so that the simulations of `simulation` ask exactly what the chapters ask.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from birdiedna.evaluation.statistics import sign_p, t_interval

SUPPORTED, CONTRADICTED = "supported", "contradicted"
INCONCLUSIVE, NOT_TESTED = "inconclusive", "not tested at this scale"
VERDICTS = (SUPPORTED, CONTRADICTED, INCONCLUSIVE, NOT_TESTED)

#: Fewer pre-training seeds settle nothing.
SEEDS = 3
#: A sign test over tasks has to pass this, two-sided: 12 of 14 tasks do.
_SIGN_P = 0.05


def by_interval(values: np.ndarray) -> np.ndarray:
    """The verdict (...) on "above 0", by the 95% t interval over values (..., seeds).

    With fewer than three seeds it is inconclusive.
    """
    low, high = t_interval(values)
    return _decided(low > 0, high < 0, values.shape[-1])


def _decided(support: np.ndarray, against: np.ndarray, seeds: int) -> np.ndarray:
    enough = seeds >= SEEDS
    cases = [support & enough, against & enough]
    return np.select(cases, [SUPPORTED, CONTRADICTED], INCONCLUSIVE)


def on_average(gaps: np.ndarray) -> np.ndarray:
    """The verdict on "better on average over tasks", from gaps (..., seeds, tasks).

    Supported if the interval of the mean gap over seeds is above 0, and no task is such that the
    mean of the others is not: a mean that one task carries is that of this task. Contradicted
    below 0.
    """
    low, high = t_interval(gaps.mean(-1))
    carried = _leaving_one_out(gaps).mean(-2).min(-1) <= 0
    return _decided((low > 0) & ~carried, high < 0, gaps.shape[-2])


def least(verdicts: Sequence[np.ndarray]) -> np.ndarray:
    """The verdict on "above all of several": that of the one that is most against it.

    One that was not tested leaves the others open.
    """
    found = np.stack(verdicts)
    cases = {
        CONTRADICTED: (found == CONTRADICTED).any(0),
        NOT_TESTED: (found == NOT_TESTED).all(0),
        INCONCLUSIVE: ((found == INCONCLUSIVE) | (found == NOT_TESTED)).any(0),
    }
    return np.select([*cases.values()], [*cases], SUPPORTED)


def _leaving_one_out(gaps: np.ndarray) -> np.ndarray:
    """The mean over the other tasks, (..., seeds, tasks); of a single task, its own."""
    tasks = gaps.shape[-1]
    return (gaps.sum(-1, keepdims=True) - gaps) / (tasks - 1) if tasks > 1 else gaps


class Consistency(NamedTuple):
    """What decides on "consistently better"; every field is an array of the leading axes.

    tasks_low, tasks_high: 95% t interval over tasks of the mean gap. ahead: tasks whose mean gap
    is above 0. sign_p: of that count.
    """

    verdict: np.ndarray
    tasks_low: np.ndarray
    tasks_high: np.ndarray
    ahead: np.ndarray
    sign_p: np.ndarray


def consistency(gaps: np.ndarray) -> Consistency:
    """Whether an arm is consistently better over tasks, from gaps (..., seeds, tasks).

    Supported if all of this is so: the intervals of the mean gap over seeds and over tasks are
    above 0; the first still is, whichever task is left out; and so many tasks gain that a sign
    test says so (12 of 14). Contradicted if the interval over seeds is below 0, or if so many
    tasks are lost, each surely, that the sign test cannot be passed.
    """
    seeds, tasks = gaps.shape[-2:]
    low, high = t_interval(gaps.mean(-1))
    means = gaps.mean(-2)
    tasks_low, tasks_high = t_interval(means)
    without = t_interval(_leaving_one_out(gaps), axis=-2)[0].min(-1)
    ahead, behind = (means > 0).sum(-1), (means < 0).sum(-1)
    p = sign_p(ahead, ahead + behind)
    lost = (t_interval(gaps, 1 - 0.05 / tasks, axis=-2)[1] < 0).sum(-1)
    support = (low > 0) & (tasks_low > 0) & (without > 0) & (ahead > behind) & (p < _SIGN_P)
    against = (high < 0) | ((lost > tolerable(tasks)) & (tolerable(tasks) >= 0))
    return Consistency(_decided(support, against, seeds), tasks_low, tasks_high, ahead, p)


def tolerable(tasks: int) -> int:
    """The most tasks that may be lost if the sign test is to be passed: 2 of 14; -1 for too few."""
    return int((sign_p(tasks - np.arange(tasks // 2 + 1), tasks) < _SIGN_P).sum()) - 1


def faster(own: np.ndarray, common: np.ndarray) -> np.ndarray:
    """The verdict on "faster", from log speed-ups (..., seeds).

    Supported if the arm is sooner both at shares of its own end and at a target common to both:
    an arm that ends higher passes a common target sooner without being faster. Contradicted if it
    is later at both.
    """
    (own_low, own_high), (low, high) = t_interval(own), t_interval(common)
    return _decided((own_low > 0) & (low > 0), (own_high < 0) & (high < 0), own.shape[-1])
