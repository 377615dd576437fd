"""Tasks of one's own in the benchmark's form, from a genome and the coordinates of elements.

Rows are balanced on every contig and split by chromosome, by the rules in `benchmark_rules`. On
disk a task is `<task>/{train,test}.fna` and the record of what it was built from.
"""

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from birdiedna import vocab
from birdiedna.data import files, intervals
from birdiedna.data.chromosomes import chromosome, is_chromosome
from birdiedna.data.genome import HELD_OUT, Contig, Genome
from birdiedna.data.intervals import Intervals
from birdiedna.tasks import benchmark_rules
from birdiedna.tasks.elements import Elements

#: Part of the salt of every draw: raise it when the same input is to give other rows.
VERSION = "birdiedna recipe 1"
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Plan:
    """How rows are chosen.

    held_out: chromosomes whose rows are the test set. seed: of all draws. most: rows a file may
    have, 0 for all. skip_missing: leave out elements on contigs that the genome lacks.
    """

    held_out: tuple[str, ...] = HELD_OUT
    seed: int = 0
    most: int = 0
    skip_missing: bool = False

    def __post_init__(self) -> None:
        if self.most < 0:
            raise ValueError(f"at most {self.most} rows; give 0 (all) or more")


class Rows(NamedTuple):
    """The rows of a split in file order: windows on the + strand, and their labels int32 (n,)."""

    windows: Intervals
    labels: np.ndarray


def rows(
    genome: Genome, elements: Elements, task: str, plan: Plan = Plan(), decoy: bool = False
) -> tuple[dict[str, Rows], dict[str, int]]:
    """The rows of each split, and how many elements gave none, by reason.

    On every contig there are as many negative rows as rows of each positive class, so that a
    chromosome tells nothing of the label. Names and inputs decide every draw.

    Raises:
      ValueError: elements on contigs that the genome lacks or past their end, a held-out name
        that is no chromosome and no contig, or a split without rows.
    """
    intervals.present(genome, elements.found, plan.skip_missing)
    held = _held_out(genome, plan.held_out)
    found = _owners(genome, elements.found.contigs)
    windows = _owners(genome, elements.windows.contigs)
    dropped = Counter(elements.dropped)
    dropped["on a contig that the genome lacks"] += int((windows < 0).sum())
    parts: dict[str, list[tuple[Contig, np.ndarray]]] = {split: [] for split in SPLITS}
    salt, length = f"{VERSION}/{plan.seed}/{task}", elements.length
    for i in np.unique(windows[windows >= 0]).tolist():
        contig = genome.contigs[i]
        there = _Part(elements, found == i, windows == i, f"{salt}/{contig.name}")
        chosen = _chosen(genome, contig, there, decoy, dropped)
        parts["test" if contig.name in held else "train"].append((contig, chosen))
    drawn = {
        split: _drawn(parts[split], length, plan, f"{salt}/{split}/order", dropped)
        for split in SPLITS
    }
    if empty := [split for split in SPLITS if not len(drawn[split].labels)]:
        where = ", ".join(c.name for part in parts.values() for c, chosen in part if len(chosen))
        raise ValueError(
            f"no {empty[0]} rows: test rows are those on {', '.join(plan.held_out)}, and there are "
            f"rows on {where[:200] or 'no contig'}; hold out other chromosomes"
        )
    return drawn, {reason: count for reason, count in sorted(dropped.items()) if count}


@dataclass(frozen=True)
class _Part:
    """The elements and windows (as masks) of one contig, and the salt of its draws."""

    elements: Elements
    found: np.ndarray
    windows: np.ndarray
    salt: str


def _held_out(genome: Genome, names: Sequence[str]) -> set[str]:
    """The contigs that belong to the held-out chromosomes."""
    known = {contig.name for contig in genome.contigs}
    if wrong := [n for n in names if n not in known and not is_chromosome(n)]:
        raise ValueError(f"held-out {wrong[0]!r} is no chromosome and no contig; use chr20, say")
    chromosomes = {chromosome(name) for name in names}
    return {name for name in known if chromosome(name) in chromosomes} | (known & {*names})


def _owners(genome: Genome, names: np.ndarray) -> np.ndarray:
    """Index of the genome's contig for each name (n,), -1 if it has none."""
    index = {contig: i for i, contig in enumerate(genome.contigs)}
    unique, inverse = np.unique(names, return_inverse=True)
    contigs = intervals.located(genome, unique)
    owners = [index[contigs[name]] if name in contigs else -1 for name in unique.tolist()]
    return np.array(owners, np.int64)[inverse]


def _chosen(
    genome: Genome, contig: Contig, part: _Part, decoy: bool, dropped: Counter
) -> np.ndarray:
    """First bases of rows (n, classes): negatives in column 0, class k in column k."""
    elements, length = part.elements, part.elements.length
    base_ids = genome.tokens[contig.start : contig.start + contig.length]
    letters = intervals.letters(np.asarray(base_ids))
    background = benchmark_rules.grid(letters, length, *_avoided(part))
    usable = _usable(letters, part, dropped)
    count = min(len(background), *(len(starts) for starts in usable))
    dropped["no row of another class to go with it"] += sum(map(len, usable)) - count * len(usable)
    positives = [
        benchmark_rules.draw(starts, count, f"{part.salt}/{label}")
        for label, starts in enumerate(usable, 1)
    ]
    like = [positives[i % len(positives)][i] for i in range(count)]
    if not decoy:
        negatives = benchmark_rules.draw(background, count, f"{part.salt}/0")
    elif elements.sites:
        negatives = _decoys(letters, part, like, genome, contig)
    else:
        wanted = benchmark_rules.gc(letters, np.array(like, np.int64), length)
        found = benchmark_rules.gc(letters, background, length)
        negatives = background[benchmark_rules.matched(wanted, found, f"{part.salt}/gc")]
    return np.stack([negatives, *positives], axis=1)


