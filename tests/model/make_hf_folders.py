"""Make what `transformers` says of two small models, for the tests of import and export.

`hf_gqa/` is a random Llama in the shape of Llama 3.2, as `save_pretrained` writes it: grouped-query
heads, llama3 frequencies whose three branches all occur, tied embeddings, bfloat16, two parts. Its
`reference.npz` holds ids, logits, the mean next-token loss (nats) and three gradients, in float32.

`hf_export.npz` is a random model of ours, and what `transformers` computes from its exported
folder: logits of a causal row and of a row whose first tokens are read in both directions, the
latter by a 4-D mask; and tokens of some texts. `hf_export.json` has versions and the tokenizer's
checksum.

PyTorch and Transformers are not dependencies of this project. To make the files again, from the
repository root, in an environment of its own:

    python3 -m venv hfvenv
    hfvenv/bin/pip install torch transformers jax flax optax
    PYTHONPATH=. hfvenv/bin/python tests/model/make_hf_folders.py
"""

import hashlib
import json
import platform
import tempfile
from pathlib import Path

import jax
import numpy as np
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from birdiedna import vocab
from birdiedna.experiments import export
from birdiedna.model import llama, transformer
from birdiedna.training import weights

DATA = Path(__file__).resolve().parent
SEED = 20
LENGTH = 100
_LAYER = "model.layers.0.self_attn"
GRADIENTS = (f"{_LAYER}.q_proj.weight", f"{_LAYER}.k_proj.weight", "model.embed_tokens.weight")
GQA = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "bos_token_id": 38,
    "eos_token_id": 39,
    # Our choice: 10 x the default, because near-uniform attention would hide a wrong rotation.
    "initializer_range": 0.2,
}
ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
OURS = transformer.ModelConfig(width=16, blocks=2, heads=2, head_width=8, mlp_width=24)
SLOTS, PREFIX = 24, 15
TEXTS = (
    "ACGTN",
    "acgtn",
    "<next_token><start>ACgtRN<mask><class 1>",
    "AUGRTA",
    "A-C",
    "<infill_50_3>A",
)


def moved(model: torch.nn.Module) -> None:
    """Draw the norm weights from 1 + 0.3 N(0, 1), so that a model that forgets them fails."""
    for name, weight in model.named_parameters():
        if name.endswith("norm.weight"):
            weight.copy_(1 + 0.3 * torch.randn_like(weight))


def make_gqa(folder: Path) -> None:
    """Write the Llama and what it computes."""
    torch.manual_seed(SEED)
    config = LlamaConfig(**GQA, rope_parameters=ROPE, attn_implementation="eager")
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        moved(model)
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="30KB")
    # read again, because a model that was cast has rounded frequencies
    model = LlamaForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    generator = torch.Generator().manual_seed(SEED)
    ids = torch.randint(GQA["vocab_size"], (1, LENGTH), generator=generator)
    out = model(input_ids=ids, labels=ids, use_cache=False)
    out.loss.backward()
    found = {name: value.grad.numpy() for name, value in model.named_parameters()}
    arrays = {"ids": ids.numpy().astype(np.int32), "logits": out.logits.detach().numpy()}
    arrays |= {"loss": out.loss.detach().numpy()}
    arrays |= {f"grad:{name}": found[name] for name in GRADIENTS}
    np.savez_compressed(folder / "reference.npz", **arrays)


def make_export(path: Path) -> None:
    """Write our model and what `transformers` computes from its folder."""
    net = transformer.init(OURS, SEED)
    rng = np.random.default_rng(SEED)
    leaves, structure = jax.tree.flatten(net)
    leaves = [x * 1.5 if x.ndim > 1 else 1 + 0.3 * rng.standard_normal(x.shape) for x in leaves]
    net = jax.tree.unflatten(structure, [np.asarray(x, np.float32) for x in leaves])
    ids = rng.integers(0, vocab.SIZE, (1, SLOTS))
    place = torch.arange(SLOTS)
    seen = place[None, :] <= place[:, None]
    both = seen | ((place[:, None] < PREFIX) & (place[None, :] < PREFIX))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = weights.Model(net, {"type": "PretrainConfig", "slots": SLOTS}, {})
        weights.write(folder, model)
        export.write_tokenizer(folder, SLOTS)
        theirs = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa").eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        config = json.loads((folder / "config.json").read_text())
        sha256 = hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()
    with torch.no_grad():
        causal = theirs(torch.tensor(ids)).logits.numpy()
        prefix = theirs(torch.tensor(ids), attention_mask=both[None, None]).logits.numpy()
        made = theirs.generate(torch.tensor([[vocab.START, vocab.A]]), max_new_tokens=4)
    tokens = {text: tokenizer(text).input_ids for text in TEXTS}
    back = {text: tokenizer.decode(found) for text, found in tokens.items()}
    arrays = llama.to_llama(net) | {"ids": ids.astype(np.int32)}
    np.savez_compressed(path, **arrays, causal=causal, prefix=prefix)
    notes = {
        "made_by": "tests/model/make_hf_folders.py",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "numpy": np.__version__,
            "jax": jax.__version__,
        },
        "prefix": PREFIX,
        "config": config,
        "tokenizer_sha256": sha256,
        "tokens": tokens,
        "decoded": back,
        "generated_tokens": made.shape[1],
    }
    path.with_suffix(".json").write_text(json.dumps(notes, indent=1) + "\n")
    print(json.dumps(notes, indent=1))


if __name__ == "__main__":
    make_gqa(DATA / "hf_gqa")
    make_export(DATA / "hf_export.npz")
