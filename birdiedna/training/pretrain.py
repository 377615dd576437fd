"""Pre-training: one loop for all arms. The baseline has one objective and a fixed director."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from birdiedna import vocab
from birdiedna.data import genome as genomes
from birdiedna.data.genome import pack
from birdiedna.director.director import Birdie, Director, Fixed
from birdiedna.model import transformer
from birdiedna.model.fields import check_ranges, check_types
from birdiedna.model.transformer import ModelConfig, Transformer
from birdiedna.objectives.definitions import BIRDIE_DNA, NTP
from birdiedna.objectives.mixture import Corpus, Mixture, check_ratios, each, held_out, mix, sample
from birdiedna.objectives.program import Batch, Objective
from birdiedna.training import checkpoint, devices, log, run_folder, stop
from birdiedna.training import optimizer as optimizers
from birdiedna.training.llama_start import Start
from birdiedna.training.log import Steps


@dataclass(frozen=True)
class PretrainConfig:
    """One arm; the defaults are the paper's.

    `validation` names contigs, chromosomes or parts of contigs (`genome.contigs_named`).
    `evaluations`: steps after which objectives are measured and the director chooses again.
    `bidirectional=False` hides later prefix tokens from earlier ones ("Birdie - Causal").
    `base_bits`, 8 or 2: bits of a base on the device; batches do not depend on it.
    `microbatches`: parts of a batch, computed one after the other to save memory.
    `loss_average`: "token" averages over the label tokens of a batch, "row" over the rows' means.
    """

    director: Director
    objectives: tuple[tuple[str, Objective], ...]
    evaluations: tuple[int, ...]
    validation: tuple[str, ...]
    train: tuple[str, ...] = ()
    held_out: tuple[str, ...] = genomes.HELD_OUT
    model: ModelConfig = ModelConfig()
    optimizer: optimizers.OptimizerConfig = optimizers.OptimizerConfig()
    slots: int = 1024
    rows: int = 128
    steps: int = 16_384
    chunk_steps: int = 16
    evaluation_rows: int = 256
    reverse_complement: bool = False
    bidirectional: bool = True
    base_bits: int = 8
    microbatches: int = 1
    loss_average: str = "token"

    def __post_init__(self) -> None:
        check_types(self)
        counts, most = (1, 2**31 - 1), (1, 2**20)
        check_ranges(self, steps=counts, chunk_steps=counts, microbatches=counts)
        check_ranges(self, slots=most, rows=most, evaluation_rows=most)
        if isinstance(self.director, Birdie) and self.director.warmup_steps >= self.steps:
            raise ValueError(
                f"the director's warm-up of {self.director.warmup_steps:,} steps is as long as the "
                f"run of {self.steps:,}; shorten it, or take a fixed mixture"
            )
        if self.model.vocabulary < vocab.SIZE:
            raise ValueError(
                f"vocabulary {self.model.vocabulary} is smaller than the {vocab.SIZE} ids in use"
            )
        if self.loss_average not in ("token", "row"):
            raise ValueError(f"loss_average {self.loss_average!r} must be token or row")
        _check_objectives(self)
        if self.base_bits not in (2, 8):
            raise ValueError(f"base_bits {self.base_bits} must be 8 or 2")
        if self.rows % self.microbatches:
            raise ValueError(f"rows {self.rows} must divide by microbatches {self.microbatches}")
        stops = (0, *self.evaluations)
        if self.evaluations[-1:] != (self.steps,) or any(np.diff(stops) <= 0):
            raise ValueError(f"evaluations {self.evaluations} must rise and end at {self.steps}")
        if any(stop % self.chunk_steps for stop in stops):
            raise ValueError(
                f"evaluations {self.evaluations} must be multiples of {self.chunk_steps}, the chunk"
            )
        if self.evaluation_rows % self.rows and self.rows % self.evaluation_rows:
            raise ValueError(
                f"evaluation_rows {self.evaluation_rows} must divide by rows {self.rows}"
            )

    def mixture(self) -> Mixture:
        """The arm's objectives, fitted to the row."""
        return mix(dict(self.objectives), self.slots)

    def monitored(self) -> Mixture:
        """The objectives that evaluations measure: the paper's, next token, and the arm's own."""
        return mix({**BIRDIE_DNA, **NTP, **dict(self.objectives)}, self.slots)


