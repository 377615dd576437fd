"""Pre-training can start from a Hugging Face Llama."""

import json
import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import made_llama
import numpy as np
import pytest
import tiny

from birdiedna import vocab
from birdiedna.data import tensors
from birdiedna.training import llama_start, pretrain, run_folder, stop

REFERENCE = made_llama.reference()


@pytest.fixture
def folder(tmp_path):
    """The Llama with a tokenizer whose letters are tokens 3 to 7; 38 and 39 begin and end."""
    place = tmp_path / "llama"
    shutil.copytree(made_llama.FOLDER, place)
    words = {"A": 3, "C": 4, "G": 5, "T": 6, "N": 7}
    added = [{"id": 38}, {"id": 39}]
    text = json.dumps({"model": {"vocab": words}, "added_tokens": added})
    (place / "tokenizer.json").write_text(text)
    return place


@pytest.fixture
def arrays(folder):
    """Its arrays; their files are removed, so that others can be written in their place."""
    found, files = tensors.read_folder(folder)
    for file in (*files, folder / "model.safetensors.index.json"):
        file.unlink()
    return found


def write(folder, arrays):
    tensors.write(folder / "model.safetensors", arrays, {"format": "pt"})


def test_bases_keep_the_rows_of_their_letters_and_new_rows_all_differ(folder):
    start = llama_start.read(folder, seed=0)
    rows, theirs = np.asarray(start.net.embedding[...]), np.asarray(made_llama.net().embedding[...])
    for ours, token in ((vocab.A, 3), (vocab.T, 6), (vocab.N, 7), (vocab.START, 38)):
        assert np.array_equal(rows[ours], theirs[token])
    assert np.array_equal(start.net.head.kernel[...], rows.T), "tied there, and equal at the start"
    assert rows.shape == (vocab.SIZE, 32) and len(np.unique(rows.round(4), axis=0)) == vocab.SIZE
    norms = np.linalg.norm(rows, axis=1)
    letters, made = norms[vocab.A : vocab.N + 1], np.delete(norms, [vocab.START, vocab.EOS])
    assert made.min() >= letters.min() - 1e-5 and made.max() <= letters.max() + 1e-5
    cosine = rows[vocab.C] @ rows[vocab.T] / np.linalg.norm(rows[[vocab.C, vocab.T]], axis=1).prod()
    assert start.notes["CT"] == pytest.approx(cosine, abs=1e-3)
    again, other = (llama_start.read(folder, seed).net.embedding[...] for seed in (0, 1))
    assert np.array_equal(rows, again) and not np.array_equal(rows, other)


def test_what_transformers_ignores_is_ignored_and_another_head_is_not(folder, arrays):
    write(folder, arrays)
    wanted = jax.tree.leaves(llama_start.read(folder, seed=0).net)
    words = arrays["model.embed_tokens.weight"]
    more = {"lm_head.weight": words, "model.layers.0.self_attn.rotary_emb.inv_freq": words[0]}
    write(folder, arrays | more)
    found = jax.tree.leaves(llama_start.read(folder, seed=0).net)
    assert all(map(np.array_equal, found, wanted))
    more["lm_head.weight"] = 2 * words
    write(folder, arrays | more)
    with pytest.raises(ValueError, match="1 arrays differ, such as lm_head.weight"):
        llama_start.read(folder, seed=0)


def test_llama_3_needs_no_tokenizer_file(folder, arrays):
    (folder / "tokenizer.json").unlink()
    words = np.random.default_rng(0).standard_normal((128_256, 32)).astype(np.float32)
    words[128_002:] = 1e6  # of reserved tokens, which were not trained
    words[128_001] /= 100  # new rows are as long as those of letters, not as the ends
    write(folder, arrays | {"model.embed_tokens.weight": words})
    config = made_llama.config_of(folder) | {"vocab_size": 128_256}
    config |= {"bos_token_id": 128_000, "eos_token_id": [128_001, 128_008]}
    (folder / "config.json").write_text(json.dumps(config))
    rows = np.asarray(llama_start.read(folder, seed=0).net.embedding[...])
    letters = {"A": 32, "C": 34, "G": 38, "T": 51, "N": 45, "<start>": 128_000, "<eos>": 128_001}
    for ours, token in letters.items():
        assert np.array_equal(rows[vocab.NAMES.index(ours)], words[token])
    norms = np.linalg.norm(np.delete(rows, vocab.EOS, axis=0), axis=1)
    assert norms.min() > 0.99 * np.linalg.norm(rows[vocab.A : vocab.N + 1], axis=1).min()
    assert np.abs(rows).max() < 100


