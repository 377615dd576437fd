"""Train, validation and test rows, divided so that neighbours in the genome stay together.

`assign` says what each file is for; `carve` divides rows where no file says so.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from birdiedna.data.chromosomes import chromosome
from birdiedna.data.genome import HELD_OUT
from birdiedna.data.labelled import Labelled, take

_COORDINATES = re.compile(r"([^:|\s]+):(\d+)-(\d+)")
#: The name of a row of a table that has a chromosome and no name.
_CHROMOSOME = re.compile(r"([^:|\s]+):row \d+")


def assign(
    rows: Mapping[str, Labelled], where: Sequence[str] = ()
) -> tuple[Labelled, Labelled | None, Labelled, list[str]]:
    """Train, validation (None if there is none) and test rows, and remarks on how they came about.

    A validation part replaces a missing train or test part. A part that is alone is divided: rows
    on chromosomes 20 to 22 are the test part, or else a tenth is carved.

    Args:
      rows: part -> rows; the part "rows" is one table of all rows.
      where: the chromosome of each row of a part that is alone; () takes it from the names.

    Raises:
      ValueError: a part cannot be divided with all classes on both sides.
    """
    if len(rows) == 1:
        ((part, only),) = rows.items()
        return _divided(part, only, where)
    parts, remarks = dict(rows), []
    for missing in {"train", "test"} - {*parts}:
        parts[missing] = parts.pop("validation")
        remarks.append(f"there is no {missing} file: {missing} rows come from the validation file")
    found = chromosomes(parts["train"].names)
    if count := int(held_out(found).sum()) if found else 0:
        remarks.append(
            f"{count:,} train rows are on {', '.join(HELD_OUT)}, where other tasks are tested; "
            "they stay where the files put them"
        )
    return parts["train"], parts.get("validation"), parts["test"], remarks


def _divided(
    part: str, rows: Labelled, where: Sequence[str]
) -> tuple[Labelled, None, Labelled, list[str]]:
    source = "one table holds all rows" if part == "rows" else f"all rows come from the {part} file"
    where = where or chromosomes(rows.names)
    mask = held_out(where) if where else np.zeros(len(rows.labels), bool)
    if not mask.any():
        train, test, how = carve(rows)
        return train, None, test, [f"{source}; a tenth is carved from it as test rows, {how}"]
    train, test = take(rows, ~mask), take(rows, mask)
    if {*train.labels} != {*test.labels}:
        raise ValueError(
            f"{source}; {mask.sum():,} of {len(mask):,} rows are on {', '.join(HELD_OUT)}: "
            "test rows, but a class is missing among them or the rest; give train and test files"
        )
    names = ", ".join(sorted({name for name, held in zip(where, mask, strict=True) if held}))
    return train, None, test, [f"{source}; test rows are those on {names}"]


def carve(train: Labelled, fraction: float = 0.1, seed: int = 0) -> tuple[Labelled, Labelled, str]:
    """Divide rows in two, the second with about this fraction, and say what separates them.

    By whole chromosomes if names have several; else the block of the highest positions, cut where
    no window overlaps the cut; else (no coordinates, or a class would be missing) drawn by class.
    `seed` chooses the chromosomes or the rows. A class with a single row is a ValueError.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"validation fraction {fraction} is outside (0, 1); take 0.1, say")
    rng = np.random.default_rng(seed)
    where, places = np.array(chromosomes(train.names)), _places(train.names)
    masks = []
    if len(where):
        mask = _by_chromosome(rng, where, fraction)
        masks.append((mask, f"by chromosome ({', '.join(np.unique(where[mask]))})"))
    if places:
        masks.append((_by_block(places, fraction), "a block of the highest positions"))
    by_class = _by_class(rng, train.labels, fraction)
    masks.append((by_class, "the same share of each class, drawn at random"))
    for mask, how in masks:
        if {*train.labels[mask]} == {*train.labels} == {*train.labels[~mask]}:
            return take(train, ~mask), take(train, mask), how
    raise ValueError(
        f"{len(train.labels)} rows cannot be divided with all classes in both parts: a class has a "
        "single row; give more rows of it, or files for each part"
    )


def chromosomes(names: Sequence[str]) -> tuple[str, ...]:
    """The chromosome of each row by its name (`chr3:100-400|1`), () if any name has none."""
    found = [_COORDINATES.search(name) or _CHROMOSOME.fullmatch(name) for name in names]
    return _usual([match[1] for match in found if match]) if all(found) else ()


def held_out(found: Sequence[str]) -> np.ndarray:
    """Which rows (n,) are on chromosomes reserved for testing: chr20, chr21 and chr22."""
    return np.isin(np.array(_usual(found)), HELD_OUT)


def _usual(contigs: Sequence[str]) -> tuple[str, ...]:
    """The chromosome of each contig name, looked up once for each different name."""
    table = {name: chromosome(name) for name in {*contigs}}
    return tuple(table[name] for name in contigs)


def _places(names: Sequence[str]) -> list[tuple[str, int, int]]:
    """Chromosome, start and stop of each row, or [] if any name has none."""
    found = [match for name in names if (match := _COORDINATES.search(name))]
    if len(found) < len(names):
        return []
    where = _usual([match[1] for match in found])
    return [(name, int(m[2]), int(m[3])) for name, m in zip(where, found, strict=True)]


def _by_chromosome(rng: np.random.Generator, where: np.ndarray, fraction: float) -> np.ndarray:
    """Whole chromosomes, in random order, up to the fraction; at most half as much again."""
    mask = np.zeros(len(where), bool)
    for name in rng.permutation(np.unique(where)):
        wider = mask | (where == name)
        if mask.mean() < fraction and wider.mean() <= 1.5 * fraction:
            mask = wider
    return mask


def _by_block(places: list[tuple[str, int, int]], fraction: float) -> np.ndarray:
    """The last rows by position, from the gap between windows that is nearest the fraction."""
    order = np.array(sorted(range(len(places)), key=lambda row: places[row]))
    mask = np.zeros(len(places), bool)
    gaps, furthest = [], ("", 0)
    for rank, row in enumerate(order):
        name, start, stop = places[row]
        if rank and (name != furthest[0] or start >= furthest[1]):
            gaps.append(rank)
        furthest = max(furthest, (name, stop)) if furthest[0] == name else (name, stop)
    if gaps:
        wanted = (1 - fraction) * len(places)
        mask[order[min(gaps, key=lambda rank: abs(rank - wanted)) :]] = True
    return mask


def _by_class(rng: np.random.Generator, labels: np.ndarray, fraction: float) -> np.ndarray:
    """The same share of every class, at least one row of each."""
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        mask[rows[: max(1, round(fraction * len(rows)))]] = True
    return mask
