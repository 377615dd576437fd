"""The kernels that chapters run in: where they run, what they are told, how they end together."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any

from jupyter_client.manager import AsyncKernelManager

from birdiedna.book.layout import Layout


class Kernels:
    """The kernels of one call, all with the same folder and environment.

    Attributes:
      manager: the class of kernel managers that starts them, for papermill.
      killed: set as soon as `kill` was called.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]):
        self.killed = Event()
        self._processes: list[subprocess.Popen] = []
        processes = self._processes
        told = {"cwd": str(folder), "env": dict(environment)}

        class Manager(AsyncKernelManager):
            async def start_kernel(self, **asked: Any) -> None:
                await super().start_kernel(**{**asked, **told})
                processes.append(self.provisioner.process)

        self.manager = Manager

    def kill(self) -> None:
        """End every kernel that lives, and what it started."""
        self.killed.set()
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it ends this moment
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)  # a kernel leads a group of its own


def environment(book: Layout, profile: str) -> dict[str, str]:
    """What a chapter's kernel finds in its environment.

    Kernels compute on the CPU: an accelerator belongs to the process that makes the runs, and what
    chapters compute themselves is small.
    """
    from birdiedna import compiled, fasta  # only now, since they import JAX

    ours = {
        "BIRDIEDNA_RUNS": str(book.runs),
        "BIRDIEDNA_FIGURES": str(book.runs / profile / "figures"),
        "JAX_PLATFORMS": "cpu",
    }
    return {**os.environ, **ours, **compiled.environment(fasta.default_cache())}
