"""A run that is ended at any moment and gone on with ends as if it had never been ended."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import tiny

from birdiedna.data import sample
from birdiedna.training import checkpoint, pretrain, replay, run_folder

ARM = replace(tiny.PROFILE.pretrain["birdie"], validation=sample.VALIDATION)
CLOCKS = ("seconds", "tokens_per_s")


def story(folder):
    """Every logged row without its clock, and every bit of the model."""
    rows = [
        {k: v for k, v in event.items() if k not in CLOCKS} for event in run_folder.events(folder)
    ]
    model = checkpoint.newest(folder / "model").path / "state"
    restored = pretrain.load(folder)[0]
    return rows, [np.asarray(x).tobytes() for x in jax.tree.leaves(restored)], model.exists()


@pytest.fixture(scope="module")
def whole(human, tmp_path_factory):
    return finished(tmp_path_factory.mktemp("whole"), human)


def finished(folder, human):
    run_folder.write_json(folder / "config.json", run_folder.to_json(ARM))
    for _ in pretrain.train(ARM, human, 0, folder, save_s=0):
        pass
    return story(folder)


@pytest.mark.promise("Runs: killed at any moment, a run goes on and ends the same, bit for bit")
@pytest.mark.parametrize("event", range(12))
def test_a_run_dropped_at_any_event_ends_bit_for_bit_the_same(tmp_path, human, whole, event):
    steps = pretrain.train(ARM, human, 0, tmp_path, save_s=0)
    for _ in range(event + 1):
        next(steps)
    steps.close()
    assert finished(tmp_path, human) == whole


@pytest.mark.promise("Replay: a run's log trains the same model again, without a reward model")
def test_a_replay_without_the_reward_model_trains_the_same_model_bit_for_bit(tmp_path, human):
    first, again = tmp_path / "first", tmp_path / "again"
    first.mkdir(), again.mkdir()
    bits = finished(first, human)[1]
    config = replace(ARM, director=replay.recorded(first, ARM.evaluations))
    steps = pretrain.train(config, human, 0, again, save_s=0)
    for _ in range(6):  # dropped and gone on with, too
        next(steps)
    steps.close()
    for _ in pretrain.train(config, human, 0, again, save_s=0):
        pass
    run_folder.write_json(again / "config.json", run_folder.to_json(config))
    assert story(again)[1] == bits
    decided = [
        [e["exact"] for e in run_folder.events(folder, "decision")] for folder in (first, again)
    ]
    assert decided[0] == decided[1] and len(set(map(tuple, decided[0]))) > 1


@pytest.mark.promise("Replay: a log that was altered or does not fit is refused")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"exact": ["0x1.', '"exact": ["0x2.', "decision of step 0 is not the one that was logged"),
        ('"step": 2', '"step": 3', "decision of step 3 is not the one"),
        ('"event": "decision"', '"event": "other"', "records no decision"),
    ],
)
def test_an_altered_log_is_not_replayed(tmp_path, human, old, new, message):
    finished(tmp_path, human)
    log = tmp_path / "events.jsonl"
    log.write_text(log.read_text().replace(old, new))
    with pytest.raises(ValueError, match=message):
        replay.recorded(tmp_path, ARM.evaluations)


@pytest.mark.promise("Replay: a log that was altered or does not fit is refused")
def test_a_replay_of_other_evaluations_is_refused(tmp_path, human):
    finished(tmp_path, human)
    message = r"decided at the steps \(0, 2, 4\), the new run would at \(0, 4\)"
    with pytest.raises(ValueError, match=message):
        replay.recorded(tmp_path, (4, 6))
