"""Change a byte of any stored file: its reader reports it, or reads what was written."""

import contextlib
import copy
import gzip
import json
import os
import random
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small_plan
import tiny

from benchmarks import results as benchmark
from birdiedna.data import cache, fasta, files, stored
from birdiedna.data.catalog import File
from birdiedna.evaluation import frames
from birdiedna.experiments import plan as plans
from birdiedna.experiments import prepare, results
from birdiedna.experiments.runs import open_runs
from birdiedna.figures import performance, show
from birdiedna.model import transformer
from birdiedna.training import checkpoint, replay, run_folder, run_writer, weights
from book._ext import build

EIGHTH = run_folder.repository() / "results" / "eighth"
TREE = {"a": jnp.arange(6.0)}


def finished(place, source):
    """A finished run with the files of a stored run, and a model."""
    facts = json.loads((source / "manifest.json").read_text())
    config = json.loads((source / "config.json").read_text())
    with run_writer.writing(place, config, facts) as partial:
        packed = (source / "events.jsonl.gz").read_bytes()
        (partial / "events.jsonl").write_bytes(gzip.decompress(packed))
        if (source / "predictions.npz").exists():
            shutil.copyfile(source / "predictions.npz", partial / "predictions.npz")
        checkpoint.save(partial / "model", 1, TREE, {}, {"data": "ab12"}, keep=1)
    return place


def begun(place):
    """A run, stopped after its first checkpoint."""
    with pytest.raises(KeyboardInterrupt), run_writer.writing(place, {"a": 1}, {}) as partial:
        run_folder.append(partial, {"event": "train", "step": 1})
        facts = {"data": "ab12", **run_folder.log_facts(partial)}
        checkpoint.save(partial / "checkpoints", 1, TREE, {"losses": np.ones(3)}, facts)
        raise KeyboardInterrupt
    return partial


def executed(path):
    """An executed copy of a chapter."""
    outputs = [{"output_type": "stream", "name": "stdout", "text": "0.913"}]
    cell = {"cell_type": "code", "metadata": {}, "source": "1", "outputs": outputs}
    metadata = {"papermill": {"exception": False}, "birdiedna": {"artefacts": {}, "seal": ""}}
    notebook = {"cells": [{**cell, "execution_count": 1}], "metadata": metadata}
    metadata["birdiedna"]["seal"] = build._seal(notebook)
    path.write_text(json.dumps(notebook, indent=1))
    return path


def shown(run):
    """What figures read from a run."""
    manifest = run_folder.read(run, "manifest", "kind")
    logged = [run_folder.read(run, "config"), run_folder.events(run), show.fold([manifest])]
    if manifest["kind"] == "finetune":
        logged += [frames.chosen(run), frames.curves([run]).to_dicts()]
    else:
        steps = [event["step"] for event in run_folder.events(run, "evaluation")]
        logged += [frames.rounds([run]).to_dicts(), replay.recorded(run, tuple(steps[1:]))]
    return repr(logged)


def read_results():
    """What the book reads from results."""
    far = open_runs("eighth")
    runs = [far.pretrained("ntp"), *far.comparison()]
    return repr([far.settings, far.missing, far.sequence(), far.rows().to_dicts()]) + repr(
        [far.baselines().to_dicts(), far.present(), *map(shown, runs)]
    )


def read_plan(folder):
    plan = plans.read(folder)
    genome = plans.read_genome.__wrapped__(plans.checked(plan, "genome.npz"))
    rows = plans.read_rows.__wrapped__(plans.checked(plan, "tasks/one.npz"))
    data = plans.checked(plan, "data.json").read_bytes()
    return repr([plan, genome.fingerprint, [part.tokens.sum() for part in rows], data])


def read_begun(partial, place):
    """What resuming reads, from a copy, since it writes."""
    shutil.rmtree(place.parent, ignore_errors=True)
    shutil.copytree(partial, place.with_name(f"{place.name}.partial"))
    with run_writer.writing(place, {"a": 1}, {}) as resumed:
        started = [one["started"] for one in run_writer.sessions(resumed)[:-1]]
        found = checkpoint.resumable(resumed)
        shutil.rmtree(resumed / "checkpoints")
    return repr([started, found.step, found.facts, run_folder.read(place, "manifest")["sha256"]])


