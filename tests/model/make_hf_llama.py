"""Make `tests/model/hf_llama.npz`: a tiny Hugging Face Llama as a reference for our Transformer.

The file holds the weights of a random two-layer `LlamaForCausalLM` under their Hugging Face
`state_dict` names, one batch of ids, and the logits, mean next-token cross entropy (nats) and two
gradients that Hugging Face computes from them. Norm weights are moved away from 1, so that a model
that forgets them fails. A second forward pass, in NumPy float64 below, must agree before anything
is written. `tests/model/hf_llama.json` holds the settings, the versions and that difference.

PyTorch and Transformers are not dependencies of this project. To make the file again, from the
repository root, in an environment of its own:

    python3.11 -m venv hfvenv
    hfvenv/bin/pip install torch==2.13.0 transformers==5.23.0 numpy==2.4.6
    hfvenv/bin/python tests/model/make_hf_llama.py
"""

import json
import platform
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

DATA = Path(__file__).resolve().parent
SEED = 20
BATCH, LENGTH = 2, 24
THETA = 500_000.0
TOLERANCE = 1e-5  # float32 against float64, logits of order 1
GRADIENTS = ("model.layers.0.self_attn.q_proj.weight", "model.embed_tokens.weight")
SETTINGS = {
    "vocab_size": 32,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 8,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
    "attention_dropout": 0.0,
    # Our choice: 10 x the default, because near-uniform attention would hide a wrong rotation.
    "initializer_range": 0.2,
}


def build() -> LlamaForCausalLM:
    """The reference model, float32, with norm weights drawn from 1 + 0.3 N(0, 1).

    Raises: ValueError when the model does not rotate with base `THETA`.
    """
    torch.manual_seed(SEED)
    config = LlamaConfig(
        **SETTINGS,
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).to(torch.float32).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("norm.weight"):
                weight.copy_(1 + 0.3 * torch.randn_like(weight))
    found = model.model.rotary_emb.inv_freq.numpy()
    if not np.allclose(found, inverse_frequencies(), rtol=1e-6, atol=0):
        raise ValueError(f"inv_freq is {found}, expected {inverse_frequencies()}; check rope_theta")
    return model


def inverse_frequencies() -> np.ndarray:
    """Rotation per position in radians, (head_dim / 2,) (RoFormer, section 3.2.2)."""
    head = SETTINGS["head_dim"]
    return THETA ** (-np.arange(0, head, 2) / head)


def rms_norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """RMSNorm over the last axis."""
    return weight * x / np.sqrt((x**2).mean(-1, keepdims=True) + SETTINGS["rms_norm_eps"])


def rotate(x: np.ndarray) -> np.ndarray:
    """RoPE in the rotate-half layout, (B, H, T, D): element i is paired with i + D / 2."""
    angle = np.arange(x.shape[-2])[:, None] * inverse_frequencies()
    first, second = np.split(x, 2, axis=-1)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def attend(x: np.ndarray, weights: dict[str, np.ndarray], layer: str) -> np.ndarray:
    """Causal multi-head self-attention, (B, T, C) to (B, T, C)."""
    batch, length, width = x.shape
    head = SETTINGS["head_dim"]

    def heads(name: str) -> np.ndarray:
        out = x @ weights[f"{layer}.self_attn.{name}.weight"].T
        return out.reshape(batch, length, -1, head).transpose(0, 2, 1, 3)

    query, key, value = rotate(heads("q_proj")), rotate(heads("k_proj")), heads("v_proj")
    scores = query @ key.swapaxes(-1, -2) / np.sqrt(head)
    scores = np.where(np.tril(np.ones((length, length), bool)), scores, -np.inf)
    share = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = share / share.sum(-1, keepdims=True) @ value
    mixed = mixed.transpose(0, 2, 1, 3).reshape(batch, length, width)
    return mixed @ weights[f"{layer}.self_attn.o_proj.weight"].T


def forward(weights: dict[str, np.ndarray], ids: np.ndarray) -> np.ndarray:
    """Logits (B, T, V) in float64 from the Hugging Face weights and ids (B, T)."""
    w = {n: a.astype(np.float64) for n, a in weights.items() if n.startswith(("model.", "lm_"))}
    x = w["model.embed_tokens.weight"][ids]
    for index in range(SETTINGS["num_hidden_layers"]):
        layer = f"model.layers.{index}"
        x = x + attend(rms_norm(x, w[f"{layer}.input_layernorm.weight"]), w, layer)
        y = rms_norm(x, w[f"{layer}.post_attention_layernorm.weight"])
        gate = y @ w[f"{layer}.mlp.gate_proj.weight"].T
        up = y @ w[f"{layer}.mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w[f"{layer}.mlp.down_proj.weight"].T
    return rms_norm(x, w["model.norm.weight"]) @ w["lm_head.weight"].T


def cross_entropy(logits: np.ndarray, ids: np.ndarray) -> float:
    """Mean next-token cross entropy in nats over the B (T - 1) predicted positions."""
    shifted = logits[:, :-1] - logits[:, :-1].max(-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return float(-np.take_along_axis(logs, ids[:, 1:, None], axis=-1).mean())


def reference() -> dict[str, np.ndarray]:
    """Weights, ids (B, T) int32, logits (B, T, V), loss () and gradients, as float32 arrays."""
    model = build()
    generator = torch.Generator().manual_seed(SEED)
    ids = torch.randint(SETTINGS["vocab_size"], (BATCH, LENGTH), generator=generator)
    out = model(input_ids=ids, labels=ids, use_cache=False)
    out.loss.backward()
    arrays = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    arrays |= {"ids": ids.numpy().astype(np.int32), "logits": out.logits.detach().numpy()}
    arrays["loss"] = out.loss.detach().numpy()
    grads = {name: value.grad.numpy() for name, value in model.named_parameters()}
    return arrays | {f"grad:{name}": grads[name] for name in GRADIENTS}


def differences(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Largest absolute difference from the NumPy pass, for logits and loss.

    Raises: ValueError when one is above `TOLERANCE`.
    """
    logits = forward(arrays, arrays["ids"])
    found = {
        "logits": float(np.abs(logits - arrays["logits"]).max()),
        "loss": abs(cross_entropy(logits, arrays["ids"]) - float(arrays["loss"])),
    }
    if max(found.values()) > TOLERANCE:
        raise ValueError(f"NumPy and Hugging Face differ by {found}, expected below {TOLERANCE}")
    return found


def main() -> None:
    """Write the two files and print what they hold."""
    arrays = reference()
    notes = {
        "made_by": "tests/model/make_hf_llama.py",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "numpy": np.__version__,
        },
        "seed": SEED,
        "attention": "eager",
        "config": SETTINGS | {"rope_theta": THETA},
        "difference_from_numpy": differences(arrays),
    }
    np.savez_compressed(DATA / "hf_llama.npz", **arrays)
    (DATA / "hf_llama.json").write_text(json.dumps(notes, indent=2) + "\n")
    for name, array in arrays.items():
        print(f"{name:50} {array.dtype} {array.shape}")
    print(json.dumps(notes, indent=2))


if __name__ == "__main__":
    main()
