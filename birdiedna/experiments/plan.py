"""A plan of many runs: its list, its data as files that need nothing but numpy, its state."""

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from birdiedna.data.labelled import Labelled
from birdiedna.experiments import config_json, cost
from birdiedna.training import run_folder
from birdiedna.training.finetune import FinetuneConfig
from birdiedna.training.pretrain import PretrainConfig

FORMAT = 1


class Run(NamedTuple):
    """A run to be made: `record` is its `config.json`, `facts` go into its manifest."""

    name: str
    record: dict[str, Any]
    facts: dict[str, Any]

    def config(self) -> PretrainConfig | FinetuneConfig:
        """The config, checked field by field.

        Raises:
          ValueError: as `config_json.parse`.
        """
        plain = {k: v for k, v in self.record.items() if k not in config_json.NOT_CONFIG}
        return config_json.parse(plain, self.name)

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
        return place if run_folder.complete(place) else place.with_name(f"{name}.partial")


def write(plan: Plan) -> None:
    """Write `plan.json`."""
    stored = plan._asdict() | {"format": FORMAT, "runs": [run._asdict() for run in plan.runs]}
    del stored["folder"]
    run_folder.write_json(plan.folder / "plan.json", stored)


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


def standing_of(plan: Plan, run: Run, failed: Mapping[str, str]) -> str:
    """How far a run has come: "finished", or why it is not."""
    if run_folder.complete(plan.place(run.name)):
        return "finished"
    if run.name in failed:
        return f"failed: {failed[run.name]}"
    if run.start() in failed:
        return f"cannot begin: {run.start()} failed"
    log, steps = plan.log(run.name), run.record["steps"]
    if (log / "events.jsonl").exists():
        done = max((event["step"] for event in run_folder.events(log)), default=0)
        return f"begun, step {done:,} of {steps:,}"
    return "not begun"


PARTS = ("train", "validation", "test")


def write_rows(path: Path, parts: tuple[Labelled, Labelled, Labelled]) -> None:
    """Rows of a task; names stay behind, since they may tell the label."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        f"{part}_{field}": getattr(rows, field)
        for part, rows in zip(PARTS, parts, strict=True)
        for field in ("tokens", "lengths", "labels")
    }
    np.savez_compressed(path, **arrays)


def read_rows(path: Path) -> tuple[Labelled, Labelled, Labelled]:
    """What `write_rows` wrote: train, validation and test rows, without names."""
    with np.load(path, allow_pickle=False) as stored:
        fields = ("tokens", "lengths", "labels")
        found = [[stored[f"{part}_{field}"] for field in fields] for part in PARTS]
    return tuple(Labelled(*arrays, names=("",) * len(arrays[2])) for arrays in found)


def read_weights(path: Path, like: Any) -> Any:
    """Weights in the structure of `like`, from key paths -> bits of bfloat16 as uint16.

    Raises:
      ValueError: the file cannot be read, or names or shapes are not those of `like`.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    wanted = {jax.tree_util.keystr(at): leaf for at, leaf in leaves}
    try:
        with np.load(path, allow_pickle=False) as stored:
            bits = {name: stored[name] for name in stored.files}
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} holds no weights: {error}") from None
    have, want = ({name: x.shape for name, x in of.items()} for of in (bits, wanted))
    if differ := sorted(name for name in have | want if have.get(name) != want.get(name)):
        name = differ[0]
        raise ValueError(
            f"{path} does not fit the model: {len(differ)} arrays differ, such as {name}: stored "
            f"{have.get(name)}, wanted {want.get(name)}"
        )
    floats = lambda x: (x.astype(np.uint32) << 16).view(np.float32)
    return structure.unflatten(
        [jnp.asarray(floats(bits[name]), leaf.dtype) for name, leaf in wanted.items()]
    )


def table(plan: Plan) -> list[dict[str, Any]]:
    """One row per run, in order: name, kind, standing, minutes, and the speed of a pre-training."""
    failed = failures(plan)
    return [_row(plan, run, failed) for run in plan.runs]


def _row(plan: Plan, run: Run, failed: dict[str, str]) -> dict[str, Any]:
    log, standing = plan.log(run.name), standing_of(plan, run, failed)
    row = {"name": run.name, "kind": run.facts["kind"], "standing": standing}
    row["minutes"] = cost.seconds(log) / 60
    begun = standing == "finished" or standing.startswith("begun")
    if run.facts["kind"] == "pretrain" and begun:
        row |= cost.speed(log, run.config().model)
    return row


def minutes_left(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[int, float | None]]:
    """By kind: runs that are left, and about how many minutes they take.

    The guess is the mean of the finished runs of that kind, None where there are none.
    """
    found = {}
    for kind in dict.fromkeys(row["kind"] for row in rows):
        of = [row for row in rows if row["kind"] == kind]
        done = [row["minutes"] for row in of if row["standing"] == "finished"]
        left = [row for row in of if row["standing"].startswith(("begun", "not"))]
        spent = sum(row["minutes"] for row in left)
        guess = max(0.0, len(left) * sum(done) / len(done) - spent) if done else None
        found[kind] = (len(left), guess if left else 0.0)
    return found


def text(plan: Plan, each: bool = True) -> str:
    """The table for a terminal, and what is left; without `each`, only runs that have begun."""
    rows = table(plan)
    shown = [row for row in rows if each or row["standing"] != "not begun"]
    width = max((len(row["name"]) for row in shown), default=0)
    lines = [
        f"  {row['name']:<{width}}  {row['minutes']:7.2f} min  {row['standing']}{_speed(row)}"
        for row in shown
    ]
    done = sum(row["standing"] == "finished" for row in rows)
    lines.append(
        f"{done} of {len(rows)} runs finished, {sum(row['minutes'] for row in rows):.1f} minutes"
    )
    for kind, (left, guess) in minutes_left(rows).items():
        about = f", about {guess:.1f} minutes" if guess is not None else ""
        lines.append(f"left: {left} x {kind}{about if left else ''}")
    return "\n".join(lines)


def _speed(row: dict[str, Any]) -> str:
    if not row.get("step_ms"):
        return ""
    mfu, memory = row["mfu"], row["peak_memory_bytes"]
    said = f"; {row['step_ms']:.1f} ms a step, {row['tokens_per_s'] / 1e6:.3f} Mtok/s"
    said += f", {row['tflops']:.1f} TFLOP/s" + (f", MFU {mfu:.0%}" if mfu else "")
    return said + (f", {memory / 1e9:.1f} GB" if memory else "")


def totals(plan: Plan) -> dict[str, Any]:
    """The cost of a plan for the record: minutes by kind, devices, and the table of its runs."""
    rows = table(plan)
    kinds = dict.fromkeys(row["kind"] for row in rows)
    minutes = {k: sum(row["minutes"] for row in rows if row["kind"] == k) for k in kinds}
    finished = [plan.place(row["name"]) for row in rows if row["standing"] == "finished"]
    devices = sorted({run_folder.read(folder, "manifest")["device"] for folder in finished})
    begun = [row for row in rows if row["minutes"]]
    return {"minutes": minutes, "devices": devices, "runs": begun}
