"""The runs that figures read: `open_runs` opens those of a profile.

`Live` makes missing runs; `Stored` reads `results/`, which has no weights. Both give run folders
and tables by the same methods, so a chapter works with either.
"""

import logging
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import polars as pl
from tqdm import tqdm

from birdiedna import tasks
from birdiedna.data import files
from birdiedna.data.genome import Genome, order0_entropy
from birdiedna.data.labelled import fingerprint, subset
from birdiedna.data.names import listed, quantity
from birdiedna.director.director import Birdie
from birdiedna.evaluation import frames, leakage, scores
from birdiedna.evaluation.paper_table import ARM_TITLES, PRETRAINED
from birdiedna.experiments import config_json, make, models, profiles, progress, results, sources
from birdiedna.experiments.collect import block, book_lacks
from birdiedna.experiments.make import Rows, Workplace
from birdiedna.experiments.profiles import Profile
from birdiedna.experiments.run_spec import RunSpec, named
from birdiedna.experiments.sources import SAMPLE, Sources, read_genome, read_task
from birdiedna.model import llama
from birdiedna.model.transformer import HOW
from birdiedna.tasks import Task
from birdiedna.training import devices, llama_start, replay, run_folder, stop, weights
from birdiedna.training.finetune import FinetuneConfig
from birdiedna.training.pretrain import PretrainConfig
from birdiedna.training.probe import ProbeConfig

_LOG = logging.getLogger(__name__)
#: The tasks of sources that name none.
_SAMPLE: dict[str, Any] = {"tasks": SAMPLE, "reading": tasks.Reading()}
#: Names of settings of the sizes of a model, and of how it is computed.
_MODEL = r"(pretrain|finetune)\.((?!director)[^.]+\.)?model\b"
_HOW = rf"{_MODEL}\.({'|'.join(HOW)})$"


class GenomeNumbers(NamedTuple):
    """A genome: its bases, and the held-out contigs with their order-0 entropy in nats."""

    bases: int
    entropy: float
    contigs: tuple[str, ...]


#: The rows of a task, and the fingerprint of each part, which takes long.
Marked = tuple[Task, dict[str, str]]


def _marked(rows: Task) -> Marked:
    return rows, {part: fingerprint(own) for part, own in rows.parts().items()}


def open_runs(
    name: str,
    sources: Sources = Sources(),
    seed: int = 0,
    stored: bool = True,
    ask: stop.Ask | None = None,
    device: str = "",
    replayed: str = "",
    changes: Sequence[str] = (),
    shard_state: bool = False,
    llama: str = "",
    model: str = "",
    tracker: str = "",
) -> "Live | Stored":
    """The runs of a profile, or of results.

    Args:
      name: of a profile, as in `profiles.profile`, or of results.
      sources: of the genome and the tasks.
      seed: of pre-training (of the weights, for the arm "random"); comparisons read all seeds of
        the profile if it is one of them.
      stored: prefer results of this name to the profile of this name.
      ask: whether to stop, asked between chunks; None listens for signals.
      device: what runs need, as in `devices.require`; "" takes the profile's.
      replayed: the folder of a run whose ratios are replayed, without a reward model.
      changes: `NAME=VALUE` texts, as in `profiles.profile`; not for results.
      shard_state: divide weights and moments of a pre-training over the devices.
      llama: the folder of a Hugging Face Llama that pre-training continues.
      model: what probes and fine-tunings start from in place of an arm, as in `models.load`.
      tracker: "" or one of `progress.TRACKERS`.

    Raises:
      TypeError: `sources` is a path instead of `Sources(path)`.
      ValueError: no profile or results of this name, options that do not concern results, settings
        that a model or a Llama has decided, or as `profiles.profile`.
    """
    if not isinstance(sources, Sources):
        raise TypeError(f"sources {sources!r}: give Sources(genome=..., tasks=...)")
    kept = stored and not changes or name not in profiles.PROFILES
    if results.exist(name) and kept and not model:
        if changes:
            raise ValueError(f"results {name} have settings of their own; leave out {changes[0]}")
        how = {
            "replay": replayed,
            "from-llama": llama,
            "track": tracker,
            "shard-state": shard_state,
        }
        if unused := [option for option, value in how.items() if value]:
            trained = f"--{unused[0]} is for training, and results {name} are trained"
            raise ValueError(f"{trained}; leave it out")
        return Stored(name, sources, seed)
    if given := model or llama:
        _check_free(changes, given, bool(model))
    settings = profiles.profile(name, changes)
    return Live(
        run_folder.profile_name(name),
        settings,
        sources,
        seed,
        ask=ask,
        device=device,
        replayed=replayed,
        shard_state=shard_state,
        llama=llama,
        model=model,
        tracker=tracker,
    )


