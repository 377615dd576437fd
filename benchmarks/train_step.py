"""One train step of the paper's model beside Hugging Face's Llama in PyTorch, on the same weights.

Every program is a process of its own, warm, asked in turn (A B A B); a repetition in which other
processes used the machine does not count. Parity of logits, loss and a deep gradient comes first.
"""

import statistics
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.table import ROOT, Row
from benchmarks.worker import LIMIT, Worker

SIZES = {
    "vocabulary": 32,
    "width": 512,
    "blocks": 4,
    "heads": 8,
    "head_width": 64,
    "mlp_width": 2048,
    "rope_base": 500_000.0,
    "norm_epsilon": 1e-5,
}
BATCH, STEPS = 4, 2
PYTHON, PEER = Path(sys.executable), ROOT / ".venv-peers" / "bin" / "python"
#: Largest difference of logits and loss, and share of the gradient, of what is the same model.
SAME = {"float32": (1e-5, 1e-5), "bfloat16": (0.2, 0.1)}
BARS = {"float32": 1.0, "bfloat16": 0.75}


class Rival(NamedTuple):
    """A program to be timed: its interpreter, script and arguments."""

    python: Path
    script: str
    arguments: tuple[str, ...]


def rivals(compute: str) -> dict[str, Rival]:
    """Who takes part; the peer is first, and its weights are everybody's."""
    taking = {
        "torch": Rival(PEER, "peer_llama.py", ("--compute", compute)),
        "ours": Rival(PYTHON, "ours.py", ("--compute", compute)),
    }
    if compute == "float32":
        compiled = Rival(PEER, "peer_llama.py", ("--compute", compute, "--compile"))
        taking["torch.compile"] = compiled
    return taking


def rows(quick: bool = False) -> list[Row]:
    """Ratios of tokens a second, ours over theirs, for both types and lengths."""
    pairs = 2 if quick else 9
    lengths = (64,) if quick else (512, 1024)
    return [
        row
        for compute in ("float32", "bfloat16")
        for length in lengths
        for row in _compared(compute, length, pairs)
    ]


def _compared(compute: str, length: int, pairs: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ids = np.random.default_rng(0).integers(0, SIZES["vocabulary"], (BATCH, length + 1))
        np.savez(folder / "data.npz", ids=ids[:, :-1], labels=ids[:, 1:])
        workers = {
            who: Worker(str(rival.python), ROOT / "benchmarks" / rival.script, [*rival.arguments])
            for who, rival in rivals(compute).items()
        }
        try:
            weights = str(folder / "weights.npz")
            told = {
                who: worker.ask(start=SIZES, weights=weights) for who, worker in workers.items()
            }
            if len({one["on_cpu"] for one in told.values()}) > 1:
                raise RuntimeError("JAX and torch are not on the same device; see README for jax")
            apart = _parity(workers, folder, compute)
            kept = _timed(workers, str(folder / "data.npz"), pairs)
        finally:
            for worker in workers.values():
                worker.close()
    peer = ", ".join(f"{name} {version}" for name, version in told["torch"]["versions"].items())
    return _table(compute, length, kept, f"logits differ by {apart:.1g}; {peer}", pairs)


def _parity(workers: dict[str, Worker], folder: Path, compute: str) -> float:
    """The largest difference of logits; refuses to time programs that do not compute the same."""
    found, furthest = {}, 0.0
    for who, worker in workers.items():
        file = folder / f"{who}.npz"
        told = worker.ask(parity=str(file), data=str(folder / "data.npz"))
        found[who] = {"loss": told["loss"], **np.load(file)}
    peer = found.pop("torch")
    for who, own in found.items():
        logits, loss = (float(np.abs(peer[x] - own[x]).max()) for x in ("logits", "loss"))
        slope = np.linalg.norm(peer["gradient"] - own["gradient"]) / np.linalg.norm(
            peer["gradient"]
        )
        if max(logits, loss) > SAME[compute][0] or slope > SAME[compute][1]:
            raise RuntimeError(
                f"{who}, {compute}: logits differ by {logits:.2g}, the loss by {loss:.2g}, "
                f"a gradient by {slope:.2g}"
            )
        furthest = max(furthest, logits)
    return furthest


def _timed(workers: dict[str, Worker], data: str, pairs: int) -> dict[str, list[tuple]]:
    """Seconds a step and share of the machine that others used, in rounds of all programs."""
    for worker in workers.values():
        worker.ask(steps=STEPS, data=data)
    kept: dict[str, list[tuple]] = {who: [] for who in workers}
    for _ in range(pairs):
        for who, worker in workers.items():
            answer = worker.timed(steps=STEPS, data=data)
            kept[who].append((answer["seconds"], answer["others"]))
    return kept


def _table(
    compute: str, length: int, kept: dict[str, list[tuple]], said: str, pairs: int
) -> list[Row]:
    clean = {who: [s for s, others in times if others <= LIMIT] for who, times in kept.items()}
    seconds = {
        who: statistics.median(clean[who] or [s for s, _ in times]) for who, times in kept.items()
    }
    found = []
    for who, time in seconds.items():
        counted = f"{len(clean[who])} of {pairs} clean repetitions"
        what = f"{who}, {compute}, {BATCH} x {length}"
        found.append(Row("train_step", what, 1e3 * time, "ms", None, "less", counted))
    for who in [who for who in seconds if who != "ours"]:
        fewest = min(len(clean[who]), len(clean["ours"]))
        note = f"{fewest} of {pairs} clean; {said}"
        what = f"ours over {who}, {compute}, {BATCH} x {length}"
        bar = BARS[compute] if who == "torch" and fewest else None
        ratio = seconds[who] / seconds["ours"]
        found.append(Row("train_step", what, ratio, "x", bar, "more", note))
    return found
