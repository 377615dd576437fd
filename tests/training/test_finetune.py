"""Fine-tuning: logits are the model's own, runs resume bit for bit, the best step is kept."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

from birdiedna import vocab
from birdiedna.data.labelled import Labelled
from birdiedna.evaluation import frames
from birdiedna.experiments import collect
from birdiedna.model import transformer
from birdiedna.training import checkpoint, finetune, pretrain, prompt, run_folder
from birdiedna.training import optimizer as optimizers
from birdiedna.training.finetune import Classifier, Data, Start
from birdiedna.training.optimizer import OptimizerConfig
from birdiedna.training.stop import Stopped

CONFIG = tiny.PROFILE.finetune


@cache
def untrained():
    return transformer.init(CONFIG.model, 0)


def labelled(n, seed=0, length=12):
    """Rows of class 1 contain no T, rows of class 0 no A."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n).astype(np.int32)
    tokens = (rng.integers(vocab.C, vocab.N, (n, length)) - labels[:, None]).astype(np.uint8)
    lengths = rng.integers(length - 4, length + 1, n).astype(np.int32)
    tokens[np.arange(length)[None] >= lengths[:, None]] = vocab.PAD
    return Labelled(tokens, lengths, labels, tuple(f"row{i}|{x}" for i, x in enumerate(labels)))


SPLITS = labelled(8), labelled(4, 1), labelled(4, 2)


def tune(folder, config=CONFIG, splits=SPLITS, ask=lambda: None):
    """Start or resume a fine-tuning in a folder; returns the events."""
    folder.mkdir(exist_ok=True)
    return list(finetune.train(config, [Start(untrained(), 0, folder)], splits, ask))


def same(one, other):
    """Whether two runs have equal logs and predictions."""
    first, second = map(run_folder.predictions, (one, other))
    equal = all(np.array_equal(first[key], second[key]) for key in first)
    return equal and run_folder.events(one) == run_folder.events(other)


def classifier(head="label", bidirectional=True, blocks=1):
    sizes = replace(CONFIG.model, blocks=blocks)
    config = replace(CONFIG, head=head, bidirectional=bidirectional, model=sizes)
    return Classifier(transformer.init(config.model, 0), config, nnx.Rngs(0))


#: Jitted, which is faster than operation by operation.
called = jax.jit(Classifier.__call__)
features_of = jax.jit(transformer.Transformer.features)


def logits(net, rows):
    return called(net, jnp.asarray(rows.tokens), jnp.asarray(rows.lengths))


@pytest.mark.parametrize(("head", "own"), [("label", "net.head"), ("pooled", "pooled")])
def test_the_head_has_its_own_learning_rate(head, own):
    batch = jax.tree.map(lambda x: jnp.asarray(x)[None], Data(*labelled(4)[:3]))
    before = jax.tree.leaves_with_path(classifier(head))
    steps = []
    for rate in (1.0, 10.0):
        config = replace(CONFIG, head=head, head_rate=rate)
        state = optimizers.start(classifier(head), finetune._optimizer(config))
        after = jax.tree.leaves(finetune.advance(state, batch, config)[0].model)
        steps.append([new - old for (_, old), new in zip(before, after, strict=True)])
    for (path, _), slow, fast in zip(before, *steps, strict=True):
        times = 10 if jax.tree_util.keystr(path, simple=True, separator=".").startswith(own) else 1
        np.testing.assert_allclose(fast, times * slow, atol=1e-6)


