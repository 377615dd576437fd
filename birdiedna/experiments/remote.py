"""Work off a plan, on a machine that has the training core and numpy and nothing else.

    python -m birdiedna plan work FOLDER --budget-minutes 9

The same command resumes where the last one stopped, bit for bit. It ends with status 0 when
nothing is left that could be done, and with 75 when the time is over. `scripts/borrowed_card.py`
measures the card before and collects after.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import jax

from birdiedna.data import genome as genomes
from birdiedna.data.files import digest
from birdiedna.data.genome import Genome
from birdiedna.data.labelled import Labelled
from birdiedna.experiments import cost
from birdiedna.experiments import plan as plans
from birdiedna.experiments.plan import Plan, Run
from birdiedna.model import transformer
from birdiedna.training import (
    checkpoint,
    devices,
    environment,
    finetune,
    pretrain,
    run_folder,
    run_writer,
    stop,
)


class Failed(Exception):
    """A run that cannot be finished; others can."""


def work(
    folder: Path, ask: stop.Ask = stop.never, only: Sequence[str] = (), device: str = ""
) -> None:
    """Make every run of a plan that is not finished, in order.

    A run that training gives up, or that does not fit its start or its device, is noted in
    `failures.json`; those that would start from it wait, and the others go on.

    Args:
      folder: of the plan.
      ask: asked within runs and between them whether to stop.
      only: parts or patterns of names of runs; what these start from is made too.
      device: what runs need, as in `devices.require`; "" takes the plan's.

    Raises:
      ValueError: no plan, no such run, no such device, a plan of other code, or data that are not
        those of the plan.
      stops.Stopped: `ask` said so; a checkpoint was saved.
    """
    plan = ready(folder, only, device)
    wanted = plans.chosen(plan, only)
    devices.enable_compilation_cache(plan.folder)  # for the next slice
    top = None
    for run in wanted:
        if plans.standing_of(plan, run, plans.failures(plan)).startswith(("fin", "fail", "can")):
            continue
        if stopped := ask():
            raise stopped
        top = top or cost.ceiling()
        print(f"{run.name}: {plans.standing_of(plan, run, {})}", flush=True)
        try:
            _make(plan, run, ask, top)
        except Failed as error:
            failed = plans.failures(plan) | {run.name: str(error)}
            run_folder.write_json(plan.folder / "failures.json", failed)
            print(f"{run.name}: {error}", file=sys.stderr, flush=True)


def ready(folder: Path, only: Sequence[str] = (), device: str = "") -> Plan:
    """The plan, if it can be worked off here; arguments and errors as in `work`."""
    plan, here = plans.read(folder), environment.code_fingerprint()
    plans.chosen(plan, only)
    if (code := plan.prepared["code"]) != here:
        raise ValueError(
            f"{folder} was prepared by code {code[:8]}, and this is code {here[:8]}: prepare it "
            "again in this checkout, by the same command; finished runs stay"
        )
    devices.require(device or plan.device)
    return plan


def _make(plan: Plan, run: Run, ask: stop.Ask, top: float | None) -> None:
    """Make or go on with one run."""
    place, facts, data = plan.place(run.name), dict(run.facts), _data(plan, run)
    with run_writer.writing(place, run.record, facts) as partial:
        try:
            _train(plan, run, data, partial, ask)
        except (ArithmeticError, ValueError, NotImplementedError) as error:
            raise Failed(str(error)) from error
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise  # the device, rather than the run
            raise Failed(f"out of memory: {str(error).splitlines()[0]}") from error
        facts |= {"ceiling_flops": top, "peak_memory_bytes": cost.peak_memory_bytes()}
    if run.facts["kind"] == "finetune":  # nothing reads the weights again
        shutil.rmtree(place / "model")


def _data(plan: Plan, run: Run) -> Genome | tuple[Labelled, Labelled, Labelled]:
    """What the run reads."""
    if run.facts["kind"] == "pretrain":
        return _genome(_checked(plan, "genome.npz"))
    return _rows(_checked(plan, f"tasks/{run.facts['task']}.npz"))


def _train(
    plan: Plan,
    run: Run,
    data: Genome | tuple[Labelled, Labelled, Labelled],
    partial: Path,
    ask: stop.Ask,
) -> None:
    config, seed = run.config(), run.facts["seed"]
    if run.facts["kind"] == "pretrain":
        events = pretrain.train(config, data, seed, partial, ask)
    else:
        start = run.start()
        net = pretrain.load(plan.place(start))[0] if start else transformer.init(config.model, seed)
        events = finetune.train(config, net, data, run.facts["finetune_seed"], partial, ask)
    for _ in events:
        pass


def place_weights(folder: Path, given: Mapping[str, Path]) -> None:
    """Place weights of elsewhere as finished pre-trainings, without a log; the manifest says so.

    Args:
      folder: of the plan.
      given: by arm, .npz files of key paths (`jax.tree_util.keystr`) -> the upper 16 bits of
        float32, which is bfloat16, as uint16.

    Raises:
      ValueError: no plan, no such arm, or weights that do not fit its model.
    """
    plan = plans.read(folder)
    of = {run.facts["arm"]: run for run in plan.runs if run.facts["kind"] == "pretrain"}
    for arm, file in given.items():
        if arm not in of:
            raise ValueError(f"{folder} pre-trains no {arm!r}, but {', '.join(of)}")
        run, place = of[arm], plan.place(of[arm].name)
        if run_folder.complete(place):
            print(f"{run.name} is finished and stays; {file.name} is not read", flush=True)
            continue
        if (begun := place.with_name(f"{run.name}.partial")).exists():
            raise ValueError(f"{run.name} was begun here; finish it, or remove {begun}")
        config = run.config()
        net = plans.read_weights(file, jax.eval_shape(lambda: transformer.init(config.model, 0)))
        source = {"file": file.name, "sha256": digest(file)}
        with run_writer.writing(place, run.record, run.facts | {"imported": source}) as partial:
            (partial / "events.jsonl").touch()
            marks = {"imported": source}
            checkpoint.save(partial / "model", config.steps, net, {}, marks, keep=1)


def read_given(texts: Sequence[str]) -> dict[str, Path]:
    """ARM=FILE, as commands take them.

    Raises:
      ValueError: a text of another form.
    """
    pairs = [text.partition("=") for text in texts]
    if wrong := [text for text, pair in zip(texts, pairs, strict=True) if not all(pair)]:
        raise ValueError(f"weights {wrong[0]!r} are not like birdie=FILE")
    return {arm: Path(file) for arm, _, file in pairs}


def _checked(plan: Plan, name: str) -> Path:
    """A data file of the plan, if it is as it was written."""
    path = plan.folder / name
    if not path.is_file() or digest(path) != plan.sums[name]:
        raise ValueError(f"{path} is not the file that was prepared; copy it again")
    return path


@lru_cache(maxsize=1)
def _genome(path: Path) -> Genome:
    return genomes.load(path)


@lru_cache(maxsize=1)
def _rows(path: Path) -> tuple[Labelled, Labelled, Labelled]:
    return plans.read_rows(path)
