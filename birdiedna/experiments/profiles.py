"""The profiles under which we run the paper's arms, as values.

`paper` keeps the paper's sizes; `quick` runs the same code in minutes on two cores. A profile is
data: to try another setting, `dataclasses.replace` one of its configs.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from birdiedna.director.director import Birdie, Fixed, evaluations, even, ul2r
from birdiedna.director.reward_model import Fit, RewardModel
from birdiedna.evaluation.paper_table import PRETRAINED
from birdiedna.experiments import config_json, results
from birdiedna.model.transformer import ModelConfig
from birdiedna.objectives.definitions import BIRDIE_DNA, CLASSES, MLM, NTP
from birdiedna.training.finetune import FinetuneConfig
from birdiedna.training.optimizer import OptimizerConfig
from birdiedna.training.pretrain import PretrainConfig

ARMS = (*PRETRAINED, "random")


@dataclass(frozen=True)
class Profile:
    """How large everything is. `tasks` are those of the sample to run; () means all of them.

    `crops` maps a task's length in bases to the part that is read, `(start, stop)`: a reduction of
    the quick profile. `remake` says whether runs made by other code are made again, `device` what
    its runs need.
    """

    name: str
    pretrain: Mapping[str, PretrainConfig]
    finetune: FinetuneConfig
    finetune_seeds: tuple[int, ...]
    tasks: tuple[str, ...]
    crops: Mapping[int, tuple[int, int]]
    simulated_seeds: int
    remake: bool
    device: str


def _arms(base: PretrainConfig) -> dict[str, PretrainConfig]:
    return {
        "birdie": base,
        "ntp": replace(base, director=Fixed((1.0,)), objectives=tuple(NTP.items())),
        "uniform": replace(base, director=even(CLASSES)),
        "ul2r": replace(base, director=ul2r(CLASSES)),
        "mlm": replace(base, director=Fixed((1.0,)), objectives=tuple(MLM.items())),
    }


_PAPER = PretrainConfig(
    director=Birdie(CLASSES),
    objectives=tuple(BIRDIE_DNA.items()),
    evaluations=tuple(evaluations(16_384)),
    validation=("chr8",),
    model=ModelConfig(compute="bfloat16"),
)

_EIGHTH = replace(_PAPER, evaluations=tuple(evaluations(2_048, every=64)), steps=2_048)

_QUICK = replace(
    _PAPER,
    director=Birdie(
        CLASSES,
        model=RewardModel(width=32, state=64, blocks=2),
        fit=Fit(rows=16, iterations=50, peak=1e-3),
        warmup_steps=80,
    ),
    evaluations=tuple(range(40, 401, 40)),
    model=ModelConfig(width=64, blocks=2, heads=2, head_width=32, mlp_width=128),
    optimizer=OptimizerConfig(peak=3e-3, final=1e-5),
    slots=128,
    rows=32,
    steps=400,
    chunk_steps=20,
    evaluation_rows=64,
)

_FULL = Profile(
    name="paper",
    pretrain=_arms(_PAPER),
    finetune=FinetuneConfig(classes=2, model=_PAPER.model),
    finetune_seeds=(0, 1, 2),
    tasks=(),
    crops={},
    simulated_seeds=10,
    remake=False,
    device="accelerator",
)

PROFILES = {
    "quick": Profile(
        name="quick",
        pretrain=_arms(_QUICK),
        finetune=FinetuneConfig(
            classes=2,
            model=_QUICK.model,
            optimizer=OptimizerConfig(peak=2e-3, final=2e-3, warmup=0.0, weight_decay=0.0),
            steps=60,
            evaluate_every=20,
        ),
        finetune_seeds=(0, 1, 2),
        tasks=("promoter_all", "splice_sites_donors", "splice_sites_donors_decoy"),
        crops={300: (0, 96), 600: (252, 348)},
        simulated_seeds=5,
        remake=True,
        device="any",
    ),
    "eighth": replace(
        _FULL,
        name="eighth",
        pretrain=_arms(_EIGHTH),
        finetune=replace(_FULL.finetune, steps=1_024, evaluate_every=128),
    ),
    "paper": _FULL,
}


def profile(name: str) -> Profile:
    """The settings that runs of this name are made by: a profile, else those of the named results.

    Raises:
      ValueError: there is no such profile and no such results; the message names the closest.
    """
    if name in PROFILES:
        return PROFILES[name]
    known = list(dict.fromkeys([*PROFILES, *results.names()]))
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"unknown profile {name!r}; {hint}choose one of {', '.join(known)}")
    return parse(results.read(name)["profile"], f"results {name}")


def parse(stored: Mapping[str, Any], place: str = "profile") -> Profile:
    """A profile from what `run_folder.to_json` made of it.

    Args:
      place: how messages call it.

    Raises:
      ValueError: as `config_json.parse`; or a field is missing, unknown or of another kind.
    """
    fields = {key: value for key, value in stored.items() if key != "type"}
    try:
        arms = {
            arm: config_json.parse(config, f"pretrain.{arm}")
            for arm, config in fields["pretrain"].items()
        }
        return Profile(
            **fields
            | {
                "pretrain": arms,
                "finetune": config_json.parse(fields["finetune"], "finetune"),
                "finetune_seeds": tuple(fields["finetune_seeds"]),
                "tasks": tuple(fields["tasks"]),
                "crops": {int(length): tuple(part) for length, part in fields["crops"].items()},
            }
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{place}: {error}; make the runs again with this version") from None
