"""Scale: drawing and cutting the windows of a batch from genomes of different size."""

import jax
import jax.numpy as jnp

from benchmarks.clock import Timed, timed
from benchmarks.table import Row
from birdiedna import vocab
from birdiedna.data import genome
from birdiedna.data.genome import Packed, Windows

ROWS, SLOTS = 128, 1024
BASES = {"1 Mb": 2**20, "64 Mb": 2**26, "1 Gb": 2**30}


def rows(quick: bool = False) -> list[Row]:
    """Milliseconds per batch of windows by genome size, at 8 bits a base and at 2."""
    repeats = 20 if quick else 200
    return [*_curve("8 bits a base", repeats, plain), *_curve("2 bits a base", repeats, small)]


def plain(bases: int) -> jax.Array:
    """A genome at one byte a base; what it says does not matter here."""
    return (jnp.arange(bases, dtype=jnp.uint32) % 4 + vocab.A).astype(jnp.uint8)


def small(bases: int) -> Packed:
    """A genome at two bits a base."""
    return Packed(jnp.arange(bases // 4 + 1, dtype=jnp.uint32).astype(jnp.uint8))


def _curve(form: str, repeats: int, make) -> list[Row]:
    found = {name: _timed(make(bases), bases, repeats) for name, bases in BASES.items()}
    first, *_, last = found
    growth = found[last].median() / found[first].median()
    return [
        *(
            Row("scale", f"windows from {name}, {form}", 1e3 * one.median(), "ms", None, "less",
                f"{ROWS} x {SLOTS}, {one.spread()}", {"bases": BASES[name]})
            for name, one in found.items()
        ),
        Row("scale", f"{last} over {first}, {form}", growth, "x", None, "less",
            "the small one fits into the processor's cache"),
    ]  # fmt: skip


def _timed(tokens: jax.Array | Packed, bases: int, repeats: int) -> Timed:
    count = jnp.array([bases - SLOTS + 1], jnp.uint32)
    windows = Windows(jnp.zeros(1, jnp.uint32), count)

    @jax.jit
    def batch(key: jax.Array, tokens: jax.Array | Packed) -> jax.Array:
        starts = jax.vmap(lambda one: genome.draw(one, windows))(jax.random.split(key, ROWS))
        return jax.vmap(lambda start: genome.cut(tokens, start, SLOTS))(starts)

    keys = [jax.random.key(i) for i in range(repeats)]
    return timed(lambda i: batch(keys[i], tokens), repeats)
