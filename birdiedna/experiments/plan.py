"""The list of a plan's runs, and how far each has come."""

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from birdiedna import configs, runs
from birdiedna.finetune import FinetuneConfig
from birdiedna.pretrain import PretrainConfig

FORMAT = 1


class Run(NamedTuple):
    """A run to be made: `record` is its `config.json`, `facts` go into its manifest."""

    name: str
    record: dict[str, Any]
    facts: dict[str, Any]

    def config(self) -> PretrainConfig | FinetuneConfig:
        """The config, checked field by field.

        Raises:
          ValueError: as `configs.parse`.
        """
        plain = {k: v for k, v in self.record.items() if k not in configs.NOT_CONFIG}
        return configs.parse(plain, self.name)

    def start(self) -> str:
        """The pre-training it begins with; "" for none."""
        return self.record.get("start", "random").removeprefix("random")


class Plan(NamedTuple):
    """A plan as it was written down.

    folder: where. profile: settings as JSON. device: what runs need. prepared: code, commit and
    time of the machine that wrote it. runs: in the order in which they are made. sums: file ->
    sha256.
    """

    folder: Path
    profile: dict[str, Any]
    device: str
    prepared: dict[str, Any]
    runs: tuple[Run, ...]
    sums: dict[str, str]

    def place(self, name: str) -> Path:
        """The folder of a run."""
        return self.folder / "runs" / name

    def log(self, name: str) -> Path:
        """Where the log of a run is, finished or not."""
        place = self.place(name)
        return place if runs.complete(place) else place.with_name(f"{name}.partial")


def write(plan: Plan) -> None:
    """Write `plan.json`."""
    stored = plan._asdict() | {"format": FORMAT, "runs": [run._asdict() for run in plan.runs]}
    del stored["folder"]
    runs.write_json(plan.folder / "plan.json", stored)


def read(folder: Path) -> Plan:
    """The plan of a folder.

    Raises:
      ValueError: there is none, or it has another format.
    """
    path = Path(folder) / "plan.json"
    if not path.is_file():
        raise ValueError(f"{folder} holds no plan; write one with `birdiedna plan prepare`")
    stored = json.loads(path.read_text())
    if stored.pop("format", None) != FORMAT:
        raise ValueError(f"{path} has another format; prepare it again with this version")
    listed = tuple(Run(**run) for run in stored.pop("runs"))
    return Plan(Path(folder), runs=listed, **stored)


def failures(plan: Plan) -> dict[str, str]:
    """Runs that cannot be finished, and why; to try one again, delete its line."""
    path = plan.folder / "failures.json"
    return json.loads(path.read_text()) if path.exists() else {}


def chosen(plan: Plan, only: Sequence[str] = ()) -> list[Run]:
    """The runs whose names match one of the patterns, all for none; and what they start from.

    Raises:
      ValueError: a pattern that matches no run.
    """
    patterns = [pattern if "*" in pattern else f"*{pattern}*" for pattern in only]
    for pattern in patterns:
        if not any(fnmatch(run.name, pattern) for run in plan.runs):
            raise ValueError(f"no run is like {pattern}; `birdiedna plan status` lists them")
    named = [run for run in plan.runs if any(fnmatch(run.name, p) for p in patterns or ["*"])]
    wanted = {run.name for run in named} | {run.start() for run in named}
    return [run for run in plan.runs if run.name in wanted]


def standing(plan: Plan, run: Run, failed: Mapping[str, str]) -> str:
    """How far a run has come: "finished", or why it is not."""
    if runs.complete(plan.place(run.name)):
        return "finished"
    if run.name in failed:
        return f"failed: {failed[run.name]}"
    if run.start() in failed:
        return f"cannot begin: {run.start()} failed"
    log, steps = plan.log(run.name), run.record["steps"]
    if (log / "events.jsonl").exists():
        done = max((event["step"] for event in runs.events(log)), default=0)
        return f"begun, step {done:,} of {steps:,}"
    return "not begun"
