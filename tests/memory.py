"""Memory that a call takes beside what is there already."""

import tracemalloc
from collections.abc import Callable


def peak(call: Callable[[], object]) -> int:
    """The most bytes that Python and NumPy allocate during a call."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
