"""A live view of runs: their logs as scalars for TensorBoard.

Scalars are copied from the log into the folder `tensorboard/`, which nothing else reads. A resumed
run copies its log from the beginning.
"""

import importlib.util
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

TRACKERS = ("tensorboard",)


def check(tracker: str) -> None:
    """Raise a ValueError if the package of a tracker is missing."""
    if tracker and importlib.util.find_spec("tensorboardX") is None:
        raise ValueError(
            f"--track {tracker} needs the package tensorboardX; install it with "
            "`pip install tensorboardX`, or with the extra `track`, or leave out --track"
        )


def scalars(event: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of an event but its step, by `event/name` or `event/name/part`."""
    found: dict[str, Any] = {}
    for name, value in event.items():
        parts = value if isinstance(value, Mapping) else {"": value}
        found |= {f"{event['event']}/{name}/{part}".rstrip("/"): n for part, n in parts.items()}
    found.pop(f"{event['event']}/step", None)
    return {tag: float(n) for tag, n in found.items() if isinstance(n, int | float)}


def tensorboard(
    folders: Sequence[Path], events: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Pass on the events of runs while copying their logs into `tensorboard/`."""
    from tensorboardX import SummaryWriter  # an optional dependency

    with ExitStack() as opened:
        copies = []
        for folder in folders:
            shutil.rmtree(folder / "tensorboard", ignore_errors=True)
            writer = closing(SummaryWriter(str(folder / "tensorboard")))
            log = (folder / "events.jsonl").open("a+")  # a run made with others may log later
            copies.append((opened.enter_context(log), opened.enter_context(writer)))
            log.seek(0)
        for event in events:
            for log, writer in copies:
                for logged in map(json.loads, log):
                    for tag, number in scalars(logged).items():
                        writer.add_scalar(tag, number, logged["step"])
                writer.flush()
            yield event
