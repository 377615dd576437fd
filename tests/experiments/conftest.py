"""The tiny profile; each test module has its own folder of runs, results and cache."""

import pytest
import small_plan


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        small_plan.settings(patch, folder)
        yield folder
