"""Runs of a profile are made once, and figures read them."""

import re
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import small_plan
import tiny

from birdiedna import vocab
from birdiedna.cli import train
from birdiedna.evaluation import frames, paper_claims, scarcity
from birdiedna.experiments import config_json, make, profiles, runs, sources
from birdiedna.experiments.runs import every_run, open_runs
from birdiedna.experiments.sources import Sources, described_genome, read_genome, read_task
from birdiedna.training import environment, pretrain, run_folder


@pytest.fixture(scope="module")
def made(folder):
    return every_run(open_runs("tiny"))


def test_a_comparison_has_every_arm_on_every_task_and_is_made_once(made):
    arms = [run_folder.read(folder, "manifest")["arm"] for folder in made]
    assert arms == ["birdie", "ntp", *profiles.ARMS, *profiles.ARMS]  # fine-tuned, then probed
    times = lambda runs: [(run, (run / "manifest.json").stat().st_mtime_ns) for run in runs]
    before = times(made)
    assert times(every_run(open_runs("tiny"))) == before
    assert open_runs("tiny", seed=1).pretrained("ntp") not in made


def test_a_comparison_has_every_pretraining_seed_of_the_profile(monkeypatch):
    monkeypatch.setattr(runs.Live, "_made", lambda _, suite: list(suite))
    live = runs.Live("tiny", replace(tiny.PROFILE, pretrain_seeds=(0, 1)))
    for specs in (live.comparison(), live.probes()):
        assert {(spec.seed, spec.arm) for spec in specs} == {
            (seed, arm) for seed in (0, 1) for arm in profiles.ARMS
        }
        starts = {spec.start for spec in specs if spec.arm == "ntp"}
        each = (replace(live, seed=seed) for seed in (0, 1))
        assert starts == {one.pretraining("ntp").name for one in each}
    alone = replace(live, seed=7)  # a seed of no profile is compared with itself
    assert {spec.seed for spec in alone.comparison()} == {7}


def test_smaller_shares_of_the_train_rows_are_runs_beside_the_comparison(monkeypatch):
    monkeypatch.setattr(runs.Live, "_made", lambda _, suite: list(suite))
    found = runs.open_runs("quick", changes=["finetune_shares=0.05,0.25"])
    whole, few = found.comparison(), found.shares()
    assert {spec.share for spec in whole} == {1} and len(few) == 2 * len(whole)
    spec = few[0]
    assert spec.config.share == spec.manifest()["share"] == 0.05 and "-share0.05-" in spec.name
    assert 0 < spec.manifest()["rows"]["train"] < whole[0].manifest()["rows"]["train"] / 15
    assert runs.open_runs("quick").shares() == []
    with pytest.raises(ValueError, match="finetune_shares: 1"):
        runs.open_runs("quick", changes=["finetune_shares=1"])


def test_rows_are_read_and_marked_once_for_a_suite_not_for_each_of_its_runs(monkeypatch):
    asked, marked, mark = [], [], runs.fingerprint
    monkeypatch.setattr(runs, "fingerprint", lambda rows: marked.append(rows) or mark(rows))
    read = lambda settings, sources, task: asked.append(task) or read_task(settings, sources, task)
    monkeypatch.setattr(runs, "read_task", read)
    suite = runs.Live("tiny", replace(tiny.PROFILE, pretrain_seeds=(10, 11)), seed=10).suite()
    assert len([spec for spec in suite if spec.task]) == 12 and asked == ["promoter_tata"]
    assert len(marked) == 3  # train, validation, test


def test_contigs_of_the_held_out_loss_are_chosen_once_for_a_suite(tmp_path, monkeypatch):
    asked, choose = [], sources.genomes.default_validation
    chosen = lambda *of: asked.append(of) or choose(*of)
    monkeypatch.setattr(sources.genomes, "default_validation", chosen)
    (own := tmp_path / "own.fa").write_text("".join(f">{n}\n{'ACGT' * 900}\n" for n in "abc"))
    runs.Live("tiny", replace(tiny.PROFILE, pretrain_seeds=(0, 1)), Sources(str(own))).suite()
    assert len(asked) == 1


def test_runs_of_other_code_are_named_in_one_line(made, monkeypatch, caplog):
    monkeypatch.setattr(make, "same_code", lambda _: False)
    monkeypatch.setattr(make, "work", lambda *_: made)
    runs.Live("tiny", replace(tiny.PROFILE, remake=False))._made([])
    names = ", ".join(folder.name for folder in made[:5])
    (said,) = caplog.messages
    more = f"{names} and {len(made) - 5} more"
    assert said == f"{more} were made by other code; remove them to repeat the runs"


