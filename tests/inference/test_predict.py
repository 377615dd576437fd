"""A fine-tuned run predicts what it stored; features do not depend on the batch."""

import os
import pickle
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from birdiedna import vocab
from birdiedna.cli import inference
from birdiedna.cli.parser import parser
from birdiedna.evaluation import baselines, frames, metrics, scores
from birdiedna.experiments import export, models, run_spec, sources
from birdiedna.inference import embed, predict, sequences
from birdiedna.inference.sequences import Record
from birdiedna.model import transformer
from birdiedna.training import run_folder, weights

FEATURES = jax.jit(lambda net, row, prefix: net.features(row, prefix))


@pytest.fixture(scope="module")
def test_rows(own):
    """The test rows of the fine-tuned run's task, as records."""
    rows = sources.read_task(own.settings, own.sources, "one").test
    pairs = zip(rows.tokens, rows.lengths, strict=True)
    return [Record(f"r{i}", tokens[:n], f"row {i}") for i, (tokens, n) in enumerate(pairs)]


def written(path, records):
    path.write_text("".join(f">{r.name}\n{vocab.decode(r.tokens)}\n" for r in records))
    return path


def test_predictions_on_test_rows_are_those_that_the_run_stored(tuned, test_rows):
    found = pl.concat(predict.predict(tuned, test_rows, rows=7))
    _, logits, _ = frames.chosen(tuned)  # whose scores are reported
    raised = np.exp(logits - logits.max(1, keepdims=True))
    want = raised / raised.sum(1, keepdims=True)
    np.testing.assert_allclose(found.select("p_0", "p_1").to_numpy(), want, atol=1e-5)
    assert found["class"].to_list() == [str(c) for c in logits.argmax(1)]
    assert found["name"].to_list() == [record.name for record in test_rows]
    assert found.columns == ["name", "bases", "class", "p_0", "p_1"]


def test_an_export_of_a_fine_tuned_run_predicts_like_the_run(tuned, test_rows, tmp_path):
    folder = export.export(tuned, tmp_path / "exported")
    want = pl.concat(predict.predict(tuned, test_rows))
    for name in (folder, folder / "model.safetensors"):
        assert pl.concat(predict.predict(name, test_rows)).equals(want)


def test_a_model_is_used_without_the_kernel_of_the_device_it_was_trained_on(
    tuned, test_rows, tmp_path, monkeypatch
):
    want = pl.concat(predict.predict(tuned, test_rows))
    file = export.export(tuned, tmp_path / "exported") / "model.safetensors"
    model = weights.read(file)
    kernel = replace(model.net.config, attention="flash")
    other = model._replace(net=transformer.recast(model.net, kernel))
    monkeypatch.setattr(weights, "read", lambda _: other)
    assert models.load(file).net.config.attention == "auto"
    assert pl.concat(predict.predict(file, test_rows)).equals(want)


def test_both_strands_give_a_sequence_and_its_complement_one_answer(tuned, test_rows, monkeypatch):
    turned = [r._replace(tokens=vocab.reverse_complement(r.tokens)) for r in test_rows]
    both = lambda rows: pl.concat(predict.predict(tuned, rows, both_strands=True))
    one, other = both(test_rows), both(turned)
    np.testing.assert_allclose(one["p_1"], other["p_1"], atol=1e-5)
    assert (one["strand_difference"] > 0).any()
    run = predict.load(tuned)
    run.net.config = replace(run.net.config, both_strands=True)
    monkeypatch.setattr(predict, "load", lambda _: run)
    assert pl.concat(predict.predict(tuned, test_rows)).equals(one), "a setting of the run"


def test_longer_sequences_are_refused_or_their_middle_is_read(tuned, test_rows):
    row = test_rows[0]
    padded = row._replace(tokens=np.concatenate([row.tokens[:5], row.tokens, row.tokens[:5]]))
    with pytest.raises(ValueError, match="70 bases.*up to 60.*--long centre"):
        list(predict.predict(tuned, [padded]))
    (middle,), (whole,) = (
        predict.predict(tuned, [r], long=long) for r, long in ((padded, "centre"), (row, "refuse"))
    )
    assert middle.drop("bases").equals(whole.drop("bases"))
    with pytest.raises(ValueError, match="long 'tile' is not one of centre, refuse"):
        list(predict.predict(tuned, [padded], long="tile"))


