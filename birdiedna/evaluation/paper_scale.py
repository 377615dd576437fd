"""Decide whether runs are at the paper's scale, from their configs and data."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any, NamedTuple

import polars as pl

from birdiedna.data import catalog
from birdiedna.director.director import Birdie
from birdiedna.evaluation.paper_table import PRETRAINED, TABLE_1
from birdiedna.objectives.definitions import BIRDIE_DNA, NTP
from birdiedna.tasks.benchmark_rules import TASK_TITLES
from birdiedna.training.finetune import FinetuneConfig
from birdiedna.training.pretrain import PretrainConfig

#: A human genome has at least this many bases.
_GENOME_BASES = 2_500_000_000
#: The paper's settings of both arms' pre-training, and of fine-tuning.
_PRETRAINING = {
    "steps": 16_384,
    "rows": 128,
    "model.width": 512,
    "model.blocks": 4,
    "model.heads": 8,
    "model.head_width": 64,
    "model.rope_base": 500_000.0,
    "optimizer.peak": 1e-3,
    "optimizer.final": 1e-5,
}
_FINETUNING = {
    "steps": 8_192,
    "rows": 32,
    "evaluate_every": 256,
    "optimizer.peak": 5e-5,
    "optimizer.final": 5e-5,
    "optimizer.weight_decay": 0.0,
    "patience_evaluations": 0,
    "share": 1.0,
}
#: Our protocol: fine-tuning seeds per pre-trained model.
FINETUNE_SEEDS = 3


class Scale(NamedTuple):
    """The scale of a set of runs, which decides whether they can settle a claim.

    differences: from the paper's scale, as phrases. pretraining_seeds: models per arm.
    """

    differences: tuple[str, ...]
    pretraining_seeds: int


def scale(
    pretrain: Mapping[str, PretrainConfig],
    finetune: FinetuneConfig,
    crops: Mapping[int, Any],
    bases: int,
    results: pl.DataFrame,
) -> Scale:
    """The scale of the compared runs, from their configs, crops and the genome's bases.

    `results` has task, rows (scored test rows), seed, finetune_seed.
    """
    test_rows = dict(results.select("task", "rows").unique().iter_rows())
    tuned = results.select("seed", "finetune_seed").unique().group_by("seed").len()["len"].to_list()
    arms = [pretrain[arm] for arm in PRETRAINED if arm in pretrain]
    settings = [f"pre-training {text}" for arm in arms for text in _differ(arm, _PRETRAINING)]
    settings += [f"fine-tuning {text}" for text in _differ(finetune, _FINETUNING)]
    official = {row.task: row.test_rows for row in TABLE_1}
    missing = len({*official} - {*test_rows})
    rebuilt = [task for task, rows in official.items() if test_rows.get(task, rows) != rows]
    listed = ", ".join(f"{TASK_TITLES[task]} {test_rows[task]:,}" for task in rebuilt[:2])
    listed += f" and {len(rebuilt) - 2} more" if len(rebuilt) > 2 else ""
    complete, fewest = len(arms) == len(PRETRAINED), min(tuned, default=0)
    differences = {
        **dict.fromkeys(settings, True),  # once, if both arms share it
        "an arm is missing": not complete,
        "objectives or directors that are not those of the paper": (
            complete and not _are_the_papers(*arms)
        ),
        f"a genome of {bases:,} bases (whole: over {_GENOME_BASES:,})": bases < _GENOME_BASES,
        "rows that are cropped": bool(crops),
        f"{missing} of {len(official)} tasks missing": missing > 0,
        f"test rows that are not the official ones ({listed})": bool(rebuilt),
        f"fine-tuning seeds: {fewest} (protocol: {FINETUNE_SEEDS})": fewest < FINETUNE_SEEDS,
    }
    return Scale(tuple(text for text, found in differences.items() if found), len(tuned))


def official(rows: pl.DataFrame) -> str:
    """Of how many tasks the benchmark of that name has as many test rows; `rows` has task, test."""
    known = {(row.task, row.test) for entry in catalog.ENTRIES for row in entry.rows}
    return f"{sum(pair in known for pair in rows.select('task', 'test').rows())} of {rows.height}"


def _are_the_papers(birdie: PretrainConfig, ntp: PretrainConfig) -> bool:
    """Whether one arm learns a mixture of the paper's objectives and the other has NTP only."""
    objectives = [dict(arm.objectives) for arm in (birdie, ntp)]
    learns = isinstance(birdie.director, Birdie) and birdie.bidirectional
    return learns and objectives == [BIRDIE_DNA, NTP]


def _differ(config: PretrainConfig | FinetuneConfig, facts: Mapping[str, Any]) -> list[str]:
    values = {name: attrgetter(name)(config) for name in facts}
    return [
        f"{name.replace('_', ' ')} {values[name]:,g} (paper: {fact:,g})"
        for name, fact in facts.items()
        if values[name] != fact
    ]


def text(found: Scale) -> str:
    """The scale of runs as a sentence."""
    seeds = found.pretraining_seeds
    models = f"{seeds or 'no'} pre-trained model{'s' * (seeds != 1)} per arm"
    if not found.differences:
        return f"These runs are at the paper's scale, with {models}"
    return f"Not the paper's scale, with {models}: {'; '.join(found.differences)}"
