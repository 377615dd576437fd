"""`birdiedna remote work | pack | unpack`: a plan on a borrowed machine; needs the core only."""

import argparse
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import jax

from birdiedna.data.names import quantity
from birdiedna.experiments import plan as plans
from birdiedna.experiments import remote
from birdiedna.training import stop

#: Seconds reserved for packing.
RESERVE_S = 20.0
_CHECKOUT = Path(__file__).parents[2]


def work(given: argparse.Namespace) -> int:
    """`birdiedna remote work`: measure, work, pack."""
    begun, good = time.monotonic(), True
    jax.config.update("jax_platforms", "cpu")  # leave the device to the child processes
    left = lambda: 60 * given.budget_minutes - (time.monotonic() - begun)
    say = lambda text: print(f"{time.monotonic() - begun:6.1f} s  {text}", flush=True)
    plan = plans.read(given.folder)
    plans.require_packages(plan, plans.chosen(plan, given.only))
    plans.place_weights(given.folder, given.weights)
    say(f"{quantity(len(plan.runs), 'runs')} planned, {given.budget_minutes:g} minutes")
    if not given.measure:
        say("not measured")
    elif not (_CHECKOUT / "benchmarks" / "accelerator.py").exists():
        say("not measured: this package is not in a checkout with benchmarks/")
    else:
        words = [sys.executable, "-m", "benchmarks.accelerator", str(plan.folder.absolute())]
        words += ["--tiny"] * given.tiny
        (status,) = remote.together([words], cwd=_CHECKOUT)
        if status - 128 in stop.asking():
            say(f"measurement ended by {signal.Signals(status - 128).name}")
            return status
        good = not status
        say("measured" if good else "measurement failed; see above")
    minutes = max(0.001, (left() - RESERVE_S) / 60)  # the least that is passed on
    status = remote.work(given.folder, minutes, given.workers, given.only, given.device)
    other = f"ended by {signal.Signals(status - 128).name}" if status > 128 else f"failed: {status}"
    say({0: "no run is left to do", 75: "time is up"}.get(status, other))
    if given.out:
        with suppress(remote.NothingToPack):
            # an unfinished fine-tuning takes longer to transfer than to repeat
            parts = remote.pack(given.folder, given.out, unfinished=("pretrain",))
            say(f"{quantity(len(parts), 'parts')} in {given.out}")
    print(plans.text(plan, each=False))  # last, since it refuses a damaged run
    return status or int(not good)


def pack(given: argparse.Namespace) -> int:
    """`birdiedna remote pack`."""
    begun = ("pretrain", "finetune") if given.unfinished else ()
    paths = remote.pack(given.folder, given.out, given.only, begun)
    size = sum(path.stat().st_size for path in paths)
    print(f"{quantity(len(paths), 'parts')}, {size / 1e6:.1f} MB in {given.out}")
    return 0


def unpack(given: argparse.Namespace) -> int:
    """`birdiedna remote unpack`."""
    new = remote.unpack(given.folder, given.parts)
    print(f"{quantity(len(new), 'new runs')} in {given.folder}")
    return 0
