"""Run stale chapters with papermill, several at once, each in its own kernel.

An executed copy is fresh while everything it depends on (`keys.parts`) is as it recorded. A chapter
begins as soon as the run folders that it needs are made; of several, the longest begins first.
"""

import ast
import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import papermill
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellControlSignal
from papermill import inspect_notebook
from tqdm import tqdm
from traitlets import default

from birdiedna.cli import COLLECT_LESS
from birdiedna.cli.parser import one_line
from birdiedna.data import files, stored
from birdiedna.data.names import grouped, meant
from birdiedna.experiments import results
from birdiedna.training import run_folder
from book._ext import keys, layout
from book._ext.layout import Layout


class Wanted(NamedTuple):
    """The runs that chapters read; fields are parameters of chapters."""

    profile: str
    genome: str = "sample"
    tasks: str = "sample"
    seed: int = 0
    validation: str = ""
    changes: str = ""
    labels: str = ""

    def opened(self) -> Any:
        """These runs; errors as in `runs.open_runs`. Imports the training code only now.

        On a CPU, JAX, which reads the variable when it starts, compiles with `SAME_NUMBERS`.
        """
        if not any(map(find_spec, ("jax_plugins", "libtpu"))):  # no accelerator
            os.environ.setdefault("XLA_FLAGS", SAME_NUMBERS)
        from birdiedna.experiments import runs
        from birdiedna.experiments.sources import Sources
        from birdiedna.tasks import labelled_as

        sources = Sources(self.genome, self.tasks, self.validation, labelled_as(self.labels))
        return runs.open_runs(self.profile, sources, self.seed, changes=self.changes.split())


Prepare = Callable[[Wanted], Iterable[Sequence[Path]]]


def prepare(wanted: Wanted) -> Iterator[Sequence[Path]]:
    """Make the run folders that chapters read; yields pre-trainings, unless stored, then all."""
    from birdiedna.evaluation.paper_table import PRETRAINED
    from birdiedna.experiments import profiles, runs

    opened = wanted.opened()
    if said := profiles.summary(opened.settings):
        print(said, flush=True)
    if not opened.stored:
        yield [opened.pretrained(arm) for arm in PRETRAINED]
    yield runs.every_run(opened)


def check(wanted: Wanted) -> None:
    """Raise the errors of `prepare` before anything is trained."""
    from birdiedna.experiments import runs

    runs.check(wanted.opened())


def check_settings(order: "Order") -> None:
    """Check a profile file and changed settings; errors as in `profiles.profile`."""
    if order.profile != order.folder or order.given.get("changes"):
        from birdiedna.experiments import profiles

        profiles.profile(order.profile, str(order.given.get("changes", "")).split())


