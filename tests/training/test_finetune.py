"""Claims about fine-tuning: the label comes last, the head is the task's, rows are pure."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from birdiedna import vocab
from birdiedna.data.labelled import Labelled
from birdiedna.model import transformer
from birdiedna.training import checkpoint, finetune, run_folder
from birdiedna.training import optimizer as optimizers
from birdiedna.training.finetune import Classifier, Data
from birdiedna.training.optimizer import OptimizerConfig

CONFIG = tiny.PROFILE.finetune


def labelled(n, seed=0, length=12):
    """Rows of class 1 hold no T, rows of class 0 no A."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n).astype(np.int32)
    tokens = (rng.integers(vocab.C, vocab.N, (n, length)) - labels[:, None]).astype(np.uint8)
    lengths = rng.integers(length - 4, length + 1, n).astype(np.int32)
    tokens[np.arange(length)[None] >= lengths[:, None]] = vocab.PAD
    return Labelled(tokens, lengths, labels, tuple(f"row{i}|{x}" for i, x in enumerate(labels)))


def classifier(head="label", bidirectional=True, blocks=1):
    sizes = replace(CONFIG.model, blocks=blocks)
    config = replace(CONFIG, head=head, bidirectional=bidirectional, model=sizes)
    return Classifier(transformer.init(config.model, 0), config, nnx.Rngs(0))


def logits(net, rows):
    return net(jnp.asarray(rows.tokens), jnp.asarray(rows.lengths))


@pytest.mark.parametrize("head", finetune.HEADS)
def test_logits_are_those_of_the_task_s_classes_alone(head):
    assert logits(classifier(head), labelled(5)).shape == (5, 2)


@pytest.mark.parametrize("head", finetune.HEADS)
def test_more_padding_changes_no_logits(head):
    rows = labelled(6)
    wider = rows._replace(tokens=np.pad(rows.tokens, ((0, 0), (0, 7))))
    net = classifier(head)
    np.testing.assert_allclose(logits(net, rows), logits(net, wider), atol=1e-5)


def test_the_label_head_is_the_model_s_own_softmax_at_start():
    rows, net = labelled(3), classifier()
    for i in range(3):
        length = int(rows.lengths[i])
        row = jnp.asarray([*rows.tokens[i, :length], vocab.START])[None].astype(jnp.int32)
        whole = net.net(row, jnp.array([length]))[0, length]
        classes = whole[vocab.FIRST_CLASS : vocab.FIRST_CLASS + 2]
        np.testing.assert_allclose(logits(net, rows)[i], classes, atol=1e-5)


@pytest.mark.parametrize("head", finetune.HEADS)
@pytest.mark.parametrize("length", [1, 12, 62, 63, 64, 100])
def test_predictions_of_padded_rows_are_those_of_the_rows_themselves(head, length):
    rng = np.random.default_rng(length)
    tokens = jnp.asarray(rng.integers(vocab.A, vocab.N, (1, length)), jnp.int32)
    for bidirectional in (True, False):
        net, lengths = classifier(head, bidirectional, blocks=2), jnp.array([length])
        row = jnp.concatenate([tokens, jnp.array([[vocab.START]])], axis=1)
        features = net.net.features(row, lengths if bidirectional else None)
        want = net.net.head(features[:, length])[:, vocab.FIRST_CLASS : vocab.FIRST_CLASS + 2]
        if head == "pooled":
            want = net.pooled(features[:, :length].mean(axis=1))
        np.testing.assert_allclose(net(tokens, lengths), want, atol=1e-5)


def test_rows_have_a_multiple_of_64_slots_and_lengths_nearby_share_a_program():
    assert [finetune.row_slots(bases) for bases in (1, 63, 64, 300, 1000)] == [
        64,
        64,
        128,
        320,
        1024,
    ]
    net, before = classifier(), finetune._logits._cache_size()
    for length in (70, 99, 127):
        data = finetune._checked(labelled(4, length=length), 2)
        assert data.tokens.shape == (4, 127)
        finetune.predict(net, finetune.in_batches(data, 4), 4)
    assert finetune._logits._cache_size() == before + 1


def test_a_pre_trained_model_is_computed_with_as_the_config_says(tmp_path):
    net = transformer.init(CONFIG.model, 0)
    config = replace(CONFIG, model=replace(CONFIG.model, compute="bfloat16", attention="einsum"))
    splits = labelled(8), labelled(4, 1), labelled(4, 2)
    list(finetune.train(config, net, splits, 0, tmp_path))
    other = tmp_path / "other"
    other.mkdir()
    list(finetune.train(CONFIG, net, splits, 0, other))
    first, second = (np.load(f / "predictions.npz")["test_logits"] for f in (tmp_path, other))
    assert 0 < np.abs(first - second).max() < 0.1
    wide = replace(CONFIG, model=replace(CONFIG.model, width=32))
    with pytest.raises(ValueError, match="width 16, not 32"):
        list(finetune.train(wide, net, splits, 0, tmp_path))


