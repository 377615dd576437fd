"""A truncated, replaced, stalled or missing download never passes for a complete file."""

import hashlib
import json
import resource
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import urlsplit

import huggingface_hub.file_download  # before a test sets HF_ENDPOINT, which it reads now
import pytest
from fetching import BODY, FNA, cached, entry, nothing_is_accepted, sha256
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import compress, written
from misbehaving import PAGE, Play, served

from birdiedna.data import cache, catalog, download
from birdiedna.data.cache import fetch
from birdiedna.data.catalog import Entry, File, Hub

MD5 = hashlib.md5(BODY).hexdigest()

# One file, whole or not at all.


def test_a_cut_file_is_finished_from_where_it_was_cut(server, tmp_path):
    url = server.at("/my.fa", Play(BODY, cut=0.4), Play(BODY))
    assert fetch(entry(url)).read_bytes() == BODY
    first, second = server.gets("/my.fa")
    start = int(second["Range"].removeprefix("bytes=").removesuffix("-"))
    assert "Range" not in first and 0.3 * len(BODY) < start <= 0.4 * len(BODY)
    assert second["If-Range"] == f'"{MD5}"'
    assert not cached(tmp_path, "my.fa.part").exists()


@pytest.mark.parametrize(("least", "lines"), [(0, 10), (100_000, 3), (10**6, 0)])
def test_a_log_has_a_line_for_each_tenth_of_a_large_file(server, monkeypatch, capsys, least, lines):
    monkeypatch.setattr(download, "_LINE_BYTES", least)
    fetch(entry(server.at("/my.fa", Play(BODY))))
    said = capsys.readouterr().err.splitlines()
    assert len(said) in (lines, lines - 1) and all(f"of {len(BODY):,} bytes" in one for one in said)


def test_what_was_received_is_kept_when_the_server_keeps_cutting(server, tmp_path):
    url = server.at("/my.fa", Play(BODY, cut=0.4, ranges=False))
    with pytest.raises(
        ConnectionError,
        match=r"interrupted after [\d,]+ bytes; gave up after 3.* connection failed, not the file",
    ) as error:
        fetch(entry(url))
    size = cached(tmp_path, "my.fa.part").stat().st_size
    assert f"{size:,} bytes are kept" in str(error.value) and url in str(error.value)
    assert nothing_is_accepted(tmp_path)
    server.at("/my.fa", Play(BODY))
    assert fetch(entry(url)).read_bytes() == BODY
    assert server.gets("/my.fa")[-1]["Range"] == f"bytes={size}-"


def test_attempts_that_make_progress_are_not_counted(server):
    url = server.at("/my.fa", *[Play(BODY, cut=50_000)] * 5, Play(BODY))
    assert fetch(entry(url)).read_bytes() == BODY
    assert len(server.gets("/my.fa")) == 6


@pytest.mark.parametrize(
    ("later", "asked"),
    [
        ([Play(BODY[::-1])], [False, True]),  # a new version
        ([Play(BODY, ranges=False)], [False, True]),
        ([Play(BODY, sized="chunked")], [False, True]),
        ([Play(BODY[::-1], heedless=True)], [False, True, False]),  # the range of a new version
        ([Play(BODY[:-1000], heedless=True)], [False, True, False]),
        ([Play(BODY, shift=7), Play(BODY)], [False, True, False]),  # a range from another place
    ],
)
def test_the_end_of_one_version_never_follows_the_start_of_another(server, later, asked):
    url = server.at("/my.txt", Play(BODY, cut=0.4, sized=later[0].sized), *later)
    assert fetch(entry(url, path="my.txt")).read_bytes() == later[-1].body
    assert ["Range" in headers for headers in server.gets("/my.txt")] == asked


def test_the_part_of_one_mirror_is_not_resumed_from_another(server):
    first = server.at("/first.txt", Play(BODY, cut=0.4, ranges=False, mark="same"))
    second = server.at("/second.txt", Play(BODY[::-1], mark="same"))
    assert fetch(entry(first, second, path="my.txt")).read_bytes() == BODY[::-1]


