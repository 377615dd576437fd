"""A model is exported as a Hugging Face folder and imported bit for bit."""

import html
import json
import os
import pickle
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_book
from markdown_it import MarkdownIt

from birdiedna import vocab
from birdiedna.cli import main
from birdiedna.data import catalog, fasta, genome
from birdiedna.data.files import digest
from birdiedna.experiments import export, models
from birdiedna.experiments.runs import open_runs
from birdiedna.experiments.sources import Sources
from birdiedna.inference import predict, variants
from birdiedna.model import llama
from birdiedna.training import run_folder, weights


@pytest.fixture(scope="module")
def run(folder):
    return open_runs("tiny").pretrained("birdie")


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    return export.export(run, tmp_path_factory.mktemp("exported") / "model")


def same(one, other):
    return jax.tree.all(jax.tree.map(np.array_equal, one.net, other.net))


def test_a_model_comes_back_bit_for_bit_from_folder_file_and_run(run, exported, tmp_path, said):
    model = models.load(run)
    shutil.copy(exported / "model.safetensors", tmp_path / "one.safetensors")
    imported = export.read_into_run(exported, tmp_path / "run")
    for name in (exported, tmp_path / "one.safetensors", imported):
        other = models.load(name)
        assert same(model, other) and other.config == model.config
        assert (other.bidirectional, other.slots) == (True, 128)
    manifest = run_folder.read(imported, "manifest")
    assert manifest["imported"]["manifest"] == run_folder.read(run, "manifest")
    assert f"{imported}: every other file is intact" in said("checkpoint", "verify", tmp_path)


@pytest.mark.promise("Damage: `birdiedna checkpoint verify` finds what a load would find")
def test_verify_refuses_a_finished_run_that_lost_its_manifest(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "runs" / run.name)
    (copy / "manifest.json").unlink()
    assert main.main(["checkpoint", "verify", str(copy.parent)]) == 1
    assert f"{copy}: manifest.json is missing" in capsys.readouterr().out
    copy.rename(copy.with_name("unfinished.partial"))
    assert main.main(["checkpoint", "verify", str(copy.parent)]) == 0


