"""Build tasks in the benchmark's form from a genome and the coordinates of elements.

Rows are balanced on every contig and split by chromosome (`benchmark_rules`). On disk a task is
`<task>/{train,test}.fna` and a record of its inputs and rules.
"""

import bisect
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from birdiedna import vocab
from birdiedna.data import intervals
from birdiedna.data.files import whole
from birdiedna.data.genome import (
    HELD_OUT,
    Contig,
    Genome,
    contigs_held_out,
    contigs_named,
    part_of,
    without,
)
from birdiedna.data.intervals import Intervals
from birdiedna.data.labelled import Labelled
from birdiedna.data.names import option
from birdiedna.model.fields import check_types
from birdiedna.tasks import benchmark_rules as rules
from birdiedna.tasks.benchmark_rules import Gene
from birdiedna.tasks.elements import Elements

#: Part of the salt of every draw: change it when the same input should give other rows.
VERSION = "birdiedna recipe 1"
SPLITS = ("train", "test")
_GRID = f"windows at multiples of {rules.GRID:,} bases, without N, that overlap no element"
_WINDOW = "of the file and no positive window"
_NEGATIVES = {
    "plain": f"{_GRID} {_WINDOW}, drawn at random",
    "plain splice": f"{_GRID} of the file (no exon boundary base), drawn at random",
    "decoy": f"{_GRID} {_WINDOW}; for each positive row the remaining one with the nearest number "
    "of G and C (our choice)",
    "decoy splice": "the two letters of a splice site, at its indices, on the strand of a positive "
    "row, where the file has no boundary, inside a transcript of that strand",
}


@dataclass(frozen=True)
class Plan:
    """How rows are chosen.

    held_out: chromosomes, contigs or parts of contigs (`chr1:1-5000000`) of the test rows. seed:
    of all random draws. most: maximum rows per file, 0 for all. skip_missing: skip elements on
    contigs missing from the genome.
    """

    held_out: tuple[str, ...] = HELD_OUT
    seed: int = 0
    most: int = 0
    skip_missing: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        if self.most < 0:
            raise ValueError(f"rows {self.most} is negative; give 0 (all) or more")


