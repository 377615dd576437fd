"""Run the chapters with papermill, several at once, each in its own kernel, if not fresh.

A copy is fresh while everything it depends on (`keys.parts`) is as recorded in it. Chapters that
read no run folders run while those are made. Parameters are those that a chapter declares.
"""

import ast
import contextlib
import difflib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import papermill
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellControlSignal
from papermill import inspect_notebook
from tqdm import tqdm

from birdiedna.experiments import results
from book._ext import keys, layout
from book._ext.layout import Layout


def prepare(
    profile: str,
    genome: str = "sample",
    tasks: str = "sample",
    seed: int = 0,
    validation: str = "",
) -> Sequence[Path]:
    """Make the run folders that chapters read; imports the training code only now."""
    from birdiedna.experiments import runs
    from birdiedna.experiments.sources import Sources

    return runs.every_run(runs.open_runs(profile, Sources(genome, tasks, validation), seed))


class Kernels:
    """The kernels of one call, all with the same folder and environment.

    Attributes:
      manager: the class of kernel managers that starts them, for papermill.
      killed: set as soon as `kill` was called.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]):
        self.killed = Event()
        self._processes: list[subprocess.Popen] = []
        processes = self._processes
        told = {"cwd": str(folder), "env": dict(environment)}

        class Manager(AsyncKernelManager):
            async def start_kernel(self, **asked: Any) -> None:
                await super().start_kernel(**{**asked, **told})
                processes.append(self.provisioner.process)

        self.manager = Manager

    def kill(self) -> None:
        """End every kernel that lives, and what it started."""
        self.killed.set()
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it ends this moment
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)  # a kernel leads a group of its own


def kernel_environment(book: Layout, profile: str) -> dict[str, str]:
    """What a chapter's kernel finds in its environment.

    Kernels compute on the CPU: an accelerator belongs to the process that makes the runs, and what
    chapters compute themselves is small.
    """
    from birdiedna.data import fasta
    from birdiedna.training import devices  # only now, since they import JAX

    ours = {
        "BIRDIEDNA_RUNS": str(book.runs),
        "BIRDIEDNA_FIGURES": str(book.runs / profile / "figures"),
        "JAX_PLATFORMS": "cpu",
    }
    return {**os.environ, **ours, **devices.cache_variables(fasta.default_cache())}


KINDS = {"str": str, "int": int, "float": float, "bool": bool}


class Parameter(NamedTuple):
    """One line of a chapter's `parameters` cell: `name: kind = default  # choice | choice`."""

    name: str
    kind: str
    default: Any
    choices: tuple[str, ...]


def declared(chapter: Path) -> dict[str, Parameter]:
    """The parameters of a chapter, from its cell tagged `parameters`.

    Raises:
      ValueError: a parameter has no type out of str, int, float, bool, or no literal default.
    """
    return {name: _parameter(chapter, entry) for name, entry in inspect_notebook(chapter).items()}


def accepted(
    chapters: Iterable[Path],
    asked: Mapping[str, Any],
    more: Mapping[str, Sequence[str]] | None = None,
) -> dict[Path, dict[str, str | int | float | bool]]:
    """What each chapter takes of what is asked; a chapter without the parameter ignores it.

    Args:
      asked: values by name, as text (from a command line) or already typed.
      more: values by name that may be taken beside a parameter's choices.

    Raises:
      ValueError: no chapter has the parameter, or a value has the wrong type or is no choice.
    """
    known = {chapter: declared(chapter) for chapter in chapters}
    names = sorted({name for parameters in known.values() for name in parameters})
    for name in asked:
        if name not in names:
            raise ValueError(f"no chapter has a parameter {name!r}; {_hint(name, names)}")
    wider = {} if more is None else more
    known = {
        chapter: {n: _wider(p, wider.get(n, ())) for n, p in parameters.items()}
        for chapter, parameters in known.items()
    }
    return {
        chapter: {n: _value(p, asked[n]) for n, p in parameters.items() if n in asked}
        for chapter, parameters in known.items()
    }


