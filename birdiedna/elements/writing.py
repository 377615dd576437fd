"""A task on disk: `<task>/{train,test}.fna` and the record of what it was built from."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from birdiedna import intervals, recipe, vocab
from birdiedna.elements.building import VERSION, Plan, Rows, rows
from birdiedna.elements.kinds import Elements
from birdiedna.genome import Genome

_GRID = f"windows at multiples of {recipe.GRID:,} bases, without N, that overlap no element"
_WINDOW = "of the file and no positive window"
_NEGATIVES = {
    "plain": f"{_GRID} {_WINDOW}, drawn at random",
    "plain splice": f"{_GRID} of the file (no exon boundary base), drawn at random",
    "decoy": f"{_GRID} {_WINDOW}; for each positive row the one with the nearest number of G and "
    "C that is left (our choice)",
    "decoy splice": "the two letters of a splice site, at its indices, on the strand of a positive "
    "row, where the file has no boundary; inside a transcript of that strand if it has transcripts",
}


def build(
    genome: Genome,
    elements: Elements,
    task: str,
    out: Path | str,
    plan: Plan = Plan(),
    decoys: bool = False,
) -> dict[str, dict]:
    """Write `<out>/<task>/{train,test}.fna` and `PROVENANCE.json`, each folder whole or not at all.

    Args:
      genome: the assembly that the elements are on.
      elements: what `peaks`, `starts`, `exons` or `stretches` read.
      task: the folder's name: letters, digits, `.`, `_`, `-`.
      out: a folder of tasks, as `birdiedna finetune --tasks` reads it.
      plan: held-out chromosomes, seed, limit of rows.
      decoys: also write `<task>_decoy`, with the same positive rows and harder negatives.

    Returns:
      what each PROVENANCE.json holds, by folder name.

    Raises:
      ValueError: a name that is no plain name, a folder that exists, and as in `rows`.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", task):
        raise ValueError(f"task name {task[:100]!r}; use letters, digits, `.`, `_` and `-`")
    names = {task: False} | ({f"{task}_decoy": True} if decoys else {})
    if there := [name for name in names if (Path(out) / name).exists()]:
        raise ValueError(f"{Path(out) / there[0]} exists; delete it or choose another name")
    records = {}
    for name, decoy in names.items():
        found, dropped = rows(genome, elements, task, plan, decoy)
        tokens = {split: intervals.tokens(genome, part.windows)[0] for split, part in found.items()}
        records[name] = {
            "task": name,
            "recipe": VERSION,
            "inputs": {
                "genome": {"name": genome.source, "sha256_of_bases": genome.fingerprint},
                "elements": {"name": elements.path.name, "sha256": _sha256(elements.path)},
            },
            "rules": _rules(elements, plan, decoy),
            "seed": plan.seed,
            "elements": len(elements.labels) + sum(elements.dropped.values()),
            "dropped": dropped,
            "splits": {split: _counts(part, tokens[split]) for split, part in found.items()},
        }
        _write(found, tokens, records[name], Path(out) / name)
    return records


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rules(elements: Elements, plan: Plan, decoy: bool) -> dict[str, str]:
    """In words: what makes a row positive or negative, and which split it goes to."""
    kind = f"{'decoy' if decoy else 'plain'}{' splice' if elements.sites else ''}"
    return {
        "window": "+ strand always, 0-based half-open, only A, C, G and T",
        "positives": elements.rule,
        "negatives": f"{_NEGATIVES[kind]}; on every contig as many as rows of each class",
        "split": f"test rows are those on {', '.join(plan.held_out)}; all others are train rows",
    }


def _counts(part: Rows, tokens: np.ndarray) -> dict:
    """Rows, rows by label and by contig, and the share of G and C by label."""
    strong = ((tokens == vocab.G) | (tokens == vocab.C)).mean(1)
    classes = np.unique(part.labels).tolist()
    contigs, counts = np.unique(part.windows.contigs, return_counts=True)
    return {
        "rows": len(part.labels),
        "labels": {str(label): int((part.labels == label).sum()) for label in classes},
        "gc": {
            str(label): round(float(strong[part.labels == label].mean()), 4) for label in classes
        },
        "contigs": dict(zip(contigs.tolist(), counts.tolist(), strict=True)),
    }


def _write(
    found: Mapping[str, Rows], tokens: Mapping[str, np.ndarray], record: dict, folder: Path
) -> None:
    """Write the folder beside its place and move it there when it is whole."""
    passing = folder.parent / f".{folder.name}.{os.getpid()}"
    try:
        passing.mkdir(parents=True)
        for split, part in found.items():
            places = zip(part.windows.contigs.tolist(), part.windows.starts.tolist())
            letters = intervals.letters(tokens[split])
            with (passing / f"{split}.fna").open("wb") as file:
                file.writelines(
                    recipe.record(contig, start, bases.tobytes(), int(label))
                    for (contig, start), bases, label in zip(places, letters, part.labels)
                )
        text = json.dumps(record, indent=1)
        (passing / "PROVENANCE.json").write_text(text + "\n")
        passing.rename(folder)
    finally:
        shutil.rmtree(passing, ignore_errors=True)


def summary(record: Mapping) -> str:
    """What was built and what was left out, as text for people."""
    lines = [f"{record['task']}: negatives are {record['rules']['negatives']}"]
    for split, counts in record["splits"].items():
        labels = ", ".join(
            f"label {label}: {count:,} ({100 * counts['gc'][label]:.1f} % GC)"
            for label, count in counts["labels"].items()
        )
        lines.append(f"  {split:6s}{counts['rows']:8,d} rows; {labels}")
    for reason, count in record["dropped"].items():
        lines.append(f"  left out {count:,} of {record['elements']:,}: {reason}")
    return "\n".join(lines)
