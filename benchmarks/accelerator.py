"""The paper's train step on a GPU or TPU: is it correct, how fast is it, where does time go?

First attention against float32; then, for each arm, time, MFU, memory and kernels of a step. MFU is
relative to a large bfloat16 product, measured in the same run. `make bench` reads a made-up genome;
`birdiedna remote work` that of a plan, by

    python -m benchmarks.accelerator PLAN

so that the plan's runs find the programs compiled. It writes benchmarks/results/<device>.json.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.profiler import ProfileData

from benchmarks import results
from benchmarks.results import Row, timed
from birdiedna.data import genome as genomes
from birdiedna.data.genome import Windows
from birdiedna.evaluation import paper_table
from birdiedna.experiments import cost, profiles
from birdiedna.experiments import plan as plans
from birdiedna.experiments.plan import Plan
from birdiedna.model import attention, transformer
from birdiedna.model.transformer import ModelConfig
from birdiedna.objectives.mixture import Corpus
from birdiedna.training import devices, optimizer, pretrain, stop
from birdiedna.training.pretrain import PretrainConfig, advance

GENOME_BASES = 2**28
ARMS = {arm: profiles.PROFILES["paper"].pretrain[arm] for arm in paper_table.PRETRAINED}
#: Milliseconds and GB of a step of the paper's batch and model on one chip of these names.
TARGETS, MEMORY_TARGET = {"birdie": 40, "ntp": 37}, 16
HOPPER = ("H100", "H200", "GH200")
HEADS, HEAD_WIDTH, BF16 = 4, 64, jnp.dtype("bfloat16")
#: Slots of rows for attention, most important first: late ones are left out.
LENGTHS = (1024, 301, 64, 640)
#: Largest relative error in bfloat16; twice that of plain einsum in bfloat16.
ERROR_TARGET = 0.01
#: What a stage finds: rows, and why others could not be measured.
Found = tuple[list[Row], dict[str, str]]
_row = partial(Row, "accelerator")


class Sizes(NamedTuple):
    """How much is measured."""

    side: int = 8192  # of the matrices of the ceiling
    repeats: int = 10  # chunks that are timed
    lengths: tuple[int, ...] = LENGTHS  # slots of attention's rows
    limit_s: float = 25.0  # no check of attention starts later


def rows(quick: bool = False) -> list[Row]:
    """Rows of the accelerator of this process; none on a CPU."""
    if jax.default_backend() == "cpu":
        return []
    return measured(stages(ARMS, made_up, Sizes(repeats=2 if quick else 10)))[0]


def measured(named: Mapping[str, Callable[[], Found]]) -> Found:
    """What all stages find, each printed; one that fails is noted and skipped.

    Exits before the next stage if the process that started this one has ended.
    """
    found: list[Row] = []
    noted: dict[str, str] = {}
    for name, stage in named.items():
        if stop.orphaned():
            sys.exit(128 + signal.SIGTERM)
        begin = time.monotonic()
        try:
            more, missing = stage()
        except Exception as error:  # whatever it is: a borrowed card's minutes are running
            more, missing = [], {name: f"failed: {_first_line(error)}"}
        found, noted = found + more, noted | missing
        lines = [row.text() for row in more] + [f"{what}: {why}" for what, why in missing.items()]
        took = f"{name} ({time.monotonic() - begin:.1f} s)"
        print("\n  ".join([took, *lines]), flush=True)
    return found, noted


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def stages(
    arms: Mapping[str, PretrainConfig], corpus: Callable[[PretrainConfig], Corpus], sizes: Sizes
) -> dict[str, Callable[[], Found]]:
    """The measurements, in order."""
    top = cache(partial(products, sizes.side))

    def ceiling() -> Found:
        note = f"bfloat16, {sizes.side}³, {jax.device_count()} x {jax.devices()[0].device_kind}"
        return [_row("matrix product", top() / 1e12, "TFLOP/s", None, "more", note)], {}

    def steps_of(arm: str, config: PretrainConfig) -> Found:
        call = chunks(config, corpus(config))
        return kernels(arm, call, config.chunk_steps), {}

    return {
        "attention": partial(attention_errors, sizes.limit_s, sizes.lengths),
        "ceiling": ceiling,
        **{f"step, {arm}": partial(_step, arm, c, corpus, top, sizes) for arm, c in arms.items()},
        **{f"kernels, {arm}": partial(steps_of, arm, c) for arm, c in arms.items()},
    }


def products(side: int, dtype: jnp.dtype = BF16) -> float:
    """FLOP/s of all devices at products of square matrices."""
    x = jax.random.normal(jax.random.key(0), (side, side), dtype)

    @jax.jit
    def ten(x: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, 10, lambda _, y: (x @ y) * dtype.type(side**-0.5), x)

    return jax.device_count() * 10 * 2 * side**3 / timed(lambda _: ten(x), 5).median()


def _step(
    arm: str,
    config: PretrainConfig,
    corpus: Callable[[PretrainConfig], Corpus],
    top: Callable[[], float],
    sizes: Sizes,
) -> Found:
    """Time, speed, MFU and memory of a step."""
    data = corpus(config)
    found = timed(chunks(config, data), sizes.repeats, untimed=2)
    second, tokens = found.median() / config.chunk_steps, config.rows * config.slots
    flops = tokens / second * cost.flop_per_token(config.model, config.slots)
    size = f"{config.rows} x {config.slots}, {config.chunk_steps} steps a call, {found.spread()}"
    target, memory = (TARGETS[arm], MEMORY_TARGET) if targeted(arm, config) else (None, None)
    rows = [
        _row(f"step, {arm}", 1e3 * second, "ms", target, note=size),
        _row(f"speed, {arm}", tokens / second / 1e6, "Mtok/s", None, "more"),
        _row(f"achieved, {arm}", flops / 1e12, "TFLOP/s", None, "more", "attention in full"),
        _row(f"MFU, {arm}", 100 * flops / top(), "%", None, "more", "of the matrix product"),
    ]
    if peak := (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use"):
        bases = sum(x.size for x in jax.tree.leaves(data.tokens))
        note = f"of this process so far, with {bases:,} bytes of genome"
        rows.append(_row(f"peak memory, {arm}", peak / 1e9, "GB", memory, note=note))
    return rows, {}


def targeted(arm: str, config: PretrainConfig) -> bool:
    """Whether targets apply: the paper's batch and model on one Hopper chip."""
    kind, usual = jax.devices()[0].device_kind, ARMS.get(arm)
    hopper = jax.device_count() == 1 and any(name in kind for name in HOPPER)
    sizes = lambda c: (c.rows, c.slots, c.model, c.microbatches)
    return hopper and usual is not None and sizes(config) == sizes(usual)


