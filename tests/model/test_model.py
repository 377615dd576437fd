"""The model: every slot sees exactly what it may; `test_llama` compares numbers."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from birdiedna.model import cpu_kernels, transformer
from birdiedna.model.transformer import ModelConfig
from birdiedna.training import optimizer

TINY = ModelConfig(vocabulary=40, width=32, blocks=2, heads=4, head_width=8, mlp_width=64)
logits_of = jax.jit(lambda net, tokens, prefix: net(tokens, prefix))


@pytest.fixture(scope="module")
def ours():
    return transformer.init(TINY, 0)


def seen(net, length, prefix):
    """(query, key) True where changing token `key` changes the logits of `query`."""
    base = jnp.asarray(np.random.default_rng(0).integers(0, 30, length))
    changed = jnp.tile(base, (length, 1)).at[jnp.arange(length), jnp.arange(length)].add(1)
    rows = jnp.concatenate([base[None], changed])
    logits = logits_of(net, rows, jnp.full(length + 1, prefix))
    return np.asarray((logits[1:] != logits[:1]).any(-1)).T


@pytest.mark.parametrize("prefix", [0, 1, 5, 12])
def test_visibility_is_the_prefix_rule(ours, prefix):
    query, key = np.indices((12, 12))
    rule = (key <= query) | ((query < prefix) & (key < prefix))
    assert np.array_equal(seen(ours, 12, prefix), rule)


@pytest.mark.parametrize("shape", [(3, 17), (2, 5, 17)], ids=["rows", "rows and slots"])
@pytest.mark.parametrize("kind", [jnp.float32, jnp.bfloat16])
def test_the_cpu_s_matmul_is_the_matrix_product_with_its_gradients(shape, kind, monkeypatch):
    keys = jax.random.split(jax.random.key(0), 3)
    x, gradient = (jax.random.normal(k, (*shape[:-1], n), kind) for k, n in zip(keys, (17, 9)))
    kernel = jax.random.normal(keys[2], (17, 9))
    rounded = (y.astype(kind).astype(jnp.float32) for y in (x, kernel))
    want, back = jax.vjp(lambda x, kernel: x @ kernel, *rounded)
    got, back_cpu = jax.vjp(cpu_kernels.matmul, x, kernel)
    gradients, gradients_cpu = back(gradient.astype(jnp.float32)), back_cpu(gradient)
    assert (got.dtype, gradients_cpu[1].dtype) == (kind, jnp.float32)
    near = 1e-5 if kind == jnp.float32 else 1e-2
    for one, other in zip((got, gradients_cpu[0]), (want, gradients[0]), strict=True):
        np.testing.assert_allclose(one.astype(jnp.float32), other, rtol=near, atol=1e-5)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    plain = cpu_kernels.matmul(x, kernel)
    assert plain.dtype == kind
    np.testing.assert_allclose(plain.astype(jnp.float32), want, rtol=near, atol=1e-5)
    # products of bfloat16 are exact in float32: the kernel's gradient is never rounded to bfloat16
    np.testing.assert_allclose(gradients_cpu[1], gradients[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("width", "length"), [(8, 7), (24, 129)])
def test_bfloat16_learns_what_float32_learns_at_any_size(width, length):
    config = replace(TINY, width=width, blocks=1, heads=2, head_width=4, mlp_width=2 * width)
    ids = jax.random.randint(jax.random.key(0), (2, length), 0, 30)
    prefix = jnp.array([0, length // 2])
    loss = lambda net: optimizer.cross_entropy(net(ids, prefix), ids).mean()
    rough, exact = (
        jax.jit(jax.grad(loss))(transformer.init(replace(config, compute=kind), 0))
        for kind in ("bfloat16", "float32")
    )
    for one, other in zip(jax.tree.leaves(rough), jax.tree.leaves(exact), strict=True):
        assert one.dtype == jnp.float32
        assert jnp.linalg.norm(one - other) < 0.1 * jnp.linalg.norm(other)


@pytest.mark.parametrize("recompute", [False, True])
def test_one_slot_has_the_features_and_gradients_that_it_has_in_whole_rows(ours, recompute):
    net = transformer.recast(ours, replace(ours.config, recompute=recompute))
    ids = jax.random.randint(jax.random.key(0), (3, 21), 0, 30)
    slot, prefix = jnp.array([0, 7, 20]), jnp.array([0, 9, 20])
    alone = lambda net: net.features(ids, prefix, slot=slot)[:, 0]
    whole = lambda net: net.features(ids, prefix)[jnp.arange(3), slot]
    cubed = lambda read: jax.jit(jax.value_and_grad(lambda net: (read(net) ** 3).sum()))
    found = [cubed(read)(net) for read in (alone, whole)]
    for one, other in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    embedded = net.embedding[...][ids[jnp.arange(3), slot]]
    np.testing.assert_array_equal(net.features(ids, prefix, 0, slot)[:, 0], embedded)


def test_recast_changes_how_weights_are_used_and_refuses_other_sizes(ours):
    config = replace(ours.config, compute="bfloat16", attention="xla")
    rough = transformer.recast(ours, config)
    assert rough.config == config and rough.blocks[0].query.compute == "bfloat16"
    for one, other in zip(jax.tree.leaves(rough), jax.tree.leaves(ours), strict=True):
        assert one is other
    tokens, prefix = jnp.arange(12)[None], jnp.array([4])
    near = logits_of(rough, tokens, prefix), logits_of(ours, tokens, prefix)
    assert 0 < jnp.abs(near[0] - near[1]).max() < 0.1
    for field, value in (("width", 99), ("rope_base", 1.0), ("blocks", 7)):
        has = getattr(ours.config, field)
        with pytest.raises(ValueError, match=f"{field} {has}, not {value}"):
            transformer.recast(ours, replace(config, **{field: value}))


def test_weights_start_with_a_deviation_of_one_over_the_root_of_their_inputs(ours):
    matrices = (ours.embedding, ours.blocks[0].down.kernel), (32, 64)
    for matrix, inputs in zip(*matrices, strict=True):
        scaled = np.asarray(matrix[...]) * inputs**0.5
        assert 1.5 < np.abs(scaled).max() < 2.3, "truncated at two deviations"
        assert scaled.std() == pytest.approx(0.95, abs=0.1)


def test_the_paper_s_model_has_16_8_million_parameters_and_its_embeddings():
    assert transformer.count_parameters(ModelConfig()) == 16_781_824 + 2 * 384 * 512
    assert transformer.count_parameters(ModelConfig(vocabulary=32)) == 16_814_592


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("width", 0, "width 0 must be at least 1"),
        ("width", "64", "width '64' is of type str; give a value of type int"),
        ("blocks", True, "blocks True is of type bool; give a value of type int"),
        ("blocks", 1025, "blocks 1,025 are more than 1,024"),
        ("rope_base", 0.0, "rope_base 0 must be above 0"),
        ("rope_base", float("inf"), "rope_base inf is not finite"),
        ("rope_base", 10**400, "is not finite as float32; give 0, or 1.2e-38 to 3.4e38"),
        ("norm_epsilon", 1e-300, "norm_epsilon 1e-300 is not finite as float32"),
        ("norm_epsilon", 0.0, "norm_epsilon 0 must be above 0"),
        ("norm_epsilon", float("nan"), "norm_epsilon nan is not finite"),
        ("mlp_width", 10**9, "mlp_width 1,000,000,000 are more than 131,072"),
        ("vocabulary", 10**9, "vocabulary 1,000,000,000 are more than 1,048,576"),
        ("head_width", 7, "head_width 7 must be even"),
        ("head_width", 0, "head_width 0 must be at least 1"),
        ("attention", "dense", "attention 'dense' is not one of auto"),
        ("compute", "float16", "compute 'float16' must be float32 or bfloat16"),
        ("kv_heads", -1, "kv_heads -1 must be at least 0"),
        ("kv_heads", 3, "must divide by kv_heads 3"),
        ("rope_scaling", (8.0, "1", 4.0, 64.0), "'1' is of type str; give a value of type float"),
        ("rope_scaling", (8.0, 4.0, 1.0, 64.0), "must be factor, low < high, slots"),
    ],
)
def test_impossible_sizes_are_refused(field, value, why):
    with pytest.raises(ValueError, match=why):
        replace(TINY, **{field: value})
