"""What pre-training logs: one event per chunk, evaluation, decision and reward."""

import hashlib
from typing import Any, NamedTuple

import jax
import numpy as np

from birdiedna import coverage, training
from birdiedna.director import Decision, Report
from birdiedna.mixture import Mixture


class Steps(NamedTuple):
    """Per step of a chunk (C) and objective (n): what training saw.

    loss, grad_norm: (C,). skipped: (C,), updates skipped in a row up to each step.
    nats, label_tokens, rows: (C, n). starts: uint32 (C, B) of the windows,
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


def covered(seen: coverage.Coverage, steps: Steps, mixture: Mixture) -> coverage.Coverage:
    """Count the windows of a chunk."""
    lengths = np.array(mixture.bases)[steps.objective.reshape(-1)]
    return coverage.add(
        seen, steps.objective.size * mixture.slots, steps.starts.reshape(-1), lengths
    )


def _named(mixture: Mixture, values: np.ndarray) -> dict[str, float]:
    return dict(zip(mixture.names, np.asarray(values).tolist(), strict=True))


def evaluation(
    step: int, mixture: Mixture, losses: np.ndarray, seen: coverage.Coverage
) -> dict[str, Any]:
    """Held-out losses of every monitored objective after `step`, and what was read so far."""
    named = _named(mixture, losses)
    return {
        "event": "evaluation",
        "step": step,
        "losses": named,
        "tokens_seen": seen.tokens,
        "bases_seen": seen.bases,
        "unique_bases_seen": coverage.unique_bases(seen),
    }


def decision(
    step: int, mixture: Mixture, ratios: np.ndarray, made: Decision, chain: str
) -> dict[str, Any]:
    """What the director commands from `step` on, and what it expects.

    `exact` holds the ratios as hexadecimal floats, for a replay; `chain` ties them to all before.
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
    """sha256 of a decision and of the chain of all decisions before it."""
    return hashlib.sha256(f"{chain} {step} {' '.join(exact)}".encode()).hexdigest()


def chunk(
    step: int,
    learning_rate: float,
    mixture: Mixture,
    steps: Steps,
    seen: coverage.Coverage,
    seconds: float,
) -> dict[str, Any]:
    """Losses, rates, counts and speed of the chunk of steps that ended at `step`."""
    tokens = steps.label_tokens.sum(axis=0)
    means = np.divide(
        steps.nats.sum(axis=0), tokens, where=tokens > 0, out=np.full_like(tokens, np.nan)
    )
    return {
        "event": "train",
        "step": step,
        "loss": training.finite_mean(steps.loss),
        "learning_rate": learning_rate,
        "grad_norm": training.finite_mean(steps.grad_norm),
        "skipped": int((steps.skipped > 0).sum()),
        "losses": _named(mixture, means),
        "rows": _named(mixture, steps.rows.sum(axis=0).astype(int)),
        "loss_tokens": _named(mixture, tokens.astype(int)),
        "tokens_seen": seen.tokens,
        "bases_seen": seen.bases,
        "seconds": seconds,
        "tokens_per_s": steps.objective.size * mixture.slots / seconds,
    }


def reward(step: int, mixture: Mixture, report: Report, share: np.ndarray) -> dict[str, Any]:
    """What the round up to `step` earned; `share` (2, n) counts its rows and label tokens."""
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
