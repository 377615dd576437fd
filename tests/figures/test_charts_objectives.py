"""Charts of objectives agree with the objectives and the model."""

import drawing
import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from birdiedna import vocab
from birdiedna.data import genome
from birdiedna.evaluation import measured_objectives
from birdiedna.figures import rows, style
from birdiedna.model import transformer
from birdiedna.objectives import mixture
from birdiedna.objectives.definitions import BIRDIE_DNA, NTP, SelectiveCopying
from birdiedna.objectives.program import window_bases

EVERY = {**BIRDIE_DNA, **NTP}
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def windows(human):
    return genome.windows(human, [contig.name for contig in human.contigs], 128)


@pytest.fixture(scope="module")
def measured(human, windows):
    """Drawn windows, so many of them."""
    starts = lambda count: jnp.asarray(genome.fixed_starts(windows, count))
    bases = jnp.asarray(human.tokens)
    return lambda count: measured_objectives.Drawn(KEY, bases, starts(count), 128)


@pytest.fixture(scope="module")
def window(human, windows):
    start = int(genome.draw(KEY, windows))
    return human.tokens[start : start + 128]


@pytest.fixture(scope="module")
def drawn(window):
    return dict(zip(EVERY, rows.drawn_row(list(EVERY.values()), KEY, window, 128), strict=True))


@pytest.fixture(scope="module")
def seen(window):
    return measured_objectives.visibility(KEY, window)


def test_objectives_have_unique_colours_titles_and_codes():
    for table in (style.OBJECTIVE_COLOURS, style.OBJECTIVE_TITLES, style.OBJECTIVE_CODES):
        assert tuple(table) == vocab.OBJECTIVES
        assert len(set(table.values())) == len(table)


def test_lines_of_a_row_contain_all_tokens_in_order(drawn):
    for row in drawn.values():
        lines = [line for _, line in rows.lines(row)]
        assert [token for line in lines for token in line] == row
        assert max(map(len, lines)) <= rows.COLUMNS


def test_gallery_shows_every_base_at_its_position_in_the_window(window):
    lines, words = rows.gallery_frames(EVERY, KEY, window, 128)
    for glyphs, places in lines.select("glyphs", "places").iter_rows():
        for glyph, place in zip(glyphs, places.split(","), strict=True):
            assert place == "" or vocab.NAMES[window[int(place)]] == glyph
    assert words.filter("heading").height == len(EVERY)
    drawing.check(rows.gallery(lines, words))


def test_lines_unfold_to_their_tokens(window):
    lines, _ = rows.gallery_frames(EVERY, KEY, window, 128)
    columns = lines.select("glyphs", "kinds", "tokens", "places")
    for glyphs, kinds, tokens, places in columns.iter_rows():
        assert len(glyphs) == len(kinds) == len(tokens.split(" ")) == len(places.split(","))
        assert [kind == "0" for kind in kinds] == [place != "" for place in places.split(",")]


def test_visibility_equals_the_rule_in_every_objective(seen):
    assert seen["objective"].n_unique() == len(EVERY)
    assert (seen["seen"] == seen["rule"]).all()


def test_influence_of_visible_and_hidden_slots_is_far_apart(seen):
    assert seen.filter("seen")["influence"].min() > 1e-3
    assert seen.filter(~pl.col("seen"))["influence"].max() == 0


def test_a_leaking_model_would_be_detected(drawn):
    net = transformer.init(measured_objectives.SMALL, 0)
    tokens = np.array([vocab.NAMES.index(token.text) for token in drawn["copying"][:12]])
    leaking = measured_objectives.influence(net, tokens, prefix=12) > 0
    assert (leaking != measured_objectives.allowed(12, 6)).sum() == 12 * 11 // 2 - 6 * 5 // 2


def test_only_targets_have_loss_in_the_matrix(seen):
    carrying = seen.filter("loss").group_by("objective").agg(pl.col("query").n_unique())
    counts = dict(carrying.iter_rows())
    for name, objective in measured_objectives.SHORT.items():
        label = objective.sizes(window_bases(objective, measured_objectives.SLOTS)).label
        missing = label - counts[name]
        assert 0 <= missing <= (2 if name.startswith("infill") else 0)


def test_matrices_draw_and_stay_small(seen):
    assert len(drawing.check(rows.matrices(seen)).text) < 60_000


NONE = -2


@pytest.mark.parametrize(
    "name, row, prefix, lengths",
    [
        ("infill", [NONE, 2, 3, NONE, 6, NONE, NONE, 0, 1, NONE, 4, 5, NONE], 6, [2, 2]),
        ("deshuffling", [NONE, 0, 3, 4, 2, 1, 5, NONE, 0, 1, 2, 3, 4, 5], 7, [2, 1]),
        ("deshuffling", [NONE, 3, 4, 2, 0, 1, 5, NONE, 0, 1, 2, 3, 4, 5], 7, [2, 2]),
        ("autoencoding", [NONE, NONE, 4, NONE, 2, NONE, 0, 1, 2, 3, 4, 5], 5, [2, 1, 1]),
        ("selective", [NONE, 0, 1, 2, 3, 4, 5, NONE, 1, 2, NONE, 4, NONE], 7, [2, 1]),
        ("prefix_lm", [NONE, 0, 1, 2, 3, NONE, 4, 5, NONE], 5, [4]),
    ],
)
def test_span_lengths_of_hand_written_rows(name, row, prefix, lengths):
    assert measured_objectives.lengths(name, np.array(row), prefix, 6) == lengths


def test_measured_rates_are_within_one_base(measured):
    kept = {name: BIRDIE_DNA[name] for name in ("deshuffling_50", "prefix_lm_75", "copying")}
    spans = measured_objectives.span_lengths(kept, measured(20))
    counts = measured_objectives.table(kept, spans, 128)
    assert counts["rate off"].to_list() == [0, 0, None]
    assert counts["spans"].to_list() == ["2", "1", None]


def test_copying_moves_no_base_and_deshuffling_many(measured):
    moved = lambda name: measured_objectives.displaced(BIRDIE_DNA[name], measured(20))
    assert moved("copying") == 0 and 0.2 < moved("deshuffling_50") < 0.8


def test_shares_of_a_batch_sum_to_one_and_follow_the_ratios(human, windows):
    kept = {name: EVERY[name] for name in ("prefix_lm_75", "copying", "next_token")}
    corpus = mixture.Corpus(jnp.asarray(human.tokens), windows)
    ratios = np.array([0.5, 0.5, 0.0], np.float32)
    held = measured_objectives.batch_shares(mixture.mix(kept, 128), KEY, corpus, ratios, 32, 2)
    assert held["rows"].sum() == pytest.approx(1) and held["loss_tokens"].sum() == pytest.approx(1)
    assert held["rows"][2] == held["loss_tokens"][2] == 0
    assert held["loss_tokens_per_row"].to_list()[:2] == [33, 64]
    assert len(drawing.drawn(rows.shares_chart(held)).rows) == 4


def test_longer_delimiters_and_more_placements_are_less_ambiguous(measured):
    objectives = [SelectiveCopying(before=bases) for bases in (4, 12)]
    short, long = (measured_objectives.ambiguity(each, measured(300)) for each in objectives)
    assert short[0] > long[0] and short[1] <= short[0] and long[1] <= long[0]