def exported(folder):
    """A model as files."""
    folder.mkdir()
    config = tiny.PROFILE.pretrain["ntp"]
    net = transformer.init(config.model, 0)
    weights.write(folder, weights.Model(net, run_folder.to_json(config), {"name": "tiny"}))
    return folder


def computed(model):
    """What a model computes with."""
    arrays = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(model.net)]
    return repr([hash(tuple(arrays)), model.net.config, model.config, model.manifest])


def measured(folder):
    """A file of the benchmark."""
    folder.mkdir(parents=True)
    parts = benchmark.read(run_folder.repository() / "benchmarks" / "results" / "cpu.json")
    benchmark.write(parts, [*parts][:3], folder)
    return folder


def downloaded(folder):
    """A downloaded file with its record."""
    folder.mkdir()
    path = folder / "x.csv"
    path.write_text("sequence,label\nACGT,0\n")
    stat = path.stat()
    facts = {"sha256": files.digest(path), "mtime_ns": stat.st_mtime_ns, "date": "2026-11-26"}
    facts |= {"url": "https://example.org/x.csv", "bytes": stat.st_size}
    cache._write_record(path, facts)
    return folder


@pytest.fixture(scope="module")
def stores(folder):
    """Files by kind, and a function that reads them."""
    shutil.copytree(EIGHTH, results.root() / "eighth")
    names = ("pretrain-ntp-seed0-1e32cbd5", "finetune-promoter_tata-birdie-seed0.0-4c5a96a0")
    pretrained, tuned = (finished(folder / "own" / name, EIGHTH / name) for name in names)
    plan = prepare.prepare(folder / "plan", **small_plan.wanted(folder, ("one",))).folder
    partial, page = begun(folder / "begun" / "run"), executed(folder / "chapter.ipynb")
    bench, archive = measured(folder / "bench" / "results"), downloaded(folder / "download")
    genome, cached, model = folder / "own.fa", folder / "cached", exported(folder / "exported")
    fasta.read(genome, cached)
    entry = File("https://example.org/x.csv", "x.csv")
    return {
        "a finished pre-training": (pretrained, lambda: shown(pretrained)),
        "a finished fine-tuning": (tuned, lambda: shown(tuned)),
        "a model": (tuned / "model", lambda: repr(next(checkpoint.intact(tuned / "model"), None))),
        "an exported model": (model, lambda: computed(weights.read(model))),
        "a run that was begun": (partial, lambda: read_begun(partial, folder / "resumed" / "run")),
        "results": (results.root() / "eighth", read_results),
        "a plan": (plan, lambda: read_plan(plan)),
        "an executed copy": (page, lambda: build.intact(page)),
        "a benchmark": (bench, lambda: repr(performance.read(bench.parent).to_dicts())),
        "a cached genome": (cached, lambda: fasta.read(genome, cached).fingerprint),
        "a download": (archive, lambda: cache.is_intact(archive / "x.csv", entry)),
    }


#: Not read by any program, or meant to be edited.
FREE = {".md", ".fa", ".lock"}


@pytest.fixture(scope="module")
def intact(stores):
    """What is read from intact files, by kind."""
    return {kind: read() for kind, (_, read) in stores.items()}


#: Tries of each test, in `make test` and in `make stress`.
TRIES = 80 if os.environ.get("BIRDIEDNA_EXAMPLES", "1") == "1" else 2_000


@pytest.mark.promise("Damage: whatever is stored, a changed byte is found before it is shown")
def test_a_changed_byte_is_reported_or_changes_nothing(stores, intact, caplog, tally):
    missed = []
    for number in range(TRIES):
        rng = random.Random(number)
        kind = rng.choice(sorted(stores))
        place, read = stores[kind]
        listed = sorted(place.rglob("*")) if place.is_dir() else [place]
        listed = [f for f in listed if f.is_file() and f.stat().st_size and f.suffix not in FREE]
        file = rng.choice(listed)
        whole = file.read_bytes()
        at = rng.randrange(len(whole))
        caplog.clear()
        try:
            changed = bytes([whole[at] ^ rng.randrange(1, 256)])
            file.write_bytes(whole[:at] + changed + whole[at + 1 :])
            found, said = outcome(read)
        finally:
            file.write_bytes(whole)
        # damaged executed copies and downloads are replaced; of an unfinished run, a copy is read
        said += caplog.text
        named = str(place) in said or "resumed/run.partial" in said
        noticed = named or found == intact[kind] or found in (None, False)
        tally("damages detected", noticed)
        missed += [] if noticed else [f"try {number}: {file}, byte {at}: {said}"]
    assert not missed, "\n".join(missed)


