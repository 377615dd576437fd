"""What of a plan is done, what is left, and what it cost so far."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from birdiedna import runs
from birdiedna.plan import cost, listing
from birdiedna.plan.listing import Plan, Run


def table(plan: Plan) -> list[dict[str, Any]]:
    """One row per run, in order: name, kind, standing, minutes, and the speed of a pre-training."""
    failed = listing.failures(plan)
    return [_row(plan, run, failed) for run in plan.runs]


def _row(plan: Plan, run: Run, failed: dict[str, str]) -> dict[str, Any]:
    log, standing = plan.log(run.name), listing.standing(plan, run, failed)
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
    devices = sorted({runs.read(folder, "manifest")["device"] for folder in finished})
    begun = [row for row in rows if row["minutes"]]
    return {"minutes": minutes, "devices": devices, "runs": begun}


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m birdiedna.plan.status FOLDER`, where only the training core is installed."""
    parser = argparse.ArgumentParser("python -m birdiedna.plan.status", description=__doc__)
    parser.add_argument("folder", type=Path, help="of a plan")
    try:
        print(text(listing.read(parser.parse_args(argv).folder)))
    except ValueError as error:
        print(f"birdiedna.plan.status: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
