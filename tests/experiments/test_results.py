"""Results are small, complete and read like runs."""

import html
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import small_book
import small_plan
import tiny
from made_rows import different

from birdiedna.cli import main
from birdiedna.data import files, sample
from birdiedna.data.files import digest
from birdiedna.data.stored import sealed
from birdiedna.evaluation import frames, metrics, statistics
from birdiedna.experiments import collect, cost, make, prepare, profiles, results, runs
from birdiedna.experiments import plan as plans
from birdiedna.experiments.runs import Stored, every_run, open_runs
from birdiedna.experiments.sources import Sources
from birdiedna.figures import show
from birdiedna.tasks import Reading
from birdiedna.training import environment, finetune, pretrain, run_folder
from birdiedna.training.metrics import best_evaluation
from book._ext import build


@pytest.fixture(scope="module")
def plan(folder):
    wanted = small_plan.wanted(folder, ("one",), arms=("birdie", "ntp"))
    made = prepare.prepare(folder / "plan", **wanted)
    plans.work(made.folder)
    return made


@pytest.fixture(scope="module")
def stored(plan):
    """Results called `far`."""
    return collect.collect(plan.folder, "far")


def test_results_contain_every_run_without_weights_and_are_small(plan, stored):
    files = [path for path in stored.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {
        *("results.json", "data.json", "config.json", "manifest.json"),
        *("events.jsonl.gz", "predictions.npz"),
    }
    assert len(list(stored.glob("*/manifest.json"))) == len(plan.runs) == 8
    assert sum(path.stat().st_size for path in files) < 200_000
    assert results.read("far")["left"] == [] and results.names() == ["far"]


def test_a_manifest_contains_all_that_a_figure_states(stored):
    for path in stored.glob("*/manifest.json"):
        said = json.loads(path.read_text())
        assert said["profile"] == "tiny" and said["results"] == "far"
        for key in ("name", "data", "seed", "device", "versions", "wall_s", "code", "command"):
            assert said[key] or said[key] == 0, key
        assert {"git_commit", "git_dirty"} <= set(said)


def test_code_without_git_has_the_commit_of_its_plan(plan, monkeypatch):
    made = plan.place(plan.runs[0].name)
    bare = run_folder.read(made, "manifest") | {"git_commit": None}
    monkeypatch.setattr(run_folder, "read", lambda folder, name: dict(bare))
    known = plan._replace(prepared=plan.prepared | {"git_commit": "abc", "git_dirty": False})
    assert collect._manifest(known, made)["git_commit"] == "abc"
    other = known._replace(prepared=known.prepared | {"code": "other"})
    assert collect._manifest(other, made)["git_commit"] is None


def test_frames_read_from_results_what_they_read_from_runs(plan, stored):
    folders = every_run(open_runs("far"))
    made = [plan.place(folder.name) for folder in folders]
    arms = [run_folder.read(f, "manifest")["arm"] for f in folders]
    assert arms == ["birdie", "ntp", *profiles.ARMS, *profiles.ARMS]  # fine-tuned, then probed
    first, tuned = slice(0, 2), slice(2, 5)
    for frame in (frames.losses, frames.rounds, frames.costs):
        assert frame(folders[first]).equals(frame(made[first])), frame.__name__
    for frame in (frames.results, frames.curves, statistics.table):
        assert frame(folders[tuned]).equals(frame(made[tuned])), frame.__name__
    probed = open_runs("far").probes()
    assert [run_folder.read(f, "manifest")["arm"] for f in probed] == [*profiles.ARMS]
    assert frames.results(probed).equals(frames.results(plan.place(f.name) for f in probed))


def test_a_table_of_probes_has_the_scores_of_their_folders(plan, stored, tmp_path, monkeypatch):
    added = tmp_path / "few" / "README.md"
    added.parent.mkdir()
    added.write_text("what was asked")
    added.parent.rename(older := tmp_path / ".few.older")  # as a kill leaves it
    with files.sole(tmp_path / ".few.tmp", tmp_path), pytest.raises(files.Busy):
        collect.collect(plan.folder, "few", tmp_path)
    assert older.exists()  # it may be that of the other process
    collect.collect(plan.folder, "few", tmp_path, probe_table=True)
    shutil.copytree(added.parent, older)  # as a later kill leaves it
    collect.collect(plan.folder, "few", tmp_path, probe_table=True)
    assert os.listdir(tmp_path) == ["few"]
    monkeypatch.setenv("BIRDIEDNA_RESULTS", str(tmp_path))
    assert added.read_text() == "what was asked" and not list(added.parent.glob("probe-*"))
    few, every = open_runs("few"), results.newest()
    shutil.copytree(added.parent, tmp_path / "other")
    assert [results.newest(name) for name in ("few", "other")] == ["few", "other"]
    shutil.rmtree(tmp_path / "other")
    keys = ["arm", "task", "seed", "finetune_seed", "share", "n_train", "rows", "metric"]
    found = few.probe_scores()
    monkeypatch.setenv("BIRDIEDNA_RESULTS", str(stored.parent))
    whole = open_runs("far").probe_scores().filter(pl.col("metric").is_in(results.PROBE_COLUMNS))
    assert every == "few" and found.schema == whole.schema and found.height == whole.height
    both = found.join(whole, on=keys, how="inner", validate="1:1")
    assert both.height == whole.height and (both["value"] - both["value_right"]).abs().max() < 1e-5
    monkeypatch.setenv("BIRDIEDNA_RESULTS", str(tmp_path))
    assert few.probes() == [] and results.names() == ["few"]
    assert few.variant_scores().is_empty()
    results.add_table("few", results.VARIANTS, "task,arm,seed,auroc\none,birdie,3,0.5\n")
    assert few.variant_scores().row(0) == ("one", "birdie", 3, 0.5, 0)
    assert "not shown" not in collect.summary(tmp_path / "few")
    shutil.copytree(tmp_path / "few", tmp_path / "more")
    again = collect.summary(collect.collect(plan.folder, "more", tmp_path, probe_table=True))
    assert "variants.csv is kept but not shown: it may be of other weights" in again
    shutil.rmtree(tmp_path / "more")
    for file, read in ((results.PROBES, few.probe_scores), (results.VARIANTS, few.variant_scores)):
        (tmp_path / "few" / file).write_text("other")
        with pytest.raises(ValueError, match=f"{file} is damaged: its checksum is wrong"):
            read()


PROBED = "arm,task,seed,subset,share,n_train,rows,accuracy,f1,mcc\n"
ROW = "birdie,one,0,0,0.1,8,60,0.5,0.5,0.0\n"


@pytest.mark.promise("Damage: a crafted file is refused in one line, whatever its checksums say")
@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (frames.probe_table, b"\xff\xfe\x00", "damaged"),
        (frames.probe_table, b"\n", "damaged"),
        (frames.probe_table, b'"', "damaged"),
        (frames.probe_table, PROBED.replace("mcc", "auc") + ROW, "its columns are arm, task"),
        (frames.probe_table, PROBED.replace("mcc", "f1") + ROW, "its columns are arm, task"),
        (frames.probe_table, PROBED + ROW.replace("60", "sixty"), "damaged"),
        (frames.probe_table, PROBED + ROW.replace("60", str(2**70)), "damaged"),
        (frames.probe_table, PROBED + ROW.replace("60", ""), "row 1 has rows None"),
        (frames.probe_table, PROBED + ROW.replace("60", "-1"), "row 1 has rows -1"),
        (frames.probe_table, PROBED + ROW.replace("0.0", "NaN"), "row 1 has mcc nan"),
        (frames.probe_table, PROBED + ROW.replace("0.0", "1e9"), "row 1 has mcc 1000000000.0"),
        (frames.probe_table, PROBED + ROW + ROW[:20] + "\n", "row 2 has"),
        (frames.probe_table, PROBED + ROW + ROW, "a row occurs twice"),
        (frames.probe_table, PROBED + ROW[:-1] + ",9\n", "damaged"),
        (frames.variant_table, "seed,arm,task,auroc\n0,ntp,one,0.5\n", "its columns are seed"),
        (frames.variant_table, "task,arm,seed,auroc\none,ntp,0,inf\n", "row 1 has auroc inf"),
        (frames.variant_table, "task,arm,seed,auroc\n,ntp,0,0.5\n", "row 1 has task"),
    ],
)
def test_a_crafted_table_of_scores_is_refused_in_one_line(read, text, said):
    with pytest.raises(ValueError, match=said) as raised:
        read(text if isinstance(text, bytes) else text.encode())
    (line,) = str(raised.value).splitlines()
    assert ".csv is damaged: " in line and len(line) < 400


