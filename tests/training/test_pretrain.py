"""Claims about the pre-training loop, on the embedded sample at the smallest size."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from birdiedna.data import sample
from birdiedna.data.genome import Windows
from birdiedna.director.director import even
from birdiedna.model import attention, transformer
from birdiedna.objectives.definitions import BIRDIE_DNA, NTP
from birdiedna.objectives.mixture import Corpus
from birdiedna.objectives.program import Batch
from birdiedna.training import checkpoint, devices, optimizer, pretrain, run_folder
from birdiedna.training.optimizer import OptimizerConfig

BIRDIE, NTP_ARM = (
    replace(tiny.PROFILE.pretrain[arm], validation=sample.VALIDATION) for arm in ("birdie", "ntp")
)


def run(config, human, folder, seed=0):
    folder.mkdir()
    events = list(pretrain.train(config, human, seed, folder))
    return events, run_folder.events(folder)


@pytest.fixture(scope="module")
def birdie(human, tmp_path_factory):
    folder = tmp_path_factory.mktemp("birdie") / "run"
    return folder, *run(BIRDIE, human, folder)


def test_what_is_yielded_is_what_is_logged(birdie):
    _, yielded, logged = birdie
    assert [e["event"] for e in yielded] == [e["event"] for e in logged]
    assert [e["step"] for e in logged if e["event"] == "evaluation"] == [0, 2, 4, 6]
    assert [e["step"] for e in logged if e["event"] == "train"] == [2, 4, 6]
    assert [e["step"] for e in logged if e["event"] == "decision"] == [0, 2, 4]


def test_every_evaluation_measures_every_objective_from_a_blank_start(birdie):
    first = birdie[2][0]["losses"]
    assert list(first) == [*BIRDIE_DNA, *NTP]
    assert all(abs(loss - np.log(384)) < 1 for loss in first.values())


def test_ratios_are_logged_as_commanded_and_as_realised(birdie):
    logged = birdie[2]
    for event in logged:
        if event["event"] == "decision":
            assert sum(event["ratios"].values()) == pytest.approx(1, abs=1e-5)
        if event["event"] == "reward":
            assert sum(event["rows_share"].values()) == pytest.approx(1)
            assert sum(event["loss_tokens_share"].values()) == pytest.approx(1)
        if event["event"] == "train":
            assert sum(event["rows"].values()) == BIRDIE.rows * BIRDIE.chunk_steps
            assert event["grad_norm"] > 0 and event["tokens_per_s"] > 0


def test_bases_are_counted_with_and_without_repeats(birdie):
    last = [e for e in birdie[2] if e["event"] == "evaluation"][-1]
    assert last["tokens_seen"] == 6 * 4 * 128
    assert 0 < last["unique_bases_seen"] <= last["bases_seen"] <= last["tokens_seen"]


def test_the_model_of_a_run_can_be_loaded(birdie, human):
    folder = birdie[0]
    run_folder.write_json(folder / "config.json", run_folder.to_json(BIRDIE))
    net, config = pretrain.load(folder)
    assert config["model"]["width"] == 16
    assert isinstance(net, transformer.Transformer)


def test_the_same_seed_trains_the_same_model_and_another_seed_another(human, tmp_path):
    once, again, other = (
        run(NTP_ARM, human, tmp_path / name, seed)[1][-2]["losses"]["next_token"]
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert once == again != other


def test_the_baseline_is_the_same_loop_with_one_objective(human, tmp_path):
    _, logged = run(NTP_ARM, human, tmp_path / "run")
    decisions = [e for e in logged if e["event"] == "decision"]
    assert [e["ratios"] for e in decisions] == [{"next_token": 1.0}] * 3
    assert all(e["predicted_reward"] is None for e in decisions)


@pytest.mark.promise("Same bits: a batch is a function of seed, step and ratios alone")
def test_how_many_steps_are_drawn_together_changes_no_batch(human):
    def rows(chunk):
        config = replace(BIRDIE, chunk_steps=chunk, evaluations=(4,), steps=4)
        corpus, _ = pretrain._data(config, human, config.monitored())
        tx = optimizer.optimizer(config.optimizer, config.steps)
        state = optimizer.start(transformer.init(config.model, 0), tx)
        raw, ratios = jax.random.key_data(jax.random.key(0)), jnp.full(3, 1 / 3)
        parts = []
        for _ in range(config.steps // chunk):
            state, steps = pretrain.advance(state, raw, corpus, ratios, config, devices.mesh())
            parts.append(jax.tree.map(np.asarray, (steps.starts, steps.objective, steps.loss)))
        return jax.tree.map(lambda *x: np.concatenate(x), *parts)

    for one, other in zip(rows(2), rows(4), strict=True):
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
    tx = optimizer.optimizer(config.optimizer, config.steps)
    state = jax.eval_shape(lambda: optimizer.start(transformer.init(config.model, 0), tx))
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
        list(pretrain.train(BIRDIE, human, 0, tmp_path))
    assert run_folder.events(tmp_path, "evaluation"), "what was logged stays"


def test_the_compiler_plans_less_memory_for_more_microbatches(human):
    config = replace(BIRDIE, rows=64, evaluation_rows=64)
    corpus, _ = pretrain._data(config, human, config.monitored())
    tx = optimizer.optimizer(config.optimizer, config.steps)
    state = jax.eval_shape(lambda: optimizer.start(transformer.init(config.model, 0), tx))
    key, ratios = jax.random.key_data(jax.random.key(0)), jnp.full(3, 1 / 3)
    whole, parts = (
        pretrain.planned_bytes(
            state, key, corpus, ratios, replace(config, microbatches=n), devices.mesh()
        )
        for n in (1, 8)
    )
    assert 0 < parts < whole


@pytest.mark.promise("Numbers: a mixture is drawn as commanded, and a new one compiles nothing")
def test_new_ratios_compile_nothing(human):
    corpus, _ = pretrain._data(BIRDIE, human, BIRDIE.monitored())
    tx = optimizer.optimizer(BIRDIE.optimizer, BIRDIE.steps)
    state = optimizer.start(transformer.init(BIRDIE.model, 0), tx)
    over = devices.mesh()
    raw = jax.random.key_data(jax.random.key(0))
    state, corpus, raw = devices.replicate((state, corpus, raw), over)
    before = pretrain.advance._cache_size()
    for ratios in ([1, 0, 0], [0, 1, 0], [0.2, 0.3, 0.5]):
        ratios = devices.replicate(jnp.asarray(ratios, jnp.float32), over)
        state, _ = pretrain.advance(state, raw, corpus, ratios, BIRDIE, over)
    assert pretrain.advance._cache_size() <= before + 1


def test_losses_ignore_tokens_without_weight():
    net = transformer.init(BIRDIE.model, 0)
    tokens = jnp.asarray(np.random.default_rng(0).integers(8, 12, (2, 8)), jnp.int32)
    weights = jnp.zeros((2, 8)).at[:, 5:].set(1)
    batch = Batch(tokens, tokens, weights, jnp.array([5, 5]), jnp.zeros(2, jnp.int32))
    other = batch._replace(labels=batch.labels.at[:, :5].set(3))
    for visible in (True, False):
        a, b = (pretrain.row_losses(net, x, visible)[0] for x in (batch, other))
        assert jnp.array_equal(a, b)


def test_a_causal_arm_hides_later_prompt_tokens():
    net = transformer.init(BIRDIE.model, 0)
    tokens = jnp.asarray(np.random.default_rng(0).integers(8, 12, (1, 8)), jnp.int32)
    weights = jnp.zeros((1, 8)).at[:, 2].set(1)
    batch = Batch(tokens, tokens, weights, jnp.array([6]), jnp.zeros(1, jnp.int32))
    late = batch._replace(tokens=tokens.at[0, 4].set(3))
    changed = {
        visible: bool(
            pretrain.row_losses(net, batch, visible)[0]
            != pretrain.row_losses(net, late, visible)[0]
        )
        for visible in (True, False)
    }
    assert changed == {True: True, False: False}


@pytest.mark.promise("Settings: what is wrong in a config is refused by name before it runs")
@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"evaluations": (2, 4)}, "end at 6"),
        ({"evaluations": (4, 2, 6)}, "rise"),
        ({"evaluations": (3, 6)}, "multiples of 2"),
        ({"evaluation_rows": 6}, "divide"),
        ({"rows": 0}, "at least 1"),
    ],
)
def test_impossible_plans_are_refused_before_anything_is_compiled(wrong, said):
    with pytest.raises(ValueError, match=said):
        replace(BIRDIE, **wrong)


def test_an_unknown_contig_is_refused_with_the_closest_name(human, tmp_path):
    config = replace(BIRDIE, validation=("chr3:42600000-4275000",))
    with pytest.raises(ValueError, match="did you mean 'chr3:42600000-42750000'"):
        run(config, human, tmp_path / "run")


@pytest.mark.promise("Numbers: three in a row stop the run and keep what repeats the step")
def test_numbers_that_run_away_stop_the_run_with_what_makes_the_step_again(human, tmp_path):
    wild = replace(
        BIRDIE,
        director=even((0, 1, 2)),
        optimizer=OptimizerConfig(peak=1e38, final=1e38, warmup=0.0, clip=1e30),
        evaluations=(6,),
        chunk_steps=6,
    )
    with pytest.raises(
        ArithmeticError, match=r"3 updates in a row were not finite, from step"
    ) as e:
        list(pretrain.train(wild, human, 0, tmp_path))
    (train,) = run_folder.events(tmp_path, "train")
    assert train["skipped"] >= 3
    dump = checkpoint.newest(tmp_path / "failure")
    assert f"from step {dump.step}" in str(e.value) and str(dump.path) in str(e.value)
    like = jax.eval_shape(lambda: transformer.init(wild.model, 0))
    start = optimizer.start(
        checkpoint.restore(dump.path, like), optimizer.optimizer(wild.optimizer, wild.steps)
    )._replace(step=jnp.int32(dump.step))
    corpus, _ = pretrain._data(wild, human, wild.monitored())
    ratios = jnp.asarray(checkpoint.host(dump.path)["ratios"])
    key = jax.random.key_data(pretrain._stream(0, "batches"))
    _, steps = pretrain.advance(start, key, corpus, ratios, wild, devices.mesh())
    assert not np.isfinite(steps.grad_norm[0]) and int(steps.skipped[0]) == 1
