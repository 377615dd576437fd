"""The paper's small Transformer: pre-norm attention with rotary positions, and SwiGLU.

Written in the functional subset of Flax NNX: a module is a pytree, which `jax.jit`, `jax.grad` and
`optax` accept directly. All sizes are in one frozen config.
"""

from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import islice

import jax
import jax.numpy as jnp
from flax import nnx

from birdiedna import vocab
from birdiedna.model.attention import IMPLEMENTATIONS, absent, attend, score_bytes
from birdiedna.model.cpu_kernels import matmul
from birdiedna.model.fields import check_ranges, check_types

#: Each block is compiled separately.
_MOST_BLOCKS = 1024
#: The largest width of a layer, and the largest vocabulary.
MOST_WIDTH, MOST_IDS = 2**17, 2**20
#: The fields of `ModelConfig` that change how, not what, is computed.
HOW = ("compute", "attention", "recompute")


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the Transformer; the defaults are the paper's (16.8 M parameters and embeddings).

    kv_heads: of keys and values, each for `heads / kv_heads` neighbouring queries; 0 means `heads`.
    rope_scaling: () or Llama 3's factor, low, high and slots (`rescale`). recompute: blocks are
    recomputed in the backward pass, to save memory.
    """

    vocabulary: int = vocab.SIZE
    width: int = 512
    blocks: int = 4
    heads: int = 8
    head_width: int = 64
    mlp_width: int = 2048
    rope_base: float = 500_000.0
    norm_epsilon: float = 1e-5
    compute: str = "float32"
    attention: str = "auto"
    kv_heads: int = 0
    rope_scaling: tuple[float, ...] = ()
    recompute: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        check_ranges(self, vocabulary=(1, MOST_IDS), blocks=(1, _MOST_BLOCKS))
        widths = dict.fromkeys(("width", "heads", "head_width", "mlp_width"), (1, MOST_WIDTH))
        check_ranges(self, **widths, kv_heads=(0, MOST_WIDTH))
        if self.heads * self.head_width > MOST_WIDTH:
            raise ValueError(
                f"heads {self.heads:,} times head_width {self.head_width:,} are more than "
                f"{MOST_WIDTH:,}"
            )
        if min(self.rope_base, self.norm_epsilon) <= 0:
            low = min(("rope_base", "norm_epsilon"), key=lambda name: getattr(self, name))
            raise ValueError(f"{low} {getattr(self, low):g} must be above 0")
        if self.head_width % 2:
            raise ValueError(f"head_width {self.head_width} must be even: RoPE turns pairs")
        if self.attention not in IMPLEMENTATIONS:
            raise ValueError(
                f"attention {self.attention!r} is not one of {', '.join(IMPLEMENTATIONS)}"
            )
        if self.compute not in ("float32", "bfloat16"):
            raise ValueError(f"compute {self.compute!r} must be float32 or bfloat16")
        if self.heads % (self.kv_heads or 1):
            raise ValueError(f"heads {self.heads} must divide by kv_heads {self.kv_heads}")
        if self.rope_scaling != () and not (
            len(self.rope_scaling) == 4
            and min(self.rope_scaling) > 0
            and self.rope_scaling[1] < self.rope_scaling[2]
        ):
            raise ValueError(f"rope_scaling {self.rope_scaling} must be factor, low < high, slots")

    def computed_like(self, other: "ModelConfig") -> "ModelConfig":
        """These sizes with the fields of `other` that change how, not what, is computed."""
        return replace(self, **{name: getattr(other, name) for name in HOW})


def rescale(
    frequency: jax.Array, factor: float, low: float, high: float, slots: float
) -> jax.Array:
    """Llama 3's rotary frequencies for rows longer than the `slots` of its first training.

    Waves longer than `slots / low` become `factor` times as long, those shorter than `slots / high`
    stay the same, and the frequencies between are interpolated.
    """
    turns = slots * frequency / (2 * jnp.pi)
    kept = jnp.clip((turns - low) / (high - low), 0, 1)
    return (1 - kept) * frequency / factor + kept * frequency


def rotate(x_BLHK: jax.Array, base: float, scaling: tuple[float, ...] = ()) -> jax.Array:
    """Rotary position embedding of (B, L, H, K), halves paired as in Llama (Su et al., 2021)."""
    L, K = x_BLHK.shape[1], x_BLHK.shape[3]
    frequency = base ** (-jnp.arange(0, K, 2, dtype=jnp.float32) / K)
    if scaling:
        frequency = rescale(frequency, *scaling)
    angle = (jnp.arange(L, dtype=jnp.float32)[:, None] * frequency[None, :])[None, :, None, :]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    left, right = jnp.split(x_BLHK.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate([left * cos - right * sin, right * cos + left * sin], axis=-1)
    return turned.astype(x_BLHK.dtype)


class Linear(nnx.Module):
    """A matrix without bias, initialised with deviation 1/sqrt(inputs), truncated at two."""

    def __init__(self, inputs: int, outputs: int, config: ModelConfig, rngs: nnx.Rngs):
        init = nnx.initializers.truncated_normal(inputs**-0.5)
        self.kernel = nnx.Param(init(rngs.params(), (inputs, outputs)))
        self.compute = config.compute

    def __call__(self, x: jax.Array) -> jax.Array:
        """The product with (..., inputs), in the compute type."""
        return matmul(x.astype(jnp.dtype(self.compute)), self.kernel[...])


@jax.checkpoint
def gated(gate: jax.Array, up: jax.Array) -> jax.Array:
    """silu(gate) * up, recomputed in the backward pass: only the two inputs are stored."""
    wide = jax.nn.silu(gate.astype(jnp.float32)) * up.astype(jnp.float32)
    return wide.astype(gate.dtype)


class RMSNorm(nnx.Module):
    """Root-mean-square normalisation in float32, with a learned scale."""

    def __init__(self, config: ModelConfig):
        self.scale = nnx.Param(jnp.ones(config.width))
        self.epsilon = config.norm_epsilon

    def __call__(self, x: jax.Array) -> jax.Array:
        wide = x.astype(jnp.float32)
        wide *= jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + self.epsilon)
        scale = jnp.expand_dims(self.scale[...], tuple(range(x.ndim - 1)))
        return (wide * scale).astype(x.dtype)


class Block(nnx.Module):
    """x + attention(norm(x)), then x + SwiGLU(norm(x))."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        inner = config.heads * config.head_width
        shared = (config.kv_heads or config.heads) * config.head_width
        self.attention_norm = RMSNorm(config)
        self.query = Linear(config.width, inner, config, rngs)
        self.key = Linear(config.width, shared, config, rngs)
        self.value = Linear(config.width, shared, config, rngs)
        self.output = Linear(inner, config.width, config, rngs)
        self.mlp_norm = RMSNorm(config)
        self.gate = Linear(config.width, config.mlp_width, config, rngs)
        self.up = Linear(config.width, config.mlp_width, config, rngs)
        self.down = Linear(config.mlp_width, config.width, config, rngs)
        self.config = config

    def __call__(
        self, x: jax.Array, prefix: jax.Array | None, slot: jax.Array | None = None
    ) -> jax.Array:
        c = self.config
        y = self.attention_norm(x)
        heads = y.shape[:2] + (-1, c.head_width)
        q, k, v = (linear(y).reshape(heads) for linear in (self.query, self.key, self.value))
        q, k = (rotate(z, c.rope_base, c.rope_scaling) for z in (q, k))
        k, v = (jnp.repeat(z, c.heads // z.shape[2], axis=2) for z in (k, v))
        seen = attend(q, k, v, prefix, c.attention).reshape(*y.shape[:2], -1)
        if slot is not None:
            x, seen = _at(x, slot), _at(seen, slot)
        x = x + self.output(seen)
        y = self.mlp_norm(x)
        return x + self.down(gated(self.gate(y), self.up(y)))


def _at(x: jax.Array, slot: jax.Array) -> jax.Array:
    """One slot (B,) of each row of (B, L, width), as (B, 1, width)."""
    return jnp.take_along_axis(x, slot[:, None, None], axis=1)


class Transformer(nnx.Module):
    """A decoder that maps token ids to features or logits."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        embedding = jax.random.truncated_normal(
            rngs.params(), -2, 2, (config.vocabulary, config.width)
        )
        self.embedding = nnx.Param(embedding * config.width**-0.5)
        self.blocks = nnx.data([Block(config, rngs) for _ in range(config.blocks)])
        self.norm = RMSNorm(config)
        self.head = Linear(config.width, config.vocabulary, config, rngs)
        self.config = config

    def features(
        self,
        tokens: jax.Array,
        prefix: jax.Array | None,
        layer: int = -1,
        slot: jax.Array | None = None,
    ) -> jax.Array:
        """The normalised output of the last block, or the plain output of another layer.

        Args:
          tokens: int32 (B, L), ids below `config.vocabulary` (larger ones are clamped silently).
          prefix: int32 (B,), the number of slots from the left that see each other in both
            directions; None makes all rows causal, and computes less than zeros.
          layer: Python index into the embeddings, block 1, ..., the last block.
          slot: int32 (B,), the only slot of each row that is read, so that the layer's block
            computes most of its work for that slot alone; None reads all.

        Returns:
          (B, L, width), or (B, 1, width) with `slot`, in the compute type.
        """
        last = len(self.blocks)
        count = range(last + 1)[layer]
        x = self.embedding[...][tokens].astype(jnp.dtype(self.config.compute))
        run = jax.checkpoint(Block.__call__) if self.config.recompute else Block.__call__
        for number, block in enumerate(islice(self.blocks, count), start=1):
            x = run(block, x, prefix, slot if number == count else None)
        if slot is not None and not count:
            x = _at(x, slot)
        return self.norm(x) if count == last else x

    def __call__(self, tokens: jax.Array, prefix: jax.Array | None) -> jax.Array:
        """Logits, float32 (B, L, vocabulary); arguments as in `features`."""
        return self.head(self.features(tokens, prefix)).astype(jnp.float32)


def init(config: ModelConfig, seed: int) -> Transformer:
    """A freshly initialised Transformer, built by one compiled call."""
    return _init(jax.random.key(seed), config)


@partial(jax.jit, static_argnames="config")
def _init(key: jax.Array, config: ModelConfig) -> Transformer:
    return Transformer(config, nnx.Rngs(params=key))


@cache
def shapes(config: ModelConfig) -> Transformer:
    """A Transformer with shapes instead of weights."""
    return jax.eval_shape(lambda: Transformer(config, nnx.Rngs(0)))


def widest_bytes(config: ModelConfig, slots: int) -> int:
    """A lower bound of a block's memory per token: q, k and v, two MLP vectors, or its scores."""
    numbers = max(3 * config.heads * config.head_width, 2 * config.mlp_width)
    kept = score_bytes(config.heads, slots)
    return max(numbers * jnp.dtype(config.compute).itemsize, kept)


def recast(net: Transformer, config: ModelConfig) -> Transformer:
    """The same weights under a config that differs only in `compute`, `attention`, `recompute`.

    Raises:
      ValueError: another field differs.
    """
    has, asked = asdict(net.config), asdict(config.computed_like(net.config))
    wrong = [f"{name} {has[name]}, not {asked[name]}" for name in has if has[name] != asked[name]]
    if wrong:
        raise ValueError(f"the weights do not fit the model: they have {'; '.join(wrong)}")
    return jax.tree.unflatten(jax.tree.structure(shapes(config)), jax.tree.leaves(net))


def here(config: ModelConfig) -> ModelConfig:
    """The config with attention "auto" in place of a kernel that this device does not have."""
    return replace(config, attention="auto") if absent(config.attention) else config


def count_parameters(config: ModelConfig) -> int:
    """The number of parameters; allocates nothing."""
    return sum(leaf.size for leaf in jax.tree.leaves(shapes(config)))
