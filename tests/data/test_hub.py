"""Files of the hub are held against what the hub states of the pinned commit."""

import json
from dataclasses import replace

import pytest
from fetching import BODY, FNA, cached, fetch, nothing_passes_for_whole, sha256
from misbehaving import Play, served

from birdiedna.data import catalog
from birdiedna.data.catalog import Entry, File, Hub


@pytest.fixture
def server():
    with served() as found:
        yield found


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BIRDIEDNA_CACHE", str(tmp_path / "cache"))


REVISION = "57bb950563d2f2c8b17c36f8db1872fde0d593ee"
ON_HUB = f"/datasets/lab/rows/resolve/{REVISION}/promoter_all/test.fna"


@pytest.fixture
def hub(server, monkeypatch):
    """A data set of one file, as the hub answers for it: marks, and a redirect to another host."""
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


def test_a_file_of_the_hub_is_held_against_what_the_hub_states(server, hub, tmp_path):
    made = hub(FNA)
    assert (fetch(made) / "promoter_all" / "test.fna").read_bytes() == FNA
    asked = [(verb, path) for verb, path, _ in server.asked]
    assert asked == [("HEAD", ON_HUB), ("GET", ON_HUB), ("GET", "/cdn/blob")]
    assert fetch(made).is_dir() and len(server.asked) == 3
    record = json.loads(cached(tmp_path, "promoter_all/test.fna.record.json").read_text())
    assert record["url"] == server.base + ON_HUB


def test_a_file_of_the_hub_is_finished_where_it_was_cut(server, hub):
    made = hub(BODY)
    server.at("/cdn/blob", Play(BODY, cut=0.4), Play(BODY))
    assert (fetch(made) / "promoter_all" / "test.fna").read_bytes() == BODY
    assert server.gets("/cdn/blob")[1]["Range"].startswith("bytes=1")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(FNA[:-1], "42 bytes, expected 43"), (FNA.replace(b"GG", b"GC"), "sha256 is .* expected")],
)
def test_other_bytes_than_the_hub_states_are_refused(server, hub, tmp_path, wrong, message):
    made = hub(FNA)
    server.at("/cdn/blob", Play(wrong))
    with pytest.raises(ValueError, match=message):
        fetch(made)
    assert nothing_passes_for_whole(tmp_path)


def test_another_commit_than_the_pinned_one_is_refused(hub):
    with pytest.raises(ValueError, match=f"commit {'a' * 40}, expected {REVISION}"):
        fetch(hub(FNA, commit="a" * 40))


def test_a_new_commit_where_none_is_pinned_is_told(server, hub, caplog):
    made = hub(FNA, commit="a" * 40)
    server.plays[ON_HUB.replace(REVISION, "main")] = server.plays[ON_HUB]
    fetch(replace(made, hub=Hub("lab/rows", "main", "851f994")))
    assert "expected 851f994; the data set has changed since" in caplog.text


def test_what_the_hub_has_not_and_what_is_no_hub_are_told_apart(server, hub, monkeypatch):
    made = hub(FNA)
    server.at(ON_HUB, Play(status=404, headers=(("X-Error-Code", "EntryNotFound"),)))
    with pytest.raises(FileNotFoundError, match="HTTP 404: the server answers"):
        fetch(made)
    server.at(ON_HUB, Play(FNA))
    with pytest.raises(ValueError, match="no answer of a Hugging Face hub"):
        fetch(made)
    server.at(ON_HUB, Play(status=503), *server.plays[ON_HUB])
    with served() as gone:
        monkeypatch.setenv("HF_ENDPOINT", gone.base)
    with pytest.raises(ConnectionError, match="no connection to 127.0.0.1"):
        fetch(made)


def test_the_hub_is_not_asked_when_it_is_said_to_be_off(server, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE is set"):
        fetch(hub(FNA))
    assert not server.asked
