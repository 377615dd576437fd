"""A plan is prepared here and finished in several calls on a bare machine, bit for bit."""

import json
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import polars as pl
import pytest
import small_plan
import tiny
from hypothesis import given
from hypothesis import strategies as st
from made_rows import different

from birdiedna.cli import data
from birdiedna.cli.parser import parser
from birdiedna.data.files import digest
from birdiedna.data.stored import sealed
from birdiedna.evaluation import frames
from birdiedna.experiments import collect, config_json, cost, make, prepare, profiles
from birdiedna.experiments import plan as plans
from birdiedna.experiments.runs import Live, open_runs
from birdiedna.experiments.sources import Sources
from birdiedna.model import transformer
from birdiedna.tasks import Columns, Reading
from birdiedna.training import checkpoint, environment, run_folder, run_writer, weights

pytestmark = pytest.mark.usefixtures("own_objectives")

#: Finishes a plan in several calls, without readers and charts to import.
SLICES = (
    small_plan.BARE
    + """
from birdiedna.training import pretrain, stop
from birdiedna.cli.main import main
from birdiedna.experiments import plan

pretrain.BIRDIE_DNA = pretrain.NTP = {}  # measure the arm's own objectives: less to compile
command = ["plan", "work", sys.argv[1]]
statuses = [main([*command, "--budget-minutes", "0.000001"])]
asked = iter(range(1_000_000))
last = {1, 14}  # within a pre-training, and within a probe
def ask():
    return stop.Stopped("enough", stop.OUT_OF_TIME) if next(asked) in last else None
for _ in last:
    try:
        plan.work(sys.argv[1], ask)
        statuses.append(0)
    except stop.Stopped as stopped:
        statuses.append(stopped.status)
statuses.append(main(command))
for more in (["status"], ["collect", "--name", "bare", "--into", sys.argv[1] + "-results"]):
    main(["plan", more[0], sys.argv[1], *more[1:]])
print("statuses", *statuses)
"""
)


@pytest.fixture(scope="module")
def wanted(folder):
    return small_plan.wanted(folder)


@pytest.fixture(scope="module")
def plan(folder, wanted):
    return prepare.prepare(folder / "plan", **wanted)


@pytest.fixture(scope="module")
def worked(plan):
    """The output of a bare process that finishes the plan, stopped three times."""
    program = [sys.executable, "-c", SLICES, str(plan.folder)]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def fresh(plan, tmp_path):
    """A copy of the plan without runs."""
    ignore = shutil.ignore_patterns("runs", "failures.json")
    return shutil.copytree(plan.folder, tmp_path / "copy", ignore=ignore)


@pytest.fixture
def finished(plan, worked, tmp_path):
    """A copy of the plan with its runs."""
    return shutil.copytree(plan.folder, tmp_path / "copy")


def test_a_plan_lists_every_arm_on_every_task_pretraining_first(plan):
    arms = [(run.kind, run.arm, run.task) for run in plan.runs]
    assert arms[:3] == [("pretrain", arm, "") for arm in ("birdie", "ntp", "uniform")]
    assert arms[3:] == [
        (kind, arm, task)
        for kind in ("probe", "finetune")
        for task in ("one", "two")
        for arm in ("birdie", "ntp", "uniform", "random")
    ]
    names = {run.name for run in plan.runs}
    assert all(run.start in names for run in plan.runs[3:] if run.arm != "random")


def test_what_the_rows_are_is_said_before_baselines_take_minutes_and_then_each_task(
    tmp_path, wanted, monkeypatch, capsys
):
    printed = []

    def scored(self, names):
        printed.append(capsys.readouterr().out)
        return pl.DataFrame({"task": names})

    monkeypatch.setattr(Live, "baselines", scored)
    prepare.prepare(tmp_path / "plan", **wanted)
    assert "one, " in printed[0] and "train: " in printed[0]
    assert printed[1] == "one: baselines are scored\n"


