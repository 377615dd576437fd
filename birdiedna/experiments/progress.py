"""Progress of a run: a line at every evaluation."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from birdiedna.experiments.run_spec import RunSpec
from birdiedna.training.pretrain import PretrainConfig

#: Loss of a guess among four bases, in nats per base.
GUESS_NATS = math.log(4)
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

    The time left is extrapolated from the steps after the first chunk, so without compilation; with
    patience a fine-tuning may end earlier. Of runs made together the first is shown. `clock`
    returns seconds.
    """
    total, first, loss = spec.config.steps, None, None
    shown = {"train": -1, "evaluation": -1}
    for event in events:
        if event["step"] <= shown.get(event["event"], event["step"]):
            continue
        shown[event["event"]] = event["step"]
        if event["event"] == "train":
            first, loss = first or (event["step"], clock()), event["loss"]
        else:
            said = f"{title(spec)}: step {event['step']:,} of {total:,}"
            said += f", loss {loss:.3f}" if loss is not None else ""
            yield said + _scores(spec, event) + _left(event["step"], total, first, clock())


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