def build(
    genome: Genome,
    elements: Elements,
    task: str,
    out: Path | str,
    plan: Plan = Plan(),
    decoys: bool = False,
) -> dict[str, dict]:
    """Write `<out>/<task>/{train,test}.fna` and `PROVENANCE.json`, each folder atomically.

    `out` is a folder of tasks for `birdiedna finetune --tasks`; a task name consists of letters,
    digits, `.`, `_` and `-`. `decoys` also writes `<task>_decoy`, with the same positive rows and
    harder negatives. Returns the content of each PROVENANCE.json by folder name. ValueError for an
    invalid name or an existing folder; others as in `rows`.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", task):
        raise ValueError(
            f"task name {task[:100]!r}; use at most 100 letters, digits, `.`, `_` and `-`"
        )
    names = {task: False} | ({f"{task}_decoy": True} if decoys else {})
    if existing := [name for name in names if (Path(out) / name).exists()]:
        raise ValueError(f"{Path(out) / existing[0]} exists; delete it or choose another name")
    records = {}
    for name, decoy in names.items():
        found, dropped = rows(genome, elements, task, plan, decoy)
        kind = f"{'decoy' if decoy else 'plain'}{' splice' if elements.sites else ''}"
        digest = hashlib.sha256(elements.path.read_bytes()).hexdigest()
        records[name] = {
            "task": name,
            "recipe": VERSION,
            "inputs": {
                "genome": {"name": genome.source, "sha256_of_bases": genome.fingerprint},
                "elements": {"name": elements.path.name, "sha256": digest},
            },
            "rules": {
                "window": "+ strand always, 0-based half-open, only A, C, G and T",
                "positives": elements.rule,
                "negatives": f"{_NEGATIVES[kind]}; on every contig as many as rows of each class",
                "split": f"test rows are those on {', '.join(plan.held_out)}; all others are train "
                "rows",
            },
            "seed": plan.seed,
            "elements": len(elements.labels) + sum(elements.dropped.values()),
            "dropped": dropped,
            "splits": {split: _counts(part) for split, part in found.items()},
        }
        _write(found, records[name], Path(out) / name)
    return records


def rows(
    genome: Genome, elements: Elements, task: str, plan: Plan = Plan(), decoy: bool = False
) -> tuple[dict[str, Labelled], dict[str, int]]:
    """Return the rows of each split, and the number of elements dropped by reason.

    Every contig has as many negative rows as rows of each positive class, so that a chromosome does
    not predict the label. Draws depend only on names, seed and inputs. ValueError for elements on
    contigs missing from the genome or past their end, a held-out name that is neither chromosome
    nor contig, or a split without rows.
    """
    intervals.present(genome, elements.found, plan.skip_missing, elements.path)
    held_out = contigs_held_out(genome, plan.held_out)
    found = _by_contig(genome, elements.found.contigs)
    windows = _by_contig(genome, elements.windows.contigs)
    dropped = Counter(elements.dropped)
    dropped["on a contig that the genome lacks"] += len(windows.get(None, ()))
    places = intervals.located(genome, sorted({gene.chromosome for gene in elements.transcripts}))
    genes: dict[Contig | None, list[Gene]] = {}
    for gene in elements.transcripts:
        genes.setdefault(places.get(gene.chromosome), []).append(gene)
    starts: dict[str, list[tuple[str, np.ndarray]]] = {split: [] for split in SPLITS}
    salt = f"{VERSION}/{plan.seed}/{task}"
    parts = [(part, "test") for part in held_out]
    parts += [(part, "train") for part in without(genome.contigs, held_out)]
    firsts, none = [contig.start for contig in genome.contigs], np.zeros(0, np.int64)
    for part, split in sorted(parts, key=lambda pair: pair[0].start):
        contig = genome.contigs[bisect.bisect_right(firsts, part.start) - 1]
        span = (part.start - contig.start, part.start - contig.start + part.length)
        own = windows.get(contig, none)
        in_part = own[_begin_in(elements.windows.starts[own], span, contig.length)]
        if not len(in_part):
            continue
        part_elements = replace(
            elements,
            found=intervals.take(elements.found, found.get(contig, none)),
            windows=intervals.take(elements.windows, in_part),
            labels=elements.labels[in_part],
            transcripts=genes.get(contig, ()),
        )
        letters = intervals.letters(genome.tokens[contig.start : contig.start + contig.length])
        chosen = _chosen(letters, part_elements, span, f"{salt}/{part.name}", decoy, dropped)
        if len(chosen):
            starts[split].append((contig.name, chosen))
    if empty := [split for split, found in starts.items() if not found]:
        contigs = [*dict.fromkeys(name for found in starts.values() for name, _ in found)]
        why = ", ".join(f"{count:,}: {reason}" for reason, count in dropped.items() if count)
        if not contigs:
            raise ValueError(f"{elements.path}: none of its elements gives a row ({why})")
        left_out = f" (left out, {why})" if why else ""
        (last,) = contigs_named(genome, contigs[-1:])
        if len(contigs) == 1:  # some must remain for the other split
            last = part_of(last, last.length * 9 // 10, last.length)
        raise ValueError(
            f"no {empty[0]} rows: test rows are those on {', '.join(plan.held_out)}, but rows are "
            f"on {', '.join(contigs)[:200]}; name others, as with"
            f"{option('held-out', last.name)}{left_out}"
        )
    drawn = {
        split: _drawn(genome, found, elements.length, plan.most, f"{salt}/{split}/order", dropped)
        for split, found in starts.items()
    }
    if empty := [split for split, part in drawn.items() if not len(part.labels)]:
        raise ValueError(f"rows {plan.most} leaves no {empty[0]} rows; give more, or 0 (all)")
    return drawn, {reason: count for reason, count in sorted(dropped.items()) if count}


def _begin_in(starts: np.ndarray, span: tuple[int, int], length: int) -> np.ndarray:
    """Return which windows (n,) begin in a part; outliers belong to the contig's outer parts."""
    first, stop = span
    return ((starts >= first) | (first == 0)) & ((starts < stop) | (stop == length))


