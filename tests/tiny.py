"""A profile so small that a whole comparison runs in seconds; no test tunes anything on it."""

from dataclasses import replace

from birdiedna.director.director import Birdie, even
from birdiedna.director.reward_model import Fit, RewardModel
from birdiedna.experiments import profiles
from birdiedna.model.transformer import ModelConfig
from birdiedna.objectives.definitions import BIRDIE_DNA
from birdiedna.training.optimizer import OptimizerConfig

_SMALL = {name: BIRDIE_DNA[name] for name in ("copying", "prefix_lm_75", "infill_50_3")}
_BIRDIE = replace(
    profiles.PROFILES["quick"].pretrain["birdie"],
    director=Birdie((0, 1, 2), model=RewardModel(8, 8, 1), fit=Fit(4, 5), warmup_steps=2),
    objectives=tuple(_SMALL.items()),
    evaluations=(2, 4, 6),
    model=ModelConfig(width=16, blocks=1, heads=2, head_width=8, mlp_width=16),
    optimizer=OptimizerConfig(peak=1e-2, final=1e-3),
    rows=4,
    steps=6,
    chunk_steps=2,
    evaluation_rows=4,
)
_NTP = replace(
    profiles.PROFILES["quick"].pretrain["ntp"],
    **{
        name: getattr(_BIRDIE, name)
        for name in "evaluations model optimizer rows steps chunk_steps evaluation_rows".split()
    },
)
PROFILE = replace(
    profiles.PROFILES["quick"],
    name="tiny",
    pretrain={
        "birdie": _BIRDIE,
        "ntp": _NTP,
        "uniform": replace(_BIRDIE, director=even((0, 1, 2))),
    },
    finetune=replace(
        profiles.PROFILES["quick"].finetune, model=_BIRDIE.model, steps=4, rows=4, evaluate_every=2
    ),
    finetune_seeds=(0,),
    tasks=("promoter_tata",),
)
