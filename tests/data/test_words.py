"""A 31-mer equals its reverse complement; sequences share as many as their texts do."""

import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_rows import different, labelled, revcomp

from birdiedna import vocab
from birdiedna.data import words


def words_of(sequence: str) -> list[str | None]:
    """The 31-mers of a text, None for one with another letter."""
    found = [sequence[i : i + words.WORD] for i in range(len(sequence) - words.WORD + 1)]
    return [min(word, revcomp(word)) if set(word) <= set("ACGT") else None for word in found]


@settings(max_examples=200)
@given(
    st.text("ACGT", min_size=words.WORD, max_size=60), st.integers(0, 30), st.sampled_from("ACGT")
)
@example("".join(random.Random(0).choices("ACGT", k=5000)) * 2, 0, "A")
def test_words_have_one_number_if_and_only_if_they_are_equal_on_some_strand(text, place, letter):
    texts = (text, revcomp(text), text[:place] + letter + text[place + 1 :])
    codes = [code for each in texts for code in words.word_codes(vocab.encode(each))[0].tolist()]
    known = [word for each in texts for word in words_of(each)]
    assert len({*codes}) == len({*known}) == len({*zip(codes, known, strict=True)})


@settings(max_examples=100)
@given(st.text("ACGTN", max_size=80), st.integers(0, 3))
def test_words_with_n_or_pad_do_not_count(sequence, pads):
    row = np.append(vocab.encode(sequence), np.full(pads, vocab.PAD, np.uint8))
    _, known = words.word_codes(row)
    expected = [word is not None for word in words_of(sequence)]
    assert known.tolist()[: len(expected)] == expected and not known[len(expected) :].any()


_TEXT = "".join(random.Random(1).choices("ACGT", k=150)) + "N" + "ACGT" * 10


def _piece(start: int, size: int, turned: bool) -> str:
    piece = _TEXT[start : start + size]
    return revcomp(piece) if turned else piece


PIECE = st.builds(_piece, st.integers(0, 120), st.integers(1, 90), st.booleans())
PIECES = st.lists(PIECE, min_size=1)


@settings(max_examples=100)
@given(PIECES, PIECES)
def test_the_share_of_common_words_is_that_of_the_texts(ours, theirs):
    known = {word for piece in theirs for word in words_of(piece) if word}
    found = words.shared_words(labelled(ours).tokens, [labelled(theirs).tokens])
    for value, piece in zip(found, ours, strict=True):
        mine = [word for word in words_of(piece) if word]
        expected = np.mean([word in known for word in mine]) if mine else np.nan
        assert value == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("block", [1, 7, 31, 100])
def test_no_word_is_lost_between_blocks(monkeypatch, block):
    contig = vocab.encode("".join(random.Random(2).choices("ACGT", k=200)))
    rows = np.lib.stride_tricks.sliding_window_view(contig, words.WORD)
    at_once = words.stretches(rows, 5)
    monkeypatch.setattr(words, "_BLOCK_BASES", block)
    np.testing.assert_array_equal(words.stretches(rows, 5), at_once)
    assert words.shared_words(rows, [contig]).tolist() == [1.0] * len(rows)


def test_words_looked_up_are_those_of_the_others_once_not_of_the_rows_for_each_block(monkeypatch):
    looked, search = [], np.searchsorted
    rows = labelled(different(0, 200, 60)).tokens
    monkeypatch.setattr(words, "_BLOCK_BASES", 60)
    counted = lambda a, v: looked.append(len(v)) or search(a, v)
    monkeypatch.setattr(words.np, "searchsorted", counted)
    assert words.shared_words(rows, [rows]).tolist() == [1.0] * 200
    assert sum(looked) == 2 * 200 * 30


def test_forty_shared_bases_are_found_by_every_tenth_word():
    rng = random.Random(3)
    contig = "".join(rng.choices("ACGT", k=40))
    fill = "".join(rng.choices("ACGT", k=300))
    rows = labelled([fill[:start] + contig + fill[start:] for start in range(260)])
    assert (words.shared_words(rows.tokens, [vocab.encode(contig)], every=10) > 0).all()


@settings(max_examples=100)
@given(
    st.integers(1, 40), st.integers(0, 60), st.integers(0, 60), st.booleans(), st.integers(0, 99)
)
def test_rows_with_a_common_stretch_find_each_other(width, before, behind, turned, seed):
    stretch, *rest = different(seed, 4, width + words.WORD - 1)
    fill = "".join(different(seed + 100, 3, 60))
    other = fill[:before] + stretch + fill[60 : 60 + behind]
    rows = labelled([fill[120:] + stretch, revcomp(other) if turned else other, *rest])
    found, keys = words.stretches(rows.tokens, width)
    assert {*keys[found == 0]} & {*keys[found == 1]}
    assert {*found} == {*range(5)} and not {*keys[found > 1]} & {*keys[found < 2]}


def test_rows_shorter_than_a_word_have_no_stretch():
    assert [len(part) for part in words.stretches(labelled(["ACGT"]).tokens, 5)] == [0, 0]