def test_a_metric_that_is_added_later_leaves_stored_tables_readable(monkeypatch):
    monkeypatch.setattr(metrics, "METRICS", (*metrics.METRICS, "recall"))
    found = frames.probe_table((PROBED + ROW).encode())
    assert found["metric"].to_list() == ["accuracy", "f1", "mcc"]


def test_results_of_the_repository_are_read_where_there_are_no_others(monkeypatch, tmp_path):
    monkeypatch.setenv("BIRDIEDNA_RESULTS", str(tmp_path))
    assert results.names() == [] and not results.exist("small")
    assert results.newest("eighth") == "small" and Stored("small").probe_scores().height
    with pytest.raises(ValueError, match="no results 'other'"):
        results.read("other")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"format": 2}, "results mine: format 2 is not 1"),
        ({"left": [{"name": "../x", "kind": "pretrain", "arm": "ntp", "seed": 0}]}, r"\.\./x"),
        ({"runs": [{"name": "x", "kind": "finetune", "arm": "ntp", "seed": 0}]}, "results.json"),
    ],
)
def test_results_of_another_format_or_with_runs_of_no_name_are_refused(
    monkeypatch, tmp_path, changed, why
):
    monkeypatch.setenv("BIRDIEDNA_RESULTS", str(tmp_path))
    (tmp_path / "mine").mkdir()
    whole = {"format": 1, "profile": {}, "runs": [], "left": []}
    whole |= {"sha256": {}} | changed
    whole["left"] += [{"name": "y", "kind": "pretrain", "arm": "ntp", "seed": 0}]
    whole["left"] = [{**entry, "why": "none"} for entry in whole["left"]]
    run_folder.write_json(tmp_path / "mine" / "results.json", sealed(whole))
    with pytest.raises(ValueError, match=why):
        results.read("mine")