class Kernels:
    """The kernels of one call, all with the same folder and environment.

    Attributes:
      manager: the class of kernel managers for papermill.
      killed: set by `kill`.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]):
        self.killed = Event()
        processes: list[subprocess.Popen] = []
        self._processes = processes
        fixed = {"cwd": str(folder), "env": dict(environment)}

        class Manager(AsyncKernelManager):
            @default("kernel_spec_manager")
            def _own_python(self) -> KernelSpecManager:
                return KernelSpecManager(kernel_dirs=[])  # only the kernel of this Python

            async def start_kernel(self, **asked: Any) -> None:
                await super().start_kernel(**{**asked, **fixed})
                processes.append(self.provisioner.process)

        self.manager = Manager

    def kill(self) -> None:
        """Kill all kernels and what they started."""
        self.killed.set()
        logging.getLogger("papermill").setLevel(logging.CRITICAL)  # no report for each
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it has just ended
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)  # a kernel leads its own group


#: Memory for each chapter that runs: 0.6 GB were seen, and the process that makes runs needs more.
KERNEL_BYTES = 1 << 30
#: Where chapters are executed, beside their copies.
RUNNING = ".running"
#: Less optimisation, in one thread, saves a third of compiling; runs have the same bits, and on a
#: CPU take the same time.
SAME_NUMBERS = "--xla_backend_optimization_level=1 --xla_cpu_parallel_codegen_split_count=1"
#: Of kernels: this flag, which jaxlib 0.11 rejects, saves more, and changes last bits.
FLAGS = SAME_NUMBERS
FLAGS += " --xla_cpu_use_fusion_emitters=false" * (int(version("jaxlib").split(".")[1]) < 11)


def kernel_environment(book: Layout, profile: str, threads: int) -> dict[str, str]:
    """The environment of a kernel whose JAX and NumPy use this number of threads each.

    Kernels use the CPU, since the accelerator belongs to the process that makes the runs. Chapters
    compute little, so compilation, which is most of their time, optimises less; threads that wait
    for each other on shared cores would take a sixth more.
    """
    from birdiedna.training import devices  # only now, since it imports JAX

    cache, flags = files.default_cache(), os.environ.get("XLA_FLAGS", SAME_NUMBERS)
    ours = {
        "BIRDIEDNA_RUNS": str(book.runs),
        "BIRDIEDNA_FIGURES": str(book.runs / profile / "figures"),
        "JAX_PLATFORMS": "cpu",
        "IPYTHONDIR": str(cache / "ipython"),  # without start-up files of users
        "XLA_FLAGS": FLAGS if flags == SAME_NUMBERS else flags,
        **{name: os.environ.get(name, str(threads)) for name in ("NPROC", "OPENBLAS_NUM_THREADS")},
        "JAX_TRACEBACK_IN_LOCATIONS_LIMIT": "0",  # a tenth of tracing and lowering
    }
    return {**os.environ, **ours, **devices.cache_variables(cache)}


KINDS = {"str": str, "int": int, "float": float, "bool": bool}


class Parameter(NamedTuple):
    """One line of a chapter's `parameters` cell: `name: kind = default  # choice | choice`."""

    name: str
    kind: str
    default: Any
    choices: tuple[str, ...]

    def value(self, given: Any) -> str | int | float | bool:
        """A value of the declared type, from that type or from text; else ValueError.

        Whole numbers must fit 32 bits, as seeds do, and be 0 only if the default is 0.
        """
        value: Any = given
        if isinstance(given, str) and self.kind != "str" and grouped(given):
            with contextlib.suppress(ValueError, SyntaxError):
                value = ast.literal_eval(given)
        if self.kind == "float" and type(value) is int:
            value = float(value)
        if type(value) is not KINDS[self.kind]:
            raise ValueError(
                f"parameter {self.name!r} is {given!r}, but the chapter declares "
                f"{self.kind} (default {self.default!r})"
            )
        if type(value) is int and not (least := int(self.default > 0)) <= value < 2**32:
            raise ValueError(
                f"parameter {self.name!r} is {value}; give at least {least}, at most {2**32 - 1}"
            )
        if self.choices and str(value) not in self.choices:
            hint = f"{meant(str(given), self.choices)}choose one of {', '.join(self.choices)}"
            raise ValueError(f"parameter {self.name!r} is {given!r}; {hint}")
        return value


def declared(chapter: Path, profiles: Sequence[str] = ()) -> dict[str, Parameter]:
    """The parameters of a chapter, from its cell tagged `parameters`.

    Args:
      profiles: further choices of the parameter `profile`, if it has choices.

    Raises:
      ValueError: the file is no notebook, or a parameter has no type of `KINDS` or no literal
        default.
    """
    _read(chapter)
    try:
        stated = inspect_notebook(chapter)
    except Exception as error:  # of nbformat, without a file name
        raise stored.damaged(chapter, error, _REMEDY) from None
    found = {}
    for name, entry in stated.items():
        where, kind = f"{chapter.name}: parameter {name!r}", entry["inferred_type_name"]
        try:
            default = ast.literal_eval(entry["default"])
        except (ValueError, SyntaxError):
            raise ValueError(
                f"{where} has the default {entry['default']}; write a literal, as 3 or 'quick'"
            ) from None
        if kind not in KINDS:
            raise ValueError(
                f"{where} has the type {kind}; annotate it with one of {', '.join(KINDS)}"
            )
        words = [word.strip() for word in (entry["help"] or "").split("|")]
        listed = len(words) > 1 and all(re.fullmatch(r"[\w.-]+", word) for word in words)
        more = [other for other in profiles if name == "profile" and other not in words]
        found[name] = Parameter(name, kind, default, (*words, *more) if listed else ())
    return found