def _check_free(changes: Sequence[str], given: str, ours: bool) -> None:
    """Refuse settings of the sizes of a model that is given, and of its pre-training if it is ours.

    The ValueError names the setting.
    """
    for text in (text for text in changes if _decided(text, ours)):
        name, has = text.partition("=")[0].strip(), "is trained already"
        if re.match(_MODEL, name):
            other = lambda: llama.from_config(weights.read_config(Path(given)))[0]
            own = models.load(given).net.config if ours else other()
            size = name.rpartition(".")[2]
            has = f"has {size} {getattr(own, size, 'of its own')}"
        raise ValueError(f"--set {text}: {given} {has}; leave it out")


def _decided(change: str, ours: bool) -> bool:
    """Whether a model that is given has decided a setting, of its training too if it is ours."""
    name = change.partition("=")[0].strip()
    own = re.match(_MODEL, name) or ours and name.startswith("pretrain.")
    return bool(own) and not re.match(_HOW, name)


def repeating(runs: "Live", arm: str = "") -> tuple["Live", str]:
    """Runs with the settings, seed and contigs of the finished run that they replay, and its arm.

    A seed and contigs that are given stay, so that others than its own are refused, as is an arm
    (ValueError).
    """
    folder = Path(runs.replayed)
    config, facts = config_json.read(folder), run_folder.read(folder, "manifest")
    if not isinstance(config, PretrainConfig):  # `replay.recorded` refuses it
        return runs, arm or facts["arm"]
    if arm not in ("", facts["arm"]):
        raise ValueError(f"{folder} is of the arm {facts['arm']}; leave out --arm {arm}")
    tune = replace(runs.settings.finetune, model=config.model)
    settings = replace(runs.settings, pretrain={facts["arm"]: config}, finetune=tune)
    contigs = runs.sources.validation or ",".join(config.validation)
    found = replace(runs.sources, validation=contigs)
    seed = runs.seed or facts["seed"]
    return replace(runs, settings=settings, sources=found, seed=seed), facts["arm"]


