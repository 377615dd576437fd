"""A folder is written by one process, appears whole or not at all, and leaves nothing beside it."""

from threading import Event, Thread

import pytest

from birdiedna.data import files


def test_a_folder_is_whole_or_absent_and_what_a_kill_left_is_removed(tmp_path):
    (tmp_path / ".x.tmp" / "left").mkdir(parents=True)
    for place in ("x", "new/folders/x"):
        with pytest.raises(KeyError), files.whole(tmp_path / place) as folder:
            (folder / "file").touch()
            raise KeyError
        assert not list(tmp_path.iterdir())
    with files.whole(tmp_path / "x") as folder:
        assert not list(folder.iterdir())
        (folder / "file").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["x", "file"]


def test_hidden_files_as_of_a_mac_are_in_no_listing_below_a_hidden_folder_either(tmp_path):
    for name in (".cache/b/c", ".cache/a", ".cache/b/._c", ".cache/.DS_Store", ".cache/.x/d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [*files.sums(tmp_path / ".cache")] == ["a", "b/c"]


def test_a_second_process_is_refused_and_harms_nothing(tmp_path):
    with files.whole(tmp_path / "x") as folder:
        (folder / "file").touch()
        with (
            pytest.raises(ValueError, match="x: another process is writing it; wait"),
            files.whole(tmp_path / "x"),
        ):
            pytest.fail("two processes write one folder")
        assert (folder / "file").exists()
    assert (tmp_path / "x" / "file").exists()
    with pytest.raises(OSError, match="not empty"), files.whole(tmp_path / "x"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_folder_that_replaced_a_moved_one_is_not_removed(tmp_path):
    with files.scratch(tmp_path / "a", tmp_path):
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "a").mkdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_folder_of_one_process_begins_empty_and_ends_with_it(tmp_path):
    own = tmp_path / "own"
    (own / "left").mkdir(parents=True)
    (own / "file").touch()
    (own / "link").symlink_to(tmp_path)
    with files.scratch(own, tmp_path):
        assert not [*own.iterdir()]
        (own / "new").touch()
    assert not [*tmp_path.iterdir()]


def test_a_link_at_the_place_of_a_temporary_does_not_lose_what_it_leads_to(tmp_path):
    (kept := tmp_path / "kept").mkdir()
    (kept / "file").write_text("mine")
    (tmp_path / "own").symlink_to(kept)
    with files.scratch(tmp_path / "own", tmp_path):
        assert not [*(tmp_path / "own").iterdir()]
    (tmp_path / "x.tmp").symlink_to(kept / "file")
    with files.replacing(tmp_path / "x") as temporary:
        temporary.write_text("other")
    assert (kept / "file").read_text() == "mine" and not (tmp_path / "x").is_symlink()


def test_of_two_writers_of_a_file_one_waits_and_each_writes_it_whole(tmp_path):
    begun, path = Event(), tmp_path / "x"

    def second():
        begun.set()
        with files.replacing(path) as temporary:
            assert path.read_text() == "first"
            temporary.write_text("second")

    other = Thread(target=second)
    with files.replacing(path) as temporary:
        other.start()
        temporary.write_text("fir")
        assert begun.wait(10)
        other.join(0.1)
        assert other.is_alive() and temporary.read_text() == "fir"
        temporary.write_text("first")
    other.join(10)
    assert path.read_text() == "second" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(KeyError), files.replacing(path) as temporary:
        temporary.write_text("third")
        raise KeyError
    assert path.read_text() == "second" and list(tmp_path.iterdir()) == [path]