def test_every_pretraining_seed_comes_once_before_any_is_fine_tuned_again(folder, wanted):
    more = {"seeds": (0, 1), "finetune_seeds": (0, 1), "arms": ("birdie", "ntp")}
    suite = prepare.prepare(folder / "seeds", **wanted | more).runs
    order = [(run.kind, run.seed, run.finetune_seed) for run in suite]
    assert list(dict.fromkeys(order)) == [
        *(("pretrain", 0, 0), ("probe", 0, 0), ("finetune", 0, 0)),
        *(("pretrain", 1, 0), ("probe", 1, 0), ("finetune", 1, 0)),
        *(("finetune", 0, 1), ("finetune", 1, 1)),
    ]


@pytest.mark.parametrize("kind", ["probe", "finetune"])
def test_a_run_of_a_plan_equals_that_of_a_chapter(plan, worked, wanted, kind):
    runs = open_runs("tiny", wanted["sources"])
    here = runs.probed("birdie", "one") if kind == "probe" else runs.finetuned("birdie", "one")
    there, start = plan.place(here.name), runs.pretrained("birdie")
    one, other = run_folder.predictions(here), run_folder.predictions(there)
    assert all(np.array_equal(one[key], other[key]) for key in one)
    logged = [run_folder.events(path, "evaluation") for path in (start, plan.place(start.name))]
    assert logged[0] == logged[1]
    for name in ("config", "manifest"):
        told = [run_folder.read(path, name) for path in (here, there)]
        assert told[0].get("data", told[0]) == told[1].get("data", told[1])
    scored = frames.results([there])
    assert scored.equals(frames.results([here])) and set(scored["kind"]) == {kind}
    beside = frames.beside_leaks([there], {"one": [0]})  # of all train rows
    whole = scored.filter(metric="mcc", share=1.0)["value"]
    assert beside["all"].to_list() == whole.to_list() and beside["kind"].to_list() == [kind]


def test_a_plan_names_neither_rows_nor_folders_of_this_machine(plan, folder):
    assert str(folder) not in (plan.folder / "plan.json").read_text()
    with np.load(plan.folder / "tasks" / "one.npz") as stored:
        assert {name.partition("_")[2] for name in stored.files} == {"tokens", "lengths", "labels"}


def test_a_plan_is_finished_in_several_calls_with_only_the_training_core(plan, worked):
    assert worked.splitlines()[-1] == "statuses 75 75 75 0"
    for said in ("19 of 19 runs finished", "pre-train ntp: step 6 of 6, loss",
                 "fine-tune random on two: step 4 of 4, loss"):  # fmt: skip
        assert said in worked
    rows = plans.table(plan)
    assert all(row["standing"] == "finished" and row["minutes"] > 0 for row in rows)
    places = {plan.place(run.name): run.kind for run in plan.runs}
    assert any(run_folder.read(place, "manifest")["sessions"] > 1 for place in places)
    weights_of = {kind for place, kind in places.items() if (place / "model").exists()}
    assert weights_of == {"pretrain"}  # no others are kept


def test_status_reports_speed_and_what_is_left(plan, worked, said):
    out = said("plan", "status", plan.folder)
    assert "ms a step (median)" in out and "left: 0 x finetune" in out
    speed = plans.totals(plan, plans.table(plan))["runs"][0]
    tokens = tiny.PROFILE.pretrain["birdie"].rows * tiny.PROFILE.pretrain["birdie"].slots
    assert speed["tokens_per_s"] == pytest.approx(tokens / speed["step_ms"] * 1e3)
    assert plans.minutes_left(
        [
            {"kind": "a", "standing": "finished", "minutes": 2.0},
            {"kind": "a", "standing": "begun, step 1", "minutes": 0.5},
            {"kind": "a", "standing": "not begun", "minutes": 0.0},
            {"kind": "b", "standing": "not begun", "minutes": 0.0},
        ]
    ) == {"a": (2, 3.5), "b": (1, None)}


def test_flops_per_token_are_those_counted_for_the_paper():
    config = transformer.ModelConfig(vocabulary=32)
    assert 128 * 1024 * cost.flop_per_token(config, 1024) == pytest.approx(16.51e12, rel=1e-3)


