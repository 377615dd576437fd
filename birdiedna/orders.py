"""A run before it is made: its name, its config, what it records and what its manifest says.

The name ends in a hash of config, seed and data, so that another genome or setting never overwrites
a run. `experiments` makes orders at once; `plan` writes them down for another machine.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from birdiedna import runs
from birdiedna.finetune import FinetuneConfig
from birdiedna.genome import Genome
from birdiedna.pretrain import PretrainConfig
from birdiedna.sources import Sources, TaskRows
from birdiedna.tasks.labelled import fingerprint


class Order(NamedTuple):
    """A run to be made.

    name: of its folder. record: what `config.json` holds. facts: name, kind, profile, arm, seeds,
    data fingerprints and command, for the manifest.
    """

    name: str
    config: PretrainConfig | FinetuneConfig
    record: dict[str, Any]
    facts: dict[str, Any]


def pretraining(
    profile: str,
    arm: str,
    config: PretrainConfig,
    genome: Genome,
    sources: Sources,
    seed: int,
    replay: str = "",
) -> Order:
    """A pre-training; `replay` is the run whose ratios `config` commands again, if it does."""
    record = {"kind": "pretrain", "seed": seed, **runs.to_json(config)}
    name = f"pretrain-{arm}-seed{seed}" + "-replay" * bool(replay)
    name = runs.place(profile, name, (record, genome.fingerprint)).name
    facts = {
        "name": name,
        "kind": "pretrain",
        "profile": profile,
        "arm": arm,
        "seed": seed,
        "data": {"genome": genome.fingerprint},
        "data_notes": dict(genome.notes),
        "command": f"birdiedna pretrain --profile {profile} --arm {arm} --seed {seed}"
        + sources.options()
        + f" --replay {Path(replay).name}" * bool(replay),
    }
    return Order(name, config, record, facts)


def finetuning(
    profile: str,
    arm: str,
    task: str,
    config: FinetuneConfig,
    rows: TaskRows,
    before: Order | None,
    sources: Sources,
    seed: int,
    finetune_seed: int,
) -> Order:
    """A fine-tuning of what `before` pre-trains; None starts from random weights.

    Classes and mask are set as the task and the arm ask for. How rows were read is recorded, and is
    no part of the name: their fingerprints are.
    """
    config = replace(config, classes=rows.classes, bidirectional=arm != "ntp")
    marks = {part: fingerprint(getattr(rows, part)) for part in ("train", "validation", "test")}
    seeds, reading = {"seed": seed, "finetune_seed": finetune_seed}, sources.reading()
    start = before.name if before else "random"
    record = {"kind": "finetune", "task": task, "start": start, **seeds, **runs.to_json(config)}
    name = f"finetune-{task}-{arm}-seed{seed}.{finetune_seed}"
    name = runs.place(profile, name, (record, marks)).name
    facts = {
        "name": name,
        "kind": "finetune",
        "profile": profile,
        "arm": arm,
        "task": task,
        **seeds,
        "data": marks | (before.facts["data"] if before else {}),
        "rows": {part: len(getattr(rows, part).labels) for part in marks},
        "crop": list(rows.part) or None,
        "reading": reading,
        "data_notes": rows.notes,
        "command": f"birdiedna finetune --profile {profile} --arm {arm} --task {task} "
        f"--seed {seed} --finetune-seed {finetune_seed}" + sources.options(),
    }
    return Order(name, config, record | {"reading": reading}, facts)
