"""`birdiedna plan prepare | run | work | status | collect`.

`work`, `status` and `collect` need only the training core, and scikit-learn for probes; `prepare`
also reads FASTA and tables.
"""

import argparse

from birdiedna.cli.parser import options, parser
from birdiedna.data.names import quantity, shell
from birdiedna.experiments import collect as results
from birdiedna.experiments import plan as plans
from birdiedna.experiments import progress
from birdiedna.training import devices, stop


def prepare(given: argparse.Namespace) -> int:
    """`birdiedna plan prepare`."""
    from birdiedna.cli.data import reading  # needs packages outside the training core
    from birdiedna.experiments import prepare as preparing
    from birdiedna.experiments import profiles, sources

    if summary := profiles.summary(profiles.profile(given.profile, given.changes)):
        print(summary)
    source = sources.Sources(given.genome, validation=given.validation, reading=reading(given))
    how = options(given, "tasks", "arms", "seeds", "finetune_seeds", "changes")
    plan = preparing.prepare(given.out, given.profile, source, **how)
    size = sum((plan.folder / name).stat().st_size for name in plan.sums)
    folder = shell(str(plan.folder))
    print(f"{plan.folder}: {quantity(len(plan.runs), 'runs')}, {size / 1e6:.3g} MB of data")
    if lacks := results.book_lacks([run.manifest() for run in plan.runs]):
        print(f"  no book can be built from these runs: it needs {lacks}")
    print(f"run it: birdiedna plan work {folder}, then collect: ", end="")
    print(f"birdiedna plan collect {folder} --name NAME")
    return 0


def run(given: argparse.Namespace) -> int:
    """`birdiedna plan run`; without options of `prepare`, continues the plan that exists."""
    progress.check_tracker(given.track)
    devices.require(given.device or "any")
    plain = vars(parser().parse_args(["plan", "prepare", "--out", str(given.out)]))
    named = any(getattr(given, name) != plain[name] for name in plain.keys() - {"act", "action"})
    if named or not (given.out / "plan.json").exists():
        prepare(given)  # refuses another plan than that which exists
    given.folder, given.weights = given.out, []
    return work(given)


def work(given: argparse.Namespace) -> int:
    """`birdiedna plan work`."""
    progress.check_tracker(given.track)
    plans.place_weights(given.folder, given.weights)
    how = options(given, "only", "device", "shard_state")
    with stop.watch(given.budget_minutes) as ask:
        try:
            plans.work(given.folder, ask, part=given.shard, tracker=given.track, **how)
        finally:
            print(plans.text(plans.read(given.folder), each=False))
    return 0


def status(given: argparse.Namespace) -> int:
    """`birdiedna plan status`."""
    print(plans.text(plans.read(given.folder)))
    return 0


def collect(given: argparse.Namespace) -> int:
    """`birdiedna plan collect`."""
    print(results.summary(results.collect(given.folder, given.name, given.into, given.probe_table)))
    return 0