def test_bytes_are_kept_as_they_are_sent(server):
    """Some servers declare a .gz file as text with a gzip content encoding."""
    body = compress(BODY, 1)
    url = server.at("/my.fa.gz", Play(body, headers=(("Content-Encoding", "gzip"),)))
    assert fetch(entry(url, path="my.fa.gz")).read_bytes() == body


@pytest.mark.parametrize("size", [0, 1, 100, len(BODY) - 1, len(BODY), len(BODY) + 1])
@pytest.mark.parametrize("note", [b"", b"[" * 10**5, b"\xff", b'{"url": "URL", "version": [1]}'])
def test_a_part_of_unknown_origin_is_not_resumed(server, tmp_path, size, note):
    url = server.at("/my.fa", Play(BODY))
    folder = cached(tmp_path).parent
    written(folder, b">x\n" + b"A" * size, "my.fa.part")
    if note:
        written(folder, note.replace(b"URL", url.encode()), "my.fa.part.json")
    assert fetch(entry(url)).read_bytes() == BODY
    assert "Range" not in server.gets("/my.fa")[0]


@pytest.mark.promise("Bad input: a truncated, altered or wrong download is refused")
@pytest.mark.parametrize(
    ("play", "message"),
    [
        (Play(BODY, sized=""), "does not send the file's size"),
        (Play(BODY, cut=0.4, stalls=True, ranges=False), "stalled for 0.5 s"),
    ],
)
def test_a_file_of_unknown_length_and_a_stalled_transfer_are_given_up(
    server, tmp_path, monkeypatch, play, message
):
    monkeypatch.setattr(download, "TIMEOUT_S", 0.5)
    with pytest.raises(OSError, match=message):
        fetch(entry(server.at("/my.fa", play)))
    assert nothing_is_accepted(tmp_path)
    assert cached(tmp_path, "my.fa.part").exists() == play.stalls


@pytest.mark.promise("Runs: a full disk is reported in bytes and harms nothing that was saved")
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("sized", ["length", "chunked"])
def test_a_full_disk_is_reported_in_bytes_and_no_file_is_accepted(server, tmp_path, given, sized):
    mine = written(tmp_path, BODY)
    url = server.at("/my.fa", Play(BODY, sized=sized))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(BODY) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large; [\d,]+ bytes are needed, [\d,]+ are"):
            fetch(entry(url), from_file=mine if given else None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert nothing_is_accepted(tmp_path)
    assert given is not cached(tmp_path, "my.fa.part").exists()  # a download resumes
    assert fetch(entry(url)).read_bytes() == BODY


def test_a_disk_without_room_is_reported_before_it_is_full(server, tmp_path, monkeypatch):
    url = server.at("/my.fa", Play(BODY))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match=rf"{len(BODY):,} bytes are needed, 1,000 are free"):
        fetch(entry(url))
    assert nothing_is_accepted(tmp_path)


def test_temporary_errors_of_the_server_are_retried(server, caplog):
    busy = [Play(b"busy", 500), Play(b"busy", 503)]
    url = server.at("/my.fa", *busy, Play(BODY))
    assert fetch(entry(url)).read_bytes() == BODY
    assert "HTTP 500 Internal Server Error; trying again in 0.001 s" in caplog.text
    assert "HTTP 503 Service Unavailable; trying again in 0.002 s" in caplog.text


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (404, FileNotFoundError, "/my.fa: HTTP 404 Not Found: the server does not have"),
        (403, OSError, "HTTP 403 Forbidden: the server refuses"),
    ],
)
def test_a_file_that_the_server_does_not_give_is_requested_once(server, status, kind, message):
    with pytest.raises(OSError, match=message) as error:
        fetch(entry(server.at("/my.fa", Play(b"no", status))))
    assert type(error.value) is kind and len(server.asked) == 1


def test_mirrors_are_tried_in_turn_and_all_named_when_all_fail(server):
    bad = server.at("/first", Play(PAGE))
    gone, good = f"{server.base}/gone", server.at("/good", Play(BODY))
    assert fetch(entry(bad, gone, good)).read_bytes() == BODY
    with pytest.raises(OSError, match="/first.*a web page.*/gone: HTTP 404"):
        fetch(entry(bad, gone, path="other.fa"))


