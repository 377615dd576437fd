"""Interval files are counted by set and class; the official ones have the known overlaps."""

import json
from pathlib import Path

import pytest
from made_files import SHARED, compress, needs_shared, written

from birdiedna.data import sample
from birdiedna.evaluation import interval_audit


def table(folder: Path, name: str, rows: list[str]) -> None:
    text = "\n".join(["id,region,start,end,strand", *(f"{i},{r}" for i, r in enumerate(rows)), ""])
    written(folder, compress(text.encode()), name)


def test_interval_tables_are_found_in_a_folder_and_its_subfolders(tmp_path):
    table(tmp_path / "inner", "s.train.a.csv.gz", ["chr1,0,100,+"])
    written(tmp_path, "sequence,label\nACGT,0\n", "other/s.train.a.csv")
    written(tmp_path, "", "other/s.test.a.csv")
    written(tmp_path, "", "twice/s.train.a.csv")
    table(tmp_path / "twice", "s.train.a.csv.gz", ["chr1,0,100,+"])
    assert interval_audit.folders(tmp_path) == [tmp_path / "inner"]
    assert interval_audit.folders(tmp_path / "inner") == [tmp_path / "inner"]
    assert interval_audit.folders(sample.TASKS) == interval_audit.folders(tmp_path / "no") == []
    first = interval_audit.fingerprint(tmp_path / "inner")
    table(tmp_path / "inner", "s.train.a.csv.gz", ["chr1,0,101,+"])
    assert interval_audit.fingerprint(tmp_path / "inner") != first


def test_interval_files_are_counted_by_set_and_class(tmp_path):
    table(tmp_path, "s.train.a.csv.gz", ["chr1,0,100,+", "chr1,0,100,+", "chr2,0,10,-"])
    table(tmp_path, "s.train.b.csv.gz", ["chr1,300,400,+"])
    table(tmp_path, "s.test.a.csv.gz", ["chr1,0,100,+", "chr1,0,100,-", "chr1,99,199,+"])
    table(tmp_path, "s.test.b.csv.gz", ["chr2,0,10,-", "chr3,0,10,+", "chr1,350,450,+"])
    found = {row["class"]: row for row in interval_audit.of_folder(tmp_path).to_dicts()}
    names = ["train", "test", "overlapping", "covered", "copies"]
    names += ["conflicting_labels", "repeats_train"]
    counts = {label: tuple(row[name] for name in names) for label, row in found.items()}
    assert counts == {
        "all": (4, 6, 5, 4, 2, 1, 1),
        "a": (3, 3, 3, 2, 1, 0, 1),
        "b": (1, 3, 2, 2, 1, 1, 0),
    }
    assert interval_audit.has_intervals(tmp_path) and not interval_audit.has_intervals(sample.TASKS)
    assert "copies: " in interval_audit.report(interval_audit.of_folder(tmp_path))


def test_set_without_test_files_is_refused(tmp_path):
    with pytest.raises(ValueError, match="contains no tables <set>.<split>.<class>.csv.gz"):
        interval_audit.of_folder(tmp_path)
    table(tmp_path, "s.train.a.csv.gz", ["chr1,0,100,+"])
    with pytest.raises(ValueError, match="set 's' has no test files"):
        interval_audit.of_folder(tmp_path)


@pytest.fixture(scope="module")
def official():
    """Audit of the official interval files, by set and class."""
    found = interval_audit.of_folder(SHARED / "tasks" / "gb_intervals")
    return {(row["set"], row["class"]): row for row in found.to_dicts()}


#: Known numbers: test rows; percentages with any overlap, half or more covered, copies.
KNOWN = {
    ("human_enhancers_ensembl", "all"): (30_970, 38.5, 38.1, 37.8),
    ("human_enhancers_ensembl", "positive"): (None, None, None, 75.5),
    ("human_enhancers_ensembl", "negative"): (None, None, None, 0),
    ("human_nontata_promoters", "all"): (9_034, 49.2, 47.5, 0),
    ("human_nontata_promoters", "negative"): (None, None, 99.2, 0),
    ("human_nontata_promoters", "positive"): (None, None, 4.2, 0),
    ("demo_human_or_worm", "all"): (25_000, 7.5, 3.8, None),
    ("demo_human_or_worm", "worm"): (None, None, 7.3, None),
    ("human_ocr_ensembl", "all"): (34_952, 1.5, 0.8, 0),
    ("human_enhancers_cohn", "all"): (None, 0.7, 0.3, 0),
    ("demo_coding_vs_intergenomic_seqs", "all"): (None, 0.7, None, 0),
    ("dummy_mouse_enhancers_ensembl", "all"): (None, 0.4, None, 0),
    ("human_ensembl_regulatory", "all"): (None, 0.0, None, 0),
}


@needs_shared
@pytest.mark.parametrize("key", KNOWN, ids="-".join)
def test_official_intervals_have_the_known_overlaps(official, key):
    test, *shares = KNOWN[key]
    row = official[key]
    assert test in (None, row["test"])
    for name, known in zip(("overlapping", "covered", "copies"), shares, strict=True):
        assert known is None or round(100 * row[name] / row["test"], 1) == known


@needs_shared
def test_numbers_cited_in_the_book_equal_the_audit(official):
    book = Path(__file__).resolve().parents[2] / "book"
    notebook = json.loads((book / "07_data.ipynb").read_text())
    lines = [line for cell in notebook["cells"] for line in "".join(cell["source"]).splitlines()]
    cited = [[c.strip() for c in line.split("|")[1:-1]] for line in lines if "% |" in line]
    assert {row[0] for row in cited} == {name for name, _ in official}
    for name, *numbers in cited:
        row = official[name, "all"]
        shares = [f"{row[c] / row['test']:.1%}" for c in ("overlapping", "covered")]
        assert numbers == [f"{row['test']:,}", *shares, f"{row['copies']:,}"]


@needs_shared
def test_official_intervals_have_the_known_copies_and_repeats(official):
    whole = official["human_enhancers_ensembl", "all"]
    assert (whole["repeats_train"], whole["repeats_test"]) == (23_341, 1_452)
    copied = {name: row["copies"] for (name, label), row in official.items() if label == "all"}
    copied = {name: count for name, count in copied.items() if count}
    assert copied == {"human_enhancers_ensembl": 11_694, "demo_human_or_worm": 2}
    assert sum(row["conflicting_labels"] for row in official.values()) == 0
