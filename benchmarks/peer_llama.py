"""The peer: Hugging Face's Llama in PyTorch, one train step, on the CPU or a CUDA device.

Runs in an environment with `torch` and `transformers`, started by `train_step.py`. Requests:

* `start`: sizes, and `weights`, a path: writes the initial weights there under their Hugging Face
  names; answers versions, and whether it is on the CPU.
* `parity`: a path, and `data`, a file of ids and labels (B, L): writes logits and the gradient of
  one deep matrix there, answers the loss.
* `steps`: n, and `data`: runs n train steps, answers seconds and losses.
"""

import argparse
import os
import tempfile
import time
from typing import Any

import numpy as np
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM
from worker import serve

DEEP = "model.layers.0.self_attn.q_proj.weight"


def build(sizes: dict[str, Any], seed: int = 0) -> LlamaForCausalLM:
    """A Llama with PyTorch's fused attention, float32 weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=sizes["vocabulary"],
        hidden_size=sizes["width"],
        intermediate_size=sizes["mlp_width"],
        num_hidden_layers=sizes["blocks"],
        num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["heads"],
        head_dim=sizes["head_width"],
        rms_norm_eps=sizes["norm_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": sizes["rope_base"]},
        tie_word_embeddings=False,
        use_cache=False,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config).to(torch.float32).train()


def optimizer(net: torch.nn.Module) -> torch.optim.Optimizer:
    """AdamW as ours: decay on matrices only."""
    matrices = [weight for weight in net.parameters() if weight.ndim > 1]
    vectors = [weight for weight in net.parameters() if weight.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=True)


class Peer:
    """The model, its optimizer and the way they run."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.device = "cuda" if torch.cuda.is_available() else "cpu"

    def start(self, sizes: dict[str, Any]) -> None:
        self.net = build(sizes).to(self.device)
        self.tx = optimizer(self.net)
        self.call = torch.compile(self.net) if self.options.compile else self.net

    def loss(self, ids: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bf16 = self.options.compute == "bfloat16"
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=bf16):
            logits = self.call(input_ids=ids).logits.float()
        flat = logits.view(-1, logits.shape[-1])
        return torch.nn.functional.cross_entropy(flat, labels.view(-1)), logits

    def step(self, ids: torch.Tensor, labels: torch.Tensor) -> float:
        """Forward, loss, backward, clipping, AdamW."""
        self.tx.zero_grad(set_to_none=True)
        value, _ = self.loss(ids, labels)
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.tx.step()
        return float(value.detach())

    def parity(self, ids: torch.Tensor, labels: torch.Tensor, path: str) -> dict[str, Any]:
        value, logits = self.loss(ids, labels)
        value.backward()
        deep = dict(self.net.named_parameters())[DEEP].grad
        np.savez(path, logits=logits.detach().cpu(), gradient=deep.cpu())
        self.net.zero_grad(set_to_none=True)
        return {"loss": float(value.detach())}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if "start" in request:
            self.start(request["start"])
            weights = {name: x.detach().cpu().numpy() for name, x in self.net.named_parameters()}
            np.savez(request["weights"], **weights)
            return {
                "on_cpu": self.device == "cpu",
                "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            }
        data = np.load(request["data"])
        ids, labels = (torch.from_numpy(data[x]).to(self.device) for x in ("ids", "labels"))
        if "parity" in request:
            return self.parity(ids, labels, request["parity"])
        begin = time.perf_counter()
        losses = [self.step(ids, labels) for _ in range(request["steps"])]
        return {"seconds": (time.perf_counter() - begin) / len(losses), "losses": losses}


def main() -> None:
    """Serve requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compute", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--compile", action="store_true")
    with tempfile.TemporaryDirectory() as folder:  # what torch.compile made before may be damaged
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        serve(Peer(parser.parse_args()).answer)


if __name__ == "__main__":
    main()
