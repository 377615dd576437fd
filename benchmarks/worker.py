"""How a benchmark speaks with the processes it measures: one JSON object per line, both ways.

Only the standard library, because the peer runs in an environment of its own.
"""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
LIMIT = 0.06  # share of the machine that others may use in a repetition that counts


def serve(answer: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer requests from standard input until it closes; prints of libraries go to stderr."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        out.write(json.dumps(answer(json.loads(line))) + "\n")
        out.flush()


class Worker:
    """A process that lives through the whole comparison, so that it stays warm."""

    def __init__(self, python: str, script: Path, arguments: list[str]):
        self.process = subprocess.Popen(
            [python, str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send one request and wait for the answer.

        Raises:
          RuntimeError: the process ended instead of answering.
        """
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended with code {self.process.wait()}")
        return json.loads(line)

    def clock(self) -> tuple[float, float]:
        """CPU seconds that all processes have used, and that this one has used."""
        return machine_seconds(), _process_seconds(self.process.pid)

    def timed(self, **request: Any) -> dict[str, Any]:
        """Ask, and add `others`: the share of the machine that other processes used meanwhile."""
        (all_before, own_before), begin = self.clock(), time.monotonic()
        answer = self.ask(**request)
        wall = time.monotonic() - begin
        all_after, own_after = self.clock()
        others = (all_after - all_before) - (own_after - own_before)
        share = others / (wall * (os.cpu_count() or 1))
        return answer | {"others": share if share > 0 or math.isnan(share) else 0.0}

    def close(self) -> None:
        """End the process by closing its input."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def machine_seconds() -> float:
    """CPU seconds since start-up outside the idle states; NaN where the system does not tell."""
    if not os.path.exists("/proc/stat"):
        return math.nan
    user, nice, system, _, _, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / TICKS


def _process_seconds(pid: int) -> float:
    if not os.path.exists("/proc/stat"):
        return math.nan
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
