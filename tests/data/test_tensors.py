"""Safetensors files round-trip bit for bit; other files are refused in one line."""

import errno
import json
import os
import pickle
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from birdiedna.data import files, tensors

ARRAYS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.array([1.5, -2], jnp.bfloat16),
    "scalar": np.float16(3).reshape(()),
}


def test_arrays_come_back_bit_for_bit_with_their_metadata(tmp_path):
    tensors.write(tmp_path / "x", ARRAYS, {"format": "pt"})
    found, metadata = tensors.read(tmp_path / "x")
    assert metadata == {"format": "pt"} and found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


@pytest.mark.promise("Runs: a full disk is reported in bytes and harms nothing that was saved")
@pytest.mark.parametrize("writing", [files.replacing, files.whole])
def test_a_disk_that_is_full_is_named_by_what_is_written(tmp_path, writing):
    with pytest.raises(OSError) as caught, writing(tmp_path / "x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(tmp_path / "x") and not [*tmp_path.iterdir()]


def test_the_bytes_are_those_of_the_format(tmp_path):
    tensors.write(tmp_path / "x", {"a": ARRAYS["b"]}, {})
    raw = (tmp_path / "x").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    said = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    assert json.loads(raw[8 : 8 + length]) == {"__metadata__": {}, "a": said}
    assert length % 8 == 0 and raw[8 + length :] == ARRAYS["b"].tobytes()


def test_every_length_of_header_is_read(tmp_path):
    for padding in range(0, 300, 8):  # 128 begins as a pickle does
        tensors.write(tmp_path / "x", {"a": ARRAYS["b"]}, {"format": "p" * padding})
        assert np.array_equal(tensors.read(tmp_path / "x")[0]["a"], ARRAYS["b"])


def file(header, data=b"\0" * 8):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(begin, end, shape, kind="F32"):
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.promise("Bad input: a weights file that is a pickle, cut short or damaged is refused")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is damaged"),
        (b"\xff" * 20, "length of its header"),
        (pickle.dumps({"a": 1}), "a pickle, .* never opened"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-LFS pointer, .* run `git lfs pull`"),
        (b"\n<html>", "a web page, not safetensors data"),
        (file(b"[1, 2]"), "not an object"),
        (file(b"\xff\xfe"), "is damaged"),
        (file(b"[" * 100_000), "is damaged"),
        (file(b'{"a": {}, "a": {}}'), "occurs twice"),
        (file({"a": entry(0, 8, [2], "I64")}), "'a' is of type I64; convert it to F32 or F16 or"),
        (file({"a": entry(0, 8, [3])}), "do not match the size of 'a'"),
        (file({"a": entry(0, 8, [-1, -2])}), "do not match the size of 'a'"),
        (file({"a": entry(0, 4, [1]), "b": entry(0, 4, [1])}), "do not match the size of"),
        (file({"a": entry(0, 4, [1])}), "8 bytes of data, its header says 4"),
        (file({"a": entry(0, 8, [2])}, b"\0" * 7), "7 bytes of data, its header says 8"),
        (file({"a": 3}), "'a' is not an object"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, content, said):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=said) as error:
        tensors.read(tmp_path / "x")
    assert str(tmp_path / "x") in str(error.value) and "\n" not in str(error.value)


def test_an_archive_of_a_pickle_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "pytorch_model.bin", "w") as archive:
        archive.writestr("data.pkl", pickle.dumps([1]))
    with pytest.raises(ValueError, match="never opened"):
        tensors.read(tmp_path / "pytorch_model.bin")


def sharded(folder, **changed):
    for name in ("a", "b"):
        tensors.write(folder / f"{name}.safetensors", {name: ARRAYS[name]}, {})
    tensors.write(folder / "both.safetensors", ARRAYS, {})
    index = {"weight_map": {"a": "a.safetensors", "b": "b.safetensors"} | changed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_the_parts_of_a_sharded_model_are_put_together(tmp_path):
    sharded(tmp_path)
    arrays, files = tensors.read_folder(tmp_path)
    assert {name: array.shape for name, array in arrays.items()} == {"a": (2,), "b": (2, 3)}
    assert [file.name for file in files] == ["a.safetensors", "b.safetensors"]
    tensors.write(tmp_path / "model.safetensors", {"c": ARRAYS["a"]}, {})
    assert [*tensors.read_folder(tmp_path)[0]] == ["c"]  # transformers reads no index beside it


@pytest.mark.promise("Bad input: a weights file that is a pickle, cut short or damaged is refused")
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"b": "c.safetensors"}, "c.safetensors is missing"),
        ({"b": "a.safetensors"}, "a.safetensors has no 'b'"),
        ({"b": "../b.safetensors"}, "in another folder"),
        ({"a": "b.safetensors"}, "b.safetensors has no 'a'"),
        ({"a": "both.safetensors"}, "both.safetensors also has 'b'"),
        ({"b": 3}, "index.json is damaged"),
    ],
)
def test_an_index_that_contradicts_its_parts_is_refused(tmp_path, changed, said):
    (tmp_path / "m").mkdir()
    sharded(tmp_path / "m", **changed)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        tensors.read_folder(tmp_path / "m")


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model.safetensors; give its folder"):
        tensors.read_folder(tmp_path)
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(FileNotFoundError, match="pickles are never opened: convert them to it"):
        tensors.read_folder(tmp_path)