@pytest.mark.parametrize("head", finetune.HEADS)
@pytest.mark.parametrize("length", [1, 63, 64])
def test_logits_of_a_padded_row_are_the_model_s_own_at_start_or_its_mean(head, length):
    rng, lengths = np.random.default_rng(length), jnp.array([length, (length + 1) // 2])
    tokens = jnp.asarray(rng.integers(vocab.A, vocab.N, (2, length)), jnp.int32)
    masks = {}
    for bidirectional in (True, False):
        net = classifier(head, bidirectional, blocks=2)
        found = masks[bidirectional] = called(net, tokens, lengths)
        for row, n in enumerate(lengths.tolist()):
            own = jnp.append(tokens[row, :n], vocab.START)[None]
            if head == "objective":
                own, n = jnp.append(vocab.objective_id("prefix_lm_75"), own)[None], n + 1
            features = features_of(net.net, own, jnp.array([n]) if bidirectional else None)
            if head == "pooled":
                want = net.pooled(features[:, :n].mean(axis=1))
            else:
                want = net.net.head(features[:, n])[:, vocab.FIRST_CLASS : vocab.FIRST_CLASS + 2]
            np.testing.assert_allclose(found[row], want[0], atol=1e-5)
    assert length == 1 or not np.allclose(masks[True], masks[False], atol=1e-4)


@pytest.mark.parametrize("act", ["read", "learn"])
def test_long_rows_are_computed_some_at_a_time_with_the_same_numbers_in_a_third_of_the_memory(
    act, monkeypatch
):
    rows = Data(*map(jnp.asarray, finetune.checked(labelled(16, length=1000), 2)))
    function, given = finetune.class_logits.__wrapped__, (classifier(), *rows[:2])
    if act == "learn":
        state = optimizers.start(classifier(), optax.sgd(1.0))  # a step is the gradient
        monkeypatch.setattr(finetune, "_optimizer", lambda _: optax.sgd(1.0))
        function = partial(finetune.advance.__wrapped__, config=CONFIG)
        given = state, jax.tree.map(lambda x: x[None], rows)
    found, needed = [], []
    for slots in (prompt._AT_ONCE, 2**20):
        monkeypatch.setattr(prompt, "_AT_ONCE", slots)
        again = partial(function)  # a new function, whose trace JAX has not kept
        program = jax.jit(again).lower(*given).compile()
        found.append(program(*given))
        needed.append(program.memory_analysis().temp_size_in_bytes)
    assert 3 * needed[0] < needed[1]
    for some, whole in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(some, whole, atol=1e-5)


def test_rows_have_a_multiple_of_64_slots_and_similar_lengths_share_a_program():
    slots = {1: 64, 63: 64, 64: 128, 300: 320, 1000: 1024}
    assert {bases: prompt.row_slots(bases) for bases in slots} == slots
    net, before = classifier(), finetune.class_logits._cache_size()
    for length in (70, 99, 127):
        data = finetune.checked(labelled(11, length=length), 2)
        assert data.tokens.shape == (11, 127)
        finetune.predict(net, finetune.in_batches(data, 11), 11)
    assert finetune.class_logits._cache_size() == before + 1


def test_a_pre_trained_model_is_computed_as_the_config_says(tmp_path):
    rough = replace(CONFIG, model=replace(CONFIG.model, compute="bfloat16", attention="einsum"))
    for name, config in (("rough", rough), ("exact", CONFIG)):
        tune(tmp_path / name, config)
    found = (run_folder.predictions(tmp_path / name) for name in ("rough", "exact"))
    first, second = (each["test_logits"] for each in found)
    assert 0 < np.abs(first - second).max() < 0.1
    wide = replace(CONFIG, model=replace(CONFIG.model, width=32))
    with pytest.raises(ValueError, match="width 16, not 32"):
        tune(tmp_path, wide)


def test_predictions_do_not_depend_on_how_many_rows_go_at_once():
    rows, net = labelled(7), classifier()
    data = Data(*(jnp.asarray(x) for x in rows[:3]))
    np.testing.assert_allclose(
        *(finetune.predict(net, finetune.in_batches(data, at_once), 7) for at_once in (3, 16)),
        atol=1e-5,
    )


@given(st.integers(1, 50), st.integers(1, 9), st.integers(0, 99), st.integers(0, 30))
def test_every_epoch_reads_every_row_once(n, rows, seed, first):
    steps = 2 * n
    order = finetune.epoch_rows(n, rows, seed, 0, first + steps)
    assert np.array_equal(finetune.epoch_rows(n, rows, seed, first, steps), order[first:])
    flat = order.reshape(-1)
    for epoch in range(len(flat) // n):
        assert sorted(flat[epoch * n : (epoch + 1) * n]) == list(range(n))


def test_a_share_of_the_train_rows_is_stratified_nested_and_that_of_the_seed():
    labels = np.arange(40) % 4 // 3  # a quarter of class 1
    read = lambda share, seed: {
        *finetune.rows_read(replace(CONFIG, share=share, rows=5), labels, seed, 0, 50).ravel()
    }
    few, many = read(0.2, 3), read(0.5, 3)
    assert len(few) == 8 and sum(labels[[*few]]) == 2
    assert few < many < read(1.0, 3) and read(0.2, 4) != few
    with pytest.raises(ValueError, match="share 0.0 of the train rows"):
        replace(CONFIG, share=0)


def test_strands_depend_on_seed_and_step_only_and_are_reverse_complements():
    config = replace(CONFIG, reverse_complement=True, rows=6)
    labels = np.arange(10) % 2
    whole = finetune.rows_read(config, labels, 3, 0, 50)
    assert np.array_equal(finetune.rows_read(config, labels, 3, 20, 30), whole[20:])
    assert np.array_equal(whole % 10, finetune.epoch_rows(10, 6, 3, 0, 50))
    assert 0.4 < (whole >= 10).mean() < 0.6
    rows = finetune.checked(labelled(3), 2)
    other = finetune.opposite(rows)
    for tokens, turned, length in zip(rows.tokens, other.tokens, rows.lengths, strict=True):
        want = vocab.reverse_complement(tokens[:length])
        assert np.array_equal(turned[:length], want) and not turned[length:].any()


def test_both_strands_are_read_averaged_and_compared(tmp_path):
    both, alone = tmp_path / "both", tmp_path / "alone"
    tune(both, replace(CONFIG, both_strands=True, reverse_complement=True))
    tune(alone)
    found, own = run_folder.predictions(both), run_folder.predictions(alone)["test_logits"][0]
    mean, opposite = found["test_logits"][0], found["test_opposite"][0]
    np.testing.assert_allclose(mean, (own + opposite) / 2, atol=1e-6)
    assert not np.allclose(opposite, own, atol=1e-4)
    agreed = frames.strand_agreement(both)
    assert agreed == np.mean(own.argmax(1) == opposite.argmax(1))
    np.savez(both / "predictions.npz", **collect.smaller(found))  # as results are stored
    assert frames.strand_agreement(both) == agreed
    assert frames.strand_agreement(alone) is None


def test_a_rule_is_learned_log_and_predictions_are_saved_and_the_start_is_not_modified(tmp_path):
    fast = replace(CONFIG.optimizer, peak=1e-2, final=1e-2)
    config = replace(CONFIG, optimizer=fast, steps=120, rows=16, evaluate_every=40)
    copy = jax.tree.map(jnp.copy, untrained())
    events = tune(tmp_path, config, (labelled(256), labelled(40, 1), labelled(60, 2)))
    accuracy = [e["accuracy"] for e in events if e["event"] == "evaluation"]
    assert accuracy[-1] > 0.9 > 0.8 > accuracy[0]
    assert [e["step"] for e in run_folder.events(tmp_path)] == [e["step"] for e in events]
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as stored:
        assert stored["steps"].tolist() == [0, 40, 80, 120]
        assert stored["validation_logits"].shape == (4, 40, 2)
        assert stored["test_logits"].shape == (4, 60, 2)
        assert np.array_equal(stored["test_labels"], labelled(60, 2).labels)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, untrained(), copy))


SMALL = replace(CONFIG, steps=6, evaluate_every=3, model=replace(CONFIG.model, blocks=2))


def trained(starts, folder):
    """Test logits of runs trained together, from (model seed, seed, mask) of each."""
    runs = []
    for i, (net, seed, mask) in enumerate(starts):
        (place := folder / f"{i}").mkdir()
        runs.append(Start(transformer.init(SMALL.model, net), seed, place, mask))
    list(finetune.train(SMALL, runs, (labelled(40), labelled(9, 1), labelled(7, 2))))
    return [run_folder.predictions(run.folder)["test_logits"] for run in runs]


STARTS = (0, 0, True), (1, 0, False), (1, 5, True)


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory):
    return [trained([start], tmp_path_factory.mktemp("one"))[0] for start in STARTS]


