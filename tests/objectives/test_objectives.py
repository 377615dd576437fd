"""Objectives on real DNA: rows are invertible, rates and spans exact, and no target leaks."""

from dataclasses import replace
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdiedna import vocab
from birdiedna.data import genome
from birdiedna.model import transformer
from birdiedna.model.transformer import ModelConfig
from birdiedna.objectives.definitions import (
    BIRDIE_DNA,
    EVERY,
    MLM,
    NTP,
    Autoencoding,
    Deshuffling,
    Infilling,
    MaskedTokens,
    PrefixLM,
    SelectiveCopying,
)
from birdiedna.objectives.explain import explain
from birdiedna.objectives.program import align, expand, pad, shift, window_bases
from birdiedna.objectives.spans import compose, count_spans, cycle, layout

ALL = {name: one for name, one in EVERY.items() if not one.sizes(100).in_place}
ROWS, SLOTS, KEY = 1000, 1024, jax.random.key(0)
#: Bases, prefix and label tokens at 1,024 and 128 slots, from the reference.
SOLVED = {
    "infill_50_3": [(766, 512, 512), (94, 64, 64)],
    "infill_15_32": [(1012, 866, 158), (124, 107, 21)],
    "prefix_lm_75": [(1022, 767, 257), (126, 95, 33)],
    "copying": [(511, 512, 512), (63, 64, 64)],
    "deshuffling_50": [(511, 512, 512), (63, 64, 64)],
    "autoencoding_30_50": [(567, 455, 568), (70, 57, 71)],
    "selective_copying_15": [(761, 903, 121), (91, 113, 15)],
    "next_token": [(1024, 0, 1024), (128, 0, 128)],
}


@pytest.fixture(scope="module")
def draw(human):
    """Windows, rows and programs of 1,000 draws of an objective at 1,024 slots on real DNA."""
    places = genome.windows(human, [c.name for c in human.contigs], SLOTS)
    keys = jax.random.split(jax.random.key(0), ROWS)
    tokens = jnp.asarray(human.tokens)
    cut = jax.vmap(lambda k: genome.cut(tokens, genome.draw(k, places), SLOTS))
    wide = jax.jit(cut)(keys)

    @jax.jit
    def write(windows, programs):
        rows = jax.vmap(partial(expand, slots=SLOTS + 1))(windows, programs)
        return jax.vmap(shift)(rows, programs.prefix)

    @cache
    def drawn(name):
        windows = wide[:, : window_bases(ALL[name], SLOTS)]
        programs = jax.jit(jax.vmap(ALL[name]))(keys, windows)
        rows = write(wide, jax.vmap(lambda program: pad(program, 520))(programs))
        return jax.tree.map(np.asarray, (windows, Rows(*rows, programs.prefix), programs))

    return drawn


class Rows(NamedTuple):
    tokens: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    prefix: np.ndarray


def parts(rows, i):
    """Prefix and label of row i, read from the batch alone."""
    prefix = rows.tokens[i, : rows.prefix[i]]
    return prefix, rows.labels[i][rows.weights[i] > 0]


def written(objective, seed, window, slots):
    """A program of the objective and its row; compiled without optimisation, as it runs once."""

    def write(key, window):
        program = objective(key, window)
        return program, expand(window, program, slots)

    arguments = jax.random.key(seed), jnp.asarray(window)
    compiled = jax.jit(write).lower(*arguments)
    compiled = compiled.compile(compiler_options={"xla_backend_optimization_level": 0})
    return jax.tree.map(np.asarray, compiled(*arguments))


@pytest.fixture(scope="module")
def row_and_words(human):
    """One row (tokens, labels, weights), its prefix, its explanation and its window."""

    @cache
    def made(objective, slots, seed=0):
        window = np.asarray(human.tokens[: window_bases(objective, slots)])
        program, row = written(objective, seed, window, slots + 1)
        return *shift(row, program.prefix), int(program.prefix), explain(program, window), window

    return made


@pytest.mark.parametrize("name", ALL)
def test_every_row_rebuilds_its_window(name, draw):
    windows, rows, _ = draw(name)
    for i in range(ROWS):
        assert np.array_equal(ALL[name].restore(*parts(rows, i)), windows[i]), (name, i)


