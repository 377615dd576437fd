"""Two bits a base: the same windows in a quarter of the memory."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from birdiedna import vocab
from birdiedna.data import genome, sample
from birdiedna.training import pretrain


@pytest.mark.promise("Numbers: laws hold for whatever input hypothesis invents")
@settings(deadline=None, max_examples=60)
@given(st.text("ACGT", min_size=1, max_size=90), st.data())
def test_every_window_is_that_of_the_plain_genome(sequence, data):
    tokens = vocab.encode(sequence)
    length = data.draw(st.integers(1, len(tokens)))
    start = data.draw(st.integers(0, len(tokens) - length))
    found = genome.cut(jax.tree.map(jnp.asarray, genome.pack(tokens)), start, length)
    np.testing.assert_array_equal(found, tokens[start : start + length])


def test_blocks_meet_without_a_seam(monkeypatch):
    tokens = np.random.default_rng(0).integers(vocab.A, vocab.N, 1_003).astype(np.uint8)
    whole = genome.pack(tokens)
    monkeypatch.setattr(genome, "_PACKED_BLOCK", 64)
    np.testing.assert_array_equal(genome.pack(tokens).bytes, whole.bytes)


def test_a_quarter_of_the_bytes_and_n_stored_as_a():
    tokens = vocab.encode("ACGTN" * 800)
    found = genome.pack(tokens)
    assert found.bytes.nbytes == 1_001
    np.testing.assert_array_equal(genome.cut(found, 0, 5), vocab.encode("ACGTA"))


def test_a_saved_genome_comes_back_as_it_was_from_a_quarter_of_the_bytes(tmp_path, human):
    genome.save(human, tmp_path / "genome.npz")
    again = genome.load(tmp_path / "genome.npz")
    assert (again.fingerprint, again.contigs) == (human.fingerprint, human.contigs)
    assert (tmp_path / "genome.npz").stat().st_size < 0.26 * len(human.tokens)


@pytest.mark.promise("Numbers: every position is right beyond 2^31 bases")
def test_cut_is_right_beyond_2_31_bases():
    sparse = np.zeros(2**29 + 2, np.uint8)
    sparse[2**29 - 1 : 2**29 + 1] = [0b11_10_01_00, 0b00_01_10_11]
    found = genome.cut(genome.Packed(jnp.asarray(sparse)), jnp.uint32(2**31 - 3), 6)
    np.testing.assert_array_equal(found, vocab.encode("CGTTGC"))


@pytest.mark.promise("Same bits: packed bases train the same model as plain ones")
def test_pretraining_from_packed_bases_is_the_same_run(tmp_path, human):
    arm = replace(tiny.PROFILE.pretrain["uniform"], validation=sample.VALIDATION)
    losses = []
    for bits in (8, 2):
        events = pretrain.train(replace(arm, base_bits=bits), human, 0, tmp_path / str(bits))
        (tmp_path / str(bits)).mkdir()
        losses.append([event["losses"] for event in events if event["event"] == "evaluation"])
    assert losses[0] == losses[1]


def test_another_number_of_bits_is_refused():
    with pytest.raises(ValueError, match="base_bits 4 must be 8 or 2"):
        replace(tiny.PROFILE.pretrain["ntp"], base_bits=4)
