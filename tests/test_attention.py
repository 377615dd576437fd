"""Every way of computing attention gives what the dense mask gives, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from birdiedna import attention

WAYS = {
    "einsum": attention.attend_einsum,
    "kernels": lambda *x: attention.attend_kernels(*x, "xla"),
    "blocks": attention.attend_blocks,
}
LENGTHS = {"in one block": 40, "in several and a rest": 300}


def dense(q, k, v, prefix):
    """The rule as a mask, with stock functions."""
    place = np.arange(q.shape[1])
    causal = place[None, :] <= place[:, None]
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


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_bfloat16_differs_by_its_rounding_only(way):
    prefix = jnp.asarray([0, 100, 300])
    exact = way(*arrays(300)[:3], prefix)
    rough = way(*arrays(300, jnp.bfloat16)[:3], prefix)
    assert rough.dtype == jnp.bfloat16
    np.testing.assert_allclose(rough.astype(jnp.float32), exact, atol=0.05)


def test_the_usual_way_on_a_cpu_is_by_blocks_for_long_rows(monkeypatch):
    assert attention._usual(attention.BLOCK) == "einsum"
    assert attention._usual(attention.BLOCK + 1) == "blocks"
    monkeypatch.setattr(attention.jax, "default_backend", lambda: "gpu")
    assert attention._usual(1024) == "xla"
