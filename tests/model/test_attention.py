"""Every implementation of attention equals the dense mask, values and gradients."""

import warnings
from functools import cache, partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import tpu as pltpu

from birdiedna.model import attention, cpu_kernels


def dense(q, k, v, prefix):
    """The rule as a mask, with stock functions."""
    place = jnp.arange(q.shape[1])
    causal = place[None, :] <= place[:, None]
    prefix = jnp.zeros(len(q)) if prefix is None else prefix
    inside = place[None, :] < prefix[:, None]
    mask = causal[None] | (inside[:, :, None] & inside[:, None, :])
    return jax.nn.dot_product_attention(q, k, v, mask=mask[:, None])


BF16, F32 = jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float32)


@cache
def by(implementation):
    """`attend` by one implementation; jitted, which is faster than operation by operation."""
    return jax.jit(partial(attention.attend, implementation=implementation))


def arrays(length, kind=np.float32, rows=2, heads=2):
    rng = np.random.default_rng(length)
    return [jnp.asarray(rng.normal(size=(rows, length, heads, 8)), kind) for _ in range(4)]


#: From 1 to 1,100: both sides of the first boundary of both block sizes, odd and even.
ROW_LENGTHS = (1, 2, 63, 64, 65, 128, 129, 301, 640, 1001, 1100)


@pytest.mark.parametrize("length", ROW_LENGTHS)
@pytest.mark.parametrize("prefixes", [True, False], ids=["prefixes", "causal"])
def test_every_implementation_equals_the_dense_mask_at_every_length(length, prefixes, monkeypatch):
    monkeypatch.setitem(attention.MULTIPLES, "xla", 64)  # padded, as cuDNN's rows are
    *qkv, gradient = arrays(length, heads=1)
    ends = [(0, 0), (1, min(length, cpu_kernels.BLOCK)), (length // 2, length)]

    names = ["auto", "blocks", "chunks", "einsum", "xla"]
    names.remove(attention.fastest(jax.devices()[0], length, 8, F32))  # which is that of "auto"

    @jax.jit  # one program for all, since compiling is most of the time
    def every(prefix, gradient, *qkv):
        def both(function):
            value, back = jax.vjp(lambda *qkv: function(*qkv, prefix), *qkv)
            return [value, *back(gradient)]

        return [both(function) for function in (dense, *map(by, names))]

    for prefix in map(jnp.asarray, ends) if prefixes else [None]:
        want, *found = every(prefix, gradient, *qkv)
        for name, got in zip(names, found, strict=True):
            for one, other in zip(got, want, strict=True):
                np.testing.assert_allclose(one, other, atol=5e-5, err_msg=f"{name} {prefix}")


@pytest.mark.parametrize(
    ("width", "kind", "value"), [(8, jnp.float32, "float32"), (12, jnp.bfloat16, "12")]
)
def test_a_named_kernel_refuses_heads_it_does_not_support_with_the_remedy(width, kind, value):
    rows = jnp.zeros((1, 64, 1, width), kind)
    with pytest.raises(ValueError, match=f"cudnn.*{value}.*auto"):
        attention.attend(rows, rows, rows, None, "cudnn")


@pytest.mark.parametrize("name", ["einsum", "xla", "blocks", "chunks"])
def test_bfloat16_differs_by_its_rounding_only(name):
    prefix = jnp.asarray([0, 100, 300])
    exact = by(name)(*arrays(300, rows=3)[:3], prefix)
    rough = by(name)(*arrays(300, jnp.bfloat16, rows=3)[:3], prefix)
    assert rough.dtype == jnp.bfloat16
    np.testing.assert_allclose(rough.astype(jnp.float32), exact, atol=0.05)


def sizes(jaxpr):
    """Shapes of all values that a program computes, including branches and calls."""
    for equation in jaxpr.eqns:
        yield from (out.aval.shape for out in equation.outvars)
        closed = lambda value: hasattr(value, "eqns")
        for inner in jax.tree.leaves(equation.params, is_leaf=closed):
            if closed(inner):
                yield from sizes(inner)


@pytest.mark.parametrize(
    ("name", "makes"), [("blocks", False), ("chunks", False), ("einsum", True)]
)
def test_blocks_and_chunks_make_no_tensor_of_all_scores_forward_or_backward(name, makes):
    length = 4 * cpu_kernels.BLOCK
    q, k, v, gradient = arrays(length, rows=3)
    value = lambda *qkv: (by(name)(*qkv, jnp.asarray([0, 9, length])) * gradient).sum()
    found = jax.make_jaxpr(jax.grad(value, (0, 1, 2)))(q, k, v)
    assert any(shape[-2:] == (length, length) for shape in sizes(found.jaxpr)) is makes


@pytest.mark.slow
def test_the_tpu_s_flash_kernel_equals_the_dense_mask():
    q, k, v, gradient = arrays(100, heads=1)
    prefix = jnp.asarray([0, 60])

    @partial(jax.jit, static_argnums=0)
    def both(function):
        value, back = jax.vjp(lambda *qkv: function(*qkv, prefix), q, k, v)
        return jax.tree.leaves((value, back(gradient), function(q, k, v, None)))

    with pltpu.force_tpu_interpret_mode():
        got = both(by("flash"))
    for one, other in zip(got, both(dense), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("platform", "capability", "length", "width", "dtype", "way"),
    [
        ("cpu", None, 1024, 64, BF16, "blocks"),
        ("cpu", None, cpu_kernels.BLOCK, 64, F32, "einsum"),
        ("gpu", "9.0", 1024, 64, BF16, "cudnn"),
        ("gpu", "8.0", 320, 128, BF16, "cudnn"),
        ("gpu", "9.0", 301, 64, BF16, "cudnn"),
        ("gpu", "9.0", 97, 64, F32, "einsum"),
        ("gpu", "9.0", 1024, 64, F32, "chunks"),
        ("gpu", "9.0", 1024, 60, BF16, "chunks"),
        ("gpu", "7.5", 1024, 64, BF16, "chunks"),
        ("gpu", "gfx942", 1024, 64, BF16, "chunks"),
        ("tpu", None, 1024, 64, BF16, "flash"),
        ("tpu", None, 300, 64, F32, "flash"),
    ],
)
def test_auto_takes_an_implementation_that_the_device_has(
    platform, capability, length, width, dtype, way, monkeypatch
):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    named = {} if capability is None else {"compute_capability": capability}
    device = SimpleNamespace(platform=platform, **named)
    attention._warn_once.cache_clear()
    with warnings.catch_warnings(record=True) as warned:
        for _ in range(2):
            assert attention.fastest(device, length, width, dtype) == way
    # one warning where the device has a kernel that does not take these rows
    has_kernel = platform == "tpu" or capability in ("9.0", "8.0")
    assert len(warned) == (has_kernel and way in ("chunks", "einsum"))


def test_several_tpus_take_no_pallas_kernel(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    assert attention.fastest(SimpleNamespace(platform="tpu"), 1024, 64, BF16) == "chunks"