def _by_contig(genome: Genome, names: np.ndarray) -> dict[Contig | None, np.ndarray]:
    """Return contig -> the indices of its names (n,), in order; None for those of no contig."""
    unique, inverse = np.unique(names, return_inverse=True)
    contigs = intervals.located(genome, unique)
    owners = [contigs.get(name) for name in unique.tolist()]
    rows: dict[Contig | None, list[int]] = {}
    for row, name in enumerate(inverse.tolist()):
        rows.setdefault(owners[name], []).append(row)
    return {contig: np.array(own) for contig, own in rows.items()}


def _chosen(
    letters: np.ndarray,
    here: Elements,
    span: tuple[int, int],
    salt: str,
    decoy: bool,
    dropped: Counter,
) -> np.ndarray:
    """Return the starts of rows (n, classes) in a part of a contig: column k is class k."""
    length = here.length
    usable = _usable(letters, here, span, dropped)
    letters[: span[0]] = letters[span[1] :] = ord("N")  # no negatives outside the part
    background = rules.grid(letters, length, *_avoided(here))
    count = min(len(background), *(len(starts) for starts in usable))
    dropped["no row of another class to go with it"] += sum(map(len, usable)) - count * len(usable)
    positives = [
        rules.draw(starts, count, f"{salt}/{label}") for label, starts in enumerate(usable, 1)
    ]
    like = np.array([positives[i % len(positives)][i] for i in range(count)], np.int64)
    if not decoy:
        negatives = rules.draw(background, count, f"{salt}/0")
    elif here.sites:
        negatives = _decoys(letters, here, like, f"{salt}/decoy")
    else:
        wanted, found = (rules.gc(letters, starts, length) for starts in (like, background))
        negatives = background[rules.matched(wanted, found, f"{salt}/gc")]
    return np.stack([negatives, *positives], axis=1)