@pytest.mark.parametrize("backend", ["cpu", "gpu"])  # mapped over models in turn, and at once
def test_runs_together_equal_runs_one_by_one(tmp_path, monkeypatch, one_by_one, backend):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    for program in (finetune.advance_together, finetune._logits_together):
        program.clear_cache()  # what was compiled for the other backend
    before = finetune.advance_together._cache_size()
    together = trained(STARTS, tmp_path)
    assert finetune.advance_together._cache_size() == before + 1
    np.testing.assert_allclose(together, one_by_one, atol=2e-5)
    assert np.abs(one_by_one[1] - one_by_one[2]).max() > 1e-3  # they do differ


@pytest.mark.promise("Damage: a run resumes only with its own config, data, seed and format")
def test_fine_tuning_resumes_only_with_its_own_rows(tmp_path):
    config, parts = replace(CONFIG, steps=8), (labelled(4),) * 3
    asked = iter([*[None] * 3, Stopped("enough", 75)])
    with pytest.raises(Stopped):
        tune(tmp_path, config, parts, lambda: next(asked))
    with pytest.raises(ValueError, match="belongs to another run .data: stored '.*, now '"):
        tune(tmp_path, config, (labelled(4, 1), *parts[1:]))
    assert tune(tmp_path, config, parts)[0]["step"] == 2


