"""Probes read a model's features without training it; subsets of rows are nested and stratified."""

import sys
from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from test_finetune import labelled
from threadpoolctl import threadpool_info

from birdiedna import vocab
from birdiedna.model import transformer
from birdiedna.training import finetune, probe, run_folder, stop
from birdiedna.training.probe import ProbeConfig

CONFIG = ProbeConfig(classes=2, model=replace(tiny.PROFILE.finetune.model, blocks=2), rows=4)


#: Jitted, which is faster than operation by operation.
features_of = jax.jit(transformer.Transformer.features, static_argnums=3)


@cache
def untrained():
    return transformer.init(CONFIG.model, 0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a probe, its events and its splits."""
    folder = tmp_path_factory.mktemp("probe")
    splits = labelled(200), labelled(40, 1), labelled(60, 2)
    return folder, list(probe.train(CONFIG, untrained(), splits, folder)), splits


@pytest.mark.parametrize("pooling", probe.POOLINGS)
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("layer", [-1, 0, 1])
def test_features_are_those_of_each_sequence_alone(pooling, bidirectional, layer):
    rows = labelled(6)
    config = replace(CONFIG, pooling=pooling, layer=layer, bidirectional=bidirectional)
    found = probe.features(config, untrained(), finetune.checked(rows, 2))
    for row, tokens, n in zip(found, rows.tokens, rows.lengths.tolist(), strict=True):
        own = jnp.append(jnp.asarray(tokens[:n], jnp.int32), vocab.START)[None]
        prefix = jnp.array([n]) if bidirectional else None
        want = features_of(untrained(), own, prefix, layer)[0]
        want = want[:n].mean(axis=0) if pooling == "mean" else want[n]
        np.testing.assert_allclose(row, want, atol=1e-5)


def test_layers_are_counted_from_the_embeddings_to_the_head():
    tokens, blocks = jnp.array([[vocab.A, vocab.C, vocab.G]]), CONFIG.model.blocks
    layers = [untrained().features(tokens, None, i) for i in range(blocks + 1)]
    np.testing.assert_array_equal(layers[0][0], untrained().embedding[...][tokens[0]])
    np.testing.assert_array_equal(layers[-1], untrained().features(tokens, None))
    np.testing.assert_allclose(layers[1], untrained().blocks[0](layers[0], None), atol=1e-6)
    np.testing.assert_array_equal(layers[1], untrained().features(tokens, None, -2))


@given(st.integers(1, 5), st.lists(st.integers(0, 2), min_size=3, max_size=60))
def test_subsets_are_nested_stratified_and_of_every_class(subsets, labels):
    labels = np.array([0, 1, 2, *labels])
    drawn = probe.draw(labels, replace(CONFIG, classes=3, subsets=subsets))
    assert len(drawn) == replace(CONFIG, classes=3, subsets=subsets).steps
    assert np.array_equal(drawn[-1].rows, np.arange(len(labels)))
    for subset in drawn:
        counts = np.bincount(labels[subset.rows], minlength=3)
        want = np.maximum(1, np.round(subset.share * np.bincount(labels)))
        assert counts.tolist() == want.tolist()
        larger = [d for d in drawn if d.share > subset.share and d.number == subset.number]
        assert all({*subset.rows} <= {*other.rows} for other in larger)


def test_a_probe_saves_predictions_and_scores_of_every_subset(made):
    folder, events, splits = made
    assert events == run_folder.events(folder) and len(events) == CONFIG.steps == 16
    assert [e["n_train"] for e in events] == [2] * 5 + [10] * 5 + [50] * 5 + [200]
    with np.load(folder / "predictions.npz") as stored:
        assert stored["test_logits"].shape == (16, 60, 2)
        assert np.array_equal(stored["test_labels"], splits[2].labels)
        assert stored["steps"].tolist() == [e["step"] for e in events]
        right = (stored["validation_logits"][-1].argmax(1) == splits[1].labels).mean()
    assert events[-1]["accuracy"] == right > 0.9  # one class has no T
    assert {e["cost"] for e in events} <= {*CONFIG.costs}


def test_a_probe_made_again_has_equal_predictions(made, tmp_path):
    folder, _, splits = made
    for asked in (2, 7):  # within the features, for which it asks six times, and after a subset
        stopped = iter([*[None] * asked, stop.Stopped("enough", stop.OUT_OF_TIME)])
        with pytest.raises(stop.Stopped):
            list(probe.train(CONFIG, untrained(), splits, tmp_path, lambda: next(stopped)))
        assert (tmp_path / "events.jsonl").exists() == (asked > 6)
    assert len(run_folder.events(tmp_path)) == 1
    events = list(probe.train(CONFIG, untrained(), splits, tmp_path))
    assert run_folder.events(tmp_path) == events  # the first line is not there twice
    one, other = map(run_folder.predictions, (folder, tmp_path))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_the_penalty_is_the_one_with_the_least_loss_on_validation(made):
    folder, events, splits = made
    only = replace(CONFIG, shares=(1.0,))
    losses = {}
    for cost in CONFIG.costs:
        place = folder / f"{cost}"
        place.mkdir()
        (event,) = probe.train(replace(only, costs=(cost,)), untrained(), splits, place)
        losses[cost] = event["loss"]
    assert events[-1]["cost"] == min(losses, key=losses.get)


def test_regressions_are_fitted_in_float64_by_one_thread(made, tmp_path, monkeypatch):
    seen, fit = [], LogisticRegression.fit

    def watched(model, x, y):
        threads = [pool["num_threads"] for pool in threadpool_info()]
        seen.append((x.dtype, max(threads, default=1)))
        return fit(model, x, y)

    monkeypatch.setattr(LogisticRegression, "fit", watched)
    list(probe.train(replace(CONFIG, shares=(1.0,)), untrained(), made[2], tmp_path))
    assert seen == [(np.float64, 1)] * len(CONFIG.costs)


@pytest.mark.promise("Settings: what is wrong in a config is refused by name before it runs")
@pytest.mark.parametrize(
    "change",
    [
        {"classes": 1},
        {"pooling": "max"},
        {"layer": 3},
        {"layer": -4},
        {"shares": (0.5,)},
        {"shares": (0.5, 0.1, 1.0)},
        {"shares": (0.0, 1.0)},
        {"shares": ()},
        {"subsets": 0},
        {"costs": (0.0,)},
        {"costs": ()},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(change):
    ((name, value),) = change.items()
    with pytest.raises(ValueError, match=name) as error:
        replace(CONFIG, **change)
    assert name == "subsets" or str(value) in str(error.value)


def test_a_class_without_train_rows_is_refused(tmp_path):
    splits = labelled(20), labelled(20, 1), labelled(20, 2)
    with pytest.raises(ValueError, match="class 2 has no train row"):
        list(probe.train(replace(CONFIG, classes=3), untrained(), splits, tmp_path))


def test_a_machine_without_scikit_learn_says_so_before_features_are_computed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setattr(probe, "features", lambda *_: pytest.fail("computed"))
    with pytest.raises(ValueError, match="pip install scikit-learn"):
        next(probe.train(CONFIG, untrained(), (labelled(20),) * 3, tmp_path))


def test_equal_lengths_share_a_program_and_memory_is_bounded_by_a_batch():
    before = probe.pooled._cache_size()
    for n in (3, 5, 30):
        probe.features(CONFIG, untrained(), finetune.checked(labelled(n, length=70), 2))
    assert probe.pooled._cache_size() == before + 1