def chunks(config: PretrainConfig, data: Corpus) -> Callable[[int], jax.Array]:
    """Calls of `pretrain.advance`, each on the state that the last call returned."""
    over = devices.mesh(config.rows)
    tx = optimizer.optimizer(config.optimizer, config.steps)
    state = optimizer.start(transformer.init(config.model, 0), tx)
    key, n = jax.random.key_data(jax.random.key(0)), len(config.objectives)
    ratios = jnp.full(n, 1 / n, jnp.float32)
    state, key, data, ratios = devices.replicate((state, key, data, ratios), over)
    kept = [state]

    def call(i: int) -> jax.Array:
        kept[0], trace = advance(kept[0], key, data, ratios, config, over)
        return trace.loss

    return call


def made_up(config: PretrainConfig) -> Corpus:
    """A made-up genome on the device; its bases change no time."""
    bases = jax.random.randint(jax.random.key(0), (GENOME_BASES,), 8, 12, jnp.uint8)
    count = jnp.array([GENOME_BASES - config.slots + 1], jnp.uint32)
    return Corpus(bases, Windows(jnp.zeros(1, jnp.uint32), count))


def attention_errors(limit_s: float, lengths: Sequence[int] = LENGTHS) -> Found:
    """Relative errors of attention in bfloat16, of every kind and length, against `reference`.

    There is one program per kind and length. They are compiled in parallel; those not started after
    `limit_s` seconds are left out.
    """
    begin = time.monotonic()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        made = {at: pool.submit(_error, *at) for at in attention_cases(lengths)}
        wait(made.values(), max(0.0, limit_s - (time.monotonic() - begin)))
        pool.shutdown(cancel_futures=True)  # waits for those that have started
    found = {f"attention {kind}, {n} slots": (kind, n, one) for (kind, n), one in made.items()}
    rows = {what: _attention_row(what, *case) for what, case in found.items()}
    good = [row for row in rows.values() if isinstance(row, Row)]
    return good, {what: why for what, why in rows.items() if isinstance(why, str)}