def test_patience_ends_a_fine_tuning_also_when_it_is_resumed(tmp_path):
    config = replace(CONFIG, steps=20, evaluate_every=2, patience_evaluations=2)
    rng = np.random.default_rng(0)
    splits = [labelled(30, seed)._replace(labels=rng.integers(0, 2, 30)) for seed in range(3)]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    last = tune(whole, config, splits)[-1]["step"]
    for _ in range(100):
        try:
            tune(parts, config, splits, lambda: Stopped("enough", 75))
            break
        except Stopped:
            pass
    accuracy = [event["accuracy"] for event in run_folder.events(whole, "evaluation")]
    assert last < 20 and len(accuracy) - 1 - int(np.argmax(accuracy)) == 2
    assert same(whole, parts)


@pytest.mark.promise("Runs: a time budget is kept; status 75 says that the run can be resumed")
def test_a_fine_tuning_stops_within_an_evaluation_and_ends_the_same(tmp_path):
    config = replace(CONFIG, steps=4, evaluate_every=2)
    splits = labelled(30), labelled(9, 1), labelled(9 * config.rows * prompt.ASKED_EVERY, 2)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    tune(whole, config, splits)
    asked = []

    def ask():
        asked.append(len(run_folder.events(parts)) if (parts / "events.jsonl").exists() else 0)
        return Stopped("enough", status) if asked.count(after) == 5 else None

    for status, after, times in ((143, 0, [0] * 5), (75, 2, [*[0] * 10, 1, *[2] * 5])):
        asked.clear()
        with pytest.raises(Stopped):
            tune(parts, config, splits, ask)
        assert asked == times  # a signal stops the first evaluation, time only the second
    assert next(checkpoint.intact(parts / "checkpoints"), None).step == 2
    tune(parts, config, splits)
    assert same(whole, parts)


@pytest.mark.parametrize("label", [-1, 2, None])
def test_labels_outside_the_classes_and_empty_splits_are_refused(label, tmp_path):
    rows = labelled(8)
    if label is None:
        rows = Labelled(*(column[:0] for column in rows))
    else:
        rows.labels[3] = label
    message = "a split contains no rows" if label is None else f"label {label} is outside 0..1"
    with pytest.raises(ValueError, match=message):
        tune(tmp_path, splits=(rows, labelled(4), labelled(4)))


@pytest.mark.promise(
    "Numbers: three failed updates in a row end a run and save what repeats the step"
)
def test_three_failed_updates_stop_the_run_with_a_dump_that_repeats_the_step(tmp_path):
    optimizer = OptimizerConfig(peak=1e38, final=1e38, warmup=0.0, clip=1e30)
    wild = replace(CONFIG, optimizer=optimizer, steps=8, evaluate_every=8)
    rows = labelled(40)
    with pytest.raises(ArithmeticError, match="not finite, from step") as caught:
        tune(tmp_path, wild, (rows,) * 3)
    dump = next(checkpoint.intact(tmp_path / "failure"), None)
    assert f"from step {dump.step} on" in str(caught.value) and str(dump.path) in str(caught.value)
    like = Classifier(untrained(), wild, nnx.Rngs(0))
    tx = optimizers.optimizer(wild.optimizer, wild.steps)
    start = optimizers.start(checkpoint.restore(dump.path, like), tx)
    index = checkpoint.host(dump.path)["rows"][None]
    assert index.tolist() == finetune.epoch_rows(40, wild.rows, 0, dump.step, 1).tolist()
    batch = Data(*(jnp.asarray(column)[index] for column in rows[:3]))
    _, (_, norms, skipped) = finetune.advance(start, batch, wild)
    assert not np.isfinite(norms[0]) and int(skipped[0]) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"classes": 1}, {"steps": 5}, {"head": "mean"}, {"patience_evaluations": -1}]
    + [{"head_rate": 0.0}, {"head_rate": np.inf}, {"share": 1.1}]
    + [{name: value} for name in ("steps", "rows", "evaluate_every") for value in (0, -20)],
)
def test_impossible_protocols_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(CONFIG, **wrong)


