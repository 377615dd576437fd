"""Words of 31 bases are the same on both strands, and shared ones are counted exactly."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import labelled, opposite

from birdiedna import vocab
from birdiedna.evaluation import leakage

BASES = st.text("ACGT", min_size=leakage.WORD, max_size=60)


def said(sequence: str) -> list[str]:
    """The words of a text, None for one that holds another letter."""
    found = [sequence[i : i + leakage.WORD] for i in range(len(sequence) - leakage.WORD + 1)]
    return [min(word, opposite(word)) if set(word) <= set("ACGT") else None for word in found]


@settings(max_examples=100, deadline=None)
@given(BASES)
def test_a_sequence_and_its_reverse_complement_have_the_same_words(sequence):
    ahead, _ = leakage.codes(vocab.encode(sequence))
    back, _ = leakage.codes(vocab.encode(opposite(sequence)))
    assert ahead.tolist() == back[::-1].tolist()


@settings(max_examples=100, deadline=None)
@given(BASES, st.integers(0, 30), st.sampled_from("ACGT"))
def test_two_words_have_one_number_only_if_they_are_one_on_some_strand(sequence, place, letter):
    other = sequence[:place] + letter + sequence[place + 1 :]
    first, second = (int(leakage.codes(vocab.encode(s))[0][0]) for s in (sequence, other))
    assert (first == second) == (said(sequence)[0] == said(other)[0])


def test_numbers_of_many_words_are_as_many_as_the_words():
    rng = random.Random(0)
    sequence = "".join(rng.choices("ACGT", k=5000)) * 2
    codes, known = leakage.codes(vocab.encode(sequence))
    assert known.all() and len({*codes.tolist()}) == len({*said(sequence)})


@settings(max_examples=100, deadline=None)
@given(st.text("ACGTN", max_size=80), st.integers(0, 3))
def test_words_with_n_or_pad_are_none(sequence, pads):
    row = np.append(vocab.encode(sequence), np.full(pads, vocab.PAD, np.uint8))
    _, known = leakage.codes(row)
    expected = [word is not None for word in said(sequence)]
    assert known.tolist()[: len(expected)] == expected and not known[len(expected) :].any()


_TEXT = "".join(random.Random(1).choices("ACGT", k=150)) + "N" + "ACGT" * 10


def _piece(start: int, size: int, turned: bool) -> str:
    piece = _TEXT[start : start + size]
    return opposite(piece) if turned else piece


PIECES = st.lists(
    st.builds(_piece, st.integers(0, 120), st.integers(1, 90), st.booleans()), min_size=1
)


@settings(max_examples=100, deadline=None)
@given(PIECES, PIECES)
def test_the_share_of_common_words_is_that_of_the_texts(ours, theirs):
    known = {word for piece in theirs for word in said(piece) if word}
    found = leakage.share(labelled(ours).tokens, [labelled(theirs).tokens])
    for value, piece in zip(found, ours, strict=True):
        mine = [word for word in said(piece) if word]
        expected = np.mean([word in known for word in mine]) if mine else np.nan
        assert value == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("block", [1, 7, 31, 100])
def test_no_word_is_lost_between_blocks(monkeypatch, block):
    monkeypatch.setattr(leakage, "_BLOCK_BASES", block)
    contig = vocab.encode("".join(random.Random(2).choices("ACGT", k=200)))
    rows = np.lib.stride_tricks.sliding_window_view(contig, leakage.WORD)
    assert leakage.share(rows, [contig]).tolist() == [1.0] * len(rows)


def test_forty_shared_bases_are_found_by_every_tenth_word():
    rng = random.Random(3)
    contig = "".join(rng.choices("ACGT", k=40))
    fill = "".join(rng.choices("ACGT", k=300))
    rows = labelled([fill[:start] + contig + fill[start:] for start in range(260)])
    assert (leakage.share(rows.tokens, [vocab.encode(contig)], every=10) > 0).all()
