"""A plan: a suite of runs and its data in one folder, for machines with only the training core.

    python -m birdiedna plan work FOLDER --budget-minutes 9

The same command resumes bit for bit. It exits with 0 when no run is left to do, and with 75 when
the time is up.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from fnmatch import fnmatch
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from birdiedna.data import genome as genomes
from birdiedna.data.files import digest
from birdiedna.data.genome import Genome
from birdiedna.data.labelled import Labelled, fit
from birdiedna.data.stored import damaged, parse, read_arrays, sealed
from birdiedna.experiments import cost, make, progress, run_spec
from birdiedna.experiments.make import Rows, Workplace
from birdiedna.experiments.run_spec import RunSpec
from birdiedna.model import transformer
from birdiedna.training import devices, environment, run_folder, run_writer, stop, weights

FORMAT = 2
#: Prefixes of the `state` of runs that are left to do.
_LEFT = ("begun", "not begun")
#: Runs that are listed when work ends.
_LISTED = 50


class Plan(NamedTuple):
    """The contents of `plan.json`.

    profile: settings as JSON. device: what runs need. prepared: code, commit and time of
    preparation. runs: in the order of work. sums: file -> sha256.
    """

    folder: Path
    profile: dict[str, Any]
    device: str
    prepared: dict[str, Any]
    runs: tuple[RunSpec, ...]
    sums: dict[str, str]

    def place(self, name: str) -> Path:
        """The folder of a run."""
        return self.folder / "runs" / name

    def log(self, name: str) -> Path:
        """The folder of the log of a run, finished or not."""
        place = self.place(name)
        return place if run_folder.complete(place) else place.with_name(f"{name}.partial")

    def read_log(self, name: str, read: Callable[[Path], Any]) -> Any:
        """What `read` returns for the log of a run, even if another process moves it meanwhile."""
        while True:
            log = self.log(name)
            there = log.exists()
            try:
                found = read(log)
            except (ValueError, OSError):
                if self.log(name) == log and log.exists() == there:
                    raise
            else:
                if self.log(name) == log:
                    return found

    def failures(self) -> dict[str, str]:
        """Runs that failed, and why, of all shards."""
        return make.failures(self.folder)


def write(plan: Plan) -> None:
    """Write `plan.json`."""
    stored = plan._asdict() | {"format": FORMAT, "runs": run_folder.to_json(plan.runs)}
    del stored["folder"]
    run_folder.write_json(plan.folder / "plan.json", sealed(stored))


def stored(folder: Path, text: bytes | None = None) -> dict[str, Any]:
    """The contents of `plan.json`, of any format, or of its bytes if they are read already.

    ValueError if it is missing or damaged.
    """
    path = Path(folder) / "plan.json"
    if not path.is_file():
        raise ValueError(f"{folder} contains no plan; write one with `birdiedna plan prepare`")
    shape = {
        "profile?": {"name": str, "changes?": [str]},
        "device?": str,
        "prepared?": {"code": str},
        "runs?": [{"name": str}],
        "sums?": {...: str},
    }
    remedy = "copy it again, or prepare the plan in a new folder"
    found = parse(path.read_bytes() if text is None else text, path, shape, remedy)
    found.pop("seal", None)
    return found


def read(folder: Path) -> Plan:
    """The plan of a folder; ValueError if it is missing, damaged or of another format."""
    path = Path(folder) / "plan.json"
    return _parsed(path.read_bytes() if path.is_file() else b"", Path(folder))


@lru_cache(maxsize=1)
def _parsed(text: bytes, folder: Path) -> Plan:
    """As `read`, from the bytes of `plan.json`, since a command reads it several times."""
    found = stored(folder, text)
    if found.pop("format", None) != FORMAT:
        raise ValueError(
            f"{folder}/plan.json has another format; prepare it again with this version and the "
            "same command; finished runs stay"
        )
    if lacking := [name for name in Plan._fields[1:] if name not in found]:
        raise ValueError(f"{folder}/plan.json has no {lacking[0]!r}; prepare it again")
    try:
        listed = tuple(run_spec.parse(run) for run in found.pop("runs"))
        return Plan(folder, runs=listed, **found)
    except (ValueError, TypeError) as error:
        by, remedy = other_code(found["prepared"]), "prepare it again"
        remedy = f"it was {by}: use that code, or prepare a plan in a new folder" if by else remedy
        raise ValueError(f"{folder}/plan.json: {error}; {remedy}") from None


def other_code(prepared: Mapping[str, Any]) -> str:
    """The other code that prepared a plan, in words; "" if it is this one."""
    code, here = str(prepared.get("code")), environment.code_fingerprint()
    return f"prepared by code {code[:8]}, and this is code {here[:8]}" * (code != here)


def chosen(plan: Plan, only: Sequence[str] = ()) -> list[RunSpec]:
    """The runs whose names match a pattern, and those they start from; without patterns, all.

    ValueError if a pattern matches no run.
    """
    wanted: set[str] = set()
    for pattern in [one if "*" in one else f"*{one}*" for one in only] or ["*"]:
        like = [run for run in plan.runs if fnmatch(run.name, pattern)]
        if not like:
            raise ValueError(f"no run matches {pattern}; `birdiedna plan status` lists them")
        wanted |= {name for run in like for name in (run.name, run.start)}
    return [run for run in plan.runs if run.name in wanted]


def state(plan: Plan, run: RunSpec, failed: Mapping[str, str]) -> str:
    """The state of a run: "finished", "failed: ...", "begun, step ..." or the like.

    `failed` is `plan.failures()`, read once for all runs. Errors as in `run_folder.check_name`.
    """
    if run_folder.complete(place := plan.place(run.name)):
        run_folder.check_name(place)
        return "finished"
    if run.name in failed:
        return f"failed: {failed[run.name]}"
    if run.start in failed:
        return f"cannot begin: {run.start} failed"
    log = plan.log(run.name)
    if (log / "events.jsonl").exists():
        done = max((event["step"] for event in run_folder.each_event(log)), default=0)
        return f"begun, step {done:,} of {run.config.steps:,}"
    return "not begun"


def shard(runs: Sequence[RunSpec], number: int, of: int) -> list[RunSpec]:
    """Shard `number` (from 1) of `of`; every run is in exactly one shard.

    A fine-tuning or probe is in the shard of its pre-training. If there are more shards than
    pre-trainings, the tasks of a pre-training are spread over several shards; seeds of a task stay
    together, since they can train together. A run goes to the shard with the fewest rows to read.
    """
    shards: list[list[RunSpec]] = [[] for _ in range(of)]
    rows = [0] * of
    pretrained = (run.name for run in runs if run.kind == "pretrain")
    families = {name: number for number, name in enumerate(pretrained)}
    place: dict[tuple[str, str], int] = {}
    for run in runs:
        start = run.name if run.kind == "pretrain" else run.start
        if (start, run.task) not in place:
            allowed = range(of)
            if start in families:
                allowed = range(families[start] % of, of, len(families))
            if run.kind == "pretrain":
                allowed = allowed[:1]
            place[start, run.task] = min(allowed, key=rows.__getitem__)
        own = place[start, run.task]
        shards[own].append(run)
        rows[own] += run.config.steps * run.config.rows
    return shards[number - 1]


def work(
    folder: Path,
    ask: stop.Ask = stop.never,
    only: Sequence[str] = (),
    device: str = "",
    part: tuple[int, int] = (1, 1),
    shard_state: bool = False,
    tracker: str = "",
) -> None:
    """Make every unfinished run of a plan, as `make.work`.

    Several processes may work on one plan; each waits for runs that another one makes.

    Args:
      ask, shard_state, tracker: as in `runs.open_runs`.
      only: as in `chosen`.
      device: what runs need, as in `devices.require`; "" takes the plan's.
      part: number and count, as in `shard`.

    Raises:
      ValueError: no plan, run or device of that name; a plan of other code; altered data; another
        process works on an overlapping shard; or as `require_packages` and `make.work`.
    """
    plan = ready(folder, only, device)
    mine = shard(chosen(plan, only), *part)
    require_packages(plan, mine)
    devices.enable_compilation_cache(plan.folder)  # for the next call
    number, of = part

    def read_data(run: RunSpec) -> Genome | Rows:
        if run.kind == "pretrain":
            return read_genome(checked(plan, "genome.npz"))
        return read_rows(checked(plan, f"tasks/{run.task}.npz"))

    def show(run: RunSpec, events: Iterator[Mapping[str, Any]]) -> None:
        print(f"{run.name}: {state(plan, run, plan.failures())}", flush=True)
        for line in progress.lines(run, events):
            print(f"  {line}", flush=True)

    place = Workplace(
        folder=plan.folder / "runs",
        read=read_data,
        show=show,
        device=device or plan.device,
        shard_state=shard_state,
        failures=plan.folder / (f"failures-{number}-of-{of}.json" if of > 1 else "failures.json"),
        tracker=tracker,
    )
    with _sole_shard(plan, *part) if of > 1 else nullcontext():
        make.work(mine, place, ask)


@contextmanager
def _sole_shard(plan: Plan, number: int, of: int) -> Iterator[None]:
    """Lock a shard; ValueError if another process works on it or on an overlapping one."""
    locks = plan.folder.glob("shard-*.lock")
    with ExitStack() as held:
        try:
            for path in (lock for lock in locks if not lock.stem.endswith(f"-of-{of}")):
                with run_writer.sole_writer(path):  # raises unless its process has ended
                    pass
            own = plan.folder / f"shard-{number}-of-{of}.lock"
            held.enter_context(run_writer.sole_writer(own))
        except ValueError as error:
            raise ValueError(f"shard {number}/{of} overlaps another: {error}") from error
        yield


def ready(folder: Path, only: Sequence[str] = (), device: str = "") -> Plan:
    """The plan, after the checks of `work`; arguments and errors as there."""
    plan = read(folder)
    chosen(plan, only)
    if by := other_code(plan.prepared):
        raise ValueError(
            f"{folder} was {by}: prepare it again in this checkout with the same command; finished "
            "runs stay"
        )
    devices.require(device or plan.device)
    return plan


def require_packages(plan: Plan, runs: Sequence[RunSpec]) -> None:
    """ValueError if scikit-learn is missing and a probe of these runs is unfinished.

    Noted as failures of the runs, it would keep them from being made once it is installed.
    """
    probes = [plan.place(run.name) for run in runs if run.kind == "probe"]
    if not all(map(run_folder.complete, probes)) and find_spec("sklearn") is None:
        raise ValueError(
            "probes need scikit-learn: pip install scikit-learn, or leave them to another machine: "
            "--only pretrain finetune"
        )


def place_weights(folder: Path, given: Sequence[str]) -> None:
    """Turn weights made elsewhere into finished pre-trainings, by `make.adopt`.

    Args:
      given: ARM=FILE texts; an arm means its first seed; name others like `birdie-seed1=FILE`.

    Raises:
      ValueError: no plan, a text of another form, no such arm, or weights that do not fit.
    """
    plan = read(folder)
    pretrained = [run for run in plan.runs if run.kind == "pretrain"]
    of = {run.arm: run for run in reversed(pretrained)}
    of |= {f"{run.arm}-seed{run.seed}": run for run in pretrained}
    for text in given:
        arm, _, name = text.partition("=")
        if not name:
            raise ValueError(f"weights {text!r} are not like birdie=FILE")
        file = Path(name)
        if arm not in of:
            arms = ", ".join(dict.fromkeys(run.arm for run in pretrained))
            raise ValueError(f"{folder} pre-trains no {arm!r}, but {arms}")
        run, place = of[arm], plan.place(of[arm].name)
        if run_folder.complete(place):
            print(f"{run.name} is finished and stays; {file.name} is ignored", flush=True)
            continue
        if (begun := place.with_name(f"{run.name}.partial")).exists():
            raise ValueError(f"{run.name} was begun here; finish it, or remove {begun}")
        net = transformer.recast(weights.read(file).net, run.config.model)
        source = {"file": file.name, "sha256": digest(file)}
        make.adopt(place, run.record(), run.manifest(), net, source)


read_genome = lru_cache(maxsize=1)(genomes.load)
_PARTS = ("train", "validation", "test")
_FIELDS = ("tokens", "lengths", "labels")


def write_rows(path: Path, parts: Rows) -> None:
    """Write the rows of a task, without names, which may reveal labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        f"{part}_{field}": getattr(rows, field)
        for part, rows in zip(_PARTS, parts, strict=True)
        for field in _FIELDS
    }
    np.savez_compressed(path, **arrays)


