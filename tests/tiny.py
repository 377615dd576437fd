"""A profile so small that a whole comparison runs in seconds; no test tunes anything on it."""

from dataclasses import replace

from birdiedna import paper
from birdiedna.director import Birdie, even
from birdiedna.model import ModelConfig
from birdiedna.objectives import BIRDIE_DNA
from birdiedna.reward import Fit, RewardModel
from birdiedna.training import OptimizerConfig

_SMALL = {name: BIRDIE_DNA[name] for name in ("copying", "prefix_lm_75", "infill_50_3")}
_BIRDIE = replace(
    paper.PROFILES["quick"].pretrain["birdie"],
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
    paper.PROFILES["quick"].pretrain["ntp"],
    **{
        name: getattr(_BIRDIE, name)
        for name in "evaluations model optimizer rows steps chunk_steps evaluation_rows".split()
    },
)
PROFILE = replace(
    paper.PROFILES["quick"],
    pretrain={
        "birdie": _BIRDIE,
        "ntp": _NTP,
        "uniform": replace(_BIRDIE, director=even((0, 1, 2))),
    },
    finetune=replace(
        paper.PROFILES["quick"].finetune, model=_BIRDIE.model, steps=4, rows=4, evaluate_every=2
    ),
    finetune_seeds=(0,),
    tasks=("promoter_tata",),
)