def test_the_digest_of_a_start_covers_the_tokens_of_its_letters(folder):
    first = llama_start.read(folder, seed=0)
    file = folder / "tokenizer.json"
    file.write_text(file.read_text().replace('"C": 4, "G": 5', '"C": 5, "G": 4'))
    other = llama_start.read(folder, seed=0)
    assert not np.array_equal(first.net.embedding[...], other.net.embedding[...])
    assert first.sha256 != other.sha256


def test_a_cut_vocabulary_leaves_the_other_logits_as_they_were(folder):
    logits = jax.jit(lambda net, ids: net(jnp.asarray(ids), None))
    theirs = np.array([3, 4, 5, 6])[REFERENCE["ids"] % 4]
    ours = theirs - 3 + vocab.A
    found = logits(llama_start.read(folder, seed=0).net, ours)[..., vocab.A : vocab.T + 1]
    np.testing.assert_allclose(found, logits(made_llama.net(), theirs)[..., 3:7], atol=1e-5)


@pytest.mark.promise("Bad input: a Llama that cannot be continued is refused in one line")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokenizer": None}, "40 tokens are not those of Llama 3; add its tokenizer.json"),
        ({"tokenizer": {"model": {"vocab": {"A": 3}}}}, "tokenizer.json has no token 'C'"),
        (
            {"tokenizer": {"model": {"vocab": dict.fromkeys("ACGTN", 3)}}},
            "tokenizer.json gives letters the same token: {'A': 3, 'C': 3,",
        ),
        ({"tokenizer": {"model": 3}}, "'model' is not an object"),
        ({"config": {"bos_token_id": 40}}, "bos_token_id of config.json is 40, not one of 0..39"),
        ({"config": {"eos_token_id": None}}, "eos_token_id of config.json is None, not"),
        ({"config": {"vocab_size": 50}}, "model.embed_tokens.weight has shape (40, 32)"),
        ({"config": {"num_key_value_heads": 4}}, "the weights do not fit their config"),
        ({"config": {"num_key_value_heads": 3}}, "heads 4 must divide by kv_heads 3"),
        ({"config": {"model_type": "mistral"}}, "model_type 'mistral' is not llama"),
        ({"config": {"rope_parameters": 8.0}}, "rope_parameters 8.0 are not an object"),
        ({"config": {"attention_bias": True}}, "attention_bias True is not False"),
        ({"config": {"rope_parameters": {"rope_type": "linear"}}}, "rope_type 'linear'"),
        ({"config": {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}}}, "factor is"),
        ({"config": {"birdiedna": {}}}, "a model of birdiedna; `birdiedna finetune --start`"),
        ({"config": {"tie_word_embeddings": False}}, "lm_head.weight: stored None"),
    ],
)
def test_another_llama_is_refused_in_one_line(folder, change, said):
    if "tokenizer" in change:
        (folder / "tokenizer.json").unlink()
    if change.get("tokenizer"):
        (folder / "tokenizer.json").write_text(json.dumps(change["tokenizer"]))
    config = made_llama.config_of(folder) | change.get("config", {})
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError) as error:
        llama_start.read(folder, 0)
    assert said in str(error.value) and str(folder) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("row", "value", "said"),
    [
        (30, np.inf, "model.embed_tokens.weight contains numbers that are not"),
        (4, 0, "llama: the row of 'C' has only zeros; give a model that was trained"),
    ],
)
def test_words_that_are_not_finite_or_zero_are_refused_without_a_warning(
    folder, arrays, recwarn, row, value, said
):
    words = np.array(arrays["model.embed_tokens.weight"], np.float32)
    words[row] = value
    write(folder, arrays | {"model.embed_tokens.weight": words})
    with pytest.raises(ValueError, match=said):
        llama_start.read(folder, seed=0)
    assert not [w for w in recwarn if w.category is RuntimeWarning], "of NumPy"


def test_pre_training_continues_it_and_refuses_to_resume_from_another_start(
    folder, human, tmp_path, own_objectives
):
    sizes = replace(made_llama.net().config, vocabulary=vocab.SIZE)
    arm = replace(tiny.ARMS["ntp"], model=sizes)
    start = llama_start.read(folder, seed=0)
    run = lambda start, ask: list(
        pretrain.train(arm, human, [pretrain.Run(0, tmp_path)], ask, 0, start=start)
    )
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
