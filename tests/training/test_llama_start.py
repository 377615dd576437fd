"""A Hugging Face Llama is computed as `transformers` computes it, and continues as our model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from birdiedna import vocab
from birdiedna.data import sample, tensors
from birdiedna.model import llama, transformer
from birdiedna.training import llama_start, optimizer, pretrain, run_folder, stop

#: Made by tests/model/make_hf_folders.py.
LLAMA = Path(__file__).parents[1] / "model" / "hf_gqa"
K_PROJ, EMBEDDING = "model.layers.0.self_attn.k_proj.weight", "model.embed_tokens.weight"


@pytest.fixture(scope="module")
def reference():
    with np.load(LLAMA / "reference.npz") as stored:
        return dict(stored)


def config_of(folder=LLAMA):
    return json.loads((folder / "config.json").read_text())


@pytest.fixture(scope="module")
def net():
    config, tied = llama.from_config(config_of())
    return llama.from_llama(tensors.read_folder(LLAMA)[0], config, tied)


def computed(net, ids):
    return np.asarray(jax.jit(lambda net, ids: net(ids, None))(net, jnp.asarray(ids)))


def logits(net, reference):
    return computed(net, reference["ids"])


def test_logits_of_grouped_heads_and_rescaled_frequencies_are_those_of_transformers(net, reference):
    assert (net.config.kv_heads, net.config.head_width, len(net.config.rope_scaling)) == (2, 16, 4)
    np.testing.assert_allclose(logits(net, reference), reference["logits"], atol=2e-5)


def test_gradients_are_those_of_transformers(net, reference):
    def loss(net, ids):
        return optimizer.cross_entropy(net(ids, None)[:, :-1], ids[:, 1:]).mean()

    ids = jnp.asarray(reference["ids"])
    for recompute in (False, True):
        own = transformer.recast(net, replace(net.config, recompute=recompute))
        value, gradient = jax.jit(jax.value_and_grad(loss))(own, ids)
        assert value == pytest.approx(reference["loss"], abs=1e-5)
        key = gradient.blocks[0].key.kernel[...]
        np.testing.assert_allclose(key.T, reference[f"grad:{K_PROJ}"], atol=1e-5)
        both = gradient.embedding[...] + gradient.head.kernel[...].T  # tied there
        np.testing.assert_allclose(both, reference[f"grad:{EMBEDDING}"], atol=1e-5)


def other_frequencies(net, **changed):
    names = ("factor", "low", "high", "slots")
    scaling = dict(zip(names, net.config.rope_scaling, strict=True)) | changed
    return tuple(scaling.values())


def tiled(net):
    """Key and value heads in the order of a tile instead of a repeat."""
    order = np.arange(64).reshape(2, 2, 16).swapaxes(0, 1).reshape(-1)
    leaves = {id(block.query.kernel): block.query.kernel[...][:, order] for block in net.blocks}
    leaves |= {id(block.output.kernel): block.output.kernel[...][order] for block in net.blocks}
    changed = jax.tree.map(lambda x: x, net)
    for block, old in zip(changed.blocks, net.blocks, strict=True):
        block.query.kernel[...] = leaves[id(old.query.kernel)]
        block.output.kernel[...] = leaves[id(old.output.kernel)]
    return changed


@pytest.mark.parametrize(
    "scaling",
    [(), {"factor": 8.0}, {"low": 0.5}, {"high": 8.0}, {"slots": 128.0}],
    ids=["none", "factor", "low", "high", "slots"],
)
def test_other_frequencies_give_other_logits(net, reference, scaling):
    found = other_frequencies(net, **scaling) if scaling else ()
    config = replace(net.config, rope_scaling=found)
    arrays = llama.to_llama(net)
    other = llama.from_llama(arrays, config)
    assert np.abs(logits(other, reference) - reference["logits"]).max() > 1e-3


def test_heads_that_are_tiled_or_swapped_layers_give_other_logits(net, reference):
    assert np.abs(logits(tiled(net), reference) - reference["logits"]).max() > 1e-3
    swap = lambda name: name.translate(str.maketrans("01", "10")) if "layers" in name else name
    arrays = {swap(name): array for name, array in llama.to_llama(net).items()}
    other = llama.from_llama(arrays, net.config)
    assert np.abs(logits(other, reference) - reference["logits"]).max() > 1e-3


@pytest.fixture
def folder(tmp_path):
    """The Llama with a tokenizer whose letters are tokens 3 to 7; 38 and 39 begin and end."""
    place = tmp_path / "llama"
    shutil.copytree(LLAMA, place)
    words = {"A": 3, "C": 4, "G": 5, "T": 6, "N": 7}
    added = [{"id": 38}, {"id": 39}]
    text = json.dumps({"model": {"vocab": words}, "added_tokens": added})
    (place / "tokenizer.json").write_text(text)
    return place


def test_bases_keep_the_rows_of_their_letters_and_new_rows_all_differ(folder, net):
    start = llama_start.read(folder, seed=0)
    rows, theirs = np.asarray(start.net.embedding[...]), np.asarray(net.embedding[...])
    for ours, token in ((vocab.A, 3), (vocab.T, 6), (vocab.N, 7), (vocab.START, 38)):
        assert np.array_equal(rows[ours], theirs[token])
    assert np.array_equal(start.net.head.kernel[...], rows.T), "tied there, and equal at the start"
    assert rows.shape == (vocab.SIZE, 32) and len(np.unique(rows.round(4), axis=0)) == vocab.SIZE
    norms = np.linalg.norm(rows, axis=1)
    kept = norms[[vocab.START, vocab.EOS, vocab.A, vocab.C, vocab.G, vocab.T, vocab.N]]
    assert norms.min() >= kept.min() - 1e-5 and norms.max() <= kept.max() + 1e-5
    again, other = (llama_start.read(folder, seed).net.embedding[...] for seed in (0, 1))
    assert np.array_equal(rows, again) and not np.array_equal(rows, other)


def test_a_cut_vocabulary_leaves_the_other_logits_as_they_were(folder, net, reference):
    start = llama_start.read(folder, seed=0)
    theirs = np.array([3, 4, 5, 6])[reference["ids"] % 4]
    ours = theirs - 3 + vocab.A
    found = computed(start.net, ours)[..., vocab.A : vocab.T + 1]
    np.testing.assert_allclose(found, computed(net, theirs)[..., 3:7], atol=1e-5)


@pytest.mark.promise("Bad input: a Llama that cannot be continued is refused in one line")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokenizer": None}, "40 tokens are not those of Llama 3; add its tokenizer.json"),
        ({"tokenizer": {"model": {"vocab": {"A": 3}}}}, "tokenizer.json has no token 'C'"),
        ({"tokenizer": {"model": 3}}, "'model' is not an object"),
        ({"config": {"bos_token_id": 40}}, "token 40 is not one of its 40"),
        ({"config": {"eos_token_id": None}}, "token None is not one of its 40"),
        ({"config": {"vocab_size": 50}}, "model.embed_tokens.weight has shape (40, 32)"),
        ({"config": {"num_key_value_heads": 4}}, "the weights do not fit their config"),
        ({"config": {"num_key_value_heads": 3}}, "heads 4 must divide by kv_heads 3"),
        ({"config": {"attention_bias": True}}, "attention_bias True is not False"),
        ({"config": {"rope_parameters": {"rope_type": "linear"}}}, "rope_type 'linear'"),
        ({"config": {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}}}, "factor is"),
        ({"config": {"tie_word_embeddings": False}}, "lm_head.weight: there None"),
    ],
)
def test_another_llama_is_refused_in_one_line(folder, change, said):
    if "tokenizer" in change:
        (folder / "tokenizer.json").unlink()
    if change.get("tokenizer"):
        (folder / "tokenizer.json").write_text(json.dumps(change["tokenizer"]))
    config = config_of(folder) | change.get("config", {})
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError) as error:
        llama_start.read(folder, 0)
    assert said in str(error.value) and str(folder) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture
def arm():
    sizes, _ = llama.from_config(config_of())
    return replace(
        tiny.PROFILE.pretrain["ntp"],
        validation=sample.VALIDATION,
        model=replace(sizes, vocabulary=vocab.SIZE),
    )


def test_pre_training_continues_it_and_refuses_to_resume_from_another_start(
    folder, arm, human, tmp_path, own_objectives
):
    start = llama_start.read(folder, seed=0)
    run = lambda start, ask: list(pretrain.train(arm, human, 0, tmp_path, ask, 0, start=start))
    with pytest.raises(stop.Stopped):
        run(start, lambda: stop.Stopped("enough", stop.OUT_OF_TIME))
    other = llama_start.read(folder, seed=1)._replace(sha256="0" * 64)
    for wrong in (other, None):
        with pytest.raises(ValueError, match="start: stored"):
            run(wrong, stop.never)
    run(start, stop.never)
    losses = [event["losses"] for event in run_folder.events(tmp_path, "evaluation")]
    assert losses[-1]["next_token"] < losses[0]["next_token"]
    assert np.asarray(start.net.embedding[...]).any(), "the start itself is not donated"