def test_seeds_of_an_arm_are_pre_trained_together_before_what_starts_from_them(folder, monkeypatch):
    """As on an accelerator, where several small runs are one program."""
    made = []

    def train(group, *given):
        made.append([(spec.kind, spec.arm, spec.seed) for spec in group])
        return small_plan.untrained(group, *given)

    monkeypatch.setattr(make, "_events", train)
    monkeypatch.setattr(make.devices, "runs_at_once", lambda work: 2)
    live = runs.Live("tiny", replace(tiny.PROFILE, pretrain_seeds=(10, 11, 12)), seed=10)
    probes = live.probes()
    of = lambda kind, arm, *seeds: [(kind, arm, seed) for seed in seeds]
    assert len(probes) == 9
    assert made == [
        *(of("pretrain", arm, 10, 11) for arm in ("birdie", "ntp")),
        *(of("probe", arm, seed) for seed in (10, 11) for arm in profiles.ARMS),
        *(of("pretrain", arm, 12) for arm in ("birdie", "ntp")),
        *(of("probe", arm, 12) for arm in profiles.ARMS),
    ]
    folders = [replace(live, seed=seed).pretrained("ntp") for seed in (10, 11, 12)]
    together = [run_folder.read(place, "manifest").get("together") for place in folders]
    assert together == [2, 2, None]


def test_a_share_of_the_rows_is_fine_tuned_and_reaches_the_verdict_on_scarce_data(made):
    settings = replace(tiny.PROFILE, pretrain_seeds=(0, 1), finetune_shares=(0.5,))
    live = runs.Live("tiny", settings)
    few, whole = live.shares(), live.comparison()
    read = lambda folder: run_folder.read(folder, "manifest")
    assert [(read(f)["seed"], read(f)["arm"]) for f in few] == [
        (seed, arm) for seed in (0, 1) for arm in profiles.ARMS
    ]
    assert {read(f)["share"] for f in few} == {0.5}
    (half,), (all_rows,) = ({read(f)["rows"]["train"] for f in part} for part in (few, whole))
    assert half == all_rows // 2
    swept = frames.results([*whole, *few])
    assert dict(swept.group_by("share").len().iter_rows()) == {0.5: 18, 1.0: 18}
    found = scarcity.scarcity(swept, "birdie", "ntp")
    assert len(found.slopes) == 2 and np.isfinite(found.slopes).all()
    said, verdict = paper_claims.scarce(found)
    assert verdict == "inconclusive" and "2 sizes; runs of kind finetune" in said


def test_runs_of_other_code_are_rebuilt_in_quick_and_stay_in_paper(made, monkeypatch, caplog):
    kept = replace(open_runs("tiny"), settings=replace(tiny.PROFILE, remake=False))
    assert kept.pretrained("ntp") == made[1] and not caplog.text
    monkeypatch.setattr(environment, "code_fingerprint", lambda: "other")
    assert kept.pretrained("ntp") == made[1]
    assert f"{made[1].name} was made by other code; remove it to repeat the run" in caplog.text
    assert not make.finished(made[0], tiny.PROFILE.remake)
    assert make.finished(made[0], profiles.PROFILES["paper"].remake)


def test_fine_tuning_starts_from_the_run_it_names(made):
    start = run_folder.read(made[2], "config")["start"]
    assert start == made[0].name
    assert run_folder.read(made[4], "config")["start"] == "random"
    assert [run_folder.read(f, "config")["bidirectional"] for f in made[2:5]] == [True, False, True]


def test_frames_hold_one_row_per_objective_and_step(made):
    losses = frames.losses(made[:2])
    assert losses.group_by("arm", "step").len()["len"].unique().to_list() == [8]
    assert set(losses["arm"]) == {"birdie", "ntp"}
    rounds = frames.rounds(made[:2])
    sums = rounds.group_by("arm", "start").agg(pl.col("ratio", "rows_share").sum())
    np.testing.assert_allclose(sums.select("ratio", "rows_share"), 1, atol=1e-5)
    assert frames.costs(made[:2])["steps"].to_list() == [6, 6]
    assert sums.height == 6 and rounds["end"].unique().sort().to_list() == [2, 4, 6]


