"""A checkpoint is complete or absent, and no damage to one goes unnoticed."""

import errno
import json
import os
import pickle
import shutil
import stat
import subprocess
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import Bomb

from birdiedna.cli import main
from birdiedna.training import checkpoint, pretrain, run_folder

TREE = {"a": jnp.arange(6.0).reshape(2, 3), "b": (jnp.int32(7), jnp.ones(3, jnp.bfloat16))}
HOST = {"history": np.arange(5)}
FACTS = {"config": "c0ffee", "data": "ab12"}


def saved(folder, *steps):
    return [checkpoint.save(folder, step, TREE, HOST, FACTS) for step in steps]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def equal(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def test_every_bit_and_every_fact_comes_back(tmp_path):
    assert next(checkpoint.intact(tmp_path / "none"), None) is None
    (path,) = saved(tmp_path, 4)
    facts = {"format": 1, "step": 4, **FACTS}
    assert next(checkpoint.intact(tmp_path), None) == (path, 4, facts)
    assert json.loads((path / "facts.json").read_text()) == facts
    assert equal(checkpoint.restore(path, TREE), TREE)
    assert checkpoint.host(path)["history"].tolist() == [0, 1, 2, 3, 4]


def test_only_the_newest_checkpoints_stay(tmp_path):
    saved(tmp_path, 2, 4, 16)
    assert names(tmp_path) == ["16", "4"]
    checkpoint.save(tmp_path, 20, TREE, HOST, FACTS, keep=1)
    assert names(tmp_path) == ["20"]


def flip(path):
    file = path / "state.npz"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    return file


def empty(path):
    shutil.rmtree(path)
    path.mkdir()
    (path / "SHA256SUMS").touch()


def of_orbax(path):
    """What versions before the first release wrote, intact."""
    (path / "state").mkdir()
    (path / "state.npz").rename(path / "state" / "array")
    sums = path / "SHA256SUMS"
    sums.write_text(sums.read_text().replace("state.npz", "state/array"))


DAMAGES = {
    "another format": of_orbax,
    "a flipped bit": flip,
    "a foreign file": lambda path: (path / "more").write_text("x"),
    "empty checksums": lambda path: (path / "SHA256SUMS").write_text(""),
    "nothing but empty checksums": empty,
}


@pytest.mark.parametrize("refused", [stat.S_ISDIR, stat.S_ISREG])
def test_a_file_system_that_flushes_no_folders_keeps_checkpoints(tmp_path, monkeypatch, refused):
    """Such as a shared folder of VirtualBox; a file that cannot be flushed is an error."""

    def fsync(handle):
        if refused(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(checkpoint.os, "fsync", fsync)
    if refused is stat.S_ISREG:
        with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
            saved(tmp_path, 4)
    else:
        assert not checkpoint.problems(*saved(tmp_path, 4))


@pytest.mark.promise("Damage: a damaged checkpoint is named and the newest intact one is used")
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_named_and_the_newest_intact_checkpoint_is_used(tmp_path, caplog, damage):
    older, newer = saved(tmp_path, 4, 8)
    damage(newer)
    assert checkpoint.problems(newer) and not checkpoint.problems(older)
    found = next(checkpoint.intact(tmp_path), None)
    assert found.step == 4 and equal(checkpoint.restore(found.path, TREE), TREE)
    assert f"{newer} is damaged" in caplog.text
    flip(older)
    assert next(checkpoint.intact(tmp_path), None) is None


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    tree = {"a": jnp.arange(600.0), "b": jnp.ones((7, 5), jnp.bfloat16)}
    return checkpoint.save(tmp_path_factory.mktemp("intact"), 4, tree, HOST, FACTS)


@pytest.mark.promise("Damage: a damaged checkpoint is named and the newest intact one is used")
@settings(max_examples=64)
@given(st.data())
def test_every_flipped_bit_truncation_or_missing_file_is_found(intact, tally, data):
    file = data.draw(st.sampled_from([p for p in sorted(intact.rglob("*")) if p.is_file()]))
    whole = file.read_bytes()
    kind = data.draw(st.sampled_from(["flip", "truncate", "remove"]))
    at = data.draw(st.integers(0, max(len(whole) - 1, 0)))
    try:
        if kind == "remove":
            file.unlink()
        elif not whole:
            file.write_bytes(b"x")
        elif kind == "truncate":
            file.write_bytes(whole[:at])
        else:
            bit = 1 << data.draw(st.integers(0, 7))
            file.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
        found = checkpoint.problems(intact)
        tally("damages detected", bool(found))
        assert found and next(checkpoint.intact(intact.parent), None) is None
    finally:
        file.write_bytes(whole)
    assert not checkpoint.problems(intact)


@pytest.mark.promise("Damage: `birdiedna checkpoint verify` finds what a load would find")
def test_verify_names_every_checkpoint_and_fails_on_damage_or_without_one(tmp_path, capsys):
    older, newer = saved(tmp_path / "checkpoints", 4, 8)
    (newer / ".DS_Store").write_text("what a Mac adds is no damage")
    verify = ["checkpoint", "verify", str(tmp_path)]
    intact = [f"{path}: every file is intact" for path in (older, newer)]
    assert main.main(verify) == 0
    assert capsys.readouterr().out.splitlines() == intact
    assert main.main([*verify, str(tmp_path / "no\nne")]) == 1
    said = capsys.readouterr()
    assert f"{tmp_path / 'no'}\\nne: no checkpoint; give a run folder, or" in said.err
    assert said.out.splitlines() == intact
    name = flip(newer).relative_to(newer)
    assert main.main(verify) == 1
    good, bad = capsys.readouterr().out.splitlines()
    assert good == intact[0] and f"{newer}: {name} is not as it was saved" in bad


@pytest.mark.promise("Damage: a damaged checkpoint is named and the newest intact one is used")
def test_an_empty_step_and_an_unfinished_save_are_skipped(tmp_path, caplog):
    assert checkpoint.resumable(tmp_path) is None
    folder = tmp_path / "checkpoints"
    saved(folder, 4)
    (folder / "8").mkdir()
    (folder / "12.tmp").mkdir()
    assert next(checkpoint.intact(folder), None).step == 4
    assert "SHA256SUMS is missing: the checkpoint was never finished" in caplog.text
    with pytest.raises(ValueError, match="damaged"):  # by its log, which is absent
        checkpoint.resumable(tmp_path)
    assert "12.tmp was not finished and is not used" in caplog.text
    saved(folder, 12)
    assert next(checkpoint.intact(folder), None).step == 12 and names(folder) == ["12", "4"]


@pytest.mark.promise("Damage: a damaged checkpoint is named and the newest intact one is used")
def test_a_save_removes_damaged_checkpoints_before_intact_ones(tmp_path):
    for path in saved(tmp_path, 20, 60, 80)[1:]:
        flip(path)
    saved(tmp_path, 20)  # an intact copy put back by hand
    (tmp_path / "999").mkdir()
    saved(tmp_path, 40)
    assert names(tmp_path) == ["20", "40"]
    flip(tmp_path / "40")
    saved(tmp_path, 60)
    assert names(tmp_path) == ["20", "60"]


@pytest.mark.promise("Damage: a damaged checkpoint is named and the newest intact one is used")
@pytest.mark.parametrize("harm", [lambda text: text[:-9], lambda text: text[:-9] + b"1" * 9])
def test_a_checkpoint_whose_log_lost_lines_is_skipped(tmp_path, caplog, harm):
    for step in (4, 8):
        run_folder.append(tmp_path, {"event": "train", "step": step})
        facts = FACTS | run_folder.log_facts(tmp_path)
        checkpoint.save(tmp_path / "checkpoints", step, TREE, HOST, facts)
    assert checkpoint.resumable(tmp_path).step == 8
    log = tmp_path / "events.jsonl"
    log.write_bytes(harm(log.read_bytes()))
    assert checkpoint.resumable(tmp_path).step == 4
    assert "8: the log has lost lines" in caplog.text
    log.unlink()
    with pytest.raises(ValueError, match=r"every checkpoint .* is damaged \(steps 8, 4\)"):
        checkpoint.resumable(tmp_path)


@pytest.mark.promise("Damage: other shapes, types or names are refused with the differences")
@pytest.mark.parametrize(
    ("like", "message"),
    [
        (TREE | {"a": jnp.zeros((3, 3))}, r"\['a'\]: stored \(\(2, 3\).*wanted \(\(3, 3\)"),
        (TREE | {"a": jnp.zeros((2, 3), jnp.int32)}, "stored .*'float32'.*wanted .*'int32'"),
        (TREE | {"c": jnp.zeros(1)}, r"\['c'\]: stored None"),
        ({"a": TREE["a"]}, "2 arrays differ"),
    ],
)
def test_other_shapes_types_and_names_are_refused_with_the_difference(tmp_path, like, message):
    (path,) = saved(tmp_path, 4)
    with pytest.raises(ValueError, match=message):
        checkpoint.restore(path, like)


@pytest.mark.promise("Runs: a full disk is reported in bytes and harms nothing that was saved")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_failed_save_leaves_the_earlier_checkpoints_and_nothing_else(
    tmp_path, monkeypatch, number
):
    saved(tmp_path, 4)

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(checkpoint.np, "savez", fail)
    with pytest.raises(OSError, match="bytes are needed, .* are free.*step 8 was.*steps 4 stay"):
        saved(tmp_path, 8)
    assert names(tmp_path) == ["4"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    try:
        refused = subprocess.run(mount, capture_output=True).returncode
    except OSError:
        refused = True
    if refused:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.promise("Runs: a full disk is reported in bytes and harms nothing that was saved")
@pytest.mark.parametrize("numbers", [100_000, 700_000])
def test_a_full_disk_is_reported_in_bytes_and_harms_nothing(small_disk, numbers):
    (path,) = saved(small_disk, 4)
    (small_disk / "other").write_bytes(b"x" * 1_500_000)
    rng = np.random.default_rng(0)
    with pytest.raises(OSError, match="bytes are needed, .* are free"):
        for step in (8, 12, 16, 20):
            tree = {"a": jnp.asarray(rng.random(numbers, np.float32))}
            checkpoint.save(small_disk, step, tree, {}, FACTS, keep=9)
    assert not checkpoint.problems(path) and equal(checkpoint.restore(path, TREE), TREE)
    assert not list(small_disk.glob("*.tmp"))


@pytest.mark.promise("Runs: a full disk is reported in bytes and harms nothing that was saved")
def test_a_disk_too_small_for_a_checkpoint_is_refused_before_training(small_disk):
    checkpoint.check_room(small_disk, TREE)
    with pytest.raises(
        OSError, match="5,448,576 bytes are needed, 3,145,728 are free; nothing was"
    ):
        checkpoint.check_room(small_disk, {"a": jnp.zeros(1_000_000)})


@pytest.mark.promise("Damage: a crafted file is refused in one line, whatever its checksums say")
@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("losses", np.zeros(3, np.float32)),
        ("ratios", np.array(["a", "b"])),
        ("share", np.zeros(4)),
        ("read", np.float32(1)),
        ("intervals", np.zeros(6, np.int64)),
    ],
)
def test_an_array_that_no_such_run_saved_is_named(tmp_path, name, array):
    usual = {"losses": np.zeros(2, np.float32), "ratios": np.zeros(2, np.float32)}
    usual |= {
        "share": np.zeros((2, 2)),
        "read": np.zeros(2, int),
        "intervals": np.zeros((0, 2), int),
    }
    wrong = partial(pretrain._unlike, usual)
    longer = {**usual, "intervals": np.zeros((5, 2), int)}
    path = checkpoint.save(tmp_path, 4, TREE, longer, FACTS)
    assert checkpoint.host(path, *usual, wrong=wrong).keys() == usual.keys()
    path = checkpoint.save(tmp_path, 8, TREE, {**usual, name: array}, FACTS)
    with pytest.raises(ValueError, match=f"host.npz is damaged: '{name}' is .*; use an older"):
        checkpoint.host(path, *usual, wrong=wrong)


@pytest.mark.promise("Security: no file is unpickled or run as code")
def test_pickles_in_a_checkpoint_execute_nothing(tmp_path):
    (path,) = saved(tmp_path, 4)
    target = tmp_path / "harm"
    np.savez(path / "host.npz", history=np.array([Bomb(target)], object))
    assert checkpoint.problems(path)
    with pytest.raises(ValueError, match="allow_pickle"):
        checkpoint.host(path)
    (path / "state.npz").write_bytes(pickle.dumps(Bomb(target)))
    with pytest.raises(ValueError, match="state.npz is damaged"):
        checkpoint.restore(path, TREE)
    assert not target.exists()