def test_the_causal_arm_is_another_function():
    rows = labelled(4)
    both, causal = (logits(classifier(bidirectional=b, blocks=2), rows) for b in (True, False))
    assert not np.allclose(both, causal, atol=1e-4)


def test_predictions_do_not_depend_on_how_many_rows_go_at_once():
    rows, net = labelled(7), classifier()
    data = Data(*(jnp.asarray(x) for x in rows[:3]))
    np.testing.assert_allclose(
        *(finetune.predict(net, finetune.in_batches(data, at_once), 7) for at_once in (3, 16)),
        atol=1e-5,
    )


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(1, 9), st.integers(0, 99), st.integers(0, 30))
def test_every_epoch_reads_every_row_once(n, rows, seed, first):
    steps = 2 * n
    order = finetune.epoch_rows(n, rows, seed, 0, first + steps)
    assert np.array_equal(finetune.epoch_rows(n, rows, seed, first, steps), order[first:])
    flat = order.reshape(-1)
    for epoch in range(len(flat) // n):
        assert sorted(flat[epoch * n : (epoch + 1) * n]) == list(range(n))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finetune")
    config = replace(
        CONFIG,
        optimizer=replace(CONFIG.optimizer, peak=1e-2, final=1e-2),
        steps=120,
        rows=16,
        evaluate_every=40,
    )
    net = transformer.init(config.model, 0)
    kept = jax.tree.map(jnp.copy, net)
    splits = labelled(256), labelled(40, 1), labelled(60, 2)
    events = list(finetune.train(config, net, splits, 0, folder))
    return folder, events, net, kept


def test_a_rule_is_learnt(run):
    accuracy = [e["accuracy"] for e in run[1] if e["event"] == "evaluation"]
    assert accuracy[-1] > 0.9 > 0.8 > accuracy[0]


def test_predictions_of_every_evaluation_are_saved(run):
    with np.load(run[0] / "predictions.npz", allow_pickle=False) as stored:
        assert stored["steps"].tolist() == [0, 40, 80, 120]
        assert stored["validation_logits"].shape == (4, 40, 2)
        assert stored["test_logits"].shape == (4, 60, 2)
        assert np.array_equal(stored["test_labels"], labelled(60, 2).labels)


def test_the_pre_trained_model_is_left_untouched(run):
    assert jax.tree.all(jax.tree.map(jnp.array_equal, run[2], run[3]))


def test_the_log_is_what_was_yielded(run):
    assert [e["step"] for e in run_folder.events(run[0])] == [e["step"] for e in run[1]]


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_outside_the_classes_is_refused(label, tmp_path):
    rows = labelled(8)
    rows.labels[3] = label
    splits = rows, labelled(4), labelled(4)
    with pytest.raises(ValueError, match=f"label {label} is outside 0..1"):
        list(finetune.train(CONFIG, transformer.init(CONFIG.model, 0), splits, 0, tmp_path))


def test_an_empty_split_is_refused(tmp_path):
    empty = Labelled(*(x[:0] for x in labelled(4)))
    with pytest.raises(ValueError, match="holds no rows"):
        list(finetune.train(CONFIG, transformer.init(CONFIG.model, 0), (empty,) * 3, 0, tmp_path))


@pytest.mark.promise("Numbers: three in a row stop the run and keep what repeats the step")
def test_numbers_that_run_away_stop_the_run_with_what_makes_the_step_again(tmp_path):
    optimizer = OptimizerConfig(peak=1e38, final=1e38, warmup=0.0, clip=1e30)
    wild = replace(CONFIG, optimizer=optimizer, steps=8, evaluate_every=8)
    rows = labelled(40)
    with pytest.raises(ArithmeticError, match="not finite, from step") as caught:
        list(finetune.train(wild, transformer.init(wild.model, 0), (rows,) * 3, 0, tmp_path))
    dump = checkpoint.newest(tmp_path / "failure")
    assert f"from step {dump.step} on" in str(caught.value) and str(dump.path) in str(caught.value)
    like = Classifier(transformer.init(wild.model, 0), wild, nnx.Rngs(0))
    start = optimizers.start(
        checkpoint.restore(dump.path, like), optimizers.optimizer(wild.optimizer, wild.steps)
    )
    index = checkpoint.host(dump.path)["rows"][None]
    assert index.tolist() == finetune.epoch_rows(40, wild.rows, 0, dump.step, 1).tolist()
    batch = Data(*(jnp.asarray(column)[index] for column in rows[:3]))
    _, (_, norms, skipped) = finetune.advance(start, batch, wild)
    assert not np.isfinite(norms[0]) and int(skipped[0]) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"classes": 1}, {"steps": 5}, {"head": "mean"}]
    + [{name: value} for name in ("steps", "rows", "evaluate_every") for value in (0, -20)],
)
def test_impossible_protocols_are_refused(wrong):
    with pytest.raises(ValueError):
        replace(CONFIG, **wrong)
