"""`birdiedna pretrain`, `finetune`, `probe`, `settings`, `checkpoint`, `export` and `import`."""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np

from birdiedna import tasks
from birdiedna.cli.data import reading
from birdiedna.cli.parser import one_line
from birdiedna.data import files
from birdiedna.data.names import quantity
from birdiedna.evaluation import baselines, frames, metrics, scores
from birdiedna.experiments import export as exporting
from birdiedna.experiments import models, profiles, progress
from birdiedna.experiments.runs import Live, Stored, open_runs, repeating
from birdiedna.experiments.sources import (
    SAMPLE,
    Sources,
    available_tasks,
    chosen_task,
    described_genome,
    read_task,
)
from birdiedna.inference import tables
from birdiedna.tasks import Task
from birdiedna.training import checkpoint as checkpoints
from birdiedna.training import devices, run_folder, stop, weights

#: Words and pairs of letters are scored for up to this many bases of train rows (seconds).
_CHEAP_BASES = 10_000_000
#: With fewer test rows a score means little.
_FEW = 50


@contextmanager
def _runs(
    given: argparse.Namespace,
    sources: Sources,
    model: str = "",
    replayed: str = "",
    tracker: str = "",
) -> Iterator[Live | Stored]:
    """Open the runs that the options describe; training stops when the time budget is used up.

    Names, models, device and folder are checked before data are read.
    """
    with stop.watch(given.budget_minutes) as ask:
        runs = open_runs(
            given.profile, sources, given.seed, stored=False, ask=ask, device=given.device,
            replayed=replayed, changes=given.changes, shard_state=given.shard_state,
            llama=given.from_llama, model=model, tracker=tracker,
        )  # fmt: skip
        if model:
            models.find(model)
        else:
            fresh = ("random",) if given.verb != "pretrain" else ()
            profiles.check_arm(given.arm, (*runs.settings.pretrain, *fresh))
        if given.from_llama:
            weights.read_config(Path(given.from_llama))
        if replayed:
            run_folder.read(Path(replayed), "config")
            usual = given.profile == "quick" and not given.changes
            if isinstance(runs, Live) and usual and run_folder.complete(Path(replayed)):
                runs, given.arm = repeating(runs, given.arm if _named(given, "arm") else "")
        devices.require(given.device or "any")
        progress.check_tracker(tracker)
        files.check_writable(run_folder.root(), "runs", "BIRDIEDNA_RUNS")
        if (summary := profiles.summary(runs.settings)) and not jax.process_index():
            print(summary)
            if idle := _idle(given, runs.settings):
                print(f"without effect on this run: {', '.join(idle)}")
        if given.arm == "random" and not model:
            if unread := _named(given, "genome", "validation", "shard_state"):
                print(f"random weights are not pre-trained: without effect: {', '.join(unread)}")
        elif not (model or jax.process_index()):
            for line in runs.settings.pretrain[given.arm].mixture().unfilled():
                print(line)
            if given.genome != SAMPLE:
                lines = described_genome(runs.settings, sources)
                print("\n  ".join([given.genome, *lines]))
            elif not runs.stored and getattr(given, "tasks", SAMPLE) != SAMPLE:
                said = "is pre-trained on the embedded sample; --genome names another genome"
                print(f"{given.arm} {said}")
        yield runs


def _idle(given: argparse.Namespace, found: profiles.Profile) -> list[str]:
    """Return those settings of the command line that its run does not read."""
    own = {text.partition("=")[0].strip() for text in given.changes}
    used = profiles.changes_of(found, given.verb, given.arm)
    free = ["device", "remake"] + ["tasks"] * (given.verb == "probe" and not given.task)

    def reads(change: str) -> bool:
        name = change.partition("=")[0]
        if given.arm == "random" and name.startswith("pretrain."):
            return ".model." in name and ".director." not in name
        return name in free or change in used

    named = (change for change in found.changes if change.partition("=")[0] in own)
    return [change for change in named if not reads(change)]


def _trained_already(given: argparse.Namespace, model: str, *options: str) -> None:
    """Refuse options that say how a model is pre-trained that exists."""
    if named := _named(given, *options):
        said = f"{named[0]} is for pre-training, and {model} is trained already"
        raise ValueError(f"{said}; leave it out")