def test_results_are_scores_at_the_step_that_validation_chose(made):
    results = frames.results(made[2:5])
    assert set(results["metric"]) == {"accuracy", "f1", "mcc"}
    assert (results["low"] <= results["value"]).all()
    assert (results["value"] <= results["high"]).all()
    labels, logits, step = frames.chosen(made[2])
    accuracy = (logits.argmax(1) == labels).mean()
    row = results.row(0, named=True)
    assert (row["metric"], row["value"], row["step"]) == ("accuracy", pytest.approx(accuracy), step)
    curves = frames.curves(made[2:3])
    assert curves["step"].unique().to_list() == [0, 2, 4]


def test_a_run_of_another_kind_is_told_as_such_and_not_as_damaged(made):
    started, tuned = made[1], made[2]
    for read in (frames.losses, frames.rounds, frames.costs):
        with pytest.raises(ValueError, match="run of kind 'finetune'; give .* of a pre-training"):
            read([tuned])
    for read in (frames.results, frames.curves, frames.probabilities):
        with pytest.raises(FileNotFoundError, match="has no predictions; give the folder of a fin"):
            read([started])


def test_printed_losses_and_scores_are_beside_those_of_a_guess(made, said, monkeypatch):
    first, *losses, _ = said("pretrain", "--profile", "tiny", "--arm", "ntp").splitlines()
    assert first.endswith("0 and 6, nats per label token (a guess among four bases: 1.386):")
    marked = {line.split()[0] for line in losses if line.endswith("not trained on by this arm")}
    assert {line.split()[0] for line in losses} - marked == {"next_token"}
    monkeypatch.setattr(train, "_FEW", 10**9)
    out = said("finetune", "--profile", "tiny", "--arm", "ntp", "--task", "promoter_tata")
    assert "of 4, chosen on validation (95% intervals over rows; f1 of class 1):" in out
    assert "rows are too few to tell methods apart" in out
    beside = r"majority class -?\d.*5-mers -?\d.*pairs of letters -?\d"
    scores = re.findall(rf"^  (?:accuracy|f1|mcc) .*{beside}", out, re.M)
    assert len(scores) == 3
    assert "at step 0 of 4" in out and out.count("]  last step ") == 3


def test_a_path_in_place_of_sources_is_refused_with_what_to_give():
    with pytest.raises(TypeError, match=r"sources 'x.fa': give Sources\(genome=..., tasks=...\)"):
        open_runs("tiny", "x.fa")


@pytest.mark.parametrize("name", ["genome", "tasks", "validation"])
def test_what_papermill_read_as_a_number_is_refused_with_the_option_that_keeps_text(name):
    with pytest.raises(ValueError, match=f"{name} 8 is not text; .* -r {name} 8"):
        Sources(**{name: 8})


