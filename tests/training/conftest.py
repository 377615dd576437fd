"""Fixtures of the training tests."""

from collections.abc import Iterator

import pytest

from birdiedna.training import pretrain


@pytest.fixture(scope="module")
def own_objectives() -> Iterator[None]:
    """Evaluations measure the arm's own objectives only, so that less is compiled."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("BIRDIE_DNA", "NTP"):
            patch.setattr(pretrain, name, {})
        yield
