"""A Hugging Face Llama gives the numbers of `transformers`; `test_export` tests our own models."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import made_llama
import numpy as np
import pytest

from birdiedna.model import llama, transformer
from birdiedna.training import optimizer

REFERENCE = made_llama.reference()
SIZES = llama.from_config(made_llama.config_of())[0]
LAYER, EMBEDDING = "grad:model.layers.0.self_attn.", "grad:model.embed_tokens.weight"
logits_of = jax.jit(lambda net: net(jnp.asarray(REFERENCE["ids"]), None))


def test_logits_of_grouped_heads_and_rescaled_frequencies_are_those_of_transformers():
    assert (SIZES.kv_heads, SIZES.head_width, len(SIZES.rope_scaling)) == (2, 16, 4)
    np.testing.assert_allclose(logits_of(made_llama.net()), REFERENCE["logits"], atol=2e-5)


@pytest.mark.parametrize("recompute", [False, True])
def test_loss_and_deep_gradients_are_those_of_transformers(recompute):
    def loss(net, ids):
        return optimizer.cross_entropy(net(ids, None)[:, :-1], ids[:, 1:]).mean()

    net = transformer.recast(made_llama.net(), replace(SIZES, recompute=recompute))
    value, found = jax.jit(jax.value_and_grad(loss))(net, jnp.asarray(REFERENCE["ids"]))
    assert value == pytest.approx(REFERENCE["loss"], abs=1e-5)
    for name, kernel in (("q_proj", "query"), ("k_proj", "key")):
        own = getattr(found.blocks[0], kernel).kernel[...]
        np.testing.assert_allclose(own.T, REFERENCE[f"{LAYER}{name}.weight"], atol=1e-5)
    both = found.embedding[...] + found.head.kernel[...].T  # tied there
    np.testing.assert_allclose(both, REFERENCE[EMBEDDING], atol=1e-5)


def frequencies(**changed):
    """The same weights with other rotary frequencies; without arguments, none are rescaled."""
    scaling = dict(zip(("factor", "low", "high", "slots"), SIZES.rope_scaling, strict=True))
    other = tuple((scaling | changed).values()) if changed else ()
    return llama.from_llama(llama.to_llama(made_llama.net()), replace(SIZES, rope_scaling=other))


def tiled():
    """Key and value heads tiled instead of repeated."""
    order = np.arange(64).reshape(2, 2, 16).swapaxes(0, 1).reshape(-1)
    turn = lambda name, x: x[order] if "q_proj" in name else x[:, order] if "o_proj" in name else x
    arrays = {name: turn(name, array) for name, array in llama.to_llama(made_llama.net()).items()}
    return llama.from_llama(arrays, SIZES)


def swapped():
    """The two layers swapped."""
    swap = lambda name: name.translate(str.maketrans("01", "10")) if "layers" in name else name
    arrays = {swap(name): array for name, array in llama.to_llama(made_llama.net()).items()}
    return llama.from_llama(arrays, SIZES)


OTHERS = {
    "frequencies as they are": frequencies,
    **{
        f"another {name}": lambda name=name, value=value: frequencies(**{name: value})
        for name, value in (("factor", 8.0), ("low", 0.5), ("high", 8.0), ("slots", 128.0))
    },
    "heads in tiles": tiled,
    "swapped layers": swapped,
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_another_arrangement_gives_other_logits(other):
    assert np.abs(logits_of(other()) - REFERENCE["logits"]).max() > 1e-3


def test_a_config_may_omit_what_follows_from_its_other_sizes():
    given = made_llama.config_of()
    short = {name: given[name] for name in given.keys() - {"head_dim", "num_key_value_heads"}}
    config, _ = llama.from_config(short)
    assert (config.heads, config.head_width) == (4, config.width // 4)
    assert config == replace(SIZES, kv_heads=0, head_width=config.width // 4)


def test_frequencies_are_those_that_transformers_takes_from_two_spellings():
    given = made_llama.config_of()
    own = given["rope_parameters"]
    for spelled in (
        {"rope_theta": 1e4},  # beside that of rope_parameters
        {"rope_parameters": {"rope_type": "default"}, "rope_scaling": own},
        {"rope_theta": 5e5, "rope_parameters": {k: own[k] for k in own if k != "rope_theta"}},
    ):
        assert llama.from_config(given | spelled)[0] == SIZES
    written = llama.to_config(SIZES, 100)["rope_parameters"]
    assert {name: (value, type(value)) for name, value in written.items()} == {
        name: (value, type(value)) for name, value in own.items()
    }


def test_weights_that_are_not_finite_are_refused():
    arrays = {**llama.to_llama(made_llama.net()), "model.norm.weight": np.full(32, np.nan)}
    with pytest.raises(ValueError, match="model.norm.weight contains numbers that are not finite"):
        llama.from_llama(arrays, SIZES)
