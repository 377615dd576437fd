"""The command `birdiedna`: one parser, its verbs."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_INTERRUPTED = "birdiedna: interrupted\n"


def run() -> int:
    """Run the command line; an interrupt at any moment is one line and status 130."""
    try:
        with ending_at_once():
            from birdiedna.cli import main
        return main.main()
    except KeyboardInterrupt:
        sys.stderr.write(_INTERRUPTED)
        return 128 + signal.SIGINT


@contextmanager
def ending_at_once() -> Iterator[None]:
    """At an interrupt, end the process; while modules are imported, an exception may crash it."""

    def end(*_: object) -> None:
        os.write(2, _INTERRUPTED.encode())
        os._exit(128 + signal.SIGINT)

    usual = signal.getsignal(signal.SIGINT)
    main_thread = threading.current_thread() is threading.main_thread()
    if main_thread and usual is signal.default_int_handler:  # ignored in jobs of scripts
        signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        if main_thread:
            signal.signal(signal.SIGINT, usual)
