"""Collect the finished runs of a plan as results: small files without weights, for `results/`.

Logits are kept at the step that validation chose, in float16; at other steps only the predicted
classes are kept, as 0 and 1. Scores of classes do not change; AUROC, Brier and calibration, from
logits, only by rounding.
"""

import csv
import gzip
import itertools
import json
import re
import shlex
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from birdiedna.data.files import digest, sums, whole
from birdiedna.data.names import quantity
from birdiedna.data.stored import sealed
from birdiedna.evaluation import metrics
from birdiedna.evaluation.paper_table import PRETRAINED
from birdiedna.experiments import plan as plans
from birdiedna.experiments import results
from birdiedna.experiments.plan import Plan
from birdiedna.experiments.profiles import ARMS, PROFILES
from birdiedna.experiments.run_spec import RunSpec
from birdiedna.training import run_folder
from birdiedna.training.finetune import PREDICTED
from birdiedna.training.metrics import best_evaluation

#: Up to this many missing runs are listed one by one.
_LISTED = 12
_KEYS = ("name", "kind", "arm", "task", "seed", "finetune_seed", "share")
#: The time stamp in archives, so that equal results have equal bytes.
_ALWAYS = (1980, 1, 1, 0, 0, 0)


def collect(folder: Path, name: str, into: Path | None = None, probe_table: bool = False) -> Path:
    """Write `<into>/<name>` atomically, in place of older results of this name.

    Files that somebody added to the folder, such as a README, stay.

    Args:
      folder: of the plan.
      name: of the results, of letters, digits, - and _; not `quick`, nor the name of a profile
        other than that of the runs.
      into: by default `results.root()`.
      probe_table: keep only the scores of probes, in one table.

    Raises:
      ValueError: no plan, no finished run, a name that cannot be used, a folder that contains no
        results, or more than `results.LARGEST_BYTES`.
    """
    plan = plans.read(folder)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or name == "quick":
        raise ValueError(
            f"results cannot be called {name!r}: use letters, digits, - and _, and not quick"
        )
    made = " with ".join([plan.profile["name"], *plan.profile.get("changes", ())])
    if name in PROFILES and name != made:
        raise ValueError(f"results cannot be called {name!r}: that is a profile, and their runs "
                         f"are of {made!r}; choose another name")  # fmt: skip
    place = (into or results.root()) / name
    older = place.with_name(f".{name}.older")
    ours = {"results.json", "data.json", results.PROBES}
    with whole(place) as temporary:
        if older.exists() and not place.exists():
            older.rename(place)  # a kill came between the two renames below
        there = list(place.iterdir()) if place.exists() else []
        added = [path for path in there if path.is_file() and path.name not in ours]
        if not (place / "results.json").exists() and set(there) - set(added):
            raise ValueError(f"{place} exists and contains no results; choose another name")
        _write(plan, name, temporary, probe_table)
        for path in added:
            shutil.copyfile(path, temporary / path.name)
        shutil.rmtree(older, ignore_errors=True)
        if place.exists():
            place.rename(older)
    shutil.rmtree(older, ignore_errors=True)
    return place


