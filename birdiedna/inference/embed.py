"""Features of sequences: what a model computes before its head."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from birdiedna import vocab
from birdiedna.inference import sequences
from birdiedna.inference.sequences import Record
from birdiedna.model.transformer import Transformer
from birdiedna.training import probe
from birdiedna.training.prompt import prompt
from birdiedna.training.weights import Model


def embed(
    model: Model,
    records: Iterable[Record],
    per_base: bool = False,
    pooling: str = "mean",
    layer: int = -1,
    both_strands: bool = False,
    long: str = "tile",
    rows: int = 64,
) -> Iterator[pl.DataFrame]:
    """Features of every sequence: one row each, or `per_base` one row a base.

    Pooling and layer are as in `probe.ProbeConfig`. With `both_strands` features are means over the
    sequence and its reverse complement, base by base if per base. Of sequences longer than the rows
    the model was trained on, `long` "tile" reads all pieces (a vector is then the mean over bases),
    "centre" the middle, "refuse" nothing.

    Returns:
      frames of name, bases (of the sequence) and f0, f1, ... float32, in the order of the records;
      per base also position (0-based, in the sequence) and base.

    Raises:
      ValueError: pooling, layer or `long` is unknown, or a sequence is too long to be read.
    """
    how = probe.ProbeConfig(2, model.net.config, pooling, layer, model.bidirectional)
    function = _each_base if per_base else partial(probe.pooled, pooling=how.pooling)
    read = partial(function, model.net, layer=how.layer, bidirectional=how.bidirectional)
    for some in sequences.chunks(records):
        cut = [sequences.pieces(record, model.slots, long) for record in some]
        parts = [piece for of_record in cut for piece in of_record]
        found = _features(read, parts, rows, per_base)
        if both_strands:
            turned = [vocab.reverse_complement(part) for part in parts]
            pairs = zip(found, _features(read, turned, rows, per_base), strict=True)
            found = [(a + (b[::-1] if per_base else b)) / 2 for a, b in pairs]
        yield _bases(some, cut, found) if per_base else _vectors(some, cut, found)


def _features(
    read: Callable[..., jax.Array], parts: list[np.ndarray], rows: int, per_base: bool
) -> list[np.ndarray]:
    """Features of every piece: (width,), or (bases, width)."""
    found = sequences.computed(read, parts, rows)
    pairs = zip(found, parts, strict=True)
    return [one[: len(part)] for one, part in pairs] if per_base else found


@partial(jax.jit, static_argnames=("layer", "bidirectional"))
def _each_base(
    net: Transformer, tokens: jax.Array, lengths: jax.Array, layer: int, bidirectional: bool
) -> jax.Array:
    """Features, float32 (B, slots, width), of the rows of `prompt`."""
    row = prompt(tokens, lengths)
    return net.features(row, lengths if bidirectional else None, layer).astype(jnp.float32)


def _vectors(
    some: list[Record], cut: list[list[np.ndarray]], found: list[np.ndarray]
) -> pl.DataFrame:
    """One row a sequence: the mean over its pieces, each as long as it is."""
    pieces, vectors = iter(found), []
    for parts in cut:
        bases = np.array([len(part) for part in parts])
        each = np.stack([next(pieces) for _ in parts])
        vectors.append(bases @ each / bases.sum())
    names = [(record.name, len(record.tokens)) for record in some]
    return _wide(pl.DataFrame(names, ["name", "bases"], orient="row"), np.stack(vectors))


def _bases(
    some: list[Record], cut: list[list[np.ndarray]], found: list[np.ndarray]
) -> pl.DataFrame:
    """One row a base that was read."""
    read = [np.concatenate(parts) for parts in cut]
    sizes = [len(record.tokens) for record in some]
    spans = [((size - len(t)) // 2, len(t)) for size, t in zip(sizes, read, strict=True)]
    columns = {
        "name": [record.name for record in some],
        "bases": sizes,
        "position": [range(first, first + size) for first, size in spans],
        "base": [[vocab.NAMES[token] for token in tokens] for tokens in read],
    }
    return _wide(pl.DataFrame(columns).explode("position", "base"), np.concatenate(found))


def _wide(frame: pl.DataFrame, features: np.ndarray) -> pl.DataFrame:
    names = [f"f{i}" for i in range(features.shape[1])]
    return frame.hstack(pl.DataFrame(features.astype(np.float32), names))
