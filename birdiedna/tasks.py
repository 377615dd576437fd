"""The tasks of the benchmark: their table, their folders, and the validation split.

A folder holds `<task>/train.fna` and `<task>/test.fna`, as the Nucleotide Transformer benchmark
does, or tables of the same names (`.csv`, `.tsv`, either with `.gz`, or `.parquet`).
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from birdiedna.batch import Labelled
from birdiedna.genome import chromosome
from birdiedna.labelled import read_fna, read_table, take

_FNA = (".fna", ".fna.gz")
_TABLES = (".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz")


@dataclass(frozen=True)
class Task:
    """One task: folder name, row title (the paper's Table 1, where it has the row), shape, kind.

    `length` in bases; `kind` is promoter, splice, enhancer or histone.
    """

    name: str
    title: str
    classes: int
    length: int
    kind: str


#: The 18 tasks of the revised benchmark, the 14 of Table 1 first and in its order, then our own
#: decoy variant of the donors, whose negatives also hold the two letters of a splice site.
TASKS = (
    Task("promoter_all", "Promoter All", 2, 300, "promoter"),
    Task("promoter_no_tata", "Promoter No TATA", 2, 300, "promoter"),
    Task("promoter_tata", "Promoter TATA", 2, 300, "promoter"),
    Task("splice_sites_donors", "Splice Sites Donors", 2, 600, "splice"),
    Task("enhancers", "Enhancers", 2, 400, "enhancer"),
    Task("H2AFZ", "H2AFZ", 2, 1000, "histone"),
    Task("H3K27ac", "H3K27ac", 2, 1000, "histone"),
    Task("H3K27me3", "H3K27me3", 2, 1000, "histone"),
    Task("H3K36me3", "H3K36me3", 2, 1000, "histone"),
    Task("H3K4me1", "H3K4me1", 2, 1000, "histone"),
    Task("H3K4me2", "H3K4me2", 2, 1000, "histone"),
    Task("H3K4me3", "H3K4me3", 2, 1000, "histone"),
    Task("H3K9ac", "H3K9ac", 2, 1000, "histone"),
    Task("H3K9me3", "H3K9me3", 2, 1000, "histone"),
    Task("H4K20me1", "H4K20me1", 2, 1000, "histone"),
    Task("enhancers_types", "Enhancers Types", 3, 400, "enhancer"),
    Task("splice_sites_acceptors", "Splice Sites Acceptors", 2, 600, "splice"),
    Task("splice_sites_all", "Splice Sites All", 3, 600, "splice"),
    Task("splice_sites_donors_decoy", "Splice Sites Donors, decoys", 2, 600, "splice"),
)


def task_named(name: str) -> Task:
    """The entry of `TASKS`.

    Raises:
      ValueError: there is none; the message holds the closest and all names.
    """
    for task in TASKS:
        if task.name == name:
            return task
    raise ValueError(_unknown(name, [task.name for task in TASKS], "the task table"))


def _unknown(name: str, known: Sequence[str], place: str) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.4)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"no task {name!r} in {place}; {hint}there are: {', '.join(known) or 'none'}"


def names(folder: Path | str) -> list[str]:
    """The tasks of a folder: its sub-folders with a train and a test file, in table order.

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: it holds no task; the message says how a task has to lie in it.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; give a folder of tasks")
    order = {task.name: i for i, task in enumerate(TASKS)}
    parts = [path for path in Path(folder).glob("*/") if _file(path, "train")]
    found = [path.name for path in parts if _file(path, "test")]
    if not found:
        raise ValueError(
            f"{folder} holds no <task>/train and <task>/test; give a folder with such files, each "
            f"ending in one of {', '.join((*_FNA, *_TABLES))}"
        )
    return sorted(found, key=lambda name: (order.get(name, len(order)), name))


def _file(folder: Path, part: str) -> Path | None:
    """The train or test file of a task folder, whichever layout it has."""
    paths = [folder / f"{part}{suffix}" for suffix in (*_FNA, *_TABLES)]
    return next((path for path in paths if path.is_file()), None)


def load(folder: Path | str, name: str) -> tuple[Labelled, Labelled]:
    """Training and test rows of a task, from `<folder>/<name>/{train,test}.fna` (or a table).

    Raises:
      FileNotFoundError: there is no such folder.
      ValueError: there is no such task in the folder (the message lists them), or a file fails
        the checks of `read_fna` and `read_table`, or train and test have other classes.
    """
    known = names(folder)
    if name not in known:
        raise ValueError(_unknown(name, known, str(folder)))
    classes = next((task.classes for task in TASKS if task.name == name), None)
    train = _read(Path(folder) / name, "train", name, classes)
    return train, _read(Path(folder) / name, "test", name, int(train.labels.max()) + 1)


def _read(folder: Path, part: str, name: str, classes: int | None) -> Labelled:
    path = _file(folder, part)
    if path.name.endswith(_FNA):
        return read_fna(path, classes)
    return read_table(path, classes, name)


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
    places = _places(train.names)
    masks = [_by_chromosome(rng, places, fraction), _by_block(places, fraction)] if places else []
    for mask in (*masks, _by_class(rng, train.labels, fraction)):
        classes = set(train.labels)
        if {*train.labels[mask]} == classes == {*train.labels[~mask]}:
            return take(train, ~mask), take(train, mask)
    raise ValueError(f"{len(train.labels)} rows cannot be divided with all classes in both parts")


def _places(names: Sequence[str]) -> list[tuple[str, int, int]]:
    """Chromosome, start and stop of each row, or nothing if a name has another form."""
    found = [re.match(r"([^:|]+):(\d+)-(\d+)", name) for name in names]
    if not all(found):
        return []
    return [(chromosome(place[1]), int(place[2]), int(place[3])) for place in found]


def _by_chromosome(
    rng: np.random.Generator, places: list[tuple[str, int, int]], fraction: float
) -> np.ndarray:
    """Whole chromosomes, in random order, up to the fraction; at most half as much again."""
    chromosomes = np.array([place[0] for place in places])
    mask = np.zeros(len(places), bool)
    for name in rng.permutation(np.unique(chromosomes)):
        wider = mask | (chromosomes == name)
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
