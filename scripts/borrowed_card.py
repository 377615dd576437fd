"""One command for a borrowed card: measure it, work a plan off, collect.

    python scripts/borrowed_card.py PLAN --minutes 9 --name NAME

On a machine with the training core (jax, flax, optax, orbax-checkpoint, numpy) and nothing else
installed. Each stage says a line with the seconds so far:

    attention      every kind and length against float32
    step           time, MFU and memory by arm; then the ten most expensive kernels
    plan           its runs, until the minutes are over
    collect        finished runs, into results/NAME

Figures go into benchmarks/results/<device>.json. A measurement that fails is said, noted there and
passed over. It ends with 0 when the plan is finished, with 75 when more is to do (the same command
resumes, with `--work-only` without measuring again), with 1 when something failed.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

BEGUN = time.monotonic()  # imports take seconds, too
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import accelerator, results  # noqa: E402
from benchmarks.__main__ import PARTS  # noqa: E402
from birdiedna.data import genome as genomes  # noqa: E402
from birdiedna.experiments import collect  # noqa: E402
from birdiedna.experiments import plan as plans  # noqa: E402
from birdiedna.experiments.plan import Plan  # noqa: E402
from birdiedna.model.transformer import ModelConfig  # noqa: E402
from birdiedna.objectives.mixture import Corpus  # noqa: E402
from birdiedna.training import devices, pretrain, stop  # noqa: E402
from birdiedna.training.pretrain import PretrainConfig  # noqa: E402

#: Seconds kept for `collect`.
RESERVE_S = 25.0
TINY = accelerator.Sizes(side=256, repeats=1, lengths=(64, 129), limit_s=60.0)
_TINY_MODEL = ModelConfig(
    width=32, blocks=1, heads=2, head_width=16, mlp_width=64, compute="bfloat16"
)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    given = _parser().parse_args(argv)
    left = lambda: 60 * given.minutes - (time.monotonic() - BEGUN)
    say = lambda text: print(f"{time.monotonic() - BEGUN:6.1f} s  {text}", flush=True)
    into = given.into or (given.folder / "tiny" if given.tiny else None)
    try:
        plan = plans.ready(given.folder, given.only)
        plans.place_weights(given.folder, given.weights)
        _collect(plan, given.name, into)  # a name that cannot be used shows now
    except (ValueError, OSError) as error:
        print(f"borrowed_card: {error}", file=sys.stderr)
        return 1
    devices.enable_compilation_cache(plan.folder)
    say(f"{len(plan.runs)} runs planned, {given.minutes:g} minutes")
    good, ended = True, 0
    if not given.work_only and left() > 0:
        good = _measure(plan, given.tiny, into, say)
    else:
        say("nothing is measured")
    try:
        with stop.watch(max(0.0, left() - RESERVE_S) / 60) as ask:
            plans.work(given.folder, ask, given.only)
        say("plan: nothing is left to do")
    except stop.Stopped as stopped:
        say(f"plan: {stopped}; the same command resumes from here")
        ended = stopped.status
    except Exception as error:  # what is finished is collected all the same
        good = False
        say(f"plan: failed: {type(error).__name__}: {error}")
    print(plans.text(plan, each=False))
    try:
        say(f"collect: {_collect(plan, given.name, into)}")
    except (ValueError, OSError) as error:
        good = False
        say(f"collect: failed: {error}")
    return ended or int(not good)


def _collect(plan: Plan, name: str, into: Path | None) -> str:
    """Collect what is finished, and say a line on it."""
    try:
        return collect.summary(collect.collect(plan.folder, name, into and into / "results"))
    except ValueError as error:
        if "no run is finished" not in str(error):
            raise
        return "no run is finished yet"


def _measure(plan: Plan, tiny: bool, into: Path | None, say: Callable[[str], None]) -> bool:
    """Measure the card and keep the figures; whether all was measured."""
    made, begin = results.surroundings(), time.monotonic()
    sizes = TINY if tiny else accelerator.Sizes(repeats=5)
    arms = {arm: _small(config) if tiny else config for arm, config in _arms(plan).items()}
    stages = accelerator.stages(arms, _corpora(plan), sizes)
    rows, noted = accelerator.measured(stages, say)
    made |= results.origin() | {"seconds": round(time.monotonic() - begin, 1), "noted": noted}
    folder = into / "benchmarks" / "results" if into else results.FOLDER
    file = results.write({"accelerator": results.Part(made, rows)}, PARTS, folder)
    say(f"figures: {len(rows)} rows in {file}")
    return not any(why.startswith("failed") for why in noted.values())


def _arms(plan: Plan) -> dict[str, PretrainConfig]:
    """The arms that are measured: as the plan pre-trains them, else the paper's on its contigs."""
    own, contigs = _own(plan), {}
    for config in own.values():
        contigs = {name: getattr(config, name) for name in ("validation", "train", "held_out")}
    usual = {arm: replace(config, **contigs) for arm, config in accelerator.ARMS.items()}
    return {arm: own.get(arm, config) for arm, config in usual.items()}


def _own(plan: Plan) -> dict[str, PretrainConfig]:
    return {run.arm: run.config for run in plan.runs if run.kind == "pretrain"}


def _small(config: PretrainConfig) -> PretrainConfig:
    return replace(config, model=_TINY_MODEL, rows=4, slots=128, evaluation_rows=4)


def _corpora(plan: Plan) -> Callable[[PretrainConfig], Corpus]:
    """The plan's genome, so that what is compiled here serves its runs; else a made-up one."""
    read = cache(lambda: genomes.load(plan.folder / "genome.npz"))

    def corpus(config: PretrainConfig) -> Corpus:
        if not _own(plan) or not (plan.folder / "genome.npz").exists():
            return accelerator.made_up(config)
        return pretrain._data(config, read(), config.monitored())[0]

    return corpus


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "borrowed_card", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="PLAN", help="from `birdiedna plan prepare`")
    add("--minutes", type=float, required=True, metavar="N", help="for all of it")
    add("--name", required=True, help="of the results")
    add("--into", type=Path, metavar="FOLDER",
        help="for results/ and benchmarks/results/; default: the checkout")  # fmt: skip
    add("--only", nargs="+", default=[], metavar="NAME", help="parts of names of runs")
    add("--weights", nargs="+", default=[], metavar="ARM=FILE",
        help="place weights (.npz) as finished pre-trainings")  # fmt: skip
    add("--work-only", action="store_true", help="measure nothing")
    add("--tiny", action="store_true",
        help="try it on a CPU: small measurements; written into PLAN/tiny")  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