@lru_cache(maxsize=1)
def read_rows(path: Path) -> Rows:
    """Train, validation and test rows that `write_rows` wrote, without names."""
    names = tuple(f"{part}_{field}" for part in _PARTS for field in _FIELDS)
    found = read_arrays(path, names=names, remedy="copy it again")
    arrays = [[found[f"{part}_{field}"] for field in _FIELDS] for part in _PARTS]
    if wrong := [part for part, rows in zip(_PARTS, arrays, strict=True) if not fit(*rows)]:
        raise damaged(path, f"its {wrong[0]} arrays are no rows", "copy it again")
    train, validation, test = (
        Labelled(tokens, lengths, labels, ("",) * len(labels)) for tokens, lengths, labels in arrays
    )
    return train, validation, test


def checked(plan: Plan, name: str) -> Path:
    """The path of a data file of the plan; ValueError if it was altered."""
    path = plan.folder / name
    if not path.is_file() or digest(path) != plan.sums.get(name):
        raise ValueError(f"{path} is not the file that was prepared; copy it again")
    return path


def table(plan: Plan) -> list[dict[str, Any]]:
    """One row per run, in order: name, kind, standing, minutes."""
    failed = plan.failures()

    def row(run: RunSpec, log: Path) -> dict[str, Any]:
        now = state(plan, run, failed)
        known = {"name": run.name, "kind": run.kind, "standing": now}
        return known | {"minutes": cost.seconds(log) / 60}

    return [plan.read_log(run.name, partial(row, run)) for run in plan.runs]


