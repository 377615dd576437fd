"""Tiny runs in a temporary folder: a pre-trained model of each kind and a fine-tuned run.

They are made once; the settings that make them are there in the tests of this room alone.
"""

import pytest
import small_plan

from birdiedna.experiments.runs import open_runs


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("inference")


@pytest.fixture(autouse=True)
def settings(folder, monkeypatch):
    small_plan.settings(monkeypatch, folder)


@pytest.fixture(scope="session")
def made(folder):
    """Make runs of the tiny profile on random rows of 60 bases; return their folders."""
    with pytest.MonkeyPatch.context() as patch:
        small_plan.settings(patch, folder)
        wanted = small_plan.wanted(folder, ("one",))
        own = open_runs("tiny", wanted["sources"])
        return {
            "birdie": own.pretrained("birdie"),
            "ntp": own.pretrained("ntp"),
            "tuned": own.finetuned("birdie", "one"),
            "own": own,
        }


@pytest.fixture(scope="session")
def own(made):
    """The runs of which these are."""
    return made["own"]


@pytest.fixture(scope="session")
def birdie(made):
    """The run folder of a mixture's model."""
    return made["birdie"]


@pytest.fixture(scope="session")
def ntp(made):
    """The run folder of a causal model."""
    return made["ntp"]


@pytest.fixture(scope="session")
def tuned(made):
    """The run folder of a fine-tuned model."""
    return made["tuned"]