@pytest.mark.promise("Bad input: a truncated, altered or wrong download is refused")
@settings(max_examples=25)
@given(
    cuts=st.lists(st.one_of(st.floats(0, 1), st.integers(0, 60_000)), max_size=5),
    ranges=st.booleans(),
    sized=st.sampled_from(["length", "chunked"]),
)
def test_wherever_it_is_cut_it_is_whole_or_there_is_no_file(tmp_path_factory, cuts, ranges, sized):
    body, folder = BODY[:60_000], tmp_path_factory.mktemp("cuts")
    with served() as server, pytest.MonkeyPatch.context() as patched:
        patched.setenv("BIRDIEDNA_CACHE", str(folder / "cache"))
        plays = [Play(body, cut=cut, ranges=ranges, sized=sized) for cut in cuts]
        url = server.at("/my.fa", *plays, Play(body, sized=sized))
        while True:
            try:
                path = fetch(entry(url))
            except ConnectionError:
                assert nothing_is_accepted(folder)
            else:
                break
    assert path.read_bytes() == body


# What is not the file.


@pytest.mark.promise("Bad input: a truncated, altered or wrong download is refused")
@pytest.mark.parametrize("given", [False, True], ids=["fetched", "given"])
@pytest.mark.parametrize(
    ("name", "body", "pins", "message"),
    [
        ("my.fa", PAGE, {}, "a web page, not FASTA"),
        ("my.fa.gz", PAGE, {}, "a web page, not gz data"),
        ("my.zip", PAGE, {}, "a web page, not zip data"),
        ("my.csv", b"\n " + PAGE, {}, "a web page, not csv data"),
        ("my.fa", b"version https://git-lfs.github.com/spec/v1\n", {}, "a git-LFS pointer"),
        ("my.fa", b"Not a FASTA file\n", {}, "FASTA starts with a `>name` line"),
        ("my.fa.gz", BODY, {}, "starts with 3e636872 and ends with"),
        ("my.parquet", b"PAR1" + b"\0" * 50, {}, "not a .parquet file"),
        ("my.zip", b"\0" * 50, {}, "not a .zip file"),
        ("my.safetensors", b"\x80\4\x95" + b"\0" * 50, {}, "not a .safetensors file"),
        ("my.safetensors", PAGE, {}, "a web page, not safetensors data"),
        ("my.fa", b"", {}, "the file is empty"),
        ("my.fa", BODY, {"bytes": 7}, rf"{len(BODY):,} bytes, expected 7"),
        ("my.fa", BODY, {"md5": "0" * 32}, f"md5 is {MD5}, expected {'0' * 32}"),
        ("my.fa", BODY, {"sha256": "0" * 64}, f"sha256 is {sha256(BODY)}, expected {'0' * 64}"),
    ],
)
def test_content_of_another_kind_size_or_checksum_is_refused(
    server, tmp_path, name, body, pins, message, given
):
    url, mine = server.at(f"/{name}", Play(body)), written(tmp_path, body)
    with pytest.raises(ValueError, match=message) as error:
        fetch(entry(url, path=name, **pins), from_file=mine if given else None)
    assert str(mine if given else url) in str(error.value) and "\n" not in str(error.value)
    assert nothing_is_accepted(tmp_path) and not cached(tmp_path, f"{name}.part").exists()
    assert mine.read_bytes() == body


def test_pinned_checksums_pass_and_the_first_one_is_recorded_and_required_later(server, tmp_path):
    url = server.at("/my.fa", Play(BODY))
    pins = {"bytes": len(BODY), "md5": MD5, "sha256": sha256(BODY)}
    assert fetch(entry(url, **pins)).read_bytes() == BODY
    record = json.loads(cached(tmp_path, "my.fa.record.json").read_text())
    assert (record["url"], record["bytes"], record["sha256"]) == (url, len(BODY), sha256(BODY))
    cached(tmp_path).unlink()
    server.at("/my.fa", Play(BODY + b"A\n"))
    with pytest.raises(ValueError, match=f"first download on {record['date']} is {sha256(BODY)}"):
        fetch(entry(url))
    cached(tmp_path, "my.fa.record.json").unlink()
    assert fetch(entry(url)).read_bytes() == BODY + b"A\n"