def _check_objectives(config: PretrainConfig) -> None:
    """Refuse objectives that share a token, and a director for another number of objectives."""
    tokens = [o.token for _, o in config.objectives if o.token is not None]
    if len({*tokens} & {*range(vocab.FIRST_OBJECTIVE, vocab.FIRST_CLASS)}) < len(tokens):
        raise ValueError(
            f"objectives need a token each, from {vocab.FIRST_OBJECTIVE} to "
            f"{vocab.FIRST_CLASS - 1}, or none; they have {tokens}"
        )
    sizes = {Birdie: "classes", Fixed: "ratios"}
    if own := sizes.get(type(config.director), ""):
        given = getattr(config.director, own)
        if len(given) != len(config.objectives):
            raise ValueError(f"{len(config.objectives)} objectives need as many {own}, not {given}")


class Progress(NamedTuple):
    """All that changes during a run: the content of a checkpoint.

    state, director_state: pytrees. losses: float32 (m,), of the monitored objectives at the last
    evaluation. ratios: float32 (n,), of this round. share: (2, n), rows and label tokens of this
    round so far. seen: the coverage so far. chain: hash of all decisions.
    """

    state: optimizers.State
    director_state: Any
    losses: np.ndarray
    ratios: np.ndarray
    share: np.ndarray
    seen: log.Coverage
    chain: str


class Run(NamedTuple):
    """One of the runs that are trained together.

    The seed determines initial weights, batches and the director's draws. The folder is created if
    it is missing.
    """

    seed: int
    folder: Path


def train(
    config: PretrainConfig,
    genome: genomes.Genome,
    runs: Sequence[Run],
    ask: stop.Ask = stop.never,
    save_s: float = 600.0,
    shard_state: bool = False,
    start: Start | None = None,
) -> Iterator[Mapping[str, Any]]:
    """Pre-train several seeds of one arm; write log and model into the folder of each.

    Runs with checkpoints in their folders are resumed bit for bit.

    Args:
      runs: have checkpoints of one step, or none.
      ask: called after the first evaluation and every chunk: whether to stop.
      save_s: seconds between checkpoints; 0 saves after every chunk.
      shard_state: divide weights and moments over the devices. Losses agree up to rounding, and a
        run may be resumed either way.
      start: weights to start from instead of fresh ones; not modified.

    Yields:
      every logged event, run by run.

    Raises:
      ValueError: a contig is unknown, no window fits, an objective does not fit the row, devices do
        not divide the rows, the start does not fit the model, a folder's checkpoint belongs to
        another run or another step, or JAX has settings that change results, as 64-bit numbers.
      stop.Stopped: `ask` said so; a checkpoint was saved.
      ArithmeticError: `optimizer.PATIENCE` updates in a row were not finite.
      OSError: the disk is full.
    """
    devices.refuse_other_numbers()
    runs = [run._replace(folder=run_folder.created(run.folder)) for run in runs]
    mixture, monitored = config.mixture(), config.monitored()
    own = np.array([monitored.names.index(name) for name in mixture.names])
    at_once = config.rows // config.microbatches, min(config.rows, config.evaluation_rows)
    mesh = devices.mesh(*at_once, shard_state=shard_state)
    corpus, validation = devices.replicate(_data(config, genome, monitored), mesh)
    keys = [devices.replicate(jax.random.key_data(_key(r.seed, "batches")), mesh) for r in runs]
    schedule = optimizers.learning_rate(config.optimizer, config.steps)
    write = lambda run, event: run_folder.append(run.folder, event)
    measure = lambda net: np.asarray(evaluate(net, validation, config, mesh))
    facts = lambda run: _facts(config, genome, run.seed, start)

    def save() -> None:
        for run, one in zip(runs, progress, strict=True):
            marks, step = facts(run) | {"chain": one.chain}, int(one.state.step)
            checkpoint.save_progress(run.folder, step, *_to_save(one), marks)

    begun = [_begin(config, run, facts(run), start, len(monitored.names), mesh) for run in runs]
    progress = [one for one, _ in begun]
    checkpoint.check_room(runs[0].folder, [one.state for one in progress])
    fresh = [i for i, (_, resumed) in enumerate(begun) if not resumed]
    del begun
    if len({int(one.state.step) for one in progress}) > 1:
        raise ValueError("runs trained together need checkpoints of the same step")
    offer = checkpoint.saver(ask, save_s)
    for i in fresh:
        measured, key = measure(progress[i].state.model), _key(runs[i].seed, "director")
        losses = measured[0]
        director_state = config.director.init(key, losses[own])
        progress[i] = progress[i]._replace(losses=losses, director_state=director_state)
        yield write(runs[i], log.evaluation(0, monitored, measured, progress[i].seen))
    if fresh:
        offer(save)

    while (done := int(progress[0].state.step)) < config.steps:
        if done in (0, *config.evaluations):
            for i, run in enumerate(runs):
                progress[i], decision = _decide(progress[i], config)
                yield write(run, decision)
        clock = time.monotonic()
        chunks = _advance_chunk(progress, keys, corpus, config, mesh)
        done, rate = done + config.chunk_steps, float(schedule(done + config.chunk_steps - 1))
        seconds = (time.monotonic() - clock) / len(runs)
        for i, (run, (one, steps)) in enumerate(zip(runs, chunks, strict=True)):
            progress[i] = one
            yield write(run, log.chunk(done, rate, mixture, steps, one.seen, seconds))
            if (step := checkpoint.failed_step(done, steps.skipped)) is not None:
                names = ("loss", "grad_norm", "skipped", "objective")
                host = {"ratios": one.ratios, **{name: getattr(steps, name) for name in names}}
                raise checkpoint.dump_failure(run.folder, one.state.model, step, host, facts(run))
            if done in config.evaluations:
                measured = measure(one.state.model)
                yield write(run, log.evaluation(done, monitored, measured, one.seen))
                progress[i], reward = _observe(one, measured[0], own, config)
                yield write(run, reward)
        if done < config.steps:
            offer(save)
    for run, one in zip(runs, progress, strict=True):
        checkpoint.save_model(run.folder, config.steps, one.state.model, facts(run))


