"""The catalogue is complete, consistent, and readable by the readers of genomes and tasks."""

import re
from urllib.parse import urlsplit

import pytest

from birdiedna import tasks
from birdiedna.data import cache, catalog, chromosomes, download

NAMES = [entry.name for entry in catalog.ENTRIES]
GENOMES = [entry for entry in catalog.ENTRIES if entry.kind == "genome"]
every = pytest.mark.parametrize("entry", catalog.ENTRIES, ids=NAMES)


@every
def test_an_entry_says_what_it_is_and_where_it_is_from(entry):
    assert entry.kind in ("genome", "tasks", "weights")
    assert all((entry.title, entry.licence, entry.citation, entry.files, entry.notes))
    held = {"genome": entry.contigs, "tasks": entry.tasks}
    assert held.get(entry.kind, entry.files[0].sha256)
    assert not entry.rows or {row.task for row in entry.rows} <= {*entry.tasks}


@pytest.mark.promise("Security: downloads are https from known hosts, also after redirects")
@every
def test_addresses_are_https_on_hosts_of_the_table(entry):
    for file in entry.files:
        for url in file.urls:
            download.check_address(url, catalog.HOSTS)
            assert url.endswith(file.path) and not urlsplit(url).query
        assert file.urls or entry.hub or "--from-file" in " ".join(entry.notes)


@every
def test_names_can_be_names_of_files_and_pins_are_sums(entry):
    for name in (entry.name, *entry.tasks, *(name for name, _ in entry.contigs)):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name) and name[0] != "."
    for file in entry.files:
        assert all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", p) for p in file.path.split("/"))
        assert re.fullmatch(r"([0-9a-f]{32})?", file.md5 or "")
        assert re.fullmatch(r"([0-9a-f]{64})?", file.sha256 or "")
    assert len({file.path for file in entry.files}) == len(entry.files)


@pytest.mark.parametrize("entry", GENOMES, ids=lambda entry: entry.name)
def test_the_program_knows_every_contig_so_that_it_can_hold_it_out(entry):
    found = {chromosomes.chromosome(name) for name, _ in entry.contigs}
    assert {*entry.held_out} == {*chromosomes.HELD_OUT} < found
    assert all(chromosomes.is_chromosome(name) for name, _ in entry.contigs)
    assert len(found) == len(entry.contigs)


def test_an_entry_needs_no_family_and_no_notes():
    texts = {name: name for name in ("name", "kind", "title", "licence", "citation")}
    one = catalog._entry({**texts, "files": ["{name}.fa.gz"]})
    assert [file.path for file in one.files] == ["name.fa.gz"] and one.notes == ()


def test_published_totals_of_chm13_are_met():
    total = lambda name: sum(length for _, length in catalog.named(name).contigs)
    assert total("chm13v2.0") == total("hs1") == 3_117_292_070
    assert total("chm13v2.0_noY") == 3_054_832_041
    assert dict(catalog.named("chm13v2.0_genbank").contigs)["CP068255.2"] == 154_259_566
    assert dict(catalog.named("chm13v2.0_refseq").contigs)["NC_060925.1"] == 248_387_328


def test_other_lengths_are_named():
    entry = catalog.named("chm13v2.0")
    assert catalog.other_lengths(entry, entry.contigs) == []
    found = dict(entry.contigs) | {"chr1": 248_387_497}
    del found["chrM"]
    assert catalog.other_lengths(entry, found.items()) == [
        "contigs missing: chrM",
        "chr1 has 248,387,497 bases, chm13v2.0 has 248,387,328",
    ]
    assert not catalog.other_lengths(catalog.named("GRCh37"), [("chr20", 63_025_520)])


@pytest.mark.parametrize(
    ("task", "train", "test", "expected"),
    [
        ("promoter_tata", [300] * 5062, [300] * 212, []),
        ("promoter_tata", [300] * 5062, [300] * 211, ["211 test rows; nt_revised has 212"]),
        (
            "promoter_tata",
            [299] + [300] * 5061,
            [300] * 212,
            ["train rows of 299 to 300 bases; nt_revised has 300"],
        ),
        (
            "H3K4me3",
            [1000] * 17468,
            [1000] * 776,
            ["17,468 train rows, as expected; the card of nt_revised says 30,000"],
        ),
        (
            "H3K4me3",
            [1000] * 30000,
            [1000] * 776,
            ["30,000 train rows; nt_revised has 17,468 (its card says 30,000)"],
        ),
        ("mine", [300], [300], []),
    ],
)
def test_other_rows_and_a_wrong_card_are_named(task, train, test, expected):
    entry = catalog.named("nt_revised")
    assert catalog.other_rows(entry, task, {"train": train, "test": test}) == expected


def test_the_revised_tasks_are_those_of_the_task_table():
    entry = catalog.named("nt_revised")
    known = {task.name for task in tasks.TASKS}
    assert {*entry.tasks} == known - {"splice_sites_donors_decoy"}
    assert sum(row.train for row in entry.rows) == 493_242
    assert sum(row.card or row.train for row in entry.rows) == 505_774
    assert [row.task for row in entry.rows if row.card] == ["H3K4me3"]


def test_official_sets_are_all_there():
    cached = pytest.importorskip("genomic_benchmarks.loc2seq.cloud_caching")
    for (name, version), record in cached.CLOUD_CACHE.items():
        entry = catalog.named(name)
        assert entry.files[0].urls == (f"{record}/files/{name}_v{version}.zip",)
    assert len([e for e in catalog.ENTRIES if e.layout == "folders"]) == len(cached.CLOUD_CACHE)


def test_names_occur_once_and_a_misspelt_one_gets_the_closest():
    assert len(set(NAMES)) == len(NAMES)
    with pytest.raises(ValueError, match="no 'nt_revisd' .* did you mean 'nt_revised'"):
        catalog.named("nt_revisd")
    with pytest.raises(ValueError, match="'GRCh38:' names no part"):
        cache.fetch("GRCh38:")