# Addresses.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_on_the_same_host(server, status):
    server.at("/there.fa", Play(BODY))
    url = server.at("/my.fa", Play(status=status, place="/there.fa"))
    assert fetch(entry(url)).read_bytes() == BODY


@pytest.mark.promise("Security: downloads are https from known hosts, also after redirects")
@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("https://files.example.org/my.fa", "host files.example.org is not an allowed host"),
        ("http://files.example.org/my.fa", "not an https address"),
        ("file:///etc/hostname", "not an https address"),
        ("//files.example.org/my.fa", "not an https address"),
        ("http://localhost:{port}/my.fa", "host localhost is not an allowed host"),
        ("https://x.org:99999/a.fa", "https://x.org:99999/a.fa .*: Port out of range"),
    ],
)
def test_redirects_to_other_hosts_are_refused_before_any_request(server, place, message):
    place = place.format(port=urlsplit(server.base).port)
    url = server.at("/my.fa", Play(status=302, place=place))
    with pytest.raises(ValueError, match=message) as error:
        fetch(entry(url))
    assert f"redirected from {url}" in str(error.value) and len(server.asked) == 1


def test_a_redirect_to_what_is_no_address_names_the_address_that_was_asked(server):
    url = server.at("/my.fa", Play(status=302, place="https://[::1"))
    with pytest.raises(ValueError, match=f"{url}: redirected to no address"):
        fetch(entry(url))


@pytest.mark.promise("Security: downloads are https from known hosts, also after redirects")
@pytest.mark.parametrize(
    ("url", "message"),
    [
        *((url, "not an https address") for url in ("file:///etc/passwd", "file:/etc/passwd")),
        *((url, "not an https address") for url in ("ftp://x.org/a", "http://x.org/a.fa")),
        *((f"{s}://me:secret@x.org/a", "without user name") for s in ("https", "http", "ftp")),
        *((f"{s}://me:secret@/a.fa", "without user name") for s in ("https", "http", "ftp")),
        ("https:///a.fa", "https:///a.fa: no host; give an address"),
        ("https://[::1/a.fa", r"https://\[::1/a.fa: Invalid IPv6 URL; give one like"),
        ("https://me:secret@x.org:port/a.fa", "x.org:port/a.fa: Port could not be cast"),
    ],
)
def test_addresses_that_must_not_be_asked_are_refused_without_their_passwords(url, message):
    for ask in (cache.fetch, cache.located):
        with pytest.raises(ValueError, match=message) as error:
            ask(url)
        assert "secret" not in str(error.value)


def test_circular_redirects_end(server):
    url = server.at("/my.fa", Play(status=302, place="/my.fa"))
    with pytest.raises(OSError, match="redirected more than 5 times"):
        fetch(entry(url))


@pytest.mark.parametrize(
    ("url", "start", "message"),
    [
        ("https://zenodo.org/x", "", ""),
        ("https://us.aws.cdn.hf.co/x", "", ""),
        ("https://HuggingFace.co/x", "", ""),
        ("https://evil-huggingface.co/x", "", "not an allowed host"),
        ("https://huggingface.co.evil.org/x", "", "not an allowed host"),
        ("https://hf.co/x", "", "not an allowed host"),
        ("https://a.b/x", "", "not an allowed host"),
        ("http://127.0.0.1:80/x", "https://example.org/y", "redirected from https://example.org/y"),
    ],
)
def test_hosts_are_compared_whole_and_none_redirects_to_this_machine(url, start, message):
    with pytest.raises(ValueError, match=message) if message else nullcontext():
        download.check_address(url, catalog.HOSTS, start)


@pytest.mark.promise("Security: names from files never lead out of a folder")
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/my.fa?download=1", "my.fa"),
        ("/..%2F..%2Fevil.fa", "evil.fa"),
        ("/a%20b%3C.fa", "a_b_.fa"),
        ("/", "download"),
    ],
)
def test_an_address_of_the_user_becomes_a_plain_name_in_the_cache(server, tmp_path, path, name):
    url = server.at(path, Play(BODY))
    found = fetch(url)
    assert found.name == name and found.read_bytes() == BODY
    assert found.parent.parent == tmp_path / "cache" / "data"