@pytest.mark.promise("Damage: a crafted file is refused in one line, whatever its checksums say")
@pytest.mark.parametrize(
    ("part", "why"),
    [
        ({"rows": []}, "its 'rows' are empty"),
        ({"sequence": {}}, "'sequence' has no 'bases'"),
        ({"leaked": {"one": [0.5]}}, r"'one'\[0\] is not a whole number"),
    ],
)
def test_crafted_data_of_results_are_refused_in_one_line(stored, monkeypatch, part, why):
    crafted = json.dumps(results.data("far") | part).encode()
    monkeypatch.setattr(results, "intact", lambda *_: crafted)
    with pytest.raises(ValueError, match=f"data.json is damaged: .*{why}"):
        open_runs("far").rows()


def test_results_keep_which_test_rows_leak_and_those_of_older_code_do_not(stored, monkeypatch):
    assert open_runs("far").leaked() == {"one": []}
    older = {key: value for key, value in results.data("far").items() if key != "leaked"}
    monkeypatch.setattr(results, "intact", lambda *_: json.dumps(older).encode())
    assert open_runs("far").leaked() == {} and open_runs("far").rows().height == 1


def test_test_rows_leak_from_train_and_validation_rows_whatever_the_models_read(tmp_path):
    rows = different(0, 60, 300)
    for part, own in (("train", rows[:50]), ("test", [*rows[50:], *rows[:50]])):
        lines = [f"{sequence},{i % 2}" for i, sequence in enumerate(own)]
        (tmp_path / "one").mkdir(exist_ok=True)
        (tmp_path / "one" / f"{part}.csv").write_text("\n".join(["sequence,label", *lines]))
    live = open_runs("quick", Sources(tasks=str(tmp_path)), changes=["tasks=[]"])
    assert live.leaked() == {"one": [*range(10, 60)]}