@pytest.mark.parametrize("part", [slice(30, 60), slice(30)])
def test_the_part_of_a_row_that_the_run_read_is_read(tuned, test_rows, tmp_path, part):
    copy = shutil.copytree(tuned, tmp_path / "copy")
    facts = run_folder.read(copy, "manifest")
    del facts["seal"]
    read = {"crop": [30, 60]} if part.start else {"reading": facts["reading"] | {"length": 30}}
    run_folder.write_manifest(copy, facts | read)
    (found,) = predict.predict(copy, test_rows[:2])
    cut = [record._replace(tokens=record.tokens[part]) for record in test_rows[:2]]
    (want,) = predict.predict(tuned, cut)
    assert found.drop("bases").equals(want.drop("bases"))
    if part.start:
        with pytest.raises(ValueError, match="30 bases, but the run read bases 30 to 59 of rows o"):
            list(predict.predict(copy, cut))
    run_folder.write_manifest(copy, facts | {"reading": {"length": "30"}})
    with pytest.raises(ValueError, match="manifest.json is damaged: .*'length' is not"):
        predict.load(copy)


@pytest.mark.parametrize("pooling", ["mean", "start"])
def test_vectors_and_bases_are_features_of_the_model(birdie, test_rows, pooling):
    model, some = models.load(birdie), test_rows[:3]
    vectors = pl.concat(embed.embed(model, some, pooling=pooling, rows=2))
    bases = pl.concat(embed.embed(model, some, per_base=True, rows=2))
    assert bases.height == sum(len(r.tokens) for r in some) and model.bidirectional
    for record, vector in zip(some, vectors.drop("name", "bases").rows(), strict=True):
        n = len(record.tokens)
        row = jnp.append(jnp.asarray(record.tokens, jnp.int32), vocab.START)[None]
        features = FEATURES(model.net, row, jnp.array([n]))[0]
        want = features[:n].mean(0) if pooling == "mean" else features[n]
        np.testing.assert_allclose(vector, want, atol=1e-5)
        own = bases.filter(name=record.name)
        assert "".join(own["base"]) == vocab.decode(record.tokens)
        np.testing.assert_allclose(own.select("^f.*$").to_numpy(), features[:n], atol=1e-5)


def test_both_strands_turn_features_with_the_sequence(ntp, test_rows):
    model = models.load(ntp)
    assert not model.bidirectional
    turned = [r._replace(tokens=vocab.reverse_complement(r.tokens)) for r in test_rows[:2]]
    for per_base in (False, True):
        one, other = (
            next(embed.embed(model, rows, per_base, both_strands=True)).select("^f.*$").to_numpy()
            for rows in (test_rows[:2], turned)
        )
        if per_base:  # both sequences have 60 bases
            other = other.reshape(2, 60, -1)[:, ::-1].reshape(120, -1)
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_longer_sequence_is_embedded_piece_by_piece(birdie, test_rows):
    model, row = models.load(birdie), test_rows[0]
    long = row._replace(tokens=np.concatenate([r.tokens for r in test_rows[:5]]))
    longest = model.slots - 1  # and `<start>`
    pieces = [long.tokens[i : i + longest] for i in range(0, 300, longest)]
    each = next(embed.embed(model, [row._replace(tokens=p) for p in pieces]))
    (whole,) = embed.embed(model, [long])
    want = np.array([len(p) for p in pieces]) @ each.select("^f.*$").to_numpy() / 300
    np.testing.assert_allclose(whole.select("^f.*$").to_numpy()[0], want, atol=1e-5)
    bases = next(embed.embed(model, [long], per_base=True))
    assert bases["position"].to_list() == [*range(300)]
    middle = next(embed.embed(model, [long], per_base=True, long="centre"))
    first = (300 - longest) // 2
    assert middle["position"].to_list() == [*range(first, first + longest)]


