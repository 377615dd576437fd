"""Intervals are read exactly, cut as in the official package, or refused with their line."""

import memory
import numpy as np
import pytest
from made_files import compress, written

from birdiedna import vocab
from birdiedna.data import genome, intervals
from birdiedna.data.intervals import Intervals
from birdiedna.tasks import layouts

HEADER = "id,region,start,end,strand\n"
GENOME = genome.from_sequences({"chr1": "ACGTTGCANN", "chr20": "GGGCCA"}, "small.fa")


def listed(found: Intervals) -> list[tuple]:
    return list(zip(*(column.tolist() for column in found), strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "chr1\t0\t4\nchr20\t2\t6\n",
        "chr1\t0\t4\nchr20\t2\t6",
        "\n#made by hand\ntrack name=mine\nbrowser hide all\nchr1\t0\t4\r\n\r\nchr20\t2\t6\r\n",
        "chr1 0 4\nchr20 2 6\n",
        "chr1\t0\t4\rchr20\t2\t6\r",
        " chr1\t0\t4 \n  \nchr20\t2\t6\n",
        "chr1\t0\t4\ta\nchr20\t2\t6\tb b\n",
    ],
)
def test_bed_is_read_whatever_its_blank_lines_comments_and_separators(tmp_path, text):
    expected = [("chr1", 0, 4, "."), ("chr20", 2, 6, ".")]
    assert listed(intervals.read_bed(written(tmp_path, text))) == expected
    packed = written(tmp_path, compress(text.encode()), "packed.bed.gz")
    assert listed(intervals.read_bed(packed)) == expected


PEAKS = "chr1\t0\t4\tp1\t900\t-\t5.1\t3.2\t2.2\t17\nchr20\t2\t6\tp2\t80\t.\t1\t1\t1\t0\n"
TABLE = "strand,end,region,start\n-,4,chr1,0\n,6,chr20,2\n"
STRANDED = [("chr1", 0, 4, "-"), ("chr20", 2, 6, ".")]


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (intervals.read_bed, PEAKS, STRANDED),
        (intervals.read_table, TABLE, STRANDED),
        (intervals.read_bed, "chr1\t0\t4\t17\t900\t-\t0\t4\t0\n", STRANDED[:1]),  # no GFF
        (intervals.read_bed, "Scaffold_\u00e9\t0\t4\n", [("Scaffold_\u00e9", 0, 4, ".")]),
    ],
    ids=["peaks", "table", "numbers as names", "UTF-8"],
)
def test_strands_are_in_column_6_or_in_the_one_of_this_name_and_may_be_empty(
    tmp_path, read, text, expected
):
    assert listed(read(written(tmp_path, text))) == expected


def test_the_texts_of_many_intervals_are_not_kept(tmp_path):
    rows = 20_000
    text = "".join(f"chr{i % 20}\t{i * 10_000}\t{i * 10_000 + 300}\tp\t0\t-\n" for i in range(rows))
    path = written(tmp_path, text)
    assert memory.peak(lambda: intervals.read_bed(path)) < 150 * rows
    assert listed(intervals.read_bed(path))[-1] == ("chr19", 199_990_000, 199_990_300, "-")


PAGE = "<!DOCTYPE html><html>404</html>"
CUT = compress(b"chr1\t0\t4\n" * 5000)[:-20]


