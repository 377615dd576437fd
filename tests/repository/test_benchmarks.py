"""The benchmark has its targets, and keeps results of machines apart."""

import json
import os
import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
import tiny

from benchmarks import __main__ as command
from benchmarks import accelerator, batches, processes, results, tpu, training
from benchmarks.results import Part, Row
from birdiedna.data import sample
from birdiedna.director.director import Birdie
from birdiedna.director.reward_model import Fit, RewardModel
from birdiedna.objectives.definitions import BIRDIE_DNA
from birdiedna.training import devices, stop

ARM = tiny.ARMS["birdie"]
FEW = {name: BIRDIE_DNA[name] for name in ("infill_50_3", "copying")}
SMALL = Birdie((0, 1), model=RewardModel(8, 8, 1), fit=Fit(4, 2), candidates=16)
#: Targets by part, as (unit, target).
TARGETS = {
    "mixture": {("Mtok/s", 5), ("x", 20), ("%", 0.5)},
    "director": {("s", 5), ("s", 0.3)},
    "finetuning": set(),
    "memory": set(),
    "scale": set(),
    "start_up": {("s", 1.5)},
}
#: Every module at the smallest size.
SIZES = {
    batches: {"SLOTS": 64, "ROWS": 4, "BIRDIE_DNA": FEW, "BASES": {"1 kb": 2**10, "2 kb": 2**11}},
    training: {"DIRECTOR": SMALL, "CLASSES": SMALL.classes, "ROUNDS": (1, 2, 5), "BASES": 8,
               "SMALL": tiny.PROFILE.finetune, "SETTINGS": ARM, "MICROBATCHES": (2, 2)},
}  # fmt: skip
MADE = {
    **{"date": "2026-11-23", "processor": "a processor", "cores": 2, "load": 0.1},
    **{"python": "3.11.7", "versions": {"jax": "0.10.2"}, "device": "cpu"},
}
ROW = Row("a part", "what", 3.0, "s", 2.0, "less", "how", {"rows": 4})


@pytest.fixture(scope="module")
def measured():
    """The rows of every part, by part."""
    with pytest.MonkeyPatch.context() as patch:
        for module, sizes in SIZES.items():
            for name, value in sizes.items():
                patch.setattr(module, name, value)
        modules = {"batches": batches, "training": training, "processes": processes}
        where = {part: command.PARTS[part].split(".") for part in TARGETS}
        return {p: getattr(modules[m], function)(True) for p, (m, function) in where.items()}


@pytest.mark.slow
@pytest.mark.parametrize("part", TARGETS)
def test_part_has_its_targets(measured, part):
    rows = measured[part]
    assert {(row.unit, row.bar) for row in rows if row.bar is not None} == TARGETS[part]
    assert {row.part for row in rows} == {part} and all(row.value >= 0 for row in rows)


@pytest.mark.slow
def test_memory_kept_between_steps_is_part_of_the_plan_and_searches_are_timed_after_every_history(
    measured,
):
    plan, _, kept = measured["memory"]
    assert 2.9 < kept.value < plan.value  # a human genome is most of it
    searches = [r for r in measured["director"] if r.at and r.what.startswith("search")]
    assert [row.at["rounds"] for row in searches] == [1, 2, 5]


@pytest.mark.slow
def test_a_plan_for_a_chip_has_both_arms_and_as_many_fine_tunings_as_it_trains_together(
    monkeypatch,
):
    monkeypatch.setattr(tpu, "PROFILE", tiny.PROFILE)
    monkeypatch.setattr(tpu, "BASES", (8,))
    monkeypatch.setattr(devices, "runs_at_once", lambda work: 3)
    *arms, tuned = tpu.planned(jax.devices()[0])
    assert [row.what.split(",")[0] for row in arms] == ["step of birdie", "step of ntp"]
    assert tuned.what.startswith("3 fine-tunings of 8 bases")
    assert all(0 < row.value < row.bar == tpu.CHIP_GIB for row in (*arms, tuned))
    assert jax.default_backend() == "cpu", "what programs were told is undone"


def test_a_stage_that_fails_is_noted_and_skipped(capsys):
    def broken():
        raise RuntimeError("no memory\nand much more")

    stages = {"first": broken, "second": lambda: ([ROW], {"a kind": "refused"})}
    rows, noted = accelerator.measured(stages)
    assert rows == [ROW] and noted == {"first": "failed: no memory", "a kind": "refused"}
    out = capsys.readouterr().out
    assert "first: failed: no memory" in out and "a kind: refused" in out


