"""`birdiedna data` describes the catalogue and files in plain words."""

import gzip
import os
import shlex
from pathlib import Path

import pytest
from made_files import SHARED, needs_shared
from made_rows import different
from misbehaving import PAGE, Play, served

from birdiedna.cli import main
from birdiedna.data import cache, catalog, fasta, sample
from birdiedna.evaluation import audit, interval_audit
from birdiedna.experiments import profiles

BASES = "ACGTTGCA" * 50
POOL = different(0, 12, 20)
FNA = "".join(f">row{i}|{i % 2}\n{text}\n" for i, text in enumerate(POOL))
TABLE = "sequence,label\n" + "".join(f"{text},{i % 2}\n" for i, text in enumerate(POOL))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BIRDIEDNA_CACHE", str(tmp_path / "cache"))
    ours = {name: profiles.PROFILES[name] for name in ("quick", "eighth", "paper")}
    monkeypatch.setattr(profiles, "PROFILES", ours)  # rooms that train once, and users, add others


def written(folder: Path, text: str, name: str = "my.fa") -> str:
    content = text.encode()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return str(folder / name)


SPLIT = [
    "trained on: 609 bases (50.7%), one, NC_000001.11:1-209",
    "held-out loss: 191 bases (15.9%), NC_000001.11:210-400; --validation names others",
    "held out for testing, never read: NC_000020.11",
    "of unknown chromosome, so trained on: one",
]


def test_check_holds_a_genome_once(tmp_path, said, monkeypatch):
    made, read = [], fasta.read
    monkeypatch.setattr(fasta, "read", lambda path: made.append(path) or read(path))
    said("data", "check", written(tmp_path, f">a\n{BASES}\n>b\n{BASES}\n"))
    assert len(made) == 1


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        (["NC_000020.11", "one", "NC_000001.11"], SPLIT),
        (["chromosome", "plasmid"], ["held out: none; ", "chr20, chr21, chr22"]),
        (["chr8", "chr1"], ["trained on: 400 bases (50.0%), chr1", "held-out loss: 400 bases"]),
    ],
)
def test_check_says_how_a_pre_training_would_divide_a_genome(tmp_path, said, names, lines):
    path = written(tmp_path, "".join(f">{n}\n{BASES}\n" for n in names))
    out = said("data", "check", path)
    assert all(line in out for line in lines)
    usable = f"  usable: birdiedna pretrain --genome {path}\n"
    assert out.endswith(f"  contigs are long enough (profile quick)\n{usable}")


def test_check_measures_each_contig_and_says_which_profiles_can_use_it(tmp_path, said):
    text = f">one\n{BASES * 9}NN{BASES * 2}\n>two\n{BASES * 3}\n>three\n{'acgtU' * 20}\n"
    out = said("data", "check", written(tmp_path, text))
    rows = [line.split() for line in out.splitlines()]
    assert ["one", "4,402", "2", "3,600"] in rows and ["three", "100", "0", "100"] in rows
    assert "80 bases in lower case (1.4%), read as upper case\n  20 U, read as T\n" in out
    assert "rows of 1,024 bases (eighth, paper): " in out and "(profile quick)" in out


def test_check_says_what_longer_rows_leave_out(tmp_path, said):
    out = said("data", "check", written(tmp_path, f">a\n{f'{BASES}N' * 8}\n>b\n{BASES * 30}\n"))
    quick, eighth = [line for line in out.splitlines() if " trained on: " in line]
    assert quick.endswith("; 8 are in no window of 128 bases without N")
    assert eighth.startswith("  with rows of 1,024 bases (eighth, paper), trained on: ")
    assert eighth.endswith(f"; {8 * 401:,} are in no window of 1,024 bases without N")
    assert out.count("held-out loss: ") == 1