def outcome(read):
    """What is read, or "refused" and a reason of one line."""
    try:
        return read(), ""
    except (ValueError, OSError) as error:
        assert len(str(error).splitlines()) == 1, str(error)
        return "refused", str(error)


#: Replacements for values of crafted files; `...` removes the value.
ODD = [..., None, True, -1, 2**70, 1e999, "", "x", "../../x", "2026", [], [1], {}, {"a": [1]}]
ODD += [[[1, "a"]], [{}], [[]], "\u2028", 0.5]


def places(value, way=()):
    """Paths to values inside a JSON value, one per form for entries of a list."""
    found = {}
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        found[key if isinstance(key, str) else "[]"] = (*way, key)
        if isinstance(inner, dict | list):
            found |= {(key if isinstance(key, str) else "[]", form): deeper
                      for form, deeper in places(inner, (*way, key)).items()}  # fmt: skip
    return found


def crafted(value, way, other):
    """The value with one inner value replaced."""
    made = json.loads(json.dumps(value))
    *outer, last = way
    inside = made
    for key in outer:
        inside = inside[key]
    if other is ...:
        del inside[last]
    else:
        inside[last] = copy.deepcopy(other)
    return made


def seal_again(file, place):
    """Correct all checksums after a file has changed."""
    for head, key in (
        (file.parent / "manifest.json", "sha256"),
        (place / "results.json", "sha256"),
        (place / "plan.json", "sums"),
    ):
        found = json.loads(head.read_bytes()) if head.exists() else None
        if isinstance(found, dict):
            if isinstance(sums := found.get(key), dict):
                found[key] = {n: files.digest(head.parent / n) for n in sums if n}
            run_folder.write_json(head, stored.sealed(found))


#: The JSON files that are crafted, by kind.
JSON_OF = {
    "a finished pre-training": ["config.json", "manifest.json", "events.jsonl"],
    "a finished fine-tuning": ["config.json", "manifest.json", "events.jsonl"],
    "a run that was begun": ["sessions.json", "config.json"],
    "results": ["results.json", "data.json", "pretrain-ntp-seed0-1e32cbd5/manifest.json"],
    "a plan": ["plan.json", "data.json"],
    "an exported model": ["config.json"],
    "an executed copy": [""],
    "a benchmark": ["cpu.json"],
    "a download": ["x.csv.record.json"],
}


@pytest.mark.promise("Damage: a crafted file is refused in one line, whatever its checksums say")
def test_crafted_json_is_read_or_refused_in_one_line(stores, tally):
    broken = []
    for number in range(TRIES if TRIES > 80 else 40):
        rng = random.Random(number)
        kind = rng.choice(sorted(JSON_OF))
        place, read = stores[kind]
        file = place / name if (name := rng.choice(JSON_OF[kind])) else place
        heads = [file.parent / "manifest.json", place / "results.json", place / "plan.json"]
        before = {f: f.read_bytes() for f in (file, *heads) if f.is_file()}
        texts = before[file].splitlines() if file.suffix == ".jsonl" else [before[file]]
        line = rng.randrange(len(texts))
        value = json.loads(texts[line])
        value.pop("seal", None)
        way, other = rng.choice(list(places(value).values())), rng.choice(ODD)
        value = crafted(value, way, other)
        if kind == "an executed copy":
            with contextlib.suppress(LookupError, TypeError, AttributeError):
                value["metadata"]["birdiedna"]["seal"] = build._seal(value)
        try:
            texts[line] = json.dumps(value).encode()
            file.write_bytes(b"\n".join(texts))
            seal_again(file, place)
            outcome(read)
        except Exception as error:
            broken.append(f"try {number}: {file}, {way} is {other}: {error!r}")
        finally:
            for other, text in before.items():
                other.write_bytes(text)
        tally("bad inputs answered", not broken or not broken[-1].startswith(f"try {number}:"))
    assert not broken, "\n".join(broken)
