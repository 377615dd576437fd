"""A profile whose whole comparison runs in seconds."""

from dataclasses import replace

from birdiedna.data import sample
from birdiedna.director.director import even
from birdiedna.experiments import profiles, smoke_run

_BIRDIE = replace(
    smoke_run.ARM,
    director=replace(smoke_run.ARM.director, warmup_steps=2),
    validation=profiles.PROFILES["quick"].pretrain["birdie"].validation,
    evaluations=(2, 4, 6),
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
_MLM = replace(_NTP, objectives=profiles.PROFILES["quick"].pretrain["mlm"].objectives)
PROFILE = replace(
    profiles.PROFILES["quick"],
    name="tiny",
    pretrain={
        "birdie": _BIRDIE,
        "ntp": _NTP,
        "uniform": replace(_BIRDIE, director=even((0, 1, 2))),
        "mlm": _MLM,
    },
    finetune=replace(
        profiles.PROFILES["quick"].finetune, model=_BIRDIE.model, steps=4, rows=4, evaluate_every=2
    ),
    finetune_seeds=(0,),
    tasks=("promoter_tata",),
)
#: The arms, with the validation contigs of the embedded sample.
ARMS = {
    arm: replace(config, validation=sample.VALIDATION) for arm, config in PROFILE.pretrain.items()
}
