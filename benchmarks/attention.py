"""Attention of every kind and length on this device, in bfloat16, against einsum in float32.

One program for each kind and length, of outputs and gradients, of rows with prefixes and of causal
rows. Programs are compiled side by side.
"""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.table import Row
from birdiedna.model import attention

HEADS, HEAD_WIDTH = 4, 64
#: The most important first, for what takes too long is left out. Others than multiples of
#: `attention.MULTIPLE` are refused by cuDNN, or compile slowly.
LENGTHS = (1024, 320, 640, 64, 301, 601, 1001, 600, 1000)
#: Largest relative error of bfloat16; twice what plain einsum in bfloat16 has.
BAR = 0.01
_KERNELS = {"gpu": ("cudnn",), "tpu": ("flash",)}
_THREADS = min(8, os.cpu_count() or 1)


def cases(lengths: Sequence[int]) -> list[tuple[str, int]]:
    """Kind and length of every check: what "auto" takes for all, others where they differ."""
    kernels = _KERNELS.get(jax.default_backend(), ())
    wanted = [(kind, length) for kind in ("auto", *kernels) for length in lengths]
    wanted += [(kind, length) for kind in ("xla", "einsum") for length in lengths[:2]]
    wanted += [("blocks", min(lengths, key=lambda length: abs(length - 300)))]
    return [(kind, length) for kind, length in wanted if kind != usual(length)]


def usual(length: int) -> str:
    """What "auto" takes here."""
    return attention.fastest(jax.devices()[0], length, HEAD_WIDTH, jnp.dtype("bfloat16"))


def rows(limit_s: float, lengths: Sequence[int] = LENGTHS) -> tuple[list[Row], dict[str, str]]:
    """Relative errors, and the checks that could not be made with the reason.

    Args:
      limit_s: checks that did not begin within so many seconds are left out.
      lengths: of rows.
    """
    begin, asked = time.monotonic(), cases(lengths)
    with ThreadPoolExecutor(_THREADS) as pool:
        wanted = dict(zip(lengths, pool.map(lambda n: passes("einsum", n, "float32"), lengths)))
        made = {case: pool.submit(error, *case, wanted[case[1]]) for case in asked}
        wait(made.values(), max(0.0, limit_s - (time.monotonic() - begin)))
        pool.shutdown(cancel_futures=True)  # waits for those that run
    found = {_name(*case): _row(*case, future) for case, future in made.items()}
    good = [row for row in found.values() if isinstance(row, Row)]
    return good, {name: why for name, why in found.items() if isinstance(why, str)}


def _name(kind: str, length: int) -> str:
    return f"attention {kind}, {length} slots"


def _row(kind: str, length: int, future: Future) -> Row | str:
    if future.cancelled():
        return "left out: no time"
    tried = attention.unsupported(kind, length, HEAD_WIDTH, jnp.dtype("bfloat16"))
    if fault := future.exception():
        return f"{'refused, as by our rule' if tried else 'failed'}: {first_line(fault)}"
    found = future.result()
    note = f"relative, bfloat16 against float32: outputs {found['outputs']:.1e}, gradients "
    note += f"{found['gradients']:.1e}; six prefixes from 0 to {length}, and causal"
    note += f"; takes {usual(length)}" * (kind == "auto") + "; never chosen" * bool(tried)
    worst, bar = max(found.values()), None if tried else BAR
    at = {"slots": length} | found
    return Row("accelerator", _name(kind, length), worst, "", bar, "less", note, at)


def first_line(fault: BaseException) -> str:
    """A fault in one line."""
    return (str(fault).strip().splitlines() or [type(fault).__name__])[0][:300]


def error(kind: str, length: int, wanted: list[list[np.ndarray]]) -> dict[str, float]:
    """The largest relative error of outputs and of gradients in bfloat16.

    Raises:
      ArithmeticError: a number is not finite.
      ValueError, NotImplementedError: the kind does not take such rows.
    """
    found = passes(kind, length, "bfloat16")
    away = [[_away(*pair) for pair in zip(*both)] for both in zip(found, wanted)]
    if not np.isfinite(away).all():
        raise ArithmeticError("not finite")
    return {
        "outputs": max(outputs for outputs, *_ in away),
        "gradients": max(max(gradients) for _, *gradients in away),
    }


def _away(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def passes(kind: str, length: int, dtype: str) -> list[list[np.ndarray]]:
    """Outputs, and gradients of queries, keys and values: with prefixes, and of causal rows."""
    prefix = jnp.array([0, 1, length // 3, length // 2, length - 1, length], jnp.int32)
    shape = (len(prefix), length, HEADS, HEAD_WIDTH)
    given = [jax.random.normal(key, shape) for key in jax.random.split(jax.random.key(length), 4)]
    found = jax.jit(_both(kind, jnp.dtype(dtype)))(*given, prefix)
    return jax.tree.map(np.asarray, found)


def _both(kind: str, dtype: jnp.dtype) -> Callable:
    # what our own rule refuses is tried all the same, to learn whether it has to
    attend = attention.attend_kernels if kind == "cudnn" else attention.attend

    def both(q, k, v, gradient, prefix) -> list[list[jax.Array]]:
        found = []
        with jax.default_matmul_precision("highest" if dtype == jnp.float32 else None):
            for visible in (prefix, None):
                call = lambda *qkv: attend(*(x.astype(dtype) for x in qkv), visible, kind)
                out, back = jax.vjp(call, q, k, v)
                found.append([out, *back(gradient.astype(out.dtype))])
        return jax.tree.map(lambda x: x.astype(jnp.float32), found)

    return both
