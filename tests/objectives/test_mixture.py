"""Mixed batches: pure functions, right shares, compiled once; held-out rows are fixed."""

import hashlib
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from birdiedna import vocab
from birdiedna.data import genome
from birdiedna.objectives.definitions import BIRDIE_DNA, MLM, NTP, Copying
from birdiedna.objectives.mixture import Corpus, check_ratios, each, held_out, mix, sample

MIXTURE = mix(BIRDIE_DNA, 128)
RATIOS = jnp.full(7, 1 / 7, jnp.float32)


@pytest.fixture(scope="module")
def corpus(human):
    names = [c.name for c in human.contigs]
    places = genome.windows(human, names, 128)
    return Corpus(jnp.asarray(human.tokens), jax.tree.map(jnp.asarray, places))


@pytest.fixture(scope="module")
def step():
    return jax.jit(partial(sample, MIXTURE, rows=64))


@pytest.fixture(scope="module")
def draw(step, corpus):
    return lambda seed, ratios=RATIOS: step(jax.random.key(seed), corpus, ratios)


@pytest.mark.promise("Same bits: a batch is a function of seed, step and ratios alone")
def test_the_same_key_gives_the_same_batch_and_another_key_another(draw):
    first, again, other = draw(0)[0], draw(0)[0], draw(1)[0]
    assert jax.tree.all(jax.tree.map(jnp.array_equal, first, again))
    assert not jnp.array_equal(first.tokens, other.tokens)


@pytest.mark.promise("Numbers: rows follow the ratios, and new ratios compile nothing")
def test_realised_shares_are_within_012_of_the_ratios_over_80_batches(draw):
    asked = jnp.array([0.3, 0.2, 0.1, 0.0, 0.1, 0.1, 0.2], jnp.float32)
    rows = np.concatenate([draw(seed, asked)[0].objective for seed in range(80)])
    shares = np.bincount(rows, minlength=7) / len(rows)
    assert np.abs(shares - asked).max() < 0.12
    assert shares[3] == 0


def restored(objective, batch, at):
    """The window of a row of the batch, by the objective's inverse."""
    tokens, labels, weights, prefix = (np.asarray(x[at]) for x in batch[:4])
    return objective.restore(tokens[:prefix], labels[weights > 0])


def test_every_row_is_the_inverse_of_its_window(draw, human):
    batch, starts = draw(2)
    for i, (start, objective) in enumerate(zip(starts, batch.objective, strict=True)):
        window = human.tokens[int(start) : int(start) + MIXTURE.bases[objective]]
        assert np.array_equal(restored(MIXTURE.objectives[objective], batch, i), window)


def test_windows_contain_no_n():
    noisy = genome.from_sequences({"a": "N" * 300 + "ACGT" * 60 + "N" * 50 + "GATTACA" * 30})
    places = genome.windows(noisy, ["a"], 128)
    corpus = Corpus(jnp.asarray(noisy.tokens), places)
    batch, _ = sample(mix(NTP, 128), jax.random.key(0), corpus, jnp.ones(1), 64)
    assert not (batch.tokens == vocab.N).any()


def test_a_flipped_row_is_the_reverse_complement_of_the_bases_at_its_start(human, corpus):
    copying = mix({"copying": BIRDIE_DNA["copying"]}, 128)
    batch, starts = sample(copying, jax.random.key(1), corpus, jnp.ones(1), 32, True)
    labels = np.asarray(batch.labels)[:, 64:127]
    forward = np.stack([human.tokens[s : s + 63] for s in np.asarray(starts)])
    kept = (labels == forward).all(axis=1)
    flipped = (labels == vocab.reverse_complement(forward)).all(axis=1)
    assert (kept | flipped).all() and 5 < flipped.sum() < 27


def test_held_out_rows_are_the_same_windows_for_every_objective(human, corpus):
    monitored = mix({"copying": BIRDIE_DNA["copying"]} | NTP, 128)
    starts = jnp.asarray(genome.fixed_starts(corpus.windows, 8))
    batch = held_out(monitored, jax.random.key(0), corpus.tokens, starts)
    assert batch.tokens.shape == (2, 8, 128)
    for at, objective in enumerate(monitored.objectives):
        window = human.tokens[int(starts[3]) : int(starts[3]) + monitored.bases[at]]
        assert np.array_equal(restored(objective, batch, (at, 3)), window)


