"""The audit counts planted leaks, explains its numbers, and finds the known leaks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import SHARED, needs_shared, written
from made_rows import different, labelled, revcomp

from birdiedna import tasks, vocab
from birdiedna.data import genome, sample
from birdiedna.evaluation import audit

COUNTS = st.integers(0, 4)


def turns(count: int) -> list[int]:
    return [i % 2 for i in range(count)]


def card(train, test, validation=None, read=None, name="t") -> audit.Card:
    task = tasks.Task(train, validation, test, ("a", "b"), {})
    return audit.of_task(name, task, read, baselines=False)


@settings(max_examples=25)
@given(st.integers(0, 9), COUNTS, COUNTS, COUNTS)
def test_card_counts_planted_copies_and_conflicting_labels(seed, same, turned, wrong):
    pool = different(seed, 40, 50)
    train = labelled([*pool[:29], pool[29] * 2], turns(30))
    both = [*pool[10 : 10 + turned], *pool[20 : 20 + wrong]]  # on the other strand
    labels = [*turns(same), *turns(turned), *(1 - label for label in turns(wrong))]
    planted = [*pool[:same], *map(revcomp, both), *pool[24 : 24 + wrong]]
    labels += (1 - label for label in turns(wrong))
    found = card(train, labelled([*planted, *pool[30:]], [*labels, *turns(10)]))
    (pair,) = found.pairs
    assert pair == {
        **{"split": "test", "against": "train", "rows": len(labels) + 10},
        **{"copies": same + wrong, "copies_reverse_complement": turned + wrong},
        **{"near_duplicates": len(labels), "overlapping": None, "covered": None},
    }
    assert (found.conflicting_labels, found.pretrained_by) == (4 * wrong, None)


@settings(max_examples=25)
@given(COUNTS, COUNTS, COUNTS)
def test_card_counts_planted_overlaps_by_coordinates(little, half, none):
    places = [f"chr1:{50 * i}-{50 * i + 50}" for i in range(10)]
    bases = [1] * little + [25] * half + [0] * none
    names = [f"1:{500 - n}-{550 - n}" for n in bases] + ["chr2:0-50", "chr2:50-100"]
    test = labelled(different(2, len(names), 50), names=names)
    found = card(labelled(different(1, 10, 50), names=places), test)
    (pair,) = found.pairs
    assert (pair["overlapping"], pair["covered"]) == (little + half, half)
    assert "chr2 2" in found.parts[1]["chromosomes"]


def test_card_describes_each_split():
    names = ["chr1:0-4|0", "chr1:8-12|1", "chrX:0-4|1", "x|0"]
    train = labelled(["GCAT", "GCAN", "ATGC", "GCAT"], [0, 1, 1, 0], names)
    found = card(train, train).parts[0]
    assert found.pop("sorted_by_label") == audit.sorted_by_label(train.labels)
    assert found.pop("gc_gap") == pytest.approx(1 / 12)  # not 0.083, that of rounded means
    assert found == {
        **{"split": "train", "rows": 4, "by_class": "2, 2", "gc": "0.500, 0.583"},
        **{"shortest": 4, "longest": 4, "unknown": 1, "chromosomes": None, "repeats": 1},
        **{"repeats_reverse_complement": 1, "names_with_label": 4, "pretrained": None},
    }


def test_sorted_by_label_is_small_only_for_shuffled_files():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [300, 150, 50])
    found = [audit.sorted_by_label(rng.permutation(labels)) for _ in range(400)]
    assert np.mean(found) == pytest.approx(0, abs=0.15)
    assert np.std(found) == pytest.approx(1, abs=0.12)
    assert audit.sorted_by_label(labels) > audit.SORTED_LIMIT
    assert audit.sorted_by_label(np.array(turns(200))) < -audit.SORTED_LIMIT
    assert audit.sorted_by_label(np.zeros(9, int)) == audit.sorted_by_label(np.zeros(1, int)) == 0


def test_every_pair_of_splits_is_compared():
    pool = different(0, 30, 40)
    splits = (pool[:10], [*pool[17:], *pool[:3]], pool[8:18])
    found = card(*map(labelled, splits)).pairs
    assert [(pair["split"], pair["against"], pair["copies"]) for pair in found] == [
        ("validation", "train", 2),
        ("test", "train", 3),
        ("test", "validation", 1),
    ]


@pytest.mark.parametrize(
    ("rows", "methods"),
    [
        (["ACCA", "GTCA", "CACA", "TGCA"], ["letter", "pairs", "gc"]),
        (["AC", "GT", "CA", "TG"], ["letter", "pairs", "gc"]),
        (["A", "G"], ["letter", "gc"]),
    ],
)
def test_methods_that_need_longer_rows_are_skipped(rows, methods):
    task = tasks.Task(labelled(rows), None, labelled(rows), ("a", "b"), {})
    assert [entry["who"] for entry in audit.of_task("t", task).baselines] == methods


@pytest.fixture(scope="module")
def cards(human):
    """Audit of the embedded tasks against the embedded genome."""
    return audit.of_folder(sample.TASKS, human)


def test_embedded_test_rows_are_not_in_train_rows_or_pretraining(cards):
    shared = audit.long(cards, "pairs").drop("task", "split", "against", "rows")
    assert shared.width == 5 and shared.sum().row(0) == (0,) * 5
    said = [(card.conflicting_labels, card.pretrained_by) for card in cards]
    assert said == [(0, "coordinates")] * 6
    train, test = audit.long(cards, "parts").partition_by("split", maintain_order=True)
    assert {*train["chromosomes"].str.slice(0, 4)} == {"chrX"}
    assert {*test["chromosomes"].str.slice(0, 5)} == {"chr20"}
    assert test["pretrained"].to_list() == [0] * 6 and train["pretrained"].min() > 0


def test_rows_too_short_for_a_word_have_unknown_near_duplicates_not_none():
    pool = different(0, 40, 30)
    made = genome.from_sequences({"chr8": "".join(pool)})
    read = audit.Pretraining(made, made.contigs)
    found = card(labelled(pool[:20]), labelled(pool[20:]), read=read)
    assert [found.pairs[0]["near_duplicates"], found.parts[0]["pretrained"]] == [None, None]
    said = audit.findings([found])["finding"].to_list()
    assert "all test rows have fewer than 31 bases, too few for near-duplicates" in said
    long = card(labelled(different(2, 40, 31)), labelled(different(3, 40, 31)), read=read)
    assert long.pairs[0]["near_duplicates"] == long.parts[0]["pretrained"] == 0


@pytest.mark.parametrize(("low", "found"), [(-0.1, False), (0.1, True)])
def test_a_site_is_at_a_fixed_position_only_if_letters_beat_chance_too(low, found):
    methods = {"pairs": {"rule": "GT at 9", "low": low}, "words": {"high": -0.5}}
    scores = [{"who": who, "mcc": 0.0, **method} for who, method in methods.items()]
    rows = card(labelled(different(0, 40, 50)), labelled(different(1, 40, 50)))
    said = audit.findings([rows._replace(baselines=scores)])["finding"].to_list()
    assert any("fixed position" in one for one in said) == found


def test_held_out_chromosomes_do_not_count_as_pretraining(tmp_path):
    pool = different(0, 30, 60)
    held = ["20", "chr21_x_random"]
    made = genome.from_sequences(dict(zip(["chr8", *held, "X"], pool, strict=False)))
    for split, chosen in (("train", pool[10:20]), ("test", [*pool[:4], *pool[20:]])):
        lines = [f"{sequence},{i % 2}" for i, sequence in enumerate(chosen)]
        written(tmp_path, "\n".join(["sequence,label", *lines, ""]), f"t/{split}.csv")
    (found,) = audit.of_folder(tmp_path, made, baselines=False)
    assert (found.parts[-1]["pretrained"], found.pretrained_by) == (2, "words")
    assert audit.report([found]).split("SHARED")[0].count("unknown") == 2, "chromosomes"


def test_contigs_are_listed_with_their_use():
    names = {"chr8": "ACGTNNAC", "chr9": "ACG", "chr20": "AC", "c1": "A", "c2": "N"}
    made = genome.from_sequences(names)
    split = genome.split(made, ("chr9",))
    assert audit.contigs(made, split).rows() == [
        ("chr8", 8, 2, 4, "pre-training"),
        ("chr9", 3, 0, 3, "held-out loss"),
        ("chr20", 2, 0, 2, "never read"),
        ("c1", 1, 0, 1, "pre-training"),
        ("c2", 1, 1, 0, "pre-training"),
    ]
    few = audit.contigs(made, split, most=2).to_dicts()
    assert [row["contig"] for row in few] == ["chr8", "chr9", "3 shorter ones"]
    assert (few[2]["bases"], few[2]["N"], few[2]["use"]) == (4, 1, "never read, pre-training")


@pytest.mark.parametrize(
    ("test", "train", "moved", "what"),
    [
        ("chrX", "chr9", 0, "bases"),
        ("", "chrX", 0, "31-base words"),
        ("chrX", "chrX", 9, "31-base words"),
        ("chr9", "chr9", 0, "31-base words"),
    ],
)
def test_findings_name_how_rows_were_looked_up(human, test, train, moved, what):
    """By place if all rows have one, some in the genome (no chr9), and none contradicts it."""
    first = human.contigs[0]
    pieces = [vocab.decode(human.tokens[first.start + 100 * i :][:60]) for i in range(8)]
    place = lambda name, start: f"{name}:{start}-{start + 60}"
    names = [place(test, 2_400_000 + 100 * i) for i in range(4)]
    rows = labelled(pieces[:4], names=names if test else ())
    places = [place(train, 2_400_400 + 100 * i + moved) for i in range(4)]
    found = card(labelled(pieces[4:], names=places), rows, read=audit.Pretraining(human, (first,)))
    *_, sentence = audit.findings([found])["finding"]
    assert sentence.startswith("4 of 4 test rows") and f"of the {what} in the pre-" in sentence


def test_baselines_and_pretraining_are_reported_only_if_requested(cards):
    fewer = audit.of_folder(sample.TASKS, baselines=False)
    text = audit.report(cards)
    assert audit.long(fewer, "baselines").is_empty()
    assert {*audit.long(fewer, "parts")["pretrained"]} == {None}
    scores = audit.long(cards, "baselines")
    assert {*scores["who"]} == {*audit.METHODS} and scores.height == 24
    assert (scores["low"] <= scores["mcc"]).all() and (scores["mcc"] <= scores["high"]).all()
    assert "SOLVED" in text and "SOLVED" not in audit.report(fewer)
    assert max(map(len, text.splitlines())) <= 100
    heads = "classes,bases,N,GC,copies,rev. comp.,overlap,half,near-dup.,repeats,sorted,named"
    for head in f"{heads},read before,conflicting,one letter,pairs of letters,5-mers".split(","):
        assert f"{head}: " in " ".join(text.split()), head


def test_findings_list_planted_leaks_and_no_clean_task():
    pool = different(0, 40, 50)
    clean = card(labelled(pool[:20], turns(20)), labelled(pool[20:], turns(20)), name="clean")
    names = [f"chr1:{i}-{i + 50}" for i in range(20)]
    train = labelled(pool[:20], [0] * 10 + [1] * 10, names)
    leaky = card(train, labelled([pool[0], *pool[20:30]], turns(11), names[:11]), name="leaky")
    found = audit.findings([clean, leaky])
    assert {*found["task"]} == {"leaky"}
    for sentence in (
        "1 of 11 test rows is a copy of a train row",
        "11 of 11 test rows overlap a train row",
        "test and train rows are both on chr1",
    ):
        assert sentence in found["finding"].to_list()


@needs_shared
def test_copies_of_official_rows_agree_by_sequence_and_coordinates():
    task = tasks.read(tasks.find(SHARED / "tasks" / "gb", "human_enhancers_ensembl.chr20X"))
    (pair,) = card(task.train, task.test).pairs
    assert pair["copies"] / pair["rows"] == pytest.approx(0.4, abs=0.05)
    assert pair["copies"] <= pair["covered"] <= pair["overlapping"]
