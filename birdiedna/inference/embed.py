"""Features of sequences: the output of a model before its head."""

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
    """Yield the features of every sequence: one row per sequence, or per base with `per_base`.

    Pooling and layer are as in `probe.ProbeConfig`. `both_strands` averages the features of the
    sequence and of its reverse complement (per base, of the same base). `long` says what happens to
    a sequence longer than the rows the model was trained on: "tile" reads it in pieces (the vector
    is the mean over all bases), "centre" reads the middle, "refuse" raises.

    Returns:
      frames of name, bases (length of the sequence) and f0, f1, ... float32, in input order; per
      base also position (0-based, in the sequence) and base.

    Raises:
      ValueError: unknown pooling, layer or `long`, or a sequence is too long.
    """
    how = probe.ProbeConfig(2, model.net.config, pooling, layer, model.bidirectional)
    function = _each_base if per_base else partial(probe.pooled, pooling=how.pooling)
    read = partial(function, model.net, layer=how.layer, bidirectional=how.bidirectional)
    for chunk in sequences.chunks(records):
        cut = [sequences.pieces(record, model.slots, long) for record in chunk]
        pieces = [piece for record_pieces in cut for piece in record_pieces]
        features = _features(read, pieces, rows, per_base)
        if both_strands:
            reverse = [vocab.reverse_complement(piece) for piece in pieces]
            pairs = zip(features, _features(read, reverse, rows, per_base), strict=True)
            features = [(a + (b[::-1] if per_base else b)) / 2 for a, b in pairs]
        yield _bases(chunk, cut, features) if per_base else _vectors(chunk, cut, features)


def _features(
    read: Callable[..., jax.Array], pieces: list[np.ndarray], rows: int, per_base: bool
) -> list[np.ndarray]:
    """Return the features of every piece: (width,), or (bases, width) per base."""
    features = sequences.computed(read, pieces, rows)
    pairs = zip(features, pieces, strict=True)
    return [padded[: len(piece)] for padded, piece in pairs] if per_base else features


@partial(jax.jit, static_argnames=("layer", "bidirectional"))
def _each_base(
    net: Transformer, tokens: jax.Array, lengths: jax.Array, layer: int, bidirectional: bool
) -> jax.Array:
    """Return the features of the rows of `prompt`, float32 (B, slots, width)."""
    row = prompt(tokens, lengths)
    return net.features(row, lengths if bidirectional else None, layer).astype(jnp.float32)


def _vectors(
    chunk: list[Record], cut: list[list[np.ndarray]], features: list[np.ndarray]
) -> pl.DataFrame:
    """Return one row per sequence: the mean over its pieces, weighted by their lengths."""
    remaining, vectors = iter(features), []
    for pieces in cut:
        bases = np.array([len(piece) for piece in pieces])
        each = np.stack([next(remaining) for _ in pieces])
        vectors.append(bases @ each / bases.sum())
    names = [(record.name, len(record.tokens)) for record in chunk]
    return _wide(pl.DataFrame(names, ["name", "bases"], orient="row"), np.stack(vectors))


def _bases(
    chunk: list[Record], cut: list[list[np.ndarray]], features: list[np.ndarray]
) -> pl.DataFrame:
    """Return one row per base that was read."""
    read = [np.concatenate(pieces) for pieces in cut]
    sizes = [len(record.tokens) for record in chunk]
    spans = [((size - len(t)) // 2, len(t)) for size, t in zip(sizes, read, strict=True)]
    columns = {
        "name": [record.name for record in chunk],
        "bases": sizes,
        "position": [range(first, first + size) for first, size in spans],
        "base": [[vocab.NAMES[token] for token in tokens] for tokens in read],
    }
    return _wide(pl.DataFrame(columns).explode("position", "base"), np.concatenate(features))


def _wide(frame: pl.DataFrame, features: np.ndarray) -> pl.DataFrame:
    names = [f"f{i}" for i in range(features.shape[1])]
    return frame.hstack(pl.DataFrame(features.astype(np.float32), names))
