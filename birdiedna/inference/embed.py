"""Features of sequences: the output of a model before its head."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from birdiedna import vocab
from birdiedna.inference import sequences
from birdiedna.inference.sequences import Piece, Record
from birdiedna.model.transformer import Transformer
from birdiedna.training import probe
from birdiedna.training.prompt import in_parts, prompt
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
    notes: Counter[str] | None = None,
) -> Iterator[pl.DataFrame]:
    """Yield the features of every sequence: one row per sequence, or per base with `per_base`.

    Pooling and layer are as in `probe.ProbeConfig`. `both_strands` averages the features of the
    sequence and of its reverse complement (per base, of the same base). `long` says what happens to
    a sequence longer than the rows the model was trained on: "tile" reads it in pieces (the vector
    is their mean, weighted by bases), "centre" reads the middle, which `notes` counts, "refuse"
    raises.

    Returns:
      frames of name, bases (length of the sequence) and f0, f1, ... float32, in input order; per
      base also position (0-based, in the sequence) and base.

    Raises:
      ValueError: unknown pooling, layer or `long`, pooling per base, `rows` below 1, or a sequence
        is empty or too long.
    """
    if per_base and pooling != "mean":
        raise ValueError(f"pooling {pooling!r} gives one vector per sequence, and per_base one per "
                         "base; leave one out")  # fmt: skip
    how = probe.ProbeConfig(2, model.net.config, pooling, layer, model.bidirectional)
    function = _each_base if per_base else partial(probe.pooled, pooling=how.pooling)
    read = partial(function, model.net, layer=how.layer, bidirectional=how.bidirectional)
    longest = model.slots - 1  # `<start>` takes a slot, too
    compute = partial(_features, read, rows, per_base, both_strands)
    cut = partial(sequences.pieces, longest=longest, long=long, notes=notes)
    if per_base:
        pieces = (piece for record in records for piece in cut(record))
        for part in sequences.chunks(pieces, lambda piece: len(piece.tokens)):
            yield _bases(part, compute(part))
    else:
        for chunk in sequences.chunks(records, lambda record: len(record.tokens)):
            parts = [cut(record) for record in chunk]
            yield _vectors(parts, compute([piece for pieces in parts for piece in pieces]))


def _features(
    read: Callable[..., jax.Array],
    rows: int,
    per_base: bool,
    both_strands: bool,
    pieces: list[Piece],
) -> list[np.ndarray]:
    """Return the features of every piece: (width,), or (bases, width) per base."""
    strands = [[piece.tokens for piece in pieces]]
    if both_strands:
        strands.append([vocab.reverse_complement(tokens) for tokens in strands[0]])
    found = [sequences.computed(read, strand, rows) for strand in strands]
    if per_base:
        sizes = [len(tokens) for tokens in strands[0]]
        found = [[padded[:n] for padded, n in zip(part, sizes, strict=True)] for part in found]
        found[1:] = [[bases[::-1] for bases in part] for part in found[1:]]
    return [np.mean(each, axis=0) for each in zip(*found, strict=True)]


@partial(jax.jit, static_argnames=("layer", "bidirectional"))
def _each_base(
    net: Transformer, tokens: jax.Array, lengths: jax.Array, layer: int, bidirectional: bool
) -> jax.Array:
    """Return the features of the rows of `prompt`, float32 (B, slots, width)."""

    def read(tokens: jax.Array, lengths: jax.Array) -> jax.Array:
        seen = lengths if bidirectional else None
        return net.features(prompt(tokens, lengths), seen, layer).astype(jnp.float32)

    return in_parts(read, tokens, lengths)


def _vectors(cut: list[list[Piece]], features: list[np.ndarray]) -> pl.DataFrame:
    """Return one row per sequence: the mean over its pieces, weighted by their lengths."""
    remaining, vectors = iter(features), []
    for pieces in cut:
        bases = np.array([len(piece.tokens) for piece in pieces])
        each = np.stack([next(remaining) for _ in pieces])
        vectors.append(bases @ each / bases.sum())
    names = [(first.record.name, len(first.record.tokens)) for first, *_ in cut]
    return _wide(pl.DataFrame(names, ["name", "bases"], orient="row"), np.stack(vectors))


def _bases(pieces: list[Piece], features: list[np.ndarray]) -> pl.DataFrame:
    """Return one row per base that was read."""
    columns = {
        "name": [record.name for record, _, _ in pieces],
        "bases": [len(record.tokens) for record, _, _ in pieces],
        "position": [np.arange(first, first + len(tokens)) for _, first, tokens in pieces],
        "base": [[*vocab.decode(tokens)] for _, _, tokens in pieces],
    }
    return _wide(pl.DataFrame(columns).explode("position", "base"), np.concatenate(features))


def _wide(frame: pl.DataFrame, features: np.ndarray) -> pl.DataFrame:
    names = [f"f{i}" for i in range(features.shape[1])]
    return frame.hstack(pl.DataFrame(features.astype(np.float32), names))