GTF = "chr1\tx\texon\t1\t9\t.\t+\t.\ta\n"


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("my.fa", f">one\n{'ACGTN' * 99}\n", "my.fa: no window of 128 bases in one"),
        ("my.fa", f">chr20\n{BASES}\n", "all contigs of my.fa are held out for testing (chr20)"),
        ("my.fa", f">chr20\n{BASES}\n>a\nAC\n", "my.fa has 2 bases without N; pre-training needs"),
        ("my.fa", f">a\n{'N' * 900}\n", "my.fa contains only N"),
        ("my.fa", f">chr8\n{'ACGT' * 35}\n>a\n{BASES}\n", "my.fa: 64 windows requested, 13 exist"),
        ("rows.fna", FNA.replace("|1", "|x"), "record 2 (line 3): label is 'x'"),
        ("rows.csv", TABLE.replace("0", "1"), "all rows are of class 1; a task needs rows"),
        ("rows.csv", TABLE + "ACGT" * 300 + ",1\n", "1 of 13 rows has more than the 1,024 bases"),
        (
            "my.bed.gz",
            "chr1\t0\t9\n",
            "it looks like BED, which needs a genome: `birdiedna data build`",
        ),
        ("my.gtf", GTF, "looks like GTF, which `birdiedna data build --"),
        ("my.txt", TABLE, "a table of labelled rows, end its name in .csv"),
        ("my.fq", "@read\nACGT\n+\n!!!!\n", "FASTQ and SAM are not supported"),
        ("pipe.csv", "", "pipe.csv: no such file or folder, but a pipe or"),
        ("empty", "", "contains no <task>/train and <task>/test"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path, refused, name, text, why):
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    path = written(tmp_path, text, name) if text else tmp_path / name
    assert why in refused("data", "check", path)


@pytest.mark.promise("Bad input: an error in one file does not keep others from being checked")
def test_check_goes_through_all_paths_and_fails_if_any_cannot_be_used(tmp_path, capsys, said):
    good = [written(tmp_path, TABLE, "a.csv"), written(tmp_path, f">a\n{BASES * 9}\n", "b.fa")]
    bad = [str(tmp_path / "none"), written(tmp_path, ">a\nXX\n", "c.fa")]
    assert main.main(["data", "check", bad[0], *good, bad[1]]) == 1
    out, error = capsys.readouterr()
    assert error.endswith(f"2 of 4 cannot be used: {bad[0]}, {bad[1]}\n")
    assert out.count("usable: birdiedna") == 2 and out.count("not usable: ") == 2
    said("data", "check", *good)


@pytest.mark.parametrize(
    "name", ["rows.fna", "rows.fa", "rows.fasta.gz", "rows.csv", "rows.tsv", "rows.csv.gz"]
)
def test_check_counts_labelled_rows(tmp_path, said, name):
    text = TABLE.replace(",", "\t") if "tsv" in name else TABLE if ".csv" in name else FNA
    path = written(tmp_path, text, name)
    out = said("data", "check", path)
    assert f"rows: one table: rows {name}" in out
    assert "train: 8 rows of 20 bases; by class 0: 4, 1: 4" in out
    assert out.endswith(f"  usable: birdiedna finetune --tasks {path}\n")


def test_check_reads_the_given_columns_and_labels_and_proposes_them(tmp_path, said, refused):
    text = TABLE.replace("sequence,label", "dna,kind").replace(",0", ",-").replace(",1", ",+ ve")
    path = written(tmp_path, text, "rows.csv")
    words = ["--sequence-column", "dna", "--label-column", "kind", "--labels=-=0,+ ve=1"]
    out = said("data", "check", path, *words)
    proposed = shlex.split(out.partition("usable: birdiedna finetune --tasks ")[2])
    assert proposed == [path, *words]
    assert "train: 8 rows of 20 bases; by class 0: 4, 1: 4" in out
    assert "it needs `sequence` and `label`" in refused("data", "check", path)
    out = said("data", "audit", "--tasks", path, *words, "--no-baselines")
    assert "2 of 12 (16.7%) are test rows, the same share of each class" in out


