"""Labelled rows are selected, cropped and fingerprinted exactly."""

import memory
import numpy as np
import pytest

from birdiedna import vocab
from birdiedna.data.labelled import (
    Labelled,
    crop,
    fingerprint,
    fit,
    opposite,
    padded,
    subset,
    take,
)
from birdiedna.experiments import plan

SEQUENCES = ["ACGTAC", "GGCC", "TTTTTT", "AAAAAA"]
ROWS = Labelled(
    np.array([[*vocab.encode(bases), *[vocab.PAD] * (6 - len(bases))] for bases in SEQUENCES]),
    np.array([6, 4, 6, 6], np.int32),
    np.array([0, 1, 0, 1], np.int32),
    ("a", "b", "c", "d"),
)


TOKENS, LENGTHS, LABELS = SOUND = ROWS.tokens.astype(np.uint8), ROWS.lengths, ROWS.labels
ODD = {
    "tokens": [TOKENS[0], TOKENS[:3], TOKENS[:0], TOKENS.astype(float), TOKENS + np.uint8(5)],
    "lengths": [LENGTHS + 1, LENGTHS * 0, LENGTHS.astype("U"), LENGTHS[:, None]],
    "labels": [LABELS - 1, LABELS + 31, LABELS[:3], np.int32(1)],
}


@pytest.mark.promise("Damage: a crafted file is refused in one line, whatever its checksums say")
def test_arrays_of_any_other_form_are_no_rows(tmp_path):
    rows = Labelled(*SOUND, ROWS.names)
    assert fit(*SOUND)
    for field, others in ODD.items():
        for odd in others:
            assert not fit(*rows._replace(**{field: np.asarray(odd)})[:3]), (field, odd)
    plan.write_rows(tmp_path / "one.npz", (rows, rows, rows._replace(labels=LABELS - 1)))
    with pytest.raises(ValueError, match="one.npz is damaged: its test arrays are no rows; copy"):
        plan.read_rows(tmp_path / "one.npz")


def test_crop_keeps_the_positions_asked_for():
    found = crop(ROWS, 2, 5)
    assert [vocab.decode(row) for row in found.tokens] == ["GTA", "CC<pad>", "TTT", "AAA"]
    assert found.lengths.tolist() == [3, 2, 3, 3]


@pytest.mark.parametrize(
    ("start", "stop", "message"),
    [(0, 7, "0:7 .*0:6"), (-1, 3, "-1:3"), (3, 3, "3:3"), (4, 6, "b has 4 bases.*4:6")],
)
def test_crop_refuses_positions_without_bases(start, stop, message):
    with pytest.raises(ValueError, match=message):
        crop(ROWS, start, stop)


def test_the_other_strand_of_rows_takes_a_few_bytes_a_base():
    first, second = map(vocab.decode, opposite(TOKENS, LENGTHS)[:2])
    assert (first, second) == ("GTACGT", "GGCC<pad><pad>")
    tokens, lengths = np.tile(TOKENS, (10_000, 1)), np.tile(LENGTHS, 10_000)
    assert memory.peak(lambda: opposite(tokens, lengths)) < 8 * tokens.size


def test_fingerprint_changes_with_any_part():
    others = [
        ROWS._replace(tokens=ROWS.tokens + 1),
        ROWS._replace(lengths=ROWS.lengths - 1),
        ROWS._replace(labels=1 - ROWS.labels),
        ROWS._replace(names=("x", *ROWS.names[1:])),
        take(ROWS, np.array([1, 0, 2, 3])),
    ]
    assert len({fingerprint(rows) for rows in (ROWS, ROWS._replace(), *others)}) == 6


def test_rows_are_shown_in_one_line_whatever_their_number():
    assert repr(take(ROWS, np.arange(4))) == "Labelled(4 rows of up to 6 bases)"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda: padded([np.array([8, 300])]), r"ids \[  8 300\] are not all uint8"),
        (lambda: padded([np.array([8, -1])]), "are not all uint8"),
        (lambda: padded([[8.5]]), r"ids \[8.5\] are not all uint8"),
        (lambda: padded([[8, 9, 10]], 2), "a sequence of 3 ids is longer than 2; cut it"),
        (lambda: subset(LABELS, 5.0, 0), "share 5.0 is not above 0 and at most 1"),
        (lambda: subset(LABELS, -0.1, 0), "share -0.1 is not above 0 and at most 1"),
    ],
)
def test_what_would_become_other_rows_is_refused(wrong, why):
    with pytest.raises(ValueError, match=why):
        wrong()