def test_functions_that_read_and_write_files_take_paths_and_texts(exported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.fa").write_text(f">a\n{'ACGT' * 500}\n>b\n{'ACCT' * 500}\n")
    (tmp_path / "own.csv").write_text("chrom,pos,ref,alt\na,2,C,T\n")
    assert Sources(Path("own.fa"), Path("x")) == Sources("own.fa", "x")
    own = fasta.read("own.fa", "cache")
    genome.save(own, "own.npz")
    assert genome.load("own.npz").fingerprint == own.fingerprint
    assert [name for name, _ in fasta.records("own.fa")] == ["a", "b"]
    variants.check("own.csv", own)
    model = weights.read(str(exported))
    weights.write_file("one.safetensors", model)
    Path("folder").mkdir()
    weights.write("folder", model)
    imported = export.read_into_run(str(export.export("one.safetensors", "again")), "imported")
    for name in ("one.safetensors", "folder", "again", imported):
        assert same(model, models.load(name))


def test_a_model_that_was_imported_has_the_facts_of_its_training(run, exported, tmp_path):
    trained = models.load(exported)
    trained = trained._replace(manifest={**trained.manifest, "device": "1 x theirs"})
    weights.write_file(tmp_path / "one.safetensors", trained)
    first = export.read_into_run(tmp_path / "one.safetensors", tmp_path / "first")
    again = export.read_into_run(export.export(first, tmp_path / "model"), tmp_path / "again")
    for place in (first, again):
        assert export._facts(models.load(place), {}) == export._facts(trained, {})


def test_a_fine_tuned_run_is_a_model_too_and_its_pooled_head_is_not_exported(run, tmp_path):
    tuned = open_runs("tiny").finetuned("birdie", "promoter_tata")
    model = models.load(tuned)
    assert same(model, models.load(export.export(tuned, tmp_path / "model")))
    back = export.read_into_run(tmp_path / "model", tmp_path / "back")
    assert same(model, models.load(back)) and predict.load(back).classes == ("0", "1")
    pooled = model._replace(config=model.config | {"head": "pooled"})
    weights.write(tmp_path / "model", pooled)
    with pytest.raises(ValueError, match="has the head .pooled., which is no part of a Llama"):
        export.export(tmp_path / "model", tmp_path / "other")


def test_bfloat16_rounds_and_halves_the_file(run, exported, tmp_path):
    (tmp_path / "small").mkdir()
    small = export.export(run, tmp_path / "small", "bfloat16")
    sizes = [(f / "model.safetensors").stat().st_size for f in (small, exported)]
    assert sizes[0] < 0.7 * sizes[1]
    pairs = zip(*(jax.tree.leaves(models.load(f).net) for f in (small, exported)), strict=True)
    assert all(np.allclose(a, b, rtol=2**-8) for a, b in pairs)


def test_the_card_says_what_is_in_the_manifest_and_the_log(run, exported):
    card = html.unescape((exported / "README.md").read_text())
    last = run_folder.events(run, "evaluation")[-1]
    manifest = run_folder.read(run, "manifest")
    wanted = (manifest["name"], manifest["command"], "chr20, chr21, chr22", "4-D mask")
    for said in (*wanted, f"| next_token, not trained on | {last['losses']['next_token']:.3f} |"):
        assert said in card


def test_the_mask_of_the_card_shows_the_whole_prompt_to_the_prompt_alone(exported):
    code = re.findall(r"```python\n(.*?)```", (exported / "README.md").read_text(), re.DOTALL)[1]
    found = []

    def tokenizer(text, **_):
        ids = [vocab.NAMES.index(token) for token in re.findall("<start>|.", text)]
        return SimpleNamespace(input_ids=np.array([ids]))

    def model(ids, attention_mask):
        found.append(attention_mask[0, 0])
        return SimpleNamespace(logits=None)

    tokenizer.convert_tokens_to_ids = vocab.NAMES.index
    exec(code.replace("import torch", "import numpy as torch"), locals())
    prompt = np.arange(9) < 8
    assert (found[0] == (np.tri(9, dtype=bool) | np.outer(prompt, prompt))).all()


@pytest.mark.promise("Security: names from files are text in the book, never markup")
def test_names_from_files_add_nothing_to_a_card(exported):
    model, tags = models.load(exported), []
    for texts in (["plain"] * len(small_book.PAYLOADS), small_book.PAYLOADS):
        cards = []
        for text in texts:
            facts = {key: text for key in ("name", "command", "arm", "task", "device", "code")}
            manifest = {**model.manifest, **facts, "data": {text: text}}
            own = model._replace(
                manifest=manifest, config={**model.config, "validation": [text], "held_out": [text]}
            )
            event = {"event": "evaluation", "step": 1, "losses": {text: 1.0}}
            cards.append(MarkdownIt("commonmark").enable("table").render(
                export.card(own, "0", [event])))  # fmt: skip
        tags.append([re.findall(r"<[^>]*>", card) for card in cards])
    assert tags[0] == tags[1]


@pytest.mark.promise("Bad input: a weights file that is a pickle, cut short or damaged is refused")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"vocab_size": 128_256}, "vocabulary of 128,256 tokens is not that of birdiedna"),
        ({"birdiedna": None}, "is not that of birdiedna"),
        ({"birdiedna": {}}, "birdiedna has no 'config'"),
        ({"birdiedna": 3}, "birdiedna is not an object"),
        ({"birdiedna": {"config": {"slots": "8"}, "manifest": {}}}, "'slots' is not a whole numb"),
        ({"birdiedna": {"config": {"objectives": [[1, 2]]}, "manifest": {}}}, "no objective"),
        ({"birdiedna": {"config": {}, "manifest": {"data": 3}}}, "'data' is not an object"),
        ({"model_type": "gpt2"}, "model_type 'gpt2' is not llama"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu' is not 'silu'"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope_type 'yarn' is neither"),
        ({"rope_parameters": 3}, "rope_parameters 3 are not an object"),
        ({"hidden_size": "16"}, "hidden_size is '16', not a number"),
        ({"hidden_size": None}, "hidden_size is None, not a number"),
        ({"num_attention_heads": 0}, "heads 0 must be at least 1"),
        ({"num_hidden_layers": 2}, "the weights do not fit their config"),
        ({"tie_word_embeddings": True}, "lm_head.weight: "),
        ({"num_hidden_layers": 1000}, "arrays for 1,000 layers"),
        ({"num_hidden_layers": 10**9}, "blocks 1,000,000,000 are more than 1,024"),
        ({"head_dim": 16}, "the weights do not fit their config"),
    ],
)
def test_a_config_of_another_model_is_refused_in_one_line(exported, tmp_path, change, why, refused):
    shutil.copytree(exported, tmp_path / "m")
    config = json.loads((exported / "config.json").read_text()) | change
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    error = refused("import", tmp_path / "m", tmp_path / "run")
    assert why in error and str(tmp_path / "m") in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", [None, '{"model_type": "lla', "[]"])
