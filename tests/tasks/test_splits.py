"""Splits keep related rows together and near the requested fraction; no row is lost."""

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from made_rows import different, labelled, revcomp

from birdiedna import vocab
from birdiedna.data.intervals import of_names
from birdiedna.data.labelled import Labelled, either_strand
from birdiedna.tasks import splits

DRAWN = "the same share of each class, drawn at random"


def rows(names: list[str], labels: list[int], sequences: list[str] | None = None) -> Labelled:
    """Rows with these names; by default with unrelated sequences."""
    return labelled(sequences or different(0, len(names), 40), labels, names)


def on(chromosome: str, starts: range, width: int = 10, form: str = "{}:{}-{}|0") -> list[str]:
    return [form.format(chromosome, start, start + width) for start in starts]


def shared(train: Labelled, validation: Labelled, bases: int = 0) -> int:
    """Validation rows that are in train, on either strand, whole or in part."""
    if not bases:
        return len({*either_strand(validation)} & {*either_strand(train)})
    parts = lambda text: {text[i : i + bases] for i in range(len(text) - bases + 1)}
    texts = [vocab.decode(row) for row in train.tokens]
    known = set().union(*(parts(text) | parts(revcomp(text)) for text in texts))
    return sum(not known.isdisjoint(parts(vocab.decode(row))) for row in validation.tokens)


@pytest.mark.parametrize("place", ["{}-{}|0", "row {}"])
def test_carve_takes_whole_chromosomes_where_there_are_several_also_without_positions(place):
    places = [place.format(start, start + 10) for start in range(0, 100, 10)]
    names = [f"chr{i + 1}:{place}" for i in range(20) for place in places]
    train, validation, how = splits.carve(rows(names, [0, 1] * 100))
    assert not {*splits.chromosomes(train.names)} & {*splits.chromosomes(validation.names)}
    assert len(validation.labels) == 20 and len(train.labels) == 180
    assert re.fullmatch(r"by chromosome \(chr\d+, chr\d+\)", how)


@pytest.mark.parametrize(
    "form", "{}:{}-{}|0 {}_{}_{} {}-{}-{} {}:{}..{} {}_{}-{}(+) {}|{}|{}".split()
)
def test_carve_takes_the_last_block_of_a_single_chromosome(form):
    names = on("chrX", range(0, 1000, 10), 10, form)
    shuffled = np.random.default_rng(0).permutation(names).tolist()
    train, validation, how = splits.carve(rows(shuffled, [0, 1] * 50))
    assert how == "a block of the highest positions"
    assert sorted(validation.names) == sorted(names[90:])
    assert sorted(train.names) == sorted(names[:90])


@settings(max_examples=60)
@example([0] * 36 + [9] * 4, 1)
@given(st.lists(st.integers(0, 3000), min_size=20, max_size=80), st.integers(1, 200))
def test_the_block_has_about_its_share_and_is_cut_where_fewest_windows_overlap(starts, width):
    names = [f"chrX:{start}-{start + width}|0" for start in starts]
    mask = splits._by_block(of_names(names))
    assert 0.05 <= mask.mean() <= 0.15
    order = sorted(starts)
    crossing = lambda cut: sum(start + width > order[cut] for start in order[:cut])
    count = len(starts)
    cuts = [cut for cut in range(1, count) if 0.05 <= (count - cut) / count <= 0.15]
    assert crossing(len(starts) - int(mask.sum())) == min(map(crossing, cuts))


@pytest.mark.promise("Bad input: validation rows are a tenth of train and have no copy in the rest")
@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("row {0}", DRAWN),
        ("chr7:{1}-{2}|0", "a block of the highest positions; 2 of them overlap rows of the rest"),
        ("chr7_{1}_{2}", "a block of the highest positions; 2 of them overlap rows of the rest"),
        ("chr7.{1}.{2}", f"{DRAWN}; names such as 'chr7.0.300' look like coordinates and are not"),
    ],
)
def test_of_tiled_windows_with_one_gap_a_tenth_is_carved_and_what_separates_it_said(names, said):
    starts = [100 * i + 5000 * (i > 3) for i in range(2000)]
    named = [names.format(i, start, start + 300) for i, start in enumerate(starts)]
    train, validation, how = splits.carve(rows(named, [0, 1] * 1000, different(1, 2000, 300)))
    assert (len(train.labels), len(validation.labels)) == (1800, 200) and how.startswith(said)


@pytest.mark.promise("Bad input: validation rows are a tenth of train and have no copy in the rest")
@pytest.mark.parametrize("turn", [False, True], ids=["copies", "reverse complements"])
@pytest.mark.parametrize(
    "name", ["row {0}", "chr{1}:{0}00-{0}99", "chr7:{0}00-{0}99"], ids=["no", "several", "one"]
)
def test_copies_on_either_strand_go_to_one_side(name, turn):
    pool = different(0, 502, 99)
    twice = [revcomp(text) if turn else text for text in pool[:498]]
    twice = [*pool[:500], *twice, *pool[500:]]  # two rows of the last block have no copy
    names = [name.format(i, 1 + i % 19) for i in range(1000)]
    train, validation, _ = splits.carve(rows(names, [0, 1] * 500, twice))
    assert shared(train, validation) == 0 and 50 <= len(validation.labels) <= 150


