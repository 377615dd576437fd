"""Parts of labelled rows: neighbours stay together, and no row is lost."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdiedna import vocab
from birdiedna.data.labelled import Labelled
from birdiedna.tasks import splits


def rows(names: list[str], labels: list[int]) -> Labelled:
    tokens = np.full((len(names), 4), vocab.A, np.uint8)
    lengths = np.full(len(names), 4, np.int32)
    return Labelled(tokens, lengths, np.array(labels, np.int32), tuple(names))


def on(chromosome: str, starts: range, width: int = 10) -> list[str]:
    return [f"{chromosome}:{start}-{start + width}|0" for start in starts]


@pytest.mark.parametrize("place", ["{}-{}|0", "row {}"])
def test_carve_takes_whole_chromosomes_where_there_are_several_also_without_positions(place):
    places = [place.format(start, start + 10) for start in range(0, 100, 10)]
    names = [f"chr{i + 1}:{place}" for i in range(20) for place in places]
    train, validation, how = splits.carve(rows(names, [0, 1] * 100))
    assert not {*splits.chromosomes(train.names)} & {*splits.chromosomes(validation.names)}
    assert len(validation.labels) == 20 and len(train.labels) == 180
    assert re.fullmatch(r"by chromosome \(chr\d+, chr\d+\)", how)


def test_carve_takes_the_last_block_of_a_single_chromosome():
    names = on("chrX", range(0, 1000, 10))
    shuffled = np.random.default_rng(0).permutation(names).tolist()
    train, validation, how = splits.carve(rows(shuffled, [0, 1] * 50))
    assert how == "a block of the highest positions"
    assert sorted(validation.names) == sorted(names[90:])
    assert sorted(train.names) == sorted(names[:90])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3000), min_size=20, max_size=80), st.integers(5, 200))
def test_no_window_of_training_overlaps_one_of_the_validation_block(starts, width):
    names = [f"chrX:{start}-{start + width}|0" for start in starts]
    places = splits._places(names)
    mask = splits._by_block(places, 0.2)
    ends = [place[2] for place, valid in zip(places, mask, strict=True) if not valid]
    begins = [place[1] for place, valid in zip(places, mask, strict=True) if valid]
    assert not begins or max(ends) <= min(begins)


@pytest.mark.parametrize(
    "names", [[f"row {i}" for i in range(50)], on("chrX", range(50), 500)], ids=["no", "overlap"]
)
def test_carve_without_usable_coordinates_draws_by_class(names):
    labels = [0] * 40 + [1] * 10
    train, validation, how = splits.carve(rows(names, labels), 0.2)
    assert how == "the same share of each class, drawn at random"
    assert np.bincount(validation.labels).tolist() == [8, 2]
    assert np.bincount(train.labels).tolist() == [32, 8]


def test_carve_loses_and_doubles_no_row_and_depends_on_the_seed_alone():
    data = rows([f"row {i}" for i in range(40)], [0, 1] * 20)
    train, validation, _ = splits.carve(data, seed=1)
    assert sorted(train.names + validation.names) == sorted(data.names)
    assert splits.carve(data, seed=1)[1].names == validation.names
    assert splits.carve(data, seed=2)[1].names != validation.names


def test_carve_refuses_what_cannot_be_divided():
    with pytest.raises(ValueError, match="fraction 1.5 is outside"):
        splits.carve(rows(["a", "b"], [0, 1]), 1.5)
    with pytest.raises(ValueError, match="2 rows cannot be divided"):
        splits.carve(rows(["a", "b"], [0, 1]))


def test_chromosomes_are_read_from_coordinates_wherever_a_name_holds_them():
    names = ["chr3:100-400|1", "x_12:chr20:5-9(+)", "20:row 7", "NC_000021.9:1-2|0"]
    assert splits.chromosomes(names) == ("chr3", "chr20", "chr20", "chr21")
    assert splits.chromosomes([*names, "row 12"]) == () == splits.chromosomes(["20", "21"])


def test_chr20_to_chr22_are_held_out_by_any_of_their_names():
    found = splits.held_out(["chr2", "20", "chr21", "NC_000022.11", "chrX", "chr1_20"])
    assert found.tolist() == [False, True, True, True, False, False]