def test_preparing_again_changes_nothing_and_another_plan_is_refused(
    plan, folder, wanted, monkeypatch
):
    before = (plan.folder / "plan.json").stat().st_mtime_ns
    prepare.prepare(plan.folder, **wanted)
    assert (plan.folder / "plan.json").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="another plan, of .*retrain_seeds: stored .0., now .1.."):
        prepare.prepare(plan.folder, **wanted | {"seeds": (1,)})
    monkeypatch.setattr(environment, "code_fingerprint", lambda: "of another config")
    with pytest.raises(ValueError, match="another plan, prepared by .* this is code of anoth,"):
        prepare.prepare(plan.folder, **wanted | {"seeds": (1,)})
    with pytest.raises(ValueError, match="not empty"):
        prepare.prepare(folder / "tasks", **wanted)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"arms": ("birdie", "ul2r")}, "unknown arm 'ul2r'"),
        ({"arms": ("ntp", "birdie", "ntp")}, "arm 'ntp' is named twice"),
        ({"name": "tiyn"}, "did you mean 'tiny'"),
        ({"sources": Sources(validation="chr9")}, "no contig 'chr9'"),
    ],
)
def test_a_plan_that_cannot_be_made_leaves_nothing(folder, wanted, change, said):
    with pytest.raises(ValueError, match=said):
        prepare.prepare(folder / "none", **wanted | change)
    assert not (folder / "none").exists()


def test_a_plan_takes_settings_and_keeps_them(wanted, tmp_path, said, refused):
    place = ["--out", tmp_path / "plan", "--profile", "tiny", "--genome", wanted["sources"].genome]
    place += ["--validation", "second", "--tasks", *wanted["tasks"], "--arms", "ntp"]
    changes = ["finetune.steps=2", "finetune.patience_evaluations=8"]
    out = said("plan", "prepare", *place, *(word for one in changes for word in ("--set", one)))
    assert f"{', '.join(changes)}; with it: finetune.evaluate_every=1" in out
    made = plans.read(tmp_path / "plan")
    assert made.profile["changes"] == changes
    tuned = {run.config for run in made.runs if run.kind == "finetune"}
    assert {(config.steps, config.patience_evaluations) for config in tuned} == {(2, 8)}
    commands = {run.kind: run.manifest()["command"] for run in made.runs}
    assert all(f"--set {change}" in commands["finetune"] for change in changes)
    assert "--set" not in commands["pretrain"]
    assert "other settings" in refused("plan", "run", *place, "--set", "finetune.steps=4")
    for other in (["--arms", "ntp"], ["--tasks", wanted["tasks"][0] + ":one"], ["--length", "50"]):
        assert "another plan" in refused("plan", "run", *place[:2], "--profile", "tiny", *other)
    assert "no run matches" in refused("plan", "run", *place[:2], "--only", "none")  # continued


def test_tasks_are_chosen_by_name_from_several_folders(folder, wanted):
    tasks = wanted["tasks"][0]
    choose = lambda *places: prepare.choose(tiny.PROFILE, Sources(), places)
    assert [*choose(f"{tasks}:two", f"{tasks}:one")] == ["two", "one"]
    with pytest.raises(ValueError, match="two tasks are called 'one'"):
        choose(tasks, f"{tasks}:one")
    with pytest.raises(ValueError, match="no task 'three'"):
        choose(f"{tasks}:three")


def test_prepare_reports_tasks_what_is_missing_and_the_next_command(folder, wanted, said):
    out = folder / "a plan; in words"
    words = ["--profile", "tiny", "--genome", wanted["sources"].genome, "--validation", "second"]
    words += ["--tasks", wanted["tasks"][0] + ":one", "--arms", "ntp", "--out", out]
    printed = said("plan", "prepare", *words)
    for line in (
        *("one, ", "train: 54 rows of 60 bases", "validation: 6 rows of 60 bases"),
        f"{out}: 5 runs",
        "it needs the pre-training of birdie",
        f"run it: birdiedna plan work '{out}', then collect: birdiedna plan",
    ):
        assert line in printed


