"""Chapters read a reader's own rows: words as labels, and sequences of any length."""

import random
from dataclasses import replace

import pytest
import small_book
import tiny

from birdiedna.experiments import profiles


@pytest.fixture
def own(tmp_path):
    """A folder with one task, whose test rows may be longer than all train rows."""
    rng = random.Random(0)
    for part, count, longest in (("train", 60, 50), ("test", 20, 70)):
        rows = [("".join(rng.choices("ACGT", k=rng.randint(30, longest))), i) for i in range(count)]
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
    monkeypatch.setitem(profiles.PROFILES, "quick", replace(tiny.PROFILE, name="quick"))
    given = {"tasks": str(own), "labels": "no=0,yes=1"}
    scope = small_book.executed("12_use", given, until="predict.predict(")
    assert scope["test"].lengths.max() > 50
    assert scope["classes"].height == 3 and {*scope["classes"]["class"]} <= {"no", "yes"}
    assert "p_yes" in capsys.readouterr().out