def _data(
    config: PretrainConfig, genome: genomes.Genome, monitored: Mixture
) -> tuple[Corpus, Batch]:
    """The training corpus, on the device, and held-out rows of every monitored objective."""
    split = genomes.split(genome, config.validation, config.held_out, config.train)
    tokens = pack(genome.tokens) if config.base_bits == 2 else genome.tokens
    tokens = jax.tree.map(jnp.asarray, tokens)
    windows = genomes.windows(genome, split.train, config.slots)
    apart = genomes.windows(genome, split.validation, config.slots)
    starts = genomes.fixed_starts(apart, config.evaluation_rows, genome.source)
    fixed = held_out(monitored, _key(0, "held-out rows"), tokens, jnp.asarray(starts))
    return Corpus(tokens, jax.tree.map(jnp.asarray, windows)), fixed


def _key(seed: int, purpose: str) -> jax.Array:
    """A key for one purpose, unlike the keys of other purposes and of the initial weights."""
    tag = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4])
    return jax.random.fold_in(jax.random.key(seed), tag)


def _facts(
    config: PretrainConfig, genome: genomes.Genome, seed: int, start: Start | None
) -> dict[str, Any]:
    """The facts of a checkpoint, which must be equal for a resume."""
    return {
        "config": run_folder.fingerprint(config),
        "data": genome.fingerprint,
        "seed": seed,
        "random_numbers": jax.config.jax_default_prng_impl,  # type: ignore[attr-defined]
        "start": start.sha256 if start else None,
    }