def _write(plan: Plan, name: str, place: Path, probe_table: bool) -> None:
    """Write everything into an empty folder."""
    rows = plans.table(plan)  # once, since other processes may be making runs
    standing = [(run, row["standing"]) for run, row in zip(plan.runs, rows, strict=True)]
    finished = [run for run, state in standing if state == "finished"]
    if not finished:
        raise ValueError(f"{plan.folder}: no run is finished; run `birdiedna plan work` first")
    shutil.copyfile(plans.checked(plan, "data.json"), place / "data.json")
    marks = {"results": name, "results_data": digest(place / "data.json")}
    in_table = lambda run: probe_table and run.kind == "probe"
    if tabled := list(filter(in_table, finished)):
        with (place / results.PROBES).open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(results.PROBE_COLUMNS)
            table.writerows(line for run in tabled for line in _scores(plan.place(run.name)))
    others = [*itertools.filterfalse(in_table, finished)]
    sizes = (_keep(plan, run, marks, place / run.name) for run in others)
    for kept, size in enumerate(itertools.accumulate(sizes, initial=_bytes(place))):
        if size > results.LARGEST_BYTES:  # before thousands more are compressed
            remedy = "give --probe-table, or " * any(run.kind == "probe" for run in others)
            raise ValueError(
                f"{name}: {kept:,} of {quantity(len(others), 'runs')} take {size:,} bytes, and all "
                f"may take {results.LARGEST_BYTES:,}; {remedy}plan fewer runs"
            )
    stored = {
        "format": results.FORMAT,
        "name": name,
        "profile": plan.profile,
        "prepared": plan.prepared,
        "runs": [_entry(run) for run in finished],
        "left": [_entry(run) | {"why": state} for run, state in standing if state != "finished"],
        "cost": plans.totals(plan, rows),
        "sha256": sums(place),
    }
    run_folder.write_json(place / "results.json", sealed(stored))


def _scores(made: Path) -> Iterator[tuple[Any, ...]]:
    """Test scores of a probe, in `results.PROBE_COLUMNS`, for each subset of train rows."""
    manifest = run_folder.read(made, "manifest", "arm", "task", "seed")
    found = run_folder.predictions(made)
    events = run_folder.events(made, "evaluation", ["share", "subset", "n_train"])
    labels, facts = found["test_labels"], [manifest[key] for key in ("arm", "task", "seed")]
    for event, logits in zip(events, found["test_logits"], strict=True):
        rows = *(event[key] for key in ("subset", "share", "n_train")), len(labels)
        values = metrics.scores(labels, logits)
        yield *facts, *rows, *(f"{values[name]:.5f}" for name in ("accuracy", "f1", "mcc"))


def _entry(run: RunSpec) -> dict[str, Any]:
    facts = run.manifest()
    return {key: facts[key] for key in _KEYS if key in facts}


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _keep(plan: Plan, run: RunSpec, marks: dict[str, str], place: Path) -> int:
    """Store a run without its weights; returns the bytes that it takes."""
    made = plan.place(run.name)
    place.mkdir()
    (place / "config.json").write_bytes(run_folder.intact(made, "config.json"))
    packed = gzip.compress(run_folder.intact(made, "events.jsonl"), mtime=0)
    (place / "events.jsonl.gz").write_bytes(packed)
    if run.kind != "pretrain":
        _archive(place / "predictions.npz", smaller(run_folder.predictions(made)))
    run_folder.write_manifest(place, _manifest(plan, made) | marks)
    return _bytes(place)


def _manifest(plan: Plan, made: Path) -> dict[str, Any]:
    """The manifest; the commit is the plan's if the code was copied without git."""
    manifest, known = run_folder.read(made, "manifest"), plan.prepared
    if manifest.get("git_commit") is None and manifest.get("code") == known["code"]:
        manifest |= {key: known[key] for key in ("git_commit", "git_dirty")}
    return manifest