def _parameter(chapter: Path, entry: Mapping[str, str]) -> Parameter:
    name, kind = entry["name"], entry["inferred_type_name"]
    try:
        default = ast.literal_eval(entry["default"])
    except (ValueError, SyntaxError):
        raise ValueError(
            f"{chapter.name}: parameter {name!r} has the default {entry['default']}; "
            "write a literal, as 3 or 'quick'"
        ) from None
    if kind not in KINDS:
        raise ValueError(
            f"{chapter.name}: parameter {name!r} has the type {kind}; annotate it with one of "
            f"{', '.join(KINDS)}"
        )
    words = [word.strip() for word in (entry["help"] or "").split("|")]
    listed = len(words) > 1 and all(re.fullmatch(r"[\w.-]+", word) for word in words)
    return Parameter(name, kind, default, tuple(words) if listed else ())


def _wider(parameter: Parameter, more: Sequence[str]) -> Parameter:
    """The parameter with further choices, if it has any."""
    choices = tuple(dict.fromkeys((*parameter.choices, *more))) if parameter.choices else ()
    return parameter._replace(choices=choices)


def _value(parameter: Parameter, given: Any) -> str | int | float | bool:
    """A given value as the parameter's type, without silent conversion."""
    value = _parsed(parameter.kind, given)
    if value is None:
        raise ValueError(
            f"parameter {parameter.name!r} is {given!r}, but the chapter declares "
            f"{parameter.kind} (default {parameter.default!r})"
        )
    if parameter.choices and str(value) not in parameter.choices:
        raise ValueError(
            f"parameter {parameter.name!r} is {given!r}; {_hint(str(given), parameter.choices)}"
        )
    return value


def _parsed(kind: str, given: Any) -> str | int | float | bool | None:
    """The value, or None if it is not of the kind."""
    if kind == "str":
        return given if isinstance(given, str) else None
    if isinstance(given, str):
        try:
            given = ast.literal_eval(given)
        except (ValueError, SyntaxError):
            return None
    if kind == "float" and type(given) is int:
        return float(given)
    return given if type(given) is KINDS[kind] else None


