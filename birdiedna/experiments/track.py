"""A live view of runs: their logs as scalars for TensorBoard.

Scalars are copied from the log into the folder `tensorboard/`, which nothing else reads. A resumed
run copies its log from the beginning.
"""

import importlib.util
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
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

    for folder in folders:
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
    writers = [SummaryWriter(str(folder / "tensorboard")) for folder in folders]
    read = [0] * len(folders)
    try:
        for event in events:
            for i, (folder, writer) in enumerate(zip(folders, writers, strict=True)):
                read[i] = _copy(folder / "events.jsonl", writer, read[i])
            yield event
    finally:
        for writer in writers:
            writer.close()


def _copy(log: Path, writer: Any, offset: int) -> int:
    """Copy the lines of a log from `offset` bytes on; returns where they end."""
    if not log.exists():  # of runs made together, this one has logged nothing yet
        return offset
    with log.open("rb") as opened:
        opened.seek(offset)
        for line in opened:
            event = json.loads(line)
            for tag, number in scalars(event).items():
                writer.add_scalar(tag, number, event["step"])
        offset = opened.tell()
    writer.flush()
    return offset
