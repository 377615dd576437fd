"""Prefix-LM attention: the rule, and one function for each way of computing it.

Query q sees key k if k <= q, or if both lie before the row's prefix. No way stores a mask. Axes are
B rows, L slots, H heads, K head size; softmax is in float32 everywhere.
"""

import re
from functools import partial

import jax
import jax.numpy as jnp

IMPLEMENTATIONS = ("auto", "blocks", "einsum", "xla", "cudnn", "flash")
#: Queries (forwards) or keys (backwards) that `attend_blocks` takes at once.
BLOCK = 128
_NEVER = jnp.finfo(jnp.float32).min


def attend(q_BLHK, k_BLHK, v_BLHK, prefix: jax.Array, implementation: str) -> jax.Array:
    """Prefix-LM attention, (B, L, H, K), by the named implementation; "auto" asks the device."""
    if implementation == "auto":
        implementation = usual(jax.devices()[0], *q_BLHK.shape[1::2], q_BLHK.dtype)
    if implementation == "blocks":
        return attend_blocks(q_BLHK, k_BLHK, v_BLHK, prefix)
    if implementation == "einsum":
        return attend_einsum(q_BLHK, k_BLHK, v_BLHK, prefix)
    if implementation == "flash":
        return attend_flash(q_BLHK, k_BLHK, v_BLHK, prefix)
    return attend_kernels(q_BLHK, k_BLHK, v_BLHK, prefix, implementation)


def usual(device: jax.Device, length: int, head_width: int, dtype: jnp.dtype) -> str:
    """The fastest implementation on a device; none of long rows makes all scores at once."""
    if device.platform == "gpu" and dtype == jnp.bfloat16 and head_width in range(8, 129, 8):
        capability = getattr(device, "compute_capability", "")  # AMD's are no numbers
        if re.fullmatch(r"\d+\.\d+", capability) and float(capability) >= 8:
            return "cudnn"
    # a Pallas kernel is not divided over devices by itself
    if device.platform == "tpu" and length % 128 == 0 and jax.device_count() == 1:
        return "flash"
    return "blocks" if length > BLOCK else "einsum"


def _sees(query: jax.Array, key: jax.Array, prefix: jax.Array) -> jax.Array:
    """The rule, for arrays that broadcast."""
    return (key <= query) | ((query < prefix) & (key < prefix))


def attend_einsum(q_BLHK, k_BLHK, v_BLHK, prefix: jax.Array) -> jax.Array:
    """All scores at once, by plain einsums: the shortest way, and the fastest for short rows."""
    L, K = q_BLHK.shape[1], q_BLHK.shape[3]
    scores = jnp.einsum("bqhk,bshk->bhqs", q_BLHK, k_BLHK, preferred_element_type=jnp.float32)
    place = jnp.arange(L)
    seen = _sees(place[None, None, :, None], place[None, None, None, :], _per_row(prefix))
    weights = jax.nn.softmax(jnp.where(seen, scores * K**-0.5, _NEVER), axis=-1)
    return jnp.einsum("bhqs,bshk->bqhk", weights.astype(v_BLHK.dtype), v_BLHK)


def _per_row(prefix: jax.Array) -> jax.Array:
    return prefix[:, None, None, None]


def attend_kernels(q_BLHK, k_BLHK, v_BLHK, prefix: jax.Array, implementation: str) -> jax.Array:
    """Two stock kernels, so that flash attention applies on accelerators.

    One call sees the prefix in both directions, the other is causal; each row takes the first
    before `prefix` (B,) and the second after it.
    """
    attention = partial(jax.nn.dot_product_attention, implementation=implementation)
    lengths = jnp.maximum(prefix, 1).astype(jnp.int32)
    limits = {"query_seq_lengths": lengths, "key_value_seq_lengths": lengths}
    both = attention(q_BLHK, k_BLHK, v_BLHK, **limits)
    causal = attention(q_BLHK, k_BLHK, v_BLHK, is_causal=True)
    inside = jnp.arange(q_BLHK.shape[1])[None, :] < prefix[:, None]
    return jnp.where(inside[:, :, None, None], both, causal)


def attend_flash(q_BLHK, k_BLHK, v_BLHK, prefix: jax.Array) -> jax.Array:
    """Two calls of the TPU's flash kernel, joined as in `attend_kernels`; L a multiple of 128.

    Slots of a segment see each other: those before the prefix are one, the others another.
    """
    from jax.experimental.pallas.ops.tpu import flash_attention as tpu

    q, k, v = (x.swapaxes(1, 2) for x in (q_BLHK, k_BLHK, v_BLHK))
    attention = partial(tpu.flash_attention, q, k, v, sm_scale=q.shape[3] ** -0.5)
    inside = jnp.arange(q.shape[2])[None, :] < prefix[:, None]
    segment = inside.astype(jnp.int32)
    both = attention(segment_ids=tpu.SegmentIds(segment, segment))
    return jnp.where(inside[:, None, :, None], both, attention(causal=True)).swapaxes(1, 2)