def test_check_describes_each_task_of_a_table_also_beside_one_that_cannot_be_used(
    tmp_path, capsys, said
):
    rows = [f"{text},{i % 2},{task}\n" for i, text in enumerate(POOL) for task in ("a", "b")]
    text = f"sequence,label,task\n{''.join(rows)}"
    out = said("data", "check", written(tmp_path, text, "all.csv"))
    assert "all.csv: 2 tasks" in out and out.count("train: 8 rows of 20") == 2
    assert main.main(["data", "check", written(tmp_path, text + "X,0,a\n", "all.csv")]) == 1
    out, error = capsys.readouterr()
    assert out.count("train: 8 rows of 20") == 1 and "  a: not usable: " in out
    assert error.endswith("; 1 of 2 tasks cannot be used\n")


@needs_shared
def test_check_compares_a_genome_with_the_lengths_of_its_entry(capsys, said):
    path = SHARED / "genomes" / "human.GRCh37.chr20.fa.gz"
    said("data", "fetch", "GRCh37:chr20", "--from-file", path)
    main.main(["data", "check", "GRCh37:chr20"])
    out, error = capsys.readouterr()
    assert "GRCh37: 1 contig, lengths as expected" in out
    assert "all contigs of chr20.fa.gz are held out for testing" in error


def test_check_compares_rows_with_those_of_their_entry(tmp_path, said):
    folder = tmp_path / "mine" / "promoter_all"
    folder.mkdir(parents=True)
    for part in ("train", "test"):
        (folder / f"{part}.fna").write_text(FNA)
    words = ["nt_revised:promoter_all", "--length", 10]
    said("data", "fetch", words[0], "--from-file", tmp_path / "mine")
    out = said("data", "check", words[0])
    assert "12 train rows; nt_revised has 30,000\n" in out
    assert "test rows of 20 bases; nt_revised has 300\n" in out
    assert "nt_revised has" not in said("data", "check", *words)  # cut on purpose
    assert "nt_revised has" not in said("data", "check", tmp_path / "mine")  # one's own rows


def test_list_has_a_line_for_every_entry(said):
    lines = {line.split()[0]: line for line in said("data", "list").splitlines()}
    assert {entry.name for entry in catalog.ENTRIES} <= {*lines}
    assert "genome  3.05 Gb   unknown        no        CC0" in lines["chm13v2.0_noY"]


def test_list_of_an_entry_says_all_that_is_known(said, refused):
    out = said("data", "list", "nt_revised", "chm13v2.0")
    assert "held out: chr20, chr21, chr22" in out and "cite: Dalla-Torre" in out
    assert "17,468 train (its card: 30,000)" in out and "licence: none stated" in out
    assert "md5 06caded0055ec647a69acb708e13beff" in out and "248,387,328 bases" in out
    out = said("data", "list", "chm13v2.0_noY", "human_enhancers_cohn")
    assert out.count("the sha256 is recorded at the first fetch") == 2
    assert "held out: nothing; splits are not by chromosome" in out
    assert "did you mean 'nt_revised'" in refused("data", "list", "nt_revisd")
    for words in (["data", "list"], ["data", "check"], ["pretrain", "--genome"]):
        assert "did you mean 'GRCh38'?" in refused(*words, "grch38")


@pytest.mark.parametrize(
    ("name", "text", "use"),
    [
        ("my.fa", f">chr1\n{BASES}\n", "pretrain --genome"),
        ("my.csv", TABLE, "finetune --tasks"),
        ("my.fna", FNA, "finetune --tasks"),
    ],
)
def test_fetch_of_an_address_says_where_it_is_and_how_to_use_it(tmp_path, said, name, text, use):
    body = text.encode()
    with served() as server:
        url = server.at(f"/{name}", Play(body))
        out = said("data", "fetch", url)
    path = Path(out.splitlines()[0].removeprefix(f"{url}: "))
    assert path.read_bytes() == body and tmp_path in path.parents
    assert f"use it: birdiedna {use} {url}\n" in out
    assert said("data", "fetch", url) == out


