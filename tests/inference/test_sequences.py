"""Sequences are read one at a time from the usual file types; batches do not change results."""

from collections import Counter
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_files import compress, written

from birdiedna import vocab
from birdiedna.data import fasta
from birdiedna.inference import sequences, tables
from birdiedna.inference.sequences import Record
from birdiedna.tasks.tables import Columns

ROWS = {"first": "ACGTN", "second": "TTTTGGGGACC"}
WRITTEN = {
    "plain.fa": "".join(f">{name} more words\n{letters}\n" for name, letters in ROWS.items()),
    "blank.fa": "\n \n>first\nACGTN\n>second\nTTTTGGGGACC\n",
    "wrapped.fa": ">first\nAC\nGTN\n>second\nTTTTggg\ngacc\n",
    "table.csv": "name,sequence\n" + "".join(f"{n},{s}\n" for n, s in ROWS.items()),
    "table.tsv": "sequence\tother\tname\n" + "".join(f"{s}\tx\t{n}\n" for n, s in ROWS.items()),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", WRITTEN)
def test_every_usual_file_gives_the_same_sequences(tmp_path, name, packed):
    text = WRITTEN[name].encode()
    path = written(tmp_path, compress(text) if packed else text, name)
    assert {r.name: vocab.decode(r.tokens) for r in sequences.read(path)} == ROWS


def test_parquet_and_intervals_give_sequences_too(tmp_path):
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"name": [*ROWS], "sequence": [*ROWS.values()]}).write_parquet(path)
    assert {r.name: vocab.decode(r.tokens) for r in sequences.read(path)} == ROWS
    genome = written(tmp_path, ">one\nAACCGGTT\n", "my.fa")
    bed = written(tmp_path, "one\t1\t4\tx\t0\t+\none\t1\t4\tx\t0\t-\n", "my.bed")
    found = list(sequences.read(bed, str(genome)))
    assert [vocab.decode(r.tokens) for r in found] == ["ACC", "GGT"]
    assert [r.name for r in found] == ["one:1-4(+)", "one:1-4(-)"]


@pytest.mark.parametrize(
    ("header", "columns"),
    [("id,seq", Columns()), ("name,dna", Columns("dna")), ("id,dna", Columns("dna", name="id"))],
)
def test_columns_are_named_as_for_fine_tuning(tmp_path, header, columns):
    path = written(tmp_path, f"{header}\nfirst,ACGT\n", "a.csv")
    (found,) = sequences.read(path, columns=columns)
    assert vocab.decode(found.tokens) == "ACGT"
    assert found.name == ("1" if header == "id,seq" else "first")
    for chosen in filter(Columns().__ne__, [columns]):
        with pytest.raises(ValueError, match="is no table and has no column '(dna|id)'; leave"):
            next(sequences.read(written(tmp_path, ">a\nACGT\n", "a.fa"), columns=chosen))
        with pytest.raises(ValueError, match="a.csv is read as BED, as a genome is given, and has"):
            next(sequences.read(path, str(tmp_path / "a.fa"), chosen))


@pytest.mark.promise("Bad input: what reading changes is counted and reported")
@pytest.mark.parametrize("text", [">a\nacRN\n>b\nUyk\n", "sequence\nacRN\nUyk\n"])
def test_letters_that_change_are_counted(tmp_path, text):
    notes = Counter()
    assert len(list(sequences.read(written(tmp_path, text), notes=notes))) == 2
    assert fasta.changes(notes) == [
        "4 bases in lower case, read as upper case",
        "1 U, read as T",
        "3 ambiguity codes (K 1, R 1, Y 1), read as N",
    ]


@pytest.mark.promise("Bad input: sequences that cannot be read are named with file and place")
@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.fa", ">one\nACQT\n", "'one', offset 2: byte 81"),
        ("a.fa", ">one\n>two\nAC\n", "record 'one': "),
        ("a.fa", ">one\nAC\n>one\nAC\n", "record 'one' in line 1 and again in line 3"),
        ("a.csv", "dna\nAC\n", "it needs `sequence`, or name another with --sequence-column"),
        ("a.csv", "seq,sequence\nAC,AC\n", "both columns 'sequence' and 'seq' exist"),
        ("a.csv", "sequence\nAC\nA!\n", "line 3: letter '!'"),
        ("a.csv", "sequence\nACG CGT GTA\n", "line 2: the row is a list of overlapping 3-mers"),
        ("a.csv", "sequence\nAC\nNaN\n", "line 3: "),
        ("a.csv", "sequence\n", "a.csv contains no sequence"),
        ("a.fa", "", "the file is empty"),
        ("a.parquet", "PAR1 and no more", "damaged parquet"),
    ],
)
def test_sequences_that_cannot_be_read_are_named(tmp_path, name, text, said):
    path = written(tmp_path, text, name)
    with pytest.raises(ValueError) as error:
        list(sequences.read(path))
    assert said in str(error.value) and path.name in str(error.value)


