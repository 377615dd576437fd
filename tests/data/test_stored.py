"""Truncated, altered or malicious stored files give a one-line error within bounded memory."""

import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from made_files import written

from birdiedna.data import files, stored

NOWHERE = Path("folder/file.json")


@pytest.mark.promise("Damage: a crafted file is refused in one line, whatever its checksums say")
@pytest.mark.parametrize(
    "text, why",
    [
        (b"", "Expecting value"),
        (b'{"a": 1', "delimiter"),
        (b"\xff\xfe\x00", "decode"),
        (b"[" * 200_000, "while decoding a JSON array"),
        (b'{"a":' * 100_000, "while decoding a JSON object"),
        (b"1" * 5_000, "digits"),
        (b'{"a": 1, "a": 2}', "field 'a' occurs twice"),
        (b'["seal"]', "it is not an object"),
        (b'{"a": 1, "b": "\\ud800"}', "surrogates not allowed"),
        (b'{"a": "x"}', "'a' is not a whole number: 'x'"),
        (b'{"a": 1.5}', "'a' is not a whole number"),
        (b'{"a": 99999999999999999999}', "'a' is not a whole number"),
        (b"{}", "it has no 'a'"),
        (b'{"a": 1, "seal": "f"}', "checksum is wrong"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_json_that_is_not_what_was_written_is_named(text, why):
    with pytest.raises(ValueError, match="folder/file.json is damaged: ") as raised:
        stored.parse(text, NOWHERE, {"a": int}, "put it back")
    (said,) = str(raised.value).splitlines()
    assert why in said and said.endswith("; put it back")


@pytest.mark.parametrize(
    ("text", "why"),
    [(b"\n<!doctype html>", "a web page"), (b"version https://git-lfs.x\n", "a git-LFS pointer")],
)
def test_json_that_was_not_downloaded_is_said_to_be_that(text, why):
    with pytest.raises(ValueError, match=f"folder/file.json: {why}, not"):
        stored.parse(text, NOWHERE)


def test_a_sealed_value_is_read_in_any_layout_and_not_after_a_change():
    value = {"b": [1, 2.5, None, "é"], "a": {"x": 1e-300}}
    text = json.dumps(stored.sealed(value))
    read = lambda text: stored.parse(text.encode(), NOWHERE)
    assert read(json.dumps(json.loads(text), indent=3, sort_keys=True)) == stored.sealed(value)
    assert read(json.dumps(value)) == value  # an older version sealed nothing
    with pytest.raises(ValueError, match="checksum is wrong"):
        read(text.replace("2.5", "2.6"))


@pytest.mark.parametrize(
    "value, shape, wrong",
    [
        (1, object, ""),
        (True, int, "it is not a whole number"),
        (None, stored.NUMBER, ""),
        ("1", stored.NUMBER, "it is not a number: '1'"),
        ([1, "x"], [int], "it[1] is not a whole number: 'x'"),
        ({"a": None}, {"a?": (str, type(None))}, ""),
        ({}, {"a?": str}, ""),
        ({"b": 1}, {...: int}, ""),
        ({"b": []}, {"a?": str, ...: int}, "'b' is not a whole number"),
    ],
)
def test_a_shape_says_where_a_value_differs(value, shape, wrong):
    assert stored.misfit(value, shape) == wrong


PACKED = gzip.compress(b'{"event": "train"}\n' * 9)


@pytest.mark.promise("Damage: what is unpacked is bounded")
@pytest.mark.parametrize(
    "text, why",
    [
        (b"no gzip", "Not a gzipped file"),
        (PACKED[:20], "ended before"),
        (PACKED[:-5] + b"xxxxx", "CRC|length"),
        (gzip.compress(b" " * 2_000_000), "unpacks to more than 1,048,576 bytes"),
        (gzip.compress(b'{"event": "train"}\n' * 100_000), "unpacks to more than 1,048,576 bytes"),
    ],
    ids=["no gzip", "cut", "sum", "one long line", "many lines"],
)
def test_a_packed_log_is_unpacked_within_a_bound(text, why):
    with pytest.raises(ValueError, match=f"events.jsonl.gz is damaged: .*({why})"):
        list(stored.lines(text, Path("events.jsonl.gz")))


def archive(*members):
    """An .npz file with these (name, bytes)."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, text in members:
            opened.writestr(name, text)
    return file.getvalue()


def member(value, shape=None):
    """The bytes of an .npy file whose header may give a wrong shape."""
    file = io.BytesIO()
    np.lib.format.write_array(file, value)
    text = file.getvalue()
    return text if shape is None else text.replace(str(value.shape).encode(), str(shape).encode())


ARRAYS = {
    "empty": b"",
    "no archive": b"PK\x03\x04 but no more",
    "cut": archive(("a.npy", member(np.arange(9))))[:-30],
    "not an array": archive(("a.npy", b"text")),
    "no header": archive(("a.npy", b"\x93NUMPY\x01\x00\x76\x00{'descr': }")),
    "header of nonsense": archive(("a.npy", member(np.arange(9)).replace(b"(9,)", b"(9,+"))),
    "a shape of terabytes": archive(("a.npy", member(np.zeros(9), (10**12,)))),
    "a negative shape": archive(("a.npy", member(np.zeros(9), (-9,)))),
    "a pickle": archive(("a.npy", b"\x93NUMPY\x01\x00\x36\x00{'descr': '|O', 'fortran_order': "
                         b"False, 'shape': (1,)}\n.")),
    "much from little": archive(("a.npy", member(np.zeros(300_000)))),
    "no such name": archive(("b.npy", member(np.arange(9)))),
}  # fmt: skip


@pytest.mark.promise("Damage: what is unpacked is bounded")
@pytest.mark.parametrize("text", ARRAYS.values(), ids=ARRAYS)
def test_arrays_of_any_form_are_refused_in_one_line(tmp_path, monkeypatch, text):
    monkeypatch.setattr(files, "UNPACKED", 1_000_000)
    path = written(tmp_path, text, "x.npz")
    for given in (None, text):
        with pytest.raises(ValueError, match="x.npz is damaged: ") as raised:
            stored.read_arrays(path, given, ("a",))
        assert len(str(raised.value).splitlines()) == 1


def test_intact_arrays_and_lines_are_read():
    text = archive(("a.npy", member(np.arange(9))))
    assert stored.read_arrays(NOWHERE, text, ("a",))["a"].tolist() == list(range(9))
    assert [*stored.lines(PACKED, Path("x.gz"))] == [b'{"event": "train"}\n'] * 9
    assert [*stored.lines(b"a\nb", Path("x"))] == [b"a\n", b"b"]
    assert [*stored.lines(b"", Path("x.gz"))] == []