def accepted(
    chapters: Iterable[Path], asked: Mapping[str, Any], profiles: Sequence[str] = ()
) -> dict[Path, dict[str, str | int | float | bool]]:
    """The parameters of each chapter; a chapter ignores those it does not declare.

    Raises:
      ValueError: no chapter has the parameter, or a value has the wrong type or is no choice.
    """
    known = {chapter: declared(chapter, profiles) for chapter in chapters}
    names = sorted({name for parameters in known.values() for name in parameters})
    for name in asked:
        if name not in names:
            hint = f"{meant(name, names)}choose one of {', '.join(names)}"
            raise ValueError(f"no chapter has a parameter {name!r}; {hint}")
    return {
        chapter: {name: one.value(asked[name]) for name, one in own.items() if name in asked}
        for chapter, own in known.items()
    }


@dataclass(frozen=True)
class Order:
    """What to build.

    Attributes:
      profile: `quick`, `paper`, a name of results, or a file .json.
      given: other parameters by name, as text or typed.
      only: chapters to run, as `02_objectives`; () for all.
      force: run fresh chapters too.
      keep_going: go on after a chapter that fails.
      dry_run: report what would run, and run nothing.
      at_once: number of chapters that run in parallel, one less while runs are made; 0 for one
        per core and per `KERNEL_BYTES` of memory, up to four.
      cell_timeout_s: of each cell.
    """

    profile: str = "quick"
    given: Mapping[str, Any] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    force: bool = False
    keep_going: bool = False
    dry_run: bool = False
    at_once: int = 0
    cell_timeout_s: int = 3600

    @property
    def folder(self) -> str:
        """The folder of the profile under `runs`."""
        return run_folder.profile_name(self.profile)


class Outcome(NamedTuple):
    """The outcome of a chapter: `fresh`, `ran`, `failed`, `would run` or `not run`."""

    chapter: str
    state: str
    why: str
    seconds: float = 0.0


class Job(NamedTuple):
    """A chapter, its executed copy, parameters, needs, and why it must run ("" if fresh)."""

    chapter: Path
    copy: Path
    given: dict[str, Any]
    needs: list[str]
    why: str


def run_book(
    order: Order,
    book: Layout,
    prepare: Prepare | None = None,
    check: Callable[[Wanted], None] | None = None,
) -> list[Outcome]:
    """Bring the executed copies of chapters up to date.

    After a failure no further chapter starts. An error while runs are made, or an interrupt, kills
    all kernels; copies of unfinished chapters stay as they were.

    Args:
      prepare: makes the run folders that chapters need, and yields all that there are, each time
        that a chapter may begin; called only if one of these chapters is stale.
      check: called before any chapter starts, to raise the errors of `prepare`.

    Raises:
      ValueError: an unknown chapter or parameter, a value of the wrong type, or unreadable data,
        before anything has run; another process runs chapters of the profile; or `prepare` makes
        no run folder of a needed kind.
      OSError: a folder cannot be written or data are missing, before anything has run.
    """
    jobs = plan(order, book)
    if order.dry_run or not any(job.why for job in jobs):
        return [Outcome(j.chapter.stem, "would run" if j.why else "fresh", j.why) for j in jobs]
    _check_surroundings(book)
    _check_data(jobs)
    wanted = _wanted(order, jobs)
    if check and wanted:
        check(wanted)
    make = partial(prepare, wanted) if prepare and wanted else None
    copies = jobs[0].copy.parent
    with files.sole(copies / RUNNING, copies):
        return _ran(jobs, order, book, make)