def _avoided(here: Elements) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted starts and lengths of what plain negatives must not overlap.

    For splice sites these are only the boundary bases, as in the benchmark.
    """
    spans = [here.found] if here.sites else [here.found, here.windows]
    starts = np.concatenate([span.starts for span in spans])
    lengths = np.concatenate([span.ends - span.starts for span in spans])
    order = np.argsort(starts, kind="stable")
    return starts[order], lengths[order]


def _usable(
    letters: np.ndarray, here: Elements, span: tuple[int, int], dropped: Counter
) -> list[np.ndarray]:
    """Return the starts of the unique positive windows of each class that can be rows."""
    starts, length = here.windows.starts, here.length
    classes = range(1, max(len(here.sites), 1) + 1)
    by_class = [np.unique(starts[here.labels == label]) for label in classes]
    dropped["same window as another"] += len(starts) - sum(map(len, by_class))
    unique, counts = np.unique(np.concatenate(by_class), return_counts=True)
    both = unique[counts > 1]
    dropped["same window in two classes"] += len(classes) * len(both)
    usable = []
    for windows in (np.setdiff1d(found, both) for found in by_class):
        whole = windows[(windows >= 0) & (windows + length <= len(letters))]
        inside = whole[(whole >= span[0]) & (whole + length <= span[1])]
        usable.append(rules.readable(letters, inside, length))
        dropped["window leaves the contig"] += len(windows) - len(whole)
        dropped["window crosses the edge of a held-out part"] += len(whole) - len(inside)
        dropped["window holds N"] += len(inside) - len(usable[-1])
    return usable


def _decoys(letters: np.ndarray, here: Elements, like: np.ndarray, salt: str) -> np.ndarray:
    """Return windows with a decoy splice site, of the same sites and strands as `like`."""
    columns = (here.windows.starts.tolist(), here.labels.tolist(), here.windows.strands.tolist())
    kinds = {
        (start, label): (here.sites[label - 1], strand)
        for start, label, strand in zip(*columns, strict=True)
    }
    wanted = [kinds[start, i % len(here.sites) + 1] for i, start in enumerate(like.tolist())]
    annotated = np.unique(here.found.starts)
    return rules.decoy_windows(letters, here.transcripts, wanted, annotated, salt)


def _drawn(
    genome: Genome,
    starts: Sequence[tuple[str, np.ndarray]],
    length: int,
    most: int,
    salt: str,
    dropped: Counter,
) -> Labelled:
    """Return up to `most` rows of a split, shuffled over labels and contigs."""
    sizes = np.array([len(chosen) for _, chosen in starts], np.int64)
    classes = starts[0][1].shape[1]
    keep = sizes
    if most and sizes.sum() * classes > most:
        shares = np.cumsum(sizes) * (most // classes) // sizes.sum()
        keep = np.diff(shares, prepend=0)
        dropped["over the limit of rows"] += int((sizes - keep).sum()) * (classes - 1)
    first = np.concatenate([c[:n].ravel() for (_, c), n in zip(starts, keep, strict=True)])
    contigs = np.repeat(np.array([name for name, _ in starts]), keep * classes)
    labels = np.tile(np.arange(classes, dtype=np.int32), int(keep.sum()))
    order = rules.shuffled(np.arange(len(first)), salt)
    first, contigs, labels = first[order], contigs[order], labels[order]
    windows = Intervals(contigs, first, first + length, np.full(len(first), "+"))
    names = (
        f"{contig}:{start}-{start + length}|{label}"
        for contig, start, label in zip(contigs.tolist(), first.tolist(), labels.tolist())
    )
    return Labelled(*intervals.tokens(genome, windows), labels, tuple(names))


def _counts(part: Labelled) -> dict:
    """Return the number of rows, in total, by label and by contig, and the GC share by label."""
    gc = ((part.tokens == vocab.G) | (part.tokens == vocab.C)).mean(1)
    masks = {str(label): part.labels == label for label in np.unique(part.labels).tolist()}
    return {
        "rows": len(part.labels),
        "labels": {label: int(mask.sum()) for label, mask in masks.items()},
        "gc": {label: round(float(gc[mask].mean()), 4) for label, mask in masks.items()},
        "contigs": dict(sorted(Counter(name.rpartition(":")[0] for name in part.names).items())),
    }


def _write(found: Mapping[str, Labelled], record: dict, folder: Path) -> None:
    with whole(folder) as partial:
        for split, part in found.items():
            rows = zip(part.names, intervals.letters(part.tokens), strict=True)
            with (partial / f"{split}.fna").open("wb") as file:
                file.writelines(b">%s\n%s\n" % (n.encode(), bases.tobytes()) for n, bases in rows)
        (partial / "PROVENANCE.json").write_text(json.dumps(record, indent=1) + "\n")


def summary(record: Mapping) -> str:
    """Return a readable summary of a record: rows built and elements left out."""
    lines = [f"{record['task']}: negatives are {record['rules']['negatives']}"]
    for split, counts in record["splits"].items():
        labels = ", ".join(
            f"label {label}: {count:,} ({100 * counts['gc'][label]:.1f}% GC)"
            for label, count in counts["labels"].items()
        )
        lines.append(f"  {split:6s}{counts['rows']:8,d} rows; {labels}")
    for reason, count in record["dropped"].items():
        lines.append(f"  left out {count:,} of {record['elements']:,}: {reason}")
    return "\n".join(lines)
