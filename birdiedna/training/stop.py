"""Stopping a run early: on a signal, or when its time budget is spent.

Runs check after every chunk of steps, fine-tunings also during evaluations; to stop, they save a
checkpoint and raise `Stopped`. Probes check all the time and save nothing.
"""

import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

#: Exit status of a run out of time, as EX_TEMPFAIL: it can be resumed.
OUT_OF_TIME = 75
#: The variable with the process id of the parent to end with.
PARENT = "BIRDIEDNA_PARENT"
#: The longest of this many recent pauses between checks is reserved at the end.
RECENT = 8
#: When the clock is read, for users.
_CHECKED = (
    "the clock is read after each chunk of steps and within the evaluations of a fine-tuning; "
    "reading data, compiling (up to minutes), a chunk and a first evaluation are not cut"
)


class Stopped(Exception):
    """A run stopped early; what can be resumed is saved. `status` is the exit status."""

    def __init__(self, reason: str, status: int):
        super().__init__(f"{reason}; the same command, or cell, resumes from what is saved")
        self.status = status


#: Called between chunks; returns why to stop now, or None.
Ask = Callable[[], Stopped | None]


def never() -> None:
    """Do not stop."""


def asking() -> set[int]:
    """The signals that ask to end: SIGTERM, SIGINT and, unless ignored as under `nohup`, SIGHUP."""
    hangup = getattr(signal, "SIGHUP", signal.SIGTERM)  # not on Windows
    ignored = signal.getsignal(hangup) is signal.SIG_IGN
    return {signal.SIGTERM, signal.SIGINT} | (set() if ignored else {hangup})


@contextmanager
def watch(minutes: float | None = None) -> Iterator[Ask]:
    """Watch for SIGTERM, SIGINT, SIGHUP and the end of the time budget while the block runs.

    SIGHUP comes when a terminal or an ssh connection is closed, from the shell and then the kernel,
    so a second one is ignored; under `nohup` every one is.

    The first signal takes effect between two chunks, a second one at once, even if signals were
    ignored at the start, as SIGINT is in background jobs of scripts. A block that received a signal
    always raises, so that no further work starts. Outside the main thread only time is watched.

    In a Jupyter kernel, the end of papermill (or of the server) counts as a signal. On SIGINT,
    papermill sends the kernel SIGINT, after 2.5 s SIGTERM, which is no second request, and kills it
    after 5 s (observed).

    The block may run for `minutes`, which is printed; None means no limit. The longest of the last
    `RECENT` pauses between two checks is reserved, so that the run stops in time; earlier pauses,
    in which programs were compiled, are not. Raises `Stopped` if a signal came and the block did
    not raise it.
    """
    if minutes:
        print(f"{minutes:g} minutes: {_CHECKED}")
    received: list[int] = []
    former: dict[int, Any] = {}
    kernel = _kernel()

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)
        name = signal.Signals(number).name
        with suppress(OSError):  # the terminal may have gone
            said = f"{name}: stopping, with what can be resumed saved; a second one stops at once\n"
            os.write(2, said.encode())
        for known, handler in former.items():
            if known == number or not kernel:
                usual = signal.SIG_DFL if handler is signal.SIG_IGN else handler
                asked = known in (signal.SIGTERM, signal.SIGINT)
                signal.signal(known, usual if asked else signal.SIG_IGN)

    try:
        former |= {number: signal.getsignal(number) for number in asking()}
        for number in former:
            signal.signal(number, note)
    except ValueError:  # not the main thread
        former.clear()
    try:
        with _outliving_parent(kernel) as orphaned:
            yield _asked(received, minutes, orphaned)
        if received:
            raise signalled(received[0])
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def signalled(number: int) -> Stopped:
    """The stop for a signal; the status is that of a shell."""
    return Stopped(f"{signal.Signals(number).name} was received", 128 + number)


def _asked(received: list[int], minutes: float | None, orphaned: Callable[[], bool]) -> Ask:
    begun = last = time.monotonic()
    pauses: deque[float] = deque(maxlen=RECENT)

    def ask() -> Stopped | None:
        nonlocal last
        now = time.monotonic()
        pauses.append(now - last)
        longest, last = max(pauses), now
        if received:
            return signalled(received[0])
        if orphaned():
            return Stopped("the process that started this one has ended", 128 + signal.SIGTERM)
        if minutes is not None and now - begun + longest > 60 * minutes:
            return Stopped(_time_up(minutes, (now - begun) / 60, longest / 60), OUT_OF_TIME)
        return None

    return ask


def _time_up(minutes: float, used: float, longest: float) -> str:
    """Why to stop: the time has passed, or what is left is shorter than the longest pause."""
    if used > minutes:
        return f"the {minutes:g} minutes given are over, after {used:.2f} ({_CHECKED})"
    return (
        f"{minutes - used:.2f} of the {minutes:g} minutes given are left, less than the longest "
        f"recent pause, {longest:.2f}"
    )


def _kernel() -> Any:
    """The Jupyter kernel application of this process, or None."""
    known = sys.modules.get("ipykernel.kernelapp")
    return known.IPKernelApp.instance() if known and known.IPKernelApp.initialized() else None


class _AnyProcess:
    """A process id that equals every other."""

    def __eq__(self, _: object) -> bool:
        return True


def orphaned() -> bool:
    """Whether the process named by $BIRDIEDNA_PARENT, if any, has ended."""
    return os.environ.get(PARENT, "") not in ("", str(os.getppid()))


@contextmanager
def _outliving_parent(kernel: Any) -> Iterator[Callable[[], bool]]:
    """Keep a kernel alive while the block runs; yields a function: whether its parent has ended.

    SIGTERM ends papermill at once, and a kernel, which polls the id of its parent every second,
    ends with it. Older kernels (6) cannot be kept alive. Other processes look at $BIRDIEDNA_PARENT.
    """
    poller = getattr(kernel, "poller", None)
    if poller is None or not hasattr(poller, "parent_pid"):
        yield orphaned
        return
    parent, known = os.getppid(), poller.parent_pid
    poller.parent_pid = _AnyProcess()
    try:
        yield lambda: os.getppid() != parent
    finally:
        poller.parent_pid = known
