"""A genome at two bits a base, for devices with little memory: 3.1 Gb take 0.78 GB, not 3.1.

Two bits have no room for N, which is stored as A. Windows hold no N, so those that are cut from
the packed form equal those of the plain one.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from birdiedna import vocab

_BASES = 4  # in a byte, the first in the lowest bits
_BLOCK_BASES = 1 << 26


class Packed(NamedTuple):
    """Base ids two bits each, uint8 (G // 4 + 1 or more,); the last byte is padding."""

    bytes: jax.Array | np.ndarray


def pack(tokens: np.ndarray) -> Packed:
    """Pack base ids (G,) uint8 on the host, block by block."""
    packed = np.zeros(-(-len(tokens) // _BASES) + 1, np.uint8)
    for start in range(0, len(tokens), _BLOCK_BASES):
        block = np.asarray(tokens[start : start + _BLOCK_BASES])
        codes = np.where(block == vocab.N, 0, block - vocab.A).astype(np.uint8)
        codes = np.pad(codes, (0, -len(codes) % _BASES)).reshape(-1, _BASES)
        first = start // _BASES
        packed[first : first + len(codes)] = (
            codes[:, 0] | codes[:, 1] << 2 | codes[:, 2] << 4 | codes[:, 3] << 6
        )
    return Packed(packed)


def cut(packed: Packed, start: jax.Array, length: int) -> jax.Array:
    """*Device*: the `length` base ids, uint8, from `start` (uint32) on; right beyond 2^31 bases."""
    start = jnp.asarray(start, jnp.uint32)
    count = (length + 2 * _BASES - 2) // _BASES  # bytes that hold the window wherever it begins
    piece = jax.lax.dynamic_slice(packed.bytes, (start // _BASES,), (count,))
    shifts = jnp.arange(0, 8, 2, dtype=jnp.uint8)
    codes = (piece[:, None] >> shifts[None, :] & 3).reshape(-1)
    return jax.lax.dynamic_slice(codes, (start % _BASES,), (length,)) + jnp.uint8(vocab.A)
