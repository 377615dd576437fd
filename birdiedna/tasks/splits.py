"""Divide labelled rows into parts, so that neighbours in the genome stay together."""

import re
from collections.abc import Sequence

import numpy as np

from birdiedna.data.chromosomes import chromosome
from birdiedna.data.genome import HELD_OUT
from birdiedna.data.labelled import Labelled
from birdiedna.tasks.labelled import take

_COORDINATES = re.compile(r"([^:|\s]+):(\d+)-(\d+)")
#: How rows of a table are named that has a chromosome and no name.
_CHROMOSOME = re.compile(r"([^:|\s]+):row \d+")


def chromosomes(names: Sequence[str]) -> tuple[str, ...]:
    """The chromosome of each row by its name (`chr3:100-400|1`), () if a name does not say."""
    found = [_COORDINATES.search(name) or _CHROMOSOME.fullmatch(name) for name in names]
    return _known([match[1] for match in found]) if all(found) else ()


def _known(contigs: Sequence[str]) -> tuple[str, ...]:
    """The chromosome of each contig name, looked up once for each different name."""
    table = {name: chromosome(name) for name in {*contigs}}
    return tuple(table[name] for name in contigs)


def held_out(found: Sequence[str]) -> np.ndarray:
    """Which rows (n,) lie on chromosomes that are kept for testing: chr20, chr21 and chr22."""
    return np.isin(np.array(_known(found)), HELD_OUT)


def carve(train: Labelled, fraction: float = 0.1, seed: int = 0) -> tuple[Labelled, Labelled]:
    """Divide training rows into training and validation, so that neighbours stay together.

    By whole chromosomes if names tell of several; else the block of the highest positions, cut
    where no window overlaps the cut; else (no coordinates, or a class would be left out) drawn
    by class. `seed` chooses the chromosomes or the rows.

    Raises:
      ValueError: fraction outside (0, 1), or a class with a single row.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"validation fraction {fraction} is outside (0, 1); take 0.1, say")
    rng = np.random.default_rng(seed)
    where, places = chromosomes(train.names), _places(train.names)
    masks = [_by_chromosome(rng, where, fraction)] if where else []
    masks += [_by_block(places, fraction)] if places else []
    for mask in (*masks, _by_class(rng, train.labels, fraction)):
        classes = set(train.labels)
        if {*train.labels[mask]} == classes == {*train.labels[~mask]}:
            return take(train, ~mask), take(train, mask)
    raise ValueError(
        f"{len(train.labels)} rows cannot be divided with all classes in both parts: a class has a "
        "single row; give more rows of it, or files for each part"
    )


def boundary(train: Labelled, rest: Labelled) -> str:
    """In words, what keeps two parts of `carve` apart."""
    sides = [{*chromosomes(rows.names)} for rows in (train, rest)]
    if all(sides) and not sides[0] & sides[1]:
        return f"by chromosome ({', '.join(sorted(sides[1]))})"
    places = [_places(rows.names) for rows in (train, rest)]
    if all(places) and max(places[0]) < min(places[1]):
        return "a block of the highest positions"
    return "the same share of each class, drawn at random"


def _places(names: Sequence[str]) -> list[tuple[str, int, int]]:
    """Chromosome, start and stop of each row, or nothing if a name has another form."""
    found = [_COORDINATES.search(name) for name in names]
    if not all(found):
        return []
    where = _known([place[1] for place in found])
    return [(name, int(m[2]), int(m[3])) for name, m in zip(where, found, strict=True)]


def _by_chromosome(rng: np.random.Generator, where: Sequence[str], fraction: float) -> np.ndarray:
    """Whole chromosomes, in random order, up to the fraction; at most half as much again."""
    of = np.array(where)
    mask = np.zeros(len(of), bool)
    for name in rng.permutation(np.unique(of)):
        wider = mask | (of == name)
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
