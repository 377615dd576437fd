"""Replay: training on the logged ratios of another run, without its reward model.

Choosing the best of 2,048 candidates amplifies the last bit of a loss, so other devices or core
counts may choose other ratios. With logged ratios, batches are the same everywhere, and parameters
are the same bit for bit on the same machine.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from birdiedna.data.names import listed
from birdiedna.director.director import Recorded
from birdiedna.objectives.mixture import check_ratios
from birdiedna.training import run_folder
from birdiedna.training.log import link


def recorded(folder: Path, evaluations: tuple[int, ...], classes: tuple[int, ...] = ()) -> Recorded:
    """The decisions of a run, for another run with the same evaluation steps.

    ValueError if the log has no decisions, their chain is broken, or they were not made at step 0
    and these evaluations.
    """
    fields = ("step", "exact", "chain", "ratios")
    made, chain = run_folder.events(folder, "decision", fields), ""
    if not made:
        raise ValueError(f"{folder} records no decisions; give the folder of a pre-training run")
    for event in made:
        chain = link(chain, event["step"], event["exact"])
        if chain != event["chain"]:
            raise ValueError(
                f"{folder}: the decision of step {event['step']} is not the one that was "
                "logged; get an unaltered copy of events.jsonl"
            )
    steps, due = tuple(event["step"] for event in made), (0, *evaluations[:-1])
    if steps != due:
        made_at, needed = (listed([*map(str, at)]) for at in (steps, due))
        raise ValueError(f"{folder} has decisions at steps {made_at}; the new run needs {needed}")
    return Recorded(steps, tuple(_ratios(folder, event) for event in made), classes)


def _ratios(folder: Path, event: Mapping[str, Any]) -> tuple[float, ...]:
    """The ratios of a decision; its hexadecimal and decimal forms must agree."""
    try:
        ratios = tuple(map(float.fromhex, event["exact"]))
        equal = np.allclose(check_ratios(np.array(ratios), len(event["ratios"])), ratios)
        if not equal or list(ratios) != list(event["ratios"].values()):
            raise ValueError(f"the ratios {event['exact']} are not {event['ratios']}")
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{folder}: the decision of step {event['step']}: {error}; get an unaltered copy of "
            "events.jsonl"
        ) from None
    return ratios


def expect(
    folder: Path, stored: Mapping[str, Any], record: Mapping[str, Any], data: Mapping[str, str]
) -> None:
    """Check that a run to be replayed has the new run's settings, apart from the director.

    `stored` is its `config.json`, `record` that of the new run, `data` the fingerprints of the new
    run's genome and, if any, Llama. The ValueError for another setting, seed, genome or Llama gives
    both values.
    """
    kept = [name for name in record if name != "director" and name in stored]
    was, now = ({name: of[name] for name in kept} for of in (stored, record))
    if run_folder.complete(folder):
        was, now = {**was, **run_folder.read(folder, "manifest").get("data", {})}, {**now, **data}
    if differ := run_folder.differences(was, now):
        raise ValueError(f"{folder} has other settings ({differ}); replay it with its own")