def test_bases_of_a_long_sequence_come_in_frames_of_bounded_size(birdie, test_rows):
    long = test_rows[0]._replace(tokens=np.resize(test_rows[0].tokens, sequences.AT_ONCE + 9))
    heights = [f.height for f in embed.embed(models.load(birdie), [long], per_base=True)]
    assert max(heights) <= sequences.AT_ONCE and sum(heights) == len(long.tokens)


@pytest.mark.promise("Bad input: what is no model, or one of another kind, is refused in one line")
def test_what_is_no_model_is_refused_in_one_line(own, tuned, birdie, tmp_path, refused):
    fasta = written(tmp_path / "a.fa", [Record("r", vocab.encode("ACGT"), "")])
    (tmp_path / "model.pt").write_bytes(pickle.dumps({"a": 1}))
    bare = shutil.copytree(tuned, tmp_path / "bare")
    shutil.rmtree(bare / "model")
    cut = shutil.copytree(tuned, tmp_path / "cut")
    next(cut.glob("model/*/state.npz")).write_bytes(b"PK")
    (tmp_path / "empty").mkdir()
    probed = own.probed("ntp", "one")
    os.mkfifo(tmp_path / "pipe")
    for verb, model, said in [
        ("embed", tmp_path / "missing", "no model"),
        ("embed", tmp_path / "empty", "config.json"),
        ("embed", tmp_path / "model.pt", "pickle"),
        ("embed", tmp_path / "pipe", "no model"),
        ("embed", "~nobody-of-this-name/x", "no model"),
        ("embed", probed, "is a probe, which has no weights; give the model that it reads"),
        ("predict", tmp_path / "missing", "no model"),
        ("predict", "eighth-ntp", "a pre-trained run; give that of `birdiedna finetune`"),
        ("predict", probed, "a probe; give that of `birdiedna finetune`"),
        ("predict", tmp_path / "empty", "`birdiedna pretrain` or `finetune` printed"),
        ("predict", birdie, "a pre-trained run"),
        ("predict", bare, "no undamaged model"),
        ("predict", cut, "is damaged: state.npz is not as it was saved (2 bytes); remove"),
        ("embed", cut, "is damaged: state.npz is not as it was saved (2 bytes); remove"),
    ]:
        assert said in refused(verb, model, fasta, "-o", tmp_path / "out.csv")
    (tmp_path / "rows.csv").write_text("sequence\nACGT\n")
    for out, said in [
        (tmp_path / "out.xls", "out.xls: "),
        (tmp_path / "rows.csv", "rows.csv is the input file; give another"),
    ]:
        assert said in refused("embed", birdie, tmp_path / "rows.csv", "-o", out)


def test_verbs_write_what_the_functions_give_and_show_what_is_done_without_a_terminal(
    tuned, birdie, test_rows, tmp_path, said, monkeypatch
):
    monkeypatch.setattr(inference, "_PAUSE_S", 0.0)
    fasta = written(tmp_path / "test.fa", test_rows)
    out = said("predict", tuned, fasta, "-o", tmp_path / "p.csv")
    want = pl.concat(predict.predict(tuned, test_rows))
    found = pl.read_csv(tmp_path / "p.csv", schema_overrides={"class": pl.String})
    assert found["class"].equals(want["class"])
    out += said("embed", birdie, fasta, "-o", tmp_path / "e.parquet")
    features = pl.read_parquet(tmp_path / "e.parquet")
    assert features.equals(pl.concat(embed.embed(models.load(birdie), test_rows)))
    assert out.count(f"{len(test_rows)} sequences so far\n") == 2
    assert out.count(f"{len(test_rows)} sequences: ") == 2
    long = test_rows[0]._replace(tokens=np.concatenate([row.tokens for row in test_rows[:5]]))
    fasta = written(tmp_path / "long.fa", [long, test_rows[1]])
    for words in (["predict", tuned], ["embed", birdie], ["embed", birdie, "--per-base"]):
        out = said(*words, fasta, "-o", tmp_path / "cut.csv", "--long", "centre")
        assert out.endswith("\n  1 longer sequence read in the middle only\n")


def test_a_pooling_of_vectors_per_base_is_refused(birdie, test_rows):
    with pytest.raises(ValueError, match="pooling 'start' gives one vector per sequence"):
        next(embed.embed(models.load(birdie), test_rows, per_base=True, pooling="start"))


