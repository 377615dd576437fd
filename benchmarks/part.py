"""One part of the benchmark, in a process of its own: `python -m benchmarks.part mixture`."""

import argparse
import importlib
import json
import re
import time

from benchmarks.table import surroundings

#: All parts, in the order of the table.
PARTS = (
    *("train_step", "step", "changes", "mixture", "evaluation", "director", "finetuning", "memory"),
    *("scale", "start_up", "tokenise", "accelerator", "quick"),
)


def main() -> None:
    """Measure, then print rows and surroundings as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    made, begin = surroundings(), time.monotonic()
    rows = importlib.import_module(f"benchmarks.{given.name}").rows(given.quick)
    made["seconds"] = round(time.monotonic() - begin, 1)
    print(json.dumps({"made": made | origin(), "rows": [row._asdict() for row in rows]}))


def origin() -> dict[str, object]:
    """Device and code; asked last, so that a part may time the import of JAX."""
    import jax

    from birdiedna.training import environment as code

    commit, dirty = code.git_commit()
    kind = re.sub(r"[^a-z0-9]+", "-", jax.devices()[0].device_kind.lower()).strip("-")
    known = {"git_commit": commit, "git_dirty": dirty, "code": code.code_fingerprint()}
    return {"device": kind, **known}


if __name__ == "__main__":
    main()
