"""The runs of the evidence are balanced wherever they end, and repeatable."""

import csv
import gzip
import importlib.util
from dataclasses import fields, replace
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from birdiedna.director.director import Birdie
from birdiedna.evaluation import seeds
from birdiedna.evaluation.verdicts import INCONCLUSIVE, SUPPORTED
from birdiedna.experiments import config_json, models, results
from birdiedna.experiments.profiles import of_results
from birdiedna.experiments.run_spec import RunSpec
from birdiedna.experiments.runs import Live, Stored
from birdiedna.experiments.sources import Sources, read_task
from birdiedna.model import transformer
from birdiedna.training import finetune, pretrain, probe, run_folder

ROOT = run_folder.repository()
TASK = "splice_sites_donors_decoy"  # of the embedded sample
STORED = pytest.mark.skipif(
    not (ROOT / "results" / "small" / "results.json").exists(), reason="no results/small here"
)


@pytest.fixture(scope="module")
def evidence():
    spec = importlib.util.spec_from_file_location("evidence", ROOT / "scripts" / "evidence.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def live(evidence) -> Live:
    return Live("small", evidence.profile(), Sources())


def run(kind: str, arm: str, seed: int, task: str = "") -> RunSpec:
    return RunSpec(
        kind, "small", arm, None, seed, {}, {}, task=task, name=f"{kind}{arm}{seed}{task}"
    )


def test_main_arms_have_equal_seeds_and_fine_tunings_wherever_the_runs_end(evidence):
    arms = (*evidence.MAIN, "random", *evidence.VARIANTS)
    suite = [
        run(kind, arm, seed, "" if kind == "pretrain" else task)
        for kind in ("finetune", "probe", "pretrain")
        for arm in arms
        for seed in evidence.SEEDS
        for task in ("promoter_no_tata", "H3K9ac")
    ]
    ordered = evidence.in_order(suite)
    main = [one for one in ordered if one.arm not in evidence.VARIANTS and one.kind != "pretrain"]
    assert [one.seed for one in main] == sorted(one.seed for one in main)
    first = [one.arm in evidence.VARIANTS for one in ordered]
    assert first == sorted(first)
    tuned = [one for one in ordered if one.kind == "finetune"]
    assert {one.task for one in tuned} <= {*evidence.FINETUNED}
    assert {one.seed for one in tuned} == {*evidence.FINETUNE_SEEDS}
    varied = {one.task for one in ordered if one.arm in evidence.VARIANTS and one.kind == "probe"}
    assert varied == {"promoter_no_tata"}


def test_the_other_mask_changes_the_mask_and_nothing_else(evidence):
    runs = live(evidence)
    for arm, name in evidence.OTHER_MASK.items():
        own = runs.probing(arm, TASK)
        (other,) = evidence.masked([own])
        flipped = replace(own.config, bidirectional=arm == "ntp")
        assert (other.config, other.arm) == (flipped, name)
        assert replace(other, config=own.config, arm=arm, name=own.name) == own != other


def test_a_variant_changes_the_mixture_or_who_chooses_it_and_nothing_else(evidence):
    arms = evidence.profile().pretrain
    learned = arms["birdie"]
    for arm in (*evidence.VARIANTS, evidence.CAUSAL):
        other = arms[arm]
        changed = {
            f.name for f in fields(other) if getattr(other, f.name) != getattr(learned, f.name)
        }
        several = arm.startswith("with") or arm in evidence.RATE_SPAN
        mixed = {"director", "objectives"} if several else {"director"}
        assert changed == ({"bidirectional"} if arm == evidence.CAUSAL else mixed), arm
    for name in evidence.WITHOUT:
        fewer = arms[f"without_{name}"]
        left_out = {*learned.objectives} - {*fewer.objectives}
        assert all(name.startswith(one.split("_")[0][:6]) for one, _ in left_out), left_out
        assert {*fewer.director.classes} == {*range(len(evidence.WITHOUT) - 1)}
    assert arms["linear"].director == replace(
        learned.director, reward=arms["linear"].director.reward
    )
    assert isinstance(arms["no_exploration"].director, Birdie)
    assert sum(arms["averaged"].director.ratios) == pytest.approx(1)
    assert arms["replayed"].director.steps == (0, *learned.evaluations[:-1])


def shared(folder: Path, task: str, rows: int = 900) -> None:
    """Tables like the shared data, of random bases."""
    rng = np.random.default_rng(0)
    (folder / "nt_recipe").mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / "nt_recipe" / f"{task}.csv.gz", "wt") as file:
        table = csv.writer(file)
        table.writerow(["sequence", "name", "label", "chrom"])
        for row in range(rows):
            chrom, start = ("chrX", "chr20")[row % 2], 1000 * row
            bases = "".join(rng.choice(list("ACGT"), 300))
            table.writerow(
                [bases, f"{chrom}:{start}-{start + 300}|{row // 2 % 2}", row // 2 % 2, chrom]
            )


def test_train_rows_are_of_chrx_test_rows_of_chr20_and_both_are_bounded(
    evidence, tmp_path, monkeypatch
):
    monkeypatch.setattr(evidence, "_GENOMIC", {})
    monkeypatch.setattr(evidence, "TEST_ROWS", 100)
    shared(tmp_path / "tasks", "promoter_all")
    for folder in ("one", "again"):
        evidence.write_tasks(tmp_path / "tasks", tmp_path / folder)
    train, test = (
        pl.read_csv(tmp_path / "one" / f"promoter_all.{p}.csv") for p in ("train", "test")
    )
    assert (train.height, test.height) == (450, 100)
    for rows, contig in ((train, "chrX:"), (test, "chr20:")):
        assert rows["name"].str.starts_with(contig).all()
    same = (tmp_path / folder / "promoter_all.test.csv" for folder in ("one", "again"))
    assert len({path.read_text() for path in same}) == 1


@pytest.mark.parametrize(("bases", "read"), [(90, 90), (300, 300), (301, 127), (802, 127)])
def test_rows_of_sets_of_several_lengths_keep_their_centre(evidence, bases, read):
    row = {"sequence": "A" * ((bases - 1) // 2) + "C" + "A" * (bases // 2)}
    kept = evidence.short(row)["sequence"]
    assert len(kept) == read and kept.index("C") in (read // 2, (read - 1) // 2)


def test_protocols_are_settled_on_rows_of_chrx_alone(evidence, tmp_path, monkeypatch):
    seen = []

    def tune(config, starts, parts):
        seen.append([*parts[0].names, *parts[1].names])
        assert parts[1] is parts[2] and not {*parts[0].names} & {*parts[1].names}
        labels = parts[1].labels
        logits = np.eye(2, dtype=np.float32)[labels][None]
        found = {"steps": np.arange(1), "validation_logits": logits, "test_logits": logits}
        labelled = {"validation_labels": labels, "test_labels": labels}
        np.savez(starts[0].folder / "predictions.npz", **found, **labelled)
        return ()

    monkeypatch.setattr(finetune, "train", tune)
    monkeypatch.setattr(evidence, "SETTLED_ON", ("promoter_all",))
    monkeypatch.setattr(evidence, "SETTLED_BY", ("random",))
    shared(tmp_path / "tasks", "promoter_all")
    found = [*evidence.settle(tmp_path / "tasks", tmp_path)]
    names = ("head", "rate", "head_rate", "share")
    tried = product(finetune.HEADS, evidence.RATES, evidence.HEAD_RATES, evidence.SHARES_TRIED)
    assert {tuple(map(row.get, names)) for row in found} == {*tried}
    assert all(name.startswith("chrX:") for names in seen for name in names)
    assert {row["mcc"] for row in found} == {1.0}


def test_a_folder_of_tasks_that_is_missing_is_refused_before_hours_of_work(evidence, capsys):
    with pytest.raises(SystemExit):
        evidence.main(["--tasks", "nope"])
    assert "nope: no such folder" in capsys.readouterr().err


@pytest.mark.parametrize("status", [0, 75])
def test_results_stay_as_they_are_until_every_run_is_finished(
    evidence, monkeypatch, capsys, status
):
    rows = [{"standing": "finished"}, {"standing": "begun, step 40 of 400"}]
    monkeypatch.setattr(evidence, "prepared", lambda *_: None)
    monkeypatch.setattr(evidence.remote, "work", lambda *_: status)
    monkeypatch.setattr(evidence.plan, "table", lambda _: rows)
    monkeypatch.setattr(evidence.collect, "collect", lambda *_, **__: pytest.fail("replaced"))
    assert evidence.main([]) == status
    assert "1 of 2 runs are missing, so results/small stays" in capsys.readouterr().out


@STORED
def test_results_are_of_the_profile_of_the_script(evidence):
    stored = of_results("small")
    made = evidence.profile()
    assert stored.pretrain == made.pretrain and stored.probe == made.probe
    assert stored.finetune == made.finetune and stored.crops == {**made.crops}


@STORED
def test_a_cell_of_the_results_is_reproduced(evidence, tmp_path):
    spec = live(evidence).probing("random", TASK)
    assert spec.name in {entry["name"] for entry in results.read("small")["runs"]}
    net = transformer.init(spec.config.model, spec.seed)
    rows = [*read_task(evidence.profile(), Sources(), TASK).parts().values()]
    for _ in probe.train(spec.config, net, rows, tmp_path):
        pass
    found = run_folder.predictions(tmp_path)
    kept = Stored("small").probe_scores().filter(arm="random", task=TASK, seed=0)
    right = (found["test_logits"].argmax(2) == found["test_labels"]).mean(1)
    wanted = kept.filter(metric="accuracy")["value"].to_numpy()
    assert {*kept["metric"]} == {"accuracy", "f1", "mcc"} and len(wanted) == spec.config.steps
    np.testing.assert_allclose(np.sort(right), np.sort(wanted), atol=0.01)


@STORED
@pytest.mark.slow
def test_a_pretraining_of_the_results_is_reproduced(evidence, tmp_path, times):
    """At the evaluations of the first tenth; in `make stress` at all."""
    runs = live(evidence)
    spec = runs.pretraining("ntp")
    (stored,) = results.runs("small", [spec.name])
    assert config_json.read(stored) == spec.config
    last = spec.config.steps if times > 1 else spec.config.steps // 10
    measured = lambda event: event["event"] == "evaluation" and event["step"] >= last
    for event in pretrain.train(spec.config, runs._read(spec), [pretrain.Run(spec.seed, tmp_path)]):
        if measured(event):
            break
    events = lambda folder: run_folder.events(folder, "evaluation", ["losses"])
    losses = lambda folder: {e["step"]: e["losses"] for e in events(folder)}
    found, wanted = losses(tmp_path), losses(stored)
    assert [*found] == [0, *(step for step in spec.config.evaluations if step <= last)]
    for step, value in found.items():
        assert value == pytest.approx(wanted[step], abs=0.02)


@STORED
def test_the_readme_answers_as_the_stored_results_do():
    readme = (ROOT / "README.md").read_text()
    assert "on average; whether consistently, or at the paper's size, is open.\n" in readme
    for name, average in (("small", SUPPORTED), ("eighth", INCONCLUSIVE)):
        scores = Stored(name).probe_scores().filter(metric="mcc", share=1.0)
        (found,) = seeds.compared(scores, [("birdie", "ntp")]).rows(named=True)
        assert (found["on average"], found["consistently"]) == (average, INCONCLUSIVE)


@STORED
def test_variant_scores_of_random_weights_are_reproduced(evidence):
    stored = Stored("small")
    found = stored.variant_scores()
    assert found.group_by("arm", "task").len()["len"].to_list() == [10] * 10
    net = transformer.init(stored.settings.finetune.model, 0)
    again = evidence.splice_scores(models.load("eighth-ntp")._replace(net=net))
    kept = dict(found.filter(arm="random", seed=0).select("task", "value").rows())
    assert again == pytest.approx(kept, abs=0.01)
