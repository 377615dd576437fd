"""The description of one run, shared by chapters, the command line and plans."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from birdiedna.data.names import option, shell
from birdiedna.experiments import config_json
from birdiedna.model.fields import check_seed
from birdiedna.training import run_folder
from birdiedna.training.finetune import FinetuneConfig
from birdiedna.training.pretrain import PretrainConfig
from birdiedna.training.probe import ProbeConfig

_CONFIGS = {"pretrain": PretrainConfig, "finetune": FinetuneConfig, "probe": ProbeConfig}


@dataclass(frozen=True)
class RunSpec:
    """A run: what it computes, and from which data.

    kind: "pretrain", "probe" or "finetune". data: part -> fingerprint. data_notes: what reading
    the data changed. base, changes: as in `Profile`. options: command-line options that name the
    data. replay: the run whose ratios are replayed. start: the run that a probe or fine-tuning
    starts from, or "random". llama: the folder of a Hugging Face Llama that pre-training continues;
    `data` has its checksum. model: what probes and fine-tunings start from in place of a run, as in
    `models.load`. rows: part -> number of rows. crop: the part of every row that is read,
    () for all. reading: how rows are read. name: of the run folder, set by `named`.
    """

    kind: str
    profile: str
    arm: str
    config: PretrainConfig | FinetuneConfig | ProbeConfig
    seed: int
    data: Mapping[str, str]
    data_notes: Mapping[str, Any]
    base: str = ""
    changes: tuple[str, ...] = ()
    options: str = ""
    replay: str = ""
    llama: str = ""
    model: str = ""
    task: str = ""
    start: str = ""
    finetune_seed: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    crop: tuple[int, ...] = ()
    reading: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        for seed in (self.seed, self.finetune_seed):
            check_seed(seed)

    def record(self) -> dict[str, Any]:
        """The contents of `config.json`: all that determines the result except the data."""
        names = ["kind", "task", "start", "seed", "finetune_seed", "reading"]
        if self.kind == "pretrain":
            names = ["kind", "seed"]
        return {name: getattr(self, name) for name in names} | run_folder.to_json(self.config)

    @property
    def share(self) -> float:
        """The share of train rows that a fine-tuning reads; 1 for other runs."""
        return self.config.share if isinstance(self.config, FinetuneConfig) else 1.0

    def manifest(self) -> dict[str, Any]:
        """The part of `manifest.json` that is known before the run."""
        facts = {key: getattr(self, key) for key in ("name", "kind", "profile", "arm", "seed")}
        facts |= {"changes": list(self.changes)} if self.changes else {}
        facts |= {"data": self.data, "data_notes": self.data_notes, "command": self.command()}
        if self.kind != "pretrain":
            facts |= {key: getattr(self, key) for key in ("task", "finetune_seed", "rows")}
            facts |= {"crop": list(self.crop) or None, "reading": self.reading}
            facts |= {"share": self.share} if self.share < 1 else {}
        return facts

    def command(self) -> str:
        """The command that repeats this run, without folders of this machine."""
        start, changes = Path(self.model).name, self.changes
        words = f"birdiedna {self.kind}" + f" {shell(start or self.arm)}" * (self.kind == "probe")
        words += option("profile", self.base or self.profile)
        if self.share < 1:
            others = [change for change in changes if not change.startswith("finetune.share=")]
            changes = (*others, f"finetune.share={self.share}")
        words += "".join(option("set", change) for change in changes)
        trained = start and self.start != "random"  # of an arm of its own
        words += option("arm", self.arm) * (self.kind != "probe" and not trained)
        words += option("task", self.task) * bool(self.task) + f" --seed {self.seed}"
        words += f" --finetune-seed {self.finetune_seed}" * (self.kind == "finetune")
        words += self.options
        words += option("from-llama", Path(self.llama).name) * bool(self.llama)
        words += option("replay", Path(self.replay).name) * bool(self.replay)
        return words + option("start", start) * (bool(start) and self.kind == "finetune")


def named(spec: RunSpec) -> RunSpec:
    """The run with its name, which ends in a hash of config, seeds and data.

    ValueError if profile, arm or task cannot name a folder.
    """
    if spec.kind == "pretrain":
        name = f"pretrain-{spec.arm}-seed{spec.seed}" + "-replay" * bool(spec.replay)
        name += "-llama" * bool(spec.llama)
        data: Any = dict(spec.data) if spec.llama else spec.data["genome"]
    else:
        name = f"{spec.kind}-{spec.task}-{spec.arm}-seed{spec.seed}.{spec.finetune_seed}"
        name += f"-share{spec.share:g}" if spec.share < 1 else ""
        data = {part: mark for part, mark in spec.data.items() if part != "genome"}
    computed = {name: value for name, value in spec.record().items() if name != "reading"}
    place = run_folder.place(spec.profile, name, (computed, data))
    return replace(spec, name=place.name)


def parse(stored: Mapping[str, Any]) -> RunSpec:
    """A run from what `run_folder.to_json` made of it; errors as in `config_json.parse`."""
    spec = config_json.build(RunSpec, stored, str(stored.get("name"))[:200])
    run_folder.plain(spec.name)
    if type(spec.config) is not _CONFIGS.get(spec.kind):
        raise ValueError(f"{spec.name}: kind {spec.kind!r} and a {type(spec.config).__name__}")
    return spec
