"""Cached files are complete and need no network; archives never unpack outside their folder."""

import gzip
import hashlib
import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fetching import BODY, FNA, cached, entry, nothing_is_accepted, sha256
from made_files import compress, written
from misbehaving import PAGE, Play, Server
from waiting import until

from birdiedna import tasks
from birdiedna.data import cache, catalog
from birdiedna.data.cache import fetch
from birdiedna.data.catalog import Entry, File

# The cache.


def shortened(path: Path) -> None:
    when = path.stat().st_mtime_ns
    path.write_bytes(BODY[:1000])
    os.utime(path, ns=(when, when))


@pytest.mark.promise("Bad input: a truncated, altered or wrong download is refused")
@pytest.mark.parametrize(
    ("change", "requests"),
    [
        (lambda path: None, 1),
        (lambda path: path.touch(), 1),
        (lambda path: path.write_bytes(BODY[:-2] + b"G\n"), 2),
        (shortened, 2),  # whatever its time
        (lambda path: path.with_name("my.fa.record.json").unlink(), 2),
    ],
)
def test_an_intact_cached_file_needs_no_network_another_is_fetched_again(server, change, requests):
    url = server.at("/my.fa", Play(BODY))
    path = fetch(entry(url))
    change(path)
    assert fetch(entry(url)) == path and path.read_bytes() == BODY
    assert len(server.asked) == requests


def test_a_checksum_that_is_pinned_later_is_required_of_cached_files(server):
    url = server.at("/my.fa", Play(BODY))
    fetch(entry(url))
    assert fetch(entry(url, md5=hashlib.md5(BODY).hexdigest())).exists()
    assert len(server.asked) == 1
    with pytest.raises(ValueError, match="md5 is"):
        fetch(entry(url, md5="0" * 32))


@pytest.mark.promise("Bad input: a truncated, altered or wrong download is refused")
@pytest.mark.parametrize("killed", [False, True])
def test_one_process_fetches_and_another_resumes_if_it_is_killed(server, tmp_path, caplog, killed):
    url = server.at("/my.fa", Play(BODY, cut=0.4, stalls=True), Play(BODY))
    program = "from birdiedna.data import cache, download; download.PAUSE_S = 0.01; "
    program += f"cache.fetch({url!r})"
    other = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    until(lambda: any(part.stat().st_size for part in (tmp_path / "cache").rglob("*.part")))
    with ThreadPoolExecutor(1) as pool:
        mine = pool.submit(fetch, url)
        until(lambda: "another process is fetching it; waiting" in caplog.text)
        if killed:
            other.kill()
        server.over.set()
        assert mine.result(20).read_bytes() == BODY
    assert (other.wait(20) == 0) is not killed, other.stderr.read()
    assert ["Range" in headers for headers in server.gets("/my.fa")] == [False, True]


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(OSError, match="is not writable .*; set BIRDIEDNA_CACHE"):
        fetch(entry("https://zenodo.org/x"))


# Files of this machine.


def test_a_given_file_is_copied_by_the_same_checks(server, tmp_path):
    mine = written(tmp_path, BODY, "some.name")
    path = fetch(entry(f"{server.base}/my.fa", sha256=sha256(BODY)), from_file=mine)
    assert path == cached(tmp_path) and path.read_bytes() == mine.read_bytes() == BODY
    assert not server.asked and fetch(entry(f"{server.base}/my.fa")) == path
    record = cached(tmp_path, "my.fa.record.json").read_text()
    assert "from file some.name" in record and str(tmp_path) not in record


def test_given_files_are_recognised_by_the_end_of_their_path(tmp_path):
    for part in ("train", "test"):
        written(tmp_path, FNA, f"mine/promoter_all/{part}.fna")
    folder = fetch("nt_revised", from_file=tmp_path / "mine", contigs=["promoter_all"])
    assert tasks.names(folder) == ["promoter_all"]
    assert fetch("nt_revised:promoter_all") == folder
    with pytest.raises(ValueError, match="34 files are missing, the first is prom"):
        fetch("nt_revised", from_file=tmp_path / "mine")
    with pytest.raises(ValueError, match="not a file of nt_revised; give promoter_all/tr"):
        fetch("nt_revised", from_file=Path(__file__))
    with pytest.raises(FileNotFoundError, match="nowhere: no such file"):
        fetch(entry(), from_file=tmp_path / "nowhere")