def _begin(
    config: PretrainConfig,
    run: Run,
    facts: Mapping[str, Any],
    start: Start | None,
    monitored: int,
    mesh: Mesh,
) -> tuple[Progress, bool]:
    """A run's progress, and whether it was resumed; else `director_state` has shapes only."""
    if start:
        net = jax.tree.map(jnp.array, transformer.recast(start.net, config.model))
    else:
        net = transformer.init(config.model, run.seed)
    state = optimizers.start(net, optimizers.optimizer(config.optimizer, config.steps))
    losses, ratios = (np.zeros(n, np.float32) for n in (monitored, len(config.objectives)))
    director = jax.eval_shape(config.director.init, _key(run.seed, "director"), ratios)
    share = np.zeros((2, len(ratios)))
    progress = Progress(state, director, losses, ratios, share, log.Coverage(), "")
    saved = checkpoint.resume(run.folder, facts)
    if resumed := bool(devices.broadcast_from_first(np.bool_(saved is not None))):
        progress = _restored(saved, progress)
    return progress._replace(state=devices.divide(progress.state, mesh)), resumed


def _to_save(progress: Progress) -> tuple[Any, dict[str, Any]]:
    """The pytree and the host arrays of a checkpoint."""
    read = np.array([progress.seen.tokens, progress.seen.bases])
    host = {name: getattr(progress, name) for name in ("losses", "ratios", "share")}
    host |= {"read": read, "intervals": progress.seen.intervals}
    return (progress.state, progress.director_state), host


def _unlike(wanted: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> str:
    """The first host array that no run like this one saved; "" if there is none."""
    form = lambda name, x: (x.dtype.kind, x.ndim, x.shape[name == "intervals" :])
    wrong = [name for name, x in wanted.items() if form(name, x) != form(name, found[name])]
    return f"{wrong[0]!r} is {found[wrong[0]].dtype} {found[wrong[0]].shape}" if wrong else ""


def _restored(saved: checkpoint.Checkpoint | None, like: Progress) -> Progress:
    """The saved progress, in every process; only the first has `saved`."""
    arrays, (seen, chain) = like[:5], like[5:]
    if saved is None:
        arrays = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), arrays)
    else:
        tree, wanted = _to_save(like)
        wrong = partial(_unlike, wanted)
        host = checkpoint.host(saved.path, *wanted, wrong=wrong)
        tree = checkpoint.restore(saved.path, tree)
        arrays = (*tree, host["losses"], host["ratios"], host["share"])
        tokens, bases = host["read"].tolist()
        seen, chain = log.Coverage(tokens, bases, host["intervals"]), saved.facts["chain"]
    return Progress(*(*devices.broadcast_from_first(arrays), seen, chain))


def _decide(progress: Progress, config: PretrainConfig) -> tuple[Progress, dict[str, Any]]:
    """Let the director choose the ratios of the next round."""
    done, mixture = int(progress.state.step), config.mixture()
    made = config.director.propose(progress.director_state, done, config.steps)
    ratios = check_ratios(np.asarray(made.ratios), len(mixture.names))
    event = log.decision(done, mixture, ratios, made, progress.chain)
    share = np.zeros((2, len(ratios)))
    return progress._replace(ratios=ratios, share=share, chain=event["chain"]), event


def _observe(
    progress: Progress, losses: np.ndarray, own: np.ndarray, config: PretrainConfig
) -> tuple[Progress, dict[str, Any]]:
    """Report the losses of the past round to the director."""
    observed: Any = progress.ratios, progress.losses[own], losses[own]
    director_state, report = config.director.observe(progress.director_state, *observed)
    event = log.reward(int(progress.state.step), config.mixture(), report, progress.share)
    return progress._replace(director_state=director_state, losses=losses), event


def token_losses(net: Transformer, batch: Batch, bidirectional: bool) -> jax.Array:
    """The cross-entropy of the label of every slot in nats, (B, L), whatever its weight."""
    visible = batch.prefix if bidirectional else None
    return optimizers.cross_entropy(net(batch.tokens, visible), batch.labels)


def row_losses(net: Transformer, batch: Batch, bidirectional: bool) -> tuple[jax.Array, jax.Array]:
    """Per row, the summed cross-entropy of its label tokens in nats, and their number: (B,)."""
    nats = token_losses(net, batch, bidirectional) * batch.weights
    return nats.sum(axis=1), batch.weights.sum(axis=1)


