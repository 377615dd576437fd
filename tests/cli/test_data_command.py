"""`birdiedna data` says in plain words what can be had and what files hold."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from misbehaving import PAGE, Play, served

from birdiedna.cli import main
from birdiedna.data import catalog, sample
from birdiedna.evaluation import audit, interval_audit

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
BASES = "ACGTTGCA" * 50
FNA = ">chr1:0-8|0\nACGTACGT\n>chr1:9-12|1\nACN\n>chr2:9-12|1\nACN\n"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BIRDIEDNA_CACHE", str(tmp_path / "cache"))


def run(capsys, *words: str) -> tuple[int, str, str]:
    """Exit status, output and error of `birdiedna data`."""
    status = main.main(["data", *words])
    return status, *capsys.readouterr()


def written(folder: Path, text: str, name: str = "my.fa") -> str:
    content = text.encode()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return str(folder / name)


def check(capsys, *words: str) -> tuple[int, str, str]:
    """Exit status, output and error of `birdiedna data check`."""
    return run(capsys, "check", *words)


@pytest.mark.parametrize(
    ("names", "held_out", "unknown"),
    [
        (["NC_000020.11", "one", "NC_000001.11"], ", never trained on: NC_000020.11\n", "one"),
        (
            ["chromosome", "plasmid"],
            ": none; no contig is named as chr20, chr21, chr22\n",
            "chromosome, plasmid",
        ),
    ],
)
def test_check_names_what_is_held_out_and_what_cannot_be_known(
    tmp_path, capsys, names, held_out, unknown
):
    status, out, _ = check(capsys, written(tmp_path, "".join(f">{n}\n{BASES}\n" for n in names)))
    assert status == 0 and f"held out{held_out}" in out
    assert f"of unknown chromosome, so trained on: {unknown}\n" in out
    assert "pre-training needs two" not in out


def test_check_measures_each_contig_and_the_room_for_rows(tmp_path, capsys):
    text = f">one\n{BASES}NN{BASES * 2}\n>two\n{BASES * 3}\n>three\n{BASES[:100]}\n"
    _, out, _ = check(capsys, written(tmp_path, text))
    rows = [line.split() for line in out.splitlines()]
    assert ["one", "1,202", "2", "800"] in rows and ["three", "100", "0", "100"] in rows
    assert "rows of 128 bases (quick) fit into 2 of 3 contigs" in out
    assert "rows of 1,024 bases (eighth, paper) fit into 1 of 3 contigs" in out
    assert out.count("pre-training needs two: one to train on, one for --validation") == 1


NO_ROOM = "my.fa: no contig outside chr20, chr21, chr22 has 128 bases without N"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("my.fa", f">one\n{'ACGTN' * 99}\n", NO_ROOM),
        ("my.fa", f">chr20\n{BASES}\n", NO_ROOM),
        ("my.fa", f">chr20\n{BASES}\n>a\nAC\n", NO_ROOM),
        ("rows.fna", FNA.replace("|1", "|x"), "record 2 (line 3): label is 'x'"),
        ("empty", "", "contains no <task>/train and <task>/test"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path, capsys, name, text, said):
    (tmp_path / "empty").mkdir()
    path = written(tmp_path, text, name) if text else str(tmp_path / name)
    status, _, error = check(capsys, path)
    assert status == 1 and len(error.splitlines()) == 1 and said in error


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


def test_check_says_what_reading_a_table_changed(tmp_path, capsys):
    text = "sequence,label\nACGTacgt,0\nACN,1\nACR,1\n"
    _, out, _ = check(capsys, written(tmp_path, text, "rows.csv"))
    assert "  4 bases in lower case\n  1 letters read as N\n  2 rows with N\n" in out


def test_check_reads_the_given_columns_and_labels(tmp_path, capsys):
    path = written(tmp_path, "dna,kind\nACGT,no\nACGG,yes\n", "rows.csv")
    words = ["--sequence-column", "dna", "--label-column", "kind", "--labels", "no=0,yes=1"]
    status, out, _ = check(capsys, path, *words)
    assert status == 0 and "2 rows of 4-4 bases; rows by class 0: 1, 1: 1" in out
    status, _, error = check(capsys, path)
    assert status == 1 and "it needs `sequence` and `label`" in error


def test_check_describes_each_task_of_a_table(tmp_path, capsys):
    rows = "".join(f"{'ACGT' * 3},{i % 2},{task}\n" for i in range(4) for task in ("a", "b"))
    _, out, _ = check(capsys, written(tmp_path, f"sequence,label,task\n{rows}", "all.csv"))
    assert "all.csv, task a: labelled rows" in out and "all.csv, task b: labelled rows" in out


def test_check_of_a_folder_prints_what_was_done_to_each_task(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    for part in ("train", "test"):
        text = "sequence,label\n" + "".join(
            f"{'ACGT' * 3}{'AC'[i % 2]},{i % 2}\n" for i in range(6)
        )
        written(tmp_path / "mine", text, f"{part}.csv")
    status, out, _ = check(capsys, str(tmp_path))
    assert status == 0 and "  mine: a file for each part: train mine/train.csv" in out
    assert "    train: 6 rows of 13 bases; by class 0: 3, 1: 3" in out
    assert "    4 train rows that repeat another" in out


def test_sample_is_described(capsys):
    status, out, _ = run(capsys, "sample")
    assert status == 0 and "genome.fa.gz: 2,700,000 bases" in out and "tasks: 6 tasks" in out


def test_check_tells_an_assembly_by_its_lengths(capsys):
    path = SHARED / "genomes" / "human.GRCh37.chr20.fa.gz"
    if not path.exists():
        pytest.skip("../shared/data is not here")
    status, _, _ = run(capsys, "fetch", "GRCh37:chr20", "--from-file", str(path))
    _, out, error = check(capsys, "GRCh37:chr20")
    assert status == 0 and "GRCh37: 1 contigs, all of the lengths they should have" in out
    assert "contigs of known names have the lengths of GRCh37" in out
    assert "no contig outside chr20, chr21, chr22 has 128 bases" in error


def test_list_has_a_line_for_every_entry(capsys):
    status, out, _ = run(capsys, "list")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert status == 0 and {entry.name for entry in catalog.ENTRIES} <= {*lines}
    assert "genome  3.05 Gb   unknown        no        CC0" in lines["chm13v2.0_noY"]


def test_list_of_an_entry_says_all_that_is_known(capsys):
    _, out, _ = run(capsys, "list", "nt_revised", "chm13v2.0")
    assert "held out: chr20, chr21, chr22" in out and "cite: Dalla-Torre" in out
    assert "17,468 train (its card: 30,000)" in out and "licence: none stated" in out
    assert "md5 06caded0055ec647a69acb708e13beff" in out and "248,387,328 bases" in out
    _, out, _ = run(capsys, "list", "chm13v2.0_noY", "human_enhancers_cohn")
    assert out.count("no sum known: the sha256 is recorded at the first fetch") == 2
    assert "held out: nothing; splits are not by chromosome" in out


def test_an_unknown_entry_is_refused_in_one_line(capsys):
    status, _, error = run(capsys, "list", "nt_revisd")
    assert status == 1 and "did you mean 'nt_revised'" in error and len(error.splitlines()) == 1


def test_fetch_of_an_address_says_where_it_is_and_how_to_use_it(tmp_path, capsys):
    body = f">chr1\n{BASES}\n".encode()
    with served() as server:
        url = server.at("/my.fa", Play(body))
        status, out, _ = run(capsys, "fetch", url)
    path = Path(out.splitlines()[0].removeprefix(f"{url}: "))
    assert status == 0 and path.read_bytes() == body and tmp_path in path.parents
    assert f"use it: birdiedna pretrain --genome {url}" in out
    assert run(capsys, "fetch", url) == (0, out, "")


def test_fetch_from_a_file_is_checked_listed_and_found_again(tmp_path, capsys):
    page = written(tmp_path, PAGE.decode(), "chr20.fa.gz")
    words = ["fetch", "GRCh37", "--contigs", "chr20", "--from-file"]
    Path(page).write_bytes(PAGE)
    status, _, error = run(capsys, *words, page)
    assert status == 1 and "a web page" in error and len(error.splitlines()) == 1
    fasta = f">chr20\n{BASES}\n>chr1\n{BASES}\n"
    status, out, _ = run(capsys, *words, written(tmp_path, fasta, "chr20.fa.gz"))
    assert status == 0 and "use it: birdiedna pretrain --genome GRCh37:chr20\n" in out
    assert "contigs of chr20, chr21, chr22 are never trained on" in out
    _, out, _ = run(capsys, "list")
    assert "3.10 Gb   unknown        1 of 25" in out
    status, out, error = check(capsys, "GRCh37:chr20")
    assert status == 1 and not out and len(error.splitlines()) == 1
    assert "not GRCh37: chr1 has 400 bases, GRCh37 has 249,250,621" in error


def test_fetched_tasks_can_be_checked_by_name(tmp_path, capsys):
    for part in ("train", "test"):
        folder = tmp_path / "mine" / "promoter_tata"
        folder.mkdir(parents=True, exist_ok=True)
        rows = [f">chr1:{i}-{i + 300}|{i % 2}\n{'ACGTA' * 60}\n" for i in range(0, 3000, 301)]
        (folder / f"{part}.fna").write_text("".join(rows))
    words = ["--contigs", "promoter_tata", "--from-file", str(tmp_path / "mine")]
    status, out, _ = run(capsys, "fetch", "nt_revised", *words)
    assert status == 0 and "finetune --tasks nt_revised:promoter_tata --task" in out
    status, out, _ = check(capsys, "nt_revised:promoter_tata")
    assert status == 0 and "train: 10 rows of 300 bases; by class 0: 5, 1: 5" in out


def test_without_network_the_error_is_one_line_and_not_not_found(capsys, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    with served() as gone:
        url = f"{gone.base}/my.fa"
    status, _, error = run(capsys, "fetch", url)
    assert status == 1 and error.splitlines()[-1].startswith(
        f"birdiedna data: {url}: no connection"
    )
    assert "not found" not in error.lower() and "--from-file" in error


def test_fetch_into_another_cache_says_how_to_find_it_later(tmp_path, capsys):
    mine = written(tmp_path, f">chr1\n{BASES}\n", "x.fa.gz")
    place = str(tmp_path / "elsewhere")
    words = ["fetch", "chm13v2.0_noY", "--from-file", mine, "--cache", place]
    _, out, _ = run(capsys, *words)
    assert f"later commands find it with BIRDIEDNA_CACHE={place}" in out
    record = next(Path(place).rglob("*.record.json"))
    assert json.loads(record.read_text())["url"] == "from file x.fa.gz"
    _, out, _ = run(capsys, "list", "--cache", place)
    assert "3.05 Gb   unknown        yes" in out and f"cache: {place}" in out


def test_audit_of_a_folder_prints_and_writes_what_it_found(tmp_path, capsys):
    path = sample.TASKS / "promoter_tata"
    out_file = tmp_path / "audit.csv"
    words = ["audit", "--tasks", str(path), "--no-baselines", "--out", str(out_file)]
    status, out, _ = run(capsys, *words)
    assert status == 0 and audit.report(audit.of_folder(path, baselines=False)) in out
    assert "SOLVED WITHOUT A MODEL" not in out
    assert pl.read_csv(out_file)["task"].to_list() == ["promoter_tata"]


def test_audit_counts_rows_that_were_read_in_pre_training(tmp_path, capsys):
    path = str(sample.TASKS / "promoter_tata")
    words = ["audit", "--tasks", path, "--no-baselines", "--genome", "sample", "--out"]
    status, _, _ = run(capsys, *words, str(tmp_path / "audit.csv"))
    found = pl.read_csv(tmp_path / "audit.csv")
    assert status == 0 and found["pretrained_by"][0] and found["test_pretrained"][0] is not None


def test_audit_of_interval_files(tmp_path, capsys):
    for part, start in (("train", 0), ("test", 5)):
        for label in ("negative", "positive"):
            text = f"id,region,start,end,strand\n0,chr1,{start},{start + 10},+\n"
            (tmp_path / f"mine.{part}.{label}.csv.gz").write_bytes(gzip.compress(text.encode()))
    status, out, _ = run(capsys, "audit", "--tasks", str(tmp_path))
    assert status == 0 and interval_audit.report(interval_audit.of_folder(tmp_path)) in out
