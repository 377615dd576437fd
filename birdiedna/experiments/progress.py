"""A live view of runs: a line at evaluations, or their logs as scalars for TensorBoard.

Scalars are copied from the log into the folder `tensorboard/`, which nothing else reads. A resumed
run copies its log from the beginning.
"""

import importlib.util
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from birdiedna.experiments.run_spec import RunSpec
from birdiedna.training.pretrain import PretrainConfig

#: Loss of a guess among four bases, in nats per base.
GUESS_NATS = math.log(4)
TRACKERS = ("tensorboard",)
#: Least seconds between two lines of a run.
PAUSE_S = 2.0
_TITLES = {"pretrain": "pre-train {}", "probe": "probe {} on {}", "finetune": "fine-tune {} on {}"}


def title(spec: RunSpec) -> str:
    """A title of a run."""
    return _TITLES[spec.kind].format(spec.arm, spec.task)


def lines(
    spec: RunSpec,
    events: Iterator[Mapping[str, Any]],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[str]:
    """Consume the events of a run: a line with step, scores and time left at each evaluation.

    Of evaluations within `PAUSE_S` of the last line only the last of the run is shown. The time
    left is extrapolated from the steps after the first chunk, so without compilation; with patience
    a fine-tuning may end earlier. Of runs made together the first is shown. `clock` returns
    seconds.
    """
    total, first, loss, held, last = spec.config.steps, None, None, "", -math.inf
    shown = {"train": -1, "evaluation": -1}
    for event in events:
        if event["step"] <= shown.get(event["event"], event["step"]):
            continue
        shown[event["event"]] = event["step"]
        now = clock()
        if event["event"] == "train":
            first, loss = first or (event["step"], now), event["loss"]
        else:
            held = f"{title(spec)}: step {event['step']:,} of {total:,}"
            held += f", loss {loss:.3f}" if loss is not None else ""
            held += _scores(spec, event) + _left(event["step"], total, first, now)
            if now - last >= PAUSE_S:
                yield held
                held, last = "", now
    if held:
        yield held


def _scores(spec: RunSpec, event: Mapping[str, Any]) -> str:
    """Accuracy on validation, or the mean held-out loss of the arm's own objectives."""
    if not isinstance(spec.config, PretrainConfig):
        return f", accuracy {event['accuracy']:.3f} on validation"
    own = [event["losses"][name] for name, _ in spec.config.objectives]
    return f", held-out {sum(own) / len(own):.3f} nats (a guess among four bases: {GUESS_NATS:.3f})"


def _left(step: int, total: int, first: tuple[int, float] | None, now: float) -> str:
    if first is None or step <= first[0] or step >= total:
        return ""
    minutes = (now - first[1]) / (step - first[0]) * (total - step) / 60
    return f", about {minutes:.1f} minutes left"


def check_tracker(tracker: str) -> None:
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
