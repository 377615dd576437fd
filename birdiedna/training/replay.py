"""Replay: training on ratios that another run commanded, without its reward model.

Choosing the best of 2,048 candidates magnifies the last bit of a loss, so another device or number
of cores may take another path. The log of decisions does not: with it, the batches are the same
everywhere, and on the same machine the parameters are, bit by bit.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from birdiedna.director.director import Recorded
from birdiedna.training import run_folder
from birdiedna.training.log import link


def recorded(folder: Path, evaluations: tuple[int, ...], classes: tuple[int, ...] = ()) -> Recorded:
    """The decisions of a run, from its folder, for a run that is evaluated at the same steps.

    Raises:
      ValueError: there is no decision in it, the log was altered so that the chain is broken, or
        its decisions were not made at step 0 and at these evaluations.
    """
    made, chain = run_folder.events(folder, "decision"), ""
    if not made:
        raise ValueError(f"{folder} records no decision; give the folder of a pre-training run")
    for event in made:
        chain = link(chain, event.get("step", -1), event.get("exact", []))
        if chain != event.get("chain"):
            raise ValueError(
                f"{folder}: the decision of step {event.get('step')} is not the one that was "
                "logged; get an unaltered copy of events.jsonl"
            )
    steps, due = tuple(event["step"] for event in made), (0, *evaluations[:-1])
    if steps != due:
        raise ValueError(f"{folder} decided at the steps {steps}, the new run would at {due}")
    ratios = tuple(tuple(map(float.fromhex, event["exact"])) for event in made)
    return Recorded(steps, ratios, classes)


def expect(folder: Path, record: Mapping[str, Any], genome: str) -> None:
    """Refuse to replay a run that was not the one now asked for, but for its director.

    Args:
      folder: the run that is replayed.
      record: what `config.json` of the new run would say with a director of its own.
      genome: fingerprint of the new run's genome.

    Raises:
      ValueError: a setting, the seed or the genome differs; the message names both values.
    """
    stored, now = run_folder.read(folder, "config"), {**record}
    if run_folder.complete(folder):
        stored = {
            **stored,
            "genome": run_folder.read(folder, "manifest").get("data", {}).get("genome"),
        }
        now["genome"] = genome
    differ = [n for n in now if n != "director" and n in stored and stored[n] != now[n]]
    if differ:
        listed = "; ".join(f"{n}: stored {stored[n]!r}, now {now[n]!r}" for n in differ)
        raise ValueError(f"{folder} is a run of other settings ({listed}); give those it had")