@dataclass(frozen=True)
class Live:
    """Runs of a profile; missing ones are made.

    Fields as in `open_runs`, and folders: task -> its place, if tasks are from several places.
    """

    name: str
    settings: Profile
    sources: Sources = Sources()
    seed: int = 0
    ask: stop.Ask | None = None
    device: str = ""
    replayed: str = ""
    shard_state: bool = False
    llama: str = ""
    model: str = ""
    tracker: str = ""
    folders: Mapping[str, str] = field(default_factory=dict)

    stored = False
    history = ""
    missing = "Every run that this profile asks for was made."

    @property
    def fixed(self) -> tuple[str, ...]:
        """The pre-trained arms with a fixed mixture, which the book does not compare."""
        place, arms = run_folder.root() / self.name, _fixed(self.settings)
        return tuple(a for a in arms if run_folder.complete(place / self.pretraining(a).name))

    def pretrained(self, arm: str) -> Path:
        """The run folder of a pre-trained arm.

        ValueError for an unknown arm or device, for unfit data, or if another process is making
        this run; `stop.Stopped` if a signal came or the time is up, and a checkpoint was saved.
        """
        return self._made([self.pretraining(arm)])[0]

    def finetuned(self, arm: str, task: str, finetune_seed: int = 0) -> Path:
        """The run folder of an arm fine-tuned on a task, which may need its pre-training.

        Args:
          arm: of the profile, or "random" for fresh weights. If `model` is given, weights are its
            own, or "random" ones of its sizes.
          finetune_seed: of the order of the rows.

        Raises:
          FileNotFoundError: there is no such model.
          ValueError: unknown task, or rows that fail a check; otherwise as `pretrained`.
        """
        return self._on_start(arm, self.finetuning(arm, task, finetune_seed))

    def probed(self, arm: str, task: str) -> Path:
        """The run folder of a probe of an arm on a task; arguments and errors as in `finetuned`."""
        return self._on_start(arm, self.probing(arm, task))

    def _on_start(self, arm: str, spec: RunSpec) -> Path:
        own = arm == "random" or self.model
        return self._made([spec] if own else [self.pretraining(arm), spec])[-1]

    def probes(self) -> list[Path]:
        """As `comparison`, of probes in place of fine-tunings."""
        return self._compared("probe")

    def probe_scores(self) -> pl.DataFrame:
        """Test scores of `probes`, as `frames.results`."""
        return frames.results(self.probes())

    def variant_scores(self) -> pl.DataFrame:
        """Empty: only stored results have scores of variants."""
        return frames.variant_table(b"")

    def comparison(self) -> list[Path]:
        """The run folders of every arm, task and seed; errors as in `finetuned`.

        All tasks are checked before anything is trained.
        """
        return self._compared("finetune")

    def shares(self) -> list[Path]:
        """As `comparison`, of fine-tunings on smaller shares of the train rows."""
        return self._compared("finetune", fewer=True) if self.settings.finetune_shares else []

    def _compared(self, kind: str, fewer: bool = False) -> list[Path]:
        """Folders of all runs of a kind, task by task."""
        shares = self.settings.finetune_shares
        wanted = lambda spec: spec.kind == kind and (spec.share in shares) == fewer
        suite = [s for s in self.suite() if s.kind == "pretrain" or wanted(s)]
        tasks = self.tasks()
        made = [m for m in zip(suite, self._made(suite), strict=True) if m[0].kind == kind]
        return [folder for _, folder in sorted(made, key=lambda one: tasks.index(one[0].task))]

    def suite(self, arms: Sequence[str] = PRETRAINED) -> list[RunSpec]:
        """The specs of all runs of a comparison, in the order of work.

        For each seed, pre-trainings come first, then probes, which take seconds, then fine-tunings.
        Every pre-training seed is fine-tuned once before any is fine-tuned again, so that a suite
        that is cut short can still be compared. Random weights are probed and fine-tuned like an
        arm. All data are checked; errors as in `finetuned`.
        """
        found, tuned = [], list(product(self.tasks(), (*arms, "random")))
        rows = cache(lambda task: _marked(self._rows(task)))  # are read once, not for each run
        for finetune_seed, seed in product(self.settings.finetune_seeds, self.seeds):
            own = replace(self, seed=seed)
            if finetune_seed == self.settings.finetune_seeds[0]:
                found += [own.pretraining(arm) for arm in arms]
                found += [own.probing(arm, task, rows(task)) for task, arm in tuned]
            for share in (None, *self.settings.finetune_shares):
                found += [
                    own.finetuning(arm, task, finetune_seed, share, rows(task))
                    for task, arm in tuned
                ]
        return found

    @property
    def seeds(self) -> tuple[int, ...]:
        """The pre-training seeds that are compared; a seed outside the profile is alone."""
        seeds = self.settings.pretrain_seeds
        return seeds if self.seed in seeds else (self.seed,)

    def tasks(self) -> list[str]:
        """The tasks that are compared."""
        return list(self.folders) or sources.available_tasks(self.settings, self.sources)

    def _of(self, task: str) -> Sources:
        """The sources of a task."""
        return replace(self.sources, tasks=self.folders.get(task, self.sources.tasks))

    def _rows(self, task: str) -> Task:
        """The rows of a task as they are on disk now."""
        return read_task(self.settings, self._of(task), task)

    def _changes(self, kind: str, arm: str) -> tuple[str, ...]:
        """The changes a run may depend on: none that a given model has decided, as of a file."""
        found, given = profiles.changes_of(self.settings, kind, arm), self.model or self.llama
        return tuple(text for text in found if not (given and _decided(text, bool(self.model))))

    def pretraining(self, arm: str) -> RunSpec:
        """The spec of `pretrained`."""
        profiles.check_arm(arm, tuple(self.settings.pretrain))
        genome = read_genome(self.sources)
        contigs = sources.validation(self.settings, self.sources)
        config = replace(self.settings.pretrain[arm], validation=contigs)
        spec = RunSpec(
            kind="pretrain",
            profile=self.name,
            arm=arm,
            config=config,
            seed=self.seed,
            data={"genome": genome.fingerprint},
            data_notes=dict(genome.notes),
            base=self.settings.base,
            changes=self._changes("pretrain", arm),
            options=replace(self.sources, **_SAMPLE).options(),
        )
        if self.llama:
            begun = llama_start.read(Path(self.llama), self.seed)
            config = replace(config, model=begun.net.config.computed_like(config.model))
            marks = {**spec.data, "llama": begun.sha256}
            notes = {**spec.data_notes, "llama": begun.notes}
            spec = replace(spec, config=config, llama=self.llama, data=marks, data_notes=notes)
        if self.replayed:
            played = Path(self.replayed)
            director: Any = config.director  # every type has classes
            director = replay.recorded(played, config.evaluations, director.classes)
            filled = run_folder.to_json(config_json.read(played))  # with fields that came later
            stored = run_folder.read(played, "config") | filled
            replay.expect(played, stored, spec.record(), spec.data)
            spec = replace(spec, config=replace(config, director=director), replay=self.replayed)
        lost = sources.not_drawn(config, self.sources)
        return named(replace(spec, data_notes={**spec.data_notes, "not_drawn": lost}))

    def finetuning(
        self,
        arm: str,
        task: str,
        finetune_seed: int = 0,
        share: float | None = None,
        rows: Marked | None = None,
    ) -> RunSpec:
        """The spec of `finetuned`; `share`, of the train rows, defaults to the profile's.

        `rows` of the task are read if they are not given.
        """
        config = self.settings.finetune
        config = replace(config, share=share or config.share)
        return self._on_task(config, arm, task, finetune_seed, rows)

    def probing(self, arm: str, task: str, rows: Marked | None = None) -> RunSpec:
        """The spec of `probed`; `rows` as in `finetuning`."""
        config = replace(self.settings.probe, model=self.settings.finetune.model)
        return self._on_task(config, arm, task, given=rows)

    def _on_task(
        self,
        config: FinetuneConfig | ProbeConfig,
        arm: str,
        task: str,
        finetune_seed: int = 0,
        given: Marked | None = None,
    ) -> RunSpec:
        kind = "finetune" if isinstance(config, FinetuneConfig) else "probe"
        if not self.model:
            profiles.check_arm(arm, (*self.settings.pretrain, "random"))
        rows, marks = given or _marked(self._rows(task))
        if self.llama and arm == "random" and kind == "finetune":
            raise ValueError("random weights continue no Llama; leave out --from-llama or the arm")
        start = None if arm == "random" or self.model else self.pretraining(arm)
        sizes = start.config.model if start else config.model
        if self.llama and not start:  # a probe compares it with random weights of its sizes
            sizes = llama_start.read(Path(self.llama), self.seed).net.config.computed_like(sizes)
        own = self._of(task)
        counts = {part: len(found.labels) for part, found in rows.parts().items()}
        if isinstance(config, FinetuneConfig):
            counts["train"] = len(subset(rows.train.labels, config.share, finetune_seed))
        spec = RunSpec(
            kind=kind,
            profile=self.name,
            arm=arm,
            config=replace(
                config,
                classes=len(rows.classes),
                bidirectional=arm not in self.settings.causal,
                model=sizes if self.llama else config.model,
            ),
            seed=self.seed,
            data=marks | dict(start.data if start else {}),
            data_notes=rows.notes,
            base=self.settings.base,
            changes=self._changes(kind, arm),
            options=(own if start else replace(own, genome=SAMPLE, validation="")).options(),
            llama=self.llama,
            task=task,
            start=start.name if start else "random",
            finetune_seed=finetune_seed,
            rows=counts,
            crop=tuple(rows.crop),
            reading=self.sources.recorded_reading(),
        )
        return named(self._started(spec) if self.model else spec)

    def _started(self, spec: RunSpec) -> RunSpec:
        """The run with the sizes of `model`, and with its weights and mask unless "random"."""
        net, sizes = self._model.net, self._model.net.config.computed_like(spec.config.model)
        spec = replace(spec, config=replace(spec.config, model=sizes), model=self.model)
        if spec.arm == "random":
            return spec
        config = replace(spec.config, bidirectional=self._model.bidirectional)
        arm = run_folder.plain(str(self._model.manifest.get("arm", "imported")))
        arm = "tuned" if arm == "random" else arm  # trained since
        of_llama = {k: v for k, v in self._model.manifest.get("data", {}).items() if k == "llama"}
        marks = {**spec.data, **of_llama, "start": weights.fingerprint(net)}
        return replace(spec, arm=arm, config=config, start=self._model.name, data=marks)

    @cached_property
    def _model(self) -> weights.Model:
        return models.load(self.model)

    def _made(self, suite: Sequence[RunSpec]) -> list[Path]:
        """The folders of runs; missing ones are made."""
        settings = self.settings
        place = Workplace(
            folder=run_folder.root() / self.name,
            read=self._read,
            show=_show,
            device=self.device or settings.device,
            remake=settings.remake,
            shard_state=self.shard_state,
            start=(lambda: self._model.net) if self.model else None,
            tracker=self.tracker,
        )
        devices.enable_compilation_cache(files.default_cache())
        with nullcontext(self.ask) if self.ask else stop.watch() as ask:
            folders = make.work(suite, place, ask)
        kept = [] if settings.remake else filter(run_folder.complete, folders)
        if older := [folder.name for folder in kept if not make.same_code(folder)]:
            were = "was made by other code; remove it to repeat the run"
            if older[1:]:
                were = "were made by other code; remove them to repeat the runs"
            _LOG.warning("%s %s", listed(older), were)
        return folders

    def _read(self, spec: RunSpec) -> Genome | Rows:
        return read_genome(self.sources) if spec.kind == "pretrain" else self.parts(spec.task)

    def parts(self, task: str) -> Rows:
        """Train, validation and test rows of a task; errors as in `sources.read_task`."""
        train, validation, test = self._rows(task).parts().values()
        return train, validation, test

    def sequence(self) -> GenomeNumbers:
        """The genome in numbers; errors as in `sources.split`."""
        genome = read_genome(self.sources)
        contigs = sources.split(self.settings, self.sources).validation
        return GenomeNumbers(len(genome.tokens), order0_entropy(genome, contigs), contigs)

    def rows(self) -> pl.DataFrame:
        """A line per task: rows, bases read; of test rows share not of class 0, mark."""
        read = {task: self._rows(task) for task in self.tasks()}
        return pl.DataFrame(
            {
                "task": task,
                **{part: len(rows.labels) for part, rows in found.parts().items()},
                "bases read": found.train.tokens.shape[1],
                "positive in test": float((found.test.labels > 0).mean()),
                "mark": fingerprint(found.test),
            }
            for task, found in read.items()
        )

    def leaked(self) -> dict[str, list[int]]:
        """By task, the indices of test rows that are `leakage.leaked` from train or validation."""
        whole, found = replace(self.settings, crops={}), {}
        for task in self.tasks():
            train, validation, test = read_task(whole, self._of(task), task).parts().values()
            which = leakage.leaked(test, train) | leakage.leaked(test, validation)
            found[task] = np.flatnonzero(which).tolist()
        return found

    def baselines(self, names: Sequence[str] = ()) -> pl.DataFrame:
        """Scores without pre-training on these tasks, or all, as `scores.baseline_scores`."""
        whole = replace(self.settings, crops={})
        read = {task: read_task(whole, self._of(task), task) for task in names or self.tasks()}
        return pl.concat(
            scores.baseline_scores(task, (rows.train, rows.test), self.parts(task))
            for task, rows in read.items()
        )

    def present(self) -> list[str]:
        """All tasks in the folder, whether or not they are compared."""
        return tasks.names(self.sources.tasks_path())


