"""JAX settings of the whole suite, set before anything uses JAX."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest

from birdiedna import fasta, genome, sample

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def human(tmp_path_factory: pytest.TempPathFactory) -> genome.Genome:
    """The embedded human sample."""
    return fasta.read(sample.GENOME, tmp_path_factory.mktemp("genome"))
