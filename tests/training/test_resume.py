"""A run that is interrupted anywhere and resumed ends as if it had never been interrupted."""

from dataclasses import replace
from itertools import islice

import jax
import numpy as np
import pytest
import tiny

from birdiedna.data import sample
from birdiedna.training import pretrain, replay, run_folder

ARM = replace(tiny.PROFILE.pretrain["birdie"], validation=sample.VALIDATION)
CLOCKS = ("seconds", "tokens_per_s")


def train(folder, human, config=ARM, events=None):
    """Train or resume, up to a number of events or to the end; the log and the model's bits."""
    folder.mkdir(exist_ok=True)
    run_folder.write_json(folder / "config.json", run_folder.to_json(config))
    for _ in islice(pretrain.train(config, human, 0, folder, save_s=0), events):
        pass
    if events is None:
        rows = [{k: v for k, v in e.items() if k not in CLOCKS} for e in run_folder.events(folder)]
        return rows, [np.asarray(x).tobytes() for x in jax.tree.leaves(pretrain.load(folder)[0])]


@pytest.fixture(scope="module")
def uninterrupted(human, own_objectives, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, *train(folder, human)


@pytest.mark.promise("Runs: killed at any moment, a run resumes and ends the same, bit for bit")
@pytest.mark.parametrize("event", range(12))
def test_a_run_interrupted_at_any_event_resumes_bit_for_bit(tmp_path, human, uninterrupted, event):
    train(tmp_path, human, events=event + 1)
    assert train(tmp_path, human) == uninterrupted[1:]


@pytest.mark.promise("Replay: a run's log trains the same model again, without a reward model")
def test_a_replay_without_the_reward_model_trains_the_same_model(tmp_path, human, uninterrupted):
    folder, _, bits = uninterrupted
    config = replace(ARM, director=replay.recorded(folder, ARM.evaluations))
    train(tmp_path, human, config, events=6)  # a replay is resumed, too
    assert train(tmp_path, human, config)[1] == bits
    ratios, again = (
        [tuple(e["exact"]) for e in run_folder.events(run, "decision")]
        for run in (folder, tmp_path)
    )
    assert ratios == again and len(set(ratios)) > 1


@pytest.mark.promise("Replay: a log that was altered or does not fit is refused")
@pytest.mark.parametrize(
    ("old", "new", "evaluations", "message"),
    [
        ('"exact": ["0x1.', '"exact": ["0x2.', (2, 4, 6), "decision of step 0 is not the one that"),
        ('"step": 2', '"step": 3', (2, 4, 6), "decision of step 3 is not the one"),
        ('"event": "decision"', '"event": "other"', (2, 4, 6), "records no decision"),
        ("", "", (4, 6), r"decided at the steps \(0, 2, 4\), the new run would at \(0, 4\)"),
    ],
)
def test_an_altered_or_unfitting_log_is_not_replayed(
    tmp_path, uninterrupted, old, new, evaluations, message
):
    text = (uninterrupted[0] / "events.jsonl").read_text()
    (tmp_path / "events.jsonl").write_text(text.replace(old, new) if old else text)
    with pytest.raises(ValueError, match=message):
        replay.recorded(tmp_path, evaluations)
