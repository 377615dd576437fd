"""Archives are unpacked into their own folder, whole or not at all."""

import zipfile
from pathlib import Path

import pytest
from fetching import entry, fetch
from misbehaving import Play, served

from birdiedna import tasks
from birdiedna.data import cache


@pytest.fixture
def server():
    with served() as found:
        yield found


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BIRDIEDNA_CACHE", str(tmp_path / "cache"))


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


BENCHMARK = {
    f"cohn/{part}/{label}/{i}.txt": b"ACGT" * 20
    for part in ("train", "test")
    for label in ("negative", "positive")
    for i in range(3)
}


def archived(tmp_path: Path, layout: str, **files: bytes) -> Path:
    made = entry(path="cohn_v0.zip", kind="tasks", layout=layout)
    return fetch(made, from_file=zipped(tmp_path / "cohn_v0.zip", **files))


def test_an_archive_is_unpacked_once_as_it_lies(tmp_path, server):
    url = server.at("/z", Play(zipped(tmp_path / "z.zip", **BENCHMARK).read_bytes()))
    made = entry(url, path="cohn_v0.zip", kind="tasks", layout="folders")
    folder = fetch(made)
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.txt")} == set(BENCHMARK)
    mark = (folder / "cohn").stat().st_ino
    assert fetch(made) == folder and (folder / "cohn").stat().st_ino == mark
    assert not list(folder.glob(".unpacking*"))


def test_an_official_set_is_read_as_it_was_fetched_and_counted(tmp_path, caplog):
    files = {name.replace("cohn", "human_enhancers_cohn", 1): BENCHMARK[name] for name in BENCHMARK}
    mine = zipped(tmp_path / "mine.zip", **files)
    folder = fetch("human_enhancers_cohn", from_file=mine)
    assert cache.located("human_enhancers_cohn") == folder
    loaded = tasks.read(tasks.find(folder, "human_enhancers_cohn"))
    assert loaded.train.labels.tolist() == [0] * 3 + [1] * 3
    assert "human_enhancers_cohn, train: 6 rows, expected 20,843" in caplog.text


def test_another_archive_is_refused_and_does_not_stand_in_the_way(tmp_path):
    mine = zipped(tmp_path / "mine.zip", **BENCHMARK)
    with pytest.raises(ValueError, match=r"holds \['cohn'\], not human_enhancers_cohn"):
        fetch("human_enhancers_cohn", from_file=mine)
    files = {name.replace("cohn", "human_enhancers_cohn", 1): BENCHMARK[name] for name in BENCHMARK}
    assert fetch("human_enhancers_cohn", from_file=zipped(tmp_path / "mine.zip", **files)).is_dir()


def test_sets_that_an_archive_lacks_are_named(tmp_path, caplog):
    rows = b"sequence,label\nACGT,0\nACGG,1\n"
    files = {f"GUE/tf/{i}/{part}.csv": rows for i in range(5) for part in ("train", "test")}
    assert len(tasks.names(fetch("GUE", from_file=zipped(tmp_path / "my.zip", **files)))) == 5
    assert "GUE: 23 tasks are not in the archive: EMP_H3, EMP_H3K14ac" in caplog.text


def test_sets_of_groups_become_folders_of_their_own(tmp_path):
    rows = b"sequence,label\nACGT,0\nACGG,1\n"
    files = {
        f"GUE/{name}/{part}.csv": rows
        for name in ("EMP/H3", "tf/0", "mouse/0")
        for part in ("train", "dev", "test")
    }
    folder = archived(
        tmp_path, "sets", **files, **{"GUE/.DS_Store": b"x", "__MACOSX/a/b/train.csv": b""}
    )
    assert tasks.names(folder) == ["EMP_H3", "mouse_0", "tf_0"]
    assert (folder / "tf_0" / "dev.csv").read_bytes() == rows


@pytest.mark.promise("Security: archives are unpacked into their own folder, or refused")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../evil.txt", "would be outside"),
        ("cohn/../../evil.txt", "would be outside"),
        ("/tmp/evil.txt", "would be outside"),
        ("cohn\\..\\evil.txt", "a name of no file"),
        ("C:/evil.txt", "a name of no file"),
        ("cohn/a\nb.txt", "a name of no file"),
        ("cohn/" + "x" * 300, "a name of no file"),
    ],
)
def test_members_outside_the_folder_are_refused(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        archived(tmp_path, "folders", **BENCHMARK, **{name: b"x"})
    assert not [p for p in tmp_path.rglob("*") if p.is_dir() and p.name == "cohn"]
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.promise("Security: archives are unpacked into their own folder, or refused")
def test_links_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "cohn_v0.zip", "w") as made:
        link = zipfile.ZipInfo("cohn/train/link")
        link.external_attr = 0o120777 << 16
        made.writestr(link, "/etc")
    with pytest.raises(ValueError, match="is a link or device"):
        fetch(
            entry(path="cohn_v0.zip", kind="tasks", layout="folders"),
            from_file=tmp_path / "cohn_v0.zip",
        )


@pytest.mark.promise("Security: archives are unpacked into their own folder, or refused")
def test_a_bomb_is_refused(tmp_path):
    with pytest.raises(ValueError, match="more than 100 times its size"):
        archived(tmp_path, "folders", **{"cohn/train/a": b"\0" * 3_000_000})


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_place_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "cohn_v0.zip", "w") as made:
        made.writestr("cohn/a.txt", "x")
        made.writestr("cohn/a.txt", "y")
    with pytest.raises(ValueError, match="two members are to become cohn/a.txt"):
        archive_of(tmp_path)
    with zipfile.ZipFile(tmp_path / "cohn_v0.zip", "w") as made:
        made.writestr("cohn/a", "x")
        made.writestr("cohn/a/b", "y")
    with pytest.raises(ValueError, match="two members are to become cohn/a/b"):
        archive_of(tmp_path)


def archive_of(tmp_path: Path) -> Path:
    made = entry(path="cohn_v0.zip", kind="tasks", layout="folders")
    return fetch(made, from_file=tmp_path / "cohn_v0.zip")


@pytest.mark.promise("Security: archives are unpacked into their own folder, or refused")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_archive_leaves_no_folder(tmp_path, share):
    whole = zipped(tmp_path / "whole.zip", **BENCHMARK).read_bytes()
    (tmp_path / "cohn_v0.zip").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match="no readable zip"):
        archive_of(tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.is_dir() and p.name == "cohn"]


@pytest.mark.promise("Security: archives are unpacked into their own folder, or refused")
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_cannot_be_unpacked_does_not_stand_in_the_way(tmp_path, method):
    place = tmp_path / "cohn_v0.zip"
    with zipfile.ZipFile(place, "w", method) as made:
        made.writestr("cohn/a.txt", bytes(range(256)) * 40)
    sound = place.read_bytes()
    start = sound.index(b"a.txt") + 12
    place.write_bytes(sound[:start] + bytes(x ^ 255 for x in sound[start:90]) + sound[90:])
    with pytest.raises(ValueError, match="no readable zip"):
        archive_of(tmp_path)
    place.write_bytes(sound)
    assert (archive_of(tmp_path) / "cohn" / "a.txt").is_file()
