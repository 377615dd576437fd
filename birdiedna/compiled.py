"""Programs that were compiled once, kept on disk for every later process."""

import os
from pathlib import Path

import jax


def keep(cache: Path) -> None:
    """Keep all that this process compiles in `<cache>/compiled`, or where it was told already."""
    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str((cache / "compiled").absolute()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def environment(cache: Path) -> dict[str, str]:
    """Variables by which another process keeps its programs there; those that are set stay."""
    chosen = {
        "JAX_COMPILATION_CACHE_DIR": str((cache / "compiled").absolute()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    return {name: os.environ.get(name) or value for name, value in chosen.items()}