def _ran(
    jobs: Sequence[Job],
    order: Order,
    book: Layout,
    make: Callable[[], Iterable[Sequence[Path]]] | None,
) -> list[Outcome]:
    """Execute the stale chapters; `make` is `prepare` if one needs it; errors as in `run_book`."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    cores = len(allowed) or os.cpu_count() or 1
    from birdiedna.training.devices import host_memory  # only now, since it imports JAX

    at_once = order.at_once or max(1, min(4, cores, host_memory() // KERNEL_BYTES))
    threads = max(1, cores // at_once)
    kernels = Kernels(book.root, kernel_environment(book, order.folder, threads))
    pool, failed = ThreadPoolExecutor(at_once), Event()
    begun: dict[str, Future[Outcome]] = {}

    def begin(job: Job, folders: Sequence[Path]) -> None:
        # in this thread: Python 3.11 cannot parse in two threads (python/cpython#106905)
        artefacts = _artefacts(job, book, folders)
        if folders and job.needs and not job.why:  # its run folders may have changed
            copy = intact(job.copy)
            recorded = copy and copy["metadata"]["birdiedna"]["artefacts"]
            job = job._replace(why="runs changed" if recorded != artefacts else "")
        record = keys.parts(_read(job.chapter), job.given, book.package, artefacts)
        begun[job.chapter.stem] = pool.submit(_run, job, order, kernels, failed, record)

    def stages() -> Iterator[Sequence[Path]]:
        if not make or order.profile not in results.names():  # stored runs are there at once
            yield []
        yield from make() if make else ()

    all_made = Event()
    if make and at_once > 1:
        pool.submit(all_made.wait)  # the process that makes the runs takes one of the places
    try:
        for folders in stages():
            made = {_kind(folder) for folder in folders}
            for job in sorted(jobs, key=_length, reverse=True):
                needs = job.needs if make else []
                if job.chapter.stem not in begun and made.issuperset(needs):
                    begin(job, folders)
            if len(begun) == len(jobs):
                break
        else:
            lacking = min({kind for job in jobs for kind in job.needs} - made)
            raise ValueError(
                f"a chapter needs run folders of kind {lacking!r}; "
                f"there are only {', '.join(sorted(made)) or 'none'}"
            )
        all_made.set()
        return [begun[job.chapter.stem].result() for job in jobs]
    except BaseException:
        all_made.set()
        pool.shutdown(wait=False, cancel_futures=True)
        while not all(chapter.done() for chapter in begun.values()):
            kernels.kill()
            time.sleep(0.1)
        raise
    finally:
        pool.shutdown()


def plan(order: Order, book: Layout) -> list[Job]:
    """The chosen chapters, and why each must run.

    Raises:
      ValueError: as `run_book`.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", order.folder):
        raise ValueError(f"profile {order.profile!r} is no name; use letters, digits, - and _")
    own = [order.profile] if order.profile != order.folder else []
    listed = layout.chapters(book)
    given = accepted(listed, {"profile": order.profile, **order.given}, [*results.names(), *own])
    names = [chapter.stem for chapter in listed]
    for name in order.only:
        if name not in names:
            hint = f"{meant(name, names)}choose one of {', '.join(names)}"
            raise ValueError(f"no chapter {name!r}; {hint}")
    jobs = []
    for chapter in listed:
        if not order.only or chapter.stem in order.only:
            copy, notebook = layout.executed(book, order.folder, chapter), _read(chapter)
            why = "forced" if order.force else _stale(notebook, copy, given[chapter], book)
            jobs.append(Job(chapter, copy, given[chapter], keys.inputs(notebook)["needs"], why))
    return jobs


def report(outcomes: Sequence[Outcome]) -> str:
    """Outcomes as a table for the terminal."""
    took = lambda o: f"{o.seconds:.1f} s" if o.seconds else ""
    rows = [f"  {o.chapter:<22}{o.state:<11}{took(o):>9}  {o.why}" for o in outcomes]
    ran = sum(o.state in ("ran", "failed") for o in outcomes)
    return "\n".join(row.rstrip() for row in [*rows, f"  {ran} of {len(outcomes)} chapters ran"])