@pytest.mark.parametrize("long", ["tile", "centre", "refuse"])
def test_a_record_without_bases_is_refused(tuned, birdie, test_rows, long):
    records = [test_rows[0], test_rows[1]._replace(tokens=test_rows[1].tokens[:0], place="mine")]
    model = models.load(birdie)
    calls = [lambda: embed.embed(model, records, per_base=each, long=long) for each in (0, 1)]
    calls += [lambda: predict.predict(tuned, records, long=long)] * (long != "tile")
    for call in calls:
        with pytest.raises(ValueError, match="mine: the sequence is empty; delete it"):
            list(call())


def test_a_model_by_its_folder_is_probed_as_the_run_of_its_arm_is(own, ntp, tmp_path, said):
    out = tmp_path / "scores.csv"
    words = ["--profile", "tiny", "--tasks", own.sources.tasks, "-o", out]
    scored = said("probe", ntp, *words)
    assert "random" in scored and "train: " in scored  # the rows are described
    rows = sources.read_task(own.settings, own.sources, "one")
    kmers = baselines.kmer_regression(rows.train, rows.test)
    mcc = metrics.scores(rows.test.labels, kmers)["mcc"]
    for who, score in (("majority class", 0.0), ("5-mers", mcc)):
        assert scores.PROBE_LINE("one", who, len(rows.train.labels), score) in scored.split("\n")
    want = frames.results([own.probed(arm, "one") for arm in ("ntp", "random")])
    found, columns = pl.read_csv(out), ["arm", "share", "finetune_seed", "metric", "value"]
    assert found.select(columns).equals(want.select(columns))


def test_the_example_of_the_page_on_functions_runs_in_another_folder(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "book" / "api.md").read_text()
    (tmp_path / "my.fa").write_text(">a\nACGTTGCA\n>b\nGGCC\n")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(page.partition("```python\n")[2].partition("```")[0], names)
    assert names["features"].select("name", "bases").rows() == [("a", 8), ("b", 4)]


@pytest.mark.promise("Security: names from files never lead out of a folder")
def test_the_arm_in_a_model_names_no_folder(own, ntp, tmp_path):
    with pytest.raises(ValueError, match="outside' cannot name a folder"):
        on_copy(own, ntp, tmp_path, str(tmp_path / "outside")).probed("", "one")


def on_copy(own, ntp, folder, arm):
    """Runs on a copy of a causal model whose manifest names another arm."""
    model, file = models.load(ntp), folder / "a.safetensors"
    weights.write_file(file, model._replace(manifest={**model.manifest, "arm": arm}))
    return replace(own, model=str(file))


def test_a_model_is_compared_with_random_weights_even_if_it_began_as_such(own, ntp, tmp_path):
    runs = on_copy(own, ntp, tmp_path, "random")
    specs = [runs.probing(arm, "one") for arm in ("", "random")]
    assert [spec.arm for spec in specs] == ["tuned", "random"]
    assert [spec.config.bidirectional for spec in specs] == [False, True]
    assert specs[1].start == "random" != specs[0].start
    command = "birdiedna probe a.safetensors --profile tiny"
    assert all(spec.command().startswith(command) for spec in specs)


def test_a_run_names_the_command_that_makes_it_again(own):
    spec = own.probing("birdie", "one")
    assert spec.command().startswith("birdiedna probe birdie --profile tiny --task one --seed 0 ")
    assert run_spec.parse(run_folder.to_json(spec)) == spec


def test_the_command_of_names_that_begin_with_a_dash_is_read_as_it_was_meant(own):
    spec = own.finetuning("birdie", "one")
    spec = replace(spec, task="-x", model="in/-m", llama="in/-l")
    given = parser().parse_args(shlex.split(spec.command())[1:])
    assert (given.task, given.start, given.from_llama) == ("-x", "-m", "-l")
    words = shlex.split(replace(spec, kind="probe").command())
    assert parser().parse_args(words[1:]).model == "./-m"
    words = shlex.split(replace(own.pretraining("ntp"), replay="in/-r").command())
    assert parser().parse_args(words[1:]).replay == "-r"