def test_the_rows_of_a_plan_are_read_as_the_options_say(tmp_path, wanted, said):
    rows = [f"{text},{'yes' if i % 2 else 'no'}" for i, text in enumerate(different(0, 60, 60))]
    (tmp_path / "mine.csv").write_text("\n".join(["dna,label", *rows]))
    place = ["--out", tmp_path / "plan", "--profile", "tiny", "--genome", wanted["sources"].genome]
    place += ["--validation", "second", "--tasks", tmp_path / "mine.csv", "--arms", "ntp"]
    said("plan", "prepare", *place, "--sequence-column", "dna", "--labels", "no=0,yes=1")
    tuned = [r for r in plans.read(tmp_path / "plan").runs if r.kind == "finetune"]
    assert {tuple(run.data_notes["classes"]) for run in tuned} == {("no", "yes")}
    assert "--sequence-column dna --labels no=0,yes=1" in tuned[0].manifest()["command"]


def test_the_command_of_every_run_makes_that_run(folder, wanted, monkeypatch):
    reading = Reading(Columns(label="label"), length=48)
    own = replace(wanted["sources"], reading=reading)
    shares = replace(profiles.PROFILES["tiny"], finetune_shares=(0.2, 0.6))
    monkeypatch.setitem(profiles.PROFILES, "tiny", shares)
    changes = ["finetune.steps=2", "finetune.share=0.7"]
    suite = open_runs("tiny", own, 1, changes=changes).suite()
    assert {run.share for run in suite} == {0.2, 0.6, 0.7, 1}
    assert {run.kind for run in suite} == {"pretrain", "probe", "finetune"}
    monkeypatch.chdir(folder)
    for spec in suite:
        given = parser().parse_args(shlex.split(spec.command())[1:])
        told = Sources(given.genome, getattr(given, "tasks", "sample"), given.validation)
        if given.verb != "pretrain":
            told = replace(told, reading=data.reading(given))
        runs = open_runs(given.profile, told, given.seed, changes=given.changes)
        made = {
            "pretrain": lambda: runs.pretraining(given.arm),
            "probe": lambda: runs.probing(given.model, given.task),
            "finetune": lambda: runs.finetuning(given.arm, given.task, given.finetune_seed),
        }
        assert made[given.verb]().name == spec.name


def test_the_positive_rows_of_three_classes_are_those_not_of_class_0(folder, tmp_path):
    tasks = small_plan.wanted(tmp_path, ("three",), classes=3)["tasks"][0]
    (row,) = open_runs("tiny", Sources(tasks=tasks)).rows().rows(named=True)
    assert row["test"] == 60 and row["positive in test"] == pytest.approx(40 / 60)


def test_only_includes_the_starts_of_matching_runs(plan):
    for name in ("finetune-one-ntp", "probe-one-ntp"):
        assert [run.arm for run in plans.chosen(plan, [name])] == ["ntp", "ntp"]
    with pytest.raises(ValueError, match="no run matches"):
        plans.chosen(plan, ["finetune-six"])


def test_a_run_that_finishes_while_results_are_collected_is_read(finished, monkeypatch, tmp_path):
    moved = plans.read(finished)
    run, events = moved.runs[0], run_folder.each_event
    place = moved.place(run.name)
    manifest = (place / "manifest.json").read_bytes()
    (place / "manifest.json").unlink()
    place.rename(partial := moved.log(run.name))

    def read(folder, *given):
        if folder == partial:  # as it is read, the process that makes it has finished
            (partial / "manifest.json").write_bytes(manifest)
            partial.rename(place)
        return events(folder, *given)

    monkeypatch.setattr(run_folder, "each_event", read)
    made = json.loads((collect.collect(finished, "moved", tmp_path) / "results.json").read_text())
    assert [entry["name"] for entry in made["runs"]] == [run.name for run in moved.runs]
    assert made["left"] == [] and all(row["minutes"] for row in made["cost"]["runs"])


def test_a_run_that_fails_while_results_are_collected_has_no_speed(finished, monkeypatch):
    moved, rows = plans.read(finished), plans.table(plans.read(finished))
    shutil.rmtree(moved.place(rows[0]["name"]))
    rows[0]["standing"] = "begun, step 2 of 4"
    begun = plans.totals(moved, rows)["runs"]
    assert begun[0] == rows[0] and "step_ms" in begun[1]