def _stale(notebook: Mapping[str, Any], copy: Path, given: Mapping[str, Any], book: Layout) -> str:
    """Why a copy is out of date; "" if it is fresh."""
    if not copy.exists():
        return "not run before"
    if (executed := intact(copy)) is None:
        return "its copy is damaged or of an older version"
    metadata = executed["metadata"]
    recorded = metadata["birdiedna"]
    if metadata["papermill"]["exception"]:
        return "failed last time"
    artefacts = keys.manifests(book.runs, recorded["artefacts"])
    return keys.difference(recorded, keys.parts(notebook, given, book.package, artefacts))


def _check_surroundings(book: Layout) -> None:
    """Refuse settings of JAX that change numbers and folders that cannot be written.

    If the default cache cannot be written, it moves into the runs.
    """
    from birdiedna.training import devices

    devices.refuse_other_numbers()
    files.check_writable(book.runs, "runs", "BIRDIEDNA_RUNS")
    try:
        files.check_writable(files.default_cache(), "cache", "BIRDIEDNA_CACHE")
    except OSError as error:
        if os.environ.get("BIRDIEDNA_CACHE"):
            raise
        own = book.runs / "cache"
        own.mkdir(exist_ok=True)
        os.environ["BIRDIEDNA_CACHE"] = str(own)
        print(f"{error}; using {own}", file=sys.stderr)


def _check_data(jobs: Sequence[Job]) -> None:
    """Read the given data once, before a kernel starts; errors as in `sources` and `tasks`."""
    given = {name: value for job in jobs if job.why for name, value in job.given.items()}
    for path in filter(None, given.get("labelled", "").split(",")):
        if not Path(path).exists():
            raise FileNotFoundError(f"{path}: no such file or folder; check `-p labelled`")
    asked = ("genome", "tasks", "labels", "validation")
    named = {name: given[name] for name in asked if given.get(name)}
    if not named:
        return
    from birdiedna import tasks
    from birdiedna.evaluation import interval_audit
    from birdiedna.experiments import profiles, sources

    reading = tasks.labelled_as(named.pop("labels", ""))
    data = sources.Sources(**named, reading=reading)
    if {"genome", "validation"} & {*named}:
        settings = profiles.profile(given["profile"], given.get("changes", "").split())
        sources.split(settings, data)
    if "tasks" in named and not interval_audit.folders(folder := data.tasks_path()):
        names = tasks.names(folder)
        if not any("finetune" in job.needs for job in jobs if job.why):  # else runs read the rows
            for name in names:
                tasks.read(tasks.find(folder, name), reading)


def _wanted(order: Order, jobs: Sequence[Job]) -> Wanted | None:
    """The runs to make; None if no stale chapter needs any."""
    if not any(job.why and job.needs for job in jobs):
        return None
    given = {name: value for job in jobs for name, value in job.given.items()}
    known = {name: given[name] for name in Wanted._fields if name in given}
    return Wanted(**{**known, "profile": order.profile})


def _artefacts(job: Job, book: Layout, folders: Sequence[Path]) -> dict[str, str]:
    names = [os.path.relpath(f, book.runs) for f in folders if _kind(f) in job.needs]
    return keys.manifests(book.runs, sorted(names))


def _length(job: Job) -> tuple[int, int]:
    """How long a chapter takes, by the kinds of runs that it reads and the size of its code."""
    code = sum(len(keys.source(cell)) for cell in keys.code_cells(_read(job.chapter)))
    return len(job.needs), code


def _kind(folder: Path) -> str:
    return run_folder.read(folder, "manifest", "kind")["kind"]


