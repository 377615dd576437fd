"""Conversion to and from Hugging Face's Llama: names and layout of the weights, and the config.

Our matrices are (inputs, outputs), theirs (outputs, inputs). Nothing else differs.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from birdiedna import vocab
from birdiedna.model.transformer import ModelConfig, Transformer, shapes

_PARTS = {
    "embedding": "embed_tokens",
    "attention_norm": "input_layernorm",
    "mlp_norm": "post_attention_layernorm",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "output": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
_HEAD = "lm_head.weight"
_EMBEDDING = "model.embed_tokens.weight"
#: The arrays with one row per token.
BY_TOKEN = (_EMBEDDING, _HEAD)
#: The names of `config.json` for `ModelConfig.rope_scaling`.
_SCALING = (
    *("factor", "low_freq_factor", "high_freq_factor"),
    "original_max_position_embeddings",
)
#: The names of `config.json` for sizes of `ModelConfig`, all whole numbers.
_SIZES = {
    "vocab_size": "vocabulary",
    "hidden_size": "width",
    "intermediate_size": "mlp_width",
    "num_hidden_layers": "blocks",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "head_dim": "head_width",
}
#: What the Transformer computes; a config may omit these.
_FIXED = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False}


def to_llama(net: Transformer) -> dict[str, np.ndarray]:
    """The weights under Hugging Face's names, in its layout."""
    return {name: _turned(name, np.asarray(leaf)) for name, leaf in _named(net)}


def from_llama(
    arrays: Mapping[str, np.ndarray], config: ModelConfig, tied: bool = False
) -> Transformer:
    """A Transformer with these weights, in float32.

    Args:
      arrays: under Hugging Face's names.
      tied: the head is the embedding; if it is among the arrays, it equals it. Ours becomes a copy.

    Raises:
      ValueError: names or shapes do not fit the config, or a number is not finite.
    """
    same = tied and _HEAD in arrays and np.array_equal(arrays[_HEAD], arrays.get(_EMBEDDING, ()))
    derived = (_HEAD,) * same + ("rotary_emb.inv_freq",)  # the last is stored by old versions
    arrays = {name: array for name, array in arrays.items() if not name.endswith(derived)}
    if config.blocks > len(arrays):
        raise ValueError(f"there are {len(arrays)} arrays for {config.blocks:,} layers")
    like = shapes(config)
    wanted = {name: leaf.shape[::-1] if _is_matrix(name) else leaf.shape
              for name, leaf in _named(like) if not (tied and name == _HEAD)}  # fmt: skip
    have = {name: array.shape for name, array in arrays.items()}
    if wrong := sorted(name for name in wanted | have if wanted.get(name) != have.get(name)):
        raise ValueError(
            f"the weights do not fit their config: {len(wrong)} arrays differ, such as {wrong[0]}: "
            f"stored {have.get(wrong[0])}, wanted {wanted.get(wrong[0])}"
        )

    def leaf(name: str) -> jax.Array:
        array = arrays[_EMBEDDING if tied and name == _HEAD else name]
        numbers = jnp.asarray(_turned(name, array.astype(np.float32)))
        if not jnp.isfinite(numbers).all():
            raise ValueError(f"{name} contains numbers that are not finite; get the weights again")
        return numbers

    return jax.tree.unflatten(jax.tree.structure(like), [leaf(name) for name, _ in _named(like)])


def _named(net: Transformer) -> list[tuple[str, Any]]:
    """The leaves of the pytree, in order, with Hugging Face's names."""
    leaves = jax.tree_util.tree_flatten_with_path(net)[0]
    return [(_name(jax.tree_util.keystr(path)), leaf) for path, leaf in leaves]


def _name(path: str) -> str:
    """Hugging Face's name of the parameter at a key path, such as `.blocks[0].query.kernel`."""
    words = re.findall(r"\w+", path)
    if words[0] == "head":
        return _HEAD
    layer, part = (f"layers.{words[1]}.", words[2]) if words[0] == "blocks" else ("", words[0])
    return f"model.{layer}{_PARTS.get(part, part)}.weight"


def _is_matrix(name: str) -> bool:
    return name == _HEAD or "proj" in name


def _turned(name: str, array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.T) if _is_matrix(name) else array


def to_config(config: ModelConfig, slots: int) -> dict[str, Any]:
    """`config.json` of a `LlamaForCausalLM`; `slots` is the length of the longest row."""
    scaling: dict[str, Any] = {"rope_type": "llama3" if config.rope_scaling else "default"}
    values = (*config.rope_scaling[:3], *map(int, config.rope_scaling[3:]))
    scaling |= dict(zip(_SCALING, values, strict=False))
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **{name: getattr(config, ours) for name, ours in _SIZES.items()},
        "num_key_value_heads": config.kv_heads or config.heads,
        **_FIXED,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rope_base,
        "rope_scaling": scaling if config.rope_scaling else None,
        "rope_parameters": {"rope_theta": config.rope_base, **scaling},  # read by transformers 5
        "tie_word_embeddings": False,
        "max_position_embeddings": slots,
        "pad_token_id": vocab.PAD,
        "bos_token_id": None,
        "eos_token_id": vocab.EOS,
    }


def from_config(stored: Mapping[str, Any]) -> tuple[ModelConfig, bool]:
    """The `ModelConfig` of a Llama's `config.json`, and whether its embeddings are tied.

    Raises:
      ValueError: it is not a Llama, or one that our Transformer does not support.
    """
    if stored.get("model_type") != "llama":
        raise ValueError(f"model_type {stored.get('model_type')!r} is not llama")
    if other := [key for key, value in _FIXED.items() if stored.get(key, value) != value]:
        raise ValueError(f"{other[0]} {stored[other[0]]!r} is not {_FIXED[other[0]]!r}")
    rope = stored.get("rope_scaling") or stored.get("rope_parameters") or {}
    if not isinstance(rope, Mapping):
        raise ValueError(f"rope_parameters {rope!r} are not an object")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "llama3"):
        raise ValueError(f"rope_type {kind!r} is neither default nor llama3")
    base = rope if rope.get("rope_theta") else stored  # in this order, as transformers 5 does
    width, heads = _number(stored, "hidden_size"), _number(stored, "num_attention_heads")
    omitted = {"num_key_value_heads": heads, "head_dim": width // max(heads, 1)}
    sizes = {ours: _number(stored, name, omitted.get(name)) for name, ours in _SIZES.items()}
    config = ModelConfig(
        **sizes | {"kv_heads": 0 if sizes["kv_heads"] == heads else sizes["kv_heads"]},
        rope_base=float(_number(base, "rope_theta")),
        norm_epsilon=float(_number(stored, "rms_norm_eps")),
        rope_scaling=tuple(float(_number(rope, key)) for key in _SCALING if kind == "llama3"),
    )
    return config, bool(stored.get("tie_word_embeddings", False))


def _number(stored: Mapping[str, Any], key: str, default: int | None = None) -> Any:
    value = default if stored.get(key) is None else stored[key]
    if type(value) is not int and (type(value) is not float or key in _SIZES):
        raise ValueError(f"{key} is {value!r}, not a number")
    return value