BAD = {
    intervals.read_bed: [
        ("", "the file is empty; give a BED"),
        ("\n\n", "the file is empty; give a BED"),
        ("#only a comment\n", "no intervals"),
        (PAGE, "a web page, not BED"),
        ("version https://git-lfs.github.com/spec/v1\n", "git-LFS pointer"),
        (CUT, "cut short"),
        ("chrom\tstart\tend\n", "line 1: start is 'start'; .*BED has no header line"),
        ("chr1\t0\t4\nchr1\tx5\t9\n", "line 2: start is 'x5'"),
        ("chr1\t0\t4.0\n", "line 1: end is '4.0'"),
        ("chr1\t-3\t4\n", "line 1: start is '-3'"),
        ("chr1\t1_0\t20\n", "line 1: start is '1_0'"),
        ("chr1\t0\t99999999999\n", "line 1: end is '99999999999'"),
        ("#\nchr1\t5\t5\n", "line 2: end 5 is not above start 5"),
        ("chr1\t9\t5\n", "line 1: end 5 is not above start 9"),
        ("chr1\t0\n", "line 1: 2 columns; BED needs 3 or more"),
        ("chr1,0,4\n", "line 1: 1 columns; BED needs 3 or more"),
        ("chr1\t0\t4\tn\t0\t+\nchr1\t5\t9\tn\n", "line 2: 4 columns; BED needs 6, as before"),
        ("chr1\t0\t4\tn\t0\t1\n", "line 1: strand is '1'; use"),
        ("chr1\t0\t4\tn\tm\tpELS\n", "strand is 'pELS'; .*except for --tss, 3 columns are enough"),
        ("\t0\t4\n", "line 1: the contig has no name"),
        ("##fileformat=VCFv4.2\n#CHROM\n1\t5\t91\tA\tT\n", "looks like VCF, .*; BED has the col"),
        ("##gff-version 3\n", "looks like GTF, which .*; BED has the columns contig, start"),
        ("#!x\nchr1\tTAIR\tgene\t5\t9\t.\t+\t.\tID=g\n", "looks like GTF"),
        (">chr1\nACGT\n", "looks like FASTA; BED has"),
    ],
    intervals.read_table: [
        ("", "the file is empty"),
        (HEADER, "no intervals"),
        (PAGE, "a web page"),
        ("chr1,0,4,+\n", "no column 'region' in 'chr1, 0, 4, \\+'"),
        ("id;region;start;end;strand\n", "no column 'region'.*separated by commas"),
        (
            HEADER + "1,chr1,0,4\n",
            "1 of 1 rows does not have the 5 .*row 1 has 4.; is the file cut",
        ),
        (HEADER + "1,chr1,0,4,+\n1,chr1,a,4,+\n", "line 3: start is 'a'"),
        (HEADER + "1,chr1,4,4,+\n", "line 2: end 4 is not above start 4"),
        (HEADER + "1,chr1,0,4,plus\n", "line 2: strand is 'plus'"),
    ],
}


@pytest.mark.parametrize(
    ("read", "text", "message"), [(read, *bad) for read, table in BAD.items() for bad in table]
)
def test_bad_bed_and_tables_are_refused_with_file_and_line(tmp_path, read, text, message):
    with pytest.raises(ValueError, match=f"given.*{message}"):
        read(written(tmp_path, text))


@pytest.mark.parametrize("read", BAD)
def test_a_missing_file_is_named(tmp_path, read):
    with pytest.raises(FileNotFoundError, match="none.bed: no such file"):
        read(tmp_path / "none.bed")


def at(*rows: tuple) -> Intervals:
    contigs, starts, ends, strands = zip(*rows, strict=True)
    return Intervals(np.array(contigs), np.array(starts), np.array(ends), np.array(strands))


def test_minus_means_reverse_complement_and_rows_are_padded():
    some = at(("chr1", 0, 4, "+"), ("chr1", 2, 9, "-"), ("chr20", 5, 6, "."))
    assert intervals.sequences(GENOME, some) == ["ACGT", "NTGCAAC", "A"]
    tokens, lengths = intervals.tokens(GENOME, some)
    assert vocab.decode(tokens[0]) == "ACGT<pad><pad><pad>" and tokens.dtype == np.uint8
    assert lengths.tolist() == [4, 7, 1] and lengths.dtype == np.int32


@pytest.mark.parametrize(
    ("contig", "name", "same"),
    [
        ("20", "chr20", True),
        ("NC_000020.11", "chr20", True),
        ("chr20", "20", True),
        ("I", "chrI", True),
        ("ENST00000371014.5", "ENST00000371014", True),
        ("chr20_KI270869v1_alt", "chr20", False),
        ("chr20:100-200", "chr20", False),
        ("chr2", "chr20", False),
    ],
)
def test_contigs_are_found_by_their_usual_names_but_pieces_are_not_the_whole(contig, name, same):
    assert (name in intervals.located(genome.from_sequences({contig: "ACGT"}), [name])) == same


