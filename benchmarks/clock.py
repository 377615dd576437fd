"""How long a call takes, and how evenly."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Timed(NamedTuple):
    """Seconds of every repetition, and CPU seconds of all threads together per repetition."""

    wall: list[float]
    cpu: float

    def median(self) -> float:
        """The middle of the seconds."""
        return statistics.median(self.wall)

    def spread(self) -> str:
        """In words: how many times were measured and how far apart they lie."""
        if len(self.wall) == 1:
            return "one measurement"
        low, _, high = statistics.quantiles(self.wall, n=4, method="inclusive")
        edges = (f"{edge / self.median() - 1:+.0%}" for edge in (low, high))
        return f"median of {len(self.wall)}, half of them {' to '.join(edges)}"


def timed(call: Callable[[int], Any], repeats: int, untimed: int = 1) -> Timed:
    """Time `repeats` calls `call(0)`, `call(1)`, ..., each until its arrays are there.

    Args:
      call: gets the number of the repetition.
      repeats: how many are timed.
      untimed: calls before, which compile and warm up.
    """
    for _ in range(untimed):
        jax.block_until_ready(call(0))
    found: list[float] = []
    cpu = time.process_time()
    for number in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(call(number))
        found.append(time.perf_counter() - begin)
    return Timed(found, (time.process_time() - cpu) / repeats)
