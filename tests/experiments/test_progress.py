"""Progress is a line at evaluations."""

from dataclasses import replace

import pytest
import tiny

from birdiedna.experiments import progress
from birdiedna.experiments.run_spec import RunSpec

PRETRAIN = replace(tiny.PROFILE.pretrain["ntp"], steps=400, evaluations=(100, 200, 400))
FINETUNE = replace(tiny.PROFILE.finetune, steps=40, evaluate_every=20)


def spec(kind, config, **more):
    return RunSpec(
        kind=kind, profile="tiny", arm="ntp", config=config, seed=0, data={}, data_notes={}, **more
    )


def said(of, events, clock):
    return list(progress.lines(of, iter(events), iter(clock).__next__))


def evaluations(*steps):
    return [{"event": "evaluation", "step": step, "accuracy": 0.5} for step in steps]


def test_pretraining_says_step_losses_what_a_guess_costs_and_the_time_left():
    (name,) = (name for name, _ in PRETRAIN.objectives)
    events = [
        {"event": "evaluation", "step": 0, "losses": {name: 1.4, "other": 9.0}},
        {"event": "decision", "step": 0},
        {"event": "train", "step": 100, "loss": 1.39},
        {"event": "evaluation", "step": 100, "losses": {name: 1.38, "other": 9.0}},
        {"event": "train", "step": 200, "loss": 1.37},
        {"event": "evaluation", "step": 200, "losses": {name: 1.36, "other": 9.0}},
        {"event": "train", "step": 400, "loss": 1.36},
        {"event": "evaluation", "step": 400, "losses": {name: 1.35, "other": 9.0}},
    ]
    guess = "nats (a guess among four bases: 1.386)"
    assert said(spec("pretrain", PRETRAIN), events, [0, 60, 60, 180, 180, 400, 400]) == [
        f"pre-train ntp: step 0 of 400, held-out 1.400 {guess}",
        f"pre-train ntp: step 100 of 400, loss 1.390, held-out 1.380 {guess}",
        f"pre-train ntp: step 200 of 400, loss 1.370, held-out 1.360 {guess}, "
        "about 4.0 minutes left",
        f"pre-train ntp: step 400 of 400, loss 1.360, held-out 1.350 {guess}",
    ]


def test_fine_tuning_says_accuracy_of_the_first_of_runs_that_are_made_together():
    events = [
        {"event": "train", "step": 20, "loss": 0.7},
        {"event": "train", "step": 20, "loss": 0.8},
        {"event": "evaluation", "step": 20, "accuracy": 0.5, "loss": 0.69},
        {"event": "evaluation", "step": 20, "accuracy": 0.6, "loss": 0.68},
    ]
    assert said(spec("finetune", FINETUNE, task="mine"), events, [0, 0]) == [
        "fine-tune ntp on mine: step 20 of 40, loss 0.700, accuracy 0.500 on validation"
    ]


@pytest.mark.parametrize(
    ("clock", "steps"),
    [((0, 30, 60), (0, 20, 40)), ((0, 1, 1.9), (0, 40)), ((0, 2, 3), (0, 20, 40))],
)
def test_evaluations_that_follow_each_other_at_once_are_one_line_and_the_last_is_shown(
    clock, steps
):
    lines = said(spec("finetune", FINETUNE, task="mine"), evaluations(0, 20, 40), clock)
    assert [int(line.split()[5]) for line in lines] == [*steps]