@pytest.mark.parametrize("name", ALL)
def test_rows_have_the_solved_sizes_few_pads_and_weights_on_exactly_the_label(name, draw):
    windows, rows, _ = draw(name)
    bases, prefix, label = SOLVED[name][0]
    varies = name == "infill_15_32"  # its rows may have one span fewer
    assert windows.shape[1] == bases
    fewer = prefix - rows.prefix
    assert set(fewer) <= ({0, 1} if varies else {0})
    assert (rows.weights.sum(1) == label - fewer).all()
    pads = rows.labels == vocab.PAD
    assert set(pads.sum(1)) <= ({0, 2} if varies else {0, 1})
    after = np.arange(SLOTS)[None] >= rows.prefix[:, None]
    assert np.array_equal(rows.weights > 0, after & ~pads)
    assert (rows.tokens[np.arange(ROWS), rows.prefix] == vocab.START).all()
    assert (rows.tokens[:, 0] != vocab.PAD).all()


@pytest.mark.parametrize("name", ["infill_50_3", "infill_15_32", "selective_copying_15"])
def test_rates_and_mean_spans_are_within_one_percent(name, draw):
    lengths, bases = realised(*draw(name))
    asked = BIRDIE_DNA[name]
    assert np.mean([sum(row) for row in lengths]) / bases == pytest.approx(asked.rate, rel=0.01)
    assert np.mean(np.concatenate(lengths)) == pytest.approx(asked.mean_span, rel=0.01)
    assert min(map(min, lengths)) >= (8 if name.startswith("selective") else 1)


def realised(windows, rows, programs):
    """Lengths of the spans in every label, and the bases of the window."""
    ends = programs.lengths.cumsum(1)
    in_label = (ends > programs.prefix[:, None]) & (programs.starts >= 0) & (programs.lengths > 0)
    pieces = zip(programs.lengths, in_label, strict=True)
    return [lengths[keep] for lengths, keep in pieces], windows.shape[1]


def test_shuffled_spans_have_the_set_rate_and_mean_and_all_move(draw):
    windows, rows, programs = draw("deshuffling_50")
    starts, spans = programs.starts[:, 2:34:2], programs.lengths[:, 2:34:2]
    asked = BIRDIE_DNA["deshuffling_50"]
    assert (spans > 0).all() and (starts != np.sort(starts, axis=1)).all()
    assert spans.sum(1).mean() / windows.shape[1] == pytest.approx(asked.rate, rel=0.01)
    assert spans.mean() == pytest.approx(asked.mean_span, rel=0.01)
    for program in each(programs, rows.prefix):  # the prompt is a permutation of the window
        assert np.array_equal(np.sort(shown(program)), np.arange(windows.shape[1]))


def test_masked_spans_have_the_set_rate_and_mean_and_the_rest_is_visible(draw):
    windows, rows, programs = draw("autoencoding_30_50")
    asked, bases = BIRDIE_DNA["autoencoding_30_50"], windows.shape[1]
    masks = (rows.tokens == vocab.MASK).sum(1)
    for place, spans in zip((shown(p) for p in each(programs, rows.prefix)), masks, strict=True):
        hidden = bases - len(np.unique(place))
        assert len(place) == bases - hidden
        assert hidden / bases == pytest.approx(asked.rate, rel=0.01)
        assert hidden / spans == pytest.approx(asked.mean_span, rel=0.01)


def each(programs, prefixes):
    """Starts, lengths and prefix of every drawn program."""
    return zip(programs.starts, programs.lengths, prefixes, strict=True)


def shown(program):
    """Window positions in the prompt, in the order of the row."""
    starts, lengths, prefix = program
    inside = (lengths.cumsum() <= prefix) & (starts >= 0)
    pieces = zip(starts[inside], lengths[inside], strict=True)
    return np.concatenate([np.arange(start, start + length) for start, length in pieces])


@pytest.mark.parametrize("name", ["infill_50_3", "infill_15_32", "prefix_lm_75"])
def test_no_base_of_the_target_is_in_the_prompt(name, draw):
    windows, rows, programs = draw(name)
    label_bases = ((rows.labels <= vocab.N) & (rows.labels >= vocab.A) & (rows.weights > 0)).sum(1)
    for program, hidden in zip(each(programs, rows.prefix), label_bases, strict=True):
        place = shown(program)
        assert len(np.unique(place)) == len(place) == windows.shape[1] - hidden


@pytest.fixture(scope="module")
def logits():
    net = transformer.init(ModelConfig(width=16, blocks=2, heads=2, head_width=8, mlp_width=16), 0)
    return jax.jit(lambda tokens, prefix: net(tokens, prefix))


@pytest.mark.parametrize("name", ALL)
def test_changing_the_target_changes_no_logits_of_the_prompt(name, row_and_words, logits):
    tokens, _, _, prefix, *_ = row_and_words(ALL[name], 128)
    changed = np.where(np.arange(128) > prefix, vocab.MASK, tokens)
    first, other = logits(jnp.asarray([tokens, changed]), jnp.full(2, prefix))
    assert jnp.array_equal(first[: prefix + 1], other[: prefix + 1])
    assert not jnp.array_equal(first, other)