def _named(given: argparse.Namespace, *options: str) -> list[str]:
    """Return those of some options that have another value than the usual one."""
    usual = ("", 0, None, False, SAMPLE, "birdie")
    return [f"--{n.replace('_', '-')}" for n in options if getattr(given, n) not in usual]


def pretrain(given: argparse.Namespace) -> int:
    """`birdiedna pretrain`."""
    if given.hosts:
        devices.join(given.hosts)
    sources = Sources(given.genome, validation=given.validation)
    with _runs(given, sources, replayed=given.replay, tracker=given.track) as runs:
        folder = runs.pretrained(given.arm)
    if jax.process_index():
        return 0  # only the first process writes the run
    print(_losses(folder))
    print(f"run: {folder}")
    return 0


def _losses(folder: Path) -> str:
    """Return the first and last held-out losses of a pre-training, and the loss of guessing."""
    first, *_, last = run_folder.events(folder, "evaluation")
    trained = {name for name, _ in run_folder.read(folder, "config")["objectives"]}
    guess = f"a guess among four bases: {progress.GUESS_NATS:.3f}"
    lines = [f"held-out loss at steps 0 and {last['step']:,}, nats per label token ({guess}):"]
    for name, loss in last["losses"].items():
        mark = "" if name in trained else "  not trained on by this arm"
        lines.append(f"  {name:24s}{first['losses'][name]:8.3f}{loss:8.3f}{mark}")
    return "\n".join(lines)


def finetune(given: argparse.Namespace) -> int:
    """`birdiedna finetune`; first prints what the rows are and what reading changed."""
    if given.start:
        trained = ("genome", "validation", "from_llama", "shard_state")
        own = () if given.arm == "random" else ("arm", "seed")  # the seed of random weights
        _trained_already(given, given.start, *trained, *own)
    sources = Sources(given.genome, given.tasks, given.validation, reading(given))
    with _runs(given, sources, given.start, tracker=given.track) as runs:
        task = chosen_task(sources, given.task)
        rows = _shown(runs, sources, task)
        folder = runs.finetuned(given.arm, task, given.finetune_seed)
    print(_scores(folder, rows))
    if (agreed := frames.strand_agreement(folder)) is not None:
        print("  logits are means over both strands; separately, the strands agree on the class of "
              f"{agreed:.1%} of the rows")  # fmt: skip
    print(f"run: {folder}")
    return 0


def _shown(runs: Live | Stored, sources: Sources, task: str) -> Task:
    """Read the rows of a task; print what they are and what reading changed."""
    rows = read_task(runs.settings, sources, task)
    print(f"{task}, " + "\n  ".join(tasks.report(rows.notes)))
    return rows


def settings(given: argparse.Namespace) -> int:
    """`birdiedna settings`."""
    found = profiles.profile(given.profile, given.changes)
    if given.json:
        print(json.dumps(profiles.to_file(found), indent=1))
        return 0
    print("\n".join(f"{name}={value}" for name, value in profiles.listed(found).items()))
    if summary := profiles.summary(found):
        print(summary, file=sys.stderr)
    return 0


def probe(given: argparse.Namespace) -> int:
    """`birdiedna probe`; also scores random weights."""
    if given.out:
        tables.check(given.out)
    given.arm, model = given.model, ""
    pretrained = profiles.profile(given.profile, given.changes).pretrain
    if given.model not in (*profiles.ARMS, *pretrained):
        model, given.device = given.model, given.device or "any"
        trained = ("genome", "validation", "from_llama", "shard_state", "budget_minutes")
        _trained_already(given, model, *trained)
    sources = Sources(given.genome, given.tasks, given.validation, reading(given))
    if given.out and sources.tasks_path().resolve() in (out := given.out.resolve(), *out.parents):
        raise ValueError(f"{given.out} is in the tasks {given.tasks}; write the scores elsewhere")
    with _runs(given, sources, model) as runs:
        chosen = [given.task] if given.task else available_tasks(runs.settings, sources)
        arms = dict.fromkeys((given.arm, "random"))
        rows = {task: _shown(runs, sources, task) for task in chosen * (not runs.stored)}
        folders = [runs.probed(arm, task) for task in chosen for arm in arms]
    found = frames.results(folders)
    print(scores.probe_report(found))
    for task, read in rows.items():
        for who, predicted in _baselines(read).items():
            mcc = metrics.scores(read.test.labels, predicted)["mcc"]
            print(scores.PROBE_LINE(task, who, len(read.train.labels), mcc))
    for folder in folders:
        print(f"run: {folder}")
    if given.out:
        print(f"{quantity(tables.write([found], given.out), 'scores')}: {given.out}")
    return 0