@pytest.mark.parametrize("verb", ["work", "status", "collect"])
def test_a_run_in_the_folder_of_another_is_refused(finished, refused, tmp_path, verb):
    birdie, ntp = [run for run in plans.read(finished).runs if run.kind == "probe"][:2]
    folder = finished / "runs" / ntp.name
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name(birdie.name), folder)
    into = ["--name", "x", "--into", tmp_path / "results"] * (verb == "collect")
    said = refused("plan", verb, finished, *into)
    assert f"{folder} contains the run {birdie.name}; rename or remove it" in said


def test_a_finished_run_without_its_predictions_is_not_collected(finished, refused, tmp_path):
    probe = next(run for run in plans.read(finished).runs if run.kind == "probe")
    (file := finished / "runs" / probe.name / "predictions.npz").unlink()
    assert str(file) in refused("plan", "collect", finished, "--name", "x", "--into", tmp_path)


def test_altered_data_of_a_plan_are_refused(fresh, refused):
    with (fresh / "genome.npz").open("ab") as file:
        file.write(b"x")
    for _ in range(2):  # altered, then missing
        said = refused("plan", "work", fresh, "--only", "pretrain-ntp")
        assert "genome.npz is not the file that was prepared" in said
        (fresh / "genome.npz").unlink(missing_ok=True)


def numbers(events):
    """Every number of a log, in order."""
    return [value for event in events for value in event.values() if not isinstance(value, str)]


def test_fine_tunings_of_a_task_train_together_then_by_halves_and_fail_alone(finished, monkeypatch):
    """As on an accelerator, where several runs are one program."""
    moved, made, grouped, groups = plans.read(finished), [], [], make._groups
    tuned = [run for run in moved.runs if (run.kind, run.task) == ("finetune", "one")]
    logged = {run.name: run_folder.events(moved.place(run.name)) for run in tuned}
    for run in tuned:
        shutil.rmtree(moved.place(run.name))
    events, fails = make._events, tuned[1]

    def train(group, *given):
        made.append([run.arm for run in group])
        if fails in group:
            raise ArithmeticError("3 updates in a row were not finite")
        return events(group, *given)

    monkeypatch.setattr(make, "_events", train)
    monkeypatch.setattr(make.devices, "runs_at_once", lambda work: 4)
    monkeypatch.setattr(make, "_groups", lambda *of: grouped.append(of) or groups(*of))
    plans.work(finished)
    assert len(grouped) == 3  # at first, and after each group that failed
    halves = ["birdie", "ntp"], ["uniform", "random"]
    assert made == [[*halves[0], *halves[1]], halves[0], ["birdie"], ["ntp"], halves[1]]
    assert list(moved.failures()) == [fails.name]
    monkeypatch.setattr(make, "_events", events)
    (finished / "failures.json").unlink()
    for run in tuned:
        shutil.rmtree(moved.place(run.name), ignore_errors=True)
    plans.work(finished)
    for run in tuned:
        again = run_folder.events(moved.place(run.name))
        assert [event.keys() for event in again] == [event.keys() for event in logged[run.name]]
        assert numbers(again) == pytest.approx(numbers(logged[run.name]), rel=1e-5)
    together = [run_folder.read(moved.place(run.name), "manifest").get("together") for run in tuned]
    assert together == [4] * 4


def test_a_plan_of_other_code_is_refused_until_it_is_prepared_again(
    plan, finished, wanted, said, refused
):
    other = plan.prepared | {"code": "0123456789abcdef"}
    plans.write(plan._replace(folder=finished, prepared=other))
    np.savez(finished / "genome.npz", tokens=np.zeros(4, np.uint8))  # an older format
    (finished / "failures.json").write_text('{"a run": "it failed"}')
    error = refused("plan", "work", finished)
    assert "01234567" in error and environment.code_fingerprint()[:8] in error
    assert "prepare it again" in error and "finished runs stay" in error
    stored = json.loads((finished / "plan.json").read_text())
    stored["runs"][0]["config"]["older"] = 1
    run_folder.write_json(finished / "plan.json", sealed(stored))
    error = refused("plan", "status", finished)
    assert "no field 'older'" in error and "it was prepared by code 01234567, and this is" in error
    again = prepare.prepare(finished, **wanted)
    assert again.prepared["code"] == environment.code_fingerprint()
    assert plans.read(finished).prepared == again.prepared
    assert not again.failures()
    assert all(row["standing"] == "finished" for row in plans.table(again))
    said("plan", "work", finished)