@pytest.mark.parametrize("name", ALL)
def test_the_explanation_has_every_token_of_the_row(name, row_and_words):
    tokens, labels, weights, prefix, words, window = row_and_words(ALL[name], 128)
    ids = [vocab.NAMES.index(word.text) for word in words]
    assert ids == [*tokens[: len(ids) - 1], labels[len(ids) - 2]]
    for word in words:
        part = "prompt" if word.slot < prefix else "target"
        assert word.part == ("start" if word.slot == prefix else part)
        own = word.kind == "base" and name not in BIRDIE_DNA | NTP  # may be of the other strand
        assert own or (word.position is None) == (word.kind != "base")
        if word.position is not None:
            assert vocab.NAMES[window[word.position]] == word.text
    targets = [word.slot for word in words if word.part == "target"]
    assert targets == (np.flatnonzero(weights) + 1).tolist()


@pytest.mark.parametrize("name", ["infill_50_3", "infill_15_32"])
def test_infilling_uses_each_sentinel_once_in_prompt_and_target_in_one_order(name, row_and_words):
    words = row_and_words(BIRDIE_DNA[name], 1024, seed=3)[4]
    sentinels = [word for word in words if word.kind == "sentinel"]
    prompt, target = ([w.text for w in sentinels if w.part == p] for p in ("prompt", "target"))
    assert prompt == target == list(dict.fromkeys(prompt))
    first = next(word for word in words if word.part == "target")
    assert first.text == target[0], "a sentinel comes before its span"


def test_half_of_the_unmasked_pieces_change_places(draw):
    programs = draw("autoencoding_30_50")[2]
    gaps = programs.starts[:, 1:116:2]
    order = np.argsort(np.argsort(gaps, axis=1, kind="stable"), axis=1)
    moved = (order != np.arange(58)).sum(axis=1)
    assert gaps.shape[1] == 58
    assert np.median(moved) == 29  # ties between empty outer gaps and their neighbours may differ


def test_every_query_of_selective_copying_is_in_the_context_in_both_orders(draw):
    windows, rows, _ = draw("selective_copying_15")
    first = rows.tokens[:, 1]
    assert 0.4 < (first == vocab.CTX).mean() < 0.6
    for i in range(100):
        prefix, label = parts(rows, i)
        text = vocab.decode(windows[i])
        queries = vocab.decode(prefix).split("<find>")[1:]
        answers = vocab.decode(label).removesuffix("<eos>").split("<sep>")
        assert len(queries) == len(answers) == 7
        for query, answer in zip(queries, answers, strict=True):
            before, after = query.split("<ctx>")[0].split("<to>")
            assert (len(before), len(after)) == (12, 6)
            assert before + answer + after in text


def test_ambiguous_queries_are_rare(draw):
    windows, rows, _ = draw("selective_copying_15")
    repeated = 0
    for i in range(300):
        queries = vocab.decode(parts(rows, i)[0]).split("<find>")[1:]
        text = vocab.decode(windows[i])
        repeated += sum(text.count(query.split("<to>")[0]) > 1 for query in queries)
    assert repeated / (300 * 7) < 0.01


@pytest.fixture(scope="module")
def masked(human):
    """Windows and 200 rows of 128 slots with labels in place: tokens, labels and weights."""
    (objective,) = MLM.values()
    bases = window_bases(objective, 128)
    windows = jnp.asarray(human.tokens[: 200 * bases].reshape(200, bases))

    @jax.jit
    @jax.vmap
    def write(key, window):
        program = objective(key, window)
        return *align(expand(window, program, 256), program.prefix), program.prefix

    rows = write(jax.random.split(jax.random.key(0), 200), windows)
    return np.asarray(windows), Rows(*map(np.asarray, rows))


def test_masked_rows_predict_15_percent_of_the_bases_in_place(masked):
    windows, rows = masked
    assert windows.shape[1] == 126 and (rows.prefix == 127).all()
    assert (rows.tokens[:, 0] == vocab.objective_id("masked_15")).all()
    assert (rows.tokens[:, -1] == vocab.START).all()
    predicted = rows.weights[:, 1:-1] > 0
    assert (predicted.sum(1) == 19).all() and rows.weights.sum() == 19 * 200
    assert np.array_equal(rows.labels[:, 1:-1], np.where(predicted, windows, vocab.PAD))
    assert np.array_equal(rows.tokens[:, 1:-1][~predicted], windows[~predicted])
    assert predicted.sum(0).min() > 5, "every place of the window is predicted in some row"


