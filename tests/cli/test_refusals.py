"""What a run refuses to go on with, what damage is found, and what a device must be."""

import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birdiedna import vocab
from birdiedna.cli import main
from birdiedna.data import genome
from birdiedna.data.labelled import Labelled
from birdiedna.experiments import profiles, smoke_run
from birdiedna.model import transformer
from birdiedna.training import checkpoint as checkpoints
from birdiedna.training import devices, finetune, pretrain


@pytest.fixture(scope="module")
def saved(human, tmp_path_factory):
    """A run that was ended after its second checkpoint."""
    folder = tmp_path_factory.mktemp("saved") / "run"
    smoke_run.make(folder, human, events=10)
    assert checkpoints.newest(folder / "checkpoints").step == 8
    return folder


@pytest.fixture
def copied(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "run")


def one_base_changed(human):
    tokens = np.array(human.tokens)
    tokens[0] = vocab.C if tokens[0] == vocab.A else vocab.A
    lengths = [(contig.name, contig.length) for contig in human.contigs]
    return genome.assemble(tokens, lengths, human.source, human.notes)


@pytest.mark.promise("Damage: a run resumes only with its own config, data, seed and format")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda arm, human, seed: (arm, one_base_changed(human), seed),
            r"data: stored '\w+', now '\w+'",
        ),
        (lambda arm, human, seed: (arm, human, seed + 1), "seed: stored 0, now 1"),
        (
            lambda arm, human, seed: (replace(arm, rows=4), human, seed),
            r"config: stored '\w+', now '\w+'",
        ),
    ],
    ids=["one base", "seed", "config"],
)
def test_a_run_is_gone_on_with_as_it_was_begun_or_not_at_all(copied, human, change, said):
    log = (copied / "events.jsonl").read_bytes()
    with pytest.raises(ValueError, match=rf"belongs to another run \({said}\); give"):
        next(pretrain.train(*change(smoke_run.ARM, human, 0), copied))
    assert (copied / "events.jsonl").read_bytes() == log


def rows(letters):
    tokens = np.stack([vocab.encode(letters)] * 4)
    lengths, labels = np.full(4, len(letters)), np.array([0, 1, 0, 1])
    return Labelled(tokens, lengths, labels, ("a", "b", "c", "d"))


@pytest.mark.promise("Damage: a run resumes only with its own config, data, seed and format")
def test_fine_tuning_goes_on_with_its_own_rows_only(tmp_path):
    config = replace(tiny.PROFILE.finetune, steps=8)
    net = transformer.init(config.model, 0)
    parts = (rows("ACGTACGT"),) * 3
    steps = finetune.train(config, net, parts, 0, tmp_path, save_s=0)
    for _ in range(4):
        next(steps)
    steps.close()
    other = (rows("ACGTACGA"), *parts[1:])
    with pytest.raises(ValueError, match="belongs to another run .data: stored '.*', now '"):
        next(finetune.train(config, net, other, 0, tmp_path))
    assert next(finetune.train(config, net, parts, 0, tmp_path))["step"] == 4


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    tree = {"a": jnp.arange(600.0), "b": jnp.ones((7, 5), jnp.bfloat16)}
    folder = tmp_path_factory.mktemp("checkpoint")
    return checkpoints.save(folder, 4, tree, {"history": np.arange(50)}, {"config": "c0ffee"})


@pytest.mark.promise("Damage: a damaged checkpoint is named and the newest intact one is used")
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_no_flipped_bit_cut_or_lost_file_goes_unnoticed(checkpoint, tally, data):
    file = data.draw(st.sampled_from([p for p in sorted(checkpoint.rglob("*")) if p.is_file()]))
    whole = file.read_bytes()
    kind = data.draw(st.sampled_from(["a bit", "a cut", "a loss"]))
    at = data.draw(st.integers(0, len(whole) - 1)) if whole else 0
    flipped = bytes([whole[at] ^ 1 << data.draw(st.integers(0, 7))]) if whole else b"x"
    try:
        match kind:
            case "a bit":
                file.write_bytes(whole[:at] + flipped + whole[at + 1 :])
            case "a cut":
                file.write_bytes(whole[:at] if whole else b"x")
            case "a loss":
                file.unlink()
        found = checkpoints.problems(checkpoint)
        tally("damages detected", bool(found))
        assert found and checkpoints.newest(checkpoint.parent) is None
    finally:
        file.write_bytes(whole)
    assert not checkpoints.problems(checkpoint)