def weighed(nats: jax.Array, tokens: jax.Array, average: str) -> jax.Array:
    """Each row's share (B,) of the loss: its nats, or with "row" its nats per label token."""
    return nats if average == "token" else nats / tokens


@partial(jax.jit, static_argnames=("config", "mesh"), donate_argnums=0)
def advance(
    state: optimizers.State,
    key: jax.Array,
    corpus: Corpus,
    ratios: jax.Array,
    config: PretrainConfig,
    mesh: Mesh,
) -> tuple[optimizers.State, Steps]:
    """Train for `chunk_steps` steps; the batch of a step is a function of (key, step, ratios).

    Ratios are an argument, so a new mixture compiles nothing. The batches of all steps are drawn
    first, at once on an accelerator. Each device computes its own rows; results are replicated, the
    state is placed by `devices.divided`. `key` is raw, uint32 (2,). The state is donated: neither
    it nor the model that it was made of can be used afterwards.
    """
    mixture = config.mixture()
    tx = optimizers.optimizer(config.optimizer, config.steps)
    bidirectional = config.bidirectional and mixture.has_prefixes()

    def draw(step: jax.Array) -> tuple[Batch, jax.Array]:
        key_step = jax.random.fold_in(jax.random.wrap_key_data(key), step)
        return sample(mixture, key_step, corpus, ratios, config.rows, config.reverse_complement)

    def step(
        state: optimizers.State, drawn: tuple[Batch, jax.Array]
    ) -> tuple[optimizers.State, Steps]:
        batch, starts = drawn
        total = batch.weights.sum() if config.loss_average == "token" else config.rows

        def loss(net: Transformer, part: Batch) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            net = devices.whole(net, mesh)  # else heads are divided too, which cuDNN refuses
            nats, tokens = row_losses(net, part, bidirectional)
            return weighed(nats, tokens, config.loss_average).sum() / total, (nats, tokens)

        state, value, (nats, tokens), norm = optimizers.update(
            state, tx, loss, batch, config.microbatches
        )
        state = jax.lax.with_sharding_constraint(state, devices.divided(state, mesh))
        of = jax.nn.one_hot(batch.objective, len(mixture.names))
        sums = (nats @ of, tokens @ of, of.sum(axis=0))
        return state, Steps(value, norm, state.skipped, *sums, starts, batch.objective)

    batches, starts = each(draw, state.step + jnp.arange(config.chunk_steps))
    batches = jax.lax.with_sharding_constraint(batches, devices.sharded(mesh))
    state, steps = jax.lax.scan(step, state, (batches, starts))
    return state, devices.whole(steps, mesh)


