"""Write a plan: every run with its config, and the data as files that need nothing but numpy."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from birdiedna import tasks
from birdiedna.data import genome as genomes
from birdiedna.data.files import digest
from birdiedna.experiments import data_summary, make
from birdiedna.experiments import plan as plans
from birdiedna.experiments.make import Order
from birdiedna.experiments.plan import Plan, Run
from birdiedna.experiments.profiles import Profile, profile
from birdiedna.experiments.sources import SAMPLE, Sources, available_tasks, read_task
from birdiedna.training import environment, run_folder

#: The arms of a plan; random weights are fine-tuned beside them.
ARMS = ("birdie", "ntp", "uniform")


@dataclass(frozen=True)
class Wanted:
    """What a plan is to hold.

    tasks: folders or files of tasks, each with `:name,name` behind it if not all are wanted.
    finetune_seeds: () takes the profile's. patience: `FinetuneConfig.patience_evaluations`.
    """

    profile: str = "paper"
    genome: str = SAMPLE
    validation: str = ""
    tasks: tuple[str, ...] = (SAMPLE,)
    arms: tuple[str, ...] = ARMS
    seed: int = 0
    finetune_seeds: tuple[int, ...] = ()
    patience: int = 0

    def settings(self) -> Profile:
        """The profile, with the arms, seeds and patience that are asked for.

        Raises:
          ValueError: unknown profile or arm.
        """
        found = profile(self.profile)
        if unknown := [arm for arm in self.arms if arm not in found.pretrain]:
            known = ", ".join(found.pretrain)
            raise ValueError(f"unknown arm {unknown[0]!r}; choose some of {known}")
        return replace(
            found,
            pretrain={arm: found.pretrain[arm] for arm in self.arms},
            finetune=replace(found.finetune, patience_evaluations=self.patience),
            finetune_seeds=self.finetune_seeds or found.finetune_seeds,
        )

    def sources(self) -> Sources:
        """Of the genome."""
        return Sources(self.genome, validation=self.validation)

    def chosen(self, settings: Profile) -> list[tuple[Sources, str]]:
        """Every task with where it lies.

        Raises:
          ValueError: a name that is not in its folder, or one that is in two of them.
        """
        found: dict[str, tuple[Sources, str]] = {}
        for text in self.tasks:
            place, names = _divided(text)
            sources = Sources(self.genome, place, self.validation)
            for name in names or available_tasks(settings, sources):
                if name in found:
                    raise ValueError(f"two tasks are called {name!r}; choose by FOLDER:name,name")
                found[name] = (sources, name)
        return list(found.values())


def _divided(text: str) -> tuple[str, list[str]]:
    """A folder and the names behind its last colon."""
    place, mark, names = text.rpartition(":")
    if not mark or "/" in names or Path(text).exists():
        return text, []
    return place, names.split(",")


def prepare(folder: Path, wanted: Wanted) -> Plan:
    """Write a plan, whole or not at all; one that is there already stays if it lists the same runs.

    If other code prepared it, it is noted that this code did: finished runs stay, and what had
    failed is tried again.

    Pre-trainings come first, then fine-tunings seed by seed, so that a plan that is cut short can
    be compared all the same.

    Raises:
      FileNotFoundError: no such file or folder.
      ValueError: data that do not fit, or the folder holds something else.
    """
    settings, sources = wanted.settings(), wanted.sources()
    chosen = wanted.chosen(settings)
    for place, name in chosen:
        if name not in tasks.names(place.tasks_path()):
            read_task(settings, place, name)  # says which there are
    listed = tuple(Run(o.name, o.record, o.facts) for o in _orders(wanted, settings, chosen))
    stored = run_folder.to_json(replace(settings, tasks=tuple(name for _, name in chosen)))
    if (folder / "plan.json").exists():
        return _again(plans.read(folder), listed, stored, sources)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty and holds no plan; give another folder")
    passing = folder.with_name(f"{folder.name}.passing")
    shutil.rmtree(passing, ignore_errors=True)
    passing.mkdir(parents=True)
    genomes.save(make.read_genome(sources), passing / "genome.npz")
    for place, name in chosen:
        plans.write_rows(passing / "tasks" / f"{name}.npz", read_task(settings, place, name)[:3])
    data = data_summary.described(settings, wanted.profile, sources, chosen)
    run_folder.write_json(passing / "data.json", data)
    files = sorted(path for path in passing.rglob("*") if path.is_file())
    sums = {str(path.relative_to(passing)): digest(path) for path in files}
    plan = Plan(passing, stored, settings.device, _here(), listed, sums)
    plans.write(plan)
    if folder.exists():
        folder.rmdir()
    passing.rename(folder)
    return plan._replace(folder=folder)


def _orders(
    wanted: Wanted, settings: Profile, chosen: Sequence[tuple[Sources, str]]
) -> list[Order]:
    first = [
        make.pretraining(wanted.profile, settings, arm, wanted.sources(), wanted.seed)
        for arm in wanted.arms
    ]
    return first + [
        make.finetuning(wanted.profile, settings, arm, name, place, wanted.seed, finetune_seed)
        for finetune_seed in settings.finetune_seeds
        for place, name in chosen
        for arm in (*wanted.arms, "random")
    ]


def _again(plan: Plan, listed: tuple[Run, ...], profile: dict[str, Any], sources: Sources) -> Plan:
    """The plan that is there, if it is this one; brought up to date if other code prepared it."""
    if [run.name for run in plan.runs] != [run.name for run in listed]:
        raise ValueError(
            f"{plan.folder} holds another plan, of other settings, data or configs; give another "
            "folder"
        )
    if plan.prepared["code"] == environment.code_fingerprint():
        return plan
    genome = plan.folder / "genome.npz"  # other code may have stored it in another form
    genomes.save(make.read_genome(sources), genome)
    sums = plan.sums | {"genome.npz": digest(genome)}
    plan = plan._replace(profile=profile, prepared=_here(), runs=listed, sums=sums)
    plans.write(plan)
    (plan.folder / "failures.json").unlink(missing_ok=True)
    return plan


def _here() -> dict[str, Any]:
    """Where a plan was written: its code and commit, which a bare copy of the code cannot tell."""
    commit, dirty = environment.git_commit()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "code": environment.code_fingerprint(),
        "git_commit": commit,
        "git_dirty": dirty,
        "at": now,
    }
