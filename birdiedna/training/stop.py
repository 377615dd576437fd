"""Ending a run in good order: on a signal, or when the time that was given is over.

The run asks after every chunk of steps; it saves a checkpoint and raises `Stopped`.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

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
    have without us. A block in which a signal came never ends well: nothing further is begun where
    it came too late for an answer. Outside the main thread only the clock is heard.

    In a Jupyter kernel, the end of papermill (or of the server) counts as a signal, too. On SIGINT
    papermill sends the kernel SIGINT, after 2.5 s SIGTERM, which is no second wish, and kills it
    after 5 s (seen).

    Args:
      minutes: how long the block may run; None for ever. The longest pause between two questions
        so far is kept in reserve, so that the answer comes before the time is over.

    Raises:
      Stopped: a signal came and the block did not raise it.
    """
    heard: list[int] = []
    former = {}
    kernel = _kernel()

    def note(number: int, _: FrameType | None) -> None:
        heard.append(number)
        name = signal.Signals(number).name
        os.write(2, f"{name}: ending in good order; a second one ends at once\n".encode())
        for known, handler in former.items():
            if known == number or not kernel:
                signal.signal(known, handler)

    try:
        former |= {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
        for number in former:
            signal.signal(number, note)
    except ValueError:  # not the main thread
        former.clear()
    try:
        with _outliving_parent(kernel) as orphaned:
            yield _asked(heard, minutes, orphaned)
        if heard:
            raise _signalled(heard[0])
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _kernel() -> Any:
    """The application of the Jupyter kernel that this process is; None if it is none."""
    known = sys.modules.get("ipykernel.kernelapp")
    return known.IPKernelApp.instance() if known and known.IPKernelApp.initialized() else None


class _Whoever:
    """A parent that never changes: equal to every process."""

    def __eq__(self, _: object) -> bool:
        return True


@contextmanager
def _outliving_parent(kernel: Any) -> Iterator[Callable[[], bool]]:
    """Whether the parent of a kernel has ended; the kernel lives on until the block has ended.

    SIGTERM ends papermill at once, and a kernel ends itself within a second of its parent: it asks
    every second whether that is still the one it knows. Older kernels (6) cannot be held up.
    """
    poller = getattr(kernel, "poller", None)
    if not hasattr(poller, "parent_pid"):
        yield lambda: False
        return
    parent, known = os.getppid(), poller.parent_pid
    poller.parent_pid = _Whoever()
    try:
        yield lambda: os.getppid() != parent
    finally:
        poller.parent_pid = known


def _signalled(number: int) -> Stopped:
    return Stopped(f"{signal.Signals(number).name} was received", 128 + number)


def _asked(heard: list[int], minutes: float | None, orphaned: Callable[[], bool]) -> Ask:
    begun = last = time.monotonic()
    longest = 0.0

    def ask() -> Stopped | None:
        nonlocal last, longest
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        if heard:
            return _signalled(heard[0])
        if orphaned():
            return Stopped("what ran this notebook has ended", 128 + signal.SIGTERM)
        if minutes is not None and now - begun + longest > 60 * minutes:
            return Stopped(f"the {minutes:g} minutes given are over", OUT_OF_TIME)
        return None

    return ask
