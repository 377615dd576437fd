"""Wait for what another thread, process or page does."""

import time
from collections.abc import Callable


def until(holds: Callable[[], object], claim: str = "it comes true", seconds: float = 120) -> None:
    """Return once a condition holds; fail with the claim if it takes longer."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {claim}"
        time.sleep(0.05)
