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
    """Runs of the tiny profile on random rows of 60 bases: `own`, and the folders of three.

    Those of a mixture's model, a causal one (`ntp`), and one fine-tuned from the first.
    """
    with pytest.MonkeyPatch.context() as patch:
        small_plan.settings(patch, folder)
        wanted = small_plan.wanted(folder, ("one",))
        own = open_runs("tiny", wanted["sources"])
        pretrained = {arm: own.pretrained(arm) for arm in ("birdie", "ntp")}
        return pretrained | {"tuned": own.finetuned("birdie", "one"), "own": own}


def part(name):
    return pytest.fixture(scope="session", name=name)(lambda made: made[name])


own, birdie, ntp, tuned = map(part, ("own", "birdie", "ntp", "tuned"))
