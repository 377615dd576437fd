"""Processes that end together: a build of the book ends with its parent, and so do its children.

Signals are passed to children. After SIGKILL, which cannot be caught, children notice themselves
that their parent has ended.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from birdiedna.training.stop import PARENT, signalled

_LOOK_S = 0.2


def end_with_parent() -> None:
    """End this process as soon as the parent named by $BIRDIEDNA_PARENT ends."""
    parent = os.environ.pop(PARENT, "")
    if not parent:
        return

    def look() -> None:
        while str(os.getppid()) == parent:
            time.sleep(_LOOK_S)
        os._exit(128 + signal.SIGKILL)

    threading.Thread(target=look, daemon=True).start()


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Raise `Stopped` at SIGTERM, in the main thread."""

    def stop(number: int, _: FrameType | None) -> None:
        raise signalled(number)

    with _handled(stop, signal.SIGTERM):
        yield


def run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a command, which ends with this process; returns its status and all that it printed.

    Raises:
      Stopped: SIGTERM or SIGINT came, and the command was killed.
    """
    received: list[int] = []
    note = lambda number, _: received.append(number)  # an exception would lose the process
    with _handled(note, signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, PARENT: str(os.getpid())},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        while True:
            try:
                printed, _ = process.communicate(timeout=_LOOK_S)
            except subprocess.TimeoutExpired:
                if received:
                    os.killpg(process.pid, signal.SIGKILL)
                continue
            if received:
                raise signalled(received[0])
            return process.returncode, printed


@contextmanager
def _handled(handler: Callable[[int, Any], None], *numbers: int) -> Iterator[None]:
    """Handle signals in the block, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, usual in former.items():
            signal.signal(number, usual)