def test_a_missing_folder_of_results_is_named_with_its_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("BIRDIEDNA_RESULTS", str(tmp_path / "missing"))
    for name in ("small", "none"):
        with pytest.raises(ValueError, match="BIRDIEDNA_RESULTS: no folder .*missing; name anoth"):
            open_runs(name)


@pytest.mark.parametrize("classes", [2, 3])
def test_predictions_keep_every_class_and_the_logits_of_the_chosen_step(classes):
    rng, found = np.random.default_rng(0), {"steps": np.arange(5)}
    for part, rows in (("validation", 40), ("test", 70)):
        found[f"{part}_logits"] = rng.normal(size=(5, rows, classes)).astype(np.float32)
        found[f"{part}_labels"] = rng.integers(0, classes, rows)
    step = best_evaluation(found["validation_labels"], found["validation_logits"])
    found["test_logits"][step, 0, :2] = (7.0, 7.0001)  # rounded to float16, they are equal
    kept = collect.smaller(found)
    assert kept["exact"].tolist() == [step == s for s in range(5)]
    types = [kept[f"{part}_logits"].dtype for part in ("validation", "test")]
    assert types == [np.float16, np.float32]
    for part in ("validation_logits", "test_logits"):
        assert (kept[part].argmax(2) == found[part].argmax(2)).all()
        np.testing.assert_allclose(kept[part][step], found[part][step], rtol=1e-3, atol=1e-3)


def test_data_of_results_are_described_without_reading_them(folder, stored, monkeypatch):
    own = Sources(str(folder / "own.fa"), str(folder / "tasks"), "second")
    live, far = open_runs("tiny", own), open_runs("far")
    here = (live.sequence(), live.rows(), live.baselines().sort("who", "metric"))
    monkeypatch.setattr(runs, "read_task", None)
    monkeypatch.setattr(runs, "read_genome", None)
    assert far.sequence() == here[0] and far.rows().equals(here[1])
    assert far.baselines().sort("who", "metric").equals(here[2])
    assert far.present() == ["one"]


def test_given_rows_are_compared_once_for_a_task_not_for_each_of_its_runs(stored, monkeypatch):
    given = open_runs("far", Sources(tasks=str(stored)))
    marks = {run_folder.read(f, "manifest")["data"]["test"] for f in open_runs("far").comparison()}
    asked = []
    monkeypatch.setattr(runs.Stored, "_mark", lambda _, task: asked.append(task) or [*marks][0])
    assert len(given.comparison()) == 3 and asked == ["one"]


def test_the_profile_of_results_is_that_of_their_runs(stored):
    found = profiles.profile("far")
    assert found.pretrain == {arm: tiny.PROFILE.pretrain[arm] for arm in ("birdie", "ntp")}
    assert found.finetune == tiny.PROFILE.finetune and found.crops == tiny.PROFILE.crops
    with pytest.raises(ValueError, match="did you mean 'far'"):
        profiles.profile("fra")


def test_nothing_is_trained_for_results_and_other_data_are_refused(stored, folder, training):
    with pytest.raises(ValueError, match="far contain no run of .*arm uniform.*: not planned"):
        open_runs("far").pretrained("uniform")
    with pytest.raises(ValueError, match="not planned"):
        open_runs("far", seed=3).finetuned("ntp", "one")
    same = Sources(str(folder / "own.fa"), validation="second")
    assert open_runs("far", same).pretrained("ntp").parent == stored
    others = [(Sources(str(sample.GENOME)), "genome"), (Sources(validation="first"), "validation")]
    others += [(Sources(tasks=str(_other_rows(folder, name))), "test") for name in ("one", "two")]
    others += [(Sources(reading=Reading(length=5)), "test")]
    for other, data in others:
        with pytest.raises(ValueError, match=f"not made from this {data} data"):
            far = open_runs("far", other)
            far.finetuned("ntp", "one") if data == "test" else far.pretrained("ntp")


