"""What tests of training share."""

from collections.abc import Iterator

import pytest

from birdiedna.training import pretrain


@pytest.fixture(scope="module")
def own_objectives() -> Iterator[None]:
    """Evaluations measure the arm's own objectives only: less to compile."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("BIRDIE_DNA", "NTP"):
            patch.setattr(pretrain, name, {})
        yield