def test_a_run_that_does_not_fit_its_start_is_noted_and_others_run(finished):
    moved = plans.read(finished)
    start, wide = moved.runs[1], replace(tiny.PROFILE.pretrain["ntp"].model, width=24)
    place = moved.place(start.name)
    run_folder.write_json(
        place / "config.json", start.record() | {"model": run_folder.to_json(wide)}
    )
    checkpoint.save(place / "model", 6, transformer.init(wide, 0), {}, {}, keep=1)
    run_folder.write_manifest(place, json.loads((place / "manifest.json").read_text()))
    for run in moved.runs[3:]:
        shutil.rmtree(moved.place(run.name))
    plans.work(finished, only=["finetune-one-ntp", "finetune-one-random"])
    standing = {row["name"]: row["standing"] for row in plans.table(moved)}
    (failed,) = [said for said in standing.values() if said.startswith("failed")]
    assert "width 24, not 16" in failed
    assert [name for name, said in standing.items() if said == "finished"][3:] == [
        run.name for run in moved.runs if (run.kind, run.arm) == ("finetune", "random")
    ][:1]


def test_given_weights_become_a_finished_pretraining(plan, fresh, tmp_path, said, refused):
    net = transformer.init(tiny.PROFILE.pretrain["ntp"].model, 7)
    whole, halves = tmp_path / "birdie.safetensors", tmp_path / "ntp.safetensors"
    weights.write_file(whole, weights.Model(net, {}, {}))
    weights.write_file(halves, weights.Model(net, {}, {}), "bfloat16")
    asked = ["plan", "work", fresh, "--only", "finetune-one-ntp", "--weights"]
    said(*asked, f"ntp-seed0={halves}", f"birdie={whole}")
    for run, file, error in zip(plan.runs, (whole, halves), (0, 2**-7), strict=False):
        place, source = fresh / "runs" / run.name, {"file": file.name, "sha256": digest(file)}
        assert run_folder.read(place, "manifest")["imported"] == source
        assert not run_folder.events(place)
        kept = config_json.pretrained(place).net
        for x, y in zip(jax.tree.leaves(net), jax.tree.leaves(kept), strict=True):
            np.testing.assert_allclose(x, y, rtol=error)
    assert "stays" in said(*asked, f"ntp={halves}")
    begun = fresh / "runs" / f"{next(r.name for r in plan.runs if r.arm == 'uniform')}.partial"
    begun.mkdir()
    assert f"was begun here; finish it, or remove {begun}" in refused(*asked, f"uniform={whole}")
    begun.rmdir()
    other = transformer.init(replace(net.config, width=32), 0)
    weights.write_file(whole, weights.Model(other, {}, {}))
    for text, why in [
        (f"uniform={whole}", "width 32, not 16"),
        (f"uniform={tmp_path / 'none.safetensors'}", "No such file"),
        (f"birdy={whole}", "pre-trains no 'birdy', but birdie, ntp, uniform"),
        ("birdie", "not like birdie=FILE"),
    ]:
        assert why in refused(*asked, text)


def test_a_run_without_a_usable_checkpoint_does_not_end_those_that_it_would_be_made_with(
    plan, tmp_path, monkeypatch
):
    group = [run for run in plan.runs if run.kind == "finetune"][:2]
    (tmp_path / f"{group[0].name}.partial" / "checkpoints" / "1" / "damaged").mkdir(parents=True)
    monkeypatch.setattr(make.devices, "runs_at_once", lambda work: 4)
    place = make.Workplace(tmp_path, read=None, show=None, device="any")
    assert make._together(group, place, {}, None) == group


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (None, "contains no plan"),
        ({"format": 0}, "another format"),
        ({"profile": None}, "'profile' is not an object"),
        ({"profile": {"changes": []}}, "'profile' has no 'name'"),
        ({"device": 1}, "'device' is not text"),
        ({"sums": ...}, "plan.json has no 'sums'"),
        ({"runs": [{"kind": "x"}]}, "kind 'x' and a PretrainConfig"),
        ({"runs": [{"kind": "probe"}]}, "kind 'probe' and a PretrainConfig"),
    ],
)
def test_a_folder_without_a_plan_or_with_another_is_refused_in_one_line(
    plan, tmp_path, change, why, refused
):
    found = json.loads((plan.folder / "plan.json").read_text())
    del found["seal"]
    if change:
        runs = [found["runs"][0] | run for run in change.get("runs", [{}])]
        made = {k: v for k, v in (found | change | {"runs": runs}).items() if v is not ...}
        (tmp_path / "plan.json").write_text(json.dumps(made))
    for action, *more in (["work"], ["status"], ["collect", "--name", "any"]):
        assert why in refused("plan", action, tmp_path, *more)


