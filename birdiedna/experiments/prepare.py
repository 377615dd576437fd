"""Write a plan: all runs with their configs, and their data as .npz files."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from birdiedna import tasks as benchmark
from birdiedna.data import genome as genomes
from birdiedna.data.files import digest, sums, whole
from birdiedna.experiments import plan as plans
from birdiedna.experiments.plan import Plan
from birdiedna.experiments.profiles import Profile, check_arm, profile
from birdiedna.experiments.runs import Live
from birdiedna.experiments.sources import (
    SAMPLE,
    Sources,
    available_tasks,
    described_genome,
    read_genome,
)
from birdiedna.training import environment, run_folder

#: The arms of a plan; random weights are probed and fine-tuned in addition.
ARMS = ("birdie", "ntp", "uniform")


def prepare(
    folder: Path,
    name: str = "paper",
    sources: Sources = Sources(),
    tasks: Sequence[str] = (),
    arms: Sequence[str] = ARMS,
    seeds: Sequence[int] = (),
    finetune_seeds: Sequence[int] = (),
    changes: Sequence[str] = (),
) -> Plan:
    """Write a plan of `runs.suite`, atomically; an existing plan of the same runs stays.

    Prints what the data are, then each task whose baselines are scored, which takes long.

    If other code prepared that plan, it is updated to this code: finished runs stay, and failed
    runs will be retried.

    Args:
      folder: a new folder, or that of the same plan.
      name, changes: as in `profiles.profile`.
      sources: of the genome, and how the rows of all tasks are read.
      tasks: folders or files of tasks, by default that of `sources`; append `:name,name` to choose
        some.
      arms: of the profile.
      seeds, finetune_seeds: by default the profile's.

    Raises:
      FileNotFoundError: no such file or folder.
      ValueError: unknown profile, arm or task, unfit data, or the folder contains something else.
    """
    found = profile(name, changes)
    for arm in arms:
        check_arm(arm, tuple(found.pretrain))
        if list(arms).count(arm) > 1:
            raise ValueError(f"arm {arm!r} is named twice; name it once")
    settings = replace(
        found,
        pretrain={arm: found.pretrain[arm] for arm in arms},
        pretrain_seeds=tuple(seeds) or found.pretrain_seeds,
        finetune_seeds=tuple(finetune_seeds) or found.finetune_seeds,
    )
    places = choose(settings, sources, tasks or [sources.tasks])
    seed = settings.pretrain_seeds[0]
    runs = Live(run_folder.profile_name(name), settings, sources, seed, folders=places)
    stored = run_folder.to_json(replace(settings, tasks=tuple(runs.folders)))
    commit, dirty = environment.git_commit()  # copies of the code may have no git
    at = datetime.now(UTC).isoformat(timespec="seconds")
    prepared = {"code": environment.code_fingerprint(), "git_commit": commit, "git_dirty": dirty}
    suite = tuple(runs.suite(arms))
    plan = Plan(folder, stored, settings.device, prepared | {"at": at}, suite, {})
    if exists := (folder / "plan.json").exists():
        plan = _again(plan, sources)
    elif folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty and contains no plan; give another folder")
    if sources.genome != SAMPLE:
        print("\n  ".join([sources.genome, *described_genome(settings, sources)]), flush=True)
    for task, notes in {run.task: run.data_notes for run in plan.runs if run.task}.items():
        print(f"{task}, " + "\n  ".join(benchmark.report(notes)), flush=True)
    if exists:
        return plan
    with whole(folder) as temporary:
        _write_data(temporary, runs)
        plan = plan._replace(sums=sums(temporary))
        plans.write(plan._replace(folder=temporary))
    return plan


def choose(settings: Profile, sources: Sources, tasks: Sequence[str]) -> dict[str, str]:
    """Every task with its place; ValueError if it is missing there, or is in two places."""
    found: dict[str, str] = {}
    for text in tasks:
        place, mark, listed = text.rpartition(":")
        if not mark or "/" in listed or Path(text).exists():
            place, listed = text, ""
        own = replace(sources, tasks=place)
        for name in listed.split(",") if listed else available_tasks(settings, own):
            if name in found:
                raise ValueError(f"two tasks are called {name!r}; choose by FOLDER:name,name")
            benchmark.find(own.tasks_path(), name)  # raises for an unknown one
            found[name] = place
    return found


def _write_data(folder: Path, runs: Live) -> None:
    """Write the data of the runs, and the numbers about them for figures."""

    def baselines() -> Iterator[dict[str, Any]]:
        for task in runs.tasks():
            yield from runs.baselines([task]).to_dicts()
            print(f"{task}: baselines are scored", flush=True)

    genomes.save(read_genome(runs.sources), folder / "genome.npz")
    for task in runs.tasks():
        plans.write_rows(folder / "tasks" / f"{task}.npz", runs.parts(task))
    data = {
        "sequence": runs.sequence()._asdict(),
        "rows": runs.rows().to_dicts(),
        "leaked": runs.leaked(),
        "baselines": [*baselines()],
    }
    run_folder.write_json(folder / "data.json", data)


def _again(plan: Plan, sources: Sources) -> Plan:
    """The existing plan, updated to this code; ValueError if it is another plan."""
    stored = plans.stored(plan.folder)
    by = plans.other_code(stored.get("prepared", {}))
    if [run["name"] for run in stored.get("runs", ())] != [run.name for run in plan.runs]:
        now = json.loads(json.dumps(plan.profile))
        differ = run_folder.differences(stored.get("profile"), now).split("; ")[0]
        differ = differ or ("configs of that code, or other data" if by else "other data")
        raise ValueError(
            f"{plan.folder} contains another plan, {f'{by}, ' * bool(by)}of other settings, data "
            f"or configs ({differ}); give another folder"
        )
    if stored.get("format") == plans.FORMAT and not by:
        return plans.read(plan.folder)
    genome = plan.folder / "genome.npz"  # other code may have another format
    genomes.save(read_genome(sources), genome)
    plan = plan._replace(sums=stored.get("sums", {}) | {"genome.npz": digest(genome)})
    plans.write(plan)
    for path in plan.folder.glob("failures*.json"):
        path.unlink()
    return plan
