"""The command `birdiedna`: one parser, its verbs."""

import gc
import io
import os
import signal
import sys
from typing import Any, TextIO

#: Thresholds of `gc`: tracing makes millions of objects that stay, and took up to a fifth longer.
COLLECT_LESS = (100_000, 50, 100)
_INTERRUPTED, _STATUS = "birdiedna: interrupted\n", 128 + signal.SIGINT


def run() -> int:
    """Run the command line as a program; an interrupt is one line and status 130.

    While modules are imported it ends the process at once, since an exception crashes some of them.
    """
    gc.set_threshold(*COLLECT_LESS)
    _open_streams()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored
        signal.signal(signal.SIGINT, _end)
    try:
        from birdiedna.cli import main

        return main.main()
    except KeyboardInterrupt:
        sys.stderr.write(_INTERRUPTED)
        return _STATUS


def _open_streams() -> None:
    """Open closed standard streams, lest a file get their number, and with it others' messages.

    Every line is written at once, so that logs grow and errors of writing are seen.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
        name = ("stdin", "stdout", "stderr")[number]
        setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8"))
    os.close(number)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    sys.stderr = _Errors(sys.stderr)  # type: ignore[assignment]


def discard(stream: TextIO) -> None:
    """Send what a stream holds, which is flushed at exit, and what follows, nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Errors:
    """Standard error that no longer fails, but is discarded, once its reader has gone."""

    def __init__(self, err: TextIO):
        self.err = err

    def write(self, text: str) -> int:
        try:
            self.err.write(text)
            self.err.flush()
        except OSError:
            discard(self.err)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.err, name)


def _end(*_: object) -> None:
    os.write(2, _INTERRUPTED.encode())
    os._exit(_STATUS)


def imported() -> None:
    """Say that all modules are imported: an interrupt is an exception from now on."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)
