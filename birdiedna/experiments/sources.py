"""The genome and tasks of a run: where they come from, and how rows are read."""

from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from birdiedna import tasks
from birdiedna.data import catalog, fasta, files, labelled, sample
from birdiedna.data import genome as genomes
from birdiedna.data.cache import entry_at, located
from birdiedna.data.chromosomes import is_chromosome
from birdiedna.data.genome import Genome, Split, contigs_named
from birdiedna.data.names import listed, option
from birdiedna.experiments.profiles import Profile
from birdiedna.tasks import Reading, Task
from birdiedna.training import devices
from birdiedna.training.pretrain import PretrainConfig

SAMPLE = "sample"


@dataclass(frozen=True)
class Sources:
    """Where sequence and tasks come from; "sample" is the embedded human DNA.

    genome: a FASTA file, a name of the catalogue or an https address. validation: contigs,
    chromosomes or parts of contigs (`chr8:1-1000000`) for held-out loss, comma-separated; empty
    takes the sample's own, else `genome.default_validation`. tasks: a folder of tasks or a file of
    rows in a layout of `tasks.layouts`, or a name of the catalogue. reading: how to read rows.
    ValueError for a number in place of a text: papermill's `-p` makes one of the contig 8.
    """

    genome: str = SAMPLE
    tasks: str = SAMPLE
    validation: str = ""
    reading: Reading = Reading()

    def __post_init__(self) -> None:
        for name in ("genome", "tasks", "validation"):
            given = getattr(self, name)
            if isinstance(given, Path):
                object.__setattr__(self, name, str(given))
            elif not isinstance(given, str):
                raise ValueError(f"{name} {given} is not text; papermill needs -r {name} {given}")

    def tasks_path(self) -> Path:
        """The folder or file of tasks, downloaded if need be."""
        return sample.TASKS if self.tasks == SAMPLE else located(self.tasks, "tasks")

    def options(self) -> str:
        """The command-line options that name these sources, without folders of this machine."""
        reading, columns = self.reading, self.reading.columns
        named = {
            "genome": _without_folder(self.genome),
            "tasks": _without_folder(self.tasks),
            "validation": self.validation,
            "sequence-column": columns.sequence,
            "label-column": columns.label,
            "name-column": columns.name,
            "labels": ",".join(f"{word}={number}" for word, number in columns.labels),
            "length": str(reading.length or ""),
            "reference": _without_folders(reading.reference),
        }
        given = {k: v for k, v in named.items() if v not in ("", SAMPLE)}
        words = "".join(option(name, value) for name, value in given.items())
        return words + " --skip-missing" * reading.skip_missing

    def recorded_reading(self) -> dict[str, Any]:
        """How rows are read, as JSON for `config.json`."""
        read = asdict(self.reading)
        labels = dict(read["columns"].pop("labels"))
        return read | {"labels": labels, "reference": _without_folders(self.reading.reference)}


def _without_folders(reference: str) -> str:
    """A file, or `class=file` pairs, without their folders."""
    pairs = [pair.rpartition("=") for pair in reference.split(",")]
    return ",".join(f"{word}{mark}{_without_folder(file)}" for word, mark, file in pairs)


def _without_folder(text: str) -> str:
    """The name of a file; addresses stay whole."""
    return text if "://" in text else Path(text).name


def available_tasks(settings: Profile, sources: Sources) -> list[str]:
    """The tasks to run: of the sample those of the profile, of another folder all, unless set.

    FileNotFoundError if there is no such folder, ValueError if it has no task, or none that the
    profile names.
    """
    present = tasks.names(sources.tasks_path())
    own = sources.tasks != SAMPLE
    is_set = any(change.startswith("tasks=") for change in settings.changes)
    chosen = settings.tasks if is_set or not own else ()
    if unknown := [name for name in chosen if name not in present]:
        raise ValueError(
            f"the profile {settings.name} runs the task {unknown[0]!r}, and "
            f"{sources.tasks if own else 'the sample'} has only {listed(present, 30)}; name the "
            "folder of the task with --tasks"
        )
    return list(chosen or present)


def read_genome(sources: Sources) -> Genome:
    """The genome, cached in memory and on disk, as are programs that JAX compiles from then on."""
    devices.enable_compilation_cache(files.default_cache())
    return _genome(*_genome_file(sources))


def _genome_file(sources: Sources) -> tuple[Path, int]:
    """The file of the genome, and when it was changed."""
    path = sample.GENOME if sources.genome == SAMPLE else located(sources.genome, "genome")
    return path, path.stat().st_mtime_ns if path.exists() else 0


@lru_cache(maxsize=2)  # each may take gigabytes
def _genome(path: Path, changed: int) -> Genome:
    return fasta.read(path)


def split(settings: Profile, sources: Sources) -> Split:
    """The contigs for training, for held-out loss, and never read; errors as `genome.split`."""
    config = next(iter(settings.pretrain.values()))
    contigs = validation(settings, sources)
    return genomes.split(read_genome(sources), contigs, config.held_out, config.train)


