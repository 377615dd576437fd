"""Prefix-LM attention: the rule, and one function for each implementation.

Query q sees key k if k <= q, or if both are before the end of the row's prefix. A prefix of None is
a causal batch: what only prefixes need is left out of its program. No implementation stores a mask.
Axes are B rows, L slots, H heads, K head size; softmax is in float32 everywhere.
"""

import re
import warnings
from functools import cache, partial

import jax
import jax.numpy as jnp

from birdiedna.model.cpu_kernels import BLOCK, NEVER, attend_blocks, sees

IMPLEMENTATIONS = ("auto", "blocks", "einsum", "xla", "cudnn", "flash")
#: Kernels that take rows of a multiple of some number of slots; others are padded at the end.
MULTIPLES = {"cudnn": 64, "flash": BLOCK}


def attend(q_BLHK, k_BLHK, v_BLHK, prefix: jax.Array | None, implementation: str) -> jax.Array:
    """Prefix-LM attention, (B, L, H, K), by one of `IMPLEMENTATIONS`; "auto" asks the device.

    `prefix` is int32 (B,), or None for causal rows.

    Raises:
      ValueError: a kernel was asked for by name and does not take these rows.
    """
    length, *head = q_BLHK.shape[1], q_BLHK.shape[3], q_BLHK.dtype
    if implementation == "auto":
        implementation = fastest(jax.devices()[0], length, *head)
    elif reason := unsupported(implementation, *head):
        raise ValueError(f"attention {implementation!r} {reason}; attention='auto' takes any row")
    # slots at the end are seen by none before them
    pads = (0, 0), (0, -length % MULTIPLES.get(implementation, 1)), (0, 0), (0, 0)
    q, k, v = (jnp.pad(x, pads) for x in (q_BLHK, k_BLHK, v_BLHK))
    if implementation == "blocks":
        return attend_blocks(q, k, v, prefix)
    if implementation == "einsum":
        return attend_einsum(q, k, v, prefix)
    if implementation == "flash":
        return attend_flash(q, k, v, prefix)[:, :length]
    return attend_kernels(q, k, v, prefix, implementation)[:, :length]


def unsupported(implementation: str, head_width: int, dtype: jnp.dtype) -> str:
    """Why a kernel does not take heads of this size and type; "" if it does."""
    if implementation == "cudnn":
        if dtype not in (jnp.bfloat16, jnp.float16):
            return f"computes in bfloat16, not in {jnp.dtype(dtype).name}"
        if head_width not in range(8, 129, 8):
            return f"takes heads of 8, 16, ..., 128 numbers, not of {head_width}"
    return ""


def fastest(device: jax.Device, length: int, head_width: int, dtype: jnp.dtype) -> str:
    """The fastest implementation that a device has and that takes such rows.

    None chosen for long rows holds all scores at once. A warning says, once, why the device's
    kernel is not used.
    """
    kernel = ""
    if device.platform == "gpu":
        capability = getattr(device, "compute_capability", "")  # AMD's are no numbers
        if re.fullmatch(r"\d+\.\d+", capability) and float(capability) >= 8:
            kernel = "cudnn"
    # JAX does not divide a Pallas kernel over devices
    if device.platform == "tpu" and jax.device_count() == 1:
        kernel = "flash"
    plain = "blocks" if length > BLOCK else "einsum"
    if not kernel:
        return plain
    if reason := unsupported(kernel, head_width, dtype):
        _warn_once(f"attention {kernel!r}, the fastest here, {reason}: {plain!r} is used")
        return plain
    return kernel


@cache
def _warn_once(text: str) -> None:
    warnings.warn(text, stacklevel=3)


def attend_einsum(q_BLHK, k_BLHK, v_BLHK, prefix: jax.Array | None) -> jax.Array:
    """All scores at once, by plain einsums: the shortest code, and the fastest for short rows."""
    L, K = q_BLHK.shape[1], q_BLHK.shape[3]
    scores = jnp.einsum("bqhk,bshk->bhqs", q_BLHK, k_BLHK, preferred_element_type=jnp.float32)
    place = jnp.arange(L)
    seen = sees(place[None, None, :, None], place[None, None, None, :], prefix)
    weights = jax.nn.softmax(jnp.where(seen, scores * K**-0.5, NEVER), axis=-1)
    return jnp.einsum("bhqs,bshk->bqhk", weights.astype(v_BLHK.dtype), v_BLHK)


def attend_kernels(
    q_BLHK, k_BLHK, v_BLHK, prefix: jax.Array | None, implementation: str
) -> jax.Array:
    """Two calls of a stock kernel, so that flash attention applies; one call for causal rows.

    One call sees the prefix in both directions, the other is causal; each row takes the first
    before `prefix` (B,) and the second after it.
    """
    attention = partial(jax.nn.dot_product_attention, implementation=implementation)
    causal = attention(q_BLHK, k_BLHK, v_BLHK, is_causal=True)
    if prefix is None:
        return causal
    lengths = jnp.maximum(prefix, 1).astype(jnp.int32)
    limits = {"query_seq_lengths": lengths, "key_value_seq_lengths": lengths}
    both = attention(q_BLHK, k_BLHK, v_BLHK, **limits)
    inside = jnp.arange(q_BLHK.shape[1])[None, :] < prefix[:, None]
    return jnp.where(inside[:, :, None, None], both, causal)


def attend_flash(q_BLHK, k_BLHK, v_BLHK, prefix: jax.Array | None) -> jax.Array:
    """Two calls of the TPU's flash kernel, joined as in `attend_kernels`.

    Slots of a segment see each other: those before the prefix are one, the others another.
    """
    from jax.experimental.pallas.ops.tpu import flash_attention as tpu

    q, k, v = (x.swapaxes(1, 2) for x in (q_BLHK, k_BLHK, v_BLHK))
    attention = partial(tpu.flash_attention, q, k, v, sm_scale=q.shape[3] ** -0.5)
    causal = attention(causal=True)
    if prefix is None:
        return causal.swapaxes(1, 2)
    inside = jnp.arange(q.shape[2])[None, :] < prefix[:, None]
    segment = inside.astype(jnp.int32)
    both = attention(segment_ids=tpu.SegmentIds(segment, segment))
    return jnp.where(inside[:, None, :, None], both, causal).swapaxes(1, 2)
