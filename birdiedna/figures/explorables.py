"""What the explorables of the pages (`book/_ext/static/explore*.js`) look up."""

import gzip
from itertools import islice
from typing import Any

import numpy as np
from scipy import stats

from birdiedna.data import sample
from birdiedna.evaluation import printed_digits
from birdiedna.evaluation.paper_table import TABLE_1
from birdiedna.evaluation.scores import TASK_TITLES
from birdiedna.objectives.definitions import SelectiveCopying

#: The playground begins with this many bases.
BASES = 256
#: Seeds per arm that the power table covers, and gap over spread: 0.01 to 30.
SEEDS = range(3, 41)
RATIOS = np.geomspace(0.01, 30, 160)


def data() -> dict[str, Any]:
    """Everything that explorables look up, as JSON."""
    return {"table1": table_1(), "power": power_table(), "playground": playground()}


def table_1() -> dict[str, Any]:
    """Gaps of the paper's Table 1 in points, sets of tasks as bits, t quantiles by tasks."""
    rows = list(map(printed_digits.digits, TABLE_1))
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
    quantiles = stats.t.ppf(0.975, np.arange(1, len(rows)))
    return {"tasks": tasks, "sets": bits, "t": [0, 0, *quantiles.round(6)]}


def power(ratio: float | np.ndarray, seeds: int) -> np.ndarray:
    """Chance that a paired t test of `seeds` gaps gives p < 0.05, two-sided.

    Args:
      ratio: the true gap over its standard deviation between seeds.
    """
    edge, shift = stats.t.ppf(0.975, seeds - 1), np.asarray(ratio) * seeds**0.5
    wrong_side = np.nan_to_num(stats.nct.cdf(-edge, seeds - 1, shift))  # nan: too rare to compute
    return stats.nct.sf(edge, seeds - 1, shift) + wrong_side


def power_table() -> dict[str, Any]:
    """`power` by seeds and ratio."""
    table = [power(RATIOS, seeds).round(4).tolist() for seeds in SEEDS]
    return {"ratios": RATIOS.round(6).tolist(), "least": SEEDS[0], "table": table}


def playground() -> dict[str, Any]:
    """The start of the embedded sample, and the fixed settings of selective copying."""
    with gzip.open(sample.GENOME, "rt") as file:
        place = next(file)[1:].split()[0]
        sequence = "".join(line.strip() for line in islice(file, BASES))[:BASES].upper()
    fixed = SelectiveCopying()
    return {
        "sequence": sequence,
        "place": place,
        "before": fixed.before,
        "after": fixed.after,
        "shortest": fixed.shortest,
        "placements": fixed.placements,
    }