def validation(settings: Profile, sources: Sources) -> tuple[str, ...]:
    """The contigs for held-out loss: those named, the sample's own, or a default for any genome."""
    if sources.genome == SAMPLE and not sources.validation:
        return sample.VALIDATION
    config = next(iter(settings.pretrain.values()))
    least = config.slots + config.evaluation_rows - 1  # bases with that many windows
    how = config.validation, config.held_out, least
    return _validation(*_genome_file(sources), sources.validation, *how)


@lru_cache(maxsize=8)  # is asked for each of thousands of runs, and may read every base
def _validation(path: Path, changed: int, named: str, *how: Any) -> tuple[str, ...]:
    found = _genome(path, changed)
    return (
        genomes.listed_contigs(named, found) if named else genomes.default_validation(found, *how)
    )


def not_drawn(config: PretrainConfig, sources: Sources) -> int:
    """The bases for training that are in no window of a config; errors as in `genome.split`."""
    how = config.validation, config.held_out, config.train, config.slots
    return _not_drawn(*_genome_file(sources), *how)


@lru_cache(maxsize=8)  # as `_validation`
def _not_drawn(path: Path, changed: int, apart: tuple[str, ...], *how: Any) -> int:
    found, (*held_out, slots) = _genome(path, changed), how
    return genomes.not_drawn(found, genomes.split(found, apart, *held_out).train, slots)


def described_genome(settings: Profile, sources: Sources) -> list[str]:
    """What reading changed in a genome, and its split, as lines.

    Errors as in `split`, and ValueError if a part is too short for a window.
    """
    found, parts = read_genome(sources), split(settings, sources)
    config = next(iter(settings.pretrain.values()))
    lines = fasta.changes(found.notes)
    for use, names in (("trained on", parts.train), ("held-out loss", parts.validation)):
        lost = genomes.not_drawn(found, names, config.slots)
        bases = sum(contig.length for contig in contigs_named(found, names))
        share = f"{bases:,} bases ({bases / len(found.tokens):.1%})"
        lines.append(f"{use}: {share}, {listed(names, 8)}")
        if lost:
            lines[-1] += f"; {lost:,} are in no window of {config.slots:,} bases without N"
    windows = genomes.windows(found, parts.validation, config.slots)
    genomes.fixed_starts(windows, config.evaluation_rows, found.source)
    if not sources.validation:
        lines[-1] += "; --validation names others"
    if parts.held_out:
        lines.append(f"held out for testing, never read: {listed(parts.held_out, 8)}")
    unknown = [name for name in parts.train if not is_chromosome(name)]
    if 0 < len(unknown) < len(parts.train):
        lines.append(f"of unknown chromosome, so trained on: {listed(unknown, 8)}")
    return lines


def chosen_task(sources: Sources, name: str = "") -> str:
    """The name, or without one the only task; ValueError if there are several."""
    present = [name] if name else tasks.names(sources.tasks_path())
    if len(present) > 1:
        raise ValueError(f"{len(present)} tasks; name one with --task: {listed(present, 30)}")
    return present[0]


def read_task(settings: Profile, sources: Sources, name: str) -> Task:
    """Train, validation and test rows of a task, cropped by the profile.

    Rows are cropped only if all have one length and no length is asked for. Errors as in
    `tasks.find` and `tasks.read`; ValueError for rows longer than `labelled.LONGEST_BASES` if no
    length is given.
    """
    path, reading = sources.tasks_path(), sources.reading
    task = _whole(path, name, reading, _changed(path, name, reading))
    lengths = np.concatenate([rows.lengths for rows in task.parts().values()])
    alike = not sources.reading.length and lengths.min() == lengths.max()
    crop = settings.crops.get(int(lengths.max())) if alike else None
    return tasks.cropped(task, *crop) if crop else task


def read_whole(path: Path, name: str, reading: Reading) -> Task:
    """Train, validation and test rows of a task, not cropped; errors as in `read_task`.

    If the task is of the catalogue, remarks say where its rows differ.
    """
    found = tasks.read(tasks.find(path, name), reading)
    if (entry := entry_at(path)) and not reading.length:
        train = [rows.lengths for rows in (found.train, found.validation) if rows]
        bases = {"train": np.concatenate(train).tolist(), "test": found.test.lengths.tolist()}
        found.notes["remarks"] += catalog.other_rows(entry, name, bases)
    try:
        task = tasks.with_validation(found)
    except ValueError as error:
        raise ValueError(f"{path}, task {name}: {error}") from error
    lengths = np.concatenate([rows.lengths for rows in task.parts().values()])
    if not reading.length and lengths.max() > labelled.LONGEST_BASES:
        raise ValueError(f"{path}, task {name}: {labelled.long_rows(lengths)}")
    return task


@cache
def _whole(path: Path, name: str, reading: Reading, changed: object) -> Task:
    return read_whole(path, name, reading)


def _changed(path: Path, name: str, reading: Reading) -> tuple[tuple[int, int], ...]:
    """Size and time of the files of a task and its references, which a notebook may change."""
    references = (pair.rpartition("=")[2] for pair in reading.reference.split(",") if pair)
    found = *tasks.find(path, name).all_files(), *map(files.expanded, references)
    read = (file for place in found for file in (place, *sorted(place.rglob("*"))))
    stats = [file.stat() for file in read if file.exists()]
    return tuple((stat.st_size, stat.st_mtime_ns) for stat in stats)