def test_masked_rows_show_80_percent_masks_10_random_bases_and_10_their_own(masked):
    windows, rows = masked
    shown, predicted = rows.tokens[:, 1:-1], rows.weights[:, 1:-1] > 0
    assert ((shown == vocab.MASK).sum(1) == 15).all()
    other = predicted & (shown != vocab.MASK)
    assert set(shown[other]) == {vocab.A, vocab.C, vocab.G, vocab.T}
    own = (shown == windows)[other].mean()  # the two that stay, and a quarter of two random ones
    assert own == pytest.approx((2 + 0.25 * 2) / 4, abs=0.05)
    pure = MaskedTokens(masked=1.0, random=0.0)
    assert pure.counts(126) == (19, 19, 0)


def test_masked_rows_rebuild_their_window_and_explain_their_tokens(masked, human):
    windows, rows = masked
    (objective,) = MLM.values()
    for window, tokens, labels in zip(windows, rows.tokens, rows.labels, strict=True):
        assert np.array_equal(objective.restore(tokens[:-1], labels), window)
    program, row = written(objective, 0, windows[0], 256)
    words = explain(program, windows[0])
    read, targets = ([w for w in words if (w.part == "target") is part] for part in (False, True))
    assert [word.text for word in read] == [vocab.NAMES[row[word.slot]] for word in read]
    assert len(targets) == 19
    for word in targets:
        assert (
            word.slot == word.position + 1 and word.text == vocab.NAMES[windows[0][word.position]]
        )


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("at, slots", [(0, 1024), (1, 128)])
def test_windows_are_solved_as_in_the_reference(name, at, slots):
    bases, prefix, label = SOLVED[name][at]
    assert window_bases(ALL[name], slots) == bases
    assert ALL[name].sizes(bases) == (prefix, label, False)
    assert ALL[name].sizes(bases + 1).slots() > slots


def test_counts_are_rounded_half_up_at_least_one_and_spans_may_all_but_touch():
    # 2.5 and 1.5; less than one base; less than one span; 3 in 5
    given = (10, 0.25, 2), (100, 0.001, 3), (100, 0.05, 20), (5, 0.6, 1)
    assert [count_spans(*settings) for settings in given] == [(3, 2), (1, 1), (5, 1), (3, 3)]


def test_every_composition_and_layout_is_drawn_and_a_cycle_moves_exactly_its_items():
    keys = jax.random.split(jax.random.key(0), 40)
    drawn = lambda draw: np.asarray(jax.jit(jax.vmap(draw))(keys))
    pairs = drawn(lambda key: compose(key, 4, 2)).tolist()
    assert {*map(tuple, pairs)} == {(1, 3), (2, 2), (3, 1)}
    gaps = drawn(lambda key: layout(key, 6, 3, 2).gap_lengths).tolist()
    assert {*map(tuple, gaps)} == {(0, 1, 2), (0, 2, 1), (0, 3, 0), (1, 1, 1), (1, 2, 0), (2, 1, 0)}
    for moved in (0, 2, 3):
        orders = drawn(partial(cycle, items=3, moved=moved))
        assert ((orders != np.arange(3)).sum(1) == moved).all()
        assert (np.sort(orders) == np.arange(3)).all()


@pytest.mark.promise("Numbers: laws hold for random input")
@settings(max_examples=12)
@given(st.sampled_from([64, 150]), st.floats(0.05, 0.6), st.floats(1.5, 20), st.integers(0, 2**31))
def test_infilling_of_any_rate_and_span_is_invertible_or_refused(bases, rate, span, seed):
    objective = Infilling(rate, span, vocab.objective_id("infill_50_3"))
    window = np.random.default_rng(seed).integers(vocab.A, vocab.N, bases).astype(np.uint8)
    try:
        objective.sizes(bases)
    except ValueError:
        return
    program, row = written(objective, seed, window, 2 * bases)
    prefix, end = program.prefix, program.lengths.sum()
    assert np.array_equal(objective.restore(row[:prefix], row[prefix + 1 : end]), window)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Infilling, {"rate": 0.0, "mean_span": 3, "token": 17}),
        (Infilling, {"rate": 1.5, "mean_span": 3, "token": 17}),
        (Infilling, {"rate": 0.5, "mean_span": 0.5, "token": 17}),
        (Infilling, {"rate": 1.0, "mean_span": 1, "token": 17}),
        (PrefixLM, {"rate": 0.0}),
        (PrefixLM, {"rate": 1.0}),
        (Deshuffling, {"rate": 0.0}),
        (Deshuffling, {"rate": 0.01, "mean_span": 1}),
        (Deshuffling, {"rate": 0.05, "mean_span": 500}),
        (Autoencoding, {"rate": 0.0}),
        (Autoencoding, {"rate": 0.9, "mean_span": 1}),
        (Autoencoding, {"shuffled": 1.5}),
        (SelectiveCopying, {"rate": 0.0}),
        (SelectiveCopying, {"before": 0}),
        (SelectiveCopying, {"before": 16}),
        (SelectiveCopying, {"after": 0}),
        (SelectiveCopying, {"shortest": 0}),
        (SelectiveCopying, {"placements": 0}),
        (SelectiveCopying, {"placements": 1025}),
        (SelectiveCopying, {"context_first": 1.5}),
        (MaskedTokens, {"rate": 0.0}),
        (MaskedTokens, {"masked": 1.1}),
        (MaskedTokens, {"random": -0.1}),
        (MaskedTokens, {"masked": 0.8, "random": 0.3}),
    ],
)
def test_impossible_settings_are_refused(kind, given):
    with pytest.raises(ValueError, match="|".join([*given, "span", "fit", "touch"])):
        kind(**given).sizes(100)


