"""One train step of the paper's model against Hugging Face's Llama in PyTorch, on equal weights.

First, logits, loss and a deep gradient must agree. Then the programs, each peer a warm process of
its own, take turns (A B A B). Repetitions during other load do not count.
"""

import json
import math
import os
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.accelerator import products
from benchmarks.results import ROOT, Row, machine_seconds
from birdiedna.model import llama
from birdiedna.model.transformer import ModelConfig, Transformer
from birdiedna.training import optimizer

SIZES = ModelConfig(vocabulary=32)
BATCH, STEPS = 4, 4
PEER = [str(ROOT / ".venv-peers/bin/python"), str(ROOT / "benchmarks" / "peer_llama.py")]
#: Largest difference of logits and loss, and relative difference of the gradient.
SAME = {"float32": (1e-5, 1e-5), "bfloat16": (0.2, 0.1)}
TARGETS = {"float32": 1.0, "bfloat16": 0.75}
BUSY = 0.06  # share of the machine that other processes may use
#: Ids and labels, int32 (BATCH, slots).
Batch = tuple[jax.Array, jax.Array]
_TX = optimizer.optimizer(optimizer.OptimizerConfig(peak=1e-3, final=1e-3, warmup=0.0), 1_000_000)


def rows(quick: bool = False) -> list[Row]:
    """Milliseconds of a step, and our speed over theirs, by type and length.

    Before and after, the speed of a plain matrix product: whether the machine stayed as fast, and
    how fast it is beside others.
    """
    lengths, pairs, side = ((64,), 2, 64) if quick else ((512, 1024), 9, 2048)
    cases = [(compute, length) for compute in TARGETS for length in lengths]
    first = _product(side, "before")
    return [first, *(r for case in cases for r in _compared(*case, pairs)), _product(side, "after")]


def _product(side: int, when: str) -> Row:
    speed = products(side, jnp.dtype("float32")) / 1e9
    return Row("train_step", f"matrix product {when}, {side}³", speed, "GFLOP/s", best="more")


class Ours:
    """Our model, which answers in this process the requests of a `Peer`."""

    def __init__(self, compute: str):
        self.compute, self.pid = compute, os.getpid()

    def start(self, config: dict[str, Any], weights: str) -> dict[str, Any]:
        sizes = replace(llama.from_config(config)[0], compute=self.compute)
        self.state = optimizer.start(llama.from_llama(dict(np.load(weights)), sizes), _TX)
        return {"on_cpu": jax.default_backend() == "cpu"}

    def parity(self, data: str, into: str) -> dict[str, Any]:
        both = jax.jit(jax.value_and_grad(loss, has_aux=True))
        (value, logits), gradient = both(self.state.model, _batch(data))
        np.savez(into, logits=logits, gradient=gradient.blocks[0].query.kernel[...].T)
        return {"loss": float(value)}

    def steps(self, data: str, count: int) -> dict[str, Any]:
        batch, begin = _batch(data), time.perf_counter()
        self.state = steps(self.state, batch, count)
        jax.block_until_ready(self.state)
        return {"seconds": (time.perf_counter() - begin) / count}

    def ask(self, method: str, *arguments: Any) -> dict[str, Any]:
        return getattr(self, method)(*arguments)