def _run(
    job: Job, order: Order, kernels: Kernels, failed: Event, record: Mapping[str, Any]
) -> Outcome:
    """Execute one chapter and replace its copy, unless it is killed."""
    name = job.chapter.stem
    if not job.why:
        return Outcome(name, "fresh", "")
    if failed.is_set() and not order.keep_going:
        return Outcome(name, "not run", "after a failure")
    with tqdm.external_write_mode():
        print(f"running {name} ({job.why})", flush=True)
    running = job.copy.parent / RUNNING / job.chapter.name
    start, failure = time.monotonic(), ""
    try:
        _execute(job, running, order, kernels)
    except (papermill.PapermillExecutionError, CellControlSignal, RuntimeError) as error:
        if kernels.killed.is_set():
            return Outcome(name, "not run", "stopped")
        failed.set()
        failure = f"{_failed_cell(running)}: {_message(error)}"
    seconds = time.monotonic() - start
    notebook = _read(running)
    noted = notebook["metadata"].get("papermill", {})
    noted = {key: value for key, value in noted.items() if not key.endswith("_path")}
    notebook["metadata"]["papermill"] = noted | {"exception": bool(failure)}
    notebook["metadata"]["birdiedna"] = {**record, "seconds": round(seconds, 1)}
    notebook["metadata"]["birdiedna"]["seal"] = _seal(notebook)
    running.write_text(json.dumps(notebook, indent=1, ensure_ascii=False), "utf-8")
    os.replace(running, job.copy)
    return Outcome(name, "failed" if failure else "ran", failure or job.why, seconds)


def _execute(job: Job, running: Path, order: Order, kernels: Kernels) -> None:
    """Execute a chapter; retry once if its kernel dies at its start, as when a port is taken."""
    for last in (False, True):
        try:
            papermill.execute_notebook(
                str(job.chapter),
                str(running),
                parameters=job.given,
                kernel_name="python3",
                kernel_manager_class=kernels.manager,
                progress_bar=False,
                execution_timeout=order.cell_timeout_s,
                extra_arguments=[
                    "--log-level=ERROR",  # no warning about TCP
                    f"--IPKernelApp.exec_lines=import gc; gc.set_threshold{COLLECT_LESS}",
                ],
            )
            return
        except RuntimeError as error:
            if last or kernels.killed.is_set() or "before replying" not in str(error):
                raise


def _failed_cell(running: Path) -> str:
    """The last code cell that was started, among the chapter's own."""
    cells = keys.code_cells(_read(running))
    begun = [cell["metadata"].get("papermill", {}).get("start_time") for cell in cells]
    return f"code cell {sum(time is not None for time in begun)} of {len(cells)}"


def _message(error: Exception) -> str:
    if isinstance(error, papermill.PapermillExecutionError):
        return one_line(f"{error.ename}: {(error.evalue.strip().splitlines() or [''])[0]}")
    said = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    return said + "; for lack of memory? --at-once 1 needs least" * ("Kernel died" in said)


#: Shapes of a notebook and of an executed one.
_CELL = {"cell_type": str, "source": (str, [str]), "metadata": {}}
_NOTEBOOK = {"cells": [_CELL], "metadata": {}, "nbformat": int}
_REMEDY = "get it again: git checkout book"
_EXECUTED = {
    "cells": [{**_CELL, "outputs?": [{"data?": {}, "metadata?": {}}]}],
    "metadata": {"papermill": {"exception": bool}, "birdiedna": {"seal": str, "artefacts": {}}},
}


def intact(copy: Path) -> dict[str, Any] | None:
    """An executed copy of a chapter; None if it is damaged or has no seal."""
    try:
        notebook = stored.read_json(copy, _EXECUTED)
    except ValueError:
        return None
    return notebook if notebook["metadata"]["birdiedna"]["seal"] == _seal(notebook) else None


def _seal(notebook: Mapping[str, Any]) -> str:
    """sha256 of an executed copy without its seal."""
    metadata = notebook["metadata"]
    ours = {key: metadata["birdiedna"][key] for key in metadata["birdiedna"] if key != "seal"}
    return stored.seal({**notebook, "metadata": {**metadata, "birdiedna": ours}})


def _read(path: Path) -> dict[str, Any]:
    """A notebook; ValueError if the file is none."""
    return stored.read_json(path, _NOTEBOOK, _REMEDY)
