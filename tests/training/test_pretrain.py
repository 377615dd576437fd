"""The pre-training loop on the embedded sample, at the smallest size."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from birdiedna import vocab
from birdiedna.data.genome import Windows
from birdiedna.director.director import even
from birdiedna.model import attention, transformer
from birdiedna.objectives.definitions import BIRDIE_DNA, NTP
from birdiedna.objectives.mixture import Corpus
from birdiedna.objectives.program import Batch
from birdiedna.training import checkpoint, devices, optimizer, pretrain, run_folder
from birdiedna.training.log import Coverage, add, union, unique_bases
from birdiedna.training.optimizer import OptimizerConfig
from birdiedna.training.pretrain import Run
from birdiedna.training.stop import Stopped

BIRDIE, NTP_ARM = tiny.ARMS["birdie"], tiny.ARMS["ntp"]
KEY = jax.random.key_data(jax.random.key(0))


def run(config, human, folder, seed=0):
    """The events of a new run, as they are logged."""
    folder.mkdir()
    yielded = list(pretrain.train(config, human, [Run(seed, folder)]))
    logged = run_folder.events(folder)
    assert [(e["event"], e["step"]) for e in yielded] == [(e["event"], e["step"]) for e in logged]
    return logged


def start(config):
    tx = optimizer.optimizer(config.optimizer, config.steps)
    return optimizer.start(transformer.init(config.model, 0), tx)


def corpus_of(config, human):
    return pretrain._data(config, human, config.mixture())[0]


@pytest.fixture(scope="module")
def birdie(human, tmp_path_factory):
    """Events by kind."""
    logged = run(BIRDIE, human, tmp_path_factory.mktemp("birdie") / "run")
    kinds = dict.fromkeys(e["event"] for e in logged)
    return {kind: [e for e in logged if e["event"] == kind] for kind in kinds}


@pytest.mark.promise("Runs: a full disk is reported in bytes and harms nothing that was saved")
def test_a_full_disk_is_reported_before_the_first_step(human, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    monkeypatch.setattr(pretrain, "evaluate", lambda *_: pytest.fail("an evaluation was computed"))
    with pytest.raises(OSError, match="bytes are needed, 0 are free; nothing was trained"):
        next(pretrain.train(BIRDIE, human, [Run(0, tmp_path)]))


def test_a_run_is_measured_decided_and_trained_at_its_steps(birdie):
    steps = {kind: [e["step"] for e in events] for kind, events in birdie.items()}
    after = [2, 4, 6]
    assert steps == {
        "evaluation": [0, *after], "decision": [0, 2, 4], "train": after, "reward": after
    }  # fmt: skip
    first = birdie["evaluation"][0]["losses"]
    assert list(first) == [*BIRDIE_DNA, *NTP]
    assert all(abs(loss - np.log(384)) < 1 for loss in first.values())
    last = birdie["evaluation"][-1]
    assert last["base_losses"]["next_token"] == last["losses"]["next_token"]  # of bases alone


def test_losses_of_bases_leave_out_special_tokens(human):
    net, mesh = transformer.init(BIRDIE.model, 0), devices.mesh(BIRDIE.rows)
    fixed = pretrain._data(BIRDIE, human, BIRDIE.monitored())[1]
    found = np.asarray(pretrain.evaluate(net, fixed, BIRDIE, mesh))
    odds_of = jax.jit(lambda tokens, prefix: jax.nn.log_softmax(net(tokens, prefix)))
    for k, name in enumerate(BIRDIE.monitored().names):
        tokens, labels, weights, prefix, _ = (np.asarray(x[k]) for x in fixed)
        odds = np.asarray(odds_of(tokens, prefix))
        nats = -np.take_along_axis(odds, labels[..., None], axis=2)[..., 0]
        bases = (labels >= vocab.A) & (labels <= vocab.T)
        means = [nats[which].mean() for which in (weights > 0, (weights > 0) & bases)]
        assert found[:, k] == pytest.approx(means, abs=1e-4)
        assert (means[0] == means[1]) == (name == "next_token")


def test_ratios_are_logged_as_commanded_and_as_realised(birdie):
    sums = {"decision": ("ratios",), "reward": ("rows_share", "loss_tokens_share")}
    for kind, fields in sums.items():
        for event in birdie[kind]:
            assert [sum(event[f].values()) for f in fields] == pytest.approx(
                [1] * len(fields), abs=1e-5
            )
    for event, reward in zip(birdie["train"], birdie["reward"], strict=True):
        assert sum(event["rows"].values()) == BIRDIE.rows * BIRDIE.chunk_steps
        assert event["grad_norm"] > 0 and event["tokens_per_s"] > 0
        for counts, shares in (("rows", "rows_share"), ("loss_tokens", "loss_tokens_share")):
            total = sum(event[counts].values())
            wanted = {name: count / total for name, count in event[counts].items()}
            assert reward[shares] == pytest.approx(wanted), "of this round alone"
    rows = [sum(event["rows"][name] for event in birdie["train"]) for name, _ in BIRDIE.objectives]
    assert min(rows) > 0, "ratios are those of the director"


def test_bases_are_counted_with_and_without_repeats(birdie):
    last = birdie["evaluation"][-1]
    assert last["tokens_seen"] == 6 * 4 * 128
    assert 0 < last["unique_bases_seen"] <= last["bases_seen"] <= last["tokens_seen"]


def test_the_baseline_is_the_same_loop_and_its_model_is_a_function_of_the_seed(human, tmp_path):
    seeds = (("a", 0), ("b", 0), ("c", 1))
    runs = [run(NTP_ARM, human, tmp_path / name, seed) for name, seed in seeds]
    once, again, other = (events[-2]["losses"]["next_token"] for events in runs)
    assert once == again != other
    decisions = [e for e in runs[0] if e["event"] == "decision"]
    assert [e["ratios"] for e in decisions] == [{"next_token": 1.0}] * 3
    assert all(e["predicted_reward"] is None for e in decisions)


def test_masked_tokens_are_trained_by_the_same_loop(human, tmp_path, monkeypatch):
    for name in ("BIRDIE_DNA", "NTP"):
        monkeypatch.setattr(pretrain, name, {})
    logged = run(tiny.ARMS["mlm"], human, tmp_path / "run")
    before, *_, after = [event for event in logged if event["event"] == "evaluation"]
    assert after["losses"]["masked_15"] < before["losses"]["masked_15"]
    assert [event["rows"] for event in logged if event["event"] == "train"] == [
        {"masked_15": 8}
    ] * 3


@pytest.mark.promise("Same bits: a batch is a function of seed, step and ratios alone")
def test_the_chunk_size_changes_no_batch(human):
    def rows(config):
        mesh = devices.mesh()
        given = start(config), KEY, corpus_of(config, human), np.full(3, 1 / 3, np.float32)
        state, key, corpus, ratios = devices.replicate(given, mesh)
        parts = []
        for _ in range(config.steps // config.chunk_steps):
            state, steps = pretrain.advance(state, key, corpus, ratios, config, mesh)
            parts.append(jax.tree.map(np.asarray, (steps.starts, steps.objective, steps.loss)))
        return jax.tree.map(lambda *x: np.concatenate(x), *parts)

    at_once = replace(BIRDIE, chunk_steps=6, evaluations=(6,))
    for one, other in zip(rows(BIRDIE), rows(at_once), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(("arm", "prefixes"), [(BIRDIE, True), (NTP_ARM, False)])
def test_an_arm_without_prefixes_compiles_no_bidirectional_attention(arm, prefixes, monkeypatch):
    seen = set()
    attend = attention.attend
    monkeypatch.setattr(
        transformer, "attend", lambda q, *x: (seen.add(x[2] is None), attend(q, *x))[1]
    )
    config = replace(arm, slots=96)  # traced here and nowhere else
    shape = jax.ShapeDtypeStruct
    state = jax.eval_shape(lambda: start(config))
    corpus = Corpus(shape((999,), jnp.uint8), Windows(*[shape((1,), jnp.uint32)] * 2))
    ratios = shape((len(config.objectives),), jnp.float32)
    key = shape((2,), jnp.uint32)
    jax.eval_shape(
        lambda *x: pretrain.advance(*x, config, devices.mesh()), state, key, corpus, ratios
    )
    assert seen == {not prefixes}


@pytest.mark.promise("Bad input: a batch too large for the device says what would fit")
@pytest.mark.parametrize(("room", "said"), [(2.0, "microbatches=2 fits"), (0.5, "no number")])
def test_a_batch_too_large_for_the_device_says_what_would_fit(
    room, said, human, tmp_path, monkeypatch
):
    def full(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    device = SimpleNamespace(device_kind="T4", memory_stats=lambda: {"bytes_limit": room * 1e9})
    monkeypatch.setattr(pretrain, "advance", full)
    monkeypatch.setattr(pretrain.jax, "local_devices", lambda: [device])
    plan = lambda *x: 4e9 / x[4].microbatches
    monkeypatch.setattr(pretrain, "planned_bytes", plan)
    with pytest.raises(ValueError, match=f"4 rows of 128 slots.*T4; {said}"):
        list(pretrain.train(BIRDIE, human, [Run(0, tmp_path)]))
    assert run_folder.events(tmp_path, "evaluation"), "what was logged stays"


def test_the_compiler_plans_less_memory_for_more_microbatches(human):
    config = replace(NTP_ARM, rows=64, evaluation_rows=64)
    args = jax.eval_shape(lambda: start(config)), KEY, corpus_of(config, human), jnp.ones(1)
    whole, parts = (
        pretrain.planned_bytes(*args, replace(config, microbatches=n), devices.mesh())
        for n in (1, 8)
    )
    assert 0 < parts < whole


@pytest.mark.promise("Numbers: rows follow the ratios, and new ratios compile nothing")
def test_new_ratios_compile_nothing(human):
    mesh = devices.mesh()
    given = start(BIRDIE), KEY, corpus_of(BIRDIE, human)
    state, key, corpus = devices.replicate(given, mesh)
    before = pretrain.advance._cache_size()
    for ratios in ([1, 0, 0], [0, 1, 0], [0.2, 0.3, 0.5]):
        ratios = devices.replicate(jnp.asarray(ratios, jnp.float32), mesh)
        state, _ = pretrain.advance(state, key, corpus, ratios, BIRDIE, mesh)
    assert pretrain.advance._cache_size() <= before + 1


def test_rows_or_tokens_weigh_alike_as_the_config_says():
    nats, tokens = jnp.array([2.0, 12.0]), jnp.array([1.0, 4.0])
    assert pretrain.weighed(nats, tokens, "token").sum() / tokens.sum() == pytest.approx(14 / 5)
    assert pretrain.weighed(nats, tokens, "row").sum() / 2 == pytest.approx((2 + 3) / 2)
    with pytest.raises(ValueError, match="loss_average 'batch'"):
        replace(BIRDIE, loss_average="batch")


def test_losses_ignore_tokens_without_weight_and_a_causal_arm_hides_later_prompt_tokens():
    net = transformer.init(BIRDIE.model, 0)
    tokens = jnp.asarray(np.random.default_rng(0).integers(8, 12, (2, 8)), jnp.int32)
    weights = jnp.zeros((2, 8)).at[:, 5:].set(1)
    batch = Batch(tokens, tokens, weights, jnp.array([5, 5]), jnp.zeros(2, jnp.int32))
    other = batch._replace(labels=batch.labels.at[:, :5].set(3))
    early = batch._replace(weights=jnp.zeros((2, 8)).at[:, 2].set(1))
    late = early._replace(tokens=tokens.at[:, 4].set(3))
    losses = jax.jit(pretrain.row_losses, static_argnums=2)
    for visible in (True, False):
        a, b, c, d = (losses(net, x, visible)[0] for x in (batch, other, early, late))
        assert jnp.array_equal(a, b) and ((c != d) == visible).all()


def test_an_unknown_contig_is_refused_with_the_closest_name(human, tmp_path):
    config = replace(BIRDIE, validation=("ch3:42600000-42750000",))
    with pytest.raises(ValueError, match="did you mean 'chr3:42600000-42750000'"):
        run(config, human, tmp_path / "run")


@pytest.mark.promise(
    "Numbers: three failed updates in a row end a run and save what repeats the step"
)
def test_three_failed_updates_stop_the_run_with_a_dump_that_repeats_the_step(human, tmp_path):
    wild = replace(
        BIRDIE,
        director=even((0, 1, 2)),
        optimizer=OptimizerConfig(peak=1e38, final=1e38, warmup=0.0, clip=1e30),
        evaluations=(6,),
        chunk_steps=6,
    )
    with pytest.raises(ArithmeticError, match="3 updates in a row were not finite, from ") as e:
        list(pretrain.train(wild, human, [Run(0, tmp_path)]))
    (train,) = run_folder.events(tmp_path, "train")
    assert train["skipped"] >= 3
    dump = next(checkpoint.intact(tmp_path / "failure"), None)
    assert f"from step {dump.step}" in str(e.value) and str(dump.path) in str(e.value)
    like = jax.eval_shape(lambda: transformer.init(wild.model, 0))
    tx = optimizer.optimizer(wild.optimizer, wild.steps)
    before = optimizer.start(checkpoint.restore(dump.path, like), tx)
    before = before._replace(step=jnp.int32(dump.step))
    ratios, mesh = checkpoint.host(dump.path)["ratios"], devices.mesh()
    given = before, jax.random.key_data(pretrain._key(0, "batches")), corpus_of(wild, human), ratios
    _, steps = pretrain.advance(*devices.replicate(given, mesh), wild, mesh)
    assert not np.isfinite(steps.grad_norm[0]) and int(steps.skipped[0]) == 1


windows = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60)), min_size=1, max_size=40)


@given(st.lists(windows, min_size=1, max_size=4))
def test_unique_bases_are_those_that_a_set_would_count(chunks):
    assert unique_bases(Coverage()) == len(union(np.zeros((0, 2), np.int64))) == 0
    seen, marked, total = Coverage(), set(), 0
    for chunk in chunks:
        starts, lengths = np.array(chunk).T
        seen = add(seen, 10, starts, lengths)
        total += lengths.sum()
        marked |= {base for start, length in chunk for base in range(start, start + length)}
    assert (unique_bases(seen), seen.bases, seen.tokens) == (len(marked), total, 10 * len(chunks))
    assert (seen.intervals[1:, 0] > seen.intervals[:-1, 1]).all()


def numbers(events):
    """Every number of a log but its seconds, in order."""
    flat = jax.tree.leaves([{**e, "seconds": 0, "tokens_per_s": 0} for e in events])
    return [value for value in flat if not isinstance(value, str)]


@pytest.mark.parametrize("backend", ["cpu", "gpu"])  # rows drawn in turn, and at once
def test_seeds_together_equal_seeds_one_by_one_and_resume(tmp_path, human, monkeypatch, backend):
    seeds = (0, 3)
    alone = [run(NTP_ARM, human, tmp_path / f"alone{seed}", seed) for seed in seeds]
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    programs = pretrain.advance_together, pretrain.advance
    for program in programs:
        program.clear_cache()  # what was compiled for the other backend
    runs = [Run(seed, tmp_path / f"{seed}") for seed in seeds]
    for one in runs:
        one.folder.mkdir()
    stops = iter([None, Stopped("enough", 75)])
    with pytest.raises(Stopped):
        list(pretrain.train(NTP_ARM, human, runs, lambda: next(stops)))
    assert {next(checkpoint.intact(one.folder / "checkpoints"), None).step for one in runs} == {2}
    list(pretrain.train(NTP_ARM, human, runs))
    assert pretrain.advance_together._cache_size() == 1
    for one, logged in zip(runs, alone, strict=True):
        together = run_folder.events(one.folder)
        assert [e["event"] for e in together] == [e["event"] for e in logged]
        assert numbers(together) == pytest.approx(numbers(logged), rel=1e-4)
        assert (one.folder / "model").is_dir()
    assert numbers(alone[0]) != pytest.approx(numbers(alone[1]), rel=1e-3)  # they do differ
    for program in programs:
        program.clear_cache()
