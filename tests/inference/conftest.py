"""A pre-trained model of each kind and a fine-tuned run, tiny, in a folder of their own."""

import pytest
import small_plan

from birdiedna.experiments.runs import open_runs
from birdiedna.experiments.sources import Sources


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    """The runs of the tiny profile on random rows of 60 bases, in a folder of the tests."""
    folder = tmp_path_factory.mktemp("inference")
    with pytest.MonkeyPatch.context() as patch:
        small_plan.settings(patch, folder)
        wanted = small_plan.wanted(folder, ("one",))
        sources = Sources(wanted["genome"], wanted["tasks"][0], wanted["validation"])
        yield open_runs("tiny", sources)


@pytest.fixture(scope="session")
def birdie(own):
    """The run folder of a mixture's model."""
    return own.pretrained("birdie")


@pytest.fixture(scope="session")
def ntp(own):
    """The run folder of a causal model."""
    return own.pretrained("ntp")


@pytest.fixture(scope="session")
def tuned(own):
    """The run folder of a fine-tuned model."""
    return own.finetuned("birdie", "one")
