"""JAX settings of the whole suite, set before anything uses JAX, and what many tests share."""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "compiled")
)

import jax
import pytest

from birdiedna import fasta, genome, sample

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@pytest.fixture(scope="session")
def human(tmp_path_factory: pytest.TempPathFactory) -> genome.Genome:
    """The embedded human sample."""
    return fasta.read(sample.GENOME, tmp_path_factory.mktemp("genome"))