def specs(pretrainings, tasks):
    """Stand-ins for the runs of a plan of this many arms and tasks, and of random weights."""
    starts = [f"pretrain-{arm}" for arm in range(pretrainings)]
    kinds = [(name, "pretrain", "", "") for name in starts]
    kinds += [
        (f"finetune-{task}-{start}-{seed}", "finetune", start, task)
        for seed in range(2)
        for task in range(tasks)
        for start in (*starts, "random")
    ]
    size = {"config": SimpleNamespace(steps=2, rows=3)}
    fields = ("name", "kind", "start", "task")
    return [SimpleNamespace(**dict(zip(fields, one, strict=True)), **size) for one in kinds]


@pytest.mark.promise("Devices: every run of a plan is in exactly one of its shards")
@given(st.integers(0, 4), st.integers(0, 5), st.integers(1, 9))
def test_every_run_is_in_exactly_one_shard_and_beside_its_start(pretrainings, tasks, of):
    runs = specs(pretrainings, tasks)
    shards = [plans.shard(runs, number, of) for number in range(1, of + 1)]
    assert sorted(run.name for one in shards for run in one) == sorted(run.name for run in runs)
    for one in shards:
        order = [runs.index(run) for run in one]
        assert order == sorted(order)
        own = {run.name for run in one} | {"", "random"}
        assert of > pretrainings or {run.start for run in one} <= own
        together = Counter((run.start, run.task) for run in one if run.kind == "finetune")
        assert set(together.values()) <= {2}


def test_more_shards_than_pretrainings_spread_their_fine_tunings():
    sizes = [len(plans.shard(specs(2, 8), number, 6)) for number in range(1, 7)]
    assert max(sizes) - min(sizes) <= 2  # the seeds of a task stay together


def test_the_table_of_a_plan_reads_what_failed_once_and_not_for_each_run(fresh, monkeypatch):
    for number in range(1, 6):
        run_folder.write_json(fresh / f"failures-{number}-of-5.json", {f"other-{number}": "why"})
    reads, read = [], make.read_json
    monkeypatch.setattr(
        make, "read_json", lambda path, *more: reads.append(path) or read(path, *more)
    )
    assert len(plans.table(plans.read(fresh))) == 19 and len(reads) == 5


def test_a_command_parses_its_plan_once(fresh, monkeypatch, said):
    parsed, parse = [], plans.run_spec.parse
    monkeypatch.setattr(plans.run_spec, "parse", lambda one: parsed.append(one) or parse(one))
    monkeypatch.setattr(make, "work", lambda *_: None)
    said("plan", "work", fresh)
    assert len(parsed) == 19
    monkeypatch.setattr(config_json, "_fits", lambda *_: pytest.fail("looked at a type again"))
    assert plans.run_spec.parse(parsed[0]) == plans.read(fresh).runs[0]


def test_the_end_of_work_lists_some_runs_unfinished_ones_first_and_reads_only_their_logs(
    finished, monkeypatch
):
    plan, read = plans.read(finished), []
    shutil.rmtree(plan.place(name := plan.runs[-1].name))
    run_folder.write_json(finished / "failures.json", {name: "why"})
    monkeypatch.setattr(plans, "_LISTED", 2)
    monkeypatch.setattr(plans.cost, "speed", lambda log: read.append(log) or {})
    one, other, more, *_ = plans.text(plan, each=False).splitlines()
    assert f"{name} " in one and "failed: why" in one and plan.runs[0].name in other
    assert more == "  and 17 more; `birdiedna plan status` lists them" and len(read) == 1
    assert all(run.name in plans.text(plan) for run in plan.runs)