@jax.custom_vjp
def attend_blocks(q_BLHK, k_BLHK, v_BLHK, prefix: jax.Array) -> jax.Array:
    """Block by block, for CPUs: causal rows skip the keys that no query of a block sees.

    The backward pass computes the weights again from the logarithm of their sum, as in flash
    attention (Dao et al., 2022), so that no scores are kept. A batch with a longer prefix than one
    block reads all keys.
    """
    return _attend_blocks(q_BLHK, k_BLHK, v_BLHK, prefix)[0]


def _attend_blocks(q_BLHK, k_BLHK, v_BLHK, prefix):
    q, k, v = (x.swapaxes(1, 2) for x in (q_BLHK, k_BLHK, v_BLHK))
    seen, log_sum = _either(_forwards, prefix, q, k, v)
    return seen.swapaxes(1, 2), (q, k, v, prefix, seen, log_sum)


def _attend_blocks_backwards(saved, slope_BLHK):
    q, k, v, prefix, seen, log_sum = saved
    slope = slope_BLHK.swapaxes(1, 2)
    mean = (slope.astype(jnp.float32) * seen.astype(jnp.float32)).sum(-1)
    slopes = _either(_backwards, prefix, q, k, v, slope, log_sum, mean)
    return (*(x.swapaxes(1, 2) for x in slopes), None)


attend_blocks.defvjp(_attend_blocks, _attend_blocks_backwards)


def _either(passage, prefix: jax.Array, *arrays: jax.Array):
    """The passage that skips keys, if every prefix ends in the first block; else all are read."""
    skips, reads = (partial(passage, skip=skip) for skip in (True, False))
    return jax.lax.cond(prefix.max() <= BLOCK, skips, reads, prefix, *arrays)


def _dot(x_BHmn: jax.Array, y_BHmn: jax.Array, over: tuple[int, int]) -> jax.Array:
    """Batched product over one axis of each, float32: twice as fast for bfloat16 on a CPU."""
    axes = (((over[0],), (over[1],)), ((0, 1), (0, 1)))
    return jax.lax.dot_general(x_BHmn, y_BHmn, axes, preferred_element_type=jnp.float32)


def _forwards(prefix, q, k, v, skip: bool) -> tuple[jax.Array, jax.Array]:
    """What queries (B, H, L, K) see, and the logarithm of the sum of their weights (B, H, L)."""
    L, K = q.shape[2:]
    parts = []
    for first in range(0, L, BLOCK):
        last = min(first + BLOCK, L)
        reach = last if skip else L
        place = jnp.arange(first, last)[None, None, :, None]
        seen = _sees(place, jnp.arange(reach)[None, None, None, :], _per_row(prefix))
        scores = _dot(q[:, :, first:last], k[:, :, :reach], (3, 3)) * K**-0.5
        scores = jnp.where(seen, scores, _NEVER)
        top = scores.max(-1, keepdims=True)
        weights = jnp.exp(scores - top)
        total = weights.sum(-1, keepdims=True)
        values = _dot(weights.astype(v.dtype), v[:, :, :reach], (3, 2)) / total
        parts.append((values.astype(v.dtype), (top + jnp.log(total))[..., 0]))
    return tuple(jnp.concatenate(part, axis=2) for part in zip(*parts, strict=True))


def _backwards(prefix, q, k, v, slope, log_sum, mean, skip: bool):
    """Slopes of queries, keys and values, (B, H, L, K) each, keys block by block.

    Scores stand transposed, keys before queries, so that every product is one that XLA's CPU
    backend does without a copy.
    """
    L, K = q.shape[2:]
    turned = k.swapaxes(2, 3)
    slope_k, slope_v, slope_q = [], [], jnp.zeros((*q.shape[:2], K, L), jnp.float32)
    for first in range(0, L, BLOCK):
        last = min(first + BLOCK, L)
        begin = first if skip else 0
        place = jnp.arange(first, last)[None, None, :, None]
        seen = _sees(jnp.arange(begin, L)[None, None, None, :], place, _per_row(prefix))
        scores = _dot(k[:, :, first:last], q[:, :, begin:], (3, 3)) * K**-0.5
        weights = jnp.where(seen, jnp.exp(scores - log_sum[:, :, None, begin:]), 0.0)
        slope_v.append(_dot(weights.astype(v.dtype), slope[:, :, begin:], (3, 2)))
        change = _dot(v[:, :, first:last], slope[:, :, begin:], (3, 3)) - mean[:, :, None, begin:]
        change = (weights * change).astype(k.dtype)
        slope_k.append(_dot(change, q[:, :, begin:], (3, 2)))
        slope_q = _added(slope_q, _dot(turned[:, :, :, first:last], change, (3, 2)), begin)
    join = partial(jnp.concatenate, axis=2)
    return (
        (slope_q.swapaxes(2, 3) * K**-0.5).astype(q.dtype),
        (join(slope_k) * K**-0.5).astype(k.dtype),
        join(slope_v).astype(v.dtype),
    )


def _added(whole: jax.Array, part: jax.Array, first: int) -> jax.Array:
    """A part added to the last axis from `first` on, in place.

    XLA would else keep all parts and add them in one loop that reads each across its rows.
    """
    sums = whole[..., first:] + part
    return jax.lax.dynamic_update_slice_in_dim(whole, sums, first, axis=-1)