def _unfinished(left: Sequence[Mapping[str, Any]]) -> str:
    """Runs in words: arms, kinds, numbers of tasks, seeds."""
    arms: dict[str, list[str]] = {}
    for arm in dict.fromkeys(entry["arm"] for entry in left):
        own = [entry for entry in left if entry["arm"] == arm]
        kinds = Counter(entry["kind"] for entry in own)
        runs = [quantity(n, noun) for kind, noun in _NOUNS.items() if (n := kinds[kind])]
        tasks = len({entry["task"] for entry in own if "task" in entry})
        seeds = sorted({entry["seed"] for entry in own})
        said = ", ".join(runs) + f" on {quantity(tasks, 'tasks')}" * bool(tasks)
        said += f", seed{'s' * (len(seeds) != 1)} {listed([*map(str, seeds)], 12)}"
        arms.setdefault(said, []).append(ARM_TITLES.get(arm, arm))
    return "; ".join(f"{', '.join(names)}: {said}" for said, names in arms.items())


_NOUNS = {"pretrain": "pre-trainings", "probe": "probes", "finetune": "fine-tunings"}


@dataclass(frozen=True)
class Stored:
    """Runs of `results/`, which are never made; given data must be those they were made from."""

    name: str
    sources: Sources = Sources()
    seed: int = 0

    stored = True

    @property
    def settings(self) -> Profile:
        """The profile of the runs."""
        return profiles.of_results(self.name)

    @property
    def history(self) -> str:
        """The `README.md` of these results; "" if there is none."""
        return results.added(self.name, "README.md").decode("utf-8", errors="replace")

    @property
    def missing(self) -> str:
        """What is not compared, in sentences: unfinished runs, and runs without a counterpart.

        Also the name of results whose folder was renamed or copied.
        """
        found = results.read(self.name)
        made, left, own = self._runs, found["left"], found.get("name", self.name)
        tuned = [one for one in made if one["kind"] == "finetune" and "share" not in one]
        all_of_them = f"{len(made) + len(left):,} planned runs"
        said = f"All {all_of_them} were finished"
        if left:
            were = "was" if len(left) == 1 else "were"
            said = f"Of {all_of_them} {len(left)} {were} not finished ({_unfinished(left)})"
        if own != self.name:
            said = f"These results were collected as {own}. {said}"
        if (compared := len(block(made))) == len(tuned):
            return f"{said}. All {compared} fine-tunings are compared."
        return (
            f"{said}. Of {len(tuned)} finished fine-tunings {compared} are compared: those of "
            "tasks and seeds for which no arm is missing."
        )

    @property
    def fixed(self) -> tuple[str, ...]:
        """As `Live.fixed`."""
        made = [entry["arm"] for entry in self._runs if entry["kind"] == "pretrain"]
        return tuple(arm for arm in _fixed(self.settings) if arm in made)

    def pretrained(self, arm: str) -> Path:
        """The run folder of an arm; ValueError if there is none, or one of other data."""
        return self._run({"kind": "pretrain", "arm": arm, "seed": self.seed})

    def finetuned(self, arm: str, task: str, finetune_seed: int = 0) -> Path:
        """The run folder of an arm fine-tuned on a task; errors as in `pretrained`."""
        wanted = {"kind": "finetune", "arm": arm, "task": task, "seed": self.seed}
        return self._run(wanted | {"finetune_seed": finetune_seed})

    def probed(self, arm: str, task: str) -> Path:
        """The run folder of a probe of an arm on a task; errors as in `pretrained`."""
        return self._run({"kind": "probe", "arm": arm, "task": task, "seed": self.seed})

    def probes(self) -> list[Path]:
        """As `comparison`, of probes that have folders."""
        return self._places(block(self._with_folders, "probe"))

    def probe_scores(self) -> pl.DataFrame:
        """Test scores of probes, as `frames.results`; of all arms if they are in a table."""
        text = results.table(self.name, results.PROBES)
        path = Path(self.name, results.PROBES)
        return frames.probe_table(text, path) if text else frames.results(self.probes())

    def variant_scores(self) -> pl.DataFrame:
        """AUROC of variants without training, as `frames.variant_table`; may be empty."""
        text = results.table(self.name, results.VARIANTS)
        return frames.variant_table(text, Path(self.name, results.VARIANTS))

    def shares(self) -> list[Path]:
        """The run folders of fine-tunings on smaller shares of the train rows."""
        return self._places(entry for entry in self._runs if "share" in entry)

    def comparison(self) -> list[Path]:
        """The run folders of `block`; errors as in `pretrained`."""
        return self._places(block(self._runs))

    def every(self, kind: str) -> list[Path]:
        """The folders of all runs of a kind."""
        return self._places(entry for entry in self._with_folders if entry["kind"] == kind)

    def provenance(self) -> dict[str, Any]:
        """One manifest for all these runs: counts in place of names and seeds."""
        counts = Counter(entry["kind"] for entry in self._runs)
        listed = ", ".join(f"{count} x {kind}" for kind, count in counts.items())
        seeds = sorted({entry["seed"] for entry in self._runs})
        pretrained = self.every("pretrain")
        said = {"name": f"results/{self.name}: {listed}", "seed": f"{seeds[0]} to {seeds[-1]}"}
        said["device"] = ", ".join(results.read(self.name)["cost"]["devices"])
        said["finished"] = run_folder.read(pretrained[-1], "manifest", "finished")["finished"]
        said |= {"arm": "", "command": f"make book PROFILE={self.name}"}
        return run_folder.read(pretrained[0], "manifest") | said

    def sequence(self) -> GenomeNumbers:
        """As `Live.sequence`, from where the runs were prepared."""
        found = results.data(self.name)["sequence"]
        return GenomeNumbers(found["bases"], found["entropy"], tuple(found["contigs"]))

    def rows(self) -> pl.DataFrame:
        """As `Live.rows`."""
        return self._compared("rows")

    def leaked(self) -> dict[str, list[int]]:
        """As `Live.leaked`; empty if it was not counted, as by older code."""
        found = results.data(self.name).get("leaked", {})
        compared = (entry["task"] for entry in block(self._runs))
        return {task: found[task] for task in compared if task in found}

    def baselines(self) -> pl.DataFrame:
        """As `Live.baselines`."""
        return self._compared("baselines")

    def present(self) -> list[str]:
        """As `Live.present`."""
        return [row["task"] for row in results.data(self.name)["rows"]]

    def _compared(self, key: str) -> pl.DataFrame:
        """A table of `data.json`, of the tasks that are compared."""
        compared = [entry["task"] for entry in block(self._runs)]
        return pl.DataFrame(results.data(self.name)[key]).filter(pl.col("task").is_in(compared))

    @property
    def _runs(self) -> list[dict[str, Any]]:
        return results.read(self.name)["runs"]

    @property
    def _with_folders(self) -> list[dict[str, Any]]:
        """The runs that have a folder, not only lines in `results.PROBES`."""
        listed = (file.partition("/") for file in results.read(self.name)["sha256"])
        there = {run for run, _, file in listed if file == "config.json"}
        return [entry for entry in self._runs if entry["name"] in there]

    def _mark(self, task: str) -> str:
        """The fingerprint of the test rows that were given."""
        if task not in tasks.names(self.sources.tasks_path()):
            return "no such task"
        return fingerprint(read_task(self.settings, self.sources, task).test)

    def _run(self, wanted: Mapping[str, Any]) -> Path:
        """The folder of the run that has these values."""
        fits = lambda entry: all(entry.get(key) == value for key, value in wanted.items())
        entry = next(filter(fits, self._runs), None)
        if not entry:
            said = ", ".join(f"{key} {value}" for key, value in wanted.items())
            left = results.read(self.name)["left"]
            why = next((run["why"] for run in left if fits(run)), "not planned")
            raise ValueError(f"results {self.name} contain no run of {said}: {why}")
        return self._places([entry])[0]

    def _places(self, entries: Iterable[Mapping[str, Any]]) -> list[Path]:
        """The folders of runs; ValueError if one is damaged or was made from other data."""
        folders = results.runs(self.name, [entry["name"] for entry in entries])
        of_mine = cache(self._mark)  # takes long
        for folder in folders:
            manifest = run_folder.read(folder, "manifest", "data")
            made, given = manifest["data"], dict[str, Any]()
            if self.sources.genome != SAMPLE and "genome" in made:
                given["genome"] = read_genome(self.sources).fingerprint
            if self.sources.validation and "task" not in manifest:
                config = run_folder.read(folder, "config", "validation")
                made = made | {"validation": config["validation"]}
                given["validation"] = [*sources.validation(self.settings, self.sources)]
            if self.sources != replace(self.sources, **_SAMPLE) and "task" in manifest:
                given["test"] = of_mine(manifest["task"])
            if differ := [part for part, mark in given.items() if made.get(part) != mark]:
                raise ValueError(
                    f"results {self.name}: {folder.name} was not made from this {differ[0]} data; "
                    "leave out --genome, --validation, --tasks and how rows are read, or give what "
                    f"it was made from; to show your own runs, move {results.root() / self.name} "
                    "away"
                )
        return folders


