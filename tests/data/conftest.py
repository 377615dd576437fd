"""A server of this machine and a cache of its own for every test of downloads."""

import pytest
from misbehaving import served

from birdiedna.data import download


@pytest.fixture
def server():
    with served() as found:
        yield found


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BIRDIEDNA_CACHE", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def little_patience(monkeypatch):
    for name, value in {"ATTEMPTS": 3, "PAUSE_S": 0.001, "TIMEOUT_S": 20.0}.items():
        monkeypatch.setattr(download, name, value)
