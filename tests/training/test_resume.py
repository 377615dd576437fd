"""A run interrupted anywhere is resumed bit for bit, or not at all."""

from dataclasses import replace
from itertools import islice

import killable
import numpy as np
import pytest
import tiny

from birdiedna import vocab
from birdiedna.data import genome
from birdiedna.director.director import Birdie
from birdiedna.training import checkpoint, pretrain, replay, run_folder
from birdiedna.training.pretrain import Run

ARM = tiny.ARMS["birdie"]


def train(folder, human, config=ARM, events=None):
    """Train or resume, up to a number of events or to the end; then the run's result."""
    folder.mkdir(exist_ok=True)
    run_folder.write_json(folder / "config.json", run_folder.to_json(config))
    for _ in islice(pretrain.train(config, human, [Run(0, folder)], save_s=0), events):
        pass
    if events is None:
        return killable.result(folder)


@pytest.fixture(scope="module")
def uninterrupted(human, own_objectives, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder, human)


@pytest.mark.promise("Runs: killed at any moment, a run resumes and ends the same, bit for bit")
@pytest.mark.parametrize("event", range(12))
def test_a_run_interrupted_at_any_event_resumes_bit_for_bit(tmp_path, human, uninterrupted, event):
    train(tmp_path, human, events=event + 1)
    assert train(tmp_path, human) == uninterrupted[1]


@pytest.fixture
def interrupted(tmp_path, human, own_objectives):
    """A run interrupted after its second checkpoint."""
    train(tmp_path, human, events=10)
    assert next(checkpoint.intact(tmp_path / "checkpoints"), None).step == 4
    return tmp_path


def refuses(run, message, human, config=ARM, seed=0):
    log = (run / "events.jsonl").read_bytes()
    with pytest.raises(ValueError, match=message):
        next(pretrain.train(config, human, [Run(seed, run)]))
    assert (run / "events.jsonl").read_bytes() == log


def one_base_changed(human):
    tokens = np.array(human.tokens)
    tokens[0] = vocab.C if tokens[0] == vocab.A else vocab.A
    lengths = [(contig.name, contig.length) for contig in human.contigs]
    return genome.assemble(tokens, lengths, human.source, human.notes)


@pytest.mark.promise("Damage: a run resumes only with its own config, data, seed and format")
@pytest.mark.parametrize(
    ("field", "stored", "now"),
    [
        ("config", r"'\w+'", r"'\w+'"),
        ("data", r"'\w+'", r"'\w+'"),
        ("seed", 0, 1),
        ("format", 1, 2),
    ],
)
def test_resume_refuses_other_config_data_seed_or_format(
    interrupted, human, monkeypatch, field, stored, now
):
    config = replace(ARM, rows=2) if field == "config" else ARM
    data = one_base_changed(human) if field == "data" else human
    if field == "format":
        monkeypatch.setattr(checkpoint, "FORMAT", 2)
    message = rf"belongs to another run \({field}: stored {stored}, now {now}\); give"
    refuses(interrupted, message, data, config, seed=int(field == "seed"))


@pytest.mark.promise("Damage: a damaged checkpoint is named and the newest intact one is used")
def test_a_run_whose_checkpoints_are_all_damaged_does_not_start_again(interrupted, human):
    for path in (interrupted / "checkpoints").iterdir():
        (path / "facts.json").write_text("{}")
    (interrupted / "checkpoints" / "6").mkdir()  # empty: no checkpoint
    refuses(interrupted, r"every checkpoint .* is damaged \(steps 4, 2\); put a", human)


@pytest.mark.promise("Replay: a run's log trains the same model again, without a reward model")
def test_a_log_alone_is_replayed_bit_for_bit_and_resumed(
    tmp_path, human, uninterrupted, monkeypatch
):
    folder, result = uninterrupted
    (tmp_path / "events.jsonl").write_bytes((folder / "events.jsonl").read_bytes())
    config = replace(ARM, director=replay.recorded(tmp_path, ARM.evaluations))
    monkeypatch.setattr(Birdie, "propose", lambda *_: pytest.fail("was asked"))
    again = tmp_path / "again"
    train(again, human, config, events=6)
    assert train(again, human, config)["bits"] == result["bits"]
    ratios, replayed = (
        [tuple(e["exact"]) for e in run_folder.events(run, "decision")] for run in (folder, again)
    )
    assert ratios == replayed and len(set(ratios)) > 1


@pytest.mark.promise("Replay: a log that was altered or does not fit is refused")
@pytest.mark.parametrize(
    ("old", "new", "evaluations", "message"),
    [
        ('"exact": ["0x1.', '"exact": ["0x2.', (2, 4, 6), "decision of step 0 is not the one that"),
        ('"step": 2', '"step": 3', (2, 4, 6), "decision of step 3 is not the one"),
        ('"event": "decision"', '"event": "other"', (2, 4, 6), "records no decisions"),
        ('"step": 2', '"stop": 2', (2, 4, 6), "it has no 'step'"),
        ('"ratios": {', '"ratios": {"none": 0.5, ', (2, 4, 6), "step 0: 3 ratios for 4 objectives"),
        ('": 0.', '": 0.0', (2, 4, 6), "step 0: the ratios .* are not .*; get an unaltered copy"),
        ("", "", (4, 6), "decisions at steps 0, 2, 4; the new run needs 0, 4"),
    ],
)
def test_an_altered_or_unfitting_log_is_not_replayed(
    tmp_path, uninterrupted, old, new, evaluations, message
):
    text = (uninterrupted[0] / "events.jsonl").read_text()
    (tmp_path / "events.jsonl").write_text(text.replace(old, new) if old else text)
    with pytest.raises(ValueError, match=message):
        replay.recorded(tmp_path, evaluations)