def _other_rows(folder, name):
    copy = shutil.copytree(folder / "tasks" / "one", folder / f"other-{name}" / name)
    for file in copy.iterdir():
        file.write_text(file.read_text().replace("ACGT", "ACGA"))
    return copy.parent


def test_runs_of_other_code_stay_in_results(stored, monkeypatch):
    monkeypatch.setattr(environment, "code_fingerprint", lambda: "other")
    assert open_runs("far").pretrained("ntp").parent == stored


def test_missing_runs_are_reported_and_nothing_is_compared(plan, tmp_path, monkeypatch, said):
    part, into = shutil.copytree(plan.folder, tmp_path / "part"), tmp_path / "my results"
    whole = ["plan", "collect", part, "--name", "some", "--into", into]
    out, count = said(*whole), len(plan.runs)
    assert f"{into / 'some'}: {count} of {count} runs, " in out and "missing:" not in out
    assert f"show them: BIRDIEDNA_RESULTS='{into}' make book PROFILE=some" in out
    gone = [plan.runs[0], next(r for r in plan.runs if r.kind == "finetune" and r.arm == "random")]
    for run in gone:
        shutil.rmtree(part / "runs" / run.name)
        assert f"missing: {run.name} (not begun)" in said(*whole)
    monkeypatch.setattr(collect, "_LISTED", 1)
    listed = collect.summary(into / "some")
    assert listed.count("missing:") == 1 and "\n  and 1 more\n" in listed
    monkeypatch.setenv("BIRDIEDNA_RESULTS", str(into))
    assert [left["name"] for left in results.read("some")["left"]] == [run.name for run in gone]
    assert open_runs("some").comparison() == []  # without one arm there is nothing to compare
    with pytest.raises(ValueError, match="not begun"):
        open_runs("some").finetuned("random", "one")


def test_results_in_a_folder_of_another_name_say_what_they_were_collected_as(
    plan, tmp_path, monkeypatch
):
    monkeypatch.setenv("BIRDIEDNA_RESULTS", str(tmp_path))
    place = collect.collect(plan.folder, "some")
    shutil.copytree(place, tmp_path / "other")
    said = open_runs("some").missing
    assert open_runs("other").missing == f"These results were collected as some. {said}"


@pytest.mark.parametrize(
    ("without", "lacks"),
    [
        ("", ""),
        ("pretrain birdie", "the pre-training of birdie"),
        ("pretrain", "the pre-training of birdie and ntp"),
        ("finetune one random", "a task that is fine-tuned from birdie, ntp, random by the same"),
        ("finetune", "a task that is fine-tuned from birdie, ntp, random by the same seed"),
    ],
)
def test_what_results_lack_for_a_book_is_reported(without, lacks, folder, monkeypatch):
    made = [{"kind": "pretrain", "arm": arm} for arm in ("birdie", "ntp", "uniform")]
    made += [*entries(("one", 0, 0)), {"kind": "probe", "task": "one", "arm": "random"}]
    words = lambda entry: " ".join(str(entry.get(key, "")) for key in ("kind", "task", "arm"))
    left = [e for e in made if not without or without not in words(e).replace("  ", " ")]
    said = collect.book_lacks(left)
    assert said.startswith(lacks) and bool(said) == bool(lacks)
    profile = json.loads(json.dumps(run_folder.to_json(tiny.PROFILE)))
    monkeypatch.setattr(results, "read", lambda _: {"runs": left, "profile": profile})
    monkeypatch.setattr(runs, "every_run", lambda _: [])
    if lacks:
        with pytest.raises(ValueError, match="results far are too few for a book: it needs"):
            runs.check(runs.Stored("far"))
    else:
        runs.check(runs.Stored("far"))
        profile["pretrain"]["birdie"] = profile["pretrain"]["uniform"]
        with pytest.raises(ValueError, match="about the reward model, which the arm birdie"):
            runs.check(runs.Stored("far"))