def test_fetch_from_a_file_is_checked_listed_and_found_again(tmp_path, said, refused):
    page = Path(written(tmp_path, PAGE.decode(), "chr20.fa.gz"))
    words = ["data", "fetch", "GRCh37", "--contigs", "chr20", "--from-file"]
    page.write_bytes(PAGE)
    assert "a web page" in refused(*words, page)
    out = said(*words, written(tmp_path, f">chr20\n{BASES}\n>chr1\n{BASES}\n", page.name))
    assert "use it: birdiedna pretrain --genome GRCh37:chr20\n" in out
    assert "contigs of chr20, chr21, chr22 are never trained on" in out
    assert "3.10 Gb   unknown        1 of 25" in said("data", "list")
    error = refused("data", "check", "GRCh37:chr20")
    assert "not GRCh37: chr1 has 400 bases, GRCh37 has 249,250,621" in error


@pytest.mark.promise("Bad input: a truncated, altered or wrong download is refused")
def test_without_network_the_error_is_one_line_and_not_not_found(refused, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    with served() as gone:
        url = f"{gone.base}/my.fa"
    error = refused("data", "fetch", url)
    assert error.startswith(f"birdiedna data: {url}: no connection")
    assert "not found" not in error.lower() and "--from-file" in error


def test_audit_prints_what_it_found(said):
    path = sample.TASKS / "promoter_tata"
    words = ["data", "audit", "--tasks", path, "--no-baselines"]
    out = said(*words)
    assert audit.report(audit.of_folder(path, baselines=False)) in out
    assert "SOLVED WITHOUT A MODEL" not in out
    human = fasta.read(sample.GENOME)  # rows that were read in pre-training are counted, too
    assert audit.report(audit.of_folder(path, human, False)) in said(*words, "--genome", "sample")


def test_an_audit_says_which_task_it_is_at_beside_its_report(tmp_path, capsys):
    for name in ("a", "b"):
        written(tmp_path, TABLE, f"{name}.csv")
    assert main.main(["data", "audit", "--tasks", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert printed.err == "a: auditing 12 rows\nb: auditing 12 rows\n"
    assert printed.out.startswith("ROWS\n")


def test_audit_of_interval_files(tmp_path, said, refused):
    for part, start in (("train", 0), ("test", 5)):
        for label in ("negative", "positive"):
            text = f"id,region,start,end,strand\n0,chr1,{start},{start + 10},+\n"
            (tmp_path / f"mine.{part}.{label}.csv.gz").write_bytes(gzip.compress(text.encode()))
    found, words = interval_audit.of_folder(tmp_path), ["data", "audit", "--tasks", tmp_path]
    assert interval_audit.report(found) in said(*words)
    for more in (["--genome", "sample"], ["--length", "5"]):  # are of rows, which are read then
        assert "intervals contain no sequence; give their genome" in refused(*words, *more)


def test_how_rows_are_read_is_no_option_of_a_genome(tmp_path, said, refused):
    genome, rows = sample.GENOME, written(tmp_path, TABLE, "rows.csv")
    assert "no labelled rows are given" in refused("data", "check", genome, "--length", "5")
    assert "8 rows" in said("data", "check", genome, rows, "--length", "9")
    assert "and --contigs others" in refused("data", "fetch", "GRCh38:chr20", "--contigs", "chrX")


@pytest.mark.parametrize(
    "words",
    [
        ["pretrain", "--genome", "nt_revised"],
        ["pretrain", "--genome", "eighth-ntp"],
        ["finetune", "--start", "eighth-ntp", "--tasks", "GRCh38:chr20"],
        ["data", "audit", "--tasks", "GRCh38"],
        ["data", "build", "--genome", "GUE", "--tss", "x", "--task", "x", "--out", "x"],
        ["embed", "eighth-ntp", "x.bed", "--genome", "GUE", "-o", "x.csv"],
        ["variants", "eighth-ntp", "x.vcf", "--genome", "GUE", "-o", "x.csv"],
    ],
)
def test_an_entry_of_another_kind_is_refused_before_it_is_fetched(
    words, refused, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    for name in ("x", "x.bed", "x.vcf"):
        Path(name).write_text("chr1\t0\t9\tx\t0\t+\n")
    monkeypatch.setattr(cache, "fetch", lambda *_, **__: pytest.fail("it is fetched"))
    said = refused(*words)
    assert "is an entry of kind " in said and "needed; choose another entry" in said