def test_a_longer_sequence_is_tiled_or_cut_to_its_middle_or_refused():
    record = Record("r", np.arange(10, dtype=np.uint8), "my.fa: record 'r'")
    of = lambda longest, long: [p.tokens.tolist() for p in sequences.pieces(record, longest, long)]
    assert of(10, "refuse") == [[*range(10)]]
    assert of(4, "tile") == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert of(4, "centre") == [[3, 4, 5, 6]]
    with pytest.raises(ValueError, match="longest 0: give 1 or more bases"):
        of(0, "centre")
    with pytest.raises(ValueError, match="record 'r': 10 bases.*up to 4"):
        of(4, "refuse")
    with pytest.raises(ValueError, match="long 'left'"):
        of(4, "left")


@given(st.lists(st.integers(1, 200), min_size=1, max_size=30), st.integers(1, 8))
def test_batches_give_every_sequence_its_own_result_in_order(lengths, rows):
    made = [np.full(n, vocab.A + i % 4, np.uint8) for i, n in enumerate(lengths)]
    shapes = set()

    def add(tokens, sizes):
        shapes.add(tokens.shape)
        inside = np.arange(tokens.shape[1])[None] < sizes[:, None]
        assert (tokens[~inside] == vocab.PAD).all()
        return np.where(inside, tokens, 0).sum(1)

    found = sequences.computed(add, made, rows)
    assert found == [int(tokens.sum()) for tokens in made]
    assert all(shape[0] in (rows, 1) and shape[1] % 64 == 63 for shape in shapes)
    assert len(shapes) <= 2 * len({-(-(n + 1) // 64) for n in lengths})


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 100))
def test_chunks_hold_every_item_in_order_and_no_more_than_fits(sizes, most):
    found = list(sequences.chunks(sizes, lambda size: size, most))
    assert [size for chunk in found for size in chunk] == sizes
    assert all(len(chunk) == 1 or 0 < sum(chunk) <= most for chunk in found)
    assert all(sum(chunk) + after[0] > most for chunk, after in pairwise(found))


@pytest.mark.parametrize("suffix", [*tables.SUFFIXES, ".Parquet"])
def test_frames_become_one_table_whole_or_not_at_all(tmp_path, monkeypatch, suffix):
    frames = [pl.DataFrame({"a": [i], "b": [f"row {i}"]}) for i in range(3)]
    path = tmp_path / f"out{suffix}"
    (tmp_path / f".{path.name}.tmp" / "left by a kill").mkdir(parents=True)
    assert tables.write(iter(frames), path) == 3
    read = {".csv": pl.read_csv, ".parquet": pl.read_parquet}
    read[".tsv"] = lambda path: pl.read_csv(path, separator="\t")
    assert read[suffix.lower()](path).equals(pl.concat(frames))

    def broken():
        yield frames[0]
        raise ValueError("record 'x': bad")

    def full(*_):
        raise kind("parquet: No space left on device\nmore")

    for kind in (pl.exceptions.ComputeError, OSError):
        with monkeypatch.context() as patched, pytest.raises(OSError, match=r"out.* \(parquet: No"):
            patched.setattr(pl.DataFrame, "write_parquet", full)
            tables.write(iter(frames), path)
    with pytest.raises(ValueError, match="record 'x'"):
        tables.write(broken(), path)
    assert read[suffix.lower()](path).height == 3 and [*tmp_path.iterdir()] == [path]
    with pytest.raises(ValueError, match="out.xls: "):
        tables.write(frames, tmp_path / "out.xls")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match="folder.csv exists"):
        tables.write(frames, tmp_path / "folder.csv")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        tables.write(frames, tmp_path / "none" / "out.csv")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            ["A", "--objective", "selective_copying_15"],
            "selective_copying_15 does not fit in 1 base; give a longer sequence",
        ),
        (["ACGT", "--objective", "infil_50_3"], "did you mean 'infill_50_3'"),
        (["A" * 5000], "5,000 bases are too many to show; give up to 4,096"),
        (["ACGQ"], "neither a file nor a sequence: letter 'Q'"),
        (["no/such.fa" * 40], "neither a file nor a sequence"),
    ],
)
def test_explain_says_in_one_line_why_it_shows_no_row(words, why, refused):
    assert why in refused("explain", *words)


def test_explain_shows_rows_of_letters_and_of_a_file_of_one_sequence(tmp_path, said, refused):
    words = ["explain", "ACGTTGCATTGACCATGCAATGCA", "--objective", "infill_50_3"]
    assert "target  <start><0>" in said(*words)
    assert "copying, 400 bases" in said("explain", "acgt" * 100, "--objective", "copying")
    path = written(tmp_path, ">one\nACGTACGT\n", "one.fa")
    assert "target  <start>ACGTACGT" in said("explain", path, "--objective", "next_token")
    path = written(tmp_path, ">one\nACGT\n>two\nACGT\n", "one.fa")
    assert "several sequences" in refused("explain", path)


@pytest.mark.parametrize("rows", [0, -1])
def test_no_sequences_at_once_are_refused(rows):
    with pytest.raises(ValueError, match=f"rows {rows}: give 1 or more"):
        list(sequences.batches(range(3), rows))