def test_an_exact_name_wins_and_an_ambiguous_one_is_not_guessed():
    both = genome.from_sequences({"chr20": "A", "20": "C"})
    assert intervals.located(both, ["20"])["20"].start == 1
    assert "NC_000020.11" not in intervals.located(both, ["NC_000020.11"])


def test_rows_off_the_genome_are_counted_and_the_first_is_named():
    some = at(("chr1", 0, 4, "+"), ("chr9", 2, 9, "-"), ("chr9", 5, 6, "."))
    message = r"2 of 3 rows \(first: row 2, chr9:2-9\) .* small.fa, .*chr1, chr20"
    with pytest.raises(ValueError, match=message):
        intervals.tokens(GENOME, some)
    assert intervals.present(GENOME, some, skip_missing=True).tolist() == [True, False, False]
    with pytest.raises(ValueError, match="2 of 2 rows"):
        intervals.present(GENOME, intervals.take(some, np.array([1, 2])), skip_missing=True)


def test_rows_past_the_end_of_a_contig_suggest_another_assembly():
    some = at(("chr1", 0, 4, "+"), ("chr20", 2, 7, "+"))
    for skip in (False, True):
        message = r"1 of 2 rows \(first: row 2, chr20:2-7\) .* outside .* 6 bases .*assembly"
        with pytest.raises(ValueError, match=message):
            intervals.present(GENOME, some, skip)


def test_made_up_sets_equal_the_official_package_byte_for_byte(tmp_path):
    loc2seq = pytest.importorskip("genomic_benchmarks.loc2seq")
    rng = np.random.default_rng(1)
    genes = [f"ENST0000000000{i}" for i in (1, 2)]
    letters = lambda names: {name: "".join(rng.choice([*"ACGTN"], 300)) for name in names}
    human, transcripts = letters(["1", "X", "MT", "GL000.1"]), letters(f"{g}.7" for g in genes)
    classes = {  # what rows call the contigs, the contigs, how the package reads those
        "zebra": (["chr1", "chrX"], human, "ENSEMBL_HUMAN_GENOME"),
        "ant": (genes, transcripts, "ENSEMBL_HUMAN_TRANSCRIPTOME"),
    }
    about = "version: 0\nclasses:\n"
    for label, (names, contigs, how) in classes.items():
        text = "".join(f">{name} some words\n{letters}\n" for name, letters in contigs.items())
        written(tmp_path, compress(text.encode()), f"references/{label}.fa.gz")
        about += f"  {label}: {{type: fa.gz, url: 'https://host/{label}.fa.gz', "
        about += f"extra_processing: {how}}}\n"
        for split in ("train", "test"):
            rows = [
                f"{i},{rng.choice(names)},{first},{first + rng.integers(1, 50)},{strand}\n"
                for i, first in enumerate(rng.integers(0, 250, 30))
                for strand in [rng.choice(["+", "-", ""])]
            ]
            packed = compress((HEADER + "".join(rows)).encode())
            written(tmp_path, packed, f"sets/mixed/{split}/{label}.csv.gz")
    written(tmp_path, about, "sets/mixed/metadata.yaml")
    places = {"dest_path": tmp_path / "official", "cache_path": tmp_path / "references"}
    loc2seq.download_dataset(
        tmp_path / "sets/mixed", version=0, **places, use_cloud_cache=False, local_repo=True
    )
    for split, tables in layouts.interval_sets(tmp_path / "sets")["mixed"].items():
        for label, path in tables.items():
            reference = genome.from_sequences(classes[label][1])
            ours = intervals.sequences(reference, intervals.read_table(path))
            theirs = (tmp_path / "official" / "mixed" / split / label).iterdir()
            assert {f"{i}.txt": row for i, row in enumerate(ours)} == {
                file.name: file.read_text() for file in theirs
            }


def test_one_long_interval_among_many_costs_its_own_length():
    made = genome.from_sequences({"chr1": "ACGT" * 250_000})
    places = at(*[("chr1", i, i + 4, "+") for i in range(30_000)], ("chr1", 0, 900_000, "-"))
    found = intervals.sequences(made, places)  # padded, they would take 27 GB
    assert len(found) == 30_001 and found[-1] == "ACGT" * 225_000