@pytest.mark.promise("Same bits: a batch is a function of seed, step and ratios alone")
def test_rows_drawn_all_at_once_are_those_drawn_one_by_one(corpus, monkeypatch):
    some = mix({name: BIRDIE_DNA[name] for name in ("copying", "deshuffling_50")}, 128)
    one = lambda step: sample(some, jax.random.key(step), corpus, jnp.ones(2), 4)

    def drawn():
        return jax.jit(lambda: each(one, jnp.arange(3)))()

    by_row = drawn()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    at_once = drawn()
    alone = jax.jit(one)(2)
    last = jax.tree.map(lambda x: x[2], by_row)
    for one, other in ((by_row, at_once), (last, alone)):
        assert jax.tree.all(jax.tree.map(np.array_equal, one, other))


def test_rows_with_labels_in_place_and_others_can_be_mixed(corpus):
    starts = jnp.asarray(genome.fixed_starts(corpus.windows, 4))
    parts = NTP, MLM
    together, *alone = (
        held_out(mix(objectives, 128), jax.random.key(0), corpus.tokens, starts)
        for objectives in (NTP | MLM, *parts)
    )
    for at, one in enumerate(alone):
        same = jax.tree.map(lambda x, y: np.array_equal(x[at], y[0]), together[:4], one[:4])
        assert all(same)
    assert (alone[1].prefix == 128).all(), "such rows see all of themselves"


def test_a_mixture_knows_whether_a_token_may_see_a_later_one():
    assert MIXTURE.has_prefixes() and mix(MLM, 128).has_prefixes()
    assert not mix(NTP, 128).has_prefixes()
    short = (mix({"copying": Copying(token=None)}, slots) for slots in (3, 5))  # of one and two
    assert [mixed.has_prefixes() for mixed in short] == [False, True]


PROGRAM = """
import hashlib, jax, jax.numpy as jnp, numpy as np
from birdiedna.data import genome
from birdiedna.objectives.definitions import BIRDIE_DNA
from birdiedna.objectives.mixture import Corpus, mix, sample
letters = "".join(np.random.default_rng(0).choice(list("ACGT"), 4000))
made = genome.from_sequences({"a": letters})
corpus = Corpus(jnp.asarray(made.tokens), genome.windows(made, ["a"], 128))
draw = jax.jit(sample, static_argnums=(0, 4))
batch, starts = draw(mix(BIRDIE_DNA, 128), jax.random.key(7), corpus, jnp.full(7, 1 / 7), 32)
print(hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in (*batch, starts))).hexdigest())
"""


@pytest.mark.promise("Same bits: a batch is a function of seed, step and ratios alone")
def test_a_new_process_draws_the_same_batch():
    ask = [sys.executable, "-c", PROGRAM]
    outputs = {subprocess.run(ask, capture_output=True, text=True, check=True).stdout}
    scope = {"print": lambda text: outputs.add(text + "\n")}
    exec(PROGRAM, scope)
    assert len(outputs) == 1 and len(outputs.pop().strip()) == hashlib.sha256().digest_size * 2


@pytest.mark.promise("Settings: impossible ratios are refused")
@pytest.mark.parametrize(
    ("ratios", "why"),
    [
        ([0.5, 0.5], "2 ratios for 7"),
        (np.ones((1, 7)), r"\(1, 7\) ratios for 7"),
        ([np.nan] * 7, "finite"),
        ([0.0] * 7, "not all 0"),
        ([-0.1, 1.1, 0, 0, 0, 0, 0], "at least 0"),
        ([np.inf] * 7, "finite"),
    ],
)
def test_impossible_ratios_are_refused(ratios, why):
    with pytest.raises(ValueError, match=why):
        check_ratios(np.array(ratios), 7)


def test_a_mixture_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        mix({}, 128)


@pytest.mark.parametrize("ratios", [(0.5,) * 6, np.ones(8), 1.0])
def test_another_number_of_ratios_is_refused(corpus, ratios):
    with pytest.raises(ValueError, match="ratios .* of 7 objectives; give one each"):
        sample(MIXTURE, jax.random.key(0), corpus, ratios, 2)


def test_ratios_may_be_plain_numbers(corpus, draw):
    found = sample(MIXTURE, jax.random.key(0), corpus, (1 / 7,) * 7, 64)[0]
    np.testing.assert_array_equal(found.tokens, draw(0)[0].tokens)


def test_rows_have_the_same_types_with_numbers_of_64_bits(corpus):
    mixed = mix({**BIRDIE_DNA, **NTP}, 128)
    first = corpus.windows.first[:2]
    drawn = partial(held_out, mixed, jax.random.key(0))
    draw_rows = lambda: jax.eval_shape(drawn, corpus.tokens, first)
    rows = draw_rows()
    jax.config.update("jax_enable_x64", True)
    try:
        wide = draw_rows()
    finally:
        jax.config.update("jax_enable_x64", False)
    assert [part.dtype for part in wide] == [part.dtype for part in rows]