def _avoided(part: _Part) -> tuple[np.ndarray, np.ndarray]:
    """Sorted starts and the lengths of what plain negatives keep clear of.

    For splice sites only the boundary bases themselves, as the benchmark's negatives do.
    """
    found = intervals.take(part.elements.found, part.found)
    windows = intervals.take(part.elements.windows, part.windows)
    spans = [found] if part.elements.sites else [found, windows]
    starts = np.concatenate([span.starts for span in spans])
    lengths = np.concatenate([span.ends - span.starts for span in spans])
    order = np.argsort(starts, kind="stable")
    return starts[order], lengths[order]


def _usable(letters: np.ndarray, part: _Part, dropped: Counter) -> list[np.ndarray]:
    """First bases of the positive windows of each class that can be rows, each once."""
    starts, labels = part.elements.windows.starts[part.windows], part.elements.labels[part.windows]
    classes = range(1, max(len(part.elements.sites), 1) + 1)
    by_class = [np.unique(starts[labels == label]) for label in classes]
    dropped["same window as another"] += len(starts) - sum(map(len, by_class))
    unique, counts = np.unique(np.concatenate(by_class), return_counts=True)
    both = unique[counts > 1]
    dropped["same window in two classes"] += len(classes) * len(both)
    length, usable = part.elements.length, []
    for windows in (np.setdiff1d(found, both) for found in by_class):
        inside = int(((windows >= 0) & (windows + length <= len(letters))).sum())
        usable.append(benchmark_rules.readable(letters, windows, length))
        dropped["window leaves the contig"] += len(windows) - inside
        dropped["window holds N"] += inside - len(usable[-1])
    return usable


def _decoys(
    letters: np.ndarray, part: _Part, like: Sequence[int], genome: Genome, contig: Contig
) -> np.ndarray:
    """Windows with the letters of a splice site that is none, of the kinds that `like` are."""
    elements = part.elements
    windows = intervals.take(elements.windows, part.windows)
    labels = elements.labels[part.windows]
    kinds = {
        (int(start), int(label)): (elements.sites[label - 1], str(strand))
        for start, label, strand in zip(windows.starts, labels, windows.strands, strict=True)
    }
    number = len(elements.sites)
    wanted = [kinds[int(start), i % number + 1] for i, start in enumerate(like)]
    names = {gene.chromosome for gene in elements.transcripts}
    here = {name for name, at in intervals.located(genome, sorted(names)).items() if at == contig}
    genes = [gene for gene in elements.transcripts if gene.chromosome in here]
    annotated = np.unique(elements.found.starts[part.found])
    return benchmark_rules.decoy_windows(letters, genes, wanted, annotated, f"{part.salt}/decoy")


def _drawn(
    parts: Sequence[tuple[Contig, np.ndarray]], length: int, plan: Plan, salt: str, dropped: Counter
) -> Rows:
    """The rows of a split, no more than planned, in an order that hides labels and contigs."""
    sizes = np.array([len(chosen) for _, chosen in parts], np.int64)
    classes = parts[0][1].shape[1] if parts else 2
    keep = sizes
    if plan.most and sizes.sum() * classes > plan.most:
        shares = np.cumsum(sizes) * (plan.most // classes) // sizes.sum()
        keep = np.diff(shares, prepend=0)
        dropped["over the limit of rows"] += int((sizes - keep).sum()) * (classes - 1)
    none = np.zeros(0, np.int64)
    starts = np.concatenate([none, *(c[:n].ravel() for (_, c), n in zip(parts, keep))])
    names = [contig.name for (contig, _), n in zip(parts, keep) for _ in range(n * classes)]
    labels = np.tile(np.arange(classes, dtype=np.int32), int(keep.sum()))
    order = benchmark_rules.shuffled(np.arange(len(starts)), salt)
    contigs, strands = np.array(names, str), np.full(len(starts), "+")
    windows = Intervals(contigs, starts, starts + length, strands)
    return Rows(intervals.take(windows, order), labels[order])


_GRID = (
    f"windows at multiples of {benchmark_rules.GRID:,} bases, without N, that overlap no element"
)
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
                "elements": {"name": elements.path.name, "sha256": files.digest(elements.path)},
            },
            "rules": _rules(elements, plan, decoy),
            "seed": plan.seed,
            "elements": len(elements.labels) + sum(elements.dropped.values()),
            "dropped": dropped,
            "splits": {split: _counts(part, tokens[split]) for split, part in found.items()},
        }
        _write(found, tokens, records[name], Path(out) / name)
    return records


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
                    benchmark_rules.record(contig, start, bases.tobytes(), int(label))
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