def test_weights_without_a_readable_config_are_not_taken_for_a_run(
    exported, tmp_path, refused, text
):
    config = shutil.copytree(exported, tmp_path / "m") / "config.json"
    config.write_text(text) if text else config.unlink()
    error = refused("import", tmp_path / "m", tmp_path / "x")
    assert "config.json" in error and "again" not in error and "pretrain" not in error


@pytest.mark.promise("Bad input: a weights file that is a pickle, cut short or damaged is refused")
def test_other_files_are_refused_in_one_line(exported, run, tmp_path, refused):
    bad = tmp_path / "pytorch_model.bin"
    bad.write_bytes(pickle.dumps([1]))
    bare = tmp_path / "bare"
    shutil.copytree(run, bare)
    shutil.rmtree(bare / "model")
    probed = tmp_path / "probed"
    probed.mkdir()
    run_folder.write_json(probed / "config.json", {"type": "ProbeConfig"})
    run_folder.write_manifest(probed, {"name": "probed"})
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((exported / "model.safetensors").read_bytes()[:-1])
    for words, why in (
        ([bad, tmp_path / "x"], "never opened"),
        ([cut, tmp_path / "x"], "bytes of data, its header says"),
        ([bare, tmp_path / "x"], "stored without its weights"),
        ([probed, tmp_path / "x"], "probed is a probe, which has no weights; give the model that"),
        ([tmp_path / "none", tmp_path / "x"], "no model"),
        ([exported, exported], "is not empty"),
        ([exported, cut], "is not empty"),
        ([tmp_path, tmp_path / "x"], "contains no"),
    ):
        assert why in refused("export", *words)
    assert not (tmp_path / "x").exists()
    assert f"{bare} exists; give a new folder" in refused("import", exported, bare)
    assert (bare / "manifest.json").read_bytes() == (run / "manifest.json").read_bytes()


@pytest.mark.promise("Bad input: a weights file that is a pickle, cut short or damaged is refused")
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_the_file_that_was_altered_is_named(exported, tmp_path, name):
    copy = shutil.copytree(exported, tmp_path / "copy")
    if name == "config.json":
        config = json.loads((copy / name).read_text())
        (copy / name).write_text(json.dumps(config | {"max_position_embeddings": 9}))
    else:
        data = bytearray((copy / name).read_bytes())
        data[-2] ^= 1
        (copy / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"copy/{name} is damaged: its checksum"):
        weights.read(copy)


def test_the_models_of_a_checkout_are_those_of_the_catalogue_and_small():
    for entry in catalog.ENTRIES:
        if entry.kind == "weights":
            path = models.find(entry.name)
            assert digest(path) == entry.files[0].sha256 and path.stat().st_size <= 35_000_000
            assert path.with_suffix(".md").is_file()
    model = models.load("eighth-ntp")
    assert (model.manifest["arm"], model.bidirectional, model.slots) == ("ntp", False, 1024)


