"""Claims about rows told in plain terms: the telling is the row."""

import jax
import numpy as np
import pytest

from birdiedna import vocab
from birdiedna.objectives.definitions import BIRDIE_DNA, NTP
from birdiedna.objectives.explain import example


@pytest.mark.parametrize("name", [*BIRDIE_DNA, *NTP])
def test_the_words_are_the_tokens_of_the_row(name, human):
    window = np.asarray(human.tokens[:128])
    row = example((BIRDIE_DNA | NTP)[name], jax.random.key(0), window, 128)
    told = [vocab.NAMES.index(word.text) for word in row.words]
    assert told == [*row.tokens[: len(told) - 1], row.labels[len(told) - 2]]
    for word in row.words:
        part = "prompt" if word.slot < row.prefix else "target"
        assert word.part == ("start" if word.slot == row.prefix else part)
        assert (word.position is None) == (word.kind != "base")
        if word.kind == "base":
            assert vocab.NAMES[window[word.position]] == word.text
    weighed = np.flatnonzero(row.weights) + 1
    assert [word.slot for word in row.words if word.part == "target"] == weighed.tolist()


def test_a_window_that_is_too_short_is_refused(human):
    with pytest.raises(ValueError, match="20 bases, the objective needs"):
        example(BIRDIE_DNA["copying"], jax.random.key(0), np.asarray(human.tokens[:20]), 128)
