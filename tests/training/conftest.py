"""Processes that start fast."""

import multiprocessing
import os
import sys
from multiprocessing import forkserver

import pytest


@pytest.fixture(scope="session")
def forks():
    """The context of processes that a server forks, which has imported what they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killable", "many_devices"])
    with pytest.MonkeyPatch.context() as patch:  # Python 3.11 does not tell the server where it is
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()
    return context
