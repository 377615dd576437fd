"""A server of this machine and a cache of its own for every test of downloads."""

import pytest
from misbehaving import served


@pytest.fixture
def server():
    with served() as found:
        yield found


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BIRDIEDNA_CACHE", str(tmp_path / "cache"))