def loss(net: Transformer, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Mean cross-entropy of all slots of causal rows, and the logits."""
    ids, labels = batch
    logits = net(ids, jnp.zeros(len(ids), jnp.int32))
    return optimizer.cross_entropy(logits, labels).mean(), logits


@partial(jax.jit, static_argnums=2, donate_argnums=0)
def steps(state: optimizer.State, batch: Batch, count: int) -> optimizer.State:
    """Train steps of `birdiedna`, in one call as in `pretrain.advance`."""
    step = lambda state, _: optimizer.update(state, _TX, loss, batch)[:2]
    return jax.lax.scan(step, state, length=count)[0]


def _batch(data: str) -> Batch:
    stored = np.load(data)
    return tuple(jnp.asarray(stored[name], jnp.int32) for name in ("ids", "labels"))


class Peer:
    """A process that answers requests, one line of JSON each."""

    def __init__(self, process: subprocess.Popen):
        self.process, self.pid = process, process.pid

    def ask(self, method: str, *arguments: Any) -> dict[str, Any]:
        """Send one request; raises RuntimeError if the process ended."""
        self.process.stdin.write(json.dumps([method, arguments]) + "\n")
        self.process.stdin.flush()
        if line := self.process.stdout.readline():
            return json.loads(line)
        raise RuntimeError(f"{self.process.args} ended with code {self.process.wait()}")


def _compared(compute: str, length: int, pairs: int) -> list[Row]:
    with ExitStack() as ends, tempfile.TemporaryDirectory() as folder:

        def peer(*options: str) -> Peer:
            command, pipe = [*PEER, "--compute", compute, *options], subprocess.PIPE
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
            return Peer(ends.enter_context(process))

        programs: dict[str, Ours | Peer] = {"torch": peer(), "ours": Ours(compute)}
        if compute == "float32":
            programs["torch.compile"] = peer("--compile")
        data, weights = f"{folder}/data.npz", f"{folder}/weights.npz"
        ids = np.random.default_rng(0).integers(0, SIZES.vocabulary, (BATCH, length + 1))
        np.savez(data, ids=ids[:, :-1], labels=ids[:, 1:])
        # torch starts first and writes the weights that the others read
        config = llama.to_config(SIZES, length)
        known = {who: one.ask("start", config, weights) for who, one in programs.items()}
        if len({one["on_cpu"] for one in known.values()}) > 1:
            raise RuntimeError("JAX and torch are not on the same device; see README for jax")
        furthest = _parity(programs, data, folder, compute)
        times = _timed(programs, data, pairs)
    versions = ", ".join(f"{name} {v}" for name, v in known["torch"]["versions"].items())
    row, size = partial(Row, "train_step"), f"{compute}, {BATCH} x {length}"
    found = []
    for who, (seconds, clean) in times.items():
        note = f"{clean} of {pairs} clean repetitions; {BATCH * length / seconds:,.0f} tokens/s"
        found.append(row(f"{who}, {size}", 1e3 * seconds, "ms", note=note))
    ours, ours_clean = times.pop("ours")
    for who, (seconds, clean) in times.items():
        fewest = min(clean, ours_clean)
        note = f"{fewest} of {pairs} clean; logits differ by {furthest:.1g}; {versions}"
        bar = TARGETS[compute] if who == "torch" and fewest else None
        found.append(row(f"ours over {who}, {size}", seconds / ours, "x", bar, "more", note))
    return found


def _parity(programs: dict[str, Ours | Peer], data: str, folder: str, compute: str) -> float:
    """The largest difference of logits; RuntimeError if programs compute different models."""
    found = {}
    for who, program in programs.items():
        file = f"{folder}/{who}.npz"
        found[who] = program.ask("parity", data, file) | dict(np.load(file))
    peer, furthest = found.pop("torch"), 0.0
    for who, own in found.items():
        logits, loss = (float(np.abs(peer[x] - own[x]).max()) for x in ("logits", "loss"))
        norm = np.linalg.norm
        gradient = norm(peer["gradient"] - own["gradient"]) / norm(peer["gradient"])
        if max(logits, loss) > SAME[compute][0] or gradient > SAME[compute][1]:
            raise RuntimeError(
                f"{who}, {compute}: logits differ by {logits:.2g}, the loss by {loss:.2g}, "
                f"a gradient by {gradient:.2g}"
            )
        furthest = max(furthest, logits)
    return furthest


def _timed(programs: dict[str, Ours | Peer], data: str, pairs: int) -> dict[str, tuple[float, int]]:
    """By program: median seconds a step, of clean repetitions if any, and their number."""
    times: dict[str, list[tuple[float, bool]]] = {who: [] for who in programs}
    for program in programs.values():
        program.ask("steps", data, STEPS)
    for _ in range(pairs):
        for who, program in programs.items():
            before, begin = _others(program.pid), time.monotonic()
            answer = program.ask("steps", data, STEPS)
            wall = time.monotonic() - begin
            share = (_others(program.pid) - before) / (wall * (os.cpu_count() or 1))
            times[who].append((answer["seconds"], share <= BUSY))
    good = {who: [s for s, clean in found if clean] for who, found in times.items()}
    return {
        who: (statistics.median(good[who] or [s for s, _ in found]), len(good[who]))
        for who, found in times.items()
    }


def _others(pid: int) -> float:
    """CPU seconds used by all other processes; NaN, never clean, if unknown."""
    if not os.path.exists("/proc/stat"):
        return math.nan
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return machine_seconds() - (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
