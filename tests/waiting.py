"""Wait for what another thread, process or page does."""

import time
from collections.abc import Callable


def until(holds: Callable[[], object], claim: str = "it comes true") -> None:
    """Return once a condition holds; fail with the claim after two minutes."""
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, f"not within two minutes: {claim}"
        time.sleep(0.05)