def test_an_entry_without_address_says_how_to_give_its_file():
    with pytest.raises(ValueError, match="GUE.zip; .*fetch GUE --from-file GUE.zip"):
        fetch("GUE")


@pytest.mark.promise("Bad input: a truncated, altered or wrong download is refused")
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: whole[: len(whole) * 2 // 5], "cut short"),
        (lambda whole: whole[:-4], "cut short"),
        (lambda whole: whole[:500] + b"\0" * 9 + whole[509:], "damaged"),
        (lambda whole: gzip.compress(PAGE), "a web page"),
        (lambda whole: gzip.compress(whole), "compressed twice"),
    ],
)
def test_gzip_data_without_a_pinned_checksum_are_checked_to_their_end(
    server, tmp_path, damage, message, given
):
    whole = compress(BODY, 1)
    url = server.at("/my.fa.gz", Play(damage(whole)), Play(whole))
    mine = written(tmp_path, damage(whole))
    with pytest.raises(ValueError, match=f"^{mine if given else url}: .*{message}"):
        fetch(entry(url, path="my.fa.gz"), from_file=mine if given else None)
    assert nothing_is_accepted(tmp_path)
    mine.write_bytes(whole)  # is not held against the damaged one
    path = fetch(entry(url, path="my.fa.gz"), from_file=mine if given else None)
    assert path.read_bytes() == whole


# Genomes by chromosomes.


def by_chromosome(server: Server, **bodies: str) -> Entry:
    """An entry with one file per contig, like those of UCSC."""
    files = []
    for name, text in bodies.items():
        url = server.at(f"/{name}.fa.gz", Play(gzip.compress(text.encode())))
        files.append(File(f"{name}.fa.gz", (url,)))
    return Entry("mine", "genome", "a test", tuple(files), "none", "none", choice=True)


def test_chosen_chromosomes_become_one_file_of_a_genome_that_has_several(server, tmp_path):
    made = by_chromosome(server, chr1=">chr1\nAC\n", chr2=">chr2\nGG\n", chrX=">chrX\nTT\n")
    path = fetch(made, contigs=["chrX", "chr1"])
    assert path.name == "mine.chr1+chrX.fa.gz"
    assert gzip.decompress(path.read_bytes()) == b">chr1\nAC\n>chrX\nTT\n"
    assert not server.gets("/chr2.fa.gz")
    assert fetch(made, contigs=["chr2"]).name == "chr2.fa.gz"
    assert gzip.decompress(fetch(made).read_bytes()).count(b">") == 3
    with pytest.raises(ValueError, match="mine has no 'chr9'; choose from chr1, chr2, chrX"):
        fetch(made, contigs=["chr9"])
    with pytest.raises(ValueError, match="chm13v2.0 is one file without parts"):
        fetch("chm13v2.0:chr1")


# From a text to a path.


def test_an_existing_path_is_that_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nt_revised").mkdir()
    assert cache.located("nt_revised") == Path("nt_revised")
    assert cache.located("nowhere.fa") == Path("nowhere.fa")
    assert cache.located("~/x.fa") == Path.home() / "x.fa"


def test_names_and_addresses_become_cached_files(server, tmp_path):
    url = server.at("/my.fa", Play(BODY))
    assert cache.located(url).read_bytes() == BODY
    mine = written(tmp_path, compress(b">chr1\nACGT\n"))
    path = fetch("chm13v2.0_noY", from_file=mine)
    assert cache.located("chm13v2.0_noY") == path
    made = catalog.named("chm13v2.0_noY")
    assert (cache.fetched(made), cache.is_intact(path, made.files[0])) == (1, True)


# Archives.


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
OFFICIAL = {f"human_enhancers_{name}": content for name, content in BENCHMARK.items()}


def test_an_archive_is_unpacked_once(tmp_path, server):
    url = server.at("/z", Play(zipped(tmp_path / "z.zip", **BENCHMARK).read_bytes()))
    made = entry(url, path="cohn_v0.zip", kind="tasks", layout="folders")
    folder = fetch(made)
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.txt")} == set(BENCHMARK)
    mark = (folder / "cohn").stat().st_ino
    assert fetch(made) == folder and (folder / "cohn").stat().st_ino == mark
    assert not list(folder.glob(".unpacking*"))