def attention_cases(lengths: Sequence[int]) -> list[tuple[str, int]]:
    """Kind and length of every check: "auto" at all lengths, each other kind once."""
    short = 2 * attention.MULTIPLES["flash"]
    others = [(kind, short) for kind in ("xla", "einsum", "chunks") if kind != usual(short)]
    return [("auto", length) for length in lengths] + others


def usual(length: int) -> str:
    """The kind that "auto" means on this device."""
    return attention.fastest(jax.devices()[0], length, HEAD_WIDTH, BF16)


def _attention_row(what: str, kind: str, length: int, future: Future) -> Row | str:
    if future.cancelled():
        return "left out: no time"
    if error := future.exception():
        return f"failed: {_first_line(error)}"
    found = future.result()
    note = f"relative, bfloat16 against float32: outputs {found['outputs']:.1e}, gradients "
    note += f"{found['gradients']:.1e}; six prefixes from 0 to {length}, and causal"
    note += f"; takes {usual(length)}" * (kind == "auto")
    at = {"slots": length} | found
    return _row(what, max(found.values()), "", ERROR_TARGET, note=note, at=at)


def _error(kind: str, length: int) -> dict[str, float]:
    """The largest relative errors of outputs and gradients; ArithmeticError if not finite."""
    norm = np.linalg.norm
    errors = [
        [float(norm(a - b) / norm(b)) for a, b in zip(*both)]
        for both in zip(_passes(kind, length), reference(length))
    ]
    if not np.isfinite(errors).all():
        raise ArithmeticError("not finite")
    outputs, *gradients = (max(both) for both in zip(*errors))
    return {"outputs": outputs, "gradients": max(gradients)}