def test_a_measurement_whose_parent_was_killed_ends_before_its_next_stage(monkeypatch):
    def orphan():
        monkeypatch.setenv(stop.PARENT, "1")
        return [ROW], {}

    monkeypatch.setenv(stop.PARENT, str(os.getppid()))
    with pytest.raises(SystemExit, match="143"):
        accelerator.measured({"first": orphan, "second": lambda: pytest.fail("it went on")})


def test_attention_that_is_wrong_or_late_is_no_row(monkeypatch):
    wrong = lambda q, k, v, prefix, implementation: jnp.nan * q
    monkeypatch.setattr(accelerator, "attention_cases", lambda _: [("xla", 8), ("auto", 8)])
    monkeypatch.setattr(accelerator.attention, "attend_kernels", wrong)
    rows, noted = accelerator.attention_errors(100, (8,))
    assert [row.what for row in rows] == ["attention auto, 8 slots"]
    assert noted == {"attention xla, 8 slots": "failed: not finite"}
    assert len(accelerator.attention_errors(0, (8,))[1]) > 0


def test_on_a_gpu_every_kind_is_checked_once_and_kernels_are_those_of_its_streams(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(accelerator, "usual", lambda length: "cudnn")
    assert accelerator.attention_cases((1024, 301)) == [
        *[("auto", 1024), ("auto", 301), ("xla", 256), ("einsum", 256), ("chunks", 256)]
    ]
    event = SimpleNamespace(name="a_fusion", duration_ns=2_000_000)
    line = lambda name: SimpleNamespace(name=name, events=[event])
    seen = lambda plane, name: list(accelerator._events(plane, line(name)))
    assert seen("/device:GPU:0", "Stream #13(Compute)") == [("a_fusion", 0.002)]
    assert seen("/device:GPU:0", "XLA Ops") == seen("/host:CPU", "python") == []


@pytest.mark.parametrize(
    ("kind", "targets"),
    [("NVIDIA H100 80GB HBM3", (40, 37)), ("NVIDIA A100", (None, None)), ("cpu", (None, None))],
)
def test_targets_apply_to_the_papers_step_on_a_chip_of_their_class(monkeypatch, kind, targets):
    monkeypatch.setattr(jax, "devices", lambda: [SimpleNamespace(device_kind=kind)])
    ours, arms = accelerator.TARGETS, accelerator.ARMS
    found = [ours[a] if accelerator.targeted(a, arms[a]) else None for a in arms]
    assert tuple(found) == targets
    assert not accelerator.targeted("birdie", replace(arms["birdie"], rows=64))


def test_reading_a_genome_has_the_targets_of_a_minute_and_8_gb(monkeypatch):
    monkeypatch.setattr(processes, "SHARED", sample.GENOME)
    assert [row.bar for row in processes.tokenise(quick=True)] == [None, 60, 8]


def test_the_quick_book_has_the_targets_of_three_minutes_and_two(monkeypatch):
    seconds = {"runs and chapters": 100.0, "pages": 50.0}
    monkeypatch.setattr(processes, "from_process", lambda *_: seconds)
    rows = [(row.value, row.bar) for row in processes.book()]
    assert rows == [(150, 180), (100, None), (50, None), (150, 120), (100, None), (50, None)]


def test_a_part_measured_again_replaces_itself_and_no_other(tmp_path):
    first, second = Part(MADE, [ROW]), Part(MADE, [ROW._replace(value=1.0)])
    results.write({"b": first, "a": first}, ["a", "b"], tmp_path)
    file = results.write({"b": second}, ["a", "b"], tmp_path)
    assert list(results.read(file).items()) == [("a", first), ("b", second)]


def test_results_of_two_machines_are_never_in_one_file(tmp_path):
    files = [
        results.write({"a": Part({**MADE, **other}, [ROW])}, ["a"], tmp_path).name
        for other in ({}, {"cores": 4}, {"device": "nvidia-h200"}, {"load": 3.0})
    ]
    assert files == ["cpu.json", "cpu-2.json", "nvidia-h200.json", "cpu.json"]


def test_committed_results_are_of_the_machine_that_names_their_file():
    for file in sorted(results.FOLDER.glob("*.json")):
        (device,) = {part.made["device"] for part in results.read(file).values()}
        assert re.fullmatch(re.escape(device) + r"(-\d+)?", file.stem)


def test_a_part_that_fails_is_named_and_the_others_are_measured(monkeypatch, capsys):
    failing = lambda command, **_: SimpleNamespace(returncode=int(command[-1] == "scale"))
    monkeypatch.setattr(command.subprocess, "run", failing)
    assert command.main(["--only", "scale", "mixture"]) == 1
    assert capsys.readouterr().err == "failed: scale\n"


@pytest.mark.parametrize("options", [[], ["--quick"]])
def test_rows_are_shown_and_stored_unless_they_are_quick(monkeypatch, capsys, options):
    written = []
    monkeypatch.setattr(batches, "scale", lambda quick: [ROW])
    monkeypatch.setattr(results, "load", lambda: 0.1)
    monkeypatch.setattr(results, "write", lambda parts, _: written.append(parts["scale"].rows))
    assert command.main(["--only", "scale", *options]) == 0
    assert "what: 3 s; target: at most 2 (how)" in capsys.readouterr().out
    assert written == ([] if options else [[ROW]])


def test_the_comparison_is_left_out_and_named_where_there_are_no_peers(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(command, "PEERS", tmp_path / "peers")
    assert set(command.PARTS) - set(command.chosen([])) == {"train_step", "tpu"}
    assert "make bench-peers" in capsys.readouterr().out
    assert command.chosen(["quick"]) == ["quick"]
    (tmp_path / "peers").touch()
    assert command.chosen([]) == list(command.PARTS)


#: Answers as `peer_llama.py` does, with our own model instead of PyTorch.
PEER = """
import json, sys
import numpy as np
from benchmarks import train_step
from birdiedna.model import llama, transformer
ours = train_step.Ours("float32")
for line in sys.stdin:
    method, given = json.loads(line)
    if method == "start":
        config, file = given
        net = transformer.init(llama.from_config(config)[0], 1)
        np.savez(file, **llama.to_llama(net))
    answer = getattr(ours, method)(*given)
    print(json.dumps(answer | {"versions": {"torch": "2"}}), flush=True)
"""


@pytest.mark.slow
def test_the_comparison_refuses_another_model_and_times_the_same_one(monkeypatch):
    from benchmarks import train_step

    monkeypatch.setattr(train_step, "PEER", [sys.executable, "-c", PEER])
    monkeypatch.setattr(train_step, "TARGETS", {"float32": 1.0})
    sizes = {"width": 32, "blocks": 1, "heads": 2, "head_width": 16, "mlp_width": 64}
    monkeypatch.setattr(train_step, "SIZES", replace(train_step.SIZES, **sizes))
    rows = train_step.rows(quick=True)
    value = {row.what: row.value for row in rows}
    for row in rows:
        if row.unit == "ms":
            assert row.note.endswith(f"; {4 * 64 / row.value * 1e3:,.0f} tokens/s")
    assert list(value) == [
        "matrix product before, 64³",
        *[f"{who}, float32, 4 x 64" for who in ("torch", "ours", "torch.compile")],
        *[f"ours over {who}, float32, 4 x 64" for who in ("torch", "torch.compile")],
        "matrix product after, 64³",
    ]
    assert all(seconds > 0 for seconds in value.values())
    monkeypatch.setattr(train_step, "TARGETS", {"bfloat16": 1.0})  # of which there is one peer
    other = lambda net, batch: (0.0 * net.norm.scale[0], 1 + net(batch[0], batch[0][:, 0]))
    monkeypatch.setattr(train_step, "loss", other)
    with pytest.raises(RuntimeError, match="logits differ by"):
        train_step.rows(quick=True)


def test_a_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match="no_such_module"):
        results.from_process(["-m", "no_such_module"])


def test_surroundings_name_no_host_no_folder_and_only_installed_packages(monkeypatch):
    versions = {"python": "3.12.1", "jax": "0.10.2", "flax": None}
    known = {"versions": versions, "git_commit": None, "git_dirty": False}
    monkeypatch.setattr(results.environment, "surroundings", lambda: known)
    found = results.surroundings()
    assert (found["versions"], found["python"]) == ({"jax": "0.10.2"}, "3.12.1")
    assert str(results.ROOT) not in json.dumps(found)