@pytest.mark.promise("Damage: a damaged checkpoint is named and the newest intact one is used")
def test_a_run_whose_checkpoints_are_all_damaged_does_not_begin_anew_by_itself(copied, human):
    log = (copied / "events.jsonl").read_bytes()
    for path in (copied / "checkpoints").iterdir():
        (path / "facts.json").write_text("{}")
    (copied / "checkpoints" / "12").mkdir()  # holds nothing: no checkpoint
    with pytest.raises(ValueError, match=r"every checkpoint .* is damaged \(steps 8, 4\); put a"):
        next(pretrain.train(smoke_run.ARM, human, 0, copied))
    assert (copied / "events.jsonl").read_bytes() == log


@pytest.mark.promise("Damage: `birdiedna checkpoint verify` finds what a load would find")
def test_verify_names_every_checkpoint_and_fails_on_damage(copied, capsys):
    verify = ["checkpoint", "verify", str(copied)]
    assert main.main(verify) == 0
    good = capsys.readouterr().out.splitlines()
    steps = sorted((copied / "checkpoints").iterdir())
    assert [line.partition(": ")[0] for line in good] == list(map(str, steps))
    assert all(line.endswith(": every file is as it was saved") for line in good)
    file = max((steps[-1] / "state").rglob("*"), key=lambda f: f.stat().st_size * f.is_file())
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    assert main.main(verify) == 1
    bad = capsys.readouterr().out.splitlines()
    name = file.relative_to(steps[-1])
    assert [good[0]] == bad[:-1] and f"{steps[-1]}: {name} is not as it was saved" in bad[-1]
    assert checkpoints.newest(copied / "checkpoints").step == 4


@pytest.mark.promise("Damage: `birdiedna checkpoint verify` finds what a load would find")
def test_verify_fails_where_there_is_no_checkpoint(tmp_path, copied, capsys):
    assert main.main(["checkpoint", "verify", str(tmp_path / "none"), str(copied)]) == 1
    said = capsys.readouterr()
    assert f"{tmp_path / 'none'}: no checkpoint" in said.err and "as it was saved" in said.out


@pytest.mark.promise("Devices: a device that was asked for and is absent is an error")
@pytest.mark.parametrize(
    ("kind", "found", "said"),
    [
        ("gpu", "cpu", "gpu was asked for and JAX found only cpu"),
        ("tpu", "gpu", "tpu was asked for and JAX found only gpu"),
        ("accelerator", "cpu", "an accelerator was asked for and JAX found only cpu"),
        ("cpu", "gpu", "cpu was asked for and JAX found only gpu"),
        ("cuda", "gpu", "device 'cuda' is none of any, accelerator, cpu, gpu, tpu"),
    ],
)
def test_a_device_that_is_absent_is_an_error(monkeypatch, kind, found, said):
    monkeypatch.setattr(jax, "default_backend", lambda: found)
    with pytest.raises(ValueError, match=said):
        devices.require(kind)


def test_a_device_that_is_there_is_taken(monkeypatch):
    for kind, found in [("any", "cpu"), ("any", "tpu"), ("accelerator", "tpu"), ("gpu", "gpu")]:
        monkeypatch.setattr(jax, "default_backend", lambda found=found: found)
        devices.require(kind)


@pytest.mark.promise("Devices: a device that was asked for and is absent is an error")
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="for machines without an accelerator")
@pytest.mark.parametrize("profile", ["tiny", "paper"])
def test_no_command_falls_back_to_the_cpu(tmp_path, monkeypatch, capsys, profile):
    monkeypatch.setitem(profiles.PROFILES, "tiny", tiny.PROFILE)
    monkeypatch.setenv("BIRDIEDNA_RUNS", str(tmp_path))
    monkeypatch.setattr(pretrain, "train", lambda *_: pytest.fail("trained"))
    device = ["--device", "gpu"] if profile == "tiny" else []
    assert main.main(["pretrain", "--profile", profile, *device]) == 1
    said = capsys.readouterr().err
    assert "was asked for and JAX found only cpu" in said and "--device cpu" in said
    assert not list(tmp_path.rglob("*.partial"))
