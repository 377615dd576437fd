"""The sets of Genomic Benchmarks: interval tables by split and class, made into labelled rows."""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from birdiedna import vocab
from birdiedna.data.genome import Genome
from birdiedna.data.intervals import Intervals, cut, present, read_table, take
from birdiedna.data.labelled import Labelled

_SPLITS = ("train", "test")
_TABLE = (".csv.gz", ".csv")


def sets(folder: Path | str) -> dict[str, dict[str, dict[str, Path]]]:
    """The interval files of a folder: set -> split -> class name -> path, all sorted by name.

    Two layouts are known: `<set>.<split>.<class>.csv.gz`, and the official `<set>/<split>/
    <class>.csv.gz`. The folder may hold many sets or, in the official layout, be one.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it holds no such file, or a class of a split twice.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; give a folder of interval tables")
    found: dict[str, dict[str, dict[str, Path]]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.name.endswith(_TABLE)):
        if place := _place(folder, path):
            name, split, label = place
            classes = found.setdefault(name, {}).setdefault(split, {})
            if label in classes:
                raise ValueError(f"{path}: {classes[label]} holds the same rows; delete one")
            classes[label] = path
    if not found:
        raise ValueError(
            f"{folder} holds no interval tables; they are called <set>.<split>.<class>.csv.gz or "
            f"<set>/<split>/<class>.csv.gz, where the split is {' or '.join(_SPLITS)}"
        )
    return found


def _place(folder: Path, path: Path) -> tuple[str, str, str] | None:
    """Set, split and class of a file, by its name or by its folders."""
    name = path.name.removesuffix(".gz").removesuffix(".csv")
    parents = path.relative_to(folder).parts[:-1]
    if not parents and (flat := re.fullmatch(rf"(.+)\.({'|'.join(_SPLITS)})\.(.+)", name)):
        return flat[1], flat[2], flat[3]
    if len(parents) in (1, 2) and parents[-1] in _SPLITS:
        return (parents[0] if len(parents) == 2 else folder.resolve().name), parents[-1], name
    return None


def labelled(
    parts: Mapping[str, Path], genome: Genome | Mapping[str, Genome], skip_missing: bool = False
) -> tuple[Labelled, dict]:
    """The labelled sequences of one split, from the interval table of each class.

    Classes are numbered by sorted name; the official loader for torch goes by the order of the
    folders on disk, so its numbers may differ. Names are `contig:start-end(strand)|label`.

    Args:
      parts: class name -> interval table, as in `sets(folder)[name][split]`.
      genome: the reference, or one for each class name, as `demo_human_or_worm` needs.
      skip_missing: leave out rows on contigs that the genome lacks, and count them.

    Returns:
      the rows, and notes: `classes` (name -> label), `rows` (kept, by class), `skipped` (rows left
      out, by contig), `with_n` (rows that hold N), `references` (class -> genome).

    Raises:
      ValueError: fewer than two classes, a class without rows, or as in `read_table` and `tokens`.
    """
    if len(parts) < 2:
        raise ValueError(f"classes {sorted(parts)}: a task needs two or more; add their tables")
    of = {name: genome if isinstance(genome, Genome) else genome[name] for name in sorted(parts)}
    read = [_kept(Path(parts[name]), reference, skip_missing) for name, reference in of.items()]
    lengths = [kept.ends - kept.starts for kept, _ in read]
    width = max(length.max() for length in lengths)
    rows = [cut(of[name], kept, width) for name, (kept, _) in zip(of, read, strict=True)]
    skipped = Counter(contig for _, lost in read for contig in lost)
    notes = {
        "classes": {name: label for label, name in enumerate(of)},
        "rows": {name: len(part) for name, part in zip(of, rows, strict=True)},
        "skipped": dict(sorted(skipped.items())),
        "with_n": sum(int((part == vocab.N).any(1).sum()) for part in rows),
        "references": {name: reference.source for name, reference in of.items()},
    }
    labels = np.repeat(np.arange(len(rows)), [len(part) for part in rows]).astype(np.int32)
    places = (place for kept, _ in read for place in zip(*(c.tolist() for c in kept)))
    names = tuple(
        f"{contig}:{start}-{end}({strand})|{label}"
        for (contig, start, end, strand), label in zip(places, labels, strict=True)
    )
    flat = np.concatenate(lengths).astype(np.int32)
    return Labelled(np.concatenate(rows), flat, labels, names), notes


def _kept(path: Path, genome: Genome, skip: bool) -> tuple[Intervals, list[str]]:
    """A table's intervals that the genome has, and the contigs of those that it lacks."""
    read = read_table(path)
    try:
        known = present(genome, read, skip)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return take(read, known), read.contigs[~known].tolist()
