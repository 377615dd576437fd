"""The peer: Hugging Face's Llama in PyTorch, one train step, on the CPU or a CUDA device.

`train_step.py` starts it in an environment with `torch` and `transformers`. A request is one line
of JSON, `[method, arguments]`, and so is its answer.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from typing import Any

import numpy as np
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

DEEP = "model.layers.0.self_attn.q_proj.weight"


def build(config: dict[str, Any], seed: int = 0) -> LlamaForCausalLM:
    """A Llama with PyTorch's fused attention, float32 weights."""
    torch.manual_seed(seed)
    sizes = LlamaConfig.from_dict(config, use_cache=False, attn_implementation="sdpa")
    return LlamaForCausalLM(sizes).to(torch.float32).train()


def optimizer(net: torch.nn.Module) -> torch.optim.Optimizer:
    """AdamW as ours: decay on matrices only."""
    groups = [
        {"params": [w for w in net.parameters() if (w.ndim > 1) == matrices], "weight_decay": decay}
        for matrices, decay in ((True, 0.1), (False, 0.0))
    ]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=True)


class Peer:
    """The model and its optimizer."""

    def __init__(self, compute: str, compiled: bool):
        self.compute, self.compiled = compute, compiled
        self.device = "cuda" if torch.cuda.is_available() else "cpu"

    def start(self, config: dict[str, Any], weights: str) -> dict[str, Any]:
        """Write the initial weights under Hugging Face names; answer device and versions."""
        self.net = build(config).to(self.device)
        self.tx = optimizer(self.net)
        self.call = torch.compile(self.net) if self.compiled else self.net
        named = self.net.named_parameters()
        np.savez(weights, **{name: x.detach().cpu().numpy() for name, x in named})
        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        return {"on_cpu": self.device == "cpu", "versions": versions}

    def loss(self, ids: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bf16 = self.compute == "bfloat16"
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

    def parity(self, data: str, into: str) -> dict[str, Any]:
        """Write logits and the gradient of one deep matrix; answer the loss."""
        value, logits = self.loss(*self.batch(data))
        value.backward()
        deep = dict(self.net.named_parameters())[DEEP].grad
        np.savez(into, logits=logits.detach().cpu(), gradient=deep.cpu())
        self.net.zero_grad(set_to_none=True)
        return {"loss": float(value.detach())}

    def steps(self, data: str, count: int) -> dict[str, Any]:
        """Run train steps; answer the seconds of one."""
        batch, begin = self.batch(data), time.perf_counter()
        for _ in range(count):
            self.step(*batch)
        return {"seconds": (time.perf_counter() - begin) / count}

    def batch(self, data: str) -> list[torch.Tensor]:
        """Ids and labels (B, L)."""
        stored = np.load(data)
        return [torch.from_numpy(stored[name]).to(self.device) for name in ("ids", "labels")]


def main() -> None:
    """Answer requests from stdin until it closes; what libraries print goes to stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compute", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--compile", action="store_true")
    given = parser.parse_args()
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with tempfile.TemporaryDirectory() as folder:  # an old cache of torch.compile may be damaged
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        peer = Peer(given.compute, given.compile)
        for line in sys.stdin:
            method, arguments = json.loads(line)
            print(json.dumps(getattr(peer, method)(*arguments)), file=out, flush=True)


if __name__ == "__main__":
    main()