def _hint(given: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(given, list(known), n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{meant}choose one of {', '.join(known)}"


Prepare = Callable[..., Sequence[Path]]


@dataclass(frozen=True)
class Order:
    """What is asked for.

    Attributes:
      profile: `quick`, `paper` or a name of results; also the folder under `runs`.
      given: other parameters by name, as text or typed.
      only: names of chapters to run, as `02_objectives`; none means all.
      force: run also what is fresh.
      keep_going: run the chapters after one that fails.
      dry_run: say what would run, and run nothing.
      at_once: how many chapters run side by side; 0 means one a core, but not more than four.
      cell_timeout_s: longest time of one cell; heavy work is done outside the chapters.
    """

    profile: str = "quick"
    given: Mapping[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    force: bool = False
    keep_going: bool = False
    dry_run: bool = False
    at_once: int = 0
    cell_timeout_s: int = 3600


class Outcome(NamedTuple):
    """What happened to one chapter: `fresh`, `ran`, `failed`, `would run` or `not run`."""

    chapter: str
    state: str
    why: str
    seconds: float = 0.0


class Job(NamedTuple):
    """One chapter, its executed copy, its parameters, and why it must run (empty: fresh)."""

    chapter: Path
    copy: Path
    given: dict[str, Any]
    needs: list[str]
    why: str


class Call(NamedTuple):
    """What the chapters of one call share; `failed` is set by the first that fails."""

    order: Order
    kernels: Kernels
    failed: Event


def run_book(order: Order, book: Layout, prepare: Prepare | None = None) -> list[Outcome]:
    """Bring the executed copies of the chapters up to date.

    After a chapter that fails, those already begun go on and no other begins. An error while runs
    are made, or an interrupt, ends all kernels at once; copies of unfinished chapters stay as they
    were.

    Args:
      prepare: makes the run folders that chapters read and returns them; called with profile,
        genome, tasks, seed and validation, only if a chapter that needs run folders is not fresh.

    Raises:
      ValueError: an unknown chapter or parameter, or a value of the wrong type; nothing has run
        then. Or a needed kind of run folder that `prepare` does not make.
    """
    jobs = plan(order, book)
    if order.dry_run or not any(job.why for job in jobs):
        return [Outcome(j.chapter.stem, "would run" if j.why else "fresh", j.why) for j in jobs]
    environment = kernel_environment(book, order.profile)
    call = Call(order, Kernels(book.root, environment), Event())
    pool = ThreadPoolExecutor(order.at_once or min(4, _cores()))
    begun: dict[str, Future[Outcome]] = {}

    def begin(job: Job, folders: Sequence[Path]) -> None:
        # in this thread: Python 3.11 cannot parse in two at once (python/cpython#106905)
        record = _record(job, book, folders) if job.why else {}
        begun[job.chapter.stem] = pool.submit(_run, job, call, record)

    try:
        for job in jobs:
            if not job.needs:
                begin(job, [])
        folders = _prepared(order, jobs, prepare) if prepare else []
        for job in jobs:
            if job.needs:
                begin(_with_folders(job, book, folders) if folders else job, folders)
        return [begun[job.chapter.stem].result() for job in jobs]
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        while not all(chapter.done() for chapter in begun.values()):
            call.kernels.kill()
            time.sleep(0.1)
        raise
    finally:
        pool.shutdown()


def _cores() -> int:
    """Those this process may use; not every system can say which they are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def plan(order: Order, book: Layout) -> list[Job]:
    """The chapters asked for, and why each must run, from what the executed copies record.

    Raises:
      ValueError: as `run_book`.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", order.profile):
        raise ValueError(f"profile {order.profile!r} is no name; use letters, digits, - and _")
    listed = layout.chapters(book)
    asked = {"profile": order.profile, **order.given}
    given = accepted(listed, asked, {"profile": results.names()})
    names = [chapter.stem for chapter in listed]
    for name in order.only:
        if name not in names:
            raise ValueError(f"no chapter {name!r}; choose one of {', '.join(names)}")
    chosen = [c for c in listed if not order.only or c.stem in order.only]
    return [_job(chapter, given[chapter], order, book) for chapter in chosen]


def report(outcomes: Sequence[Outcome]) -> str:
    """A table for the terminal: chapter, what happened, seconds, why."""
    rows = [
        f"  {o.chapter:<22}{o.state:<11}{f'{o.seconds:.1f} s' if o.seconds else '':>9}  {o.why}"
        for o in outcomes
    ]
    ran = [o for o in outcomes if o.state in ("ran", "failed")]
    total = f"{len(ran)} of {len(outcomes)} chapters ran"
    return "\n".join(row.rstrip() for row in [*rows, f"  {total}"])


def _job(chapter: Path, given: dict[str, Any], order: Order, book: Layout) -> Job:
    copy = layout.executed(book, order.profile, chapter)
    notebook = _read(chapter)
    why = "forced" if order.force else _stale(notebook, copy, given, book)
    return Job(chapter, copy, given, keys.needs(notebook), why)


def _stale(notebook: Mapping[str, Any], copy: Path, given: Mapping[str, Any], book: Layout) -> str:
    """Why a copy is out of date, judged by the run folders that it recorded itself."""
    if not copy.exists():
        return "not run before"
    metadata = _read(copy).get("metadata", {})
    recorded = metadata.get("birdiedna", {})
    if metadata.get("papermill", {}).get("exception") is not False or "code" not in recorded:
        return "failed last time"
    artefacts = keys.manifests(book.runs, recorded["artefacts"])
    return keys.difference(recorded, keys.parts(notebook, given, book.package, artefacts))


def _prepared(order: Order, jobs: Sequence[Job], prepare: Prepare) -> list[Path]:
    """Make the run folders if a chapter that is not fresh reads any."""
    wanted = {kind for job in jobs if job.why for kind in job.needs}
    if not wanted:
        return []
    known = ("genome", "tasks", "seed", "validation")
    given = {n: v for job in jobs for n, v in job.given.items() if n in known}
    folders = list(prepare(profile=order.profile, **given))
    made = {_kind(folder) for folder in folders}
    if wanted - made:
        raise ValueError(
            f"a chapter needs run folders of kind {min(wanted - made)!r}; "
            f"there are only {', '.join(sorted(made)) or 'none'}"
        )
    return folders


def _with_folders(job: Job, book: Layout, folders: Sequence[Path]) -> Job:
    """The job, judged again by the run folders that now exist."""
    if job.why or not job.needs:
        return job
    recorded = _read(job.copy)["metadata"]["birdiedna"]["artefacts"]
    changed = recorded != _artefacts(job, book, folders)
    return job._replace(why="runs changed" if changed else "")


def _artefacts(job: Job, book: Layout, folders: Sequence[Path]) -> dict[str, str]:
    names = [os.path.relpath(f, book.runs) for f in folders if _kind(f) in job.needs]
    return keys.manifests(book.runs, sorted(names))


def _kind(folder: Path) -> str:
    return json.loads((folder / "manifest.json").read_text("utf-8"))["kind"]


def _record(job: Job, book: Layout, folders: Sequence[Path]) -> dict[str, Any]:
    """What the outputs of a chapter that runs now depend on."""
    artefacts = _artefacts(job, book, folders)
    return keys.parts(_read(job.chapter), job.given, book.package, artefacts)


def _run(job: Job, call: Call, record: Mapping[str, Any]) -> Outcome:
    """Execute one chapter; its copy replaces the former one, also if it fails, not if killed."""
    name = job.chapter.stem
    if not job.why:
        return Outcome(name, "fresh", "")
    if call.failed.is_set() and not call.order.keep_going:
        return Outcome(name, "not run", "after a failure")
    with tqdm.external_write_mode():
        print(f"running {name} ({job.why})", flush=True)
    running = job.copy.parent / ".running" / job.chapter.name
    running.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    failure = ""
    try:
        _execute(job, running, call)
    except (papermill.PapermillExecutionError, CellControlSignal, RuntimeError) as error:
        if call.kernels.killed.is_set():
            return Outcome(name, "not run", "stopped")
        call.failed.set()
        failure = f"{_failed_cell(running)}: {_said(error)}"
    seconds = time.monotonic() - start
    _finish(running, job.copy, {**record, "seconds": round(seconds, 1)}, bool(failure))
    return Outcome(name, "failed" if failure else "ran", failure or job.why, seconds)


def _execute(job: Job, running: Path, call: Call) -> None:
    papermill.execute_notebook(
        str(job.chapter),
        str(running),
        parameters=job.given,
        kernel_name="python3",
        kernel_manager_class=call.kernels.manager,
        progress_bar=False,
        execution_timeout=call.order.cell_timeout_s,
        extra_arguments=["--log-level=ERROR"],  # no warning about TCP on this machine
    )


def _finish(running: Path, copy: Path, record: Mapping[str, Any], failed: bool) -> None:
    """Put the executed copy in its place, with its record and without this machine's paths."""
    notebook = _read(running)
    noted = notebook["metadata"].get("papermill", {})
    notebook["metadata"]["papermill"] = {
        **{key: value for key, value in noted.items() if not key.endswith("_path")},
        "exception": failed,
    }
    notebook["metadata"]["birdiedna"] = record
    running.write_text(json.dumps(notebook, indent=1, ensure_ascii=False), "utf-8")
    os.replace(running, copy)


def _failed_cell(running: Path) -> str:
    """The last code cell that was begun, counted among the chapter's own code cells."""
    cells = keys.code_cells(_read(running))
    begun = [cell["metadata"].get("papermill", {}).get("start_time") for cell in cells]
    return f"code cell {sum(time is not None for time in begun)} of {len(cells)}"


def _said(error: Exception) -> str:
    if isinstance(error, papermill.PapermillExecutionError):
        return f"{error.ename}: {error.evalue}"
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))