@pytest.mark.promise("Bad input: validation rows are a tenth of train and have no copy in the rest")
@pytest.mark.parametrize(
    ("length", "shift", "bases"), [(200, 30, 65), (200, 135, 65), (60, 20, 40)]
)
def test_without_coordinates_rows_that_share_a_stretch_stay_together(length, shift, bases):
    pool = different(0, 100, length + shift)
    first, second = [text[:length] for text in pool], [text[shift:] for text in pool]
    kin = [*first, *second, *map(revcomp, first)]
    train, validation, how = splits.carve(rows([""] * 300, [0, 1] * 150, kin))
    assert shared(train, validation, bases) == 0 and 15 <= len(validation.labels) <= 45
    said = r"\d+ bases" if length == 200 else "37 bases or a half"
    assert re.fullmatch(f"{DRAWN}; rows that share {said} stay together", how)


@pytest.mark.parametrize("length", [24, 25, 40, 61, 62, 75, 90, 91, 99, 130, 200])
def test_rows_with_one_letter_changed_stay_together(length):
    pool = different(0, 200, length)
    at = [length // 2 + i % 3 - 1 for i in range(200)]  # the middle, where it is hardest to see
    turn = [t[:i] + "CGTA"["ACGT".index(t[i])] + t[i + 1 :] for t, i in zip(pool, at, strict=True)]
    turn[::2] = map(revcomp, turn[::2])
    data = rows([f"{i}" for i in range(400)], [0, 1] * 200, [*pool, *turn])
    train, validation, how = splits.carve(data)
    pair = lambda part: {int(name) % 200 for name in part.names}
    assert not pair(train) & pair(validation) and len(validation.labels) == 40


def test_a_large_group_of_related_rows_is_not_drawn_for_one_of_its_classes():
    one, *pool = different(0, 141, 40)
    data = rows([""] * 200, [0] + [1] * 59 + [0, 1] * 70, [one] * 60 + pool)
    assert len(splits.carve(data)[1].labels) <= 30


def test_where_all_rows_are_related_or_have_a_common_tail_that_is_said_and_no_more():
    one, at = different(0, 1, 200)[0], range(100, 200)
    library = [one[:i] + ("A" if one[i] != "A" else "C") + one[i + 1 :] for i in at]
    tailed = [text + "A" * 40 for text in different(0, 100, 160)]
    for texts in (library, tailed):
        _, validation, how = splits.carve(rows([""] * 100, [0, 1] * 50, texts))
        assert how == f"{DRAWN}; 10 of them share 31 bases or more with rows of the rest"
        assert len(validation.labels) == 10


@pytest.mark.parametrize(
    "names", [[f"row {i}" for i in range(50)], on("chrX", range(50), 500)], ids=["no", "overlap"]
)
def test_carve_without_usable_coordinates_draws_by_class(names):
    labels = [0] * 40 + [1] * 10
    train, validation, how = splits.carve(rows(names, labels))
    assert how.startswith(DRAWN)
    assert np.bincount(validation.labels).tolist() == [4, 1]
    assert np.bincount(train.labels).tolist() == [36, 9]


def test_carve_loses_and_doubles_no_row_and_is_always_the_same():
    data = rows([f"row {i}" for i in range(40)], [0, 1] * 20)
    train, validation, _ = splits.carve(data)
    assert sorted(train.names + validation.names) == sorted(data.names)
    assert splits.carve(data)[1].names == validation.names


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (rows(["a", "b"], [0, 1]), "2 rows cannot be split .*: class 0"),
        (rows([""] * 9, [0] * 6 + [1] * 3, [*different(0, 6, 40)] + ["ACGT"] * 3), "class 1"),
    ],
)
def test_carve_refuses_what_cannot_be_divided(data, message):
    with pytest.raises(ValueError, match=message):
        splits.carve(data)


def test_chromosomes_are_read_from_coordinates_wherever_a_name_contains_them():
    names = ["chr3:100-400|1", "x_12:chr20:5-9(+)", "20:row 7", "NC_000021.9:1-2|0", "chr2_5_9"]
    assert splits.chromosomes(names) == ("chr3", "chr20", "chr20", "chr21", "chr2")
    assert splits.chromosomes([*names, "row 12"]) == () == splits.chromosomes(["20", "21"])


def test_that_only_some_names_have_coordinates_is_said():
    names = [*on("chr7", range(19)), "random 1"]
    _, _, how = splits.carve(rows(names, [0, 1] * 10))
    assert how.startswith(f"{DRAWN}; 19 of 20 names have coordinates") and "'random 1'" in how


def test_chr20_to_chr22_are_held_out_by_any_of_their_names():
    found = splits.held_out(["chr2", "20", "chr21", "NC_000022.11", "chrX", "chr1_20"])
    assert found.tolist() == [False, True, True, True, False, False]