@pytest.mark.parametrize(
    ("changed", "lacks"),
    [
        ({"birdie": tiny.PROFILE.pretrain["uniform"]}, "the arm birdie of this profile lacks"),
        ({"birdie": None}, "the book needs the arm birdie, which this profile lacks"),
        ({"ntp": None}, "the book needs the arm ntp, which this profile lacks"),
    ],
)
def test_a_book_without_the_reward_model_or_an_arm_is_refused_before_training(changed, lacks):
    arms = {name: arm for name, arm in (tiny.PROFILE.pretrain | changed).items() if arm}
    with pytest.raises(ValueError, match=lacks):
        runs.check(runs.Live("own", replace(tiny.PROFILE, pretrain=arms, causal=())))


def test_a_book_for_an_absent_device_is_refused_before_training_unless_all_runs_are_made(
    monkeypatch,
):
    own = runs.Live("own", replace(tiny.PROFILE, device="gpu"))
    with pytest.raises(ValueError, match="gpu was asked for and JAX found only cpu"):
        runs.check(own)
    monkeypatch.setattr(make, "finished", lambda *_: True)
    runs.check(own)


def entries(*there):
    """Fine-tunings of every arm by task, pre-training seed and fine-tuning seed."""
    return [
        {"kind": "finetune", "seed": seed, "task": task, "finetune_seed": run, "arm": arm}
        for task, seed, run in there
        for arm in profiles.ARMS
    ]


def blocks(found):
    return {(e["task"], e["seed"], e["finetune_seed"]) for e in runs.block(found)}


def test_a_comparison_is_the_largest_block_without_gaps():
    there = [("a", 0, 0), ("a", 0, 1), ("b", 0, 0), ("b", 0, 1), ("c", 0, 0)]
    found = entries(*there)
    assert blocks(found) == {*there[:4]} and len(runs.block(found)) == 12
    assert {task for task, *_ in blocks(found[:9] + found[12:])} == {"a", "b", "c"}
    assert runs.block([]) == []
    more = [{**one, "arm": "more"} for one in found[::3]]
    assert runs.block([*found, *more[1:]]) == runs.block(found)
    assert len(runs.block([*found, *more])) == 16


def test_every_pretraining_seed_is_compared():
    there = [(task, seed, run) for task in "ab" for seed in range(3) for run in range(2)]
    assert blocks(entries(*there)) == {*there}
    late = entries(*there)[:-3]  # one arm of the last seed is not finished
    assert blocks(late) == {*there[:10]} - {("a", 2, 0), ("a", 2, 1)}
    probes = [entry | {"kind": "probe"} for entry in entries(*there)]
    assert runs.block(probes) == [] and len(runs.block(probes, "probe")) == len(probes)


def test_the_block_of_thousands_of_runs_is_found_without_looking_at_smaller_ones(monkeypatch):
    looks = []

    class Counted(str):
        def __hash__(self):
            looks.append(self)
            return super().__hash__()

    every = entries(*((task, seed, run) for task in "ab" for seed in range(30) for run in range(9)))
    listed = [entry | {"task": Counted(entry["task"])} for entry in every]
    assert len(runs.block(listed)) == len(every)
    assert len(looks) < 20 * len(every)


def test_results_over_the_size_limit_are_refused_and_older_ones_stay(plan, stored, monkeypatch):
    before = sorted(stored.rglob("*"))
    kept, keep = [], collect._keep
    monkeypatch.setattr(collect, "_keep", lambda *of: kept.append(of) or keep(*of))
    limit = (stored / "data.json").stat().st_size + 100
    monkeypatch.setattr(results, "LARGEST_BYTES", limit)
    with pytest.raises(ValueError, match=rf"far: 1 of \d+ runs .* {limit:,}; give --probe"):
        collect.collect(plan.folder, "far")
    assert len(kept) == 1  # no other was compressed
    assert sorted(stored.rglob("*")) == before
    assert [path.name for path in results.root().iterdir()] == ["far"]


