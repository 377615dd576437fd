"""Ending a run in good order: on a signal, or when the time that was given is over.

The run asks after every chunk of steps; it saves a checkpoint and raises `Stopped`.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: Exit status of a run that ended because its time was over: it may go on, like EX_TEMPFAIL.
OUT_OF_TIME = 75


class Stopped(Exception):
    """A run that ended early, with its state saved; `status` is the exit status by convention."""

    def __init__(self, reason: str, status: int):
        super().__init__(reason)
        self.status = status


#: Asked between chunks: why to stop now, or None.
Ask = Callable[[], Stopped | None]


def never() -> None:
    """Go on to the end."""


@contextmanager
def watch(minutes: float | None = None) -> Iterator[Ask]:
    """Listen for SIGTERM and SIGINT, and to the clock, while the block runs.

    The first signal is answered between two chunks; a second one ends the process as it would
    have without us. Outside the main thread only the clock is heard.

    Args:
      minutes: how long the block may run; None for ever. The longest pause between two questions
        so far is kept in reserve, so that the answer comes before the time is over.
    """
    heard: list[int] = []
    former = {}

    def note(number: int, _: FrameType | None) -> None:
        heard.append(number)
        for known, handler in former.items():
            signal.signal(known, handler)

    try:
        former |= {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
        for number in former:
            signal.signal(number, note)
    except ValueError:  # not the main thread
        former.clear()
    try:
        yield _asked(heard, minutes)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _asked(heard: list[int], minutes: float | None) -> Ask:
    begun = last = time.monotonic()
    longest = 0.0

    def ask() -> Stopped | None:
        nonlocal last, longest
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        if heard:
            return Stopped(f"{signal.Signals(heard[0]).name} was received", 128 + heard[0])
        if minutes is not None and now - begun + longest > 60 * minutes:
            return Stopped(f"the {minutes:g} minutes given are over", OUT_OF_TIME)
        return None

    return ask
