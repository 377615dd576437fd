"""Chapters read a reader's own data: words as labels, sequences of any length, short contigs."""

import json
import random
from dataclasses import replace

import made_results
import pytest
import small_book
import tiny

from birdiedna.data import sample
from birdiedna.evaluation import simulation
from birdiedna.experiments import profiles, sources
from birdiedna.figures import show


@pytest.mark.parametrize("contigs", ["one of a few bases more than a window", "many short ones"])
def test_a_genome_of_which_quick_reads_rows_is_long_enough_for_chapter_2(contigs, tmp_path):
    lengths = [1_100] if contigs.startswith("one") else [900] * 3
    rng = random.Random(0)
    sequences = ["".join(rng.choices("ACGT", k=length)) for length in lengths]
    own = tmp_path / "own.fa"
    own.write_text("".join(f">c{i}\n{letters}\n" for i, letters in enumerate(sequences)))
    assert sources.described_genome(profiles.PROFILES["quick"], sources.Sources(str(own)))
    scope = small_book.executed("02_objectives", {"genome": str(own)}, until='"place"')
    assert len(scope["window"]) == 1_024 and "of the embedded sample" in scope["whose"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ("", "chr20, chr21, chr22 are never pre-trained on: the benchmark tests on the first two"),
        ("pretrain.held_out=c", "c is never pre-trained on"),
        ("pretrain.held_out=[]", "No contig is kept from pre-training"),
    ],
)
def test_chapter_7_tells_the_contigs_that_this_book_holds_out(own, changes, told, monkeypatch):
    monkeypatch.setattr(show, "number", lambda key, value: numbers.update({key: value}))
    numbers: dict = {}
    (own / "own.fa").write_text("".join(f">{name}\n{'ACGT' * 300}\n" for name in "abc"))
    given = {"genome": str(own / "own.fa"), "tasks": str(own), "labels": "no=0,yes=1"}
    small_book.executed("07_data", given | {"changes": changes}, until='"held"')
    assert numbers["held"] == told


def test_chapter_7_reads_the_sample_beside_results_of_another_genome(tmp_path, monkeypatch, own):
    made = made_results.write(tmp_path, "mine", simulation.Truth(), 1, tasks=1, runs=1)
    stored = json.dumps(json.loads((made / "results.json").read_text()))
    usual, theirs = (json.dumps(names) for names in (["chr20", "chr21", "chr22"], ["Chr3"]))
    assert usual in stored  # Chr3, which the sample has for validation
    (made / "results.json").write_text(stored.replace(usual, theirs))
    monkeypatch.setenv("BIRDIEDNA_RESULTS", str(tmp_path))
    given = {"profile": "mine", "tasks": str(own), "labels": "no=0,yes=1"}
    scope = small_book.executed("07_data", given, until='"elsewhere"')
    assert scope["stored"] and scope["split"].validation == sample.VALIDATION


@pytest.fixture
def own(tmp_path):
    """A folder with one task, whose two test rows are longer than all train rows."""
    rng = random.Random(0)
    for part, count, longest in (("train", 60, 50), ("test", 2, 70)):
        lengths = [rng.randint(longest - 15, longest) for _ in range(count)]
        rows = [("".join(rng.choices("ACGT", k=length)), i) for i, length in enumerate(lengths)]
        lines = [f"{sequence},{'yes' if i % 2 else 'no'}" for sequence, i in rows]
        (tmp_path / f"mine_{part}.csv").write_text("\n".join(["sequence,label", *lines]) + "\n")
    return tmp_path


@pytest.mark.slow
def test_the_chapter_on_use_embeds_and_predicts_own_rows(
    own, own_objectives, tmp_path_factory, monkeypatch, capsys
):
    place = tmp_path_factory.mktemp("runs")
    monkeypatch.setenv("BIRDIEDNA_RUNS", str(place))
    monkeypatch.setenv("BIRDIEDNA_FIGURES", str(place / "figures"))
    arms = dict.fromkeys(("birdie", "ntp"), tiny.PROFILE.pretrain["ntp"])  # is compiled once
    quick = replace(tiny.PROFILE, name="quick", pretrain=arms)
    monkeypatch.setitem(profiles.PROFILES, "quick", quick)
    given = {"tasks": str(own), "labels": "no=0,yes=1"}
    scope = small_book.executed("12_use", given, until="predict.predict(")
    assert scope["test"].lengths.max() > 50
    assert scope["classes"].height == 2 and {*scope["classes"]["class"]} <= {"no", "yes"}
    assert "p_yes" in capsys.readouterr().out
