"""Genes that are independent of all rows: GENCODE, from the archive that the sample is made of."""

import pytest

from scripts import make_sample


@pytest.fixture(scope="session")
def annotation() -> str:
    """GENCODE transcripts of GRCh37, in SpliceAI's table."""
    wheel = next(source for source in make_sample.SOURCES if source.archive.endswith(".whl"))
    path = make_sample.CACHE / wheel.archive
    if not path.exists():
        pytest.skip(f"{path.name} is not in the sample's cache: the sample was not built here")
    return make_sample.unpack(wheel, path.read_bytes())["genes"].decode()