def test_outside_a_checkout_a_model_is_taken_from_a_given_file(tmp_path, monkeypatch, said):
    own = models.find("eighth-ntp")
    monkeypatch.setenv("BIRDIEDNA_CACHE", str(tmp_path))
    monkeypatch.setattr(run_folder, "repository", lambda: tmp_path / "nowhere")
    said("data", "fetch", "eighth-ntp", "--from-file", own)
    found = models.find("eighth-ntp")
    assert found.is_relative_to(tmp_path) and same(models.load("eighth-ntp"), models.load(own))


@pytest.mark.promise("Damage: whatever is stored, a changed byte is found before it is shown")
@pytest.mark.parametrize("name", ["eighth-birdie", "eighth-ntp"])
def test_a_copy_of_a_model_of_the_checkout_is_compared_with_its_checksum(tmp_path, name):
    copy = tmp_path / "mine.safetensors"
    shutil.copy(models.find(name), copy)
    whole = models.load(copy)
    assert whole.name == models.load(name).name
    with copy.open("r+b") as file:
        file.seek(-1_000_001, os.SEEK_END)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 4]))
    with pytest.raises(ValueError, match=r"mine\.safetensors is damaged: its checksum"):
        models.load(copy)


#: Made by tests/model/make_hf_folders.py, from an exported folder.
STORED = Path(__file__).parents[1] / "model" / "hf_export.npz"


def test_transformers_computes_what_we_compute_and_reads_what_we_read(tmp_path):
    notes = json.loads(STORED.with_suffix(".json").read_text())
    with np.load(STORED) as stored:
        arrays = dict(stored)
    theirs = {name: arrays.pop(name) for name in ("ids", "causal", "prefix")}
    config, tied = llama.from_config(notes["config"])
    net = llama.from_llama(arrays, config, tied)
    for visible in ("causal", "prefix"):
        prefix = None if visible == "causal" else jnp.array([notes["prefix"]])
        found = jax.jit(lambda ids, prefix: net(ids, prefix))(jnp.asarray(theirs["ids"]), prefix)
        np.testing.assert_allclose(found, theirs[visible], atol=2e-5)
    assert np.abs(theirs["causal"] - theirs["prefix"]).max() > 1
    weights.write(tmp_path, weights.Model(net, notes["config"]["birdiedna"]["config"], {}))
    export.write_tokenizer(tmp_path, 24)
    assert json.loads((tmp_path / "config.json").read_text()) == notes["config"]
    assert digest(tmp_path / "tokenizer.json") == notes["tokenizer_sha256"]
    for text, ids in notes["tokens"].items():
        assert vocab.decode(np.array(ids)) == notes["decoded"][text]
    for text in ("acgtn", "AUGRTA"):
        assert notes["tokens"][text] == vocab.encode(text).tolist()


def test_fine_tuning_starts_from_a_model_by_name_with_its_sizes_and_its_mask(
    exported, run, said, refused
):
    words = ["finetune", "--profile", "tiny", "--task", "promoter_tata", "--start"]
    folder = Path(said(*words, exported).split("run: ")[1].strip())
    manifest, config = (run_folder.read(folder, name) for name in ("manifest", "config"))
    model = models.load(run)
    assert manifest["data"]["start"] == weights.fingerprint(model.net)
    assert (manifest["arm"], config["start"], config["bidirectional"]) == ("birdie", run.name, True)
    assert manifest["command"].endswith("--start model") and "--arm" not in manifest["command"]
    spec = open_runs("tiny", model="eighth-ntp").finetuning("birdie", "promoter_tata")
    assert (spec.arm, spec.config.bidirectional, spec.config.model.width) == ("ntp", False, 512)
    assert "no model 'nothing'" in refused(*words, "nothing")
