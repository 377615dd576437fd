"""Ids are fixed, letters survive encoding, and the reverse complement is its own inverse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdiedna import vocab

DNA = st.text("ACGTN", max_size=60)


def test_ids_are_those_of_old_checkpoints():
    assert (vocab.PAD, vocab.START, vocab.EOS, vocab.MASK) == (0, 1, 2, 3)
    assert (vocab.CTX, vocab.FIND, vocab.TO, vocab.SEP) == (4, 5, 6, 7)
    assert (vocab.A, vocab.C, vocab.G, vocab.T, vocab.N) == (8, 9, 10, 11, 12)
    assert vocab.objective_id("next_token") == 16
    assert vocab.objective_id("selective_copying_15") == 23
    assert vocab.objective_id("masked_15") == 24
    assert vocab.SIZE == len(vocab.NAMES) == len(set(vocab.NAMES)) == 384


def test_id_ranges_do_not_overlap():
    ranges = [
        range(8),
        range(vocab.A, vocab.N + 1),
        range(vocab.FIRST_OBJECTIVE, vocab.FIRST_OBJECTIVE + len(vocab.OBJECTIVES)),
        range(vocab.FIRST_CLASS, vocab.FIRST_CLASS + vocab.CLASSES),
        range(vocab.FIRST_SENTINEL, vocab.FIRST_SENTINEL + vocab.SENTINELS),
    ]
    ids = [i for part in ranges for i in part]
    assert len(ids) == len(set(ids)) and max(ids) < vocab.SIZE


@given(DNA)
def test_decoding_returns_the_letters_whatever_their_case_or_type(sequence):
    tokens = vocab.encode(sequence)
    assert tokens.dtype == np.uint8 and vocab.decode(tokens) == sequence
    np.testing.assert_array_equal(tokens, vocab.encode(sequence.lower().encode()))


@pytest.mark.parametrize("token", [-1, vocab.SIZE, 2**40])
def test_an_id_that_is_not_of_the_vocabulary_is_refused(token):
    with pytest.raises(ValueError, match=f"id {token} is not of the vocabulary; give 0 to 383"):
        vocab.decode(np.array([vocab.A, token]))


@pytest.mark.parametrize(
    ("letters", "remedy"),
    [
        ("X1*\0éλ", "use ACGT"),
        ("EFILPQq", "give its DNA"),
        ("-.", "delete the gaps"),
        (" \n", "delete blanks"),
    ],
)
def test_other_letters_are_refused_with_their_offset_and_a_remedy(letters, remedy):
    for letter in letters:
        text = f"ACG{letter}T"
        for sequence in (text, text.encode("latin-1")) if letter < "λ" else (text,):
            with pytest.raises(ValueError, match="offset 3") as refused:
                vocab.encode(sequence)
            assert str(refused.value).startswith(f"letter {letter!a} at")
            assert remedy in str(refused.value)


@pytest.mark.promise("Numbers: laws hold for random input")
@given(DNA)
def test_reverse_complement_is_its_own_inverse(sequence):
    twice = vocab.reverse_complement(vocab.reverse_complement(vocab.encode(sequence)))
    assert vocab.decode(twice) == sequence
    assert vocab.decode(vocab.reverse_complement(vocab.encode("AACGTN"))) == "NACGTT"


def test_unknown_objective_is_refused_with_the_list():
    with pytest.raises(ValueError, match="unknown objective 'copy'.*copying"):
        vocab.objective_id("copy")


@pytest.mark.parametrize("tokens", [np.full((2, 3), 8), np.array([8.5]), "ACG", np.uint8(8)])
def test_only_whole_numbers_of_one_row_are_decoded(tokens):
    with pytest.raises(ValueError, match="tokens are .*; give whole numbers of one row"):
        vocab.decode(tokens)
    if np.asarray(tokens).dtype.kind not in "iu":
        with pytest.raises(ValueError, match="tokens are .*; give whole numbers"):
            vocab.complement(tokens)
    assert vocab.decode([]) == "" and vocab.decode([vocab.A, vocab.EOS]) == "A<eos>"


def test_ids_other_than_bases_are_their_own_complement():
    others = np.setdiff1d(np.arange(vocab.SIZE), [vocab.A, vocab.C, vocab.G, vocab.T])
    np.testing.assert_array_equal(vocab.complement(others), others)
