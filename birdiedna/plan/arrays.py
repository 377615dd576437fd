"""A genome and labelled rows as files that need nothing but numpy, with checksums."""

import hashlib
from pathlib import Path

import numpy as np

from birdiedna import genome as genomes
from birdiedna.batch import Labelled
from birdiedna.genome import Genome

PARTS = ("train", "validation", "test")


def digest(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_genome(path: Path, genome: Genome) -> None:
    """Base ids and contigs; about a quarter of a byte for each base."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        tokens=genome.tokens,
        names=np.array([contig.name for contig in genome.contigs]),
        lengths=np.array([contig.length for contig in genome.contigs]),
        source=np.array(genome.source),
        fingerprint=np.array(genome.fingerprint),
    )


def read_genome(path: Path) -> Genome:
    """What `write_genome` wrote.

    Raises:
      ValueError: the tokens are not those that were written.
    """
    with np.load(path, allow_pickle=False) as stored:
        lengths = list(zip(stored["names"].tolist(), stored["lengths"].tolist(), strict=True))
        found = genomes.assemble(stored["tokens"], lengths, str(stored["source"]))
        if found.fingerprint != str(stored["fingerprint"]):
            raise ValueError(f"{path}: the tokens are not those that were saved; copy it again")
    return found


def write_rows(path: Path, parts: tuple[Labelled, Labelled, Labelled]) -> None:
    """Rows of a task; names stay behind, since they may tell the label."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        f"{part}_{field}": getattr(rows, field)
        for part, rows in zip(PARTS, parts, strict=True)
        for field in ("tokens", "lengths", "labels")
    }
    np.savez_compressed(path, **arrays)


def read_rows(path: Path) -> tuple[Labelled, Labelled, Labelled]:
    """What `write_rows` wrote: train, validation and test rows, without names."""
    with np.load(path, allow_pickle=False) as stored:
        fields = ("tokens", "lengths", "labels")
        found = [[stored[f"{part}_{field}"] for field in fields] for part in PARTS]
    return tuple(Labelled(*arrays, names=("",) * len(arrays[2])) for arrays in found)
