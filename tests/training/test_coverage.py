"""Claims about counting what was read."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from birdiedna.training.log import Coverage, add, union, unique_bases

windows = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60)), min_size=1, max_size=40)


@given(st.lists(windows, min_size=1, max_size=4))
def test_unique_bases_are_those_that_a_set_would_count(chunks):
    seen, marked, total = Coverage(), set(), 0
    for chunk in chunks:
        starts, lengths = np.array(chunk).T
        seen = add(seen, 10, starts, lengths)
        total += lengths.sum()
        marked |= {base for start, length in chunk for base in range(start, start + length)}
    assert (unique_bases(seen), seen.bases, seen.tokens) == (len(marked), total, 10 * len(chunks))
    assert (seen.intervals[1:, 0] > seen.intervals[:-1, 1]).all()


def test_nothing_read_is_nothing():
    assert unique_bases(Coverage()) == 0
    assert len(union(np.zeros((0, 2), np.int64))) == 0
