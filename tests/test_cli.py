"""The command line says in plain words what files hold, and refuses mistakes in one line."""

import gzip
from pathlib import Path

import pytest

from birdiedna import cli

BASES = "ACGTTGCA" * 50
FNA = ">chr1:0-8|0\nACGTACGT\n>chr1:9-12|1\nACN\n>chr2:9-12|1\nACN\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BIRDIEDNA_CACHE", str(tmp_path / "cache"))


def written(folder: Path, text: str, name: str = "my.fa") -> str:
    content = text.encode()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return str(folder / name)


def check(capsys, *paths: str) -> tuple[int, str, str]:
    """Exit status, output and error of `birdiedna data check`."""
    status = cli.main(["data", "check", *paths])
    return status, *capsys.readouterr()


def test_check_names_what_is_held_out_and_what_cannot_be_known(tmp_path, capsys):
    text = f">NC_000020.11\n{BASES}\n>one\n{BASES}\n>NC_000001.11\n{BASES}\n"
    status, out, _ = check(capsys, written(tmp_path, text))
    assert status == 0
    assert "held out, never trained on: NC_000020.11\n" in out
    assert "of unknown chromosome, so trained on: one\n" in out


def test_check_says_plainly_that_nothing_is_held_out(tmp_path, capsys):
    text = f">chromosome\n{BASES}\n>plasmid\n{BASES}\n"
    status, out, _ = check(capsys, written(tmp_path, text))
    assert status == 0
    assert "held out: none; no contig is named as chr20, chr21, chr22" in out
    assert "of unknown chromosome, so trained on: chromosome, plasmid\n" in out
    assert "pre-training needs two" not in out


def test_check_measures_each_contig_and_the_room_for_rows(tmp_path, capsys):
    text = f">one\n{BASES}NN{BASES * 2}\n>two\n{BASES * 3}\n>three\n{BASES[:100]}\n"
    _, out, _ = check(capsys, written(tmp_path, text))
    rows = [line.split() for line in out.splitlines()]
    assert ["one", "1,202", "2", "800"] in rows and ["three", "100", "0", "100"] in rows
    assert "rows of 128 bases (quick) fit into 2 of 3 contigs" in out
    assert "rows of 1,024 bases (paper) fit into 1 of 3 contigs" in out
    assert out.count("pre-training needs two: one to train on, one for --validation") == 1


@pytest.mark.parametrize(
    "text", [f">one\n{'ACGTN' * 99}\n", f">chr20\n{BASES}\n", f">chr20\n{BASES}\n>a\nAC\n"]
)
def test_genome_without_room_for_a_row_is_refused(tmp_path, capsys, text):
    status, _, error = check(capsys, written(tmp_path, text))
    assert status == 1 and len(error.splitlines()) == 1
    assert "my.fa: no contig outside chr20, chr21, chr22 has 128 bases without N" in error


@pytest.mark.parametrize("name", ["rows.fna", "rows.fna.gz", "rows.csv", "rows.tsv", "rows.csv.gz"])
def test_check_counts_labelled_rows(tmp_path, capsys, name):
    table = "sequence,label\nACGTACGT,0\nACN,1\nACN,1\n"
    if "tsv" in name:
        table = table.replace(",", "\t")
    status, out, _ = check(capsys, written(tmp_path, FNA if ".fna" in name else table, name))
    assert status == 0 and f"{name}: labelled rows" in out
    assert "3 rows of 3-8 bases; rows by class 0: 1, 1: 2" in out


def test_fna_from_an_archive_is_a_genome(tmp_path, capsys):
    text = f">NC_000001.11 Homo sapiens\n{BASES}\n>NC_000002.12\n{BASES}\n"
    status, out, _ = check(capsys, written(tmp_path, text, "GCF_1_genomic.fna.gz"))
    assert status == 0 and "800 bases" in out


def test_broken_rows_are_refused_where_they_are(tmp_path, capsys):
    path = written(tmp_path, FNA.replace("|1", "|x"), "rows.fna")
    status, _, error = check(capsys, path)
    assert status == 1 and "record 2 (line 3): label is 'x'" in error
    assert len(error.splitlines()) == 1


def test_missing_path_and_folder_without_tasks_are_refused(tmp_path, capsys):
    status, _, error = check(capsys, str(tmp_path / "nowhere"))
    assert status == 1 and "nowhere: no such file or folder" in error
    (tmp_path / "empty").mkdir()
    status, _, error = check(capsys, str(tmp_path / "empty"))
    assert status == 1 and "holds no <task>/train and <task>/test" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("value", ["-1", "1.5", "x", "4294967296"])
@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["pretrain"], "--seed"),
        (["finetune", "--task", "promoter_all"], "--seed"),
        (["finetune", "--task", "promoter_all"], "--finetune-seed"),
    ],
)
def test_what_is_no_seed_is_refused_in_one_line(capsys, words, option, value):
    with pytest.raises(SystemExit, match="2"):
        cli.main([*words, option, value])
    error = capsys.readouterr().err
    assert f"argument {option}: '{value}' is no seed; give a whole number from 0" in error
    assert len(error.splitlines()) == 1


def test_a_seed_is_a_whole_number_from_zero_on():
    given = cli.parser().parse_args(["pretrain", "--seed", "4294967295"])
    assert given.seed == 2**32 - 1
    assert cli.parser().parse_args(["pretrain"]).seed == 0
