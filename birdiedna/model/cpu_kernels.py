"""Matrix product and attention, faster on CPUs, with the same results.

Callers use `matmul`, which depends on the backend, and `attention.attend`. Axes are B rows,
L slots, H heads, K head size.
"""

from functools import partial

import jax
import jax.numpy as jnp

#: Number of queries (forward) or keys (backward) in a block of `attend_blocks`.
BLOCK = 128
#: The score of an invisible key.
NEVER = jnp.finfo(jnp.float32).min


def matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x (..., d) @ kernel (d, f), a float32 kernel, in the type of x."""
    if jax.default_backend() == "cpu":
        return _matmul(x, kernel)
    return x @ kernel.astype(x.dtype)


@jax.custom_vjp
def _matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x @ kernel with float32 sums, which makes bfloat16 twice as fast in XLA's CPU backend.

    The gradient of the kernel stays in float32.
    """
    return _matmul_forward(x, kernel)[0]


def _matmul_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple]:
    kernel = kernel.astype(x.dtype)
    y = jnp.einsum("...d,df->...f", x, kernel, preferred_element_type=jnp.float32)
    return y.astype(x.dtype), (x, kernel)


def _matmul_backward(saved: tuple, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    rows = tuple(range(x.ndim - 1))
    axes = (rows, rows), ((), ())
    flat = gradient.reshape(-1, gradient.shape[-1])  # jax 0.7 cannot multiply more axes of bfloat16
    gradient_x = jnp.einsum("nf,df->nd", flat, kernel, preferred_element_type=jnp.float32)
    outer = jax.lax.dot_general(x, gradient, axes, preferred_element_type=jnp.float32)
    return gradient_x.astype(x.dtype).reshape(x.shape), outer


_matmul.defvjp(_matmul_forward, _matmul_backward)


def sees(query: jax.Array, key: jax.Array, prefix: jax.Array | None) -> jax.Array:
    """Whether query sees key, (B, 1, queries, keys) or (1, 1, ...) for causal rows.

    Args:
      query, key: positions in the row, int32, that broadcast to (1, 1, queries, keys).
      prefix: int32 (B,), or None.
    """
    causal = key <= query
    if prefix is None:
        return causal
    prefix = prefix[:, None, None, None]
    return causal | ((query < prefix) & (key < prefix))


@jax.custom_vjp
def attend_blocks(q_BLHK, k_BLHK, v_BLHK, prefix: jax.Array | None) -> jax.Array:
    """Attention block by block, for CPUs: causal rows skip keys that no query of a block sees.

    The backward pass recomputes the weights from the logarithm of their sum, as flash attention
    does (Dao et al., 2022), so that no scores are stored. A batch with a prefix longer than a block
    reads all keys.
    """
    return _attend_forward(q_BLHK, k_BLHK, v_BLHK, prefix)[0]


def _attend_forward(q_BLHK, k_BLHK, v_BLHK, prefix):
    q, k, v = (x.swapaxes(1, 2) for x in (q_BLHK, k_BLHK, v_BLHK))
    seen, log_sum = _skip_or_read(_forward_blocks, prefix, q, k, v)
    return seen.swapaxes(1, 2), (q, k, v, prefix, seen, log_sum)


def _attend_backward(saved, gradient_BLHK):
    q, k, v, prefix, seen, log_sum = saved
    gradient = gradient_BLHK.swapaxes(1, 2)
    mean = (gradient.astype(jnp.float32) * seen.astype(jnp.float32)).sum(-1)
    gradients = _skip_or_read(_backward_blocks, prefix, q, k, v, gradient, log_sum, mean)
    return (*(x.swapaxes(1, 2) for x in gradients), None)


def _skip_or_read(function, prefix: jax.Array | None, *arrays: jax.Array):
    """`function`, which skips keys if every prefix ends in the first block, else reads all."""
    if prefix is None:
        return function(None, *arrays, skip=True)
    skips, reads = (partial(function, skip=skip) for skip in (True, False))
    return jax.lax.cond(prefix.max() <= BLOCK, skips, reads, prefix, *arrays)


def _dot(x_BHmn: jax.Array, y_BHmn: jax.Array, over: tuple[int, int]) -> jax.Array:
    """Batched product over one axis of each, float32: twice as fast for bfloat16 on a CPU."""
    axes = (((over[0],), (over[1],)), ((0, 1), (0, 1)))
    return jax.lax.dot_general(x_BHmn, y_BHmn, axes, preferred_element_type=jnp.float32)


def _forward_blocks(prefix, q, k, v, skip: bool) -> tuple[jax.Array, jax.Array]:
    """The values (B, H, L, K) that queries read, and the log-sum of their weights (B, H, L)."""
    L, K = q.shape[2:]
    values, log_sums = [], []
    for first in range(0, L, BLOCK):
        last = min(first + BLOCK, L)
        reach = last if skip else L
        place = jnp.arange(first, last)[None, None, :, None]
        seen = sees(place, jnp.arange(reach)[None, None, None, :], prefix)
        scores = _dot(q[:, :, first:last], k[:, :, :reach], (3, 3)) * K**-0.5
        scores = jnp.where(seen, scores, NEVER)
        top = scores.max(-1, keepdims=True)
        weights = jnp.exp(scores - top)
        total = weights.sum(-1, keepdims=True)
        value = _dot(weights.astype(v.dtype), v[:, :, :reach], (3, 2)) / total
        values.append(value.astype(v.dtype))
        log_sums.append((top + jnp.log(total))[..., 0])
    return jnp.concatenate(values, axis=2), jnp.concatenate(log_sums, axis=2)


def _backward_blocks(prefix, q, k, v, gradient, log_sum, mean, skip: bool):
    """Gradients of queries, keys and values, (B, H, L, K) each, keys block by block.

    Scores are transposed, keys before queries, so that XLA's CPU backend copies nothing.
    """
    L, K = q.shape[2:]
    turned = k.swapaxes(2, 3)
    gradient_k, gradient_v, gradient_q = [], [], jnp.zeros((*q.shape[:2], K, L), jnp.float32)
    for first in range(0, L, BLOCK):
        last = min(first + BLOCK, L)
        begin = first if skip else 0
        place = jnp.arange(first, last)[None, None, :, None]
        seen = sees(jnp.arange(begin, L)[None, None, None, :], place, prefix)
        scores = _dot(k[:, :, first:last], q[:, :, begin:], (3, 3)) * K**-0.5
        weights = jnp.where(seen, jnp.exp(scores - log_sum[:, :, None, begin:]), 0.0)
        gradient_v.append(_dot(weights.astype(v.dtype), gradient[:, :, begin:], (3, 2)))
        change = (
            _dot(v[:, :, first:last], gradient[:, :, begin:], (3, 3)) - mean[:, :, None, begin:]
        )
        change = (weights * change).astype(k.dtype)
        gradient_k.append(_dot(change, q[:, :, begin:], (3, 2)))
        gradient_q = _added(gradient_q, _dot(turned[:, :, :, first:last], change, (3, 2)), begin)
    join = partial(jnp.concatenate, axis=2)
    return (
        (gradient_q.swapaxes(2, 3) * K**-0.5).astype(q.dtype),
        (join(gradient_k) * K**-0.5).astype(k.dtype),
        join(gradient_v).astype(v.dtype),
    )


def _added(whole: jax.Array, part: jax.Array, first: int) -> jax.Array:
    """Add a part to the last axis from `first` on, in place.

    Otherwise XLA keeps all parts and adds them in one loop that reads each across its rows.
    """
    sums = whole[..., first:] + part
    return jax.lax.dynamic_update_slice_in_dim(whole, sums, first, axis=-1)


attend_blocks.defvjp(_attend_forward, _attend_backward)