def test_patience_waits_while_mcc_rises_although_accuracy_does_not():
    """A rare class is found bit by bit: each evaluation has one more wrong and one more right."""
    labels = np.r_[np.ones(10, int), np.zeros(90, int)]

    def logits(right, wrong):
        chosen = np.zeros(100, int)
        chosen[:right] = 1
        chosen[10 : 10 + wrong] = 1
        return np.eye(2)[chosen]

    curve = np.array([logits(0, 0)] + [logits(k, k + 1) for k in range(1, 10)])
    config = replace(CONFIG, steps=100, evaluate_every=2, patience_evaluations=2)
    found = lambda count: {"steps": np.arange(count) * 2, "validation_logits": curve[:count]}
    assert not any(finetune._ended(found(n), labels, config) for n in range(1, len(curve) + 1))
    falling = {"steps": np.arange(3) * 2, "validation_logits": curve[[9, 8, 7]]}
    assert finetune._ended(falling, labels, config)


@pytest.mark.parametrize("stopped", [False, True], ids=["in one go", "stopped in between"])
@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_the_model_of_the_step_that_validation_chose_is_kept(
    tmp_path, monkeypatch, chosen, stopped
):
    best = lambda labels, logits: min(chosen, len(logits) - 1)
    monkeypatch.setattr(finetune, "best_evaluation", best)
    if stopped:
        with pytest.raises(Stopped):
            tune(tmp_path, ask=lambda: Stopped("enough", 75))
    tune(tmp_path)
    saved = next(checkpoint.intact(tmp_path / "model"), None)
    assert saved.step == chosen * CONFIG.evaluate_every
    kept = checkpoint.restore(saved.path, Classifier(untrained(), CONFIG, nnx.Rngs(0)))
    found = run_folder.predictions(tmp_path)
    np.testing.assert_allclose(logits(kept, SPLITS[2]), found["test_logits"][chosen], atol=1e-5)


TRAIN = SPLITS[0]


@pytest.mark.parametrize(
    "odd",
    [
        {"lengths": TRAIN.lengths + 12},
        {"lengths": TRAIN.lengths * 0},
        {"lengths": TRAIN.lengths[1:]},
        {"labels": TRAIN.labels[1:]},
        {"labels": TRAIN.labels / 2},
        {"tokens": TRAIN.tokens.astype(int) + 256},
        {"tokens": TRAIN.tokens[0]},
    ],
)
def test_arrays_that_are_no_rows_are_refused_before_training(tmp_path, odd):
    with pytest.raises(ValueError, match="are no rows; give ids of bases"):
        tune(tmp_path / "run", splits=(TRAIN._replace(**odd), *SPLITS[1:]))


def test_rows_of_whole_numbers_of_any_type_are_the_same_rows():
    wide = [array.astype(np.int64) for array in TRAIN[:3]]
    plain, other = (prompt.checked(rows, 2) for rows in (TRAIN, Labelled(*wide, TRAIN.names)))
    for one, again in zip(plain, other, strict=True):
        assert one.dtype == again.dtype
        np.testing.assert_array_equal(one, again)


def test_folders_may_be_text_and_are_made(tmp_path):
    start = Start(untrained(), 0, str(tmp_path / "new" / "run"))
    list(finetune.train(CONFIG, [start], SPLITS))
    assert checkpoint.problems(next((tmp_path / "new" / "run" / "model").iterdir())) == []


def test_training_refuses_numbers_of_64_bits_in_one_line(tmp_path, human):
    ntp = tiny.ARMS["ntp"]
    runs = [pretrain.Run(0, tmp_path / "run")]
    jax.config.update("jax_enable_x64", True)
    try:
        for begin in (lambda: pretrain.train(ntp, human, runs), lambda: tune(tmp_path / "tuned")):
            with pytest.raises(ValueError, match="JAX_ENABLE_X64 is True, which changes"):
                list(begin())
    finally:
        jax.config.update("jax_enable_x64", False)
