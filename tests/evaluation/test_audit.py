"""The audit counts what was planted, says what it means, and finds the known leaks."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import different, labelled, opposite

from birdiedna import tasks, vocab
from birdiedna.data import genome, sample
from birdiedna.evaluation import audit, audit_report

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data" / "tasks"
COUNTS = st.integers(0, 4)


def turns(count: int) -> list[int]:
    return [i % 2 for i in range(count)]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9), COUNTS, COUNTS, COUNTS)
def test_a_card_counts_planted_copies_and_conflicts(seed, same, turned, wrong):
    pool = different(seed, 40, 50)
    train = labelled(pool[:30], turns(30))
    planted = [*pool[:same], *map(opposite, pool[10 : 10 + turned]), *pool[20 : 20 + wrong]]
    labels = [*turns(same), *turns(turned), *(1 - label for label in turns(wrong))]
    test = labelled([*planted, *pool[30:]], [*labels, *turns(10)])
    card = audit.of_task("t", {"train": train, "test": test}, floors=False)
    (pair,) = card.pairs
    assert (pair.copies, pair.copies_opposite) == (same + wrong, turned)
    assert pair.akin == same + turned + wrong
    assert card.conflicts == 2 * wrong
    assert (pair.overlapping, pair.covered, card.pretrained_by) == (None, None, None)


@settings(max_examples=25, deadline=None)
@given(COUNTS, COUNTS, COUNTS)
def test_a_card_counts_planted_overlaps_by_coordinates(little, half, none):
    train = labelled(
        different(1, 10, 50), names=[f"chr1:{50 * i}-{50 * i + 50}" for i in range(10)]
    )
    bases = [1] * little + [25] * half + [0] * none
    names = [f"1:{500 - n}-{550 - n}" for n in bases] + ["chr2:0-50", "chr2:50-100"]
    test = labelled(different(2, len(names), 50), names=names)
    card = audit.of_task("t", {"train": train, "test": test}, floors=False)
    assert (card.pairs[0].overlapping, card.pairs[0].covered) == (little + half, half)
    assert card.parts[1].chromosomes["chr2"] == 2


def test_a_card_describes_each_split():
    names = ["chr1:0-4|0", "chr1:8-12|1", "chrX:0-4|1", "x|0"]
    train = labelled(["GCAT", "GCAN", "ATGC", "GCAT"], [0, 1, 1, 0], names)
    found = audit.part("train", train)
    assert (found.rows, found.by_class, found.shortest, found.longest) == (4, (2, 2), 4, 4)
    assert found.gc == pytest.approx((0.5, (2 / 3 + 0.5) / 2))
    assert (found.unknown, found.named, found.chromosomes) == (1, 4, {})
    assert (found.repeats, found.repeats_opposite, found.pretrained) == (1, 1, None)


def test_shuffled_files_have_no_order_and_sorted_ones_have():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [300, 150, 50])
    orders = [audit.file_order(rng.permutation(labels)) for _ in range(400)]
    assert np.mean(orders) == pytest.approx(0, abs=0.15)
    assert np.std(orders) == pytest.approx(1, abs=0.12)
    assert audit.file_order(labels) > audit.ORDER_LIMIT
    assert audit.file_order(np.array(turns(200))) < -audit.ORDER_LIMIT
    assert audit.file_order(np.zeros(9, int)) == 0 and audit.file_order(np.zeros(1, int)) == 0


def test_every_pair_of_splits_is_compared():
    pool = different(0, 30, 40)
    parts = {
        "train": labelled(pool[:10]),
        "validation": labelled(pool[8:18]),
        "test": labelled([*pool[17:], *pool[:3]]),
    }
    found = audit_report.frame([audit.of_task("t", parts, floors=False)]).to_dicts()[0]
    assert found["validation_train_copies"] == 2
    assert found["test_train_copies"] == 3
    assert found["test_validation_copies"] == 1


def test_rows_too_short_for_a_method_are_no_error():
    tiny = labelled(["AC", "GT", "CA", "TG"])
    assert [f.who for f in audit.floors_of(tiny, tiny)] == ["letter", "pairs", "gc"]
    single = labelled(["A", "G"])
    assert [f.who for f in audit.floors_of(single, single)] == ["letter", "gc"]


@pytest.fixture(scope="module")
def whole(human):
    """The audit of the embedded tasks against the embedded genome."""
    return audit_report.of_folder(sample.TASKS, human)


def test_the_embedded_tasks_share_nothing_between_splits(whole):
    shared = [c for c in whole.columns if c.startswith("test_train_")]
    assert len(shared) == 5 and whole.select(shared).sum().row(0) == (0,) * 5
    assert whole["conflicts"].to_list() == [0] * 6
    assert {*whole["train_chromosomes"].str.slice(0, 4)} == {"chrX"}
    assert {*whole["test_chromosomes"].str.slice(0, 5)} == {"chr20"}


def test_no_embedded_test_row_was_read_in_pre_training_and_some_train_rows_were(whole):
    assert {*whole["pretrained_by"]} == {"coordinates"}
    assert whole["test_pretrained"].to_list() == [0] * 6
    assert whole["train_pretrained"].min() > 0


def test_rows_are_looked_up_by_words_where_names_hold_no_place(human):
    loaded = tasks.read(tasks.find(sample.TASKS, "promoter_tata"))
    read = audit.Pretraining(human, genome.contigs_named(human, sample.TRAIN))
    by_place = audit_report.card("t", loaded, read, baselines=False)
    bare = {
        s: rows._replace(names=("",) * len(rows.names))
        for s, rows in {"train": loaded.train, "test": loaded.test}.items()
    }
    by_words = audit.of_task("t", bare, read, floors=False)
    assert (by_place.pretrained_by, by_words.pretrained_by) == ("coordinates", "words")
    counts = [[part.pretrained for part in card.parts] for card in (by_place, by_words)]
    assert counts[0] == counts[1] and counts[0][0] > 0


def test_contigs_are_listed_with_what_they_serve_for():
    names = {"chr8": "ACGTNNAC", "chr9": "ACG", "chr20": "AC", "c1": "A", "c2": "N"}
    made = genome.from_sequences(names)
    split = genome.split(made, ("chr9",))
    assert audit_report.contigs(made, split).rows() == [
        ("chr8", 8, 2, 4, "pre-training"),
        ("chr9", 3, 0, 3, "held-out loss"),
        ("chr20", 2, 0, 2, "never read"),
        ("c1", 1, 0, 1, "pre-training"),
        ("c2", 1, 1, 0, "pre-training"),
    ]
    few = audit_report.contigs(made, split, most=2).to_dicts()
    assert [row["contig"] for row in few] == ["chr8", "chr9", "3 shorter ones"]
    assert (few[2]["bases"], few[2]["N"], few[2]["use"]) == (4, 1, "never read, pre-training")


def test_interval_tables_are_found_in_a_folder_and_right_below_it(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "other").mkdir()
    written(tmp_path / "inner", "s.train.a.csv.gz", ["chr1,0,100,+"])
    (tmp_path / "other" / "s.train.a.csv").write_text("sequence,label\nACGT,0\n")
    (tmp_path / "other" / "s.test.a.csv").write_text("")
    assert audit_report.interval_folders(tmp_path) == [tmp_path / "inner"]
    assert audit_report.interval_folders(tmp_path / "inner") == [tmp_path / "inner"]
    assert (
        audit_report.interval_folders(sample.TASKS)
        == audit_report.interval_folders(tmp_path / "no")
        == []
    )
    first = audit_report.interval_fingerprint(tmp_path / "inner")
    written(tmp_path / "inner", "s.train.a.csv.gz", ["chr1,0,101,+"])
    assert audit_report.interval_fingerprint(tmp_path / "inner") != first


@pytest.mark.parametrize(("named", "told"), [(True, "rows lie to"), (False, "rows have their")])
def test_findings_say_how_rows_were_looked_up_in_the_pre_training_contigs(human, named, told):
    first = human.contigs[0]
    pieces = [vocab.decode(human.tokens[first.start + 100 * i :][:60]) for i in range(4)]
    names = [f"chrX:{2_400_000 + 100 * i}-{2_400_060 + 100 * i}" for i in range(4)]
    rows = labelled(pieces, names=names if named else ())
    other = labelled(different(0, 4, 60), names=[f"chr9:{60 * i}-{60 * i + 60}" for i in range(4)])
    read = audit.Pretraining(human, (first,))
    card = audit.of_task("t", {"train": other, "test": rows}, read, floors=False)
    (sentence,) = audit_report.found(audit_report.frame([card]))["finding"]
    assert sentence.startswith(f"4 of 4 test {told}") and "pre-training contigs" in sentence


def test_held_out_chromosomes_are_no_pre_training_contigs():
    made = genome.from_sequences({"chr8": "ACGT", "20": "ACGT", "chr21_x_random": "A", "X": "C"})
    assert [c.name for c in audit_report.pretraining_contigs(made)] == ["chr8", "X"]


def test_two_pairs_solve_plain_donors_and_not_their_decoys(whole):
    mcc = dict(whole.select("task", "pairs_mcc").iter_rows())
    assert mcc["splice_sites_donors"] > 0.85 > mcc["splice_sites_donors_decoy"] + 0.2


def test_scores_lie_in_their_intervals(whole):
    for who in audit.FLOORS:
        low, value, high = (whole[f"{who}_{name}"] for name in ("low", "mcc", "high"))
        assert ((low <= value) & (value <= high)).all()


def test_the_columns_are_the_same_whatever_was_asked(whole):
    fewer = audit_report.of_folder(sample.TASKS, baselines=False)
    assert fewer.columns == whole.columns
    assert fewer["words_mcc"].null_count() == fewer["train_pretrained"].null_count() == 6


def test_the_report_explains_every_column_of_its_tables(whole):
    text = audit_report.report(whole)
    for word in "classes bases N GC copies opposite overlap half akin repeats order named".split():
        assert f"{word}: " in text, word
    joined = " ".join(text.split())
    for words in ("read before", "one letter", "two pairs", "5-mers"):
        assert f"{words}: " in joined, words
    assert max(map(len, text.splitlines())) <= 100
    assert "SOLVED" not in audit_report.report(
        audit_report.of_folder(sample.TASKS, baselines=False)
    )


def test_findings_say_what_was_planted_and_nothing_of_a_clean_task():
    pool = different(0, 40, 50)
    clean = {"train": labelled(pool[:20], turns(20)), "test": labelled(pool[20:], turns(20))}
    leaky = {
        "train": labelled(
            pool[:20], [0] * 10 + [1] * 10, [f"chr1:{i}-{i + 50}" for i in range(20)]
        ),
        "test": labelled(
            [pool[0], *pool[20:30]], turns(11), [f"chr1:{i}-{i + 50}" for i in range(11)]
        ),
    }
    made = [audit.of_task(n, p, floors=False) for n, p in (("clean", clean), ("leaky", leaky))]
    found = audit_report.found(audit_report.frame(made))
    assert {*found["task"]} == {"leaky"}
    text = "\n".join(found["finding"])
    for words in (
        "1 of 11 test rows are copies of a train row",
        "11 of 11 test rows overlap a train row",
        "test and train rows both lie on chr1",
    ):
        assert words in text


def written(folder: Path, name: str, rows: list[str]) -> None:
    text = "\n".join(["id,region,start,end,strand", *(f"{i},{r}" for i, r in enumerate(rows)), ""])
    (folder / name).write_bytes(gzip.compress(text.encode()))


def test_interval_files_are_counted_by_set_and_class(tmp_path):
    written(tmp_path, "s.train.a.csv.gz", ["chr1,0,100,+", "chr1,0,100,+", "chr2,0,10,-"])
    written(tmp_path, "s.train.b.csv.gz", ["chr1,300,400,+"])
    written(tmp_path, "s.test.a.csv.gz", ["chr1,0,100,+", "chr1,0,100,-", "chr1,99,199,+"])
    written(tmp_path, "s.test.b.csv.gz", ["chr2,0,10,-", "chr3,0,10,+", "chr1,350,450,+"])
    found = {row["class"]: row for row in audit_report.of_intervals(tmp_path).to_dicts()}
    names = ("train", "test", "overlapping", "covered", "copies", "conflicts", "repeats_train")
    counts = {label: tuple(row[name] for name in names) for label, row in found.items()}
    assert counts == {
        "all": (4, 6, 5, 4, 2, 1, 1),
        "a": (3, 3, 3, 2, 1, 0, 1),
        "b": (1, 3, 2, 2, 1, 1, 0),
    }
    assert audit_report.has_intervals(tmp_path) and not audit_report.has_intervals(sample.TASKS)
    assert "copies: " in audit_report.report(audit_report.of_intervals(tmp_path))


def test_a_set_without_test_files_is_an_error(tmp_path):
    written(tmp_path, "s.train.a.csv.gz", ["chr1,0,100,+"])
    with pytest.raises(ValueError, match="set 's' has no test files"):
        audit_report.of_intervals(tmp_path)


@pytest.fixture(scope="module")
def official():
    """The audit of the official interval files, by set and class."""
    if not (SHARED / "gb_intervals").exists():
        pytest.skip("no shared data beside the repository")
    found = audit_report.of_intervals(SHARED / "gb_intervals")
    return {(row["set"], row["class"]): row for row in found.to_dicts()}


#: Published beforehand: test rows, and in percent of them any overlap and half or more covered.
KNOWN = {
    ("human_enhancers_ensembl", "all"): (30_970, 38.5, 38.1),
    ("human_nontata_promoters", "all"): (9_034, 49.2, 47.5),
    ("human_nontata_promoters", "negative"): (None, None, 99.2),
    ("human_nontata_promoters", "positive"): (None, None, 4.2),
    ("demo_human_or_worm", "all"): (25_000, 7.5, 3.8),
    ("demo_human_or_worm", "worm"): (None, None, 7.3),
    ("human_ocr_ensembl", "all"): (34_952, 1.5, 0.8),
    ("human_enhancers_cohn", "all"): (None, 0.7, 0.3),
    ("demo_coding_vs_intergenomic_seqs", "all"): (None, 0.7, None),
    ("dummy_mouse_enhancers_ensembl", "all"): (None, 0.4, None),
    ("human_ensembl_regulatory", "all"): (None, 0.0, None),
}


@pytest.mark.parametrize("key", KNOWN, ids="-".join)
def test_the_official_intervals_overlap_as_known(official, key):
    test, overlapping, covered = KNOWN[key]
    row = official[key]
    assert test in (None, row["test"])
    for name, known in (("overlapping", overlapping), ("covered", covered)):
        if known is not None:
            assert round(100 * row[name] / row["test"], 1) == known


def test_the_official_intervals_hold_the_known_copies_and_repeats(official):
    whole, positive, negative = (
        official["human_enhancers_ensembl", label] for label in ("all", "positive", "negative")
    )
    assert (whole["copies"], negative["copies"]) == (11_694, 0)
    assert round(100 * whole["copies"] / whole["test"], 1) == 37.8
    assert round(100 * positive["copies"] / positive["test"], 1) == 75.5
    assert (whole["repeats_train"], whole["repeats_test"]) == (23_341, 1_452)
    others = {key[0]: row["copies"] for key, row in official.items() if key[1] == "all"}
    del others["human_enhancers_ensembl"]
    assert {name: n for name, n in others.items() if n} == {"demo_human_or_worm": 2}
    assert sum(row["conflicts"] for row in official.values()) == 0


def test_the_numbers_that_the_book_cites_are_those_of_the_audit(official):
    notebook = json.loads((ROOT / "book" / "07_data.ipynb").read_text())
    lines = [line for cell in notebook["cells"] for line in "".join(cell["source"]).splitlines()]
    cited = [[c.strip() for c in line.split("|")[1:-1]] for line in lines if " % |" in line]
    assert {row[0] for row in cited} == {name for name, _ in official}
    for name, *numbers in cited:
        row = official[name, "all"]
        shares = [
            f"{row[c] / row['test']:.1%}".replace("%", " %") for c in ("overlapping", "covered")
        ]
        assert numbers == [f"{row['test']:,}", *shares, f"{row['copies']:,}"]


@pytest.mark.skipif(not SHARED.exists(), reason="no shared data beside the repository")
def test_copies_of_official_rows_are_found_by_letters_and_by_coordinates_alike():
    card = audit_report.card(
        "t",
        tasks.read(tasks.find(SHARED / "gb", "human_enhancers_ensembl.chr20X")),
        baselines=False,
    )
    (pair,) = card.pairs
    assert pair.copies / pair.rows == pytest.approx(0.4, abs=0.05)
    assert pair.copies <= pair.covered <= pair.overlapping
