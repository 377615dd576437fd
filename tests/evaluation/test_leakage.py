"""Leakage counts planted leaks and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import labelled, revcomp

from birdiedna import vocab
from birdiedna.data import genome, intervals, sample
from birdiedna.data.intervals import Intervals
from birdiedna.data.labelled import Labelled
from birdiedna.evaluation import leakage


def at(found: list[tuple[str, int, int]]) -> Intervals:
    contigs, starts, sizes = zip(*found, strict=True)
    begins, strands = np.array(starts, np.int64), np.array(["."] * len(sizes))
    return Intervals(np.array(contigs), begins, begins + np.array(sizes), strands)


STRETCHES = st.lists(
    st.tuples(st.sampled_from(["chr1", "chr2", "chr10"]), st.integers(0, 60), st.integers(1, 40)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=200)
@given(STRETCHES, STRETCHES)
def test_coverage_is_the_largest_share_inside_a_single_interval(rows, others):
    expected = [
        max((max(0, min(a + n, b + m) - max(a, b)) / n if c == d else 0 for d, b, m in others))
        for c, a, n in rows
    ]
    assert intervals.covered(at(rows), at(others)).tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("chr3:32091651-32092651|1", ("chr3", 32091651, 32092651)),
        ("57:chrX:4863883-4864126(+)", ("chrX", 4863883, 4864126)),
        (">20:5-9", ("chr20", 5, 9)),
        ("NC_000020.11:5-9|0", ("chr20", 5, 9)),
        ("chr1_KI270706v1_random:5-9", ("chr1_KI270706v1_random", 5, 9)),
        ("peak 7 of chr1:5-9", ("chr1", 5, 9)),
        ("hg38_dna range=chr1:5-9 strand=+", ("chr1", 5, 9)),
        ("chr1:1,000-2,500", ("chr1", 1000, 2500)),
        ("chr1:5..9(-)|1", ("chr1", 5, 9)),
        ("chr1_5_9", ("chr1", 5, 9)),
        ("chr1-5-9|0", ("chr1", 5, 9)),
        ("chr1_5_9_+", ("chr1", 5, 9)),
        ("20_5_9", ("chr20", 5, 9)),
        ("chr1 5 9 +", ("chr1", 5, 9)),
        ("chr1/5/9", ("chr1", 5, 9)),
        ("peak7::chr2_5_9(+)", ("chr2", 5, 9)),
        ("NC_000913.3_5_9", ("NC_000913.3", 5, 9)),
        ("chr1_KI270706v1_random_5_9", ("chr1_KI270706v1_random", 5, 9)),
        ("scaffold_12_5_9", ("scaffold_12", 5, 9)),
        ("chr1|500|900", ("chr1", 500, 900)),
        ("chr1;500;900", ("chr1", 500, 900)),
        ("chr1[500-900]", ("chr1", 500, 900)),
        ("hg38_chr1_500_900_neg", ("hg38_chr1", 500, 900)),
        ("chr1_500_900_1", ("chr1", 500, 900)),
        ("chr1:+:500-900", ("chr1", 500, 900)),
        ("NC_000001.11:c900-500", ("chr1", 500, 900)),
        ("chromosome:GRCh38:20:500:900:1", ("chr20", 500, 900)),
    ],
)
def test_coordinates_are_read_from_names(name, place):
    found = intervals.of_names([name])
    assert (found.contigs[0], found.starts[0], found.ends[0]) == place


@pytest.mark.parametrize(
    "name",
    [
        *("", "iYMR122W-A_513047|1", "row 5", "chr1:9-9", "chr1:9-5", "chr1_9_5", "seq_5_9"),
        *("chr1.5.9", "NC_000913.3_5", "chr1_0|1", "12 of 34", "chr1:5-" + "9" * 40, "chr1_5"),
        *("x" * 200_000, "_-" * 100_000, ": " * 100_000),
    ],
)
def test_one_name_without_coordinates_disables_all(name):
    assert intervals.of_names(["chr1:5-9", name]) is None and intervals.of_names([]) is None


def test_contigs_that_are_parts_get_coordinates_from_their_names(human):
    found = leakage.contig_places(human.contigs)
    assert (found.contigs[0], found.starts[0], found.ends[0]) == ("chrX", 2_400_000, 2_800_000)
    named = {"chr7:5-9": "ACGT", "chr7:5-8": "ACGT", "chr7:5-99": "ACGT", "8": "ACG"}
    named |= {"chr7_5_8": "ACG", "NC_000007.14": "ACG", "chr1_KI270706v1_random": "A"}
    found = leakage.contig_places(genome.from_sequences(named).contigs)
    pairs = [*zip(found.contigs, found.starts, found.ends, strict=True)]
    assert pairs[:4] == [("chr7", 5, 9), ("chr7", 4, 8), ("chr7:5-99", 0, 4), ("chr8", 0, 3)]
    assert [name for name, *_ in pairs[4:]] == ["chr7_5_8", "chr7", "chr1_KI270706v1_random"]


def cut(human: genome.Genome, starts: list[int], shift: int = 0) -> Labelled:
    """Named windows of 90 bases of the first contig; every other one is reverse-complemented."""
    first = human.contigs[0]
    texts = [vocab.decode(human.tokens[first.start + s :][:90]) for s in starts]
    turned = [revcomp(t) if i % 2 else t for i, t in enumerate(texts)]
    places = [(2_400_000 + start + shift, 2_400_090 + start + shift) for start in starts]
    return labelled(turned, names=[f"chrX:{a}-{b}|{i % 2}" for i, (a, b) in enumerate(places)])


def test_a_row_leaks_if_it_is_a_copy_or_overlaps_and_words_stand_for_missing_coordinates(human):
    train = cut(human, [0, 500])
    test = cut(human, [0, 60, 90, 589])  # a copy, an overlap, a neighbour, a single base
    assert leakage.leaked(test, train).tolist() == [True, True, False, True]
    unnamed = [rows._replace(names=("",) * len(rows.labels)) for rows in (test, train)]
    assert leakage.leaked(*unnamed).tolist() == [True, False, False, False]
    near = cut(human, [20, 500])._replace(names=("", ""))
    assert leakage.leaked(near, unnamed[1]).tolist() == [True, True]
    far = cut(human, [0, 31_000], shift=50_000)  # the coordinates of elsewhere
    assert leakage.leaked(far, train).tolist() == [True, False]


def test_rows_of_the_genome_are_found_by_coordinates_and_by_words(human):
    rows = cut(human, [0, 500, 31_000, 399_900])
    chosen = genome.contigs_named(human, sample.TRAIN)
    assert leakage.same_assembly(rows, intervals.of_names(rows.names), human) is True
    for by_place in (True, False):
        assert leakage.in_contigs(rows, human, chosen, by_place).tolist() == [1.0] * 4
        assert leakage.in_contigs(rows, human, chosen[1:], by_place).max() < 0.5


def test_coordinates_of_another_assembly_are_detected_by_the_bases(human):
    shifted = cut(human, [0, 500, 31_000], shift=1000)
    assert leakage.same_assembly(shifted, intervals.of_names(shifted.names), human) is False
    elsewhere = labelled(["ACGT" * 20], names=["chr20:2400000-2400080|0"])
    assert leakage.same_assembly(elsewhere, intervals.of_names(elsewhere.names), human) is None
