"""Claims about the benchmark: it asks for what was set, its tables hold, its results stay apart."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import __main__ as command
from benchmarks import (
    accelerator,
    attention,
    changes,
    director,
    evaluation,
    finetuning,
    kernels,
    memory,
    mixture,
    quick,
    results,
    scale,
    start_up,
    step,
    table,
    tokenise,
)
from benchmarks.table import Part, Row, apart, markdown, surroundings
from birdiedna.data import sample
from birdiedna.director.director import Birdie
from birdiedna.director.reward_model import Fit, RewardModel
from birdiedna.experiments import cost
from birdiedna.objectives.definitions import BIRDIE_DNA

ARM = replace(tiny.PROFILE.pretrain["birdie"], validation=sample.VALIDATION)
FEW = {name: BIRDIE_DNA[name] for name in ("infill_50_3", "copying")}
SMALL = Birdie((0, 1), model=RewardModel(8, 8, 1), fit=Fit(4, 2), candidates=16)
#: Bars by part, as (unit, bar); a unit of nothing is a count.
BARS = {
    "mixture": {("Mtok/s", 5), ("x", 20), ("%", 0.5), ("", 1)},
    "evaluation": {("", 1)},
    "director": {("s", 5), ("s", 0.3), ("", 1)},
    "finetuning": {("", 1)},
    "memory": {("GiB", 32)},
    "scale": set(),
    "step": set(),
    "changes": set(),
    "start_up": {("s", 1.5), ("", 0)},
}
#: Every part at the smallest size at which it still does all it does.
SIZES = {
    mixture: {"SLOTS": 64, "ROWS": 4, "NEW_RATIOS": 2, "BIRDIE_DNA": FEW},
    evaluation: {"CONFIG": ARM},
    director: {"DIRECTOR": SMALL, "ROUNDS": (1, 2, 5)},
    finetuning: {
        **{"SHAPES": ((8, 2),), "BASES": 8},
        **{"SMALL": tiny.PROFILE.finetune, "FULL": tiny.PROFILE.finetune},
    },
    memory: {"SETTINGS": ARM, "MICROBATCHES": (2, 2)},
    scale: {"BASES": {"1 kb": 2**10, "2 kb": 2**11}, "SLOTS": 16},
    step: {"SIZES": ARM.model, "CASES": (("float32", 16),)},
    start_up: {},
    changes: {"SLOTS": 256, "STEPS": (changes.STEPS[0]._replace(pieces=(changes.ATTENTION,)),)},
}
MADE = {
    **{"date": "2026-11-23", "processor": "a processor", "cores": 2, "load": 0.1},
    **{"python": "3.11.7", "versions": {"jax": "0.10.2"}, "device": "cpu"},
}
ROW = Row("a part", "what", 3.0, "s", 2.0, "less", "how", {"rows": 4})


@pytest.fixture(scope="module")
def measured():
    """The rows of every part, by part."""
    jax.clear_caches()  # what other tests compiled would not be counted
    with pytest.MonkeyPatch.context() as patch:
        for module, sizes in SIZES.items():
            for name, value in sizes.items():
                patch.setattr(module, name, value)
        return {module.__name__.split(".")[-1]: module.rows(quick=True) for module in SIZES}


@pytest.mark.slow
@pytest.mark.parametrize("part", BARS)
def test_part_has_the_bars_that_were_set(measured, part):
    rows = measured[part]
    assert {(row.unit, row.bar) for row in rows if row.bar is not None} == BARS[part]
    assert {row.part for row in rows} == {part}
    assert all(row.value >= 0 and row.what for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["mixture", "evaluation", "director", "finetuning", "start_up"])
def test_what_is_counted_meets_its_bar_on_every_machine(measured, part):
    counts = [row for row in measured[part] if row.unit == "" and row.bar is not None]
    assert counts and all(row.value == row.bar for row in counts)


@pytest.mark.slow
def test_what_is_kept_between_steps_is_a_part_of_the_plan(measured):
    plan, _, kept, chosen = measured["memory"]
    assert 2.9 < kept.value < plan.value == chosen.value  # a human genome is most of it


@pytest.mark.parametrize(
    ("plans", "chosen", "how"),
    [
        ({1: 80, 4: 24, 16: 8}, 24, "in 4 microbatches"),
        ({1: 26, 4: 9, 16: 5}, 26, "in one piece"),
        ({1: 99, 4: 60, 16: 40}, 40, "in 16 microbatches"),
    ],
)
def test_the_fewest_parts_that_fit_decide_on_the_papers_setting(monkeypatch, plans, chosen, how):
    monkeypatch.setattr(memory, "planned", lambda c: plans[c.microbatches] * 2**30)
    rows = memory.rows()
    assert [row.value for row in rows if row.at and row.at["microbatches"] > 1] == [
        plans[4],
        plans[16],
    ]
    assert (rows[-1].value, rows[-1].note, rows[-1].met()) == (chosen, how, chosen <= 32)


@pytest.mark.slow
def test_searches_are_timed_after_every_history(measured):
    searches = [r for r in measured["director"] if r.at and r.what.startswith("search")]
    assert [row.at["rounds"] for row in searches] == [1, 2, 5]


@pytest.mark.slow
def test_accelerator_part_runs_and_has_no_row_on_a_cpu(monkeypatch):
    assert accelerator.rows() == []
    monkeypatch.setattr(accelerator, "GENOME_BASES", 2**12)
    sizes = accelerator.Sizes(side=64, repeats=1, lengths=(16, 130), limit_s=100)
    said = []
    stages = accelerator.stages({"birdie": ARM}, accelerator.made_up, sizes)
    rows, noted = accelerator.measured(stages, said.append)
    assert noted == {} and len(said) == len(stages) == 4
    units = {row.what: row.unit for row in rows}
    assert units["step, birdie"] == "ms" and units["MFU, birdie"] == "%"
    value = {row.what: row.value for row in rows}
    flop = value["speed, birdie"] * cost.flop_per_token(ARM.model, ARM.slots)
    assert value["achieved, birdie"] == pytest.approx(flop / 1e6)


def test_a_stage_that_fails_is_noted_in_a_line_and_passed_over():
    def broken():
        raise RuntimeError("no memory\nand much more")

    said = []
    stages = {"first": broken, "second": lambda: ([ROW], {"a kind": "refused"})}
    rows, noted = accelerator.measured(stages, said.append)
    assert rows == [ROW] and noted == {"first": "failed: no memory", "a kind": "refused"}
    assert "first" in said[0] and "no memory" in said[0] and "refused" in said[1]


def test_attention_that_is_wrong_or_that_nobody_has_is_no_row(monkeypatch):
    wrong = lambda q, k, v, prefix, kind: jnp.nan * q
    monkeypatch.setattr(attention, "cases", lambda lengths: [("cudnn", 8), ("auto", 8)])
    monkeypatch.setattr(attention.attention, "attend_kernels", wrong)
    rows, noted = attention.rows(100, (8,))
    assert [row.what for row in rows] == ["attention auto, 8 slots"]
    assert noted == {"attention cudnn, 8 slots": "refused, as by our rule: not finite"}
    assert len(attention.rows(0, (8,))[1]) > 0


def test_on_a_gpu_every_kind_is_checked_once(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(attention, "usual", lambda length: "blocks" if length % 64 else "cudnn")
    assert attention.cases((1024, 320, 301)) == [
        *[("auto", 1024), ("auto", 320), ("auto", 301), ("cudnn", 301)],
        *[("xla", 1024), ("xla", 320), ("einsum", 1024), ("einsum", 320)],
    ]


def test_on_a_gpu_what_its_streams_ran_are_kernels(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    event = SimpleNamespace(name="a_fusion", duration_ns=2_000_000)
    line = lambda name: SimpleNamespace(name=name, events=[event])
    seen = lambda plane, name: list(kernels._events(plane, line(name)))
    assert seen("/device:GPU:0", "Stream #13(Compute)") == [("a_fusion", 0.002)]
    assert seen("/device:GPU:0", "XLA Ops") == seen("/host:CPU", "python") == []


@pytest.mark.parametrize(
    ("kind", "bars"),
    [("NVIDIA H100 80GB HBM3", (40, 37)), ("NVIDIA A100", (None, None)), ("cpu", (None, None))],
)
def test_bars_hold_for_the_papers_step_on_a_chip_of_their_class(monkeypatch, kind, bars):
    monkeypatch.setattr(jax, "devices", lambda: [SimpleNamespace(device_kind=kind)])
    arms = accelerator.ARMS
    asked = [accelerator.BARS[a] if accelerator.barred(a, arms[a]) else None for a in arms]
    assert tuple(asked) == bars
    assert not accelerator.barred("birdie", replace(arms["birdie"], rows=64))


def test_a_machine_with_few_packages_is_described(monkeypatch):
    monkeypatch.setattr(table, "_PACKAGES", ("jax", "no-such-package"))
    assert list(table.surroundings()["versions"]) == ["jax"]


def test_each_form_of_a_genome_is_asked_for_a_minute_and_8_gb():
    bars = [row.bar for row in tokenise._form("bgzip", sample.GENOME, 1)]
    assert bars == [None, 60, 8]


def test_the_quick_profile_is_asked_for_three_minutes_and_for_two():
    found = quick.lengths(10.0, 110.0, 160.0)
    (cold, *stages), (warm, *_) = quick._rows("cold", found, 180), quick._rows("warm", found, 120)
    assert (cold.value, cold.bar, cold.met(), warm.met()) == (150, 180, True, False)
    assert [row.value for row in stages] == [100.0, 50.0]


@given(st.text(), st.text(), st.floats(0, 1e12), st.sampled_from(["more", "less"]))
def test_every_line_of_the_table_has_as_many_cells_as_its_head(what, note, value, best):
    row = ROW._replace(what=what, note=note, value=value, best=best)
    lines = markdown({"a part": Part(MADE, [row, ROW])}).splitlines()
    table = lines[lines.index("") + 1 :]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {8} and len(table) == 4


def test_the_table_says_which_bars_are_met():
    rows = [ROW, ROW._replace(best="more"), ROW._replace(bar=None)]
    cells = [
        line.split("|")[5].strip() for line in markdown({"p": Part(MADE, rows)}).splitlines()[4:]
    ]
    assert cells == ["**no**", "yes", ""]


def test_a_part_measured_again_replaces_itself_and_no_other(tmp_path):
    first, second = Part(MADE, [ROW]), Part(MADE, [ROW._replace(value=1.0)])
    results.write({"b": first, "a": first}, ["a", "b"], tmp_path)
    file = results.write({"b": second}, ["a", "b"], tmp_path)
    assert results.read(file) == {"a": first, "b": second}
    assert list(results.read(file)) == ["a", "b"]
    assert file.with_suffix(".md").read_text() == markdown(results.read(file))


def test_figures_of_two_machines_never_meet_in_one_file(tmp_path):
    files = [
        results.write({"a": Part({**MADE, **other}, [ROW])}, ["a"], tmp_path).name
        for other in ({}, {"cores": 4}, {"device": "nvidia-h200"}, {"load": 3.0})
    ]
    assert files == ["cpu.json", "cpu-2.json", "nvidia-h200.json", "cpu.json"]


def test_committed_results_parse_and_their_tables_are_those_of_the_figures():
    files = sorted(results.FOLDER.glob("*.json"))
    if not files:
        pytest.skip("no results are committed yet")
    for file in files:
        parts = results.read(file)
        assert parts and set(parts) <= set(command.PARTS)
        assert file.with_suffix(".md").read_text("utf-8") == markdown(parts)
        (device,) = {part.made["device"] for part in parts.values()}
        assert re.fullmatch(re.escape(device) + r"(-\d+)?", file.stem)


def test_the_changes_that_were_tried_are_recorded_in_full():
    found = json.loads((results.FOLDER.parent / "tried.json").read_text("utf-8"))
    assert found
    for change in found:
        assert set(change) == {"change", "figure", "kept"} and isinstance(change["kept"], bool)
        assert change["change"] and re.search(r"\d", change["figure"])


def test_a_part_that_fails_is_named_and_the_others_are_kept(monkeypatch, tmp_path, capsys):
    def measured(name, quick):
        if name == "scale":
            raise RuntimeError("benchmarks.part failed: no memory")
        return Part(MADE, [ROW])

    monkeypatch.setattr(command, "measured", measured)
    monkeypatch.setattr(results, "place", lambda made, folder: tmp_path / "cpu.json")
    monkeypatch.setattr(command, "ROOT", tmp_path)
    assert command.main(["--only", "scale", "mixture"]) == 1
    said = capsys.readouterr()
    assert "no memory" in said.err and "failed: scale" in said.err
    assert list(results.read(tmp_path / "cpu.json")) == ["mixture"]


def test_quick_figures_are_shown_but_not_kept(monkeypatch, capsys):
    monkeypatch.setattr(command, "measured", lambda name, quick: Part(MADE, [ROW]))
    monkeypatch.setattr(results, "write", lambda *given: pytest.fail("kept"))
    assert command.main(["--only", "scale", "--quick"]) == 0
    assert "| a part | what | 3 s | ≤ 2 |" in capsys.readouterr().out


def test_what_needs_peers_is_left_out_aloud_where_there_are_none(monkeypatch, tmp_path, capsys):
    peers = tmp_path / "peers"
    monkeypatch.setattr(command, "PEERS", peers)
    assert set(command.PARTS) - set(command.chosen([])) == {"train_step"}
    assert "make bench-peers" in capsys.readouterr().out
    assert command.chosen(["quick"]) == ["quick"]
    peers.touch()
    assert command.chosen([]) == list(command.PARTS)


def test_a_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match="no_such_part"):
        apart("part", "no_such_part")


def test_surroundings_name_no_host_and_no_folder():
    found = json.dumps(surroundings())
    assert str(results.FOLDER.parent.parent) not in found
    assert re.search(r'"jax": "[\d.]+"', found) and jax.__version__ in found