def test_an_objective_that_does_not_fit_says_so():
    with pytest.raises(ValueError, match="does not fit a row of 32 slots"):
        window_bases(SelectiveCopying(), 32)
    with pytest.raises(ValueError, match="500 spans in 1000 bases would touch or lack sentinels"):
        Infilling(0.5, 1, None).sizes(1000)


@pytest.mark.parametrize("name", [*EVERY, "single bases"])
def test_a_window_is_refused_alike_whether_sizes_or_a_row_is_asked_for(name):
    objective = {**EVERY, "single bases": Deshuffling(mean_span=1)}[name]
    for bases in range(1, 60):
        window = jax.ShapeDtypeStruct((bases,), jnp.uint8)
        refused = []
        for ask in (objective.sizes, lambda _: jax.eval_shape(objective, KEY, window)):
            try:
                ask(bases)
                refused.append(False)
            except ValueError:
                refused.append(True)
        assert refused[0] == refused[1], f"{bases} bases"


#: Choices that the paper leaves open, other than ours.
VARIANTS = {
    **{f"{name} without its token": replace(o, token=None) for name, o in BIRDIE_DNA.items()},
    "span before sentinel": replace(BIRDIE_DNA["infill_50_3"], sentinel_first=False),
    "single bases": Deshuffling(mean_span=1),
    "context first": SelectiveCopying(context_first=1.0),
    "queries first": SelectiveCopying(context_first=0.0),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_choice_that_the_paper_leaves_open_gives_rows_that_rebuild_their_window(
    name, row_and_words
):
    objective = VARIANTS[name]
    tokens, labels, weights, prefix, _, window = row_and_words(objective, 128)
    label = labels[weights > 0]
    sizes = objective.sizes(len(window))
    fewer = sizes.prefix - prefix  # infilling draws one span fewer at times
    assert fewer == sizes.label - len(label) <= isinstance(objective, Infilling)
    assert np.array_equal(objective.restore(tokens[:prefix], label), window)
    named = (tokens[:prefix] >= vocab.FIRST_OBJECTIVE) & (tokens[:prefix] < vocab.FIRST_CLASS)
    assert named.sum() == ("without" not in name)
    first = {"context first": vocab.CTX, "queries first": vocab.FIND}
    assert tokens[1] == first.get(name, tokens[1])


def test_single_bases_move_wherever_they_are(row_and_words):
    single = Deshuffling(mean_span=1)
    tokens, *_, prefix, words, window = row_and_words(single, 1024)
    places = np.array([word.position for word in words if word.part == "prompt"][1:])
    moved = np.flatnonzero(places != np.arange(len(window)))
    assert len(moved) == 256 and (np.diff(moved) == 1).any()  # half of 511, some of them neighbours
    assert sorted(places) == list(range(len(window)))


@pytest.mark.parametrize("name", EVERY)
def test_a_window_of_numpy_gives_the_row_of_one_of_jax_also_under_vmap(name):
    window, keys = vocab.encode("ACGTTGCA" * 16), jax.random.split(jax.random.key(0), 2)
    rows_of = lambda bases: lambda key: expand(bases, EVERY[name](key, bases), 300)
    wanted, mapped = (jax.jit(jax.vmap(rows_of(w)))(keys) for w in (jnp.asarray(window), window))
    np.testing.assert_array_equal(mapped, wanted)
    np.testing.assert_array_equal(rows_of(window)(keys[0]), wanted[0])