@pytest.mark.promise("Bad input: all data are checked before anything is trained")
def test_all_data_are_checked_before_anything_is_trained(tmp_path, monkeypatch):
    def never(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr(pretrain, "train", never)
    for folder, said in ((tmp_path / "none", "none"), (tmp_path, str(tmp_path))):
        with pytest.raises((ValueError, FileNotFoundError), match=said):
            every_run(open_runs("tiny", Sources(tasks=str(folder)), 7))
    (tmp_path / "bad").mkdir()
    for split in ("train", "test"):
        (tmp_path / "bad" / f"{split}.csv").write_text("sequence,label\nACGT,0\nACGT,x\n")
    with pytest.raises(ValueError, match="bad"):
        every_run(open_runs("tiny", Sources(tasks=str(tmp_path)), 7))


def test_a_run_that_fails_leaves_nothing_behind(made):
    with pytest.raises(ValueError, match="no contig 'chr9'"):
        open_runs("tiny", Sources(validation="chr9")).pretrained("ntp")
    assert not list(made[0].parent.glob("*.partial"))


def test_the_fixed_mixtures_are_arms_too(made):
    run = open_runs("tiny").pretrained("uniform")
    decisions = run_folder.events(run, "decision")
    assert len({str(d["ratios"]) for d in decisions}) == 1
    assert {"uniform", "ul2r"} <= set(profiles.PROFILES["quick"].pretrain)
    assert open_runs("tiny").fixed == ("uniform",)  # only what was run


def test_masked_tokens_are_an_arm_that_measures_its_own_objective_too(made):
    arm = open_runs("tiny").pretraining("mlm")
    assert arm.config.monitored().names == (*vocab.OBJECTIVES[1:-1], "next_token", "masked_15")
    assert "masked_15" not in run_folder.events(made[0], "evaluation")[0]["losses"]
    tuned = open_runs("tiny").finetuning("mlm", "promoter_tata")
    assert tuned.start == arm.name and tuned.config.bidirectional
    assert config_json.parse(run_folder.to_json(arm.config)) == arm.config


@pytest.mark.promise("Settings: a mistake on the command line is one line with a remedy")
@pytest.mark.parametrize(
    "words, why",
    [
        (["pretrain", "--profile", "tiyn"], "unknown profile 'tiyn'; did you mean 'tiny'"),
        (["pretrain", "--profile", "tiny", "--validation", "chr9"], "no contig 'chr9'"),
        (["pretrain", "--profile", "tiny", "--genome", "HELD"], "all contigs of"),
        (["pretrain", "--genome", "none.fa"], "none.fa"),
        (["pretrain", "--genome", "OWN", "--validation", "one"], "such as one:361-400"),
        (["pretrain", "--genome", "OWN", "--validation", "one:9-401"], "which has 400 bases"),
        (["finetune", "--task", "promoter_al"], "did you mean 'promoter_all'"),
        (["probe", "ntp", "-o", "OWN/none/a.csv"], "OWN/none: no such folder"),
        (["data", "check"], "needs a FASTA file or a folder"),
        (["data", "check", "nowhere.fa"], "nowhere.fa: no such file or folder"),
    ],
)
def test_a_mistake_on_the_command_line_is_refused_in_one_line_with_a_remedy(
    words, why, refused, tmp_path
):
    for name, contig in (("OWN", "one"), ("HELD", "chr20")):
        (tmp_path / name).write_text(f">{contig}\n{'ACGT' * 100}\n")
    assert why in refused(*(tmp_path / w if w in ("OWN", "HELD") else w for w in words))


@pytest.mark.promise("Bad input: what reading changes is counted and reported")
def test_bases_that_no_window_can_contain_are_reported_and_recorded(tmp_path):
    slots = next(iter(tiny.PROFILE.pretrain.values())).slots
    text = "ACGT" * slots
    short = f"{text[: slots - 1]}N{text[: slots - 2]}NN{text}"
    (tmp_path / "draft.fa").write_text(f">a\n{short}\n>b\n{text[: slots - 3]}\n>c\n{text * 9}\n")
    given = Sources(str(tmp_path / "draft.fa"), validation="c")
    lost = 3 * slots - 3  # two stretches of `a` with three N, and all of `b`
    trained, apart, *_ = described_genome(tiny.PROFILE, given)
    assert trained.endswith(f", a, b; {lost:,} are in no window of {slots} bases without N")
    assert apart.endswith(" c")
    runs = open_runs("tiny", given, changes=[f"pretrain.ntp.slots={slots - 1}"])
    for arm, number in (("birdie", lost), ("ntp", 2 * slots - 2)):  # a stretch fits its windows
        assert runs.pretraining(arm).data_notes["not_drawn"] == number


def test_the_end_of_a_single_contig_is_held_out_and_reported(tmp_path):
    text = "".join(np.random.default_rng(0).choice(list("ACGU"), 9000))
    (tmp_path / "phage.fa").write_text(f">NC_000000.1\n{text}\n")
    given = Sources(str(tmp_path / "phage.fa"))
    assert described_genome(tiny.PROFILE, given) == [
        f"{text.count('U'):,} U, read as T",
        "trained on: 8,100 bases (90.0%), NC_000000.1:1-8100",
        "held-out loss: 900 bases (10.0%), NC_000000.1:8101-9000; --validation names others",
    ]
    spec = open_runs("tiny", given).pretraining("ntp")
    assert spec.config.validation == ("NC_000000.1:8101-9000",)
    corpus, _ = pretrain._data(spec.config, read_genome(given), spec.config.mixture())
    assert int(corpus.windows.cumulative[-1]) == 8100 - spec.config.slots + 1


def test_no_progress_bar_is_drawn_without_a_terminal(made, capsys):
    spec = open_runs("tiny").pretraining("ntp")
    runs._show(spec, iter([{"event": "train", "step": 1, "loss": 1.0}]))
    assert not capsys.readouterr().err and not sys.stderr.isatty()