def least_bytes(config: PretrainConfig) -> int:
    """A lower bound of a run's memory besides weights: batches of a chunk, a layer or logits."""
    rows = max(config.rows // config.microbatches, min(config.rows, config.evaluation_rows))
    layer = max(transformer.widest_bytes(config.model, config.slots), 4 * config.model.vocabulary)
    drawn = max(config.chunk_steps * config.rows, len(BIRDIE_DNA) * config.evaluation_rows)
    return config.slots * (12 * drawn + rows * layer)  # tokens, labels and weights of 4 bytes


def planned_bytes(*arguments: Any) -> int:
    """As `devices.planned_bytes`, of `advance` with these arguments, or their shapes."""
    return devices.planned_bytes(advance.lower(*arguments))


@partial(jax.jit, static_argnames=("config", "mesh"))
def evaluate(net: Transformer, batch: Batch, config: PretrainConfig, mesh: Mesh) -> jax.Array:
    """Mean nats of every monitored objective, by one program: per label token, and per base.

    The latter leaves out sentinels and other special tokens. float32 (2, n). `batch` has leading
    axes (n, R); `config` says how many rows are computed at once.
    """
    at_once = min(config.rows, config.evaluation_rows)
    parts = jax.tree.map(lambda x: x.reshape(-1, at_once, *x.shape[2:]), batch)
    parts = jax.lax.with_sharding_constraint(parts, devices.sharded(mesh))
    net = devices.whole(net, mesh)

    def sums(part: Batch) -> tuple[jax.Array, jax.Array]:
        bases = (part.labels >= vocab.A) & (part.labels <= vocab.N)
        counted = jnp.stack([part.weights, part.weights * bases])
        nats = token_losses(net, part, config.bidirectional)[None]
        return (nats * counted).sum(axis=2), counted.sum(axis=2)

    of_all = lambda x: x.swapaxes(0, 1).reshape(2, len(batch.tokens), -1).sum(axis=2)
    nats, tokens = map(of_all, jax.lax.map(sums, parts))
    return devices.whole(nats / tokens, mesh)


@partial(jax.jit, static_argnames=("config", "mesh"), donate_argnums=0)
def advance_together(
    states: Sequence[optimizers.State],
    keys: Sequence[jax.Array],
    corpus: Corpus,
    ratios: Sequence[jax.Array],
    config: PretrainConfig,
    mesh: Mesh,
) -> list[tuple[optimizers.State, Steps]]:
    """`advance` for several runs at once, each with its own state (donated), key and ratios."""
    stacked = lambda trees: jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
    one = lambda state, key, own: advance(state, key, corpus, own, config, mesh)
    made = jax.vmap(one)(stacked(states), stacked(keys), stacked(ratios))
    return [jax.tree.map(lambda leaf: leaf[i], made) for i in range(len(states))]  # noqa: B023


def _advance_chunk(
    progress: Sequence[Progress],
    keys: Sequence[jax.Array],
    corpus: Corpus,
    config: PretrainConfig,
    mesh: Mesh,
) -> list[tuple[Progress, Steps]]:
    """Train every run for a chunk of steps and update its coverage."""
    ratios = [devices.replicate(one.ratios, mesh) for one in progress]
    states = [one.state for one in progress]
    try:
        if len(progress) > 1:
            made = advance_together(states, keys, corpus, ratios, config, mesh)
        else:
            made = [advance(states[0], keys[0], corpus, ratios[0], config, mesh)]
        chunks = [(state, jax.tree.map(np.asarray, steps)) for state, steps in made]
    except jax.errors.JaxRuntimeError as error:
        if not devices.out_of_memory(error) or len(progress) > 1:
            raise
        shape = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
        call = jax.tree.map(shape, states[0]), keys[0], corpus, ratios[0]  # the state was donated
        plan = lambda parts: planned_bytes(*call, replace(config, microbatches=parts), mesh)
        raise _too_large(config, plan) from error
    return [_counted(one, *chunk, config) for one, chunk in zip(progress, chunks, strict=True)]


def _counted(
    progress: Progress, state: optimizers.State, steps: Steps, config: PretrainConfig
) -> tuple[Progress, Steps]:
    """The progress after a chunk of steps, with updated coverage."""
    share = progress.share + [steps.rows.sum(axis=0), steps.label_tokens.sum(axis=0)]
    mixture = config.mixture()
    lengths = np.array(mixture.bases)[steps.objective.ravel()]
    tokens = steps.objective.size * mixture.slots
    seen = log.add(progress.seen, tokens, steps.starts.ravel(), lengths)
    return progress._replace(state=state, share=share, seen=seen), steps


def _too_large(config: PretrainConfig, plan: Callable[[int], int]) -> ValueError:
    """The error for a batch that does not fit; `plan` gives bytes by number of microbatches."""
    device = jax.local_devices()[0]
    room = (device.memory_stats() or {}).get("bytes_limit", 0)
    divides = lambda parts: not config.rows % (parts * jax.device_count())
    finer = [n for n in range(config.microbatches + 1, config.rows + 1) if divides(n)]
    fits = next((parts for parts in finer if plan(parts) <= room), None)
    remedy = f"microbatches={fits} fits" if fits else "no number of microbatches fits; shorten rows"
    remedy += ", or divide the state with --shard-state" * (jax.device_count() > 1)
    return ValueError(
        f"a batch of {config.rows} rows of {config.slots:,} slots in {config.microbatches} "
        f"microbatches needs more memory than the {room / 1e9:.1f} GB of {device.device_kind}; "
        f"{remedy}"
    )
