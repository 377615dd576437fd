"""The events that training logs: chunks of steps; evaluations, decisions and rewards."""

import hashlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from birdiedna.director.director import Decision, Report
from birdiedna.objectives.mixture import Mixture
from birdiedna.training import optimizer


class Coverage(NamedTuple):
    """Tokens (slots of batches) and bases (of windows, with repeats) read so far.

    `intervals`, int64 (k, 2), is the union of all windows: disjoint, sorted, half-open.
    """

    tokens: int = 0
    bases: int = 0
    intervals: np.ndarray = np.zeros((0, 2), np.int64)


def union(intervals: np.ndarray) -> np.ndarray:
    """Merge half-open intervals, int64 (k, 2), into disjoint sorted ones."""
    if not len(intervals):
        return intervals
    ordered = intervals[np.argsort(intervals[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    first = np.concatenate([[True], ordered[1:, 0] > reach[:-1]])
    last = np.concatenate([np.flatnonzero(first)[1:] - 1, [len(ordered) - 1]])
    return np.stack([ordered[first, 0], reach[last]], axis=1)


def add(seen: Coverage, tokens: int, starts: ArrayLike, lengths: ArrayLike) -> Coverage:
    """Add `tokens` slots and the windows at `starts` (k,) of `lengths` (k,) bases."""
    begins, sizes = np.asarray(starts, np.int64), np.asarray(lengths, np.int64)
    windows = np.stack([begins, begins + sizes], axis=1)
    merged = union(np.concatenate([seen.intervals, windows]))
    return Coverage(seen.tokens + tokens, seen.bases + int(sizes.sum()), merged)


def unique_bases(seen: Coverage) -> int:
    """Bases in at least one window."""
    return int((seen.intervals[:, 1] - seen.intervals[:, 0]).sum())


class Steps(NamedTuple):
    """Measurements of a chunk of C steps, by row (B) or objective (n).

    loss, grad_norm: (C,). skipped: (C,), updates skipped in a row up to each step.
    nats, label_tokens, rows: (C, n). starts: uint32 (C, B) of the windows.
    objective: int32 (C, B).
    """

    loss: jax.Array
    grad_norm: jax.Array
    skipped: jax.Array
    nats: jax.Array
    label_tokens: jax.Array
    rows: jax.Array
    starts: jax.Array
    objective: jax.Array


def _named(mixture: Mixture, values: ArrayLike) -> dict[str, float]:
    return dict(zip(mixture.names, np.asarray(values).tolist(), strict=True))


def evaluation(step: int, mixture: Mixture, losses: np.ndarray, seen: Coverage) -> dict[str, Any]:
    """Held-out losses of `pretrain.evaluate` after `step`, and the coverage so far."""
    return {
        "event": "evaluation",
        "step": step,
        "losses": _named(mixture, losses[0]),
        "base_losses": _named(mixture, losses[1]),
        "tokens_seen": seen.tokens,
        "bases_seen": seen.bases,
        "unique_bases_seen": unique_bases(seen),
    }


def decision(
    step: int, mixture: Mixture, ratios: np.ndarray, made: Decision, chain: str
) -> dict[str, Any]:
    """The ratios that the director chose at `step`, and the rewards it predicts.

    `exact` has the ratios as hexadecimal floats, for a replay; `chain` hashes all decisions.
    """
    exact = [float(ratio).hex() for ratio in ratios]
    return {
        "event": "decision",
        "step": step,
        "ratios": _named(mixture, ratios),
        "explored": bool(made.explored),
        "predicted_reward": float(made.total),
        "predicted_rewards": _named(mixture, made.rewards),
        "spread": float(made.spread),
        "exact": exact,
        "chain": link(chain, step, exact),
    }


def link(chain: str, step: int, exact: list[str]) -> str:
    """sha256 of a decision and the chain of all decisions before it."""
    return hashlib.sha256(f"{chain} {step} {' '.join(exact)}".encode()).hexdigest()


def updates(step: int, learning_rate: float, steps: Any) -> dict[str, Any]:
    """What every kind of training logs of the steps that ended at `step`.

    `steps` has loss, grad_norm and skipped (C,), as in `Steps`.
    """
    return {
        "event": "train",
        "step": step,
        "loss": optimizer.finite_mean(steps.loss),
        "learning_rate": learning_rate,
        "grad_norm": optimizer.finite_mean(steps.grad_norm),
        "skipped": int((steps.skipped > 0).sum()),
    }


def loss_and_accuracy(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """What evaluations log of class logits (n, C) on labels (n,)."""
    loss = optimizer.cross_entropy(jnp.asarray(logits), jnp.asarray(labels)).mean()
    return {"loss": float(loss), "accuracy": float((logits.argmax(axis=1) == labels).mean())}


def chunk(
    step: int, learning_rate: float, mixture: Mixture, steps: Steps, seen: Coverage, seconds: float
) -> dict[str, Any]:
    """`updates` with losses, counts and speed of the chunk of steps that ended at `step`."""
    tokens = steps.label_tokens.sum(axis=0)
    means = np.divide(
        steps.nats.sum(axis=0), tokens, where=tokens > 0, out=np.full_like(tokens, np.nan)
    )
    return {
        **updates(step, learning_rate, steps),
        "losses": _named(mixture, means),
        "rows": _named(mixture, steps.rows.sum(axis=0).astype(int)),
        "loss_tokens": _named(mixture, tokens.astype(int)),
        "tokens_seen": seen.tokens,
        "bases_seen": seen.bases,
        "seconds": seconds,
        "tokens_per_s": steps.objective.size * mixture.slots / seconds,
    }


def reward(step: int, mixture: Mixture, report: Report, share: np.ndarray) -> dict[str, Any]:
    """The rewards of the round up to `step`; `share` (2, n) counts its rows and label tokens."""
    rows, tokens = share / share.sum(axis=1, keepdims=True)
    return {
        "event": "reward",
        "step": step,
        "rewards": _named(mixture, report.rewards),
        "reward": float(report.total),
        "fit_loss": float(report.fit_loss),
        "rows_share": _named(mixture, rows),
        "loss_tokens_share": _named(mixture, tokens),
    }