def test_another_archive_is_refused_and_the_official_one_is_read_as_it_was_fetched(tmp_path):
    mine = zipped(tmp_path / "mine.zip", **BENCHMARK)
    with pytest.raises(ValueError, match=r"contains cohn, not human_enhancers_cohn"):
        fetch("human_enhancers_cohn", from_file=mine)
    folder = fetch("human_enhancers_cohn", from_file=zipped(tmp_path / "mine.zip", **OFFICIAL))
    assert cache.located("human_enhancers_cohn") == folder
    loaded = tasks.read(tasks.find(folder, "human_enhancers_cohn"))
    assert loaded.train.labels.tolist() == [0] * 3 + [1] * 3


def test_sets_of_groups_become_folders_and_those_that_an_archive_lacks_are_named(tmp_path, caplog):
    rows = b"sequence,label\nACGT,0\nACGG,1\n"
    files = {
        f"GUE/{name}/{part}.csv": rows
        for name in ("EMP/H3", "tf/0", "mouse/0")
        for part in ("train", "dev", "test")
    }
    files |= {"GUE/.DS_Store": b"x", "__MACOSX/a/b/train.csv": b""}
    folder = fetch("GUE", from_file=zipped(tmp_path / "my.zip", **files))
    assert tasks.names(folder) == ["EMP_H3", "mouse_0", "tf_0"]
    assert (folder / "tf_0" / "dev.csv").read_bytes() == rows
    assert "GUE: 25 tasks are not in the archive: EMP_H3K14ac, EMP_H3K36me3" in caplog.text


def link() -> zipfile.ZipInfo:
    made = zipfile.ZipInfo("cohn/train/link")
    made.external_attr = 0o120777 << 16
    return made


@pytest.mark.promise("Security: archives are unpacked into their own folder, or refused")
@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("members", "message"),
    [
        (["../evil.txt"], "would be outside"),
        (["cohn/../../evil.txt"], "would be outside"),
        (["/tmp/evil.txt"], "would be outside"),
        (["cohn\\..\\evil.txt"], "not a file name"),
        (["C:/evil.txt"], "not a file name"),
        (["cohn/a\nb.txt"], "not a file name"),
        (["cohn/" + "x" * 300], "not a file name"),
        ([link()], "is a link or device"),
        (["cohn/a.txt", "cohn/a.txt"], "two members would become cohn/a.txt"),
        (["cohn/a", "cohn/a/b"], "two members would become cohn/a/b"),
        (["cohn/train/zeros"], "more than 100 times its size"),
    ],
)
def test_unsafe_archives_are_refused_and_leave_nothing(tmp_path, members, message):
    with zipfile.ZipFile(tmp_path / "cohn_v0.zip", "w", zipfile.ZIP_DEFLATED) as made:
        for member in members:
            made.writestr(member, b"\0" * 3_000_000 if "zeros" in str(member) else b"x")
    with pytest.raises(ValueError, match=message):
        archive_of(tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.name == "cohn" or "evil" in p.name]


def archive_of(tmp_path: Path) -> Path:
    made = entry(path="cohn_v0.zip", kind="tasks", layout="folders")
    return fetch(made, from_file=tmp_path / "cohn_v0.zip")


@pytest.mark.promise("Security: archives are unpacked into their own folder, or refused")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_cut_archive_leaves_no_folder(tmp_path, share):
    whole = zipped(tmp_path / "whole.zip", **BENCHMARK).read_bytes()
    (tmp_path / "cohn_v0.zip").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match="not a readable zip"):
        archive_of(tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.is_dir() and p.name == "cohn"]


@pytest.mark.promise("Security: archives are unpacked into their own folder, or refused")
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_is_refused_and_does_not_block_a_better_copy(tmp_path, method):
    place = tmp_path / "cohn_v0.zip"
    with zipfile.ZipFile(place, "w", method) as made:
        made.writestr("cohn/a.txt", bytes(range(256)) * 40)
    sound = place.read_bytes()
    start = sound.index(b"a.txt") + 12
    place.write_bytes(sound[:start] + bytes(x ^ 255 for x in sound[start:90]) + sound[90:])
    with pytest.raises(ValueError, match="not a readable zip"):
        archive_of(tmp_path)
    place.write_bytes(sound)
    assert (archive_of(tmp_path) / "cohn" / "a.txt").is_file()
