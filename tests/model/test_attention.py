"""Every way of computing attention gives what the dense mask gives, values and gradients."""

import warnings
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu

from birdiedna.model import attention, cpu_kernels

WAYS = {
    "einsum": attention.attend_einsum,
    "kernels": lambda *x: attention.attend_kernels(*x, "xla"),
    "blocks": cpu_kernels.attend_blocks,
}
LENGTHS = {"in one block": 40, "in several and a rest": 300}


def dense(q, k, v, prefix):
    """The rule as a mask, with stock functions."""
    place = np.arange(q.shape[1])
    causal = place[None, :] <= place[:, None]
    prefix = np.zeros(len(q)) if prefix is None else prefix
    inside = place[None, :] < np.asarray(prefix)[:, None]
    mask = causal[None] | (inside[:, :, None] & inside[:, None, :])
    return jax.nn.dot_product_attention(q, k, v, mask=jnp.asarray(mask)[:, None])


def arrays(length, kind=np.float32):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=(3, length, 2, 8)), kind) for _ in range(4)]


@pytest.mark.parametrize("length", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_attention_without_a_mask_equals_the_dense_mask(way, length, share):
    q, k, v, slope = arrays(length)
    prefix = jnp.asarray([round(share * length), 0, round(share * length / 3)])
    value = lambda function: lambda *qkv: (function(*qkv, prefix) * slope).sum()
    np.testing.assert_allclose(jax.jit(way)(q, k, v, prefix), dense(q, k, v, prefix), atol=1e-5)
    got, want = (jax.jit(jax.grad(value(f), (0, 1, 2)))(q, k, v) for f in (way, dense))
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


#: The ends and both sides of every border, odd and even; kernels want multiples of 64.
ROW_LENGTHS = (1, 2, 63, 64, 65, 129, 301, 600, 1001, 1100)


@pytest.mark.parametrize("length", ROW_LENGTHS)
@pytest.mark.parametrize("prefixes", [True, False], ids=["prefixes", "causal"])
def test_every_length_gives_the_same_numbers_by_every_implementation(length, prefixes):
    rng = np.random.default_rng(length)
    q, k, v, slope = (jnp.asarray(rng.normal(size=(3, length, 1, 8)), jnp.float32) for _ in "qkvg")
    prefix = jnp.asarray([0, length // 2, length]) if prefixes else None

    @partial(jax.jit, static_argnums=0)
    def both(function, q, k, v):
        value, back = jax.vjp(lambda *qkv: function(*qkv, prefix), q, k, v)
        return value, back(slope)

    want = jax.tree.leaves(both(dense, q, k, v))
    for name in ("auto", "blocks", "einsum", "xla"):
        got = both(partial(attention.attend, implementation=name), q, k, v)
        for one, other in zip(jax.tree.leaves(got), want, strict=True):
            np.testing.assert_allclose(one, other, atol=5e-5, err_msg=name)


@pytest.mark.parametrize(
    ("name", "length", "kind", "value"),
    [
        ("cudnn", 301, jnp.bfloat16, "301"),
        ("cudnn", 64, jnp.float32, "float32"),
        ("flash", 64, jnp.bfloat16, "64"),
    ],
)
def test_a_kernel_asked_for_by_name_refuses_other_rows_with_the_remedy(name, length, kind, value):
    rows = jnp.zeros((1, length, 1, 8), kind)
    with pytest.raises(ValueError, match=f"{name}.*{value}.*auto"):
        attention.attend(rows, rows, rows, None, name)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_bfloat16_differs_by_its_rounding_only(way):
    prefix = jnp.asarray([0, 100, 300])
    exact = way(*arrays(300)[:3], prefix)
    rough = way(*arrays(300, jnp.bfloat16)[:3], prefix)
    assert rough.dtype == jnp.bfloat16
    np.testing.assert_allclose(rough.astype(jnp.float32), exact, atol=0.05)


def sizes(jaxpr):
    """Shapes of everything that a program computes, also in its branches and calls."""
    for equation in jaxpr.eqns:
        yield from (out.aval.shape for out in equation.outvars)
        closed = lambda value: hasattr(value, "eqns")
        for inner in jax.tree.leaves(equation.params, is_leaf=closed):
            if closed(inner):
                yield from sizes(inner)


@pytest.mark.parametrize(("way", "makes"), [("blocks", False), ("einsum", True)])
def test_blocks_make_no_tensor_of_all_scores_in_either_direction(way, makes):
    length = 4 * cpu_kernels.BLOCK
    q, k, v, slope = arrays(length)
    value = lambda *qkv: (WAYS[way](*qkv, jnp.asarray([0, 9, length])) * slope).sum()
    found = jax.make_jaxpr(jax.grad(value, (0, 1, 2)))(q, k, v)
    assert any(shape[-2:] == (length, length) for shape in sizes(found.jaxpr)) is makes


@pytest.mark.slow
def test_the_tpu_s_flash_kernel_equals_the_dense_mask():
    rng = np.random.default_rng(0)
    q, k, v, slope = (jnp.asarray(rng.normal(size=(2, 128, 1, 8)), jnp.float32) for _ in range(4))
    prefix = jnp.asarray([0, 60])

    def both(function):
        def value(*qkv):
            out = function(*qkv, prefix)
            return (out * slope).sum(), out

        return jax.grad(value, (0, 1, 2), has_aux=True)(q, k, v)

    with pltpu.force_tpu_interpret_mode():
        got = jax.tree.leaves(both(attention.attend_flash))
    for one, other in zip(got, jax.tree.leaves(both(dense)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


BF16, F32 = jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float32)


@pytest.mark.parametrize(
    ("platform", "capability", "length", "width", "dtype", "way"),
    [
        ("cpu", None, 1024, 64, BF16, "blocks"),
        ("cpu", None, cpu_kernels.BLOCK, 64, F32, "einsum"),
        ("gpu", "9.0", 1024, 64, BF16, "cudnn"),
        ("gpu", "8.0", 320, 128, BF16, "cudnn"),
        ("gpu", "9.0", 301, 64, BF16, "blocks"),
        ("gpu", "9.0", 97, 64, BF16, "einsum"),
        ("gpu", "9.0", 1024, 64, F32, "blocks"),
        ("gpu", "9.0", 1024, 60, BF16, "blocks"),
        ("gpu", "7.5", 1024, 64, BF16, "blocks"),
        ("gpu", "gfx942", 1024, 64, BF16, "blocks"),
        ("tpu", None, 1024, 64, BF16, "flash"),
        ("tpu", None, 300, 64, BF16, "blocks"),
    ],
)
def test_the_usual_way_is_one_that_the_device_has(
    platform, capability, length, width, dtype, way, monkeypatch
):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    named = {} if capability is None else {"compute_capability": capability}
    device = SimpleNamespace(platform=platform, **named)
    attention._say_once.cache_clear()
    with warnings.catch_warnings(record=True) as said:
        for _ in range(2):
            assert attention.usual(device, length, width, dtype) == way
    # what a kernel would have taken is said once, where there is one
    assert len(said) == (
        way in ("blocks", "einsum")
        and capability in ("9.0", "8.0")
        or way == "blocks"
        and platform == "tpu"
    )


def test_no_pallas_kernel_where_it_would_have_to_be_divided(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    assert attention.usual(SimpleNamespace(platform="tpu"), 1024, 64, BF16) == "blocks"
