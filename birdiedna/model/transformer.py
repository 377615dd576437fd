"""The paper's small Transformer: pre-norm attention with rotary positions and SwiGLU blocks.

Written in the functional subset of Flax NNX: a module is a pytree, so `jax.jit`, `jax.grad` and
`optax` take it as it is. Sizes live in one frozen config; a variant is `dataclasses.replace`.
"""

from dataclasses import dataclass, fields, replace
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from birdiedna import vocab
from birdiedna.model.attention import IMPLEMENTATIONS, attend
from birdiedna.model.cpu_kernels import matmul


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the Transformer; the defaults are the paper's (16.8 M parameters and embeddings)."""

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

    def __post_init__(self) -> None:
        sizes = (self.vocabulary, self.width, self.blocks, self.heads, self.mlp_width)
        if min(sizes) < 1:
            raise ValueError(f"{self}: every size must be at least 1")
        if self.head_width % 2 or self.head_width < 2:
            raise ValueError(f"head_width {self.head_width} must be even: RoPE turns pairs")
        if self.attention not in IMPLEMENTATIONS:
            raise ValueError(
                f"attention {self.attention!r} is not one of {', '.join(IMPLEMENTATIONS)}"
            )
        if self.compute not in ("float32", "bfloat16"):
            raise ValueError(f"compute {self.compute!r} must be float32 or bfloat16")


def rotate(x_BLHK: jax.Array, base: float) -> jax.Array:
    """Rotary position embedding of (B, L, H, K), halves paired as in Llama (Su et al., 2021)."""
    L, K = x_BLHK.shape[1], x_BLHK.shape[3]
    frequency = base ** (-jnp.arange(0, K, 2, dtype=jnp.float32) / K)
    angle = (jnp.arange(L, dtype=jnp.float32)[:, None] * frequency[None, :])[None, :, None, :]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    left, right = jnp.split(x_BLHK.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate([left * cos - right * sin, right * cos + left * sin], axis=-1)
    return turned.astype(x_BLHK.dtype)


class Linear(nnx.Module):
    """A matrix without bias: normal with deviation 1/sqrt(inputs), truncated at two deviations."""

    def __init__(self, inputs: int, outputs: int, config: ModelConfig, rngs: nnx.Rngs):
        init = nnx.initializers.truncated_normal(inputs**-0.5)
        self.kernel = nnx.Param(init(rngs.params(), (inputs, outputs)))
        self.compute = config.compute

    def __call__(self, x: jax.Array) -> jax.Array:
        """The product with (..., inputs), in the compute type."""
        return matmul(x.astype(jnp.dtype(self.compute)), self.kernel[...])


@jax.checkpoint
def gated(gate: jax.Array, up: jax.Array) -> jax.Array:
    """silu(gate) * up, computed again in the backward pass, which stores only the two inputs."""
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
        self.attention_norm = RMSNorm(config)
        self.query = Linear(config.width, inner, config, rngs)
        self.key = Linear(config.width, inner, config, rngs)
        self.value = Linear(config.width, inner, config, rngs)
        self.output = Linear(inner, config.width, config, rngs)
        self.mlp_norm = RMSNorm(config)
        self.gate = Linear(config.width, config.mlp_width, config, rngs)
        self.up = Linear(config.width, config.mlp_width, config, rngs)
        self.down = Linear(config.mlp_width, config.width, config, rngs)
        self.config = config

    def __call__(self, x: jax.Array, prefix: jax.Array | None) -> jax.Array:
        c = self.config
        y = self.attention_norm(x)
        heads = y.shape[:2] + (c.heads, c.head_width)
        q, k, v = (linear(y).reshape(heads) for linear in (self.query, self.key, self.value))
        q, k = rotate(q, c.rope_base), rotate(k, c.rope_base)
        seen = attend(q, k, v, prefix, c.attention)
        x = x + self.output(seen.reshape(*y.shape[:2], -1))
        y = self.mlp_norm(x)
        return x + self.down(gated(self.gate(y), self.up(y)))


class Transformer(nnx.Module):
    """Token ids in, features or logits out."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs):
        embedding = jax.random.truncated_normal(
            rngs.params(), -2, 2, (config.vocabulary, config.width)
        )
        self.embedding = nnx.Param(embedding * config.width**-0.5)
        self.blocks = nnx.data([Block(config, rngs) for _ in range(config.blocks)])
        self.norm = RMSNorm(config)
        self.head = Linear(config.width, config.vocabulary, config, rngs)
        self.config = config

    def features(self, tokens: jax.Array, prefix: jax.Array | None) -> jax.Array:
        """Output of the last block, normalised.

        Args:
          tokens: int32 (B, L), ids below `config.vocabulary` (larger ones clamp silently).
          prefix: int32 (B,), how many slots from the left see each other in both directions;
            0 makes the row causal; None makes all rows causal, and computes less.

        Returns:
          (B, L, width) in the compute type.
        """
        x = self.embedding[...][tokens].astype(jnp.dtype(self.config.compute))
        for block in self.blocks:
            x = block(x, prefix)
        return self.norm(x)

    def __call__(self, tokens: jax.Array, prefix: jax.Array | None) -> jax.Array:
        """Logits, float32 (B, L, vocabulary); arguments as in `features`."""
        return self.head(self.features(tokens, prefix)).astype(jnp.float32)


def init(config: ModelConfig, seed: int) -> Transformer:
    """A freshly initialised Transformer, built in one compiled call."""
    return _init(jax.random.key(seed), config)


@partial(jax.jit, static_argnames="config")
def _init(key: jax.Array, config: ModelConfig) -> Transformer:
    return Transformer(config, nnx.Rngs(params=key))


def recast(net: Transformer, config: ModelConfig) -> Transformer:
    """The same weights under another config, which may differ in `compute` and `attention` only.

    Raises:
      ValueError: another field differs.
    """
    same = replace(config, compute=net.config.compute, attention=net.config.attention)
    pairs = {f.name: (getattr(net.config, f.name), getattr(same, f.name)) for f in fields(config)}
    wrong = [f"{name} {has}, not {asked}" for name, (has, asked) in pairs.items() if has != asked]
    if wrong:
        raise ValueError(
            f"the weights do not fit the model asked for: they have {'; '.join(wrong)}"
        )
    like = jax.eval_shape(lambda: Transformer(config, nnx.Rngs(0)))
    return jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves(net))


def count_parameters(config: ModelConfig) -> int:
    """Numbers in the model's weights, without allocating them."""
    shapes = jax.eval_shape(lambda: Transformer(config, nnx.Rngs(0)))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))