def _with_speed(plan: Plan, row: dict[str, Any]) -> dict[str, Any]:
    """A row of `table` with the speed of a pre-training, for which its whole log is read."""
    logged = row["kind"] == "pretrain" and row["standing"].startswith(("finished", "begun"))
    speed = lambda log: cost.speed(log) if log.exists() else {}  # the run may have failed since
    return row | plan.read_log(row["name"], speed) if logged else row


def minutes_left(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[int, float | None]]:
    """By kind: the number of runs left and their minutes, estimated from the finished ones.

    The estimate is None if no run of the kind is finished.
    """
    found = {}
    for kind in dict.fromkeys(row["kind"] for row in rows):
        of = [row for row in rows if row["kind"] == kind]
        done = [row["minutes"] for row in of if row["standing"] == "finished"]
        left = [row for row in of if row["standing"].startswith(_LEFT)]
        spent = sum(row["minutes"] for row in left)
        guess = max(0.0, len(left) * sum(done) / len(done) - spent) if done else None
        found[kind] = (len(left), guess if left else 0.0)
    return found


def text(plan: Plan, each: bool = True) -> str:
    """The table and what is left, for a terminal.

    Without `each`, only `_LISTED` runs that have begun, unfinished ones before others.
    """
    rows = table(plan)
    shown = [row for row in rows if each or row["standing"] != "not begun"]
    if more := 0 if each else max(0, len(shown) - _LISTED):
        shown = sorted(shown, key=lambda row: row["standing"] == "finished")[:_LISTED]
    width = max((len(row["name"]) for row in shown), default=0)
    lines = []
    for row in (_with_speed(plan, row) for row in shown):
        lines.append(f"  {row['name']:<{width}}  {row['minutes']:7.2f} min  {row['standing']}")
        if "step_ms" in row:
            lines[-1] += f"; {row['step_ms']:.1f} ms a step (median), "
            lines[-1] += f"{row['tokens_per_s'] / 1e6:.3f} Mtok/s"
    if more:
        lines.append(f"  and {more:,} more; `birdiedna plan status` lists them")
    done = sum(row["standing"] == "finished" for row in rows)
    lines.append(
        f"{done} of {len(rows)} runs finished, {sum(row['minutes'] for row in rows):.1f} minutes"
    )
    if failed := plan.failures():
        noted = ", ".join(str(path) for path in sorted(plan.folder.glob("failures*.json")))
        lines.append(f"failed: {len(failed)}, not tried again unless {noted} is removed")
    for kind, (left, guess) in minutes_left(rows).items():
        about = f", about {guess:.1f} minutes" if guess is not None else ""
        lines.append(f"left: {left} x {kind}{about if left else ''}")
    return "\n".join(lines)


def totals(plan: Plan, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The cost of a plan, from the rows of `table`: minutes by kind, devices, energy, runs.

    Energy is in kWh, of runs whose devices reported it; None if none did.
    """
    kinds = dict.fromkeys(row["kind"] for row in rows)
    minutes = {k: sum(row["minutes"] for row in rows if row["kind"] == k) for k in kinds}
    finished = [plan.place(row["name"]) for row in rows if row["standing"] == "finished"]
    made = [run_folder.read(folder, "manifest", "device") for folder in finished]
    devices = sorted({manifest["device"] for manifest in made})
    known = [used for folder in finished if (used := cost.kilowatt_hours(folder)) is not None]
    energy = {"kWh": sum(known), "runs": len(known)} if known else None
    begun = [_with_speed(plan, row) for row in rows if row["minutes"]]
    return {"minutes": minutes, "devices": devices, "energy": energy, "runs": begun}
