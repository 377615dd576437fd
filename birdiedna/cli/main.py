"""The command `birdiedna`: parses the command line, then imports and runs one verb."""

import contextlib
import errno
import importlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from birdiedna.cli import discard, imported
from birdiedna.cli.parser import one_line, parser
from birdiedna.data import files
from birdiedna.training import stop


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status. A user error is one line, no traceback."""
    if logging.lastResort:
        logging.lastResort.setFormatter(_Warning())
    with contextlib.redirect_stdout(_Shown(sys.stdout)) as shown:
        status = _main(sys.argv[1:] if argv is None else argv)
    ended = status in (0, 128 + signal.SIGTERM)  # the signal of `_Shown`
    return 128 + signal.SIGPIPE if shown.gone and ended else status


def _harmless(text: str) -> str:
    """Escape control characters, so that names from files cannot steer the terminal."""
    return "\n".join(map(one_line, text.split("\n")))


class _Shown:
    """Standard output with control characters escaped, and those that its encoding lacks.

    Once its terminal or the reader of its pipe, such as `head`, has gone, nothing is shown any more
    (`gone`), and a run saves and stops.
    """

    def __init__(self, out: TextIO):
        self.out, self.gone = out, False

    def write(self, text: str) -> int:
        code = self.out.encoding or "utf-8"
        with self._until_gone():
            self.out.write(_harmless(text).encode(code, "backslashreplace").decode(code))
        return len(text)

    def flush(self) -> None:
        with self._until_gone():
            self.out.flush()

    @contextlib.contextmanager
    def _until_gone(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            discard(self.out)
            if error.errno not in (errno.EIO, errno.EPIPE):
                raise OSError(error.errno, error.strerror, "standard output") from error
            self.gone = True
            if callable(signal.getsignal(signal.SIGTERM)):  # in `stop.watch`, before any signal
                signal.raise_signal(signal.SIGTERM)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.out, name)


class _Warning(logging.Formatter):
    """Warnings with control characters escaped."""

    def format(self, record: logging.LogRecord) -> str:
        return _harmless(super().format(record))


def _main(argv: Sequence[str]) -> int:
    given = parser().parse_args(argv)
    try:
        if given.verb == "book":
            act = partial(_book(), argv[1:])
        else:
            module, _, name = given.act.partition(".")
            function = getattr(importlib.import_module(f"birdiedna.cli.{module}"), name)
            act = partial(function, given)
        imported()
        return act()
    except stop.Stopped as stopped:
        print(f"birdiedna {given.verb}: {stopped}", file=sys.stderr)
        return stopped.status
    except Exception as error:
        if not (message := mistake(error)):
            raise
        print(f"birdiedna {given.verb}: {message}", file=sys.stderr, flush=True)
        jax = sys.modules.get("jax")
        if jax and jax.distributed.is_initialized():
            os._exit(1)  # a normal exit would deadlock: processes wait for each other
        return 1


def mistake(error: Exception) -> str:
    """Return the one-line message of an error the user can fix, or "" for a bug (a traceback)."""
    jax = sys.modules.get("jax")  # its errors have other names in older versions
    if isinstance(error, MemoryError) or jax and isinstance(error, jax.errors.JaxRuntimeError):
        detail = one_line(str(error).partition("\n")[0].removeprefix("RESOURCE_EXHAUSTED: "))
        from birdiedna.training.devices import out_of_memory  # imports jax

        known = isinstance(error, MemoryError) or out_of_memory(error)
        what = "out of memory" if known else "the device failed, perhaps for lack of memory"
        what += f" ({detail})" * bool(detail)  # Python itself gives none
        return f"{what}; use fewer rows, shorter rows or a smaller model"
    if jax and isinstance(error, RuntimeError | AssertionError):
        from birdiedna.training import devices

        try:
            devices.backend()
        except ValueError as absent:  # whatever asked for it
            return one_line(str(absent))
    ours = ("birdiedna", "book")  # a module of the checkout is missing only by a bug
    if isinstance(error, ModuleNotFoundError) and str(error.name).split(".")[0] not in ours:
        return (
            f"the package {error.name} is not installed: run `pip install -e .` in the checkout "
            "(for the book `make book`); `plan work`, `status`, `collect` and `remote` do without"
        )
    if isinstance(error, OSError) and error.strerror:
        full = error.errno in files.FULL
        name = (full and error.filename2) or error.filename  # of a copy, the second is written
        remedy = "free disk space" if full else "give another path"
        return one_line(f"{name}: {error.strerror}; {remedy}" if name else error.strerror)
    expected = (ValueError, OSError, ArithmeticError, NotImplementedError)
    return one_line(str(error)) if isinstance(error, expected) else ""


def _book() -> Callable[[Sequence[str]], int]:
    """Return `birdiedna book`, whose builder is in the checkout, outside the package."""
    root = Path(__file__).parents[2]
    if not (root / "book" / "_ext" / "__main__.py").exists():
        raise ValueError("the book needs a checkout installed with `pip install -e .`")
    sys.path.insert(0, str(root))
    return importlib.import_module("book._ext.__main__").main
