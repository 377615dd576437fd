"""Prefix-LM attention: the rule, and one function per implementation.

Query q sees key k if k <= q, or if both are in the row's prefix. A prefix of None means a causal
batch, whose program omits what only prefixes need. No implementation stores a mask. Axes are
B rows, L slots, H heads, K head size; softmax is always in float32.
"""

import re
import warnings
from collections.abc import Callable
from functools import cache, partial

import jax
import jax.numpy as jnp

from birdiedna.model.cpu_kernels import BLOCK, NEVER, attend_blocks, sees

IMPLEMENTATIONS = ("auto", "blocks", "chunks", "einsum", "xla", "cudnn", "flash")
#: Implementations that need rows of a multiple of this many slots; other rows are padded.
MULTIPLES = {"chunks": BLOCK, "cudnn": 64, "flash": BLOCK}

#: The kind of device that has an implementation which others lack.
_DEVICES = {"cudnn": "gpu", "flash": "tpu"}


def absent(implementation: str) -> str:
    """Why this process's device does not have an implementation; "" if it does."""
    needed = _DEVICES.get(implementation, "")
    if not needed or needed == (found := jax.default_backend()):
        return ""
    return f"needs a {needed}, and JAX found a {found}"


def attend(q_BLHK, k_BLHK, v_BLHK, prefix: jax.Array | None, implementation: str) -> jax.Array:
    """Prefix-LM attention, (B, L, H, K); "auto" takes the device's fastest implementation.

    `prefix` is int32 (B,), or None for causal rows.

    Raises:
      ValueError: the named kernel does not support these rows.
    """
    length, *head = q_BLHK.shape[1], q_BLHK.shape[3], q_BLHK.dtype
    if implementation == "auto":
        implementation = fastest(jax.devices()[0], length, *head)
    elif reason := unsupported(implementation, *head):
        raise ValueError(f"attention {implementation!r} {reason}; attention='auto' takes any row")
    # no token sees the padding after it
    pads = (0, 0), (0, -length % MULTIPLES.get(implementation, 1)), (0, 0), (0, 0)
    q, k, v = (jnp.pad(x, pads) for x in (q_BLHK, k_BLHK, v_BLHK))
    functions: dict[str, Callable[..., jax.Array]] = {
        "blocks": attend_blocks,
        "chunks": attend_chunks,
        "einsum": attend_einsum,
        "flash": attend_flash,
    }
    kernels = partial(attend_kernels, implementation=implementation)
    return functions.get(implementation, kernels)(q, k, v, prefix)[:, :length]


def unsupported(implementation: str, head_width: int, dtype: jnp.dtype) -> str:
    """Why a kernel does not support heads of this size and type; "" if it does."""
    if implementation == "cudnn":
        if dtype not in (jnp.bfloat16, jnp.float16):
            return f"computes in bfloat16, not in {jnp.dtype(dtype).name}"
        if head_width not in range(8, 129, 8):
            return f"takes heads of 8, 16, ..., 128 numbers, not of {head_width}"
    return ""


def fastest(device: jax.Device, length: int, head_width: int, dtype: jnp.dtype) -> str:
    """The fastest implementation of a device for such rows; none keeps all scores of long rows.

    A warning says, once, why the device's own kernel is not used.
    """
    kernel = ""
    if device.platform == "gpu":
        capability = getattr(device, "compute_capability", "")  # not a number on AMD
        if re.fullmatch(r"\d+\.\d+", capability) and float(capability) >= 8:
            kernel = "cudnn"
    # JAX cannot split a Pallas kernel over devices
    if device.platform == "tpu" and jax.device_count() == 1:
        kernel = "flash"
    long = "blocks" if device.platform == "cpu" else "chunks"
    plain = long if length > BLOCK else "einsum"
    if not kernel:
        return plain
    if reason := unsupported(kernel, head_width, dtype):
        _warn_once(f"attention {kernel!r}, the fastest here, {reason}: {plain!r} is used")
        return plain
    return kernel


def score_bytes(heads: int, length: int) -> int:
    """Memory of a token's scores: a CPU's XLA keeps those of a row, even of `attend_blocks`."""
    return 4 * heads * length if jax.default_backend() == "cpu" else 0


@cache
def _warn_once(text: str) -> None:
    warnings.warn(text, stacklevel=3)


def attend_einsum(
    q_BQHK, k_BLHK, v_BLHK, prefix: jax.Array | None, first: jax.Array | int = 0
) -> jax.Array:
    """All scores at once by plain einsums: the shortest code, fastest for short rows.

    The Q queries are those of the row's slots from `first` on.
    """
    Q, K = q_BQHK.shape[1], q_BQHK.shape[3]
    scores = jnp.einsum("bqhk,bshk->bhqs", q_BQHK, k_BLHK, preferred_element_type=jnp.float32)
    query, key = first + jnp.arange(Q), jnp.arange(k_BLHK.shape[1])
    seen = sees(query[None, None, :, None], key[None, None, None, :], prefix)
    weights = jax.nn.softmax(jnp.where(seen, scores * K**-0.5, NEVER), axis=-1)
    return jnp.einsum("bhqs,bshk->bqhk", weights.astype(v_BLHK.dtype), v_BLHK)


@jax.checkpoint
def attend_chunks(q_BLHK, k_BLHK, v_BLHK, prefix: jax.Array | None) -> jax.Array:
    """`attend_einsum` for a block of queries at a time, so that no more scores exist at once.

    For GPUs and TPUs without a kernel of their own. Scores are recomputed in the backward pass.
    """
    B, L, H, K = q_BLHK.shape
    dtype = q_BLHK.dtype
    k, v = (x.astype(jnp.float32) for x in (k_BLHK, v_BLHK))  # their gradients are sums of chunks

    @partial(jax.checkpoint, prevent_cse=False)
    def chunk(numbered: tuple[jax.Array, jax.Array]) -> jax.Array:
        first, q = numbered
        return attend_einsum(q, k.astype(dtype), v.astype(dtype), prefix, first)

    queries = q_BLHK.reshape(B, L // BLOCK, BLOCK, H, K).swapaxes(0, 1)
    values = jax.lax.map(chunk, (jnp.arange(0, L, BLOCK), queries))
    return values.swapaxes(0, 1).reshape(q_BLHK.shape)


def attend_kernels(
    q_BLHK, k_BLHK, v_BLHK, prefix: jax.Array | None, implementation: str
) -> jax.Array:
    """Two calls of a stock kernel, so that flash attention applies; causal rows need one.

    One call is bidirectional within the prefix, the other causal; rows take the first inside
    their `prefix` (B,) and the second after it.
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
    """Two calls of the TPU's flash kernel, combined as in `attend_kernels`.

    Slots of a segment see each other: the prefix is one segment, the rest another.
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