def _given(length: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Queries, keys, values and the gradient of outputs, (B, L, H, K), and prefixes (B,)."""
    prefixes = np.array([0, 1, length // 3, length // 2, length - 1, length], np.int32)
    shape = (len(prefixes), length, HEADS, HEAD_WIDTH)
    random = np.random.default_rng(length)
    return [random.standard_normal(shape, np.float32) for _ in range(4)], prefixes


def _passes(kind: str, length: int) -> list[list[np.ndarray]]:
    """Outputs and gradients of queries, keys and values: with prefixes, then causal."""

    @jax.jit
    def both(qkv: list[jax.Array], gradient: jax.Array, prefixes: jax.Array) -> list:
        found = []
        for prefix in (prefixes, None):
            call = lambda *qkv: attention.attend(*(x.astype(BF16) for x in qkv), prefix, kind)
            out, back = jax.vjp(call, *qkv)
            found.append([out, *back(gradient.astype(out.dtype))])
        return jax.tree.map(lambda x: x.astype(jnp.float32), found)

    (*qkv, gradient), prefixes = _given(length)
    return jax.tree.map(np.asarray, both(qkv, gradient, prefixes))


@cache
def reference(length: int) -> list[list[np.ndarray]]:
    """What `_passes` should return: softmax attention and its derivatives in numpy."""
    (*qkv, gradient), prefixes = _given(length)
    q, k, v, g = (x.swapaxes(1, 2) for x in (*qkv, gradient))  # (B, H, L, K)
    place = np.arange(length)
    causal = place[None, :] <= place[:, None]
    inside = place < prefixes[:, None]
    with_prefixes = causal | (inside[:, :, None] & inside[:, None, :])
    found = []
    for seen in (with_prefixes[:, None], causal):
        weights = np.where(seen, np.exp((q @ k.mT) * HEAD_WIDTH**-0.5), 0)  # scores are small
        weights /= weights.sum(axis=-1, keepdims=True)
        out = weights @ v
        d_scores = weights * (g @ v.mT - (g * out).sum(axis=-1, keepdims=True)) * HEAD_WIDTH**-0.5
        four = (out, d_scores @ k, d_scores.mT @ q, weights.mT @ g)
        found.append([x.swapaxes(1, 2) for x in four])
    return found


def kernels(what: str, call: Callable[[int], Any], steps: int, most: int = 10) -> list[Row]:
    """Milliseconds a step of all kernels, and of the most expensive ones.

    `call` runs `steps` steps; its first call, which may compile, is not traced. Raises ValueError
    if the trace contains no kernel.
    """
    jax.block_until_ready(call(0))
    times: dict[str, float] = defaultdict(float)
    counts: Counter[str] = Counter()
    for name, seconds in _traced(call):
        times[name] += 1e3 * seconds / steps
        counts[name] += 1
    note = f"a step; {len(times)} kernels, {sum(counts.values()) / steps:g} calls"
    found = [_row(f"all kernels, {what}", sum(times.values()), "ms", note=note)]
    longest = sorted(times.items(), key=lambda one: -one[1])[:most]
    for rank, (name, value) in enumerate(longest, start=1):
        each = counts[name] / steps
        note, at = f"a step, {each:g} calls: {name[:90]}", {"rank": rank, "count": each}
        found.append(_row(f"kernel {rank}, {what}", value, "ms", note=note, at=at))
    return found


def _traced(call: Callable[[int], Any]) -> list[tuple[str, float]]:
    """Name and seconds of every kernel of one call, from `jax.profiler`."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(call(0))
        lines = [
            (f"{plane.name} {line.name}", list(_events(plane.name, line)))
            for file in Path(folder).rglob("*.xplane.pb")
            for plane in ProfileData.from_file(str(file)).planes
            for line in plane.lines
        ]
    if found := [event for _, events in lines for event in events]:
        return found
    seen = ", ".join(sorted({name for name, _ in lines}))
    raise ValueError(f"the profiler saw no kernel; it saw {seen or 'nothing'}")


def _events(plane: str, line: Any) -> Iterator[tuple[str, float]]:
    """Kernels of a GPU's streams; elsewhere XLA's operations, without loops and calls."""
    backend = jax.default_backend()
    on, named = {"gpu": ("/device:GPU", "Stream"), "tpu": ("/device:TPU", "XLA Ops")}.get(
        backend, ("/host:CPU", "")
    )
    if not (plane.startswith(on) and line.name.startswith(named)):
        return
    for event in line.events:
        operation = backend != "cpu" or "hlo_op" in dict(event.stats)
        if operation and (backend == "gpu" or not event.name.startswith(("while", "call", "cond"))):
            yield event.name, event.duration_ns / 1e9


TINY = Sizes(side=256, repeats=1, lengths=(64, 129), limit_s=60.0)
_TINY_MODEL = ModelConfig(
    width=32, blocks=1, heads=2, head_width=16, mlp_width=64, compute="bfloat16"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the device on a plan's arms and genome; 1 if something could not be measured."""
    parser = argparse.ArgumentParser("python -m benchmarks.accelerator", description=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--tiny", action="store_true", help="try it on a CPU; into PLAN/tiny")
    given = parser.parse_args(argv)
    plan = plans.ready(given.plan)
    devices.enable_compilation_cache(plan.folder)
    load, begin = results.load(), time.monotonic()
    arms = {run.arm: run.config for run in plan.runs if isinstance(run.config, PretrainConfig)}
    arms = {arm: arms[arm] for arm in ARMS if arm in arms} or arms
    if given.tiny:
        small = {"model": _TINY_MODEL, "rows": 4, "slots": 128, "evaluation_rows": 4}
        arms = {arm: replace(config, **small) for arm, config in arms.items()}
    named = stages(arms, _corpora(plan), TINY if given.tiny else Sizes(repeats=5))
    found, noted = measured(named)
    made = results.surroundings() | {"load": load, "noted": noted}
    made["seconds"] = round(time.monotonic() - begin, 1)
    folder = plan.folder / "tiny" if given.tiny else results.FOLDER
    file = results.write({"accelerator": results.Part(made, found)}, ["accelerator"], folder)
    print(f"{len(found)} rows in {file}", flush=True)
    return int(any(why.startswith("failed") for why in noted.values()))


def _corpora(plan: Plan) -> Callable[[PretrainConfig], Corpus]:
    """The plan's genome, whose programs its runs then find compiled; else a made-up one."""
    read = cache(lambda: genomes.load(plan.folder / "genome.npz"))

    def corpus(config: PretrainConfig) -> Corpus:
        if not (plan.folder / "genome.npz").exists():
            return made_up(config)
        return pretrain._data(config, read(), config.monitored())[0]

    return corpus


if __name__ == "__main__":
    sys.exit(main())