def _fixed(settings: Profile) -> list[str]:
    """The arms with a fixed mixture of several objectives."""
    several = {arm: one for arm, one in settings.pretrain.items() if len(one.objectives) > 1}
    learned = lambda arm: arm in PRETRAINED or isinstance(several[arm].director, Birdie)
    return [arm for arm in several if not learned(arm)]


def check(runs: Live | Stored) -> None:
    """Raise the errors of `every_run`, and refuse a book without reward model, before training."""
    if isinstance(runs, Stored) and (lacks := book_lacks(results.read(runs.name)["runs"])):
        raise ValueError(f"results {runs.name} are too few for a book: it needs {lacks}")
    arms = runs.settings.pretrain
    if lacking := [arm for arm in PRETRAINED if arm not in arms]:
        raise ValueError(f"the book needs the arm {lacking[0]}, which this profile lacks; add it")
    if not isinstance(arms["birdie"].director, Birdie):
        raise ValueError(
            "the book is about the reward model, which the arm birdie of this profile lacks; give "
            "another director to another arm, such as pretrain.uniform.director"
        )
    if isinstance(runs, Stored):
        every_run(runs)
        return
    place = run_folder.root() / runs.name
    if not all(make.finished(place / s.name, runs.settings.remake) for s in runs.suite()):
        devices.require(runs.device or runs.settings.device)


def every_run(runs: Live | Stored) -> list[Path]:
    """All run folders that chapters read; data are checked before the first step."""
    tuned = runs.comparison()
    return [runs.pretrained(arm) for arm in PRETRAINED] + tuned + runs.probes() + runs.shares()


def _show(spec: RunSpec, events: Iterator[Mapping[str, Any]]) -> None:
    """Show what a Llama starts from, then a bar on a terminal, else a line at evaluations."""
    if (llama := spec.data_notes.get("llama")) and not jax.process_index():
        known = ", ".join(f"{name} {value:g}" for name, value in llama.items())
        print(f"cosines of the Llama's rows of bases, noise of its new rows: {known}", flush=True)
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        for line in progress.lines(spec, events):
            if not jax.process_index():
                print(line, flush=True)
        return
    counted = "evaluation" if spec.kind == "probe" else "train"
    with tqdm(total=spec.config.steps, desc=progress.title(spec), unit="step") as bar:
        for event in events:
            if event["event"] == counted:
                bar.update(event["step"] - bar.n)
                bar.set_postfix(loss=f"{event['loss']:.3f}", refresh=False)
