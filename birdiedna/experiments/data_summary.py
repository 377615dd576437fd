"""What figures say of the data beside the runs: sizes of the genome and the tasks, and baselines.

Found in the data of `Sources`; for results, read from where they were collected, so that a book can
be made from them where the data are not.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import polars as pl

from birdiedna import tasks
from birdiedna.data.genome import contigs_named, order0_entropy
from birdiedna.data.labelled import fingerprint
from birdiedna.evaluation import scores
from birdiedna.evaluation.paper_table import PRETRAINED
from birdiedna.experiments import make, results
from birdiedna.experiments.profiles import ARMS, Profile, profile
from birdiedna.experiments.sources import Sources, available_tasks, read_task
from birdiedna.tasks import Task


class Sequence(NamedTuple):
    """A genome in numbers: bases in all; order-0 entropy of its held-out contigs, in nats."""

    bases: int
    entropy: float
    contigs: tuple[str, ...]


def sequence(profile_name: str, sources: Sources) -> Sequence:
    """The genome, with the held-out contigs of the profile.

    Raises:
      ValueError: as `make.split`.
    """
    if results.holds(profile_name):
        found = results.data(profile_name)["sequence"]
        return Sequence(found["bases"], found["entropy"], tuple(found["contigs"]))
    return _counted(profile_name, sources)


def _counted(profile_name: str, sources: Sources) -> Sequence:
    genome = make.read_genome(sources)
    named = make.split(profile_name, sources).validation
    contigs = tuple(contig.name for contig in contigs_named(genome, named))
    return Sequence(len(genome.tokens), order0_entropy(genome, contigs), contigs)


def rows(profile_name: str, sources: Sources) -> pl.DataFrame:
    """The tasks that are compared: task, train, validation, test (rows), bases read, positive in
    test (mean label), mark (fingerprint of the test rows).
    """
    if results.holds(profile_name):
        return _of_block(profile_name, "rows")
    settings = profile(profile_name)
    named = available_tasks(settings, sources)
    return pl.DataFrame([_row(name, read_task(settings, sources, name)) for name in named])


def baselines(profile_name: str, sources: Sources) -> pl.DataFrame:
    """Scores without pre-training on the tasks that are compared: `scores.baseline_scores`."""
    if results.holds(profile_name):
        return _of_block(profile_name, "baselines")
    settings = profile(profile_name)
    named = available_tasks(settings, sources)
    return pl.concat(_bars(settings, sources, name) for name in named)


def present(profile_name: str, sources: Sources) -> list[str]:
    """The tasks whose data are there, whether or not they are run."""
    if results.holds(profile_name):
        return [row["task"] for row in results.data(profile_name)["rows"]]
    return tasks.names(sources.tasks_path())


def described(
    settings: Profile, profile_name: str, sources: Sources, chosen: Iterable[tuple[Sources, str]]
) -> dict[str, Any]:
    """All of this as JSON values, for results.

    Args:
      settings: of the runs.
      profile_name: the profile they are made under.
      sources: of the genome.
      chosen: every task with where its rows lie.
    """
    chosen = list(chosen)
    return {
        "sequence": _counted(profile_name, sources)._asdict(),
        "rows": [_row(name, read_task(settings, place, name)) for place, name in chosen],
        "baselines": pl.concat(_bars(settings, *pair) for pair in chosen).to_dicts(),
    }


def left(profile_name: str) -> pl.DataFrame:
    """What the plan of results held and was not run: kind, arm, task, runs, why; empty if nothing.

    For a profile it is empty: its runs are made when they are missing.
    """
    schema = {"kind": pl.String, "arm": pl.String, "task": pl.String, "why": pl.String}
    entries = results.left(profile_name) if results.holds(profile_name) else []
    frame = pl.DataFrame([{key: entry.get(key) for key in schema} for entry in entries], schema)
    return frame.group_by(list(schema), maintain_order=True).len("runs")


def missing(profile_name: str) -> str:
    """What is not compared, as sentences: planned runs not finished, and runs without a rival."""
    if not results.holds(profile_name):
        return "Every run that this profile asks for was made."
    made, unmade = results.read(profile_name)["runs"], results.left(profile_name)
    tuned = [entry for entry in made if entry["kind"] == "finetune"]
    used = results.block(profile_name, ARMS, made[0]["seed"])
    counts = Counter((entry["kind"], entry["arm"]) for entry in unmade)
    listed = ", ".join(f"{kind} {arm} {count}" for (kind, arm), count in counts.items())
    said = f"Of {len(made) + len(unmade)} planned runs {len(unmade)} were not finished"
    return (
        f"{said}{f' ({listed})' if listed else ''}. Of {len(tuned)} finished fine-tunings "
        f"{len(used)} are compared: those of tasks and seeds for which no arm is missing."
    )


def fixed(profile_name: str) -> list[str]:
    """The arms with a fixed mixture that results hold; the book compares none of them."""
    made = results.read(profile_name)["runs"] if results.holds(profile_name) else []
    return [e["arm"] for e in made if e["kind"] == "pretrain" and e["arm"] not in PRETRAINED]


def speeds(profile_name: str) -> pl.DataFrame:
    """The pre-trainings of results: name, minutes, ms a step, tokens/s, TFLOP/s, MFU, memory.

    Empty for a profile. `mfu` is a share of the matrix product measured on the same device.
    """
    entries = results.read(profile_name)["cost"]["runs"] if results.holds(profile_name) else []
    kept = [entry for entry in entries if entry["kind"] == "pretrain"]
    return pl.DataFrame(kept, infer_schema_length=None).drop("kind", strict=False)


def _of_block(name: str, key: str) -> pl.DataFrame:
    """Stored rows of the tasks that can be compared."""
    seed = results.read(name)["runs"][0]["seed"]
    compared = [entry["task"] for entry in results.block(name, ARMS, seed)]
    return pl.DataFrame(results.data(name)[key]).filter(pl.col("task").is_in(compared))


def _row(name: str, part: Task) -> dict[str, Any]:
    return {
        "task": name,
        "train": len(part.train.labels),
        "validation": len(part.validation.labels),
        "test": len(part.test.labels),
        "bases read": part.train.tokens.shape[1],
        "positive in test": float(part.test.labels.mean()),
        "mark": fingerprint(part.test),
    }


def _bars(settings: Profile, sources: Sources, name: str) -> pl.DataFrame:
    whole = read_task(replace(settings, crops={}), sources, name)
    seen = read_task(settings, sources, name)
    return scores.baseline_scores(name, (whole.train, whole.test), (seen.train, seen.test))
