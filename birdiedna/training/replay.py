"""Replay: training on the ratios of another run, without its reward model.

Choosing the best of 2,048 candidates magnifies the last bit of a loss, so another device or number
of cores may choose others. The log of decisions fixes them: with it, the batches are the same
everywhere, and on the same machine the parameters are, bit for bit.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from birdiedna.director.director import Recorded
from birdiedna.objectives.mixture import check_ratios
from birdiedna.training import run_folder
from birdiedna.training.log import link


def recorded(folder: Path, evaluations: tuple[int, ...], classes: tuple[int, ...] = ()) -> Recorded:
    """The decisions of a run, for a run that is evaluated at the same steps.

    Raises:
      ValueError: the folder has no decision, the log was altered so that the chain is broken, or
        the decisions were not made at step 0 and at these evaluations.
    """
    fields = ("step", "exact", "chain", "ratios")
    made, chain = run_folder.events(folder, "decision", fields), ""
    if not made:
        raise ValueError(f"{folder} records no decision; give the folder of a pre-training run")
    for event in made:
        chain = link(chain, event["step"], event["exact"])
        if chain != event["chain"]:
            raise ValueError(
                f"{folder}: the decision of step {event['step']} is not the one that was "
                "logged; get an unaltered copy of events.jsonl"
            )
    steps, due = tuple(event["step"] for event in made), (0, *evaluations[:-1])
    if steps != due:
        raise ValueError(f"{folder} decided at the steps {steps}, the new run would at {due}")
    return Recorded(steps, tuple(_ratios(folder, event) for event in made), classes)


def _ratios(folder: Path, event: Mapping[str, Any]) -> tuple[float, ...]:
    """The ratios of a decision; the two forms in which the log has them must agree."""
    try:
        ratios = tuple(map(float.fromhex, event["exact"]))
        sound = np.allclose(check_ratios(np.array(ratios), len(event["ratios"])), ratios)
        if not sound or list(ratios) != list(event["ratios"].values()):
            raise ValueError(f"the ratios {event['exact']} are not {event['ratios']}")
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{folder}: the decision of step {event['step']}: {error}; get an unaltered copy of "
            "events.jsonl"
        ) from None
    return ratios


def expect(folder: Path, record: Mapping[str, Any], genome: str) -> None:
    """Refuse to replay a run whose settings, apart from the director, differ from the new run's.

    `record` is the new run's `config.json`, `genome` the fingerprint of its genome.

    Raises:
      ValueError: a setting, the seed or the genome differs; the message names both values.
    """
    stored, now = run_folder.read(folder, "config"), {**record, "genome": genome}
    if run_folder.complete(folder):
        data = run_folder.read(folder, "manifest").get("data", {})
        stored = {**stored, "genome": data.get("genome")}
    now = {name: now[name] for name in now if name != "director" and name in stored}
    if differ := run_folder.differences({name: stored[name] for name in now}, now):
        raise ValueError(f"{folder} is a run of other settings ({differ}); give those it had")