# The Hugging Face hub.


REVISION = "57bb950563d2f2c8b17c36f8db1872fde0d593ee"
ON_HUB = f"/datasets/lab/rows/resolve/{REVISION}/promoter_all/test.fna"


@pytest.fixture
def hub(server, monkeypatch):
    """A data set with one file, as the hub serves it: metadata headers and a redirect."""
    monkeypatch.setenv("HF_ENDPOINT", server.base)
    monkeypatch.setattr(catalog, "HOSTS", (*catalog.HOSTS, "localhost"))

    def stated(body: bytes, commit: str = REVISION) -> Entry:
        server.at("/cdn/blob", Play(body))
        marks = (
            ("X-Repo-Commit", commit),
            ("X-Linked-Size", str(len(body))),
            ("X-Linked-Etag", f'"{sha256(body)}"'),
        )
        place = server.base.replace("127.0.0.1", "localhost") + "/cdn/blob"
        server.at(ON_HUB, Play(status=302, place=place, headers=marks))
        files, at = (File("promoter_all/test.fna"),), Hub("lab/rows", REVISION, REVISION)
        return Entry("mine", "tasks", "a test", files, "none", "none", hub=at)

    return stated


def test_a_file_of_the_hub_is_compared_with_what_the_hub_states(server, hub, tmp_path):
    made = hub(FNA)
    assert (fetch(made) / "promoter_all" / "test.fna").read_bytes() == FNA
    asked = [(verb, path) for verb, path, _ in server.asked]
    assert asked == [("HEAD", ON_HUB), ("GET", ON_HUB), ("GET", "/cdn/blob")]
    assert fetch(made).is_dir() and len(server.asked) == 3
    record = json.loads(cached(tmp_path, "promoter_all/test.fna.record.json").read_text())
    assert record["url"] == server.base + ON_HUB


ABSENT = Play(status=404, headers=(("X-Error-Code", "EntryNotFound"),))


@pytest.mark.parametrize(
    ("path", "play", "kind", "message"),
    [
        ("/cdn/blob", Play(FNA[:-1]), ValueError, "42 bytes, expected 43"),
        ("/cdn/blob", Play(FNA.replace(b"GG", b"GC")), ValueError, "sha256 is .* expected"),
        (ON_HUB, ABSENT, FileNotFoundError, "HTTP 404: the server does not have"),
        (ON_HUB, Play(FNA), ValueError, "not a Hugging Face hub"),
    ],
    ids=["short", "altered", "absent", "no hub"],
)
def test_what_the_hub_does_not_state_is_refused(server, hub, tmp_path, path, play, kind, message):
    made = hub(FNA)
    server.at(path, play)
    with pytest.raises(kind, match=message):
        fetch(made)
    assert nothing_is_accepted(tmp_path)


def test_another_commit_than_the_pinned_one_is_refused(hub):
    with pytest.raises(ValueError, match=f"commit {'a' * 40}, expected {REVISION}"):
        fetch(hub(FNA, commit="a" * 40))


def test_a_new_commit_where_none_is_pinned_is_reported(server, hub, caplog):
    made = hub(FNA, commit="a" * 40)
    server.plays[ON_HUB.replace(REVISION, "main")] = server.plays[ON_HUB]
    fetch(replace(made, hub=Hub("lab/rows", "main", "851f994")))
    assert "expected 851f994; the data set has changed since" in caplog.text


def test_a_hub_that_cannot_be_reached_is_named(hub, monkeypatch):
    made = hub(FNA)
    with served() as gone:
        monkeypatch.setenv("HF_ENDPOINT", gone.base)
    with pytest.raises(ConnectionError, match="no connection to 127.0.0.1"):
        fetch(made)


def test_offline_mode_makes_no_request_to_the_hub(server, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    if hasattr(huggingface_hub.utils, "reset_sessions"):  # before 1.0 a session keeps the mode
        huggingface_hub.utils.reset_sessions()
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE is set"):
        fetch(hub(FNA))
    assert not server.asked