@pytest.mark.parametrize(
    "name, why",
    [
        ("quick", "not quick"),
        ("a/b", "use letters"),
        ("", "use letters"),
        ("paper", "are of 'tiny'; choose another name"),
    ],
)
def test_results_never_take_the_name_of_another_profile_or_of_quick(plan, name, why):
    with pytest.raises(ValueError, match=f"results cannot be called '{name}'.*{why}"):
        collect.collect(plan.folder, name)


def test_a_folder_of_other_files_is_no_place_for_results(plan, tmp_path):
    (tmp_path / "mine" / "kept").mkdir(parents=True)
    with pytest.raises(ValueError, match="mine exists and contains no results; choose another na"):
        collect.collect(plan.folder, "mine", tmp_path)
    assert os.listdir(tmp_path / "mine") == ["kept"]


@pytest.fixture
def namesake(plan):
    """Results with the name of their profile, `tiny`."""
    yield collect.collect(plan.folder, "tiny")
    shutil.rmtree(results.root() / "tiny")


class Trained(Exception):
    """A run was about to be made."""


@pytest.fixture
def training(monkeypatch):
    def begun(*_, **__):
        raise Trained

    monkeypatch.setattr(pretrain, "train", begun)
    monkeypatch.setattr(finetune, "train", begun)


def test_the_book_shows_results_named_like_a_profile(namesake, training):
    folders = every_run(open_runs("tiny"))
    assert {folder.parent for folder in folders} == {namesake} and len(folders) == 8
    assert open_runs("tiny").sequence().bases == 1800
    assert set(open_runs("tiny").settings.pretrain) == {"birdie", "ntp"}  # as stored