def smaller(found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Predictions (`run_folder.predictions`) in fewer bytes, with the same classes.

    Logits are kept only at the chosen step, in float16 (float32 if rounding would change a class);
    at other steps, classes are. `exact` (E,) is true where logits are kept.
    """
    chosen = best_evaluation(found["validation_labels"], found["validation_logits"])
    exact = np.arange(len(found["steps"])) == chosen
    kept = dict(found) | {"exact": exact}
    for part in (name for name in PREDICTED if name in found):
        logits = found[part]
        classes = np.eye(logits.shape[2], dtype=np.float32)[logits.argmax(axis=2)]
        mixed = np.where(exact[:, None, None], logits, classes)
        small = mixed.astype(np.float16)
        same = np.isfinite(small).all() and (small.argmax(2) == logits.argmax(2)).all()
        kept[part] = small if same else mixed
    return kept


def _archive(path: Path, found: Mapping[str, np.ndarray]) -> None:
    """Write an .npz by LZMA, which exploits that evaluations are alike."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for key in sorted(found):
            member = zipfile.ZipInfo(f"{key}.npy", _ALWAYS)
            member.compress_type = zipfile.ZIP_LZMA
            with archive.open(member, "w") as file:
                np.lib.format.write_array(file, np.ascontiguousarray(found[key]))


def summary(place: Path) -> str:
    """What written results contain and lack, and how to render them, as lines."""
    stored = json.loads((place / "results.json").read_text())
    made, left = stored["runs"], stored["left"]
    count = f"{len(made):,} of {quantity(len(made) + len(left), 'runs')}"
    lines = [f"{place}: {count}, {_bytes(place) / 1e6:.2f} MB"]
    for entry in left[:_LISTED]:
        lines.append(f"  missing: {entry['name']} ({entry['why']})")
    if len(left) > _LISTED:
        lines.append(f"  and {len(left) - _LISTED:,} more")
    if results.VARIANTS not in stored["sha256"] and (place / results.VARIANTS).exists():
        lines.append(
            f"  {results.VARIANTS} is kept but not shown: it may be of other weights; score again, "
            "and list the scores by `results.add_table`"
        )
    if lacks := book_lacks(made):
        return "\n".join([*lines, f"no book can be made of them: it needs {lacks}"])
    elsewhere = place.parent.resolve() != results.root().resolve()
    moved = f"BIRDIEDNA_RESULTS={shlex.quote(str(place.parent.resolve()))} " if elsewhere else ""
    return "\n".join([*lines, f"show them: {moved}make book PROFILE={place.name}"])


def book_lacks(runs: Iterable[Mapping[str, Any]]) -> str:
    """What these runs (entries of `results.json`) lack for a book; "" if nothing."""
    runs = list(runs)
    pretrained = [run["arm"] for run in runs if run["kind"] == "pretrain"]
    if lacking := [arm for arm in PRETRAINED if arm not in pretrained]:
        return f"the pre-training of {' and '.join(lacking)}"
    return (
        "" if block(runs) else f"a task that is fine-tuned from {', '.join(ARMS)} by the same seed"
    )


def block(runs: Iterable[Mapping[str, Any]], kind: str = "finetune") -> list[Mapping[str, Any]]:
    """Runs that can be compared: every arm on the same tasks with the same seeds.

    If runs are missing: the largest block of tasks, first pre-training seeds and first fine-tuning
    seeds that all of `ARMS` have. Another arm is compared if it has all of the block.

    `kind` is "finetune" or "probe". Runs are entries of `results.json`; those returned are ordered
    by task, pre-training seed, fine-tuning seed and arm.
    """
    found = {
        (entry["task"], entry["seed"], entry.get("finetune_seed", 0), entry["arm"]): entry
        for entry in runs
        if entry["kind"] == kind and "share" not in entry
    }
    tasks, seeds, tuned, arms = (dict.fromkeys(key[i] for key in found) for i in range(4))
    have = lambda places, who: all((*place, arm) in found for place in places for arm in who)
    largest: list[Any] = []
    for first, second in itertools.product(range(len(seeds), 0, -1), range(len(tuned), 0, -1)):
        pairs = list(itertools.product(sorted(seeds)[:first], sorted(tuned)[:second]))
        if len(tasks) * len(pairs) > len(largest):  # else it cannot be larger
            of_task = ([(task, *pair) for pair in pairs] for task in tasks)
            common = [place for places in of_task if have(places, ARMS) for place in places]
            largest = max(largest, common, key=len)
    compared = (*ARMS, *(arm for arm in arms if arm not in ARMS and have(largest, [arm])))
    return [found[*place, arm] for place in largest for arm in compared]
