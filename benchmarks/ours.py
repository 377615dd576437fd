"""Our side of the comparison: the same requests as `peer_llama.py`, answered by `birdiedna`."""

import argparse
import time
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from worker import serve

from birdiedna.model import transformer
from birdiedna.model.transformer import ModelConfig, Transformer
from birdiedna.training import optimizer

LAYER = {
    "self_attn.q_proj": "query",
    "self_attn.k_proj": "key",
    "self_attn.v_proj": "value",
    "self_attn.o_proj": "output",
    "mlp.gate_proj": "gate",
    "mlp.up_proj": "up",
    "mlp.down_proj": "down",
}
TX = optimizer.optimizer(optimizer.OptimizerConfig(peak=1e-3, final=1e-3, warmup=0.0), 1_000_000)


def llama(config: ModelConfig, weights: dict[str, np.ndarray]) -> Transformer:
    """Our model with Hugging Face's weights."""
    net = transformer.init(config, 0)
    net.embedding[...] = jnp.asarray(weights["model.embed_tokens.weight"])
    net.norm.scale[...] = jnp.asarray(weights["model.norm.weight"])
    net.head.kernel[...] = jnp.asarray(weights["lm_head.weight"].T)
    for i, block in enumerate(net.blocks):
        layer = f"model.layers.{i}."
        block.attention_norm.scale[...] = jnp.asarray(weights[layer + "input_layernorm.weight"])
        block.mlp_norm.scale[...] = jnp.asarray(weights[layer + "post_attention_layernorm.weight"])
        for theirs, name in LAYER.items():
            getattr(block, name).kernel[...] = jnp.asarray(weights[f"{layer}{theirs}.weight"].T)
    return net


def loss(net: Transformer, ids, labels) -> tuple[jax.Array, jax.Array]:
    """Mean cross-entropy of all positions of causal rows, and the logits."""
    logits = net(ids, jnp.zeros(len(ids), jnp.int32))
    return optimizer.cross_entropy(logits, labels).mean(), logits


@partial(jax.jit, donate_argnums=0)
def step(state: optimizer.State, ids, labels) -> tuple[optimizer.State, jax.Array]:
    """One train step of `birdiedna`."""
    batch_loss = lambda net, batch: (loss(net, *batch)[0], None)
    state, value, _, _ = optimizer.update(state, TX, batch_loss, (ids, labels))
    return state, value


class Ours:
    """The state of training and how it runs."""

    def __init__(self, options: argparse.Namespace):
        self.options = options

    def start(self, sizes: dict[str, Any], path: str) -> dict[str, Any]:
        config = replace(ModelConfig(**sizes), compute=self.options.compute)
        net = llama(config, dict(np.load(path)))
        self.state = optimizer.start(net, TX)
        return {"on_cpu": jax.default_backend() == "cpu"}

    def parity(self, ids, labels, path: str) -> dict[str, Any]:
        value, logits = jax.jit(loss)(self.state.model, ids, labels)
        gradient = jax.jit(jax.grad(lambda *x: loss(*x)[0]))(self.state.model, ids, labels)
        np.savez(path, logits=logits, gradient=gradient.blocks[0].query.kernel[...].T)
        return {"loss": float(value)}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if "start" in request:
            return self.start(request["start"], request["weights"])
        data = np.load(request["data"])
        ids, labels = (jnp.asarray(data[x], jnp.int32) for x in ("ids", "labels"))
        if "parity" in request:
            return self.parity(ids, labels, request["parity"])
        begin, losses = time.perf_counter(), []
        for _ in range(request["steps"]):
            self.state, value = step(self.state, ids, labels)
            losses.append(float(value))
        jax.block_until_ready(self.state)
        return {"seconds": (time.perf_counter() - begin) / len(losses), "losses": losses}


def main() -> None:
    """Serve requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compute", choices=("float32", "bfloat16"), default="float32")
    serve(Ours(parser.parse_args()).answer)


if __name__ == "__main__":
    main()