def test_training_uses_the_profile_of_the_code_and_no_stored_run(
    namesake, training, folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("BIRDIEDNA_RUNS", str(tmp_path))
    assert profiles.profile("tiny") == tiny.PROFILE
    assert open_runs("tiny", stored=False).settings == tiny.PROFILE
    for act in (
        lambda: open_runs("tiny", stored=False).pretrained("ntp"),
        lambda: main.main(["pretrain", "--profile", "tiny", "--arm", "ntp"]),
        lambda: main.main(["finetune", "--profile", "tiny", "--task", "promoter_tata"]),
    ):
        with pytest.raises(Trained):
            act()
    plan = prepare.prepare(folder / "own_plan", "tiny", arms=("uniform",))
    counted = json.loads((plan.folder / "data.json").read_text())
    assert counted["sequence"]["bases"] == 2_700_000
    assert {*plan.profile["pretrain"]} == {"uniform"}


def test_results_are_opened_by_name_even_without_a_profile(stored, training):
    assert open_runs("far", stored=False).pretrained("ntp").parent == stored


def test_the_readme_of_results_is_their_history(stored):
    assert open_runs("far").history == "" == open_runs("tiny").history
    (stored / "README.md").write_text("No verdict.")
    assert open_runs("far").history == "No verdict."
    (stored / "README.md").unlink()


@pytest.fixture
def checkout(monkeypatch):
    """The results of the repository itself."""
    monkeypatch.delenv("BIRDIEDNA_RESULTS")
    return results.root()


def test_the_profile_eighth_has_the_settings_of_the_stored_results(checkout):
    own, stored = profiles.PROFILES["eighth"], open_runs("eighth").settings
    assert stored.pretrain == {arm: own.pretrain[arm] for arm in ("birdie", "ntp", "uniform")}
    assert (stored.finetune, stored.finetune_seeds) == (own.finetune, (0,))
    full = profiles.PROFILES["paper"]
    steps = {"steps": 2_048, "evaluations": (16, *range(64, 2_049, 64))}
    assert own.pretrain["birdie"] == replace(full.pretrain["birdie"], **steps)
    assert own.finetune == replace(full.finetune, steps=1_024, evaluate_every=128)


def test_results_of_the_repository_are_as_they_were_collected(checkout):
    sums, place = results.read("eighth")["sha256"], checkout / "eighth"
    found = {str(path.relative_to(place)): path for path in place.rglob("*") if path.is_file()}
    assert {*found} - {*sums} == {"results.json", "README.md"}
    assert {file: digest(found[file]) for file in sums} == sums
    assert "nothing here is a verdict at the paper's scale" in open_runs("eighth").history


@pytest.mark.parametrize("name", ["small", "eighth"])
def test_the_cost_of_results_is_that_of_their_runs(checkout, name):
    spent = results.read(name)["cost"]
    for run in spent["runs"]:
        if (folder := checkout / name / run["name"]).is_dir():
            assert run["minutes"] == pytest.approx(cost.seconds(folder) / 60), run["name"]
            assert run["standing"] == "finished"
    for kind, minutes in spent["minutes"].items():
        each = [run["minutes"] for run in spent["runs"] if run["kind"] == kind]
        assert minutes == pytest.approx(sum(each)), kind


def test_what_is_missing_is_counted(checkout):
    said = open_runs("eighth").missing
    assert said.startswith("Of 321 planned runs 167 were not finished (")
    assert "uniform mixture: 1 pre-training, 13 probes" in said
    assert "random weights: 32 fine-tunings on 13 tasks, seeds 0, 1, 2" in said
    assert "Of 15 finished fine-tunings 8 are compared" in said
    whole = "All 3,005 planned runs were finished. All 75 fine-tunings are compared."
    assert open_runs("small").missing == whole
    assert open_runs("quick").missing == "Every run that this profile asks for was made."
    assert (open_runs("eighth").fixed, open_runs("quick").fixed) == (("uniform",), ())
    assert open_runs("small").fixed == ("uniform", "averaged", "replayed")  # others have a director


def test_equal_runs_give_equal_bytes(plan, stored):
    before = {p.relative_to(stored): p.read_bytes() for p in stored.rglob("*") if p.is_file()}
    again = collect.collect(plan.folder, "far")
    assert {p.relative_to(again): p.read_bytes() for p in again.rglob("*") if p.is_file()} == before


def test_the_book_takes_a_name_of_results_for_a_profile_and_no_other_word(stored, tmp_path):
    book = small_book.make(tmp_path, {"01_one": small_book.chapter("x = 1")})
    chapter = tmp_path / "book" / "01_one.ipynb"
    assert build.plan(build.Order("far"), book)[0].copy.parts[-3] == "far"
    with pytest.raises(ValueError, match="'fra'; did you mean 'far'"):
        build.plan(build.Order("fra"), book)
    assert build.accepted([chapter], {"profile": "far"}, ["far"])[chapter] == {"profile": "far"}
    with pytest.raises(ValueError, match="quick, paper"):
        build.accepted([chapter], {"profile": "far"})


def test_every_figure_shows_profile_and_device(stored):
    far = {"profile": "paper", "device": "1 x NVIDIA H200"}
    shown = html.unescape(show.fold([far, {"profile": "quick", "device": "1 x cpu"}, far]))
    opening = shown.partition("</summary>")[0]
    assert opening.endswith("(paper, NVIDIA H200; quick, CPU)")
    entries = show.manifests("fig-any", every_run(open_runs("far")))
    assert "(tiny, CPU)" in html.unescape(show.fold(entries))


def test_a_plan_without_a_finished_run_gives_no_results(plan, folder):
    empty = folder / "empty"
    shutil.copytree(plan.folder, empty, ignore=shutil.ignore_patterns("runs"))
    assert plans.read(empty).runs == plan.runs
    with pytest.raises(ValueError, match="no run is finished"):
        collect.collect(empty, "none")
    assert not results.exist("none")


def test_an_installation_without_its_repository_says_that_results_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "_PACKAGE", tmp_path / "birdiedna")
    monkeypatch.setenv("BIRDIEDNA_RESULTS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="stored results are in the repository.*; clone it, run"):
        results.read(results.newest())