def test_between_two_runs_the_folder_is_listed_and_no_unfinished_run_looked_at(
    finished, monkeypatch
):
    plan, looks, complete = plans.read(finished), [], run_folder.complete
    shutil.rmtree(plan.place(plan.runs[-1].name))
    many = [replace(plan.runs[-1], name=f"other-{number}") for number in range(20_000)]
    suite = [*plan.runs, *many]
    place = make.Workplace(finished / "runs", None, None, "", failures=finished / "failures.json")
    monkeypatch.setattr(run_folder, "complete", lambda path: looks.append(path) or complete(path))
    assert make._left(suite, place) == suite[18:] and len(looks) == 18


def test_shards_count_the_rows_of_each_run_once():
    class Counted(SimpleNamespace):
        @property
        def steps(self):
            looks.append(self)
            return 2

    looks, runs = [], specs(10, 30)
    for run in runs:
        run.config = Counted(rows=1)
    plans.shard(runs, 1, 2)
    assert len(looks) == len(runs)


@pytest.mark.promise("Devices: a shard waits for a pre-training that another shard makes")
def test_a_shard_waits_for_what_another_makes_and_all_shards_make_the_plan(
    fresh, monkeypatch, capsys
):
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        plans.work(fresh, part=(1, 4))  # the machine that pre-trains has begun at last

    monkeypatch.setattr(make.time, "sleep", sleep)
    monkeypatch.setattr(make, "_events", small_plan.untrained)
    assert {run.start for run in plans.shard(plans.read(fresh).runs, 4, 4)} >= {
        plans.read(fresh).runs[0].name
    }
    for number in (4, 3, 2, 1):
        plans.work(fresh, part=(number, 4))
    assert looks == [make.POLL_S]
    assert f"waiting for {plans.read(fresh).runs[0].name}" in capsys.readouterr().out
    assert all(row["standing"] == "finished" for row in plans.table(plans.read(fresh)))
    assert not list(fresh.glob("shard-*"))


@pytest.mark.promise("Devices: shards that overlap are refused in one line")
@pytest.mark.parametrize("held, asked", [("1-of-2", "1/2"), ("1-of-2", "1/3"), ("2-of-3", "1/2")])
def test_shards_that_overlap_are_refused(fresh, refused, held, asked):
    with run_writer.sole_writer(fresh / f"shard-{held}.lock"):
        line = refused("plan", "work", fresh, "--shard", asked)
    assert f"shard {asked} overlaps another: shard-{held} is being made by process" in line


def test_a_run_that_diverges_is_noted_for_all_shards_and_runs_from_it_are_skipped(
    fresh, monkeypatch
):
    tried = []

    def train(group, *_):
        tried.append(group[0].name)
        raise ArithmeticError("3 updates in a row were not finite")

    monkeypatch.setattr(make, "_events", train)
    monkeypatch.setattr(make.time, "sleep", lambda _: pytest.fail("waits for what has failed"))
    for number in (1, 2, 3, 4, 1):
        plans.work(fresh, part=(number, 4))
    standing = {row["name"]: row["standing"] for row in plans.table(plans.read(fresh))}
    assert all(standing.pop(name).startswith("failed: 3 updates") for name in tried)
    assert standing and all(said.startswith("cannot begin") for said in standing.values())
    assert len(notes := list(fresh.glob("failures-*-of-4.json"))) > 1
    said = plans.text(plans.read(fresh), each=False)
    assert all(str(note) in said for note in notes)  # the remedy, which is followed here
    for note in notes:
        note.unlink()
    assert {row["standing"] for row in plans.table(plans.read(fresh))} == {"not begun"}


def test_a_machine_without_scikit_learn_fails_no_probe_and_makes_the_other_runs(
    fresh, monkeypatch, refused
):
    made = []
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setattr(make, "work", lambda runs, *_: made.extend(run.kind for run in runs))
    for verb in (("plan", "work"), ("remote", "work", "--budget-minutes", "9")):
        said = refused(*verb, fresh)
        *_, kinds = said.strip().partition("--only ")
    assert not made and not plans.read(fresh).failures()
    plans.work(fresh, only=kinds.split())
    assert set(made) == {"pretrain", "finetune"}