def _baselines(rows: Task) -> dict[str, np.ndarray]:
    """Predictions on the test rows that need no model, and seconds."""
    found = {"majority class": baselines.majority(rows.train, rows.test)}
    if rows.train.tokens.size < _CHEAP_BASES and rows.train.tokens.shape[1] >= 5:
        found["5-mers"] = baselines.kmer_regression(rows.train, rows.test)
        guessed = baselines.predict(baselines.best_pairs(rows.train), rows.test.tokens)
        found["pairs of letters"] = np.eye(len(rows.classes))[guessed]
    return found


def _scores(folder: Path, rows: Task) -> str:
    """Return the test scores of a fine-tuning, with those of baselines without a model."""
    labels, logits, step = frames.chosen(folder)
    steps = run_folder.read(folder, "config")["steps"]
    count = quantity(len(labels), "test rows")
    title = f"{count} at step {step:,} of {steps:,}, chosen on validation"
    same = np.array_equal(rows.test.labels, labels)  # stored results may be of other rows
    predictions = _baselines(rows) if same else {}
    which = "f1 of class 1" if logits.shape[1] == 2 else "f1 the mean over classes"
    lines = [f"{title} (95% intervals over rows; {which}):"]
    last = run_folder.predictions(folder)["test_logits"][-1]
    predictions = {"last step": last} | predictions if step < steps else predictions
    others = {who: metrics.scores(labels, found) for who, found in predictions.items()}
    edges = metrics.intervals(labels, logits)
    for name, value in metrics.scores(labels, logits).items():
        low, high = edges[name]
        compared = "".join(f"  {who} {score[name]:.3f}" for who, score in others.items())
        lines.append(f"  {name:10s}{value:7.3f}  [{low:.3f}, {high:.3f}]{compared}")
    if len(labels) < _FEW:
        lines.append(f"  {quantity(len(labels), 'test rows are')} too few to tell methods apart")
    return "\n".join(lines)


def verify(given: argparse.Namespace) -> int:
    """`birdiedna checkpoint verify`; returns 1 if a file is damaged or there is no checkpoint."""
    worst = 0
    for run in given.run:
        found = sorted({p.parent for p in run.rglob("facts.json")} | {*run.glob("*/[0-9]*/")})
        for checkpoint in found:
            faults = checkpoints.problems(checkpoint)
            worst = max(worst, bool(faults))
            print(f"{checkpoint}: {'; '.join(faults) or 'every file is intact'}")
        own = ("config.json", "manifest.json")
        for place in sorted({path.parent for name in own for path in run.rglob(name)}):
            faults = [f"{place}: manifest.json is missing, which has the checksums of other files"]
            if run_folder.complete(place):
                faults = run_folder.problems(place)
            elif place.suffix == ".partial":
                continue
            worst = max(worst, bool(faults))
            print("\n".join(faults) or f"{place}: every other file is intact")
        if not found:
            said = f"{run}: no checkpoint; give a run folder, or a checkpoint of one"
            print(one_line(said), file=sys.stderr)
            worst = 1
    return int(worst)


def export(given: argparse.Namespace) -> int:
    """`birdiedna export`."""
    folder = exporting.export(given.model, given.folder, given.type)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{folder}: {size / 1e6:.1f} MB; README.md is its model card")
    return 0


def read_into_run(given: argparse.Namespace) -> int:
    """`birdiedna import`."""
    print(f"run: {exporting.read_into_run(given.model, given.run)}")
    return 0
