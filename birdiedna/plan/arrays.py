"""A genome and labelled rows as files that need nothing but numpy, with checksums."""

import hashlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
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


def read_weights(path: Path, like: Any) -> Any:
    """Weights in the structure of `like`, from key paths -> bits of bfloat16 as uint16.

    Raises:
      ValueError: the file cannot be read, or names or shapes are not those of `like`.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    wanted = {jax.tree_util.keystr(at): leaf for at, leaf in leaves}
    try:
        with np.load(path, allow_pickle=False) as stored:
            bits = {name: stored[name] for name in stored.files}
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} holds no weights: {error}") from None
    have, want = ({name: x.shape for name, x in of.items()} for of in (bits, wanted))
    if differ := sorted(name for name in have | want if have.get(name) != want.get(name)):
        name = differ[0]
        raise ValueError(
            f"{path} does not fit the model: {len(differ)} arrays differ, such as {name}: stored "
            f"{have.get(name)}, wanted {want.get(name)}"
        )
    floats = lambda x: (x.astype(np.uint32) << 16).view(np.float32)
    return structure.unflatten(
        [jnp.asarray(floats(bits[name]), leaf.dtype) for name, leaf in wanted.items()]
    )
