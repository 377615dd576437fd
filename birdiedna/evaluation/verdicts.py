"""The rules that turn gaps into verdicts: pure functions of arrays, tested in `simulation`.

The unit is the pre-training seed: results of one checkpoint per arm do not generalise. All
functions take leading axes, so that simulations and chapters share them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from birdiedna.evaluation.statistics import sign_p, t_interval

SUPPORTED, CONTRADICTED = "supported", "contradicted"
INCONCLUSIVE, NOT_TESTED = "inconclusive", "not tested at this scale"
VERDICTS = (SUPPORTED, CONTRADICTED, INCONCLUSIVE, NOT_TESTED)

#: Verdicts need at least this many pre-training seeds.
SEEDS = 3
#: Two-sided level of the sign test over tasks; 12 of 14 tasks pass.
_SIGN_P = 0.05
#: An arm is faster to its own end by more than this log ratio, 1%: of arms of equal speed, the
#: higher one is up to 0.6% faster if evaluations have little noise, and many seeds would see it.
_SPEED = float(np.log(1.01))


def by_interval(values: np.ndarray) -> np.ndarray:
    """The verdict (...) on "above 0", by the 95% t interval over values (..., seeds).

    Inconclusive with fewer than three seeds.
    """
    low, high = t_interval(values)
    return _decided(low > 0, high < 0, values.shape[-1])


def _decided(support: np.ndarray, against: np.ndarray, seeds: int) -> np.ndarray:
    enough = seeds >= SEEDS
    cases = [support & enough, against & enough]
    return np.select(cases, [SUPPORTED, CONTRADICTED], INCONCLUSIVE)


def on_average(gaps: np.ndarray, rivals: int = 1) -> np.ndarray:
    """The verdict on "better on average over tasks", from gaps (..., seeds, tasks).

    Supported if the interval of the mean gap over seeds is above 0 and the mean stays above 0
    without any one task. Contradicted if the interval is below 0. As one of several `rivals` that
    are all to be beaten, where one loss contradicts, losses have Bonferroni's wider interval.
    """
    means = gaps.mean(-1)
    low, _ = t_interval(means)
    _, high = t_interval(means, 1 - 0.05 / rivals)
    carried = _leaving_one_out(gaps.mean(-2)).min(-1) <= 0
    return _decided((low > 0) & ~carried, high < 0, gaps.shape[-2])


def least(verdicts: Sequence[np.ndarray]) -> np.ndarray:
    """The verdict on "better than all of several": the least favourable one.

    If some, but not all, were not tested, "supported" becomes inconclusive.
    """
    found = np.stack(verdicts)
    cases = {
        CONTRADICTED: (found == CONTRADICTED).any(0),
        NOT_TESTED: (found == NOT_TESTED).all(0),
        INCONCLUSIVE: ((found == INCONCLUSIVE) | (found == NOT_TESTED)).any(0),
    }
    return np.select([*cases.values()], [*cases], SUPPORTED)


def _leaving_one_out(gaps: np.ndarray) -> np.ndarray:
    """The mean over the other tasks, (..., tasks); for a single task, its own gap."""
    tasks = gaps.shape[-1]
    return (gaps.sum(-1, keepdims=True) - gaps) / (tasks - 1) if tasks > 1 else gaps


class Consistency(NamedTuple):
    """The verdict on "consistently better" and its reasons; arrays over the leading axes.

    tasks_low, tasks_high: 95% t interval over tasks of the mean gap. ahead: number of tasks with a
    mean gap above 0. sign_p: sign test of that number.
    """

    verdict: np.ndarray
    tasks_low: np.ndarray
    tasks_high: np.ndarray
    ahead: np.ndarray
    sign_p: np.ndarray


def consistency(gaps: np.ndarray) -> Consistency:
    """The verdict on "consistently better over tasks", from gaps (..., seeds, tasks).

    Supported if the intervals of the mean gap over seeds and over tasks are above 0, the first also
    without any one task, and the sign test over tasks is significant (12 of 14). Contradicted if
    the interval over seeds is below 0, or if so many tasks are significantly worse that the sign
    test cannot pass.
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
    """How many tasks may be lost for the sign test to pass: 2 of 14; -1 if it never passes."""
    return int((sign_p(tasks - np.arange(tasks // 2 + 1), tasks) < _SIGN_P).sum()) - 1


def faster(own: np.ndarray, common: np.ndarray) -> np.ndarray:
    """The verdict on "faster", from log speed-ups (..., seeds).

    Supported if the arm is sooner both to shares of its own final level, by over 1%, and to a
    common target, since an arm that ends higher reaches a common target sooner without being
    faster. Contradicted if it is later to both.
    """
    (own_low, own_high), (low, high) = t_interval(own), t_interval(common)
    support, against = (own_low > _SPEED) & (low > 0), (own_high < -_SPEED) & (high < 0)
    return _decided(support, against, own.shape[-1])
