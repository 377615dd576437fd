"""Any setting can be changed by name, on a command line or in a file; mistakes are refused."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from birdiedna.experiments import profiles, runs
from birdiedna.experiments.runs import open_runs
from birdiedna.experiments.sources import Sources, available_tasks
from birdiedna.model import llama
from birdiedna.model.transformer import ModelConfig
from birdiedna.objectives import definitions
from birdiedna.training import run_folder

QUICK = profiles.PROFILES["quick"]
EVERY, WARM = "pretrain.evaluations", "pretrain.director.warmup_steps"
FIXED = '{"type": "Fixed", "ratios": [1, 0, 0, 0, 0, 0, 0]}'


def director(profile):
    return profile.pretrain["birdie"].director


def quick(*changes):
    return profiles.profile("quick", changes)


@pytest.fixture
def write(tmp_path):
    """Writes a profile file, given as JSON or as text; returns its path."""

    def written(content, name="mine.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return written


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("finetune.steps=1_000", lambda p: p.finetune.steps == 1000),
        ("finetune.optimizer.peak=.5e-3", lambda p: p.finetune.optimizer.peak == 0.0005),
        ("finetune.head=pooled", lambda p: p.finetune.head == "pooled"),
        ("pretrain.reverse_complement=True", lambda p: p.pretrain["ntp"].reverse_complement),
        ("tasks=promoter_all, splice_sites_donors", lambda p: len(p.tasks) == 2),
        ("tasks=", lambda p: p.tasks == ()),
        ('tasks=["promoter_all"]', lambda p: p.tasks == ("promoter_all",)),
        ("finetune_seeds=4,5", lambda p: p.finetune_seeds == (4, 5)),
        ('crops={"300": [0, 50]}', lambda p: p.crops == {300: (0, 50)}),
        ("pretrain.director.explore=0,0", lambda p: director(p).explore[0] == 0),
        (f"pretrain.birdie.director={FIXED}", lambda p: type(director(p)).__name__ == "Fixed"),
        (
            "pretrain.objectives.infill_50_3.mean_span=5",
            lambda p: dict(p.pretrain["ul2r"].objectives)["infill_50_3"].mean_span == 5,
        ),
    ],
)
def test_a_setting_of_any_type_is_set_by_its_name(change, value):
    changed = quick(change)
    assert value(changed) and not value(QUICK)
    (noted,) = changed.changes
    assert noted.partition("=")[0] == change.partition("=")[0]
    assert quick(noted) == changed


def test_a_setting_is_that_of_every_arm_unless_one_is_named():
    rows = {arm: config.rows for arm, config in quick("pretrain.rows=16").pretrain.items()}
    assert rows == dict.fromkeys(QUICK.pretrain, 16)
    both = quick("pretrain.ntp.rows=64", "pretrain.rows=16")
    assert {arm: c.rows for arm, c in both.pretrain.items()} == rows | {"ntp": 64}


@pytest.mark.parametrize(
    ("name", "changes", "follows"),
    [
        ("quick", ["pretrain.steps=120"], [f"{EVERY}=20,40,...,120", f"{WARM}=40"]),
        ("paper", ["pretrain.steps=2048"], [f"{EVERY}=16,32,...,2048", f"{WARM}=32"]),
        ("quick", ["pretrain.chunk_steps=40"], []),
        ("quick", ["finetune.steps=90"], ["finetune.evaluate_every=45"]),
        ("quick", ["finetune.steps=101"], ["finetune.evaluate_every=101"]),
        ("quick", ["finetune.steps=90", "finetune.evaluate_every=10"], []),
        ("quick", ["finetune.optimizer.peak=1e-4"], ["finetune.optimizer.final=0.0001"]),
        ("quick", ["pretrain.optimizer.peak=1e-3"], []),
        ("quick", ["pretrain.model.width=32"], ["finetune.model.width=32"]),
        ("quick", ["pretrain.birdie.bidirectional=false"], ["causal=ntp,birdie"]),
        ("quick", ["finetune.steps=60"], []),
    ],
)
def test_dependent_settings_follow_and_are_reported(name, changes, follows):
    changed = profiles.profile(name, changes)
    assert list(changed.follows) == follows
    said = profiles.summary(changed)
    assert all(text in said for text in [*changes, *follows])


@pytest.mark.promise("Settings: an unknown or ill-typed setting is refused with the closest name")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("pretrain.stepz=5", "unknown setting 'pretrain.stepz'; did you mean 'pretrain.steps'?"),
        ("pretrain.optimiser.peak=1", "did you mean 'pretrain.optimizer.peak'?"),
        ("pretrain.ntp.director.floor=1", "did you mean 'pretrain.director.floor'?"),
        ("head=pooled", "did you mean 'finetune.head'?"),
        ("peak=1", "did you mean 'pretrain.optimizer.peak' or 'finetune.optimizer.peak'?"),
        ("xyz=1", "unknown setting 'xyz'; `birdiedna settings` lists them"),
        ("finetune.head=poled", "head 'poled' is not one of label, objective, pooled"),
        ("pretrain.steps=1e3", "pretrain.steps=1e3: a whole number is needed"),
        ("pretrain.steps=4_0", "pretrain.steps=4_0: a whole number is needed"),
        ("pretrain.optimizer.peak=1_0", "pretrain.optimizer.peak=1_0: a number, such as 3e-4"),
        ("pretrain.steps=", "pretrain.steps=: a whole number is needed"),
        ("pretrain.optimizer.peak=fast", "pretrain.optimizer.peak=fast: a number, such as 3e-4"),
        ("pretrain.optimizer.peak=1e39", "peak: 1e+39 is not a finite number of float32"),
        ("pretrain.optimizer.clip=1e-40", "clip: 1e-40 is not a finite number of float32"),
        ("pretrain.optimizer.peak=nan", "pretrain.optimizer.peak: nan is not a finite number"),
        ("pretrain.bidirectional=no", "pretrain.bidirectional=no: true or false is needed"),
        ("finetune_seeds=0,x", "finetune_seeds=x: a whole number is needed"),
        ("finetune_seeds=0,0", "finetune_seeds names 0 twice; leave one out"),
        ("finetune_seeds=", "finetune_seeds (): give one or more"),
        ("pretrain.director=learned", "pretrain.director=learned: JSON, as in config.json"),
        ('crops={"300": [0, 63], "300": [9, 72]}', "(field '300' occurs twice; delete one)"),
        ("pretrain.steps", "setting 'pretrain.steps' is not like pretrain.steps=200"),
        ("pretrain.steps=50", "pretrain.steps=50 is no multiple of pretrain.chunk_steps=20; take"),
        ("pretrain.steps=0", "steps 0 must be at least 1"),
        ("pretrain.director.warmup_steps=240", "warm-up of 240 steps is as long as the run of 240"),
        ("finetune.steps=-8", "steps -8 must be at least 1"),
        ("pretrain.evaluations=100,200", "must rise and end at 240"),
        ("pretrain.rows=9000000000000000", "pretrain.rows: 9000000000000000 is too large; give"),
        ("pretrain.rows=48", "evaluation_rows 64 must divide by rows 48"),
        ("pretrain.model.vocabulary=9", "vocabulary 9 is smaller than the 384 ids in use"),
        ("pretrain.model.blocks=100000000", "blocks 100,000,000 are more than 1,024"),
        ("pretrain.model.rope_base=0", "rope_base 0 must be above 0"),
        ("pretrain.objectives.copying.token=17", "objectives need a token each, from 16 to 31"),
        ("pretrain.objectives.copying.token=99", "objectives need a token each, from 16 to 31"),
        ("pretrain.objectives.infill_50_3.rate=2", "rate must be in (0, 1] and mean_span at least"),
        ("pretrain.objectives.prefix_lm_75.rate=1", "prefix rate 1.0 must be in (0, 1)"),
        ("pretrain.objectives.autoencoding_30_50.shuffled=3", "shuffled is a share, from 0 to 1"),
        ("pretrain.objectives.selective_copying_15.before=-3", "before -3 must be at least 1"),
        ("pretrain.birdie.director.classes=0,1", "7 objectives need as many classes, not (0, 1)"),
        ("pretrain.ntp.director.ratios=.5,.5", "1 objectives need as many ratios, not (0.5, 0.5)"),
        ("pretrain.steps=3000000000", "steps 3,000,000,000 are more than 2,147,483,647"),
        ("pretrain.slots=99999999999", "slots 99,999,999,999 are more than 1,048,576"),
        ("finetune.steps=3000000000", "steps 3,000,000,000 are more than 2,147,483,647"),
        ("pretrain.rows=1000000000", "rows 1,000,000,000 are more than 1,048,576"),
        ("finetune.rows=1000000000", "rows 1,000,000,000 are more than 1,048,576"),
        ("probe.rows=1000000000", "rows 1,000,000,000 are more than 1,048,576"),
        ("probe.subsets=1000000", "subsets 1,000,000 are more than 1,000"),
        ("simulated_seeds=1000000000", "simulated_seeds 1,000,000,000: give 1 to 1,000"),
        ("finetune_seeds=1,1", "finetune_seeds names 1 twice"),
        ("tasks=promoter_all,promoter_all", "tasks names 'promoter_all' twice"),
        ('crops={"300": [50, 10]}', "crops: 50-10 is no part of 300 bases"),
        ("finetune.model.width=32", "set pretrain.model.width, for all arms alike"),
        ("pretrain.ntp.model.width=32", "set pretrain.model.width, for all arms alike"),
        ("pretrain.validation=chr8", "name contigs with `--validation`"),
        ("finetune.classes=3", "they are those of the task"),
        ("finetune.bidirectional=true", "set `causal`"),
        ("name=other", "a profile is called like its file"),
        ("device=gpuu", "device 'gpuu' is none of any"),
        ("causal=nt", "causal: unknown arm 'nt'; choose some of birdie"),
        ("crops=[1]", "crops: [1] must be a JSON object"),
        ('crops={"a": [0, 1]}', "crops: key 'a' must be a whole number"),
        ('finetune.optimizer={"type": "Fit"}', "'Fit' is none of the types OptimizerConfig"),
        ('pretrain.birdie.model={"type": "Fit"}', "birdie.model: 'Fit' is none of the types Mod"),
        ('pretrain.director={"type": "Fit"}', "'Fit' is none of the types Fixed, Birdie, Rec"),
        ('pretrain.objectives.copying={"type": "Fit"}', "'Fit' is none of the types Copying"),
        ('pretrain.ntp.objectives=[["a", {"type": "Fit"}]]', "objectives[0][1]: 'Fit' is none of"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(change, why, refused):
    assert why in refused("pretrain", "--set", change)


def test_a_setting_given_twice_or_within_another_is_refused():
    with pytest.raises(ValueError, match="'tasks' is given twice"):
        quick("tasks=a", "tasks=b")
    director = 'pretrain.birdie.director={"type":"Fixed","ratios":[1]}'
    with pytest.raises(ValueError, match=r"director and pretrain.birdie.director.floor are both"):
        quick(director, "pretrain.director.floor=0.1")


def test_unknown_tasks_of_the_sample_are_refused_before_anything_is_read():
    with pytest.raises(ValueError, match="'promoter_al', and the sample has only promoter_all"):
        available_tasks(quick("tasks=promoter_al"), Sources())


def test_tasks_that_are_set_are_those_of_any_folder(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.csv").write_text("sequence,label\nACGT,0\n")
    own = Sources(tasks=str(tmp_path))
    assert available_tasks(quick(), own) == ["one", "two"]
    assert available_tasks(quick("tasks=two"), own) == ["two"]
    with pytest.raises(
        ValueError, match=f"'three', and {tmp_path} has only one, two; name the fol"
    ):
        available_tasks(quick("tasks=two,three"), own)


def test_a_file_changes_a_named_profile_and_the_command_line_wins(write):
    path = write({"base": "quick", "pretrain": {"steps": 200}, "finetune.head": "pooled"})
    mine = profiles.profile(path)
    assert (mine.name, mine.base) == ("mine", "quick")
    assert mine.pretrain == quick("pretrain.steps=200").pretrain
    shorter = profiles.profile(path, ["pretrain.steps=100"])
    assert shorter.changes == ("pretrain.steps=100", "finetune.head=pooled")
    assert shorter.pretrain == quick("pretrain.steps=100").pretrain


def test_a_file_names_the_objectives_of_an_arm(write):
    named = [
        [name, run_folder.to_json(definitions.EVERY[name])] for name in ("copying", "masked_15")
    ]
    own = {"pretrain.birdie.objectives": named, "pretrain.birdie.director.classes": [0, 1]}
    arms = profiles.profile(write({"base": "quick", **own})).pretrain
    assert [name for name, _ in arms["birdie"].objectives] == ["copying", "masked_15"]
    assert arms["uniform"] == QUICK.pretrain["uniform"]


def test_a_whole_profile_is_written_and_read(write, said):
    path = write(said("settings", "--json", "--set", "finetune.head=pooled"))
    found = profiles.profile(path)
    assert (found.name, found.base, found.changes) == ("mine", "mine.json", ())
    same = {"name": "quick", "base": "", "changes": ("finetune.head=pooled",)}
    assert replace(found, **same) == quick("finetune.head=pooled")


@pytest.mark.promise("Settings: a mistake in a profile file is refused in one line with the file")
@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"base": "papr"}, "unknown profile 'papr'; did you mean 'paper'?"),
        ({"base": 5}, "base 5 is not the name of a profile"),
        ({"bas": "paper"}, "did you mean 'base' by 'bas'?"),
        ({}, 'name the profile that is changed, as "base": "paper"'),
        ({"base": "paper", "pretrain.stpes": 1}, "did you mean 'pretrain.steps'?"),
        ({"base": "paper", "pretrain": {"stpes": 1}}, "did you mean 'pretrain.steps'?"),
        ({"base": "paper", "pretrain.steps": "64"}, "'64' must be of type int; write 64 without"),
        ({"base": "paper", "finetune.head": 3}, "finetune.head: 3 must be of type str"),
        ({"base": "paper", "pretrain.steps": 64.0}, "64.0 must be of type int"),
        ('{"base": "paper",}', "is damaged"),
        ('{"base": "paper", "device": "cpu", "device": "gpu"}', "field 'device' occurs twice"),
        ('{"base": "paper", "a.b": 1, "a": {"b": 2}}', "setting 'a.b' is given twice"),
        ('{"base": "other.json"}', "'other.json' is not the name of a profile"),
        ("[1]", "it is not an object"),
        ({"pretrain": {}, "finetun": {}}, "did you mean 'finetune'?"),
        ({"pretrain": {}}, "Profile needs a value for 'finetune'"),
    ],
)
def test_a_mistake_in_a_profile_file_is_refused_in_one_line(write, refused, content, why):
    path = write(content)
    line = refused("pretrain", "--profile", path)
    assert path in line and why in line


def test_a_file_that_is_absent_or_called_like_a_profile_is_refused(write, tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}/none.json: there is no such file")):
        profiles.profile(f"{tmp_path}/none.json")
    with pytest.raises(ValueError, match="'quick' is the name of a profile; rename the file"):
        profiles.profile(write({"base": "paper"}, "quick.json"))


@pytest.mark.parametrize(
    ("given", "change", "why"),
    [
        ("llama", "pretrain.model.blocks=1", "has blocks 3"),
        ("llama", " pretrain.ntp.model.width =64", "has width 512"),
        ("model", "finetune.model.blocks=1", "has blocks 4"),
        ("model", 'finetune.model={"type":"ModelConfig"}', "has model of its own"),
        ("model", "pretrain.steps=40", "is trained already"),
        ("model", "pretrain.director.model.width=32", "is trained already"),
    ],
)
def test_a_setting_that_a_model_has_decided_is_refused(tmp_path, given, change, why):
    config = llama.to_config(ModelConfig(blocks=3), 64)
    run_folder.write_json(tmp_path / "config.json", config)
    name = {"llama": str(tmp_path), "model": "eighth-ntp"}[given]
    kept = ["pretrain.model.attention=einsum", "finetune.head=pooled"]
    kept += ["pretrain.steps=40", "pretrain.director.model.width=32"] * (given == "llama")
    open_runs("quick", changes=kept, **{given: name})
    with pytest.raises(ValueError) as error:
        open_runs("quick", changes=[*kept, change], **{given: name})
    assert str(error.value) == f"--set {change}: {name} {why}; leave it out"


def test_the_command_of_a_run_leaves_out_what_a_model_has_decided(write):
    changes = {"pretrain.steps": 40, "pretrain.model.blocks": 1, "finetune.head": "pooled"}
    path = write({"base": "quick", **changes})
    spec = open_runs(path, model="eighth-ntp").finetuning("birdie", "promoter_all")
    again = open_runs("quick", changes=spec.changes, model="eighth-ntp")
    assert spec.changes == ("finetune.head=pooled",)
    assert again.finetuning("birdie", "promoter_all").record() == spec.record()
    of_llama = open_runs(path, llama="mine")._changes("pretrain", "birdie")
    assert of_llama == ("pretrain.steps=40",)


@pytest.mark.promise("Settings: suggested commands can be pasted into a shell")
def test_the_file_that_commands_of_stored_results_name_is_written_by_the_proposed_command(
    refused, said, tmp_path, monkeypatch
):
    monkeypatch.delenv("BIRDIEDNA_RESULTS")
    monkeypatch.chdir(tmp_path)
    stored = run_folder.read(open_runs("small").pretrained("linear"), "manifest")
    words = shlex.split(stored["command"])[1:]
    command, _, file = refused(*words).rpartition("write it: birdiedna ")[2].partition(" > ")
    Path(file.strip()).write_text(said(*shlex.split(command)))
    live = open_runs("small.json", seed=stored["seed"], stored=False)
    assert live.pretraining("linear").name == stored["name"]


def test_every_setting_is_listed_and_can_be_set_to_what_it_is():
    listed = profiles.listed(QUICK)
    assert {"pretrain.steps", "finetune.optimizer.peak", "tasks"} <= set(listed)
    same = quick(*(f"{name}={value}" for name, value in listed.items()))
    assert replace(same, changes=()) == QUICK


def test_settings_are_recorded_in_name_config_and_manifest():
    changes = ["pretrain.steps=4", "finetune.head=pooled", "finetune.optimizer.peak=1e-3"]
    here, usual = open_runs("tiny", changes=changes), open_runs("tiny")
    spec = here.finetuning("birdie", "promoter_tata")
    other = usual.finetuning("birdie", "promoter_tata")
    assert spec.name != other.name and spec.start != other.start
    config = spec.record()
    assert (config["head"], config["optimizer"]["final"]) == ("pooled", 1e-3)
    manifest = spec.manifest()
    assert manifest["changes"] == changes and "changes" not in other.manifest()
    assert all(f"--set {change}" in manifest["command"] for change in changes)
    start = here.pretraining("birdie")
    assert (start.config.steps, start.config.evaluations) == (4, (2, 4))


def test_a_run_records_the_changes_it_may_depend_on():
    of_both = ["pretrain.rows=16", "pretrain.ntp.rows=64"]
    of_tuning = ["finetune.head=pooled", "causal=ntp,random"]
    changed = quick(*of_both, *of_tuning, "finetune_seeds=0", "tasks=promoter_all")
    assert list(profiles.changes_of(changed, "pretrain", "birdie")) == of_both[:1]
    assert list(profiles.changes_of(changed, "pretrain", "ntp")) == of_both
    assert list(profiles.changes_of(changed, "finetune", "random")) == of_both[:1] + of_tuning
    of_any = ["pretrain.ntp.model.recompute=true", "finetune.model.attention=einsum"]
    for arm in ("birdie", "random"):  # whose fine-tunings have the model that is set, too
        assert list(profiles.changes_of(quick(*of_any), "finetune", arm)) == of_any
    assert not profiles.changes_of(quick(*of_any), "pretrain", "birdie")


def test_runs_of_a_profile_file_have_its_name_and_a_command_without_it(write):
    opened = open_runs(write({"base": "tiny", "pretrain.optimizer.peak": 0.02}))
    spec = opened.pretraining("ntp")
    assert opened.name == spec.profile == "mine"
    assert "--profile tiny --set pretrain.optimizer.peak=0.02 --arm ntp" in spec.command()
    same = open_runs("tiny", changes=["pretrain.optimizer.peak=2e-2"])
    assert spec.name == same.pretraining("ntp").name


def test_results_keep_the_settings_they_were_made_by(monkeypatch):
    monkeypatch.setattr(runs.results, "exist", lambda name: name in ("far", "tiny"))
    with pytest.raises(ValueError, match="results far have settings of their own; leave out"):
        open_runs("far", changes=["finetune.head=pooled"])
    assert open_runs("tiny").stored and not open_runs("tiny", changes=["pretrain.rows=8"]).stored


def test_one_text_in_place_of_several_is_not_read_letter_by_letter():
    for use in (
        lambda text: profiles.profile("quick", text),
        lambda text: open_runs("quick", changes=text),
    ):
        with pytest.raises(ValueError, match=r"'pretrain.steps=40' are one text; give a list"):
            use("pretrain.steps=40")


@pytest.mark.parametrize("seed", [1.5, "1", None, True])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(ValueError, match="seed .* is no whole number; give 0 or more"):
        open_runs("quick", seed=seed).pretraining("ntp")
    with pytest.raises(ValueError, match="seed 4294967296: give 0 to 4294967295"):
        open_runs("quick", seed=2**32).pretraining("ntp")  # its keys are those of seed 0
